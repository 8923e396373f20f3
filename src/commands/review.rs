//! Labels and their values: what is about to be done, shown to the person who is asked, and what a
//! file holds.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use textwrap::{Options, WordSeparator};

use crate::pki::text;
use crate::report::List;

/// The column where values begin.
const LABEL: usize = 11;

/// A text of labels and their values, in lines of a width.
pub struct Review {
    text: String,
    width: usize,
}

impl Review {
    pub fn new(width: usize) -> Self {
        Self {
            text: String::new(),
            width,
        }
    }

    pub fn field(&mut self, label: &str, value: &str) {
        let lines = wrap(value, self.width.saturating_sub(LABEL));
        for (position, line) in lines.iter().enumerate() {
            let label = if position == 0 { label } else { "" };
            let _ = writeln!(self.text, "{label:<LABEL$}{line}");
        }
    }

    /// Things side by side, if there are any.
    pub fn list<T: Display>(&mut self, label: &str, values: &[T]) {
        if !values.is_empty() {
            self.field(label, &text::sentence(&List(values).to_string()));
        }
    }

    /// The text with an empty line behind it, where a question follows.
    pub fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

/// Breaks a value into lines of `width` columns, between words where that is possible, so that no
/// part of it begins a line where a label would.
fn wrap(value: &str, width: usize) -> Vec<Cow<'_, str>> {
    textwrap::wrap(
        value,
        Options::new(width.max(1)).word_separator(WordSeparator::AsciiSpace),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_broken_between_words_and_a_long_word_anywhere() {
        let wrapped = |value| wrap(value, 8).join("|");
        assert_eq!(wrapped("one two three four"), "one two|three|four");
        assert_eq!(wrapped("abcdefgh ijk"), "abcdefgh|ijk");
        assert_eq!(wrapped("a abcdefghijk l"), "a|abcdefgh|ijk l");
        assert_eq!(wrapped(""), "");
        assert_eq!(wrapped("one          two"), "one|two");
        assert_eq!(wrap("abc", 0), ["a", "b", "c"]);
    }
}
