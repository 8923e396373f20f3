//! The path from a certificate to a trusted CA, as webpki finds it; where it finds none, the one
//! that was probably meant, and what is wrong with it.

use std::cell::RefCell;
use std::time::Duration;

use const_oid::ObjectIdentifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{
    Cert, EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage,
    VerifiedPath, anchor_from_trusted_cert,
};

use super::{Purpose, Question, Verdict, algorithms, anchor_problem, purpose};
use crate::pki::certificate::Certificate;
use crate::pki::name_constraints::Bounds;

// As many as webpki takes.
const MOST_CAS: usize = 7;

/// A certificate, its issuer, the issuer's issuer and so on.
#[derive(Debug)]
pub(super) struct Path<'a> {
    own: &'a Certificate,
    between: Vec<&'a Certificate>,
    /// the trusted CA at its end
    pub anchor: Option<&'a Certificate>,
    problem: Option<String>,
    /// a time at which all of it is valid
    at: OffsetDateTime,
}

impl<'a> Path<'a> {
    /// The best path there is.
    pub fn find(question: &Question<'a>) -> Self {
        let own = question.certificate;
        if let Some(itself) = question
            .anchors
            .iter()
            .find(|one| one.as_der() == own.as_der())
        {
            return Self {
                anchor: Some(itself),
                ..Self::alone(question)
            };
        }
        let mut found: Option<Self> = None;
        let mut refused = None;
        // Those that signed it come first: among many of one name, webpki gives up at some point.
        let mut anchors: Vec<_> = question.anchors.iter().collect();
        anchors.sort_by_cached_key(|anchor| {
            anchor.subject != own.issuer || own.verify_signature(anchor).is_err()
        });
        for anchor in anchors {
            match Self::validated(question, anchor) {
                Ok(path) => {
                    let is_good = path.problem.is_none()
                        && anchor_problem(anchor, question.moment()).is_none();
                    if is_good {
                        return path;
                    }
                    found = found.or(Some(path));
                }
                Err(Error::UnknownIssuer) => {}
                Err(error) if is_exhausted(&error) => {
                    refused = Some(error);
                    break;
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        found.unwrap_or_else(|| {
            let mut path = Self::guessed(question);
            path.problem = Some(path.refusal(question, &refused.unwrap_or(Error::UnknownIssuer)));
            path
        })
    }

    fn alone(question: &Question<'a>) -> Self {
        Self {
            own: question.certificate,
            between: Vec::new(),
            anchor: None,
            problem: None,
            at: question.at,
        }
    }

    fn complete(
        question: &Question<'a>,
        between: Vec<&'a Certificate>,
        anchor: &'a Certificate,
        at: OffsetDateTime,
    ) -> Self {
        let mut path = Self {
            between,
            anchor: Some(anchor),
            at,
            ..Self::alone(question)
        };
        path.problem = path.overlooked();
        path
    }

    // Validity has a verdict of its own: here it is enough that all are valid at some time. Where
    // there is no path with nothing against it, the first with something against it is taken.
    fn validated(question: &Question<'a>, anchor: &'a Certificate) -> Result<Self, Error> {
        let all = [question.certificate].into_iter().chain(question.untrusted);
        let mut times = vec![question.at];
        times.extend(all.map(|one| question.at.min(one.not_after).max(one.not_before)));
        times.dedup();
        let mut refused = Error::UnknownIssuer;
        for at in times {
            let path = |constraints| Self::validated_at(question, anchor, at, constraints);
            let result = match path(NameConstraints::Checked) {
                // webpki compares no mailboxes, and refuses all where some are constrained.
                Err(Error::NameConstraintViolation)
                    if anchor.bounds.as_ref().is_none_or(Bounds::is_known) =>
                {
                    path(NameConstraints::LeftToUs)
                }
                other => other,
            };
            // For webpki, time comes before all other reasons.
            match result {
                Err(error @ (Error::CertExpired { .. } | Error::CertNotValidYet { .. })) => {
                    refused = error;
                }
                other => return other,
            }
        }
        Err(refused)
    }

    fn validated_at(
        question: &Question<'a>,
        anchor: &'a Certificate,
        at: OffsetDateTime,
        constraints: NameConstraints,
    ) -> Result<Self, Error> {
        let questionable = RefCell::new(None);
        let accept = |between: Vec<&'a Certificate>| {
            let path = Self::complete(question, between, anchor, at);
            let is_good = path.problem.is_none();
            questionable.borrow_mut().get_or_insert(path);
            is_good
        };
        let trust = (anchor, constraints);
        match validate(question, trust, at, &AnyPurpose, &accept) {
            Ok(between) => Ok(Self::complete(question, between, anchor, at)),
            Err(error) => questionable.into_inner().ok_or(error),
        }
    }

    // By the names alone, but rather by the signature where several have a name.
    fn guessed(question: &Question<'a>) -> Self {
        let mut path = Self::alone(question);
        loop {
            let last = path.last();
            let issuer_in = |certificates: &'a [Certificate]| {
                let mut named = certificates.iter().filter(|one| one.subject == last.issuer);
                let first = named.clone().next();
                named
                    .find(|one| last.verify_signature(one).is_ok())
                    .or(first)
            };
            path.anchor = issuer_in(question.anchors);
            let next = issuer_in(question.untrusted);
            match next.filter(|_| path.anchor.is_none() && path.between.len() < MOST_CAS) {
                Some(next) if !path.certificates().any(|one| one.as_der() == next.as_der()) => {
                    path.between.push(next);
                }
                _ => return path,
            }
        }
    }

    fn last(&self) -> &'a Certificate {
        self.between.last().copied().unwrap_or(self.own)
    }

    /// The CAs between the certificate and the trusted one.
    pub fn intermediates(&self) -> impl Iterator<Item = &'a Certificate> {
        self.between.iter().copied()
    }

    /// All certificates, the trusted CA's last.
    pub fn certificates(&self) -> impl Iterator<Item = &'a Certificate> {
        let anchor = self.anchor.filter(|_| !self.is_trusted_itself());
        [self.own]
            .into_iter()
            .chain(self.intermediates())
            .chain(anchor)
    }

    /// Each certificate with that of its issuer.
    pub fn links(&self) -> impl Iterator<Item = (&'a Certificate, &'a Certificate)> {
        self.certificates().zip(self.certificates().skip(1))
    }

    /// The same, and the trusted CA itself where it is its own issuer.
    pub fn links_with_anchor(&self) -> impl Iterator<Item = (&'a Certificate, &'a Certificate)> {
        let anchor = self.anchor.filter(|anchor| anchor.is_self_issued());
        self.links().chain(anchor.map(|anchor| (anchor, anchor)))
    }

    /// What there is to say of the path itself.
    pub fn verdict(&self) -> Verdict {
        if let Some(problem) = &self.problem {
            return Verdict::Failed(problem.clone());
        }
        let issuers: Vec<_> = self
            .certificates()
            .skip(1)
            .map(|one| one.subject.to_string())
            .collect();
        match issuers.as_slice() {
            [] => Verdict::Ok("it is trusted itself".into()),
            issuers => Verdict::Ok(format!("signed by {}", issuers.join(", under "))),
        }
    }

    /// Whether nothing but trust is needed for it.
    pub fn is_trusted_itself(&self) -> bool {
        let own = self.own.as_der();
        self.anchor.is_some_and(|anchor| anchor.as_der() == own)
    }

    /// What stands against using it for a purpose, whose object identifier is `wanted`.
    pub fn purpose_problem(
        &self,
        question: &Question<'a>,
        purpose: Purpose,
        wanted: ObjectIdentifier,
    ) -> Option<String> {
        let lacks =
            |one: &&Certificate| !one.purposes.is_empty() && !one.purposes.contains(&wanted);
        let lacking = self.certificates().find(lacks);
        let anchor = self.anchor.filter(|_| self.problem.is_none());
        let Some(anchor) = anchor.filter(|_| !self.is_trusted_itself()) else {
            return lacking.map(|one| self.lacks(one, wanted));
        };
        let usage = match purpose {
            Purpose::Client => KeyUsage::client_auth(),
            Purpose::Server | Purpose::Any => KeyUsage::server_auth(),
        };
        let trust = (anchor, NameConstraints::LeftToUs);
        let accept = |between: Vec<&'a Certificate>| {
            let path = Self::complete(question, between, anchor, self.at);
            path.problem.is_none()
        };
        match (validate(question, trust, self.at, &usage, &accept), lacking) {
            // webpki does not look at the trusted CA's.
            (Ok(_), _) => lacks(&anchor).then(|| self.lacks(anchor, wanted)),
            (Err(_), Some(one)) => Some(self.lacks(one, wanted)),
            (Err(error), None) => Some(self.refusal(question, &error)),
        }
    }

    fn lacks(&self, certificate: &Certificate, wanted: ObjectIdentifier) -> String {
        let whose = if std::ptr::eq(certificate, self.own) {
            "its purposes are".into()
        } else {
            let name = &certificate.subject;
            format!("the purposes of {name}, which is in the chain, are")
        };
        let wanted = purpose::short(wanted);
        format!("{whose} {}, not {wanted}", purpose::all_of(certificate))
    }

    // What webpki leaves out: keyUsage and key identifiers of issuers, the trusted CA's
    // pathLenConstraint, and names that stand in the CN.
    fn overlooked(&self) -> Option<String> {
        if let Some(one) = self.certificates().find(|one| one.unreadable.is_some())
            && let Some(extension) = &one.unreadable
        {
            return Some(format!("the {extension} of {} cannot be read", one.title()));
        }
        for (certificate, issuer) in self.links() {
            let (who, name) = (self.who(certificate), &issuer.subject);
            let is_anchor = self
                .anchor
                .is_some_and(|anchor| std::ptr::eq(anchor, issuer));
            if !issuer.may_sign_certificates && !is_anchor {
                return Some(format!(
                    "{name} may not sign certificates: its keyUsage has no keyCertSign"
                ));
            }
            // OpenSSL then finds no issuer.
            if let (Some(asked), Some(found)) = (
                &certificate.authority_key_identifier,
                &issuer.subject_key_identifier,
            ) && asked != found
            {
                let hex = crate::pki::hex::upper;
                return Some(format!(
                    "{who} names the issuer's key {}, but that of {name} is {}",
                    hex(asked),
                    hex(found)
                ));
            }
            if let Some(asked) = &certificate.authority_serial
                && *asked != issuer.serial
            {
                return Some(format!(
                    "{who} names its issuer's certificate {asked}, but that of {name} is {}",
                    issuer.serial
                ));
            }
        }
        let below = self
            .between
            .iter()
            .filter(|one| !one.is_self_issued())
            .count();
        match self.anchor.and_then(|anchor| anchor.path_length) {
            Some(most) if below > usize::try_from(most).unwrap_or(usize::MAX) => {
                return Some(self.too_long());
            }
            _ => {}
        }
        self.outside_bounds()
    }

    fn outside_bounds(&self) -> Option<String> {
        let below: Vec<_> = self.certificates().collect();
        below.iter().enumerate().find_map(|(place, issuer)| {
            let bounds = issuer.bounds.as_ref()?;
            let violation = below[..place].iter().enumerate().find_map(|(at, one)| {
                let checked = if at == 0 {
                    bounds.check_end_entity(&one.subject, &one.names)
                } else {
                    bounds.check(&one.subject, &one.names)
                };
                checked.err()
            })?;
            Some(format!(
                "the name constraints of {} {violation}",
                issuer.subject
            ))
        })
    }

    fn too_long(&self) -> String {
        let cas = self.certificates().skip(1);
        let limited = cas.enumerate().find(|(below, ca)| {
            ca.path_length
                .is_some_and(|most| u32::try_from(*below).is_ok_and(|below| below > most))
        });
        match limited.and_then(|(below, ca)| Some((below, ca, ca.path_length?))) {
            Some((below, ca, most)) => format!(
                "{} allows {most} CAs below it (pathLenConstraint), and here are {below}",
                ca.subject
            ),
            None => "one of its CAs allows fewer CAs below it (pathLenConstraint)".into(),
        }
    }

    fn who(&self, certificate: &Certificate) -> String {
        if std::ptr::eq(certificate, self.own) {
            "it".into()
        } else {
            certificate.subject.to_string()
        }
    }

    // What webpki says, in words that name the certificate it means.
    fn refusal(&self, question: &Question<'_>, error: &Error) -> String {
        let find = |wanted: &dyn Fn(&Certificate) -> bool| {
            let found = self.certificates().find(|one| wanted(one));
            found.unwrap_or(self.own)
        };
        match error {
            Error::UnknownIssuer => self.no_issuer(question),
            Error::CaUsedAsEndEntity if self.own.is_self_issued() => self.no_issuer(question),
            Error::InvalidSignatureForPublicKey
            | Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => self.bad_signature(),
            Error::UnsupportedCertVersion => {
                let old = find(&|one| one.version < 3);
                format!(
                    "{} is of version {}, which has neither names nor purposes",
                    self.who(old),
                    old.version
                )
            }
            Error::CaUsedAsEndEntity => "it is a CA's certificate (CA:TRUE), not a host's".into(),
            Error::EndEntityUsedAsCa => {
                let no_ca = self
                    .intermediates()
                    .find(|one| !one.is_ca)
                    .unwrap_or(self.own);
                format!(
                    "{} signed it and is not a CA: its basicConstraints do not say CA:TRUE",
                    no_ca.subject
                )
            }
            Error::PathLenConstraintViolated => self.too_long(),
            error if is_exhausted(error) => {
                "too many certificates of the same names lead to no trusted CA".into()
            }
            Error::MaximumPathDepthExceeded => format!("it has more than {MOST_CAS} CAs above it"),
            Error::NameConstraintViolation => self.outside_bounds().unwrap_or_else(|| {
                "its names are outside what its CAs may certify, or cannot be compared with it"
                    .into()
            }),
            Error::UnsupportedCriticalExtension => {
                let strange = find(&|one| one.unknown_critical.is_some());
                let extension = strange
                    .unknown_critical
                    .as_deref()
                    .unwrap_or("of an unknown kind");
                format!(
                    "{} has the critical extension {extension}, which mailca does not know",
                    self.who(strange)
                )
            }
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } => {
                "the certificates of its chain were never valid at the same time".into()
            }
            Error::InvalidCertValidity => {
                format!(
                    "{} ends before it begins",
                    self.who(find(&|one| one.not_after < one.not_before))
                )
            }
            Error::SignatureAlgorithmMismatch => {
                "a certificate of its chain names two different signature algorithms".into()
            }
            Error::EmptyEkuExtension => "its extendedKeyUsage is empty".into(),
            other => format!("it is not well-formed ({other:?})"),
        }
    }

    fn no_issuer(&self, question: &Question<'_>) -> String {
        let last = self.last();
        let trusted = match question.anchors {
            [] => "no CA is trusted".into(),
            [one] => format!("trusted is {}", one.subject),
            several => format!("trusted are {} others", several.len()),
        };
        let who = if std::ptr::eq(last, self.own) {
            "it".into()
        } else {
            format!("{}, which is in the chain,", last.subject)
        };
        if last.is_self_issued() {
            format!("{who} is self-signed; {trusted}")
        } else {
            let issuer = &last.issuer;
            format!("{who} is signed by {issuer}, whose certificate is not here; {trusted}")
        }
    }

    fn bad_signature(&self) -> String {
        let checked = self
            .links()
            .map(|(one, issuer)| (one, one.verify_signature(issuer)));
        let bad = checked
            .into_iter()
            .find_map(|(one, result)| Some((one, result.err()?)));
        match bad {
            Some((one, error)) if std::ptr::eq(one, self.own) => error.to_string(),
            Some((one, error)) => format!("{}, which is in the chain: {error}", one.subject),
            None => "a signature in its chain is wrong".into(),
        }
    }
}

fn is_exhausted(error: &Error) -> bool {
    matches!(
        error,
        Error::MaximumSignatureChecksExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumNameConstraintComparisonsExceeded
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NameConstraints {
    Checked,
    LeftToUs,
}

// The intermediate certificates of the first path that is valid and that `accept` takes.
fn validate<'a>(
    question: &Question<'a>,
    (anchor, constraints): (&Certificate, NameConstraints),
    at: OffsetDateTime,
    usage: &impl ExtendedKeyUsageValidator,
    accept: &dyn Fn(Vec<&'a Certificate>) -> bool,
) -> Result<Vec<&'a Certificate>, Error> {
    let own = CertificateDer::from(question.certificate.as_der());
    let own = EndEntityCert::try_from(&own)?;
    let trusted = CertificateDer::from(anchor.as_der());
    let mut trusted = anchor_from_trusted_cert(&trusted)?;
    if constraints == NameConstraints::LeftToUs {
        trusted.name_constraints = None;
    }
    let anchors = [trusted];
    let untrusted = question.untrusted;
    let between: Vec<_> = untrusted
        .iter()
        .map(|one| CertificateDer::from(one.as_der()))
        .collect();
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let intermediates_of = |path: &VerifiedPath<'_>| -> Vec<&'a Certificate> {
        let all = path.intermediate_certificates();
        let known = |one: &Cert<'_>| untrusted.iter().find(|known| known.as_der() == &*one.der());
        all.filter_map(known).collect()
    };
    let take = |path: &VerifiedPath<'_>| {
        let is_taken = accept(intermediates_of(path));
        is_taken.then_some(()).ok_or(Error::UnknownIssuer)
    };
    let path = own.verify_for_usage(
        &algorithms::ALL,
        &anchors,
        &between,
        time,
        usage,
        None,
        Some(&take),
    )?;
    Ok(intermediates_of(&path))
}

// Purposes have a verdict of their own.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        purposes
            .into_iter()
            .try_for_each(|purpose| purpose.map(drop))
    }
}
