//! The mail servers that mailca knows.

use std::fmt;
use std::str::FromStr;

/// A mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailServer {
    /// Sendmail
    Sendmail,
    /// Postfix
    Postfix,
    /// Exim
    Exim,
    /// Dovecot
    Dovecot,
}

impl MailServer {
    /// Every one of them, in the order of the help text.
    pub const ALL: [Self; 4] = [Self::Sendmail, Self::Postfix, Self::Exim, Self::Dovecot];

    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sendmail => "sendmail",
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::Dovecot => "dovecot",
        }
    }

    /// Its name in a sentence.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Sendmail => "Sendmail",
            Self::Postfix => "Postfix",
            Self::Exim => "Exim",
            Self::Dovecot => "Dovecot",
        }
    }

    /// Programs that only it has: every mail server has one named sendmail.
    #[must_use]
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Sendmail => &["sendmail.sendmail", "praliases", "/usr/lib/sm.bin/sendmail"],
            Self::Postfix => &["postfix", "/usr/lib/postfix/sbin/master"],
            Self::Exim => &["exim4", "exim"],
            Self::Dovecot => &["dovecot"],
        }
    }
}

impl fmt::Display for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for MailServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not sendmail, postfix, exim or dovecot"))
    }
}
