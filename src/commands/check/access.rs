//! Who may read and write the files, as the CA's safety and the mail servers want it.

use std::path::Path;

use anyhow::Result;

use super::finding::{Finding, Severity};
use crate::commands::servers::{Judge, effect};
use crate::mta::MailServer;
use crate::mta::access::{Objection, Role, exim};
use crate::report::shell_line;
use crate::store::Store;
use crate::store::access::{Loose, Looseness};
use crate::store::hosts::{CERT, CHAIN, KEY};
use crate::sys::access::{self, Access};
use crate::sys::{files, host};

/// What others can do with this CA that they should not.
pub fn own(store: &Store) -> Result<Vec<Finding>> {
    let (certificates, loose): (Vec<_>, Vec<_>) = store
        .loose_files()
        .into_iter()
        .partition(|one| one.path.parent() == Some(&*store.settings.new_certs_dir));
    let mut found = Vec::new();
    if let Some(finding) = certificates.first().map(|first| {
        let folder = store.settings.new_certs_dir.display();
        let (count, name) = (certificates.len(), first.path.display());
        let reason = match count {
            1 => format!("{name} is writable by others (mode {:04o})", first.mode),
            _ => format!("{count} files in {folder} are writable by others, the first is {name}"),
        };
        let finding = Finding::new(Severity::Critical, "writable", &*first.path, reason);
        let mut finding = finding.remedy(shell_line(&["chmod", "-R", "go-w", &folder.to_string()]));
        finding.count = count;
        finding.repair = certificates.iter().all(|one| one.is_inside);
        finding
    }) {
        found.push(finding);
    }
    found.extend(loose.iter().map(finding_of));
    found.extend(store.loose_folders_above().into_iter().map(|folder| {
        let path = folder.path.to_string_lossy();
        let reason = format!(
            "{path}, above the CA directory, is writable by others (mode {:04o})",
            folder.mode
        );
        let remedy = shell_line(&["chmod", "go-w", &path]);
        Finding::new(Severity::Critical, "writable", &*folder.path, reason).remedy(remedy)
    }));
    found.extend(owner(store)?);
    found.extend(key_in_certificate(store)?);
    Ok(found)
}

fn finding_of(loose: &Loose) -> Finding {
    let path = loose.path.to_string_lossy();
    let mode = loose.mode;
    let is_writable = mode & 0o022 != 0;
    let (problem, severity, what) = match loose.kind {
        Looseness::CaKey => (
            "ca-key-exposed",
            Severity::Critical,
            "the CA's key, is open to others than its owner",
        ),
        Looseness::PrivateFolder if is_writable => (
            "private-open",
            Severity::Critical,
            "the directory of the CA's key, is writable by others",
        ),
        Looseness::PrivateFolder => (
            "private-open",
            Severity::Warning,
            "the directory of the CA's key, is open to others",
        ),
        Looseness::HostKey => (
            "host-key-exposed",
            Severity::Critical,
            "a host's key, is open to others",
        ),
        Looseness::Writable => ("writable", Severity::Critical, "is writable by others"),
    };
    let comma = if loose.kind == Looseness::Writable {
        ""
    } else {
        ","
    };
    let reason = format!("{path}{comma} {what} (mode {mode:04o})");
    let wanted = format!("{:o}", loose.wanted);
    let bits = match loose.kind {
        Looseness::Writable => "go-w",
        _ => &wanted,
    };
    let finding = Finding::new(severity, problem, &*loose.path, reason);
    let finding = finding.remedy(shell_line(&["chmod", bits, &path]));
    if loose.is_inside {
        finding.repairable()
    } else {
        finding
    }
}

// As after `sudo openssl ca`.
fn owner(store: &Store) -> Result<Option<Finding>> {
    let (root, foreign) = store.foreign_files()?;
    let Some(first) = foreign.first() else {
        return Ok(None);
    };
    let [other, own] = [first.user, root.user].map(host::user_name);
    let (path, directory) = (first.path.display(), root.path.display());
    let others = match foreign.len() {
        1 => String::new(),
        count => format!("; so it is with {count} of its files"),
    };
    let reason =
        format!("{path} belongs to {other}, and the CA directory {directory} to {own}{others}");
    let paths = foreign.iter().map(|entry| entry.path.to_string_lossy());
    let paths: Vec<_> = paths.collect();
    let mut words = vec!["chown", &own];
    words.extend(paths.iter().map(|path| &**path));
    let finding = Finding::new(Severity::Warning, "owner", &*first.path, reason);
    let mut finding = finding.remedy(shell_line(&words));
    finding.count = foreign.len();
    Ok(Some(finding))
}

fn key_in_certificate(store: &Store) -> Result<Option<Finding>> {
    let Some(mode) = store.mode_of_certificate_with_key()? else {
        return Ok(None);
    };
    if mode & 0o044 == 0 {
        return Ok(None);
    }
    let [path, key] = [&store.settings.certificate, &store.settings.private_key];
    let text = path.to_string_lossy();
    let reason = format!(
        "{text} holds a private key too, and is readable by others (mode {mode:04o}): whoever read \
         it may sign in the CA's name"
    );
    let remedy = if access::is_same(path, key) || !files::exists(key) {
        shell_line(&["chmod", "600", &text])
    } else {
        let new = format!("{text}.new");
        let bare = shell_line(&["openssl", "x509", "-in", &text, "-out", &new]);
        format!("{bare} && {}", shell_line(&["mv", &new, &text]))
    };
    let finding = Finding::new(Severity::Critical, "ca-key-in-certificate", path, reason);
    Ok(Some(finding.remedy(remedy)))
}

/// What the mail servers have against the files that they are given.
pub fn of_servers(store: &Store, servers: &[MailServer], judge: &Judge) -> Result<Vec<Finding>> {
    let given = files_of_servers(store)?;
    let mut found: Vec<Finding> = Vec::new();
    for server in servers {
        if !judge.knows(*server) {
            found.push(nobody(store));
        }
        let mut told: Vec<Objection> = Vec::new();
        for (role, access) in &given {
            for objection in judge.objections(*server, *role, access) {
                if !told.contains(&objection) {
                    found.push(objected(*server, &objection));
                    told.push(objection);
                }
            }
        }
    }
    Ok(found)
}

fn files_of_servers(store: &Store) -> Result<Vec<(Role, Access)>> {
    let mut paths = Vec::new();
    for host in store.hosts.list()? {
        let folder = store.hosts.current(&host);
        paths.push((Role::Key, folder.join(KEY)));
        paths.push((Role::Certificate, folder.join(CERT)));
        paths.push((Role::Certificate, folder.join(CHAIN)));
    }
    paths.push((Role::Ca, store.settings.certificate.clone()));
    paths.push((Role::Crl, store.settings.crl.clone()));
    let there = paths.into_iter().filter_map(|(role, path)| {
        let path = std::path::absolute(path).ok()?;
        Some((role, Access::of(&path).ok()?))
    });
    Ok(there.collect())
}

fn objected(server: MailServer, objection: &Objection) -> Finding {
    let severity = match server {
        MailServer::Postfix | MailServer::Dovecot => Severity::Warning,
        MailServer::Sendmail | MailServer::Exim | MailServer::Opensmtpd => Severity::Critical,
    };
    let reason = format!("{}; {}", objection.reason, effect(server));
    let commands = objection.remedy.iter().map(|words| {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        shell_line(&words)
    });
    let remedy = commands.collect::<Vec<_>>().join(" && ");
    let finding = Finding::new(severity, "file-access", &*objection.path, reason);
    finding.remedy_if_any((!remedy.is_empty()).then_some(remedy))
}

fn nobody(store: &Store) -> Finding {
    let directory: &Path = &store.settings.root;
    let reason = format!(
        "{}: this machine has no user {}, so what Exim may read cannot be told",
        directory.display(),
        exim::USERS.join(" or ")
    );
    Finding::new(Severity::Note, "file-access", directory, reason)
}
