//! `mailca sign`

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::batch::{self, Case, Signing};
use super::issuance::{self, Plan};
use super::issued::Report;
use super::output;
use super::servers;
use super::session::Session;
use super::several::{self, Order, Prepared};
use crate::cli::Sign;
use crate::pki::certificate::Certificate;
use crate::pki::key::{EncodedKey, KeyError, PrivateKey};
use crate::pki::request::{Request, RequestError, Strength};
use crate::report::Outcome;
use crate::store::Store;
use crate::sys::files::{self, FileError};

/// What is wrong with a request, and with which one.
#[derive(Debug, Error)]
pub enum SignError {
    /// The request is refused.
    #[error("{name}: {source}")]
    Request {
        /// the file, or standard input
        name: String,
        /// why
        source: RequestError,
    },
    /// The private key in the request's file cannot be used.
    #[error("{name}: {source}")]
    Key {
        /// the file, or standard input
        name: String,
        /// why
        source: KeyError,
    },
    /// There is no newreq.pem.
    #[error("there is no request in {}", .0.display())]
    NoRequest(PathBuf),
    /// A folder has no requests.
    #[error("there is no request (*.csr) in {}", .0.display())]
    NoRequests(PathBuf),
    /// Several certificates in one file are none that a server reads.
    #[error("--out takes one certificate, but several requests are given")]
    OneOutput,
    /// One standard input cannot be two things.
    #[error("the request and the passphrase cannot both come from standard input (-)")]
    StandardInputTwice,
    /// Standard input cannot be named by a file.
    #[error("standard input (-) cannot be one of several requests")]
    StandardInputAmongOthers,
}

pub fn run(args: Sign, session: &mut Session<'_>) -> Result<Outcome> {
    let standard_input = Some(Path::new("-"));
    if args.requests.first().map(PathBuf::as_path) == standard_input
        && session.global.passphrase_file.as_deref() == standard_input
    {
        bail!(SignError::StandardInputTwice);
    }
    let store = session.open_store_to_sign()?;
    let how = How {
        terms: issuance::Terms {
            policy: args.policy,
            preserve: args.preserve_dn,
            is_renewal: false,
            profile: args.terms.profile,
            days: args.terms.days,
            not_before: args.not_before,
            not_after: args.not_after,
            names: args.san,
        },
        strength: if args.allow_legacy {
            Strength::Legacy
        } else {
            Strength::Current
        },
        now: session.context.now(),
    };
    let mut requests = args.requests;
    if args.out_dir.is_some() && requests.is_empty() {
        requests.push(store.request_path());
    }
    match requests.as_slice() {
        [] => one(None, args.out, &how, &store, session),
        [path] if args.out_dir.is_none() && !path.is_dir() => {
            one(Some(path), args.out, &how, &store, session)
        }
        paths => {
            if args.out.is_some() {
                bail!(SignError::OneOutput);
            }
            let order = Order {
                store: &store,
                prepared: read_all(paths, &how, args.out_dir.as_deref(), &store, session)?,
                atomic: args.atomic,
                out_dir: args.out_dir.as_deref(),
            };
            several::run(session, order)
        }
    }
}

/// How to sign, the same for all requests of a command.
struct How {
    terms: issuance::Terms,
    strength: Strength,
    now: OffsetDateTime,
}

impl How {
    fn case(&self, name: String, bytes: &[u8], store: &Store) -> Result<Case<'_>> {
        let private_key = private_key(&name, bytes)?;
        let proof = private_key
            .as_ref()
            .map(PrivateKey::subject_public_key_info);
        let request = Request::read(bytes, proof, self.strength).map_err(|source| {
            let name = name.clone();
            SignError::Request { name, source }
        })?;
        let settle = move |store: &Store| {
            issuance::plan(store, &request, private_key.as_ref(), &self.terms, self.now)
        };
        Case::new(name, store, Box::new(settle))
    }
}

fn one(
    request: Option<&PathBuf>,
    out: Option<PathBuf>,
    how: &How,
    store: &Store,
    session: &mut Session<'_>,
) -> Result<Outcome> {
    match &out {
        Some(out) => output::check(out, store)?,
        None => store.check_last_certificate()?,
    }
    let (name, bytes) = read_request(request, store, session)?;
    let case = how.case(name, &bytes, store)?;
    let holders = batch::check_alone(store, &case, how.now)?;
    confirm(session, store, &case.plan)?;
    let key = session.unlock(store)?;
    let copy = match &out {
        None => Some(store.last_certificate_path()),
        Some(_) => None,
    };
    let signing = Signing {
        store,
        key: &key,
        copy_to: copy.clone(),
        atomic: true,
    };
    let plan = case.plan.clone();
    let certificate = batch::sign_one(session, &signing, case, holders)?;
    finish(session, store, &plan, &certificate, out.or(copy))
}

// The requests of a folder are its *.csr files; keys and certificates lie beside them.
fn read_all<'h>(
    paths: &[PathBuf],
    how: &'h How,
    out_dir: Option<&Path>,
    store: &Store,
    session: &mut Session<'_>,
) -> Result<Vec<(String, Result<Prepared<'h>>)>> {
    let mut requests = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            bail!(SignError::StandardInputAmongOthers);
        }
        if path.is_dir() {
            let is_request = |path: &Path| path.extension().is_some_and(|it| it == "csr");
            let found = files::list(path, is_request)?;
            if found.is_empty() {
                bail!(SignError::NoRequests(path.clone()));
            }
            requests.extend(found);
        } else {
            requests.push(path.clone());
        }
    }
    let progress = session.progress("checking", requests.len());
    let prepared = batch::on_all_cores(requests, |path| {
        let name = path.display().to_string();
        let bytes = files::read_given(&path).map_err(Error::from);
        let case = bytes.and_then(|bytes| how.case(name.clone(), &bytes, store));
        progress.advance(1);
        let case = case.map(|mut case| {
            case.out = out_dir.map(|dir| output::path(dir, path.file_stem()));
            case
        });
        (name, case.map(Prepared::Case))
    });
    progress.finish();
    Ok(prepared)
}

/// Shows what will be signed and asks; what differs from the request is said in any case.
pub fn confirm(session: &mut Session<'_>, store: &Store, plan: &Plan) -> Result<()> {
    if session.global.yes {
        for note in &plan.notes {
            session.note(note);
        }
    }
    // What would fail after all the answers fails before the first question.
    store.private_key()?;
    session.confirm(|width| plan.review(store, width), "Sign the certificate?")
}

fn read_request(
    request: Option<&PathBuf>,
    store: &Store,
    session: &mut Session<'_>,
) -> Result<(String, Zeroizing<Vec<u8>>)> {
    match request {
        Some(path) if path == Path::new("-") => {
            let bytes = files::read_from(&mut session.context.stdin)
                .map_err(|error| FileError::new("read", Path::new("standard input"), error))?;
            Ok(("standard input".into(), bytes))
        }
        Some(path) => Ok((path.display().to_string(), files::read_given(path)?)),
        None => {
            let path = store.request_path();
            match files::read_if_there(&path)? {
                Some(bytes) => Ok((path.display().to_string(), bytes)),
                None => bail!(SignError::NoRequest(path)),
            }
        }
    }
}

// The book's newreq.pem holds the host's private key too.
fn private_key(name: &str, bytes: &[u8]) -> Result<Option<PrivateKey>> {
    let failed = |source| SignError::Key {
        name: name.into(),
        source,
    };
    match EncodedKey::find(bytes).map_err(failed)? {
        Some(encoded) => Ok(Some(encoded.unlock(None).map_err(failed)?)),
        None => Ok(None),
    }
}

fn finish(
    session: &Session<'_>,
    store: &Store,
    plan: &Plan,
    certificate: &Certificate,
    out: Option<PathBuf>,
) -> Result<Outcome> {
    let host = plan.host.as_deref().filter(|_| plan.has_key());
    let mut report = Report::new(true, store, certificate, host);
    let standard_output = out.as_deref() == Some(Path::new("-"));
    if standard_output && !session.global.json {
        return Ok(Outcome::issued(certificate.to_pem(), &report.certificate));
    }
    if standard_output {
        report.pem = Some(certificate.to_pem());
        return Ok(Outcome::of(&report)?);
    }
    // newcert.pem was a part of the transaction.
    if let Some(path) = out
        .as_ref()
        .filter(|path| **path != store.last_certificate_path())
    {
        output::write(path, certificate, store)?;
    }
    report.out = out;
    if let Some(host) = host {
        report.next = servers::wiring(store, host, session);
    }
    Ok(Outcome::of(&report)?)
}
