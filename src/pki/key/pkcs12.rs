//! A private key with its certificates in one file, for mail clients (PKCS #12, RFC 7292).

use p12_keystore::{
    Certificate as StoredCertificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm,
    PrivateKey as StoredKey, PrivateKeyChain,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Passphrase, PrivateKey};
use crate::pki::certificate::Certificate;
use crate::pki::stack;

/// By what a file is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC, and a MAC with SHA-256 (RFC 7292, RFC 8018)
    Modern,
    /// pbeWithSHAAnd3-KeyTripleDES-CBC and a MAC with SHA-1, for programs that know nothing else
    Legacy,
}

// Rounds of the key derivation: NSS reads no more than 600,000.
const ROUNDS: u32 = 600_000;
const LEGACY_ROUNDS: u32 = 50_000;
const MAC_ROUNDS: u32 = 50_000;

/// Why no file can be made.
#[derive(Debug, Error)]
pub enum Pkcs12Error {
    /// Its characters have 16 bits there.
    #[error("the passphrase for a PKCS#12 file consists of characters up to U+FFFF")]
    Passphrase,
    /// The format has no place for something.
    #[error("the PKCS#12 file cannot be made: {0}")]
    Encode(#[from] p12_keystore::error::Error),
}

impl PrivateKey {
    /// This key and its certificate with those of its issuers behind it, protected by a
    /// passphrase, in DER. `name` is what clients call it.
    ///
    /// # Errors
    /// When the passphrase is not UTF-8, or has characters that UTF-16 needs two units for.
    pub fn to_pkcs12(
        &self,
        name: &str,
        chain: &[&Certificate],
        passphrase: &Passphrase,
        protection: Protection,
    ) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
        let passphrase = str::from_utf8(&passphrase.0).map_err(|_| Pkcs12Error::Passphrase)?;
        if passphrase.chars().any(|c| u32::from(c) > 0xFFFF) {
            return Err(Pkcs12Error::Passphrase);
        }
        // The format has characters of 16 bits only.
        let name: String = name.chars().filter(|c| u32::from(*c) < 0x1_0000).collect();
        let (encryption, rounds, mac) = match protection {
            Protection::Modern => (
                EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
                ROUNDS,
                MacAlgorithm::HmacSha256,
            ),
            Protection::Legacy => (
                EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
                LEGACY_ROUNDS,
                MacAlgorithm::HmacSha1,
            ),
        };
        stack::wiped_after(|| {
            let certificates = chain
                .iter()
                .map(|certificate| StoredCertificate::from_der(certificate.as_der()));
            let certificates: Vec<_> = certificates.collect::<Result<_, _>>()?;
            // What ties key and certificate together: OpenSSL takes the certificate's SHA-1.
            let id = ring::digest::digest(
                &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
                chain.first().map_or(&[], |leaf| leaf.as_der()),
            );
            let key = StoredKey::from_der(self.pkcs8.as_bytes())?;
            let entry = PrivateKeyChain::new(id.as_ref(), key, certificates);
            let mut store = KeyStore::new();
            store.add_entry(&name, KeyStoreEntry::PrivateKeyChain(entry));
            let writer = store.writer(passphrase);
            let octets = writer
                .encryption_algorithm(encryption)
                .encryption_iterations(rounds)
                .mac_algorithm(mac)
                .mac_iterations(MAC_ROUNDS)
                .write()?;
            Ok(Zeroizing::new(octets))
        })
    }
}
