//! What commands share: the CA directory they were told, and the questions they ask.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Error, Result, bail};
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use crate::cli::Global;
use crate::context::Context;
use crate::pki::general_name::{self, GeneralNameError};
use crate::pki::key::{KeyError, Passphrase, PrivateKey};
use crate::pki::serial::SerialNumber;
use crate::pki::text;
use crate::report::{self, Failure, List, Place};
use crate::store::{Store, StoreError};
use crate::sys::files;
use crate::sys::passphrase::{self, Source, Sources};
use crate::sys::progress::Progress;

/// Why a question has no answer, or the wrong one.
#[derive(Debug, ThisError)]
pub enum AnswerError {
    /// Nobody can be asked.
    #[error("{what} is missing, and there is no terminal to ask on")]
    NoTerminal {
        /// what is missing
        what: &'static str,
        /// the option that gives it
        option: &'static str,
    },
    /// The answer to the last question was no.
    #[error("not confirmed; nothing changed")]
    Declined,
    /// This machine's name does not tell what host is meant.
    #[error("HOST is missing, and this machine's own name {0:?} is not fully qualified")]
    NodeName(String),
    /// The key of the CA directory belongs to another certificate.
    #[error("{} does not belong to {}", .key.display(), .certificate.display())]
    ForeignKey {
        /// the key file
        key: PathBuf,
        /// the CA certificate
        certificate: PathBuf,
    },
}

/// One command at work.
pub struct Session<'a> {
    pub global: &'a Global,
    pub context: &'a mut Context,
    /// puts an error of a command in a CA directory into words
    in_words: fn(&Error, Place<'_>) -> Failure,
}

impl<'a> Session<'a> {
    pub fn new(
        global: &'a Global,
        context: &'a mut Context,
        in_words: fn(&Error, Place<'_>) -> Failure,
    ) -> Self {
        Self {
            global,
            context,
            in_words,
        }
    }

    /// An error in words, where a command goes on after it.
    pub fn explain(&self, error: &Error) -> Failure {
        self.explainer()(error)
    }

    /// The same for when the session is in use.
    pub fn explainer(&self) -> impl Fn(&Error) -> Failure + use<> {
        let (in_words, global) = (self.in_words, self.global.clone());
        move |error| in_words(error, (&global).into())
    }

    pub fn ca_dir(&self) -> PathBuf {
        self.global.ca_dir()
    }

    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.global.wait)
    }

    /// Opens the CA and says what is odd about its settings.
    pub fn open_store(&mut self) -> Result<Store> {
        let store = self.reopen_store()?;
        for warning in &store.settings.warnings {
            self.warn(warning);
        }
        Ok(store)
    }

    /// Opens the CA to write, which has to have all that it had.
    pub fn open_store_to_write(&mut self) -> Result<Store> {
        let store = self.open_store()?;
        store.check_nothing_missing()?;
        Ok(store)
    }

    /// Opens the CA to sign, and says what of its settings does not count then.
    pub fn open_store_to_sign(&mut self) -> Result<Store> {
        let store = self.open_store_to_write()?;
        self.warn_before_signing(&store);
        Ok(store)
    }

    /// Says what of the CA's settings does not count for what mailca signs, and where it may be
    /// lost.
    pub fn warn_before_signing(&mut self, store: &Store) {
        if files::is_on_network(&store.settings.root) {
            let place = store.settings.root.display();
            self.warn(&format!(
                "{place} is on a network file system: what is recorded there may be lost with the \
                 power, and two machines may not see each other's lock"
            ));
        }
        for ignored in &store.settings.ignored {
            self.warn(ignored);
        }
        self.warn_of_shortcomings(store);
    }

    fn warn_of_shortcomings(&mut self, store: &Store) {
        let all = store.shortcomings();
        if !all.is_empty() {
            let (path, what) = (store.settings.certificate.display(), List(&all));
            let renew = report::invocation(store, &["renew-ca"]);
            self.warn(&format!(
                "{path} {what}; {renew} makes it one of today, with the same name and key"
            ));
        }
    }

    /// Opens the CA again without repeating what was said.
    pub fn reopen_store(&self) -> Result<Store, StoreError> {
        let environment = |name: &str| (self.context.environment)(name)?.into_string().ok();
        Store::open(&self.ca_dir(), self.global.config.as_deref(), &environment)
    }

    /// A random serial number: a full top octet with a clear first bit makes it positive, and of
    /// the same length for every CA.
    pub fn random_serial<const OCTETS: usize>(&self) -> Result<SerialNumber> {
        let mut octets = [0; OCTETS];
        (self.context.random)(&mut octets)?;
        octets[0] = octets[0] & 0x7F | 0x40;
        Ok(SerialNumber::from_be_bytes(&octets)?)
    }

    pub fn warn(&mut self, sentence: &str) {
        report::say("warning", &text::shorten(sentence), self.context);
    }

    pub fn note(&mut self, sentence: &str) {
        if !self.global.quiet {
            report::say("note", &text::shorten(sentence), self.context);
        }
    }

    /// Shows on a terminal how far many things have come.
    pub fn progress(&self, what: &'static str, total: usize) -> Progress {
        // A few are done before anybody could read of them.
        Progress::new(what, total, !self.global.quiet && total > 50)
    }

    /// What to run next, for commands whose standard output is a file.
    pub fn next(&mut self, sentence: &str) {
        if !self.global.quiet {
            report::say("next", sentence, self.context);
        }
    }

    /// HOST as a host name: as given, or asked for, or this machine's own.
    pub fn host(&mut self, given: Option<&str>) -> Result<String> {
        let own = self.context.node_name.clone();
        let is_qualified = own.contains('.') && general_name::host_name(&own).is_ok();
        let text = match given {
            Some(given) => given.to_owned(),
            None if self.context.terminal.is_present() => {
                return self.ask_host(is_qualified.then_some(own.as_str()));
            }
            None if is_qualified => {
                self.note(&format!("HOST is this machine, {own}"));
                own
            }
            None => bail!(AnswerError::NodeName(own)),
        };
        Ok(general_name::host_name(&text).map_err(|error| not_a_host(&text, error))?)
    }

    fn ask_host(&mut self, offer: Option<&str>) -> Result<String> {
        let terminal = &mut self.context.terminal;
        loop {
            let answer = terminal.line("Host", offer)?;
            match general_name::host_name(&answer) {
                Ok(host) => return Ok(host),
                Err(error) => terminal.show(&format!("{}\n", not_a_host(&answer, error)))?,
            }
        }
    }

    /// Asks before something is done, unless `--yes` said it; shows the `review` first, for which
    /// there is a width in columns.
    pub fn confirm(&mut self, review: impl FnOnce(usize) -> String, question: &str) -> Result<()> {
        if self.global.yes {
            return Ok(());
        }
        if !self.context.terminal.is_present() {
            bail!(AnswerError::NoTerminal {
                what: "a confirmation",
                option: "--yes",
            });
        }
        let review = review(self.context.terminal.width());
        self.context.terminal.show(&text::for_terminal(&review))?;
        if self.context.terminal.confirm(question)? {
            Ok(())
        } else {
            bail!(AnswerError::Declined)
        }
    }

    /// The passphrase for a key that is there: from an option, the environment, or a question.
    fn passphrase(&mut self, question: &str) -> Result<Passphrase> {
        if let Some(found) = self.given_passphrase()? {
            return Ok(found);
        }
        if !self.context.terminal.is_present() {
            bail!(AnswerError::NoTerminal {
                what: "the CA key's passphrase",
                option: "--passphrase-file",
            });
        }
        let mut typed = self
            .context
            .terminal
            .secret(&text::for_terminal(question))?;
        passphrase::check(&typed, Source::Typed)?;
        Ok(Passphrase::new(std::mem::take(&mut *typed)))
    }

    /// The passphrase for a key to be made: the same, but asked twice.
    pub fn new_passphrase(&mut self) -> Result<Passphrase> {
        if let Some(found) = self.given_passphrase()? {
            return Ok(found);
        }
        let mut typed = self.ask_new_passphrase(
            "Passphrase for the new CA key",
            AnswerError::NoTerminal {
                what: "a passphrase for the CA key",
                option: "--passphrase-file, or --no-passphrase",
            },
        )?;
        Ok(Passphrase::new(std::mem::take(&mut *typed)))
    }

    /// The passphrase for a file that holds a key and leaves the CA: the first line of `given`, a
    /// file or standard input (-), or asked for twice.
    pub fn export_passphrase(&mut self, given: Option<&Path>) -> Result<Passphrase> {
        let nothing = |_: &str| None;
        let sources = Sources::from_environment(given.map(Path::to_owned), None, &nothing);
        let found = sources.read(&mut self.context.stdin)?;
        let mut passphrase = match found {
            Some(found) => found,
            None => self.ask_new_passphrase(
                "Passphrase for the file",
                AnswerError::NoTerminal {
                    what: "a passphrase for the file",
                    option: "--pkcs12-passphrase-file",
                },
            )?,
        };
        Ok(Passphrase::new(std::mem::take(&mut *passphrase)))
    }

    fn ask_new_passphrase(
        &mut self,
        question: &str,
        nobody: AnswerError,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let terminal = &mut self.context.terminal;
        if !terminal.is_present() {
            bail!(nobody);
        }
        let typed = terminal.new_secret(question, "The same again")?;
        passphrase::check(&typed, Source::Typed)?;
        Ok(typed)
    }

    /// The passphrase that an option, the environment or systemd gives, without a question.
    pub fn given_passphrase(&mut self) -> Result<Option<Passphrase>> {
        let sources = Sources::from_environment(
            self.global.passphrase_file.clone(),
            self.global.passphrase_fd,
            &*self.context.environment,
        );
        let found: Option<Zeroizing<Vec<u8>>> = sources.read(&mut self.context.stdin)?;
        Ok(found.map(|mut bytes| Passphrase::new(std::mem::take(&mut *bytes))))
    }

    /// The CA's private key, which must belong to the CA's certificate.
    pub fn unlock(&mut self, store: &Store) -> Result<PrivateKey> {
        let path = &store.settings.private_key;
        let encoded = store.private_key()?;
        let passphrase = if encoded.is_encrypted() {
            Some(self.passphrase(&format!("Passphrase for CA key {}", path.display()))?)
        } else {
            None
        };
        let failed = |source: KeyError| StoreError::Key {
            path: path.clone(),
            source,
        };
        let key = encoded.unlock(passphrase.as_ref()).map_err(failed)?;
        if key.subject_public_key_info() != store.certificate.subject_public_key_info {
            bail!(AnswerError::ForeignKey {
                key: path.clone(),
                certificate: store.settings.certificate.clone(),
            });
        }
        Ok(key)
    }
}

// IDNs and bad names fail with what was typed, not with what became of it.
fn not_a_host(text: &str, error: GeneralNameError) -> GeneralNameError {
    match error {
        GeneralNameError::Dns { problem, .. } => GeneralNameError::Dns {
            name: text.into(),
            problem,
        },
        other => other,
    }
}
