//! A CRL as it is (RFC 5280 section 5): its head read at once, its entries one by one, so that a
//! million of them take no memory but the file's own.

use std::ops::Range;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::asn1::{AnyRef, GeneralizedTime, IntRef, OctetStringRef, SequenceRef};
use der::{Decode, Encode, Reader, Sequence, TagMode, TagNumber};
use thiserror::Error;
use time::OffsetDateTime;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlReason};
use x509_cert::time::Time;

use super::certificate::Certificate;
use super::name::{Name, NameError};
use super::pem_text;
use super::public_key::{Strength, oid_name};
use super::serial::SerialNumber;
use super::signed::{self, SignedError, SignedParts};

#[cfg(test)]
mod tests;

/// Why a CRL cannot be read.
#[derive(Debug, Error)]
pub enum CertificateListError {
    /// No PEM block with a CRL, and no DER.
    #[error("it holds no CRL")]
    None,
    /// The bytes are not a CRL.
    #[error("its CRL cannot be read ({0})")]
    Malformed(#[from] der::Error),
    /// The signature's algorithm stands in two places, and they differ.
    #[error("its CRL names two different signature algorithms")]
    Algorithms,
    /// A time in it is out of range.
    #[error("its CRL has a time that does not exist")]
    Time,
    /// The issuer cannot be read.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// A CRL and the fields of its head (RFC 5280 section 5.1).
#[derive(Clone, Debug)]
pub struct CertificateList {
    der: Vec<u8>,
    entries: Range<usize>,
    /// issuer
    pub issuer: Name,
    /// thisUpdate
    pub this_update: OffsetDateTime,
    /// nextUpdate, if it names one
    pub next_update: Option<OffsetDateTime>,
    /// CRLNumber, if it has one
    pub number: Option<SerialNumber>,
    /// keyIdentifier of its AuthorityKeyIdentifier, if it has one
    pub authority_key_identifier: Option<Vec<u8>>,
    /// a critical extension that narrows down what the CRL covers, by its name: whoever does not
    /// know it must not use the CRL (RFC 5280 section 5.2)
    pub unknown_critical: Option<String>,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// it all, as it stands in the CRL
    pub der: &'a [u8],
    /// userCertificate: the serial number's octets, big-endian, without leading zeros
    pub serial: &'a [u8],
    /// revocationDate
    pub revoked_at: OffsetDateTime,
    /// reasonCode, if it has one
    pub reason: Option<CrlReason>,
    /// invalidityDate: since when the key may be in wrong hands, if it says so
    pub invalid_since: Option<OffsetDateTime>,
    /// a critical extension that mailca does not know, by its name
    pub unknown_critical: Option<String>,
}

struct TbsCertList<'a> {
    signature: &'a SequenceRef,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Option<Time>,
    revoked_certificates: Option<&'a SequenceRef>,
    extensions: Option<&'a SequenceRef>,
}

impl<'a> TbsCertList<'a> {
    fn of(content: AnyRef<'a>) -> der::Result<Self> {
        content.sequence(|fields| {
            let _version: Option<u8> = fields.decode()?;
            Ok(Self {
                signature: fields.decode()?,
                issuer: fields.decode()?,
                this_update: fields.decode()?,
                next_update: fields.decode()?,
                revoked_certificates: fields.decode()?,
                extensions: fields.context_specific(TagNumber(0), TagMode::Explicit)?,
            })
        })
    }
}

struct RevokedCertificate<'a> {
    user_certificate: IntRef<'a>,
    revocation_date: Time,
    extensions: Option<&'a SequenceRef>,
}

impl<'a> RevokedCertificate<'a> {
    fn of(element: AnyRef<'a>) -> der::Result<Self> {
        element.sequence(|fields| {
            Ok(Self {
                user_certificate: fields.decode()?,
                revocation_date: fields.decode()?,
                extensions: fields.decode()?,
            })
        })
    }
}

#[derive(Sequence)]
struct Extension<'a> {
    id: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    value: &'a OctetStringRef,
}

impl CertificateList {
    /// Reads the first CRL of a PEM text, or DER. The entries are read when they are asked for.
    ///
    /// # Errors
    /// When there is none, or its head cannot be read.
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, CertificateListError> {
        if bytes.first() == Some(&0x30) {
            return Self::from_der(bytes.to_vec());
        }
        let der = pem_text::large_block("X509 CRL", bytes);
        Self::from_der(der.ok_or(CertificateListError::None)?)
    }

    /// Reads DER.
    ///
    /// # Errors
    /// When the bytes are not a CRL, or its head cannot be read.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateListError> {
        let parts = SignedParts::of(&der)?;
        let head = TbsCertList::of(AnyRef::from_der(parts.content)?)?;
        if head.signature.as_bytes() != parts.algorithm.value() {
            return Err(CertificateListError::Algorithms);
        }
        let entries = head
            .revoked_certificates
            .map_or(&[][..], |all| all.as_bytes());
        let mut list = Self {
            entries: place(entries, &der),
            issuer: Name::from_der(&head.issuer.to_der()?)?,
            this_update: moment(head.this_update)?,
            next_update: head.next_update.map(moment).transpose()?,
            number: None,
            authority_key_identifier: None,
            unknown_critical: None,
            der: Vec::new(),
        };
        for extension in Elements::of(head.extensions) {
            list.take_extension(&extension?.1.decode_as()?)?;
        }
        list.der = der;
        Ok(list)
    }

    fn take_extension(&mut self, extension: &Extension<'_>) -> der::Result<()> {
        let value = extension.value.as_bytes();
        match extension.id {
            rfc5280::ID_CE_CRL_NUMBER => {
                let number = IntRef::from_der(value)?;
                self.number = Some(SerialNumber::from_certificate(number.as_bytes()));
            }
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                let issuer = AuthorityKeyIdentifier::from_der(value)?.key_identifier;
                self.authority_key_identifier = issuer.map(|octets| octets.as_bytes().to_vec());
            }
            other if extension.critical => {
                self.unknown_critical = Some(oid_name(other));
            }
            _ => {}
        }
        Ok(())
    }

    /// The revoked certificates in their order, each read when its turn comes.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries(Elements(&self.der[self.entries.clone()]))
    }

    /// The serial numbers of the revoked certificates, as [`Entry::serial`], in their order.
    pub fn serials(&self) -> impl Iterator<Item = Result<&[u8], CertificateListError>> {
        self.entries().0.map(|element| {
            let (serial, _) = IntRef::from_der_partial(element?.1.value())?;
            Ok(significant(serial.as_bytes()))
        })
    }

    /// The entry of a certificate, `None` where it is not revoked.
    ///
    /// # Errors
    /// When an entry before it, or its own, cannot be read.
    pub fn find(&self, serial: &SerialNumber) -> Result<Option<Entry<'_>>, CertificateListError> {
        for element in self.entries().0 {
            let (der, element) = element?;
            let raw = RevokedCertificate::of(element)?;
            if significant(raw.user_certificate.as_bytes()) == serial.as_be_bytes() {
                return Ok(Some(Entry::of(der, &raw)?));
            }
        }
        Ok(None)
    }

    /// Checks that the key of `issuer` signed it. Whether `issuer` has its name and may sign CRLs
    /// is another question.
    ///
    /// # Errors
    /// When the signature is wrong, or of a kind that is too weak or unknown.
    pub fn verify_signature(&self, issuer: &Certificate) -> Result<(), SignedError> {
        self.verify(issuer, Strength::Current)
    }

    /// The same for one that may be old: SHA-1 and RSA keys of 1024 bits count.
    ///
    /// # Errors
    /// When the signature is wrong, or of a kind that never counted or is unknown.
    pub fn verify_legacy_signature(&self, issuer: &Certificate) -> Result<(), SignedError> {
        self.verify(issuer, Strength::Legacy)
    }

    fn verify(&self, issuer: &Certificate, strength: Strength) -> Result<(), SignedError> {
        let key = &issuer.subject_public_key_info;
        signed::verify(&self.der, &issuer.subject.to_string(), key, strength)
    }

    /// The DER as it came.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }
}

impl<'a> Entry<'a> {
    fn of(der: &'a [u8], raw: &RevokedCertificate<'a>) -> Result<Self, CertificateListError> {
        let mut entry = Self {
            der,
            serial: significant(raw.user_certificate.as_bytes()),
            revoked_at: moment(raw.revocation_date)?,
            reason: None,
            invalid_since: None,
            unknown_critical: None,
        };
        for extension in Elements::of(raw.extensions) {
            let extension: Extension<'_> = extension?.1.decode_as()?;
            let value = extension.value.as_bytes();
            match extension.id {
                rfc5280::ID_CE_CRL_REASONS => entry.reason = Some(CrlReason::from_der(value)?),
                rfc5280::ID_CE_INVALIDITY_DATE => {
                    let date = GeneralizedTime::from_der(value)?;
                    entry.invalid_since = Some(moment(Time::GeneralTime(date))?);
                }
                other if extension.critical => entry.unknown_critical = Some(oid_name(other)),
                _ => {}
            }
        }
        Ok(entry)
    }

    /// The serial number of the revoked certificate.
    #[must_use]
    pub fn serial_number(&self) -> SerialNumber {
        SerialNumber::from_certificate(self.serial)
    }
}

/// The revoked certificates of a CRL, one after the other.
#[derive(Clone, Debug)]
pub struct Entries<'a>(Elements<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, CertificateListError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(Into::into).and_then(|(der, it)| {
            let raw = RevokedCertificate::of(it)?;
            Entry::of(der, &raw)
        }))
    }
}

/// A reason by the name that RFC 5280 section 5.3.1 gives it and index.txt has.
#[must_use]
pub fn reason_name(reason: CrlReason) -> &'static str {
    match reason {
        CrlReason::Unspecified => "unspecified",
        CrlReason::KeyCompromise => "keyCompromise",
        CrlReason::CaCompromise => "CACompromise",
        CrlReason::AffiliationChanged => "affiliationChanged",
        CrlReason::Superseded => "superseded",
        CrlReason::CessationOfOperation => "cessationOfOperation",
        CrlReason::CertificateHold => "certificateHold",
        CrlReason::RemoveFromCRL => "removeFromCRL",
        CrlReason::PrivilegeWithdrawn => "privilegeWithdrawn",
        CrlReason::AaCompromise => "AACompromise",
    }
}

// The members of a SEQUENCE OF, each with its octets, up to the first that cannot be read.
#[derive(Clone, Debug)]
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn of(sequence: Option<&'a SequenceRef>) -> Self {
        Self(sequence.map_or(&[], |all| all.as_bytes()))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = der::Result<(&'a [u8], AnyRef<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let all = self.0;
        if all.is_empty() {
            return None;
        }
        let read = AnyRef::from_der_partial(all);
        self.0 = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(element, rest)| (&all[..all.len() - rest.len()], element)))
    }
}

fn significant(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    &octets[zeros..]
}

fn moment(time: Time) -> Result<OffsetDateTime, CertificateListError> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
    let found = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    found.ok_or(CertificateListError::Time)
}

// Where a part that was read lies in what it was read from.
fn place(part: &[u8], whole: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}
