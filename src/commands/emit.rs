//! `mailca emit`: one file per program that works with the CA.

pub mod server;
pub mod systemd;
mod version;

use anyhow::Result;

use super::session::Session;
use crate::cli::{Emit, EmitTarget};
use crate::mta::MailServer;
use crate::report::Outcome;

pub fn run(args: &Emit, session: &mut Session<'_>) -> Result<Outcome> {
    match &args.target {
        EmitTarget::Sendmail(args) => server::run(MailServer::Sendmail, args, session),
        EmitTarget::Postfix(args) => server::run(MailServer::Postfix, args, session),
        EmitTarget::Exim(args) => server::run(MailServer::Exim, args, session),
        EmitTarget::Dovecot(args) => server::run(MailServer::Dovecot, args, session),
        EmitTarget::Opensmtpd(args) => server::run(MailServer::Opensmtpd, args, session),
        EmitTarget::Systemd(args) => systemd::run(args, session),
    }
}
