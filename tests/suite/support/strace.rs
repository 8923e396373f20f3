//! Programs killed or refused at one of their system calls.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;

use super::{Ran, TestDir, run, tell};

const CHANGES: &str = "openat,write,pwrite64,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,rmdir,mkdir,mkdirat,ftruncate,chmod,fchmod,fchmodat,chown,fchown,fchownat,\
    fsync,fdatasync,syncfs,flock";

/// A system call: its name, and which one of that name it is.
#[derive(Clone)]
pub struct Call {
    pub name: String,
    pub number: usize,
    pub text: String,
}

/// Runs a command that works in `dir`: what became of it, and its calls that change something
/// there. `None`, and a word about it, where nothing can be traced.
#[track_caller]
pub fn changes(dir: &TestDir, command: &Command) -> Option<(Ran, Vec<Call>)> {
    let ran = traced(dir, &["-e", &format!("trace={CHANGES}")], command);
    if ran.stderr.contains("ptrace") || ran.stderr.contains("PTRACE") {
        let said = &ran.stderr;
        tell(&format!("SKIPPED: tracing is not permitted: {said}"));
        return None;
    }
    let found = calls(&dir.read("trace"), &dir.path().display().to_string());
    Some((ran, found))
}

/// Runs the same with `what` happening at a call: `signal=KILL`, or an error.
#[track_caller]
pub fn accident(dir: &TestDir, command: &Command, call: &Call, what: &str) -> Ran {
    let trace = format!("trace={}", call.name);
    let inject = format!("inject={}:{what}:when={}", call.name, call.number);
    traced(dir, &["-e", &trace, "-e", &inject], command)
}

/// The calls of a command that change something below `directory`, in which it works.
fn calls(trace: &str, directory: &str) -> Vec<Call> {
    let mut numbers = BTreeMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((name, arguments)) = line.split_once('(') else {
            continue;
        };
        let number = numbers.entry(name.to_owned()).or_insert(0);
        *number += 1;
        let reads =
            name == "openat" && !arguments.contains("O_WRONLY") && !arguments.contains("O_RDWR");
        let is_relative = arguments.starts_with('"') && !arguments.starts_with("\"/");
        if (arguments.contains(directory) || is_relative) && !reads {
            found.push(Call {
                name: name.into(),
                number: *number,
                text: line.into(),
            });
        }
    }
    found
}

#[track_caller]
fn traced(dir: &TestDir, options: &[&str], command: &Command) -> Ran {
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", &dir.file("trace"), "-y", "-s", "0"]);
    strace
        .args(options)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        strace.current_dir(directory);
    }
    run(&mut strace)
}

/// What becomes of each accident, in their order.
pub fn on_two_cores<A: Sync, R: Send>(accidents: &[A], each: impl Fn(&A) -> R + Sync) -> Vec<R> {
    let half = accidents.len().div_ceil(2).max(1);
    thread::scope(|scope| {
        let halves: Vec<_> = accidents
            .chunks(half)
            .map(|half| scope.spawn(|| half.iter().map(&each).collect::<Vec<_>>()))
            .collect();
        halves
            .into_iter()
            .flat_map(|half| half.join().expect("a thread"))
            .collect()
    })
}
