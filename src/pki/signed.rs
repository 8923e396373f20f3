//! What is signed: certificates and CRLs (RFC 5280 sections 4.1.1 and 5.1.1), taken apart and
//! checked.

use der::asn1::{AnyRef, BitStringRef};
use der::{Encode, Reader, SliceReader};
use thiserror::Error;

use super::public_key::Strength;
use super::signature::{self, SignatureError};

/// Why the signature of a certificate or CRL does not count.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignedError {
    /// The key did not make it, or what is signed was changed.
    #[error("the signature does not match the key of {0}")]
    Wrong(String),
    /// It is of a kind that is too weak or unknown.
    #[error("{0}")]
    Signature(SignatureError),
}

/// The parts of what is signed.
pub(super) struct SignedParts<'a> {
    /// what the signature is over
    pub content: &'a [u8],
    /// the AlgorithmIdentifier
    pub algorithm: AnyRef<'a>,
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
            algorithm,
            signature: signature.as_bytes().unwrap_or_default(),
        })
    }
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
    strength: Strength,
) -> Result<(), SignedError> {
    let wrong = || SignedError::Wrong(signer.into());
    let parts = SignedParts::of(document).map_err(|_| wrong())?;
    let algorithm = parts.algorithm.to_der().map_err(|_| wrong())?;
    signature::verify(
        &algorithm,
        parts.content,
        parts.signature,
        subject_public_key_info,
        strength,
    )
    .map_err(|error| match error {
        SignatureError::Mismatch => wrong(),
        other => SignedError::Signature(other),
    })
}
