//! What is told of an issued certificate.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use time::OffsetDateTime;

use crate::pki::certificate::Certificate;
use crate::pki::general_name::GeneralName;
use crate::pki::profile::Profile;
use crate::pki::text;
use crate::report;
use crate::store::Store;

#[derive(Serialize)]
pub struct Report {
    pub changed: bool,
    /// the request's file, where a command signs several
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub serial: String,
    pub subject: String,
    pub names: Vec<GeneralName>,
    pub profile: Option<Profile>,
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    pub certificate: PathBuf,
    pub host: Option<String>,
    pub host_files: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// the serial number of the certificate whose place it takes, where that was asked for
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
    #[serde(skip)]
    pub title: String,
    #[serde(skip)]
    pub out: Option<PathBuf>,
    #[serde(skip)]
    pub next: Vec<String>,
}

impl Report {
    pub fn new(
        changed: bool,
        store: &Store,
        certificate: &Certificate,
        host: Option<&str>,
    ) -> Self {
        Self {
            changed,
            name: None,
            serial: certificate.serial.to_string(),
            subject: certificate.subject.to_string(),
            names: certificate.names.clone(),
            profile: Profile::of(certificate),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            certificate: store.certificate_path(&certificate.serial),
            host: host.map(str::to_owned),
            host_files: host.map(|host| store.hosts.current(host)),
            pem: None,
            renews: None,
            title: text::one_line(&certificate.title()),
            out: None,
            next: Vec::new(),
        }
    }
}

impl Report {
    /// What happened, in one line.
    pub fn write_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, serial, .. } = self;
        let end = report::date(self.not_after);
        if self.changed {
            writeln!(f, "signed {title} as {serial}, valid until {end}")
        } else {
            writeln!(
                f,
                "{title} has {serial}, valid until {end}; nothing changed"
            )
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_line(f)?;
        if !self.changed {
            return Ok(());
        }
        if let Some(out) = &self.out {
            writeln!(f, "  certificate  {}", out.display())?;
        }
        if let Some(files) = &self.host_files {
            writeln!(f, "  host files   {}/", files.display())?;
        }
        for next in &self.next {
            writeln!(f, "next: {next}")?;
        }
        Ok(())
    }
}
