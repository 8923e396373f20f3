//! The one way in which an issued certificate gets into the directory: serial, then journal, then
//! everything else. Two waits for the disk, whatever the number of files.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::compromised::CompromisedKeys;
use super::hosts::{self, HostError, KEY};
use super::index;
use super::journal::{Journal, JournalError, Record, Stamp};
use super::register::{Holders, RegisterError};
use super::revoked::Revoked;
use super::staged;
use super::steps::{PublishError, Step};
use super::{Store, journal_path, with_suffix};
use crate::pki::certificate::Certificate;
use crate::pki::key::EncodedKey;
use crate::pki::name::NameError;
use crate::pki::serial::{SerialError, SerialNumber};
use crate::pki::tbs::WriteError;
use crate::sys::disk;
use crate::sys::files::{self, FileError, SecretError};
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
    /// A file that must be there is not, and something shows that it was.
    #[error("{} is missing, and {there}", .path.display())]
    Missing {
        /// the file
        path: PathBuf,
        /// what shows it
        there: String,
    },
    /// The register says no.
    #[error("{0}")]
    Register(#[from] RegisterError),
    /// newreq.pem is the book's, with a private key in it.
    #[error("{} holds a private key, which is never overwritten", .0.display())]
    RequestHoldsKey(PathBuf),
    /// The CA's key cannot be read, or others can read it too.
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// Where the CA's key is to be kept, there is something else.
    #[error("{} holds something else than the CA's key", .0.display())]
    OtherKeyKept(PathBuf),
    /// A CRL could not be written.
    #[error("{0}")]
    Crl(#[from] WriteError),
    /// The CA's name has no hash.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The commit is done, but what it describes could not be written: the next writer will.
    #[error("it is recorded, but publishing it failed: {0}")]
    Pending(#[source] PublishError),
    /// What a writer before left unfinished cannot be finished.
    #[error("what an earlier command recorded cannot be finished: {0}")]
    Recovery(#[source] PublishError),
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
    pub(super) store: &'a Store,
    journal: Journal,
    /// the highest serial number known without reading the whole register
    known: Option<SerialNumber>,
    /// what puts the staged files into their places
    pub(super) staged: Vec<Step>,
    /// whether one of them is the register
    pub(super) rewrites_register: bool,
    /// the certificates that it revokes
    pub(super) newly_revoked: Revoked,
    /// the keys that must never be certified again, and those found since they were written down
    pub(super) compromised: CompromisedKeys,
    /// whether the journal may need what is staged
    keeps_staged: bool,
    _lock: Lock,
}

impl<'a> Transaction<'a> {
    /// Waits for the lock, then finishes or undoes what a dead process left, and looks whether an
    /// older copy of the register, or none, took the place of the one that mailca wrote.
    ///
    /// # Errors
    /// When the lock is held for longer than `wait`, what was left cannot be finished, or rows
    /// are lost.
    pub(super) fn begin(store: &'a Store, wait: Duration) -> Result<Self, TransactionError> {
        let mut transaction = Self::locked(store, wait)?;
        let last = transaction.journal.last()?;
        let pending = Record::unfinished(last.as_ref())?;
        store.refuse_missing(&pending)?;
        transaction.finish(&pending)?;
        transaction.judge(last)?;
        Ok(transaction)
    }

    /// The same without a judgement on the register, which shall be mended.
    ///
    /// # Errors
    /// When the lock is held for longer than `wait`, or what was left cannot be finished.
    pub(super) fn begin_repair(store: &'a Store, wait: Duration) -> Result<Self, TransactionError> {
        let mut transaction = Self::locked(store, wait)?;
        let last = transaction.journal.last()?;
        let pending = Record::unfinished(last.as_ref())?;
        // Or only the last rows would be in it.
        if let Some(base) = store.register_put_away().filter(|_| !pending.is_empty()) {
            let name = store.settings.database.file_name().unwrap_or_default();
            files::create_copy(&base, name)?;
        }
        transaction.finish(&pending)?;
        transaction.compromised = CompromisedKeys::read(store, false)?;
        Ok(transaction)
    }

    // The right to write, whatever is there.
    fn locked(store: &'a Store, wait: Duration) -> Result<Self, TransactionError> {
        let database = &store.settings.database;
        let lock = lock::acquire(&with_suffix(database, ".lock"), wait)?;
        // As readable as the register. But what is in it will be done, by whoever writes next.
        let mode = files::mode(database).unwrap_or(0o644) & !0o022;
        let journal = Journal::open(&journal_path(&store.settings), mode)?;
        Ok(Self {
            store,
            journal,
            known: None,
            compromised: CompromisedKeys::read(store, true)?,
            staged: Vec::new(),
            rewrites_register: false,
            newly_revoked: Revoked::default(),
            keeps_staged: true,
            _lock: lock,
        })
    }

    // Finishes or undoes what a dead process left.
    fn finish(&mut self, pending: &[Step]) -> Result<(), TransactionError> {
        if !pending.is_empty() {
            self.recover(pending).map_err(TransactionError::Recovery)?;
        }
        self.keeps_staged = false;
        Ok(self.discard_staged()?)
    }

    // Whether the register is one that can be gone on with.
    fn judge(&mut self, last: Option<Record>) -> Result<(), TransactionError> {
        let database = &self.store.settings.database;
        let (highest, stranger) = index::last_rows(database)?;
        if let Some(line) = stranger {
            let path = database.clone();
            return Err(RegisterError::NotARow { path, line }.into());
        }
        let register = Stamp::of(database)?;
        let is_ours = last
            .as_ref()
            .is_some_and(|last| last.is_published && last.is_last_of(&register));
        if !is_ours {
            self.compromised = CompromisedKeys::read(self.store, false)?;
        }
        self.known = match last {
            Some(record) if record.is_published && !is_ours => {
                self.store.check_rewritten(&record)?
            }
            _ => highest,
        };
        Ok(())
    }

    /// Takes the next serial numbers: the file `serial` is advanced past them, and past every
    /// number that newcerts or the register has already. A number taken and not used is skipped,
    /// never given twice. Where there is no such file, `random` is the first, above every number
    /// in the register.
    ///
    /// # Errors
    /// When `serial` is unreadable, or holds no serial number.
    pub fn take_serials(
        &mut self,
        count: usize,
        random: &SerialNumber,
    ) -> Result<Vec<SerialNumber>, TransactionError> {
        let settings = &self.store.settings;
        let path = &settings.serial;
        let bad = |source| TransactionError::Serial {
            path: path.clone(),
            source,
        };
        let mut serial = match files::read_if_there(path)? {
            Some(text) => number_in(&text).map_err(bad)?,
            None => match index::highest_serial(&settings.database)? {
                Some(highest) if highest >= *random => highest.plus(random).map_err(bad)?,
                _ => random.clone(),
            },
        };
        // An old copy of the file was put back.
        if self.known.as_ref().is_some_and(|known| serial <= *known)
            && let Some(highest) = index::highest_serial(&settings.database)?
        {
            serial = highest.next().map_err(bad)?;
        }
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let is_free = serial != self.store.certificate.serial
                && !files::exists(&self.store.kept_certificate(&serial));
            let next = serial.next().map_err(bad)?;
            if is_free {
                taken.push(serial);
            }
            serial = next;
        }
        files::overwrite(path, format!("{serial}\n").as_bytes(), 0o644)?;
        Ok(taken)
    }

    /// Puts a host's key where a commit finds it: a copy of the current one, or a new one.
    /// Without a commit it is gone again when the transaction ends.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn stage_key(
        &self,
        host: &str,
        serial: &SerialNumber,
        pem: &str,
    ) -> Result<HostKey, TransactionError> {
        let folder = self.stage(&folder_name(host, serial), pem, Some(host))?;
        Ok(HostKey {
            host: host.into(),
            folder,
        })
    }

    // Owner, group and mode are those of the folder and key of the host that it is `like`, if there
    // are any.
    fn stage(
        &self,
        name: &str,
        pem: &str,
        like: Option<&str>,
    ) -> Result<PathBuf, TransactionError> {
        let root = self.store.hosts.root();
        files::create_dir(root, 0o755)?;
        let hosts = files::open_folder(root)?;
        let host = like.map(Path::new);
        let key = host.map(|host| host.join(KEY));
        let (host, key) = (
            host.map(|it| (&hosts, it)),
            key.as_deref().map(|it| (&hosts, it)),
        );
        let pending = files::create_dir_in(&hosts, hosts::PENDING, 0o700, None)?;
        let folder = files::create_dir_in(&pending, name, 0o755, host)?;
        files::create_in(&folder, KEY, pem.as_bytes(), 0o600, key)?;
        Ok(folder.path().to_owned())
    }

    /// Puts newreq.pem and the new key it is for, which waits in `hosts/HOST.next`, into their
    /// places, both or neither.
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
        let mut steps = Vec::new();
        if let Some(key) = key {
            refuse_taken(&self.store.hosts.next(host), host)?;
            let from = self.stage(host, key, None)?;
            steps.push(Step::AwaitCertificate {
                host: host.into(),
                from: self.relative(&from),
            });
        }
        steps.push(Step::WriteFile {
            path: self.relative(&self.store.request_path()),
            text: request.into(),
        });
        self.settle()?.record(&steps)
    }

    /// Waits until everything written so far is on the disk: the serial numbers taken, the keys
    /// staged, and the files of the transaction before. No certificate may be signed earlier.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settle(self) -> Result<Settled<'a>, TransactionError> {
        let settings = &self.store.settings;
        let register = files::parent(&settings.database);
        let places = [
            register,
            files::parent(&settings.serial),
            files::parent(&settings.crl_number),
            files::parent(&settings.crl),
            &settings.crl_dir,
            &settings.root,
            &settings.new_certs_dir,
            files::parent(&settings.private_key),
            &settings.certs,
            self.store.hosts.root(),
        ];
        let mut synced = Vec::new();
        for place in places {
            // What is not there has nothing to sync: hosts/ comes with the first host.
            let Ok(metadata) = fs::metadata(place) else {
                continue;
            };
            if !synced.contains(&metadata.dev()) {
                files::sync_filesystem(place)?;
                synced.push(metadata.dev());
            }
        }
        Ok(Settled(self))
    }

    fn steps(
        &self,
        issued: &[Issued<'_>],
        holders: &Holders,
    ) -> Result<Vec<Step>, TransactionError> {
        if issued.is_empty() {
            return Ok(Vec::new());
        }
        let register = self.register();
        if files::exists(&register) {
            files::mode(&register)?;
        }
        let mut steps = if self.rewrites_register {
            Vec::new()
        } else {
            holders.past.clone()
        };
        let (at, ended) = index::end(&register)?;
        let mut rows = String::new();
        if !ended {
            rows.push('\n');
        }
        for issued in issued {
            rows.push_str(&index::line_of(issued.certificate));
        }
        steps.push(Step::AppendRows { at, text: rows });
        for issued in issued {
            self.push_files(issued, &mut steps)?;
        }
        Ok(steps)
    }

    fn push_files(
        &self,
        issued: &Issued<'_>,
        steps: &mut Vec<Step>,
    ) -> Result<(), TransactionError> {
        let certificate = issued.certificate;
        let pem = certificate.to_pem();
        let path = self.store.certificate_path(&certificate.serial);
        steps.push(Step::StoreCertificate {
            path: self.relative(&path),
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
            refuse_other_than_link(&self.store.hosts.current(host))?;
            steps.push(Step::SwitchHost {
                host: host.clone(),
                from: self.relative(folder),
                folder: new,
                chain: format!("{pem}{}", self.store.certificate.to_pem()),
                certificate: pem.clone(),
            });
        }
        if let Some(path) = &issued.copy_to {
            refuse_unwritable(path)?;
            steps.push(Step::WriteFile {
                path: self.relative(path),
                text: pem,
            });
        }
        Ok(())
    }

    /// The register as it will be before anything is appended.
    pub(super) fn register(&self) -> PathBuf {
        let database = &self.store.settings.database;
        if self.rewrites_register {
            staged::beside(database)
        } else {
            database.clone()
        }
    }

    fn publish(&mut self, steps: &[Step]) -> Result<(), PublishError> {
        for step in steps {
            step.carry_out_first(self.store)?;
        }
        self.published()
    }

    // As publish. A key was durable before the record was, so where it is gone somebody has
    // removed the host since, and there is nothing left to switch.
    fn recover(&mut self, steps: &[Step]) -> Result<(), PublishError> {
        for step in steps {
            match step.carry_out(self.store) {
                Err(PublishError::KeyGone { .. }) => {}
                other => other?,
            }
        }
        self.published()
    }

    fn published(&mut self) -> Result<(), PublishError> {
        let register = Stamp::of(&self.store.settings.database)?;
        Ok(self.journal.published(&register)?)
    }

    pub(super) fn relative(&self, path: &Path) -> PathBuf {
        self.store.settings.from_root(path)
    }

    // Keys and files for a commit that never came.
    fn discard_staged(&self) -> Result<(), FileError> {
        let keys = self.store.hosts.pending();
        match disk::remove_dir_all(&keys) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::new("remove", &keys, error));
            }
            _ => {}
        }
        let settings = &self.store.settings;
        let serial = &self.store.certificate.serial;
        let files = [
            &settings.database,
            &settings.crl,
            &settings.crl_der(),
            &settings.private_key,
            &self.store.kept_key_path(serial),
            &self.store.kept_crl_path(serial),
        ];
        files.into_iter().try_for_each(|path| staged::discard(path))
    }
}

impl Drop for Transaction<'_> {
    // A command that failed leaves no key behind.
    fn drop(&mut self) {
        if !self.keeps_staged {
            let _ = self.discard_staged();
        }
    }
}

/// A transaction whose serial numbers and keys are on the disk: certificates may be signed.
#[derive(Debug)]
pub struct Settled<'a>(Transaction<'a>);

impl Settled<'_> {
    /// Records issued certificates, all or none, and publishes them.
    ///
    /// # Errors
    /// Before the commit, anything; after it, [`TransactionError::Pending`].
    pub fn commit(self, issued: &[Issued<'_>], holders: &Holders) -> Result<(), TransactionError> {
        let steps = self.0.steps(issued, holders)?;
        self.record(&steps)
    }

    pub(super) fn record(self, steps: &[Step]) -> Result<(), TransactionError> {
        let Self(mut transaction) = self;
        let mut all = transaction.staged.clone();
        all.extend(transaction.compromised.step(transaction.store));
        all.extend_from_slice(steps);
        let steps = &all;
        let committed = transaction.journal.commit(steps);
        transaction.keeps_staged = !matches!(committed, Err(JournalError::NotRecorded(_)));
        committed?;
        transaction
            .publish(steps)
            .map_err(TransactionError::Pending)?;
        transaction.keeps_staged = false;
        Ok(())
    }
}

impl Store {
    /// Refuses what would begin the register or the serial numbers anew although there were some:
    /// an `openssl ca` that died between its renames has put them away, or newcerts tells of
    /// them.
    ///
    /// # Errors
    /// [`TransactionError::Missing`], or that newcerts cannot be read.
    pub fn check_nothing_missing(&self) -> Result<(), TransactionError> {
        self.refuse_missing(&self.pending)
    }

    fn refuse_missing(&self, pending: &[Step]) -> Result<(), TransactionError> {
        let settings = &self.settings;
        refuse_put_away(&settings.database)?;
        refuse_put_away(&settings.serial)?;
        // The first rows that there ever were may be in the journal only.
        let is_first = |step: &Step| matches!(step, Step::AppendRows { at: 0, .. });
        if files::exists(&settings.database)
            || pending.iter().any(is_first)
            || !self.has_issued()?
        {
            return Ok(());
        }
        Err(TransactionError::Missing {
            path: settings.database.clone(),
            there: format!("{} holds certificates", settings.new_certs_dir.display()),
        })
    }

    /// Refuses to sign where newcert.pem could not be written afterwards.
    ///
    /// # Errors
    /// When something stands in its place that is not replaced.
    pub fn check_last_certificate(&self) -> Result<(), FileError> {
        refuse_unwritable(&self.last_certificate_path())
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
}

/// The number in a file such as `serial`: as OpenSSL reads it, without what stands behind it, but
/// some CAs begin with zero, which no number may be.
pub(super) fn number_in(text: &[u8]) -> Result<SerialNumber, SerialError> {
    let text = String::from_utf8_lossy(text);
    let digits = text.split_whitespace().next().unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|digit| digit == b'0') {
        return SerialNumber::from_be_bytes(&[1]);
    }
    digits.parse()
}

fn folder_name(host: &str, serial: &SerialNumber) -> String {
    format!("{host}.{serial}")
}

/// Refuses where `openssl ca` has put a file away as `.old`, and died before its successor, `.new`,
/// took the place.
pub(super) fn refuse_put_away(path: &Path) -> Result<(), TransactionError> {
    if files::exists(path) {
        return Ok(());
    }
    let beside = [".old", ".new"].map(|suffix| with_suffix(path, suffix));
    let there: Vec<String> = beside
        .iter()
        .filter(|path| files::exists(path))
        .map(|path| path.display().to_string())
        .collect();
    let there = match there.as_slice() {
        [] => return Ok(()),
        [one] => format!("{one} lies beside its place"),
        all => format!("{} lie beside its place", all.join(" and ")),
    };
    Err(TransactionError::Missing {
        path: path.to_owned(),
        there,
    })
}

// What would fail after the commit fails before it.
fn refuse_unwritable(path: &Path) -> Result<(), FileError> {
    let problem = match fs::metadata(path).map(|found| found.file_type()) {
        Ok(found) if found.is_dir() => io::ErrorKind::IsADirectory.into(),
        // Writing would wait for a reader.
        Ok(found) if found.is_fifo() => io::Error::other("it is a FIFO"),
        Err(error) if error.kind() != io::ErrorKind::NotFound => error,
        _ => return Ok(()),
    };
    Err(FileError::new("write", path, problem))
}

// A folder with nothing in it may be left of a key that somebody has taken away.
fn refuse_taken(folder: &Path, host: &str) -> Result<(), HostError> {
    let is_free = match fs::symlink_metadata(folder) {
        Ok(found) => found.is_dir() && folder.read_dir().is_ok_and(|mut all| all.next().is_none()),
        Err(_) => true,
    };
    if is_free {
        return Ok(());
    }
    Err(HostError::NameTaken {
        path: folder.to_owned(),
        other: "something else".into(),
        host: format!("the new key of {host}"),
    })
}

fn refuse_other_than_link(path: &Path) -> Result<(), FileError> {
    if files::exists(path) && !path.is_symlink() {
        return Err(FileError::new(
            "link",
            path,
            io::ErrorKind::AlreadyExists.into(),
        ));
    }
    Ok(())
}
