//! Versions of mail servers, as far as their settings differ.

use std::fmt;
use std::str::FromStr;

use super::MailServer;

/// The first two numbers of a version: 8.17 of 8.17.1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16);

impl Version {
    /// The first one in a text, such as what a program says of itself.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
        words
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .find_map(|word| {
                let mut numbers = word.split('.');
                let major = numbers.next()?.parse().ok()?;
                Some(Self(major, numbers.next()?.parse().ok()?))
            })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A mail server of some version: dovecot-2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// which one
    pub server: MailServer,
    /// its version
    pub version: Version,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.server, self.version)
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is not a mail server and its version, as dovecot-2.4");
        let (server, version) = text.split_once('-').ok_or_else(malformed)?;
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        if !version.chars().all(is_number) {
            return Err(malformed());
        }
        Ok(Self {
            server: server.parse()?,
            version: Version::find(version).ok_or_else(malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, version) in [
            ("2.3.19.1 (9b53102964)", (2, 3)),
            ("3.7.11\n", (3, 7)),
            ("Exim version 4.96 #2 built 29-Oct-2022", (4, 96)),
            ("usage: smtpd\nversion: OpenSMTPD 7.6.0-portable", (7, 6)),
            (
                "8.17.1.9`'ifdef(`confCF_VERSION', `/confCF_VERSION')",
                (8, 17),
            ),
        ] {
            assert_eq!(Version::find(said), Some(Version(version.0, version.1)));
        }
        assert_eq!(Version::find("no version"), None);
        assert_eq!(Version::find("99999999.1"), None);
    }

    #[test]
    fn a_release_is_a_server_and_a_version() {
        let release: Release = "sendmail-8.15".parse().unwrap();
        assert_eq!(release.to_string(), "sendmail-8.15");
        for wrong in [
            "dovecot",
            "dovecot-",
            "dovecot-2",
            "qmail-1.03",
            "2.4",
            "exim-x4.96",
        ] {
            assert!(wrong.parse::<Release>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn later_versions_are_greater() {
        assert!(Version(8, 9) < Version(8, 16) && Version(2, 4) < Version(3, 0));
    }
}
