//! The keys that must never be certified again.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::index::{self, Row};
use super::register::RegisterError;
use super::steps::Step;
use super::{Store, with_suffix};
use crate::pki::certificate::Certificate;
use crate::pki::hex;
use crate::pki::revocation::Revocation;
use crate::sys::files::{self, FileError};

/// The public keys of certificates that were revoked because somebody else may have the private
/// key, by the SHA-256 digest of the SubjectPublicKeyInfo, each with the certificate's serial
/// number.
///
/// The register tells of them, but reading it takes long. What was found is kept beside it, and
/// holds while nobody but mailca writes to the register.
#[derive(Debug)]
pub struct CompromisedKeys {
    serials: BTreeMap<String, String>,
    /// whether the file beside the register has them all
    is_kept: bool,
}

impl CompromisedKeys {
    pub(super) fn read(store: &Store, register_is_ours: bool) -> Result<Self, RegisterError> {
        let kept = files::read_large_if_there(&Self::path(store))?;
        let mut found = Self {
            serials: BTreeMap::new(),
            is_kept: kept.is_some(),
        };
        if let Some(text) = kept {
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            found.serials = lines
                .map(|(key, serial)| (key.into(), serial.into()))
                .collect();
        }
        if register_is_ours && found.is_kept {
            return Ok(found);
        }
        let known: HashSet<String> = found.serials.values().cloned().collect();
        let mut unknown = Vec::new();
        store.each_line(|line| {
            if !index::is_revoked(line) {
                return;
            }
            let text = String::from_utf8_lossy(line);
            if let Some(row) = Row::parse(&text)
                && Revocation::parse(row.revoked).is_some_and(|it| it.is_of_compromised_key())
                && !known.contains(row.serial)
            {
                unknown.push(row.serial.to_owned());
            }
        })?;
        for serial in unknown {
            found.add(store, &serial)?;
        }
        Ok(found)
    }

    fn path(store: &Store) -> PathBuf {
        with_suffix(&store.settings.database, ".compromised")
    }

    // A certificate that is no longer there cannot tell its key.
    pub(super) fn add(&mut self, store: &Store, serial: &str) -> Result<(), FileError> {
        let path = store.settings.kept_certificate(serial);
        let Some(bytes) = files::read_if_there(&path)? else {
            return Ok(());
        };
        if let Ok(certificate) = Certificate::from_pem_or_der(&bytes) {
            self.add_key(&certificate.subject_public_key_info, serial);
        }
        Ok(())
    }

    pub(super) fn add_key(&mut self, subject_public_key_info: &[u8], serial: &str) {
        let key = digest(subject_public_key_info);
        self.serials.entry(key).or_insert_with(|| {
            self.is_kept = false;
            serial.to_owned()
        });
    }

    fn serial_of(&self, subject_public_key_info: &[u8]) -> Option<&str> {
        let found = self.serials.get(&digest(subject_public_key_info));
        found.map(String::as_str)
    }

    pub(super) fn step(&self, store: &Store) -> Option<Step> {
        if self.is_kept {
            return None;
        }
        let mut text = String::new();
        for (key, serial) in &self.serials {
            text = text + key + " " + serial + "\n";
        }
        Some(Step::WriteFile {
            path: store.settings.from_root(&Self::path(store)),
            text,
        })
    }
}

impl Store {
    /// The serial number of a certificate of this key that was revoked because the key was
    /// compromised, if there is one.
    ///
    /// # Errors
    /// When the register or newcerts cannot be read.
    pub fn compromised(
        &self,
        subject_public_key_info: &[u8],
    ) -> Result<Option<String>, RegisterError> {
        let keys = if let Some(keys) = self.compromised_keys.get() {
            keys
        } else {
            let read = CompromisedKeys::read(self, self.register_is_ours)?;
            self.compromised_keys.get_or_init(|| read)
        };
        let serial = keys.serial_of(subject_public_key_info);
        Ok(serial.map(str::to_owned))
    }
}

fn digest(subject_public_key_info: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, subject_public_key_info);
    hex::lower(digest.as_ref())
}
