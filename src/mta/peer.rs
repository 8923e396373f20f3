//! A relay that another one trusts by its certificate.

use crate::pki::name::Name;

/// What mail servers know the certificate of a relay by.
#[derive(Clone, Debug)]
pub struct Peer {
    /// the host's name
    pub name: String,
    /// serial number, in hexadecimal digits
    pub serial: String,
    /// who issued the certificate
    pub issuer: Name,
    /// the certificate's subject
    pub subject: Name,
    /// SHA-256 of the certificate, upper-case hex with colons
    pub fingerprint: String,
    /// SHA-256 of its SubjectPublicKeyInfo, likewise
    pub key_fingerprint: String,
    /// whether it was revoked because somebody else may have the key
    pub is_compromised: bool,
}
