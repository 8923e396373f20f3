//! `serial`, `crlnumber` and the entries of the CRL, and what an interrupted `openssl ca` left.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use thiserror::Error;
use time::OffsetDateTime;

use super::Orphan;
use crate::pki::certificate_list::{CertificateList, CertificateListError};
use crate::pki::revocation::Revocation;
use crate::pki::serial::SerialNumber;
use crate::store::{Store, with_suffix};
use crate::sys::files::{self, FileError};

/// How far ahead of `serial` a number that is taken is looked for: further off are those of CAs
/// whose numbers are random.
const AHEAD: [u8; 5] = [1, 0, 0, 0, 0];

/// Why `openssl ca` cannot take its next number from a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NumberFault {
    /// There is no file.
    #[error("is missing, and openssl ca needs it")]
    Missing,
    /// OpenSSL reads no number in it: an even number of hexadecimal digits.
    #[error("holds {0:?}, in which openssl ca reads no number")]
    Unreadable(String),
    /// That number is taken, or one that comes soon after it.
    #[error("holds {next}, but {taken} is taken already")]
    Behind {
        /// the number in the file
        next: SerialNumber,
        /// the highest number that is in its way
        taken: SerialNumber,
    },
}

/// A range of numbers.
pub(super) struct Window {
    from: SerialNumber,
    to: SerialNumber,
    /// the highest number seen in it
    pub taken: Option<SerialNumber>,
}

impl Window {
    /// Takes a number into account.
    pub fn see(&mut self, digits: &[u8]) {
        // Most are of another length.
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let octets = (digits.len() - zeros).div_ceil(2);
        let lengths = self.from.as_be_bytes().len()..=self.to.as_be_bytes().len();
        if lengths.contains(&octets)
            && let Some(serial) = SerialNumber::from_digits(digits)
        {
            self.see_number(&serial);
        }
    }

    fn see_number(&mut self, serial: &SerialNumber) {
        let is_in = (&self.from..=&self.to).contains(&serial);
        if is_in && self.taken.as_ref() < Some(serial) {
            self.taken = Some(serial.clone());
        }
    }
}

/// The certificates that the CRL lists, until their rows are found.
#[derive(Default)]
pub(super) struct Listed {
    pub updated: Option<OffsetDateTime>,
    entries: HashMap<SerialNumber, Listing>,
}

/// How the CRL lists a certificate.
pub(super) enum Listing {
    Revoked(Revocation),
    /// in a way that OpenSSL's register does not know
    Otherwise,
}

impl Listing {
    pub fn revocation(self) -> Option<Revocation> {
        match self {
            Self::Revoked(revocation) => Some(revocation),
            Self::Otherwise => None,
        }
    }
}

impl Listed {
    pub fn of(crl: Option<&CertificateList>) -> Result<Self, CertificateListError> {
        let Some(crl) = crl else {
            return Ok(Self::default());
        };
        let mut entries = HashMap::new();
        for entry in crl.entries() {
            let entry = entry?;
            let listing = Revocation::of_entry(&entry).map_or(Listing::Otherwise, Listing::Revoked);
            entries.insert(entry.serial_number(), listing);
        }
        Ok(Self {
            updated: Some(crl.this_update),
            entries,
        })
    }

    /// Takes an entry out, `None` where there is none.
    pub fn take(&mut self, serial: &SerialNumber) -> Option<Listing> {
        self.entries.remove(serial)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those that nobody took.
    pub fn rest(self) -> Vec<SerialNumber> {
        let mut rest: Vec<_> = self.entries.into_keys().collect();
        rest.sort();
        rest
    }
}

impl Store {
    /// The numbers that `serial` comes to soon, `None` where it holds no number.
    pub(super) fn next_serials(&self) -> Result<Option<Window>, FileError> {
        let Ok(from) = number_in(&self.settings.serial)? else {
            return Ok(None);
        };
        let ahead = SerialNumber::from_certificate(&AHEAD);
        let to = from.plus(&ahead).unwrap_or_else(|_| from.clone());
        Ok(Some(Window {
            from,
            to,
            taken: None,
        }))
    }

    pub(super) fn serial_fault(
        &self,
        rows: usize,
        orphans: &[Orphan],
        unrecorded: &[SerialNumber],
        window: Option<Window>,
    ) -> Result<Option<NumberFault>, FileError> {
        let next = match number_in(&self.settings.serial)? {
            // A CA that never issued anything by openssl ca, or does not count.
            Err(NumberFault::Missing)
                if (rows == 0 && orphans.is_empty()) || self.settings.has_random_serials() =>
            {
                return Ok(None);
            }
            Err(fault) => return Ok(Some(fault)),
            Ok(next) => next,
        };
        let Some(mut window) = window else {
            return Ok(None);
        };
        let numbers = orphans.iter().map(|orphan| &orphan.certificate.serial);
        // What the CRL lists would be revoked when it is issued.
        let taken = numbers.chain(unrecorded);
        taken.for_each(|serial| window.see_number(serial));
        Ok(window
            .taken
            .map(|taken| NumberFault::Behind { next, taken }))
    }

    pub(super) fn crl_number_fault(
        &self,
        crl: Option<&CertificateList>,
    ) -> Result<Option<NumberFault>, FileError> {
        let current = crl.and_then(|crl| crl.number.clone());
        let path = &self.settings.crl_number;
        let mut beside = [".new", ".old"]
            .map(|suffix| with_suffix(path, suffix))
            .into_iter();
        let is_put_away = beside.any(|path| files::exists(&path));
        match number_in(path)? {
            // Without the setting, openssl ca makes CRLs without a number.
            Err(NumberFault::Missing)
                if !is_put_away && (current.is_none() || !self.settings.has_crl_number()) =>
            {
                Ok(None)
            }
            Err(fault) => Ok(Some(fault)),
            Ok(next) => Ok(current
                .filter(|taken| *taken >= next)
                .map(|taken| NumberFault::Behind { next, taken })),
        }
    }

    /// What `openssl ca` writes beside a file before it takes its place.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let settings = &self.settings;
        let attributes = with_suffix(&settings.database, ".attr");
        let files = [
            &settings.database,
            &attributes,
            &settings.serial,
            &settings.crl_number,
        ];
        let news = files.map(|path| with_suffix(path, ".new"));
        news.into_iter()
            .filter(|path| files::exists(path))
            .collect()
    }
}

// The number in a file as OpenSSL reads it: `a2i_ASN1_INTEGER` wants an even number of digits.
fn number_in(path: &Path) -> Result<Result<SerialNumber, NumberFault>, FileError> {
    let Some(bytes) = files::read_if_there(path)? else {
        return Ok(Err(NumberFault::Missing));
    };
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default();
    let number = SerialNumber::from_digits(line.as_bytes());
    Ok(number
        .filter(|_| line.len().is_multiple_of(2))
        .ok_or_else(|| NumberFault::Unreadable(line.chars().take(60).collect())))
}
