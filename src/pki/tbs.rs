//! What is signed, and the one writer of everything signed: the names, keys and issuers go in
//! as the bytes they came in, so nothing of them can change on the way.

use der::asn1::{AnyRef, BitString, SetOfVec, UintRef};
use der::{Decode, Encode, Sequence};
use thiserror::Error;
use time::OffsetDateTime;
use x509_cert::ext::Extension;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::{Time, Validity};

use super::key::{Digest, KeyError, PrivateKey};
use super::name::Name;
use super::serial::SerialNumber;

#[cfg(test)]
mod tests;

/// Why something could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A part cannot be encoded.
    #[error("the certificate cannot be encoded ({0})")]
    Der(#[from] der::Error),
    /// The key cannot sign it.
    #[error("{0}")]
    Key(#[from] KeyError),
}

/// The content of a certificate before it is signed (TBSCertificate, RFC 5280 section 4.1).
#[derive(Debug)]
pub struct TbsCertificate<'a> {
    /// serialNumber
    pub serial: &'a SerialNumber,
    /// issuer: the CA certificate's subject
    pub issuer: &'a Name,
    /// notBefore, to the second
    pub not_before: OffsetDateTime,
    /// notAfter, to the second
    pub not_after: OffsetDateTime,
    /// subject
    pub subject: &'a Name,
    /// subjectPublicKeyInfo, DER
    pub subject_public_key_info: &'a [u8],
    /// extensions, in their order
    pub extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct EncodedTbsCertificate<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: UintRef<'a>,
    signature: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    subject_public_key_info: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

impl TbsCertificate<'_> {
    /// Signs it and returns the certificate, DER, version 3.
    ///
    /// # Errors
    /// When a part cannot be encoded or the key cannot sign.
    pub fn sign(self, key: &PrivateKey, digest: Digest) -> Result<Vec<u8>, WriteError> {
        let content = EncodedTbsCertificate {
            version: 2,
            serial_number: UintRef::new(self.serial.as_be_bytes())?,
            signature: key.signature_algorithm(digest),
            issuer: AnyRef::from_der(self.issuer.as_der())?,
            validity: Validity::new(encode_time(self.not_before)?, encode_time(self.not_after)?),
            subject: AnyRef::from_der(self.subject.as_der())?,
            subject_public_key_info: AnyRef::from_der(self.subject_public_key_info)?,
            extensions: self.extensions,
        };
        signed(&content.to_der()?, key, digest)
    }
}

#[derive(Sequence)]
struct CertificationRequestInfo<'a> {
    version: u8,
    subject: AnyRef<'a>,
    subject_public_key_info: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    attributes: SetOfVec<x509_cert::attr::Attribute>,
}

/// Writes and signs a PKCS#10 request (RFC 2986), DER, for `subject` with the key that signs it.
///
/// # Errors
/// When a part cannot be encoded or the key cannot sign.
pub fn certification_request(
    subject: &Name,
    extensions: &Vec<Extension>,
    key: &PrivateKey,
) -> Result<Vec<u8>, WriteError> {
    let mut attributes = SetOfVec::new();
    if !extensions.is_empty() {
        attributes.insert(x509_cert::attr::Attribute {
            oid: const_oid::db::rfc5912::ID_EXTENSION_REQ,
            values: SetOfVec::try_from([der::asn1::Any::encode_from(extensions)?])?,
        })?;
    }
    let content = CertificationRequestInfo {
        version: 0,
        subject: AnyRef::from_der(subject.as_der())?,
        subject_public_key_info: AnyRef::from_der(key.subject_public_key_info())?,
        attributes,
    };
    signed(&content.to_der()?, key, key.digest_for(None))
}

#[derive(Sequence)]
struct Signed<'a> {
    content: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

pub(super) fn signed(
    content: &[u8],
    key: &PrivateKey,
    digest: Digest,
) -> Result<Vec<u8>, WriteError> {
    let signed = Signed {
        content: AnyRef::from_der(content)?,
        algorithm: key.signature_algorithm(digest),
        signature: BitString::from_bytes(&key.sign(digest, content)?.bytes)?,
    };
    Ok(signed.to_der()?)
}

// UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5).
pub(super) fn encode_time(time: OffsetDateTime) -> der::Result<Time> {
    Ok(Time::from(date_time(time)?))
}

pub(super) fn date_time(time: OffsetDateTime) -> der::Result<der::DateTime> {
    let time = time.to_offset(time::UtcOffset::UTC);
    der::DateTime::new(
        u16::try_from(time.year()).unwrap_or_default(),
        time.month().into(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
}
