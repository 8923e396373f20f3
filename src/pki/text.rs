//! Text from elsewhere, made fit for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A value on one line: every character that would move the cursor, change colours, turn the
/// reading direction or not be seen at all is escaped, and the backslash too, to tell them apart.
#[must_use]
pub fn one_line(value: &str) -> String {
    escape(value, |c| c == '\\' || is_unseen(c))
}

/// The same for a sentence that may have escapes already.
#[must_use]
pub fn sentence(text: &str) -> String {
    escape(text, is_unseen)
}

/// The same for text that may have several lines.
#[must_use]
pub fn for_terminal(text: &str) -> String {
    escape(text, |c| c != '\n' && is_unseen(c))
}

/// A sentence that quotes something endless, without its middle: people read the two ends.
#[must_use]
pub fn shorten(sentence: &str) -> Cow<'_, str> {
    const HEAD: usize = 600;
    const TAIL: usize = 300;
    let length = sentence.chars().count();
    if length <= HEAD + TAIL {
        return sentence.into();
    }
    let head: String = sentence.chars().take(HEAD).collect();
    let tail: String = sentence.chars().skip(length - TAIL).collect();
    format!("{head} [...] {tail}").into()
}

fn escape(text: &str, must: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if must(character) {
            // escape_debug leaves some of the characters below as they are.
            let _ = match character {
                '\\' | '\n' | '\t' | '\r' => write!(out, "{}", character.escape_debug()),
                _ => write!(out, "{}", character.escape_unicode()),
            };
        } else {
            out.push(character);
        }
    }
    out
}

// Controls, separators of lines, and what Unicode calls default-ignorable or bidirectional
// formatting (UAX #9, UAX #44).
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        let hostile = "a\u{1b}[31mb\nc\u{9b}d\u{202e}e\u{200b}f\x07\\";
        let shown = r"a\u{1b}[31mb\nc\u{9b}d\u{202e}e\u{200b}f\u{7}\\";
        assert_eq!(one_line(hostile), shown);
        assert_eq!(sentence("a\nb\\c\u{1b}"), "a\\nb\\c\\u{1b}");
        assert_eq!(for_terminal("a\nb\\c\u{1b}"), "a\nb\\c\\u{1b}");
    }

    #[test]
    fn of_an_endless_sentence_both_ends_are_left() {
        for text in ["", "short", &"x".repeat(900)] {
            assert_eq!(shorten(text), text);
        }
        for filler in ["x", "ü", "株"] {
            let text = format!("begin {} end", filler.repeat(100_000));
            let short = shorten(&text);
            assert!(short.chars().count() < 1000, "{short}");
            assert!(short.starts_with("begin ") && short.ends_with(" end"));
        }
    }

    #[test]
    fn what_people_write_is_left_alone() {
        for text in ["Bob's \"Mail\" + Söhne / 株式会社", "e\u{301}", "नमस्ते"] {
            assert_eq!(one_line(text), text);
        }
    }
}
