//! `mailca issue`: `req` and `sign` in one step, as often as one likes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, bail};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::batch::{self, Case, Signing};
use super::issuance::{self, Plan, Refusal};
use super::issued::Report;
use super::req;
use super::servers;
use super::session::Session;
use super::several::{self, Order, Prepared};
use super::sign;
use crate::cli::Issue;
use crate::pki::certificate::Certificate;
use crate::pki::general_name::{self, GeneralName};
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::name::Name;
use crate::pki::profile::Profile;
use crate::pki::public_key::PublicKeyKind;
use crate::pki::request::Request;
use crate::report::{List, Outcome};
use crate::store::Store;
use crate::store::hosts;
use crate::sys::files::{self, FileError};

/// Why no certificate is issued although the host has one.
#[derive(Debug, Error)]
pub enum IssueRefusal {
    /// The present certificate says something else.
    #[error("{host} has {serial} with {present}, but {asked} is asked for")]
    Differs {
        /// the host
        host: String,
        /// its certificate's serial number
        serial: String,
        /// what that has
        present: String,
        /// what is asked for
        asked: String,
    },
    /// The present certificate was revoked, perhaps for a reason that still holds.
    #[error("{serial} of {host} was revoked on {date}")]
    Revoked {
        /// the host
        host: String,
        /// its certificate's serial number
        serial: String,
        /// date and reason as in the register
        date: String,
    },
    /// The host's private key is not where it was.
    #[error("{host} has {serial}, but {} is missing", .key.display())]
    KeyGone {
        /// the host
        host: String,
        /// its certificate's serial number
        serial: String,
        /// where its key was
        key: PathBuf,
    },
    /// The host's private key is another one than its certificate's.
    #[error("{host} has {serial}, to which {} does not belong", .key.display())]
    KeyDiffers {
        /// the host
        host: String,
        /// its certificate's serial number
        serial: String,
        /// the key
        key: PathBuf,
    },
    /// A key waits that is not of the type asked for.
    #[error("a key of type {waiting} waits in {}, but {asked} is asked for", .folder.display())]
    OtherKeyWaits {
        /// what waits
        waiting: String,
        /// hosts/HOST.next
        folder: PathBuf,
        /// what is asked for
        asked: KeyType,
    },
    /// The list of hosts is not UTF-8, or has NUL bytes.
    #[error("{0} is not text")]
    NotText(String),
    /// The list of hosts is empty.
    #[error("{0} names no host")]
    NoHosts(String),
}

/// A certificate is due for another one this long before it ends, or in the last third of its
/// life where that is shorter.
const DUE: Duration = Duration::days(30);

pub fn run(args: &Issue, session: &mut Session<'_>) -> Result<Outcome> {
    if let Some(from) = &args.from {
        return several_hosts(args, from, session);
    }
    let host = session.host(args.host.name.as_deref())?;
    let wish = Wish {
        names: req::names_of(&host, &args.host.san),
        host,
    };
    let store = session.open_store_to_sign()?;
    let mut key = None;
    match once(args, &wish, &store, &mut key, session) {
        // Nobody was asked about what is different now, so there is no reason to give up.
        Err(error) if session.global.yes && is_changed(&error) => {
            let store = session.reopen_store()?;
            once(args, &wish, &store, &mut key, session)
        }
        result => result,
    }
}

fn is_changed(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(Refusal::ChangedMeanwhile(_)))
}

fn once(
    args: &Issue,
    wish: &Wish,
    store: &Store,
    key: &mut Option<PrivateKey>,
    session: &mut Session<'_>,
) -> Result<Outcome> {
    let now = session.context.now();
    let case = match prepare(args, wish.clone(), store, now)? {
        Prepared::Case(case) => case,
        Prepared::Present(report) => return Ok(Outcome::of(&report)?),
    };
    let holders = batch::check_alone(store, &case, now)?;
    sign::confirm(session, store, &case.plan)?;
    let key = match key {
        Some(key) => key,
        None => key.insert(session.unlock(store)?),
    };
    let signing = Signing {
        store,
        key,
        copy_to: None,
        atomic: true,
    };
    let host = case.plan.host.clone();
    let certificate = batch::sign_one(session, &signing, case, holders)?;
    let mut report = Report::new(true, store, &certificate, host.as_deref());
    if let Some(host) = &host {
        report.next = servers::wiring(store, host, session);
    }
    Ok(Outcome::of(&report)?)
}

/// A host and the names it shall have.
#[derive(Clone)]
struct Wish {
    host: String,
    names: Vec<GeneralName>,
}

fn several_hosts(args: &Issue, from: &Path, session: &mut Session<'_>) -> Result<Outcome> {
    let list = read_list(from, session)?;
    let store = session.open_store_to_sign()?;
    let now = session.context.now();
    let progress = session.progress("checking", list.len());
    let prepared = batch::on_all_cores(list, |(name, wish)| {
        let prepared = wish.and_then(|wish| prepare(args, wish, &store, now));
        progress.advance(1);
        (name, prepared)
    });
    progress.finish();
    let order = Order {
        store: &store,
        prepared,
        atomic: args.atomic,
        out_dir: None,
    };
    several::run(session, order)
}

// A host a line, with its other names behind it; # begins a comment.
fn read_list(from: &Path, session: &mut Session<'_>) -> Result<Vec<(String, Result<Wish>)>> {
    let (name, bytes) = if from == Path::new("-") {
        let name = "standard input".to_owned();
        let bytes = files::read_from(&mut session.context.stdin)
            .map_err(|error| FileError::new("read", Path::new(&name), error))?;
        (name, bytes)
    } else {
        (from.display().to_string(), files::read_given(from)?)
    };
    let text = str::from_utf8(&bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| IssueRefusal::NotText(name.clone()))?;
    let mut list = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        if let Some(host) = words.next() {
            let place = format!("{name}:{}", number + 1);
            let wish = wish(host, words).with_context(|| place);
            list.push((host.to_owned(), wish));
        }
    }
    if list.is_empty() {
        bail!(IssueRefusal::NoHosts(name));
    }
    Ok(list)
}

fn wish<'w>(host: &str, others: impl Iterator<Item = &'w str>) -> Result<Wish> {
    let host = general_name::host_name(host)?;
    let others: Vec<GeneralName> = others.map(GeneralName::parse).collect::<Result<_, _>>()?;
    Ok(Wish {
        names: req::names_of(&host, &others),
        host,
    })
}

// What `issue` would do for a host: its key, and the request that nobody has to write.
fn prepare<'a>(
    args: &'a Issue,
    wish: Wish,
    store: &Store,
    now: OffsetDateTime,
) -> Result<Prepared<'a>> {
    let Wish { host, names } = wish;
    let file_name = hosts::file_name(&host)?;
    store.hosts.check_name(&file_name, &host)?;
    let present = store.hosts.certificate(&file_name)?;
    let profile = args.terms.profile.unwrap_or(store.settings.profile);
    let mut new_key = false;
    if let Some(present) = &present {
        let key = store.hosts.key(&store.hosts.current(&file_name))?;
        new_key = !keeps_key(args, key.as_ref());
        if key.is_none() && !args.replace {
            bail!(IssueRefusal::KeyGone {
                host,
                serial: present.serial.to_string(),
                key: store.hosts.current(&file_name).join(hosts::KEY),
            });
        }
        let own = &present.subject_public_key_info;
        let differs = key.is_some_and(|key| key.subject_public_key_info() != own);
        if differs && !args.replace {
            bail!(IssueRefusal::KeyDiffers {
                host,
                serial: present.serial.to_string(),
                key: store.hosts.current(&file_name).join(hosts::KEY),
            });
        }
        new_key |= differs;
        match judge(args, store, present, &names, profile, new_key)? {
            None if !is_due(present, now) && !differs => {
                let report = Report::new(false, store, present, Some(&file_name));
                return Ok(Prepared::Present(report));
            }
            None => {}
            Some(refusal) if !args.replace => bail!(refusal),
            Some(refusal) => new_key |= matches!(refusal, IssueRefusal::Revoked { .. }),
        }
    }
    let key = host_key(args, store, &file_name, new_key)?;
    let request = Request::new(
        subject(args, &host, store)?,
        key.subject_public_key_info().to_vec(),
        names,
    );
    let terms = issuance::Terms {
        profile: Some(profile),
        days: args.terms.days,
        ..issuance::Terms::default()
    };
    let known = present.map(|present| present.serial);
    let settle = move |store: &Store| -> Result<Plan> {
        // What the choice of the key rests on must still be so.
        let found = store.hosts.certificate(&file_name)?;
        if found.map(|found| found.serial) != known {
            bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
        }
        issuance::plan(store, &request, Some(&key), &terms, now)
    };
    Ok(Prepared::Case(Case::new(host, store, Box::new(settle))?))
}

// What speaks against the present certificate, if anything.
fn judge(
    args: &Issue,
    store: &Store,
    present: &Certificate,
    names: &[GeneralName],
    profile: Profile,
    new_key: bool,
) -> Result<Option<IssueRefusal>> {
    let differs = |present_has: String, asked: String| {
        Some(IssueRefusal::Differs {
            host: present.title(),
            serial: present.serial.to_string(),
            present: present_has,
            asked,
        })
    };
    if let Some(date) = store.revocation(&present.serial)? {
        return Ok(Some(IssueRefusal::Revoked {
            host: present.title(),
            serial: present.serial.to_string(),
            date,
        }));
    }
    if folded(&present.names) != folded(names) {
        let (has, asked) = (List(&present.names).to_string(), List(names).to_string());
        return Ok(differs(has, asked));
    }
    if Profile::of(present) != Some(profile) {
        let has = Profile::of(present).map_or_else(|| "other".into(), |found| found.to_string());
        let (has, asked) = (format!("profile {has}"), format!("profile {profile}"));
        return Ok(differs(has, asked));
    }
    if let Some(subject) = args
        .host
        .subject
        .as_ref()
        .filter(|name| **name != present.subject)
    {
        let (has, asked) = (present.subject.to_string(), subject.to_string());
        return Ok(differs(has, asked));
    }
    if new_key {
        let kind = PublicKeyKind::of(&present.subject_public_key_info)?;
        let asked = args.key_type.unwrap_or_default();
        return Ok(differs(kind.to_string(), format!("{asked}")));
    }
    Ok(None)
}

fn is_due(certificate: &Certificate, now: OffsetDateTime) -> bool {
    let lifetime = certificate.not_after - certificate.not_before;
    certificate.not_after - now < DUE.min(lifetime / 3)
}

fn folded(names: &[GeneralName]) -> Vec<GeneralName> {
    let mut folded: Vec<_> = names.iter().map(GeneralName::folded).collect();
    folded.sort();
    folded.dedup();
    folded
}

// The present key stays unless another type is asked for.
fn keeps_key(args: &Issue, key: Option<&PrivateKey>) -> bool {
    key.is_some_and(|key| {
        args.key_type
            .is_none_or(|wanted| KeyType::of(key.kind()) == Some(wanted))
    })
}

fn host_key(args: &Issue, store: &Store, host: &str, new_key: bool) -> Result<PrivateKey> {
    let next = store.hosts.next(host);
    if let Some(waiting) = store.hosts.key(&next)? {
        return match args.key_type {
            Some(asked) if KeyType::of(waiting.kind()) != Some(asked) => {
                bail!(IssueRefusal::OtherKeyWaits {
                    waiting: waiting.kind().to_string(),
                    folder: next,
                    asked,
                })
            }
            _ => Ok(waiting),
        };
    }
    if !new_key && let Some(present) = store.hosts.key(&store.hosts.current(host))? {
        return Ok(present);
    }
    Ok(PrivateKey::generate(args.key_type.unwrap_or_default())?)
}

// A policy that wants attributes to match the CA's gets them, since nobody wrote this subject.
fn subject(args: &Issue, host: &str, store: &Store) -> Result<Name> {
    if let Some(subject) = &args.host.subject {
        return Ok(subject.clone());
    }
    let plain = Name::common_name_only(host)?;
    let (policy, _) = store.settings.policy(None)?;
    Ok(policy.complete(&plain, &store.certificate.subject)?)
}
