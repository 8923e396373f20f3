//! Certificate revocation lists as mailca writes them: version 2, with number and authority key
//! identifier (RFC 5280 section 5).

use der::asn1::{AnyRef, Uint, UintRef};
use der::{Decode, Encode, Sequence, Tag};
use time::OffsetDateTime;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use super::certificate::Certificate;
use super::extensions::{authority_key_identifier, extension};
use super::key::{Digest, PrivateKey};
use super::revocation::Revocation;
use super::serial::SerialNumber;
use super::tbs::{WriteError, encode_time, signed};

/// The entries of a CRL, encoded one by one: a million take 40 MB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    der: Vec<u8>,
    count: usize,
}

#[derive(Sequence)]
struct Entry<'a> {
    user_certificate: UintRef<'a>,
    revocation_date: Time,
    crl_entry_extensions: Option<Vec<Extension>>,
}

impl Entries {
    /// Adds the certificate with this serial number.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn push(
        &mut self,
        serial: &SerialNumber,
        revocation: &Revocation,
    ) -> Result<(), WriteError> {
        let entry = Entry {
            user_certificate: UintRef::new(serial.as_be_bytes())?,
            revocation_date: encode_time(revocation.date)?,
            crl_entry_extensions: revocation.entry_extensions()?,
        };
        entry.encode_to_vec(&mut self.der)?;
        self.count += 1;
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The content of a CRL before it is signed (TBSCertList, RFC 5280 section 5.1).
#[derive(Debug)]
pub struct TbsCertList<'a> {
    /// the CA that issues it
    pub issuer: &'a Certificate,
    /// cRLNumber
    pub number: &'a SerialNumber,
    /// thisUpdate, to the second
    pub this_update: OffsetDateTime,
    /// nextUpdate, to the second
    pub next_update: OffsetDateTime,
    /// revokedCertificates
    pub entries: Entries,
}

#[derive(Sequence)]
struct EncodedTbsCertList<'a> {
    version: u8,
    signature: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Time,
    revoked_certificates: Option<AnyRef<'a>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    crl_extensions: Vec<Extension>,
}

impl TbsCertList<'_> {
    /// Signs it and returns the CRL, DER.
    ///
    /// # Errors
    /// When a part cannot be encoded or the key cannot sign.
    pub fn sign(self, key: &PrivateKey, digest: Digest) -> Result<Vec<u8>, WriteError> {
        let entries = self.entries.der;
        let number = CrlNumber(Uint::new(self.number.as_be_bytes())?);
        let content = EncodedTbsCertList {
            version: 1,
            signature: key.signature_algorithm(digest),
            issuer: AnyRef::from_der(self.issuer.subject.as_der())?,
            this_update: encode_time(self.this_update)?,
            next_update: encode_time(self.next_update)?,
            // RFC 5280 section 5.1.2.6: absent, not empty.
            revoked_certificates: match entries.as_slice() {
                [] => None,
                entries => Some(AnyRef::new(Tag::Sequence, entries)?),
            },
            crl_extensions: vec![
                authority_key_identifier(self.issuer)?,
                extension(false, &number)?,
            ],
        }
        .to_der()?;
        drop(entries);
        signed(&content, key, digest)
    }
}
