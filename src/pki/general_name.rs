//! The names of a SubjectAltName (RFC 5280 section 4.2.1.6): host names, addresses, mailboxes.

use std::fmt;
use std::net::IpAddr;

use der::asn1::Ia5String;
use serde::{Serialize, Serializer};
use thiserror::Error;
use x509_cert::ext::pkix::name::GeneralName as Encodable;

#[cfg(test)]
mod tests;

/// What can be wrong with a name given for a certificate.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GeneralNameError {
    /// Not a host name.
    #[error("{name:?} is not a host name: {problem}")]
    Dns {
        /// the name as given
        name: String,
        /// what is wrong with it
        problem: &'static str,
    },
    /// Not an e-mail address.
    #[error("{0:?} is not an e-mail address that a certificate can hold")]
    Email(String),
    /// Not an IP address.
    #[error("{0:?} is not an IP address")]
    Ip(String),
}

/// One name of a SubjectAltName, of the kinds that mailca certifies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GeneralName {
    /// dNSName, an A-label in ASCII, perhaps with a leading `*.`
    Dns(String),
    /// iPAddress
    Ip(IpAddr),
    /// rfc822Name
    Email(String),
}

impl GeneralName {
    /// Reads a name as a person writes it: `dns:`, `ip:` or `email:` say the kind outright,
    /// otherwise an IP address and an `@` are recognised. Host names in other scripts become
    /// A-labels (RFC 5891), and host names become lower case.
    ///
    /// # Errors
    /// When it is not a name of that kind.
    pub fn parse(text: &str) -> Result<Self, GeneralNameError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let (kind, name) = match text.split_once(':') {
            Some((kind, name)) => (kind.to_ascii_lowercase(), name),
            None if text.contains('@') => ("email".into(), text),
            None => ("dns".into(), text),
        };
        match kind.as_str() {
            "dns" => host_name(name).map(Self::Dns),
            "ip" => name
                .parse()
                .map(Self::Ip)
                .map_err(|_| GeneralNameError::Ip(name.into())),
            "email" => mailbox(name).map(Self::Email),
            _ => Err(GeneralNameError::Dns {
                name: text.into(),
                problem: "it has a colon, and the kinds of names are dns:, ip: and email:",
            }),
        }
    }

    /// A dNSName as a request has it: checked, its characters left as they are.
    ///
    /// # Errors
    /// When it is not a host name in ASCII.
    pub fn requested_dns(name: &str) -> Result<Self, GeneralNameError> {
        check_host_name(name)?;
        Ok(Self::Dns(name.into()))
    }

    /// An rfc822Name as a request has it: checked, its characters left as they are.
    ///
    /// # Errors
    /// When it is not an e-mail address in ASCII.
    pub fn requested_email(name: &str) -> Result<Self, GeneralNameError> {
        let well_formed = name.rsplit_once('@').is_some_and(|(local, domain)| {
            is_local_part(local) && !domain.contains('*') && check_host_name(domain).is_ok()
        });
        well_formed
            .then(|| Self::Email(name.into()))
            .ok_or_else(|| GeneralNameError::Email(name.into()))
    }

    /// An iPAddress as a request has it: 4 or 16 octets.
    ///
    /// # Errors
    /// When there are more or fewer octets.
    pub fn requested_ip(octets: &[u8]) -> Result<Self, GeneralNameError> {
        let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
        v4.or(v6)
            .map(Self::Ip)
            .map_err(|_| GeneralNameError::Ip(format!("{} octets", octets.len())))
    }

    /// The name without regard to case, for comparing sets of names.
    #[must_use]
    pub fn folded(&self) -> Self {
        match self {
            Self::Dns(name) => Self::Dns(name.to_ascii_lowercase()),
            other => other.clone(),
        }
    }

    pub(super) fn to_encodable(&self) -> der::Result<Encodable> {
        Ok(match self {
            Self::Dns(name) => Encodable::DnsName(Ia5String::new(name)?),
            Self::Email(name) => Encodable::Rfc822Name(Ia5String::new(name)?),
            Self::Ip(address) => Encodable::from(*address),
        })
    }
}

/// As OpenSSL prints it: `DNS:mail.example.com`, `IP:192.0.2.1`, `email:postmaster@example.com`.
impl fmt::Display for GeneralName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Email(name) => write!(f, "email:{name}"),
        }
    }
}

impl Serialize for GeneralName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A host name as a person writes it, in lower case and as A-labels.
///
/// # Errors
/// When it is not a host name.
pub fn host_name(name: &str) -> Result<String, GeneralNameError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        let (wildcard, domain) = match name.strip_prefix("*.") {
            Some(domain) => ("*.", domain),
            None => ("", name),
        };
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| GeneralNameError::Dns {
            name: name.into(),
            problem: "it has no form in A-labels (RFC 5891)",
        })?;
        format!("{wildcard}{domain}")
    };
    check_host_name(&ascii)?;
    Ok(ascii)
}

// The preferred name syntax (RFC 1034 section 3.5), and the underscore and wildcard that live
// certificates have.
fn check_host_name(name: &str) -> Result<(), GeneralNameError> {
    let fail = |problem| {
        Err(GeneralNameError::Dns {
            name: name.into(),
            problem,
        })
    };
    if name.is_empty() {
        return fail("it is empty");
    }
    if name.len() > 253 {
        return fail("it is longer than 253 characters");
    }
    if name.parse::<IpAddr>().is_ok() {
        return fail("it is an IP address");
    }
    for label in name.strip_prefix("*.").unwrap_or(name).split('.') {
        if label.is_empty() {
            return fail("it has an empty label");
        }
        if label.len() > 63 {
            return fail("a label is longer than 63 characters");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return fail("a label begins or ends with a hyphen");
        }
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return fail("a label has other characters than letters, digits and hyphens");
        }
    }
    // No top-level domain is a number (RFC 3696 section 2): this is an address with a slip in it.
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return fail("its last label is a number, as in an IP address");
    }
    Ok(())
}

fn mailbox(name: &str) -> Result<String, GeneralNameError> {
    let refused = || GeneralNameError::Email(name.into());
    let (local, domain) = name.rsplit_once('@').ok_or_else(refused)?;
    if !is_local_part(local) || domain.contains('*') {
        return Err(refused());
    }
    Ok(format!(
        "{local}@{}",
        host_name(domain).map_err(|_| refused())?
    ))
}

// atext and dots (RFC 5322 section 3.2.3): a quoted local part is not worth its risk.
fn is_local_part(local: &str) -> bool {
    let is_atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}
