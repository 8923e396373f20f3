//! Whether a certificate is for a host, an address or a mailbox.

use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use super::{Question, Verdict};
use crate::pki::certificate::Certificate;
use crate::pki::general_name::{self, GeneralName};

pub(super) fn check(question: &Question<'_>) -> Verdict {
    let certificate = question.certificate;
    let Some(host) = question.host else {
        return Verdict::Unchecked("not checked: no --host was given".into());
    };
    let bare = bare(host);
    if matches(certificate, host) {
        return Verdict::Ok(format!("it is for {bare}"));
    }
    let names: Vec<_> = certificate.names.iter().map(self::bare).collect();
    Verdict::Failed(match certificate.subject.common_name() {
        _ if !names.is_empty() => format!("it is for {}, not {bare}", names.join(", ")),
        // RFC 9525 section 2: the CN is no place for a name, though OpenSSL and GnuTLS look there.
        Some(name) if general_name::host_name(&name).is_ok() => format!(
            "it has the name {} in its CN only, where clients no longer look, and no SubjectAltName",
            crate::pki::text::one_line(&name)
        ),
        _ => format!("it has no SubjectAltName, so it is for no host, and not for {bare}"),
    })
}

fn matches(certificate: &Certificate, host: &GeneralName) -> bool {
    let server = match host {
        GeneralName::Email(mailbox) => {
            return certificate.names.iter().any(|name| match name {
                GeneralName::Email(own) => is_same_mailbox(own, mailbox),
                _ => false,
            });
        }
        GeneralName::Dns(name) => ServerName::try_from(name.as_str()).ok(),
        GeneralName::Ip(address) => Some(ServerName::from(*address)),
    };
    let der = CertificateDer::from(certificate.as_der());
    let parsed = EndEntityCert::try_from(&der);
    match (parsed, server) {
        (Ok(parsed), Some(server)) => parsed.verify_is_valid_for_subject_name(&server).is_ok(),
        _ => false,
    }
}

// The local part is for its own server to compare (RFC 5280 section 7.5).
fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((local, domain)), Some((other_local, other_domain))) => {
            local == other_local && domain.eq_ignore_ascii_case(other_domain)
        }
        _ => false,
    }
}

fn bare(name: &GeneralName) -> String {
    match name {
        GeneralName::Dns(name) | GeneralName::Email(name) => name.clone(),
        GeneralName::Ip(address) => address.to_string(),
    }
}
