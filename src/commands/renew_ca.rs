//! `mailca renew-ca`

mod new_key;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use self::new_key::NewKey;
use super::issuance::{self, Refusal};
use super::review::Review;
use super::selection;
use super::session::Session;
use crate::cli::RenewCa;
use crate::pki::certificate::Certificate;
use crate::pki::key::PrivateKey;
use crate::pki::pem_text;
use crate::pki::renewal::{Renewal, RenewalError};
use crate::pki::serial::SerialNumber;
use crate::pki::tbs::TbsCertificate;
use crate::pki::text;
use crate::report::{self, List, Outcome};
use crate::store::Store;
use crate::store::register::{Holders, Recorded};
use crate::sys::files;

/// Why the CA certificate is not renewed.
#[derive(Debug, Error)]
pub enum RenewCaRefusal {
    /// Only the CA above it can.
    #[error("{} was issued by {issuer}, which has to renew it", .path.display())]
    Intermediate {
        path: PathBuf,
        issuer: String,
        key: PathBuf,
    },
    /// It cannot be a CA's.
    #[error("{} is not a CA certificate ({problem})", .path.display())]
    NotCa {
        path: PathBuf,
        problem: &'static str,
    },
    /// What else is in the file would be lost, and it may be the key.
    #[error("{} holds more than the CA certificate, which would be lost", .0.display())]
    HoldsMore(PathBuf),
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    serial: String,
    subject: String,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    certificate: PathBuf,
    renews: String,
    kept: PathBuf,
    added: Vec<String>,
    dropped: Vec<String>,
    #[serde(flatten)]
    concerned: Concerned,
    /// where the key is another one
    new_key: Option<NewKey>,
    /// when the old one ends
    #[serde(skip)]
    old_end: OffsetDateTime,
    #[serde(skip)]
    next: Vec<String>,
}

/// Who is concerned.
#[derive(Serialize)]
struct Concerned {
    /// those with valid certificates, the first of them
    hosts: Vec<String>,
    hosts_total: usize,
    /// those whose certificates name the old CA certificate by its serial number
    bound_hosts: Vec<String>,
    /// certificates that end with the old CA certificate
    ending_with_it: usize,
}

// The most hosts that are named.
const NAMED: usize = 50;

pub fn run(args: &RenewCa, session: &mut Session<'_>) -> Result<Outcome> {
    let now = session.context.now();
    let store = session.open_store_to_write()?;
    let renewal = check(&store)?;
    if args.new_key {
        return new_key::run(args, session, &store, renewal);
    }
    // What would fail after all the answers fails before the first question.
    issuance::check_key(&store)?;
    store.private_key()?;
    let not_after = now.saturating_add(Duration::days(args.days.into()));
    let hosts = hosts(&store, now)?;
    confirm(session, &store, &renewal, &hosts, not_after)?;
    let key = session.unlock(&store)?;
    let mut transaction = store.begin(session.wait())?;
    let fresh = session.reopen_store()?;
    if fresh.certificate.as_der() != store.certificate.as_der() {
        bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
    }
    let serial = serial(session, &fresh)?;
    let public = &store.certificate.subject_public_key_info;
    let new = certificate(&store, (&key, public), &serial, &renewal, (now, not_after))?;
    let unread = transaction.replace_ca(&new)?;
    transaction.settle()?.commit(&[], &Holders::none(&fresh)?)?;
    for folder in &unread {
        let folder = folder.display();
        session.warn(&format!(
            "the certificate in {folder} cannot be read, and its chain stays as it was"
        ));
    }
    warn(session, &store, &hosts)?;
    let old = &store.certificate;
    Ok(Outcome::of(&Report {
        changed: true,
        serial: new.serial.to_string(),
        subject: new.subject.to_string(),
        not_before: new.not_before,
        not_after: new.not_after,
        certificate: store.settings.certificate.clone(),
        renews: old.serial.to_string(),
        kept: store.kept_path(&old.serial),
        added: renewal.added,
        dropped: renewal.dropped,
        next: next(&store, &hosts, now)?,
        old_end: old.not_after,
        concerned: hosts,
        new_key: None,
    })?)
}

fn check(store: &Store) -> Result<Renewal> {
    let old = &store.certificate;
    let path = store.settings.certificate.clone();
    if !old.is_self_issued() {
        bail!(RenewCaRefusal::Intermediate {
            path,
            issuer: old.issuer.to_string(),
            key: store.settings.private_key.clone(),
        });
    }
    let blocks = pem_text::blocks(&files::read(&path)?);
    if blocks.is_some_and(|blocks| blocks.len() > 1) {
        bail!(RenewCaRefusal::HoldsMore(path));
    }
    match Renewal::of(old) {
        Err(RenewalError::NotCa(problem)) => bail!(RenewCaRefusal::NotCa { path, problem }),
        other => Ok(other?),
    }
}

fn hosts(store: &Store, now: OffsetDateTime) -> Result<Concerned> {
    let old = &store.certificate;
    // Where the CA certificate has ended, what it held valid is what its end made invalid.
    let all = selection::hosts_with_valid(store, now.min(old.not_after))?;
    let (end, own) = (old.not_after, old.subject.oneline());
    let ending_with_it = store.recorded(|line| {
        let row = Recorded::parse(line).filter(|row| row.revocation.is_none());
        row.is_some_and(|row| row.not_after == end && row.subject != own)
    })?;
    let mut bound_hosts = Vec::new();
    for host in store.hosts.list()? {
        let current = store.hosts.certificate(&host)?;
        bound_hosts.extend(
            current
                .filter(|it| it.authority_serial.is_some())
                .map(|it| it.title()),
        );
    }
    Ok(Concerned {
        hosts_total: all.len(),
        hosts: all
            .iter()
            .take(NAMED)
            .map(|it| text::one_line(it))
            .collect(),
        bound_hosts,
        ending_with_it: ending_with_it.len(),
    })
}

fn confirm(
    session: &mut Session<'_>,
    store: &Store,
    renewal: &Renewal,
    hosts: &Concerned,
    not_after: OffsetDateTime,
) -> Result<()> {
    let old = &store.certificate;
    let mut notes = notes(renewal);
    if not_after < old.not_after {
        notes.push("it ends before the old one does".into());
    }
    if session.global.yes {
        for note in &notes {
            session.note(note);
        }
    }
    let review = |width| {
        let mut review = Review::new(width);
        let mut field = |label: &str, value: &str| review.field(label, value);
        field("CA", &old.subject.to_string());
        field("Directory", &store.settings.root.display().to_string());
        let end = report::date(old.not_after);
        field("Old", &format!("{}, valid until {end}", old.serial));
        let end = report::date(not_after);
        field("New", &format!("the same key and name, valid until {end}"));
        let total = hosts.hosts_total;
        field("Hosts", &format!("{total} with valid certificates need it"));
        for note in &notes {
            field("Note", note);
        }
        review.finish()
    };
    session.confirm(review, "Renew the CA certificate?")
}

fn notes(renewal: &Renewal) -> Vec<String> {
    let mut notes = Vec::new();
    if !renewal.added.is_empty() {
        let added = List(&renewal.added);
        notes.push(format!("new in it: {added}"));
    }
    if !renewal.dropped.is_empty() {
        let dropped = List(&renewal.dropped);
        notes.push(format!("left out of it: {dropped}"));
    }
    notes
}

// A random one, as `init` gives: whoever trusts both tells them apart by it.
fn serial(session: &Session<'_>, store: &Store) -> Result<SerialNumber> {
    let mut serial = session.random_serial::<20>()?;
    while store.is_taken(&serial)? {
        serial = serial.next()?;
    }
    Ok(serial)
}

fn certificate(
    store: &Store,
    (key, public): (&PrivateKey, &[u8]),
    serial: &SerialNumber,
    renewal: &Renewal,
    (not_before, not_after): (OffsetDateTime, OffsetDateTime),
) -> Result<Certificate> {
    let old = &store.certificate;
    let der = TbsCertificate {
        serial,
        issuer: &old.subject,
        not_before,
        not_after,
        subject: &old.subject,
        subject_public_key_info: public,
        extensions: renewal.extensions.clone(),
    }
    .sign(key, key.digest_for(store.settings.digest))?;
    Ok(Certificate::from_der(&der)?)
}

fn warn(session: &mut Session<'_>, store: &Store, hosts: &Concerned) -> Result<()> {
    let old = &store.certificate.serial;
    for host in &hosts.bound_hosts {
        session.warn(&format!(
            "the certificate of {host} names the CA certificate {old} by its serial number, and does not verify with the new one: renew it"
        ));
    }
    for copy in store.hashed_copies()? {
        let (copy, certificate) = (copy.display(), store.settings.certificate.display());
        session.warn(&format!(
            "{copy} is a copy of the old CA certificate: make it a link to {certificate}"
        ));
    }
    Ok(())
}

fn next(store: &Store, hosts: &Concerned, now: OffsetDateTime) -> Result<Vec<String>> {
    let mut next = Vec::new();
    if hosts.hosts_total > 0 {
        let certificate = store.settings.certificate.display();
        next.push(format!(
            "copy {certificate} to each of these hosts, and reload their mail servers"
        ));
    }
    if !hosts.bound_hosts.is_empty() {
        let bound = hosts.bound_hosts.iter().map(String::as_str);
        let words: Vec<&str> = ["renew"].into_iter().chain(bound).collect();
        next.push(report::invocation(store, &words));
    }
    if hosts.ending_with_it > 0 {
        let days = (store.certificate.not_after - now).whole_days().abs() + 1;
        let window = format!("{days}d");
        next.push(report::invocation(store, &["renew", "--expiring", &window]));
    }
    let crl = store.crl()?;
    let has_ended = crl.is_some_and(|crl| crl.next_update.is_none_or(|end| end < now));
    if has_ended || !store.certificate.may_sign_crls {
        next.push(report::invocation(store, &["crl"]));
    }
    Ok(next)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, serial) = (&self.subject, &self.serial);
        let end = report::date(self.not_after);
        writeln!(f, "renewed the CA {subject} as {serial}, valid until {end}")?;
        writeln!(f, "  certificate  {}", self.certificate.display())?;
        writeln!(f, "  the old one  {}", self.kept.display())?;
        if let Some(new_key) = &self.new_key {
            write!(f, "{new_key}")?;
            self.write_hosts("certificates of the old key, which need another one", f)?;
            return self.write_next(f);
        }
        let Concerned {
            hosts,
            ending_with_it,
            ..
        } = &self.concerned;
        let end = report::date(self.old_end);
        if !hosts.is_empty() {
            let when = if self.old_end < self.not_before {
                "now".into()
            } else {
                format!("before {end}")
            };
            let need = format!("valid certificates, which need the new one {when}");
            self.write_hosts(&need, f)?;
        }
        if *ending_with_it > 0 {
            writeln!(
                f,
                "certificates that end with the old one, on {end}: {ending_with_it}"
            )?;
        }
        self.write_next(f)
    }
}

impl Report {
    fn write_hosts(&self, with: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Concerned {
            hosts, hosts_total, ..
        } = &self.concerned;
        if hosts.is_empty() {
            return Ok(());
        }
        writeln!(f, "hosts with {with}: {hosts_total}")?;
        for host in hosts {
            writeln!(f, "  {host}")?;
        }
        if hosts.len() < *hosts_total {
            writeln!(f, "  and {} more", hosts_total - hosts.len())?;
        }
        Ok(())
    }

    fn write_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.next
            .iter()
            .try_for_each(|next| writeln!(f, "next: {next}"))
    }
}
