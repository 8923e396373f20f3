//! `mailca access`

use anyhow::{Result, bail};
use thiserror::Error;

use super::selection::{self, Selected, SelectionError};
use super::session::Session;
use crate::cli::{Access, AccessPostfix, AccessSendmail, AccessTarget};
use crate::mta::sendmail::access::AccessLines;
use crate::mta::{Peer, postfix, sendmail};
use crate::report::{self, Outcome};
use crate::store::Store;

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
    let (text, table) = if args.reject {
        let revoked = revoked(&args.hosts, store)?;
        (postfix::access::rejected(&revoked), "/etc/postfix/revoked")
    } else {
        let valid = valid(&args.hosts, store, session)?;
        let table = "/etc/postfix/relay_clientcerts";
        (postfix::access::permitted(&valid), table)
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
    Ok(Outcome::file(text))
}

// The valid certificates that the words mean: of a host all that it has.
fn valid(words: &[String], store: &Store, session: &Session<'_>) -> Result<Vec<Peer>> {
    let now = session.context.now();
    let mut selected = Vec::new();
    for word in words {
        selected.extend(selection::find(store, word, true, now)?);
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

// The revoked certificates that the words mean, or all.
fn revoked(words: &[String], store: &Store) -> Result<Vec<Peer>> {
    let mut selected = Vec::new();
    for word in words {
        selected.extend(selection::revoked(store, word)?);
    }
    if words.is_empty() {
        selected = selection::all_revoked(store)?;
    }
    let selected = selection::without_repeats(selected);
    selected.iter().map(|one| peer(one, store)).collect()
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
