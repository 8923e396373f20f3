//! Postfix's tables of client certificates (postconf(5), "relay_clientcerts" and
//! "check_ccert_access").

use std::fmt::Write;

use crate::mta::Peer;

/// Lines for `relay_clientcerts`: the fingerprints of the public keys, which a renewal under the
/// same key leaves as they are.
#[must_use]
pub fn permitted(peers: &[Peer]) -> String {
    let mut text = String::new();
    for peer in peers {
        let _ = writeln!(text, "{}\t{}", peer.key_fingerprint, peer.name);
    }
    text
}

/// Lines for `check_ccert_access` that refuse revoked certificates, and the keys that somebody else
/// may have.
#[must_use]
pub fn rejected(peers: &[Peer]) -> String {
    let mut text = String::new();
    for peer in peers {
        let Peer { name, serial, .. } = peer;
        let mut refuse = |fingerprint: &str| {
            let _ = writeln!(
                text,
                "{fingerprint}\tREJECT certificate {serial} of {name} is revoked"
            );
        };
        refuse(&peer.fingerprint);
        if peer.is_compromised {
            refuse(&peer.key_fingerprint);
        }
    }
    text
}
