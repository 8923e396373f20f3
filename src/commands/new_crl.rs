//! A new CRL, for the commands that publish one.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::issuance;
use super::session::Session;
use crate::pki::certificate::Certificate;
use crate::pki::crl::TbsCertList;
use crate::pki::key::PrivateKey;
use crate::pki::serial::SerialNumber;
use crate::report;
use crate::store::Store;
use crate::store::revocation::NextEntries;
use crate::store::transaction::Transaction;

/// How many serial numbers are named.
const NAMED: usize = 5;

/// Why no CRL can be signed.
#[derive(Debug, Error)]
pub enum CrlRefusal {
    /// Clients would not accept a CRL by this CA.
    #[error("{} may not sign CRLs: its keyUsage does not include cRLSign", .0.display())]
    MayNotSign(PathBuf),
    /// The CA certificate has ended.
    #[error("the CA certificate {} expired on {}, and nobody accepts its CRLs any more", .path.display(), report::date(*.not_after))]
    CaExpired {
        path: PathBuf,
        not_after: OffsetDateTime,
    },
}

/// What is told of a CRL.
#[derive(Serialize)]
pub struct NewCrl {
    pub number: String,
    pub entries: usize,
    /// the serial numbers of those that the register has no row of
    pub without_row: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub this_update: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub next_update: OffsetDateTime,
    pub pem: PathBuf,
    pub der: PathBuf,
    pub link: PathBuf,
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// what is to be said of those of the CRL before that the register has no row of
    #[serde(skip)]
    pub warning: Option<String>,
}

/// Refuses before any question what nobody would accept.
pub fn check(store: &Store, now: OffsetDateTime) -> Result<()> {
    let ca = &store.certificate;
    let path = || store.settings.certificate.clone();
    if !ca.may_sign_crls {
        bail!(CrlRefusal::MayNotSign(path()));
    }
    issuance::check_key(store)?;
    if ca.not_after < now {
        bail!(CrlRefusal::CaExpired {
            path: path(),
            not_after: ca.not_after,
        });
    }
    Ok(())
}

/// Signs a CRL of what is revoked once the transaction is committed, and stages it.
pub fn stage(
    store: &Store,
    transaction: &mut Transaction<'_>,
    key: &PrivateKey,
    now: OffsetDateTime,
    lifetime: Option<Duration>,
) -> Result<NewCrl> {
    let issuer = (&store.certificate, key);
    stage_by(issuer, store, transaction, now, lifetime)
}

/// The same by a CA certificate, with its key, that will take the place of the one there is.
pub fn stage_by(
    (issuer, key): (&Certificate, &PrivateKey),
    store: &Store,
    transaction: &mut Transaction<'_>,
    now: OffsetDateTime,
    lifetime: Option<Duration>,
) -> Result<NewCrl> {
    let next = transaction.next_entries()?;
    let warning = warning(store, &next);
    let count = next.entries.len();
    let number = transaction.take_crl_number(next.number_before.as_ref())?;
    let next_update = now.saturating_add(lifetime.unwrap_or(store.settings.crl_lifetime));
    let list = TbsCertList {
        issuer,
        number: &number,
        this_update: now,
        next_update,
        entries: next.entries,
    };
    let bytes = list.sign(key, key.digest_for(store.settings.digest))?;
    transaction.publish_crl(&bytes)?;
    let (link, _) = store.hash_link()?;
    Ok(NewCrl {
        number: number.to_string(),
        entries: count,
        without_row: next.without_row.iter().map(ToString::to_string).collect(),
        this_update: now,
        next_update,
        pem: store.settings.crl.clone(),
        der: store.settings.crl_der(),
        link,
        bytes,
        warning,
    })
}

fn warning(store: &Store, next: &NextEntries) -> Option<String> {
    let register = store.settings.database.display();
    if let Some((count, why)) = &next.left_out {
        let crl = store.settings.crl.display();
        let them = match count {
            1 => "1 certificate".into(),
            _ => format!("{count} certificates"),
        };
        return Some(format!(
            "{crl} listed {them} of which {register} has no row, and the new CRL does not: {why}"
        ));
    }
    (!next.without_row.is_empty()).then(|| {
        let serials = some(&next.without_row);
        let repair = report::invocation(store, &["repair"]);
        format!(
            "the CRL goes on listing {serials}, of which {register} has no row; {repair} puts back \
             what newcerts still has"
        )
    })
}

/// The first of many serial numbers, and how many more there are.
pub fn some(serials: &[SerialNumber]) -> String {
    let (first, more) = serials.split_at(serials.len().min(NAMED));
    let first: Vec<String> = first.iter().map(ToString::to_string).collect();
    match more.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl NewCrl {
    /// Says what is not as it should be, once it is published.
    pub fn warn(&self, session: &mut Session<'_>) {
        if let Some(warning) = &self.warning {
            session.warn(warning);
        }
    }
}

impl fmt::Display for NewCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number, entries, ..
        } = self;
        let end = report::date(self.next_update);
        let certificates = match entries {
            1 => "certificate",
            _ => "certificates",
        };
        writeln!(
            f,
            "signed the CRL {number} with {entries} revoked {certificates}, valid until {end}"
        )?;
        writeln!(f, "  PEM   {}", self.pem.display())?;
        writeln!(f, "  DER   {}", self.der.display())?;
        writeln!(f, "  link  {}", self.link.display())
    }
}
