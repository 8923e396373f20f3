//! PEM (RFC 7468) as the other modules use it: text around the blocks is ignored, as OpenSSL does.

use pem::{EncodeConfig, LineEnding, Pem};

/// Every block of a text; `None` where there is no PEM in it at all.
#[must_use]
pub fn blocks(bytes: &[u8]) -> Option<Vec<Pem>> {
    let found = pem::parse_many(bytes).unwrap_or_default();
    (!found.is_empty()).then_some(found)
}

/// One block, in lines of 64 characters that end in a line feed.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}
