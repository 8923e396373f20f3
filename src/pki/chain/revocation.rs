//! Whether a certificate, or a CA between it and the trusted one, was revoked (RFC 5280 section
//! 6.3).

use super::path::Path;
use super::{Question, Verdict};
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::{CertificateList, reason_name};
use crate::pki::hex;
use crate::pki::moment::{self, Moment};

pub(super) fn check(question: &Question<'_>, path: &Path<'_>) -> Verdict {
    if question.lists.is_empty() {
        return Verdict::Unchecked(format!("not checked: {}", question.no_lists));
    }
    let mut newest = None;
    for (certificate, issuer) in path.links_with_anchor() {
        let list = match usable(question, issuer) {
            Ok(list) => list,
            Err(problem) => return Verdict::Failed(problem),
        };
        if let Err(problem) = look_up(question, certificate, issuer, list) {
            return Verdict::Failed(problem);
        }
        newest = newest.or(Some(list));
    }
    match newest {
        Some(list) => {
            let end = list.next_update.map_or_else(
                || "which names no end".into(),
                |end| format!("good until {}", moment::date(end)),
            );
            Verdict::Ok(format!("not in {}, {end}", in_words(list)))
        }
        None => Verdict::Unchecked("not checked: the certificate of its issuer is not here".into()),
    }
}

// The CRL of an issuer: of several that its key signed, the newest that has begun.
fn usable<'a>(
    question: &Question<'a>,
    issuer: &Certificate,
) -> Result<&'a CertificateList, String> {
    let name = &issuer.subject;
    let mut own: Vec<_> = question
        .lists
        .iter()
        .filter(|list| list.issuer == *name)
        .collect();
    own.sort_by_key(|list| {
        (
            list.this_update <= question.at,
            list.this_update,
            &list.number,
        )
    });
    let mut wrong = None;
    for list in own.iter().rev() {
        let problem = match list.verify_signature(issuer) {
            Ok(()) => other_key(list, issuer),
            Err(error) => Some(format!("{}: {error}", in_words(list))),
        };
        match problem {
            None => return Ok(list),
            Some(problem) => wrong = wrong.or(Some(problem)),
        }
    }
    Err(wrong.unwrap_or_else(|| {
        let all = question.lists.iter();
        let others: Vec<_> = all.map(|list| list.issuer.to_string()).collect();
        let others = others.join(" and ");
        format!("it needs a CRL by {name}, and there is one by {others}")
    }))
}

// OpenSSL finds no CRL then.
fn other_key(list: &CertificateList, issuer: &Certificate) -> Option<String> {
    let asked = list.authority_key_identifier.as_ref()?;
    let found = issuer.subject_key_identifier.as_ref()?;
    (asked != found).then(|| {
        let (named, name) = (in_words(list), &issuer.subject);
        let (asked, found) = (hex::upper(asked), hex::upper(found));
        format!("{named} names the issuer's key {asked}, but that of {name} is {found}")
    })
}

fn look_up(
    question: &Question<'_>,
    certificate: &Certificate,
    issuer: &Certificate,
    list: &CertificateList,
) -> Result<(), String> {
    let named = in_words(list);
    if !issuer.may_sign_crls {
        return Err(format!(
            "{} may not sign {named}: its keyUsage has no cRLSign",
            issuer.subject
        ));
    }
    if let Some(extension) = &list.unknown_critical {
        return Err(format!(
            "{named} has the critical extension {extension}, which mailca does not know"
        ));
    }
    let found = list
        .find(&certificate.serial)
        .map_err(|error| format!("{named}: {error}"))?;
    if let Some(entry) = found {
        if let Some(extension) = entry.unknown_critical {
            return Err(format!(
                "its entry in {named} has the critical extension {extension}, which mailca does not know"
            ));
        }
        let reason = entry.reason.map_or(String::new(), |reason| {
            format!(" ({})", reason_name(reason))
        });
        let who = if std::ptr::eq(certificate, question.certificate) {
            String::new()
        } else {
            format!("{}, which is in the chain, was ", certificate.subject)
        };
        return Err(format!(
            "{who}revoked on {}{reason}",
            moment::date(entry.revoked_at)
        ));
    }
    let moment = Moment {
        at: question.at,
        is_now: question.is_now,
    };
    if question.at < list.this_update {
        return Err(format!("{named} {}", moment.before(list.this_update)));
    }
    match list.next_update {
        Some(end) if question.at >= end => Err(format!("{named} {}", moment.after(end))),
        _ => Ok(()),
    }
}

fn in_words(list: &CertificateList) -> String {
    let date = moment::date(list.this_update);
    match &list.number {
        Some(number) => format!("CRL {number} of {date}"),
        None => format!("the CRL of {date}"),
    }
}
