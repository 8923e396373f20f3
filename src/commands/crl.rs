//! `mailca crl`

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::new_crl::{self, NewCrl};
use super::output;
use super::session::Session;
use crate::cli::Crl;
use crate::pki::pem_text;
use crate::report::{self, Outcome};
use crate::store::Store;
use crate::store::register::Holders;
use crate::store::revocation::CrlFault;

#[derive(Serialize)]
struct Report {
    changed: bool,
    /// why the present one was due
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(flatten)]
    crl: NewCrl,
    #[serde(skip)]
    next: String,
}

pub fn run(args: &Crl, session: &mut Session<'_>) -> Result<Outcome> {
    let now = session.context.now();
    let store = session.open_store_to_write()?;
    new_crl::check(&store, now)?;
    if let Some(out) = &args.out {
        output::check_crl(out, &store)?;
    }
    let mut due = None;
    if let Some(before) = args.expiring {
        match present(&store, now, before)? {
            Present::Fresh(report) => return finish(args, *report),
            Present::Due(why) => due = Some(why),
        }
    }
    let key = session.unlock(&store)?;
    let mut transaction = store.begin(session.wait())?;
    let store = session.reopen_store()?;
    let lifetime = args.days.map(|days| Duration::days(days.into()));
    let crl = new_crl::stage(&store, &mut transaction, &key, now, lifetime)?;
    transaction.settle()?.commit(&[], &Holders::none(&store)?)?;
    crl.warn(session);
    let report = Report {
        changed: true,
        due,
        crl,
        next: report::invocation(&store, &["crl", "--expiring", "30d"]),
    };
    finish(args, report)
}

enum Present {
    Fresh(Box<Report>),
    Due(String),
}

// A CRL is due before it ends, and when the register has other revocations than it.
fn present(store: &Store, now: OffsetDateTime, before: Duration) -> Result<Present> {
    let path = &store.settings.crl;
    let Some(crl) = store.crl()? else {
        return Ok(Present::Due(format!(
            "there was none in {}",
            path.display()
        )));
    };
    let Some(next_update) = crl.next_update else {
        return Ok(Present::Due(
            "the one before did not say until when it is valid".into(),
        ));
    };
    if next_update - now < before {
        let end = report::moment(next_update);
        return Ok(Present::Due(format!(
            "the one before was valid until {end}"
        )));
    }
    let without_row = match store.crl_fault(&crl)? {
        None => Vec::new(),
        // Another one would say no more.
        Some(CrlFault::WithoutRow(serials)) => serials,
        Some(fault) => return Ok(Present::Due(in_words(&fault))),
    };
    let der = store.settings.crl_der();
    let (link, _) = store.hash_link()?;
    Ok(Present::Fresh(Box::new(Report {
        changed: false,
        due: None,
        crl: NewCrl {
            number: crl
                .number
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            entries: crl.entries().count(),
            without_row: without_row.iter().map(ToString::to_string).collect(),
            this_update: crl.this_update,
            next_update,
            pem: path.clone(),
            der,
            link,
            bytes: crl.as_der().to_vec(),
            warning: None,
        },
        next: String::new(),
    })))
}

fn in_words(fault: &CrlFault) -> String {
    match fault {
        CrlFault::Entries { listed, recorded } if listed == recorded => {
            "the register has other revoked certificates than the one before".into()
        }
        CrlFault::Entries { listed, recorded } => format!(
            "the one before had {listed} revoked certificates, and the register has {recorded}"
        ),
        CrlFault::WithoutRow(serials) => {
            format!("the register has no row of {}", new_crl::some(serials))
        }
        CrlFault::Missing(path) => format!("{} was missing", path.display()),
        CrlFault::Differs(path) => format!("{} was another one", path.display()),
    }
}

fn finish(args: &Crl, report: Report) -> Result<Outcome> {
    let Some(out) = &args.out else {
        return Ok(Outcome::of(&report)?);
    };
    let bytes = &report.crl.bytes;
    let text = pem_text::encode("X509 CRL", bytes);
    if out == Path::new("-") {
        return Ok(Outcome::file(text));
    }
    let content = match out.extension() {
        Some(extension) if extension == "der" => bytes.clone(),
        _ => text.into_bytes(),
    };
    output::write_crl(out, &content, &report.crl.pem)?;
    Ok(Outcome::of(&WithCopy {
        report,
        out: out.clone(),
    })?)
}

#[derive(Serialize)]
struct WithCopy {
    #[serde(flatten)]
    report: Report,
    out: PathBuf,
}

impl fmt::Display for WithCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        writeln!(f, "copied to {}", self.out.display())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crl = &self.crl;
        let end = report::date(crl.next_update);
        if !self.changed {
            return writeln!(
                f,
                "the CRL {} is valid until {end}; nothing changed",
                crl.number
            );
        }
        write!(f, "{crl}")?;
        writeln!(
            f,
            "after {end}, Sendmail and Dovecot refuse every client certificate until there is a new one"
        )?;
        writeln!(
            f,
            "next: run once a day, from cron or a timer: {}",
            self.next
        )
    }
}
