//! Revoking: rows of the register written anew, and the CRL, all staged until the transaction's
//! commit.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use super::index::{self, Change, Row};
use super::register::{Holders, Recorded, RegisterError, revocation_in_words};
use super::revoked::{Revoked, significant};
use super::staged::Staged;
use super::steps::Step;
use super::transaction::{Transaction, TransactionError, number_in, refuse_put_away};
use super::{Store, with_suffix};
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::{CertificateList, CertificateListError, Entry};
use crate::pki::crl::Entries;
use crate::pki::hex;
use crate::pki::pem_text;
use crate::pki::revocation::{Reason, Revocation};
use crate::pki::serial::SerialNumber;
use crate::pki::signed::SignedError;
use crate::sys::files::{self, FileError};

const BUFFER: usize = 1 << 18;
// How many bytes of revoked rows are worth all cores.
const ROWS: usize = 1 << 20;

/// The entries of a CRL beside the rows of the register.
struct Comparison<'a> {
    /// the serial numbers in their octets' order, each with whether it has a row
    listed: Vec<(&'a [u8], bool)>,
    /// the place of the one after the last that was looked for: mostly the next, and a million are
    /// looked for
    next: usize,
    /// whether one is revoked in only one of both, although it has a row
    differs: bool,
}

impl<'a> Comparison<'a> {
    fn of(crl: &'a CertificateList) -> Result<Self, CertificateListError> {
        let listed = crl.serials().map(|serial| Ok((serial?, false)));
        let mut listed: Vec<_> = listed.collect::<Result<_, CertificateListError>>()?;
        listed.sort();
        listed.dedup();
        Ok(Self {
            listed,
            next: 0,
            differs: false,
        })
    }

    fn find(&mut self, serial: &[u8]) -> Option<&mut bool> {
        let is_next = |(it, _): &(&[u8], bool)| *it == serial;
        let at = if self.listed.get(self.next).is_some_and(is_next) {
            self.next
        } else {
            let found = self.listed.binary_search_by(|(it, _)| (*it).cmp(serial));
            found.ok()?
        };
        self.next = at + 1;
        self.listed.get_mut(at).map(|(_, has_row)| has_row)
    }

    fn see(&mut self, line: &[u8]) {
        let Some(octets) = octets_in(line) else {
            return;
        };
        let is_revoked = index::is_revoked(line);
        match self.find(significant(&octets)) {
            Some(has_row) => {
                *has_row = true;
                self.differs |= !is_revoked;
            }
            None => self.differs |= is_revoked,
        }
    }

    fn without_row(&self) -> usize {
        self.listed.iter().filter(|(_, has_row)| !has_row).count()
    }
}

/// Why a CRL is not believed.
#[derive(Debug, Error)]
pub enum Distrust {
    /// Another CA issued it.
    #[error("it is of another CA, {0}")]
    Issuer(String),
    /// The CA's key did not sign it.
    #[error("{0}")]
    Signature(#[from] SignedError),
    /// What it says may be about something else.
    #[error("it has the critical extension {0}, which mailca does not know")]
    Critical(String),
    /// An entry cannot be read.
    #[error("{0}")]
    Unreadable(#[from] CertificateListError),
}

/// The entries of the next CRL.
#[derive(Debug, Default)]
pub struct NextEntries {
    /// all of them
    pub entries: Entries,
    /// those of the current CRL that the register has no row of
    pub without_row: Vec<SerialNumber>,
    /// how many of the same are not among them, and why
    pub left_out: Option<(usize, Distrust)>,
    /// the number of the current CRL
    pub number_before: Option<SerialNumber>,
}

/// Revoked rows, as entries and counted.
#[derive(Default)]
struct Rows {
    entries: Entries,
    serials: Revoked,
}

impl Rows {
    fn append(&mut self, other: &Self) {
        self.entries.append(&other.entries);
        self.serials = self.serials.and(other.serials);
    }
}

/// Why a CRL, whatever its dates, is not the one that mail servers should find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlFault {
    /// It lists other certificates than the register has as revoked.
    Entries {
        /// how many it lists
        listed: usize,
        /// how many the register has
        recorded: usize,
    },
    /// One of its forms, or the link by which daemons look it up, is not there.
    Missing(PathBuf),
    /// Its two forms are two CRLs.
    Differs(PathBuf),
    /// It lists certificates that the register has no row of, as after an older copy took its
    /// place. The next CRL lists them too.
    WithoutRow(Vec<SerialNumber>),
}

impl Store {
    /// Why mail servers do not find the current CRL, or not all that is revoked in it, `None` where
    /// they do.
    ///
    /// # Errors
    /// When the register or the CRL cannot be read.
    pub fn crl_fault(&self, crl: &CertificateList) -> Result<Option<CrlFault>, RegisterError> {
        let besides = self.revoked_besides(crl)?;
        if matches!(besides, Some(CrlFault::Entries { .. })) {
            return Ok(besides);
        }
        let der = self.settings.crl_der();
        match files::read_large_if_there(&der)? {
            None => return Ok(Some(CrlFault::Missing(der))),
            Some(there) if there != crl.as_der() => return Ok(Some(CrlFault::Differs(der))),
            Some(_) => {}
        }
        let (link, _) = self.hash_link()?;
        if !files::exists(&link) {
            return Ok(Some(CrlFault::Missing(link)));
        }
        Ok(besides)
    }

    fn revoked_besides(&self, crl: &CertificateList) -> Result<Option<CrlFault>, RegisterError> {
        let listed = Revoked::listed(crl).map_err(|source| self.bad_crl(source))?;
        let mut recorded = Revoked::default();
        self.each_line(|line| {
            if index::is_revoked(line) {
                recorded.add(&octets_in(line).unwrap_or_default());
            }
        })?;
        if listed == recorded {
            return Ok(None);
        }
        let mut comparison = Comparison::of(crl).map_err(|source| self.bad_crl(source))?;
        self.each_line(|line| comparison.see(line))?;
        let fault = CrlFault::Entries {
            listed: listed.count,
            recorded: recorded.count,
        };
        if comparison.differs || comparison.without_row() == 0 {
            return Ok(Some(fault));
        }
        Ok(Some(match self.entries_without_row(crl, &mut comparison) {
            Ok(entries) if !entries.is_empty() => {
                CrlFault::WithoutRow(entries.iter().map(Entry::serial_number).collect())
            }
            _ => fault,
        }))
    }

    // The entries that the next CRL repeats because nothing else tells of them, where it is this
    // CA that said so.
    fn entries_without_row<'a>(
        &self,
        crl: &'a CertificateList,
        comparison: &mut Comparison<'_>,
    ) -> Result<Vec<Entry<'a>>, Distrust> {
        let ca = &self.certificate;
        if crl.issuer != ca.subject {
            return Err(Distrust::Issuer(crl.issuer.to_string()));
        }
        // An old CA's may have been signed with SHA-1.
        crl.verify_legacy_signature(ca)?;
        if let Some(name) = &crl.unknown_critical {
            return Err(Distrust::Critical(name.clone()));
        }
        let mut found = Vec::new();
        for entry in crl.entries() {
            let entry = entry?;
            if let Some(name) = entry.unknown_critical {
                return Err(Distrust::Critical(name));
            }
            let is_revoked = Reason::of_entry(entry.reason) != Some(Reason::RemoveFromCrl);
            if is_revoked && comparison.find(entry.serial) == Some(&mut false) {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// A certificate that the current CRL lists and the register has as valid. One on hold may
    /// have been released.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub fn lost_revocation(&self) -> Result<Option<(SerialNumber, Revocation)>, RegisterError> {
        let crl = self.crl().ok().flatten();
        let Some(crl) = crl.filter(|crl| crl.issuer == self.certificate.subject) else {
            return Ok(None);
        };
        let entries = || crl.entries().filter_map(Result::ok);
        let listed: HashSet<&[u8]> = entries().map(|entry| entry.serial).collect();
        if listed.is_empty() {
            return Ok(None);
        }
        let mut valid = HashSet::new();
        self.each_line(|line| {
            if line.starts_with(b"V\t")
                && let Some(row) = Recorded::parse(line)
                && listed.contains(row.serial.as_be_bytes())
            {
                valid.insert(row.serial);
            }
        })?;
        let mut lost = entries().filter(|entry| valid.contains(&entry.serial_number()));
        Ok(lost.find_map(|entry| {
            let revocation = Revocation::of_entry(&entry)?;
            let is_on_hold = revocation.reason == Reason::CertificateHold;
            (!is_on_hold).then(|| (entry.serial_number(), revocation))
        }))
    }

    pub(super) fn bad_crl(&self, source: CertificateListError) -> RegisterError {
        RegisterError::Crl {
            path: self.settings.crl.clone(),
            source,
        }
    }

    /// The current CRL, `None` where there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn crl(&self) -> Result<Option<CertificateList>, RegisterError> {
        let Some(bytes) = files::read_large_if_there(&self.settings.crl)? else {
            return Ok(None);
        };
        let read = CertificateList::from_pem_or_der(&bytes);
        read.map(Some).map_err(|source| self.bad_crl(source))
    }
}

// The octets of the serial number in a line.
fn octets_in(line: &[u8]) -> Option<Vec<u8>> {
    let serial = index::serial_in(line)?;
    hex::octets(str::from_utf8(serial).ok()?)
}

impl Transaction<'_> {
    /// Writes the rows of certificates that are revoked anew, and marks those of `past` expired.
    /// It is staged: without a commit the register stays as it is.
    ///
    /// # Errors
    /// When one has no row or is revoked already, or the register cannot be read or written.
    pub fn revoke(
        &mut self,
        revoked: &[(SerialNumber, Revocation)],
        past: &Holders,
    ) -> Result<(), TransactionError> {
        let database = &self.store.settings.database;
        let wanted: HashMap<Vec<u8>, &Revocation> = revoked
            .iter()
            .map(|(serial, revocation)| (serial.to_string().into_bytes(), revocation))
            .collect();
        let expired: HashSet<u64> = past.offsets_past().collect();
        let mut found = HashSet::new();
        let (mut changes, mut rows) = (Vec::new(), Vec::new());
        let mut already = None;
        index::lines(database, |at, line| {
            let serial = index::serial_in(line).unwrap_or_default();
            if let Some(revocation) = wanted.get(serial) {
                let text = String::from_utf8_lossy(line);
                match Row::parse(&text) {
                    Some(row) if row.status == "R" => {
                        already = Some(RegisterError::AlreadyRevoked {
                            serial: row.serial.into(),
                            revoked: revocation_in_words(row.revoked.into()),
                        });
                    }
                    Some(row) => {
                        let new = index::revoked_line(&row, revocation);
                        found.insert(serial.to_vec());
                        rows.push(new.clone());
                        changes.push(Change {
                            at,
                            length: line.len() as u64,
                            line: new,
                        });
                    }
                    None => {}
                }
            } else if expired.contains(&at) && line.starts_with(b"V") {
                changes.push(Change {
                    at,
                    length: 1,
                    line: "E".into(),
                });
            }
            already.is_none()
        })?;
        if let Some(already) = already {
            return Err(already.into());
        }
        let missing = revoked.iter().find(|(serial, _)| {
            let serial = serial.to_string();
            !found.contains(serial.as_bytes())
        });
        if let Some((serial, _)) = missing {
            return Err(TransactionError::Register(RegisterError::NoRow {
                serial: serial.to_string(),
                path: database.clone(),
            }));
        }
        let sha256 = stage_from(database, None, |register, out| match register {
            Some(register) => index::rewrite(register, &changes, out),
            None => Err(io::ErrorKind::NotFound.into()),
        })?;
        self.staged.push(Step::RewriteRegister { sha256, rows });
        self.rewrites_register = true;
        for (serial, _) in revoked {
            self.newly_revoked.add(serial.as_be_bytes());
        }
        self.keep_compromised_keys(revoked)
    }

    /// Keeps the key of a certificate from ever being certified again, where newcerts may no longer
    /// have it to tell its key.
    pub fn keep_out_key_of(&mut self, certificate: &Certificate) {
        let serial = certificate.serial.to_string();
        let key = &certificate.subject_public_key_info;
        self.compromised.add_key(key, &serial);
    }

    fn keep_compromised_keys(
        &mut self,
        revoked: &[(SerialNumber, Revocation)],
    ) -> Result<(), TransactionError> {
        for (serial, _) in revoked
            .iter()
            .filter(|(_, revocation)| revocation.is_of_compromised_key())
        {
            self.compromised.add(self.store, &serial.to_string())?;
        }
        Ok(())
    }

    /// Takes the next CRL's number: above the one in `crlnumber`'s file and that of the CRL
    /// before. A number taken and not used is skipped.
    ///
    /// # Errors
    /// When the file holds no number, or `openssl ca` has put it away.
    pub fn take_crl_number(
        &mut self,
        before: Option<&SerialNumber>,
    ) -> Result<SerialNumber, TransactionError> {
        let path = &self.store.settings.crl_number;
        // The CRL before tells its number, but not that of one that openssl ca is publishing.
        if before.is_none() || files::exists(&with_suffix(path, ".new")) {
            refuse_put_away(path)?;
        }
        let bad = |source| TransactionError::Serial {
            path: path.clone(),
            source,
        };
        let mut number = match files::read_if_there(path)? {
            Some(text) => number_in(&text).map_err(bad)?,
            None => SerialNumber::from_be_bytes(&[1]).map_err(bad)?,
        };
        if let Some(before) = before.filter(|before| **before >= number) {
            number = before.next().map_err(bad)?;
        }
        let next = number.next().map_err(bad)?;
        files::overwrite(path, format!("{next}\n").as_bytes(), 0o644)?;
        Ok(number)
    }

    /// The entries of the next CRL: all that the register, as it will be, has as revoked, and
    /// those of the current CRL that it has no row of.
    ///
    /// # Errors
    /// When the register or the current CRL cannot be read, or a row says something of a
    /// revocation that OpenSSL does not know.
    pub fn next_entries(&self) -> Result<NextEntries, TransactionError> {
        let Rows { entries, serials } = self.revoked_rows()?;
        let mut next = NextEntries {
            entries,
            ..NextEntries::default()
        };
        let Some(crl) = self.store.crl()? else {
            return Ok(next);
        };
        next.number_before.clone_from(&crl.number);
        // So it is but for accidents, and nothing has to be looked for.
        if Revoked::listed(&crl).is_ok_and(|listed| listed.and(self.newly_revoked) == serials) {
            return Ok(next);
        }
        let comparison = Comparison::of(&crl).map(|mut comparison| {
            let read = index::lines(&self.register(), |_, line| {
                comparison.see(line);
                true
            });
            read.map(|()| comparison)
        });
        let mut comparison = match comparison {
            Ok(comparison) => comparison?,
            Err(error) => {
                next.left_out = Some((crl.serials().count(), error.into()));
                return Ok(next);
            }
        };
        let without_row = comparison.without_row();
        if without_row == 0 {
            return Ok(next);
        }
        match self.store.entries_without_row(&crl, &mut comparison) {
            Err(distrust) => next.left_out = Some((without_row, distrust)),
            Ok(kept) => {
                for entry in kept {
                    next.entries.push_encoded(entry.der);
                    next.without_row.push(entry.serial_number());
                }
            }
        }
        Ok(next)
    }

    fn revoked_rows(&self) -> Result<Rows, TransactionError> {
        let mut all = Rows::default();
        let mut lines = Vec::new();
        let mut failed = None;
        index::lines(&self.register(), |_, line| {
            if index::is_revoked(line) {
                lines.extend_from_slice(line);
                lines.push(b'\n');
            }
            if lines.len() > ROWS {
                failed = self.append_on_all_cores(&mut all, &lines).err();
                lines.clear();
            }
            failed.is_none()
        })?;
        for line in lines.split(|byte| *byte == b'\n') {
            self.push(&mut all, line)?;
        }
        failed.map_or(Ok(all), Err)
    }

    fn append_on_all_cores(&self, all: &mut Rows, lines: &[u8]) -> Result<(), TransactionError> {
        let parts: Vec<Rows> = lines
            .par_split(|byte| *byte == b'\n')
            .try_fold(Rows::default, |mut part, line| {
                self.push(&mut part, line).map(|()| part)
            })
            .collect::<Result<_, _>>()?;
        for part in &parts {
            all.append(part);
        }
        Ok(())
    }

    fn push(&self, rows: &mut Rows, line: &[u8]) -> Result<(), TransactionError> {
        if !index::is_revoked(line) {
            return Ok(());
        }
        let path = || self.store.settings.database.clone();
        let text = String::from_utf8_lossy(line);
        let Some(row) = Row::parse(&text) else {
            let line = text.into_owned();
            return Err(RegisterError::NotARow { line, path: path() }.into());
        };
        let revocation = Revocation::parse(row.revoked);
        // Not as a SerialNumber: old CAs have the number zero.
        match (hex::octets(row.serial), revocation) {
            (Some(serial), Some(revocation)) => {
                rows.serials.add(&serial);
                Ok(rows.entries.push(&serial, &revocation)?)
            }
            _ => Err(RegisterError::BadRevocation {
                serial: row.serial.into(),
                revoked: row.revoked.into(),
                path: path(),
            }
            .into()),
        }
    }

    /// Stages a CRL in both forms, and the link under the hash of its issuer by which daemons look
    /// it up.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn publish_crl(&mut self, crl: &[u8]) -> Result<(), TransactionError> {
        let settings = &self.store.settings;
        let (pem, der) = (settings.crl.clone(), settings.crl_der());
        files::create_dirs(files::parent(&pem))?;
        files::create_dirs(&settings.crl_dir)?;
        self.stage_crl(&pem, crl)?;
        let sha256 = stage(&der, |out| out.write_all(crl))?;
        self.push_placing(&der, sha256);
        let (path, target) = self.store.hash_link()?;
        self.staged.push(Step::Link {
            path: self.relative(&path),
            target,
        });
        Ok(())
    }

    pub(super) fn stage_crl(&mut self, path: &Path, crl: &[u8]) -> Result<(), FileError> {
        let sha256 = stage(path, |out| pem_text::write("X509 CRL", crl, out))?;
        self.push_placing(path, sha256);
        Ok(())
    }

    pub(super) fn push_placing(&mut self, path: &Path, sha256: String) {
        self.staged.push(Step::PlaceFile {
            path: self.relative(path),
            sha256,
        });
    }
}

pub(super) fn stage(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<Staged>) -> io::Result<()>,
) -> Result<String, FileError> {
    finish(path, Staged::create(path)?, write)
}

/// The same, made from what is in its place or in the file with the name `other` beside that.
pub(super) fn stage_from(
    path: &Path,
    other: Option<&OsStr>,
    write: impl FnOnce(Option<File>, &mut BufWriter<Staged>) -> io::Result<()>,
) -> Result<String, FileError> {
    let mut staged = Staged::create(path)?;
    let original = staged.original(other)?;
    finish(path, staged, |out| write(original, out))
}

fn finish(
    path: &Path,
    staged: Staged,
    write: impl FnOnce(&mut BufWriter<Staged>) -> io::Result<()>,
) -> Result<String, FileError> {
    let fail = |error| FileError::new("write", path, error);
    let mut out = BufWriter::with_capacity(BUFFER, staged);
    write(&mut out).map_err(fail)?;
    let staged = out.into_inner().map_err(|error| fail(error.into_error()))?;
    staged.finish()
}
