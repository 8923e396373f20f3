//! A new certificate of the CA in the place of the one before.

use std::fs;
use std::path::PathBuf;

use super::hosts::{CERT, CHAIN};
use super::steps::Step;
use super::transaction::{Transaction, TransactionError};
use super::{Store, StoreError};
use crate::pki::certificate::Certificate;
use crate::pki::name::NameError;
use crate::pki::serial::SerialNumber;
use crate::sys::files::{self, FileError};

impl Store {
    /// `certs/cacert-SERIAL.pem`, where a CA certificate is kept after its time; beside `certs` where
    /// that is for the certificates issued.
    #[must_use]
    pub fn kept_path(&self, serial: &SerialNumber) -> PathBuf {
        let settings = &self.settings;
        let folder = if settings.certs == settings.new_certs_dir {
            super::parent(&settings.certs)
        } else {
            &settings.certs
        };
        folder.join(format!("cacert-{serial}.pem"))
    }

    /// Whether a certificate has this serial number: the CA's own, now or before, or one that it
    /// issued.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn is_taken(&self, serial: &SerialNumber) -> Result<bool, FileError> {
        Ok(*serial == self.certificate.serial
            || files::exists(&self.kept_path(serial))
            || files::exists(&self.certificate_path(serial))
            || !self.statuses([serial])?.is_empty())
    }

    /// The files beside the CA certificate that hold a copy of it under its hash, where the book
    /// has a link.
    ///
    /// # Errors
    /// When the CA's name has no hash.
    pub fn hashed_copies(&self) -> Result<Vec<PathBuf>, NameError> {
        let hash = self.certificate.subject.hash()?;
        let own = self.settings.certificate.canonicalize().ok();
        let names = (0..).map(|number| self.settings.root.join(format!("{hash}.{number}")));
        let there = names.take_while(|path| files::exists(path));
        let is_copy = |path: &PathBuf| {
            let held = files::read(path).ok();
            let held = held.and_then(|bytes| Certificate::from_pem_or_der(&bytes).ok());
            path.canonicalize().ok() != own
                && held.is_some_and(|held| held.as_der() == self.certificate.as_der())
        };
        Ok(there.filter(is_copy).collect())
    }
}

impl Transaction<'_> {
    /// Stages a new certificate of the CA: the old one is kept in certs/, and the chain of each
    /// host ends with the new one. Returns the folders in hosts/ whose chain stays as it is, since
    /// their certificate cannot be read.
    ///
    /// # Errors
    /// When certs/ cannot be made, or hosts/ not be read.
    pub fn replace_ca(&mut self, new: &Certificate) -> Result<Vec<PathBuf>, TransactionError> {
        let old = &self.store.certificate;
        let settings = &self.store.settings;
        let kept = self.store.kept_path(&old.serial);
        files::create_dirs(super::parent(&kept))?;
        let mut steps = vec![
            Step::WriteFile {
                path: self.relative(&kept),
                text: old.to_pem(),
            },
            Step::WriteFile {
                path: self.relative(&settings.certificate),
                text: new.to_pem(),
            },
        ];
        let mut unread = Vec::new();
        for folder in self.store.hosts.folders()? {
            match certificate_in(&folder) {
                Ok(certificate) => steps.push(Step::RewriteFile {
                    path: self.relative(&folder.join(CHAIN)),
                    text: certificate.to_pem() + &new.to_pem(),
                }),
                Err(_) => unread.push(folder),
            }
        }
        self.staged.extend(steps);
        Ok(unread)
    }
}

fn certificate_in(folder: &std::path::Path) -> Result<Certificate, StoreError> {
    let path = folder.join(CERT);
    let bytes = files::read(&path)?;
    Certificate::from_pem_or_der(&bytes).map_err(|source| StoreError::Certificate { path, source })
}

impl super::hosts::Hosts {
    /// The folders that have a chain, whether a host's link leads there or did once.
    fn folders(&self) -> Result<Vec<PathBuf>, FileError> {
        let fail = |error| FileError::new("read", self.root(), error);
        let entries = match fs::read_dir(self.root()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(fail)?,
        };
        let mut folders = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            if !path.is_symlink() && path.join(CHAIN).is_file() {
                folders.push(path);
            }
        }
        folders.sort();
        Ok(folders)
    }
}
