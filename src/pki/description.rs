//! What stands in a certificate, for people who look at one.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::Decode;
use x509_cert::ext::pkix::KeyUsage;
use x509_parser::extensions::{DistributionPointName, GeneralName as ParsedName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate, X509Extension};

use super::certificate::{Certificate, CertificateError};
use super::request::{kind, object_name, usage_name};

/// The parts of a certificate that only people look at (RFC 5280 section 4.1), in words.
#[derive(Debug, Default)]
pub struct Description {
    /// version, from 1
    pub version: u32,
    /// signatureAlgorithm
    pub signature_algorithm: String,
    /// the names of its SubjectAltName that mailca does not certify
    pub other_names: Vec<String>,
    /// KeyUsage
    pub key_usage: Vec<&'static str>,
    /// ExtendedKeyUsage
    pub purposes: Vec<String>,
    /// the URLs of its CRLDistributionPoints
    pub crl_urls: Vec<String>,
    /// its other extensions, by name
    pub extensions: Vec<String>,
}

// What is told elsewhere.
const TOLD: [ObjectIdentifier; 3] = [
    rfc5280::ID_CE_BASIC_CONSTRAINTS,
    rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER,
    rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER,
];

impl Description {
    /// Describes a certificate.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(certificate: &Certificate) -> Result<Self, CertificateError> {
        let malformed =
            |what: &dyn std::fmt::Display| CertificateError::Malformed(what.to_string());
        let (_, parsed) =
            X509Certificate::from_der(certificate.as_der()).map_err(|error| malformed(&error))?;
        let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
        let mut description = Self {
            version: parsed.version().0.saturating_add(1),
            signature_algorithm: object_name(&algorithm),
            ..Self::default()
        };
        for extension in parsed.extensions() {
            description.take(extension);
        }
        Ok(description)
    }

    fn take(&mut self, extension: &X509Extension<'_>) {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                let known = |name: &&ParsedName<'_>| {
                    let certified = super::certificate::known_name(name);
                    certified.is_none()
                };
                self.other_names = san.general_names.iter().filter(known).map(kind).collect();
            }
            ParsedExtension::KeyUsage(_) => {
                let usage = KeyUsage::from_der(extension.value).ok();
                let usages = usage.iter().flat_map(|usage| usage.0);
                self.key_usage = usages.map(usage_name).collect();
            }
            ParsedExtension::ExtendedKeyUsage(_) => {
                let purposes = Vec::<ObjectIdentifier>::from_der(extension.value);
                let purposes = purposes.unwrap_or_default();
                self.purposes = purposes
                    .iter()
                    .map(|oid| object_name(&oid.to_string()))
                    .collect();
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                let names = points.points.iter().filter_map(|point| {
                    match point.distribution_point.as_ref()? {
                        DistributionPointName::FullName(names) => Some(names),
                        DistributionPointName::NameRelativeToCRLIssuer(_) => None,
                    }
                });
                self.crl_urls = names
                    .flatten()
                    .filter_map(|name| match name {
                        ParsedName::URI(url) => Some((*url).to_owned()),
                        _ => None,
                    })
                    .collect();
            }
            _ => self.take_other(extension),
        }
    }

    fn take_other(&mut self, extension: &X509Extension<'_>) {
        let oid = extension.oid.to_id_string();
        if TOLD.iter().any(|told| told.to_string() == oid) {
            return;
        }
        let name = object_name(&oid);
        self.extensions.push(if extension.critical {
            format!("{name} (critical)")
        } else {
            name
        });
    }
}
