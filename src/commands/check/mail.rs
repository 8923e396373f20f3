//! What the mail servers will make of this CA: whether they may use its files, and what Sendmail is
//! told of them.

use std::path::Path;

use anyhow::Result;

use super::access;
use super::finding::Finding;
use super::sendmail;
use crate::cli::Check as Args;
use crate::commands::sendmail_files;
use crate::commands::servers::{Judge, servers_here};
use crate::commands::session::Session;
use crate::mta::access::sendmail::Daemon;
use crate::store::Store;
use crate::sys::access::{Account, is_same};

/// Everything that is wrong with modes, owners, and Sendmail's settings.
pub fn findings(args: &Args, store: &Store, session: &Session<'_>) -> Result<Vec<Finding>> {
    let sources = sendmail_files::sources(&args.sendmail)?;
    let daemon = Daemon::of(&sendmail_files::of_daemon(&sources), &Account::own());
    let servers = if args.servers.is_empty() {
        servers_here(session)
    } else {
        args.servers.clone()
    };
    let mut found = access::own(store)?;
    let mut objections = access::of_servers(store, &servers, &Judge::new(daemon))?;
    // What is told already, whatever the server.
    let is_told = |it: &Finding| {
        let mut known = found.iter();
        known.any(|known| is_same(Path::new(&known.file), Path::new(&it.file)))
    };
    objections.retain(|it| !is_told(it));
    found.extend(objections);
    for source in &sources {
        found.extend(sendmail::findings(source, store, session));
    }
    Ok(found)
}
