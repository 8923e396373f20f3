//! A command of the administrator, run by a shell once something is done.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{passphrase, signals};

/// The process group of the hook that runs.
static RUNNING: Mutex<Option<Pid>> = Mutex::new(None);

fn running() -> MutexGuard<'static, Option<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `sh -c COMMAND` and waits for it: with `variables` in its environment, of which one
/// without a value is removed, and without what may hold a passphrase. Its standard input is
/// empty, and both its outputs are this process's standard error.
///
/// It is a process group of its own, which a signal that ends this process ends too.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run(command: &OsStr, variables: &[(&str, Option<OsString>)]) -> io::Result<ExitStatus> {
    signals::handle()?;
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(io::stderr().as_fd().try_clone_to_owned()?)
        .process_group(0);
    for name in passphrase::VARIABLES {
        shell.env_remove(name);
    }
    for (name, value) in variables {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    // A signal that comes now waits until there is something to stop.
    let mut group = running();
    let mut child = shell.spawn()?;
    *group = Some(Pid::from_child(&child));
    drop(group);
    let ended = child.wait();
    *running() = None;
    ended
}

/// Stops the hook that runs, if one does, with all that it has started. The process must end then:
/// whoever waits for the hook does not go on.
pub(super) fn stop() {
    let group = running();
    if let Some(group) = *group {
        let _ = kill_process_group(group, Signal::TERM);
        // One that was stopped, because it asked something on the terminal, would not hear of it.
        let _ = kill_process_group(group, Signal::CONT);
    }
    mem::forget(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_sees_its_variables_and_nothing_secret_and_tells_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let variables = [
            ("OUT", Some(out.clone().into_os_string())),
            ("MAILCA_HOST", Some("mail.example.com".into())),
            ("HOME", None),
        ];
        let command = "echo \"$MAILCA_HOST ${HOME-none} $(cat)\" >\"$OUT\"; exit 7";
        let status = run(command.as_ref(), &variables).unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(
            std::fs::read_to_string(&out).unwrap(),
            "mail.example.com none \n"
        );
        let status = run("kill -9 $$".as_ref(), &[]).unwrap();
        assert_eq!(status.to_string(), "signal: 9 (SIGKILL)");
    }
}
