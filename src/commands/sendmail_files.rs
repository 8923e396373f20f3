//! The files that tell Sendmail what to do.

use std::path::{Path, PathBuf};

use anyhow::Result;
use thiserror::Error;

use crate::mta::sendmail::config::Config;
use crate::mta::sendmail::m4::M4Error;
use crate::report::shell_line;
use crate::sys::files;

/// Why a file that was named cannot be looked at.
#[derive(Debug, Error)]
pub enum SendmailFileError {
    /// m4 would stop at it.
    #[error("{}: {source}", .path.display())]
    M4 {
        /// the file
        path: PathBuf,
        /// where m4 would stop
        source: M4Error,
    },
}

/// A configuration of Sendmail.
pub struct Source {
    pub path: PathBuf,
    /// whether somebody named it
    pub is_given: bool,
    pub config: Config,
}

impl Source {
    /// Whether it is what m4 makes of a sendmail.mc.
    pub fn is_cf(&self) -> bool {
        is_cf(&self.path)
    }
}

/// The files that were named, or those that Sendmail has where they can be read.
pub fn sources(given: &[PathBuf]) -> Result<Vec<Source>> {
    if given.is_empty() {
        let usual = ["/etc/mail/sendmail.mc", "/etc/mail/sendmail.cf"];
        let found = usual
            .iter()
            .filter_map(|path| source(Path::new(path), false).ok());
        return Ok(found.collect());
    }
    given.iter().map(|path| source(path, true)).collect()
}

/// What the daemon is told: by a sendmail.cf, which has what a sendmail.mc includes too. That may
/// be the one beside it.
pub fn of_daemon(sources: &[Source]) -> Config {
    let cf = sources.iter().find(|source| source.is_cf());
    let Some(known) = cf.or(sources.first()) else {
        return Config::default();
    };
    let beside = source(&known.path.with_extension("cf"), false);
    beside.map_or_else(|_| known.config.clone(), |beside| beside.config)
}

fn source(path: &Path, is_given: bool) -> Result<Source> {
    let text = if is_given {
        files::read_given(path)?
    } else {
        files::read(path)?
    };
    let config = if is_cf(path) {
        Config::of_cf(&text)
    } else {
        Config::of_mc(&text).map_err(|source| SendmailFileError::M4 {
            path: path.to_owned(),
            source,
        })?
    };
    Ok(Source {
        path: path.to_owned(),
        is_given,
        config,
    })
}

fn is_cf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "cf")
}

/// The command that makes a sendmail.cf of this sendmail.mc: Debian's own does the whole, elsewhere
/// the Makefile beside it does.
pub fn build(mc: &Path) -> String {
    if Path::new("/usr/sbin/sendmailconfig").exists() {
        return "sendmailconfig".into();
    }
    shell_line(&["make", "-C", &files::parent(mc).to_string_lossy()])
}
