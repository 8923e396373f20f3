//! The copies of certificates that `--out` and `--out-dir` ask for, outside the transaction.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use thiserror::Error as ThisError;

use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateList;
use crate::pki::pem_text;
use crate::store::Store;
use crate::sys::files::{self, FileError, Replacement};

/// Why a certificate is not copied.
#[derive(Debug, ThisError)]
pub enum OutputError {
    /// There is no place for the certificate.
    #[error("there is no directory {} for the certificate", .0.display())]
    NoDirectory(PathBuf),
    /// Two requests of one name.
    #[error("another request's certificate goes to {} too", .0.display())]
    Twice(PathBuf),
    /// What stands where the certificate shall go is something else.
    #[error("{} is the CA's own or holds something else than an issued certificate, and is not overwritten", .0.display())]
    Taken(PathBuf),
    /// The certificate is issued, and only its copy is missing.
    #[error("{certificate} was issued, but {source}")]
    Unwritten {
        /// the certificate in newcerts
        certificate: String,
        /// why the copy failed
        source: FileError,
    },
}

/// A slip in --out must not cost a key, the register, or a certificate that the CA keeps; and what
/// cannot be written is better known before anything is issued.
pub fn check(out: &Path, store: &Store) -> Result<()> {
    check_place(out, store, |there| {
        pem_text::holds_only("CERTIFICATE", there)
    })
}

/// The same for a copy of the CRL.
pub fn check_crl(out: &Path, store: &Store) -> Result<()> {
    check_place(out, store, |there| {
        there.is_empty() || CertificateList::from_pem_or_der(there).is_ok()
    })
}

fn check_place(out: &Path, store: &Store, may_go: impl Fn(&[u8]) -> bool) -> Result<()> {
    if out == Path::new("-") {
        return Ok(());
    }
    let folder = files::parent(out);
    let Ok(folder) = folder.canonicalize() else {
        bail!(OutputError::NoDirectory(folder.to_owned()));
    };
    if out.is_dir() {
        let source = io::ErrorKind::IsADirectory.into();
        bail!(FileError::new("write", out, source));
    }
    let there = out.canonicalize().ok();
    let settings = &store.settings;
    let kept = [
        &settings.certificate,
        &settings.new_certs_dir,
        store.hosts.root(),
        &settings.root.join("private"),
        &settings.crl_dir,
    ];
    let is_kept = kept
        .iter()
        .filter_map(|kept| kept.canonicalize().ok())
        .any(|kept| {
            folder.starts_with(&kept) || there.as_ref().is_some_and(|it| it.starts_with(&kept))
        });
    let is_other = match there.filter(|there| there.is_file()) {
        Some(there) => !may_go(&files::read_large(&there)?),
        None => false,
    };
    if is_kept || is_other {
        bail!(OutputError::Taken(out.to_owned()));
    }
    Ok(())
}

/// Where the certificate for a request or a host goes.
pub fn path(dir: &Path, name: Option<&OsStr>) -> PathBuf {
    let mut name = name.unwrap_or_default().to_owned();
    name.push(".pem");
    dir.join(name)
}

/// Writes a copy; whenever the power fails, it is whole or not there.
pub fn write(path: &Path, certificate: &Certificate, store: &Store) -> Result<(), OutputError> {
    files::replace_durably(path, certificate.to_pem().as_bytes(), 0o644)
        .map_err(|source| unwritten(certificate, source, store))
}

/// Writes a copy of the CRL that is in `published`.
pub fn write_crl(path: &Path, content: &[u8], published: &Path) -> Result<(), OutputError> {
    files::replace_durably(path, content, 0o644).map_err(|source| OutputError::Unwritten {
        certificate: published.display().to_string(),
        source,
    })
}

/// The same for many copies in `dir`, with one wait for the disk for all; returns what failed.
pub fn write_all(
    dir: &Path,
    copies: &[(usize, PathBuf, &Certificate)],
    store: &Store,
) -> Vec<(usize, Error)> {
    let mut failed = Vec::new();
    let mut fail = |number: usize, certificate: &Certificate, source: FileError| {
        failed.push((number, unwritten(certificate, source, store).into()));
    };
    let mut prepared = Vec::with_capacity(copies.len());
    for (number, path, certificate) in copies {
        match Replacement::prepare(path, certificate.to_pem().as_bytes(), 0o644) {
            Ok(new) => prepared.push((*number, certificate, new)),
            Err(error) => fail(*number, certificate, error),
        }
    }
    let synced = files::sync_filesystem(dir).map_err(|error| error.to_string());
    for (number, certificate, new) in prepared {
        let placed = match &synced {
            Ok(()) => new.place(),
            Err(error) => Err(FileError::new("sync", dir, io::Error::other(error.clone()))),
        };
        if let Err(error) = placed {
            fail(number, certificate, error);
        }
    }
    if let (Err(error), Some((number, _, certificate))) = (files::sync_dir(dir), copies.last()) {
        fail(*number, certificate, error);
    }
    failed
}

fn unwritten(certificate: &Certificate, source: FileError, store: &Store) -> OutputError {
    let path = store.certificate_path(&certificate.serial);
    OutputError::Unwritten {
        certificate: path.display().to_string(),
        source,
    }
}
