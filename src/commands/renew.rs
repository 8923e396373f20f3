//! `mailca renew`

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::batch::{Case, Renewed};
use super::issuance::{self, Plan, Refusal};
use super::issued;
use super::new_crl::NewCrl;
use super::output;
use super::selection::{self, Selected};
use super::session::Session;
use super::several::{self, Failed, Order, Prepared};
use crate::cli::Renew;
use crate::exit::Exit;
use crate::mta::renewal as mta;
use crate::pki::certificate::Certificate;
use crate::pki::general_name;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::profile::Profile;
use crate::pki::public_key;
use crate::pki::request::Request;
use crate::pki::text;
use crate::report::{self, List, Outcome};
use crate::store::register::Status;
use crate::store::{Store, hosts};
use crate::sys::{hook, passphrase};

/// Why a certificate is not renewed.
#[derive(Debug, Error)]
pub enum RenewRefusal {
    /// The reason may still hold.
    #[error(
        "{serial} of {host} was revoked on {revoked}, and a revoked certificate is not renewed"
    )]
    Revoked {
        host: String,
        serial: String,
        /// date and reason
        revoked: String,
        is_here: bool,
    },
    /// Under `unique_subject = yes`, the old certificate is in the way.
    #[error("{host} has the valid certificate {serial}, and unique_subject = yes permits one")]
    NotUnique { host: String, serial: String },
    /// `--new-key`, but the key cannot be made here.
    #[error("the key of {host} is not here, so that no other can be made for it")]
    KeyElsewhere { host: String },
    /// The host's private key is not where it was.
    #[error("{host} has {serial}, but {} is missing", .key.display())]
    KeyGone {
        host: String,
        serial: String,
        key: PathBuf,
    },
    /// The host's private key belongs to another certificate.
    #[error("{} does not belong to {serial}, the certificate beside it", .key.display())]
    ForeignKey {
        host: String,
        serial: String,
        key: PathBuf,
    },
    /// Nobody knows the public key any more.
    #[error("the last certificate of {host} is {serial}, but {} is missing", .path.display())]
    NotKept {
        host: String,
        serial: String,
        path: PathBuf,
    },
    /// `--revoke-old`, but there is no row to write that into.
    #[error("{serial} of {host} is not in {}, and cannot be revoked", .register.display())]
    NotRecorded {
        host: String,
        serial: String,
        register: PathBuf,
    },
    /// Another one would be no CA's.
    #[error("{serial} of {title} is a CA certificate, and mailca issues none")]
    CaCertificate { title: String, serial: String },
    /// Somebody renamed a host's folder.
    #[error("{} holds the certificate of {title}", .folder.display())]
    OtherName { folder: PathBuf, title: String },
}

/// The certificate that a new one shall follow.
struct Old {
    certificate: Certificate,
    /// the host's file name, where its key is here
    host: Option<String>,
}

/// What changes with a new key.
#[derive(Serialize)]
struct NewKey {
    old_sha256: String,
    new_sha256: String,
    old_tlsa: String,
    new_tlsa: String,
    #[serde(skip)]
    words: String,
}

impl NewKey {
    fn of(host: &str, old: &[u8], new: &[u8]) -> Result<Self> {
        let mut key = Self {
            old_sha256: public_key::fingerprint(old),
            new_sha256: public_key::fingerprint(new),
            old_tlsa: public_key::tlsa(old),
            new_tlsa: public_key::tlsa(new),
            words: String::new(),
        };
        key.words = mta::new_key(
            &text::one_line(host),
            [&key.old_sha256, &key.new_sha256],
            [&key.old_tlsa, &key.new_tlsa],
        )?;
        Ok(key)
    }
}

#[derive(Serialize)]
struct One {
    #[serde(flatten)]
    certificate: issued::Report,
    revoked: bool,
    new_key: Option<NewKey>,
    /// whether the deploy hook succeeded, where one was given
    deployed: Option<bool>,
}

#[derive(Default, Serialize)]
struct Report {
    changed: bool,
    certificates: Vec<One>,
    failed: Vec<Failed>,
    crl: Option<NewCrl>,
    #[serde(skip)]
    before: Option<OffsetDateTime>,
    #[serde(skip)]
    next: String,
}

pub fn run(args: &Renew, session: &mut Session<'_>) -> Result<Outcome> {
    let now = session.context.now();
    let store = session.open_store_to_write()?;
    let found = match args.expiring {
        Some(window) => due(session, &store, now, window)?,
        None => named(&store, &args.hosts, now),
    };
    let known = found.iter().filter_map(|(_, old)| old.as_ref().ok());
    let statuses = store.statuses(known.map(|old| &old.certificate.serial))?;
    let mut about = HashMap::new();
    let mut prepared = Vec::new();
    for (name, old) in found {
        let serial = old.as_ref().ok().map(|old| old.certificate.serial.clone());
        let status = serial.as_ref().and_then(|serial| statuses.get(serial));
        if args.expiring.is_some() && matches!(status, Some(Status::Revoked { .. })) {
            continue;
        }
        let case = old.and_then(|old| prepare(args, old, status, &store, now));
        let case = case.map(|(case, facts)| {
            about.insert(serial.map(|serial| serial.to_string()), facts);
            Prepared::Case(case)
        });
        prepared.push((name, case));
    }
    if prepared.is_empty() {
        return Ok(Outcome::of(&Report {
            before: args.expiring.map(|window| now.saturating_add(window)),
            ..Report::default()
        })?);
    }
    session.warn_before_signing(&store);
    let order = Order {
        store: &store,
        prepared,
        atomic: false,
        out_dir: args.out_dir.as_deref(),
    };
    let done = several::sign(session, order)?;
    let mut exit = done.failures.exit(done.reports.len());
    let mut certificates = Vec::new();
    for certificate in done.reports {
        let facts: Facts = about.remove(&certificate.renews).unwrap_or_default();
        certificates.push(One {
            revoked: facts.revoke,
            new_key: facts.new_key,
            deployed: None,
            certificate,
        });
    }
    if let Some(crl) = &done.crl {
        crl.warn(session);
    }
    if let Some(command) = &args.deploy_hook {
        if done.is_pending {
            session.warn("the deploy hook was not run, since not everything is in its place");
        } else if !deploy(session, command, &mut certificates) {
            exit = Exit::Attention;
        }
    }
    let mut outcome = Outcome::of(&Report {
        changed: !certificates.is_empty(),
        next: next(args, &certificates)?,
        certificates,
        failed: done.failures.list,
        crl: done.crl,
        before: None,
    })?;
    outcome.exit = exit;
    Ok(outcome)
}

type Found = Vec<(String, Result<Old>)>;

fn named(store: &Store, words: &[String], now: OffsetDateTime) -> Found {
    let mut seen = HashSet::new();
    let found = words
        .iter()
        .map(|word| (word.clone(), old(store, word, now)));
    let is_new = |(_, old): &(String, Result<Old>)| match old {
        Ok(old) => seen.insert(old.certificate.serial.clone()),
        Err(_) => true,
    };
    found.filter(is_new).collect()
}

fn old(store: &Store, word: &str, now: OffsetDateTime) -> Result<Old> {
    let host = general_name::host_name(word)?;
    if let Ok(name) = hosts::file_name(&host)
        && let Some(certificate) = store.hosts.certificate(&name)?
    {
        store.hosts.check_name(&name, &host)?;
        return Ok(Old {
            certificate,
            host: Some(name),
        });
    }
    elsewhere(store, selection::last_of_host(store, &host, now)?)
}

fn elsewhere(store: &Store, selected: Selected) -> Result<Old> {
    match selected.certificate {
        Some(certificate) => Ok(Old {
            certificate,
            host: None,
        }),
        None => bail!(RenewRefusal::NotKept {
            host: selected.title(),
            serial: selected.row.serial.to_string(),
            path: store.certificate_path(&selected.row.serial),
        }),
    }
}

// What ends before now and `window`.
fn due(
    session: &mut Session<'_>,
    store: &Store,
    now: OffsetDateTime,
    window: Duration,
) -> Result<Found> {
    let mut found = Vec::new();
    let mut keys = HashSet::from([store.certificate.subject_public_key_info.clone()]);
    for host in store.hosts.list()? {
        match store.hosts.certificate(&host) {
            Ok(Some(certificate)) => {
                keys.insert(certificate.subject_public_key_info.clone());
                if certificate.not_after < now.saturating_add(window) {
                    let title = certificate.title();
                    let host = Some(host);
                    found.push((title, Ok(Old { certificate, host })));
                }
            }
            Ok(None) => {}
            Err(error) => found.push((host, Err(error.into()))),
        }
    }
    let is_known = |it: &Certificate| keys.contains(&it.subject_public_key_info);
    for selected in selection::ending(store, now, window, is_known)? {
        found.push((selected.title(), elsewhere(store, selected)));
    }
    // Another one would end with the CA certificate too, and be due again tomorrow.
    let end = store.certificate.not_after;
    let all = found.len();
    found.retain(|(_, old)| {
        let ends_with_ca = old.as_ref().is_ok_and(|it| it.certificate.not_after >= end);
        end < now || !ends_with_ca
    });
    if found.len() < all {
        let (count, end) = (all - found.len(), report::date(end));
        let renew = report::invocation(store, &["renew-ca"]);
        session.warn(&format!(
            "{count} of the certificates due end with the CA certificate, on {end}, and none would last longer: {renew}"
        ));
    }
    Ok(found)
}

/// What is to be told of a renewal besides the certificate.
#[derive(Default)]
struct Facts {
    revoke: bool,
    new_key: Option<NewKey>,
}

fn prepare<'a>(
    args: &Renew,
    old: Old,
    status: Option<&Status>,
    store: &Store,
    now: OffsetDateTime,
) -> Result<(Case<'a>, Facts)> {
    let Old { certificate, host } = old;
    if certificate.is_ca {
        bail!(RenewRefusal::CaCertificate {
            title: certificate.title(),
            serial: certificate.serial.to_string(),
        });
    }
    let has_ended = certificate.not_after < now || status == Some(&Status::Expired);
    check(args, &certificate, host.is_some(), status, has_ended, store)?;
    let revoke = args.revoke_old && !has_ended;
    let present = match &host {
        Some(host) => Some(host_key(store, host, &certificate)?),
        None => None,
    };
    let mut notes = Vec::new();
    if args.revoke_old && !revoke {
        let serial = &certificate.serial;
        notes.push(format!("{serial} has ended, and need not be revoked"));
    }
    let key = match present {
        Some(present) if args.new_key => Some(new_key(&present, &mut notes)?),
        present => present,
    };
    let public = key.as_ref().map_or(
        certificate.subject_public_key_info.as_slice(),
        PrivateKey::subject_public_key_info,
    );
    let facts = Facts {
        revoke,
        new_key: if args.new_key {
            let before = &certificate.subject_public_key_info;
            Some(NewKey::of(&certificate.title(), before, public)?)
        } else {
            None
        },
    };
    let request = request(&certificate, public, &mut notes);
    let terms = issuance::Terms {
        is_renewal: true,
        profile: Some(profile(&certificate, store, &mut notes)),
        days: args.days,
        ..issuance::Terms::default()
    };
    let title = certificate.title();
    let out = args.out_dir.as_ref().map(|dir| {
        let serial = certificate.serial.to_string();
        let name = hosts::file_name(&title).unwrap_or(serial);
        output::path(dir, Some(name.as_ref()))
    });
    let renews = Renewed {
        serial: certificate.serial.clone(),
        not_after: certificate.not_after,
        revoke,
    };
    let settle = move |store: &Store| -> Result<Plan> {
        if let Some(host) = &host {
            // What the choice of the key rests on must still be so.
            let found = store.hosts.certificate(host)?;
            if found.is_none_or(|found| found.serial != certificate.serial) {
                bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
            }
        }
        let mut plan = issuance::plan(store, &request, key.as_ref(), &terms, now)?;
        if let Some(host) = &host
            && plan.host.as_ref() != Some(host)
        {
            bail!(RenewRefusal::OtherName {
                folder: store.hosts.current(host),
                title: certificate.title(),
            });
        }
        plan.notes.extend(notes.iter().cloned());
        Ok(plan)
    };
    let mut case = Case::new(title, store, Box::new(settle))?;
    case.renews = Some(renews);
    case.out = out;
    Ok((case, facts))
}

fn check(
    args: &Renew,
    certificate: &Certificate,
    is_here: bool,
    status: Option<&Status>,
    has_ended: bool,
    store: &Store,
) -> Result<(), RenewRefusal> {
    let host = certificate.title();
    let serial = certificate.serial.to_string();
    match status {
        Some(Status::Revoked { in_words }) => Err(RenewRefusal::Revoked {
            host,
            serial,
            revoked: in_words.clone(),
            is_here,
        }),
        None if args.revoke_old => Err(RenewRefusal::NotRecorded {
            host,
            serial,
            register: store.settings.database.clone(),
        }),
        Some(Status::Valid) if store.unique_subject && !has_ended && !args.revoke_old => {
            Err(RenewRefusal::NotUnique { host, serial })
        }
        _ if args.new_key && !is_here => Err(RenewRefusal::KeyElsewhere { host }),
        _ => Ok(()),
    }
}

fn host_key(store: &Store, host: &str, certificate: &Certificate) -> Result<PrivateKey> {
    let folder = store.hosts.current(host);
    let (host, serial) = (certificate.title(), certificate.serial.to_string());
    let path = folder.join(hosts::KEY);
    match store.hosts.key(&folder)? {
        Some(key)
            if key.subject_public_key_info() == certificate.subject_public_key_info.as_slice() =>
        {
            Ok(key)
        }
        Some(_) => bail!(RenewRefusal::ForeignKey {
            host,
            serial,
            key: path,
        }),
        None => bail!(RenewRefusal::KeyGone {
            host,
            serial,
            key: path,
        }),
    }
}

fn new_key(present: &PrivateKey, notes: &mut Vec<String>) -> Result<PrivateKey> {
    let key_type = KeyType::of(present.kind());
    if key_type.is_none() {
        let (kind, made) = (present.kind(), KeyType::default());
        notes.push(format!(
            "mailca makes no key of type {kind}; the new one is {made}"
        ));
    }
    Ok(PrivateKey::generate(key_type.unwrap_or_default())?)
}

// The request that nobody has to write: names as they were, the subject byte for byte.
fn request(old: &Certificate, public: &[u8], notes: &mut Vec<String>) -> Request {
    let serial = &old.serial;
    if old.other_names > 0 {
        notes.push(format!(
            "{serial} has names that are no DNS name, IP address or e-mail address, which the new one does not get"
        ));
    }
    let names = old.names.clone();
    let has_names = !names.is_empty();
    let with = |names| Request::new(old.subject.clone(), public.to_vec(), names);
    let request = with(names);
    let from_subject = request.names_from_subject();
    if has_names || from_subject.is_empty() {
        return request;
    }
    let names = List(&from_subject);
    notes.push(format!(
        "{serial} has no SubjectAltName; from its subject comes {names}"
    ));
    with(from_subject)
}

fn profile(old: &Certificate, store: &Store, notes: &mut Vec<String>) -> Profile {
    Profile::of(old).unwrap_or_else(|| {
        let (serial, profile) = (&old.serial, store.settings.profile);
        notes.push(format!(
            "{serial} has the purposes of no profile; the new one is for {}",
            profile.description()
        ));
        profile
    })
}

// Runs the hook for each host; whether all went well.
fn deploy(session: &mut Session<'_>, command: &OsString, renewed: &mut [One]) -> bool {
    if let Some(fd) = session.global.passphrase_fd {
        passphrase::close(fd);
    }
    let mut all_went_well = true;
    for one in renewed {
        let certificate = &one.certificate;
        let path = |path: &Path| {
            let absolute = std::path::absolute(path);
            absolute
                .unwrap_or_else(|_| path.to_owned())
                .into_os_string()
        };
        let title = &certificate.title;
        let variables = [
            ("MAILCA_HOST", Some(title.into())),
            ("MAILCA_SERIAL", Some((&certificate.serial).into())),
            ("MAILCA_CERTIFICATE", Some(path(&certificate.certificate))),
            (
                "MAILCA_HOST_FILES",
                certificate.host_files.as_deref().map(path),
            ),
        ];
        let problem = match hook::run(command, &variables) {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("ended with {status}")),
            Err(error) => Some(format!("could not be run ({error})")),
        };
        one.deployed = Some(problem.is_none());
        if let Some(problem) = problem {
            all_went_well = false;
            let serial = &certificate.serial;
            session.warn(&format!(
                "the deploy hook for {title} {problem}; {serial} is issued all the same"
            ));
        }
    }
    all_went_well
}

fn next(args: &Renew, renewed: &[One]) -> Result<String> {
    let (here, elsewhere): (Vec<&One>, Vec<&One>) = renewed
        .iter()
        .partition(|one| one.certificate.host.is_some());
    let place = |one: &&One| {
        let certificate = &one.certificate;
        let out = certificate.out.as_ref().unwrap_or(&certificate.certificate);
        (certificate.title.clone(), out.clone())
    };
    let copies: Vec<(String, PathBuf)> = elsewhere.iter().map(place).collect();
    if args.deploy_hook.is_some() {
        return Ok(String::new());
    }
    Ok(mta::next(!here.is_empty(), &copies)?)
}

impl fmt::Display for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = &self.certificate;
        let end = report::date(certificate.not_after);
        let issued::Report { title, serial, .. } = certificate;
        writeln!(f, "renewed {title} as {serial}, valid until {end}")?;
        if let Some(old) = certificate.renews.as_ref().filter(|_| self.revoked) {
            writeln!(f, "  revoked      {old} (superseded)")?;
        }
        if let Some(files) = &certificate.host_files {
            writeln!(f, "  host files   {}/", files.display())?;
        } else {
            let place = certificate.out.as_ref().unwrap_or(&certificate.certificate);
            writeln!(f, "  certificate  {}", place.display())?;
        }
        match &self.new_key {
            Some(key) => f.write_str(&key.words),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(before) = self.before {
            let moment = report::moment(before);
            return writeln!(f, "no certificate ends before {moment}; nothing changed");
        }
        for one in &self.certificates {
            write!(f, "{one}")?;
        }
        if let Some(crl) = &self.crl {
            write!(f, "{crl}")?;
        }
        if self.certificates.len() + self.failed.len() > 1 {
            write!(f, "renewed {}", self.certificates.len())?;
            if !self.failed.is_empty() {
                write!(f, ", failed {}", self.failed.len())?;
            }
            writeln!(f)?;
        }
        f.write_str(&self.next)
    }
}
