//! Programs that run at another time than now.

use std::process::Command;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{TestDir, run_with};

/// The source of the library that gives a program another clock.
pub(super) const SOURCE: &str = include_str!("clock.c");

/// Sets the clock of the programs that a test starts.
pub struct Clock {
    dir: TestDir,
}

impl Clock {
    /// Needs `require(&["cc"])`.
    #[track_caller]
    pub fn new() -> Self {
        let dir = TestDir::new();
        library(&dir, SOURCE);
        Self { dir }
    }

    /// Lets a program begin at a time, and what it starts as well. The time shows where the command
    /// is printed.
    pub fn set(&self, command: &mut Command, at: OffsetDateTime) {
        command
            .env("LD_PRELOAD", self.dir.path().join(LIBRARY))
            .env(VARIABLE, text(at));
    }

    /// The same with a clock that stands still.
    pub fn stop(&self, command: &mut Command, at: OffsetDateTime) {
        self.set(command, at);
        command.env("CLOCK_STOPS", "yes");
    }
}

/// What tells the library when the program begins.
pub(super) const VARIABLE: &str = "CLOCK";

/// The file that [`library`] makes.
pub(super) const LIBRARY: &str = "preload.so";

/// A time as the library reads it.
#[track_caller]
pub(super) fn text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a time that can be written")
}

/// Compiles a library to preload in `dir`.
#[track_caller]
pub(super) fn library(dir: &TestDir, source: &str) {
    run_with(
        Command::new("cc")
            .args(["-D_GNU_SOURCE", "-shared", "-fPIC", "-x", "c", "-"])
            .args(["-o", &dir.file(LIBRARY)]),
        source,
    )
    .exits(0);
}
