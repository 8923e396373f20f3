//! `mailca list`

use std::fmt;
use std::io::{self, ErrorKind};

use anyhow::{Error, Result};
use serde::Serialize;
use time::OffsetDateTime;

use super::selection::{OfHost, Selected};
use super::session::Session;
use crate::cli::List as Args;
use crate::exit::Exit;
use crate::pki::general_name;
use crate::pki::revocation::Reason;
use crate::report::{self, Listing, Outcome};
use crate::store::Store;
use crate::store::register::{Recorded, State};

/// A row of the register.
#[derive(Serialize)]
struct Entry<'a> {
    serial: String,
    state: State,
    name: String,
    subject: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
    reason: Option<Reason>,
    #[serde(with = "time::serde::rfc3339::option")]
    compromised_at: Option<OffsetDateTime>,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serial, state, .. } = self;
        let end = report::date(self.not_after);
        // Under its number the register has a certificate without a subject.
        let who = match self.subject {
            named if named.starts_with('/') => named,
            _ => &self.name,
        };
        write!(f, "{serial:<16}  {state:<7}  {end}  {who}")?;
        if let Some(revoked_at) = self.revoked_at {
            let reason = self.reason.unwrap_or_default();
            write!(f, "  {}, {reason}", report::date(revoked_at))?;
        }
        writeln!(f)
    }
}

pub fn run(args: &Args, session: &mut Session<'_>) -> Result<Outcome> {
    let store = session.open_store()?;
    let filter = Filter::new(args, &store, session.context.now())?;
    let explain = session.explainer();
    let mut listing = Listing::new("certificates", session.global, &mut *session.context.stdout);
    let strangers = match print(&store, &filter, &mut listing) {
        Ok(strangers) => strangers,
        // Nobody reads on.
        Err(Stopped::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {
            return Ok(Outcome::printed(Exit::Done));
        }
        Err(Stopped::Write(error)) => return Err(unwritten(error)),
        Err(Stopped::Read(error)) if session.global.json => {
            let failure = explain(&error);
            listing.end(Some(&failure)).map_err(unwritten)?;
            return Ok(Outcome::printed(failure.exit));
        }
        Err(Stopped::Read(error)) => {
            listing.end(None).map_err(unwritten)?;
            return Err(error);
        }
    };
    let is_empty = listing.count == 0;
    match listing.end(None) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(unwritten(error)),
        _ => {}
    }
    let register = store.settings.database.display();
    if let Some(first) = strangers.first {
        let lines = match strangers.count {
            1 => "a line that is no row".into(),
            count => format!("{count} lines that are no rows"),
        };
        session.warn(&format!("{register} has {lines}: {first:?}"));
    }
    if is_empty {
        session.note(&format!("{register} has no such certificate"));
    }
    Ok(Outcome::printed(Exit::Done))
}

fn unwritten(error: io::Error) -> Error {
    Error::new(error).context("cannot write to standard output")
}

/// Why a list ends early.
enum Stopped {
    Write(io::Error),
    Read(Error),
}

/// Lines of the register that are no rows.
#[derive(Default)]
struct Strangers {
    count: u64,
    first: Option<String>,
}

fn print(store: &Store, filter: &Filter, listing: &mut Listing<'_>) -> Result<Strangers, Stopped> {
    let mut strangers = Strangers::default();
    let mut stopped = None;
    store
        .lines_while(|line| {
            if !filter.may_be(line) {
                return true;
            }
            if let Some(row) = Recorded::parse(line) {
                stopped = filter.print(row, store, listing).err();
            } else if !line.is_empty() && !line.starts_with(b"#") {
                strangers.count += 1;
                let as_text = || String::from_utf8_lossy(line).into_owned();
                strangers.first.get_or_insert_with(as_text);
            }
            stopped.is_none()
        })
        .map_err(|error| Stopped::Read(error.into()))?;
    stopped.map_or(Ok(strangers), Err)
}

/// Which rows are asked for.
struct Filter {
    states: Vec<State>,
    host: Option<OfHost>,
    /// those that end before
    before: Option<OffsetDateTime>,
    now: OffsetDateTime,
}

impl Filter {
    fn new(args: &Args, store: &Store, now: OffsetDateTime) -> Result<Self> {
        let host = match &args.host {
            Some(word) => Some(OfHost::new(store, &general_name::host_name(word)?)?),
            None => None,
        };
        Ok(Self {
            states: args.state.clone(),
            host,
            before: args.expiring.map(|window| now.saturating_add(window)),
            now,
        })
    }

    fn may_be(&self, line: &[u8]) -> bool {
        self.host.as_ref().is_none_or(|host| host.may_be(line))
    }

    fn print(
        &self,
        row: Recorded,
        store: &Store,
        listing: &mut Listing<'_>,
    ) -> Result<(), Stopped> {
        let state = row.state(self.now);
        let ends = |before| state == State::Valid && row.not_after < before;
        if !self.before.is_none_or(ends) || !self.states.is_empty() && !self.states.contains(&state)
        {
            return Ok(());
        }
        if let Some(host) = &self.host
            && !host.is_it(store, &row).map_err(Stopped::Read)?
        {
            return Ok(());
        }
        // Only without a subject its name is in the certificate alone.
        let one = if row.subject.starts_with('/') {
            Selected::of_row(row)
        } else {
            Selected::new(store, row).map_err(Stopped::Read)?
        };
        let revocation = one.row.revocation.as_ref();
        let entry = Entry {
            serial: one.row.serial.to_string(),
            state,
            name: one.host(),
            subject: &one.row.subject,
            not_after: one.row.not_after,
            revoked_at: revocation.map(|it| it.date),
            reason: revocation.map(|it| it.reason),
            compromised_at: revocation.and_then(|it| it.compromised_at),
        };
        listing.entry(&entry).map_err(Stopped::Write)
    }
}
