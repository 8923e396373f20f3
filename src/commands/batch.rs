//! From plans to recorded certificates, one or many: checked and signed on all cores, recorded in
//! groups that share one commit.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use anyhow::{Error, Result, bail};
use rayon::prelude::*;
use time::OffsetDateTime;

use super::issuance::{HostKeySource, Plan, Refusal};
use super::new_crl::{self, NewCrl};
use super::session::Session;
use crate::pki::certificate::Certificate;
use crate::pki::extensions;
use crate::pki::key::PrivateKey;
use crate::pki::revocation::Revocation;
use crate::pki::serial::SerialNumber;
use crate::pki::tbs::TbsCertificate;
use crate::store::Store;
use crate::store::register::{Holders, RegisterError, Status};
use crate::store::transaction::{HostKey, Issued, Transaction, TransactionError};

// One commit costs two waits for the disk, whatever the number of certificates; other writers
// wait meanwhile.
const GROUP: usize = 2500;

/// Makes the plan of something to be signed, now or again under the lock.
pub type Settle<'a> = dyn Fn(&Store) -> Result<Plan> + Send + Sync + 'a;

/// Something to be signed.
pub struct Case<'a> {
    /// the file or host that errors name
    pub name: String,
    /// what will be signed
    pub plan: Plan,
    /// the certificate whose place it takes, where that was asked for
    pub renews: Option<Renewed>,
    /// where a copy goes
    pub out: Option<PathBuf>,
    settle: Box<Settle<'a>>,
}

/// A certificate that gets a successor, and must not be revoked meanwhile.
pub struct Renewed {
    pub serial: SerialNumber,
    pub not_after: OffsetDateTime,
    /// whether it is revoked as superseded in the same transaction
    pub revoke: bool,
}

impl<'a> Case<'a> {
    pub fn new(name: String, store: &Store, settle: Box<Settle<'a>>) -> Result<Self> {
        let plan = settle(store)?;
        Ok(Self {
            name,
            plan,
            renews: None,
            out: None,
            settle,
        })
    }

    fn revokes(&self) -> Option<&SerialNumber> {
        let renewed = self.renews.as_ref().filter(|renewed| renewed.revoke);
        renewed.map(|renewed| &renewed.serial)
    }

    fn check_subject(&self, holders: &Holders) -> Result<(), RegisterError> {
        holders.check(&self.plan.subject.oneline(), self.revokes())
    }

    fn check_unchanged(&self, store: &Store) -> Result<()> {
        if (self.settle)(store)? == self.plan {
            return Ok(());
        }
        bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
    }
}

/// Does something with every item, on all cores, and keeps their order.
pub fn on_all_cores<T: Send, R: Send>(
    items: Vec<T>,
    each: impl Fn(T) -> R + Send + Sync,
) -> Vec<R> {
    if items.len() < 2 {
        return items.into_iter().map(each).collect();
    }
    items.into_par_iter().map(each).collect()
}

/// How signing is done.
pub struct Signing<'a> {
    pub store: &'a Store,
    pub key: &'a PrivateKey,
    /// newcert.pem, where it is to be written
    pub copy_to: Option<PathBuf>,
    /// all or nothing
    pub atomic: bool,
}

/// What became of the cases.
#[derive(Default)]
pub struct Signed {
    /// by the number of the case
    pub certificates: Vec<(usize, Certificate)>,
    pub failed: Vec<(usize, Error)>,
    /// why the cases that are in neither list were not signed
    pub stopped: Option<Error>,
    /// the last one, where certificates were revoked
    pub crl: Option<NewCrl>,
}

/// Refuses cases that exclude each other, and those whose subject has a valid certificate.
pub fn check_together(
    store: &Store,
    cases: &[Case<'_>],
    now: OffsetDateTime,
) -> Result<(Holders, Vec<(usize, Error)>)> {
    let (mut hosts, mut subjects) = (HashSet::new(), HashSet::new());
    let mut refused = Vec::new();
    let holders = holders(store, cases, now)?;
    for (number, case) in cases.iter().enumerate() {
        let subject = case.plan.subject.oneline();
        let host = case.plan.host.as_ref().filter(|_| case.plan.has_key());
        if let Some(host) = host
            && !hosts.insert(host)
        {
            refused.push((number, Refusal::HostTwice(host.clone()).into()));
        } else if let Err(error) = case.check_subject(&holders) {
            refused.push((number, error.into()));
        } else if store.unique_subject && !subject.is_empty() && !subjects.insert(subject.clone()) {
            refused.push((number, Refusal::SubjectTwice(subject).into()));
        }
    }
    Ok((holders, refused))
}

/// The same for one case.
pub fn check_alone(store: &Store, case: &Case<'_>, now: OffsetDateTime) -> Result<Holders> {
    let holders = holders(store, [case], now)?;
    case.check_subject(&holders)?;
    Ok(holders)
}

fn holders<'c>(
    store: &Store,
    cases: impl IntoIterator<Item = &'c Case<'c>>,
    now: OffsetDateTime,
) -> Result<Holders> {
    let subjects = cases.into_iter().map(|case| case.plan.subject.oneline());
    Ok(store.holders(subjects, now)?)
}

/// Signs one case and records it.
pub fn sign_one(
    session: &Session<'_>,
    signing: &Signing<'_>,
    case: Case<'_>,
    holders: Holders,
) -> Result<Certificate> {
    let mut signed = sign(session, signing, &[case], holders, |_| {});
    match (
        signed.stopped,
        signed.failed.pop(),
        signed.certificates.pop(),
    ) {
        (Some(error), ..) | (None, Some((_, error)), _) => Err(error),
        (None, None, Some((_, certificate))) => Ok(certificate),
        (None, None, None) => bail!("nothing was signed"),
    }
}

/// Signs the cases and records them in groups; `done` hears of each.
pub fn sign(
    session: &Session<'_>,
    signing: &Signing<'_>,
    cases: &[Case<'_>],
    holders: Holders,
    mut done: impl FnMut(&[(usize, Certificate)]),
) -> Signed {
    let mut signed = Signed::default();
    let numbers: Vec<usize> = (0..cases.len()).collect();
    let size = if signing.atomic { cases.len() } else { GROUP };
    let mut looked_up = Some(holders);
    for group in numbers.chunks(size.max(1)) {
        let before = signed.certificates.len();
        let ended = sign_group(
            session,
            signing,
            cases,
            group,
            looked_up.take(),
            &mut signed,
        );
        done(&signed.certificates[before..]);
        if let Err(error) = ended {
            signed.stopped = Some(error);
            break;
        }
    }
    signed
}

fn sign_group(
    session: &Session<'_>,
    signing: &Signing<'_>,
    cases: &[Case<'_>],
    group: &[usize],
    looked_up: Option<Holders>,
    signed: &mut Signed,
) -> Result<()> {
    let store = signing.store;
    let mut transaction = store.begin(session.wait())?;
    let fresh = session.reopen_store()?;
    if fresh.certificate.as_der() != store.certificate.as_der() {
        bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
    }
    let mut left = Vec::with_capacity(group.len());
    let holders = match looked_up.filter(|known| known.is_current(&fresh)) {
        Some(known) => known,
        None => holders(
            &fresh,
            group.iter().map(|number| &cases[*number]),
            session.context.now(),
        )?,
    };
    let checked = on_all_cores(group.to_vec(), |number| {
        (number, cases[number].check_unchanged(&fresh))
    });
    let renewed = group
        .iter()
        .filter_map(|number| cases[*number].renews.as_ref());
    let statuses = fresh.statuses(renewed.map(|renewed| &renewed.serial))?;
    for (number, unchanged) in checked {
        let case = &cases[number];
        let passed = unchanged
            .and_then(|()| Ok(case.check_subject(&holders)?))
            .and_then(|()| Ok(check_renewed(case, &statuses)?));
        match passed {
            Ok(()) => left.push(number),
            Err(error) => signed.failed.push((number, error)),
        }
    }
    if left.is_empty() || (signing.atomic && !signed.failed.is_empty()) {
        return Ok(());
    }
    let serials = transaction.take_serials(left.len(), &session.random_serial::<8>()?)?;
    let mut keyed = Vec::with_capacity(left.len());
    for (number, serial) in left.into_iter().zip(serials) {
        let host = host_key(&transaction, &cases[number].plan, &serial)?;
        keyed.push((number, serial, host));
    }
    let revoked = keyed
        .iter()
        .filter_map(|(number, ..)| cases[*number].revokes());
    let crl = revoke(
        session,
        signing,
        &fresh,
        &mut transaction,
        revoked,
        &holders,
    )?;
    let settled = transaction.settle()?;
    let results = on_all_cores(keyed, |(number, serial, host)| {
        let certificate = certify(&cases[number].plan, &serial, store, signing.key);
        (number, host, certificate)
    });
    let mut certificates = Vec::with_capacity(results.len());
    let mut hosts = Vec::with_capacity(results.len());
    for (number, host, result) in results {
        certificates.push((number, result?));
        hosts.push(host);
    }
    let issued: Vec<Issued<'_>> = certificates
        .iter()
        .zip(hosts)
        .map(|((_, certificate), host)| Issued {
            certificate,
            copy_to: signing.copy_to.clone(),
            host,
        })
        .collect();
    let committed = settled.commit(&issued, &holders);
    if matches!(committed, Ok(()) | Err(TransactionError::Pending(_))) {
        signed.certificates.extend(certificates);
        signed.crl = crl.or(signed.crl.take());
    }
    Ok(committed?)
}

fn check_renewed(
    case: &Case<'_>,
    statuses: &HashMap<SerialNumber, Status>,
) -> Result<(), RegisterError> {
    let Some(renewed) = &case.renews else {
        return Ok(());
    };
    let status = statuses.get(&renewed.serial);
    match status.and_then(Status::revocation_in_words) {
        Some(revoked) => Err(RegisterError::AlreadyRevoked {
            serial: renewed.serial.to_string(),
            revoked: revoked.into(),
        }),
        None => Ok(()),
    }
}

// R before V: under unique_subject = yes, a second valid row of a subject makes `openssl ca` stop.
fn revoke<'s>(
    session: &Session<'_>,
    signing: &Signing<'_>,
    fresh: &Store,
    transaction: &mut Transaction<'_>,
    serials: impl Iterator<Item = &'s SerialNumber>,
    holders: &Holders,
) -> Result<Option<NewCrl>> {
    let now = session.context.now();
    let revoked: Vec<(SerialNumber, Revocation)> = serials
        .map(|serial| (serial.clone(), Revocation::superseded(now)))
        .collect();
    if revoked.is_empty() {
        return Ok(None);
    }
    transaction.revoke(&revoked, holders)?;
    new_crl::stage(fresh, transaction, signing.key, now, None).map(Some)
}

fn host_key(
    transaction: &Transaction<'_>,
    plan: &Plan,
    serial: &SerialNumber,
) -> Result<Option<HostKey>> {
    let Some(host) = &plan.host else {
        return Ok(None);
    };
    Ok(match &plan.key {
        HostKeySource::Next(folder) => Some(HostKey {
            host: host.clone(),
            folder: folder.clone(),
        }),
        HostKeySource::Copy(pem) => Some(transaction.stage_key(host, serial, pem)?),
        HostKeySource::Elsewhere => None,
    })
}

fn certify(
    plan: &Plan,
    serial: &SerialNumber,
    store: &Store,
    key: &PrivateKey,
) -> Result<Certificate> {
    let der = TbsCertificate {
        serial,
        issuer: &store.certificate.subject,
        not_before: plan.not_before,
        not_after: plan.not_after,
        subject: &plan.subject,
        subject_public_key_info: &plan.subject_public_key_info,
        extensions: extensions::of_end_entity(
            plan.profile,
            &plan.subject_public_key_info,
            &plan.names,
            plan.subject.is_empty(),
            &store.certificate,
            store.settings.crl_url.as_deref(),
        )?,
    }
    .sign(key, key.digest_for(store.settings.digest))?;
    Ok(Certificate::from_der(&der)?)
}
