//! `mailca repair`

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;

use super::issuance::Refusal;
use super::session::{AnswerError, Session};
use crate::cli::Repair as Args;
use crate::exit::Exit;
use crate::pki::serial::SerialNumber;
use crate::pki::text;
use crate::report::{self, List, Outcome};
use crate::store::Store;
use crate::store::repair::{Action, Plan, Repaired};

/// Why nothing is repaired.
#[derive(Debug, Error)]
pub enum RepairRefusal {
    /// Certificates would count as valid that may have been revoked.
    #[error("nothing proves that these certificates were not revoked: {}", List(.0))]
    Unproven(Vec<SerialNumber>),
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    directory: PathBuf,
    /// what was done, or would be
    actions: Vec<String>,
    /// copies of what was changed, and the new names of what was moved aside
    kept: Vec<PathBuf>,
    /// certificates that count as valid now, although nothing proves it
    assumed_valid: Vec<SerialNumber>,
    /// what somebody has to decide
    undecided: Vec<String>,
    #[serde(skip)]
    is_plan: bool,
    /// the command after this one
    #[serde(skip)]
    next: String,
}

pub fn run(args: &Args, session: &mut Session<'_>) -> Result<Outcome> {
    let now = session.context.now();
    let mut store = session.open_store()?;
    let mut finished = false;
    // What was committed happens whatever is answered here, as by every command that writes.
    if store.has_unfinished() && !args.dry_run {
        finished = store.was_interrupted();
        drop(store.begin_repair(session.wait())?);
        store = session.reopen_store()?;
    }
    let mut plan = store.repair_plan(&store.audit(now)?, now)?;
    if plan.actions.is_empty() || args.dry_run {
        return outcome(&store, plan, Repaired::default(), (finished, args.dry_run));
    }
    confirm(args, session, &store, &plan)?;
    let mut repaired = carry_out(session, &store, &plan, now)?;
    let mut tried = vec![plan.actions.clone()];
    // What was mended may show more: of a line that was no row, one that openssl ca refuses.
    loop {
        match go_on(args, session, &tried, now) {
            Ok((next, Some(more))) => {
                tried.push(next.actions.clone());
                plan.append(next);
                repaired.kept.extend(more.kept);
                repaired.failed = more.failed;
            }
            Ok((next, None)) => {
                plan.undecided = next.undecided;
                break;
            }
            // What was done is told all the same.
            Err(error) => {
                let left = match error.downcast_ref() {
                    Some(AnswerError::Declined) => "there is more to repair".into(),
                    _ => format!("there is more to repair: {error:#}"),
                };
                plan.undecided.push(left);
                break;
            }
        }
    }
    outcome(&store, plan, repaired, (finished, false))
}

// Repairs what is left, unless that was tried.
fn go_on(
    args: &Args,
    session: &mut Session<'_>,
    tried: &[Vec<Action>],
    now: OffsetDateTime,
) -> Result<(Plan, Option<Repaired>)> {
    let store = session.reopen_store()?;
    let next = store.repair_plan(&store.audit(now)?, now)?;
    if next.actions.is_empty() || tried.contains(&next.actions) {
        return Ok((next, None));
    }
    confirm(args, session, &store, &next)?;
    let repaired = carry_out(session, &store, &next, now)?;
    Ok((next, Some(repaired)))
}

// Does what was confirmed, unless the directory has changed since.
fn carry_out(
    session: &Session<'_>,
    store: &Store,
    plan: &Plan,
    now: OffsetDateTime,
) -> Result<Repaired> {
    let transaction = store.begin_repair(session.wait())?;
    let fresh = session.reopen_store()?;
    let audit = fresh.audit(now)?;
    if *plan != fresh.repair_plan(&audit, now)? {
        bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
    }
    Ok(transaction.repair(plan, &audit, now)?)
}

fn confirm(args: &Args, session: &mut Session<'_>, store: &Store, plan: &Plan) -> Result<()> {
    let is_asked = session.context.terminal.is_present() && !session.global.yes;
    if !plan.unproven.is_empty() && !args.assume_valid && !is_asked {
        bail!(RepairRefusal::Unproven(plan.unproven.clone()));
    }
    let directory = store.settings.root.display();
    let mut review = format!("In {directory}:\n");
    for action in &plan.actions {
        for line in action.to_string().lines() {
            review.extend(["  ", line, "\n"]);
        }
    }
    session.confirm(|_| review, "Do all this?")?;
    if plan.unproven.is_empty() || args.assume_valid {
        return Ok(());
    }
    let unproven = List(&plan.unproven);
    let question =
        format!("Nothing proves that these certificates were not revoked:\n  {unproven}\n");
    session.confirm(|_| question, "Let them count as valid?")
}

fn outcome(
    store: &Store,
    plan: Plan,
    repaired: Repaired,
    (finished, is_plan): (bool, bool),
) -> Result<Outcome> {
    let first = finished.then(|| "finish what an interrupted mailca had begun".into());
    let failed = repaired.failed.iter().map(ToString::to_string);
    let planned = plan.actions.iter().map(ToString::to_string);
    let report = Report {
        changed: finished || !(is_plan || plan.actions.is_empty()),
        directory: store.settings.root.clone(),
        actions: first.into_iter().chain(planned).collect(),
        kept: repaired.kept,
        assumed_valid: plan.unproven,
        undecided: (plan.to_do.into_iter())
            .chain(plan.undecided)
            .chain(failed)
            .collect(),
        is_plan,
        next: report::invocation(store, &[if is_plan { "repair" } else { "check" }]),
    };
    let mut outcome = Outcome::of(&report)?;
    let is_left = !report.undecided.is_empty() || (is_plan && !report.actions.is_empty());
    if is_left {
        outcome.exit = Exit::Attention;
    }
    Ok(outcome)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        match (self.actions.is_empty(), self.is_plan) {
            (true, _) => writeln!(
                f,
                "{directory}: nothing can be repaired without a decision, or has to be"
            )?,
            (false, true) => writeln!(f, "{directory}: this would be done")?,
            (false, false) => writeln!(f, "repaired {directory}")?,
        }
        for action in &self.actions {
            for line in action.lines() {
                writeln!(f, "  {}", text::sentence(line))?;
            }
        }
        for kept in &self.kept {
            writeln!(f, "kept: {}", text::one_line(&kept.to_string_lossy()))?;
        }
        if !self.assumed_valid.is_empty() {
            writeln!(
                f,
                "valid from now on, if they were not revoked: {}",
                List(&self.assumed_valid)
            )?;
        }
        for undecided in &self.undecided {
            writeln!(f, "undecided: {}", text::sentence(undecided))?;
        }
        writeln!(f, "next: {}", self.next)
    }
}
