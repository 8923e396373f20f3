//! `mailca req`

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;

use super::session::Session;
use crate::cli::Req;
use crate::pki::extensions;
use crate::pki::general_name::GeneralName;
use crate::pki::key::{EncodedKey, KeyError, PrivateKey};
use crate::pki::name::Name;
use crate::pki::pem_text;
use crate::pki::tbs;
use crate::report::{self, List, Outcome};
use crate::store::hosts;
use crate::sys::files;

/// Why no request is made.
#[derive(Debug, Error)]
pub enum RequestRefusal {
    /// A key is not overwritten.
    #[error("{} is there already, and a private key is never overwritten", .0.display())]
    KeyExists(PathBuf),
    /// The file given has no key in it.
    #[error("{} holds no private key", .0.display())]
    NoKey(PathBuf),
    /// The key given is locked.
    #[error("{} is encrypted, but a mail server's key must not be: nobody could start it unattended", .0.display())]
    EncryptedKey(PathBuf),
    /// The key given cannot be used.
    #[error("{}: {source}", .path.display())]
    BadKey {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: KeyError,
    },
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    host: String,
    names: Vec<GeneralName>,
    key: PathBuf,
    key_type: String,
    request: PathBuf,
    #[serde(skip)]
    next: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, request) = (self.key.display(), self.request.display());
        if !self.changed {
            return writeln!(
                f,
                "{} has a key already ({key}); nothing changed",
                self.host
            );
        }
        writeln!(f, "made a request for {}", List(&self.names))?;
        writeln!(f, "  private key  {key}, {}", self.key_type)?;
        writeln!(f, "  request      {request}")?;
        match &self.next {
            Some(next) => writeln!(f, "next: {next}"),
            None => Ok(()),
        }
    }
}

/// The names a host's certificate is asked for: its own, then the others.
pub fn names_of(host: &str, others: &[GeneralName]) -> Vec<GeneralName> {
    let mut names = vec![GeneralName::Dns(host.into())];
    for name in others {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

pub fn run(args: &Req, session: &mut Session<'_>) -> Result<Outcome> {
    let host = session.host(args.host.name.as_deref())?;
    let names = names_of(&host, &args.host.san);
    let subject = match &args.host.subject {
        Some(subject) => subject.clone(),
        None => Name::common_name_only(&host)?,
    };
    match &args.out_dir {
        Some(out_dir) => without_ca(args, out_dir, &host, &subject, &names),
        None => in_ca(args, session, &host, &subject, &names),
    }
}

// HOST.key and HOST.csr: the key never leaves the machine it is made on.
fn without_ca(
    args: &Req,
    out_dir: &Path,
    host: &str,
    subject: &Name,
    names: &[GeneralName],
) -> Result<Outcome> {
    let stem = hosts::file_name(host)?;
    let key_path = match &args.key {
        Some(given) => given.clone(),
        None => out_dir.join(format!("{stem}.key")),
    };
    let request_path = out_dir.join(format!("{stem}.csr"));
    let report = |changed, key: &PrivateKey| Report {
        changed,
        host: host.into(),
        names: names.to_vec(),
        key: key_path.clone(),
        key_type: key.kind().to_string(),
        request: request_path.clone(),
        next: Some(format!(
            "take {} to the CA and run: {}",
            request_path.display(),
            report::shell_line(&["mailca", "sign", &format!("{stem}.csr")])
        )),
    };
    if args.key.is_none() && files::exists(&key_path) {
        if args.if_missing {
            return Ok(Outcome::of(&report(false, &read_key(&key_path)?))?);
        }
        bail!(RequestRefusal::KeyExists(key_path));
    }
    files::create_dirs(out_dir)?;
    let key = key(args)?;
    let request = request(subject, names, &key)?;
    if args.key.is_none() {
        files::create_own(&key_path, key.to_pem()?.as_bytes(), 0o600)?;
        files::sync_file(&key_path)?;
    }
    if let Err(error) = files::replace(&request_path, request.as_bytes(), 0o644) {
        if args.key.is_none() {
            let _ = fs::remove_file(&key_path);
        }
        return Err(error.into());
    }
    files::sync_dir(out_dir)?;
    Ok(Outcome::of(&report(true, &key))?)
}

// hosts/HOST.next/key.pem and newreq.pem, for `sign` without a word.
fn in_ca(
    args: &Req,
    session: &mut Session<'_>,
    host: &str,
    subject: &Name,
    names: &[GeneralName],
) -> Result<Outcome> {
    let store = session.open_store_to_write()?;
    let file_name = hosts::file_name(host)?;
    store.hosts.check_name(&file_name, host)?;
    let next = store.hosts.next(&file_name).join(hosts::KEY);
    let report = |changed, key: &PrivateKey| Report {
        changed,
        host: host.into(),
        names: names.to_vec(),
        key: next.clone(),
        key_type: key.kind().to_string(),
        request: store.request_path(),
        next: Some(report::invocation(&store, &["sign"])),
    };
    if args.if_missing {
        let current = store.hosts.current(&file_name).join(hosts::KEY);
        if let Some(path) = [&next, &current].into_iter().find(|path| path.exists()) {
            let mut report = report(false, &read_key(path)?);
            report.key.clone_from(path);
            return Ok(Outcome::of(&report)?);
        }
    }
    // The key that waits there may be named to make its request anew.
    let waits = args
        .key
        .as_ref()
        .is_some_and(|given| same_file(given, &next));
    if files::exists(&next) && !waits {
        bail!(RequestRefusal::KeyExists(next));
    }
    store.check_request()?;
    let key = key(args)?;
    let request = request(subject, names, &key)?;
    let pem = if waits { None } else { Some(key.to_pem()?) };
    store.begin(session.wait())?.store_request(
        &file_name,
        pem.as_ref().map(|pem| pem.as_str()),
        &request,
    )?;
    Ok(Outcome::of(&report(true, &key))?)
}

fn key(args: &Req) -> Result<PrivateKey> {
    match &args.key {
        Some(path) => read_key(path),
        None => Ok(PrivateKey::generate(args.key_type.unwrap_or_default())?),
    }
}

fn read_key(path: &Path) -> Result<PrivateKey> {
    let bytes = files::read_secret(path)?;
    let bad = |source| RequestRefusal::BadKey {
        path: path.to_owned(),
        source,
    };
    let found = EncodedKey::find(&bytes).map_err(bad)?;
    let encoded = found.ok_or_else(|| RequestRefusal::NoKey(path.to_owned()))?;
    if encoded.is_encrypted() {
        bail!(RequestRefusal::EncryptedKey(path.to_owned()));
    }
    Ok(encoded.unlock(None).map_err(bad)?)
}

fn request(subject: &Name, names: &[GeneralName], key: &PrivateKey) -> Result<String> {
    let wanted = vec![extensions::subject_alt_name(names, subject.is_empty())?];
    let der = tbs::certification_request(subject, &wanted, key)?;
    Ok(pem_text::encode("CERTIFICATE REQUEST", &der))
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
