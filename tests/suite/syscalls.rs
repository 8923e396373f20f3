//! The real program, killed or refused at each of its system calls that
//! change the disk. The same is tried inside the process, and with the power
//! failing, where the commands are (src/commands/faults.rs).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::support::invariants::{broken, broken_copy};
use super::support::{Ca, Ran, require, run, tell};

const CHANGES: &str = "openat,write,pwrite64,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,rmdir,mkdir,mkdirat,ftruncate,chmod,fchmod,fchmodat,chown,fchown,fchownat,\
    fsync,fdatasync,syncfs,flock";

/// A system call: its name, and which one of that name it is.
#[derive(Clone)]
struct Call {
    name: String,
    number: usize,
    text: String,
}

/// The calls of a command that change something below `directory`.
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
        if arguments.contains(directory) && !reads {
            found.push(Call {
                name: name.into(),
                number: *number,
                text: line.into(),
            });
        }
    }
    found
}

fn traced(ca: &Ca, options: &[&str], words: &[&str]) -> Ran {
    let command = ca.command(words);
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", &ca.dir.file("trace"), "-y", "-s", "0"]);
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

/// Three requests beside a CA with one host and one waiting request.
fn prepared() -> Ca {
    let ca = Ca::new();
    ca.ok(&["issue", "mail.example.com", "--yes"]);
    ca.ok(&["req", "next.example.com"]);
    for host in ["a", "b", "c"] {
        ca.request(&format!("{host}.example.com"), &[]);
    }
    ca
}

fn copy(ca: &Ca) -> Ca {
    let copy = Ca::unmade(super::support::User::me());
    let all = format!("{}/.", ca.dir.path().display());
    run(Command::new("cp").args(["-a", &all]).arg(copy.dir.path())).exits(0);
    copy
}

/// How many certificates a command issues, how many it revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Effect {
    certificates: usize,
    revocations: usize,
}

impl Effect {
    fn of(ca: &Ca) -> Self {
        let rows = ca.rows();
        Self {
            certificates: rows.len(),
            revocations: rows.iter().filter(|row| row.starts_with('R')).count(),
        }
    }
}

struct Accident<'a> {
    words: &'a [&'a str],
    effect: Effect,
    call: &'a Call,
    what: &'a str,
}

impl Accident<'_> {
    /// What it broke, in words.
    fn breaks(&self, template: &Ca) -> Option<String> {
        let ca = copy(template);
        let before = Effect::of(&ca);
        let inject = format!(
            "inject={}:{}:when={}",
            self.call.name, self.what, self.call.number
        );
        let trace = format!("trace={}", self.call.name);
        let ran = traced(&ca, &["-e", &trace, "-e", &inject], self.words);
        let next = ca.mailca(&["issue", "after.example.com", "--yes"]);
        let mut problems = broken(Path::new(&ca.file("")));
        for copy in ["a.pem", "out/a.example.com.pem", "out/b.example.com.pem"] {
            problems.extend(broken_copy(
                Path::new(&ca.file("")),
                &ca.dir.path().join(copy),
            ));
        }
        if next.code() != 0 {
            problems.push(format!("the next command failed: {}", next.stderr));
        }
        let after = Effect::of(&ca);
        let changed = Effect {
            certificates: after.certificates.saturating_sub(before.certificates + 1),
            revocations: after.revocations.saturating_sub(before.revocations),
        };
        let is_nothing = changed.certificates + changed.revocations == 0;
        let fits = match ran.code() {
            0 => changed == self.effect,
            1 => is_nothing,
            _ => is_nothing || changed == self.effect,
        };
        if !fits {
            problems.push(format!("exit status {}, but {changed:?}", ran.code()));
        }
        let directory = ca.dir.path().display().to_string();
        let places = [directory.as_str(), " out:", " a.pem:"];
        let names_a_file = places.iter().any(|place| ran.stderr.contains(place));
        if matches!(ran.code(), 1 | 3) && !names_a_file {
            problems.push(format!("no file is named: {}", ran.stderr));
        }
        let openssl_tries = self.call.number.is_multiple_of(8);
        if openssl_tries && problems.is_empty() {
            let request = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
            let signed = ca.openssl_ca(&["-in", &request, "-out", "../theirs.pem"]);
            if signed.code() != 0 {
                problems.push(format!("openssl ca fails: {}", signed.stderr));
            }
        }
        let Self {
            words, call, what, ..
        } = self;
        (!problems.is_empty()).then(|| {
            format!(
                "{words:?}, {what} at {}: {}",
                call.text,
                problems.join("; ")
            )
        })
    }
}

/// Kills and refuses a command that issues so many certificates at every one
/// of its changes.
#[track_caller]
fn survives(words: &[&str], certificates: usize) {
    let revocations = 0;
    survives_with(
        words,
        Effect {
            certificates,
            revocations,
        },
    );
}

/// The same for a command that changes so much, all or nothing.
#[track_caller]
fn survives_with(words: &[&str], effect: Effect) {
    if !require(&["strace"]) {
        return;
    }
    let template = prepared();
    let trace = format!("trace={CHANGES}");
    let whole = copy(&template);
    let ran = traced(&whole, &["-e", &trace], words);
    if ran.stderr.contains("ptrace") || ran.stderr.contains("PTRACE") {
        tell(&format!(
            "SKIPPED: tracing is not permitted: {}",
            ran.stderr
        ));
        return;
    }
    let ran = ran.exits(0);
    let found = calls(
        &whole.dir.read("trace"),
        &whole.dir.path().display().to_string(),
    );
    assert!(found.len() > 15, "{ran}");
    let accidents: Vec<Accident<'_>> = found
        .iter()
        .flat_map(|call| {
            ["signal=KILL", "error=ENOSPC", "error=EIO"].map(|what| Accident {
                words,
                effect,
                call,
                what,
            })
        })
        .collect();
    let half = accidents.len().div_ceil(2);
    let broken: Vec<String> = thread::scope(|scope| {
        let halves: Vec<_> = accidents
            .chunks(half)
            .map(|half| {
                let template = &template;
                scope.spawn(move || {
                    let broken = half.iter().filter_map(|accident| accident.breaks(template));
                    broken.collect::<Vec<_>>()
                })
            })
            .collect();
        halves
            .into_iter()
            .flat_map(|half| half.join().expect("a thread"))
            .collect()
    });
    let tried = accidents.len();
    tell(&format!(
        "{words:?}: {} calls, {tried} accidents, {} broken",
        found.len(),
        broken.len()
    ));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn req_survives_every_call() {
    survives(&["req", "other.example.com"], 0);
}

#[test]
fn sign_survives_every_call() {
    survives(&["sign", "--yes"], 1);
}

#[test]
fn sign_to_a_file_survives_every_call() {
    survives(&["sign", "a.example.com.csr", "--out", "a.pem", "--yes"], 1);
}

#[test]
fn sign_of_several_survives_every_call() {
    survives(
        &[
            "sign",
            "a.example.com.csr",
            "b.example.com.csr",
            "--out-dir",
            "out",
            "--yes",
        ],
        2,
    );
}

#[test]
fn issue_survives_every_call() {
    survives(&["issue", "new.example.com", "--yes"], 1);
}

#[test]
fn issue_of_another_certificate_survives_every_call() {
    let other = [
        "issue",
        "mail.example.com",
        "--san",
        "x.example.com",
        "--replace",
        "--yes",
    ];
    survives(&other, 1);
}

#[test]
fn revoke_survives_every_call() {
    let revoke = [
        "revoke",
        "mail.example.com",
        "--yes",
        "--reason",
        "keyCompromise",
    ];
    let effect = Effect {
        certificates: 0,
        revocations: 1,
    };
    survives_with(&revoke, effect);
}

#[test]
fn crl_survives_every_call() {
    survives(&["crl"], 0);
}

#[test]
fn renew_survives_every_call() {
    survives(&["renew", "mail.example.com", "--yes"], 1);
}

#[test]
fn renew_that_revokes_the_old_one_survives_every_call() {
    let effect = Effect {
        certificates: 1,
        revocations: 1,
    };
    let renew = ["renew", "mail.example.com", "--revoke-old", "--yes"];
    survives_with(&renew, effect);
}

#[test]
fn renew_ca_survives_every_call() {
    survives(&["renew-ca", "--yes"], 0);
}
