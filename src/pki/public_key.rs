//! Public keys: what kind they are, how they are described and told apart.

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::{DB, rfc5912, rfc8410};
use der::Decode;
use der::asn1::{AnyRef, UintRef};
use pkcs1::RsaPublicKeyRef;
use thiserror::Error;
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::hex;

#[cfg(test)]
mod tests;

/// An elliptic curve, as a key names it (RFC 5480 2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256
    P256,
    /// NIST P-384
    P384,
    /// NIST P-521
    P521,
    /// any other named curve
    Other(ObjectIdentifier),
    /// spelt out in numbers, or not named at all
    Unnamed,
}

impl Curve {
    pub(super) fn named_by(parameters: Option<AnyRef<'_>>) -> Self {
        match parameters.and_then(|name| name.decode_as().ok()) {
            Some(rfc5912::SECP_256_R_1) => Self::P256,
            Some(rfc5912::SECP_384_R_1) => Self::P384,
            Some(rfc5912::SECP_521_R_1) => Self::P521,
            Some(other) => Self::Other(other),
            None => Self::Unnamed,
        }
    }
}

/// Kind and size of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// RSA for any use
    Rsa {
        /// size of the modulus in bits
        bits: usize,
        /// the public exponent; `u64::MAX` stands for all that are longer
        exponent: u64,
    },
    /// RSA bound to PSS signatures (RFC 4055)
    RsaPss {
        /// size of the modulus in bits, 0 where it was not looked for
        bits: usize,
        /// the public exponent, as above
        exponent: u64,
    },
    /// EC
    Ec(Curve),
    /// Ed25519
    Ed25519,
    /// Ed448
    Ed448,
    /// DSA
    Dsa,
    /// anything else, by its algorithm
    Other(ObjectIdentifier),
}

/// The bytes are not a SubjectPublicKeyInfo (RFC 5280 4.1.2.7).
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the public key cannot be read")]
pub struct NotAPublicKey;

impl PublicKeyKind {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 4.1).
    ///
    /// # Errors
    /// When it is none, or when an RSA key in it is not one.
    pub fn of(spki_der: &[u8]) -> Result<Self, NotAPublicKey> {
        let info = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| NotAPublicKey)?;
        let kind = Self::without_size(&info.algorithm);
        if !matches!(kind, Self::Rsa { .. } | Self::RsaPss { .. }) {
            return Ok(kind);
        }
        let key = info.subject_public_key.as_bytes().ok_or(NotAPublicKey)?;
        let key = RsaPublicKeyRef::from_der(key).map_err(|_| NotAPublicKey)?;
        let (bits, exponent) = rsa_size(key.modulus, key.public_exponent);
        Ok(match kind {
            Self::RsaPss { .. } => Self::RsaPss { bits, exponent },
            _ => Self::Rsa { bits, exponent },
        })
    }

    /// The kind as far as the algorithm tells: RSA keys have 0 bits.
    pub(super) fn without_size(algorithm: &AlgorithmIdentifierRef<'_>) -> Self {
        match algorithm.oid {
            rfc5912::RSA_ENCRYPTION => Self::Rsa {
                bits: 0,
                exponent: 0,
            },
            rfc5912::ID_RSASSA_PSS => Self::RsaPss {
                bits: 0,
                exponent: 0,
            },
            rfc5912::ID_EC_PUBLIC_KEY => Self::Ec(Curve::named_by(algorithm.parameters)),
            rfc5912::ID_DSA => Self::Dsa,
            rfc8410::ID_ED_25519 => Self::Ed25519,
            rfc8410::ID_ED_448 => Self::Ed448,
            other => Self::Other(other),
        }
    }

    /// Whether mailca can sign with a key of this kind, as ring can. Its RSA primes are multiples of 512 bits, its exponents at
    /// least 65537 and at most 33 bits long.
    #[must_use]
    pub fn can_sign(self) -> bool {
        match self {
            Self::Rsa { bits, exponent } => {
                matches!(bits, 2048 | 3072 | 4096) && (65537..1 << 33).contains(&exponent)
            }
            Self::Ec(curve) => matches!(curve, Curve::P256 | Curve::P384),
            Self::Ed25519 => true,
            _ => false,
        }
    }
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits, exponent } if *exponent < 65537 => {
                write!(f, "RSA {bits} (exponent {exponent})")
            }
            Self::Rsa { bits, .. } => write!(f, "RSA {bits}"),
            Self::RsaPss { bits: 0, .. } => f.write_str("RSA-PSS"),
            Self::RsaPss { bits, .. } => write!(f, "RSA-PSS {bits}"),
            Self::Ec(Curve::P256) => f.write_str("EC P-256"),
            Self::Ec(Curve::P384) => f.write_str("EC P-384"),
            Self::Ec(Curve::P521) => f.write_str("EC P-521"),
            Self::Ec(Curve::Other(oid)) => write!(f, "EC {}", oid_name(*oid)),
            Self::Ec(Curve::Unnamed) => f.write_str("EC without a named curve"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Ed448 => f.write_str("Ed448"),
            Self::Dsa => f.write_str("DSA"),
            Self::Other(oid) => f.write_str(&oid_name(*oid)),
        }
    }
}

/// How strict to be about old cryptography.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// RSA from 2048 bits, SHA-256 and better.
    Current,
    /// SHA-1 and RSA from 1024 bits too (`--allow-legacy`).
    Legacy,
}

/// Why a public key proves nothing about who has the private one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadKey {
    /// The bytes are not a SubjectPublicKeyInfo.
    #[error("{0}")]
    Unreadable(#[from] NotAPublicKey),
    /// An RSA key too short to be safe.
    #[error("its RSA key has {bits} bits, but 2048 are the least that is safe")]
    Short {
        /// the modulus in bits
        bits: usize,
    },
    /// Numbers that no RSA key has (RFC 8017 section 3.1).
    #[error("its RSA key is none: {0}")]
    Rsa(&'static str),
    /// Two coordinates that are not on the curve (SEC 1 section 3.2.2.1).
    #[error("its {0} key is none: it is not a point of that curve")]
    Point(PublicKeyKind),
}

/// Checks that a public key (SubjectPublicKeyInfo, DER) is one of its kind, and strong enough, as
/// far as mailca knows the kind.
///
/// # Errors
/// When it is not.
pub fn check(spki_der: &[u8], strength: Strength) -> Result<PublicKeyKind, BadKey> {
    let kind = PublicKeyKind::of(spki_der)?;
    let info = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| NotAPublicKey)?;
    let key = info.subject_public_key.as_bytes().ok_or(NotAPublicKey)?;
    match kind {
        PublicKeyKind::Rsa { bits, .. } | PublicKeyKind::RsaPss { bits, .. } => {
            let least = match strength {
                Strength::Current => 2048,
                Strength::Legacy => 1024,
            };
            if bits < least {
                return Err(BadKey::Short { bits });
            }
            check_rsa(key)?;
        }
        PublicKeyKind::Ec(curve) if !is_point(curve, key) => return Err(BadKey::Point(kind)),
        _ => {}
    }
    Ok(kind)
}

fn check_rsa(key: &[u8]) -> Result<(), BadKey> {
    let key = RsaPublicKeyRef::from_der(key).map_err(|_| NotAPublicKey)?;
    let (modulus, exponent) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    let exceeds = (exponent.len(), exponent) >= (modulus.len(), modulus);
    let problem = match exponent {
        _ if !is_odd(modulus) => "its modulus is even",
        // What is signed then is its own signature.
        [1] => "its public exponent is 1",
        _ if !is_odd(exponent) => "its public exponent is even",
        _ if exceeds => "its public exponent is no less than its modulus",
        _ => return Ok(()),
    };
    Err(BadKey::Rsa(problem))
}

// The forms of RFC 5480 section 2.2: compressed or not.
fn is_point(curve: Curve, key: &[u8]) -> bool {
    let has_form = matches!(key.first(), Some(2..=4));
    match curve {
        Curve::P256 => has_form && p256::PublicKey::from_sec1_bytes(key).is_ok(),
        Curve::P384 => has_form && p384::PublicKey::from_sec1_bytes(key).is_ok(),
        Curve::P521 => has_form && p521::PublicKey::from_sec1_bytes(key).is_ok(),
        Curve::Other(_) | Curve::Unnamed => true,
    }
}

/// A public key (SubjectPublicKeyInfo, DER) in words: `RSA 2048`, `EC P-256`, `Ed25519`.
#[must_use]
pub fn describe(spki_der: &[u8]) -> String {
    PublicKeyKind::of(spki_der).map_or_else(|_| "unreadable key".into(), |kind| kind.to_string())
}

/// The fingerprint of a public key: SHA-256 of its SubjectPublicKeyInfo in upper-case hex with
/// colons, as Postfix and `openssl pkey -pubin -outform DER | openssl sha256 -c` have it.
#[must_use]
pub fn fingerprint(spki_der: &[u8]) -> String {
    hex::fingerprint(spki_der)
}

/// The data of a TLSA record for a public key: usage DANE-EE, selector SPKI, SHA-256 (RFC 7671
/// section 5.1). It stays true while the key does.
#[must_use]
pub fn tlsa(spki_der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, spki_der);
    format!("3 1 1 {}", hex::lower(digest.as_ref()))
}

/// Bits of the modulus, and the public exponent.
pub(super) fn rsa_size(modulus: UintRef<'_>, exponent: UintRef<'_>) -> (usize, u64) {
    let bits = match modulus.as_bytes() {
        [] => 0,
        bytes @ [first, ..] => bytes.len() * 8 - first.leading_zeros() as usize,
    };
    let exponent = match exponent.as_bytes() {
        bytes if bytes.len() > 8 => u64::MAX,
        bytes => bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    (bits, exponent)
}

/// The name that RFCs give an object identifier, or its number.
pub(super) fn oid_name(oid: ObjectIdentifier) -> String {
    match oid {
        SECP256K1 => "secp256k1".into(),
        ECDSA_WITH_SHA1 => "ecdsa-with-SHA1".into(),
        // What most requests are signed with: it takes long to find in the database.
        rfc5912::ECDSA_WITH_SHA_256 => "ecdsa-with-SHA256".into(),
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => "sha256WithRSAEncryption".into(),
        MD4_WITH_RSA => "md4WithRSAEncryption".into(),
        PBE_MD5_DES => "pbeWithMD5AndDES-CBC".into(),
        PBE_SHA1_DES => "pbeWithSHA1AndDES-CBC".into(),
        CAMELLIA_128_CBC => "camellia-128-cbc".into(),
        CAMELLIA_192_CBC => "camellia-192-cbc".into(),
        CAMELLIA_256_CBC => "camellia-256-cbc".into(),
        _ => DB.by_oid(&oid).map_or_else(|| oid.to_string(), Into::into),
    }
}

// What the database lacks, of SEC 2, RFC 3279, RFC 2313, RFC 8018 and RFC 3657.
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
pub(super) const ECDSA_WITH_SHA1: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
pub(super) const MD4_WITH_RSA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.3");
const PBE_MD5_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.3");
const PBE_SHA1_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.10");
const CAMELLIA_128_CBC: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.392.200011.61.1.1.1.2");
const CAMELLIA_192_CBC: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.392.200011.61.1.1.1.3");
const CAMELLIA_256_CBC: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.392.200011.61.1.1.1.4");
