//! Whether a certificate is good for TLS servers or clients.

use const_oid::ObjectIdentifier;

use super::path::Path;
use super::{Purpose, Question, Verdict};
use crate::pki::certificate::Certificate;
use crate::pki::profile::{CLIENT_AUTH, SERVER_AUTH};
use crate::pki::public_key::oid_name;

pub(super) fn check(question: &Question<'_>, path: &Path<'_>, purpose: Purpose) -> Verdict {
    let wanted = match purpose {
        Purpose::Client => CLIENT_AUTH,
        Purpose::Server | Purpose::Any => SERVER_AUTH,
    };
    let own = question.certificate;
    let problem = path.purpose_problem(question, purpose, wanted);
    match problem.or_else(|| usage_problem(own, purpose)) {
        None if own.purposes.is_empty() => {
            Verdict::Ok("it names no purposes, and so has all".into())
        }
        None => Verdict::Ok(format!("its purposes are {}", all_of(own))),
        Some(problem) if question.purpose == Purpose::Any => Verdict::No(problem),
        Some(problem) => Verdict::Failed(problem),
    }
}

// webpki leaves the keyUsage of a host's certificate out. What a TLS server or client needs is
// what OpenSSL asks for (its crypto/x509/v3_purp.c): RSA key exchange uses keyEncipherment.
fn usage_problem(own: &Certificate, purpose: Purpose) -> Option<String> {
    let is_server = purpose == Purpose::Server;
    if let Some(usage) = &own.key_usage {
        let fits = usage.digital_signature()
            || usage.key_agreement()
            || (is_server && usage.key_encipherment());
        if !fits {
            return Some(format!(
                "its keyUsage has no digitalSignature, which a TLS {purpose} needs"
            ));
        }
    }
    match own.netscape {
        Some((server, client)) if !(if is_server { server } else { client }) => {
            Some(format!("its nsCertType does not name TLS {purpose}s"))
        }
        _ => None,
    }
}

/// The purposes of a certificate by their names.
pub(super) fn all_of(certificate: &Certificate) -> String {
    let names = certificate.purposes.iter().map(|oid| short(*oid));
    names.collect::<Vec<_>>().join(", ")
}

/// A purpose by its name.
pub(super) fn short(purpose: ObjectIdentifier) -> String {
    let name = oid_name(purpose);
    name.strip_prefix("id-kp-").unwrap_or(&name).to_owned()
}
