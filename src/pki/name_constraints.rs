//! The part of the name space that a CA may certify (RFC 5280 section 4.2.1.10).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use der::asn1::{AnyRef, Ia5String, IntRef, OctetString};
use der::{Decode, Sequence, Tag, Tagged};
use thiserror::Error;
use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName as Encodable;

use super::attribute::{COMMON_NAME, EMAIL_ADDRESS};
use super::general_name::{self, GeneralName};
use super::name::{Name, NameError};

/// A part of the name space that a CA is confined to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subtree {
    /// A domain: its host names and those below it, and their mailboxes.
    Domain(String),
    /// A network: address and prefix length in bits.
    Network(IpAddr, u8),
}

impl FromStr for Subtree {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, length)) = text.split_once('/') else {
            let domain = text.strip_prefix('.').unwrap_or(text);
            return match general_name::host_name(domain) {
                Ok(name) if !name.contains('*') => Ok(Self::Domain(name)),
                Ok(_) => Err(format!(
                    "{text:?} has a wildcard; a domain stands for all below it"
                )),
                Err(error) => Err(format!(
                    "{error}; --permit takes a domain or a network such as 192.0.2.0/24"
                )),
            };
        };
        let not_a_network =
            || format!("{text:?} is not a network such as 192.0.2.0/24 or 2001:db8::/32");
        let address: IpAddr = address.parse().map_err(|_| not_a_network())?;
        let length: u8 = length.parse().map_err(|_| not_a_network())?;
        if length > if address.is_ipv4() { 32 } else { 128 } {
            return Err(not_a_network());
        }
        Ok(Self::Network(address, length))
    }
}

impl fmt::Display for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => f.write_str(domain),
            Self::Network(address, length) => write!(f, "{address}/{length}"),
        }
    }
}

/// The NameConstraints of a CA that may certify names within `permitted` only.
///
/// # Errors
/// When a subtree cannot be encoded.
// dNSName D covers what is below it too, rfc822Name D only the
// mailboxes on D itself, .D those below; a kind of name with no permitted subtree is free, hence
// the exclusion of all addresses.
pub fn name_constraints(permitted: &[Subtree]) -> der::Result<NameConstraints> {
    let subtree = |base| GeneralSubtree {
        base,
        minimum: 0,
        maximum: None,
    };
    let mut allowed = Vec::new();
    for one in permitted {
        match one {
            Subtree::Domain(domain) => {
                allowed.push(subtree(Encodable::DnsName(Ia5String::new(domain)?)));
                allowed.push(subtree(Encodable::Rfc822Name(Ia5String::new(domain)?)));
                let below = format!(".{domain}");
                allowed.push(subtree(Encodable::Rfc822Name(Ia5String::new(&below)?)));
            }
            Subtree::Network(address, length) => {
                let octets = network(*address, *length);
                allowed.push(subtree(Encodable::IpAddress(OctetString::new(octets)?)));
            }
        }
    }
    let names_a_network = permitted
        .iter()
        .any(|one| matches!(one, Subtree::Network(..)));
    let excluded = if names_a_network {
        None
    } else {
        let everything = [vec![0; 8], vec![0; 32]];
        let all = everything
            .into_iter()
            .map(|octets| Ok(subtree(Encodable::IpAddress(OctetString::new(octets)?))))
            .collect::<der::Result<_>>()?;
        Some(all)
    };
    Ok(NameConstraints {
        permitted_subtrees: Some(allowed),
        excluded_subtrees: excluded,
    })
}

/// What a CA certificate permits and excludes: its NameConstraints, as OpenSSL holds them against a
/// certificate (`NAME_CONSTRAINTS_check`), so that none is signed that would be refused for them.
#[derive(Clone, Debug)]
pub struct Bounds {
    permitted: Vec<Limit>,
    excluded: Vec<Limit>,
    /// whether it has constraints on kinds of names that mailca never certifies
    is_partial: bool,
}

/// Why the constraints of a CA keep it from certifying something; it goes on after "the name
/// constraints of CA".
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Violation {
    /// It is in none of the permitted subtrees of its kind.
    #[error("do not permit {0}")]
    NotPermitted(String),
    /// It is in an excluded subtree.
    #[error("exclude {0}")]
    Excluded(String),
    /// It stands for names of which some are in an excluded subtree.
    #[error("exclude names that {0} stands for")]
    Covers(String),
    /// Nobody can tell whether it is in a subtree.
    #[error("cannot be held against {name}: {problem}")]
    Undecided {
        /// the name
        name: String,
        /// why not
        problem: &'static str,
    },
}

#[derive(Clone, Debug)]
struct Limit {
    base: Base,
    /// why no verifier can use it, if so
    fault: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Base {
    Dns(String),
    Email(String),
    /// address and mask
    Ip(Vec<u8>),
    /// a canonical Name
    Directory(Vec<u8>),
}

/// What a certificate names, of the kinds that have subtrees.
enum Named<'a> {
    Dns(&'a str),
    Email(&'a str),
    Ip(IpAddr),
    Directory(&'a [u8]),
}

/// Whether a name is in a subtree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Yes,
    No,
    /// some of the names that a wildcard stands for are
    Partly,
}

// Of a base only its kind and content count here: what another kind holds need not be understood.
#[derive(Sequence)]
struct EncodedSubtree<'a> {
    base: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    minimum: Option<IntRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    maximum: Option<IntRef<'a>>,
}

#[derive(Sequence)]
struct EncodedConstraints<'a> {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    permitted: Option<Vec<EncodedSubtree<'a>>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    excluded: Option<Vec<EncodedSubtree<'a>>>,
}

impl Bounds {
    /// Reads the content of a NameConstraints extension.
    pub(super) fn from_der(bytes: &[u8]) -> Result<Self, NameError> {
        let encoded = EncodedConstraints::from_der(bytes)?;
        let limits = |subtrees: Option<Vec<EncodedSubtree<'_>>>| -> Result<Vec<_>, NameError> {
            let all = subtrees.into_iter().flatten();
            all.filter_map(|one| Limit::of(&one).transpose()).collect()
        };
        let all = encoded.permitted.iter().chain(&encoded.excluded);
        let count: usize = all.map(Vec::len).sum();
        let permitted = limits(encoded.permitted)?;
        let excluded = limits(encoded.excluded)?;
        Ok(Self {
            is_partial: permitted.len() + excluded.len() < count,
            permitted,
            excluded,
        })
    }

    /// Whether it constrains no other kinds of names than those that mailca certifies.
    pub(super) fn is_known(&self) -> bool {
        !self.is_partial
    }

    /// Checks whether the CA may certify a subject with these names (RFC 5280 section 4.2.1.10).
    ///
    /// # Errors
    /// The first name that the constraints do not allow.
    pub fn check(&self, subject: &Name, names: &[GeneralName]) -> Result<(), Violation> {
        if !subject.is_empty() {
            let name = format!("the subject {subject}");
            match subject.canonical() {
                Ok(canonical) => self.check_one(&Named::Directory(&canonical), name)?,
                Err(_) => return undecided(name, "it cannot be compared"),
            }
        }
        for name in names {
            self.check_one(&Named::of(name), name.to_string())?;
        }
        for attribute in subject.attributes_of(EMAIL_ADDRESS) {
            let name = attribute.to_string();
            match attribute.text() {
                Some(mailbox) if attribute.value.is_ia5() => {
                    self.check_one(&Named::Email(&mailbox), name)?;
                }
                _ => return undecided(name, "it is no IA5String"),
            }
        }
        Ok(())
    }

    /// Checks the same for a host or client. A commonName that could be a host name is held against
    /// the constraints too, unless there is a dNSName: verifiers may take it for the host's name.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_end_entity(&self, subject: &Name, names: &[GeneralName]) -> Result<(), Violation> {
        self.check(subject, names)?;
        if names.iter().any(|name| matches!(name, GeneralName::Dns(_))) {
            return Ok(());
        }
        for attribute in subject.attributes_of(COMMON_NAME) {
            let name = attribute.to_string();
            let Some(text) = attribute.text() else {
                return undecided(name, "it is no text");
            };
            let host = text.trim_end_matches('\0');
            if host.contains('\0') {
                return undecided(name, "it has a NUL");
            }
            if could_be_host(host) {
                self.check_one(&Named::Dns(host), name)?;
            }
        }
        Ok(())
    }

    // A kind of name with no permitted subtree is free.
    fn check_one(&self, named: &Named<'_>, name: String) -> Result<(), Violation> {
        let hold = |limits: &[Limit]| -> Result<Vec<Within>, &'static str> {
            limits.iter().filter_map(|one| one.holds(named)).collect()
        };
        let (permitted, excluded) = match (hold(&self.permitted), hold(&self.excluded)) {
            (Ok(permitted), Ok(excluded)) => (permitted, excluded),
            (Err(problem), _) | (_, Err(problem)) => return undecided(name, problem),
        };
        if !permitted.is_empty() && !permitted.contains(&Within::Yes) {
            Err(Violation::NotPermitted(name))
        } else if excluded.contains(&Within::Yes) {
            Err(Violation::Excluded(name))
        } else if excluded.contains(&Within::Partly) {
            Err(Violation::Covers(name))
        } else {
            Ok(())
        }
    }
}

fn undecided(name: String, problem: &'static str) -> Result<(), Violation> {
    Err(Violation::Undecided { name, problem })
}

impl Limit {
    // None for a kind of name that mailca never certifies.
    fn of(subtree: &EncodedSubtree<'_>) -> Result<Option<Self>, NameError> {
        let Tag::ContextSpecific { number, .. } = subtree.base.tag() else {
            return Err(NameError::Der(format!(
                "a subtree of {}",
                subtree.base.tag()
            )));
        };
        let content = subtree.base.value();
        // What is not ASCII is in no name.
        let text = || content.iter().copied().map(char::from).collect::<String>();
        let base = match number.value() {
            1 => Base::Email(text()),
            2 => Base::Dns(text().to_ascii_lowercase()),
            4 => Base::Directory(Name::from_der(content)?.canonical()?),
            7 => Base::Ip(content.to_vec()),
            0 | 3 | 5 | 6 | 8 => return Ok(None),
            other => return Err(NameError::Der(format!("a subtree of kind {other}"))),
        };
        let least = subtree.minimum.is_none_or(|least| least.as_bytes() == [0]);
        let fault = match &base {
            _ if !least || subtree.maximum.is_some() => {
                Some("no verifier knows minimum or maximum")
            }
            Base::Email(base) if base.is_empty() => {
                Some("an empty subtree holds all addresses to some verifiers and none to others")
            }
            Base::Ip(base) if !matches!(base.len(), 8 | 32) => Some("a subtree is no network"),
            _ => None,
        };
        Ok(Some(Self { base, fault }))
    }

    // None where the name is of another kind.
    fn holds(&self, named: &Named<'_>) -> Option<Result<Within, &'static str>> {
        let within = match (&self.base, named) {
            (Base::Dns(base), Named::Dns(host)) => Ok(domain_holds(base, host)),
            (Base::Email(base), Named::Email(mailbox)) => mailboxes_hold(base, mailbox),
            (Base::Ip(base), Named::Ip(address)) => Ok(network_holds(base, *address)),
            (Base::Directory(base), Named::Directory(subject)) => {
                Ok(Within::when(subject.starts_with(base)))
            }
            _ => return None,
        };
        Some(self.fault.map_or(within, Err))
    }
}

impl<'a> Named<'a> {
    fn of(name: &'a GeneralName) -> Self {
        match name {
            GeneralName::Dns(host) => Self::Dns(host),
            GeneralName::Email(mailbox) => Self::Email(mailbox),
            GeneralName::Ip(address) => Self::Ip(*address),
        }
    }
}

impl Within {
    fn when(is_within: bool) -> Self {
        if is_within { Self::Yes } else { Self::No }
    }
}

// A domain and what is below it; with a dot before it, only what is below. A wildcard stands for
// one label (RFC 9525 section 6.3).
fn domain_holds(base: &str, host: &str) -> Within {
    let host = host.to_ascii_lowercase();
    let is_below = |rest: &str| rest.is_empty() || base.starts_with('.') || rest.ends_with('.');
    if base.is_empty() || host.strip_suffix(base).is_some_and(is_below) {
        return Within::Yes;
    }
    match (host.strip_prefix("*."), base.split_once('.')) {
        (Some(domain), Some((label, parent))) if parent == domain && !label.is_empty() => {
            Within::Partly
        }
        _ => Within::No,
    }
}

// A mailbox, or all of a host, or with a dot before it all of the hosts below.
fn mailboxes_hold(base: &str, mailbox: &str) -> Result<Within, &'static str> {
    let (local, host) = mailbox.rsplit_once('@').ok_or("it has no @")?;
    let (only, domain) = match base.rsplit_once('@') {
        Some((only, domain)) => (only, domain),
        None => ("", base),
    };
    let is_host = if !base.contains('@') && base.starts_with('.') {
        let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
        host.ends_with(&domain)
    } else {
        host.eq_ignore_ascii_case(domain)
    };
    Ok(Within::when(is_host && (only.is_empty() || only == local)))
}

fn network_holds(base: &[u8], address: IpAddr) -> Within {
    let octets = octets(address);
    let (network, mask) = base.split_at(base.len() / 2);
    let mut bits = network.iter().zip(mask).zip(&octets);
    Within::when(
        network.len() == octets.len()
            && bits.all(|((network, mask), octet)| (octet ^ network) & mask == 0),
    )
}

// As OpenSSL tells it (`cn2dnsid`): at least two labels, of letters, digits, hyphens and
// underscores.
fn could_be_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.contains('.') && name.split('.').all(is_label)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

// Address and mask, the address without the bits outside the mask.
fn network(address: IpAddr, length: u8) -> Vec<u8> {
    let octets = octets(address);
    let mask: Vec<u8> = (0..octets.len())
        .map(|at| {
            let bits = usize::from(length).saturating_sub(at * 8).min(8);
            u8::try_from(0xFF00_u16 >> bits & 0xFF).unwrap_or_default()
        })
        .collect();
    let base = octets.iter().zip(&mask).map(|(octet, mask)| octet & mask);
    base.chain(mask.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use der::Encode;
    use der::asn1::Any;

    use super::*;
    use crate::pki::name::{Attribute, AttributeValue};

    // The forms that constraints can have are held against OpenSSL in tests/suite.
    #[test]
    fn what_is_out_of_bounds_is_named() {
        let permitted = ["example.com".parse().unwrap()];
        let der = name_constraints(&permitted).unwrap().to_der().unwrap();
        let bounds = Bounds::from_der(&der).unwrap();
        let said = |subject: &Name, names: &[&str]| {
            let names: Vec<_> = names
                .iter()
                .map(|name| GeneralName::parse(name).unwrap())
                .collect();
            let checked = bounds.check_end_entity(subject, &names);
            checked.map_err(|violation| violation.to_string()).err()
        };
        let subject = |text| Name::from_oneline(text).unwrap();
        for (text, names, sentence) in [
            ("/CN=mail.example.org", &["*.example.com"][..], None),
            (
                "/CN=x",
                &["example.com", "example.org"],
                Some("do not permit DNS:example.org"),
            ),
            ("/CN=x", &["192.0.2.1"], Some("exclude IP:192.0.2.1")),
            (
                "/CN=mail.example.org",
                &["root@example.com"],
                Some("do not permit CN=mail.example.org"),
            ),
            (
                "/CN=x/emailAddress=root",
                &[],
                Some("cannot be held against emailAddress=root: it has no @"),
            ),
        ] {
            assert_eq!(said(&subject(text), names).as_deref(), sentence, "{text}");
        }
        let odd = |oid, tag, text: &str| {
            let value = Any::new(tag, text.as_bytes()).unwrap().to_der().unwrap();
            let value = AttributeValue::from_der(&value).unwrap();
            Name::from_attributes(vec![Attribute { oid, value }]).unwrap()
        };
        for (subject, sentence) in [
            (
                odd(EMAIL_ADDRESS, Tag::Utf8String, "root@example.com"),
                "emailAddress=root@example.com: it is no IA5String",
            ),
            (
                odd(COMMON_NAME, Tag::Utf8String, "mail.example.com\0.org"),
                "CN=mail.example.com\\u{0}.org: it has a NUL",
            ),
            (
                odd(COMMON_NAME, Tag::OctetString, "mail.example.com"),
                "CN=(not text): it is no text",
            ),
        ] {
            let sentence = format!("cannot be held against {sentence}");
            assert_eq!(said(&subject, &[]), Some(sentence));
        }
    }

    #[test]
    fn bytes_that_are_no_constraints_are_no_bounds() {
        for bytes in [
            &b""[..],
            b"\x05\x00",
            b"\x30\x03\x02\x01\x01",
            b"\x30\x00\x00",
        ] {
            assert!(Bounds::from_der(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn domains_and_networks_are_read_as_people_write_them() {
        let cases = [
            ("Example.ORG.", "example.org"),
            (".example.org", "example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ];
        for (text, shown) in cases {
            let subtree: Subtree = text.parse().unwrap();
            assert_eq!(subtree.to_string(), shown);
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_the_reason() {
        let cases = [
            (
                "192.0.2.1",
                r#""192.0.2.1" is not a host name: it is an IP address; --permit takes a domain or a network such as 192.0.2.0/24"#,
            ),
            (
                "*.example.org",
                r#""*.example.org" has a wildcard; a domain stands for all below it"#,
            ),
            (
                "192.0.2.0/33",
                r#""192.0.2.0/33" is not a network such as 192.0.2.0/24 or 2001:db8::/32"#,
            ),
            (
                "2001:db8::/129",
                r#""2001:db8::/129" is not a network such as 192.0.2.0/24 or 2001:db8::/32"#,
            ),
            (
                "example.org/24",
                r#""example.org/24" is not a network such as 192.0.2.0/24 or 2001:db8::/32"#,
            ),
        ];
        for (text, message) in cases {
            assert_eq!(text.parse::<Subtree>().unwrap_err(), message);
        }
    }
}
