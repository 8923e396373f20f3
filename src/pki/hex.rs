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

/// The octets that digits of either case make, the first digit alone where their number is odd;
/// `None` where there are none, or other characters.
#[must_use]
pub fn octets(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = digits.as_bytes().rchunks(2).rev();
    let octet = |pair: &[u8]| {
        let value = pair
            .iter()
            .try_fold(0, |sum, digit| Some(sum * 16 + value(digit)?));
        u8::try_from(value?).ok()
    };
    let octets: Vec<u8> = pairs.map(octet).collect::<Option<_>>()?;
    (!octets.is_empty()).then_some(octets)
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
