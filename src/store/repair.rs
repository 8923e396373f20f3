//! What mends a CA directory without a guess: a plan, made of what the audit found, and then one
//! transaction.

mod register;
mod transaction;

pub use self::transaction::Repaired;

use std::fmt;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::audit::links::LinkFault;
use super::audit::numbers::NumberFault;
use super::audit::rows::Line;
use super::audit::{Audit, Copy};
use super::register::RegisterError;
use super::{Store, parent, with_suffix};
use crate::pki::asn1_time;
use crate::pki::name::NameError;
use crate::pki::serial::SerialNumber;
use crate::pki::text;
use crate::sys::files::{self, FileError};

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put the register of before an `openssl ca` that was interrupted back into its place.
    RestoreRegister(PathBuf),
    /// Leave a line of the register out, or some rows in its place.
    Replace {
        /// the line
        line: Line,
        /// the rows, without line ends
        rows: Vec<String>,
        /// why
        because: &'static str,
    },
    /// End the last row.
    EndLastRow,
    /// Add the row of a certificate that has none.
    Adopt {
        /// the certificate's file
        path: PathBuf,
        /// its serial number
        serial: SerialNumber,
        /// the row, without a line end
        row: String,
    },
    /// Put a copy of a certificate into newcerts, which no longer has it.
    StoreCopy {
        /// the copy
        from: PathBuf,
        /// the place in newcerts
        path: PathBuf,
        /// PEM
        text: String,
    },
    /// Write a file anew: one that an interrupted `openssl ca` moved away, or a host's chain.
    RestoreFile {
        /// what it is made of
        from: PathBuf,
        /// the file
        path: PathBuf,
        /// its content
        text: String,
    },
    /// Advance a number.
    SetNumber {
        /// the file
        path: PathBuf,
        /// the number
        number: SerialNumber,
    },
    /// Give a file that is of no use another name.
    SetAside(PathBuf),
    /// Take from others what they should not be able to do.
    SetMode {
        /// the file or directory
        path: PathBuf,
        /// its permission bits from now on
        mode: u32,
    },
    /// Make a link under the hash of what it leads to.
    Link {
        /// the link
        path: PathBuf,
        /// what it leads to
        target: PathBuf,
    },
}

/// What is going to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// in the order in which it is told
    pub actions: Vec<Action>,
    /// certificates that count as valid then, although nothing proves that they were not revoked
    pub unproven: Vec<SerialNumber>,
    /// what is found, and needs somebody who decides, a sentence each
    pub undecided: Vec<String>,
    /// what has to be done after it, a sentence each
    pub to_do: Vec<String>,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name with a line end in it is no line of the plan.
        let name = |path: &Path| text::one_line(&path.to_string_lossy());
        match self {
            Self::RestoreRegister(from) => {
                write!(f, "take the register from {}", name(from))
            }
            Self::Replace {
                line,
                rows,
                because,
            } => {
                let number = line.number;
                match rows.as_slice() {
                    [] => write!(f, "leave out line {number} of the register ({because})")?,
                    _ => write!(f, "write line {number} of the register anew ({because})")?,
                }
                write!(f, "\n  - {}", text::shorten(&line.text()))?;
                rows.iter().try_for_each(|row| write!(f, "\n  + {row}"))
            }
            Self::EndLastRow => f.write_str("end the last row of the register"),
            Self::Adopt { path, row, .. } => {
                write!(f, "add a row for {}\n  + {row}", name(path))
            }
            Self::StoreCopy { from, path, .. } => {
                write!(f, "copy {} to {}", name(from), name(path))
            }
            Self::RestoreFile { from, path, .. } => {
                write!(f, "write {} anew from {}", name(path), name(from))
            }
            Self::SetNumber { path, number } => {
                write!(f, "write {number} into {}", name(path))
            }
            Self::SetAside(path) => write!(f, "move {} aside", name(path)),
            Self::SetMode { path, mode } => {
                write!(f, "set the mode of {} to {mode:04o}", name(path))
            }
            Self::Link { path, target } => {
                write!(f, "link {} to {}", name(path), name(target))
            }
        }
    }
}

impl Plan {
    /// Adds what was done after it; what is undecided then, counts.
    pub fn append(&mut self, mut next: Self) {
        self.actions.append(&mut next.actions);
        self.unproven.append(&mut next.unproven);
        self.to_do.append(&mut next.to_do);
        self.undecided = next.undecided;
    }

    // The journal holds text.
    fn leave_out_what_cannot_be_recorded(&mut self) {
        let is_text = |path: &Path| path.file_name().is_none_or(|name| name.to_str().is_some());
        self.actions.retain(|action| {
            let (path, is_recordable) = match action {
                Action::SetAside(path) => (path, is_text(path)),
                Action::Link { path, target } => (path, target.to_str().is_some()),
                _ => return true,
            };
            if !is_recordable {
                self.undecided.push(format!(
                    "{} stays as it is, since a name in it is not UTF-8: move it aside",
                    path.display()
                ));
            }
            is_recordable
        });
    }
}

/// The end of the names of what a repair at this time set aside, and of the copies that it keeps.
#[must_use]
pub fn dated(path: &Path, now: OffsetDateTime) -> PathBuf {
    with_suffix(path, &format!(".{}", asn1_time::format_generalized(now)))
}

impl Store {
    /// What would mend what the audit found.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn repair_plan(&self, audit: &Audit, now: OffsetDateTime) -> Result<Plan, RegisterError> {
        let mut plan = Plan::default();
        if let Some(base) = &audit.register_base {
            plan.actions.push(Action::RestoreRegister(base.clone()));
        }
        let mut held = self.held_subjects(audit)?;
        self.mend_rows(audit, &mut held, &mut plan);
        self.adopt(audit, &mut held, &mut plan, now);
        register::doubt(audit, &mut plan, now)?;
        self.mend_new_certs(audit, &mut plan);
        self.mend_numbers(audit, &mut plan)?;
        self.mend_links(audit, &mut plan)?;
        plan.actions
            .extend(audit.wrong_chains.iter().map(|chain| Action::RestoreFile {
                from: chain.certificate.clone(),
                path: chain.path.clone(),
                text: chain.text.clone(),
            }));
        for path in &audit.leftovers {
            plan.actions.push(Action::SetAside(path.clone()));
        }
        if let Err(RegisterError::Crl { path, .. }) = self.crl() {
            plan.to_do.push(format!(
                "{} holds no whole CRL and is moved aside: publish another with mailca crl",
                path.display()
            ));
            plan.actions.push(Action::SetAside(path));
        }
        plan.leave_out_what_cannot_be_recorded();
        let loose = self.loose_files().into_iter();
        plan.actions
            .extend(loose.filter(|it| it.is_inside).map(|it| Action::SetMode {
                path: it.path,
                mode: it.wanted,
            }));
        Ok(plan)
    }

    fn mend_new_certs(&self, audit: &Audit, plan: &mut Plan) {
        let store = |plan: &mut Plan, copy: &Copy| {
            plan.actions.push(Action::StoreCopy {
                from: copy.path.clone(),
                path: self.certificate_path(&copy.certificate.serial),
                text: copy.certificate.to_pem(),
            });
        };
        for damaged in &audit.certificates.damaged {
            let copy = audit.copy_of(damaged.serial.as_ref());
            if !damaged.has_row || copy.is_some() {
                plan.actions.push(Action::SetAside(damaged.path.clone()));
            }
            if let Some(copy) = copy {
                store(plan, copy);
            }
        }
        let damaged = |serial: &SerialNumber| {
            let mut all = audit.certificates.damaged.iter();
            all.any(|one| one.serial.as_ref() == Some(serial))
        };
        for copy in &audit.copies {
            if !damaged(&copy.certificate.serial) {
                store(plan, copy);
            }
        }
    }

    fn mend_numbers(&self, audit: &Audit, plan: &mut Plan) -> Result<(), FileError> {
        let settings = &self.settings;
        let kept = audit.orphans.iter();
        let kept = kept.map(|orphan| &orphan.certificate.serial);
        let named = audit.certificates.damaged.iter();
        let named = named.filter_map(|damaged| damaged.serial.as_ref());
        let listed = &audit.unrecorded;
        let highest = kept
            .chain(named)
            .chain(listed)
            .chain(&audit.rows.highest)
            .max();
        let crl = self.crl().ok().flatten().and_then(|crl| crl.number);
        let faults = [
            (&settings.serial, &audit.serial, highest),
            (&settings.crl_number, &audit.crl_number, crl.as_ref()),
        ];
        for (path, fault, highest) in faults {
            let above = match fault {
                None => continue,
                Some(NumberFault::Behind { taken, .. }) => Some(taken),
                Some(_) => highest,
            };
            let first = SerialNumber::from_certificate(&[1]);
            // What openssl ca was about to put there, or had there before.
            let beside = [".new", ".old"].into_iter().find_map(|suffix| {
                let bytes = files::read_if_there(&with_suffix(path, suffix)).ok()??;
                let number = SerialNumber::from_digits(bytes.trim_ascii())?;
                above.is_none_or(|above| number > *above).then_some(number)
            });
            let next = above.map(|above| above.next().unwrap_or_else(|_| first.clone()));
            let number = match fault {
                Some(NumberFault::Missing) => beside.or(next),
                _ => next,
            };
            plan.actions.push(Action::SetNumber {
                path: path.clone(),
                number: number.unwrap_or(first),
            });
        }
        let attributes = with_suffix(&settings.database, ".attr");
        if !files::exists(&attributes) {
            let beside = [".new", ".old"].map(|suffix| with_suffix(&attributes, suffix));
            for from in beside {
                let Some(bytes) = files::read_if_there(&from)? else {
                    continue;
                };
                if let Ok(text) = String::from_utf8(bytes.to_vec())
                    && text.ends_with('\n')
                {
                    let path = attributes;
                    plan.actions.push(Action::RestoreFile { from, path, text });
                    break;
                }
            }
        }
        Ok(())
    }

    fn mend_links(&self, audit: &Audit, plan: &mut Plan) -> Result<(), NameError> {
        let own = self.certificate.subject.hash()?;
        for stale in &audit.stale_links {
            plan.actions.push(Action::SetAside(stale.path.clone()));
            let name = stale.path.file_name().unwrap_or_default();
            let name = name.to_string_lossy();
            let folder = parent(&stale.path);
            let (hash, rest) = name.split_once('.').unwrap_or((&name, ""));
            let is_crl = rest.starts_with('r');
            let (hash, target) = match &stale.fault {
                // It was the link to what is ours.
                LinkFault::Dangling(_) if hash == own => {
                    let file = if is_crl {
                        &self.settings.crl
                    } else {
                        &self.settings.certificate
                    };
                    let target = pathdiff::diff_paths(file, folder);
                    (&own, target.filter(|_| files::exists(file)))
                }
                LinkFault::Dangling(_) => continue,
                LinkFault::OtherHash { hash, .. } => (hash, stale.path.read_link().ok()),
            };
            let Some(target) = target else { continue };
            let kind = if is_crl { "r" } else { "" };
            let planned = |path: &PathBuf, plan: &Plan| {
                let mut actions = plan.actions.iter();
                actions.any(|action| matches!(action, Action::Link { path: it, .. } if it == path))
            };
            let mut numbers = (0..).map(|number| folder.join(format!("{hash}.{kind}{number}")));
            let free = numbers.find_map(|path| {
                if path.read_link().is_ok_and(|there| there == target) && path != stale.path {
                    return Some(None);
                }
                let is_free = path == stale.path || !files::exists(&path);
                (is_free && !planned(&path, plan)).then_some(Some(path))
            });
            if let Some(Some(path)) = free {
                plan.actions.push(Action::Link { path, target });
            }
        }
        Ok(())
    }
}
