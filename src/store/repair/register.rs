//! The rows of the register, as they have to be.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use time::OffsetDateTime;

use super::{Action, Plan};
use crate::pki::revocation::Revocation;
use crate::pki::serial::SerialNumber;
use crate::store::Store;
use crate::store::audit::evidence::{Evidence, Said, whole_rows};
use crate::store::audit::kept::Kept;
use crate::store::audit::rows::{Fields, Line, RowProblem};
use crate::store::audit::{Audit, Orphan};
use crate::store::index::{self, Row};
use crate::store::register::{RegisterError, lines_with};

/// The rows that take the place of lines, by the offsets of these.
#[derive(Default)]
struct Edits {
    lines: HashMap<u64, usize>,
    actions: Vec<Action>,
}

impl Edits {
    fn replace(&mut self, line: &Line, rows: Vec<String>, because: &'static str) {
        if let Some(&known) = self.lines.get(&line.at) {
            // Of two things that are wrong with a line the first decides, unless it is left out.
            if let Action::Replace { rows: there, .. } = &mut self.actions[known]
                && rows.is_empty()
            {
                there.clear();
            }
            return;
        }
        self.lines.insert(line.at, self.actions.len());
        self.actions.push(Action::Replace {
            line: line.clone(),
            rows,
            because,
        });
    }
}

impl Store {
    pub(super) fn mend_rows(&self, audit: &Audit, held: &mut HashSet<String>, plan: &mut Plan) {
        let rows = &audit.rows;
        let certificates = &audit.certificates;
        let mut edits = Edits::default();
        for line in &rows.strangers {
            let is_kept =
                |serial: &SerialNumber| certificates.find(serial.to_string().as_bytes()).is_some();
            let whole = whole_rows(line, is_kept);
            edits.replace(line, whole, "it is no row");
        }
        // Of more than two, the one that stays is compared with the next.
        let mut staying: HashMap<u64, &Line> = HashMap::new();
        for (line, first) in &rows.twice {
            let before = staying.entry(first.at).or_insert(first);
            match worse(line, before) {
                Some(worse) => {
                    edits.replace(worse, Vec::new(), "the number is there twice");
                    if worse == *before {
                        *before = line;
                    }
                }
                None => plan.undecided.push(format!(
                    "the lines {} and {} of {} have one serial number, {}, and are of two certificates",
                    before.number,
                    line.number,
                    self.settings.database.display(),
                    line.digits()
                )),
            }
        }
        for (line, revocation) in &rows.lost_revocations {
            let row = certificates.find(line.digits().as_bytes());
            let row = row.map(|at| certificates.kept[at].row());
            let row = row.unwrap_or_else(|| line.text());
            edits.replace(line, vec![revoked(&row, revocation)], "the CRL lists it");
        }
        for (line, problem) in &rows.refused {
            let kept = certificates.find(line.digits().as_bytes());
            let kept = kept.map(|at| &certificates.kept[at]);
            match kept.and_then(|kept| readable(line, *problem, kept, &audit.evidence)) {
                Some(row) => edits.replace(line, vec![row], "openssl ca refuses it"),
                None => plan.undecided.push(format!(
                    "openssl ca refuses line {} of {} ({problem}), and nothing tells what it was: {}",
                    line.number,
                    self.settings.database.display(),
                    line.text()
                )),
            }
        }
        for (line, at) in &rows.differing {
            let kept = &certificates.kept[*at];
            let row = corrected(line, kept).filter(|row| {
                let valid = index::valid_subject_in(row.as_bytes());
                let is_kept = index::valid_subject_in(&line.bytes) == valid;
                // Two valid ones of one subject would stop openssl ca altogether.
                !self.unique_subject
                    || valid.is_none()
                    || is_kept
                    || held.insert(kept.subject.clone())
            });
            if let Some(row) = row {
                edits.replace(line, vec![row], "its certificate says so");
            } else {
                plan.undecided.push(format!(
                    "line {} of {} cannot be written anew from {}, which has its serial number",
                    line.number,
                    self.settings.database.display(),
                    kept.path.display()
                ));
            }
        }
        for line in &rows.early {
            let text = line.text();
            let subject = Row::parse(&text).map(|row| row.subject.to_owned());
            // Two valid ones of one subject would stop openssl ca altogether.
            if self.unique_subject && !subject.is_some_and(|subject| held.insert(subject)) {
                plan.undecided.push(format!(
                    "line {} of {} is marked expired before its date, but its subject has another \
                     valid certificate, and unique_subject = yes permits one",
                    line.number,
                    self.settings.database.display()
                ));
                continue;
            }
            let row = text.replacen('E', "V", 1);
            edits.replace(line, vec![row], "its date has not passed");
        }
        for (line, before) in &rows.subject_twice {
            plan.undecided.push(format!(
                "the lines {} and {} of {} are of two valid certificates with one subject, and \
                 unique_subject = yes permits one",
                before.number,
                line.number,
                self.settings.database.display()
            ));
        }
        self.finish_revocations(audit, &mut edits);
        plan.actions.extend(edits.actions);
        if rows.is_unended {
            plan.actions.push(Action::EndLastRow);
        }
    }

    // What an `openssl ca -revoke` had begun.
    fn finish_revocations(&self, audit: &Audit, edits: &mut Edits) {
        if audit.leftovers.is_empty() {
            return;
        }
        let mut number = 0;
        // What cannot be read, was said before.
        let _ = lines_with(audit.register_path(self), &self.pending, |at, line| {
            number += 1;
            if line.starts_with(b"V\t")
                && let Some(fields) = Fields::of(line).filter(|it| it.problem().is_none())
                && let Some(serial) = SerialNumber::from_digits(fields.serial)
                && let (Some(at), Some(revocation)) = (at, audit.evidence.revocation(&serial))
            {
                let line = Line {
                    at,
                    number,
                    bytes: line.to_vec(),
                };
                let row = revoked(&line.text(), revocation);
                edits.replace(&line, vec![row], "an openssl ca -revoke was interrupted");
            }
            true
        });
    }

    pub(super) fn adopt(
        &self,
        audit: &Audit,
        held: &mut HashSet<String>,
        plan: &mut Plan,
        now: OffsetDateTime,
    ) {
        let mut orphans: Vec<&Orphan> = audit.orphans.iter().collect();
        orphans.sort_by(|one, other| one.certificate.serial.cmp(&other.certificate.serial));
        for orphan in orphans {
            let kept = &orphan.certificate;
            let said = orphan.said.as_ref();
            let revocation = match (&orphan.revocation, said) {
                (Some(listed), _) => Some(listed),
                (None, Some(Said::Revoked(said))) => Some(said),
                _ => None,
            };
            let is_past = kept.not_after < now;
            let row = match revocation {
                Some(revocation) => revoked(&kept.row(), revocation),
                None if self.unique_subject && is_past => kept.row().replacen('V', "E", 1),
                None if self.unique_subject && !held.insert(kept.subject.clone()) => {
                    plan.undecided.push(format!(
                        "{} has no row, and {} has another valid certificate, which \
                         unique_subject = yes does not permit",
                        kept.path.display(),
                        kept.subject
                    ));
                    continue;
                }
                None => kept.row(),
            };
            let is_known = match said {
                Some(Said::Unreadable) => false,
                Some(_) => true,
                None => orphan.is_proven_valid,
            };
            if revocation.is_none() && !is_known && !is_past {
                plan.unproven.push(kept.serial.clone());
            }
            plan.actions.push(Action::Adopt {
                path: kept.path.clone(),
                serial: kept.serial.clone(),
                row,
            });
        }
    }

    /// The subjects that have a valid row, of those that shall get one, where that matters.
    pub(super) fn held_subjects(&self, audit: &Audit) -> Result<HashSet<String>, RegisterError> {
        let mut held = HashSet::new();
        if !self.unique_subject {
            return Ok(held);
        }
        let orphans = audit.orphans.iter();
        let mut wanted: HashSet<&[u8]> = orphans
            .map(|orphan| orphan.certificate.subject.as_bytes())
            .collect();
        let differing = audit.rows.differing.iter();
        let kept = differing.map(|(_, at)| &audit.certificates.kept[*at]);
        wanted.extend(kept.map(|kept| kept.subject.as_bytes()));
        let early = audit.rows.early.iter();
        wanted.extend(early.filter_map(|line| index::subject_in(&line.bytes)));
        lines_with(audit.register_path(self), &self.pending, |_, line| {
            if let Some(subject) = index::valid_subject_in(line)
                && index::is_regular(line)
                && wanted.contains(subject)
            {
                held.insert(String::from_utf8_lossy(subject).into_owned());
            }
            true
        })?;
        Ok(held)
    }
}

// A register beside its place that no interrupted openssl ca moved there may be of any time:
// what was revoked since is valid in it.
pub(super) fn doubt(
    audit: &Audit,
    plan: &mut Plan,
    now: OffsetDateTime,
) -> Result<(), RegisterError> {
    let base = audit.register_base.as_ref();
    let Some(base) = base.filter(|_| !audit.evidence.has_successor) else {
        return Ok(());
    };
    let actions = plan.actions.iter();
    let replaced: HashSet<u64> = actions
        .filter_map(|action| match action {
            Action::Replace { line, .. } => Some(line.at),
            _ => None,
        })
        .collect();
    let unproven = &mut plan.unproven;
    index::lines(base, |at, line| {
        let fields = Fields::of(line).filter(|it| it.status == b'V');
        if let Some(fields) = fields
            && !replaced.contains(&at)
            && fields.not_after().is_some_and(|end| end >= now)
        {
            unproven.extend(SerialNumber::from_digits(fields.serial));
        }
        true
    })?;
    Ok(())
}

/// The one of two rows with the same number that can go, `None` where they are of two certificates.
fn worse<'l>(line: &'l Line, before: &'l Line) -> Option<&'l Line> {
    let (one, other) = (line.text(), before.text());
    let (row, row_before) = (Row::parse(&one)?, Row::parse(&other)?);
    let is_same = (row.expires, row.subject) == (row_before.expires, row_before.subject);
    // What openssl ca refuses may say of a revocation in its own way.
    let is_readable =
        |line: &Line| Fields::of(&line.bytes).is_some_and(|it| it.problem().is_none());
    if !is_same || !is_readable(line) || !is_readable(before) {
        return None;
    }
    let revocation = |row: &Row<'_>| Revocation::parse(row.revoked);
    let is_compromised = |one: &Revocation| one.is_of_compromised_key();
    match (revocation(&row), revocation(&row_before)) {
        (Some(_), None) => Some(before),
        (Some(one), Some(other)) if is_compromised(&one) && !is_compromised(&other) => Some(before),
        _ => Some(line),
    }
}

fn revoked(row: &str, revocation: &Revocation) -> String {
    let parsed = Row::parse(row);
    parsed.map_or_else(
        || row.to_owned(),
        |parsed| index::revoked_line(&parsed, revocation),
    )
}

// A row that openssl ca refuses, made of its certificate, where its status can be told.
fn readable(line: &Line, problem: RowProblem, kept: &Kept, evidence: &Evidence) -> Option<String> {
    let fields = Fields::of(&line.bytes)?;
    let known = evidence.revocation(&kept.serial);
    let revocation = known.cloned().or_else(|| fields.revocation());
    match (problem, revocation) {
        (RowProblem::Date | RowProblem::Serial, None) if fields.status != b'R' => {
            let status = char::from(fields.status).to_string();
            Some(kept.row().replacen('V', &status, 1))
        }
        // What it says of a revocation is not thrown away.
        (_, Some(revocation)) => Some(revoked(&kept.row(), &revocation)),
        _ => None,
    }
}

// The row with what its certificate says, where it is of that one.
fn corrected(line: &Line, kept: &Kept) -> Option<String> {
    let text = line.text();
    let row = Row::parse(&text)?;
    let is_it = row.expires == kept.expires || row.subject == kept.subject;
    is_it.then(|| {
        let Row {
            status,
            revoked,
            file,
            ..
        } = row;
        let Kept {
            expires,
            serial,
            subject,
            ..
        } = kept;
        format!("{status}\t{expires}\t{revoked}\t{serial}\t{file}\t{subject}")
    })
}

impl Audit {
    /// The file that the rows are in.
    pub(in crate::store) fn register_path<'s>(&'s self, store: &'s Store) -> &'s Path {
        self.register_base
            .as_deref()
            .unwrap_or(&store.settings.database)
    }
}
