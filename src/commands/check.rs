//! `mailca check`

mod access;
mod ca;
mod directory;
mod finding;
mod mail;
mod pairs;
mod sendmail;

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use time::OffsetDateTime;

use self::directory::Words;
use self::finding::{Finding, Severity};
use self::pairs::Pairs;
use super::overview::Overview;
use super::overview::item::Urgency;
use super::session::Session;
use crate::cli::Check as Args;
use crate::exit::Exit;
use crate::pki::text;
use crate::report::{self, Outcome};
use crate::store::Store;
use crate::sys::files;

/// What was found, and in what.
#[derive(Serialize)]
struct Report {
    changed: bool,
    /// whether something has to be done
    attention: bool,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    directory: PathBuf,
    findings: Vec<Finding>,
    /// what could not be looked at, and why
    unchecked: Vec<String>,
    /// the command that mends some of them
    #[serde(skip)]
    repair: String,
}

pub fn run(args: &Args, session: &mut Session<'_>) -> Result<Outcome> {
    let store = session.open_store()?;
    let audit = store.audit(session.context.now())?;
    let words = Words {
        store: &store,
        audit: &audit,
        findings: Vec::new(),
    };
    let mut findings = words.all();
    findings.extend(lifetimes(&store, session)?);
    // Of what the audit finds in the register more is told than the journal knows.
    if audit.is_register_sound() {
        findings.extend(directory::contradiction(&store, session)?);
    }
    findings.extend(ca::findings(&store));
    findings.extend(mail::findings(args, &store, session)?);
    let pairs = Pairs::of(&store, session)?;
    findings.extend(pairs.findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let worst = findings.first().map(|finding| finding.severity);
    let report = Report {
        changed: false,
        attention: worst > Some(Severity::Note),
        at: session.context.now(),
        directory: store.settings.root.clone(),
        findings,
        unchecked: pairs.unchecked,
        repair: report::invocation(&store, &["repair"]),
    };
    let mut outcome = Outcome::long(&report, session.global.json)?;
    if report.attention {
        outcome.exit = Exit::Attention;
    }
    Ok(outcome)
}

// What the audit knows better, of all that `status` tells.
const AUDITED: [&str; 5] = [
    "register-missing",
    "register-damaged",
    "register-incomplete",
    "crl-incomplete",
    "crl-unrecorded",
];

// What `status` tells.
fn lifetimes(store: &Store, session: &Session<'_>) -> Result<Vec<Finding>> {
    let overview = Overview::of(store, session, None)?;
    let urgent = overview.by_urgency().into_iter();
    let urgent = urgent.filter_map(|item| {
        let severity = match item.urgency {
            Urgency::Ok => return None,
            Urgency::Warning => Severity::Warning,
            Urgency::Critical => Severity::Critical,
        };
        let problem = format!("{}-{}", item.kind.as_str(), item.problem?);
        if AUDITED.contains(&&*problem) {
            return None;
        }
        // As openssl ca leaves it, which knows neither of the other forms.
        let severity = if problem == "crl-not-published" && is_only_in_pem(store) {
            Severity::Note
        } else {
            severity
        };
        let finding = Finding::new(severity, &problem, &item.file, item.sentence()?);
        let finding = finding.of(item.number.iter());
        Some(finding.remedy_if_any(item.remedy.clone()))
    });
    Ok(urgent.collect())
}

fn is_only_in_pem(store: &Store) -> bool {
    let link = store.hash_link().ok();
    let others = [Some(store.settings.crl_der()), link.map(|(link, _)| link)];
    !others.iter().flatten().any(|path| files::exists(path))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            writeln!(f, "{}: nothing is wrong", self.directory.display())?;
        }
        for finding in &self.findings {
            let reason = text::sentence(&finding.reason);
            writeln!(f, "{}: {reason}", finding.severity.as_str())?;
            if let Some(remedy) = finding.remedy.as_ref().filter(|_| !finding.repair) {
                writeln!(f, "next: {remedy}")?;
            }
        }
        if self.findings.iter().any(|finding| finding.repair) {
            writeln!(f, "next: {}", self.repair)?;
        }
        for unchecked in &self.unchecked {
            writeln!(f, "not checked: {}", text::sentence(unchecked))?;
        }
        Ok(())
    }
}
