//! `mailca init`

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use minijinja::context;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::session::{AnswerError, Session};
use crate::cli::Init;
use crate::pki::certificate::Certificate;
use crate::pki::extensions;
use crate::pki::key::PrivateKey;
use crate::pki::name::Name;
use crate::pki::public_key;
use crate::pki::serial::SerialNumber;
use crate::pki::tbs::TbsCertificate;
use crate::pki::text;
use crate::report::{self, Outcome};
use crate::store::Store;
use crate::store::create::{self, CreateError, NewCa};
use crate::templates;

#[derive(Serialize)]
struct Report {
    changed: bool,
    directory: PathBuf,
    subject: String,
    serial: String,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    key: String,
    encrypted: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            directory, subject, ..
        } = self;
        if !self.changed {
            return writeln!(
                f,
                "{} already holds a CA ({subject}); nothing changed",
                directory.display()
            );
        }
        let encrypted = if self.encrypted {
            "encrypted"
        } else {
            "not encrypted"
        };
        writeln!(f, "made the CA {subject} in {}", directory.display())?;
        writeln!(
            f,
            "  certificate  cacert.pem, valid until {}",
            report::date(self.not_after)
        )?;
        writeln!(
            f,
            "  private key  private/cakey.pem, {}, {encrypted}",
            self.key
        )?;
        let next = report::invocation(&**directory, &["issue", "mail.example.com"]);
        writeln!(f, "next: {next}")
    }
}

pub fn run(args: &Init, session: &mut Session<'_>) -> Result<Outcome> {
    let root = args.dir.clone().unwrap_or_else(|| session.ca_dir());
    if let Some(found) = create::trace_of_ca(&root) {
        return existing(args, &root, found);
    }
    let subject = match args.subject.clone() {
        Some(subject) => subject,
        None => ask_subject(session)?,
    };
    let passphrase = if args.no_passphrase {
        None
    } else {
        Some(session.new_passphrase()?)
    };
    let key = PrivateKey::generate(args.key_type)?;
    let certificate = certificate(args, &subject, &key, session)?;
    let private_key = match &passphrase {
        Some(passphrase) => key.to_encrypted_pem(passphrase)?,
        None => key.to_pem()?,
    };
    let serial = first_serial(args, &certificate, session)?;
    create::create(
        &root,
        &NewCa {
            certificate: &certificate.to_pem(),
            private_key: &private_key,
            settings: &settings(args, &key)?,
            serial: &serial,
            hash: &certificate.subject.hash()?,
        },
    )?;
    outcome(true, &root, &certificate, passphrase.is_some())
}

fn existing(args: &Init, root: &Path, found: &str) -> Result<Outcome> {
    let store = Store::open(root, None, &|_| None);
    if let (true, Ok(store)) = (args.if_missing, &store) {
        let encrypted = store.private_key().is_ok_and(|key| key.is_encrypted());
        return outcome(false, root, &store.certificate, encrypted);
    }
    bail!(CreateError::Exists {
        root: root.to_owned(),
        found: store.map_or_else(
            |_| found.to_owned(),
            |store| store.certificate.subject.to_string()
        ),
    })
}

fn outcome(
    changed: bool,
    root: &Path,
    certificate: &Certificate,
    encrypted: bool,
) -> Result<Outcome> {
    Ok(Outcome::of(&Report {
        changed,
        directory: root.to_owned(),
        subject: certificate.subject.to_string(),
        serial: certificate.serial.to_string(),
        not_after: certificate.not_after,
        key: public_key::describe(&certificate.subject_public_key_info),
        encrypted,
    })?)
}

fn ask_subject(session: &mut Session<'_>) -> Result<Name> {
    if !session.context.terminal.is_present() {
        bail!(AnswerError::NoTerminal {
            what: "the CA's subject",
            option: "--subject",
        });
    }
    let domain = session.context.node_name.split_once('.');
    let offer = domain.map_or_else(
        || "/CN=Mail CA".to_owned(),
        |(_, domain)| format!("/CN={domain} Mail CA"),
    );
    loop {
        let answer = session
            .context
            .terminal
            .line("Subject of the CA", Some(&offer))?;
        match Name::from_oneline(&answer) {
            Ok(subject) => return Ok(subject),
            Err(error) => {
                let sentence = text::for_terminal(&error.to_string());
                session.context.terminal.show(&format!("{sentence}\n"))?;
            }
        }
    }
}

fn certificate(
    args: &Init,
    subject: &Name,
    key: &PrivateKey,
    session: &Session<'_>,
) -> Result<Certificate> {
    let now = session.context.now();
    let public = key.subject_public_key_info();
    let der = TbsCertificate {
        serial: &session.random_serial::<20>()?,
        issuer: subject,
        not_before: now,
        not_after: now + Duration::days(args.days.into()),
        subject,
        subject_public_key_info: public,
        extensions: extensions::of_ca(public, &args.permit)?,
    }
    .sign(key, key.digest_for(None))?;
    Ok(Certificate::from_der(&der)?)
}

fn first_serial(
    args: &Init,
    certificate: &Certificate,
    session: &Session<'_>,
) -> Result<SerialNumber> {
    let serial = match &args.serial {
        Some(serial) => serial.clone(),
        None => session.random_serial::<8>()?,
    };
    if serial == certificate.serial {
        return Ok(serial.next()?);
    }
    Ok(serial)
}

fn settings(args: &Init, key: &PrivateKey) -> Result<String> {
    let values = context! {
        digest => key.digest_for(None).to_string(),
        crl_url => args.crl_url.as_deref().map(quoted),
    };
    Ok(templates::render(templates::OPENSSL_CNF, values)?)
}

// What openssl.cnf would take for a variable, a comment or a quote (config(5)).
fn quoted(value: &str) -> String {
    let mut out = String::new();
    for character in value.chars() {
        if "\\$#\"'`".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
