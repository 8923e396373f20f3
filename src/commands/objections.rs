//! What the mail servers of this machine have against the owner and mode of a file.

use crate::mta::MailServer;
use crate::mta::access::sendmail::Daemon;
use crate::mta::access::{Objection, Role, exim, postfix};
use crate::sys::access::{Access, Account};

/// Whom it asks: Sendmail as its settings make it, and Exim's user where this machine has one.
pub struct Judge {
    sendmail: Daemon,
    exim: Option<Account>,
}

impl Judge {
    pub fn new(sendmail: Daemon) -> Self {
        Self {
            sendmail,
            exim: exim::USERS.iter().find_map(|name| Account::named(name)),
        }
    }

    /// Whether it can tell at all: not where Exim's user is unknown.
    pub fn knows(&self, server: MailServer) -> bool {
        server != MailServer::Exim || self.exim.is_some()
    }

    pub fn objections(&self, server: MailServer, role: Role, access: &Access) -> Vec<Objection> {
        match server {
            MailServer::Sendmail => self.sendmail.objections(role, access),
            MailServer::Postfix => postfix::objections(access),
            MailServer::Exim => self
                .exim
                .as_ref()
                .map(|user| exim::objections(user, role, access))
                .unwrap_or_default(),
            MailServer::Dovecot | MailServer::Opensmtpd => Vec::new(),
        }
    }
}

/// What a server does about its objections.
pub fn effect(server: MailServer) -> &'static str {
    match server {
        MailServer::Sendmail => "Sendmail would refuse it and offer no STARTTLS",
        MailServer::Exim => "Exim would offer STARTTLS and then fail",
        MailServer::Postfix | MailServer::Dovecot => "`postfix check` would warn of it",
        MailServer::Opensmtpd => "OpenSMTPD would not start",
    }
}
