//! Which issued certificates are meant: by serial number, host, file, or key.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::batch;
use super::session::Session;
use crate::mta::Peer;
use crate::pki::certificate::Certificate;
use crate::pki::general_name;
use crate::pki::hex;
use crate::pki::key::EncodedKey;
use crate::pki::pem_text;
use crate::pki::public_key;
use crate::pki::request::{Request, Strength};
use crate::pki::revocation::{Reason, Revocation};
use crate::pki::serial::SerialNumber;
use crate::pki::text;
use crate::report::{self, List};
use crate::store::hosts;
use crate::store::register::{Recorded, RegisterError, Status};
use crate::store::{Store, index};
use crate::sys::files;

/// Why it is not clear which certificate is meant.
#[derive(Debug, Error)]
pub enum SelectionError {
    /// A word is nothing that is known.
    #[error("{given} is neither a file, nor a serial number or host in {}", .root.display())]
    Nothing { given: String, root: PathBuf },
    /// The register has it, but newcerts does not.
    #[error("{} is missing, the certificate of {subject}", .path.display())]
    NotKept { path: PathBuf, subject: String },
    /// A file holds a certificate of somebody else.
    #[error("{file} is not from this CA: it was issued by {issuer}, not by {ca}")]
    Foreign {
        file: String,
        issuer: String,
        ca: String,
    },
    /// The register has another certificate of this number.
    #[error("{file} is not the certificate {serial} of this CA, which is for {recorded}")]
    NotRecorded {
        file: String,
        serial: String,
        recorded: String,
    },
    /// The register has none.
    #[error("{} has no certificate {serial}", .register.display())]
    NoRow { serial: String, register: PathBuf },
    /// No certificate of this host is valid.
    #[error("{} has no valid certificate of {host}", .register.display())]
    NoHost { host: String, register: PathBuf },
    /// No certificate at all is of this host.
    #[error("{} has no certificate of {host}", .register.display())]
    Unknown { host: String, register: PathBuf },
    /// Several of a host's are.
    #[error("{host} has {} valid certificates: {}", .found.len(), List(.found))]
    Several { host: String, found: Vec<String> },
    /// Nothing that is meant was revoked.
    #[error("{} has no revoked certificate of {what}", .register.display())]
    NotRevoked {
        /// a host, a serial number or a file
        what: String,
        /// index.txt
        register: PathBuf,
    },
    /// No valid certificate has the key.
    #[error("no valid certificate has the key of {0}")]
    NoKey(String),
    /// A file holds a key that tells nothing without its passphrase.
    #[error("the private key in {0} is encrypted")]
    KeyLocked(String),
    /// A file holds nothing that tells a key.
    #[error("{0} holds no key, certificate or request")]
    KeyNotFound(String),
}

/// A certificate that is meant, and its row.
#[derive(Clone)]
pub struct Selected {
    pub row: Recorded,
    /// `None` where newcerts no longer has it
    pub certificate: Option<Certificate>,
}

impl Selected {
    pub fn new(store: &Store, row: Recorded) -> Result<Self> {
        let certificate = store.issued(&row.serial)?;
        Ok(Self { row, certificate })
    }

    /// The same without reading the certificate.
    pub fn of_row(row: Recorded) -> Self {
        Self {
            row,
            certificate: None,
        }
    }

    // What a later certificate for the same has too: the register has a serial number in the place
    // of an empty subject.
    fn who(&self) -> String {
        match &self.certificate {
            Some(certificate) if certificate.subject.is_empty() => {
                List(&certificate.names).to_string()
            }
            _ => self.row.subject.clone(),
        }
    }

    /// The name by which people call it.
    pub fn title(&self) -> String {
        match &self.certificate {
            Some(certificate) => certificate.title(),
            None => self.row.subject.clone(),
        }
    }

    /// What mail servers know it by, where newcerts has it.
    pub fn peer(&self) -> Option<Peer> {
        let certificate = self.certificate.as_ref()?;
        let reason = self.row.revocation.as_ref().map(|it| it.reason);
        Some(Peer {
            name: text::sentence(&self.host()),
            serial: self.row.serial.to_string(),
            issuer: certificate.issuer.clone(),
            subject: certificate.subject.clone(),
            fingerprint: certificate.fingerprint(),
            key_fingerprint: public_key::fingerprint(&certificate.subject_public_key_info),
            is_compromised: reason == Some(Reason::KeyCompromise),
        })
    }

    /// The CN of its subject for people, else its first name, without reading the certificate for it.
    pub fn host(&self) -> String {
        common_name(&self.row.subject).map_or_else(|| self.title(), readable)
    }
}

/// Finds the certificates that WORD means: that of a file, of a serial number in hexadecimal
/// digits, or the valid ones of a host, of which there must be one unless `all` are meant.
pub fn find(store: &Store, word: &str, all: bool, now: OffsetDateTime) -> Result<Vec<Selected>> {
    let path = Path::new(word);
    if path.is_file() {
        return Ok(vec![of_file(store, path)?]);
    }
    if let Some(serial) = serial(word) {
        return Ok(vec![of_serial(store, &serial)?]);
    }
    let found = of_host(store, word, now)?;
    if found.len() > 1 && !all {
        let named = |one: &Selected| {
            let end = report::date(one.row.not_after);
            format!("{} (until {end})", one.row.serial)
        };
        bail!(SelectionError::Several {
            host: word.into(),
            found: found.iter().map(named).collect(),
        });
    }
    Ok(found)
}

/// A serial number as people write it: 1A2B, 0x1A2B, 1a:2b.
pub fn serial(word: &str) -> Option<SerialNumber> {
    let digits = word.strip_prefix("0x").unwrap_or(word).replace(':', "");
    let octets = hex::octets(&digits)?;
    Some(SerialNumber::from_certificate(&octets))
}

/// The certificate of a serial number.
pub fn of_serial(store: &Store, serial: &SerialNumber) -> Result<Selected> {
    let wanted = serial.to_string();
    let mut rows = store.recorded(|line| index::serial_in(line) == Some(wanted.as_bytes()))?;
    match rows.pop() {
        Some(row) => Selected::new(store, row),
        None => bail!(SelectionError::NoRow {
            serial: wanted,
            register: store.settings.database.clone(),
        }),
    }
}

fn of_file(store: &Store, path: &Path) -> Result<Selected> {
    let file = path.display().to_string();
    let bytes = files::read(path)?;
    let certificate = Certificate::from_pem_or_der(&bytes).map_err(|source| {
        let path = path.to_owned();
        crate::store::StoreError::Certificate { path, source }
    })?;
    if certificate.issuer != store.certificate.subject {
        bail!(SelectionError::Foreign {
            file,
            issuer: certificate.issuer.to_string(),
            ca: store.certificate.subject.to_string(),
        });
    }
    let found = of_serial(store, &certificate.serial)?;
    let is_it = if let Some(kept) = &found.certificate {
        kept.as_der() == certificate.as_der()
    } else {
        let row = (found.row.subject.clone(), found.row.not_after);
        row == (index::subject_of(&certificate), certificate.not_after)
    };
    if !is_it {
        bail!(SelectionError::NotRecorded {
            file,
            serial: certificate.serial.to_string(),
            recorded: found.title(),
        });
    }
    Ok(Selected {
        certificate: Some(certificate),
        ..found
    })
}

// The valid certificates of a host.
fn of_host(store: &Store, word: &str, now: OffsetDateTime) -> Result<Vec<Selected>> {
    let host = general_name::host_name(word)?;
    let rows = rows_of_host(store, &host, |line| !line.starts_with(b"E\t"))?;
    let mut found = Vec::new();
    let mut revoked = None;
    for row in rows {
        if row.is_valid(now) {
            found.push(Selected::new(store, row)?);
        } else if let Some(revocation) = row.revocation {
            revoked = Some((row.serial, revocation));
        }
    }
    match revoked {
        _ if !found.is_empty() => Ok(found),
        Some((serial, revocation)) => bail!(RegisterError::AlreadyRevoked {
            serial: serial.to_string(),
            revoked: revocation.to_string(),
        }),
        None => bail!(SelectionError::NoHost {
            host: word.into(),
            register: store.settings.database.clone(),
        }),
    }
}

/// Which rows are a host's: those of its name as the CN of the subject, those without a CN whose
/// first name it is, and the one in `hosts/HOST`.
pub struct OfHost {
    host: String,
    /// the serial number of the one in `hosts/HOST`
    current: Option<String>,
}

impl OfHost {
    pub fn new(store: &Store, host: &str) -> Result<Self> {
        let current = match hosts::file_name(host) {
            Ok(name) => store.hosts.certificate(&name)?,
            Err(_) => None,
        };
        Ok(Self {
            host: host.into(),
            current: current.map(|certificate| certificate.serial.to_string()),
        })
    }

    fn is_current(&self, serial: &[u8]) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|it| it.as_bytes() == serial)
    }

    /// Whether a line of the register may be one of them.
    pub fn may_be(&self, line: &[u8]) -> bool {
        let is_named = |subject: &[u8]| {
            let subject = String::from_utf8_lossy(subject);
            common_name(&subject).is_none_or(|name| name.eq_ignore_ascii_case(&self.host))
        };
        index::serial_in(line).is_some_and(|serial| self.is_current(serial))
            || index::subject_in(line).is_some_and(is_named)
    }

    /// Whether one that may be one of them is; without a CN its certificate tells.
    pub fn is_it(&self, one: &Selected) -> bool {
        let row = &one.row;
        let title = || one.certificate.as_ref().map(Certificate::title);
        common_name(&row.subject).is_some()
            || self.is_current(row.serial.to_string().as_bytes())
            || title().is_some_and(|title| title.eq_ignore_ascii_case(&self.host))
    }
}

/// The rows of a host, in the order in which they were issued.
fn rows_of_host(
    store: &Store,
    host: &str,
    may_be: impl Fn(&[u8]) -> bool,
) -> Result<Vec<Recorded>> {
    let of_host = OfHost::new(store, host)?;
    let rows = store.recorded(|line| may_be(line) && of_host.may_be(line))?;
    let mut found = Vec::new();
    for row in rows {
        let one = match common_name(&row.subject) {
            Some(_) => Selected::of_row(row),
            None => Selected::new(store, row)?,
        };
        if of_host.is_it(&one) {
            found.push(one.row);
        }
    }
    Ok(found)
}

/// The revoked certificates that WORD means, which is as in [`find`].
pub fn revoked(store: &Store, word: &str) -> Result<Vec<Selected>> {
    let is_row = |line: &[u8]| line.starts_with(b"R\t");
    let path = Path::new(word);
    let mut found = if path.is_file() {
        vec![of_file(store, path)?]
    } else if let Some(serial) = serial(word) {
        vec![of_serial(store, &serial)?]
    } else {
        let host = general_name::host_name(word)?;
        let rows = rows_of_host(store, &host, is_row)?;
        let read = rows.into_iter().map(|row| Selected::new(store, row));
        read.collect::<Result<_>>()?
    };
    found.retain(|one| one.row.revocation.is_some());
    if found.is_empty() {
        bail!(SelectionError::NotRevoked {
            what: word.into(),
            register: store.settings.database.clone(),
        });
    }
    Ok(found)
}

/// The revocation of a certificate, where the register has one.
pub fn revocation_of(store: &Store, serial: &SerialNumber) -> Option<Revocation> {
    let one = of_serial(store, serial).ok()?;
    one.row.revocation
}

/// All revoked certificates.
pub fn all_revoked(store: &Store) -> Result<Vec<Selected>> {
    let rows = store.recorded(|line| line.starts_with(b"R\t"))?;
    let read = rows.into_iter().map(|row| Selected::new(store, row));
    read.collect()
}

/// The certificate of a host that another one shall follow: of its valid ones the last, else of
/// those that are not revoked, else the last of all.
pub fn last_of_host(store: &Store, host: &str, now: OffsetDateTime) -> Result<Selected> {
    let rows = rows_of_host(store, host, |_| true)?;
    let best = |row: &Recorded| (row.is_valid(now), row.revocation.is_none());
    match rows.into_iter().max_by_key(best) {
        Some(row) => Selected::new(store, row),
        None => bail!(SelectionError::Unknown {
            host: host.into(),
            register: store.settings.database.clone(),
        }),
    }
}

/// The certificates that end less than `window` before or after now, each the last to end of its
/// subject, unless `is_known` or revoked.
pub fn ending(
    store: &Store,
    now: OffsetDateTime,
    window: Duration,
    is_known: impl Fn(&Certificate) -> bool,
) -> Result<Vec<Selected>> {
    let (from, to) = (now.saturating_sub(window), now.saturating_add(window));
    let rows = store.recorded(|line| {
        let row = Recorded::parse(line);
        row.is_some_and(|row| row.revocation.is_none() && (from..to).contains(&row.not_after))
    })?;
    let mut last: HashMap<String, Selected> = HashMap::new();
    for row in rows {
        let selected = Selected::new(store, row)?;
        let who = selected.who();
        let ends_later = |it: &Selected| it.row.not_after > selected.row.not_after;
        if !last.get(&who).is_some_and(ends_later) {
            last.insert(who, selected);
        }
    }
    // Others of the same subject end beyond the window.
    let has_empty = last.values().any(|one| !one.row.subject.starts_with('/'));
    let others = store.recorded(|line| {
        let subject = index::subject_in(line).filter(|_| !line.starts_with(b"R\t"));
        subject.is_some_and(|subject| {
            last.contains_key(&*String::from_utf8_lossy(subject))
                || has_empty && !subject.starts_with(b"/")
        })
    })?;
    for row in others {
        let not_after = row.not_after;
        let who = if row.subject.starts_with('/') {
            row.subject
        } else {
            Selected::new(store, row)?.who()
        };
        if last
            .get(&who)
            .is_some_and(|it| it.row.not_after < not_after)
        {
            last.remove(&who);
        }
    }
    let mut found: Vec<Selected> = last.into_values().collect();
    found.retain(|one| !one.certificate.as_ref().is_some_and(&is_known));
    found.sort_by_key(|one| (one.row.not_after, one.row.serial.clone()));
    Ok(found)
}

/// Of each subject the last certificate to end that is not revoked, where that is not before
/// `since`, and not the CA's own.
pub fn last_of_each_subject(
    store: &Store,
    since: OffsetDateTime,
) -> Result<impl Iterator<Item = Selected>> {
    let own = store.certificate.subject.oneline();
    let mut last: HashMap<String, Recorded> = HashMap::new();
    let mut nameless = Vec::new();
    store.each_line(|line| {
        if index::is_revoked(line) {
            return;
        }
        match Recorded::parse(line) {
            Some(row) if row.not_after < since || row.subject == own => {}
            Some(row) if !row.subject.starts_with('/') => nameless.push(row),
            // The subject is held once, as the key.
            Some(mut row) => match last.entry(mem::take(&mut row.subject)) {
                Entry::Vacant(place) => _ = place.insert(row),
                Entry::Occupied(mut other) if other.get().not_after <= row.not_after => {
                    other.insert(row);
                }
                Entry::Occupied(_) => {}
            },
            None => {}
        }
    })?;
    let mut last_nameless: HashMap<String, Selected> = HashMap::new();
    for row in nameless {
        // One that cannot be read goes by its number.
        let selected = Selected::new(store, row.clone()).unwrap_or_else(|_| Selected::of_row(row));
        let who = selected.who();
        let end = selected.row.not_after;
        if last_nameless
            .get(&who)
            .is_none_or(|it| it.row.not_after <= end)
        {
            last_nameless.insert(who, selected);
        }
    }
    let named = last
        .into_iter()
        .map(|(subject, row)| Selected::of_row(Recorded { subject, ..row }));
    Ok(named.chain(last_nameless.into_values()))
}

/// The hosts that have a certificate valid at a time, by name.
pub fn hosts_with_valid(store: &Store, at: OffsetDateTime) -> Result<BTreeSet<String>> {
    let own = store.certificate.subject.oneline();
    let mut found = BTreeSet::new();
    let mut nameless = Vec::new();
    store.each_line(|line| {
        let row = Recorded::parse(line).filter(|row| row.is_valid(at) && row.subject != own);
        match row.map(|row| (common_name(&row.subject).map(str::to_owned), row)) {
            Some((Some(name), _)) => {
                found.insert(name);
            }
            Some((None, row)) => nameless.push(row),
            None => {}
        }
    })?;
    for row in nameless {
        found.insert(Selected::new(store, row)?.title());
    }
    let mut here = Vec::new();
    for host in store.hosts.list()? {
        let current = store.hosts.certificate(&host)?;
        here.extend(current.filter(|it| it.not_after >= at));
    }
    let statuses = store.statuses(here.iter().map(|it| &it.serial))?;
    here.retain(|it| !matches!(statuses.get(&it.serial), Some(Status::Revoked { .. })));
    found.extend(here.iter().map(Certificate::title));
    Ok(found)
}

/// The CN of a subject as the register has it; of several the last one, as `openssl` and mailca
/// take it.
pub fn common_name(subject: &str) -> Option<&str> {
    let (_, rest) = subject.rsplit_once("/CN=")?;
    Some(rest.split('/').next().unwrap_or(rest))
}

// The register has each octet beyond ASCII as four characters, such as \xC3.
fn readable(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut octets = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let octet = part.get(..2).map(|digits| u8::from_str_radix(digits, 16));
        match octet {
            Some(Ok(octet)) if !octet.is_ascii() => {
                octets.push(octet);
                octets.extend(&part.as_bytes()[2..]);
            }
            _ => octets.extend([b"\\x", part.as_bytes()].concat()),
        }
    }
    String::from_utf8(octets).unwrap_or_else(|_| name.to_owned())
}

/// The valid certificates of the key that a file tells: a private or public key, a certificate, or
/// a request.
pub fn of_key(session: &Session<'_>, store: &Store, path: &Path) -> Result<Vec<Selected>> {
    let key = key_in(path)?;
    let now = session.context.now();
    let mut rows = store.recorded(|line| line.starts_with(b"V\t"))?;
    rows.retain(|row| row.is_valid(now));
    let progress = session.progress("reading", rows.len());
    let looked_at = batch::on_all_cores(rows, |row| {
        let selected = Selected::new(store, row);
        progress.advance(1);
        selected
    });
    progress.finish();
    let mut found = Vec::new();
    for selected in looked_at {
        let selected = selected?;
        let certificate = selected.certificate.as_ref();
        if certificate.is_some_and(|it| it.subject_public_key_info == key) {
            found.push(selected);
        }
    }
    if found.is_empty() {
        bail!(SelectionError::NoKey(path.display().to_string()));
    }
    Ok(found)
}

fn key_in(path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read(path)?;
    let private = EncodedKey::find(&bytes).ok().flatten();
    let is_locked = private.as_ref().is_some_and(EncodedKey::is_encrypted);
    if let Some(Ok(key)) = private.map(|key| key.unlock(None)) {
        return Ok(key.subject_public_key_info().to_vec());
    }
    if let Ok(certificate) = Certificate::from_pem_or_der(&bytes) {
        return Ok(certificate.subject_public_key_info);
    }
    if let Ok(request) = Request::read(&bytes, None, Strength::Legacy) {
        return Ok(request.subject_public_key_info);
    }
    let blocks = pem_text::blocks(&bytes).unwrap_or_default();
    let public = blocks.iter().find(|block| block.tag() == "PUBLIC KEY");
    match public {
        Some(block) => Ok(block.contents().to_vec()),
        None if is_locked => {
            bail!(SelectionError::KeyLocked(path.display().to_string()))
        }
        None => bail!(SelectionError::KeyNotFound(path.display().to_string())),
    }
}

/// Leaves each certificate once.
pub fn without_repeats(mut selected: Vec<Selected>) -> Vec<Selected> {
    let mut seen = HashSet::new();
    selected.retain(|one| seen.insert(one.row.serial.clone()));
    selected
}
