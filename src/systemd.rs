//! systemd: a service that keeps a CA alive, and its timer, over templates in templates/systemd/.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use minijinja::context;
use thiserror::Error;

use crate::templates;

/// Where the administrator's own units are.
pub const UNITS: &str = "/etc/systemd/system";

/// Where the files with encrypted passphrases are.
pub const CREDENTIALS: &str = "/etc/credstore.encrypted";

/// Why a unit cannot be written.
#[derive(Debug, Error)]
pub enum UnitError {
    /// It would not stay what it is.
    #[error("{word:?} has {what}, which a unit of systemd cannot hold")]
    Unwritable {
        /// the path or command
        word: String,
        /// what is wrong with it
        what: String,
    },
    /// The template is wrong.
    #[error("the template cannot be rendered: {0}")]
    Template(#[from] minijinja::Error),
}

/// What keeps a CA alive. All paths are absolute.
#[derive(Debug)]
pub struct Job {
    /// the mailca to run
    pub program: PathBuf,
    /// the CA directory
    pub ca: PathBuf,
    /// what stands for its openssl.cnf
    pub config: Option<PathBuf>,
    /// what is run for each renewed host
    pub hook: Option<OsString>,
    /// who runs it, unless root
    pub user: Option<String>,
    /// the file with the encrypted passphrase, of plain characters, where the CA key has one
    pub credential: Option<String>,
    /// whether the CA may sign CRLs
    pub signs_crls: bool,
    /// the directories that it writes to
    pub directories: Vec<PathBuf>,
}

/// The text of a service and of its timer.
#[derive(Debug)]
pub struct Units {
    /// the service
    pub service: String,
    /// the timer
    pub timer: String,
}

impl Job {
    /// Its units.
    ///
    /// # Errors
    /// When a path or the hook has what a unit cannot hold.
    pub fn units(&self) -> Result<Units, UnitError> {
        let mut program = OsString::from(":");
        program.push(&self.program);
        let mut mailca = vec![quoted(&program)?, "--ca".into(), quoted(self.ca.as_ref())?];
        if let Some(config) = &self.config {
            mailca.extend(["--config".into(), quoted(config.as_ref())?]);
        }
        let directories: Result<Vec<_>, _> = self
            .directories
            .iter()
            .map(|path| quoted(path.as_ref()))
            .collect();
        let values = context! {
            mark => mark(&self.ca)?,
            ca => plain(self.ca.as_ref())?.replace('%', "%%"),
            mailca => mailca.join(" "),
            hook => self.hook.as_deref().map(quoted).transpose()?,
            user => self.user.clone(),
            credential => self.credential.clone(),
            signs_crls => self.signs_crls,
            directories => directories?.join(" "),
        };
        Ok(Units {
            service: templates::render(templates::SYSTEMD_SERVICE, values.clone())?,
            timer: templates::render(templates::SYSTEMD_TIMER, values)?,
        })
    }
}

const MARK: &str = "# made by mailca for the CA in ";

/// The first line of the units of the CA in `ca`, by which they are known again.
///
/// # Errors
/// When the path has what a unit cannot hold.
pub fn mark(ca: &Path) -> Result<String, UnitError> {
    let ca = plain(ca.as_ref())?;
    // Something behind the path, since that may end in a backslash or a space.
    Ok(format!("{MARK}{ca}, and replaced by its emit systemd"))
}

/// Whether mailca made a unit, for whatever CA.
#[must_use]
pub fn is_ours(unit: &str) -> bool {
    unit.starts_with(MARK)
}

// A word for ExecStart= or ReadWritePaths= (systemd.syntax(7), "Quoting"; systemd.unit(5),
// "Specifiers"). Of the escapes there, both know these two alone.
fn quoted(word: &OsStr) -> Result<String, UnitError> {
    let text = plain(word)?.replace('%', "%%");
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "/.,:_+=@%-".contains(c);
    if !text.is_empty() && text.chars().all(is_bare) {
        return Ok(text);
    }
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
    Ok(format!("\"{escaped}\""))
}

fn plain(word: &OsStr) -> Result<&str, UnitError> {
    let wrong = |what: String| UnitError::Unwritable {
        word: word.to_string_lossy().into(),
        what,
    };
    let text = word
        .to_str()
        .ok_or_else(|| wrong("bytes that are not UTF-8".into()))?;
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(wrong(format!("the control character {control:?}"))),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_word_is_bare_where_systemd_leaves_it_as_it_is() {
        for (word, in_unit) in [
            ("/etc/mail/CA", "/etc/mail/CA"),
            (":/usr/bin/mailca", ":/usr/bin/mailca"),
            ("/a%h", "/a%%h"),
            ("", "\"\""),
            (";", "\";\""),
            ("a b", "\"a b\""),
            ("it's", "\"it's\""),
            ("\"$x\\", r#""\"$x\\""#),
            ("/schlüssel", "\"/schlüssel\""),
        ] {
            assert_eq!(quoted(word.as_ref()).unwrap(), in_unit);
        }
    }

    #[test]
    fn what_a_unit_cannot_hold_is_refused() {
        for (word, why) in [
            ("/a\nb", "has the control character '\\n', which"),
            ("/a\u{1b}b", "has the control character '\\u{1b}', which"),
        ] {
            let error = quoted(word.as_ref()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let error = quoted(OsStr::from_bytes(b"/\xff")).unwrap_err().to_string();
        assert!(
            error.contains("has bytes that are not UTF-8, which"),
            "{error}"
        );
    }

    #[test]
    fn a_unit_knows_whose_it_is() {
        let job = Job {
            program: "/usr/local/bin/mailca".into(),
            ca: "/etc/mail/100%".into(),
            config: None,
            hook: None,
            user: None,
            credential: None,
            signs_crls: false,
            directories: vec!["/etc/mail/100%".into()],
        };
        let units = job.units().unwrap();
        for unit in [&units.service, &units.timer] {
            assert!(is_ours(unit), "{unit}");
            assert_eq!(unit.lines().next(), Some(&*mark(&job.ca).unwrap()));
            assert!(
                unit.contains("\nDescription=CA in /etc/mail/100%%: "),
                "{unit}"
            );
        }
        assert!(!units.service.contains(" crl "), "{}", units.service);
        assert!(!units.service.contains("Credential"), "{}", units.service);
    }
}
