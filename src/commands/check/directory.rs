//! What the audit of the directory found, in words: register, newcerts, numbers, CRL and links.

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;

use super::finding::{self, Finding, Severity};
use crate::commands::failure;
use crate::commands::selection;
use crate::commands::session::Session;
use crate::pki::general_name;
use crate::pki::serial::SerialNumber;
use crate::report;
use crate::store::Store;
use crate::store::audit::Audit;
use crate::store::audit::links::LinkFault;
use crate::store::audit::numbers::NumberFault;
use crate::store::audit::rows::Line;
use crate::store::register::RegisterError;
use crate::sys::files;

/// Somebody who puts an audit into words.
pub struct Words<'a> {
    pub store: &'a Store,
    pub audit: &'a Audit,
    pub findings: Vec<Finding>,
}

// How many things a sentence names.
const NAMED: usize = 5;
// How many characters of a line that is no row.
const SHOWN: usize = 60;

impl Words<'_> {
    pub fn all(mut self) -> Vec<Finding> {
        self.register();
        self.contradictions();
        self.newcerts();
        self.certificates();
        self.numbers();
        self.interrupted();
        self.crl();
        self.links();
        self.findings
    }

    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn database(&self) -> &Path {
        &self.store.settings.database
    }

    /// A finding about lines of the register.
    fn lines<'l>(
        &self,
        severity: Severity,
        problem: &str,
        lines: impl ExactSizeIterator<Item = &'l Line> + Clone,
        what: impl Fn(usize, String) -> String,
    ) -> Option<Finding> {
        if lines.len() == 0 {
            return None;
        }
        let database = self.database();
        let named = lines.clone().map(|line| {
            let Some(serial) = line.serial() else {
                let shown: String = line.text().chars().take(SHOWN).collect();
                return format!("line {} ({shown:?})", line.number);
            };
            format!("{serial} in line {}", line.number)
        });
        let sentence = what(lines.len(), some(named));
        let reason = format!("{} {sentence}", database.display());
        let mut finding = Finding::new(severity, problem, database, reason);
        finding.count = lines.len();
        finding.serials = lines
            .filter_map(Line::serial)
            .take(finding::NAMED)
            .map(|it| it.to_string())
            .collect();
        Some(finding)
    }

    fn register(&mut self) {
        let rows = &self.audit.rows;
        let mut found = Vec::new();
        if self.audit.is_register_missing {
            let database = self.database().display();
            let reason = match &self.audit.register_base {
                Some(beside) => format!(
                    "{database} is missing, and {} lies beside its place",
                    beside.display()
                ),
                None => format!("{database} is missing, with all that was issued"),
            };
            let finding = Finding::new(
                Severity::Critical,
                "register-missing",
                self.database(),
                reason,
            );
            found.push(finding.repairable());
        }
        let repairable = [
            self.lines(
                Severity::Critical,
                "torn-line",
                rows.strangers.iter(),
                |count, named| {
                    let are = if count == 1 {
                        "a line that is no row"
                    } else {
                        "lines that are no rows"
                    };
                    format!("has {are} of six fields, for which openssl ca refuses it: {named}")
                },
            ),
            self.lines(
                Severity::Critical,
                "bad-row",
                rows.refused.iter().map(|(line, _)| line),
                |_, named| {
                    let first = rows.refused.first();
                    let problem = first.map(|(_, problem)| problem.to_string());
                    let problem = problem.unwrap_or_default();
                    format!("has rows that openssl ca refuses ({problem}): {named}")
                },
            ),
            self.lines(
                Severity::Critical,
                "serial-twice",
                rows.twice.iter().map(|(line, _)| line),
                |_, named| {
                    format!("has serial numbers twice, for which openssl ca refuses it: {named}")
                },
            ),
            self.lines(
                Severity::Critical,
                "lost-revocation",
                rows.lost_revocations.iter().map(|(line, _)| line),
                |_, named| format!("does not have as revoked what the CRL lists: {named}"),
            ),
            self.lines(
                Severity::Critical,
                "row-differs",
                rows.differing.iter().map(|(line, _)| line),
                |_, named| format!("says something else than the certificates themselves: {named}"),
            ),
            self.lines(
                Severity::Warning,
                "expired-early",
                rows.early.iter(),
                |_, named| format!("marks certificates expired whose date has not passed: {named}"),
            ),
        ];
        found.extend(repairable.into_iter().flatten().map(Finding::repairable));
        if rows.is_unended {
            let database = self.database();
            let reason = format!(
                "the last row of {} has no line end, and openssl ca drops it",
                database.display()
            );
            let finding = Finding::new(Severity::Critical, "unended-row", database, reason);
            found.push(finding.repairable());
        }
        self.findings.extend(found);
    }

    // What nobody can mend without a decision.
    fn contradictions(&mut self) {
        let twice = &self.audit.rows.subject_twice;
        let found = self.lines(
            Severity::Critical,
            "subject-twice",
            twice.iter().map(|(line, _)| line),
            |_, named| {
                format!(
                    "has subjects with two valid certificates, for which openssl ca refuses it \
                     under unique_subject = yes: {named}"
                )
            },
        );
        if let Some(finding) = found {
            let attributes = format!("{}.attr", self.database().display());
            let permit = report::shell_line(&["echo", "unique_subject = no"]);
            let file = report::shell_line(&[&attributes]);
            self.add(finding.remedy(format!("{permit} >{file}")));
        }
    }

    fn newcerts(&mut self) {
        let folder = self.store.settings.new_certs_dir.clone();
        let shown = folder.display();
        let audit = self.audit;
        // Of the others torn lines tell, or an openssl ca that was interrupted.
        let orphans = audit.orphans.iter().filter(|one| one.said.is_none());
        let orphans: Vec<_> = orphans.map(|one| &one.certificate.serial).collect();
        if !orphans.is_empty() && !audit.is_register_missing {
            let serials = orphans.into_iter();
            let reason = format!(
                "{shown} has certificates of which {} has no row: {}",
                self.database().display(),
                some(serials.clone())
            );
            let finding = Finding::new(Severity::Critical, "no-row", &folder, reason);
            self.add(finding.of(serials).repairable());
        }
        if let Some(first) = audit.certificates.unsigned.first() {
            let serials = audit.certificates.unsigned.iter().map(|kept| &kept.serial);
            let reason = format!(
                "{shown} has certificates that name this CA and are signed neither by its key nor \
                 by one before it: {}",
                some(serials.clone())
            );
            let finding = Finding::new(Severity::Warning, "not-signed-here", &first.path, reason);
            self.add(finding.of(serials));
        }
        let (mine, lost): (Vec<_>, Vec<_>) = audit
            .certificates
            .damaged
            .iter()
            .partition(|one| !one.has_row || audit.copy_of(one.serial.as_ref()).is_some());
        for (damaged, is_repairable) in [(mine, true), (lost, false)] {
            let Some(first) = damaged.first() else {
                continue;
            };
            let files = damaged.iter().map(|one| one.path.display());
            let reason = format!(
                "{shown} has files that hold no whole certificate ({}): {}",
                first.problem,
                some(files)
            );
            let mut finding = Finding::new(
                Severity::Critical,
                "damaged-certificate",
                &first.path,
                reason,
            );
            finding.count = damaged.len();
            finding.serials = damaged
                .iter()
                .filter_map(|one| one.serial.as_ref())
                .take(finding::NAMED)
                .map(ToString::to_string)
                .collect();
            finding.repair = is_repairable;
            self.add(finding);
        }
        for kept in &audit.certificates.misnamed {
            let place = self.store.certificate_path(&kept.serial);
            let name = kept.path.display();
            if files::exists(&place) {
                let reason = format!("{name} is of the number of {}", place.display());
                let finding = Finding::new(Severity::Note, "copy-in-newcerts", &kept.path, reason);
                self.add(finding.of(std::iter::once(&kept.serial)));
                continue;
            }
            let (path, place) = (kept.path.to_string_lossy(), place.to_string_lossy());
            let reason = format!("{path} holds the certificate {}", kept.serial);
            let finding = Finding::new(
                Severity::Warning,
                "misnamed-certificate",
                &kept.path,
                reason,
            );
            let remedy = report::shell_line(&["mv", "-n", &path, &place]);
            self.add(finding.of(std::iter::once(&kept.serial)).remedy(remedy));
        }
        if let Some((path, issuer)) = audit.certificates.foreign.first() {
            let count = audit.certificates.foreign.len();
            let reason = format!(
                "{shown} has {count} certificates of another CA, {issuer}; the first is {}",
                path.display()
            );
            let mut finding = Finding::new(Severity::Note, "foreign-certificate", path, reason);
            finding.count = count;
            self.add(finding);
        }
        self.missing();
    }

    // Certificates that are in use and not in newcerts.
    fn missing(&mut self) {
        let audit = self.audit;
        let folder = self.store.settings.new_certs_dir.clone();
        let shown = folder.display();
        if audit.rows.not_kept_count > 0 {
            let rows = &audit.rows;
            let has_copy = |it: &SerialNumber| audit.copy_of(Some(it)).is_some();
            let is_repairable = rows.not_kept.iter().all(has_copy);
            let advice = if is_repairable {
                ""
            } else {
                ", put them back from a backup"
            };
            let reason = format!(
                "{shown} lacks valid certificates that {} has{advice}: {}",
                self.database().display(),
                some_of(rows.not_kept.iter(), rows.not_kept_count)
            );
            let finding = Finding::new(Severity::Warning, "missing-certificate", &folder, reason);
            let mut finding = finding.of(rows.not_kept.iter());
            finding.count = rows.not_kept_count;
            finding.repair = is_repairable;
            self.add(finding);
        }
    }

    // What is wrong with certificates that are in use.
    fn certificates(&mut self) {
        let rows = &self.audit.rows;
        let folder = &self.store.settings.new_certs_dir;
        let mut found = Vec::new();
        if !rows.nameless.is_empty() {
            let reason = format!(
                "valid certificates have no subjectAltName, in which clients look for a name: {}",
                some(rows.nameless.iter())
            );
            let finding = Finding::new(Severity::Warning, "no-name", folder, reason);
            // Another one gets the name that is in the subject.
            let remedy = self.renew(rows.nameless.iter(), &[]);
            found.push(finding.of(rows.nameless.iter()).remedy_if_any(remedy));
        }
        if let Some((_, weakness)) = rows.weak.first() {
            let serials = rows.weak.iter().map(|(serial, _)| serial);
            let reason = format!(
                "valid certificates have weak keys ({weakness}): {}",
                some(serials.clone())
            );
            let finding = Finding::new(Severity::Warning, "weak-key", folder, reason);
            let remedy = self.renew(serials.clone(), &["--new-key"]);
            found.push(finding.of(serials).remedy_if_any(remedy));
        }
        self.findings.extend(found);
    }

    // The command that renews those that are hosts'; of those whose keys are elsewhere, the same
    // key gets another certificate.
    fn renew<'s>(
        &self,
        serials: impl Iterator<Item = &'s SerialNumber>,
        options: &[&str],
    ) -> Option<String> {
        let certificates = &self.audit.certificates;
        let here = self.store.hosts.list().unwrap_or_default();
        let mut hosts: Vec<String> = serials
            .filter_map(|serial| certificates.find(serial.to_string().as_bytes()))
            .filter_map(|at| selection::common_name(&certificates.kept[at].subject))
            .filter(|name| general_name::host_name(name).is_ok())
            .map(str::to_owned)
            .filter(|name| options.is_empty() || here.contains(name))
            .take(NAMED)
            .collect();
        hosts.dedup();
        let mut words = vec!["renew"];
        words.extend(hosts.iter().map(String::as_str));
        words.extend(options);
        if hosts.iter().any(|host| !here.contains(host)) {
            words.extend(["--out-dir", "."]);
        }
        if self.store.unique_subject {
            words.push("--revoke-old");
        }
        (!hosts.is_empty()).then(|| report::invocation(self.store, &words))
    }

    fn numbers(&mut self) {
        let settings = &self.store.settings;
        let faults = [
            ("serial", &settings.serial, &self.audit.serial),
            ("crlnumber", &settings.crl_number, &self.audit.crl_number),
        ];
        let found = faults.into_iter().filter_map(|(name, path, fault)| {
            let fault = fault.as_ref()?;
            let (severity, word) = match fault {
                NumberFault::Missing => (Severity::Warning, "missing"),
                NumberFault::Unreadable(_) => (Severity::Critical, "unreadable"),
                NumberFault::Behind { .. } if name == "serial" => (Severity::Critical, "behind"),
                NumberFault::Behind { .. } => (Severity::Warning, "behind"),
            };
            let reason = format!("{} {fault}", path.display());
            Some(Finding::new(severity, &format!("{name}-{word}"), path, reason).repairable())
        });
        let found: Vec<_> = found.collect();
        self.findings.extend(found);
    }

    fn interrupted(&mut self) {
        if let Some(first) = self.audit.leftovers.first() {
            let reason = format!(
                "an openssl ca was interrupted, and left {}",
                some(self.audit.leftovers.iter().map(|path| path.display()))
            );
            let mut finding = Finding::new(Severity::Warning, "interrupted-openssl", first, reason);
            finding.count = self.audit.leftovers.len();
            self.add(finding.repairable());
        }
        if self.audit.is_mailca_interrupted {
            let root = &self.store.settings.root;
            let reason = format!(
                "a mailca was interrupted in {}; the next one that writes finishes what it began",
                root.display()
            );
            let finding = Finding::new(Severity::Warning, "interrupted-mailca", root, reason);
            self.add(finding.repairable());
        }
    }

    fn crl(&mut self) {
        let crl = &self.store.settings.crl;
        let rows = &self.audit.rows;
        let mut found = Vec::new();
        if !rows.unlisted.is_empty() {
            let reason = format!(
                "{} does not list certificates that {} has as revoked: {}",
                crl.display(),
                self.database().display(),
                some(rows.unlisted.iter())
            );
            let finding = Finding::new(Severity::Critical, "crl-incomplete", crl, reason);
            let remedy = report::invocation(self.store, &["crl"]);
            found.push(finding.of(rows.unlisted.iter()).remedy(remedy));
        }
        if self.audit.is_crl_unsigned {
            let reason = format!(
                "{} is not signed by the key of the CA: mail servers accept none of it",
                crl.display()
            );
            let finding = Finding::new(Severity::Critical, "crl-bad-signature", crl, reason);
            found.push(finding.remedy(report::invocation(self.store, &["crl"])));
        }
        let unrecorded = &self.audit.unrecorded;
        if !unrecorded.is_empty() {
            let reason = format!(
                "{} lists certificates of which neither {} nor newcerts knows, and every CRL after it \
                 will: {}",
                crl.display(),
                self.database().display(),
                some(unrecorded.iter())
            );
            let finding = Finding::new(Severity::Note, "crl-unrecorded", crl, reason);
            found.push(finding.of(unrecorded.iter()));
        }
        self.findings.extend(found);
    }

    fn links(&mut self) {
        for chain in &self.audit.wrong_chains {
            let reason = format!(
                "{} does not hold the certificate beside it and that of its CA",
                chain.path.display()
            );
            let finding = Finding::new(Severity::Critical, "host-chain", &chain.path, reason);
            self.findings.push(finding.repairable());
        }
        for stale in &self.audit.stale_links {
            let path = stale.path.display();
            let problem = match stale.fault {
                LinkFault::Dangling(_) => "dangling-link",
                LinkFault::OtherHash { .. } => "stale-link",
            };
            let reason = format!("the link {path} {}", stale.fault);
            let finding = Finding::new(Severity::Warning, problem, &stale.path, reason);
            self.findings.push(finding.repairable());
        }
    }
}

/// The first of many things, and how many more there are.
fn some<T: Display>(things: impl ExactSizeIterator<Item = T>) -> String {
    let count = things.len();
    some_of(things, count)
}

fn some_of<T: Display>(things: impl Iterator<Item = T>, count: usize) -> String {
    let named: Vec<String> = things.take(NAMED).map(|it| it.to_string()).collect();
    let named = named.join(", ");
    match count.saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// What mailca knows of its last transaction, and would refuse to go on with.
pub fn contradiction(store: &Store, session: &Session<'_>) -> Result<Option<Finding>> {
    let Some(error) = store.contradiction()? else {
        return Ok(None);
    };
    let remedy = match &error {
        RegisterError::LostRevocation {
            serial, revocation, ..
        } => Some(failure::revocation_again(store.into(), serial, revocation)),
        _ => None,
    };
    let reason = session.explain(&error.into()).error;
    let database = &store.settings.database;
    let finding = Finding::new(Severity::Critical, "older-register", database, reason);
    Ok(Some(finding.remedy_if_any(remedy)))
}
