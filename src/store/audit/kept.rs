//! The certificates in newcerts, read on all cores.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::mem;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use time::OffsetDateTime;

use crate::pki::asn1_time;
use crate::pki::certificate::Certificate;
use crate::pki::public_key::{self, Strength};
use crate::pki::serial::SerialNumber;
use crate::store::steps::Step;
use crate::store::{Store, index};
use crate::sys::files::{self, FileError};

/// A certificate in newcerts: what its row must say, and what is to be known of it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// the file
    pub path: PathBuf,
    /// serial number
    pub serial: SerialNumber,
    /// notBefore
    pub not_before: OffsetDateTime,
    /// notAfter
    pub not_after: OffsetDateTime,
    /// notAfter as the register has it
    pub expires: String,
    /// the subject as the register has it
    pub subject: String,
    /// whether it is the CA's own, or that of another CA
    pub is_ca: bool,
    /// whether clients find no name in it: it has no subjectAltName
    pub is_nameless: bool,
    /// why its key protects nothing any more
    pub weakness: Option<String>,
}

impl Kept {
    /// Its row, without a line end, where it is valid.
    #[must_use]
    pub fn row(&self) -> String {
        let Self {
            expires,
            serial,
            subject,
            ..
        } = self;
        format!("V\t{expires}\t\t{serial}\tunknown\t{subject}")
    }
}

/// A file in newcerts that holds no whole certificate.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// the file
    pub path: PathBuf,
    /// the serial number that its name says
    pub serial: Option<SerialNumber>,
    /// what is wrong, in words
    pub problem: String,
    /// whether the register has a row for that number
    pub has_row: bool,
}

/// What is in newcerts.
#[derive(Debug, Default)]
pub struct NewCerts {
    /// the certificates
    pub kept: Vec<Kept>,
    /// of each, whether the register has a row
    pub has_row: Vec<bool>,
    /// what is no certificate
    pub damaged: Vec<Damaged>,
    /// certificates under the number of another one
    pub misnamed: Vec<Kept>,
    /// certificates of another CA
    pub foreign: Vec<(PathBuf, String)>,
    /// certificates in the CA's name that neither its key nor a former one has signed, of those
    /// that a row would be made of
    pub unsigned: Vec<Kept>,
    /// where a serial number is in `damaged`
    damaged_by_serial: HashMap<SerialNumber, usize>,
    /// where a serial number is in `kept`, by its digits
    by_serial: HashMap<Vec<u8>, usize>,
}

impl NewCerts {
    /// Where the certificate of a row is in `kept`, by the digits that stand there.
    #[must_use]
    pub fn find(&self, digits: &[u8]) -> Option<usize> {
        let found = self.by_serial.get(digits);
        if found.is_some() {
            return found.copied();
        }
        // As people write them, or old versions of OpenSSL.
        let serial = SerialNumber::from_digits(digits)?;
        self.by_serial.get(serial.to_string().as_bytes()).copied()
    }

    // Of two files with one number in their names, as 01.pem and 1.pem, openssl ca made the one
    // at `place`.
    fn keep(&mut self, kept: Kept, place: &Path) {
        match self.by_serial.entry(kept.serial.to_string().into_bytes()) {
            Entry::Vacant(entry) => {
                entry.insert(self.kept.len());
                self.kept.push(kept);
            }
            Entry::Occupied(entry) if kept.path == place => {
                let other = mem::replace(&mut self.kept[*entry.get()], kept);
                self.misnamed.push(other);
            }
            Entry::Occupied(_) => self.misnamed.push(kept),
        }
    }

    /// Notes a row of a file that holds no certificate, and returns whether it is of one.
    pub(super) fn note_row(&mut self, digits: &[u8]) -> bool {
        if self.damaged.is_empty() {
            return false;
        }
        let serial = SerialNumber::from_digits(digits);
        let found = serial.and_then(|serial| self.damaged_by_serial.get(&serial));
        found.is_some_and(|at| {
            self.damaged[*at].has_row = true;
            true
        })
    }

    /// Leaves certificates out of what rows are made of.
    pub(super) fn disown(&mut self, places: HashSet<usize>) {
        for at in places {
            let kept = self.kept[at].clone();
            self.by_serial.remove(kept.serial.to_string().as_bytes());
            self.unsigned.push(kept);
        }
        self.unsigned
            .sort_by(|one, other| one.serial.cmp(&other.serial));
    }

    pub(super) fn is_unsigned(&self, kept: &Kept) -> bool {
        !self.unsigned.is_empty() && self.find(kept.serial.to_string().as_bytes()).is_none()
    }
}

enum Read {
    Kept(Kept),
    Damaged(Damaged),
    Misnamed(Kept),
    Foreign(PathBuf, String),
}

impl Store {
    pub(super) fn new_certs(&self) -> Result<NewCerts, FileError> {
        let folder = &self.settings.new_certs_dir;
        let mut paths = match files::list(folder, is_certificate) {
            Err(error) if error.is_missing() => Vec::new(),
            found => found?,
        };
        let committed: HashMap<PathBuf, &str> = self
            .pending
            .iter()
            .filter_map(|step| match step {
                Step::StoreCertificate { path, text } => {
                    Some((self.settings.root.join(path), text.as_str()))
                }
                _ => None,
            })
            .collect();
        paths.extend(
            committed
                .keys()
                .filter(|path| !files::exists(path))
                .cloned(),
        );
        let read: Result<Vec<Read>, FileError> = paths
            .into_par_iter()
            .map(|path| match committed.get(&path) {
                Some(text) => Ok(self.judge(path, text.as_bytes())),
                None => match files::read(&path) {
                    Ok(bytes) => Ok(self.judge(path, &bytes)),
                    Err(error) if error.source.kind() == ErrorKind::PermissionDenied => Err(error),
                    Err(error) => Ok(damaged(path, error.source.to_string())),
                },
            })
            .collect();
        let mut found = NewCerts::default();
        for one in read? {
            match one {
                Read::Kept(kept) => {
                    let place = self.certificate_path(&kept.serial);
                    found.keep(kept, &place);
                }
                Read::Damaged(damaged) => {
                    if let Some(serial) = damaged.serial.clone() {
                        let at = found.damaged.len();
                        found.damaged_by_serial.insert(serial, at);
                    }
                    found.damaged.push(damaged);
                }
                Read::Misnamed(kept) => found.misnamed.push(kept),
                Read::Foreign(path, issuer) => found.foreign.push((path, issuer)),
            }
        }
        found.has_row = vec![false; found.kept.len()];
        Ok(found)
    }

    fn judge(&self, path: PathBuf, bytes: &[u8]) -> Read {
        let certificate = match Certificate::from_pem_or_der(bytes) {
            Ok(certificate) => certificate,
            Err(_) if bytes.is_empty() => return damaged(path, "it is empty".into()),
            Err(error) => return damaged(path, error.to_string()),
        };
        let own = &self.certificate.subject;
        let is_own = certificate.issuer == *own
            || certificate.issuer.canonical().ok() == own.canonical().ok();
        if !is_own {
            return Read::Foreign(path, certificate.issuer.to_string());
        }
        let named = serial_of(&path);
        let kept = Kept {
            is_nameless: certificate.names.is_empty() && certificate.other_names == 0,
            weakness: public_key::check(&certificate.subject_public_key_info, Strength::Current)
                .err()
                .map(|error| error.to_string()),
            is_ca: certificate.is_ca || certificate.is_self_issued(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            expires: asn1_time::format(certificate.not_after),
            subject: index::subject_of(&certificate),
            serial: certificate.serial,
            path,
        };
        if named.as_ref() == Some(&kept.serial) {
            Read::Kept(kept)
        } else {
            Read::Misnamed(kept)
        }
    }
}

fn damaged(path: PathBuf, problem: String) -> Read {
    Read::Damaged(Damaged {
        serial: serial_of(&path),
        path,
        problem,
        has_row: false,
    })
}

fn is_certificate(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "pem")
}

fn serial_of(path: &Path) -> Option<SerialNumber> {
    SerialNumber::from_digits(path.file_stem()?.as_encoded_bytes())
}
