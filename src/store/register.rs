//! Questions to the register: as readers see it, with what is committed and not yet written; who
//! holds a subject; and whether somebody else's older copy took its place.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;
use time::OffsetDateTime;

use super::Store;
use super::index::{self, Highest, Row};
use super::journal::{Record, Stamp};
use super::steps::Step;
use crate::pki::certificate::Certificate;
use crate::pki::serial::SerialNumber;
use crate::sys::files::{self, FileError};

/// What the register says against a new certificate.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// Under `unique_subject = yes`, the subject has a valid certificate.
    #[error(
        "{subject} already has the valid certificate {serial}, and unique_subject = yes permits one"
    )]
    NotUnique {
        /// the subject
        subject: String,
        /// the serial number of the valid certificate
        serial: String,
    },
    /// Rows that mailca wrote are no longer there.
    #[error("{} has lost {}: an openssl ca that ran at the same time, or a backup, put an older copy in its place", .path.display(), rows_in_words(.rows))]
    LostRows {
        /// the register
        path: PathBuf,
        /// the rows, without line ends
        rows: Vec<String>,
    },
    /// An `openssl ca` that ran at the same time gave a number away that mailca had given.
    #[error("the serial number {serial} stands for two certificates, {ours} by mailca and {theirs} in {}: an openssl ca ran at the same time", .path.display())]
    SerialTwice {
        /// the serial number
        serial: String,
        /// the subject of the certificate that mailca issued
        ours: String,
        /// the subject in the register
        theirs: String,
        /// the register
        path: PathBuf,
    },
    /// The register or newcerts cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
}

fn rows_in_words(rows: &[String]) -> String {
    let one = |row: &String| match Row::parse(row) {
        Some(row) => format!("{} ({})", row.serial, row.subject),
        None => row.clone(),
    };
    let first: Vec<String> = rows.iter().take(5).map(one).collect();
    let named = first.join(", ");
    let rows_of = if rows.len() == 1 {
        "the row"
    } else {
        "the rows"
    };
    match rows.len().saturating_sub(5) {
        0 => format!("{rows_of} of {named}"),
        more => format!("{rows_of} of {named} and {more} more"),
    }
}

// Calls `each` with every line of the register as it will be once `pending` is carried out, and
// its offset in bytes if it is there already, until it returns false.
fn lines_with(
    path: &Path,
    pending: &[Step],
    mut each: impl FnMut(Option<u64>, &[u8]) -> bool,
) -> Result<(), FileError> {
    if pending.is_empty() {
        return index::lines(path, |at, line| each(Some(at), line));
    }
    let (start, appended) = appended_by(pending).unwrap_or((u64::MAX, ""));
    let expired: HashSet<u64> = pending
        .iter()
        .filter_map(|step| match step {
            Step::ExpireRow { at, .. } => Some(*at),
            _ => None,
        })
        .collect();
    let mut unseen: HashMap<&[u8], &str> = rows_of(appended).collect();
    let mut stopped = false;
    index::lines(path, |at, line| {
        // A row that is being written at the moment comes whole from the journal.
        let planned = at
            .checked_sub(start)
            .and_then(|skipped| appended.as_bytes().get(usize::try_from(skipped).ok()?..))
            .is_some_and(|rest| rest.starts_with(line) && rest.get(line.len()) != Some(&b'\n'));
        if planned {
            return true;
        }
        if let Some(serial) = index::serial_in(line) {
            unseen.remove(serial);
        }
        stopped = if expired.contains(&at) && line.starts_with(b"V") {
            !each(Some(at), &[b"E", &line[1..]].concat())
        } else {
            !each(Some(at), line)
        };
        !stopped
    })?;
    if !stopped {
        for (_, row) in rows_of(appended).filter(|(serial, _)| unseen.contains_key(serial)) {
            if !each(None, row.as_bytes()) {
                break;
            }
        }
    }
    Ok(())
}

fn appended_by(steps: &[Step]) -> Option<(u64, &str)> {
    steps.iter().find_map(|step| match step {
        Step::AppendRows { at, text } => Some((*at, text.as_str())),
        _ => None,
    })
}

fn rows_of(text: &str) -> impl Iterator<Item = (&[u8], &str)> {
    text.lines()
        .filter_map(|row| Some((index::serial_in(row.as_bytes())?, row)))
}

/// Who holds the subjects that certificates are asked for, under `unique_subject = yes`.
#[derive(Debug)]
pub struct Holders {
    asked_for: HashSet<String>,
    register: Stamp,
    /// the serial number of a subject's valid certificate
    valid: HashMap<String, String>,
    /// what marks their rows that are past their date: a second valid row of a subject makes
    /// `openssl ca` stop altogether
    pub(super) past: Vec<Step>,
}

impl Holders {
    /// Whether the register is still the one that was looked at.
    #[must_use]
    pub fn is_current(&self, store: &Store) -> bool {
        let now = Stamp::of(&store.settings.database);
        self.asked_for.is_empty() || now.is_ok_and(|now| now == self.register)
    }

    /// Refuses a subject that has a valid certificate already.
    ///
    /// # Errors
    /// [`RegisterError::NotUnique`]
    pub fn check(&self, subject: &str) -> Result<(), RegisterError> {
        match self.valid.get(subject) {
            Some(serial) => Err(RegisterError::NotUnique {
                subject: subject.into(),
                serial: serial.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Store {
    /// Who holds these subjects, in X509_NAME_oneline's form; reads nothing where
    /// `unique_subject` is `no`.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn holders(
        &self,
        subjects: impl IntoIterator<Item = String>,
        now: OffsetDateTime,
    ) -> Result<Holders, FileError> {
        let path = &self.settings.database;
        // An empty subject is recorded under its serial number, which is always another.
        let asked_for: HashSet<String> = subjects
            .into_iter()
            .filter(|subject| self.unique_subject && !subject.is_empty())
            .collect();
        let mut found = Holders {
            register: Stamp::of(path)?,
            valid: HashMap::new(),
            past: Vec::new(),
            asked_for,
        };
        if found.asked_for.is_empty() {
            return Ok(found);
        }
        let wanted: HashSet<&[u8]> = found.asked_for.iter().map(String::as_bytes).collect();
        // Hashing takes longer than reading; most commands ask for one.
        let only = wanted.iter().next().filter(|_| wanted.len() == 1).copied();
        lines_with(path, &self.pending, |at, line| {
            let may_be = only.is_none_or(|only| line.ends_with(only));
            if !may_be || !index::valid_subject_in(line).is_some_and(|name| wanted.contains(name)) {
                return true;
            }
            let text = String::from_utf8_lossy(line);
            let (subject, serial) = match (at, Row::parse(&text)) {
                (Some(at), Some(row)) if row.is_past(now) => {
                    let serial = row.serial.into();
                    found.past.push(Step::ExpireRow { at, serial });
                    return true;
                }
                (_, Some(row)) => (row.subject, row.serial),
                (_, None) => return true,
            };
            found.valid.insert(subject.into(), serial.into());
            true
        })?;
        Ok(found)
    }

    /// Date and reason of a certificate's revocation, `None` where it is not revoked.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn revocation(&self, serial: &SerialNumber) -> Result<Option<String>, FileError> {
        let wanted = serial.to_string();
        let mut found = None;
        lines_with(&self.settings.database, &self.pending, |_, line| {
            let is_it = index::serial_in(line) == Some(wanted.as_bytes());
            if is_it {
                found = index::revocation_in(line);
            }
            !is_it
        })?;
        Ok(found)
    }

    /// Looks whether the rows of the last transaction are still in the register, after somebody
    /// else wrote to it, and returns the highest serial number in it.
    pub(super) fn check_rewritten(
        &self,
        last: &Record,
    ) -> Result<Option<SerialNumber>, RegisterError> {
        let path = &self.settings.database;
        let steps = last.steps();
        let recorded: HashMap<&[u8], &str> =
            rows_of(appended_by(&steps).map_or("", |(_, text)| text)).collect();
        let mut gone = recorded.clone();
        let mut twice = None;
        let mut highest = Highest::default();
        index::lines(path, |_, line| {
            highest.see(line);
            let serial = index::serial_in(line).unwrap_or_default();
            let Some(own) = gone.remove(serial) else {
                return true;
            };
            let text = String::from_utf8_lossy(line);
            if let (Some(own), Some(found)) = (Row::parse(own), Row::parse(&text))
                && (own.subject, own.expires) != (found.subject, found.expires)
                && found.status != "R"
            {
                twice = Some(RegisterError::SerialTwice {
                    serial: own.serial.into(),
                    ours: own.subject.into(),
                    theirs: found.subject.into(),
                    path: path.clone(),
                });
            }
            true
        })?;
        if let Some(twice) = twice {
            return Err(twice);
        }
        if gone.is_empty() {
            return Ok(highest.number());
        }
        // Those of earlier transactions are lost with them; newcerts has them.
        let mut rows: Vec<String> = gone.into_values().map(str::to_owned).collect();
        for certificate in self.certificates_without_row()? {
            let row = index::line_of(&certificate);
            if !recorded.contains_key(certificate.serial.to_string().as_bytes()) {
                rows.push(row.trim_end().into());
            }
        }
        rows.sort_by_key(|row| {
            Row::parse(row).and_then(|row| row.serial.parse::<SerialNumber>().ok())
        });
        Err(RegisterError::LostRows {
            path: path.clone(),
            rows,
        })
    }

    fn certificates_without_row(&self) -> Result<Vec<Certificate>, FileError> {
        let folder = &self.settings.new_certs_dir;
        let fail = |error| FileError::new("read", folder, error);
        let mut files: HashMap<Vec<u8>, PathBuf> = HashMap::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "pem")
                && let Some(stem) = path.file_stem()
            {
                files.insert(stem.as_encoded_bytes().to_vec(), path);
            }
        }
        index::lines(&self.settings.database, |_, line| {
            index::serial_in(line).map(|serial| files.remove(serial));
            !files.is_empty()
        })?;
        let mut found = Vec::new();
        for path in files.values() {
            if let Ok(certificate) = Certificate::from_pem_or_der(&files::read(path)?) {
                found.push(certificate);
            }
        }
        Ok(found)
    }
}
