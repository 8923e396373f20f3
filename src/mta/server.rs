//! The mail servers that mailca knows.

use std::fmt;
use std::str::FromStr;

use super::Version;

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
    /// OpenSMTPD
    Opensmtpd,
}

/// Where a server's version stands.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// in one of these files, behind the first of its lines that begins so
    Line(&'static [&'static str], &'static str),
    /// in what one of these programs says when it is given these words
    Program(&'static [&'static str], &'static [&'static str]),
}

impl MailServer {
    /// Every one of them, in the order of the help text.
    pub const ALL: [Self; 5] = [
        Self::Sendmail,
        Self::Postfix,
        Self::Exim,
        Self::Dovecot,
        Self::Opensmtpd,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sendmail => "sendmail",
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::Dovecot => "dovecot",
            Self::Opensmtpd => "opensmtpd",
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
            Self::Opensmtpd => "OpenSMTPD",
        }
    }

    /// Who reads its lines.
    #[must_use]
    pub fn reader(self) -> &'static str {
        match self {
            Self::Sendmail => "m4",
            other => other.title(),
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
            Self::Opensmtpd => &["smtpd"],
        }
    }

    /// Where its version stands, for Sendmail that of the m4 files which make a sendmail.cf of a
    /// sendmail.mc.
    #[must_use]
    pub fn version(self) -> Origin {
        match self {
            Self::Sendmail => Origin::Line(
                &[
                    "/usr/share/sendmail/cf/m4/version.m4",
                    "/usr/share/sendmail-cf/m4/version.m4",
                ],
                "DZ",
            ),
            Self::Postfix => Origin::Program(&["postconf"], &["-dh", "mail_version"]),
            Self::Exim => Origin::Program(&["exim4", "exim"], &["-bV"]),
            Self::Dovecot => Origin::Program(&["dovecot"], &["--version"]),
            Self::Opensmtpd => Origin::Program(&["smtpd"], &["-h"]),
        }
    }

    /// The first version that its lines are known for.
    #[must_use]
    pub fn oldest(self) -> Version {
        match self {
            Self::Sendmail => Version(8, 11),
            Self::Postfix => Version(2, 9),
            Self::Exim => Version(4, 80),
            Self::Dovecot => Version(2, 3),
            Self::Opensmtpd => Version(6, 4),
        }
    }

    /// The version that its lines are for where nobody tells.
    #[must_use]
    pub fn newest(self) -> Version {
        match self {
            Self::Sendmail => Version(8, 18),
            Self::Postfix => Version(3, 10),
            Self::Exim => Version(4, 98),
            Self::Dovecot => Version(2, 4),
            Self::Opensmtpd => Version(7, 6),
        }
    }

    /// The command by which it reads its files again; `None` where it notices by itself.
    #[must_use]
    pub fn reload(self) -> Option<&'static str> {
        match self {
            Self::Sendmail => Some("systemctl reload sendmail"),
            Self::Postfix => Some("postfix reload"),
            Self::Exim => None,
            Self::Dovecot => Some("doveadm reload"),
            Self::Opensmtpd => Some("systemctl restart opensmtpd"),
        }
    }

    /// The file that its lines are for.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Sendmail => "sendmail.mc",
            Self::Postfix => "main.cf",
            Self::Exim => "the main section of its configuration",
            Self::Dovecot => "dovecot.conf",
            Self::Opensmtpd => "smtpd.conf",
        }
    }

    /// The file that its lines can be appended to, where their place in it does not matter.
    #[must_use]
    pub fn appended_to(self) -> Option<&'static str> {
        match self {
            Self::Sendmail => Some("/etc/mail/sendmail.mc"),
            Self::Postfix => Some("/etc/postfix/main.cf"),
            Self::Dovecot => Some("/etc/dovecot/local.conf"),
            Self::Exim | Self::Opensmtpd => None,
        }
    }

    /// What a comment in its configuration begins with.
    #[must_use]
    pub fn comment(self) -> &'static str {
        match self {
            Self::Sendmail => "dnl",
            _ => "#",
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
        let known = "sendmail, postfix, exim, dovecot or opensmtpd";
        found.ok_or_else(|| format!("{text:?} is not {known}"))
    }
}
