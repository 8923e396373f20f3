//! Links under OpenSSL's hashes of names, by which mail servers find CA certificates and CRLs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateList;
use crate::pki::name::Name;
use crate::store::Store;
use crate::sys::files::{self, FileError};

/// Why a link is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkFault {
    /// What it leads to is not there.
    #[error("leads to {}, which is not there", .0.display())]
    Dangling(PathBuf),
    /// What it leads to has another hash, so that nobody finds it here.
    #[error("leads to {what}, whose hash is {hash}")]
    OtherHash {
        /// the name of what it leads to
        what: String,
        /// the hash of that
        hash: String,
    },
}

/// A link that does not lead where it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleLink {
    /// the link
    pub path: PathBuf,
    /// what is wrong
    pub fault: LinkFault,
}

impl Store {
    pub(super) fn stale_links(&self) -> Result<Vec<StaleLink>, FileError> {
        let settings = &self.settings;
        let mut folders = vec![&settings.root, &settings.certs, &settings.crl_dir];
        folders.dedup();
        let mut found = Vec::new();
        for folder in folders {
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(|error| FileError::new("read", folder, error))?,
            };
            for entry in entries {
                let path = entry
                    .map_err(|error| FileError::new("read", folder, error))?
                    .path();
                if let Some(is_crl) = hashed(&path)
                    && path.is_symlink()
                    && let Some(fault) = fault(&path, is_crl)
                {
                    found.push(StaleLink { path, fault });
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found.dedup();
        Ok(found)
    }
}

/// Whether a file name is a hash with a number, `None` where it is not; of a CRL, `.r0`, or of a
/// certificate, `.0`.
fn hashed(path: &Path) -> Option<bool> {
    let (hash, number) = path.file_name()?.to_str()?.split_once('.')?;
    let is_hash = hash.len() == 8 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    let digits = number.strip_prefix('r');
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    (is_hash && is_number(digits.unwrap_or(number))).then_some(digits.is_some())
}

fn fault(path: &Path, is_crl: bool) -> Option<LinkFault> {
    if path
        .metadata()
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
    {
        return Some(LinkFault::Dangling(path.read_link().ok()?));
    }
    // What cannot be read is told elsewhere.
    let name: Name = if is_crl {
        let bytes = files::read_large(path).ok()?;
        CertificateList::from_pem_or_der(&bytes).ok()?.issuer
    } else {
        let bytes = files::read(path).ok()?;
        Certificate::from_pem_or_der(&bytes).ok()?.subject
    };
    let hash = name.hash().ok()?;
    let file = path.file_name()?.to_str()?;
    (!file.starts_with(&hash)).then(|| LinkFault::OtherHash {
        what: name.to_string(),
        hash,
    })
}
