//! Signatures over certificates and CRLs, checked with the algorithms of webpki.

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Reader, Sequence, SliceReader};
use rustls_pki_types::SignatureVerificationAlgorithm;
use thiserror::Error;
use webpki::ALL_VERIFICATION_ALGS;

use super::public_key::{self, PublicKeyKind, oid_name};

/// Why a signature does not count.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// The key did not make it, or what is signed was changed.
    #[error("the signature does not match the key of {0}")]
    Wrong(String),
    /// It may be right or wrong.
    #[error("the signature is {algorithm} by a key of type {key}, which mailca cannot check")]
    Unsupported {
        /// the signature's algorithm by its name
        algorithm: String,
        /// the signer's key in words
        key: String,
    },
    /// An RSA key with which a signature proves nothing any more.
    #[error("the signature is by an RSA key of {bits} bits, but 2048 are the least that is safe")]
    ShortKey {
        /// the modulus in bits
        bits: usize,
    },
}

/// The parts of what is signed: a certificate or a CRL (RFC 5280 sections 4.1.1 and 5.1.1).
pub(super) struct SignedParts<'a> {
    /// what the signature is over
    pub content: &'a [u8],
    /// the content of the AlgorithmIdentifier
    pub algorithm: &'a [u8],
    /// the signature itself
    pub signature: &'a [u8],
}

impl<'a> SignedParts<'a> {
    /// Takes DER apart.
    pub fn of(signed: &'a [u8]) -> der::Result<Self> {
        let mut outer = SliceReader::new(signed)?;
        let parts = outer.sequence(|fields| {
            let content = fields.tlv_bytes()?;
            let algorithm: AnyRef<'a> = fields.decode()?;
            let signature: BitStringRef<'a> = fields.decode()?;
            Ok::<_, der::Error>((content, algorithm, signature))
        });
        let (content, algorithm, signature) = parts?;
        outer.finish()?;
        Ok(Self {
            content,
            algorithm: algorithm.value(),
            signature: signature.as_bytes().unwrap_or_default(),
        })
    }
}

#[derive(Sequence)]
struct PublicKey<'a> {
    algorithm: AnyRef<'a>,
    bits: BitStringRef<'a>,
}

/// Checks the signature of a certificate or a CRL, DER. `signer` says whose key
/// (SubjectPublicKeyInfo, DER) it is.
///
/// # Errors
/// When the signature is wrong, or of a kind that is too weak or unknown.
pub fn verify(
    document: &[u8],
    signer: &str,
    subject_public_key_info: &[u8],
) -> Result<(), SignatureError> {
    let wrong = || SignatureError::Wrong(signer.into());
    let parts = SignedParts::of(document).map_err(|_| wrong())?;
    let (known, key) = fitting(parts.algorithm, subject_public_key_info)?;
    known
        .verify_signature(key, parts.content, parts.signature)
        .map_err(|_| wrong())
}

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

// The algorithm, and the bits of the key.
fn fitting<'a>(
    algorithm: &[u8],
    subject_public_key_info: &'a [u8],
) -> Result<(Algorithm, &'a [u8]), SignatureError> {
    if let Ok(PublicKeyKind::Rsa { bits, .. }) = PublicKeyKind::of(subject_public_key_info)
        && bits < 2048
    {
        return Err(SignatureError::ShortKey { bits });
    }
    let found = PublicKey::from_der(subject_public_key_info).ok();
    let found = found.and_then(|key| {
        let known = ALL_VERIFICATION_ALGS.iter().find(|known| {
            known.signature_alg_id().as_ref() == algorithm
                && known.public_key_alg_id().as_ref() == key.algorithm.value()
        });
        Some((*known?, key.bits.as_bytes()?))
    });
    found.ok_or_else(|| unsupported(algorithm, subject_public_key_info))
}

fn unsupported(algorithm: &[u8], subject_public_key_info: &[u8]) -> SignatureError {
    let oid =
        SliceReader::new(algorithm).and_then(|mut content| ObjectIdentifier::decode(&mut content));
    SignatureError::Unsupported {
        algorithm: oid.map_or_else(|_| "of an unreadable kind".into(), oid_name),
        key: public_key::describe(subject_public_key_info),
    }
}
