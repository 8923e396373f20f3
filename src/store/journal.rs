//! The record of what is being written: durable before the first file of a transaction changes,
//! and kept until all of them are durable themselves. It never holds a private key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ring::digest;
use thiserror::Error;

use super::steps::Step;
use crate::pki::hex;
use crate::sys::disk;
use crate::sys::files::{self, FileError};
use crate::sys::host;
use crate::sys::open;

/// Why a transaction was not made durable.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Nothing was recorded, and nothing will be.
    #[error("nothing was recorded: {0}")]
    NotRecorded(FileError),
    /// The disk failed in a way that leaves the outcome open.
    #[error("it is unknown whether it was recorded: {0}")]
    Unknown(FileError),
    /// The journal cannot be opened or read.
    #[error("{0}")]
    File(#[from] FileError),
}

const MAGIC: &str = "mailca-journal-1";
// As long as a boot id, so that the state can be written over in place.
const COMMITTED: &str = "------------------------------------";
const DIGEST: usize = 64;

/// What the register's file looked like when mailca had written it: another file, size or time
/// shows that somebody else wrote since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([u64; 3]);

impl Stamp {
    /// The stamp of the register now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let found = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::NONE),
            found => found.map_err(|error| FileError::new("read", path, error))?,
        };
        // A file may claim to be from any time.
        let seconds = found.mtime().wrapping_mul(1_000_000_000);
        let time = seconds.wrapping_add(found.mtime_nsec());
        Ok(Self([found.ino(), found.size(), time.cast_unsigned()]))
    }

    const NONE: Self = Self([0; 3]);
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [file, size, time] = self.0;
        write!(f, "{file:016x}-{size:016x}-{time:016x}")
    }
}

/// The last transaction.
#[derive(Debug)]
pub struct Record {
    /// whether every step was carried out in this boot of the machine: what was written then is
    /// in the system's memory at least
    pub is_published: bool,
    /// whether nobody ever carried it out to its end
    pub is_interrupted: bool,
    stamp: String,
    steps: Vec<u8>,
    path: PathBuf,
}

impl Record {
    /// Reads the record without the right to write; `None` where none was ever committed.
    ///
    /// # Errors
    /// When the journal is there and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let fail = |error| FileError::new("read", path, error);
        match open::regular_itself(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => Self::read_from(&mut opened.map_err(fail)?, path).map_err(fail),
        }
    }

    fn read_from(file: &mut File, path: &Path) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        // What is no record may have any size.
        file.take(MAGIC.len() as u64).read_to_end(&mut text)?;
        if text != MAGIC.as_bytes() {
            return Ok(None);
        }
        file.read_to_end(&mut text)?;
        Ok(Self::parse(text, path))
    }

    // A torn record is none: it was never committed.
    fn parse(mut text: Vec<u8>, path: &Path) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let steps = text.split_off(end + 1);
        let mut words = str::from_utf8(&text[..end]).ok()?.split(' ');
        if words.next() != Some(MAGIC) || words.next() != Some(&sha256(&steps)) {
            return None;
        }
        let state = words.next()?;
        let stamp = words.next().unwrap_or_default();
        Some(Self {
            is_published: host::boot_id().is_some_and(|boot| boot == state),
            is_interrupted: state == COMMITTED && stamp == Stamp::NONE.to_string(),
            stamp: stamp.to_owned(),
            steps,
            path: path.to_owned(),
        })
    }

    /// Its steps.
    ///
    /// # Errors
    /// When this version of mailca does not know them: what was committed must not be forgotten.
    pub fn steps(&self) -> Result<Vec<Step>, FileError> {
        serde_json::from_slice(&self.steps).map_err(|_| {
            let problem = "it records steps that this version of mailca does not know";
            FileError::new("read", &self.path, io::Error::other(problem))
        })
    }

    /// The steps that the last transaction may not have carried out in this boot.
    ///
    /// # Errors
    /// As [`Self::steps`].
    pub fn unfinished(last: Option<&Self>) -> Result<Vec<Step>, FileError> {
        match last.filter(|record| !record.is_published) {
            Some(record) => record.steps(),
            None => Ok(Vec::new()),
        }
    }

    /// Whether nobody but mailca wrote to the register since.
    #[must_use]
    pub fn is_last_of(&self, register: &Stamp) -> bool {
        self.stamp == register.to_string()
    }
}

/// The open journal. Its first line is `mailca-journal-1 SHA256 STATE STAMP`, the rest JSON.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal, making an empty one with the mode `mode` where there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, mode: u32) -> Result<Self, FileError> {
        if !files::exists(path) {
            files::create_new(path, b"", mode)?;
        }
        let file = disk::open(path, false).map_err(|error| FileError::new("open", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// The last transaction that was committed.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn last(&mut self) -> Result<Option<Record>, FileError> {
        Record::read_from(&mut self.file, &self.path).map_err(|error| self.fail("read", error))
    }

    /// Makes the steps durable: when this returns, they happen, whatever dies. The record that
    /// stood here before must be durable in its own files by now.
    ///
    /// # Errors
    /// [`JournalError::NotRecorded`] when nothing will happen, [`JournalError::Unknown`] when the
    /// disk does not say.
    pub fn commit(&mut self, steps: &[Step]) -> Result<(), JournalError> {
        let record = encode(steps)
            .map_err(|error| JournalError::NotRecorded(self.fail("write", error.into())))?;
        let (file, path) = (&self.file, &self.path);
        let written = disk::write_at(file, path, &record, 0)
            .and_then(|()| disk::set_len(file, path, record.len() as u64))
            .and_then(|()| disk::sync_data(file, path));
        let Err(error) = written else {
            return Ok(());
        };
        // A failed sync is not tried again (the kernel forgets what it could not write): the
        // record is made void instead.
        let error = self.fail("write", error);
        let void = disk::set_len(file, path, 0).and_then(|()| disk::sync_data(file, path));
        match void {
            Ok(()) => Err(JournalError::NotRecorded(error)),
            Err(_) => Err(JournalError::Unknown(error)),
        }
    }

    /// Notes that every step is done, in this boot, and how the register looks now.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn published(&mut self, register: &Stamp) -> Result<(), FileError> {
        let boot = host::boot_id().filter(|boot| boot.len() == COMMITTED.len());
        let state = boot.as_deref().unwrap_or(COMMITTED);
        let text = format!("{state} {register}\n");
        let at = MAGIC.len() + 1 + DIGEST + 1;
        disk::write_at(&self.file, &self.path, text.as_bytes(), at as u64)
            .map_err(|error| self.fail("write", error))
    }

    fn fail(&self, action: &'static str, error: io::Error) -> FileError {
        FileError::new(action, &self.path, error)
    }
}

fn encode(steps: &[Step]) -> serde_json::Result<Vec<u8>> {
    let mut body = serde_json::to_vec_pretty(steps)?;
    body.push(b'\n');
    let digest = sha256(&body);
    let mut record = format!("{MAGIC} {digest} {COMMITTED} {}\n", Stamp::NONE).into_bytes();
    record.extend(body);
    Ok(record)
}

fn sha256(bytes: &[u8]) -> String {
    hex::lower(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> Step {
        Step::ExpireRow {
            at: 7,
            serial: "0A".into(),
        }
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal"), 0o644).unwrap();
        (dir, journal)
    }

    fn unfinished(journal: &mut Journal) -> Vec<Step> {
        let last = journal.last().unwrap();
        last.filter(|record| !record.is_published)
            .map(|record| record.steps().unwrap())
            .unwrap_or_default()
    }

    #[test]
    fn a_committed_record_is_found_again() {
        let (dir, mut journal) = journal();
        assert!(journal.last().unwrap().is_none());
        journal.commit(&[step()]).unwrap();
        assert_eq!(unfinished(&mut journal), [step()]);
        let read = Record::read(&dir.path().join("journal")).unwrap().unwrap();
        assert_eq!(read.steps().unwrap(), [step()]);
        assert!(Record::read(&dir.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn a_published_record_is_done_with_and_knows_the_register() {
        let (dir, mut journal) = journal();
        journal.commit(&[step()]).unwrap();
        let register = dir.path().join("index.txt");
        let before = Stamp::of(&register).unwrap();
        std::fs::write(&register, "one").unwrap();
        let stamp = Stamp::of(&register).unwrap();
        journal.published(&stamp).unwrap();
        assert!(unfinished(&mut journal).is_empty());
        let last = journal.last().unwrap().unwrap();
        assert!(last.is_last_of(&stamp) && !last.is_last_of(&before));
        std::fs::write(&register, "two!").unwrap();
        assert!(!last.is_last_of(&Stamp::of(&register).unwrap()));
    }

    #[test]
    fn a_record_published_in_another_boot_counts_as_unfinished() {
        let (dir, mut journal) = journal();
        journal.commit(&[step()]).unwrap();
        journal.published(&Stamp::NONE).unwrap();
        let path = dir.path().join("journal");
        let text = std::fs::read_to_string(&path).unwrap();
        let boot = host::boot_id().unwrap();
        let other = text.replace(&boot, &"0".repeat(boot.len()));
        std::fs::write(&path, other).unwrap();
        assert_eq!(unfinished(&mut journal), [step()]);
    }

    #[test]
    fn a_record_torn_anywhere_was_never_committed() {
        let record = encode(&[step()]).unwrap();
        let parse = |text: &[u8]| Record::parse(text.to_vec(), Path::new("journal"));
        assert!(parse(&record).is_some());
        for length in 0..record.len() {
            assert!(parse(&record[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn steps_of_a_later_version_are_an_error_and_not_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let steps = "[{\"step\": \"revoke-row\", \"at\": 7}]\n";
        let digest = sha256(steps.as_bytes());
        let text = format!("{MAGIC} {digest} {COMMITTED} {}\n{steps}", Stamp::NONE);
        std::fs::write(&path, text).unwrap();
        let record = Record::read(&path).unwrap().unwrap();
        let error = record.steps().unwrap_err().to_string();
        assert!(
            error.ends_with("that this version of mailca does not know"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_record_is_not_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(Record::read(&path).unwrap().is_none());
    }

    #[test]
    fn a_register_from_any_time_has_a_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.txt");
        for seconds in [i64::MAX, 20_000_000_000, -1] {
            let file = File::create(&path).unwrap();
            let time = std::time::UNIX_EPOCH;
            let shift = std::time::Duration::from_secs(seconds.unsigned_abs());
            let time = match seconds {
                0.. => time.checked_add(shift),
                _ => time.checked_sub(shift),
            };
            // The file system brings it into its own range.
            file.set_modified(time.unwrap()).unwrap();
            let stamp = Stamp::of(&path).unwrap();
            assert_eq!(stamp.to_string().len(), Stamp::NONE.to_string().len());
        }
    }
}
