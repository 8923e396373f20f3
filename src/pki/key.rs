//! Private keys: making, reading, writing, and signing with them.
//!
//! Whatever form a key was read from, it is kept as PKCS#8 version 1 (RFC 5208),
//! the one form that every OpenSSL reads: 3.0 refuses the version 2 of RFC 5958
//! that ring writes for Ed25519.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::{Any, AnyRef, BitStringRef, Null, OctetStringRef};
use der::pem::LineEnding;
use der::{Decode, ErrorKind, SecretDocument, Sequence};
use getrandom::SysRng;
use pkcs1::RsaPrivateKeyRef;
use pkcs5::pbes2::{self, Kdf};
use pkcs8::{EncodePrivateKey, PrivateKeyInfoRef};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use serde::Serialize;
use thiserror::Error;
use x509_cert::spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};
use zeroize::Zeroizing;

use self::curve::EcPrivateKey;
use super::pem_text;
use super::public_key::{Curve, PublicKeyKind, oid_name, rsa_size};
use super::stack;

mod curve;
pub mod pkcs12;
#[cfg(test)]
mod tests;
mod traditional;

/// Rounds of PBKDF2 in the keys we write: what OWASP asks of HMAC-SHA256.
const PBKDF2_ROUNDS: u32 = 600_000;
/// Rounds we are willing to compute, about ten seconds' worth. A fuzzer has less patience.
const PBKDF2_MAX_ROUNDS: u32 = if cfg!(fuzzing) { 10_000 } else { 100_000_000 };
/// The shortest IV of any cipher; pkcs5 takes a longer one on trust.
const DES_BLOCK_BYTES: usize = 8;
/// What an EC point begins with that has both coordinates (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// Work of scrypt we are willing to do, in bytes (128 * N * r * p).
const SCRYPT_MAX_BYTES: u64 = if cfg!(fuzzing) { 1 << 20 } else { 1 << 30 };

/// Why a private key could not be made, read, written or used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The text names none of [`KeyType::ALL`].
    #[error("{name} is not a key type mailca makes")]
    UnknownKeyType {
        /// the text as given
        name: String,
    },
    /// The file or the public key is not what its label says.
    #[error("the key is damaged: {what}")]
    Malformed {
        /// the part that could not be read
        what: &'static str,
    },
    /// The key is in a form that mailca does not read.
    #[error("mailca does not read {what}")]
    Unsupported {
        /// the form, in the plural
        what: String,
        /// who reads it, and can write it in another form
        reader: Reader,
    },
    /// The key is encrypted and no passphrase was given.
    #[error("the private key is encrypted and no passphrase was given")]
    PassphraseRequired,
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the private key")]
    WrongPassphrase,
    /// The key is sound, as far as was looked, but of a kind mailca cannot sign with.
    #[error("mailca cannot sign with a key of type {kind}")]
    CannotSign {
        /// its kind
        kind: PublicKeyKind,
    },
    /// The numbers of the key contradict each other.
    #[error("the {kind} private key does not fit together: {reason}")]
    Inconsistent {
        /// its kind
        kind: PublicKeyKind,
        /// what the backend says
        reason: String,
    },
    /// A key could not be made.
    #[error("no {key_type} key could be made: {reason}")]
    Generate {
        /// the type wanted
        key_type: KeyType,
        /// what the backend says
        reason: String,
    },
    /// The backend failed while signing.
    #[error("signing with the {kind} key failed: {reason}")]
    Sign {
        /// kind of the key
        kind: PublicKeyKind,
        /// what the backend says
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The key could not be written as DER or PEM.
    #[error("the private key could not be encoded: {0}")]
    Encode(#[from] pkcs8::Error),
}

/// Who reads a form of keys that mailca does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// OpenSSL
    Openssl,
    /// OpenSSL with its legacy provider
    OpensslLegacy,
    /// nobody that mailca knows
    Nobody,
}

impl From<der::Error> for KeyError {
    fn from(error: der::Error) -> Self {
        Self::Encode(error.into())
    }
}

/// The key types mailca makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on NIST P-256, which every mail server understands
    #[default]
    P256,
    /// ECDSA on NIST P-384
    P384,
    /// Ed25519 (RFC 8410)
    Ed25519,
    /// RSA, 2048 bits
    Rsa2048,
    /// RSA, 3072 bits
    Rsa3072,
    /// RSA, 4096 bits
    Rsa4096,
}

impl KeyType {
    /// Every key type, in the order help texts list them.
    pub const ALL: [Self; 6] = [
        Self::P256,
        Self::P384,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    /// The type of an existing key, where it is one of these.
    #[must_use]
    pub fn of(kind: PublicKeyKind) -> Option<Self> {
        match kind {
            PublicKeyKind::Ec(Curve::P256) => Some(Self::P256),
            PublicKeyKind::Ec(Curve::P384) => Some(Self::P384),
            PublicKeyKind::Ed25519 => Some(Self::Ed25519),
            PublicKeyKind::Rsa { bits: 2048, .. } => Some(Self::Rsa2048),
            PublicKeyKind::Rsa { bits: 3072, .. } => Some(Self::Rsa3072),
            PublicKeyKind::Rsa { bits: 4096, .. } => Some(Self::Rsa4096),
            _ => None,
        }
    }

    /// The name on the command line: `p256` to `rsa4096`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyType {
    type Err = KeyError;

    /// # Errors
    /// [`KeyError::UnknownKeyType`] for anything but the names of [`KeyType::ALL`].
    fn from_str(name: &str) -> Result<Self, KeyError> {
        let known = Self::ALL.into_iter().find(|key| key.as_str() == name);
        known.ok_or_else(|| KeyError::UnknownKeyType { name: name.into() })
    }
}

/// The message digest of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl fmt::Display for Digest {
    /// OpenSSL's name for it, as in `default_md`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        })
    }
}

/// A passphrase, as the bytes that were typed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes the bytes over, without a copy where it is given a `Vec` or `String`.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Was nothing typed?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// A signature, and how it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// the signature algorithm, which RFC 5280 4.1.1.2 wants inside and outside
    pub algorithm: AlgorithmIdentifierOwned,
    /// the signature, as the BIT STRING of a certificate holds it
    pub bytes: Vec<u8>,
}

/// A private key in memory that mailca can sign with; wiped when dropped.
#[derive(Debug)]
pub struct PrivateKey {
    kind: PublicKeyKind,
    public: Vec<u8>,
    pkcs8: SecretDocument,
    // Of RSA it signs with SHA-256 only. On the heap, which is wiped: a move leaves a copy behind.
    pair: Box<Zeroizing<KeyPair>>,
}

impl PrivateKey {
    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the system has no randomness to give.
    pub fn generate(key_type: KeyType) -> Result<Self, KeyError> {
        stack::wiped_after(|| match key_type {
            KeyType::P256 => Self::generate_curve(key_type, &rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::P384 => Self::generate_curve(key_type, &rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Ed25519 => Self::generate_curve(key_type, &rcgen::PKCS_ED25519),
            KeyType::Rsa2048 => Self::generate_rsa(key_type, 2048),
            KeyType::Rsa3072 => Self::generate_rsa(key_type, 3072),
            KeyType::Rsa4096 => Self::generate_rsa(key_type, 4096),
        })
    }

    fn generate_curve(
        key_type: KeyType,
        algorithm: &'static rcgen::SignatureAlgorithm,
    ) -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(algorithm).map_err(|error| KeyError::Generate {
            key_type,
            reason: error.to_string(),
        })?;
        Self::from_pkcs8(Zeroizing::new(pair).serialized_der())
    }

    /// Ring cannot make RSA keys; the rsa crate does nothing else here.
    fn generate_rsa(key_type: KeyType, bits: usize) -> Result<Self, KeyError> {
        let key = rsa::PrivateKey::new(&mut SysRng, bits).map_err(|error| KeyError::Generate {
            key_type,
            reason: error.to_string(),
        })?;
        Self::from_pkcs8(key.to_pkcs8_der()?.as_bytes())
    }

    /// Kind and size of the key.
    #[must_use]
    pub fn kind(&self) -> PublicKeyKind {
        self.kind
    }

    /// The SubjectPublicKeyInfo (RFC 5280 4.1), DER.
    #[must_use]
    pub fn subject_public_key_info(&self) -> &[u8] {
        &self.public
    }

    /// PKCS#8 in PEM, not encrypted.
    ///
    /// # Errors
    /// [`KeyError::Encode`], which no key of this size can cause.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        stack::wiped_after(|| Ok(self.pkcs8.to_pem("PRIVATE KEY", LineEnding::LF)?))
    }

    /// PKCS#8 in PEM, encrypted under PBES2 (RFC 8018): PBKDF2-HMAC-SHA256 with 600,000
    /// rounds, AES-256-CBC. It takes about 60 ms. (OpenSSL refuses a strong scrypt.)
    ///
    /// # Errors
    /// [`KeyError::Random`] when the system has no randomness for salt and IV.
    pub fn to_encrypted_pem(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyError> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        getrandom::fill(&mut salt)?;
        getrandom::fill(&mut iv)?;
        let parameters =
            pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv)
                .map_err(pkcs8::Error::from)?;
        stack::wiped_after(|| {
            let info: PrivateKeyInfoRef<'_> = self.pkcs8.decode_msg()?;
            let encrypted = info.encrypt_with_params(parameters, &*passphrase.0)?;
            Ok(encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)?)
        })
    }

    /// The digest this key signs with when `wanted` is asked for (SHA-256 where nothing is).
    /// Only RSA leaves a choice: P-256 signs with SHA-256, P-384 with SHA-384, and Ed25519
    /// hashes with SHA-512 itself (RFC 8032).
    #[must_use]
    pub fn digest_for(&self, wanted: Option<Digest>) -> Digest {
        match self.kind {
            PublicKeyKind::Ec(Curve::P384) => Digest::Sha384,
            PublicKeyKind::Ed25519 => Digest::Sha512,
            PublicKeyKind::Rsa { .. } => wanted.unwrap_or(Digest::Sha256),
            _ => Digest::Sha256,
        }
    }

    /// What [`PrivateKey::sign`] will name as its algorithm: a certificate states it within
    /// what is signed (RFC 5280 4.1.2.3).
    #[must_use]
    pub fn signature_algorithm(&self, digest: Digest) -> AlgorithmIdentifierOwned {
        let oid = match (self.kind, self.digest_for(Some(digest))) {
            (PublicKeyKind::Ed25519, _) => rfc8410::ID_ED_25519,
            (PublicKeyKind::Ec(_), Digest::Sha384) => rfc5912::ECDSA_WITH_SHA_384,
            (PublicKeyKind::Ec(_), _) => rfc5912::ECDSA_WITH_SHA_256,
            (_, Digest::Sha256) => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            (_, Digest::Sha384) => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
            (_, Digest::Sha512) => rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
        };
        // RFC 4055 section 5 demands the NULL for RSA; RFC 5758 and 8410 forbid any parameter.
        let is_rsa = matches!(self.kind, PublicKeyKind::Rsa { .. });
        AlgorithmIdentifierOwned {
            oid,
            parameters: is_rsa.then(|| Any::from(Null)),
        }
    }

    /// Signs `message` with [`digest_for`](PrivateKey::digest_for) of `digest`. RSA signatures
    /// are PKCS#1 v1.5 (RFC 8017).
    ///
    /// # Errors
    /// [`KeyError::Sign`] when the backend fails, for lack of randomness or because the
    /// private exponents of an RSA key are wrong.
    pub fn sign(&self, digest: Digest, message: &[u8]) -> Result<Signature, KeyError> {
        let failed = |error: rcgen::Error| KeyError::Sign {
            kind: self.kind,
            reason: error.to_string(),
        };
        let signed = stack::wiped_after(|| match (self.kind, digest) {
            (PublicKeyKind::Rsa { .. }, Digest::Sha384 | Digest::Sha512) => {
                load(self.kind, digest, &self.pkcs8)?.sign(message)
            }
            _ => self.pair.sign(message),
        });
        Ok(Signature {
            algorithm: self.signature_algorithm(digest),
            bytes: signed.map_err(failed)?,
        })
    }

    /// Reads PKCS#8, version 1 (RFC 5208) or 2 (RFC 5958).
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed {
            what: "it is not PKCS#8",
        })?;
        let key = info.private_key.as_bytes();
        match info.algorithm.oid {
            rfc5912::RSA_ENCRYPTION => Self::from_pkcs1(key),
            rfc5912::ID_EC_PUBLIC_KEY => Self::from_sec1(key, info.algorithm.parameters),
            rfc8410::ID_ED_25519 => Self::new(PublicKeyKind::Ed25519, info.algorithm, key),
            _ => Err(KeyError::CannotSign {
                kind: PublicKeyKind::without_size(&info.algorithm),
            }),
        }
    }

    /// Reads an RSAPrivateKey (RFC 8017 A.1.2).
    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let rsa = RsaPrivateKeyRef::from_der(der).map_err(|_| KeyError::Malformed {
            what: "it is not an RSAPrivateKey",
        })?;
        let (bits, exponent) = rsa_size(rsa.modulus, rsa.public_exponent);
        let kind = PublicKeyKind::Rsa { bits, exponent };
        Self::new(kind, pkcs1::ALGORITHM_ID, der)
    }

    /// Reads an ECPrivateKey (RFC 5915), whose curve PKCS#8 names outside of it.
    fn from_sec1(der: &[u8], curve: Option<AnyRef<'_>>) -> Result<Self, KeyError> {
        let key = EcPrivateKey::from_der(der).map_err(|_| KeyError::Malformed {
            what: "it is not an ECPrivateKey",
        })?;
        let spelt = curve.or(key.parameters);
        let name = spelt.and_then(curve::name_of);
        let parameters = name.as_ref().map(AnyRef::from).or(spelt);
        let curve = Curve::named_by(parameters);
        let kind = PublicKeyKind::Ec(curve);
        let algorithm = AlgorithmIdentifierRef {
            oid: rfc5912::ID_EC_PUBLIC_KEY,
            parameters,
        };
        if !kind.can_sign() {
            return Err(KeyError::CannotSign { kind });
        }
        // What ring does not take.
        let point = match key.public_key.map(|point| point.raw_bytes()) {
            Some([UNCOMPRESSED, ..]) => None,
            given => Some(curve::public_point(curve, &key, given).ok_or(
                KeyError::Inconsistent {
                    kind,
                    reason: "its public point is not that of its private number".into(),
                },
            )?),
        };
        let public_key = match &point {
            Some(point) => Some(BitStringRef::from_bytes(point)?),
            None => key.public_key,
        };
        let key = SecretDocument::encode_msg(&EcPrivateKey {
            parameters: None,
            public_key,
            ..key
        })?;
        Self::new(kind, algorithm, key.as_bytes())
    }

    fn new(
        kind: PublicKeyKind,
        algorithm: AlgorithmIdentifierRef<'_>,
        key: &[u8],
    ) -> Result<Self, KeyError> {
        if !kind.can_sign() {
            return Err(KeyError::CannotSign { kind });
        }
        let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(key)?);
        let pkcs8 = SecretDocument::encode_msg(&info)?;
        let pair = load(kind, Digest::Sha256, &pkcs8).map_err(|error| KeyError::Inconsistent {
            kind,
            reason: error.to_string(),
        })?;
        Ok(Self {
            kind,
            public: pair.subject_public_key_info(),
            pkcs8,
            pair: Box::new(pair),
        })
    }
}

/// The backend's signing key; what it keeps of the DER is wiped when it is dropped.
fn load(
    kind: PublicKeyKind,
    digest: Digest,
    pkcs8: &SecretDocument,
) -> Result<Zeroizing<KeyPair>, rcgen::Error> {
    let algorithm = match (kind, digest) {
        (PublicKeyKind::Ed25519, _) => &rcgen::PKCS_ED25519,
        (PublicKeyKind::Ec(Curve::P384), _) => &rcgen::PKCS_ECDSA_P384_SHA384,
        (PublicKeyKind::Ec(_), _) => &rcgen::PKCS_ECDSA_P256_SHA256,
        (_, Digest::Sha256) => &rcgen::PKCS_RSA_SHA256,
        (_, Digest::Sha384) => &rcgen::PKCS_RSA_SHA384,
        (_, Digest::Sha512) => &rcgen::PKCS_RSA_SHA512,
    };
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_bytes().into(), algorithm).map(Zeroizing::new)
}

/// A private key as a PEM file holds it, before it is unlocked.
#[derive(Debug)]
pub struct EncodedKey(Form);

#[derive(Debug)]
enum Form {
    Pkcs8(SecretDocument),
    Pkcs1(SecretDocument),
    Sec1(SecretDocument),
    Dsa,
    Traditional {
        encryption: traditional::Encryption,
        is_rsa: bool,
        ciphertext: Vec<u8>,
    },
    Pbes2 {
        parameters: Box<pbes2::Parameters>,
        ciphertext: Vec<u8>,
    },
}

impl EncodedKey {
    /// Finds the first private key in PEM text, which may hold certificates and anything else
    /// beside it, as a `newreq.pem` does, or the one that is DER. `None` where there is none.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for a key block that cannot be read, [`KeyError::Unsupported`]
    /// for one in a form that no passphrase would open, so that none is asked for in vain.
    pub fn find(bytes: &[u8]) -> Result<Option<Self>, KeyError> {
        if bytes.first() == Some(&DER_SEQUENCE) {
            return in_der(bytes).map(|form| form.map(Self));
        }
        let Some(block) = stack::wiped_after(|| find_block(bytes))? else {
            return Ok(None);
        };
        let damaged = KeyError::Malformed {
            what: "it is not DER in base64",
        };
        let Block {
            label,
            dek_info,
            base64,
        } = block;
        if let (b"RSA PRIVATE KEY" | b"EC PRIVATE KEY", Some(dek_info)) = (label, dek_info) {
            return Ok(Some(Self(Form::Traditional {
                encryption: traditional::Encryption::from_dek_info(&dek_info)?,
                is_rsa: label == b"RSA PRIVATE KEY",
                ciphertext: STANDARD.decode(&*base64).map_err(|_| damaged)?,
            })));
        }
        let der = || stack::wiped_after(|| decode_base64(&base64)).ok_or(damaged);
        Ok(Some(Self(match label {
            b"PRIVATE KEY" => Form::Pkcs8(der()?),
            b"RSA PRIVATE KEY" => Form::Pkcs1(der()?),
            b"EC PRIVATE KEY" => Form::Sec1(der()?),
            b"ENCRYPTED PRIVATE KEY" => encrypted(der()?.as_bytes())?,
            // Whatever it is encrypted with.
            b"DSA PRIVATE KEY" => Form::Dsa,
            _ => {
                let what = format!("{} blocks", String::from_utf8_lossy(label));
                let reader = Reader::Nobody;
                return Err(KeyError::Unsupported { what, reader });
            }
        })))
    }

    /// Does it take a passphrase to unlock it?
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.0, Form::Pbes2 { .. } | Form::Traditional { .. })
    }

    /// The key itself. A passphrase that is not needed is ignored, as OpenSSL does.
    ///
    /// # Errors
    /// [`KeyError::PassphraseRequired`] and [`KeyError::WrongPassphrase`];
    /// [`KeyError::CannotSign`] for kinds and sizes that the backend does not have;
    /// [`KeyError::Malformed`], [`KeyError::Inconsistent`] and [`KeyError::Unsupported`]
    /// for what no passphrase mends.
    pub fn unlock(self, passphrase: Option<&Passphrase>) -> Result<PrivateKey, KeyError> {
        stack::wiped_after(|| self.open(passphrase))
    }

    fn open(self, passphrase: Option<&Passphrase>) -> Result<PrivateKey, KeyError> {
        match self.0 {
            Form::Pkcs8(der) => PrivateKey::from_pkcs8(der.as_bytes()),
            Form::Pkcs1(der) => PrivateKey::from_pkcs1(der.as_bytes()),
            Form::Sec1(der) => PrivateKey::from_sec1(der.as_bytes(), None),
            Form::Dsa => Err(KeyError::CannotSign {
                kind: PublicKeyKind::Dsa,
            }),
            Form::Traditional {
                encryption,
                is_rsa,
                ciphertext,
            } => {
                let passphrase = passphrase.ok_or(KeyError::PassphraseRequired)?;
                let mut buffer = Zeroizing::new(ciphertext);
                let plain = encryption.decrypt(passphrase, &mut buffer);
                let plain = plain.ok_or(KeyError::WrongPassphrase)?;
                let key = if is_rsa {
                    PrivateKey::from_pkcs1(plain)
                } else {
                    PrivateKey::from_sec1(plain, None)
                };
                // As below.
                key.map_err(|error| match error {
                    KeyError::Malformed { .. } => KeyError::WrongPassphrase,
                    other => other,
                })
            }
            Form::Pbes2 {
                parameters,
                ciphertext,
            } => {
                let passphrase = passphrase.ok_or(KeyError::PassphraseRequired)?;
                let mut buffer = Zeroizing::new(ciphertext);
                let plain = parameters
                    .decrypt_in_place(&*passphrase.0, &mut buffer)
                    .map_err(|_| KeyError::WrongPassphrase)?;
                // One wrong passphrase in 256 leaves a padding that looks right.
                PrivateKeyInfoRef::from_der(plain).map_err(|_| KeyError::WrongPassphrase)?;
                PrivateKey::from_pkcs8(plain)
            }
        }
    }
}

// The tag that every form of a key begins with.
const DER_SEQUENCE: u8 = 0x30;

/// The key that some DER is; `None` where it is something else.
fn in_der(der: &[u8]) -> Result<Option<Form>, KeyError> {
    let whole = || Ok(SecretDocument::try_from(der)?);
    if PrivateKeyInfoRef::from_der(der).is_ok() {
        whole().map(|der| Some(Form::Pkcs8(der)))
    } else if EncryptedPrivateKeyInfo::from_der(der).is_ok() {
        encrypted(der).map(Some)
    } else if RsaPrivateKeyRef::from_der(der).is_ok() {
        whole().map(|der| Some(Form::Pkcs1(der)))
    } else if EcPrivateKey::from_der(der).is_ok() {
        whole().map(|der| Some(Form::Sec1(der)))
    } else {
        Ok(None)
    }
}

/// A block of PEM with a key in it.
struct Block<'a> {
    label: &'a [u8],
    /// how it is encrypted, where that is not said in the DER
    dek_info: Option<String>,
    base64: Zeroizing<Vec<u8>>,
}

/// The first block of PEM whose label ends in `PRIVATE KEY`.
///
/// RFC 7468 parsers refuse what OpenSSL reads (uneven lines, trailing blanks), so the block
/// is put in order first.
fn find_block(pem: &[u8]) -> Result<Option<Block<'_>>, KeyError> {
    let malformed = |what| KeyError::Malformed { what };
    let lines = pem_text::without_mark(pem).split(|byte| *byte == b'\n');
    let mut lines = lines.map(<[u8]>::trim_ascii);
    let Some(label) = lines.by_ref().find_map(key_label) else {
        return Ok(None);
    };
    let mut base64 = Zeroizing::new(Vec::with_capacity(pem.len()));
    let mut dek_info = None;
    loop {
        match lines.next() {
            None => return Err(malformed("it has no END line")),
            Some(line) if line.starts_with(b"-----END ") => break,
            Some(line) if line.contains(&b':') => {
                if let Some(value) = line.strip_prefix(b"DEK-Info:") {
                    dek_info = Some(String::from_utf8_lossy(value).into_owned());
                }
            }
            Some(line) => base64.extend_from_slice(line),
        }
    }
    Ok(Some(Block {
        label,
        dek_info,
        base64,
    }))
}

fn key_label(line: &[u8]) -> Option<&[u8]> {
    let label = line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")?;
    label.ends_with(b"PRIVATE KEY").then_some(label)
}

/// Decodes base64 through the PEM decoder, which runs in constant time.
fn decode_base64(base64: &[u8]) -> Option<SecretDocument> {
    let base64 = str::from_utf8(base64).ok().filter(|text| text.is_ascii())?;
    let mut pem = Zeroizing::new(String::with_capacity(2 * base64.len() + 80));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for start in (0..base64.len()).step_by(64) {
        pem.push_str(&base64[start..base64.len().min(start + 64)]);
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    SecretDocument::from_pem(&pem).ok().map(|(_, der)| der)
}

/// EncryptedPrivateKeyInfo (RFC 5208 section 6).
#[derive(Sequence)]
struct EncryptedPrivateKeyInfo<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    ciphertext: &'a OctetStringRef,
}

/// PBES2-params (RFC 8018 A.4).
#[derive(Sequence)]
struct Pbes2Params<'a> {
    kdf: AlgorithmIdentifierRef<'a>,
    cipher: AlgorithmIdentifierRef<'a>,
}

/// Reads the parameters of PBES2, and refuses those that pkcs5 would panic on
/// or that would take all the memory or the day.
fn encrypted(der: &[u8]) -> Result<Form, KeyError> {
    let malformed = || KeyError::Malformed {
        what: "it is not an EncryptedPrivateKeyInfo",
    };
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| malformed())?;
    if info.algorithm.oid != pkcs5::pbes2::PBES2_OID {
        return Err(unsupported_encryption(info.algorithm.oid));
    }
    let parameters = info.algorithm.parameters.ok_or_else(malformed)?;
    let raw: Pbes2Params<'_> = parameters.decode_as().map_err(|_| malformed())?;
    let iv = raw.cipher.parameters.map_or(0, |iv| iv.value().len());
    if iv < DES_BLOCK_BYTES {
        return Err(malformed());
    }
    let parameters =
        pbes2::Parameters::try_from(parameters).map_err(|error| match error.kind() {
            ErrorKind::OidUnknown { oid } => unsupported_encryption(oid),
            _ if !KNOWN_CIPHERS.contains(&raw.cipher.oid) => unsupported_encryption(raw.cipher.oid),
            _ => malformed(),
        })?;
    check_cost(&parameters.kdf)?;
    Ok(Form::Pbes2 {
        parameters: Box::new(parameters),
        ciphertext: info.ciphertext.as_bytes().to_vec(),
    })
}

const KNOWN_CIPHERS: [ObjectIdentifier; 4] = [
    pbes2::AES_128_CBC_OID,
    pbes2::AES_192_CBC_OID,
    pbes2::AES_256_CBC_OID,
    pbes2::DES_EDE3_CBC_OID,
];

// What OpenSSL 3 needs no legacy provider for: 3DES of PKCS#12, Camellia and ARIA, by the
// beginnings of their object identifiers.
const NOT_LEGACY: [&str; 4] = [
    "1.2.840.113549.1.12.1.3",
    "1.2.840.113549.1.12.1.4",
    "1.2.392.200011.",
    "1.2.410.200046.",
];

fn unsupported_encryption(oid: ObjectIdentifier) -> KeyError {
    let number = oid.to_string();
    let is_current = NOT_LEGACY.iter().any(|start| number.starts_with(start));
    KeyError::Unsupported {
        what: format!("keys encrypted with {}", oid_name(oid)),
        reader: if is_current {
            Reader::Openssl
        } else {
            Reader::OpensslLegacy
        },
    }
}

fn check_cost(kdf: &Kdf) -> Result<(), KeyError> {
    let what = match kdf {
        Kdf::Pbkdf2(kdf) if kdf.iteration_count > PBKDF2_MAX_ROUNDS => {
            format!("keys behind {} rounds of PBKDF2", kdf.iteration_count)
        }
        Kdf::Scrypt(kdf) => {
            let (n, r, p) = (kdf.cost_parameter, kdf.block_size, kdf.parallelization);
            let bytes = n.saturating_mul(128 * u64::from(r) * u64::from(p));
            if (1..=SCRYPT_MAX_BYTES).contains(&bytes) {
                return Ok(());
            }
            format!("keys behind scrypt with N={n}, r={r}, p={p}")
        }
        _ => return Ok(()),
    };
    // It would have to compute as much.
    let reader = Reader::Openssl;
    Err(KeyError::Unsupported { what, reader })
}
