//! Sendmail: the `define()` lines of Listing 6.3 for a sendmail.mc (cf/README, "STARTTLS").

pub mod config;
pub mod m4;

use std::path::Path;

use minijinja::context;
use thiserror::Error;

use super::Files;
use crate::templates;

/// Why lines for sendmail.mc cannot be written.
#[derive(Debug, Error)]
pub enum SendmailError {
    /// Sendmail takes absolute paths only.
    #[error("{0:?} is not an absolute path, but Sendmail takes no other")]
    Relative(String),
    /// m4 would not leave the path as it is.
    #[error("the path {path:?} has {what}, which m4 would not leave as it is")]
    Unquotable {
        /// the path
        path: String,
        /// the character or word
        what: String,
    },
    /// The marks in a file do not come in pairs.
    #[error("{0:?} stands without its counterpart")]
    UnpairedMark(&'static str),
    /// The template is wrong.
    #[error("the template cannot be rendered: {0}")]
    Template(#[from] minijinja::Error),
}

const BEGIN: &str = "dnl mailca: begin";
const END: &str = "dnl mailca: end";

/// The lines for sendmail.mc: first an empty one, since a file may end in `dnl` without a line
/// end, and that would swallow the first of them.
///
/// # Errors
/// When a path is not absolute, or has something that m4 would expand.
pub fn lines(files: &Files) -> Result<String, SendmailError> {
    let values = context! {
        ca_path => quotable(&files.ca_path)?,
        ca => quotable(&files.ca)?,
        certificate => quotable(&files.certificate)?,
        key => quotable(&files.key)?,
        crl_path => quotable(&files.crl_path)?,
    };
    Ok(templates::render(templates::SENDMAIL_MC, values)?)
}

/// The text of a sendmail.mc with `lines` in place of those that an earlier run put there, or at
/// its end.
///
/// # Errors
/// When a mark stands without its counterpart.
pub fn put_into(text: &str, lines: &str) -> Result<String, SendmailError> {
    let mut kept = String::new();
    let mut place = None;
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            BEGIN if inside => return Err(SendmailError::UnpairedMark(BEGIN)),
            BEGIN => {
                inside = true;
                // The last define wins, so the last block's place is the one that counts.
                place = Some(kept.len());
            }
            END if !inside => return Err(SendmailError::UnpairedMark(END)),
            END => inside = false,
            _ if inside => {}
            _ => kept.push_str(line),
        }
    }
    if inside {
        return Err(SendmailError::UnpairedMark(BEGIN));
    }
    match place {
        Some(place) => kept.insert_str(place, lines.trim_start_matches('\n')),
        None => kept.push_str(lines),
    }
    Ok(kept)
}

fn quotable(path: &Path) -> Result<&str, SendmailError> {
    let shown = path.to_string_lossy();
    let unquotable = |what: String| SendmailError::Unquotable {
        path: shown.clone().into_owned(),
        what,
    };
    let text = path
        .to_str()
        .ok_or_else(|| unquotable("bytes that are not UTF-8".into()))?;
    if !path.is_absolute() {
        return Err(SendmailError::Relative(text.into()));
    }
    if let Some(bad) = text
        .chars()
        .find(|c| "'`,$#()".contains(*c) || c.is_control())
    {
        return Err(unquotable(format!("{bad:?}")));
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    match words.into_iter().find(|word| is_macro(word)) {
        Some(word) => Err(unquotable(format!("the m4 word {word}"))),
        None => Ok(text),
    }
}

// GNU m4's own macros (its manual, "Macro index"), and those that sendmail.mc files consist of
// (cf/README): in a value they are expanded, even as part of a path.
fn is_macro(word: &str) -> bool {
    const MACROS: &[&str] = &[
        "__file__",
        "__gnu__",
        "__line__",
        "__os2__",
        "__program__",
        "__unix__",
        "__windows__",
        "builtin",
        "changecom",
        "changequote",
        "changeword",
        "debugfile",
        "debugmode",
        "decr",
        "define",
        "defn",
        "divert",
        "divnum",
        "dnl",
        "dumpdef",
        "errprint",
        "esyscmd",
        "eval",
        "format",
        "ifdef",
        "ifelse",
        "include",
        "incr",
        "index",
        "indir",
        "len",
        "m4exit",
        "m4wrap",
        "maketemp",
        "mkstemp",
        "patsubst",
        "popdef",
        "pushdef",
        "regexp",
        "shift",
        "sinclude",
        "substr",
        "symbols",
        "syscmd",
        "sysval",
        "traceoff",
        "traceon",
        "translit",
        "undefine",
        "undivert",
        "unix",
        "CERT_DIR",
        "CF_DIR",
        "DAEMON_OPTIONS",
        "DOMAIN",
        "EXPOSED_USER",
        "FEATURE",
        "GENERICS_DOMAIN",
        "HACK",
        "INPUT_MAIL_FILTER",
        "LOCAL_CONFIG",
        "LOCAL_DOMAIN",
        "LOCAL_NET_CONFIG",
        "LOCAL_RULESETS",
        "LOCAL_RULE_0",
        "LOCAL_RULE_1",
        "LOCAL_RULE_2",
        "LOCAL_RULE_3",
        "LOCAL_USER",
        "LUSER_RELAY",
        "MAILER",
        "MAILER_DEFINITIONS",
        "MAIL_FILTER",
        "MAIL_HUB",
        "MAIL_SETTINGS_DIR",
        "MASQUERADE_AS",
        "MASQUERADE_DOMAIN",
        "MASQUERADE_EXCEPTION",
        "MODIFY_MAILER_FLAGS",
        "OSTYPE",
        "RELAY_DOMAIN",
        "SITE",
        "SITECONFIG",
        "SMART_HOST",
        "TRUST_AUTH_MECH",
        "UUCPSMTP",
        "VERSIONID",
        "VIRTUSER_DOMAIN",
    ];
    MACROS.contains(&word)
        || (word.starts_with("conf") && word[4..].starts_with(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(key: &str) -> Files {
        Files {
            ca_path: "/etc/mail/CA".into(),
            ca: "/etc/mail/CA/cacert.pem".into(),
            certificate: "/etc/mail/CA/hosts/a/cert.pem".into(),
            key: key.into(),
            crl_path: "/etc/mail/CA/crl".into(),
        }
    }

    #[test]
    fn the_lines_begin_with_an_empty_one_and_stand_between_marks() {
        let lines = lines(&files("/k")).unwrap();
        assert!(
            lines
                .starts_with("\ndnl mailca: begin\ndefine(`confCACERT_PATH', `/etc/mail/CA')dnl\n")
        );
        assert!(lines.ends_with("dnl mailca: end\n"));
        assert_eq!(lines.matches("`/k'").count(), 2);
    }

    #[test]
    fn paths_that_m4_would_change_are_refused() {
        for path in [
            "/a'b",
            "/a`b",
            "/a,b",
            "/a$1",
            "/a#b",
            "/a\nb",
            "/dnl/k",
            "/x-define/k",
            "/confCACERT",
        ] {
            assert!(lines(&files(path)).is_err(), "{path}");
        }
        assert_eq!(
            lines(&files("key.pem")).unwrap_err().to_string(),
            "\"key.pem\" is not an absolute path, but Sendmail takes no other"
        );
    }

    #[test]
    fn spaces_and_other_scripts_are_left_alone() {
        assert!(lines(&files("/etc/my mail/schlüssel.pem")).is_ok());
    }

    #[test]
    fn a_block_is_replaced_where_it_stands() {
        let old = "MAILER(smtp)\n\ndnl mailca: begin\nold\ndnl mailca: end\nafter\n";
        let new = put_into(old, "\ndnl mailca: begin\nnew\ndnl mailca: end\n").unwrap();
        assert_eq!(
            new,
            "MAILER(smtp)\n\ndnl mailca: begin\nnew\ndnl mailca: end\nafter\n"
        );
        assert_eq!(
            put_into(&new, "\ndnl mailca: begin\nnew\ndnl mailca: end\n").unwrap(),
            new
        );
    }

    #[test]
    fn without_a_block_the_lines_come_last() {
        assert_eq!(put_into("a dnl", "\nb\n").unwrap(), "a dnl\nb\n");
    }

    #[test]
    fn a_block_without_an_end_is_refused() {
        assert!(put_into("dnl mailca: begin\n", "\n").is_err());
        assert!(put_into("dnl mailca: end\n", "\n").is_err());
    }
}
