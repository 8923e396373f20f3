//! What a transaction does to the directory, as the journal has it: steps that can be repeated,
//! since nobody knows which of them a dead process had done.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Store;
use super::hosts::{CERT, CHAIN, Hosts, KEY};
use super::index::{self, Row};
use super::staged;
use crate::sys::disk;
use crate::sys::files::{self, FileError};

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
    /// Append rows to the register.
    #[serde(alias = "append-row")]
    AppendRows {
        /// the register's length in bytes before
        at: u64,
        /// the rows with their line ends, after a line end that the row before them lacks
        #[serde(alias = "line")]
        text: String,
    },
    /// Put the register that was staged into its place: rows in it are written anew.
    RewriteRegister {
        /// its SHA-256 digest
        sha256: String,
        /// those rows, without line ends
        rows: Vec<String>,
    },
    /// Put a file that was staged into its place.
    PlaceFile {
        /// the file
        path: PathBuf,
        /// its SHA-256 digest
        sha256: String,
    },
    /// Give a file or link that is of no use another name.
    SetAside {
        /// the file
        path: PathBuf,
        /// its new name
        to: PathBuf,
    },
    /// Make a symbolic link, or let it lead elsewhere.
    Link {
        /// the link
        path: PathBuf,
        /// what is in it
        target: PathBuf,
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
    /// Replace a file, unless somebody has removed it since.
    RewriteFile {
        /// the file
        path: PathBuf,
        /// its content
        text: String,
    },
    /// Let a new key wait in `hosts/HOST.next` for its certificate.
    AwaitCertificate {
        /// the host's file name
        host: String,
        /// the folder that holds the key now
        from: PathBuf,
    },
    /// Make a host's key and new certificate its current pair.
    SwitchHost {
        /// the host's file name
        host: String,
        /// the folder that holds the key now
        from: PathBuf,
        /// its name in hosts/ from now on
        folder: String,
        /// cert.pem
        certificate: String,
        /// chain.pem
        chain: String,
    },
}

/// Why a recorded step could not be carried out.
#[derive(Debug, Error)]
pub enum PublishError {
    /// A file could not be written.
    #[error("{0}")]
    File(#[from] FileError),
    /// Somebody else's certificate has the serial number.
    #[error("{} holds another certificate", .0.display())]
    Occupied(PathBuf),
    /// The folder with the host's key is gone.
    #[error("{} with the key of {host} is gone", .folder.display())]
    KeyGone {
        /// the host
        host: String,
        /// where its key was
        folder: PathBuf,
    },
}

impl Step {
    /// Carries the step out for the first time, right after the commit: what was staged is known
    /// to be that, and not read again.
    ///
    /// # Errors
    /// As [`Step::carry_out`].
    pub fn carry_out_first(&self, store: &Store) -> Result<(), PublishError> {
        match self {
            Self::RewriteRegister { .. } => Ok(staged::put(&store.settings.database)?),
            Self::PlaceFile { path, .. } => Ok(staged::put(&store.settings.root.join(path))?),
            other => other.carry_out(store),
        }
    }

    /// Carries the step out, or does nothing where that is done already.
    ///
    /// # Errors
    /// When a file cannot be written, or somebody else's stands in its place.
    pub fn carry_out(&self, store: &Store) -> Result<(), PublishError> {
        let database = &store.settings.database;
        let root = &store.settings.root;
        match self {
            Self::ExpireRow { at, serial } => Ok(expire_row(database, *at, serial)?),
            Self::AppendRows { at, text } => Ok(append_rows(database, *at, text)?),
            Self::RewriteRegister { sha256, .. } => Ok(staged::place(database, sha256)?),
            Self::PlaceFile { path, sha256 } => Ok(staged::place(&root.join(path), sha256)?),
            Self::Link { path, target } => Ok(files::replace_link(&root.join(path), target)?),
            Self::SetAside { path, to } => Ok(set_aside(&root.join(path), &root.join(to))?),
            Self::StoreCertificate { path, text } => {
                store_certificate(database, &root.join(path), text)
            }
            Self::WriteFile { path, text } => {
                Ok(files::replace(&root.join(path), text.as_bytes(), 0o644)?)
            }
            Self::RewriteFile { path, text } => {
                let path = root.join(path);
                if files::exists(&path) {
                    files::replace(&path, text.as_bytes(), 0o644)?;
                }
                Ok(())
            }
            Self::AwaitCertificate { host, from } => {
                await_certificate(&store.hosts, host, &root.join(from))
            }
            Self::SwitchHost {
                host,
                from,
                folder,
                certificate,
                chain,
            } => switch_host(
                &store.hosts,
                host,
                &root.join(from),
                folder,
                &[(CERT, certificate), (CHAIN, chain)],
            ),
        }
    }
}

// Where the new name is taken, it has been done, and what has the old name is something else.
fn set_aside(path: &Path, to: &Path) -> Result<(), FileError> {
    if !files::exists(path) || files::exists(to) {
        return Ok(());
    }
    disk::rename(path, to).map_err(|error| FileError::new("rename", path, error))
}

// The status is one character, overwritten in place, if the row is still where it was.
fn expire_row(database: &Path, at: u64, serial: &str) -> Result<(), FileError> {
    let fail = |error| FileError::new("write", database, error);
    let file = disk::open(database, true).map_err(fail)?;
    let mut head = [0; 512];
    let read = file.read_at(&mut head, at).map_err(fail)?;
    let text = String::from_utf8_lossy(&head[..read]);
    let row = text.split('\n').next().and_then(Row::parse);
    if row.is_some_and(|row| row.is_valid() && row.serial == serial) {
        disk::write_at(&file, database, b"E", at).map_err(fail)?;
    }
    disk::close(file, database).map_err(fail)
}

// Rows are appended at the place the journal has for them. Where something else stands there the
// register was rewritten, and only a look through it tells which rows are in it.
fn append_rows(database: &Path, at: u64, text: &str) -> Result<(), FileError> {
    if !files::exists(database) {
        files::create_new(database, b"", 0o644)?;
    }
    let fail = |error| FileError::new("write", database, error);
    let file = disk::open(database, true).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let length = metadata.size();
    let there = match length.checked_sub(at) {
        Some(_) => read_at_most(&file, at, text.len()).map_err(fail)?,
        None => Vec::new(),
    };
    if there == text.as_bytes() {
        return Ok(());
    }
    if length == at + there.len() as u64 && is_torn(&there, text) {
        if !there.is_empty() {
            disk::set_len(&file, database, at).map_err(fail)?;
        }
        disk::write_at(&file, database, text.as_bytes(), at).map_err(fail)?;
    } else {
        let (end, ended) = index::end(database)?;
        let mut missing = rows_missing(database, text)?;
        if !ended && !missing.is_empty() {
            missing.insert(0, '\n');
        }
        disk::write_at(&file, database, missing.as_bytes(), end).map_err(fail)?;
    }
    disk::close(file, database).map_err(fail)?;
    // An `openssl ca` that works at the same time puts another file in the register's place.
    match database.metadata() {
        Ok(now) if now.ino() == metadata.ino() => Ok(()),
        _ => append_rows(database, at, text),
    }
}

fn rows_missing(database: &Path, text: &str) -> Result<String, FileError> {
    let rows = text.lines().filter(|row| !row.is_empty());
    let mut missing: Vec<&str> = rows.collect();
    let mut found = HashSet::new();
    let wanted: HashSet<&[u8]> = missing.iter().filter_map(|row| serial_of(row)).collect();
    index::lines(database, |_, line| {
        if let Some(serial) = index::serial_in(line).and_then(|serial| wanted.get(serial)) {
            found.insert(*serial);
        }
        found.len() < wanted.len()
    })?;
    missing.retain(|row| serial_of(row).is_some_and(|serial| !found.contains(serial)));
    Ok(missing.iter().flat_map(|row| [*row, "\n"]).collect())
}

fn serial_of(row: &str) -> Option<&[u8]> {
    index::serial_in(row.as_bytes())
}

fn read_at_most(file: &std::fs::File, at: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match file.read_at(&mut bytes[filled..], at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

// A certificate in newcerts is never overwritten, except by what completes it after a power loss.
// Where two have one number and that is revoked, the other one may keep the place.
fn store_certificate(database: &Path, path: &Path, text: &str) -> Result<(), PublishError> {
    match files::create_new(path, text.as_bytes(), 0o644) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
        created => return Ok(created?),
    }
    let there = files::read(path)?;
    if *there == text.as_bytes() {
        return Ok(());
    }
    if is_torn(&there, text) {
        return Ok(files::replace(path, text.as_bytes(), 0o644)?);
    }
    let serial = path.file_stem().unwrap_or_default().as_encoded_bytes();
    let mut is_revoked = false;
    index::lines(database, |_, line| {
        let is_it = index::serial_in(line) == Some(serial);
        is_revoked |= is_it && index::revocation_in(line).is_some();
        !is_it
    })?;
    if is_revoked {
        return Ok(());
    }
    Err(PublishError::Occupied(path.to_owned()))
}

// What a power loss leaves of unsynced bytes: fewer of them, and zeros in the place of some.
fn is_torn(there: &[u8], text: &str) -> bool {
    let mut pairs = there.iter().zip(text.as_bytes());
    there.len() <= text.len() && pairs.all(|(is, was)| is == was || *is == 0)
}

fn await_certificate(hosts: &Hosts, host: &str, from: &Path) -> Result<(), PublishError> {
    let folder = hosts.next(host);
    match (folder.join(KEY).exists(), from.join(KEY).exists()) {
        (true, _) => Ok(()),
        (false, true) => Ok(disk::rename(from, &folder)
            .map_err(|error| FileError::new("create", &folder, error))?),
        (false, false) => Err(PublishError::KeyGone {
            host: host.into(),
            folder: from.to_owned(),
        }),
    }
}

fn switch_host(
    hosts: &Hosts,
    host: &str,
    from: &Path,
    folder: &str,
    contents: &[(&str, &String)],
) -> Result<(), PublishError> {
    let target = hosts.root().join(folder);
    let holder = if target.exists() { &target } else { from };
    if !holder.join(KEY).exists() {
        return Err(PublishError::KeyGone {
            host: host.into(),
            folder: from.to_owned(),
        });
    }
    for (name, text) in contents {
        files::replace(&holder.join(name), text.as_bytes(), 0o644)?;
    }
    if holder != target {
        disk::rename(holder, &target).map_err(|error| FileError::new("rename", holder, error))?;
    }
    Ok(files::replace_link(
        &hosts.current(host),
        Path::new(folder),
    )?)
}
