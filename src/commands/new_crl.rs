//! A new CRL, for the commands that publish one.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::pki::crl::TbsCertList;
use crate::pki::key::PrivateKey;
use crate::report;
use crate::store::Store;
use crate::store::transaction::Transaction;

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
    #[serde(with = "time::serde::rfc3339")]
    pub this_update: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub next_update: OffsetDateTime,
    pub pem: PathBuf,
    pub der: PathBuf,
    pub link: PathBuf,
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// Refuses before any question what nobody would accept.
pub fn check(store: &Store, now: OffsetDateTime) -> Result<()> {
    let ca = &store.certificate;
    let path = || store.settings.certificate.clone();
    if !ca.may_sign_crls {
        bail!(CrlRefusal::MayNotSign(path()));
    }
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
    let entries = transaction.revoked()?;
    let count = entries.len();
    let number = transaction.take_crl_number()?;
    let next_update = now.saturating_add(lifetime.unwrap_or(store.settings.crl_lifetime));
    let list = TbsCertList {
        issuer: &store.certificate,
        number: &number,
        this_update: now,
        next_update,
        entries,
    };
    let bytes = list.sign(key, key.digest_for(store.settings.digest))?;
    transaction.publish_crl(&bytes)?;
    let (link, _) = store.hash_link()?;
    Ok(NewCrl {
        number: number.to_string(),
        entries: count,
        this_update: now,
        next_update,
        pem: store.settings.crl.clone(),
        der: store.settings.crl_der(),
        link,
        bytes,
    })
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
