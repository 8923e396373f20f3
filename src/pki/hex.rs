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
