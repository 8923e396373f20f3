//! Postfix's tables of client certificates (postconf(5), "relay_clientcerts" and
//! "check_ccert_access").

use std::collections::HashSet;
use std::fmt::Write;

use crate::mta::Peer;

/// Lines for `relay_clientcerts`: the fingerprints of the public keys, which a renewal under the
/// same key leaves as they are.
#[must_use]
pub fn permitted(peers: &[Peer]) -> String {
    table(peers.iter().map(|peer| {
        let Peer { name, .. } = peer;
        (&*peer.key_fingerprint, name.clone())
    }))
}

/// Lines for `check_ccert_access` that refuse revoked certificates, and the keys that somebody else
/// may have.
#[must_use]
pub fn rejected(peers: &[Peer]) -> String {
    table(peers.iter().flat_map(|peer| {
        let Peer { name, serial, .. } = peer;
        let why = format!("REJECT certificate {serial} of {name} is revoked");
        let key = peer.is_compromised.then_some(&peer.key_fingerprint);
        let known_by = [Some(&peer.fingerprint), key].into_iter().flatten();
        known_by.map(move |fingerprint| (&**fingerprint, why.clone()))
    }))
}

// postmap warns of a fingerprint that comes twice, as that of a key with two certificates.
fn table<'a>(rows: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut known = HashSet::new();
    let mut text = String::new();
    for (fingerprint, value) in rows {
        if known.insert(fingerprint) {
            let _ = writeln!(text, "{fingerprint}\t{value}");
        }
    }
    text
}
