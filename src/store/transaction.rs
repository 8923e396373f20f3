//! The one way in which an issued certificate gets into the directory: serial, then journal, then
//! everything else. Two waits for the disk, whatever the number of files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use time::OffsetDateTime;

use super::hosts::{CERT, CHAIN, HostError, Hosts, KEY};
use super::index::{self, Row};
use super::journal::{Journal, JournalError, Step};
use super::{Store, with_suffix};
use crate::pki::certificate::Certificate;
use crate::pki::key::EncodedKey;
use crate::pki::name::Name;
use crate::pki::serial::{SerialError, SerialNumber};
use crate::sys::files::{self, FileError};
use crate::sys::lock::{self, Lock, LockError};

#[cfg(test)]
mod tests;

/// Why a transaction failed.
#[derive(Debug, Error)]
pub enum TransactionError {
    /// The lock was not to be had.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// The commit failed.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// Before the commit, a file could not be read or written: nothing was issued.
    #[error("{0}")]
    File(#[from] FileError),
    /// A host's folder stands in the way.
    #[error("{0}")]
    Host(#[from] HostError),
    /// `serial` holds no serial number.
    #[error("{}: {source}", .path.display())]
    Serial {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: SerialError,
    },
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
    /// newreq.pem is the book's, with a private key in it.
    #[error("{} holds a private key, which is never overwritten", .0.display())]
    RequestHoldsKey(PathBuf),
    /// The commit is done, but what it describes could not be written: the next writer will.
    #[error("the certificate is recorded, but publishing it failed: {0}")]
    Pending(#[source] PublishError),
    /// What a writer before left unfinished cannot be finished.
    #[error("what an earlier command recorded cannot be finished: {0}")]
    Recovery(#[source] PublishError),
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

/// A certificate to be recorded, and where it goes besides index.txt and newcerts.
#[derive(Debug)]
pub struct Issued<'a> {
    /// the certificate
    pub certificate: &'a Certificate,
    /// newcert.pem, if it is to be written
    pub copy_to: Option<PathBuf>,
    /// the host whose key it belongs to, if the key is here
    pub host: Option<HostKey>,
}

/// A host and the folder its key is in.
#[derive(Clone, Debug)]
pub struct HostKey {
    /// the host's file name
    pub host: String,
    /// the folder
    pub folder: PathBuf,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub struct Transaction<'a> {
    store: &'a Store,
    journal: Journal,
    _lock: Lock,
}

impl<'a> Transaction<'a> {
    /// Waits for the lock, then finishes or undoes what a dead process left.
    ///
    /// # Errors
    /// When the lock is held for longer than `wait`, or what was left cannot be finished.
    pub(super) fn begin(store: &'a Store, wait: Duration) -> Result<Self, TransactionError> {
        let database = &store.settings.database;
        let lock = lock::acquire(&with_suffix(database, ".lock"), wait)?;
        let mode = files::mode(database).unwrap_or(0o644);
        let journal = Journal::open(&with_suffix(database, ".journal"), mode)?;
        let mut transaction = Self {
            store,
            journal,
            _lock: lock,
        };
        let unfinished = transaction.journal.unfinished()?;
        if !unfinished.is_empty() {
            transaction
                .recover(&unfinished)
                .map_err(TransactionError::Recovery)?;
        }
        discard_pending(&store.hosts)?;
        Ok(transaction)
    }

    /// Takes the next serial number: the file `serial` is advanced past it, and past every number
    /// that newcerts has already. A number taken and not used is skipped, never given twice. Where
    /// there is no such file, `random` is the first, above every number in the register.
    ///
    /// # Errors
    /// When `serial` is unreadable, or holds no serial number.
    pub fn take_serial(&mut self, random: &SerialNumber) -> Result<SerialNumber, TransactionError> {
        let path = &self.store.settings.serial;
        let bad = |source| TransactionError::Serial {
            path: path.clone(),
            source,
        };
        let mut serial = match files::read_if_there(path)? {
            Some(text) => String::from_utf8_lossy(&text).trim().parse().map_err(bad)?,
            None => match index::highest_serial(&self.store.settings.database)? {
                Some(highest) if highest >= *random => highest.plus(random).map_err(bad)?,
                _ => random.clone(),
            },
        };
        while serial == self.store.certificate.serial
            || files::exists(&self.store.certificate_path(&serial))
        {
            serial = serial.next().map_err(bad)?;
        }
        let next = serial.next().map_err(bad)?;
        files::replace(path, format!("{next}\n").as_bytes(), 0o644)?;
        Ok(serial)
    }

    /// Puts a host's key where a commit finds it: a copy of the current one, or a new one.
    /// Without a commit it is gone again with the next transaction at the latest.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn stage_key(
        &self,
        host: &str,
        serial: &SerialNumber,
        pem: &str,
    ) -> Result<HostKey, TransactionError> {
        let hosts = &self.store.hosts;
        files::create_dir(hosts.root(), 0o755)?;
        files::create_dir(&hosts.pending(), 0o700)?;
        let folder = hosts.pending().join(folder_name(host, serial));
        let current = hosts.current(host);
        let folder_mode = files::mode(&current).unwrap_or(0o755);
        files::create_dir(&folder, folder_mode)?;
        let key_mode = files::mode(&current.join(KEY)).unwrap_or(0o600);
        files::create_new(&folder.join(KEY), pem.as_bytes(), key_mode)?;
        Ok(HostKey {
            host: host.into(),
            folder,
        })
    }

    /// Writes newreq.pem, and before it the new key it is for, to wait in `hosts/HOST.next`.
    ///
    /// # Errors
    /// When a key waits there already, newreq.pem holds one, or a file cannot be written.
    pub fn store_request(
        self,
        host: &str,
        key: Option<&str>,
        request: &str,
    ) -> Result<(), TransactionError> {
        self.store.check_request()?;
        let path = self.store.request_path();
        let hosts = &self.store.hosts;
        let folder = hosts.next(host);
        if let Some(key) = key {
            files::create_dir(hosts.root(), 0o755)?;
            files::create_dir(&hosts.pending(), 0o700)?;
            let staged = hosts.pending().join(host);
            files::create_dir(&staged, 0o755)?;
            files::create_new(&staged.join(KEY), key.as_bytes(), 0o600)?;
            files::sync_file(&staged.join(KEY))?;
            fs::rename(&staged, &folder)
                .map_err(|error| FileError::new("create", &folder, error))?;
        }
        files::replace(&path, request.as_bytes(), 0o644)?;
        discard_pending(hosts)?;
        self.settle().map(|_| ())
    }

    /// Waits until everything written so far is on the disk: the serial numbers taken, the keys
    /// staged, and the files of the transaction before. No certificate may be signed earlier.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settle(self) -> Result<Settled<'a>, TransactionError> {
        let register = files::parent(&self.store.settings.database);
        files::sync_filesystem(register)?;
        Ok(Settled(self))
    }

    fn steps(
        &self,
        issued: &Issued<'_>,
        now: OffsetDateTime,
    ) -> Result<Vec<Step>, TransactionError> {
        let settings = &self.store.settings;
        let certificate = issued.certificate;
        let pem = certificate.to_pem();
        let subject = index::subject_of(certificate);
        let mut steps = self.store.past_rows_of(&subject, now)?;
        let (at, ended) = index::end(&settings.database)?;
        let row = index::line_of(certificate);
        steps.push(Step::AppendRow {
            at,
            serial: certificate.serial.to_string(),
            line: if ended { row } else { format!("\n{row}") },
        });
        steps.push(Step::StoreCertificate {
            path: self.relative(&self.store.certificate_path(&certificate.serial)),
            text: pem.clone(),
        });
        if let Some(HostKey { host, folder }) = &issued.host {
            let new = folder_name(host, &certificate.serial);
            let path = self.store.hosts.root().join(&new);
            // A host can be called `mail.02`, as the folder of `mail` with the serial number 02.
            if files::exists(&path) {
                return Err(TransactionError::Host(HostError::NameTaken {
                    path,
                    other: "another host".into(),
                    host: host.clone(),
                }));
            }
            steps.push(Step::SwitchHost {
                host: host.clone(),
                from: self.relative(folder),
                folder: new,
                chain: format!("{pem}{}", self.store.certificate.to_pem()),
                certificate: pem.clone(),
            });
        }
        if let Some(path) = &issued.copy_to {
            steps.push(Step::WriteFile {
                path: self.relative(path),
                text: pem,
            });
        }
        Ok(steps)
    }

    fn publish(&mut self, steps: &[Step]) -> Result<(), PublishError> {
        for step in steps {
            self.carry_out(step)?;
        }
        Ok(self.journal.published()?)
    }

    // As publish. A key was durable before the record was, so where it is gone somebody has
    // removed the host since, and there is nothing left to switch.
    fn recover(&mut self, steps: &[Step]) -> Result<(), PublishError> {
        for step in steps {
            match self.carry_out(step) {
                Err(PublishError::KeyGone { .. }) => {}
                other => other?,
            }
        }
        Ok(self.journal.published()?)
    }

    fn carry_out(&self, step: &Step) -> Result<(), PublishError> {
        let database = &self.store.settings.database;
        let root = &self.store.settings.root;
        match step {
            Step::ExpireRow { at, serial } => Ok(expire_row(database, *at, serial)?),
            Step::AppendRow { at, serial, line } => Ok(append_row(database, *at, serial, line)?),
            Step::StoreCertificate { path, text } => store_certificate(&root.join(path), text),
            Step::WriteFile { path, text } => {
                Ok(files::replace(&root.join(path), text.as_bytes(), 0o644)?)
            }
            Step::SwitchHost {
                host,
                from,
                folder,
                certificate,
                chain,
            } => switch_host(
                &self.store.hosts,
                host,
                &root.join(from),
                folder,
                &[(CERT, certificate), (CHAIN, chain)],
            ),
        }
    }

    // A directory that is moved or restored elsewhere keeps its journal.
    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.store.settings.root)
            .unwrap_or(path)
            .to_owned()
    }
}

/// A transaction whose serial numbers and keys are on the disk: certificates may be signed.
#[derive(Debug)]
pub struct Settled<'a>(Transaction<'a>);

impl Settled<'_> {
    /// Records an issued certificate and publishes it.
    ///
    /// # Errors
    /// Before the commit, anything; after it, [`TransactionError::Pending`].
    pub fn commit(self, issued: &Issued<'_>, now: OffsetDateTime) -> Result<(), TransactionError> {
        let Self(mut transaction) = self;
        let steps = transaction.steps(issued, now)?;
        transaction.journal.commit(&steps)?;
        transaction
            .publish(&steps)
            .map_err(TransactionError::Pending)?;
        // No reason to fail: the files are there, and the next transaction discards it again.
        let _ = discard_pending(&transaction.store.hosts);
        Ok(())
    }
}

impl Store {
    /// Refuses a subject that may not have another valid certificate (`unique_subject = yes`).
    ///
    /// # Errors
    /// [`TransactionError::NotUnique`], or that the register cannot be read.
    pub fn check_unique(
        &self,
        subject: &Name,
        now: OffsetDateTime,
    ) -> Result<(), TransactionError> {
        // An empty subject is recorded under its serial number, which is always another.
        if subject.is_empty() {
            return Ok(());
        }
        self.past_rows_of(&subject.oneline(), now).map(|_| ())
    }

    /// Refuses to have newreq.pem overwritten where it holds a private key.
    ///
    /// # Errors
    /// [`TransactionError::RequestHoldsKey`], or that it cannot be read.
    pub fn check_request(&self) -> Result<(), TransactionError> {
        let path = self.request_path();
        let Some(there) = files::read_if_there(&path)? else {
            return Ok(());
        };
        match EncodedKey::find(&there) {
            Ok(None) => Ok(()),
            _ => Err(TransactionError::RequestHoldsKey(path)),
        }
    }

    // Under unique_subject = yes a second valid row of a subject makes `openssl ca` stop
    // altogether, so rows past their date are marked first, as `openssl ca -updatedb` does.
    fn past_rows_of(
        &self,
        subject: &str,
        now: OffsetDateTime,
    ) -> Result<Vec<Step>, TransactionError> {
        if !self.unique_subject {
            return Ok(Vec::new());
        }
        let mut past = Vec::new();
        let mut holder = None;
        index::scan(&self.settings.database, |at, row| {
            if row.is_valid() && row.subject == subject {
                if row.is_past(now) {
                    past.push(Step::ExpireRow {
                        at,
                        serial: row.serial.into(),
                    });
                } else {
                    holder = Some(row.serial.to_owned());
                }
            }
            holder.is_none()
        })?;
        match holder {
            Some(serial) => Err(TransactionError::NotUnique {
                subject: subject.into(),
                serial,
            }),
            None => Ok(past),
        }
    }
}

fn folder_name(host: &str, serial: &SerialNumber) -> String {
    format!("{host}.{serial}")
}

fn open_register(database: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(database)
}

// The status is one character, overwritten in place, if the row is still where it was.
fn expire_row(database: &Path, at: u64, serial: &str) -> Result<(), FileError> {
    let fail = |error| FileError::new("write", database, error);
    let file = open_register(database).map_err(fail)?;
    let mut head = [0; 512];
    let read = file.read_at(&mut head, at).map_err(fail)?;
    let text = String::from_utf8_lossy(&head[..read]);
    let row = text.split('\n').next().and_then(Row::parse);
    if row.is_some_and(|row| row.is_valid() && row.serial == serial) {
        file.write_all_at(b"E", at).map_err(fail)?;
    }
    Ok(())
}

// A row is appended whole at the place the journal has for it. Where something else stands there
// the register was rewritten, and only a look through it tells whether the row is in it.
fn append_row(database: &Path, at: u64, serial: &str, line: &str) -> Result<(), FileError> {
    if !files::exists(database) {
        files::create_new(database, b"", 0o644)?;
    }
    let fail = |error| FileError::new("write", database, error);
    let file = open_register(database).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.size();
    let mut there = vec![0; line.len()];
    let read = match length.checked_sub(at) {
        Some(_) => file.read_at(&mut there, at).map_err(fail)?,
        None => 0,
    };
    if there == line.as_bytes() {
        return Ok(());
    }
    let is_last = length == at + read as u64;
    if is_last && is_torn(&there[..read], line) {
        return file
            .set_len(at)
            .and_then(|()| file.write_all_at(line.as_bytes(), at))
            .map_err(fail);
    }
    if index::has_serial(database, serial)? {
        return Ok(());
    }
    let (end, ended) = index::end(database)?;
    let row = format!(
        "{}{}",
        if ended { "" } else { "\n" },
        line.trim_start_matches('\n')
    );
    file.write_all_at(row.as_bytes(), end).map_err(fail)
}

// A certificate in newcerts is never overwritten, except by what completes it after a power loss.
fn store_certificate(path: &Path, text: &str) -> Result<(), PublishError> {
    match files::read_if_there(path)? {
        Some(there) if *there == text.as_bytes() => Ok(()),
        Some(there) if !is_torn(&there, text) => Err(PublishError::Occupied(path.to_owned())),
        _ => Ok(files::replace(path, text.as_bytes(), 0o644)?),
    }
}

// What a power loss leaves of unsynced bytes: the first of them, and zeros for the others.
fn is_torn(there: &[u8], text: &str) -> bool {
    let zeros = there.iter().rev().take_while(|byte| **byte == 0).count();
    text.as_bytes().starts_with(&there[..there.len() - zeros])
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
        fs::rename(holder, &target).map_err(|error| FileError::new("rename", holder, error))?;
    }
    Ok(files::replace_link(
        &hosts.current(host),
        Path::new(folder),
    )?)
}

// Keys staged for a commit that never came.
fn discard_pending(hosts: &Hosts) -> Result<(), FileError> {
    let pending = hosts.pending();
    match fs::remove_dir_all(&pending) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", &pending, error))
        }
        _ => Ok(()),
    }
}
