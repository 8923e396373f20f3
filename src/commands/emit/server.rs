//! `mailca emit SERVER`, and `mailca emit-mc`

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;

use super::version;
use crate::cli::EmitServer;
use crate::commands::selection;
use crate::commands::sendmail_files::{build, of_daemon, sources};
use crate::commands::servers::{self, Judge, effect};
use crate::commands::session::Session;
use crate::mta::access::sendmail::Daemon;
use crate::mta::access::{Objection, Role};
use crate::mta::lines::put_into;
use crate::mta::{self, Files, Host, LinesError, MailServer, Release};
use crate::pki::general_name;
use crate::pki::key::{EncodedKey, PrivateKey};
use crate::pki::public_key::PublicKeyKind;
use crate::report::{self, List, Outcome};
use crate::store::Store;
use crate::store::hosts::{self, CERT, CHAIN, HostError, KEY};
use crate::store::package::CA_AND_CRL;
use crate::sys::access::{Access, Account};
use crate::sys::files::{self, FileError};

/// Why no lines are printed.
#[derive(Debug, Error)]
pub enum EmitServerError {
    /// Nobody said which of the hosts is meant.
    #[error("HOST is missing, and the hosts whose keys are here are {}", List(.hosts))]
    Ambiguous {
        /// whose lines are asked for
        server: MailServer,
        /// the hosts
        hosts: Vec<String>,
    },
    /// There is no host at all.
    #[error("{} has no host with a key and a certificate", .0.display())]
    NoHosts(PathBuf),
    /// The host's key lives elsewhere, or nowhere.
    #[error("the key of {host} is not in {}", .root.display())]
    NotHere {
        /// the host
        host: String,
        /// hosts/
        root: PathBuf,
    },
    /// A server with such a pair would offer no STARTTLS.
    #[error("{} does not belong to {}", .key.display(), .certificate.display())]
    ForeignKey {
        /// the private key
        key: PathBuf,
        /// the certificate
        certificate: PathBuf,
    },
    /// The file to change cannot be.
    #[error("{}: {source}", .path.display())]
    Into {
        /// the file
        path: PathBuf,
        /// why not
        source: LinesError,
    },
    /// The version is another server's.
    #[error("--for {named} is no version of {}", .server.title())]
    OtherServer {
        /// whose lines are asked for
        server: MailServer,
        /// what was named
        named: Release,
    },
    /// There is no file to change.
    #[error("{} is not there", .0.display())]
    NothingThere(PathBuf),
    /// The file to change is no text.
    #[error("{} is not text in UTF-8", .0.display())]
    NotText(PathBuf),
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    file: PathBuf,
    #[serde(skip)]
    next: String,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.display();
        if self.changed {
            writeln!(f, "put the lines into {file}")?;
            writeln!(f, "next: {}", self.next)
        } else {
            writeln!(f, "{file} has these lines already; nothing changed")
        }
    }
}

pub fn run(server: MailServer, args: &EmitServer, session: &mut Session<'_>) -> Result<Outcome> {
    if let Some(named) = args.release.filter(|named| named.server != server) {
        bail!(EmitServerError::OtherServer { server, named });
    }
    let store = session.open_store()?;
    let name = choose(server, args, &store, session)?;
    let files = match &args.dir {
        Some(dir) => elsewhere(dir, &store, &name, args.key.as_deref())?,
        None => here(&store, &name, args.key.as_deref())?,
    };
    let certificate = store.hosts.certificate(&name)?;
    let key = certificate
        .as_ref()
        .and_then(|it| PublicKeyKind::of(&it.subject_public_key_info).ok());
    let host = Host { name, files, key };
    // A directory of that name is most likely the one that is meant.
    let is_here = args.dir.as_ref().is_none_or(|dir| dir.is_dir());
    let version = version::choose(server, args.release, is_here, session);
    let lines = mta::lines(Release { server, version }, &host)?;
    if store.trust_file()?.is_none() {
        session.warn(&untrusted(server, &store));
    }
    if let Some(certificate) = &certificate {
        servers::warn_of_old_key(&host.name, certificate, &store, session);
        if let Some(revocation) = selection::revocation_of(&store, &certificate.serial) {
            session.warn(&format!(
                "the certificate of {} was revoked on {revocation}: {}",
                host.name,
                report::invocation(&store, &["issue", &host.name, "--replace"])
            ));
        }
    } else if selection::last_of_host(&store, &host.name, session.context.now()).is_err() {
        session.warn(&format!(
            "{} has no certificate of {}",
            store.settings.database.display(),
            host.name
        ));
    }
    for warning in &lines.warnings {
        session.warn(warning);
    }
    if is_here {
        for Objection { reason, .. } in objections(server, &host.files)? {
            session.warn(&format!("{reason}; {}", effect(server)));
        }
    }
    if let Some(path) = &args.into {
        return replace_in(path, server, &lines.text);
    }
    session.next(&format!(
        "with the lines in {}, run: {}",
        server.file(),
        start(server)
    ));
    Ok(Outcome::file(lines.text))
}

// What has to be run when the lines are new.
fn start(server: MailServer) -> String {
    match server {
        MailServer::Sendmail => match build(Path::new("/etc/mail/sendmail.mc")) {
            own if own == "sendmailconfig" => own,
            make => format!("{make}, and restart Sendmail"),
        },
        MailServer::Exim => "systemctl restart exim4".into(),
        other => other.reload().unwrap_or_default().into(),
    }
}

fn choose(
    server: MailServer,
    args: &EmitServer,
    store: &Store,
    session: &Session<'_>,
) -> Result<String> {
    if let Some(given) = &args.host {
        let host = hosts::file_name(&general_name::host_name(given)?)?;
        return Ok(host);
    }
    let mut known = store.hosts.list()?;
    let own = session.context.node_name.clone();
    if known.contains(&own) {
        return Ok(own);
    }
    match known.len() {
        0 => bail!(EmitServerError::NoHosts(store.hosts.root().to_owned())),
        1 => Ok(known.remove(0)),
        _ => bail!(EmitServerError::Ambiguous {
            server,
            hosts: known
        }),
    }
}

// On a mail host without a CA the files have the names they have here.
fn elsewhere(
    dir: &Path,
    store: &Store,
    host: &str,
    key: Option<&Path>,
) -> Result<Files, FileError> {
    let folder = dir.join("hosts").join(host);
    let settings = &store.settings;
    let there = |path: &Path| dir.join(settings.elsewhere(path));
    let crl_path = there(&settings.crl_dir);
    Ok(Files {
        ca_path: dir.to_owned(),
        ca: there(&store.trusted_path()?),
        certificate: folder.join(CERT),
        chain: folder.join(CHAIN),
        key: key.map_or_else(|| folder.join(KEY), Path::to_owned),
        crl: there(&settings.crl),
        ca_and_crl: Some(crl_path.join(CA_AND_CRL)),
        crl_path,
    })
}

// What keeps a server from trusting those whom an intermediate CA certified.
fn untrusted(server: MailServer, store: &Store) -> String {
    let settings = &store.settings;
    let (own, certs) = (settings.certificate.display(), settings.certs.display());
    let last = store.chain().last().map(|(_, last)| last);
    let remedy = if let Some(last) = last.filter(|last| !last.is_self_issued()) {
        format!("put the certificate of {} into {certs}", last.issuer)
    } else {
        let paths = store.chain().map(|(path, _)| path.to_string_lossy());
        let paths: Vec<_> = paths.collect();
        let words = ["cat"].into_iter().chain(paths.iter().map(|path| &**path));
        let chain = settings.certs.join("mailca-chain.pem");
        let cat = report::shell_line(&words.collect::<Vec<_>>());
        format!(
            "{cat} > {}",
            report::shell_line(&[&chain.to_string_lossy()])
        )
    };
    format!(
        "{own} is not its own issuer, and {} trusts nobody whom it certified without those above it \
         in the same file: {remedy}",
        server.title()
    )
}

fn here(store: &Store, host: &str, key: Option<&Path>) -> Result<Files> {
    let folder = store.hosts.current(host);
    let not_here = || EmitServerError::NotHere {
        host: host.into(),
        root: store.hosts.root().to_owned(),
    };
    let certificate = store.hosts.certificate(host)?.ok_or_else(not_here)?;
    let files = Files {
        ca_path: files::absolute(&store.settings.root)?,
        ca: files::absolute(&store.trusted_path()?)?,
        certificate: files::absolute(&folder)?.join(CERT),
        chain: files::absolute(&folder)?.join(CHAIN),
        key: match key {
            Some(given) => files::absolute(given)?,
            None => files::absolute(&folder)?.join(KEY),
        },
        crl: crl(store)?,
        crl_path: files::absolute(&store.settings.crl_dir)?,
        ca_and_crl: None,
    };
    let own = match key {
        None => store.hosts.pair(host)?,
        Some(given) => Some((certificate, read_key(given)?)),
    };
    let Some((certificate, key)) = own else {
        bail!(not_here());
    };
    if key.subject_public_key_info() != certificate.subject_public_key_info {
        bail!(EmitServerError::ForeignKey {
            key: files.key,
            certificate: files.certificate,
        });
    }
    Ok(files)
}

// There may be no CRL yet, and no directory for it.
fn crl(store: &Store) -> Result<PathBuf, FileError> {
    let path = &store.settings.crl;
    files::absolute(path)
        .or_else(|_| std::path::absolute(path).map_err(|error| FileError::new("find", path, error)))
}

fn read_key(path: &Path) -> Result<PrivateKey> {
    let failed = |source| HostError::Key {
        path: path.to_owned(),
        source,
    };
    let encoded = EncodedKey::find(&files::read(path)?).map_err(failed)?;
    let encoded = encoded.ok_or_else(|| HostError::NoKey(path.to_owned()))?;
    Ok(encoded.unlock(None).map_err(failed)?)
}

// Who starts the mail server is not asked here: root does.
fn objections(server: MailServer, files: &Files) -> Result<Vec<Objection>> {
    let sources = sources(&[])?;
    let mut daemon = Daemon::of(&of_daemon(&sources), &Account::own());
    daemon.is_roots = true;
    let judge = Judge::new(daemon);
    let given = [
        (Role::Key, &files.key),
        (Role::Certificate, &files.certificate),
        (Role::Certificate, &files.chain),
        (Role::Ca, &files.ca),
        (Role::Crl, &files.crl),
    ];
    let mut found = Vec::new();
    for (role, path) in given {
        let Ok(access) = Access::of(path) else {
            continue;
        };
        for objection in judge.objections(server, role, &access) {
            if !found.contains(&objection) {
                found.push(objection);
            }
        }
    }
    Ok(found)
}

fn replace_in(path: &Path, server: MailServer, lines: &str) -> Result<Outcome> {
    let there = files::read_if_there(path)?;
    let bytes = there.ok_or_else(|| EmitServerError::NothingThere(path.to_owned()))?;
    let old = str::from_utf8(&bytes).map_err(|_| EmitServerError::NotText(path.to_owned()))?;
    let new = put_into(server, old, lines).map_err(|source| EmitServerError::Into {
        path: path.to_owned(),
        source,
    })?;
    let changed = new != old;
    if changed {
        files::replace(path, new.as_bytes(), 0o644)?;
        files::sync_file(path)?;
    }
    Ok(Outcome::of(&Report {
        changed,
        file: path.to_owned(),
        next: start(server),
    })?)
}
