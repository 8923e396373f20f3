//! `mailca show`

mod object;

use std::fmt;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use time::OffsetDateTime;

use self::object::{Issued, Object};
use super::selection::{self, SelectionError};
use super::session::Session;
use crate::cli::Show as Args;
use crate::pki::certificate::Certificate;
use crate::pki::general_name;
use crate::report::Outcome;
use crate::store::{Store, StoreError, hosts};
use crate::sys::files;

#[derive(Serialize)]
struct Report {
    changed: bool,
    objects: Vec<Object>,
    #[serde(skip)]
    width: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, object) in self.objects.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            f.write_str(&object.in_words(self.width))?;
        }
        Ok(())
    }
}

pub fn run(args: &Args, session: &mut Session<'_>) -> Result<Outcome> {
    let path = &args.object;
    // What is shown of a file needs no CA; where there is one, it may know more.
    let (mut objects, store) = if path == Path::new("-") {
        let bytes =
            files::read_from(&mut session.context.stdin).context("cannot read standard input")?;
        let objects = object::all_in("standard input", &bytes)?;
        (objects, session.reopen_store().ok())
    } else if is_file(path) {
        let bytes = files::read_large(path)?;
        let objects = object::all_in(&path.display().to_string(), &bytes)?;
        (objects, session.reopen_store().ok())
    } else {
        let word = path.to_string_lossy();
        let store = open_store(&word, session)?;
        (vec![in_register(&word, &store, session)?], Some(store))
    };
    if let Some(store) = store {
        let now = session.context.now();
        for object in &mut objects {
            if let Object::Certificate(shown) = object {
                shown.issued = issued(&store, &shown.certificate, now);
            }
        }
    }
    let screen = session.context.screen;
    Ok(Outcome::of(&Report {
        changed: false,
        objects,
        width: screen.map_or(usize::MAX, |screen| screen.columns),
    })?)
}

// No host and no number has a slash; a folder may have the name of a host. What may not be looked
// at is there.
fn is_file(path: &Path) -> bool {
    let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let is_there = !path.symlink_metadata().is_err_and(is_missing);
    path.as_os_str().as_encoded_bytes().contains(&b'/') || is_there && !path.is_dir()
}

// Who has no CA has misspelt a file.
fn open_store(word: &str, session: &mut Session<'_>) -> Result<Store> {
    session
        .open_store()
        .map_err(|error| match error.downcast_ref() {
            Some(StoreError::NoCa { root, .. }) => nothing(word, root).into(),
            _ => error,
        })
}

fn nothing(word: &str, root: &Path) -> SelectionError {
    SelectionError::Nothing {
        given: word.into(),
        root: root.to_owned(),
    }
}

// By its serial number, or the current or last one of a host.
fn in_register(word: &str, store: &Store, session: &Session<'_>) -> Result<Object> {
    let root = &store.settings.root;
    let found = if let Some(serial) = selection::serial(word) {
        selection::of_serial(store, &serial)?
    } else {
        let host = general_name::host_name(word).map_err(|_| nothing(word, root))?;
        if let Ok(name) = hosts::file_name(&host)
            && let Some(certificate) = store.hosts.certificate(&name)?
        {
            return Object::certificate(certificate);
        }
        let last = selection::last_of_host(store, &host, session.context.now());
        last.map_err(|error| match error.downcast_ref() {
            Some(SelectionError::Unknown { .. }) => nothing(word, root).into(),
            _ => error,
        })?
    };
    match found.certificate {
        Some(certificate) => Object::certificate(certificate),
        None => bail!(SelectionError::NotKept {
            path: store.certificate_path(&found.row.serial),
            subject: found.row.subject,
        }),
    }
}

// What the CA knows of a certificate that it issued.
fn issued(store: &Store, certificate: &Certificate, now: OffsetDateTime) -> Option<Issued> {
    if certificate.issuer != store.certificate.subject {
        return None;
    }
    let found = selection::of_serial(store, &certificate.serial).ok()?;
    let is_it = |kept: &Certificate| kept.as_der() == certificate.as_der();
    if !found.certificate.as_ref().is_none_or(is_it) {
        return None;
    }
    let host = hosts::file_name(&certificate.title()).ok();
    let host_files = host.and_then(|host| {
        let current = store.hosts.certificate(&host).ok()??;
        is_it(&current).then(|| store.hosts.current(&host))
    });
    let revocation = found.row.revocation.as_ref();
    Some(Issued::new(found.row.state(now), revocation, host_files))
}
