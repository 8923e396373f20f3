//! What a sendmail.mc or a sendmail.cf names, and whether Sendmail can do anything with it.

use std::fs;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::finding::{Finding, Severity};
use crate::commands::sendmail_files::{Source, build};
use crate::commands::session::Session;
use crate::mta::sendmail::config::Setting;
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateList;
use crate::pki::general_name;
use crate::pki::key::{EncodedKey, KeyError};
use crate::pki::pem_text;
use crate::report::{invocation, moment};
use crate::store::Store;
use crate::sys::access::is_same;
use crate::sys::files::{self, FileError};

/// What is wrong with what one of them names.
pub fn findings(source: &Source, store: &Store, session: &Session<'_>) -> Vec<Finding> {
    let mut check = Check {
        source,
        store,
        root: fs::canonicalize(&store.settings.root).unwrap_or_default(),
        now: session.context.now(),
        node_name: &session.context.node_name,
        found: Vec::new(),
    };
    check.pairs();
    check.crl();
    check.found
}

struct Check<'a> {
    source: &'a Source,
    store: &'a Store,
    /// the CA directory by its real name
    root: PathBuf,
    now: OffsetDateTime,
    node_name: &'a str,
    found: Vec<Finding>,
}

/// A file and the place that names it.
struct Named {
    path: PathBuf,
    line: usize,
    what: &'static str,
}

/// What a private key's file holds.
enum KeyFile {
    /// a key for everybody who can read it: its public half
    Plain(Vec<u8>),
    Encrypted,
    /// one that OpenSSL may know and mailca does not
    Other,
}

/// Why a file is of no use.
enum Useless {
    /// in words
    For(String),
    /// whoever asks may not read it, and the daemon perhaps may
    Denied,
}

impl From<FileError> for Useless {
    fn from(error: FileError) -> Self {
        if error.is_missing() {
            return Self::For("it does not exist".into());
        }
        if error.is_denied() {
            return Self::Denied;
        }
        Self::For(format!("it cannot be read: {}", error.source))
    }
}

impl Check<'_> {
    fn add(&mut self, severity: Severity, problem: &str, named: &Named, wrong: &str) {
        let place = format!("{}:{}", self.source.path.display(), named.line);
        let path = named.path.display();
        let reason = format!("{place} names {path} as {}{wrong}", named.what);
        let finding = Finding::new(severity, problem, &*self.source.path, reason);
        let remedy = match problem {
            "sendmail-crl" | "sendmail-unread" => None,
            _ => self.emit(named),
        };
        self.found.push(finding.remedy_if_any(remedy));
    }

    // Lines of mailca's in place of these, where a host is here whose lines they can be.
    fn emit(&self, named: &Named) -> Option<String> {
        let path = &self.source.path;
        let is_cf = self.source.is_cf();
        let mc = if is_cf {
            path.with_extension("mc")
        } else {
            path.clone()
        };
        if !mc.exists() {
            return None;
        }
        let into = |host: &str| {
            let lines = invocation(
                self.store,
                &["emit-mc", host, "--into", &mc.to_string_lossy()],
            );
            if is_cf {
                return format!("{lines} && {}", build(&mc));
            }
            lines
        };
        if let Some(host) = self.host_of(named) {
            return Some(into(&host));
        }
        let host = general_name::host_name(self.node_name).ok();
        let host = host.filter(|host| host.contains('.'))?;
        let issue = invocation(self.store, &["issue", &host]);
        Some(format!("{issue} && {}", into(&host)))
    }

    // The host whose folder is named, this machine, or the only one.
    fn host_of(&self, named: &Named) -> Option<String> {
        let mut hosts = self.store.hosts.list().unwrap_or_default();
        let is_meant = |host: &String| named.path.starts_with(self.store.hosts.current(host));
        let meant = hosts.iter().find(|host| is_meant(host));
        let own = hosts.iter().find(|host| *host == self.node_name);
        match meant.or(own) {
            Some(host) => Some(host.clone()),
            None if hosts.len() == 1 => hosts.pop(),
            None => None,
        }
    }

    fn useful<T>(&mut self, named: &Named, read: Result<T, Useless>) -> Option<T> {
        match read {
            Ok(found) => return Some(found),
            Err(Useless::For(why)) => {
                let wrong = format!(": {why}");
                self.add(Severity::Critical, "sendmail-no-file", named, &wrong);
            }
            Err(Useless::Denied) => {
                let wrong = ", which only another user may read: run this as root to be sure of it";
                self.add(Severity::Note, "sendmail-unread", named, wrong);
            }
        }
        None
    }

    fn named(&self, setting: Setting, what: &'static str) -> Vec<Named> {
        let Some(value) = self.source.config.get(setting) else {
            return Vec::new();
        };
        let line = value.line;
        let named = value.files().map(|path| Named { path, line, what });
        named
            .filter(|named| self.concerns_us(&named.path))
            .collect()
    }

    // Files of this CA, and everything where somebody wants to know of this very configuration.
    fn concerns_us(&self, path: &Path) -> bool {
        let real = files::absolute(path);
        self.source.is_given
            || path.starts_with(&self.store.settings.root)
            || real.is_ok_and(|real| real.starts_with(&self.root))
            || is_same(path, &self.store.settings.private_key)
    }

    fn pairs(&mut self) {
        let server = self.named(Setting::ServerCertificate, "the server's certificate");
        let client = self.named(Setting::ClientCertificate, "the client's certificate");
        let of_server = self.named(Setting::ServerKey, "the server's key");
        let of_client = self.named(Setting::ClientKey, "the client's key");
        let mut seen: Vec<[Option<&Path>; 2]> = Vec::new();
        for (certificates, keys) in [(&server, &of_server), (&client, &of_client)] {
            for number in 0..certificates.len().max(keys.len()) {
                let pair = [certificates.get(number), keys.get(number)];
                let paths = pair.map(|named| named.map(|named| &*named.path));
                if !seen.contains(&paths) {
                    seen.push(paths);
                    self.pair(pair);
                }
            }
        }
        if let Some(first) = server.first().or(client.first()) {
            self.ca(&first.path);
        }
    }

    fn pair(&mut self, [certificate, key]: [Option<&Named>; 2]) {
        let mut public = None;
        if let Some(named) = certificate {
            let read = read_certificates(&named.path);
            let read = self
                .useful(named, read)
                .and_then(|all| all.into_iter().next());
            public = read.map(|one| one.subject_public_key_info);
            if is_same(&named.path, &self.store.last_certificate_path()) {
                let wrong = ", which the next certificate that is signed overwrites";
                self.add(Severity::Warning, "sendmail-newcert", named, wrong);
            }
        }
        let Some(key) = key else {
            return;
        };
        if is_same(&key.path, &self.store.settings.private_key) {
            return self.ca_key(key);
        }
        match self.useful(key, read_key(&key.path)) {
            Some(KeyFile::Encrypted) => {
                let wrong = ", which is encrypted: Sendmail would ask for its passphrase, and offer \
                             no STARTTLS where nobody answers";
                self.add(Severity::Critical, "sendmail-key-encrypted", key, wrong);
            }
            Some(KeyFile::Plain(own)) => {
                if own == self.store.certificate.subject_public_key_info {
                    return self.ca_key(key);
                }
                let Some(certificate) = certificate.filter(|_| public.is_some_and(|it| it != own))
                else {
                    return;
                };
                let other = certificate.path.display();
                let wrong =
                    format!(", which does not belong to {other}: Sendmail offers no STARTTLS");
                self.add(Severity::Critical, "sendmail-pair", key, &wrong);
            }
            Some(KeyFile::Other) | None => {}
        }
    }

    // The book's Listing 6.3.
    fn ca_key(&mut self, key: &Named) {
        let wrong = ", and that is the CA's own: Sendmail offers no STARTTLS, and who breaks into the \
                     mail server has the CA";
        self.add(Severity::Critical, "sendmail-ca-key", key, wrong);
    }

    // The file with the CAs whose certificates Sendmail verifies.
    fn ca(&mut self, certificate: &Path) {
        let of_us = read_certificates(certificate).ok().is_some_and(|all| {
            let leaf = all.first();
            leaf.is_some_and(|leaf| leaf.verify_signature(&self.store.certificate).is_ok())
        });
        for named in self.named(Setting::CaFile, "the file of trusted CAs") {
            let Some(cas) = self.useful(&named, read_certificates(&named.path)) else {
                continue;
            };
            let own = &self.store.certificate;
            let is_own = |ca: &&Certificate| {
                ca.subject_public_key_info == own.subject_public_key_info
                    && ca.subject.as_der() == own.subject.as_der()
            };
            let wrong = match cas.iter().filter(is_own).max_by_key(|ca| ca.not_after) {
                _ if !of_us => continue,
                Some(ca) if ca.not_after >= self.now => continue,
                Some(ca) => format!(
                    ", in which the CA's certificate has expired on {}: it has been renewed since",
                    moment(ca.not_after)
                ),
                None => {
                    ", which has no certificate of the CA that signed the server's: clients with \
                         its certificates are not verified"
                        .into()
                }
            };
            self.add(Severity::Warning, "sendmail-ca", &named, &wrong);
        }
    }

    // Sendmail goes on without a CRL that it cannot read.
    fn crl(&mut self) {
        for named in self.named(Setting::Crl, "the CRL") {
            let wrong = match read_crl(&named.path) {
                Err(Useless::Denied) => {
                    self.useful::<()>(&named, Err(Useless::Denied));
                    continue;
                }
                Err(Useless::For(why)) => {
                    format!(": {why}, and Sendmail accepts every revoked certificate")
                }
                Ok(crl) => match crl.next_update {
                    Some(end) if end < self.now => format!(
                        ", which expired on {}: Sendmail verifies no client certificate any more",
                        moment(end)
                    ),
                    _ => continue,
                },
            };
            self.add(Severity::Critical, "sendmail-crl", &named, &wrong);
        }
    }
}

fn absolute(path: &Path) -> Result<&Path, Useless> {
    let useless = || Useless::For("it is no absolute path, and Sendmail takes no other".into());
    path.is_absolute().then_some(path).ok_or_else(useless)
}

fn read_key(path: &Path) -> Result<KeyFile, Useless> {
    let bytes = files::read(absolute(path)?)?;
    if memchr::memmem::find(&bytes, b"ENCRYPTED").is_some() {
        return Ok(KeyFile::Encrypted);
    }
    match EncodedKey::find(&bytes) {
        Ok(Some(key)) => Ok(key.unlock(None).map_or(KeyFile::Other, |key| {
            KeyFile::Plain(key.subject_public_key_info().to_vec())
        })),
        Ok(None) => Err(Useless::For("it holds no private key".into())),
        Err(KeyError::Unsupported { .. }) => Ok(KeyFile::Other),
        Err(error) => Err(Useless::For(error.to_string())),
    }
}

// Sendmail reads PEM only.
fn read_certificates(path: &Path) -> Result<Vec<Certificate>, Useless> {
    let bytes = files::read(absolute(path)?)?;
    if pem_text::blocks(&bytes).is_none() {
        return Err(Useless::For("it holds no certificate in PEM".into()));
    }
    Certificate::all_from_pem_or_der(&bytes).map_err(|error| Useless::For(error.to_string()))
}

fn read_crl(path: &Path) -> Result<CertificateList, Useless> {
    let bytes = files::read_large(absolute(path)?)?;
    match CertificateList::from_pem_or_der(&bytes) {
        Ok(_) if bytes.first() == Some(&0x30) => Err(Useless::For(
            "it is DER, and Sendmail reads PEM only".into(),
        )),
        Ok(crl) => Ok(crl),
        Err(error) => Err(Useless::For(error.to_string())),
    }
}
