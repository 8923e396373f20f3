//! A new certificate of the CA in the place of the one before, with the same key or another one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::hosts::{CERT, CHAIN};
use super::staged::Staged;
use super::steps::Step;
use super::transaction::{Transaction, TransactionError};
use super::{Store, StoreError};
use zeroize::Zeroizing;

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

    /// `private/cakey-SERIAL.pem`, where the key of a CA certificate is kept after its time.
    #[must_use]
    pub fn kept_key_path(&self, serial: &SerialNumber) -> PathBuf {
        files::parent(&self.settings.private_key).join(format!("cakey-{serial}.pem"))
    }

    /// `crl/crl-SERIAL.pem`, where the last CRL by the key of a CA certificate is kept.
    #[must_use]
    pub fn kept_crl_path(&self, serial: &SerialNumber) -> PathBuf {
        self.settings.crl_dir.join(format!("crl-{serial}.pem"))
    }

    /// The CA certificates of other keys that were the CA's before and are kept in certs/, each
    /// with its file.
    #[must_use]
    pub fn former(&self) -> Vec<(PathBuf, Certificate)> {
        let is_kept = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("cacert-") && name.ends_with(".pem")
        };
        let own = &self.certificate;
        let kept = files::list(&self.settings.certs, is_kept).unwrap_or_default();
        let read = kept.into_iter().filter_map(|path| {
            let bytes = files::read(&path).ok()?;
            let certificate = Certificate::from_pem_or_der(&bytes).ok()?;
            Some((path, certificate))
        });
        let is_former = |it: &Certificate| {
            it.subject_public_key_info != own.subject_public_key_info && it.subject == own.subject
        };
        read.filter(|(_, it)| is_former(it)).collect()
    }

    /// Which of the [`former`](Store::former) ones issued a certificate, `None` where its issuer is
    /// the present one or another CA.
    #[must_use]
    pub fn issuer_among<'a>(
        &self,
        former: &'a [(PathBuf, Certificate)],
        certificate: &Certificate,
    ) -> Option<&'a (PathBuf, Certificate)> {
        let own = &self.certificate;
        if former.is_empty() || certificate.issuer != own.subject {
            return None;
        }
        match certificate.names_key_of(own) {
            Some(true) => return None,
            None if certificate.is_signed_by(own) => return None,
            _ => {}
        }
        let mut all = former.iter();
        if certificate.authority_key_identifier.is_some() {
            return all.find(|(_, it)| certificate.names_key_of(it) == Some(true));
        }
        // Old keys may be of a kind that mailca cannot verify with.
        let by_signature = all.find(|(_, it)| certificate.is_signed_by(it));
        by_signature.or(former.first())
    }

    // The links under the hash of the CA's name that lead to its certificate and to the one kept
    // of it, in the order in which servers look them up: they trust both.
    fn links_of_both(&self) -> Result<[Step; 2], NameError> {
        let settings = &self.settings;
        let own = &settings.certificate;
        let kept = self.kept_path(&self.certificate.serial);
        let hash = self.certificate.subject.hash()?;
        let link = |number: u32| settings.root.join(format!("{hash}.{number}"));
        let leads_to = |path: &Path, target: &Path| {
            path.is_symlink() && path.canonicalize().ok() == target.canonicalize().ok()
        };
        let mut numbers = 0..;
        let mut free = || numbers.by_ref().map(link).find(|path| !files::exists(path));
        let there = (0..).map(link).take_while(|path| files::exists(path));
        let first = there
            .into_iter()
            .find(|path| leads_to(path, own))
            .or_else(&mut free);
        let step = |path: Option<PathBuf>, target: &Path| {
            let path = path.unwrap_or_else(|| link(0));
            let target = pathdiff::diff_paths(target, &settings.root);
            Step::Link {
                path: settings.from_root(&path),
                target: target.unwrap_or_else(|| own.clone()),
            }
        };
        Ok([step(first, own), step(free(), &kept)])
    }

    // Where daemons find the kept CRL: a number behind that of the current one.
    fn link_of_kept_crl(&self) -> Result<Step, NameError> {
        let settings = &self.settings;
        let kept = self.kept_crl_path(&self.certificate.serial);
        let (current, _) = self.hash_link()?;
        let hash = self.certificate.subject.hash()?;
        let mut links = (0..).map(|number| settings.crl_dir.join(format!("{hash}.r{number}")));
        let free = links.find(|link| *link != current && !files::exists(link));
        Ok(Step::Link {
            path: settings.from_root(&free.unwrap_or(current)),
            target: kept.file_name().unwrap_or_default().into(),
        })
    }

    /// Whether a certificate is revoked or there is a CRL, so that there must be one by any key.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn needs_crl(&self) -> Result<bool, FileError> {
        let mut needs_one = files::exists(&self.settings.crl);
        self.lines_while(|line| {
            needs_one |= super::index::is_revoked(line);
            !needs_one
        })?;
        Ok(needs_one)
    }

    /// The CA's key as it is to be kept in [`kept_key_path`](Store::kept_key_path), whatever form it
    /// has; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, others can read it too, or something else is kept there.
    pub fn key_to_keep(&self) -> Result<Option<Zeroizing<Vec<u8>>>, TransactionError> {
        let own = &self.settings.private_key;
        if !files::exists(own) {
            return Ok(None);
        }
        let bytes = files::read_secret(own)?;
        let kept = self.kept_key_path(&self.certificate.serial);
        match files::read_if_there(&kept)? {
            Some(there) if there != bytes => Err(TransactionError::OtherKeyKept(kept)),
            _ => Ok(Some(bytes)),
        }
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
        let former = self.store.former();
        for folder in self.store.hosts.folders()? {
            match certificate_in(&folder) {
                // Its chain ends with a certificate of an old key.
                Ok(it) if self.store.issuer_among(&former, &it).is_some() => {}
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

    /// Stages a new certificate of the CA with another key, which is PEM: the old key, certificate
    /// and CRL are kept, and servers that look in the directory trust both certificates. The files
    /// of the hosts belong to the old key and stay as they are.
    ///
    /// # Errors
    /// When a file cannot be read or written, or others can read the old key.
    pub fn replace_ca_key(
        &mut self,
        new: &Certificate,
        private_key: &str,
    ) -> Result<(), TransactionError> {
        let store = self.store;
        let (old, settings) = (&store.certificate, &store.settings);
        let place = &settings.private_key;
        files::create_dirs(&settings.certs)?;
        let kept = store.kept_key_path(&old.serial);
        if let Some(key) = store.key_to_keep()?
            && !files::exists(&kept)
        {
            self.stage_secret(&kept, &key)?;
        }
        self.stage_secret(place, private_key.as_bytes())?;
        self.staged.push(Step::WriteFile {
            path: self.relative(&store.kept_path(&old.serial)),
            text: old.to_pem(),
        });
        self.staged.extend(store.links_of_both()?);
        self.staged.push(Step::WriteFile {
            path: self.relative(&settings.certificate),
            text: new.to_pem(),
        });
        let crl = store.crl()?;
        if let Some(crl) = crl.filter(|crl| crl.issuer == old.subject) {
            let kept = store.kept_crl_path(&old.serial);
            self.stage_crl(&kept, crl.as_der())?;
            self.staged.push(store.link_of_kept_crl()?);
        }
        Ok(())
    }

    fn stage_secret(&mut self, path: &Path, bytes: &[u8]) -> Result<(), TransactionError> {
        let fail = |error| FileError::new("write", path, error);
        let mut staged = Staged::create_secret(path)?;
        staged.write_all(bytes).map_err(fail)?;
        let sha256 = staged.finish()?;
        self.push_placing(path, sha256);
        Ok(())
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
