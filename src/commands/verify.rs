//! `mailca verify`

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use thiserror::Error;
use time::{OffsetDateTime, UtcOffset};

use super::selection::SelectionError;
use super::session::Session;
use crate::cli::Verify;
use crate::exit::Exit;
use crate::pki::certificate::{Certificate, CertificateError};
use crate::pki::certificate_list::{CertificateList, CertificateListError};
use crate::pki::chain::{Check, Question, Verdict};
use crate::pki::general_name::{self, GeneralName};
use crate::pki::key::{EncodedKey, KeyError, PrivateKey};
use crate::pki::public_key;
use crate::pki::serial::SerialNumber;
use crate::report::{self, Outcome};
use crate::store::Store;
use crate::store::hosts::{self, HostError, KEY};
use crate::store::register::Status;
use crate::sys::files;

/// Why nothing can be said of a certificate.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A file's certificates cannot be read.
    #[error("{name}: {source}")]
    Certificate {
        /// the file
        name: String,
        /// what is wrong
        source: CertificateError,
    },
    /// A CRL cannot be read.
    #[error("{}: {source}", .path.display())]
    CertificateList {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: CertificateListError,
    },
    /// A private key cannot be read.
    #[error("{}: {source}", .path.display())]
    Key {
        /// the file
        path: PathBuf,
        /// what is wrong
        source: KeyError,
    },
    /// The file of the private key holds none.
    #[error("{} holds no private key", .0.display())]
    NoKey(PathBuf),
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    valid: bool,
    serial: SerialNumber,
    subject: String,
    issuer: String,
    names: Vec<GeneralName>,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    checks: Vec<Check>,
    #[serde(skip)]
    title: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, serial number {}", self.title, self.serial)?;
        for Check { name, verdict } in &self.checks {
            let mark = match verdict {
                Verdict::Ok(_) => "ok",
                Verdict::Failed(_) => "FAIL",
                Verdict::No(_) => "no",
                Verdict::Unchecked(_) => "-",
            };
            writeln!(f, "{name:<9}  {mark:<4}  {}", verdict.reason())?;
        }
        Ok(())
    }
}

pub fn run(args: &Verify, session: &mut Session<'_>) -> Result<Outcome> {
    let trusts_own = args.ca_file.is_empty();
    let is_file = args.certificate == Path::new("-") || is_file(&args.certificate);
    let store = if trusts_own || !is_file {
        Some(session.open_store()?)
    } else {
        None
    };
    let registered = store.as_ref().filter(|_| !is_file);
    let mut given = match registered {
        Some(store) => in_directory(&args.certificate, store)?,
        None => in_file(&args.certificate, session)?,
    };
    let certificate = given.remove(0);
    let own_store = store.as_ref().filter(|_| trusts_own);
    let anchors = match own_store {
        Some(store) => certificates_in(&store.settings.certificate)?,
        None => all_certificates(&args.ca_file)?,
    };
    let mut untrusted = all_certificates(&args.untrusted)?;
    untrusted.extend(given);
    let (lists, no_lists) = lists(args, own_store)?;
    let now = session.context.now();
    let at = args.at.unwrap_or(now).to_offset(UtcOffset::UTC);
    let question = Question {
        certificate: &certificate,
        untrusted: &untrusted,
        anchors: &anchors,
        lists: &lists,
        no_lists: &no_lists,
        host: args.host.as_ref(),
        purpose: args.purpose,
        at,
        is_now: args.at.is_none(),
    };
    let mut checks = question.answer();
    if let Some(store) = own_store {
        tell_old_key(&mut checks, store, &certificate);
        let verdict = check_register(store, &certificate, &anchors, at, now)?;
        checks.push(Check {
            name: "register",
            verdict,
        });
    }
    let verdict = check_key(args.key.as_deref(), registered, &certificate)?;
    checks.push(Check {
        name: "key match",
        verdict,
    });

    let is_wrong = |check: &Check| matches!(check.verdict, Verdict::Failed(_));
    let report = Report {
        changed: false,
        valid: !checks.iter().any(is_wrong),
        title: certificate.title(),
        serial: certificate.serial,
        subject: certificate.subject.to_string(),
        issuer: certificate.issuer.to_string(),
        names: certificate.names,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        at,
        checks,
    };
    let mut outcome = Outcome::of(&report)?;
    if !report.valid {
        outcome.exit = Exit::Attention;
    }
    Ok(outcome)
}

// The CA may have had another key when it issued the certificate.
fn tell_old_key(checks: &mut [Check], store: &Store, certificate: &Certificate) {
    let former = store.former();
    let Some((path, _)) = store.issuer_among(&former, certificate) else {
        return;
    };
    let chain = checks.iter_mut().find(|check| check.name == "chain");
    if let Some(Verdict::Failed(reason)) = chain.map(|check| &mut check.verdict) {
        *reason = format!(
            "it is by the old key of the CA, whose certificate is {} (see --ca-file)",
            path.display()
        );
    }
}

fn is_file(path: &Path) -> bool {
    files::exists(path) && !path.is_dir()
}

fn in_file(path: &Path, session: &mut Session<'_>) -> Result<Vec<Certificate>> {
    if path != Path::new("-") {
        return certificates_in(path);
    }
    let bytes =
        files::read_from(&mut session.context.stdin).context("cannot read standard input")?;
    certificates("standard input", &bytes)
}

fn in_directory(given: &Path, store: &Store) -> Result<Vec<Certificate>> {
    let text = given.to_string_lossy();
    if let Ok(serial) = text.parse::<SerialNumber>() {
        let path = store.kept_certificate(&serial);
        if files::exists(&path) {
            return certificates_in(&path);
        }
    }
    let host = general_name::host_name(&text).ok();
    let host = host.and_then(|host| hosts::file_name(&host).ok());
    let found = match host {
        Some(host) => store.hosts.certificate(&host)?,
        None => None,
    };
    let nothing = || SelectionError::Nothing {
        given: text.into(),
        root: store.settings.root.clone(),
    };
    Ok(vec![found.ok_or_else(nothing)?])
}

fn all_certificates(paths: &[PathBuf]) -> Result<Vec<Certificate>> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(certificates_in(path)?);
    }
    Ok(all)
}

fn certificates_in(path: &Path) -> Result<Vec<Certificate>> {
    certificates(&path.display().to_string(), &files::read(path)?)
}

fn certificates(name: &str, bytes: &[u8]) -> Result<Vec<Certificate>> {
    let found = Certificate::all_from_pem_or_der(bytes);
    Ok(found.map_err(|source| VerifyError::Certificate {
        name: name.into(),
        source,
    })?)
}

// The CRLs, and why there are none.
fn lists(args: &Verify, own_store: Option<&Store>) -> Result<(Vec<CertificateList>, String)> {
    let mut paths = args.crl.clone();
    let mut reason = "no --crl was given".to_owned();
    if let Some(store) = own_store.filter(|_| paths.is_empty()) {
        let path = &store.settings.crl;
        reason = format!("{} is not there", path.display());
        paths.extend(files::exists(path).then(|| path.clone()));
    }
    let read = |path: &PathBuf| -> Result<CertificateList> {
        let bytes = files::read_large(path)?;
        let read = CertificateList::from_pem_or_der(&bytes);
        Ok(read.map_err(|source| VerifyError::CertificateList {
            path: path.clone(),
            source,
        })?)
    };
    Ok((paths.iter().map(read).collect::<Result<_>>()?, reason))
}

fn check_register(
    store: &Store,
    certificate: &Certificate,
    anchors: &[Certificate],
    at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Verdict> {
    let is_own = |anchor: &Certificate| anchor.as_der() == certificate.as_der();
    if anchors.iter().any(is_own) {
        return Ok(Verdict::Unchecked("not checked: it is the CA's own".into()));
    }
    if !anchors
        .iter()
        .any(|anchor| anchor.subject == certificate.issuer)
    {
        return Ok(Verdict::Unchecked(
            "not checked: another CA issued it".into(),
        ));
    }
    let serial = &certificate.serial;
    let end = report::date(certificate.not_after);
    let name = store.settings.database.file_name().unwrap_or_default();
    let register = name.to_string_lossy();
    Ok(match store.status(serial)? {
        Some(Status::Valid) => Verdict::Ok(format!("{register} has it as valid")),
        Some(Status::Revoked { in_words }) => {
            Verdict::Failed(format!("{register} has it as revoked on {in_words}"))
        }
        // What is marked as expired now was good before.
        Some(Status::Expired) if at <= certificate.not_after && certificate.not_after < now => {
            Verdict::Ok(format!("{register} has it as expired since, on {end}"))
        }
        Some(Status::Expired) => {
            Verdict::Failed(format!("{register} has it as expired; it ends on {end}"))
        }
        Some(Status::Unknown(status)) => Verdict::Failed(format!(
            "{register} has it as {status:?}, which is not V, R or E"
        )),
        None => Verdict::Failed(format!("{register} has no row for {serial}")),
    })
}

fn check_key(
    given: Option<&Path>,
    registered: Option<&Store>,
    certificate: &Certificate,
) -> Result<Verdict> {
    if let Some(path) = given {
        let key = read_key(path)?;
        return Ok(compare(&key, certificate, path));
    }
    let Some(store) = registered else {
        return Ok(Verdict::Unchecked("not checked: no --key was given".into()));
    };
    let Ok(host) = hosts::file_name(&certificate.title()) else {
        return Ok(Verdict::Unchecked(
            "not checked: its key is not here".into(),
        ));
    };
    let folder = store.hosts.current(&host);
    let current = store.hosts.certificate(&host)?;
    Ok(match current {
        Some(current) if current.as_der() == certificate.as_der() => {
            match store.hosts.pair(&host) {
                Ok(Some((_, key))) => compare(&key, certificate, &folder.join(KEY)),
                Ok(None) => Verdict::Failed(format!("{} is not there", folder.join(KEY).display())),
                Err(HostError::File(error)) if error.is_denied() => {
                    Verdict::Unchecked(format!("not checked: {error}"))
                }
                Err(error) => Verdict::Failed(error.to_string()),
            }
        }
        Some(current) => Verdict::Unchecked(format!(
            "not checked: {} has the certificate {} now",
            folder.display(),
            current.serial
        )),
        None => Verdict::Unchecked(format!("not checked: there is no {}", folder.display())),
    })
}

fn compare(key: &PrivateKey, certificate: &Certificate, path: &Path) -> Verdict {
    let (own, found) = (
        &certificate.subject_public_key_info,
        key.subject_public_key_info(),
    );
    let path = path.display();
    if own == found {
        return Verdict::Ok(format!("{path} belongs to it"));
    }
    let in_words = |info: &[u8]| {
        let fingerprint = public_key::fingerprint(info);
        format!("{} {}...", public_key::describe(info), &fingerprint[..23])
    };
    Verdict::Failed(format!(
        "{path} is {}, not its {}",
        in_words(found),
        in_words(own)
    ))
}

fn read_key(path: &Path) -> Result<PrivateKey> {
    let failed = |source| VerifyError::Key {
        path: path.to_owned(),
        source,
    };
    let found = EncodedKey::find(&files::read(path)?).map_err(failed)?;
    let encoded = found.ok_or_else(|| VerifyError::NoKey(path.to_owned()))?;
    Ok(encoded.unlock(None).map_err(failed)?)
}
