//! A CA directory looked through: the register against the certificates in newcerts, the numbers,
//! the CRL and the links, and what interrupted commands left. Nothing is written.

pub mod chains;
pub mod evidence;
pub mod kept;
pub mod links;
pub mod numbers;
pub mod rows;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use rayon::prelude::*;
use time::OffsetDateTime;

use self::chains::WrongChain;
use self::evidence::{Evidence, Said};
use self::kept::{Kept, NewCerts};
use self::links::StaleLink;
use self::numbers::{Listed, Listing, NumberFault};
use self::rows::RowFaults;
use super::hosts::CERT;
use super::index;
use super::register::RegisterError;
use super::steps::Step;
use super::{Store, with_suffix};
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateList;
use crate::pki::revocation::Revocation;
use crate::pki::serial::SerialNumber;
use crate::pki::signed::SignedError;
use crate::sys::files::{self, FileError};

/// What was found in a CA directory.
#[derive(Debug)]
pub struct Audit {
    /// whether the register is not there although something was issued
    pub is_register_missing: bool,
    /// the file beside its place that has its rows then
    pub register_base: Option<PathBuf>,
    /// the lines of the register
    pub rows: RowFaults,
    /// newcerts
    pub certificates: NewCerts,
    /// what is known of certificates besides their rows
    pub evidence: Evidence,
    /// certificates in newcerts of which the register has no row
    pub orphans: Vec<Orphan>,
    /// copies, in hosts/ and elsewhere, of certificates that have a row and are not in newcerts
    pub copies: Vec<Copy>,
    /// certificates that the CRL lists and of which neither the register nor newcerts knows
    pub unrecorded: Vec<SerialNumber>,
    /// whether the CRL has the CA's name, and not its signature
    pub is_crl_unsigned: bool,
    /// what is wrong with `serial`
    pub serial: Option<NumberFault>,
    /// what is wrong with `crlnumber`
    pub crl_number: Option<NumberFault>,
    /// files that an `openssl ca` left which did not come to its end
    pub leftovers: Vec<PathBuf>,
    /// whether a command of mailca was interrupted, which the next one that writes finishes
    pub is_mailca_interrupted: bool,
    /// chain files of hosts that do not hold what they should
    pub wrong_chains: Vec<WrongChain>,
    /// links under hashes that do not lead where they should
    pub stale_links: Vec<StaleLink>,
}

/// A certificate without a row.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// the certificate
    pub certificate: Kept,
    /// its revocation, where the CRL lists it
    pub revocation: Option<Revocation>,
    /// what is said of it in a torn line, or in what an interrupted `openssl ca` left
    pub said: Option<Said>,
    /// whether a CRL made after it proves that it was not revoked by then; where the whole register
    /// is lost, so may be what was revoked after that
    pub is_proven_valid: bool,
}

/// A copy of a certificate that newcerts no longer has.
#[derive(Clone, Debug)]
pub struct Copy {
    /// the file
    pub path: PathBuf,
    /// the certificate
    pub certificate: Certificate,
}

impl Audit {
    /// Whether the register is there, and neither it nor newcerts says that a row is wrong or lost.
    #[must_use]
    pub fn is_register_sound(&self) -> bool {
        let rows = &self.rows;
        let is_whole = rows.strangers.is_empty() && rows.refused.is_empty() && !rows.is_unended;
        let is_right = rows.differing.is_empty() && rows.lost_revocations.is_empty();
        let is_single = rows.twice.is_empty() && rows.subject_twice.is_empty();
        !self.is_register_missing && self.orphans.is_empty() && is_whole && is_right && is_single
    }

    /// A copy of a certificate that newcerts no longer has.
    #[must_use]
    pub fn copy_of(&self, serial: Option<&SerialNumber>) -> Option<&Copy> {
        let mut copies = self.copies.iter();
        copies.find(|copy| Some(&copy.certificate.serial) == serial)
    }
}

impl Store {
    /// Looks through the directory. It takes about as long as reading the certificates.
    ///
    /// # Errors
    /// When the register, newcerts or the CRL cannot be read.
    pub fn audit(&self, now: OffsetDateTime) -> Result<Audit, RegisterError> {
        let mut certificates = self.new_certs()?;
        let database = &self.settings.database;
        let base = self.register_put_away();
        // The first rows that there ever were may be in the journal only.
        let is_first = |step: &Step| matches!(step, Step::AppendRows { at: 0, .. });
        let is_missing = !files::exists(database)
            && (base.is_some() || !certificates.kept.is_empty())
            && !self.pending.iter().any(is_first);
        // One that cannot be read is the business of whoever judges CRLs.
        let crl = self.crl().ok().flatten();
        let crl = crl.filter(|crl| crl.issuer == self.certificate.subject);
        let is_signed = |crl: &CertificateList| {
            let verified = crl.verify_legacy_signature(&self.certificate);
            !matches!(verified, Err(SignedError::Wrong(_)))
        };
        let is_crl_unsigned = crl.as_ref().is_some_and(|crl| !is_signed(crl));
        let crl = crl.filter(is_signed);
        let mut listed = Listed::of(crl.as_ref()).map_err(|source| self.bad_crl(source))?;
        let mut next = self.next_serials()?;
        let path = base.as_ref().unwrap_or(database);
        let mut rows = self.row_faults(path, &mut certificates, &mut listed, &mut next, now)?;
        self.disown(&mut certificates, &mut rows);
        let evidence = Evidence::of(self, &rows.strangers)?;
        let mut orphans = Vec::new();
        for (at, kept) in certificates.kept.iter().enumerate() {
            if !certificates.has_row[at] && !certificates.is_unsigned(kept) {
                let listing = listed.take(&kept.serial);
                let updated = crl.as_ref().map(|crl| crl.this_update);
                orphans.push(Orphan {
                    certificate: kept.clone(),
                    is_proven_valid: kept.not_after < now
                        || (listing.is_none()
                            && !is_missing
                            && updated.is_some_and(|updated| kept.not_before < updated)),
                    said: evidence.about(kept),
                    revocation: listing.and_then(Listing::revocation),
                });
            }
        }
        let unrecorded = listed.rest();
        let is_complete = rows.not_kept_count == 0 && certificates.damaged.is_empty();
        Ok(Audit {
            copies: if is_complete {
                Vec::new()
            } else {
                self.copies(&certificates)?
            },
            is_register_missing: is_missing,
            register_base: base,
            serial: self.serial_fault(rows.count, &orphans, &unrecorded, next)?,
            crl_number: self.crl_number_fault(crl.as_ref())?,
            leftovers: self.leftovers(),
            is_mailca_interrupted: self.was_interrupted(),
            wrong_chains: self.wrong_chains(),
            stale_links: self.stale_links()?,
            unrecorded,
            is_crl_unsigned,
            rows,
            orphans,
            certificates,
            evidence,
        })
    }

    /// The register as an `openssl ca` had it that was interrupted while it put another in its
    /// place; `None` where it is in its place.
    pub(super) fn register_put_away(&self) -> Option<PathBuf> {
        let database = &self.settings.database;
        let beside = [".old", ".new"].map(|suffix| with_suffix(database, suffix));
        let mut beside = beside.into_iter().filter(|path| files::exists(path));
        beside.next().filter(|_| !files::exists(database))
    }

    // Out of what rows are made of goes what only has the CA's name: any user can write that.
    fn disown(&self, certificates: &mut NewCerts, rows: &mut RowFaults) {
        let mut doubtful: HashSet<usize> = rows.differing.iter().map(|(_, at)| *at).collect();
        let refused = rows.refused.iter().map(|(line, _)| line);
        let lost = rows.lost_revocations.iter().map(|(line, _)| line);
        let lines = refused.chain(lost);
        doubtful.extend(lines.filter_map(|line| certificates.find(line.digits().as_bytes())));
        let all = certificates.has_row.iter().enumerate();
        doubtful.extend(all.filter(|(_, has_row)| !**has_row).map(|(at, _)| at));
        let issuers = self.own_and_former();
        let is_unsigned = |at: &usize| {
            let bytes = files::read(&certificates.kept[*at].path).ok();
            let read = bytes.and_then(|bytes| Certificate::from_pem_or_der(&bytes).ok());
            read.is_some_and(|it| !is_signed_by_any(&it, &issuers))
        };
        let unsigned: HashSet<usize> = doubtful.into_par_iter().filter(is_unsigned).collect();
        rows.differing.retain(|(_, at)| !unsigned.contains(at));
        certificates.disown(unsigned);
    }

    fn own_and_former(&self) -> Vec<Certificate> {
        let former = self.former().into_iter().map(|(_, it)| it);
        std::iter::once(self.certificate.clone())
            .chain(former)
            .collect()
    }

    fn copies(&self, certificates: &NewCerts) -> Result<Vec<Copy>, FileError> {
        let mut paths = vec![self.last_certificate_path()];
        let hosts = self.hosts.list()?.into_iter();
        paths.extend(hosts.map(|host| self.hosts.current(&host).join(CERT)));
        if self.settings.certs.is_dir() {
            paths.extend(files::list(&self.settings.certs, |_| true)?);
        }
        let mut found: Vec<Copy> = Vec::new();
        let mut known = HashSet::new();
        for path in paths {
            let bytes = files::read(&path).ok();
            let read = bytes.and_then(|bytes| Certificate::from_pem_or_der(&bytes).ok());
            if let Some(certificate) = read.filter(|it| it.issuer == self.certificate.subject)
                && known.insert(certificate.serial.clone())
            {
                found.push(Copy { path, certificate });
            }
        }
        let recorded = self.rows_of(found.iter().map(|one| &one.certificate))?;
        let issuers = self.own_and_former();
        found.retain(|one| {
            let serial = one.certificate.serial.to_string();
            let row = recorded.get(&one.certificate.serial);
            certificates.find(serial.as_bytes()).is_none()
                && row.is_some_and(|subject| *subject == index::subject_of(&one.certificate))
                && is_signed_by_any(&one.certificate, &issuers)
        });
        Ok(found)
    }

    // The subjects that the register has for the serial numbers of these certificates.
    fn rows_of<'c>(
        &self,
        certificates: impl Iterator<Item = &'c Certificate>,
    ) -> Result<HashMap<SerialNumber, String>, FileError> {
        let wanted: HashMap<Vec<u8>, &SerialNumber> = certificates
            .map(|it| (it.serial.to_string().into_bytes(), &it.serial))
            .collect();
        let mut found = HashMap::new();
        self.each_line(|line| {
            let serial = index::serial_in(line).and_then(|serial| wanted.get(serial));
            if let (Some(serial), Some(subject)) = (serial, index::subject_in(line)) {
                let subject = String::from_utf8_lossy(subject).into_owned();
                found.insert((*serial).clone(), subject);
            }
        })?;
        Ok(found)
    }
}

fn is_signed_by_any(certificate: &Certificate, issuers: &[Certificate]) -> bool {
    issuers
        .iter()
        .any(|issuer| certificate.is_signed_by(issuer))
}
