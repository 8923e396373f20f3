//! Octets as hexadecimal digits.

use std::fmt::Write;

/// Upper-case digits, as serial numbers are written.
#[must_use]
pub fn upper(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut out, octet| {
        let _ = write!(out, "{octet:02X}");
        out
    })
}

/// Lower-case digits, as digests are written.
#[must_use]
pub fn lower(octets: &[u8]) -> String {
    upper(octets).to_ascii_lowercase()
}

/// The SHA-256 digest of some bytes, in upper-case digits with colons.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let octets: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|octet| upper(&[*octet]))
        .collect();
    octets.join(":")
}
