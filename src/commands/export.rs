//! `mailca export`

mod archive;
mod owner;
mod pkcs12;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;

use self::owner::Ownership;
use super::selection;
use super::servers::emit_invocation;
use super::session::Session;
use crate::cli::Export as Args;
use crate::pki::certificate::Certificate;
use crate::pki::general_name;
use crate::pki::key::PrivateKey;
use crate::pki::key::pkcs12::Protection;
use crate::pki::text;
use crate::report::{self, Outcome, shell_line};
use crate::store::Store;
use crate::store::hosts::{self, CERT, CHAIN, KEY};
use crate::store::package::Packaged;
use crate::sys::access::{Access as Place, Entry};
use crate::sys::files;
use crate::sys::tree::{self, Access};

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
    let (certificate, key) = choose(&name, &host, &store, session)?;
    let ownership = Ownership::of(args)?;
    if args.to == Path::new("-") {
        if session.context.screen.is_some() {
            bail!(ExportRefusal::Terminal);
        }
        let tar = archive::tar(&store, &host, &certificate, key.as_ref(), &ownership)?;
        return Ok(Outcome::octets(tar));
    }
    let dir = &args.to;
    check_place(dir, key.is_some(), &store)?;
    let (user, group) = owner::own();
    let open = Access {
        user,
        group,
        mode: 0o644,
    };
    let key = match &key {
        Some(key) => Some((key, ownership.access(&there(dir, &host, KEY))?)),
        None => None,
    };
    let packaged = Packaged {
        host: &host,
        certificate: &certificate,
        key,
    };
    let link_of = |folder: &Path, name: &str, target: &Path| free_link(dir, folder, name, target);
    let items = store.package(&packaged, open, &link_of)?;
    let _lock = tree::lock(dir)?;
    let written = tree::bring(dir, &items)?;
    let removed = remove_former(dir, &packaged)?;
    Ok(Outcome::of(&Report {
        changed: !(written.is_empty() && removed.is_empty()),
        directory: dir.clone(),
        host: text::one_line(&name),
        serial: certificate.serial.to_string(),
        key: packaged.key.is_some(),
        next: next(args, &store, &host),
        written,
        removed,
    })?)
}

fn there(dir: &Path, host: &str, file: &str) -> PathBuf {
    dir.join("hosts").join(host).join(file)
}

// The host's current pair, or of a host whose key lives elsewhere its last certificate.
fn choose(
    name: &str,
    host: &str,
    store: &Store,
    session: &mut Session<'_>,
) -> Result<(Certificate, Option<PrivateKey>)> {
    let now = session.context.now();
    if let Some((certificate, key)) = store.hosts.pair(host)? {
        if certificate.not_after < now {
            session.warn(&format!(
                "the certificate of {name} ended on {}: {}",
                report::date(certificate.not_after),
                report::invocation(store, &["renew", name])
            ));
        }
        return Ok((certificate, Some(key)));
    }
    let last = selection::last_of_host(store, name, now)?;
    let why = match &last.row.revocation {
        Some(revocation) => Some(format!("was revoked on {revocation}")),
        None if last.row.not_after < now => {
            Some(format!("ended on {}", report::date(last.row.not_after)))
        }
        None => None,
    };
    if let Some(why) = why {
        bail!(ExportRefusal::NotValid {
            host: name.into(),
            serial: last.row.serial.to_string(),
            why,
        });
    }
    let Some(certificate) = last.certificate else {
        bail!(selection::SelectionError::NotKept {
            path: store.certificate_path(&last.row.serial),
            subject: last.title(),
        });
    };
    session.note(&format!(
        "the key of {name} is not here: only its certificate is exported"
    ));
    Ok((certificate, None))
}

// A directory of its own, into which nobody else can put things.
fn check_place(dir: &Path, has_key: bool, store: &Store) -> Result<()> {
    let nearest = dir.ancestors().find(|part| part.exists());
    let nearest = match nearest {
        Some(part) if part != Path::new("") => part,
        _ => Path::new("."),
    };
    let real = nearest.canonicalize();
    let ca = store.settings.root.canonicalize();
    if let (Ok(real), Ok(ca)) = (&real, ca)
        && real.starts_with(&ca)
    {
        bail!(ExportRefusal::InCa {
            dir: dir.to_owned(),
            ca,
        });
    }
    let path = dir.join(store.settings.elsewhere(&store.trusted_path()?));
    if let Some(bytes) = files::read_if_there(&path)?
        && let Ok(found) = Certificate::from_pem_or_der(&bytes)
        && found.subject != store.certificate.subject
    {
        bail!(ExportRefusal::OtherCa {
            path,
            there: found.subject.to_string(),
            own: store.certificate.subject.to_string(),
        });
    }
    if has_key {
        let mut places = Place::of(nearest)?;
        let inside = ["hosts"].map(|name| dir.join(name));
        let inside = inside.iter().filter_map(|path| Entry::of(path).ok());
        places.folders.extend(inside);
        let is_open = |entry: &Entry, sticky: u32| {
            entry.mode & 0o022 != 0 && entry.mode & 0o1000 & sticky == 0
        };
        // In /tmp nobody moves what is another's, but anybody can put something there.
        let sticky = if nearest == dir { 0 } else { 0o1000 };
        if is_open(&places.file, sticky) {
            bail!(ExportRefusal::Writable(places.file));
        }
        if let Some(open) = places.folders.into_iter().find(|it| is_open(it, 0o1000)) {
            bail!(ExportRefusal::Writable(open));
        }
    }
    Ok(())
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

// Old keys shall not pile up.
fn remove_former(dir: &Path, packaged: &Packaged<'_>) -> Result<Vec<PathBuf>> {
    let own = packaged.folder();
    // mail.example.com.de is another host, whose name is in small letters and a link.
    let is_serial = |it: &str| {
        it.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
    };
    let is_folder = |name: &str| {
        let there = dir.join("hosts").join(name).symlink_metadata();
        there.is_ok_and(|there| there.is_dir())
    };
    let is_former = |name: &String| {
        let serial = name
            .strip_prefix(packaged.host)
            .and_then(|rest| rest.strip_prefix('.'));
        *name != own && serial.is_some_and(is_serial) && is_folder(name)
    };
    let mut removed = Vec::new();
    let mut names = tree::names_in(dir, Path::new("hosts"))?;
    names.sort();
    for name in names.into_iter().filter(is_former) {
        let path = Path::new("hosts").join(name);
        let inside = tree::names_in(dir, &path)?;
        let is_own = |name: &String| {
            let name = name.strip_prefix('.').unwrap_or(name);
            [CERT, CHAIN, KEY].contains(&name.strip_suffix(".mailca").unwrap_or(name))
        };
        if inside.iter().all(is_own) {
            tree::remove(dir, &path, &[CERT, CHAIN, KEY])?;
            removed.push(path);
        }
    }
    Ok(removed)
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
