//! `mailca emit systemd`

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;

use crate::cli::EmitSystemd;
use crate::commands::session::Session;
use crate::report::{self, Outcome};
use crate::store::{Store, StoreError};
use crate::sys::files::{self, FileError, Replacement, SecretError};
use crate::sys::host;
use crate::systemd::{self, CREDENTIALS, Job, UNITS};

/// Why no units are made.
#[derive(Debug, Error)]
pub enum EmitSystemdError {
    /// Nothing can be signed here.
    #[error("the CA key {} is not here, and nothing can be renewed without it", .0.display())]
    NoKey(PathBuf),
    /// There is no place for the units.
    #[error("there is no directory {}", .0.display())]
    NoDirectory(PathBuf),
    /// What is there was made by somebody else.
    #[error("{} was not made by mailca, and is not replaced", .0.display())]
    Foreign(PathBuf),
    /// What is there keeps another CA alive.
    #[error("{} is for another CA than {}, and is not replaced", .path.display(), .ca.display())]
    OtherCa {
        /// the unit that is there
        path: PathBuf,
        /// the CA directory
        ca: PathBuf,
    },
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    service: PathBuf,
    timer: PathBuf,
    #[serde(skip)]
    next: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, timer) = (self.service.display(), self.timer.display());
        if !self.changed {
            return writeln!(
                f,
                "{service} and {timer} are as they should be; nothing changed"
            );
        }
        writeln!(f, "wrote {service}")?;
        writeln!(f, "wrote {timer}")?;
        for command in &self.next {
            writeln!(f, "next: {command}")?;
        }
        Ok(())
    }
}

pub fn run(args: &EmitSystemd, session: &mut Session<'_>) -> Result<Outcome> {
    let store = session.open_store()?;
    let job = job(args, &store, session)?;
    let units = job.units()?;
    if !job.signs_crls {
        session.warn(&format!(
            "{} may not sign CRLs (its keyUsage does not include cRLSign): the service renews \
             certificates only",
            store.settings.certificate.display()
        ));
    }
    let next = next(args, &job);
    let names = ["service", "timer"].map(|kind| format!("{}.{kind}", args.name));
    if let Some(dir) = &args.into {
        let [service, timer] = names.map(|name| dir.join(name));
        let new = [(&*service, &*units.service), (&*timer, &*units.timer)];
        return Ok(Outcome::of(&Report {
            changed: put_into(dir, new, &job.ca)?,
            service,
            timer,
            next,
        })?);
    }
    session.next(&with_into(args, session));
    for command in next {
        session.next(&command);
    }
    let [service, timer] = names;
    Ok(Outcome::file(format!(
        "# {UNITS}/{service}\n{}\n# {UNITS}/{timer}\n{}",
        units.service, units.timer
    )))
}

fn job(args: &EmitSystemd, store: &Store, session: &Session<'_>) -> Result<Job> {
    let ca = files::absolute(&store.settings.root)?;
    let owner = fs::metadata(&ca).map_err(|error| FileError::new("read", &ca, error))?;
    let config = session.global.config.as_deref();
    Ok(Job {
        program: host::program()?,
        config: config.map(files::absolute).transpose()?,
        hook: args.deploy_hook.clone(),
        user: (owner.uid() != 0).then(|| host::user_name(owner.uid())),
        credential: needs_passphrase(store)?.then(|| credential(&args.name)),
        signs_crls: store.certificate.may_sign_crls,
        directories: store.settings.written_directories()?,
        ca,
    })
}

fn credential(name: &str) -> String {
    format!("{CREDENTIALS}/{name}-passphrase")
}

// A key that only its owner can read is taken for an encrypted one.
fn needs_passphrase(store: &Store) -> Result<bool> {
    let path = &store.settings.private_key;
    match store.private_key() {
        Ok(key) => Ok(key.is_encrypted()),
        Err(StoreError::Secret(SecretError::File(error))) if error.is_missing() => {
            bail!(EmitSystemdError::NoKey(path.clone()))
        }
        Err(StoreError::Secret(SecretError::File(error))) if error.is_denied() => Ok(true),
        Err(error) => bail!(error),
    }
}

// Writes both or neither, unless they are there already.
fn put_into(dir: &Path, new: [(&Path, &str); 2], ca: &Path) -> Result<bool> {
    if !dir.is_dir() {
        bail!(EmitSystemdError::NoDirectory(dir.to_owned()));
    }
    let mark = systemd::mark(ca)?;
    let mut changed = false;
    for (path, text) in new {
        let Some(bytes) = files::read_if_there(path)? else {
            changed = true;
            continue;
        };
        let there = String::from_utf8_lossy(&bytes);
        if !systemd::is_ours(&there) {
            bail!(EmitSystemdError::Foreign(path.to_owned()));
        }
        if there.lines().next() != Some(&*mark) {
            bail!(EmitSystemdError::OtherCa {
                path: path.to_owned(),
                ca: ca.to_owned(),
            });
        }
        changed |= there != text;
    }
    if changed {
        let [service, timer] =
            new.map(|(path, text)| Replacement::prepare(path, text.as_bytes(), 0o644));
        let (service, timer) = (service?, timer?);
        service.place()?;
        timer.place()?;
        for (path, _) in new {
            files::sync_file(path)?;
        }
        files::sync_dir(dir)?;
    }
    Ok(changed)
}

fn with_into(args: &EmitSystemd, session: &Session<'_>) -> String {
    let mut words = vec!["emit", "systemd", "--into", UNITS];
    let hook = args
        .deploy_hook
        .as_deref()
        .map(|hook| hook.to_string_lossy());
    if let Some(hook) = &hook {
        words.extend(["--deploy-hook", hook]);
    }
    if args.name != "mailca" {
        words.extend(["--name", &args.name]);
    }
    report::invocation(session.global, &words)
}

fn next(args: &EmitSystemd, job: &Job) -> Vec<String> {
    let mut commands = Vec::new();
    if let Some(credential) = &job.credential {
        commands.push(format!("install -d -m 700 {CREDENTIALS}"));
        commands.push(format!(
            "systemd-ask-password -n 'Passphrase of the CA key' | systemd-creds encrypt \
             --name=mailca-passphrase - {credential}"
        ));
    }
    let name = &args.name;
    commands.push("systemctl daemon-reload".into());
    commands.push(format!("systemctl enable --now {name}.timer"));
    commands.push(format!("systemctl start {name}.service"));
    commands
}
