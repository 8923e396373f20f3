//! Keys in the form that OpenSSL wrote before PKCS#8: encrypted within PEM, as `Proc-Type` and
//! `DEK-Info` say (RFC 1421 section 4.6), by a key that MD5 makes of the passphrase.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::{KeyError, Passphrase, Reader};
use crate::pki::hex;

// The salt is the beginning of the IV, of any cipher.
const SALT_BYTES: usize = 8;
const MD5_BYTES: usize = 16;

/// What DEK-Info says.
#[derive(Clone, Debug)]
pub(super) struct Encryption {
    cipher: Cipher,
    iv: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    DesEde3,
}

impl Cipher {
    const ALL: [(&'static str, Self); 4] = [
        ("AES-128-CBC", Self::Aes128),
        ("AES-192-CBC", Self::Aes192),
        ("AES-256-CBC", Self::Aes256),
        ("DES-EDE3-CBC", Self::DesEde3),
    ];

    fn key_bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::DesEde3 => 24,
            Self::Aes256 => 32,
        }
    }

    fn iv_bytes(self) -> usize {
        match self {
            Self::DesEde3 => 8,
            _ => 16,
        }
    }
}

// Those that OpenSSL 3 has in its legacy provider only.
const LEGACY: [&str; 6] = ["DES-", "RC2-", "BF-", "CAST5-", "IDEA-", "SEED-"];

impl Encryption {
    /// Reads the value of a DEK-Info header: a cipher, a comma, and the IV in hexadecimal digits.
    pub fn from_dek_info(value: &str) -> Result<Self, KeyError> {
        let damaged = KeyError::Malformed {
            what: "its DEK-Info is no cipher and IV",
        };
        let Some((name, iv)) = value.split_once(',') else {
            return Err(damaged);
        };
        let name = name.trim().to_ascii_uppercase();
        let known = Cipher::ALL.into_iter().find(|(known, _)| *known == name);
        let Some((_, cipher)) = known else {
            let is_legacy = LEGACY.iter().any(|start| name.starts_with(start));
            return Err(KeyError::Unsupported {
                what: format!("keys encrypted with {name} (DEK-Info)"),
                reader: if is_legacy {
                    Reader::OpensslLegacy
                } else {
                    Reader::Openssl
                },
            });
        };
        let iv = hex::octets(iv.trim()).filter(|iv| iv.len() == cipher.iv_bytes());
        iv.map(|iv| Self { cipher, iv }).ok_or(damaged)
    }

    /// Decrypts a key in its place; `None` where the padding shows that the passphrase is wrong.
    pub fn decrypt<'a>(&self, passphrase: &Passphrase, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let key = self.key(passphrase);
        match self.cipher {
            Cipher::Aes128 => decrypt::<Decryptor<Aes128>>(&key, &self.iv, buffer),
            Cipher::Aes192 => decrypt::<Decryptor<Aes192>>(&key, &self.iv, buffer),
            Cipher::Aes256 => decrypt::<Decryptor<Aes256>>(&key, &self.iv, buffer),
            Cipher::DesEde3 => decrypt::<Decryptor<TdesEde3>>(&key, &self.iv, buffer),
        }
    }

    // EVP_BytesToKey(3) with MD5 and one round.
    fn key(&self, passphrase: &Passphrase) -> Zeroizing<Vec<u8>> {
        let wanted = self.cipher.key_bytes();
        let mut key = Zeroizing::new(Vec::with_capacity(wanted + MD5_BYTES));
        while key.len() < wanted {
            let mut digest = Md5::new();
            let last = key.len().saturating_sub(MD5_BYTES);
            digest.update(&key[last..]);
            digest.update(&*passphrase.0);
            digest.update(&self.iv[..SALT_BYTES]);
            key.extend_from_slice(&digest.finalize());
        }
        key.truncate(wanted);
        key
    }
}

fn decrypt<'a, D: BlockModeDecrypt + KeyIvInit>(
    key: &[u8],
    iv: &[u8],
    buffer: &'a mut [u8],
) -> Option<&'a [u8]> {
    let decryptor = D::new_from_slices(key, iv).ok()?;
    decryptor.decrypt_padded::<Pkcs7>(buffer).ok()
}
