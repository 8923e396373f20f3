//! `mailca revoke`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;
use time::{OffsetDateTime, UtcOffset};

use super::issuance::Refusal;
use super::new_crl::{self, NewCrl};
use super::review::Review;
use super::selection::{self, Selected};
use super::session::Session;
use crate::cli::Revoke;
use crate::mta::{self, Peer};
use crate::pki::general_name::GeneralName;
use crate::pki::revocation::{Reason, Revocation};
use crate::pki::serial::SerialNumber;
use crate::pki::text;
use crate::report::{self, List, Outcome};
use crate::store::Store;
use crate::store::register::{Holders, RegisterError};

/// Why nothing is revoked.
#[derive(Debug, Error)]
pub enum RevokeRefusal {
    /// `--compromised-at` with a reason that says nothing of a compromise.
    #[error("--compromised-at goes with the reasons keyCompromise and CACompromise, not with {0}")]
    NotCompromised(Reason),
    /// A compromise that has not happened.
    #[error("the key cannot have been compromised at {}: it is {} now", report::moment(*.since), report::moment(*.now))]
    InTheFuture {
        since: OffsetDateTime,
        now: OffsetDateTime,
    },
}

#[derive(Serialize)]
struct Revoked {
    serial: String,
    subject: String,
    names: Vec<GeneralName>,
    host: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    sha256: Option<String>,
    #[serde(skip)]
    title: String,
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    reason: Reason,
    #[serde(with = "time::serde::rfc3339")]
    revoked_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    compromised_at: Option<OffsetDateTime>,
    revoked: Vec<Revoked>,
    crl: Option<NewCrl>,
    #[serde(skip)]
    servers: String,
    #[serde(skip)]
    next: Vec<String>,
}

pub fn run(args: &Revoke, session: &mut Session<'_>) -> Result<Outcome> {
    let now = session.context.now();
    let revocation = revocation(args, now)?;
    let store = session.open_store_to_write()?;
    let chosen = choose(args, session, &store, now)?;
    if !args.no_crl {
        new_crl::check(&store, now)?;
        // What would fail after all the answers fails before the first question.
        store.private_key()?;
    }
    confirm(session, &store, &chosen, &revocation, args.no_crl)?;
    let key = if args.no_crl {
        None
    } else {
        Some(session.unlock(&store)?)
    };
    let serials: Vec<(SerialNumber, Revocation)> = chosen
        .iter()
        .map(|one| (one.row.serial.clone(), revocation.clone()))
        .collect();
    let mut transaction = store.begin(session.wait())?;
    let fresh = session.reopen_store()?;
    if fresh.certificate.as_der() != store.certificate.as_der() {
        bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
    }
    let nobody = Holders::none(&fresh)?;
    transaction.revoke(&serials, &nobody)?;
    if revocation.is_of_compromised_key() {
        for one in &chosen {
            match &one.certificate {
                Some(certificate) => transaction.keep_out_key_of(certificate),
                None => session.warn(&format!(
                    "{} has no {}: its key is not known, and can be certified again",
                    fresh.settings.new_certs_dir.display(),
                    one.row.serial
                )),
            }
        }
    }
    let crl = match key {
        Some(key) => Some(new_crl::stage(&fresh, &mut transaction, &key, now, None)?),
        None => None,
    };
    transaction.settle()?.commit(&[], &nobody)?;
    if let Some(crl) = &crl {
        crl.warn(session);
    }
    let revoked: Vec<Revoked> = chosen
        .iter()
        .map(|one| described(&fresh, one))
        .collect::<Result<_>>()?;
    let report = Report {
        changed: true,
        reason: revocation.reason,
        revoked_at: revocation.date,
        compromised_at: revocation.compromised_at,
        servers: servers(&chosen, revocation.reason, crl.is_some())?,
        next: next(&fresh, &revoked, crl.as_ref()),
        revoked,
        crl,
    };
    Ok(Outcome::of(&report)?)
}

fn revocation(args: &Revoke, now: OffsetDateTime) -> Result<Revocation> {
    let reason = args.reason.unwrap_or(match args.compromised_at {
        Some(_) => Reason::KeyCompromise,
        None => Reason::Unspecified,
    });
    let revocation = Revocation {
        date: now,
        reason,
        compromised_at: args
            .compromised_at
            .map(|since| since.to_offset(UtcOffset::UTC)),
        hold_instruction: None,
    };
    if let Some(since) = args.compromised_at {
        if !revocation.is_of_compromised_key() {
            bail!(RevokeRefusal::NotCompromised(reason));
        }
        if since > now {
            bail!(RevokeRefusal::InTheFuture { since, now });
        }
    }
    Ok(revocation)
}

fn choose(
    args: &Revoke,
    session: &Session<'_>,
    store: &Store,
    now: OffsetDateTime,
) -> Result<Vec<Selected>> {
    let mut chosen = Vec::new();
    for word in &args.certificates {
        chosen.extend(selection::find(store, word, args.all, now)?);
    }
    if let Some(path) = &args.key {
        chosen.extend(selection::of_key(session, store, path)?);
    }
    for one in &chosen {
        if let Some(revocation) = &one.row.revocation {
            bail!(RegisterError::AlreadyRevoked {
                serial: one.row.serial.to_string(),
                revoked: revocation.to_string(),
            });
        }
    }
    Ok(selection::without_repeats(chosen))
}

fn confirm(
    session: &mut Session<'_>,
    store: &Store,
    chosen: &[Selected],
    revocation: &Revocation,
    no_crl: bool,
) -> Result<()> {
    let mut lines = Vec::new();
    for one in chosen {
        let end = report::date(one.row.not_after);
        let title = text::one_line(&one.title());
        let mut line = format!("{}, {title}, valid until {end}", one.row.serial);
        if let Some(host) = current_host(store, one)? {
            line = format!("{line}; {} uses it", store.hosts.current(&host).display());
        }
        lines.push(line);
    }
    let since = match revocation.compromised_at {
        Some(since) => format!(", since {}", report::moment(since)),
        None => String::new(),
    };
    let crl = if no_crl {
        "none: mail servers go on accepting it until mailca crl".into()
    } else {
        format!("a new one in {}", store.settings.crl.display())
    };
    let question = match chosen {
        [_] => "Revoke the certificate?".into(),
        several => format!("Revoke these {} certificates?", several.len()),
    };
    let review = |width| {
        let mut review = Review::new(width);
        review.field("Issuer", &store.certificate.subject.to_string());
        review.field("Directory", &store.settings.root.display().to_string());
        for line in &lines {
            review.field("Revoke", line);
        }
        review.field("Reason", &format!("{}{since}", revocation.reason));
        review.field("CRL", &crl);
        review.finish()
    };
    session.confirm(review, &question)
}

// The host whose files it is in at the moment.
fn current_host(store: &Store, one: &Selected) -> Result<Option<String>> {
    let Ok(host) = crate::store::hosts::file_name(&one.title()) else {
        return Ok(None);
    };
    let current = store.hosts.certificate(&host)?;
    let is_it = current.is_some_and(|it| it.serial == one.row.serial);
    Ok(is_it.then_some(host))
}

fn described(store: &Store, one: &Selected) -> Result<Revoked> {
    let certificate = one.certificate.as_ref();
    Ok(Revoked {
        serial: one.row.serial.to_string(),
        subject: certificate.map_or_else(
            || one.row.subject.clone(),
            |certificate| certificate.subject.to_string(),
        ),
        names: certificate.map_or_else(Vec::new, |certificate| certificate.names.clone()),
        host: current_host(store, one)?,
        not_after: one.row.not_after,
        sha256: certificate.map(crate::pki::certificate::Certificate::fingerprint),
        title: text::one_line(&one.title()),
    })
}

// Which servers read the CRL, and what the others need.
fn servers(chosen: &[Selected], reason: Reason, has_crl: bool) -> Result<String> {
    if !has_crl {
        return Ok(String::new());
    }
    let is_compromised = reason == Reason::KeyCompromise;
    let peers = chosen.iter().filter_map(|one| {
        Some(Peer {
            is_compromised,
            ..one.peer()?
        })
    });
    Ok(mta::revocation::lines(&peers.collect::<Vec<_>>())?)
}

fn next(store: &Store, revoked: &[Revoked], crl: Option<&NewCrl>) -> Vec<String> {
    let hosts = revoked.iter().filter_map(|it| it.host.as_deref());
    let mut next: Vec<String> = hosts
        .map(|host| report::invocation(store, &["issue", host, "--replace"]))
        .collect();
    if crl.is_none() {
        next.push(report::invocation(store, &["crl"]));
    }
    next
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.revoked {
            let Revoked { title, serial, .. } = one;
            write!(f, "revoked {serial}, {title}")?;
            if self.reason != Reason::Unspecified {
                write!(f, " ({})", self.reason)?;
            }
            if !one.names.is_empty() && one.names.len() > 1 {
                write!(f, ", for {}", List(&one.names))?;
            }
            writeln!(f)?;
        }
        if let Some(crl) = &self.crl {
            write!(f, "{crl}{}", self.servers)?;
        }
        for next in &self.next {
            writeln!(f, "next: {next}")?;
        }
        Ok(())
    }
}
