//! Signatures over requests, certificates and revocation lists: how each kind is verified.

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::UintRef;
use der::{Decode, Sequence};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use pkcs1::RsaPublicKeyRef;
use ring::{digest, signature};
use rsa::sha2::digest::const_oid::AssociatedOid;
use rsa::sha2::digest::{Digest, FixedOutputReset};
use rsa::sha2::{Sha256, Sha384, Sha512};
use rsa::{BoxedUint, Pkcs1v15Sign};
use sha1::Sha1;
use thiserror::Error;
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::public_key::{
    self, BadKey, Curve, ECDSA_WITH_SHA1, MD4_WITH_RSA, NotAPublicKey, PublicKeyKind, Strength,
    oid_name,
};

#[cfg(test)]
mod tests;

/// Why a signature does not count.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// The key did not make it, or what was signed has changed.
    #[error("the signature does not match its public key")]
    Mismatch,
    /// It may be right or wrong.
    #[error("its signature is made with {0}, which mailca cannot verify")]
    Unverifiable(String),
    /// MD5 or SHA-1, with which a signature proves nothing any more.
    #[error("its signature is made with {0}, which is broken")]
    Broken(String),
    /// The key's owner bound it to other parameters (RFC 4055 section 3.3).
    #[error("its signature is made with {made}, but its key is for {permitted} only")]
    NotPermitted {
        /// how it was made
        made: String,
        /// what the key is for
        permitted: String,
    },
    /// By this key no signature counts.
    #[error("{0}")]
    Key(#[from] BadKey),
}

/// Verifies a signature over `message` by the key of `spki_der` (SubjectPublicKeyInfo, DER).
/// `algorithm` is the AlgorithmIdentifier that stands before it (RFC 5280 section 4.1.1.2), DER.
///
/// # Errors
/// When the signature is wrong, of a kind that cannot be verified, or weaker than `strength`.
pub fn verify(
    algorithm: &[u8],
    message: &[u8],
    signature: &[u8],
    spki_der: &[u8],
    strength: Strength,
) -> Result<(), SignatureError> {
    let kind = public_key::check(spki_der, strength)?;
    let info = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| NOT_A_KEY)?;
    let algorithm = AlgorithmIdentifierRef::from_der(algorithm)
        .map_err(|_| SignatureError::Unverifiable("an unreadable algorithm".into()))?;
    let scheme = Scheme::of(&algorithm)?;
    let name = || match scheme {
        Scheme::Pss(pss) => pss.to_string(),
        _ => oid_name(algorithm.oid),
    };
    if scheme.has_sha1() && strength == Strength::Current {
        return Err(SignatureError::Broken(name()));
    }
    if let (Scheme::Pss(made), PublicKeyKind::RsaPss { .. }) = (scheme, kind)
        && info.algorithm.parameters.is_some()
    {
        let permitted = Pss::of(&info.algorithm).map_err(|_| NOT_A_KEY)?;
        if !permitted.permits(made) {
            return Err(SignatureError::NotPermitted {
                made: made.to_string(),
                permitted: permitted.to_string(),
            });
        }
    }
    let signed = Signed {
        message,
        signature,
        key: info.subject_public_key.raw_bytes(),
    };
    match signed.is_by(kind, scheme) {
        Some(true) => Ok(()),
        Some(false) => Err(SignatureError::Mismatch),
        None => {
            let what = format!("{} by a key of type {kind}", name());
            Err(SignatureError::Unverifiable(what))
        }
    }
}

/// Whether the P-521 key with these bits made an ECDSA signature.
pub(super) fn is_by_p521(hash: Hash, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let signed = Signed {
        message,
        signature,
        key,
    };
    let kind = PublicKeyKind::Ec(Curve::P521);
    signed.is_by(kind, Scheme::Ecdsa(hash)) == Some(true)
}

const NOT_A_KEY: BadKey = BadKey::Unreadable(NotAPublicKey);

/// How something was signed.
#[derive(Clone, Copy)]
enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2)
    Pkcs1(Hash),
    /// RSASSA-PSS (RFC 8017 section 8.1)
    Pss(Pss),
    /// ECDSA (RFC 5480)
    Ecdsa(Hash),
    /// Ed25519 (RFC 8410)
    Ed25519,
}

/// The digest of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// RSASSA-PSS-params (RFC 4055 section 3.1).
#[derive(Clone, Copy)]
struct Pss {
    hash: Hash,
    /// the hash of MGF1
    mask: Hash,
    /// salt in octets; of a key, the least it permits
    salt: usize,
}

// Not in the database: what OpenSSL calls sha1WithRSA, of the OIW.
const SHA1_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.29");

impl Scheme {
    fn of(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<Self, SignatureError> {
        Ok(match algorithm.oid {
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION => Self::Pkcs1(Hash::Sha256),
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION => Self::Pkcs1(Hash::Sha384),
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION => Self::Pkcs1(Hash::Sha512),
            rfc5912::SHA_1_WITH_RSA_ENCRYPTION | SHA1_WITH_RSA => Self::Pkcs1(Hash::Sha1),
            rfc5912::ECDSA_WITH_SHA_256 => Self::Ecdsa(Hash::Sha256),
            rfc5912::ECDSA_WITH_SHA_384 => Self::Ecdsa(Hash::Sha384),
            rfc5912::ECDSA_WITH_SHA_512 => Self::Ecdsa(Hash::Sha512),
            ECDSA_WITH_SHA1 => Self::Ecdsa(Hash::Sha1),
            rfc5912::ID_RSASSA_PSS => Self::Pss(Pss::of(algorithm)?),
            rfc8410::ID_ED_25519 => Self::Ed25519,
            oid @ (rfc5912::MD_2_WITH_RSA_ENCRYPTION
            | MD4_WITH_RSA
            | rfc5912::MD_5_WITH_RSA_ENCRYPTION) => {
                return Err(SignatureError::Broken(oid_name(oid)));
            }
            other => return Err(SignatureError::Unverifiable(oid_name(other))),
        })
    }

    fn has_sha1(self) -> bool {
        match self {
            Self::Pkcs1(hash) | Self::Ecdsa(hash) => hash == Hash::Sha1,
            Self::Pss(pss) => pss.hash == Hash::Sha1 || pss.mask == Hash::Sha1,
            Self::Ed25519 => false,
        }
    }
}

impl Hash {
    fn of(oid: ObjectIdentifier) -> Result<Self, SignatureError> {
        let name = || format!("RSA-PSS ({})", oid_name(oid));
        match oid {
            rfc5912::ID_SHA_1 => Ok(Self::Sha1),
            rfc5912::ID_SHA_256 => Ok(Self::Sha256),
            rfc5912::ID_SHA_384 => Ok(Self::Sha384),
            rfc5912::ID_SHA_512 => Ok(Self::Sha512),
            rfc5912::ID_MD_5 => Err(SignatureError::Broken(name())),
            _ => Err(SignatureError::Unverifiable(name())),
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", optional = "true")]
    hash: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "1", optional = "true")]
    mask: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "2", optional = "true")]
    salt: Option<u16>,
    #[asn1(context_specific = "3", optional = "true")]
    trailer: Option<u8>,
}

impl Pss {
    fn of(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<Self, SignatureError> {
        let unreadable = || SignatureError::Unverifiable("RSA-PSS of unreadable parameters".into());
        let parameters = algorithm.parameters.ok_or_else(unreadable)?;
        let parameters: PssParameters<'_> = parameters.decode_as().map_err(|_| unreadable())?;
        let mask = match parameters.mask {
            None => None,
            Some(mask) if mask.oid == rfc5912::ID_MGF_1 => {
                let hash = mask.parameters.ok_or_else(unreadable)?;
                Some(hash.decode_as().map_err(|_| unreadable())?)
            }
            Some(_) => return Err(unreadable()),
        };
        if parameters.trailer.is_some_and(|trailer| trailer != 1) {
            return Err(unreadable());
        }
        let hash = |named: Option<AlgorithmIdentifierRef<'_>>| {
            named.map_or(Ok(Hash::Sha1), |named| Hash::of(named.oid))
        };
        Ok(Self {
            hash: hash(parameters.hash)?,
            mask: hash(mask)?,
            salt: parameters.salt.map_or(20, usize::from),
        })
    }

    fn permits(self, made: Self) -> bool {
        self.hash == made.hash && self.mask == made.mask && self.salt <= made.salt
    }
}

impl fmt::Display for Pss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RSA-PSS ({}, ", self.hash)?;
        if self.mask != self.hash {
            write!(f, "MGF1 with {}, ", self.mask)?;
        }
        write!(f, "salt of {} octets)", self.salt)
    }
}

/// A signature, what it is over, and the bits of the key that is said to have made it.
struct Signed<'a> {
    message: &'a [u8],
    signature: &'a [u8],
    key: &'a [u8],
}

impl Signed<'_> {
    // Whether a key of this kind made it in this way; `None` where that cannot be told. Ring is the
    // fastest, but reads no unusual keys.
    fn is_by(&self, kind: PublicKeyKind, scheme: Scheme) -> Option<bool> {
        use ::{p256::ecdsa as p256, p384::ecdsa as p384, p521::ecdsa as p521};
        use Curve::{P256, P384, P521};
        use Hash::{Sha256, Sha384, Sha512};
        use PublicKeyKind::{Ec, Ed25519, Rsa, RsaPss};
        use Scheme::{Ecdsa, Pkcs1};
        let is_usual = match kind {
            Rsa { bits, exponent } | RsaPss { bits, exponent } => {
                (2048..=8192).contains(&bits) && exponent < 1 << 33
            }
            _ => self.key.first() == Some(&UNCOMPRESSED),
        };
        Some(match (kind, scheme) {
            (Ed25519, Scheme::Ed25519) => self.ring(&signature::ED25519),
            (Ec(P256), Ecdsa(Sha256)) if is_usual => self.ring(&signature::ECDSA_P256_SHA256_ASN1),
            (Ec(P256), Ecdsa(Sha384)) if is_usual => self.ring(&signature::ECDSA_P256_SHA384_ASN1),
            (Ec(P384), Ecdsa(Sha256)) if is_usual => self.ring(&signature::ECDSA_P384_SHA256_ASN1),
            (Ec(P384), Ecdsa(Sha384)) if is_usual => self.ring(&signature::ECDSA_P384_SHA384_ASN1),
            (Ec(P256), Ecdsa(hash)) => self.ecdsa::<p256::VerifyingKey, p256::DerSignature>(hash),
            (Ec(P384), Ecdsa(hash)) => self.ecdsa::<p384::VerifyingKey, p384::DerSignature>(hash),
            (Ec(P521), Ecdsa(hash)) => self.ecdsa::<p521::VerifyingKey, p521::DerSignature>(hash),
            (Rsa { .. }, Pkcs1(hash)) if is_usual => self.ring(match hash {
                Hash::Sha1 => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            }),
            (Rsa { bits: ..=8192, .. }, Pkcs1(hash)) => self.rsa(hash, None),
            (Rsa { bits: ..=8192, .. } | RsaPss { bits: ..=8192, .. }, Scheme::Pss(pss)) => {
                match (pss.hash, pss.mask, pss.salt) {
                    (Sha256, Sha256, 32) if is_usual => {
                        self.ring(&signature::RSA_PSS_2048_8192_SHA256)
                    }
                    (Sha384, Sha384, 48) if is_usual => {
                        self.ring(&signature::RSA_PSS_2048_8192_SHA384)
                    }
                    (Sha512, Sha512, 64) if is_usual => {
                        self.ring(&signature::RSA_PSS_2048_8192_SHA512)
                    }
                    (hash, mask, salt) if hash == mask => self.rsa(hash, Some(salt)),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    fn ring(&self, algorithm: &'static dyn signature::VerificationAlgorithm) -> bool {
        let key = signature::UnparsedPublicKey::new(algorithm, self.key);
        key.verify(self.message, self.signature).is_ok()
    }

    fn ecdsa<K, S>(&self, hash: Hash) -> bool
    where
        K: for<'a> TryFrom<&'a [u8]> + PrehashVerifier<S>,
        S: for<'a> TryFrom<&'a [u8]>,
    {
        let hashed = digest::digest(hash.algorithm(), self.message);
        match (K::try_from(self.key), S::try_from(self.signature)) {
            (Ok(key), Ok(signature)) => key.verify_prehash(hashed.as_ref(), &signature).is_ok(),
            _ => false,
        }
    }

    fn rsa(&self, hash: Hash, salt: Option<usize>) -> bool {
        let Ok(key) = RsaPublicKeyRef::from_der(self.key) else {
            return false;
        };
        let number = |number: UintRef<'_>| BoxedUint::from_be_slice_vartime(number.as_bytes());
        // Checked already; and what the crate checks would refuse long exponents.
        let key = rsa::PublicKey::new_unchecked(number(key.modulus), number(key.public_exponent));
        match hash {
            Hash::Sha1 => self.rsa_with::<Sha1>(&key, salt),
            Hash::Sha256 => self.rsa_with::<Sha256>(&key, salt),
            Hash::Sha384 => self.rsa_with::<Sha384>(&key, salt),
            Hash::Sha512 => self.rsa_with::<Sha512>(&key, salt),
        }
    }

    fn rsa_with<D>(&self, key: &rsa::PublicKey, salt: Option<usize>) -> bool
    where
        D: Digest + AssociatedOid + FixedOutputReset,
    {
        let hashed = D::digest(self.message);
        let result = match salt {
            None => key.verify(Pkcs1v15Sign::new::<D>(), &hashed, self.signature),
            Some(salt) => {
                let scheme = rsa::Pss::<D>::new_with_salt(salt);
                key.verify(scheme, &hashed, self.signature)
            }
        };
        result.is_ok()
    }
}

// The first octet of a point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
