//! What this process asks of the system for itself.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::passphrase;

/// Forbids core dumps, which would hold keys and passphrases. A limit of one byte is too small for
/// a core file, and the kernel's sign not to start a program that `core_pattern` pipes them to,
/// which a limit of 0 is not (core(5); `limit == 1` in Linux's fs/coredump.c).
pub fn forbid_core_dumps() {
    let hard = getrlimit(Resource::Core).maximum;
    // Lowering the soft limit cannot fail.
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(hard.map_or(1, |hard| hard.min(1))),
            maximum: hard,
        },
    );
}

/// What a program prints, on both of its streams, when it is given these words and no input;
/// `None` where it cannot be started.
#[must_use]
pub fn said_by(program: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    for name in passphrase::VARIABLES {
        command.env_remove(name);
    }
    let output = command.args(words).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}
