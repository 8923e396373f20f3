//! From a request to a recorded certificate: what `sign` and `issue` have in common.

use std::path::PathBuf;

use anyhow::{Result, bail};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::review::Review;
use crate::pki::certificate;
use crate::pki::general_name::{GeneralName, GeneralNameError};
use crate::pki::key::PrivateKey;
use crate::pki::name::Name;
use crate::pki::name_constraints::Violation;
use crate::pki::profile::Profile;
use crate::pki::public_key::{self, PublicKeyKind};
use crate::pki::request::Request;
use crate::report::{self, List};
use crate::store::Store;
use crate::store::hosts;

/// Why a request is not signed although it is a good one.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The CA certificate has ended.
    #[error("the CA certificate {} expired on {}", .path.display(), report::date(*.not_after))]
    CaExpired {
        path: PathBuf,
        not_after: OffsetDateTime,
    },
    /// The CA certificate has not begun.
    #[error("the CA certificate {} is valid from {} on, but it is {} now", .path.display(), report::moment(*.not_before), report::moment(*.now))]
    CaNotYetValid {
        path: PathBuf,
        not_before: OffsetDateTime,
        now: OffsetDateTime,
    },
    /// The certificate in the CA's place cannot be a CA's.
    #[error("{} is not a CA certificate ({problem})", .path.display())]
    NotCa {
        path: PathBuf,
        problem: &'static str,
    },
    /// The key of the CA is of a kind that mailca only reads.
    #[error("mailca cannot sign with the key of {}, which is of type {kind}", .path.display())]
    CannotSign {
        path: PathBuf,
        kind: PublicKeyKind,
        /// whether the CA is its own issuer
        is_root: bool,
    },
    /// The certificate of the CA's issuer has ended.
    #[error("the CA certificate {}, by whose CA ours is certified, expired on {}", .path.display(), report::date(*.not_after))]
    IssuerExpired {
        path: PathBuf,
        certs: PathBuf,
        not_after: OffsetDateTime,
    },
    /// Verifiers refuse whatever a certificate of the chain is above.
    #[error("no certificate below {} would be accepted: {fault}", .path.display())]
    Useless { path: PathBuf, fault: String },
    /// Verifiers take the purposes of a CA certificate as the limit of those below.
    #[error("the extendedKeyUsage of {} does not permit {profile} certificates", .path.display())]
    NotForProfile {
        path: PathBuf,
        profile: Profile,
        instead: Option<Profile>,
    },
    /// Where every certificate is kept there is nothing.
    #[error("there is no directory {} for the certificates issued", .0.display())]
    NoPlace(PathBuf),
    /// Whoever has the CA's key needs no certificate from it.
    #[error("the request's key is the CA's own")]
    CaKey,
    /// Somebody else may have the private key.
    #[error("the request's key is that of {0}, which was revoked because the key was compromised")]
    CompromisedKey(String),
    /// Clients look for a server's name in the SubjectAltName only.
    #[error("a {0} certificate needs a name, but neither the request nor its subject has one")]
    NoName(Profile),
    /// A name of the request's SubjectAltName is none.
    #[error("the request asks for a name that cannot be certified: {0}")]
    BadName(GeneralNameError),
    /// A commonName has at most 64 characters.
    #[error("the first name {name} has {length} characters, but 64 are the limit of a commonName")]
    LongName { name: String, length: usize },
    /// Verifiers would refuse such a name below this CA certificate.
    #[error("the name constraints of {} {violation}", .path.display())]
    OutOfBounds { path: PathBuf, violation: Violation },
    /// Asked for a certificate that outlives its issuer.
    #[error("the certificate would be valid until {}, but the CA is only until {}", report::moment(*.asked), report::moment(*.ca))]
    OutlivesCa {
        asked: OffsetDateTime,
        ca: OffsetDateTime,
    },
    /// A time that no certificate has.
    #[error("the certificate would begin at {}, but times before 1970 are not certified", report::moment(*.0))]
    TooEarly(OffsetDateTime),
    /// The end comes before the beginning.
    #[error("the certificate would end at {}, before it begins at {}", report::moment(*.not_after), report::moment(*.not_before))]
    EndsBeforeItBegins {
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    },
    /// Two requests of one command are for one host, whose key is here.
    #[error("the host {0} is asked for twice")]
    HostTwice(String),
    /// Under `unique_subject = yes`, two requests of one command have one subject.
    #[error("{0} is asked for twice, and unique_subject = yes permits one valid certificate")]
    SubjectTwice(String),
    /// Somebody changed the directory after it was looked at.
    #[error("{} was changed by another command meanwhile; nothing was signed", .0.display())]
    ChangedMeanwhile(PathBuf),
}

/// How to sign, where it differs from the CA's settings.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    pub policy: Option<String>,
    pub preserve: bool,
    /// the subject was certified before: no policy is asked again
    pub is_renewal: bool,
    pub profile: Option<Profile>,
    pub days: Option<u32>,
    pub not_before: Option<OffsetDateTime>,
    pub not_after: Option<OffsetDateTime>,
    /// the names instead of the request's, if any are given
    pub names: Vec<GeneralName>,
}

/// The private key that came along with a request, or the one there is for its host.
#[derive(Clone, PartialEq, Eq)]
pub enum HostKeySource {
    /// hosts/HOST.next
    Next(PathBuf),
    /// PEM: hosts/HOST's own, or what came with the request
    Copy(Zeroizing<String>),
    /// on another machine
    Elsewhere,
}

/// What will be signed, settled but for its serial number.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    pub subject: Name,
    pub names: Vec<GeneralName>,
    pub profile: Profile,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub subject_public_key_info: Vec<u8>,
    /// the host's file name, where one can be told from the names
    pub host: Option<String>,
    pub key: HostKeySource,
    /// serial number and end of the certificate that is the host's now
    replaces: Option<(String, OffsetDateTime)>,
    /// what is not as the request asks, a sentence each
    pub notes: Vec<String>,
}

// As many wishes as are worth reading before an answer.
const SHOWN: usize = 50;

/// Settles what a request gets. `private_key` is the one that came with it.
pub fn plan(
    store: &Store,
    request: &Request,
    private_key: Option<&PrivateKey>,
    terms: &Terms,
    now: OffsetDateTime,
) -> Result<Plan> {
    check_ca(store, now)?;
    if !store.settings.new_certs_dir.is_dir() {
        bail!(Refusal::NoPlace(store.settings.new_certs_dir.clone()));
    }
    if request.subject_public_key_info == store.certificate.subject_public_key_info {
        bail!(Refusal::CaKey);
    }
    if let Some(serial) = store.compromised(&request.subject_public_key_info)? {
        bail!(Refusal::CompromisedKey(serial));
    }
    let mut notes = Vec::new();
    let profile = terms.profile.unwrap_or(store.settings.profile);
    let wishes = request.not_honoured(profile);
    for wish in wishes.iter().take(SHOWN) {
        notes.push(format!(
            "the request asks for {wish}, which it does not get"
        ));
    }
    if let Some(more @ 1..) = wishes.len().checked_sub(SHOWN) {
        notes.push(format!(
            "the request asks for {more} things more, which it does not get"
        ));
    }
    let subject = subject(store, request, terms, &mut notes)?;
    check_profile(store, profile)?;
    let names = names(request, terms, profile, &mut notes)?;
    check_bounds(store, &subject, &names)?;
    let (not_before, not_after) = validity(store, terms, now, &mut notes)?;
    let title = certificate::title(&subject, &names);
    if let Some(title) = title.as_ref().filter(|title| title.chars().count() > 64) {
        bail!(Refusal::LongName {
            name: title.clone(),
            length: title.chars().count(),
        });
    }
    let host = title
        .as_deref()
        .and_then(|title| hosts::file_name(title).ok());
    let mut plan = Plan {
        subject,
        names,
        profile,
        not_before,
        not_after,
        subject_public_key_info: request.subject_public_key_info.clone(),
        host,
        key: HostKeySource::Elsewhere,
        replaces: None,
        notes,
    };
    if let (Some(host), Some(title)) = (plan.host.clone(), title) {
        find_key(store, &host, &title, private_key, &mut plan)?;
    }
    Ok(plan)
}

fn check_ca(store: &Store, now: OffsetDateTime) -> Result<(), Refusal> {
    let ca = &store.certificate;
    let path = || store.settings.certificate.clone();
    if ca.not_after < now {
        return Err(Refusal::CaExpired {
            path: path(),
            not_after: ca.not_after,
        });
    }
    if ca.not_before > now {
        return Err(Refusal::CaNotYetValid {
            path: path(),
            not_before: ca.not_before,
            now,
        });
    }
    if !ca.acts_as_ca() {
        return Err(Refusal::NotCa {
            path: path(),
            problem: "basicConstraints does not say CA:TRUE",
        });
    }
    check_key(store)?;
    if let Some(expired) = store
        .issuers
        .iter()
        .find(|issuer| issuer.certificate.not_after < now)
    {
        return Err(Refusal::IssuerExpired {
            path: expired.path.clone(),
            certs: store.settings.certs.clone(),
            not_after: expired.certificate.not_after,
        });
    }
    check_chain(store)
}

/// Refuses before any question what the CA's key cannot do, as its certificate tells.
pub fn check_key(store: &Store) -> Result<(), Refusal> {
    let ca = &store.certificate;
    match PublicKeyKind::of(&ca.subject_public_key_info) {
        Ok(kind) if !kind.can_sign() => Err(Refusal::CannotSign {
            path: store.settings.certificate.clone(),
            kind,
            is_root: ca.is_self_issued(),
        }),
        _ => Ok(()),
    }
}

/// What RFC 5280 section 6.1 has a verifier check of every CA certificate in the chain.
pub fn check_chain(store: &Store) -> Result<(), Refusal> {
    let chain: Vec<_> = store.chain().collect();
    for (below, (path, ca)) in chain.iter().enumerate() {
        let fault = if ca.fault.is_some() {
            ca.fault.clone()
        } else if !ca.may_sign_certificates {
            Some("its keyUsage does not include keyCertSign".into())
        } else if let Some(most) = ca.path_length.filter(|most| (*most as usize) < below) {
            Some(format!(
                "its pathlen permits {most} CAs below it, and there are {below}"
            ))
        } else {
            let bounds = ca.bounds.iter();
            let mut held = bounds.flat_map(|bounds| {
                let lower = chain[..below].iter();
                lower.map(|(_, ca)| bounds.check(&ca.subject, &ca.names))
            });
            let violation = held.find_map(Result::err);
            violation.map(|violation| format!("its name constraints {violation}"))
        };
        if let Some(fault) = fault {
            let path = path.to_path_buf();
            return Err(Refusal::Useless { path, fault });
        }
    }
    Ok(())
}

fn check_profile(store: &Store, profile: Profile) -> Result<(), Refusal> {
    let purposes = profile.purposes();
    let permits = |profile: &Profile| {
        let mut chain = store.chain();
        chain.all(|(_, ca)| ca.permits_purposes(profile.purposes()))
    };
    match store.chain().find(|(_, ca)| !ca.permits_purposes(purposes)) {
        Some((path, _)) => Err(Refusal::NotForProfile {
            path: path.to_owned(),
            profile,
            instead: Profile::ALL.into_iter().find(permits),
        }),
        None => Ok(()),
    }
}

fn subject(
    store: &Store,
    request: &Request,
    terms: &Terms,
    notes: &mut Vec<String>,
) -> Result<Name> {
    if terms.is_renewal {
        return Ok(request.subject.clone());
    }
    let (policy, stricter) = store.settings.policy(terms.policy.as_deref())?;
    let applied = policy.apply(&request.subject, &store.certificate.subject)?;
    if let Some(own) = stricter {
        notes.push(format!(
            "signed under {policy}; openssl.cnf itself names the stricter {own} (--policy {own})"
        ));
    }
    if terms.preserve || store.settings.preserve {
        return Ok(request.subject.clone());
    }
    for dropped in &applied.dropped {
        notes.push(format!(
            "{policy} has no place for {dropped} of the subject (--preserve-dn keeps it)"
        ));
    }
    if applied.reordered {
        notes.push(format!(
            "{policy} puts the subject in another order than the request (--preserve-dn keeps it)"
        ));
    }
    Ok(applied.subject)
}

fn names(
    request: &Request,
    terms: &Terms,
    profile: Profile,
    notes: &mut Vec<String>,
) -> Result<Vec<GeneralName>, Refusal> {
    let names = if terms.names.is_empty() {
        requested_names(request, notes)?
    } else {
        notes.extend(replaced_names(request, &terms.names));
        terms.names.clone()
    };
    if names.is_empty() && profile.needs_names() {
        return Err(Refusal::NoName(profile));
    }
    Ok(names)
}

fn requested_names(
    request: &Request,
    notes: &mut Vec<String>,
) -> Result<Vec<GeneralName>, Refusal> {
    let names = request.names.clone().map_err(Refusal::BadName)?;
    if !names.is_empty() {
        return Ok(names);
    }
    let from_subject = request.names_from_subject();
    if !from_subject.is_empty() {
        let lack = if request.has_subject_alt_name {
            "no name in the request's SubjectAltName is of a kind that is certified"
        } else {
            "the request has no SubjectAltName"
        };
        let list = List(&from_subject);
        notes.push(format!("{lack}; from its subject comes {list}"));
    }
    Ok(from_subject)
}

// What --san takes away.
fn replaced_names(request: &Request, names: &[GeneralName]) -> Option<String> {
    let wish = match &request.names {
        Ok(own) => {
            let gone: Vec<_> = own.iter().filter(|name| !names.contains(name)).collect();
            if gone.is_empty() {
                return None;
            }
            List(&gone).to_string()
        }
        Err(problem) => format!("a name that cannot be certified ({problem})"),
    };
    Some(format!(
        "the request asks for {wish}, which it does not get"
    ))
}

fn check_bounds(store: &Store, subject: &Name, names: &[GeneralName]) -> Result<(), Refusal> {
    for (path, ca) in store.chain() {
        if let Some(bounds) = &ca.bounds {
            bounds
                .check_end_entity(subject, names)
                .map_err(|violation| Refusal::OutOfBounds {
                    path: path.to_owned(),
                    violation,
                })?;
        }
    }
    Ok(())
}

fn validity(
    store: &Store,
    terms: &Terms,
    now: OffsetDateTime,
    notes: &mut Vec<String>,
) -> Result<(OffsetDateTime, OffsetDateTime), Refusal> {
    let ca = store.certificate.not_after;
    let not_before = terms.not_before.unwrap_or(now);
    if not_before < OffsetDateTime::UNIX_EPOCH {
        return Err(Refusal::TooEarly(not_before));
    }
    let days = terms.days.unwrap_or(store.settings.default_days);
    let wanted = terms
        .not_after
        .unwrap_or(not_before.saturating_add(Duration::days(days.into())));
    // As many days as the CA was made for are not too many a moment later.
    let wanted = match wanted - ca {
        surplus if surplus < Duration::DAY && terms.not_after.is_none() => wanted.min(ca),
        _ => wanted,
    };
    let was_asked = terms.days.is_some() || terms.not_after.is_some();
    if wanted > ca && was_asked {
        return Err(Refusal::OutlivesCa { asked: wanted, ca });
    }
    if wanted > ca {
        let end = report::date(ca);
        notes.push(format!(
            "shortened from {days} days: the CA certificate ends on {end}"
        ));
    }
    let not_after = wanted.min(ca);
    if not_after <= not_before {
        return Err(Refusal::EndsBeforeItBegins {
            not_before,
            not_after,
        });
    }
    Ok((not_before, not_after))
}

// A certificate becomes a host's current one by its key, so that no signing can break the pair of
// a running server.
fn find_key(
    store: &Store,
    host: &str,
    title: &str,
    private_key: Option<&PrivateKey>,
    plan: &mut Plan,
) -> Result<()> {
    let current = store.hosts.certificate(host)?;
    let is_ours = |key: &PrivateKey| key.subject_public_key_info() == plan.subject_public_key_info;
    let next = store.hosts.next(host);
    plan.key = if store.hosts.key(&next)?.as_ref().is_some_and(is_ours) {
        HostKeySource::Next(next)
    } else if let Some(key) = private_key {
        HostKeySource::Copy(key.to_pem()?)
    } else {
        let held = store.hosts.key(&store.hosts.current(host))?;
        match held.filter(is_ours) {
            Some(key) => HostKeySource::Copy(key.to_pem()?),
            None => HostKeySource::Elsewhere,
        }
    };
    if plan.key == HostKeySource::Elsewhere {
        if current.is_some() {
            let path = store.hosts.current(host);
            plan.notes.push(format!(
                "the request's key is not the one in {}, which stays as it is",
                path.display()
            ));
        }
        return Ok(());
    }
    store.hosts.check_name(host, title)?;
    plan.replaces = current.map(|old| (old.serial.to_string(), old.not_after));
    Ok(())
}

impl Plan {
    /// What is about to be signed, for the person who is asked, in lines of `width` columns.
    pub fn review(&self, store: &Store, width: usize) -> String {
        let mut review = Review::new(width);
        let mut field = |label: &str, value: &str| review.field(label, value);
        field("Issuer", &store.certificate.subject.to_string());
        field("Directory", &store.settings.root.display().to_string());
        field("Subject", &self.subject.to_string());
        let names = if self.names.is_empty() {
            "none".into()
        } else {
            List(&self.names).to_string()
        };
        field("Names", &names);
        let key = &self.subject_public_key_info;
        field("Key", &public_key::describe(key));
        let fingerprint = public_key::fingerprint(key);
        let (first, second) = fingerprint.split_at(fingerprint.len() / 2 + 1);
        field("Key digest", first);
        field("", second);
        let (from, to) = (report::date(self.not_before), report::date(self.not_after));
        let days = (self.not_after - self.not_before).whole_days();
        field("Validity", &format!("{from} to {to} ({days} days)"));
        field("Purposes", self.profile.description());
        if let Some((serial, not_after)) = &self.replaces {
            let end = report::date(*not_after);
            field("Replaces", &format!("{serial}, valid until {end}"));
        }
        for note in &self.notes {
            field("Note", note);
        }
        review.finish()
    }

    /// Whether the host's key lives in this directory.
    pub fn has_key(&self) -> bool {
        self.key != HostKeySource::Elsewhere
    }
}
