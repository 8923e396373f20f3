//! One thing that ends, and how urgent it is.

use std::path::PathBuf;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::pki::text;

/// How much attention something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    Ok,
    /// It is about to end.
    Warning,
    /// It has ended or is useless, or a quarter of the time for a warning is left.
    Critical,
}

impl Urgency {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ca,
    /// a CA above the CA
    Issuer,
    Register,
    Crl,
    Host,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Issuer => "issuer",
            Self::Register => "register",
            Self::Crl => "crl",
            Self::Host => "host",
        }
    }
}

/// A certificate, the CRL, or the register, of which there is something to say only where it is
/// damaged.
#[derive(Serialize)]
pub struct Item {
    pub name: String,
    /// serial number or CRL number
    pub number: Option<String>,
    pub file: PathBuf,
    #[serde(with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
    /// days of the calendar, less than none where it has ended
    pub days_left: Option<i64>,
    #[serde(rename = "state")]
    pub urgency: Urgency,
    /// why it needs attention
    pub reason: Option<String>,
    /// the command that helps
    pub remedy: Option<String>,
    /// of a host whose key is here
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_files: Option<PathBuf>,
    #[serde(skip)]
    pub kind: Kind,
    /// what is wrong with it, a name for programs
    #[serde(skip)]
    pub problem: Option<&'static str>,
    /// what it is called in a table
    #[serde(skip)]
    pub label: String,
    /// how it is, in two or three words
    #[serde(skip)]
    pub words: String,
    /// how long before its end it needs attention
    #[serde(skip)]
    pub notice: Duration,
}

impl Item {
    /// Says what is wrong with it now: a name for that, in lower case with hyphens, and why.
    pub fn fail(&mut self, problem: &'static str, reason: String) {
        self.urgency = Urgency::Critical;
        self.problem = Some(problem);
        self.words = problem.replace('-', " ");
        self.reason = Some(reason);
    }

    /// Says more about why it needs attention.
    pub fn add(&mut self, more: &str) {
        if let Some(reason) = &mut self.reason {
            reason.push_str(more);
        }
    }

    /// Says one more thing that is wrong, or the first.
    pub fn say(&mut self, problem: &str) {
        match &mut self.reason {
            Some(reason) => {
                reason.push_str("; ");
                reason.push_str(problem);
            }
            None => self.reason = Some(problem.into()),
        }
    }

    /// Why it needs attention, as a sentence.
    pub fn sentence(&self) -> Option<String> {
        let reason = self.reason.as_ref()?;
        Some(format!("{} {}", self.label, text::sentence(reason)))
    }

    /// Its place among what is as urgent: by days, then by name; last comes what has no end.
    pub fn place(&self) -> (i64, &str, Option<&str>) {
        let days = self.days_left.unwrap_or(i64::MAX);
        (days, &self.name, self.number.as_deref())
    }
}
