//! The part of the name space that a CA may certify (RFC 5280 section 4.2.1.10).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use der::asn1::{Ia5String, OctetString};
use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName as Encodable;
use x509_parser::extensions::{GeneralName as Parsed, GeneralSubtree as ParsedSubtree};

use super::general_name::{self, GeneralName};

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

/// What a CA certificate permits and excludes, of the kinds of names that mailca certifies.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    permitted: Vec<Base>,
    excluded: Vec<Base>,
    /// whether it has constraints on other kinds of names too
    is_partial: bool,
}

#[derive(Clone, Debug)]
enum Base {
    Dns(String),
    Email(String),
    /// address and mask
    Ip(Vec<u8>),
}

impl Bounds {
    pub(super) fn of(parsed: &x509_parser::extensions::NameConstraints<'_>) -> Self {
        let count = |subtrees: &Option<Vec<_>>| subtrees.iter().flatten().count();
        let bases = |subtrees: &Option<Vec<ParsedSubtree<'_>>>| -> Vec<Base> {
            let all = subtrees.iter().flatten();
            all.filter_map(Base::of).collect()
        };
        let permitted = bases(&parsed.permitted_subtrees);
        let excluded = bases(&parsed.excluded_subtrees);
        Self {
            is_partial: permitted.len() < count(&parsed.permitted_subtrees)
                || excluded.len() < count(&parsed.excluded_subtrees),
            permitted,
            excluded,
        }
    }

    /// Whether it constrains no other kinds of names than mailca knows.
    pub(super) fn is_known(&self) -> bool {
        !self.is_partial
    }

    /// Whether the CA may certify `name`: a kind of name with no permitted subtree is free.
    #[must_use]
    pub fn permit(&self, name: &GeneralName) -> bool {
        let mut permitted = self
            .permitted
            .iter()
            .filter_map(|base| base.holds(name))
            .peekable();
        let is_free = permitted.peek().is_none();
        let mut excluded = self.excluded.iter().filter_map(|base| base.holds(name));
        (is_free || permitted.any(|holds| holds)) && !excluded.any(|holds| holds)
    }
}

impl Base {
    fn of(subtree: &ParsedSubtree<'_>) -> Option<Self> {
        match &subtree.base {
            Parsed::DNSName(domain) => Some(Self::Dns(domain.to_ascii_lowercase())),
            Parsed::RFC822Name(domain) => Some(Self::Email((*domain).to_owned())),
            Parsed::IPAddress(octets) => Some(Self::Ip(octets.to_vec())),
            _ => None,
        }
    }

    // None where the name is of another kind.
    fn holds(&self, name: &GeneralName) -> Option<bool> {
        match (self, name) {
            (Self::Dns(base), GeneralName::Dns(host)) => {
                let host = host.to_ascii_lowercase();
                let rest = host.strip_suffix(base.as_str());
                Some(rest.is_some_and(|rest| {
                    rest.is_empty()
                        || base.is_empty()
                        || base.starts_with('.')
                        || rest.ends_with('.')
                }))
            }
            (Self::Email(base), GeneralName::Email(mailbox)) => {
                let domain = mailbox.rsplit_once('@').map_or("", |(_, domain)| domain);
                let (domain, wanted) = (domain.to_ascii_lowercase(), base.to_ascii_lowercase());
                Some(match base.rsplit_once('@') {
                    Some((local, base)) => {
                        mailbox.rsplit_once('@').map(|(local, _)| local) == Some(local)
                            && base.eq_ignore_ascii_case(&domain)
                    }
                    None if base.starts_with('.') => domain.ends_with(&wanted),
                    None => base.is_empty() || domain == wanted,
                })
            }
            (Self::Ip(base), GeneralName::Ip(address)) => {
                let octets = octets(*address);
                let (network, mask) = base.split_at(base.len() / 2);
                let matches = network.iter().zip(mask).zip(&octets);
                Some(
                    network.len() == octets.len()
                        && matches
                            .into_iter()
                            .all(|((network, mask), octet)| (octet ^ network) & mask == 0),
                )
            }
            _ => None,
        }
    }
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
    use super::*;

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
