//! `mailca status`

mod board;
mod monitor;

use anyhow::Result;

pub use self::monitor::unknown;

use super::overview::Overview;
use super::session::Session;
use crate::cli::Status as Args;
use crate::exit::{Exit, Plugin};
use crate::report::Outcome;

pub fn run(args: &Args, session: &mut Session<'_>) -> Result<Outcome> {
    let overview = match find(args, session) {
        Err(error) if args.nagios => {
            let failure = session.explain(&error);
            let mut outcome = Outcome::file(unknown(&failure.error));
            outcome.exit = Exit::Plugin(Plugin::Unknown);
            return Ok(outcome);
        }
        found => found?,
    };
    if args.nagios {
        let mut outcome = Outcome::file(monitor::nagios(&overview));
        outcome.exit = Exit::Plugin(monitor::plugin(overview.urgency()));
        return Ok(outcome);
    }
    if args.prometheus {
        return Ok(Outcome::file(monitor::prometheus(&overview)));
    }
    let mut outcome = match session.context.screen {
        Some(screen) if !session.global.json => Outcome::drawing(board::draw(&overview, screen)),
        _ => Outcome::long(&overview, session.global.json)?,
    };
    if overview.attention {
        outcome.exit = Exit::Attention;
    }
    Ok(outcome)
}

fn find(args: &Args, session: &mut Session<'_>) -> Result<Overview> {
    let store = session.open_store()?;
    Overview::of(&store, session, args.expiring)
}
