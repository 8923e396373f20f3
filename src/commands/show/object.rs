//! What a file can hold, as data and in words.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;

use crate::commands::review::Review;
use crate::pki::certificate::{Certificate, CertificateError};
use crate::pki::certificate_list::{CertificateList, CertificateListError, reason_name};
use crate::pki::description::Description;
use crate::pki::general_name::GeneralName;
use crate::pki::hex;
use crate::pki::key::{EncodedKey, KeyError};
use crate::pki::moment;
use crate::pki::pem_text;
use crate::pki::profile::Profile;
use crate::pki::public_key::{self, PublicKeyKind};
use crate::pki::request::{Request, RequestError};
use crate::pki::revocation::Revocation;
use crate::pki::text;
use crate::report;
use crate::store::register::State;

/// Why there is nothing to show.
#[derive(Debug, Error)]
pub enum ShowError {
    /// A file has nothing that mailca knows.
    #[error("{0} holds no certificate, request, CRL or key")]
    Nothing(String),
    /// A certificate in it cannot be read.
    #[error("{file}: {source}")]
    Certificate {
        file: String,
        source: CertificateError,
    },
    /// A request in it cannot be read.
    #[error("{file}: {source}")]
    Request { file: String, source: RequestError },
    /// A CRL in it cannot be read.
    #[error("{file}: {source}")]
    CertificateList {
        file: String,
        source: CertificateListError,
    },
    /// A key in it cannot be read.
    #[error("{file}: {source}")]
    Key { file: String, source: KeyError },
}

/// So many of a CRL's entries are told in words.
const NAMED: usize = 20;

/// Something to show.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Object {
    Certificate(Box<ShownCertificate>),
    Request(ShownRequest),
    Crl(ShownList),
    Key(ShownKey),
    /// PEM of another kind
    Other {
        label: String,
    },
}

#[derive(Serialize)]
pub struct ShownCertificate {
    serial: String,
    subject: String,
    issuer: String,
    names: Vec<GeneralName>,
    /// of kinds that mailca does not certify
    other_names: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    #[serde(flatten)]
    key: PublicKey,
    sha256: String,
    version: u32,
    signature_algorithm: String,
    ca: bool,
    path_length: Option<u32>,
    key_usage: Vec<&'static str>,
    purposes: Vec<String>,
    profile: Option<Profile>,
    crl_urls: Vec<String>,
    subject_key_identifier: Option<String>,
    authority_key_identifier: Option<String>,
    /// by name, those that are not told otherwise
    extensions: Vec<String>,
    /// where its CA is the one of the directory
    #[serde(flatten)]
    pub issued: Option<Issued>,
    #[serde(skip)]
    pub certificate: Certificate,
}

/// What its CA knows of a certificate.
#[derive(Serialize)]
pub struct Issued {
    state: State,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
    reason: Option<&'static str>,
    /// hosts/HOST, whose current certificate it is
    host_files: Option<PathBuf>,
    #[serde(skip)]
    in_words: String,
}

#[derive(Serialize)]
pub struct ShownRequest {
    subject: String,
    names: Vec<GeneralName>,
    #[serde(flatten)]
    key: PublicKey,
    /// what it asks for besides names
    asks_for: Vec<String>,
    /// what is wrong with its signature or its names
    problems: Vec<String>,
    sha256: String,
}

#[derive(Serialize)]
pub struct ShownList {
    issuer: String,
    number: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    this_update: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    next_update: Option<OffsetDateTime>,
    authority_key_identifier: Option<String>,
    sha256: String,
    revoked: Vec<Revoked>,
}

#[derive(Serialize)]
struct Revoked {
    serial: String,
    #[serde(with = "time::serde::rfc3339", rename = "revoked_at")]
    date: OffsetDateTime,
    reason: &'static str,
    #[serde(with = "time::serde::rfc3339::option")]
    compromised_at: Option<OffsetDateTime>,
}

#[derive(Serialize)]
pub struct ShownKey {
    private: bool,
    encrypted: bool,
    /// unknown of an encrypted one
    #[serde(flatten)]
    key: Option<PublicKey>,
    /// why mailca cannot use it
    problem: Option<String>,
}

#[derive(Serialize)]
struct PublicKey {
    key_type: String,
    key_sha256: String,
}

impl PublicKey {
    fn of(info: &[u8]) -> Self {
        Self {
            key_type: public_key::describe(info),
            key_sha256: public_key::fingerprint(info),
        }
    }
}

impl Object {
    pub fn certificate(certificate: Certificate) -> Result<Self> {
        let Description {
            version,
            signature_algorithm,
            other_names,
            key_usage,
            purposes,
            crl_urls,
            extensions,
        } = Description::of(&certificate)?;
        let identifier = |octets: &Option<Vec<u8>>| octets.as_deref().map(hex::upper);
        Ok(Self::Certificate(Box::new(ShownCertificate {
            serial: certificate.serial.to_string(),
            subject: certificate.subject.to_string(),
            issuer: certificate.issuer.to_string(),
            names: certificate.names.clone(),
            other_names,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            key: PublicKey::of(&certificate.subject_public_key_info),
            sha256: certificate.fingerprint(),
            version,
            signature_algorithm,
            ca: certificate.is_ca,
            path_length: certificate.path_length,
            key_usage,
            purposes,
            profile: Profile::of(&certificate),
            crl_urls,
            subject_key_identifier: identifier(&certificate.subject_key_identifier),
            authority_key_identifier: identifier(&certificate.authority_key_identifier),
            extensions,
            issued: None,
            certificate,
        })))
    }

    fn request(der: &[u8], file: &str) -> Result<Self> {
        let inspected = Request::inspect(der).map_err(|source| ShowError::Request {
            file: file.into(),
            source,
        });
        let (request, unproved) = inspected?;
        let mut problems: Vec<String> = unproved.iter().map(ToString::to_string).collect();
        let asks_for = request.asks_for();
        let names = request.names.unwrap_or_else(|error| {
            problems.push(error.to_string());
            Vec::new()
        });
        Ok(Self::Request(ShownRequest {
            subject: request.subject.to_string(),
            names,
            key: PublicKey::of(&request.subject_public_key_info),
            asks_for,
            problems,
            sha256: hex::fingerprint(der),
        }))
    }

    fn crl(bytes: &[u8], file: &str) -> Result<Self> {
        let failed = |source| ShowError::CertificateList {
            file: file.into(),
            source,
        };
        let list = CertificateList::from_pem_or_der(bytes).map_err(failed)?;
        let entries = list.entries().map(|entry| {
            let entry = entry?;
            Ok(Revoked {
                serial: entry.serial_number().to_string(),
                date: entry.revoked_at,
                reason: entry.reason.map_or("unspecified", reason_name),
                compromised_at: entry.invalid_since,
            })
        });
        let revoked: Result<_, CertificateListError> = entries.collect();
        let identifier = list.authority_key_identifier.as_deref();
        Ok(Self::Crl(ShownList {
            issuer: list.issuer.to_string(),
            number: list.number.as_ref().map(ToString::to_string),
            this_update: list.this_update,
            next_update: list.next_update,
            authority_key_identifier: identifier.map(hex::upper),
            sha256: hex::fingerprint(list.as_der()),
            revoked: revoked.map_err(failed)?,
        }))
    }

    fn private_key(bytes: &[u8], file: &str) -> Result<Self> {
        let failed = |source| ShowError::Key {
            file: file.into(),
            source,
        };
        let mut shown = ShownKey {
            private: true,
            encrypted: false,
            key: None,
            problem: None,
        };
        match EncodedKey::find(bytes) {
            Ok(Some(key)) if key.is_encrypted() => shown.encrypted = true,
            Ok(Some(key)) => match key.unlock(None) {
                Ok(key) => shown.key = Some(PublicKey::of(key.subject_public_key_info())),
                Err(error @ KeyError::CannotSign { .. }) => {
                    shown.problem = Some(error.to_string());
                }
                Err(error) => return Err(failed(error).into()),
            },
            Err(error @ KeyError::Unsupported { .. }) => shown.problem = Some(error.to_string()),
            Ok(None) => return Err(ShowError::Nothing(file.into()).into()),
            Err(error) => return Err(failed(error).into()),
        }
        Ok(Self::Key(shown))
    }

    fn public_key(info: &[u8]) -> Self {
        Self::Key(ShownKey {
            private: false,
            encrypted: false,
            key: Some(PublicKey::of(info)),
            problem: None,
        })
    }

    pub fn in_words(&self, width: usize) -> String {
        let mut review = Review::new(width);
        match self {
            Self::Certificate(shown) => shown.describe(&mut review),
            Self::Request(shown) => shown.describe(&mut review),
            Self::Crl(shown) => shown.describe(&mut review),
            Self::Key(shown) => shown.describe(&mut review),
            Self::Other { label } => {
                review.field("Kind", &format!("PEM: {}", text::one_line(label)));
            }
        }
        review.into_text()
    }
}

/// Everything in a file, of which there must be something.
pub fn all_in(file: &str, bytes: &[u8]) -> Result<Vec<Object>> {
    let nothing = || ShowError::Nothing(file.into());
    let bad_certificate = |source| ShowError::Certificate {
        file: file.into(),
        source,
    };
    if bytes.first() == Some(&0x30) {
        return Ok(vec![in_der(bytes, file)?]);
    }
    let mut objects = Vec::new();
    let blocks = pem_text::blocks(bytes).ok_or_else(nothing)?;
    for (block, (_, text)) in blocks.iter().zip(pem_text::texts(bytes)) {
        objects.push(match block.tag() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let read = Certificate::from_der(block.contents()).map_err(bad_certificate)?;
                Object::certificate(read)?
            }
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
                Object::request(block.contents(), file)?
            }
            "X509 CRL" => Object::crl(block.contents(), file)?,
            "PUBLIC KEY" => Object::public_key(block.contents()),
            label if label.ends_with("PRIVATE KEY") => Object::private_key(text, file)?,
            label => Object::Other {
                label: label.into(),
            },
        });
    }
    Ok(objects)
}

// DER does not say what it is.
fn in_der(der: &[u8], file: &str) -> Result<Object> {
    if let Ok(certificate) = Certificate::from_der(der) {
        return Object::certificate(certificate);
    }
    if PublicKeyKind::of(der).is_ok() {
        return Ok(Object::public_key(der));
    }
    let read = [
        Object::crl(der, file),
        Object::request(der, file),
        Object::private_key(der, file),
    ];
    let found = read.into_iter().find_map(Result::ok);
    found.ok_or_else(|| ShowError::Nothing(file.into()).into())
}

impl ShownCertificate {
    fn describe(&self, review: &mut Review) {
        review.field("Kind", "certificate");
        review.field("Serial", &self.serial);
        review.field("Issuer", &self.issuer);
        review.field("Subject", &self.subject);
        let names = self.names.iter().map(ToString::to_string);
        let names: Vec<String> = names.chain(self.other_names.iter().cloned()).collect();
        review.list("Names", &names);
        let lifetime = moment::between(self.not_before, self.not_after);
        review.field(
            "Validity",
            &format!(
                "{} to {} ({lifetime})",
                report::moment(self.not_before),
                report::moment(self.not_after)
            ),
        );
        self.key.describe(review);
        review.field("SHA-256", &self.sha256);
        review.field("Signature", &self.signature_algorithm);
        if self.ca {
            review.field(
                "CA",
                &match self.path_length {
                    Some(length) => format!("yes, path length {length}"),
                    None => "yes".into(),
                },
            );
        }
        review.list("Key usage", &self.key_usage);
        review.list("Purposes", &self.purposes);
        review.list("CRL", &self.crl_urls);
        review.list("Key ID", self.subject_key_identifier.as_slice());
        review.list("Issuer ID", self.authority_key_identifier.as_slice());
        review.list("Extensions", &self.extensions);
        if self.version != 3 {
            review.field("Version", &self.version.to_string());
        }
        if let Some(issued) = &self.issued {
            review.field("Register", &issued.in_words);
            if let Some(folder) = &issued.host_files {
                review.field("Host files", &format!("{}/", folder.display()));
            }
        }
    }
}

impl Issued {
    pub fn new(state: State, revocation: Option<&Revocation>, host_files: Option<PathBuf>) -> Self {
        Self {
            state,
            revoked_at: revocation.map(|it| it.date),
            reason: revocation.map(|it| it.reason.as_str()),
            host_files,
            in_words: match revocation {
                Some(revocation) => format!("{state} on {revocation}"),
                None => state.to_string(),
            },
        }
    }
}

impl ShownRequest {
    fn describe(&self, review: &mut Review) {
        review.field("Kind", "certificate request");
        review.field("Subject", &self.subject);
        review.list("Names", &self.names);
        self.key.describe(review);
        review.list("Asks for", &self.asks_for);
        review.field("SHA-256", &self.sha256);
        for problem in &self.problems {
            review.field("Problem", problem);
        }
    }
}

impl ShownList {
    fn describe(&self, review: &mut Review) {
        review.field("Kind", "CRL");
        review.list("Number", self.number.as_slice());
        review.field("Issuer", &self.issuer);
        let until = match self.next_update {
            Some(end) => report::moment(end),
            None => "no end".into(),
        };
        let from = report::moment(self.this_update);
        review.field("Validity", &format!("{from} to {until}"));
        review.list("Issuer ID", self.authority_key_identifier.as_slice());
        review.field("SHA-256", &self.sha256);
        review.field("Revoked", &self.revoked.len().to_string());
        for entry in self.revoked.iter().take(NAMED) {
            let Revoked { serial, reason, .. } = entry;
            let date = report::date(entry.date);
            review.field("", &format!("{serial}  {date}  {reason}"));
        }
        if self.revoked.len() > NAMED {
            let more = self.revoked.len() - NAMED;
            review.field("", &format!("and {more} more, which --json lists"));
        }
    }
}

impl ShownKey {
    fn describe(&self, review: &mut Review) {
        let kind = if self.private {
            "private key"
        } else {
            "public key"
        };
        review.field("Kind", kind);
        if let Some(key) = &self.key {
            key.describe(review);
        }
        if self.encrypted {
            let encrypted = "encrypted: only its passphrase tells of what type it is";
            review.field("Key", encrypted);
        }
        if let Some(problem) = &self.problem {
            review.field("Problem", problem);
        }
    }
}

impl PublicKey {
    fn describe(&self, review: &mut Review) {
        review.field("Key", &self.key_type);
        review.field("Key digest", &self.key_sha256);
    }
}
