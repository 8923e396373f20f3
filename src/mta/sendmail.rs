//! Sendmail: the `define()` lines of Listing 6.3 for a sendmail.mc (cf/README, "STARTTLS").

pub mod access;
pub mod config;
pub mod m4;

use std::path::Path;

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::templates;

// The first versions with confCRL and confCRL_PATH (release notes).
const CRL: Version = Version(8, 13);
const CRL_PATH: Version = Version(8, 16);

/// The lines for sendmail.mc: first an empty one, since a file may end in `dnl` without a line
/// end, and that would swallow the first of them.
///
/// # Errors
/// When a path is not absolute, or has something that m4 would expand.
pub fn lines(host: &Host, version: Version) -> Result<Lines, LinesError> {
    let files = &host.files;
    let has_crl_path = version >= CRL_PATH;
    let has_crl = version >= CRL && !has_crl_path;
    let if_known = |is_known: bool, path| is_known.then(|| quotable(path)).transpose();
    let values = context! {
        host => &host.name,
        reload => MailServer::Sendmail.reload(),
        ca_path => quotable(&files.ca_path)?,
        ca => quotable(&files.ca)?,
        certificate => quotable(&files.certificate)?,
        key => quotable(&files.key)?,
        crl_path => if_known(has_crl_path, &files.crl_path)?,
        crl => if_known(has_crl, &files.crl)?,
    };
    let warning = if has_crl {
        Some(format!(
            "Sendmail {version} reads {} only when it starts, so a revocation counts after: {}; \
             without that file it accepts what is revoked",
            files.crl.display(),
            MailServer::Sendmail.reload().unwrap_or_default()
        ))
    } else if version < CRL {
        Some(format!(
            "Sendmail {version} reads no CRL, and accepts what is revoked"
        ))
    } else {
        None
    };
    Ok(Lines {
        text: templates::render(templates::SENDMAIL_MC, values)?,
        warnings: warning.into_iter().collect(),
    })
}

fn quotable(path: &Path) -> Result<&str, LinesError> {
    let text = plain(path, MailServer::Sendmail, "'`,$#()")?;
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    match words.into_iter().find(|word| is_macro(word)) {
        Some(word) => Err(LinesError::Unquotable {
            reader: MailServer::Sendmail.reader(),
            path: text.into(),
            what: format!("the m4 word {word}"),
        }),
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

    fn lines(key: &str) -> Result<String, LinesError> {
        let mut host = Host::in_ca("/etc/mail/CA");
        host.files.key = key.into();
        super::lines(&host, MailServer::Sendmail.newest()).map(|lines| lines.text)
    }

    #[test]
    fn the_lines_begin_with_an_empty_one_and_stand_between_marks() {
        let lines = lines("/k").unwrap();
        assert!(lines.starts_with("\ndnl mailca: begin\ndnl a; "), "{lines}");
        assert!(lines.ends_with("dnl mailca: end\n"));
        assert_eq!(lines.matches("`/k'").count(), 2);
    }

    #[test]
    fn each_version_has_the_crl_that_it_reads() {
        for (version, line) in [
            (Version(8, 11), None),
            (Version(8, 12), None),
            (
                Version(8, 13),
                Some("`confCRL', `/etc/mail/CA/crl/crl.pem'"),
            ),
            (
                Version(8, 15),
                Some("`confCRL', `/etc/mail/CA/crl/crl.pem'"),
            ),
            (Version(8, 16), Some("`confCRL_PATH', `/etc/mail/CA/crl'")),
            (Version(8, 18), Some("`confCRL_PATH', `/etc/mail/CA/crl'")),
        ] {
            let Lines { text, warnings } =
                super::lines(&Host::in_ca("/etc/mail/CA"), version).unwrap();
            let crl: Vec<_> = text.lines().filter(|one| one.contains("CRL")).collect();
            let expected = line.map(|line| format!("define({line})dnl"));
            assert_eq!(crl, Vec::from_iter(&expected), "{version}");
            assert_eq!(warnings.is_empty(), version >= CRL_PATH, "{warnings:?}");
            assert!(!text.contains("\n\n"), "{text}");
        }
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
            assert!(lines(path).is_err(), "{path}");
        }
        assert_eq!(
            lines("key.pem").unwrap_err().to_string(),
            "\"key.pem\" is not an absolute path, but Sendmail takes no other"
        );
    }

    #[test]
    fn spaces_and_other_scripts_are_left_alone() {
        assert!(lines("/etc/my mail/schlüssel.pem").is_ok());
    }
}
