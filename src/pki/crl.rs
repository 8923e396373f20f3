//! Certificate revocation lists as mailca writes them: version 2, with number and authority key
//! identifier (RFC 5280 section 5).

use std::collections::{HashMap, hash_map};

use der::asn1::{Any, AnyRef, Uint, UintRef};
use der::{Decode, Encode, Sequence, Tag};
use time::OffsetDateTime;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use super::certificate::Certificate;
use super::extensions::{authority_key_identifier, extension};
use super::key::{Digest, PrivateKey};
use super::revocation::{Reason, Revocation};
use super::serial::SerialNumber;
use super::tbs::{WriteError, encode_time, signed};

/// The entries of a CRL, encoded one by one: a million take 40 MB.
#[derive(Debug, Default)]
pub struct Entries {
    der: Vec<u8>,
    count: usize,
    /// the extensions of entries that say nothing but a reason: a million have few
    by_reason: HashMap<Reason, Option<Any>>,
}

#[derive(Sequence)]
struct Entry<'a> {
    user_certificate: UintRef<'a>,
    revocation_date: Time,
    crl_entry_extensions: Option<AnyRef<'a>>,
}

impl Entries {
    /// Adds the certificate whose serial number these big-endian octets make.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn push(&mut self, serial: &[u8], revocation: &Revocation) -> Result<(), WriteError> {
        let of_its_own;
        let extensions = if revocation.says_only_why() {
            match self.by_reason.entry(revocation.reason) {
                hash_map::Entry::Occupied(known) => known.into_mut(),
                hash_map::Entry::Vacant(new) => new.insert(entry_extensions(revocation)?),
            }
        } else {
            of_its_own = entry_extensions(revocation)?;
            &of_its_own
        };
        let entry = Entry {
            user_certificate: UintRef::new(serial)?,
            revocation_date: encode_time(revocation.date)?,
            crl_entry_extensions: extensions.as_ref().map(Into::into),
        };
        entry.encode_to_vec(&mut self.der)?;
        self.count += 1;
        Ok(())
    }

    /// Adds an entry of another CRL of the same CA as it stands there.
    pub fn push_encoded(&mut self, der: &[u8]) {
        self.der.extend_from_slice(der);
        self.count += 1;
    }

    /// Adds those of another list behind its own.
    pub fn append(&mut self, other: &Self) {
        self.der.extend_from_slice(&other.der);
        self.count += other.count;
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

fn entry_extensions(revocation: &Revocation) -> der::Result<Option<Any>> {
    let extensions = revocation.entry_extensions()?;
    extensions.map(|all| Any::encode_from(&all)).transpose()
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
