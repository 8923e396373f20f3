//! The CA certificate: whether it can do what a CA does, and is what one is today.

use super::finding::{Finding, Severity};
use crate::commands::issuance;
use crate::pki::public_key::{self, BadKey, Strength};
use crate::pki::signed::SignedError;
use crate::report::{self, List};
use crate::store::Store;

pub fn findings(store: &Store) -> Vec<Finding> {
    let ca = &store.certificate;
    let path = &store.settings.certificate;
    let name = path.display();
    let mut found = Vec::new();
    // Only the CA itself can make another one of its own.
    let renew = |words: &[&str]| {
        let command = report::invocation(store, words);
        ca.is_self_issued().then_some(command)
    };
    let mut add = |severity, problem, reason: String, remedy: Option<String>| {
        let finding = Finding::new(severity, problem, path, reason);
        found.push(finding.remedy_if_any(remedy));
    };
    if let Err(refusal) = issuance::check_chain(store) {
        add(
            Severity::Critical,
            "ca-cannot-sign",
            refusal.to_string(),
            None,
        );
    } else if !ca.acts_as_ca() {
        let reason = format!("{name} is no CA certificate: basicConstraints does not say CA:TRUE");
        add(Severity::Critical, "ca-cannot-sign", reason, None);
    }
    if !ca.may_sign_crls {
        let reason = format!(
            "{name} may not sign CRLs: its keyUsage does not include cRLSign, so that nothing can \
             be revoked"
        );
        let remedy = renew(&["renew-ca"]);
        add(Severity::Warning, "ca-cannot-sign-crls", reason, remedy);
    }
    let new_key = renew(&["renew-ca", "--new-key"]);
    let key = &ca.subject_public_key_info;
    match public_key::check(key, Strength::Current) {
        Err(error @ BadKey::Short { .. }) => {
            let reason = format!("{name} has a weak key: {error}");
            add(Severity::Critical, "ca-weak-key", reason, new_key);
        }
        Err(error) => {
            let reason = format!("{name} has a key of no use: {error}");
            add(Severity::Critical, "ca-weak-key", reason, new_key);
        }
        Ok(kind) if !kind.can_sign() => {
            let reason =
                format!("mailca cannot sign with the key of {name}, which is of type {kind}");
            add(Severity::Warning, "ca-key-unsupported", reason, new_key);
        }
        Ok(_) => {}
    }
    let signature = ca.verify_signature(ca);
    if ca.is_self_issued() && matches!(signature, Err(SignedError::Wrong(_))) {
        let reason = format!("the signature of {name} does not match its key");
        add(Severity::Critical, "ca-bad-signature", reason, None);
    }
    let shortcomings = store.shortcomings();
    if !shortcomings.is_empty() {
        let reason = format!("{name} {}", List(&shortcomings));
        add(Severity::Warning, "ca-old", reason, renew(&["renew-ca"]));
    }
    let top = store.issuers.last().map_or(ca, |last| &last.certificate);
    if !top.is_self_issued() {
        let reason = format!(
            "{name} leads to {}, whose certificate is missing: put it into {}",
            top.issuer,
            store.settings.certs.display()
        );
        add(Severity::Warning, "ca-issuer-missing", reason, None);
    }
    found
}
