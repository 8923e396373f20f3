//! Lines for Sendmail's access map (cf/README, "STARTTLS").

use crate::mta::Peer;
use crate::pki::name::Name;

/// The lines, and what is to be said of them.
#[derive(Clone, Debug, Default)]
pub struct AccessLines {
    /// the lines
    pub text: String,
    /// what they do otherwise than one would expect, a sentence each
    pub warnings: Vec<String>,
}

/// Lines that let these relay, and demand a verified certificate of them.
#[must_use]
pub fn lines(peers: &[Peer]) -> AccessLines {
    let _ = peers;
    AccessLines::default()
}

/// A line that lets everybody relay whom a CA certified.
#[must_use]
pub fn whole_ca(issuer: &Name) -> AccessLines {
    let _ = issuer;
    AccessLines::default()
}
