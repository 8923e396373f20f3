//! A certificate as it is: what mailca needs to know of it, read once, and its bytes.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc6960};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::extensions::{
    GeneralName as ParsedName, KeyUsage, ParsedExtension, X509Extension,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::extensions::key_identifier;
use super::general_name::GeneralName;
use super::hex;
use super::name::{Name, NameError};
use super::name_constraints::Bounds;
use super::pem_text;
use super::public_key::{Strength, oid_name};
use super::serial::SerialNumber;
use super::signature::SignatureError;
use super::signed::{self, SignedError};

/// Why a certificate cannot be read.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// No PEM block with a certificate, and no DER.
    #[error("it holds no certificate")]
    None,
    /// The bytes are not a certificate.
    #[error("its certificate cannot be read ({0})")]
    Malformed(String),
    /// A name in it cannot be read.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// A certificate and its fields (RFC 5280 section 4.1).
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    /// serialNumber
    pub serial: SerialNumber,
    /// issuer
    pub issuer: Name,
    /// subject
    pub subject: Name,
    /// notBefore
    pub not_before: OffsetDateTime,
    /// notAfter
    pub not_after: OffsetDateTime,
    /// subjectPublicKeyInfo, DER
    pub subject_public_key_info: Vec<u8>,
    /// SubjectKeyIdentifier, if it has one
    pub subject_key_identifier: Option<Vec<u8>>,
    /// the keyIdentifier of its AuthorityKeyIdentifier, if it has one
    pub authority_key_identifier: Option<Vec<u8>>,
    /// the names of its SubjectAltName that mailca knows the kind of
    pub names: Vec<GeneralName>,
    /// how many names of other kinds its SubjectAltName has
    pub other_names: usize,
    /// authorityCertSerialNumber of its AuthorityKeyIdentifier, if it has one: it is bound to one
    /// certificate of its issuer, and not only to the issuer's key (RFC 5280 section 4.2.1.1)
    pub authority_serial: Option<SerialNumber>,
    /// ExtendedKeyUsage; empty where it has none
    pub purposes: Vec<ObjectIdentifier>,
    /// basicConstraints says CA:TRUE
    pub is_ca: bool,
    /// keyUsage permits signing certificates, or is absent
    pub may_sign_certificates: bool,
    /// keyUsage permits signing CRLs, or is absent
    pub may_sign_crls: bool,
    /// NameConstraints: what it may certify
    pub bounds: Option<Bounds>,
    /// why verifiers accept nothing that it signs, whatever else it says
    pub fault: Option<String>,
    /// version: 1 and 2 have no extensions
    pub(super) version: u32,
    /// KeyUsage, if it has one
    pub(super) key_usage: Option<KeyUsage>,
    /// Netscape's certificate type, if it has one: whether that names TLS servers, and clients
    pub(super) netscape: Option<(bool, bool)>,
    /// what it lacks to say that it is a CA, where OpenSSL takes it for one all the same
    /// (`X509_check_ca`) if it is trusted itself; `None` where it says so, or is none
    pub tolerated: Option<&'static str>,
    /// pathLenConstraint of its basicConstraints: how many CAs may come between it and the
    /// certificate of a host
    pub path_length: Option<u32>,
    /// an extension that has a part in the validation and cannot be read, by its name
    pub(super) unreadable: Option<String>,
    /// a critical extension that has no part in the validation, by its name
    pub(super) unknown_critical: Option<String>,
}

// What RFC 5280 section 6 makes of these is done by whoever validates a chain.
const VALIDATED: [ObjectIdentifier; 6] = [
    rfc5280::ID_CE_KEY_USAGE,
    rfc5280::ID_CE_SUBJECT_ALT_NAME,
    rfc5280::ID_CE_BASIC_CONSTRAINTS,
    rfc5280::ID_CE_NAME_CONSTRAINTS,
    rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS,
    rfc5280::ID_CE_EXT_KEY_USAGE,
];

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// When the bytes are not a certificate, or more than one.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let malformed =
            |what: &dyn std::fmt::Display| CertificateError::Malformed(what.to_string());
        if der.is_empty() {
            return Err(malformed(&pem_text::DAMAGED));
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| malformed(&e))?;
        if !rest.is_empty() {
            return Err(malformed(&format!("{} bytes follow it", rest.len())));
        }
        let tbs = &parsed.tbs_certificate;
        let mut certificate = Self {
            der: der.to_vec(),
            serial: SerialNumber::from_certificate(tbs.raw_serial()),
            issuer: Name::from_der(tbs.issuer.as_raw())?,
            subject: Name::from_der(tbs.subject.as_raw())?,
            not_before: tbs.validity.not_before.to_datetime(),
            not_after: tbs.validity.not_after.to_datetime(),
            subject_public_key_info: tbs.subject_pki.raw.to_vec(),
            subject_key_identifier: None,
            authority_key_identifier: None,
            names: Vec::new(),
            other_names: 0,
            authority_serial: None,
            purposes: Vec::new(),
            is_ca: false,
            may_sign_certificates: true,
            may_sign_crls: true,
            bounds: None,
            fault: fault(tbs.extensions()),
            version: parsed.version().0 + 1,
            key_usage: None,
            netscape: None,
            tolerated: None,
            path_length: None,
            unreadable: None,
            unknown_critical: None,
        };
        for extension in tbs.extensions() {
            certificate.note_strangeness(extension);
            if oid_of(extension) == Some(rfc5280::ID_CE_NAME_CONSTRAINTS) {
                certificate.bounds = Bounds::from_der(extension.value).ok();
            }
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(basic) => {
                    certificate.is_ca = basic.ca;
                    certificate.path_length = basic.path_len_constraint;
                }
                ParsedExtension::KeyUsage(usage) => {
                    certificate.may_sign_certificates = usage.key_cert_sign();
                    certificate.may_sign_crls = usage.crl_sign();
                    certificate.key_usage = Some(*usage);
                }
                ParsedExtension::NSCertType(kinds) => {
                    certificate.netscape = Some((kinds.ssl_server(), kinds.ssl_client()));
                }
                ParsedExtension::AuthorityKeyIdentifier(issuer) => {
                    let identifier = issuer.key_identifier.as_ref();
                    certificate.authority_key_identifier = identifier.map(|it| it.0.to_vec());
                    let serial = issuer.authority_cert_serial;
                    certificate.authority_serial = serial.map(SerialNumber::from_certificate);
                }
                ParsedExtension::SubjectKeyIdentifier(identifier) => {
                    certificate.subject_key_identifier = Some(identifier.0.to_vec());
                }
                ParsedExtension::SubjectAlternativeName(san) => {
                    certificate.names = san.general_names.iter().filter_map(known_name).collect();
                    certificate.other_names = san.general_names.len() - certificate.names.len();
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    certificate.purposes = purposes(usage);
                }
                _ => {}
            }
        }
        certificate.tolerated = tolerated(&certificate, tbs.extensions());
        Ok(certificate)
    }

    fn note_strangeness(&mut self, extension: &X509Extension<'_>) {
        let oid = oid_of(extension);
        let name = || oid.map_or_else(|| extension.oid.to_id_string(), oid_name);
        let is_validated = oid.is_some_and(|oid| VALIDATED.contains(&oid));
        let is_read = !matches!(
            extension.parsed_extension(),
            ParsedExtension::ParseError { .. }
        );
        if is_validated && !is_read {
            self.unreadable = Some(name());
        }
        if extension.critical && !is_validated {
            self.unknown_critical = Some(name());
        }
    }

    /// Reads the first certificate of a PEM text, or DER.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        match pem_text::blocks(bytes) {
            Some(blocks) => {
                let block = blocks.into_iter().find(is_certificate);
                Self::from_der(block.ok_or(CertificateError::None)?.contents())
            }
            None if bytes.first() == Some(&0x30) => Self::from_der(bytes),
            None => Err(CertificateError::None),
        }
    }

    /// Reads every certificate of a PEM text, at least one, or the one that is DER.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be read.
    pub fn all_from_pem_or_der(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let blocks = pem_text::blocks(bytes).unwrap_or_default();
        let in_pem = blocks.iter().filter(|block| is_certificate(block));
        let found: Vec<_> = in_pem
            .map(|block| Self::from_der(block.contents()))
            .collect::<Result<_, _>>()?;
        if found.is_empty() {
            return Self::from_pem_or_der(bytes).map(|one| vec![one]);
        }
        Ok(found)
    }

    /// Checks that the key of `issuer` signed it. Whether `issuer` has its name and may sign
    /// certificates is another question.
    ///
    /// # Errors
    /// When the signature is wrong, or of a kind that is too weak or unknown.
    pub fn verify_signature(&self, issuer: &Self) -> Result<(), SignedError> {
        let key = &issuer.subject_public_key_info;
        signed::verify(
            &self.der,
            &issuer.subject.to_string(),
            key,
            Strength::Current,
        )
    }

    /// The same, whatever the signature is worth today.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let key = &issuer.subject_public_key_info;
        let signer = issuer.subject.to_string();
        signed::verify(&self.der, &signer, key, Strength::Legacy).is_ok()
    }

    /// Whether its AuthorityKeyIdentifier names the key of `issuer`, `None` where it names none.
    #[must_use]
    pub fn names_key_of(&self, issuer: &Self) -> Option<bool> {
        let named = self.authority_key_identifier.as_ref()?;
        let own = issuer.subject_key_identifier.clone();
        let own = own.or_else(|| key_identifier(&issuer.subject_public_key_info).ok())?;
        Some(*named == own)
    }

    /// The certificates of a PEM text after the first one, as far as they can be read.
    #[must_use]
    pub fn others_of_pem(bytes: &[u8]) -> Vec<Self> {
        let blocks = pem_text::blocks(bytes).unwrap_or_default();
        let certificates = blocks.iter().filter(|block| is_certificate(block));
        certificates
            .skip(1)
            .filter_map(|block| Self::from_der(block.contents()).ok())
            .collect()
    }

    /// The DER as it came.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// PEM, in lines of 64 characters.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_text::encode("CERTIFICATE", &self.der)
    }

    /// SHA-256 of the DER in upper-case hex with colons, as Postfix and
    /// `openssl x509 -fingerprint -sha256` have it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::fingerprint(&self.der)
    }

    /// Whether the certificate names itself as its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer.as_der() == self.subject.as_der()
    }

    /// Whether it is a CA, or taken for one.
    #[must_use]
    pub fn acts_as_ca(&self) -> bool {
        self.is_ca || self.tolerated.is_some()
    }

    /// What a CA certificate of today has and this one has not, a sentence's end each.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        let mut all: Vec<String> = self.tolerated.into_iter().map(Into::into).collect();
        if self.version > 1 && self.subject_key_identifier.is_none() {
            all.push("has no subjectKeyIdentifier".into());
        }
        if let Err(SignedError::Signature(SignatureError::Broken(algorithm))) =
            self.verify_signature(self)
        {
            all.push(format!("is signed with {algorithm}"));
        }
        if !self.serial.is_permitted() {
            all.push(format!(
                "has the serial number {}, which is none",
                self.serial
            ));
        }
        all
    }

    /// Whether `issuer` is a CA by whose name and key it says to be issued.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        let is_named = match (self.issuer.canonical(), issuer.subject.canonical()) {
            (Ok(named), Ok(own)) => named == own,
            _ => false,
        };
        let key = (
            &self.authority_key_identifier,
            &issuer.subject_key_identifier,
        );
        let is_key = !matches!(key, (Some(named), Some(own)) if named != own);
        is_named && is_key && issuer.acts_as_ca()
    }

    /// Whether verifiers accept a certificate for all of `purposes` below this CA certificate:
    /// OpenSSL takes its ExtendedKeyUsage as the limit of what is below, and anyExtendedKeyUsage
    /// as nothing in particular.
    #[must_use]
    pub fn permits_purposes(&self, purposes: &[ObjectIdentifier]) -> bool {
        let mut purposes = purposes.iter();
        self.purposes.is_empty() || purposes.all(|purpose| self.purposes.contains(purpose))
    }

    /// The name by which people call it: its first DNS name, else its CN, else its serial.
    #[must_use]
    pub fn title(&self) -> String {
        title(&self.subject, &self.names).unwrap_or_else(|| self.serial.to_string())
    }
}

fn tolerated(certificate: &Certificate, extensions: &[X509Extension<'_>]) -> Option<&'static str> {
    let mut oids = extensions.iter().map(oid_of);
    if oids.any(|oid| oid == Some(rfc5280::ID_CE_BASIC_CONSTRAINTS))
        || !certificate.is_self_issued()
    {
        return None;
    }
    let mut parsed = extensions.iter().map(X509Extension::parsed_extension);
    if certificate.version == 1 {
        Some("is of version 1, which cannot say that it is a CA")
    } else if certificate.key_usage.is_some() {
        let may = certificate.may_sign_certificates;
        may.then_some("has no basicConstraints, which say that it is a CA")
    } else if parsed.any(|it| matches!(it, ParsedExtension::NSCertType(kinds) if kinds.ssl_ca())) {
        Some("says by nsCertType only that it is a CA")
    } else {
        None
    }
}

fn is_certificate(block: &pem::Pem) -> bool {
    let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
    labels.contains(&block.tag())
}

// The extensions that OpenSSL knows where they are critical (`X509_supported_extension`), but for
// those of proxies and of routing.
const KNOWN: [ObjectIdentifier; 12] = [
    rfc5280::ID_CE_KEY_USAGE,
    rfc5280::ID_CE_SUBJECT_ALT_NAME,
    rfc5280::ID_CE_BASIC_CONSTRAINTS,
    rfc5280::ID_CE_NAME_CONSTRAINTS,
    rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS,
    rfc5280::ID_CE_CERTIFICATE_POLICIES,
    rfc5280::ID_CE_POLICY_MAPPINGS,
    rfc5280::ID_CE_POLICY_CONSTRAINTS,
    rfc5280::ID_CE_EXT_KEY_USAGE,
    rfc5280::ID_CE_INHIBIT_ANY_POLICY,
    rfc6960::ID_PKIX_OCSP_NOCHECK,
    // nsCertType
    ObjectIdentifier::new_unwrap("2.16.840.1.113730.1.1"),
];

// What a verifier has to refuse (RFC 5280 section 4.2), or can make no sense of.
fn fault(extensions: &[X509Extension<'_>]) -> Option<String> {
    let name = |extension: &X509Extension<'_>| {
        let name = oid_of(extension).map_or_else(|| extension.oid.to_id_string(), oid_name);
        name.trim_start_matches("id-ce-").to_owned()
    };
    extensions.iter().enumerate().find_map(|(at, extension)| {
        let is_known = oid_of(extension).is_some_and(|oid| KNOWN.contains(&oid));
        if extensions[..at].iter().any(|one| one.oid == extension.oid) {
            Some(format!("it has the extension {} twice", name(extension)))
        } else if extension.critical && !is_known {
            Some(format!(
                "it has the critical extension {}, which verifiers do not know",
                name(extension)
            ))
        } else if !is_read(extension) {
            Some(format!("its extension {} cannot be read", name(extension)))
        } else {
            None
        }
    })
}

// Only what limits a CA has to be understood.
fn is_read(extension: &X509Extension<'_>) -> bool {
    match oid_of(extension) {
        Some(rfc5280::ID_CE_NAME_CONSTRAINTS) => Bounds::from_der(extension.value).is_ok(),
        Some(rfc5280::ID_CE_KEY_USAGE | rfc5280::ID_CE_EXT_KEY_USAGE) => {
            extension.parsed_extension().error().is_none()
        }
        _ => true,
    }
}

fn oid_of(extension: &X509Extension<'_>) -> Option<ObjectIdentifier> {
    ObjectIdentifier::from_bytes(extension.oid.as_bytes()).ok()
}

/// The first DNS name, else the CN.
#[must_use]
pub fn title(subject: &Name, names: &[GeneralName]) -> Option<String> {
    let first_dns = names.iter().find_map(|name| match name {
        GeneralName::Dns(host) => Some(host.clone()),
        _ => None,
    });
    first_dns.or_else(|| subject.common_name())
}

pub(super) fn known_name(name: &ParsedName<'_>) -> Option<GeneralName> {
    match name {
        ParsedName::DNSName(host) => Some(GeneralName::Dns((*host).into())),
        ParsedName::RFC822Name(mailbox) => Some(GeneralName::Email((*mailbox).into())),
        ParsedName::IPAddress(octets) => GeneralName::requested_ip(octets).ok(),
        _ => None,
    }
}

fn purposes(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<ObjectIdentifier> {
    let known = [
        (usage.any, rfc5280::ANY_EXTENDED_KEY_USAGE),
        (usage.server_auth, rfc5280::ID_KP_SERVER_AUTH),
        (usage.client_auth, rfc5280::ID_KP_CLIENT_AUTH),
        (usage.code_signing, rfc5280::ID_KP_CODE_SIGNING),
        (usage.email_protection, rfc5280::ID_KP_EMAIL_PROTECTION),
        (usage.time_stamping, rfc5280::ID_KP_TIME_STAMPING),
        (usage.ocsp_signing, rfc5280::ID_KP_OCSP_SIGNING),
    ];
    let other = usage
        .other
        .iter()
        .filter_map(|oid| ObjectIdentifier::new(&oid.to_id_string()).ok());
    known
        .into_iter()
        .filter_map(|(set, oid)| set.then_some(oid))
        .chain(other)
        .collect()
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::pki::extensions;
    use crate::pki::key::{KeyType, PrivateKey};
    use crate::pki::tbs::TbsCertificate;

    // OpenSSL can make none to test with.
    #[test]
    fn an_extension_that_is_there_twice_is_a_fault() {
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let name = Name::common_name_only("CA").unwrap();
        let public = key.subject_public_key_info();
        let made = |extensions| {
            let tbs = TbsCertificate {
                serial: &"01".parse().unwrap(),
                issuer: &name,
                not_before: OffsetDateTime::UNIX_EPOCH,
                not_after: OffsetDateTime::UNIX_EPOCH + Duration::DAY,
                subject: &name,
                subject_public_key_info: public,
                extensions,
            };
            let der = tbs.sign(&key, key.digest_for(None)).unwrap();
            Certificate::from_der(&der).unwrap().fault
        };
        let mut all = extensions::of_ca(public, &["example.com".parse().unwrap()]).unwrap();
        assert_eq!(made(all.clone()), None);
        all.push(all[1].clone());
        let said = "it has the extension keyUsage twice";
        assert_eq!(made(all).as_deref(), Some(said));
    }
}
