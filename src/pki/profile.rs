//! What a certificate is for.

use std::fmt;
use std::str::FromStr;

use const_oid::ObjectIdentifier;
use serde::{Serialize, Serializer};

use super::certificate::Certificate;

/// id-kp-serverAuth (RFC 5280 section 4.2.1.12)
pub const SERVER_AUTH: ObjectIdentifier = const_oid::db::rfc5280::ID_KP_SERVER_AUTH;
/// id-kp-clientAuth (RFC 5280 section 4.2.1.12)
pub const CLIENT_AUTH: ObjectIdentifier = const_oid::db::rfc5280::ID_KP_CLIENT_AUTH;

/// The use a certificate is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// A mail server, which is a server to some and a client to others.
    #[default]
    Relay,
    /// A server only.
    Server,
    /// A client only.
    Client,
}

impl Profile {
    /// Every profile, in the order of the help text.
    pub const ALL: [Self; 3] = [Self::Relay, Self::Server, Self::Client];

    /// The ExtendedKeyUsage of the profile.
    #[must_use]
    pub fn purposes(self) -> &'static [ObjectIdentifier] {
        match self {
            Self::Relay => &[SERVER_AUTH, CLIENT_AUTH],
            Self::Server => &[SERVER_AUTH],
            Self::Client => &[CLIENT_AUTH],
        }
    }

    /// The profile that has exactly these purposes.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Option<Self> {
        let found = &certificate.purposes;
        Self::ALL.into_iter().find(|profile| {
            let wanted = profile.purposes();
            wanted.len() == found.len() && wanted.iter().all(|oid| found.contains(oid))
        })
    }

    /// Whether a certificate of this profile must have a SubjectAltName: clients look for the
    /// server's name nowhere else.
    #[must_use]
    pub fn needs_names(self) -> bool {
        self != Self::Client
    }

    /// The purposes in words, with the profile's name.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Relay => "TLS server and client (relay)",
            Self::Server => "TLS server (server)",
            Self::Client => "TLS client (client)",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == text)
            .ok_or_else(|| format!("{text:?} is not a profile: they are relay, server and client"))
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
