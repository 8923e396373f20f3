//! Whether keys belong to their certificates: the CA's own, and those of the hosts.

use std::path::Path;

use anyhow::{Result, bail};

use super::finding::{Finding, Severity};
use crate::commands::session::Session;
use crate::pki::key::{EncodedKey, KeyError, Passphrase};
use crate::report;
use crate::store::hosts::{HostError, KEY};
use crate::store::{Store, StoreError};
use crate::sys::files;

/// What is wrong with pairs, and what could not be looked at.
#[derive(Default)]
pub struct Pairs {
    pub findings: Vec<Finding>,
    pub unchecked: Vec<String>,
}

impl Pairs {
    pub fn of(store: &Store, session: &mut Session<'_>) -> Result<Self> {
        let mut found = Self::default();
        let passphrase = session.given_passphrase()?;
        found.own(store, passphrase.as_ref())?;
        for host in store.hosts.list()? {
            found.host(store, session, &host);
        }
        Ok(found)
    }

    fn own(&mut self, store: &Store, passphrase: Option<&Passphrase>) -> Result<()> {
        let path = &store.settings.private_key;
        let certificate = store.settings.certificate.display();
        let name = path.display();
        let mut add = |severity, problem, reason| {
            let finding = Finding::new(severity, problem, path, reason);
            self.findings.push(finding);
        };
        let read = match files::read_if_there(path) {
            Err(error) if error.is_denied() => {
                let question = format!("whether {name} belongs to {certificate}");
                self.unchecked.push(format!("{question}: {error}"));
                return Ok(());
            }
            read => read?,
        };
        let Some(bytes) = read else {
            let reason = format!("{name} is missing: nothing can be signed here");
            add(Severity::Warning, "ca-key-missing", reason);
            return Ok(());
        };
        let unlocked = match EncodedKey::find(&bytes) {
            Ok(None) => {
                let reason = format!("{name} holds no private key");
                add(Severity::Critical, "ca-key-unreadable", reason);
                return Ok(());
            }
            Ok(Some(key)) if key.is_encrypted() && passphrase.is_none() => {
                self.unchecked.push(format!(
                    "whether {name} belongs to {certificate}, for which its passphrase is needed \
                     (--passphrase-file)"
                ));
                return Ok(());
            }
            found => found.and_then(|key| match key {
                Some(key) => key.unlock(passphrase),
                None => Err(KeyError::PassphraseRequired),
            }),
        };
        match unlocked {
            Ok(key)
                if key.subject_public_key_info() != store.certificate.subject_public_key_info =>
            {
                let reason =
                    format!("{name} does not belong to {certificate}: put back the key that does");
                add(Severity::Critical, "ca-key-differs", reason);
            }
            // Of what kind it is, the CA certificate says.
            Ok(_) | Err(KeyError::CannotSign { .. }) => {}
            Err(source @ KeyError::WrongPassphrase) => bail!(StoreError::Key {
                path: path.clone(),
                source,
            }),
            Err(error) => {
                let reason = format!("{name}: {error}");
                add(Severity::Critical, "ca-key-unreadable", reason);
            }
        }
        Ok(())
    }

    fn host(&mut self, store: &Store, session: &Session<'_>, host: &str) {
        let folder = store.hosts.current(host);
        let key = folder.join(KEY);
        // What is wrong with the certificate itself, is told with its time.
        let Ok(Some(certificate)) = store.hosts.certificate(host) else {
            return;
        };
        let issue = report::invocation(store, &["issue", host, "--replace"]);
        let remedy = if store.unique_subject {
            let serial = certificate.serial.to_string();
            let words = ["revoke", &serial, "--reason", "superseded"];
            format!("{} && {issue}", report::invocation(store, &words))
        } else {
            issue
        };
        let mut add = |problem, path: &Path, reason| {
            let finding = Finding::new(Severity::Critical, problem, path, reason);
            self.findings.push(finding.remedy(remedy.clone()));
        };
        match store.hosts.pair(host) {
            Ok(Some((_, key_there)))
                if key_there.subject_public_key_info() != certificate.subject_public_key_info =>
            {
                let name = key.display();
                let reason = format!(
                    "{name} does not belong to the certificate beside it: a server with this pair \
                     offers no STARTTLS"
                );
                add("host-key-differs", &key, reason);
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                let reason = format!("{} is missing", key.display());
                add("host-key-missing", &key, reason);
            }
            Err(HostError::File(error)) if error.is_denied() => {
                let name = key.display();
                self.unchecked.push(format!(
                    "whether {name} belongs to the certificate beside it: {error}"
                ));
            }
            Err(error) => {
                let reason = session.explain(&error.into()).error;
                add("host-key-unreadable", &key, reason);
            }
        }
    }
}
