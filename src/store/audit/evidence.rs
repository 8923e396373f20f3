//! What is known of a certificate's status besides its row: from what an interrupted `openssl ca`
//! left, and from torn lines.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use memchr::memchr_iter;

use super::kept::Kept;
use super::rows::{Fields, Line};
use crate::pki::revocation::Revocation;
use crate::pki::serial::SerialNumber;
use crate::store::{Store, index, with_suffix};
use crate::sys::files::{self, FileError};

/// What something says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is not revoked.
    Valid,
    /// It is, then and for that reason.
    Revoked(Revocation),
    /// It was revoked, and the rest cannot be read.
    Unreadable,
}

/// A part of a torn line: where a row began that may not be whole.
struct Fragment<'a>(&'a [u8]);

impl<'a> Fragment<'a> {
    /// The parts of a line in which rows begin: `V`, a date and so on.
    fn all(line: &'a [u8]) -> Vec<Self> {
        let begins = |at: usize| {
            let rest = &line[at..];
            let digits = rest.iter().skip(2).take_while(|it| it.is_ascii_digit());
            let end = 2 + digits.count();
            let is_status = matches!(rest, [b'V' | b'R' | b'E', b'\t', ..]);
            is_status && matches!(end, 14 | 16) && rest.get(end) == Some(&b'Z')
        };
        let starts: Vec<usize> = (0..line.len()).filter(|&at| begins(at)).collect();
        let ends = starts.iter().skip(1).copied().chain([line.len()]);
        let parts = starts.iter().zip(ends);
        parts.map(|(&start, end)| Self(&line[start..end])).collect()
    }

    // A field, where a tab ends it.
    fn field(&self, number: usize) -> Option<&'a [u8]> {
        let is_ended = memchr_iter(b'\t', self.0).nth(number).is_some();
        let mut fields = self.0.split(|byte| *byte == b'\t');
        fields.nth(number).filter(|_| is_ended)
    }

    fn said(&self) -> Said {
        if self.0[0] != b'R' {
            return Said::Valid;
        }
        let revoked = self.field(2).and_then(|text| str::from_utf8(text).ok());
        let revocation = revoked.and_then(Revocation::parse);
        revocation.map_or(Said::Unreadable, Said::Revoked)
    }

    /// It as a row, where it has all six fields.
    fn row(&self) -> Option<String> {
        let line = self.0.trim_ascii_end();
        let fields = Fields::of(line).filter(|_| index::is_regular(line))?;
        let is_whole = fields.problem().is_none() && !fields.subject.is_empty();
        is_whole.then(|| String::from_utf8_lossy(line).into_owned())
    }
}

/// What is known besides the rows.
#[derive(Debug, Default)]
pub struct Evidence {
    by_serial: HashMap<SerialNumber, Said>,
    /// whether there is the register as an interrupted `openssl ca` was about to leave it
    pub has_successor: bool,
    /// of torn rows without a serial number, by their notAfter
    by_end: HashMap<Vec<u8>, Vec<Said>>,
}

impl Evidence {
    /// From the lines that are no rows, and what an `openssl ca` was about to write.
    pub(super) fn of(store: &Store, strangers: &[Line]) -> Result<Self, FileError> {
        let mut found = Self::default();
        for line in strangers {
            for fragment in Fragment::all(&line.bytes) {
                let serial = fragment.field(3).and_then(SerialNumber::from_digits);
                match (serial, fragment.field(1)) {
                    (Some(serial), _) => found.note(serial, fragment.said()),
                    (None, Some(end)) => {
                        let said = found.by_end.entry(end.to_vec()).or_default();
                        said.push(fragment.said());
                    }
                    (None, None) => {}
                }
            }
        }
        let new = with_suffix(&store.settings.database, ".new");
        let base = store.register_put_away();
        let base = base.as_ref().unwrap_or(&store.settings.database);
        // An openssl ca that was interrupted wrote it last; any other is of another time.
        if modified(&new) < modified(base) {
            return Ok(found);
        }
        found.has_successor = files::exists(&new) && *base != new;
        index::lines(&new, |_, line| {
            if let Some(fields) = Fields::of(line).filter(|it| it.problem().is_none())
                && let Some(serial) = SerialNumber::from_digits(fields.serial)
            {
                let said = fields.revocation().map_or(Said::Valid, Said::Revoked);
                found.note(serial, said);
            }
            true
        })?;
        Ok(found)
    }

    // A revocation outweighs what says nothing of one.
    fn note(&mut self, serial: SerialNumber, said: Said) {
        let known = self.by_serial.entry(serial).or_insert(Said::Valid);
        if !matches!(known, Said::Revoked(_)) && said != Said::Valid {
            *known = said;
        }
    }

    /// What is said of a certificate without a row, `None` where nothing is.
    #[must_use]
    pub fn about(&self, kept: &Kept) -> Option<Said> {
        if let Some(said) = self.by_serial.get(&kept.serial) {
            return Some(said.clone());
        }
        let said = self.by_end.get(kept.expires.as_bytes())?;
        match said.as_slice() {
            [only] => Some(only.clone()),
            // Which of them is meant, nobody knows.
            several if several.iter().all(|one| *one == Said::Valid) => Some(Said::Valid),
            _ => Some(Said::Unreadable),
        }
    }

    /// The revocation that an interrupted `openssl ca -revoke` was about to write.
    #[must_use]
    pub fn revocation(&self, serial: &SerialNumber) -> Option<&Revocation> {
        match self.by_serial.get(serial)? {
            Said::Revoked(revocation) => Some(revocation),
            _ => None,
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|it| it.modified()).ok()
}

/// The whole rows in a line that is none, of certificates that `is_kept` does not know: those of
/// the others are made of their certificates.
pub fn whole_rows(line: &Line, is_kept: impl Fn(&SerialNumber) -> bool) -> Vec<String> {
    let fragments = Fragment::all(&line.bytes).into_iter();
    let unknown = fragments.filter(|fragment| {
        let serial = fragment.field(3).and_then(SerialNumber::from_digits);
        serial.is_some_and(|serial| !is_kept(&serial))
    });
    unknown.filter_map(|fragment| fragment.row()).collect()
}
