//! The status as a terminal shows it: what is left of each life as a bar.

use std::fmt::Write as _;

use dialoguer::console::Style;

use crate::commands::overview::item::{Item, Urgency};
use crate::commands::overview::{Overview, display_width, pad, summary, width, write_remedies};
use crate::pki::text;
use crate::report;
use crate::sys::screen::Screen;

// In columns.
const SHORTEST_BAR: usize = 10;
const LONGEST_BAR: usize = 40;
const MARK: usize = 2;
const DATE: usize = 10;
const GAPS: usize = 4 * 2 - 1;

/// Draws the report for a terminal.
pub fn draw(overview: &Overview, screen: Screen) -> String {
    let items = overview.by_urgency();
    let words = width(&items, |item| &item.words);
    let free = screen.columns.saturating_sub(MARK + words + DATE + GAPS);
    let label = width(&items, |item| &item.label).min(free.saturating_sub(SHORTEST_BAR));
    let cells = free.saturating_sub(label).clamp(SHORTEST_BAR, LONGEST_BAR);

    let directory = overview.directory.display().to_string();
    let mut out = format!("{}: {}\n\n", text::one_line(&directory), summary(&items));
    for item in &items {
        let paint = |text: &str| paint(item.urgency, text, screen);
        let mark = match item.urgency {
            Urgency::Ok => "  ",
            Urgency::Warning => "! ",
            Urgency::Critical => "!!",
        };
        let line = format!(
            "{} {}  {}  {}  {}",
            paint(mark),
            pad(&shortened(&item.label, label, screen), label),
            paint(&bar(left(item, overview, cells), cells, screen)),
            paint(&pad(&item.words, words)),
            item.until.map_or_else(String::new, report::date)
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let mut remedies = String::new();
    let _ = write_remedies(&items, &mut remedies);
    if !remedies.is_empty() {
        let _ = write!(out, "\n{}", text::for_terminal(&remedies));
    }
    out
}

fn paint(urgency: Urgency, text: &str, screen: Screen) -> String {
    let style = match urgency {
        Urgency::Ok => Style::new().green(),
        Urgency::Warning => Style::new().yellow(),
        Urgency::Critical => Style::new().red().bold(),
    };
    style
        .force_styling(screen.has_colours)
        .apply_to(text)
        .to_string()
}

/// How many of `width` cells stand for what something has left of its life: one of them until
/// nothing is left.
fn left(item: &Item, overview: &Overview, width: usize) -> usize {
    let Some(until) = item.until else {
        return 0;
    };
    let whole = item.from.map_or(overview.lifetime, |from| until - from);
    let whole = whole.whole_seconds().max(1).unsigned_abs();
    let left = (until - overview.at).whole_seconds().max(0).unsigned_abs();
    let cells = (left.min(whole) * width as u64).div_ceil(whole);
    usize::try_from(cells).unwrap_or(width)
}

fn bar(filled: usize, width: usize, screen: Screen) -> String {
    let (full, empty) = if screen.has_unicode {
        ("█", "░")
    } else {
        ("#", "-")
    };
    full.repeat(filled) + &empty.repeat(width - filled)
}

/// A name that is wider than its column without its end.
fn shortened(name: &str, width: usize, screen: Screen) -> String {
    if display_width(name) <= width {
        return name.into();
    }
    let end = if screen.has_unicode { "…" } else { "~" };
    let mut kept = String::new();
    for character in name.chars() {
        kept.push(character);
        if display_width(&kept) + 1 > width {
            kept.pop();
            break;
        }
    }
    kept + end
}
