//! `mailca export`

mod archive;
mod owner;
mod pkcs12;
mod place;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;

use self::owner::Ownership;
use super::selection;
use super::servers::{self, emit_invocation};
use super::session::Session;
use crate::cli::Export as Args;
use crate::pki::certificate::Certificate;
use crate::pki::general_name;
use crate::pki::key::PrivateKey;
use crate::pki::key::pkcs12::Protection;
use crate::pki::serial::SerialNumber;
use crate::pki::text;
use crate::report::{self, Outcome, shell_line};
use crate::store::Store;
use crate::store::hosts;
use crate::store::package::Packaged;
use crate::sys::access::Entry;
use crate::sys::tree::{self, Access};
use crate::sys::{files, host};

pub use self::owner::OwnerError;
pub use self::pkcs12::Pkcs12Refusal;

/// Why nothing is exported.
#[derive(Debug, Error)]
pub enum ExportRefusal {
    /// A host without a good certificate needs one first.
    #[error("the last certificate of {host}, {serial}, {why}")]
    NotValid {
        /// the host
        host: String,
        /// its serial number
        serial: String,
        /// why not
        why: String,
    },
    /// The CA directory is its own.
    #[error("{} lies in the CA directory {}", .dir.display(), .ca.display())]
    InCa {
        /// where to
        dir: PathBuf,
        /// the CA directory
        ca: PathBuf,
    },
    /// Another CA's files are there.
    #[error("{} is of another CA: {there}, not {own}", .path.display())]
    OtherCa {
        /// the CA's certificate there
        path: PathBuf,
        /// whose it is
        there: String,
        /// this CA
        own: String,
    },
    /// The key there is no use to it.
    #[error("{} does not belong to certificate {serial}", .key.display())]
    ForeignKey {
        /// the private key
        key: PathBuf,
        /// the serial number of the certificate
        serial: String,
    },
    /// A file is in the way.
    #[error("{} is not a directory", .0.display())]
    NoDirectory(PathBuf),
    /// Its owner could read the key.
    #[error("{} belongs to {}, and is no place for a private key", .0.path.display(), host::user_name(.0.user))]
    Foreign(Entry),
    /// Others could put another key there.
    #[error("{} is writable by others (mode {:04o}), and no place for a private key", .0.path.display(), .0.mode)]
    Writable(Entry),
    /// A tar is no text.
    #[error("a tar is not for a terminal")]
    Terminal,
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    directory: PathBuf,
    host: String,
    serial: String,
    /// whether the key is among the files
    key: bool,
    /// what was written, from the directory
    written: Vec<PathBuf>,
    /// folders of former certificates
    removed: Vec<PathBuf>,
    #[serde(skip)]
    next: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, serial, .. } = self;
        let directory = self.directory.display();
        if !self.changed {
            return writeln!(f, "{directory} has all of {host}; nothing changed");
        }
        writeln!(f, "exported {host}, certificate {serial}, to {directory}")?;
        for path in &self.written {
            writeln!(f, "  wrote    {}", path.display())?;
        }
        for path in &self.removed {
            writeln!(f, "  removed  {}", path.display())?;
        }
        for next in &self.next {
            writeln!(f, "next: {next}")?;
        }
        Ok(())
    }
}

pub fn run(args: &Args, session: &mut Session<'_>) -> Result<Outcome> {
    let mut store = session.open_store()?;
    if store.has_unfinished() {
        // What was committed and is not in its place yet belongs to it.
        drop(store.begin(session.wait())?);
        store = session.reopen_store()?;
    }
    let name = general_name::host_name(&args.host)?;
    let host = hosts::file_name(&name)?;
    if args.pkcs12 {
        let protection = if args.legacy {
            Protection::Legacy
        } else {
            Protection::Modern
        };
        let passphrase = args.pkcs12_passphrase_file.as_deref();
        return pkcs12::run(&host, &args.to, passphrase, protection, &store, session);
    }
    let found = find(&name, &host, &store, session)?;
    let ownership = Ownership::of(args)?;
    if args.to != Path::new("-") {
        return to_directory([&name, &host], args, &ownership, &store, session);
    }
    if session.context.screen.is_some() {
        bail!(ExportRefusal::Terminal);
    }
    found.tell(&name, &store, session);
    let Found { certificate, key } = &found;
    let tar = archive::tar(&store, &host, certificate, key.as_ref(), &ownership)?;
    Ok(Outcome::octets(tar))
}

fn to_directory(
    [name, host]: [&str; 2],
    args: &Args,
    ownership: &Ownership,
    store: &Store,
    session: &mut Session<'_>,
) -> Result<Outcome> {
    let dir = &args.to;
    place::check(dir, host, store)?;
    // What cannot be is refused before a directory is made.
    ownership.access(None)?;
    let _lock = tree::lock(dir)?;
    // Somebody may have renewed it while another export was waited for.
    let found = find(name, host, store, session)?;
    let there = place::key_there(dir, host)?;
    let access = ownership.access(there.as_ref().map(|there| there.access))?;
    let certificate = &found.certificate;
    let key = match (&found.key, &there) {
        (Some(key), _) => Some(key),
        (None, Some(there)) if is_pair(certificate, &there.key) => Some(&there.key),
        (None, Some(there)) => bail!(ExportRefusal::ForeignKey {
            key: there.path.clone(),
            serial: certificate.serial.to_string(),
        }),
        (None, None) => None,
    };
    let packaged = Packaged {
        host,
        certificate,
        key: key.map(|key| (key, access)),
    };
    let (user, group) = owner::own();
    let open = Access {
        user,
        group,
        mode: 0o644,
    };
    let link_of = |folder: &Path, name: &str, target: &Path| free_link(dir, folder, name, target);
    let items = store.package(&packaged, open, &link_of)?;
    found.tell(name, store, session);
    let written = tree::bring(dir, &items)?;
    let removed = place::remove_former(dir, &packaged, store)?;
    Ok(Outcome::of(&Report {
        changed: !(written.is_empty() && removed.is_empty()),
        directory: dir.clone(),
        host: text::one_line(name),
        serial: certificate.serial.to_string(),
        key: packaged.key.is_some(),
        next: next(args, store, host),
        written,
        removed,
    })?)
}

fn is_pair(certificate: &Certificate, key: &PrivateKey) -> bool {
    key.subject_public_key_info() == certificate.subject_public_key_info
}

/// A host's certificate, and its key where that is here.
struct Found {
    certificate: Certificate,
    key: Option<PrivateKey>,
}

impl Found {
    fn tell(&self, name: &str, store: &Store, session: &mut Session<'_>) {
        let certificate = &self.certificate;
        if self.key.is_none() {
            session.note(&format!(
                "the key of {name} is not here, and is not exported"
            ));
        }
        if certificate.not_after < session.context.now() {
            session.warn(&format!(
                "the certificate of {name} ended on {}: {}",
                report::date(certificate.not_after),
                report::invocation(store, &["renew", name])
            ));
        }
        servers::warn_of_old_key(name, certificate, store, session);
    }
}

// The host's current pair, or of a host whose key lives elsewhere its last certificate.
fn find(name: &str, host: &str, store: &Store, session: &Session<'_>) -> Result<Found> {
    let refuse = |serial: &SerialNumber, why| {
        Err(ExportRefusal::NotValid {
            host: name.into(),
            serial: serial.to_string(),
            why,
        })
    };
    if let Some((certificate, key)) = store.hosts.pair(host)? {
        if let Some(revocation) = selection::revocation_of(store, &certificate.serial) {
            refuse(&certificate.serial, format!("was revoked on {revocation}"))?;
        }
        return Ok(Found {
            certificate,
            key: Some(key),
        });
    }
    let now = session.context.now();
    let last = selection::last_of_host(store, name, now)?;
    if let Some(revocation) = &last.row.revocation {
        refuse(&last.row.serial, format!("was revoked on {revocation}"))?;
    }
    if last.row.not_after < now {
        let end = report::date(last.row.not_after);
        refuse(&last.row.serial, format!("ended on {end}"))?;
    }
    let Some(certificate) = last.certificate else {
        bail!(selection::SelectionError::NotKept {
            path: store.certificate_path(&last.row.serial),
            subject: last.title(),
        });
    };
    Ok(Found {
        certificate,
        key: None,
    })
}

// The first number of a hash that is free, or leads there already: another CA may have the first.
fn free_link(dir: &Path, folder: &Path, name: &str, target: &Path) -> PathBuf {
    let mut number = 0;
    loop {
        let link = folder.join(format!("{name}{number}"));
        let there = dir.join(&link);
        if !files::exists(&there) || there.read_link().is_ok_and(|now| now == target) {
            return link;
        }
        number += 1;
    }
}

fn next(args: &Args, store: &Store, host: &str) -> Vec<String> {
    let Some(server) = args.server else {
        return Vec::new();
    };
    let emit = emit_invocation(store, server, host);
    let dir = std::path::absolute(&args.to).unwrap_or_else(|_| args.to.clone());
    let dir = shell_line(&[&dir.to_string_lossy()]);
    let mut next = vec![format!("{emit} --dir {dir}")];
    next.extend(server.reload().map(str::to_owned));
    next
}
