//! Questions to the register: as readers see it, with what is committed and not yet written; who
//! holds a subject; and whether somebody else's older copy took its place.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;

use super::index::{self, Highest, Row};
use super::journal::{Record, Stamp};
use super::staged;
use super::steps::Step;
use super::{Store, StoreError, journal_path};
use crate::pki::asn1_time;
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateListError;
use crate::pki::hex;
use crate::pki::name::NameError;
use crate::pki::revocation::Revocation;
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
    /// A revocation by mailca is no longer there.
    #[error("{} has lost the revocation of {serial}: an openssl ca that ran at the same time, or a backup, put an older copy in its place", .path.display())]
    LostRevocation {
        /// the serial number
        serial: String,
        /// when and why it was revoked
        revocation: Box<Revocation>,
        /// the register
        path: PathBuf,
    },
    /// A certificate that shall be revoked is revoked already.
    #[error("{serial} was already revoked on {revoked}; nothing changed")]
    AlreadyRevoked {
        /// the serial number
        serial: String,
        /// date and reason
        revoked: String,
    },
    /// No row has the serial number.
    #[error("{} has no certificate {serial}", .path.display())]
    NoRow {
        /// the serial number
        serial: String,
        /// the register
        path: PathBuf,
    },
    /// The current CRL cannot be read.
    #[error("{}: {source}", .path.display())]
    Crl {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: CertificateListError,
    },
    /// A row says of a revocation what OpenSSL does not know.
    #[error("{}: the revocation {revoked:?} of {serial} cannot be read", .path.display())]
    BadRevocation {
        /// the serial number
        serial: String,
        /// what stands there
        revoked: String,
        /// the register
        path: PathBuf,
    },
    /// Something else than rows is in it, and OpenSSL reads nothing of it then.
    #[error("{} has a line that is no row of six fields: {line:?}", .path.display())]
    NotARow {
        /// the register
        path: PathBuf,
        /// the line
        line: String,
    },
    /// The name of the CA cannot be hashed.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The register or newcerts cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
}

// `newcerts/SERIAL.pem`
fn is_issued(path: &Path) -> bool {
    let is_pem = path.extension().is_some_and(|extension| extension == "pem");
    let stem = path.file_stem().unwrap_or_default().as_encoded_bytes();
    is_pem
        && stem
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
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

/// What a revoked row says, for people: `2026-05-04 (keyCompromise)`.
pub(super) fn revocation_in_words(field: String) -> String {
    Revocation::parse(&field).map_or(field, |revocation| revocation.to_string())
}

// Calls `each` with every line of the register as it will be once `pending` is carried out, and
// its offset in bytes if it is there already, until it returns false.
pub(super) fn lines_with(
    path: &Path,
    pending: &[Step],
    mut each: impl FnMut(Option<u64>, &[u8]) -> bool,
) -> Result<(), FileError> {
    if pending.is_empty() {
        return index::lines(path, |at, line| each(Some(at), line));
    }
    let rewritten = pending.iter().find_map(|step| match step {
        Step::RewriteRegister { sha256, .. } => Some(sha256),
        _ => None,
    });
    let staged = match rewritten {
        Some(sha256) => staged::find(path, sha256)?,
        None => None,
    };
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
    let mut each_there = |at: u64, line: &[u8]| {
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
    };
    match staged {
        Some(file) => index::lines_of(file, path, each_there)?,
        None => index::lines(path, &mut each_there)?,
    }
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

// The rows that a step writes, each with its serial number.
fn rows_written_by(step: &Step) -> Vec<(&[u8], &str)> {
    match step {
        Step::AppendRows { text, .. } => rows_of(text).collect(),
        Step::RewriteRegister { rows, .. } => rows.iter().flat_map(|row| rows_of(row)).collect(),
        _ => Vec::new(),
    }
}

fn rows_of(text: &str) -> impl Iterator<Item = (&[u8], &str)> {
    text.lines()
        .filter_map(|row| Some((index::serial_in(row.as_bytes())?, row)))
}

/// What a row says of its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// `V`
    Valid,
    /// `R`
    Revoked {
        /// when and why, for people: `2026-05-04 (keyCompromise)`
        in_words: String,
    },
    /// `E`
    Expired,
    /// anything else, as it stands there
    Unknown(String),
}

impl Status {
    /// Date and reason of a revocation for people, `None` where there is none.
    #[must_use]
    pub fn revocation_in_words(&self) -> Option<&str> {
        match self {
            Self::Revoked { in_words } => Some(in_words),
            _ => None,
        }
    }

    fn in_line(line: &str) -> Self {
        let Some(row) = Row::parse(line) else {
            return Self::Unknown(line.into());
        };
        match row.status {
            "V" => Self::Valid,
            "E" => Self::Expired,
            "R" => Self::Revoked {
                in_words: revocation_in_words(row.revoked.into()),
            },
            other => Self::Unknown(other.into()),
        }
    }
}

/// Who holds the subjects that certificates are asked for, under `unique_subject = yes`.
#[derive(Debug)]
pub struct Holders {
    asked_for: HashSet<String>,
    register: Stamp,
    /// the serial numbers of a subject's valid certificates
    valid: HashMap<String, Vec<String>>,
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

    /// None: nothing was asked for.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn none(store: &Store) -> Result<Self, FileError> {
        store.holders([], OffsetDateTime::UNIX_EPOCH)
    }

    /// Where the rows are that shall be marked expired.
    pub(super) fn offsets_past(&self) -> impl Iterator<Item = u64> {
        self.past.iter().filter_map(|step| match step {
            Step::ExpireRow { at, .. } => Some(*at),
            _ => None,
        })
    }

    /// Refuses a subject that has a valid certificate already, other than the one that will be
    /// revoked in the same transaction.
    ///
    /// # Errors
    /// [`RegisterError::NotUnique`]
    pub fn check(
        &self,
        subject: &str,
        revoked: Option<&SerialNumber>,
    ) -> Result<(), RegisterError> {
        let revoked = revoked.map(ToString::to_string);
        let mut held = self.valid.get(subject).into_iter().flatten();
        match held.find(|serial| Some(*serial) != revoked.as_ref()) {
            Some(serial) => Err(RegisterError::NotUnique {
                subject: subject.into(),
                serial: serial.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Whether a recorded certificate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// neither revoked nor past its date
    Valid,
    /// past its date, or marked as that
    Expired,
    /// revoked
    Revoked,
}

impl State {
    /// Every state, in the order of the help text.
    pub const ALL: [Self; 3] = [Self::Valid, Self::Expired, Self::Revoked];

    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not valid, expired or revoked"))
    }
}

/// A row of the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// serial number
    pub serial: SerialNumber,
    /// notAfter
    pub not_after: OffsetDateTime,
    /// marked expired by `openssl ca -updatedb`, or by mailca under `unique_subject = yes`
    pub is_marked_expired: bool,
    /// date and reason of its revocation
    pub revocation: Option<Revocation>,
    /// the subject as `X509_NAME_oneline` writes it, or the serial number for an empty one
    pub subject: String,
}

impl Recorded {
    /// Reads a line; `None` where it is no row that OpenSSL would read.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = str::from_utf8(line).ok()?;
        let row = Row::parse(text)?;
        let revocation = match row.status {
            "R" => Some(Revocation::parse(row.revoked)?),
            "V" | "E" => None,
            _ => return None,
        };
        Some(Self {
            serial: SerialNumber::from_certificate(&hex::octets(row.serial)?),
            not_after: asn1_time::parse(row.expires)?,
            is_marked_expired: row.status == "E",
            revocation,
            subject: row.subject.into(),
        })
    }

    /// What it says of its certificate at a time.
    #[must_use]
    pub fn state(&self, now: OffsetDateTime) -> State {
        if self.revocation.is_some() {
            State::Revoked
        } else if self.is_valid(now) {
            State::Valid
        } else {
            State::Expired
        }
    }

    /// Whether its certificate is neither revoked nor past its date.
    #[must_use]
    pub fn is_valid(&self, now: OffsetDateTime) -> bool {
        self.revocation.is_none() && !self.is_marked_expired && self.not_after >= now
    }
}

impl Store {
    /// What the register says of certificates, by their serial numbers; those that it does not
    /// have are left out.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn statuses<'s>(
        &self,
        serials: impl IntoIterator<Item = &'s SerialNumber>,
    ) -> Result<HashMap<SerialNumber, Status>, FileError> {
        let wanted: HashMap<Vec<u8>, &SerialNumber> = serials
            .into_iter()
            .map(|serial| (serial.to_string().into_bytes(), serial))
            .collect();
        let mut found = HashMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        self.each_line(|line| {
            let serial = index::serial_in(line).and_then(|serial| wanted.get(serial));
            if let Some(serial) = serial {
                let status = Status::in_line(&String::from_utf8_lossy(line));
                found.insert((*serial).clone(), status);
            }
        })?;
        Ok(found)
    }

    /// The rows whose line `may_be` one that is looked for.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn recorded(&self, may_be: impl Fn(&[u8]) -> bool) -> Result<Vec<Recorded>, FileError> {
        let mut found = Vec::new();
        self.each_line(|line| {
            if may_be(line) {
                found.extend(Recorded::parse(line));
            }
        })?;
        Ok(found)
    }

    /// The certificate of a row, `None` where newcerts no longer has it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn issued(&self, serial: &SerialNumber) -> Result<Option<Certificate>, StoreError> {
        let path = self.kept_certificate(serial);
        let Some(bytes) = files::read_if_there(&path)? else {
            return Ok(None);
        };
        let read = Certificate::from_pem_or_der(&bytes);
        read.map(Some)
            .map_err(|source| StoreError::Certificate { path, source })
    }

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
            let held = found.valid.entry(subject.into()).or_default();
            held.push(serial.into());
            true
        })?;
        Ok(found)
    }

    /// Calls `each` with every line of the register, as it is once what is committed is written.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn each_line(&self, mut each: impl FnMut(&[u8])) -> Result<(), FileError> {
        self.lines_while(|line| {
            each(line);
            true
        })
    }

    /// The same, until `each` returns false.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn lines_while(&self, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), FileError> {
        lines_with(&self.settings.database, &self.pending, |_, line| each(line))
    }

    /// Whether there are certificates in newcerts, by their names.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_issued(&self) -> Result<bool, FileError> {
        let folder = &self.settings.new_certs_dir;
        match fs::read_dir(folder) {
            // Where old CAs keep other files too, `01.pem` tells that this is one.
            Ok(entries) => Ok(entries.flatten().any(|entry| is_issued(&entry.path()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::new("read", folder, error)),
        }
    }

    /// The first line that is no row, for which OpenSSL and mailca refuse the whole register.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn first_stranger(&self) -> Result<Option<String>, FileError> {
        let mut found = None;
        self.lines_while(|line| {
            if !index::is_regular(line) {
                found = Some(String::from_utf8_lossy(line).into_owned());
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Date and reason of a certificate's revocation in words, `None` where it is not revoked.
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
        Ok(found.map(revocation_in_words))
    }

    /// What the register says of a certificate, `None` where it has no row.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn status(&self, serial: &SerialNumber) -> Result<Option<Status>, FileError> {
        let wanted = serial.to_string();
        let mut found = None;
        lines_with(&self.settings.database, &self.pending, |_, line| {
            let is_it = index::serial_in(line) == Some(wanted.as_bytes());
            if is_it {
                found = Some(Status::in_line(&String::from_utf8_lossy(line)));
            }
            !is_it
        })?;
        Ok(found)
    }

    /// What mailca's last transaction says against the register, which somebody else wrote to since;
    /// the next one would refuse to go on. `None` where nothing does.
    ///
    /// # Errors
    /// When the register or the journal cannot be read.
    pub fn contradiction(&self) -> Result<Option<RegisterError>, RegisterError> {
        let last = Record::read(&journal_path(&self.settings))?;
        let register = Stamp::of(&self.settings.database)?;
        let last = last.filter(|last| last.is_published && !last.is_last_of(&register));
        match last.map(|last| self.check_rewritten(&last)) {
            Some(Err(error @ RegisterError::File(_))) => Err(error),
            Some(Err(error)) => Ok(Some(error)),
            _ => Ok(None),
        }
    }

    /// Looks whether the rows of the last transaction are still in the register, after somebody
    /// else wrote to it, and returns the highest serial number in it.
    pub(super) fn check_rewritten(
        &self,
        last: &Record,
    ) -> Result<Option<SerialNumber>, RegisterError> {
        let path = &self.settings.database;
        let steps = last.steps()?;
        let recorded: HashMap<&[u8], &str> = steps.iter().flat_map(rows_written_by).collect();
        let mut gone = recorded.clone();
        let mut problem = None;
        let mut highest = Highest::default();
        index::lines(path, |_, line| {
            highest.see(line);
            let serial = index::serial_in(line).unwrap_or_default();
            let Some(own) = gone.remove(serial) else {
                return true;
            };
            let text = String::from_utf8_lossy(line);
            let (Some(own), Some(found)) = (Row::parse(own), Row::parse(&text)) else {
                return true;
            };
            let is_same = (own.subject, own.expires) == (found.subject, found.expires);
            if !is_same && found.status != "R" {
                problem = Some(RegisterError::SerialTwice {
                    serial: own.serial.into(),
                    ours: own.subject.into(),
                    theirs: found.subject.into(),
                    path: path.clone(),
                });
            } else if found.status != "R"
                && let Some(revocation) = Revocation::parse(own.revoked)
            {
                problem = Some(RegisterError::LostRevocation {
                    serial: own.serial.into(),
                    revocation: Box::new(revocation),
                    path: path.clone(),
                });
            }
            true
        })?;
        if let Some(problem) = problem {
            return Err(problem);
        }
        if gone.is_empty() {
            // One of an earlier transaction; the CRL has it still.
            if let Some((serial, revocation)) = self.lost_revocation()? {
                return Err(RegisterError::LostRevocation {
                    serial: serial.to_string(),
                    revocation: Box::new(revocation),
                    path: path.clone(),
                });
            }
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
