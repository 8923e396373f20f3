//! Every command at every change it makes to the disk: the change is refused, the process dies
//! before it or in the middle of it, the power fails. The next command must find all in order.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{fs, io};

use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::context::Context;
use crate::exit::Exit;
use crate::pki::certificate_list::CertificateList;
use crate::pki::testing::Openssl;
use crate::sys::disk::faults::{self, Fault, Tree};
use crate::sys::prompt::NoTerminal;

#[path = "../../tests/suite/support/damage.rs"]
mod damage;
#[path = "../../tests/suite/support/invariants.rs"]
mod invariants;
mod swaps;

const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);
const REFUSED: [(&str, i32); 2] = [("EIO", 5), ("ENOSPC", 28)];
// How often the power fails at one place, with something else lost each time.
const POWER_LOSSES: u64 = 3;

#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Vec<u8>>>);

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A directory with a CA in `CA`, and what commands need beside it.
struct Place(TempDir);

struct Ran {
    exit: Exit,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        // The disk is one that forgets at our word: the quickest will do.
        let place = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
        Self(place.unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("CA")
    }

    /// Runs mailca; `%` in a word is this directory.
    fn run_at(&self, now: OffsetDateTime, words: &[&str]) -> Ran {
        let (stdout, stderr) = (Stream::default(), Stream::default());
        let mut context = Context {
            clock: Box::new(move || now),
            random: Box::new(|buffer| {
                buffer.fill(0x11);
                Ok(())
            }),
            terminal: Box::new(NoTerminal),
            environment: Box::new(|_| None),
            node_name: "mx.example.com".into(),
            stdin: Box::new(io::empty()),
            screen: None,
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
        };
        let root = self.0.path().to_string_lossy().into_owned();
        let common = ["mailca", "--ca", "%/CA", "--yes", "--wait", "1"];
        let argv = common
            .iter()
            .chain(words)
            .map(|word| word.replace('%', &root).into());
        let exit = crate::run(argv, &mut context);
        let text = |stream: Stream| String::from_utf8(stream.0.lock().unwrap().clone()).unwrap();
        Ran {
            exit,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.run_at(NOW, words)
    }

    #[track_caller]
    fn must(&self, now: OffsetDateTime, words: &[&str]) {
        let ran = self.run_at(now, words);
        assert_eq!(ran.exit, Exit::Done, "{words:?}: {}", ran.stderr);
    }

    fn rows(&self) -> usize {
        let text = fs::read_to_string(self.path("CA/index.txt"));
        text.map_or(0, |text| text.lines().count())
    }

    /// How many certificates are issued, how many revoked, and how many CRLs were published.
    fn effect(&self) -> Effect {
        let text = fs::read_to_string(self.path("CA/index.txt")).unwrap_or_default();
        let crl = fs::read(self.path("CA/crl/crl.pem")).ok();
        let crl = crl.and_then(|bytes| CertificateList::from_pem_or_der(&bytes).ok()?.number);
        let number = crl.map_or(0, |number| number.as_be_bytes().iter().copied().sum());
        Effect {
            certificates: text.lines().count(),
            revocations: text.lines().filter(|line| line.starts_with('R')).count(),
            crls: usize::from(number),
        }
    }

    /// What is broken, in words.
    fn broken(&self) -> String {
        let mut all = invariants::broken(&self.ca());
        for folder in ["requests", "out"] {
            let files = fs::read_dir(self.path(folder))
                .into_iter()
                .flatten()
                .flatten();
            let copies = files
                .map(|file| file.path())
                .filter(|path| path.extension().is_some_and(|it| it == "pem"));
            all.extend(copies.filter_map(|copy| invariants::broken_copy(&self.ca(), &copy)));
        }
        all.join("; ")
    }

    fn lose_power(&self, disk: &faults::Installed, seed: u64) {
        disk.lose_power(seed);
        // The machine starts again: what says that it was written in this boot, was not.
        let journal = self.path("CA/index.txt.journal");
        let boot = crate::sys::host::boot_id().unwrap();
        if let Ok(text) = fs::read(&journal) {
            let text = String::from_utf8_lossy(&text).replace(&boot, &"0".repeat(boot.len()));
            fs::write(&journal, text).unwrap();
        }
    }
}

/// A CA with one host, one waiting request, three requests from elsewhere, and a certificate past
/// its date under `unique_subject = yes`.
fn prepared() -> Place {
    let place = Place::new();
    let init = ["init", "--subject", "/O=Example/CN=CA", "--no-passphrase"];
    place.must(NOW - Duration::days(90), &init);
    let past = NOW - Duration::days(60);
    place.must(past, &["issue", "past.example.com", "--days", "30"]);
    place.must(NOW, &["issue", "mail.example.com"]);
    place.must(NOW, &["req", "next.example.com"]);
    for host in ["a.example.com", "b.example.com", "c.example.com"] {
        place.must(NOW, &["req", host, "--out-dir", "%/requests"]);
    }
    fs::write(
        place.path("hosts.txt"),
        "d.example.com\ne.example.com x.example.com\n",
    )
    .unwrap();
    fs::write(place.path("CA/index.txt.attr"), "unique_subject = yes\n").unwrap();
    place
}

/// What a command changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Effect {
    certificates: usize,
    revocations: usize,
    crls: usize,
}

impl Effect {
    const NONE: Self = Self {
        certificates: 0,
        revocations: 0,
        crls: 0,
    };

    fn since(self, before: Self) -> Self {
        Self {
            certificates: self.certificates.saturating_sub(before.certificates),
            revocations: self.revocations.saturating_sub(before.revocations),
            crls: self.crls.saturating_sub(before.crls),
        }
    }
}

/// Tries a command that issues so many certificates. One line here tries another one.
#[track_caller]
fn survives(words: &[&str], certificates: usize) {
    let effect = Effect {
        certificates,
        ..Effect::NONE
    };
    survives_with(words, effect);
}

/// Tries a command that changes so much, all or nothing.
#[track_caller]
fn survives_with(words: &[&str], effect: Effect) {
    survives_in(&prepared(), words, effect);
}

/// The same in another directory.
#[track_caller]
fn survives_in(template: &Place, words: &[&str], effect: Effect) {
    let before = template.effect();
    accidents(template, words, |attempt| {
        let Attempt {
            place, ran, died, ..
        } = attempt;
        let after = place.run(&["issue", "after.example.com"]);
        let mut effects = place.effect().since(before);
        effects.certificates = effects.certificates.saturating_sub(1);
        let mut problem = place.broken();
        if after.exit != Exit::Done {
            problem = format!("{problem}; the next command failed: {}", after.stderr);
        }
        let expected = match ran.exit {
            _ if attempt.finished => [effect, effect],
            _ if *died => [Effect::NONE, effect],
            Exit::Done => [effect, effect],
            Exit::Refused => [Effect::NONE, Effect::NONE],
            _ => [Effect::NONE, effect],
        };
        if !expected.contains(&effects) {
            problem = format!("{problem}; exit {:?}, but {effects:?}", ran.exit);
        }
        problem
    });
}

/// A command that met an accident, or none.
struct Attempt<'a> {
    place: &'a Place,
    ran: &'a Ran,
    /// whether it did not come to its end
    died: bool,
    /// whether there was no accident
    finished: bool,
}

/// Tries a command at each of its changes; `judge` says what is broken afterwards.
#[track_caller]
fn accidents(template: &Place, words: &[&str], judge: impl Fn(&Attempt<'_>) -> String) {
    let tree = Tree::read(template.0.path());
    let mut tried = 0;
    let mut broken = String::new();
    let mut attempt = |fault: Option<(usize, Fault)>, power: Option<u64>, what: &str| {
        // openssl.cnf and the journal have no absolute path of the CA in them.
        let place = Place::new();
        tree.write(place.0.path());
        let disk = faults::install(place.0.path(), fault, power.is_some());
        let ran = place.run(words);
        let changes = disk.changes();
        if let Some(seed) = power {
            place.lose_power(&disk, seed);
        }
        drop(disk);
        let died = power.is_some() || !matches!(fault, None | Some((_, Fault::Error(_))));
        let mut problem = judge(&Attempt {
            place: &place,
            ran: &ran,
            died,
            finished: fault.is_none_or(|(at, _)| at >= changes.len()),
        });
        let root = place.0.path().to_string_lossy();
        // What could not be done beside the transaction, is in the report.
        let names_a_file = ran.stderr.contains(&*root)
            || ran
                .stdout
                .contains(&format!("undecided: cannot set the mode of {root}"));
        if !died && ran.exit != Exit::Done && !names_a_file {
            problem = format!("{problem}; no file is named: {}", ran.stderr);
        }
        tried += 1;
        if !problem.is_empty() {
            let change = fault.and_then(|(at, _)| changes.get(at).cloned());
            let _ = writeln!(broken, "{what} at {change:?}: {problem}");
        }
        (changes.len(), place)
    };
    let (count, _) = attempt(None, None, "nothing");
    assert!(count > 10, "{count} changes");
    for at in 0..count {
        for (name, number) in REFUSED {
            attempt(Some((at, Fault::Error(number))), None, name);
        }
        attempt(Some((at, Fault::Death)), None, "death");
        let (_, place) = attempt(Some((at, Fault::TornDeath)), None, "death in a write");
        if at % 8 == 0 {
            openssl_signs(&place);
        }
        for seed in 0..POWER_LOSSES {
            let seed = seed + 1000 * at as u64;
            attempt(Some((at, Fault::Death)), Some(seed), "power loss");
        }
    }
    for seed in 0..20 {
        attempt(None, Some(seed), "power loss afterwards");
    }
    let command = words.join(" ");
    let problems = broken.lines().count();
    tell(&format!(
        "{command}: {count} changes, {tried} accidents, {problems} broken"
    ));
    assert!(broken.is_empty(), "{command}:\n{broken}");
}

// Past libtest's capture, which hides what a passing test prints.
fn tell(sentence: &str) {
    let _ = io::Write::write_all(&mut io::stderr(), format!("\n{sentence}\n").as_bytes());
}

#[track_caller]
fn openssl_signs(place: &Place) {
    let openssl = Openssl::new();
    openssl.p256("key.pem");
    let request = openssl.path("theirs.csr");
    openssl.run_with(
        "req -new -key key.pem -subj /CN=theirs -out",
        &[&request.to_string_lossy()],
    );
    let before = place.rows();
    let output = std::process::Command::new("openssl")
        .args(["ca", "-batch", "-notext", "-config", "openssl.cnf", "-in"])
        .arg(&request)
        .current_dir(place.ca())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(place.rows(), before + 1, "{stderr}");
}

#[test]
fn req_survives() {
    survives(&["req", "other.example.com"], 0);
}

#[test]
fn sign_survives() {
    survives(&["sign"], 1);
}

#[test]
fn sign_to_a_file_survives() {
    survives(
        &[
            "sign",
            "%/requests/a.example.com.csr",
            "--out",
            "%/requests/a.pem",
        ],
        1,
    );
}

#[test]
fn sign_of_several_survives() {
    survives(&["sign", "%/requests", "--out-dir", "%/out"], 3);
}

#[test]
fn issue_for_a_new_host_survives() {
    survives(&["issue", "new.example.com"], 1);
}

#[test]
fn issue_for_a_host_past_its_date_survives() {
    survives(&["issue", "past.example.com"], 1);
}

#[test]
fn issue_for_several_hosts_survives() {
    survives(&["issue", "--from", "%/hosts.txt"], 2);
}

#[test]
fn revoke_survives() {
    let effect = Effect {
        revocations: 1,
        crls: 1,
        ..Effect::NONE
    };
    let reason = ["--reason", "keyCompromise"];
    survives_with(
        &[&["revoke", "mail.example.com"], &reason[..]].concat(),
        effect,
    );
}

#[test]
fn revoke_without_a_crl_survives() {
    let effect = Effect {
        revocations: 1,
        ..Effect::NONE
    };
    survives_with(&["revoke", "mail.example.com", "--no-crl"], effect);
}

#[test]
fn crl_survives() {
    let effect = Effect {
        crls: 1,
        ..Effect::NONE
    };
    survives_with(&["crl"], effect);
}

#[test]
fn renew_of_one_that_has_ended_survives() {
    survives(&["renew", "past.example.com"], 1);
}

#[test]
fn renew_that_revokes_the_old_one_survives() {
    let effect = Effect {
        certificates: 1,
        revocations: 1,
        crls: 1,
    };
    survives_with(&["renew", "mail.example.com", "--revoke-old"], effect);
}

#[test]
fn renew_of_several_with_new_keys_survives() {
    let all = ["renew", "--expiring", "400d", "--new-key", "--revoke-old"];
    let effect = Effect {
        certificates: 2,
        revocations: 1,
        crls: 1,
    };
    survives_with(&[&all[..], &["--out-dir", "%/out"]].concat(), effect);
}

#[test]
fn renew_ca_survives() {
    survives(&["renew-ca"], 0);
}

/// The same CA with damage of every kind that is mended, and its register before.
fn damaged() -> (Place, String) {
    let place = prepared();
    place.must(NOW, &["revoke", "mail.example.com"]);
    let whole = fs::read_to_string(place.path("CA/index.txt")).unwrap();
    damage::damage(&place.ca());
    (place, whole)
}

#[test]
fn repair_survives() {
    let (template, whole) = damaged();
    let damaged = fs::read_to_string(template.path("CA/index.txt")).unwrap();
    let sorted = |text: &str| {
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    };
    let whole = sorted(&whole.replacen("V\t", "E\t", 1));
    accidents(&template, &["repair", "--assume-valid"], |attempt| {
        let place = attempt.place;
        let now = fs::read_to_string(place.path("CA/index.txt")).unwrap();
        let mut problem = String::new();
        if attempt.ran.exit == Exit::Refused && now != damaged {
            problem = format!("refused, but index.txt is {now}");
        }
        if attempt.ran.exit == Exit::Done && !attempt.died && sorted(&now) != whole {
            problem = format!("done, but index.txt is {now}");
        }
        let again = place.run(&["repair", "--assume-valid"]);
        let check = place.run(&["repair", "--dry-run"]);
        let mended = fs::read_to_string(place.path("CA/index.txt")).unwrap();
        let next = place.run(&["issue", "after.example.com"]);
        for ran in [&again, &check, &next] {
            if ran.exit != Exit::Done {
                problem = format!("{problem}; afterwards: {:?} {}", ran.exit, ran.stderr);
            }
        }
        if sorted(&mended) != whole {
            problem = format!("{problem}; mended, index.txt is {mended}");
        }
        format!("{problem}{}", place.broken())
    });
}

const NEW_KEY: [&str; 3] = ["renew-ca", "--new-key", "--no-passphrase"];

#[test]
fn renew_ca_with_a_new_key_survives() {
    survives(&NEW_KEY, 0);
}

#[test]
fn renew_ca_with_a_new_key_and_a_crl_survives() {
    let template = prepared();
    template.must(NOW, &["revoke", "mail.example.com"]);
    template.must(NOW, &["issue", "www.example.com"]);
    let effect = Effect {
        crls: 1,
        ..Effect::NONE
    };
    survives_in(&template, &NEW_KEY, effect);
}

#[test]
fn init_survives() {
    let place = Place::new();
    let words = ["init", "--subject", "/CN=CA", "--no-passphrase"];
    let disk = faults::install(place.0.path(), None, false);
    place.must(NOW, &words);
    let count = disk.changes().len();
    drop(disk);
    for at in 0..count {
        for (name, number) in REFUSED {
            let place = Place::new();
            let disk = faults::install(place.0.path(), Some((at, Fault::Error(number))), false);
            let ran = place.run(&words);
            let change = disk.changes()[at].clone();
            drop(disk);
            if ran.exit != Exit::Done {
                assert!(!place.ca().exists(), "{name} at {change}: {}", ran.stderr);
                let left = fs::read_dir(place.0.path()).unwrap().count();
                assert_eq!(left, 0, "{name} at {change}");
                place.must(NOW, &words);
            }
            place.must(NOW, &["issue", "mail.example.com"]);
            assert_eq!(place.broken(), "", "{name} at {change}");
        }
    }
    tell(&format!("init: {count} changes, {} accidents", 2 * count));
}
