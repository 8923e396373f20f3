//! Carrying a plan out: one transaction, after copies of what it changes were made.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use time::{Duration, OffsetDateTime};

use super::{Action, Plan, dated};
use crate::pki::revocation::Revocation;
use crate::store::audit::Audit;
use crate::store::index::{self, Row};
use crate::store::revocation::stage_from;
use crate::store::steps::Step;
use crate::store::transaction::{Transaction, TransactionError};
use crate::sys::disk;
use crate::sys::files::{self, FileError};

/// What was done besides what the plan says.
#[derive(Debug, Default)]
pub struct Repaired {
    /// the copies of what was changed, and the new names of what was set aside
    pub kept: Vec<PathBuf>,
    /// modes that could not be set
    pub failed: Vec<FileError>,
}

impl Transaction<'_> {
    /// Carries a plan out.
    ///
    /// # Errors
    /// Before the commit, anything; after it, [`TransactionError::Pending`].
    pub fn repair(
        mut self,
        plan: &Plan,
        audit: &Audit,
        now: OffsetDateTime,
    ) -> Result<Repaired, TransactionError> {
        let now = unused_moment(&self.store.settings.database, plan, now);
        let folder = files::open_folder(&self.store.settings.root)?;
        let mut kept = Vec::new();
        let result = self.prepare(plan, audit, now, &mut kept);
        let recorded = result.and_then(|steps| self.settle()?.record(&steps));
        match recorded {
            Ok(()) => {}
            Err(error @ TransactionError::Pending(_)) => return Err(error),
            Err(error) => {
                // Nothing was changed, so nothing needs a copy.
                for copy in kept.iter().filter(|path| files::exists(path)) {
                    let _ = disk::remove_file(copy);
                }
                return Err(error);
            }
        }
        kept.retain(|path| files::exists(path));
        // Nothing depends on them, and another repair sets those that could not be set.
        let modes = plan.actions.iter().filter_map(|action| match action {
            Action::SetMode { path, mode } => files::restrict(&folder, path, *mode).err(),
            _ => None,
        });
        Ok(Repaired {
            failed: modes.collect(),
            kept,
        })
    }

    fn prepare(
        &mut self,
        plan: &Plan,
        audit: &Audit,
        now: OffsetDateTime,
        kept: &mut Vec<PathBuf>,
    ) -> Result<Vec<Step>, TransactionError> {
        let mut steps = Vec::new();
        self.stage_register(plan, audit, now, kept)?;
        let mut set_aside = Vec::new();
        for action in &plan.actions {
            match action {
                Action::StoreCopy { path, text, .. } => steps.push(Step::StoreCertificate {
                    path: self.relative(path),
                    text: text.clone(),
                }),
                Action::RestoreFile { path, text, .. } => {
                    keep(path, now, kept)?;
                    steps.push(Step::WriteFile {
                        path: self.relative(path),
                        text: text.clone(),
                    });
                }
                Action::SetNumber { path, number } => {
                    keep(path, now, kept)?;
                    files::overwrite(path, format!("{number}\n").as_bytes(), 0o644)?;
                }
                Action::SetAside(path) => {
                    let to = dated(path, now);
                    set_aside.push(to.clone());
                    steps.push(Step::SetAside {
                        path: self.relative(path),
                        to: self.relative(&to),
                    });
                }
                Action::Link { path, target } => steps.push(Step::Link {
                    path: self.relative(path),
                    target: target.clone(),
                }),
                Action::RestoreRegister(_)
                | Action::Replace { .. }
                | Action::EndLastRow
                | Action::Adopt { .. }
                | Action::SetMode { .. } => {}
            }
        }
        kept.extend(set_aside);
        Ok(steps)
    }

    fn stage_register(
        &mut self,
        plan: &Plan,
        audit: &Audit,
        now: OffsetDateTime,
        kept: &mut Vec<PathBuf>,
    ) -> Result<(), TransactionError> {
        let mut replaced: HashMap<u64, &[String]> = HashMap::new();
        let mut adopted = Vec::new();
        let mut is_changed = false;
        for action in &plan.actions {
            match action {
                Action::Replace { line, rows, .. } => {
                    replaced.insert(line.at, rows);
                }
                Action::Adopt { row, .. } => adopted.push(row),
                Action::RestoreRegister(_) | Action::EndLastRow => is_changed = true,
                _ => {}
            }
        }
        let is_changed = is_changed || !replaced.is_empty() || !adopted.is_empty();
        if !is_changed {
            return Ok(());
        }
        let database = &self.store.settings.database;
        let base = audit.register_base.as_deref().and_then(Path::file_name);
        keep(database, now, kept)?;
        let sha256 = stage_from(database, base, |register, out| {
            let mut written = Ok(());
            let mut write = |row: &[u8]| {
                written = out.write_all(row).and_then(|()| out.write_all(b"\n"));
                written.is_ok()
            };
            if let Some(register) = register {
                let read =
                    index::lines_of(register, database, |at, line| match replaced.get(&at) {
                        Some(rows) => rows.iter().all(|row| write(row.as_bytes())),
                        None => write(line),
                    });
                read.map_err(|error| error.source)?;
            }
            let _ = adopted.iter().all(|row| write(row.as_bytes()));
            written
        })?;
        let rows = replaced.into_values().flatten().chain(adopted).cloned();
        let rows: Vec<String> = rows.collect();
        self.keep_compromised(&rows)?;
        self.staged.push(Step::RewriteRegister { sha256, rows });
        self.rewrites_register = true;
        Ok(())
    }

    fn keep_compromised(&mut self, rows: &[String]) -> Result<(), FileError> {
        let parsed = rows.iter().filter_map(|row| Row::parse(row));
        let serials: HashSet<&str> = parsed
            .filter(|row| {
                let revocation = Revocation::parse(row.revoked);
                revocation.is_some_and(|it| it.is_of_compromised_key())
            })
            .map(|row| row.serial)
            .collect();
        for serial in serials {
            self.compromised.add(self.store, serial)?;
        }
        Ok(())
    }
}

// The first moment from `now` on that no copy has in its name: that of a repair which died stays
// as it is.
fn unused_moment(database: &Path, plan: &Plan, now: OffsetDateTime) -> OffsetDateTime {
    let changed = plan.actions.iter().filter_map(|action| match action {
        Action::SetNumber { path, .. }
        | Action::SetAside(path)
        | Action::RestoreFile { path, .. } => Some(path.as_path()),
        _ => None,
    });
    let changed: Vec<&Path> = changed.chain([database]).collect();
    let is_used = |moment| {
        changed
            .iter()
            .any(|path| files::exists(&dated(path, moment)))
    };
    let mut moment = now;
    while is_used(moment) {
        moment = moment.saturating_add(Duration::SECOND);
    }
    moment
}

// A dated copy of a file that is about to be changed, if it is there.
fn keep(path: &Path, now: OffsetDateTime, kept: &mut Vec<PathBuf>) -> Result<(), FileError> {
    if files::exists(path) {
        let copy = dated(path, now);
        files::create_copy(path, copy.file_name().unwrap_or_default())?;
        kept.push(copy);
    }
    Ok(())
}
