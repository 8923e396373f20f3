//! The lines of the register: what `openssl ca` would refuse (its ca.c and txt_db.c), and what
//! contradicts the certificates and the CRL.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use memchr::memchr_iter;
use thiserror::Error;
use time::OffsetDateTime;

use super::kept::NewCerts;
use super::numbers::{Listed, Listing, Window};
use crate::pki::asn1_time;
use crate::pki::revocation::{Reason, Revocation};
use crate::pki::serial::SerialNumber;
use crate::store::Store;
use crate::store::index::{self, Highest};
use crate::store::register::lines_with;
use crate::sys::files::FileError;

/// The most that are named of what may be many.
const NAMED: usize = 1000;

/// A line of the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// its offset in bytes
    pub at: u64,
    /// its number, from 1
    pub number: usize,
    /// its bytes, without the line end
    pub bytes: Vec<u8>,
}

impl Line {
    /// It as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The serial number in it.
    #[must_use]
    pub fn serial(&self) -> Option<SerialNumber> {
        SerialNumber::from_digits(index::serial_in(&self.bytes)?)
    }

    /// The serial number as it stands there.
    #[must_use]
    pub fn digits(&self) -> String {
        let digits = index::serial_in(&self.bytes).unwrap_or_default();
        String::from_utf8_lossy(digits).into_owned()
    }
}

/// Why `openssl ca` refuses a row, and the whole register with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RowProblem {
    /// Its status is none that OpenSSL writes.
    #[error("its status is not V, R or E")]
    Status,
    /// A date that is none.
    #[error("its date is none")]
    Date,
    /// Only R rows have a second date.
    #[error("it is not revoked, but has the date of a revocation")]
    NotRevoked,
    /// Date and reason of an R row.
    #[error("date or reason of its revocation cannot be read")]
    Revocation,
    /// An odd number of digits, or other characters.
    #[error("its serial number is not an even number of hexadecimal digits")]
    Serial,
}

/// What is wrong with the lines of the register.
#[derive(Debug, Default)]
pub struct RowFaults {
    /// how many rows there are
    pub count: usize,
    /// whether the last line has no end, for which OpenSSL drops it
    pub is_unended: bool,
    /// lines that are no rows of six fields
    pub strangers: Vec<Line>,
    /// rows that `openssl ca` refuses
    pub refused: Vec<(Line, RowProblem)>,
    /// rows with the serial number of one before them, and that
    pub twice: Vec<(Line, Line)>,
    /// under `unique_subject = yes`, V rows with the subject of one before them, and that
    pub subject_twice: Vec<(Line, Line)>,
    /// rows that say something else than their certificate, and where that is in newcerts
    pub differing: Vec<(Line, usize)>,
    /// V and E rows of certificates that the CRL lists as revoked
    pub lost_revocations: Vec<(Line, Revocation)>,
    /// R rows that the CRL does not list
    pub unlisted: Vec<SerialNumber>,
    /// E rows whose date has not passed
    pub early: Vec<Line>,
    /// V rows that are not past their date, without a certificate in newcerts: the first ones
    pub not_kept: Vec<SerialNumber>,
    /// how many they are
    pub not_kept_count: usize,
    /// V rows of certificates without a subjectAltName
    pub nameless: Vec<SerialNumber>,
    /// V rows of certificates with a key that protects nothing any more, and why
    pub weak: Vec<(SerialNumber, String)>,
    /// the highest serial number
    pub highest: Option<SerialNumber>,
}

/// What a line says, as far as it has to be looked at.
pub(in crate::store) struct Fields<'a> {
    pub status: u8,
    pub expires: &'a [u8],
    pub revoked: &'a [u8],
    pub serial: &'a [u8],
    pub subject: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn of(line: &'a [u8]) -> Option<Self> {
        let mut tabs = memchr_iter(b'\t', line);
        let mut start = 0;
        let mut next = || {
            let end = tabs.next()?;
            let field = &line[start..end];
            start = end + 1;
            Some(field)
        };
        let (status, expires, revoked, serial) = (next()?, next()?, next()?, next()?);
        next()?;
        let status = *status.first().filter(|_| status.len() == 1).unwrap_or(&0);
        Some(Self {
            status,
            expires,
            revoked,
            serial,
            subject: &line[start..],
        })
    }

    pub fn problem(&self) -> Option<RowProblem> {
        let serial = self.serial.strip_prefix(b"-").unwrap_or(self.serial);
        let is_hex = serial.iter().all(u8::is_ascii_hexdigit);
        match self.status {
            b'V' | b'E' if !self.revoked.is_empty() => Some(RowProblem::NotRevoked),
            b'R' if self.revocation().is_none() => Some(RowProblem::Revocation),
            b'V' | b'E' | b'R' if self.not_after().is_none() => Some(RowProblem::Date),
            b'V' | b'E' | b'R' if serial.is_empty() || serial.len() % 2 == 1 || !is_hex => {
                Some(RowProblem::Serial)
            }
            b'V' | b'E' | b'R' => None,
            _ => Some(RowProblem::Status),
        }
    }

    pub fn revocation(&self) -> Option<Revocation> {
        Revocation::parse(str::from_utf8(self.revoked).ok()?)
    }

    pub fn not_after(&self) -> Option<OffsetDateTime> {
        asn1_time::parse(str::from_utf8(self.expires).ok()?)
    }
}

// What has the same text as something before it: a hash and an offset each, sorted at the end.
#[derive(Default)]
struct Seen(Vec<(u64, u64)>);

impl Seen {
    fn see(&mut self, text: &[u8], at: u64) {
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        self.0.push((hasher.finish(), at));
    }

    /// The offsets of what may be there twice, in their order.
    fn repeated(mut self) -> Vec<u64> {
        self.0.sort_unstable();
        let mut offsets: Vec<u64> = self
            .0
            .chunk_by(|one, next| one.0 == next.0)
            .filter(|same| same.len() > 1)
            .flatten()
            .map(|(_, at)| *at)
            .collect();
        offsets.sort_unstable();
        offsets
    }
}

impl Store {
    pub(super) fn row_faults(
        &self,
        database: &Path,
        certificates: &mut NewCerts,
        listed: &mut Listed,
        next: &mut Option<Window>,
        now: OffsetDateTime,
    ) -> Result<RowFaults, FileError> {
        let mut found = RowFaults::default();
        let (mut serials, mut subjects) = (Seen::default(), Seen::default());
        let mut highest = Highest::default();
        let (mut number, mut end) = (0, 0);
        let mut is_last_torn = false;
        lines_with(database, &self.pending, |at, line| {
            number += 1;
            let at = at.unwrap_or(end);
            end = at + line.len() as u64 + 1;
            if line.starts_with(b"#") {
                return true;
            }
            let make = || Line {
                at,
                number,
                bytes: line.to_vec(),
            };
            let Some(fields) = Fields::of(line).filter(|_| index::is_regular(line)) else {
                found.strangers.push(make());
                is_last_torn = true;
                return true;
            };
            is_last_torn = false;
            found.count += 1;
            highest.see(line);
            let digits = without_zeros(fields.serial);
            if let Some(window) = &mut *next {
                window.see(fields.serial);
            }
            serials.see(&folded(digits), at);
            if fields.status == b'V' && self.unique_subject {
                subjects.see(fields.subject, at);
            }
            if let Some(problem) = fields.problem() {
                found.refused.push((make(), problem));
            }
            found.compare(&fields, &make, certificates, listed, now);
            true
        })?;
        found.is_unended = !is_last_torn && !index::end(database)?.1;
        found.highest = highest.number();
        found.twice = self.pairs(database, &serials.repeated(), |line| {
            Some(folded(without_zeros(index::serial_in(line)?)).into_owned())
        })?;
        found.subject_twice = self.pairs(database, &subjects.repeated(), |line| {
            index::valid_subject_in(line).map(<[u8]>::to_vec)
        })?;
        // Of the same number, that is what is wrong with them.
        let is_other = |(line, before): &(Line, Line)| line.serial() != before.serial();
        found.subject_twice.retain(is_other);
        Ok(found)
    }

    // The lines at these offsets that have the same key as one before them, with that.
    fn pairs(
        &self,
        database: &Path,
        offsets: &[u64],
        key: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Vec<(Line, Line)>, FileError> {
        let mut first: HashMap<Vec<u8>, Line> = HashMap::new();
        let mut found = Vec::new();
        let Some(last) = offsets.last() else {
            return Ok(found);
        };
        let mut number = 0;
        lines_with(database, &self.pending, |at, bytes| {
            number += 1;
            let Some(at) = at else { return true };
            if offsets.binary_search(&at).is_ok()
                && let Some(key) = key(bytes)
            {
                let line = Line {
                    at,
                    number,
                    bytes: bytes.to_vec(),
                };
                match first.get(&key) {
                    Some(before) => found.push((line, before.clone())),
                    None => {
                        first.insert(key, line);
                    }
                }
            }
            at < *last
        })?;
        Ok(found)
    }
}

impl RowFaults {
    // A row beside its certificate and the CRL.
    fn compare(
        &mut self,
        fields: &Fields<'_>,
        line: &impl Fn() -> Line,
        certificates: &mut NewCerts,
        listed: &mut Listed,
        now: OffsetDateTime,
    ) {
        let is_past = fields.not_after().is_some_and(|end| end < now);
        let is_in_use = fields.status == b'V' && !is_past;
        match certificates.find(fields.serial) {
            Some(at) => {
                certificates.has_row[at] = true;
                let kept = &certificates.kept[at];
                let said = (fields.expires, fields.subject);
                let is_same = said == (kept.expires.as_bytes(), kept.subject.as_bytes());
                if !is_same && fields.problem().is_none() {
                    self.differing.push((line(), at));
                }
                if is_in_use && !kept.is_ca {
                    if kept.is_nameless {
                        self.nameless.push(kept.serial.clone());
                    }
                    if let Some(weakness) = &kept.weakness {
                        self.weak.push((kept.serial.clone(), weakness.clone()));
                    }
                }
            }
            None if certificates.note_row(fields.serial) => {}
            None if is_in_use => {
                self.not_kept_count += 1;
                if self.not_kept.len() < NAMED {
                    self.not_kept
                        .extend(SerialNumber::from_digits(fields.serial));
                }
            }
            None => {}
        }
        if fields.status == b'E' && !is_past && fields.not_after().is_some() {
            self.early.push(line());
        }
        if listed.updated.is_none() || (listed.is_empty() && fields.status != b'R') {
            return;
        }
        let Some(serial) = SerialNumber::from_digits(fields.serial) else {
            return;
        };
        match listed.take(&serial) {
            // One on hold may have been released.
            Some(Listing::Revoked(revocation))
                if fields.status != b'R' && revocation.reason != Reason::CertificateHold =>
            {
                self.lost_revocations.push((line(), revocation));
            }
            None if fields.status == b'R' => self.unlisted.push(serial),
            _ => {}
        }
    }
}

// In upper case, as OpenSSL writes them.
fn folded(digits: &[u8]) -> Cow<'_, [u8]> {
    if digits.iter().any(u8::is_ascii_lowercase) {
        digits.to_ascii_uppercase().into()
    } else {
        digits.into()
    }
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}
