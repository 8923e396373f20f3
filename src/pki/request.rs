//! Requests for a certificate: PKCS#10 (RFC 2986), and the book's self-signed certificate that
//! stands beside its private key.

use std::collections::HashSet;
use std::fmt::Display;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, Tagged};
use thiserror::Error;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};
use x509_parser::asn1_rs::Oid;
use x509_parser::extensions::{GeneralName as ParsedName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::extensions;
use super::general_name::{self, GeneralName, GeneralNameError};
use super::key::KeyError;
use super::name::{self, Name, NameError};
use super::pem_text;
use super::profile::Profile;
use super::public_key::{self, BadKey, oid_name};
use super::signature::{self, SignatureError};

pub use super::public_key::Strength;

#[cfg(test)]
mod tests;

/// The largest request in bytes of DER. OpenSSL refuses peers whose certificates have 100 KiB
/// together (SSL_CTX_set_max_cert_list(3)).
const LARGEST: usize = 1 << 16;

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
    /// The bytes are not a request, or ask for something twice.
    #[error("its request cannot be read ({0})")]
    Malformed(String),
    /// A certificate of that size, which no mail server would accept.
    #[error("its request has {0} bytes, but {LARGEST} are the most that is signed")]
    TooLarge(usize),
    /// The proof of possession is none.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// Its public key is none, or too weak.
    #[error("{0}")]
    PublicKey(#[from] BadKey),
    /// Its subject cannot be read.
    #[error("{0}")]
    Subject(#[from] NameError),
    /// The private key beside it cannot be read.
    #[error("{0}")]
    Key(#[from] KeyError),
}

impl RequestError {
    fn malformed(problem: impl Display) -> Self {
        Self::Malformed(problem.to_string())
    }
}

impl From<der::Error> for RequestError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// What somebody asks a certificate for; possession of the private key is proved.
#[derive(Clone, Debug)]
pub struct Request {
    /// subject
    pub subject: Name,
    /// subjectPublicKeyInfo, DER
    pub subject_public_key_info: Vec<u8>,
    /// the names of its SubjectAltName, of the kinds that mailca certifies, unless one of them
    /// cannot be certified
    pub names: Result<Vec<GeneralName>, GeneralNameError>,
    /// whether it has a SubjectAltName at all
    pub has_subject_alt_name: bool,
    usage: Option<KeyUsage>,
    purposes: Vec<String>,
    others: Vec<String>,
}

// CertificationRequest, its CertificationRequestInfo and an Attribute (RFC 2986 section 4); a SET
// has whatever order its maker gave it.
#[derive(Sequence)]
struct Encoded<'a> {
    content: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

impl Encoded<'_> {
    // The outer error is that it cannot be looked at.
    fn verify(
        &self,
        public_key: &[u8],
        strength: Strength,
    ) -> der::Result<Result<(), SignatureError>> {
        let algorithm = self.algorithm.to_der()?;
        let content = self.content.to_der()?;
        let signature = self.signature.as_bytes().unwrap_or_default();
        Ok(signature::verify(
            &algorithm, &content, signature, public_key, strength,
        ))
    }
}

#[derive(Sequence)]
struct Content<'a> {
    version: u8,
    subject: AnyRef<'a>,
    subject_public_key_info: AnyRef<'a>,
    // Not optional, but left out by some who have none.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    attributes: Option<Vec<Attribute<'a>>>,
}

impl Content<'_> {
    fn check_version(&self) -> Result<(), RequestError> {
        match self.version {
            0 => Ok(()),
            other => Err(RequestError::malformed(format!("its version is {other}"))),
        }
    }
}

#[derive(Sequence)]
struct Attribute<'a> {
    oid: AnyRef<'a>,
    values: AnyRef<'a>,
}

impl Request {
    /// A request of somebody whose possession of the private key is known.
    #[must_use]
    pub fn new(subject: Name, subject_public_key_info: Vec<u8>, names: Vec<GeneralName>) -> Self {
        Self {
            subject,
            subject_public_key_info,
            has_subject_alt_name: !names.is_empty(),
            names: Ok(names),
            usage: None,
            purposes: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Reads a PKCS#10 request for somebody who wants to look at it, whatever it proves; with it,
    /// what is wrong with its signature.
    ///
    /// # Errors
    /// When it is none.
    pub fn inspect(der: &[u8]) -> Result<(Self, Option<SignatureError>), RequestError> {
        check_size(der)?;
        let encoded = Encoded::from_der(der)?;
        let content: Content<'_> = encoded.content.decode_as()?;
        content.check_version()?;
        let request = Self::of_content(&content)?;
        let proof = encoded.verify(&request.subject_public_key_info, Strength::Legacy)?;
        Ok((request, proof.err()))
    }

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
        match pem_text::blocks(bytes) {
            Some(blocks) => {
                let find = |labels: &[&str]| {
                    let found = blocks.iter().find(|block| labels.contains(&block.tag()));
                    found.map(pem::Pem::contents)
                };
                if let Some(der) = find(&["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]) {
                    Self::from_pkcs10(der, private_key, strength)
                } else if let Some(der) = find(&["CERTIFICATE", "X509 CERTIFICATE"]) {
                    Self::from_certificate(der, private_key, strength)
                } else {
                    Err(RequestError::None)
                }
            }
            None if bytes.first() == Some(&0x30) => Self::from_pkcs10(bytes, private_key, strength),
            None => Err(RequestError::None),
        }
    }

    fn from_pkcs10(
        der: &[u8],
        private_key: Option<&[u8]>,
        strength: Strength,
    ) -> Result<Self, RequestError> {
        check_size(der)?;
        let malformed = |error: der::Error| match X509Certificate::from_der(der) {
            Ok(_) => RequestError::BareCertificate,
            Err(_) => error.into(),
        };
        let mut reader = SliceReader::new(der)?;
        let encoded = Encoded::decode(&mut reader).map_err(malformed)?;
        check_end(usize::try_from(reader.remaining_len())?)?;
        let content: Content<'_> = encoded.content.decode_as().map_err(malformed)?;
        content.check_version()?;
        let public_key = content.subject_public_key_info.to_der()?;
        check_owner(&public_key, private_key, "certificate request")?;
        encoded.verify(&public_key, strength)??;
        Self::of_content(&content)
    }

    fn of_content(content: &Content<'_>) -> Result<Self, RequestError> {
        let public_key = content.subject_public_key_info.to_der()?;
        let subject = Name::from_der(&content.subject.to_der()?)?;
        let mut request = Self::new(subject, public_key, Vec::new());
        let mut wanted = None;
        for attribute in content.attributes.iter().flatten() {
            let name = object_name(&dotted(attribute.oid));
            let is_extension_request = matches!(
                attribute.oid.decode_as(),
                Ok(rfc5912::ID_EXTENSION_REQ | MICROSOFT_EXTENSION_REQ)
            );
            if !is_extension_request {
                request.others.push(format!("the attribute {name}"));
            } else if wanted.replace(attribute.values).is_some() {
                return Err(RequestError::malformed("it has two extensionRequests"));
            }
        }
        if let Some(values) = wanted {
            request.take_extensions(&extension_request(values)?)?;
        }
        Ok(request)
    }

    fn from_certificate(
        der: &[u8],
        private_key: Option<&[u8]>,
        strength: Strength,
    ) -> Result<Self, RequestError> {
        check_size(der)?;
        let (rest, parsed) = X509Certificate::from_der(der).map_err(RequestError::malformed)?;
        check_end(rest.len())?;
        let tbs = &parsed.tbs_certificate;
        if private_key.is_none() {
            return Err(RequestError::BareCertificate);
        }
        check_owner(tbs.subject_pki.raw, private_key, "certificate")?;
        public_key::check(tbs.subject_pki.raw, strength)?;
        let subject = Name::from_der(tbs.subject.as_raw())?;
        let mut request = Self::new(subject, tbs.subject_pki.raw.to_vec(), Vec::new());
        request.take_extensions(tbs.extensions())?;
        Ok(request)
    }

    fn take_extensions(&mut self, extensions: &[X509Extension<'_>]) -> Result<(), RequestError> {
        let mut seen = HashSet::new();
        for extension in extensions {
            let name = object_name(&extension.oid.to_id_string());
            if !seen.insert(&extension.oid) {
                return Err(RequestError::malformed(format!(
                    "it has two extensions {name}"
                )));
            }
            if extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME {
                self.take_names(extension)?;
            } else if self.take_extension(extension, &name).is_none() {
                self.others.push(format!("an unreadable extension {name}"));
            }
        }
        Ok(())
    }

    // `None` where it cannot be read.
    fn take_extension(&mut self, extension: &X509Extension<'_>, name: &str) -> Option<()> {
        let value = AnyRef::from_der(extension.value).ok()?;
        match extension.parsed_extension() {
            ParsedExtension::ParseError { .. } => return None,
            ParsedExtension::KeyUsage(_) => {
                self.usage = Some(KeyUsage::from_der(extension.value).ok()?);
            }
            ParsedExtension::ExtendedKeyUsage(_) => {
                let purposes = name::elements(value, Tag::Sequence).ok()?;
                self.purposes = purposes.into_iter().map(dotted).collect();
            }
            // Every certificate gets these, from its CA and from its profile.
            ParsedExtension::AuthorityKeyIdentifier(_) => {}
            ParsedExtension::BasicConstraints(basic) if !basic.ca => {}
            ParsedExtension::SubjectKeyIdentifier(wanted)
                if extensions::key_identifier(&self.subject_public_key_info)
                    .is_ok_and(|own| own == wanted.0) => {}
            ParsedExtension::BasicConstraints(_) => {
                self.others.push("basicConstraints CA:TRUE".into());
            }
            _ if extension.critical => self.others.push(format!("the critical extension {name}")),
            _ => self.others.push(format!("the extension {name}")),
        }
        Some(())
    }

    fn take_names(&mut self, extension: &X509Extension<'_>) -> Result<(), RequestError> {
        let names = match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san)
                if AnyRef::from_der(extension.value).is_ok() =>
            {
                &san.general_names
            }
            _ => return Err(RequestError::malformed("its subjectAltName is none")),
        };
        if names.is_empty() {
            return Err(RequestError::malformed("its subjectAltName has no name"));
        }
        self.has_subject_alt_name = true;
        let mut seen = HashSet::new();
        let mut taken = Vec::new();
        for name in names {
            taken.push(match name {
                ParsedName::DNSName(host) => GeneralName::requested_dns(host),
                ParsedName::RFC822Name(mailbox) => GeneralName::requested_email(mailbox),
                ParsedName::IPAddress(octets) => GeneralName::requested_ip(octets),
                // Not even UTF-8, which the checks say of it.
                ParsedName::Invalid(tag, octets) if matches!(tag.0, 1 | 2) => {
                    let text = String::from_utf8_lossy(octets);
                    match tag.0 {
                        1 => GeneralName::requested_email(&text),
                        _ => GeneralName::requested_dns(&text),
                    }
                }
                other => {
                    self.others.push(format!("the name {}", kind(other)));
                    continue;
                }
            });
        }
        self.names = taken.into_iter().collect();
        if let Ok(names) = &mut self.names {
            names.retain(|name| seen.insert(name.clone()));
        }
        Ok(())
    }

    /// What it asks besides names and will not get from this profile, in words.
    #[must_use]
    pub fn not_honoured(&self, profile: Profile) -> Vec<String> {
        let granted = extensions::key_usage(profile, &self.subject_public_key_info);
        let usages = self.usage.into_iter().flat_map(|usage| usage.0 - granted.0);
        let granted: Vec<_> = profile.purposes().iter().map(ToString::to_string).collect();
        let purposes = self.purposes.iter().filter(|one| !granted.contains(one));
        self.wishes(usages, purposes)
    }

    /// What it asks besides names, in words.
    #[must_use]
    pub fn asks_for(&self) -> Vec<String> {
        let usages = self.usage.iter().flat_map(|usage| usage.0);
        self.wishes(usages, self.purposes.iter())
    }

    fn wishes<'s>(
        &self,
        usages: impl Iterator<Item = KeyUsages>,
        purposes: impl Iterator<Item = &'s String>,
    ) -> Vec<String> {
        let usages: Vec<_> = usages.map(usage_name).collect();
        let purposes: Vec<_> = purposes.map(|one| object_name(one)).collect();
        let mut wishes = Vec::new();
        if !usages.is_empty() {
            wishes.push(format!("keyUsage {}", usages.join(", ")));
        }
        if !purposes.is_empty() {
            wishes.push(format!("extendedKeyUsage {}", purposes.join(", ")));
        }
        wishes.extend(self.others.iter().cloned());
        wishes
    }

    /// The names a certificate for this request gets when the request has no SubjectAltName: the
    /// CN where it is a host name, and the e-mail addresses of the subject.
    #[must_use]
    pub fn names_from_subject(&self) -> Vec<GeneralName> {
        let host = self.subject.common_name().and_then(|name| {
            let address = name.parse().map(GeneralName::Ip).ok();
            address.or_else(|| general_name::host_name(&name).map(GeneralName::Dns).ok())
        });
        let mailboxes = self
            .subject
            .email_addresses()
            .into_iter()
            .filter_map(|address| GeneralName::requested_email(&address).ok());
        host.into_iter().chain(mailboxes).collect()
    }
}

// szOID_CERT_EXTENSIONS, by which older Windows asks for extensions.
const MICROSOFT_EXTENSION_REQ: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.14");

// The one value that an extensionRequest has (RFC 2985 section 5.4.2).
fn extension_request(values: AnyRef<'_>) -> Result<Vec<X509Extension<'_>>, RequestError> {
    let &[list] = name::elements(values, Tag::Set)?.as_slice() else {
        return Err(RequestError::malformed("its extensionRequest is none"));
    };
    list.tag().assert_eq(Tag::Sequence)?;
    let mut extensions = Vec::new();
    let mut rest = list.value();
    while !rest.is_empty() {
        let (next, extension) = X509Extension::from_der(rest).map_err(RequestError::malformed)?;
        extensions.push(extension);
        rest = next;
    }
    Ok(extensions)
}

fn check_size(der: &[u8]) -> Result<(), RequestError> {
    match der.len() {
        0 => Err(RequestError::Malformed(pem_text::DAMAGED.into())),
        1..=LARGEST => Ok(()),
        length => Err(RequestError::TooLarge(length)),
    }
}

fn check_end(surplus: usize) -> Result<(), RequestError> {
    match surplus {
        0 => Ok(()),
        _ => Err(RequestError::malformed(format!(
            "{surplus} bytes follow it"
        ))),
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

pub(super) fn usage_name(usage: KeyUsages) -> &'static str {
    match usage {
        KeyUsages::DigitalSignature => "digitalSignature",
        KeyUsages::NonRepudiation => "nonRepudiation",
        KeyUsages::KeyEncipherment => "keyEncipherment",
        KeyUsages::DataEncipherment => "dataEncipherment",
        KeyUsages::KeyAgreement => "keyAgreement",
        KeyUsages::KeyCertSign => "keyCertSign",
        KeyUsages::CRLSign => "cRLSign",
        KeyUsages::EncipherOnly => "encipherOnly",
        KeyUsages::DecipherOnly => "decipherOnly",
    }
}

// An OBJECT IDENTIFIER as numbers; those of a UUID are too long for const-oid.
fn dotted(oid: AnyRef<'_>) -> String {
    Oid::new(oid.value().into()).to_id_string()
}

// The name RFCs give an object identifier, or its number.
pub(super) fn object_name(dotted: &str) -> String {
    let name = ObjectIdentifier::new(dotted).map_or_else(|_| dotted.into(), oid_name);
    let prefixes = ["id-ce-", "id-pe-", "id-kp-", "pkcs-9-at-"];
    let short = prefixes.iter().find_map(|start| name.strip_prefix(start));
    short.unwrap_or(&name).to_owned()
}

pub(super) fn kind(name: &ParsedName<'_>) -> String {
    match name {
        ParsedName::URI(uri) => format!("URI:{}", uri.escape_debug()),
        ParsedName::DirectoryName(_) => "of kind directoryName".into(),
        ParsedName::RegisteredID(oid) => format!("of kind registeredID {}", oid.to_id_string()),
        ParsedName::OtherName(oid, _) => format!("of kind otherName {}", oid.to_id_string()),
        ParsedName::X400Address(_) => "of kind x400Address".into(),
        ParsedName::EDIPartyName(_) => "of kind ediPartyName".into(),
        _ => "of an unknown kind".into(),
    }
}
