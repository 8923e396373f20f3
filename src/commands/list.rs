//! `mailca list`

use std::fmt;
use std::io::{self, ErrorKind};

use anyhow::{Error, Result};
use serde::Serialize;
use time::OffsetDateTime;

use super::selection::{self, OfHost, Selected};
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

impl<'a> Entry<'a> {
    fn of(one: &'a Selected, now: OffsetDateTime) -> Self {
        let revocation = one.row.revocation.as_ref();
        Self {
            serial: one.row.serial.to_string(),
            state: one.row.state(now),
            name: one.host(),
            subject: &one.row.subject,
            not_after: one.row.not_after,
            revoked_at: revocation.map(|it| it.date),
            reason: revocation.map(|it| it.reason),
            compromised_at: revocation.and_then(|it| it.compromised_at),
        }
    }
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
    let stdout = &mut *session.context.stdout;
    let mut listing = Listing::begin("certificates", session.global, stdout).map_err(unwritten)?;
    let oddities = match print(&store, &filter, &mut listing) {
        Ok(oddities) => oddities,
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
    listing.end(None).map_err(unwritten)?;
    let register = store.settings.database.display();
    if let Some(first) = oddities.first_stranger {
        let lines = match oddities.strangers {
            1 => "a line that is no row".into(),
            count => format!("{count} lines that are no rows"),
        };
        session.warn(&format!("{register} has {lines}: {first:?}"));
    }
    if let Some(unreadable) = oddities.unreadable {
        session.warn(&unreadable);
    }
    if is_empty {
        let such = if filter.takes_all() { "" } else { "such " };
        session.note(&format!("{register} has no {such}certificate"));
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

/// What is odd about the register and spoils no list.
#[derive(Default)]
struct Oddities {
    /// how many lines are no rows
    strangers: u64,
    first_stranger: Option<String>,
    /// a certificate whose name nobody knows, since it cannot be read
    unreadable: Option<String>,
}

fn print(store: &Store, filter: &Filter, listing: &mut Listing<'_>) -> Result<Oddities, Stopped> {
    let mut oddities = Oddities::default();
    let mut stopped = None;
    store
        .lines_while(|line| {
            if !filter.may_be(line) {
                return true;
            }
            let Some(row) = Recorded::parse(line) else {
                if !line.is_empty() && !line.starts_with(b"#") {
                    oddities.strangers += 1;
                    let as_text = || String::from_utf8_lossy(line).into_owned();
                    oddities.first_stranger.get_or_insert_with(as_text);
                }
                return true;
            };
            let (one, unreadable) = filter.look_up(store, row);
            oddities.unreadable = oddities.unreadable.take().or(unreadable);
            if filter.takes(&one) {
                let printed = listing.entry(&Entry::of(&one, filter.now));
                stopped = printed.err().map(Stopped::Write);
            }
            stopped.is_none()
        })
        .map_err(|error| Stopped::Read(error.into()))?;
    stopped.map_or(Ok(oddities), Err)
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

    fn takes_all(&self) -> bool {
        self.states.is_empty() && self.host.is_none() && self.before.is_none()
    }

    fn may_be(&self, line: &[u8]) -> bool {
        self.host.as_ref().is_none_or(|host| host.may_be(line))
    }

    // Reads the certificate where the register does not tell its name, or a host is asked for and
    // there is no CN; with it, why that cannot be read.
    fn look_up(&self, store: &Store, row: Recorded) -> (Selected, Option<String>) {
        let has_name = row.subject.starts_with('/');
        let is_enough = self.host.is_none() || selection::common_name(&row.subject).is_some();
        if has_name && is_enough {
            return (Selected::of_row(row), None);
        }
        match Selected::new(store, row.clone()) {
            Ok(one) => (one, None),
            Err(error) => (Selected::of_row(row), Some(error.to_string())),
        }
    }

    fn takes(&self, one: &Selected) -> bool {
        let state = one.row.state(self.now);
        let is_in_state = self.states.is_empty() || self.states.contains(&state);
        let ends = |before| state == State::Valid && one.row.not_after < before;
        is_in_state
            && self.before.is_none_or(ends)
            && self.host.as_ref().is_none_or(|host| host.is_it(one))
    }
}
