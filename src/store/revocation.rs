//! Revoking: rows of the register written anew, and the CRL, all staged until the transaction's
//! commit.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Store;
use super::index::{self, Change, Row};
use super::register::{Holders, Recorded, RegisterError, revocation_in_words};
use super::staged::Staged;
use super::steps::Step;
use super::transaction::{Transaction, TransactionError, number_in};
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::{CertificateList, CertificateListError};
use crate::pki::crl::Entries;
use crate::pki::hex;
use crate::pki::pem_text;
use crate::pki::revocation::{Reason, Revocation};
use crate::pki::serial::SerialNumber;
use crate::sys::files::{self, FileError};

const BUFFER: usize = 1 << 18;
// How many bytes of revoked rows are worth all cores.
const ROWS: usize = 1 << 20;

/// The serial numbers of revoked certificates, whatever their order.
#[derive(Default, PartialEq, Eq)]
struct Revoked {
    count: usize,
    sum: u64,
}

impl Revoked {
    fn add(&mut self, serial: &[u8]) {
        let zeros = serial.iter().take_while(|octet| **octet == 0).count();
        let mut hasher = DefaultHasher::new();
        hasher.write(&serial[zeros..]);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
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
}

impl Store {
    /// Why mail servers do not find the current CRL, or not all that is revoked in it, `None` where
    /// they do.
    ///
    /// # Errors
    /// When the register or the CRL cannot be read.
    pub fn crl_fault(&self, crl: &CertificateList) -> Result<Option<CrlFault>, RegisterError> {
        if let Some(fault) = self.revoked_besides(crl)? {
            return Ok(Some(fault));
        }
        let der = self.settings.crl_der();
        match files::read_large_if_there(&der)? {
            None => return Ok(Some(CrlFault::Missing(der))),
            Some(there) if there != crl.as_der() => return Ok(Some(CrlFault::Differs(der))),
            Some(_) => {}
        }
        let (link, _) = self.hash_link()?;
        Ok((!files::exists(&link)).then_some(CrlFault::Missing(link)))
    }

    fn revoked_besides(&self, crl: &CertificateList) -> Result<Option<CrlFault>, RegisterError> {
        let (mut listed, mut recorded) = (Revoked::default(), Revoked::default());
        for entry in crl.entries() {
            let entry = entry.map_err(|source| self.bad_crl(source))?;
            listed.add(entry.serial);
        }
        self.each_line(|line| {
            if index::is_revoked(line) {
                recorded.add(&octets_in(line).unwrap_or_default());
            }
        })?;
        Ok((listed != recorded).then_some(CrlFault::Entries {
            listed: listed.count,
            recorded: recorded.count,
        }))
    }

    /// A certificate that a CRL lists and the register has no row of, as after an older copy took
    /// its place; the next CRL would not list it.
    ///
    /// # Errors
    /// When the register or the CRL cannot be read.
    pub fn revoked_without_row(
        &self,
        crl: &CertificateList,
    ) -> Result<Option<SerialNumber>, RegisterError> {
        let mut listed = HashSet::new();
        for entry in crl.entries() {
            let entry = entry.map_err(|source| self.bad_crl(source))?;
            listed.insert(entry.serial_number());
        }
        self.each_line(|line| {
            if let Some(octets) = octets_in(line) {
                listed.remove(&SerialNumber::from_certificate(&octets));
            }
        })?;
        Ok(listed.into_iter().min())
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
            let reason = Reason::of_entry(entry.reason)?;
            let revocation = Revocation {
                date: entry.revoked_at,
                reason,
                compromised_at: entry.invalid_since,
                hold_instruction: None,
            };
            (reason != Reason::CertificateHold).then(|| (entry.serial_number(), revocation))
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
        let sha256 = stage(database, |out| index::rewrite(database, &changes, out))?;
        self.staged.push(Step::RewriteRegister { sha256, rows });
        self.rewrites_register = true;
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

    /// Takes the next CRL's number: above the one in `crlnumber`'s file and that of the current
    /// CRL. A number taken and not used is skipped.
    ///
    /// # Errors
    /// When the file holds no number, or the current CRL cannot be read.
    pub fn take_crl_number(&mut self) -> Result<SerialNumber, TransactionError> {
        let path = &self.store.settings.crl_number;
        let bad = |source| TransactionError::Serial {
            path: path.clone(),
            source,
        };
        let mut number = match files::read_if_there(path)? {
            Some(text) => number_in(&text).map_err(bad)?,
            None => SerialNumber::from_be_bytes(&[1]).map_err(bad)?,
        };
        let current = self.store.crl()?.and_then(|crl| crl.number);
        if let Some(current) = current.filter(|current| *current >= number) {
            number = current.next().map_err(bad)?;
        }
        let next = number.next().map_err(bad)?;
        files::overwrite(path, format!("{next}\n").as_bytes(), 0o644)?;
        Ok(number)
    }

    /// The entries of a CRL: all that the register, as it will be, has as revoked.
    ///
    /// # Errors
    /// When it cannot be read, or says something of a revocation that OpenSSL does not know.
    pub fn revoked(&self) -> Result<Entries, TransactionError> {
        let mut entries = Entries::default();
        let mut rows = Vec::new();
        let mut failed = None;
        index::lines(&self.register(), |_, line| {
            if index::is_revoked(line) {
                rows.extend_from_slice(line);
                rows.push(b'\n');
            }
            if rows.len() > ROWS {
                failed = self.append_on_all_cores(&mut entries, &rows).err();
                rows.clear();
            }
            failed.is_none()
        })?;
        for row in rows.split(|byte| *byte == b'\n') {
            self.push(&mut entries, row)?;
        }
        failed.map_or(Ok(entries), Err)
    }

    fn append_on_all_cores(
        &self,
        entries: &mut Entries,
        rows: &[u8],
    ) -> Result<(), TransactionError> {
        let parts: Vec<Entries> = rows
            .par_split(|byte| *byte == b'\n')
            .try_fold(Entries::default, |mut part, row| {
                self.push(&mut part, row).map(|()| part)
            })
            .collect::<Result<_, _>>()?;
        for part in &parts {
            entries.append(part);
        }
        Ok(())
    }

    fn push(&self, entries: &mut Entries, line: &[u8]) -> Result<(), TransactionError> {
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
            (Some(serial), Some(revocation)) => Ok(entries.push(&serial, &revocation)?),
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
        let sha256 = stage(&pem, |out| pem_text::write("X509 CRL", crl, out))?;
        self.push_placing(&pem, sha256);
        let sha256 = stage(&der, |out| out.write_all(crl))?;
        self.push_placing(&der, sha256);
        let (path, target) = self.store.hash_link()?;
        self.staged.push(Step::Link {
            path: self.relative(&path),
            target,
        });
        Ok(())
    }

    fn push_placing(&mut self, path: &Path, sha256: String) {
        self.staged.push(Step::PlaceFile {
            path: self.relative(path),
            sha256,
        });
    }
}

pub(super) fn stage(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<Staged>) -> std::io::Result<()>,
) -> Result<String, FileError> {
    let fail = |error| FileError::new("write", path, error);
    let mut out = BufWriter::with_capacity(BUFFER, Staged::create(path)?);
    write(&mut out).map_err(fail)?;
    let staged = out.into_inner().map_err(|error| fail(error.into_error()))?;
    staged.finish()
}
