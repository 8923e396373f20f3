//! A CA certificate that takes the place of another one, with the same key or a new one: what it
//! keeps of the old one, gains and loses.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::asn1::OctetString;
use thiserror::Error;
use x509_cert::ext::Extension;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::Certificate;
use super::extensions::{key_identifier, subject_key_identifier, what_makes_a_ca};
use super::public_key::oid_name;

#[cfg(test)]
mod tests;

/// Why a certificate is not renewed as a CA's.
#[derive(Debug, Error)]
pub enum RenewalError {
    /// It says itself that it is none.
    #[error("{0}")]
    NotCa(&'static str),
    /// A part cannot be read or encoded.
    #[error("the CA certificate cannot be renewed ({0})")]
    Der(#[from] der::Error),
}

/// The extensions of the new certificate (RFC 5280 section 4.2.1).
#[derive(Debug)]
pub struct Renewal {
    /// in their order
    pub extensions: Vec<Extension>,
    /// what the old certificate did not have, in words
    pub added: Vec<String>,
    /// what the old certificate had besides, by name
    pub dropped: Vec<String>,
}

impl Renewal {
    /// Keeps path length, key identifier and name constraints, the last byte for byte, and adds
    /// what a CA must have. Whatever else there is describes the old certificate.
    ///
    /// # Errors
    /// When the old one says that it is not a CA's, or cannot be read.
    pub fn of(old: &Certificate) -> Result<Self, RenewalError> {
        let (_, parsed) = X509Certificate::from_der(old.as_der())
            .map_err(|_| RenewalError::from(der::ErrorKind::Failed.to_error()))?;
        let (mut added, mut dropped) = (Vec::new(), Vec::new());
        let (mut basic, mut usage, mut path_length) = (None, None, None);
        let mut kept = Vec::new();
        for extension in parsed.extensions() {
            let oid =
                ObjectIdentifier::from_bytes(extension.oid.as_bytes()).map_err(der::Error::from)?;
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => {
                    if !constraints.ca {
                        return Err(RenewalError::NotCa("basicConstraints says CA:FALSE"));
                    }
                    path_length = constraints.path_len_constraint;
                    basic = Some(extension.critical);
                }
                ParsedExtension::KeyUsage(purposes) => {
                    if !purposes.key_cert_sign() {
                        let problem = "keyUsage does not include keyCertSign";
                        return Err(RenewalError::NotCa(problem));
                    }
                    usage = Some((extension.critical, purposes.crl_sign()));
                    if purposes.flags & !(KEY_CERT_SIGN | CRL_SIGN) != 0 {
                        dropped.push("the other purposes of keyUsage".into());
                    }
                }
                _ if oid == rfc5280::ID_CE_NAME_CONSTRAINTS => kept.push(Extension {
                    extn_id: oid,
                    critical: extension.critical,
                    extn_value: OctetString::new(extension.value)?,
                }),
                _ if oid == rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER => {}
                _ => dropped.push(oid_name(oid)),
            }
        }
        match basic {
            None => added.push("basicConstraints CA:TRUE".into()),
            Some(false) => added.push("basicConstraints is critical".into()),
            Some(true) => {}
        }
        match usage {
            None => added.push("keyUsage keyCertSign, cRLSign".into()),
            Some((_, false)) => added.push("keyUsage includes cRLSign".into()),
            Some((false, true)) => added.push("keyUsage is critical".into()),
            Some((true, true)) => {}
        }
        let identifier = if let Some(identifier) = &old.subject_key_identifier {
            identifier.clone()
        } else {
            added.push("subjectKeyIdentifier".into());
            key_identifier(&old.subject_public_key_info)?
        };
        let path_length = path_length.map(u8::try_from).transpose();
        let path_length = path_length.map_err(|_| der::ErrorKind::Overflow.to_error())?;
        let mut extensions = what_makes_a_ca(path_length, identifier)?;
        extensions.extend(kept);
        Ok(Self {
            extensions,
            added,
            dropped,
        })
    }

    /// The same for a new key, which has another identifier.
    ///
    /// # Errors
    /// When that is no SubjectPublicKeyInfo.
    pub fn with_key(mut self, subject_public_key_info: &[u8]) -> Result<Self, RenewalError> {
        let oid = rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER;
        let mut all = self.extensions.iter_mut();
        if let Some(identifier) = all.find(|extension| extension.extn_id == oid) {
            *identifier = subject_key_identifier(subject_public_key_info)?;
        }
        Ok(self)
    }
}

// The bits of KeyUsage as x509-parser numbers them.
const KEY_CERT_SIGN: u16 = 1 << 5;
const CRL_SIGN: u16 = 1 << 6;
