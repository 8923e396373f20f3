//! What holds in every CA directory, whatever happened to the commands that wrote there.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mailca::pki::certificate::Certificate;
use mailca::pki::certificate_list::CertificateList;
use mailca::pki::key::{EncodedKey, PrivateKey};
use mailca::pki::request::{Request, Strength};
use mailca::pki::serial::SerialNumber;
use mailca::store::index::{self, Row};

/// What is broken in the CA directory `ca`, a sentence each; nothing where all is well. A command
/// that writes must have run since the last accident: it mends what that left.
pub fn broken(ca: &Path) -> Vec<String> {
    let mut findings = Findings {
        ca,
        broken: Vec::new(),
    };
    findings.register();
    findings.ca();
    findings.hosts();
    findings.crl();
    findings.files(ca);
    findings.broken
}

/// What is wrong with a copy of an issued certificate outside the CA directory: it is whole, or it
/// is not there.
pub fn broken_copy(ca: &Path, copy: &Path) -> Option<String> {
    let bytes = fs::read(copy).ok()?;
    let name = copy.display();
    let Ok(certificate) = Certificate::from_pem_or_der(&bytes) else {
        return Some(format!("{name} is not a whole certificate"));
    };
    let kept = ca.join(format!("newcerts/{}.pem", certificate.serial));
    (fs::read(&kept).ok()? != bytes).then(|| format!("{name} is not {}", kept.display()))
}

struct Findings<'a> {
    ca: &'a Path,
    broken: Vec<String>,
}

impl Findings<'_> {
    fn add(&mut self, sentence: String) {
        self.broken.push(sentence);
    }

    fn certificate(&mut self, path: &Path) -> Option<Certificate> {
        let found = fs::read(path)
            .ok()
            .and_then(|bytes| Certificate::from_pem_or_der(&bytes).ok());
        if found.is_none() {
            self.add(format!("{} is no whole certificate", path.display()));
        }
        found
    }

    fn key(&mut self, path: &Path) -> Option<PrivateKey> {
        let found = fs::read(path)
            .ok()
            .and_then(|bytes| EncodedKey::find(&bytes).ok()??.unlock(None).ok());
        if found.is_none() {
            self.add(format!("{} is no whole key", path.display()));
        }
        found
    }

    fn register(&mut self) {
        let text = fs::read(self.ca.join("index.txt")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            self.add("index.txt does not end with a line end".into());
        }
        let mut serials = HashSet::new();
        for line in text.lines() {
            let Some(row) = Row::parse(line) else {
                self.add(format!("index.txt has the line {line:?}"));
                continue;
            };
            if !serials.insert(row.serial.to_owned()) {
                self.add(format!("{} is in index.txt twice", row.serial));
            }
            if row.status == "E" {
                continue;
            }
            let path = self.ca.join(format!("newcerts/{}.pem", row.serial));
            let Some(certificate) = self.certificate(&path) else {
                continue;
            };
            if certificate.serial.to_string() != row.serial
                || index::subject_of(&certificate) != row.subject
            {
                self.add(format!("{} is not that of its row", path.display()));
            }
        }
        for path in entries_in(&self.ca.join("newcerts")) {
            // What `repair` moved aside has a date behind its name.
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".pem");
            if stem.is_some_and(|stem| !serials.contains(stem)) {
                self.add(format!("{} has no row", path.display()));
            }
        }
        let next = fs::read_to_string(self.ca.join("serial")).unwrap_or_default();
        match next.trim().parse::<SerialNumber>() {
            Err(error) => self.add(format!("serial: {error}")),
            Ok(next) => {
                let high = serials
                    .iter()
                    .filter_map(|serial| serial.parse().ok())
                    .max();
                if high.is_some_and(|high: SerialNumber| high >= next) {
                    self.add(format!("serial is {next}, which is taken"));
                }
            }
        }
        if let Some(problem) = broken_copy(self.ca, &self.ca.join("newcert.pem")) {
            self.add(problem);
        }
    }

    // What is in the CRL is revoked, and both its forms and its link are one.
    fn crl(&mut self) {
        let Ok(bytes) = fs::read(self.ca.join("crl/crl.pem")) else {
            if !entries_in(&self.ca.join("crl")).is_empty() {
                self.add("crl/ has something, but no crl.pem".into());
            }
            return;
        };
        let Ok(crl) = CertificateList::from_pem_or_der(&bytes) else {
            self.add("crl.pem is no whole CRL".into());
            return;
        };
        let der = fs::read(self.ca.join("crl/crl.der")).unwrap_or_default();
        if der != crl.as_der() {
            self.add("crl.der is not crl.pem".into());
        }
        let linked = entries_in(&self.ca.join("crl")).into_iter().any(|path| {
            path.extension().is_some_and(|it| it == "r0")
                && fs::read(&path).ok().as_ref() == Some(&bytes)
        });
        if !linked {
            self.add("crl.pem is not found by its hash".into());
        }
        let register = fs::read_to_string(self.ca.join("index.txt")).unwrap_or_default();
        let revoked: HashSet<&str> = register
            .lines()
            .filter_map(Row::parse)
            .filter(|row| row.status == "R")
            .map(|row| row.serial)
            .collect();
        let mut count = 0;
        for entry in crl.entries() {
            match entry.map(|entry| entry.serial_number().to_string()) {
                Ok(serial) if revoked.contains(&*serial) => count += 1,
                other => self.add(format!("the CRL has {other:?}, which is not revoked")),
            }
        }
        // A revocation by --no-crl or by openssl ca is younger than the CRL.
        if count > revoked.len() {
            self.add("the CRL has a certificate twice".into());
        }
        let next = fs::read_to_string(self.ca.join("crlnumber")).unwrap_or_default();
        let next = next.trim().parse::<SerialNumber>().ok();
        if next.as_ref() <= crl.number.as_ref() {
            self.add(format!("crlnumber is {next:?}, which is taken"));
        }
    }

    fn hosts(&mut self) {
        let Some(issuer) = self.certificate(&self.ca.join("cacert.pem")) else {
            return;
        };
        let mut issuers = vec![issuer];
        for path in entries_in(&self.ca.join("certs")) {
            issuers.extend(self.certificate(&path));
        }
        let mut keys = Vec::new();
        for path in entries_in(&self.ca.join("hosts")) {
            if path.is_symlink() && !path.is_dir() {
                self.add(format!("{} leads nowhere", path.display()));
                continue;
            }
            let key = self.key(&path.join("key.pem"));
            let key = key.map(|key| key.subject_public_key_info().to_vec());
            keys.extend(key.clone());
            if path
                .extension()
                .is_some_and(|extension| extension == "next")
            {
                continue;
            }
            let Some(certificate) = self.certificate(&path.join("cert.pem")) else {
                continue;
            };
            if key.is_some_and(|key| key != certificate.subject_public_key_info) {
                self.add(format!("{}: key and certificate differ", path.display()));
            }
            let chain = fs::read_to_string(path.join("chain.pem")).unwrap_or_default();
            let issuer = issuers.iter().find(|it| certificate.is_signed_by(it));
            let issuer = issuer.map_or_else(String::new, Certificate::to_pem);
            if chain != format!("{}{issuer}", certificate.to_pem()) {
                self.add(format!("{}: chain.pem is not whole", path.display()));
            }
            if let Some(problem) = broken_copy(self.ca, &path.join("cert.pem")) {
                self.add(problem);
            }
        }
        let Ok(request) = fs::read(self.ca.join("newreq.pem")) else {
            return;
        };
        match Request::read(&request, None, Strength::Current) {
            Err(error) => self.add(format!("newreq.pem: {error}")),
            Ok(request) if !keys.contains(&request.subject_public_key_info) => {
                self.add("the key of newreq.pem is nowhere".into());
            }
            Ok(_) => {}
        }
    }

    // A CA certificate that was renewed is kept. It has the name of the one now, and its key, or
    // its own key is kept too.
    fn ca(&mut self) {
        let Some(now) = self.certificate(&self.ca.join("cacert.pem")) else {
            return;
        };
        self.pair(&self.ca.join("private/cakey.pem"), &now);
        for path in entries_in(&self.ca.join("certs")) {
            let Some(kept) = self.certificate(&path) else {
                continue;
            };
            let name = format!("cacert-{}.pem", kept.serial);
            let is_same = kept.subject.as_der() == now.subject.as_der();
            if !path.ends_with(name) || kept.serial == now.serial || !is_same {
                self.add(format!("{} is not what cacert.pem was", path.display()));
            }
            if kept.subject_public_key_info != now.subject_public_key_info {
                let key = self.ca.join(format!("private/cakey-{}.pem", kept.serial));
                self.pair(&key, &kept);
                self.is_found(&kept);
                self.is_found(&now);
            }
        }
    }

    // As far as it is not locked.
    fn pair(&mut self, key: &Path, certificate: &Certificate) {
        let encoded = fs::read(key).ok();
        let encoded = encoded.and_then(|bytes| EncodedKey::find(&bytes).ok()?);
        if encoded.is_some_and(|key| key.is_encrypted()) {
            return;
        }
        let spki = self.key(key);
        let spki = spki.map(|key| key.subject_public_key_info().to_vec());
        if spki.is_some_and(|key| key != certificate.subject_public_key_info) {
            let serial = &certificate.serial;
            self.add(format!("{} is not the key of {serial}", key.display()));
        }
    }

    // By a link under the hash of its name.
    fn is_found(&mut self, certificate: &Certificate) {
        let hash = certificate.subject.hash().unwrap_or_default();
        let mut links = (0..).map(|number| self.ca.join(format!("{hash}.{number}")));
        let held = links.by_ref().map_while(|link| fs::read(link).ok());
        let mut read = held.filter_map(|bytes| Certificate::from_pem_or_der(&bytes).ok());
        if !read.any(|it| it.as_der() == certificate.as_der()) {
            self.add(format!("no link leads to {}", certificate.serial));
        }
    }

    fn files(&mut self, folder: &Path) {
        for path in entries_in(folder) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') {
                self.add(format!("{} was left behind", path.display()));
            }
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                self.files(&path);
            } else if (name.ends_with("key.pem") || name.starts_with("cakey"))
                && fs::metadata(&path).unwrap().permissions().mode() & 0o077 != 0
            {
                self.add(format!("{} is open to others", path.display()));
            }
        }
    }
}

fn entries_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
