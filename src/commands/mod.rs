//! The commands, one file each: parse, call, report.

mod access;
mod batch;
mod check;
mod completions;
mod crl;
mod emit;
mod export;
pub mod failure;
#[cfg(test)]
mod faults;
mod init;
mod issuance;
mod issue;
mod issued;
mod list;
mod man;
mod new_crl;
mod output;
mod overview;
mod renew;
mod renew_ca;
mod repair;
mod req;
mod review;
mod revoke;
mod selection;
mod sendmail_files;
mod servers;
mod session;
mod several;
mod show;
mod sign;
mod status;
mod verify;

use anyhow::Result;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::mta::MailServer;
use crate::report::{Outcome, Place};
use crate::store::Store;
use session::Session;

pub use status::unknown;

impl<'a> From<&'a Store> for Place<'a> {
    fn from(store: &'a Store) -> Self {
        let settings = &store.settings;
        Self {
            ca: &settings.root,
            config: settings.given_file(),
        }
    }
}

/// Runs a command.
///
/// # Errors
/// Whatever kept it from being done; [`failure::explain`] puts it into words.
pub fn run(cli: Cli, context: &mut Context) -> Result<Outcome> {
    let mut session = Session::new(&cli.global, context, failure::explain);
    match cli.command {
        Command::Init(args) => init::run(&args, &mut session),
        Command::Req(args) => req::run(&args, &mut session),
        Command::Sign(args) => sign::run(args, &mut session),
        Command::Issue(args) => issue::run(&args, &mut session),
        Command::Revoke(args) => revoke::run(&args, &mut session),
        Command::Crl(args) => crl::run(&args, &mut session),
        Command::Renew(args) => renew::run(&args, &mut session),
        Command::RenewCa(args) => renew_ca::run(&args, &mut session),
        Command::List(args) => list::run(&args, &mut session),
        Command::Show(args) => show::run(&args, &mut session),
        Command::Status(args) => status::run(&args, &mut session),
        Command::Check(args) => check::run(&args, &mut session),
        Command::Repair(args) => repair::run(&args, &mut session),
        Command::Emit(args) => emit::run(&args, &mut session),
        Command::EmitMc(args) => emit::server::run(MailServer::Sendmail, &args, &mut session),
        Command::Access(args) => access::run(&args, &mut session),
        Command::Export(args) => export::run(&args, &mut session),
        Command::Verify(args) => verify::run(&args, &mut session),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
