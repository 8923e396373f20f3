//! A bar that shows how far long work has come.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on standard error, or nothing at all.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for `total` things, under the name of what is done with them; nothing is drawn
    /// unless it `is_shown` and standard error is a terminal.
    #[must_use]
    pub fn new(what: &'static str, total: usize, is_shown: bool) -> Self {
        let target = if is_shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_message(what);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    /// So many more are done.
    pub fn advance(&self, count: usize) {
        self.0.inc(count as u64);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
