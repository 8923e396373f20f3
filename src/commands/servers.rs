//! The mail servers of this machine: which, how they are wired, and what they have against a file.

use super::session::Session;
use crate::mta::MailServer;
use crate::mta::access::sendmail::Daemon;
use crate::mta::access::{Objection, Role, exim, opensmtpd, postfix};
use crate::pki::certificate::Certificate;
use crate::report::{self, Place, invocation};
use crate::store::Store;
use crate::sys::access::{self, Access, Account};

/// The servers whose programs are on this machine, Sendmail where there is none.
pub fn servers_here(session: &Session<'_>) -> Vec<MailServer> {
    let path = session.context.variable("PATH");
    let path = path.as_ref().map(AsRef::as_ref);
    let is_here = |server: &MailServer| {
        let mut programs = server.programs().iter();
        programs.any(|program| access::find_program(program, path).is_some())
    };
    let found: Vec<_> = MailServer::ALL.into_iter().filter(is_here).collect();
    if found.is_empty() {
        return vec![MailServer::Sendmail];
    }
    found
}

/// The command that prints the lines of a server.
pub fn emit_invocation<'a>(place: impl Into<Place<'a>>, server: MailServer, host: &str) -> String {
    match server {
        MailServer::Sendmail => invocation(place, &["emit-mc", host]),
        other => invocation(place, &["emit", other.as_str(), host]),
    }
}

/// The commands that wire a host's certificate into the mail servers of this machine.
pub fn wiring(store: &Store, host: &str, session: &Session<'_>) -> Vec<String> {
    let servers = servers_here(session).into_iter();
    let commands = servers.map(|server| {
        let command = emit_invocation(store, server, host);
        match server.appended_to() {
            Some(file) => format!("{command} >> {file}"),
            None => command,
        }
    });
    commands.collect()
}

/// Whoever trusts the CA certificate there is now does not trust what an old key has certified.
pub fn warn_of_old_key(
    host: &str,
    certificate: &Certificate,
    store: &Store,
    session: &mut Session<'_>,
) {
    let former = store.former();
    if let Some((path, _)) = store.issuer_among(&former, certificate) {
        let renew = report::invocation(store, &["renew", host]);
        session.warn(&format!(
            "the certificate of {host} is by the old key of the CA, and only who trusts {} accepts \
             it: {renew}",
            path.display()
        ));
    }
}

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
            MailServer::Opensmtpd => opensmtpd::objections(role, access),
            MailServer::Dovecot => Vec::new(),
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
