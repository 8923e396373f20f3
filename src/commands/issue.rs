//! `mailca issue`: `req` and `sign` in one step, as often as one likes.

use anyhow::{Result, bail};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::issuance::{self, Plan, Refusal};
use super::req;
use super::session::Session;
use super::sign::{self, Report};
use crate::cli::Issue;
use crate::pki::certificate::Certificate;
use crate::pki::general_name::GeneralName;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::name::Name;
use crate::pki::profile::Profile;
use crate::pki::public_key::PublicKeyKind;
use crate::pki::request::Request;
use crate::report::{List, Outcome};
use crate::store::Store;
use crate::store::hosts;
use crate::store::index;

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
}

/// A certificate is due for another one this long before it ends, or in the last third of its
/// life where that is shorter.
const DUE: Duration = Duration::days(30);

pub fn run(args: &Issue, session: &mut Session<'_>) -> Result<Outcome> {
    let host = session.host(args.host.name.as_deref())?;
    let names = req::names_of(&host, &args.host.san);
    let store = session.open_store_to_sign()?;
    let file_name = hosts::file_name(&host)?;
    store.hosts.check_name(&file_name, &host)?;
    let present = store.hosts.certificate(&file_name)?;
    let profile = args.terms.profile.unwrap_or(store.settings.profile);
    let mut new_key = false;
    if let Some(present) = &present {
        let now = session.context.now();
        let key = store.hosts.key(&store.hosts.current(&file_name))?;
        new_key = !keeps_key(args, key.as_ref());
        match judge(args, &store, present, &names, profile, new_key)? {
            None if !is_due(present, now) => {
                let report = Report::new(false, &store, present, Some(&file_name));
                return Ok(Outcome::of(&report)?);
            }
            None => {}
            Some(refusal) if !args.replace => bail!(refusal),
            Some(refusal) => new_key |= matches!(refusal, IssueRefusal::Revoked { .. }),
        }
    }
    let key = host_key(args, &store, &file_name, new_key)?;
    let request = Request {
        subject: subject(args, &host, &store)?,
        subject_public_key_info: key.subject_public_key_info().to_vec(),
        names,
        not_honoured: Vec::new(),
    };
    let terms = issuance::Terms {
        profile: Some(profile),
        days: args.terms.days,
        ..issuance::Terms::default()
    };
    let now = session.context.now();
    let settle = |store: &Store| -> Result<Plan> {
        // What the choice of the key rests on must still be so.
        let found = store.hosts.certificate(&file_name)?;
        if found.map(|found| found.serial) != present.as_ref().map(|known| known.serial.clone()) {
            bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
        }
        issuance::plan(store, &request, Some(&key), &terms, now)
    };
    let plan = settle(&store)?;
    sign::confirm(session, &store, &plan)?;
    let ca_key = session.unlock(&store)?;
    let certificate = issuance::carry_out(session, &store, &plan, &ca_key, None, settle)?;
    let report = Report::new(true, &store, &certificate, Some(&file_name));
    Ok(Outcome::of(&report)?)
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
    let mut revoked = None;
    let serial = present.serial.to_string();
    index::scan(&store.settings.database, |_, row| {
        if row.serial == serial && row.status == "R" {
            revoked = Some(row.revoked.to_owned());
        }
        row.serial != serial
    })?;
    if let Some(date) = revoked {
        return Ok(Some(IssueRefusal::Revoked {
            host: present.title(),
            serial,
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
    if let Some(waiting) = store.hosts.key(&store.hosts.next(host))? {
        return Ok(waiting);
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
