//! What a command sees of the world: time, randomness, streams, questions. Tests give it another.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use anyhow::Context as _;
use time::OffsetDateTime;

use crate::sys::host;
use crate::sys::prompt::{RealTerminal, Terminal};
use crate::sys::screen::Screen;

/// Fills a buffer with random bytes.
pub type Random = dyn Fn(&mut [u8]) -> anyhow::Result<()>;
/// Answers an environment variable.
pub type Environment = dyn Fn(&str) -> Option<OsString>;

/// The world around one command.
pub struct Context {
    /// the current time
    pub clock: Box<dyn Fn() -> OffsetDateTime>,
    /// random bytes for serial numbers; keys never come from here
    pub random: Box<Random>,
    /// where questions are asked
    pub terminal: Box<dyn Terminal>,
    /// an environment variable
    pub environment: Box<Environment>,
    /// this machine's name
    pub node_name: String,
    /// standard input
    pub stdin: Box<dyn Read>,
    /// the terminal that standard output is, if it is one
    pub screen: Option<Screen>,
    /// standard output: results
    pub stdout: Box<dyn Write>,
    /// standard error: everything else
    pub stderr: Box<dyn Write>,
}

impl Context {
    /// The world of this process.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Box::new(OffsetDateTime::now_utc),
            random: Box::new(|buffer| {
                getrandom::fill(buffer).context("the system gives no random numbers")
            }),
            terminal: Box::new(RealTerminal),
            environment: Box::new(|name| std::env::var_os(name)),
            node_name: host::node_name(),
            stdin: unbuffered_stdin(),
            screen: Screen::of_stdout(&|name| std::env::var_os(name)),
            stdout: Box::new(std::io::stdout()),
            stderr: Box::new(std::io::stderr()),
        }
    }

    /// The current time to the second, as certificates have it.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = (self.clock)();
        now.replace_nanosecond(0).unwrap_or(now)
    }

    /// An environment variable that is text and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let value = (self.environment)(name)?.into_string().ok()?;
        (!value.is_empty()).then_some(value)
    }
}

// Rust's own standard input keeps a buffer that nobody wipes, and a passphrase may come by it.
fn unbuffered_stdin() -> Box<dyn Read> {
    match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(_) => Box::new(std::io::empty()),
    }
}
