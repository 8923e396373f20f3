//! `mailca export --pkcs12`: a key with its certificates in one file, for a mail client.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use thiserror::Error;

use super::ExportRefusal;
use crate::commands::session::Session;
use crate::commands::{selection, servers};
use crate::pki::key::pkcs12::Protection;
use crate::pki::public_key::PublicKeyKind;
use crate::pki::text;
use crate::report::Outcome;
use crate::store::Store;
use crate::sys::files;

/// Why there is no such file.
#[derive(Debug, Error)]
pub enum Pkcs12Refusal {
    /// Its key is what the file is for.
    #[error("the key of {host} is not in {}", .root.display())]
    NotHere {
        /// the host
        host: String,
        /// hosts/
        root: PathBuf,
    },
    /// It may be the only copy of another key.
    #[error("{} is there already, and is not replaced", .0.display())]
    Exists(PathBuf),
    /// Nobody wants to see it.
    #[error("a PKCS#12 file is not for a terminal")]
    Terminal,
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    file: PathBuf,
    serial: String,
    #[serde(skip)]
    title: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serial, title, .. } = self;
        let file = self.file.display();
        writeln!(
            f,
            "wrote {file}, the key and certificate {serial} of {title}"
        )
    }
}

/// Writes the key and the certificates of a host to `out`, a file that is not there yet, or to
/// standard output (-).
pub fn run(
    host: &str,
    out: &Path,
    passphrase_file: Option<&Path>,
    protection: Protection,
    store: &Store,
    session: &mut Session<'_>,
) -> Result<Outcome> {
    let is_standard_output = out == Path::new("-");
    if is_standard_output && session.context.screen.is_some() {
        bail!(Pkcs12Refusal::Terminal);
    }
    if !is_standard_output && files::exists(out) {
        bail!(Pkcs12Refusal::Exists(out.to_owned()));
    }
    let Some((certificate, key)) = store.hosts.pair(host)? else {
        bail!(Pkcs12Refusal::NotHere {
            host: host.into(),
            root: store.hosts.root().to_owned(),
        });
    };
    if key.kind() == PublicKeyKind::Ed25519 {
        session.warn(&format!(
            "the key of {host} is Ed25519, which Thunderbird and others that use NSS do not import"
        ));
    }
    if let Some(revocation) = selection::revocation_of(store, &certificate.serial) {
        bail!(ExportRefusal::NotValid {
            host: host.into(),
            serial: certificate.serial.to_string(),
            why: format!("was revoked on {revocation}"),
        });
    }
    servers::warn_of_old_key(host, &certificate, store, session);
    let title = certificate.title();
    let passphrase = session.export_passphrase(passphrase_file)?;
    let issuer = store.issuer_of(&certificate);
    let above = store.chain().skip(1).map(|(_, issuer)| issuer);
    let chain: Vec<_> = [&certificate, &issuer].into_iter().chain(above).collect();
    let bytes = key.to_pkcs12(&title, &chain, &passphrase, protection)?;
    if is_standard_output {
        return Ok(Outcome::octets(bytes));
    }
    files::create_own(out, &bytes, 0o600)?;
    files::sync_file(out)?;
    Ok(Outcome::of(&Report {
        changed: true,
        file: out.to_owned(),
        serial: certificate.serial.to_string(),
        title: text::one_line(&title),
    })?)
}
