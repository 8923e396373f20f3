//! The terminal that standard output is, for commands that draw on it.

use std::ffi::OsString;

use dialoguer::console::Term;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// how many columns it has
    pub columns: usize,
    /// whether it shows colours and its user wants them
    pub has_colours: bool,
    /// whether it shows more than ASCII
    pub has_unicode: bool,
}

impl Screen {
    /// The terminal that standard output is, `None` where it is none. `environment` says what it
    /// can show: TERM and NO_COLOR (<https://no-color.org>), and the locale (locale(7)).
    #[must_use]
    pub fn of_stdout(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<Self> {
        let terminal = Term::stdout();
        terminal.is_term().then(|| {
            let columns = match terminal.size_checked() {
                // 0 is what a terminal says that does not know.
                Some((_, columns)) if columns > 0 => columns.into(),
                _ => 80,
            };
            Self::described(columns, environment)
        })
    }

    fn described(columns: usize, environment: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let value = |name| environment(name).filter(|value| !value.is_empty());
        // The first of them that is set counts.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
        let locale = locale.unwrap_or_default().to_ascii_uppercase();
        let locale = locale.to_string_lossy();
        Self {
            columns,
            has_colours: value("NO_COLOR").is_none()
                && value("TERM").is_some_and(|name| name != "dumb"),
            has_unicode: locale.contains("UTF-8") || locale.contains("UTF8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(variables: &[(&str, &str)]) -> (bool, bool) {
        let screen = Screen::described(80, &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        });
        (screen.has_colours, screen.has_unicode)
    }

    #[test]
    fn the_environment_tells_what_a_terminal_shows() {
        assert_eq!(described(&[]), (false, false));
        assert_eq!(described(&[("TERM", "xterm")]), (true, false));
        assert_eq!(described(&[("TERM", "dumb")]), (false, false));
        let without = [("TERM", "xterm"), ("NO_COLOR", "1")];
        assert_eq!(described(&without), (false, false));
        let empty = [("TERM", "xterm"), ("NO_COLOR", "")];
        assert_eq!(described(&empty), (true, false));
        assert_eq!(described(&[("LANG", "de_DE.UTF-8")]), (false, true));
        assert_eq!(described(&[("LC_CTYPE", "C.utf8")]), (false, true));
        let overridden = [("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")];
        assert_eq!(described(&overridden), (false, false));
    }
}
