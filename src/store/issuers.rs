//! The certificates above the CA's own, where it is not its own issuer: what they forbid, nothing
//! below them may have.

use std::path::{Path, PathBuf};

use super::Store;
use crate::pki::certificate::Certificate;
use crate::sys::files::{self, FileError};

/// A CA certificate, and the file it was found in.
#[derive(Debug)]
pub struct Issuer {
    /// the file
    pub path: PathBuf,
    /// the certificate
    pub certificate: Certificate,
}

impl Store {
    /// The file with the CA's certificate and all those above it, which is the CA's own where it is
    /// its own issuer: OpenSSL trusts nothing below an intermediate certificate alone.
    ///
    /// # Errors
    /// When `certs` cannot be read.
    pub fn trust_file(&self) -> Result<Option<PathBuf>, FileError> {
        let settings = &self.settings;
        let own = &settings.certificate;
        if self.certificate.is_self_issued() {
            return Ok(Some(own.clone()));
        }
        let is_whole = |path: &PathBuf| {
            let there = read(path);
            self.chain().all(|(_, needed)| {
                let is_it = |it: &Issuer| it.certificate.as_der() == needed.as_der();
                there.iter().any(is_it)
            })
        };
        let above = self.issuers.last();
        if !above.is_some_and(|last| last.certificate.is_self_issued()) {
            return Ok(None);
        }
        let mut files = vec![own.clone()];
        if settings.certs.is_dir() {
            files.extend(files::list(&settings.certs, |_| true)?);
        }
        Ok(files.into_iter().find(is_whole))
    }
}

/// The issuers of `certificate`, the nearest first, as far as they are known: behind it in its own
/// file, or in `folder`, where the certificates of hosts may lie as well. Of several versions of
/// one certificate the one that lasts longest counts.
pub(super) fn find(
    certificate: &Certificate,
    file: &Path,
    pem: &[u8],
    folder: &Path,
) -> Result<Vec<Issuer>, FileError> {
    let mut chain: Vec<Issuer> = Vec::new();
    if certificate.is_self_issued() {
        return Ok(chain);
    }
    let mut known: Vec<Issuer> = Certificate::others_of_pem(pem)
        .into_iter()
        .map(|certificate| Issuer {
            path: file.to_owned(),
            certificate,
        })
        .collect();
    if folder.is_dir() {
        known.extend(
            files::list(folder, |_| true)?
                .iter()
                .flat_map(|path| read(path)),
        );
    }
    known.retain(|one| one.certificate.acts_as_ca());
    loop {
        let last = chain.last().map_or(certificate, |last| &last.certificate);
        if last.is_self_issued() {
            return Ok(chain);
        }
        let next = (0..known.len())
            .filter(|&at| last.is_issued_by(&known[at].certificate))
            .max_by_key(|&at| known[at].certificate.not_after);
        match next {
            Some(at) => chain.push(known.swap_remove(at)),
            None => return Ok(chain),
        }
    }
}

// A file may hold a whole chain. What is no certificate, or not readable, is none of its issuers.
fn read(path: &Path) -> Vec<Issuer> {
    let bytes = files::read(path).ok();
    let read = bytes.and_then(|bytes| Certificate::all_from_pem_or_der(&bytes).ok());
    let issuer = |certificate| Issuer {
        path: path.to_owned(),
        certificate,
    };
    read.into_iter().flatten().map(issuer).collect()
}
