//! hosts/: for each mail host whose key is here, one link to one folder with what its daemon
//! reads, so that certificate, chain and key change together.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::pki::certificate::{Certificate, CertificateError};
use crate::pki::key::{EncodedKey, KeyError, PrivateKey};
use crate::sys::files::{self, FileError};

/// What can be wrong with hosts/.
#[derive(Debug, Error)]
pub enum HostError {
    /// The name leaves no file name.
    #[error("{0:?} cannot be the name of a folder in hosts/")]
    NoFileName(String),
    /// Another host has this file name.
    #[error("{} belongs to {other}, and {host} would need the same name", .path.display())]
    NameTaken {
        /// what is there
        path: PathBuf,
        /// the host it belongs to
        other: String,
        /// the host asked for
        host: String,
    },
    /// A certificate there cannot be read.
    #[error("{}: {source}", .path.display())]
    Certificate {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: CertificateError,
    },
    /// A key there cannot be read.
    #[error("{}: {source}", .path.display())]
    Key {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: KeyError,
    },
    /// A key there is missing from its file.
    #[error("{} holds no private key", .0.display())]
    NoKey(PathBuf),
    /// A file there cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
}

/// The name of a host's certificate file.
pub const CERT: &str = "cert.pem";
/// The name of a host's certificate with its issuer's behind it.
pub const CHAIN: &str = "chain.pem";
/// The name of a host's private key.
pub const KEY: &str = "key.pem";
/// Where a transaction keeps keys until its commit.
pub(super) const PENDING: &str = ".pending";

/// The folder hosts/ of a CA directory.
#[derive(Debug)]
pub struct Hosts {
    root: PathBuf,
    committed: Vec<Committed>,
}

/// What a transaction has committed for a host, and nobody has carried out yet.
#[derive(Debug)]
pub(super) struct Committed {
    /// hosts/HOST or hosts/HOST.next
    pub place: PathBuf,
    /// where its key will be, and where it was
    pub holders: [PathBuf; 2],
    /// its new certificate, PEM
    pub certificate: Option<String>,
}

impl Hosts {
    pub(super) fn new(root: PathBuf, committed: Vec<Committed>) -> Self {
        Self { root, committed }
    }

    fn committed(&self, place: &Path) -> Option<&Committed> {
        self.committed.iter().find(|entry| entry.place == place)
    }

    /// hosts/ itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `hosts/HOST`, the path that daemons are given.
    #[must_use]
    pub fn current(&self, host: &str) -> PathBuf {
        self.root.join(host)
    }

    /// `hosts/HOST.next`, where a key waits for its certificate.
    #[must_use]
    pub fn next(&self, host: &str) -> PathBuf {
        self.root.join(format!("{host}.next"))
    }

    /// Where a transaction keeps keys until its commit.
    #[must_use]
    pub fn pending(&self) -> PathBuf {
        self.root.join(PENDING)
    }

    /// The file names of all hosts that have a current pair, sorted.
    ///
    /// # Errors
    /// When hosts/ cannot be read.
    pub fn list(&self) -> Result<Vec<String>, FileError> {
        let fail = |error| FileError::new("read", &self.root, error);
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(fail)?),
        };
        let mut names = Vec::new();
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(fail)?;
            if entry.path().is_symlink() && entry.path().join(CERT).exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        let switched = self
            .committed
            .iter()
            .filter(|entry| entry.certificate.is_some());
        names.extend(switched.filter_map(|entry| Some(entry.place.file_name()?.to_str()?.into())));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The current certificate of a host, `None` where it has none.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn certificate(&self, host: &str) -> Result<Option<Certificate>, HostError> {
        self.certificate_in(&self.current(host))
    }

    fn certificate_in(&self, folder: &Path) -> Result<Option<Certificate>, HostError> {
        let path = folder.join(CERT);
        let committed = self
            .committed(folder)
            .and_then(|entry| entry.certificate.as_ref());
        let found = match committed {
            Some(text) => Certificate::from_pem_or_der(text.as_bytes()),
            None => match files::read_if_there(&path)? {
                Some(bytes) => Certificate::from_pem_or_der(&bytes),
                None => return Ok(None),
            },
        };
        found
            .map(Some)
            .map_err(|source| HostError::Certificate { path, source })
    }

    /// The current certificate of a host and its private key, of the same moment although
    /// somebody may switch them; `None` where one of them is not there.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn pair(&self, host: &str) -> Result<Option<(Certificate, PrivateKey)>, HostError> {
        let place = self.current(host);
        let folder = match fs::read_link(&place) {
            Ok(target) if self.committed(&place).is_none() => self.root.join(target),
            _ => place,
        };
        Ok(self.certificate_in(&folder)?.zip(self.key(&folder)?))
    }

    /// The private key in `folder`, `None` where there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn key(&self, folder: &Path) -> Result<Option<PrivateKey>, HostError> {
        let holders = self
            .committed(folder)
            .map_or(&[][..], |entry| &entry.holders);
        let places = holders.iter().map(PathBuf::as_path).chain([folder]);
        let mut found = None;
        for path in places.map(|place| place.join(KEY)) {
            if let Some(bytes) = files::read_if_there(&path)? {
                found = Some((path, bytes));
                break;
            }
        }
        let Some((path, bytes)) = found else {
            return Ok(None);
        };
        let failed = |source| HostError::Key {
            path: path.clone(),
            source,
        };
        let found = EncodedKey::find(&bytes).map_err(failed)?;
        let encoded = found.ok_or_else(|| HostError::NoKey(path.clone()))?;
        encoded.unlock(None).map(Some).map_err(failed)
    }

    /// Refuses a host whose file name another host has: two names can differ and still share one,
    /// as `*.example.com` and `_.example.com` do.
    ///
    /// # Errors
    /// [`HostError::NameTaken`], or that the other's certificate cannot be read.
    pub fn check_name(&self, host: &str, title: &str) -> Result<(), HostError> {
        let path = self.current(host);
        let taken = |other: String| HostError::NameTaken {
            path: path.clone(),
            other,
            host: title.into(),
        };
        if files::exists(&path) && !path.is_symlink() {
            return Err(taken("something else".into()));
        }
        match self.certificate(host)? {
            Some(certificate) if !certificate.title().eq_ignore_ascii_case(title) => {
                Err(taken(certificate.title()))
            }
            _ => Ok(()),
        }
    }
}

/// A host's name as a file name: lower case; letters, digits, dots, hyphens and underscores stay,
/// and everything else becomes an underscore.
///
/// # Errors
/// When nothing usable is left, or the name would be taken for one of mailca's own folders.
pub fn file_name(title: &str) -> Result<String, HostError> {
    let name: String = title
        .to_lowercase()
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '.' | '-' | '_' => c,
            _ => '_',
        })
        .collect();
    let is_own = name.to_ascii_lowercase().ends_with(".next");
    // 255 bytes are the limit of a file name, and a serial number follows it.
    if name.is_empty() || name.starts_with(['.', '-']) || is_own || name.len() > 200 {
        return Err(HostError::NoFileName(title.into()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_becomes_an_underscore() {
        assert_eq!(file_name("*.Example.com").unwrap(), "_.example.com");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", ".hidden", "-rf", "mail.next"] {
            assert!(file_name(name).is_err(), "{name}");
        }
        assert_eq!(file_name("a/../../b").unwrap(), "a_.._.._b");
    }
}
