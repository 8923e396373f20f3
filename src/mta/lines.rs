//! What all servers' lines have in common: what they are made of, and the marks around them.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{MailServer, Version};
use crate::pki::public_key::PublicKeyKind;

/// The files of one mail host, where its server finds them.
#[derive(Clone, Debug)]
pub struct Files {
    /// the directory with the hash links of trusted CAs
    pub ca_path: PathBuf,
    /// the CA's certificate
    pub ca: PathBuf,
    /// the host's certificate
    pub certificate: PathBuf,
    /// the host's certificate with its issuer's behind it
    pub chain: PathBuf,
    /// the host's private key
    pub key: PathBuf,
    /// the CRL
    pub crl: PathBuf,
    /// the directory with the CRL under its hash
    pub crl_path: PathBuf,
    /// the CA's certificate and the CRL in one file, which only an exported directory has
    pub ca_and_crl: Option<PathBuf>,
}

/// A mail host, as far as its server's lines tell of it.
#[derive(Clone, Debug)]
pub struct Host {
    /// its name
    pub name: String,
    /// what its server reads
    pub files: Files,
    /// its key, where it is known
    pub key: Option<PublicKeyKind>,
}

/// The lines for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// the lines themselves, between marks; first an empty one, since the file that they are
    /// appended to may end without a line end
    pub text: String,
    /// what the server cannot do, a sentence each
    pub warnings: Vec<String>,
}

/// Why lines for a mail server cannot be written.
#[derive(Debug, Error)]
pub enum LinesError {
    /// A path has to be absolute.
    #[error("{path:?} is not an absolute path, but {} takes no other", .server.title())]
    Relative {
        /// who reads it
        server: MailServer,
        /// the path
        path: String,
    },
    /// The server would not take the path as it is.
    #[error("the path {path:?} has {what}, which {reader} would not leave as it is")]
    Unquotable {
        /// who reads it
        reader: &'static str,
        /// the path
        path: String,
        /// the character or word
        what: String,
    },
    /// The server is too old.
    #[error(
        "{} {version} is too old: lines are known from {} on", .server.title(), .server.oldest()
    )]
    TooOld {
        /// the server
        server: MailServer,
        /// its version
        version: Version,
    },
    /// The server has no use for such a key.
    #[error("the key of {host} is {key}, which {} does not take", .server.title())]
    Key {
        /// the server
        server: MailServer,
        /// the host
        host: String,
        /// its key
        key: PublicKeyKind,
    },
    /// The marks in a file do not come in pairs.
    #[error("{0:?} stands without its counterpart")]
    UnpairedMark(String),
    /// The template is wrong.
    #[error("the template cannot be rendered: {0}")]
    Template(#[from] minijinja::Error),
}

/// A path as the text that a server reads, which has to be absolute and free of control characters
/// and of those that are `special` to it.
///
/// # Errors
/// [`LinesError::Relative`], [`LinesError::Unquotable`].
pub fn plain<'a>(path: &'a Path, server: MailServer, special: &str) -> Result<&'a str, LinesError> {
    let shown = path.to_string_lossy();
    let unquotable = |what: String| LinesError::Unquotable {
        reader: server.reader(),
        path: shown.clone().into_owned(),
        what,
    };
    let text = path
        .to_str()
        .ok_or_else(|| unquotable("bytes that are not UTF-8".into()))?;
    if !path.is_absolute() {
        return Err(LinesError::Relative {
            server,
            path: text.into(),
        });
    }
    let mut bad = text
        .chars()
        .filter(|c| special.contains(*c) || c.is_control());
    match bad.next() {
        Some(bad) => Err(unquotable(format!("{bad:?}"))),
        None => Ok(text),
    }
}

/// The text of a server's file with `lines` in place of those that an earlier run put there, or at
/// its end; where they have to come before others, at its beginning.
///
/// # Errors
/// When a mark stands without its counterpart.
pub fn put_into(server: MailServer, text: &str, lines: &str) -> Result<String, LinesError> {
    let comment = server.comment();
    let [begin, end] = ["begin", "end"].map(|word| format!("{comment} mailca: {word}"));
    let mut kept = String::new();
    let mut place = None;
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_end();
        if trimmed == begin {
            if inside {
                return Err(LinesError::UnpairedMark(begin));
            }
            inside = true;
            // The last define wins, so the last block's place is the one that counts.
            place = Some(kept.len());
        } else if trimmed == end {
            if !inside {
                return Err(LinesError::UnpairedMark(end));
            }
            inside = false;
        } else if !inside {
            kept.push_str(line);
        }
    }
    if inside {
        return Err(LinesError::UnpairedMark(begin));
    }
    match place {
        Some(place) => kept.insert_str(place, lines.trim_start_matches('\n')),
        None if server.appended_to().is_some() => kept.push_str(lines),
        None => kept.insert_str(0, lines.trim_start_matches('\n')),
    }
    Ok(kept)
}

#[cfg(test)]
impl Host {
    /// A host `a` whose files lie in `root`.
    pub(super) fn in_ca(root: &str) -> Self {
        let place = |name: &str| Path::new(root).join(name);
        Self {
            name: "a".into(),
            files: Files {
                ca_path: place(""),
                ca: place("cacert.pem"),
                certificate: place("hosts/a/cert.pem"),
                chain: place("hosts/a/chain.pem"),
                key: place("hosts/a/key.pem"),
                crl: place("crl/crl.pem"),
                crl_path: place("crl"),
                ca_and_crl: None,
            },
            key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_into(text: &str, lines: &str) -> Result<String, LinesError> {
        super::put_into(MailServer::Sendmail, text, lines)
    }

    #[test]
    fn a_block_is_replaced_where_it_stands() {
        let old = "MAILER(smtp)\n\ndnl mailca: begin\nold\ndnl mailca: end\nafter\n";
        let new = put_into(old, "\ndnl mailca: begin\nnew\ndnl mailca: end\n").unwrap();
        assert_eq!(
            new,
            "MAILER(smtp)\n\ndnl mailca: begin\nnew\ndnl mailca: end\nafter\n"
        );
        assert_eq!(
            put_into(&new, "\ndnl mailca: begin\nnew\ndnl mailca: end\n").unwrap(),
            new
        );
    }

    #[test]
    fn other_servers_have_other_marks() {
        let old = "a = b\n# mailca: begin\nold\n# mailca: end\n";
        let new = super::put_into(MailServer::Postfix, old, "\nnew\n").unwrap();
        assert_eq!(new, "a = b\nnew\n");
    }

    #[test]
    fn without_a_block_the_lines_come_last() {
        assert_eq!(put_into("a dnl", "\nb\n").unwrap(), "a dnl\nb\n");
    }

    #[test]
    fn lines_that_come_before_others_are_put_there() {
        let new = super::put_into(MailServer::Opensmtpd, "listen on lo\n", "\npki\n").unwrap();
        assert_eq!(new, "pki\nlisten on lo\n");
    }

    #[test]
    fn a_block_without_an_end_is_refused() {
        assert!(put_into("dnl mailca: begin\n", "\n").is_err());
        assert!(put_into("dnl mailca: end\n", "\n").is_err());
    }
}
