//! The real program, killed or refused at each of its system calls that
//! change the disk. The same is tried inside the process, and with the power
//! failing, where the commands are (src/commands/faults.rs).

use std::path::Path;

use super::support::damage::damage;
use super::support::invariants::{broken, broken_copy};
use super::support::strace::{self, Call};
use super::support::{Ca, require, tell};

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
        let ca = template.copy();
        let before = Effect::of(&ca);
        let ran = strace::accident(&ca.dir, &ca.command(self.words), self.call, self.what);
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
    let whole = template.copy();
    let Some((ran, found)) = strace::changes(&whole.dir, &whole.command(words)) else {
        return;
    };
    let ran = ran.exits(0);
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
    let broken = strace::on_two_cores(&accidents, |accident| accident.breaks(&template));
    let broken: Vec<String> = broken.into_iter().flatten().collect();
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

#[test]
fn renew_ca_with_a_new_key_survives_every_call() {
    survives(&["renew-ca", "--new-key", "--no-passphrase", "--yes"], 0);
}

const REPAIR: &[&str] = &["repair", "--yes", "--assume-valid"];

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// What is not as it was before the damage, once a repair was interrupted and another ran.
fn unmended(template: &Ca, whole: &[String], (call, what): (&Call, &str)) -> Option<String> {
    let ca = template.copy();
    let damaged = ca.read("index.txt");
    let ran = strace::accident(&ca.dir, &ca.command(REPAIR), call, what);
    let mut problems = Vec::new();
    if ran.code() == 1 && ca.read("index.txt") != damaged {
        problems.push("refused, and the register is another one".to_owned());
    }
    if matches!(ran.code(), 1 | 3)
        && !ran.stderr.contains(&*ca.dir.file(""))
        && ran.stdout.is_empty()
    {
        problems.push(format!("no file is named: {}", ran.stderr));
    }
    for words in [REPAIR, &["repair", "--dry-run"]] {
        let again = ca.mailca(words);
        if again.code() != 0 {
            problems.push(format!("{words:?} afterwards: {again}"));
        }
    }
    if sorted(ca.rows()) != whole {
        problems.push(format!("mended, the register is {:?}", ca.rows()));
    }
    if (ca.mode("private/cakey.pem"), ca.mode("newcerts")) != (0o600, 0o755) {
        problems.push("modes are left".to_owned());
    }
    let next = ca.mailca(&["issue", "after.example.com", "--yes"]);
    if next.code() != 0 {
        problems.push(format!("the next command failed: {next}"));
    }
    problems.extend(broken(Path::new(&ca.file(""))));
    if call.number.is_multiple_of(8) {
        let request = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
        let signed = ca.openssl_ca(&["-in", &request, "-out", "../theirs.pem"]);
        if signed.code() != 0 {
            problems.push(format!("openssl ca fails: {signed}"));
        }
    }
    (!problems.is_empty()).then(|| format!("{what} at {}: {}", call.text, problems.join("; ")))
}

#[test]
fn repair_survives_every_call() {
    if !require(&["strace"]) {
        return;
    }
    let template = Ca::new();
    template.ok(&["issue", "first.example.com", "--yes"]);
    template.ok(&["issue", "mail.example.com", "--yes"]);
    template.ok(&["revoke", "mail.example.com", "--yes"]);
    let whole = sorted(template.rows());
    damage(Path::new(&template.file("")));
    let undisturbed = template.copy();
    let Some((ran, found)) = strace::changes(&undisturbed.dir, &undisturbed.command(REPAIR)) else {
        return;
    };
    let ran = ran.exits(0);
    assert!(found.len() > 30, "{ran}");
    let accidents: Vec<(&Call, &str)> = found
        .iter()
        .flat_map(|call| ["signal=KILL", "error=ENOSPC", "error=EIO"].map(|what| (call, what)))
        .collect();
    let broken = strace::on_two_cores(&accidents, |one| unmended(&template, &whole, *one));
    let broken: Vec<String> = broken.into_iter().flatten().collect();
    tell(&format!(
        "{REPAIR:?}: {} calls, {} accidents, {} broken",
        found.len(),
        accidents.len(),
        broken.len()
    ));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
