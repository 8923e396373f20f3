//! The CA directory: an `openssl ca` directory, read and written as OpenSSL would. Nothing else
//! in mailca writes there.

pub mod access;
pub mod audit;
pub mod compromised;
pub mod conf;
pub mod create;
pub mod hosts;
pub mod index;
pub mod issuers;
pub mod journal;
pub mod layout;
pub mod package;
pub mod register;
pub mod renewal;
pub mod repair;
pub mod revocation;
mod revoked;
pub mod settings;
pub mod staged;
pub mod steps;
pub mod transaction;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use self::compromised::CompromisedKeys;
use self::hosts::{Committed, Hosts};
use self::issuers::Issuer;
use self::journal::{Record, Stamp};

use self::settings::{Settings, SettingsError};
use self::steps::Step;
use self::transaction::{Transaction, TransactionError};
use crate::pki::certificate::{Certificate, CertificateError};
use crate::pki::key::{EncodedKey, KeyError};
use crate::pki::name::NameError;
use crate::pki::serial::SerialNumber;
use crate::sys::files::{self, FileError, SecretError};

/// Why a CA directory cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no CA certificate.
    #[error("{} holds no CA: {} is missing", .root.display(), .certificate.display())]
    NoCa {
        /// the directory
        root: PathBuf,
        /// where its CA certificate should be
        certificate: PathBuf,
        /// the settings that say so
        config: Option<PathBuf>,
    },
    /// The CA certificate cannot be read.
    #[error("{}: {source}", .path.display())]
    Certificate {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: CertificateError,
    },
    /// The CA key cannot be read.
    #[error("{}: {source}", .path.display())]
    Key {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: KeyError,
    },
    /// The CA key's file holds none.
    #[error("{} holds no private key", .0.display())]
    NoKey(PathBuf),
    /// The CA key cannot be read, or others can read it too.
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// openssl.cnf cannot be used.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// A file cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
}

/// An open CA directory.
#[derive(Debug)]
pub struct Store {
    /// where everything lies
    pub settings: Settings,
    /// the CA's own certificate
    pub certificate: Certificate,
    /// those above it, the nearest first, as far as they are here
    pub issuers: Vec<Issuer>,
    /// whether a subject may have only one valid certificate
    pub unique_subject: bool,
    /// the mail hosts whose keys are here
    pub hosts: Hosts,
    /// what a transaction has committed, and perhaps not carried out yet
    pending: Vec<Step>,
    /// whether the process died that committed it
    is_interrupted: bool,
    /// whether nobody else wrote to the register since mailca last did
    register_is_ours: bool,
    compromised_keys: OnceLock<CompromisedKeys>,
}

impl Store {
    /// Opens the CA in `root` for reading; nothing is written. `config` stands for its
    /// openssl.cnf, and `env` answers `$ENV::NAME` in it.
    ///
    /// # Errors
    /// When there is no CA, or its settings or certificate cannot be read.
    pub fn open(
        root: &Path,
        config: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, StoreError> {
        let settings = Settings::read(root, config, env)?;
        let last = Record::read(&journal_path(&settings))?;
        let register = Stamp::of(&settings.database)?;
        let register_is_ours = last.as_ref().is_some_and(|last| last.is_last_of(&register));
        let is_interrupted = last.as_ref().is_some_and(|last| last.is_interrupted);
        let pending = Record::unfinished(last.as_ref())?;
        let path = &settings.certificate;
        let bytes = ca_certificate(&settings, &pending)?;
        let certificate =
            Certificate::from_pem_or_der(&bytes).map_err(|source| StoreError::Certificate {
                path: path.clone(),
                source,
            })?;
        let issuers = issuers::find(&certificate, path, &bytes, &settings.certs)?;
        let hosts_root = root.join("hosts");
        let committed = pending
            .iter()
            .filter_map(|step| committed(step, root, &hosts_root));
        Ok(Self {
            unique_subject: settings.unique_subject()?,
            certificate,
            issuers,
            hosts: Hosts::new(hosts_root.clone(), committed.collect()),
            settings,
            pending,
            is_interrupted,
            register_is_ours,
            compromised_keys: OnceLock::new(),
        })
    }

    /// What the CA's certificate lacks that one of today has, as far as the CA itself can make
    /// another, a sentence's end each.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        if !self.certificate.is_self_issued() {
            return Vec::new();
        }
        let mut all = self.certificate.shortcomings();
        let bytes = files::read(&self.settings.certificate);
        if bytes.is_ok_and(|bytes| bytes.first() == Some(&0x30)) {
            all.push("is in DER, which mail servers do not read".into());
        }
        all
    }

    /// The CA's own certificate and those above it, each with its file.
    pub fn chain(&self) -> impl Iterator<Item = (&Path, &Certificate)> {
        let own = (&*self.settings.certificate, &self.certificate);
        let above = self.issuers.iter();
        std::iter::once(own).chain(above.map(|one| (&*one.path, &one.certificate)))
    }

    /// The CA's private key, still locked where it is encrypted.
    ///
    /// # Errors
    /// When it cannot be read, or others than its owner can read it too.
    pub fn private_key(&self) -> Result<EncodedKey, StoreError> {
        let path = &self.settings.private_key;
        let bytes = self.private_key_file()?;
        let found = EncodedKey::find(&bytes).map_err(|source| StoreError::Key {
            path: path.clone(),
            source,
        })?;
        found.ok_or_else(|| StoreError::NoKey(path.clone()))
    }

    // The file with the CA's key, which may be committed and not yet in its place.
    fn private_key_file(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let path = &self.settings.private_key;
        let own = self.settings.from_root(path);
        let committed = self.pending.iter().find_map(|step| match step {
            Step::PlaceFile { path, sha256 } if *path == own => Some(sha256),
            _ => None,
        });
        if let Some(sha256) = committed
            && staged::find(path, sha256)?.is_some()
        {
            return Ok(files::read_secret(&staged::beside(path))?);
        }
        Ok(files::read_secret(path)?)
    }

    /// Takes the lock and the right to write.
    ///
    /// # Errors
    /// When another writer holds it for longer than `wait`, or left something unfinishable.
    pub fn begin(&self, wait: Duration) -> Result<Transaction<'_>, TransactionError> {
        Transaction::begin(self, wait)
    }

    /// The same, to mend a register that nobody else may write to as it is.
    ///
    /// # Errors
    /// When another writer holds it for longer than `wait`, or left something unfinishable.
    pub fn begin_repair(&self, wait: Duration) -> Result<Transaction<'_>, TransactionError> {
        Transaction::begin_repair(self, wait)
    }

    /// Whether something was committed or staged that the next writer finishes or removes.
    #[must_use]
    pub fn has_unfinished(&self) -> bool {
        !self.pending.is_empty() || files::exists(&self.hosts.pending())
    }

    /// Whether a mailca died at that.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.is_interrupted || files::exists(&self.hosts.pending())
    }

    /// `newcerts/SERIAL.pem`
    #[must_use]
    pub fn certificate_path(&self, serial: &SerialNumber) -> PathBuf {
        self.settings.new_certs_dir.join(format!("{serial}.pem"))
    }

    /// Where an issued certificate is kept: in newcerts, or where easy-rsa has moved it.
    #[must_use]
    pub fn kept_certificate(&self, serial: &SerialNumber) -> PathBuf {
        self.settings.kept_certificate(&serial.to_string())
    }

    /// The link in crl/ by which daemons find the current CRL, under OpenSSL's hash of its issuer,
    /// and what it leads to. Another CA's CRL may have the first number of that hash.
    ///
    /// # Errors
    /// When the CA's name has no hash.
    pub fn hash_link(&self) -> Result<(PathBuf, PathBuf), NameError> {
        let folder = &self.settings.crl_dir;
        let target = pathdiff::diff_paths(&self.settings.crl, folder);
        let target = target.unwrap_or_else(|| self.settings.crl.clone());
        let hash = self.certificate.subject.hash()?;
        let mut number = 0;
        loop {
            let link = folder.join(format!("{hash}.r{number}"));
            if !files::exists(&link) || link.read_link().is_ok_and(|there| there == target) {
                return Ok((link, target));
            }
            number += 1;
        }
    }

    /// `newreq.pem`, the last request
    #[must_use]
    pub fn request_path(&self) -> PathBuf {
        self.settings.root.join("newreq.pem")
    }

    /// `newcert.pem`, the last certificate
    #[must_use]
    pub fn last_certificate_path(&self) -> PathBuf {
        self.settings.root.join("newcert.pem")
    }
}

// The file with the CA's certificate, which may be committed and not yet in its place.
fn ca_certificate(settings: &Settings, pending: &[Step]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let path = &settings.certificate;
    let committed = pending.iter().find_map(|step| match step {
        Step::WriteFile { path: it, text } if *it == settings.from_root(path) => Some(text),
        _ => None,
    });
    match committed {
        Some(text) => Ok(text.clone().into_bytes().into()),
        None => files::read_if_there(path)?.ok_or_else(|| StoreError::NoCa {
            root: settings.root.clone(),
            certificate: path.clone(),
            config: settings.file.clone(),
        }),
    }
}

// A host that a step is about: readers see it as it will be, without the right to write.
fn committed(step: &Step, root: &Path, hosts: &Path) -> Option<Committed> {
    match step {
        Step::SwitchHost {
            host,
            from,
            folder,
            certificate,
            ..
        } => Some(Committed {
            place: hosts.join(host),
            holders: [hosts.join(folder), root.join(from)],
            certificate: Some(certificate.clone()),
        }),
        Step::AwaitCertificate { host, from } => {
            let place = hosts.join(format!("{host}.next"));
            Some(Committed {
                holders: [place.clone(), root.join(from)],
                place,
                certificate: None,
            })
        }
        _ => None,
    }
}

fn journal_path(settings: &Settings) -> PathBuf {
    with_suffix(&settings.database, ".journal")
}

fn parent(path: &Path) -> &Path {
    files::parent(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
