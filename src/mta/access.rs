//! What mail servers say to the owner and mode of a file that they shall use: a small file for
//! each. Dovecot takes any.

pub mod exim;
pub mod opensmtpd;
pub mod postfix;
pub mod sendmail;

use std::path::PathBuf;

use crate::sys::access::Entry;
use crate::sys::host;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// a host's private key
    Key,
    /// a host's certificate, alone or with its issuer's
    Certificate,
    /// the CA's certificate
    Ca,
    /// the CRL
    Crl,
}

/// What a server has against a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// the file, or a directory on the way to it
    pub path: PathBuf,
    /// what is wrong with it, in words
    pub reason: String,
    /// commands that mend it, each as its words; none where it is not for a command to decide
    pub remedy: Vec<Vec<String>>,
}

impl Objection {
    fn new(entry: &Entry, reason: String, remedy: &[&[&str]]) -> Self {
        let path = entry.path.to_string_lossy().into_owned();
        let command = |words: &&[&str]| {
            let words = words.iter().map(|word| (*word).to_owned());
            words.chain([path.clone()]).collect()
        };
        Self {
            path: entry.path.clone(),
            reason,
            remedy: remedy.iter().map(command).collect(),
        }
    }
}

// "open to others (mode 0644)" and so on.
fn is(entry: &Entry, what: &str) -> String {
    format!(
        "{} is {what} (mode {:04o})",
        entry.path.display(),
        entry.mode
    )
}

fn owner(entry: &Entry) -> String {
    host::user_name(entry.user)
}
