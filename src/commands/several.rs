//! Many requests or hosts by one command: one that is refused is named and does not spoil the
//! others.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::path::Path;

use anyhow::{Error, Result};
use serde::Serialize;

use super::batch::{self, Case, Signing};
use super::issued::Report;
use super::new_crl::NewCrl;
use super::output::{self, OutputError};
use super::servers;
use super::session::Session;

use crate::exit::Exit;
use crate::pki::public_key;
use crate::pki::text;
use crate::report::{self, List, Outcome};
use crate::store::Store;
use crate::store::register::Holders;
use crate::sys::files;

/// One request or host, as far as it is known before anything is signed.
pub enum Prepared<'a> {
    /// to be signed
    Case(Case<'a>),
    /// the host has its certificate already
    Present(Report),
}

/// A request or host that got no certificate, or whose certificate could not be copied.
#[derive(Serialize)]
pub struct Failed {
    name: String,
    error: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Reports {
    changed: bool,
    certificates: Vec<Report>,
    failed: Vec<Failed>,
    #[serde(skip)]
    next: Vec<String>,
}

impl fmt::Display for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in &self.certificates {
            report.write_line(f)?;
        }
        let signed = self.certificates.iter().filter(|one| one.changed).count();
        let present = self.certificates.len() - signed;
        write!(f, "signed {signed}")?;
        if present > 0 {
            write!(f, ", unchanged {present}")?;
        }
        if !self.failed.is_empty() {
            write!(f, ", failed {}", self.failed.len())?;
        }
        writeln!(f)?;
        for next in &self.next {
            writeln!(f, "next: {next}")?;
        }
        Ok(())
    }
}

/// What is asked for, and where the certificates go.
pub struct Order<'a> {
    pub store: &'a Store,
    pub prepared: Vec<(String, Result<Prepared<'a>>)>,
    pub atomic: bool,
    pub out_dir: Option<&'a Path>,
}

const NOT_ALL: &str = "--atomic: nothing was signed, since not all can be";

/// What became of an order.
#[derive(Default)]
pub struct Done {
    pub reports: Vec<Report>,
    pub failures: Failures,
    /// the CRL, where certificates were revoked
    pub crl: Option<NewCrl>,
    /// what was signed is recorded, but not all of it is in its place
    pub is_pending: bool,
}

/// Signs what can be signed, and reports it.
pub fn run(session: &mut Session<'_>, order: Order<'_>) -> Result<Outcome> {
    let store = order.store;
    let done = sign(session, order)?;
    finish(store, done, session)
}

/// Signs what can be signed.
pub fn sign(session: &mut Session<'_>, order: Order<'_>) -> Result<Done> {
    let Order {
        store,
        prepared,
        atomic,
        out_dir,
    } = order;
    let mut failures = Failures::default();
    let mut reports = Vec::new();
    let mut cases = Vec::new();
    for (name, prepared) in prepared {
        match prepared {
            Ok(Prepared::Case(case)) => cases.push(case),
            Ok(Prepared::Present(report)) => reports.push(report),
            Err(error) => failures.add(name, &error, session),
        }
    }
    let holders = check(session, store, &mut cases, out_dir, &mut failures)?;
    failures.tell(session, 0);
    if atomic && !failures.list.is_empty() {
        session.note(NOT_ALL);
        return Ok(Done {
            failures,
            ..Done::default()
        });
    }
    if cases.is_empty() {
        return Ok(Done {
            reports,
            failures,
            ..Done::default()
        });
    }
    confirm(session, store, &cases)?;
    let key = session.unlock(store)?;
    if let Some(dir) = out_dir {
        files::create_dirs(dir)?;
    }
    let signing = Signing {
        store,
        key: &key,
        copy_to: None,
        atomic,
    };
    let told = failures.list.len();
    let progress = session.progress("signing", cases.len());
    let mut uncopied = Vec::new();
    let signed = batch::sign(session, &signing, &cases, holders, |group| {
        if let Some(dir) = out_dir {
            let copies: Vec<_> = group
                .iter()
                .filter_map(|(number, certificate)| {
                    let path = cases[*number].out.clone()?;
                    Some((*number, path, certificate))
                })
                .collect();
            uncopied.extend(output::write_all(dir, &copies, store));
        }
        progress.advance(group.len());
    });
    progress.finish();
    let mut done = HashSet::new();
    for (number, certificate) in &signed.certificates {
        let plan = &cases[*number].plan;
        let host = plan.host.as_deref().filter(|_| plan.has_key());
        let mut report = Report::new(true, store, certificate, host);
        let case = &cases[*number];
        report.name = Some(case.name.clone());
        report.renews = case.renews.as_ref().map(|old| old.serial.to_string());
        report.out.clone_from(&case.out);
        reports.push(report);
        done.insert(*number);
    }
    for (number, error) in signed.failed.iter().chain(&uncopied) {
        failures.add(cases[*number].name.clone(), error, session);
        done.insert(*number);
    }
    if let Some(error) = &signed.stopped {
        let left = (0..cases.len()).filter(|number| !done.contains(number));
        let names: Vec<String> = left.map(|number| cases[number].name.clone()).collect();
        failures.stopped(names, error, session);
    }
    failures.tell(session, told);
    if atomic && !signed.failed.is_empty() {
        session.note(NOT_ALL);
    }
    Ok(Done {
        reports,
        failures,
        crl: signed.crl,
        is_pending: signed.stopped.is_some(),
    })
}

// What speaks against each case for itself is known; what is left is what they are together.
fn check(
    session: &Session<'_>,
    store: &Store,
    cases: &mut Vec<Case<'_>>,
    out_dir: Option<&Path>,
    failures: &mut Failures,
) -> Result<Holders> {
    let (holders, mut refused) = batch::check_together(store, cases, session.context.now())?;
    let mut outputs = HashSet::new();
    for (number, case) in cases.iter().enumerate() {
        let (Some(dir), Some(path)) = (out_dir, case.out.clone()) else {
            continue;
        };
        if !outputs.insert(path.clone()) {
            refused.push((number, OutputError::Twice(path).into()));
        } else if dir.is_dir()
            && let Err(error) = output::check(&path, store)
        {
            refused.push((number, error));
        }
    }
    let numbers: HashSet<usize> = refused.iter().map(|(number, _)| *number).collect();
    for (number, error) in refused {
        failures.add(cases[number].name.clone(), &error, session);
    }
    let mut number = 0;
    cases.retain(|_| {
        number += 1;
        !numbers.contains(&(number - 1))
    });
    Ok(holders)
}

// The most requests, and notes, that are worth reading before an answer.
const SHOWN: usize = 50;

fn confirm(session: &mut Session<'_>, store: &Store, cases: &[Case<'_>]) -> Result<()> {
    let notes = grouped(cases.iter().flat_map(|case| {
        case.plan
            .notes
            .iter()
            .map(|note| (case.name.as_str(), note.as_str()))
    }));
    if session.global.yes {
        for note in &notes {
            session.note(note);
        }
    }
    store.private_key()?;
    let question = match cases.len() {
        1 => "Sign the certificate?".into(),
        count => format!("Sign {count} certificates?"),
    };
    session.confirm(|_| review(store, cases, &notes), &question)
}

fn review(store: &Store, cases: &[Case<'_>], notes: &[String]) -> String {
    let directory = store.settings.root.display();
    let mut text = format!(
        "Issuer     {}\nDirectory  {directory}\n",
        store.certificate.subject
    );
    // Nothing fails in writing to a string.
    let mut line = |line: fmt::Arguments<'_>| {
        let _ = writeln!(text, "{line}");
    };
    for case in cases.iter().take(SHOWN) {
        let plan = &case.plan;
        let (from, to) = (report::date(plan.not_before), report::date(plan.not_after));
        line(format_args!("\n{}", text::one_line(&case.name)));
        if !plan.subject.is_empty() {
            line(format_args!("  {}", plan.subject));
        }
        if !plan.names.is_empty() {
            line(format_args!("  {}", List(&plan.names)));
        }
        line(format_args!(
            "  {}; {from} to {to}; {}",
            public_key::describe(&plan.subject_public_key_info),
            plan.profile.description()
        ));
        if let Some(old) = &case.renews {
            let (serial, end) = (&old.serial, report::date(old.not_after));
            let fate = if old.revoke { ", which is revoked" } else { "" };
            line(format_args!("  renews {serial}, valid until {end}{fate}"));
        }
    }
    if cases.len() > SHOWN {
        line(format_args!("\nand {} more", cases.len() - SHOWN));
    }
    for note in notes.iter().take(SHOWN) {
        line(format_args!("\nNote: {note}"));
    }
    if notes.len() > SHOWN {
        line(format_args!("\nand {} more notes", notes.len() - SHOWN));
    }
    line(format_args!(""));
    text
}

// The same sentence about many is said once.
fn grouped<'s>(sentences: impl Iterator<Item = (&'s str, &'s str)>) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut known = HashMap::new();
    for (name, sentence) in sentences {
        let number = *known.entry(sentence).or_insert_with(|| {
            groups.push((sentence, Vec::new()));
            groups.len() - 1
        });
        groups[number].1.push(name);
    }
    groups
        .into_iter()
        .map(|(sentence, names)| match names.as_slice() {
            [] => sentence.into(),
            [one] => format!("{}: {sentence}", text::one_line(one)),
            [one, other] => {
                let (one, other) = (text::one_line(one), text::one_line(other));
                format!("{one}, {other}: {sentence}")
            }
            [one, rest @ ..] => {
                let others = rest.len();
                format!("{} and {others} others: {sentence}", text::one_line(one))
            }
        })
        .collect()
}

/// What failed.
#[derive(Default)]
pub struct Failures {
    pub list: Vec<Failed>,
    /// whether something may have been done all the same
    is_open: bool,
}

impl Failures {
    fn add(&mut self, name: String, error: &Error, session: &Session<'_>) {
        let failure = session.explain(error);
        let error = match failure.error.strip_prefix(&format!("{name}: ")) {
            Some(rest) => rest.to_owned(),
            None => failure.error,
        };
        self.is_open |= failure.changed;
        self.list.push(Failed {
            name,
            error,
            hint: failure.hint,
        });
    }

    // An error that is nobody's own ended the work.
    fn stopped(&mut self, names: Vec<String>, error: &Error, session: &Session<'_>) {
        let failure = session.explain(error);
        let names = if names.is_empty() {
            vec!["all".into()]
        } else {
            names
        };
        self.is_open |= failure.changed;
        self.list.extend(names.into_iter().map(|name| Failed {
            name,
            error: failure.error.clone(),
            hint: failure.hint.clone(),
        }));
    }

    /// How a command ends that has signed so many certificates, or found them present.
    pub fn exit(&self, certificates: usize) -> Exit {
        if self.list.is_empty() {
            Exit::Done
        } else if certificates == 0 && !self.is_open {
            Exit::Refused
        } else {
            Exit::Attention
        }
    }

    fn tell(&self, session: &mut Session<'_>, from: usize) {
        if session.global.json {
            return;
        }
        let new = &self.list[from..];
        for sentence in grouped(
            new.iter()
                .map(|one| (one.name.as_str(), one.error.as_str())),
        ) {
            report::say("error", &sentence, session.context);
        }
        let mut said = HashSet::new();
        for hint in new.iter().filter_map(|one| one.hint.as_ref()) {
            if said.insert(hint) {
                report::say("hint", hint, session.context);
            }
        }
    }
}

fn finish(store: &Store, done: Done, session: &Session<'_>) -> Result<Outcome> {
    let (certificates, failures) = (done.reports, done.failures);
    let changed = certificates.iter().any(|report| report.changed);
    let exit = failures.exit(certificates.len());
    let first = certificates
        .iter()
        .find(|one| one.changed && one.host.is_some());
    let next = first
        .and_then(|one| one.host.as_deref())
        .map_or_else(Vec::new, |host| servers::wiring(store, host, session));
    let mut outcome = Outcome::of(&Reports {
        changed,
        certificates,
        failed: failures.list,
        next,
    })?;
    outcome.exit = exit;
    Ok(outcome)
}
