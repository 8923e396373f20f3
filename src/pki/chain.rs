//! Whether a certificate is good: the path to a trusted CA, its validity, names, purposes and
//! revocation, a verdict each (RFC 5280 section 6). webpki builds and validates the path; what it
//! leaves out, above all the trusted CA itself, is checked here.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;

use self::path::Path;
use super::certificate::Certificate;
use super::certificate_list::CertificateList;
use super::general_name::GeneralName;
use super::moment::{self, Moment};
use super::signed::SignedError;

mod algorithms;
mod host_name;
mod path;
mod purpose;
mod revocation;

/// What a certificate shall be good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To be a TLS server.
    Server,
    /// To be a TLS client.
    Client,
    /// Whatever it is for.
    #[default]
    Any,
}

impl Purpose {
    /// Every purpose, in the order of the help text.
    pub const ALL: [Self; 3] = [Self::Server, Self::Client, Self::Any];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Any => "any",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Purpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.name() == text)
            .ok_or_else(|| format!("{text:?} is not a purpose: they are server, client and any"))
    }
}

/// What became of one check, and why, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Ok(String),
    /// Something is wrong.
    Failed(String),
    /// It is not so, and nobody asked that it be so.
    No(String),
    /// It was not checked.
    Unchecked(String),
}

impl Verdict {
    /// The reason, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Ok(reason)
            | Self::Failed(reason)
            | Self::No(reason)
            | Self::Unchecked(reason) => reason,
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// what was looked at
    #[serde(rename = "check")]
    pub name: &'static str,
    /// what was found
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A certificate, and what it shall be held against.
#[derive(Debug)]
pub struct Question<'a> {
    /// the certificate
    pub certificate: &'a Certificate,
    /// certificates of CAs that may stand between it and a trusted one
    pub untrusted: &'a [Certificate],
    /// certificates of trusted CAs
    pub anchors: &'a [Certificate],
    /// CRLs
    pub lists: &'a [CertificateList],
    /// why there are no CRLs, where there are none
    pub no_lists: &'a str,
    /// the host, address or mailbox it shall be for
    pub host: Option<&'a GeneralName>,
    /// what it shall be good for
    pub purpose: Purpose,
    /// the time it shall be good at
    pub at: OffsetDateTime,
    /// whether that is the present time
    pub is_now: bool,
}

impl Question<'_> {
    /// The verdicts.
    #[must_use]
    pub fn answer(&self) -> Vec<Check> {
        let path = Path::find(self);
        let check = |name, verdict| Check { name, verdict };
        let mut checks = vec![
            check("chain", path.verdict()),
            check("CA", self.check_anchor(&path)),
            check("validity", self.check_validity(&path)),
            check("host name", host_name::check(self)),
        ];
        for purpose in [Purpose::Server, Purpose::Client] {
            if self.purpose == purpose || self.purpose == Purpose::Any {
                checks.push(check(purpose.name(), purpose::check(self, &path, purpose)));
            }
        }
        checks.push(check("CRL", revocation::check(self, &path)));
        checks
    }

    fn moment(&self) -> Moment {
        Moment {
            at: self.at,
            is_now: self.is_now,
        }
    }

    // Nobody vouches for a trusted CA, and webpki takes it for what it is called (RFC 5280
    // section 6.1.1 d), but OpenSSL and GnuTLS look at it.
    fn check_anchor(&self, path: &Path<'_>) -> Verdict {
        let Some(anchor) = path.anchor.or_else(|| only(self.anchors)) else {
            return Verdict::Unchecked("not checked: the chain leads to no trusted CA".into());
        };
        if path.is_trusted_itself() && !anchor.is_ca {
            return Verdict::Unchecked("not checked: the certificate needs none".into());
        }
        if let Some(problem) = anchor_problem(anchor, self.moment()) {
            return Verdict::Failed(problem);
        }
        let end = moment::date(anchor.not_after);
        let but = anchor.tolerated.map(|why| format!(", but it {why}"));
        let but = but.unwrap_or_default();
        Verdict::Ok(format!("{}, valid until {end}{but}", anchor.subject))
    }

    fn check_validity(&self, path: &Path<'_>) -> Verdict {
        let moment = self.moment();
        let own = self.certificate;
        if let Some(problem) = moment.outside(own.not_before, own.not_after) {
            return Verdict::Failed(problem);
        }
        for between in path.intermediates() {
            if let Some(problem) = moment.outside(between.not_before, between.not_after) {
                return Verdict::Failed(format!(
                    "{}, which is in the chain, {problem}",
                    between.subject
                ));
            }
        }
        let (start, end) = (moment::date(own.not_before), moment::date(own.not_after));
        Verdict::Ok(format!("{start} to {end}"))
    }
}

fn only(anchors: &[Certificate]) -> Option<&Certificate> {
    anchors.first().filter(|_| anchors.len() == 1)
}

fn anchor_problem(anchor: &Certificate, moment: Moment) -> Option<String> {
    let name = &anchor.subject;
    if anchor.version < 3 && !anchor.acts_as_ca() {
        return Some(format!(
            "{name} is of version {}, which cannot say that it is a CA",
            anchor.version
        ));
    }
    if !anchor.acts_as_ca() {
        return Some(format!(
            "{name} is not a CA: its basicConstraints do not say CA:TRUE"
        ));
    }
    if !anchor.may_sign_certificates {
        return Some(format!(
            "{name} may not sign certificates: its keyUsage has no keyCertSign"
        ));
    }
    if let Some(problem) = moment.outside(anchor.not_before, anchor.not_after) {
        return Some(format!("{name} {problem}"));
    }
    if let Some(extension) = &anchor.unreadable {
        return Some(format!("the {extension} of {name} cannot be read"));
    }
    if let Some(extension) = &anchor.unknown_critical {
        return Some(format!(
            "{name} has the critical extension {extension}, which mailca does not know"
        ));
    }
    // A signature of another kind is no matter: nobody relies on it.
    if anchor.is_self_issued()
        && let Err(SignedError::Wrong(_)) = anchor.verify_signature(anchor)
    {
        return Some(format!(
            "{name} was altered: its signature does not match its own key"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use time::Duration;

    use super::*;
    use crate::pki::testing::Openssl;

    fn answer(certificate: &Certificate, untrusted: &[Certificate], anchors: &[Certificate]) {
        let question = Question {
            certificate,
            untrusted,
            anchors,
            lists: &[],
            no_lists: "",
            host: Some(&GeneralName::Dns("mail.example.test".into())),
            purpose: Purpose::Any,
            at: anchors[0].not_before + Duration::hours(1),
            is_now: true,
        };
        let checks = question.answer();
        assert_eq!(checks.len(), 7);
        assert!(
            checks
                .iter()
                .all(|check| !check.verdict.reason().is_empty())
        );
    }

    #[test]
    fn damage_in_a_certificate_never_panics() {
        let ca = Openssl::new();
        ca.p256("ca.key");
        ca.run("req -x509 -new -key ca.key -out ca.pem -days 30 -subj /CN=CA");
        ca.p256("leaf.key");
        ca.run("req -new -key leaf.key -out leaf.csr -subj /CN=mail.example.test");
        ca.write(
            "leaf.ext",
            "subjectAltName=DNS:mail.example.test\nextendedKeyUsage=serverAuth\n\
             keyUsage=digitalSignature\nauthorityKeyIdentifier=keyid,issuer:always\n",
        );
        ca.run("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile leaf.ext -out leaf.pem");
        let (trusted, leaf) = (ca.certificate("ca.pem"), ca.certificate("leaf.pem"));
        for original in [&trusted, &leaf] {
            for at in 0..original.as_der().len() {
                for value in [0, 0x30, 0x80, 0xFF] {
                    let mut der = original.as_der().to_vec();
                    der[at] = value;
                    if let Ok(damaged) = Certificate::from_der(&der) {
                        let damaged = [damaged];
                        answer(&damaged[0], &[], from_ref(&trusted));
                        answer(&leaf, &damaged, from_ref(&trusted));
                        answer(&leaf, &[], &damaged);
                    }
                }
            }
        }
    }
}
