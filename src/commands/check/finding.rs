//! One thing that is wrong with a CA directory, and what to do about it.

use std::path::PathBuf;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// It will be in the way, or is in somebody's.
    Warning,
    /// Mail servers, mailca or `openssl ca` fail by it, or a secret is none any more.
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The most serial numbers that a finding names.
pub const NAMED: usize = 1000;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// a name for programs, in lower case with hyphens
    pub problem: String,
    pub severity: Severity,
    /// the file that it is about
    pub file: PathBuf,
    /// the certificates that it is about, the first thousand
    pub serials: Vec<String>,
    /// how many things it is about
    pub count: usize,
    /// a sentence that names the file
    pub reason: String,
    /// the command that helps
    pub remedy: Option<String>,
    /// whether `mailca repair` mends it
    pub repair: bool,
}

impl Finding {
    pub fn new(
        severity: Severity,
        problem: &str,
        file: impl Into<PathBuf>,
        reason: String,
    ) -> Self {
        // JSON has no other names.
        let file = file.into().to_string_lossy().into_owned();
        Self {
            problem: problem.into(),
            severity,
            file: file.into(),
            serials: Vec::new(),
            count: 1,
            reason,
            remedy: None,
            repair: false,
        }
    }

    /// A command that helps, for a shell.
    pub fn remedy(mut self, command: String) -> Self {
        self.remedy = Some(command);
        self
    }

    /// The same where there is one.
    pub fn remedy_if_any(mut self, command: Option<String>) -> Self {
        self.remedy = command;
        self
    }

    /// What `mailca repair` mends without a guess.
    pub fn repairable(mut self) -> Self {
        self.repair = true;
        self
    }

    /// The certificates that it is about.
    pub fn of<T: ToString>(mut self, serials: impl ExactSizeIterator<Item = T>) -> Self {
        self.count = serials.len();
        self.serials = serials.take(NAMED).map(|one| one.to_string()).collect();
        self
    }
}
