//! Requests for a certificate: PKCS#10 (RFC 2986), and the book's self-signed certificate that
//! stands beside its private key.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use ring::signature;
use thiserror::Error;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName as ParsedName, ParsedExtension, X509Extension};
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

use super::general_name::{GeneralName, GeneralNameError};
use super::key::KeyError;
use super::name::{Name, NameError};
use super::pem_text;
use super::public_key::{self, PublicKeyKind, oid_name};

#[cfg(test)]
mod tests;

/// Why a request cannot be read, or must not be signed.
#[derive(Debug, Error)]
pub enum RequestError {
    /// Neither a request nor the book's certificate with its key.
    #[error("it holds no certificate request")]
    None,
    /// A certificate without the private key that would prove who asks.
    #[error("it holds a certificate without its private key, which proves nothing about who asks")]
    BareCertificate,
    /// The request and the private key in the same file do not belong together.
    #[error("its private key does not belong to its {0}")]
    ForeignKey(&'static str),
    /// The bytes are not a request.
    #[error("its request cannot be read ({0})")]
    Malformed(String),
    /// The self-signature is wrong.
    #[error("the signature does not match its public key")]
    BadSignature,
    /// mailca cannot verify this kind of signature.
    #[error("its signature is made with {0}, which mailca cannot verify")]
    UnverifiableSignature(String),
    /// MD5 or SHA-1, with which a signature proves nothing any more.
    #[error("its signature is made with {0}, which is broken")]
    BrokenDigest(String),
    /// An RSA key too short to be safe.
    #[error("its RSA key has {bits} bits, but 2048 are the least that is safe")]
    ShortKey {
        /// the modulus in bits
        bits: usize,
    },
    /// A name in it is none.
    #[error("it asks for a name that cannot be certified: {0}")]
    BadName(#[from] GeneralNameError),
    /// Its subject cannot be read.
    #[error("{0}")]
    Subject(#[from] NameError),
    /// The private key beside it cannot be read.
    #[error("{0}")]
    Key(#[from] KeyError),
}

/// What somebody asks a certificate for; possession of the private key is proved.
#[derive(Clone, Debug)]
pub struct Request {
    /// subject
    pub subject: Name,
    /// subjectPublicKeyInfo, DER
    pub subject_public_key_info: Vec<u8>,
    /// the names of its SubjectAltName, of the kinds that mailca certifies
    pub names: Vec<GeneralName>,
    /// what else it asks, in words: extensions and names that it will not get
    pub not_honoured: Vec<String>,
}

/// How strict to be about old cryptography.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// RSA from 2048 bits, SHA-256 and better.
    Current,
    /// SHA-1 and RSA from 1024 bits too (`--allow-legacy`).
    Legacy,
}

impl Request {
    /// Reads a request from PEM of either label or DER, told apart by content, and checks the
    /// proof of possession: its signature, or `private_key`, the SubjectPublicKeyInfo of a
    /// private key that stands in the same file.
    ///
    /// # Errors
    /// When there is no request, when it proves nothing, or when its cryptography is weaker than
    /// `strength`.
    pub fn read(
        bytes: &[u8],
        private_key: Option<&[u8]>,
        strength: Strength,
    ) -> Result<Self, RequestError> {
        let request = match pem_text::blocks(bytes) {
            Some(blocks) => {
                let find = |labels: &[&str]| {
                    let found = blocks.iter().find(|block| labels.contains(&block.tag()));
                    found.map(pem::Pem::contents)
                };
                if let Some(der) = find(&["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]) {
                    Self::from_pkcs10(der, private_key, strength)?
                } else if let Some(der) = find(&["CERTIFICATE", "X509 CERTIFICATE"]) {
                    Self::from_certificate(der, private_key)?
                } else {
                    return Err(RequestError::None);
                }
            }
            None if bytes.first() == Some(&0x30) => {
                Self::from_pkcs10(bytes, private_key, strength)?
            }
            None => return Err(RequestError::None),
        };
        check_strength(&request.subject_public_key_info, strength)?;
        Ok(request)
    }

    fn from_pkcs10(
        der: &[u8],
        private_key: Option<&[u8]>,
        strength: Strength,
    ) -> Result<Self, RequestError> {
        let (rest, parsed) = X509CertificationRequest::from_der(der).map_err(|error| {
            if X509Certificate::from_der(der).is_ok() {
                RequestError::BareCertificate
            } else {
                RequestError::Malformed(error.to_string())
            }
        })?;
        check_end(rest)?;
        let info = &parsed.certification_request_info;
        check_owner(info.subject_pki.raw, private_key, "certificate request")?;
        check_strength(info.subject_pki.raw, strength)?;
        check_digest(&parsed.signature_algorithm, strength)?;
        check_signature(&parsed)?;
        let mut request = Self {
            subject: Name::from_der(info.subject.as_raw())?,
            subject_public_key_info: info.subject_pki.raw.to_vec(),
            names: Vec::new(),
            not_honoured: Vec::new(),
        };
        for attribute in info.iter_attributes() {
            match attribute.parsed_attribute() {
                ParsedCriAttribute::ExtensionRequest(wanted) => {
                    request.take_extensions(&wanted.extensions)?;
                }
                ParsedCriAttribute::ChallengePassword(_) => {
                    request.not_honoured.push("a challengePassword".into());
                }
                ParsedCriAttribute::UnsupportedAttribute => {
                    let name = object_name(&attribute.oid.to_id_string());
                    request.not_honoured.push(format!("the attribute {name}"));
                }
            }
        }
        Ok(request)
    }

    fn from_certificate(der: &[u8], private_key: Option<&[u8]>) -> Result<Self, RequestError> {
        let (rest, parsed) = X509Certificate::from_der(der)
            .map_err(|error| RequestError::Malformed(error.to_string()))?;
        check_end(rest)?;
        let tbs = &parsed.tbs_certificate;
        if private_key.is_none() {
            return Err(RequestError::BareCertificate);
        }
        check_owner(tbs.subject_pki.raw, private_key, "certificate")?;
        let mut request = Self {
            subject: Name::from_der(tbs.subject.as_raw())?,
            subject_public_key_info: tbs.subject_pki.raw.to_vec(),
            names: Vec::new(),
            not_honoured: Vec::new(),
        };
        request.take_extensions(tbs.extensions())?;
        Ok(request)
    }

    fn take_extensions(&mut self, extensions: &[X509Extension<'_>]) -> Result<(), RequestError> {
        for extension in extensions {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(san) => {
                    for name in &san.general_names {
                        self.take_name(name)?;
                    }
                }
                // Every certificate gets these anyway, from its profile.
                ParsedExtension::SubjectKeyIdentifier(_)
                | ParsedExtension::AuthorityKeyIdentifier(_) => {}
                ParsedExtension::BasicConstraints(basic) if !basic.ca => {}
                ParsedExtension::BasicConstraints(_) => {
                    self.not_honoured.push("basicConstraints CA:TRUE".into());
                }
                ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() => {
                    self.not_honoured.push("keyUsage with keyCertSign".into());
                }
                _ => {
                    let name = object_name(&extension.oid.to_id_string());
                    self.not_honoured.push(format!("the extension {name}"));
                }
            }
        }
        Ok(())
    }

    fn take_name(&mut self, name: &ParsedName<'_>) -> Result<(), RequestError> {
        let taken = match name {
            ParsedName::DNSName(host) => GeneralName::requested_dns(host)?,
            ParsedName::RFC822Name(mailbox) => GeneralName::requested_email(mailbox)?,
            ParsedName::IPAddress(octets) => GeneralName::requested_ip(octets)?,
            other => {
                self.not_honoured.push(format!("the name {}", kind(other)));
                return Ok(());
            }
        };
        if !self.names.contains(&taken) {
            self.names.push(taken);
        }
        Ok(())
    }

    /// The names a certificate for this request gets when the request has no SubjectAltName: the
    /// CN where it is a host name, and the e-mail addresses of the subject.
    #[must_use]
    pub fn names_from_subject(&self) -> Vec<GeneralName> {
        let host = self
            .subject
            .common_name()
            .and_then(|name| match GeneralName::parse(&name) {
                Ok(found @ (GeneralName::Dns(_) | GeneralName::Ip(_))) => Some(found),
                _ => None,
            });
        let mailboxes = self
            .subject
            .email_addresses()
            .into_iter()
            .filter_map(|address| GeneralName::requested_email(&address).ok());
        host.into_iter().chain(mailboxes).collect()
    }
}

fn check_end(rest: &[u8]) -> Result<(), RequestError> {
    match rest.len() {
        0 => Ok(()),
        surplus => Err(RequestError::Malformed(format!(
            "{surplus} bytes follow it"
        ))),
    }
}

fn check_signature(parsed: &X509CertificationRequest<'_>) -> Result<(), RequestError> {
    let info = &parsed.certification_request_info;
    let unverifiable = || {
        let algorithm = algorithm_name(&parsed.signature_algorithm);
        let key = public_key::describe(info.subject_pki.raw);
        RequestError::UnverifiableSignature(format!("{algorithm} by a key of type {key}"))
    };
    let bits = match PublicKeyKind::of(info.subject_pki.raw) {
        Ok(PublicKeyKind::Rsa { bits, .. } | PublicKeyKind::RsaPss { bits }) => bits,
        _ => 0,
    };
    // Ring has no longer keys, and says only that the signature is wrong.
    if bits > 8192 {
        return Err(unverifiable());
    }
    if let Some(octets) = odd_pss_salt(&parsed.signature_algorithm) {
        let name = format!("RSA-PSS and a salt of {octets} octets");
        return Err(RequestError::UnverifiableSignature(name));
    }
    match parsed.verify_signature() {
        Ok(()) => Ok(()),
        Err(X509Error::SignatureUnsupportedAlgorithm) => Err(unverifiable()),
        Err(_) if (1..2048).contains(&bits) => {
            let algorithm = short_rsa_algorithm(&parsed.signature_algorithm);
            let key = &*info.subject_pki.subject_public_key.data;
            signature::UnparsedPublicKey::new(algorithm.ok_or_else(unverifiable)?, key)
                .verify(info.raw, &parsed.signature_value.data)
                .map_err(|_| RequestError::BadSignature)
        }
        Err(_) => Err(RequestError::BadSignature),
    }
}

// Ring takes a salt as long as the digest only, as TLS does (RFC 8446 section 4.2.3).
fn odd_pss_salt(algorithm: &AlgorithmIdentifier<'_>) -> Option<u32> {
    let parsed = SignatureAlgorithm::try_from(algorithm).ok()?;
    let SignatureAlgorithm::RSASSA_PSS(parameters) = parsed else {
        return None;
    };
    let hash = ObjectIdentifier::new(&parameters.hash_algorithm_oid().to_id_string()).ok()?;
    let digest = match hash {
        rfc5912::ID_SHA_256 => 32,
        rfc5912::ID_SHA_384 => 48,
        rfc5912::ID_SHA_512 => 64,
        _ => return None,
    };
    Some(parameters.salt_length()).filter(|salt| *salt != digest)
}

// What x509-parser asks of ring refuses RSA keys under 2048 bits, but for SHA-1.
fn short_rsa_algorithm(
    algorithm: &AlgorithmIdentifier<'_>,
) -> Option<&'static signature::RsaParameters> {
    match ObjectIdentifier::new(&algorithm.algorithm.to_id_string()).ok()? {
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => {
            Some(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY)
        }
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => {
            Some(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
        }
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => {
            Some(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY)
        }
        _ => None,
    }
}

fn check_owner(
    asked: &[u8],
    private_key: Option<&[u8]>,
    what: &'static str,
) -> Result<(), RequestError> {
    match private_key {
        Some(owned) if owned != asked => Err(RequestError::ForeignKey(what)),
        _ => Ok(()),
    }
}

fn check_strength(subject_public_key_info: &[u8], strength: Strength) -> Result<(), RequestError> {
    let least = match strength {
        Strength::Current => 2048,
        Strength::Legacy => 1024,
    };
    match PublicKeyKind::of(subject_public_key_info) {
        Ok(PublicKeyKind::Rsa { bits, .. }) if bits < least => Err(RequestError::ShortKey { bits }),
        _ => Ok(()),
    }
}

// The digests of RFC 3279 and RFC 5758 that no longer prove anything.
fn check_digest(
    algorithm: &AlgorithmIdentifier<'_>,
    strength: Strength,
) -> Result<(), RequestError> {
    let name = algorithm_name(algorithm);
    let broken = name.contains("md2") || name.contains("md4") || name.contains("md5");
    let legacy = name.contains("sha1") || name.contains("SHA1");
    if broken || (legacy && strength == Strength::Current) {
        return Err(RequestError::BrokenDigest(name));
    }
    Ok(())
}

fn algorithm_name(algorithm: &AlgorithmIdentifier<'_>) -> String {
    object_name(&algorithm.algorithm.to_id_string())
}

// The name RFCs give an object identifier, or its number.
fn object_name(dotted: &str) -> String {
    let name = ObjectIdentifier::new(dotted).map_or_else(|_| dotted.into(), oid_name);
    let prefixes = ["id-ce-", "id-pe-", "pkcs-9-at-"];
    let short = prefixes.iter().find_map(|start| name.strip_prefix(start));
    short.unwrap_or(&name).to_owned()
}

fn kind(name: &ParsedName<'_>) -> String {
    match name {
        ParsedName::URI(uri) => format!("URI:{}", uri.escape_debug()),
        ParsedName::DirectoryName(_) => "of kind directoryName".into(),
        ParsedName::RegisteredID(oid) => format!("of kind registeredID {}", oid.to_id_string()),
        ParsedName::OtherName(oid, _) => format!("of kind otherName {}", oid.to_id_string()),
        _ => "of an unknown kind".into(),
    }
}
