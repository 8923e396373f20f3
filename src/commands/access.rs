//! `mailca access`

use anyhow::{Error, Result, bail};
use thiserror::Error;

use super::selection::{self, Selected, SelectionError};
use super::session::Session;
use crate::cli::{Access, AccessPostfix, AccessSendmail, AccessTarget};
use crate::exit::Exit;
use crate::mta::sendmail::access::AccessLines;
use crate::mta::{Peer, postfix, sendmail};
use crate::report::{self, Outcome};
use crate::store::Store;
use crate::store::register::RegisterError;

/// Why no lines are printed.
#[derive(Debug, Error)]
pub enum AccessError {
    /// Its certificate is no reason to trust anybody.
    #[error("certificate {serial} of {host} {why}")]
    NotValid {
        /// whose it is
        host: String,
        /// its serial number
        serial: String,
        /// why not
        why: String,
    },
}

pub fn run(args: &Access, session: &mut Session<'_>) -> Result<Outcome> {
    let store = session.open_store()?;
    match &args.target {
        AccessTarget::Sendmail(args) => for_sendmail(args, &store, session),
        AccessTarget::Postfix(args) => for_postfix(args, &store, session),
    }
}

fn for_sendmail(
    args: &AccessSendmail,
    store: &Store,
    session: &mut Session<'_>,
) -> Result<Outcome> {
    let AccessLines { text, warnings } = if args.whole_ca {
        sendmail::access::whole_ca(&store.certificate.subject)
    } else {
        sendmail::access::lines(&valid(&args.hosts, store, session)?)
    };
    for warning in warnings {
        session.warn(&warning);
    }
    session.next(
        "with the lines in /etc/mail/access, run: makemap hash /etc/mail/access < /etc/mail/access",
    );
    session.next("in sendmail.mc, before MAILER(), if it is not there: FEATURE(`access_db')");
    Ok(Outcome::file(text))
}

fn for_postfix(args: &AccessPostfix, store: &Store, session: &mut Session<'_>) -> Result<Outcome> {
    let (text, table, exit) = if args.reject {
        let (revoked, exit) = revoked(&args.hosts, store, session)?;
        let text = postfix::access::rejected(&revoked);
        (text, "/etc/postfix/revoked", exit)
    } else {
        let valid = valid(&args.hosts, store, session)?;
        let text = postfix::access::permitted(&valid);
        (text, "/etc/postfix/relay_clientcerts", Exit::Done)
    };
    session.next(&format!("with the lines in {table}, run: postmap {table}"));
    let type_and_table = format!("${{default_database_type}}:{table}");
    session.next(&if args.reject {
        format!("in main.cf: smtpd_client_restrictions = check_ccert_access {type_and_table}")
    } else {
        format!(
            "in main.cf: relay_clientcerts = {type_and_table}, and permit_tls_clientcerts before \
             reject_unauth_destination in smtpd_relay_restrictions"
        )
    });
    let mut outcome = Outcome::file(text);
    outcome.exit = exit;
    Ok(outcome)
}

// The valid certificates that the words mean: of a host all that it has.
fn valid(words: &[String], store: &Store, session: &Session<'_>) -> Result<Vec<Peer>> {
    let now = session.context.now();
    let mut selected = Vec::new();
    for word in words {
        let found = selection::find(store, word, true, now);
        selected.extend(found.map_err(|error| revoked_host(word, error))?);
    }
    let selected = selection::without_repeats(selected);
    for one in &selected {
        let row = &one.row;
        let why = match &row.revocation {
            Some(revocation) => format!("was revoked on {revocation}"),
            None if row.not_after < now => format!("ended on {}", report::date(row.not_after)),
            None => continue,
        };
        bail!(AccessError::NotValid {
            host: one.host(),
            serial: row.serial.to_string(),
            why,
        });
    }
    selected.iter().map(|one| peer(one, store)).collect()
}

// What `revoke` says of a host whose certificates all are, in words of this command.
fn revoked_host(word: &str, error: Error) -> Error {
    match error.downcast_ref() {
        Some(RegisterError::AlreadyRevoked { serial, revoked }) => AccessError::NotValid {
            host: word.into(),
            serial: serial.clone(),
            why: format!("was revoked on {revoked}"),
        }
        .into(),
        _ => error,
    }
}

// The revoked certificates that the words mean, or all; of these, some may not be kept.
fn revoked(
    words: &[String],
    store: &Store,
    session: &mut Session<'_>,
) -> Result<(Vec<Peer>, Exit)> {
    let mut selected = Vec::new();
    for word in words {
        selected.extend(selection::revoked(store, word)?);
    }
    if !words.is_empty() {
        let selected = selection::without_repeats(selected);
        let peers = selected.iter().map(|one| peer(one, store));
        return Ok((peers.collect::<Result<_>>()?, Exit::Done));
    }
    let (mut peers, mut exit) = (Vec::new(), Exit::Done);
    for one in selection::all_revoked(store)? {
        match peer(&one, store) {
            Ok(peer) => peers.push(peer),
            Err(error) => {
                session.warn(&format!("{error}: it is not among the lines"));
                exit = Exit::Attention;
            }
        }
    }
    Ok((peers, exit))
}

fn peer(one: &Selected, store: &Store) -> Result<Peer> {
    let Some(peer) = one.peer() else {
        bail!(SelectionError::NotKept {
            path: store.certificate_path(&one.row.serial),
            subject: one.title(),
        });
    };
    Ok(peer)
}
