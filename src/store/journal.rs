//! The record of what is being written: durable before the first file of a transaction changes,
//! and kept until all of them are durable themselves. It never holds a private key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pki::hex;
use crate::sys::files::{self, FileError};
use crate::sys::host;

/// One change of a transaction. Each can be repeated: what is done already stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Mark the register's row at this offset expired, if it is still valid.
    ExpireRow {
        /// offset of the row in bytes
        at: u64,
        /// its serial number, to know it again
        serial: String,
    },
    /// Append a row to the register.
    AppendRow {
        /// the register's length in bytes before
        at: u64,
        /// the serial number in the row
        serial: String,
        /// the row with its line end, after a line end that the row before it lacks
        line: String,
    },
    /// Put an issued certificate into newcerts.
    StoreCertificate {
        /// the file
        path: PathBuf,
        /// its content
        text: String,
    },
    /// Replace a file that people read, such as newcert.pem.
    WriteFile {
        /// the file
        path: PathBuf,
        /// its content
        text: String,
    },
    /// Make a host's key and new certificate its current pair.
    SwitchHost {
        /// the host's file name
        host: String,
        /// the folder in hosts/ that holds the key now
        from: PathBuf,
        /// its name from now on
        folder: String,
        /// cert.pem
        certificate: String,
        /// chain.pem
        chain: String,
    },
}

/// Why a transaction was not made durable.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Nothing was recorded, and nothing will be.
    #[error("the certificate was not issued: {0}")]
    NotRecorded(FileError),
    /// The disk failed in a way that leaves the outcome open.
    #[error("it is unknown whether the certificate was issued: {0}")]
    Unknown(FileError),
    /// The journal cannot be opened or read.
    #[error("{0}")]
    File(#[from] FileError),
}

const MAGIC: &str = "mailca-journal-1";
// As long as a boot id, so that the state can be written over in place.
const COMMITTED: &str = "------------------------------------";

/// The open journal. Its first line is `mailca-journal-1 SHA256 STATE`, the rest JSON.
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
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(|error| FileError::new("open", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// The committed steps that may not all be done or durable. After a publication in this
    /// boot there are none: what was written is in the system's memory at least.
    ///
    /// # Errors
    /// When the journal cannot be read. A torn record is none: it was never committed.
    pub fn unfinished(&mut self) -> Result<Vec<Step>, FileError> {
        let mut text = Vec::new();
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.read_to_end(&mut text))
            .map_err(|error| self.fail("read", error))?;
        Ok(parse(&text).unwrap_or_default())
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
        let length = record.len() as u64;
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&record))
            .and_then(|()| self.file.set_len(length))
            .and_then(|()| self.file.sync_data());
        let Err(error) = written else {
            return Ok(());
        };
        // A failed sync is not tried again (the kernel forgets what it could not write): the
        // record is made void instead.
        let error = self.fail("write", error);
        match self.file.set_len(0).and_then(|()| self.file.sync_all()) {
            Ok(()) => Err(JournalError::NotRecorded(error)),
            Err(_) => Err(JournalError::Unknown(error)),
        }
    }

    /// Notes that every step is done, in this boot.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn published(&mut self) -> Result<(), FileError> {
        let Some(boot) = host::boot_id().filter(|boot| boot.len() == COMMITTED.len()) else {
            return Ok(());
        };
        let at = MAGIC.len() + 1 + 64 + 1;
        self.file
            .seek(SeekFrom::Start(at as u64))
            .and_then(|_| self.file.write_all(boot.as_bytes()))
            .map_err(|error| self.fail("write", error))
    }

    fn fail(&self, action: &'static str, error: io::Error) -> FileError {
        FileError::new(action, &self.path, error)
    }
}

fn encode(steps: &[Step]) -> serde_json::Result<Vec<u8>> {
    let mut body = serde_json::to_vec_pretty(steps)?;
    body.push(b'\n');
    let mut record = format!("{MAGIC} {} {COMMITTED}\n", sha256(&body)).into_bytes();
    record.extend(body);
    Ok(record)
}

fn parse(text: &[u8]) -> Option<Vec<Step>> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = (str::from_utf8(&text[..end]).ok()?, &text[end + 1..]);
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) || words.next() != Some(&sha256(body)) {
        return None;
    }
    if words.next() == host::boot_id().as_deref() {
        return None;
    }
    serde_json::from_slice(body).ok()
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

    #[test]
    fn a_committed_record_is_found_again() {
        let (_dir, mut journal) = journal();
        assert!(journal.unfinished().unwrap().is_empty());
        journal.commit(&[step()]).unwrap();
        assert_eq!(journal.unfinished().unwrap(), [step()]);
    }

    #[test]
    fn a_published_record_is_done_with() {
        let (_dir, mut journal) = journal();
        journal.commit(&[step()]).unwrap();
        journal.published().unwrap();
        assert!(journal.unfinished().unwrap().is_empty());
    }

    #[test]
    fn a_record_published_in_another_boot_counts_as_unfinished() {
        let (dir, mut journal) = journal();
        journal.commit(&[step()]).unwrap();
        journal.published().unwrap();
        let path = dir.path().join("journal");
        let text = std::fs::read_to_string(&path).unwrap();
        let boot = host::boot_id().unwrap();
        let other = text.replace(&boot, &"0".repeat(boot.len()));
        std::fs::write(&path, other).unwrap();
        assert_eq!(journal.unfinished().unwrap(), [step()]);
    }

    #[test]
    fn a_record_torn_anywhere_was_never_committed() {
        let record = encode(&[step()]).unwrap();
        assert!(parse(&record).is_some());
        for length in 0..record.len() {
            assert_eq!(parse(&record[..length]), None, "{length} bytes");
        }
    }
}
