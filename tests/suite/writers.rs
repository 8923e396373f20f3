//! Many writers at once, readers beside them, and an `openssl ca` that knows
//! of no lock.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::support::invariants::broken;
use super::support::{Ca, run, tell};

#[track_caller]
fn assert_sound(ca: &Ca) {
    let problems = broken(Path::new(&ca.file("")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn two_hundred_signings_by_sixteen_processes_are_two_hundred_certificates() {
    let ca = Ca::new();
    ca.ok(&["issue", "mail.example.com", "--yes"]);
    for number in 0..100 {
        ca.request(&format!("r{number}.example.com"), &[]);
    }
    let next = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let read = AtomicUsize::new(0);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= 200 {
                            break;
                        }
                        let (request, out) = (
                            format!("r{number}.example.com.csr"),
                            format!("{number}.pem"),
                        );
                        let host = format!("h{number}.example.com");
                        let wait = ["--yes", "--wait", "100"];
                        if number < 100 {
                            let sign = ["sign", &request, "--out", &out];
                            ca.ok(&[&sign[..], &wait].concat());
                            ca.x509(&out, &["-serial"]);
                        } else {
                            ca.ok(&[&["issue", &host][..], &wait].concat());
                        }
                    }
                })
            })
            .collect();
        let readers: Vec<_> = [
            &["emit-mc", "mail.example.com"][..],
            &["issue", "mail.example.com", "--yes", "--json"],
        ]
        .into_iter()
        .map(|words| {
            let (ca, is_over, read) = (&ca, &is_over, &read);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    ca.ok(words);
                    read.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
        let ended: Vec<_> = writers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a reader");
        }
        assert!(ended.iter().all(Result::is_ok));
    });
    let serials = ca.serials();
    assert_eq!(serials.len(), 201);
    assert_eq!(serials.iter().collect::<BTreeSet<_>>().len(), 201);
    assert_sound(&ca);
    tell(&format!("200 signings, {} readings", read.into_inner()));
}

#[test]
fn writers_that_are_killed_leave_nothing_that_stops_the_others() {
    let ca = Ca::new();
    for round in 0..60 {
        let mut children: Vec<Child> = (0..3)
            .map(|number| {
                let host = format!("h{round}-{number}.example.com");
                let mut command = ca.command(&["issue", &host, "--yes"]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                command.spawn().expect("mailca")
            })
            .collect();
        thread::sleep(Duration::from_micros(400 * (round % 20)));
        children[0].kill().expect("kill");
        for child in &mut children {
            child.wait().expect("wait");
        }
    }
    ca.ok(&["issue", "last.example.com", "--yes"]);
    assert!(ca.rows().len() > 120);
    assert_sound(&ca);
    let request = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    ca.openssl_ca(&["-in", &request, "-out", "../theirs.pem"])
        .exits(0);
}

/// An `openssl ca` that has read the register and waits for an answer.
struct AtPrompt(Child);

impl AtPrompt {
    fn new(ca: &Ca, request: &str) -> Self {
        let mut command = ca.dir.command("openssl");
        command.current_dir(ca.file("."));
        command.args(["ca", "-config", "openssl.cnf", "-notext", "-in", request]);
        command.args(["-out", "../theirs.pem"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl");
        let mut said = Vec::new();
        let stderr = child.stderr.as_mut().expect("piped");
        while !said.ends_with(b"[y/n]:") {
            let mut byte = [0];
            let read = stderr.read(&mut byte).expect("openssl's prompt");
            assert!(read == 1, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        Self(child)
    }

    fn answer_yes(mut self) {
        let mut stdin = self.0.stdin.take().expect("piped");
        stdin.write_all(b"y\ny\n").expect("answers");
        drop(stdin);
        let status = self.0.wait().expect("openssl");
        assert!(status.success());
    }
}

#[test]
fn an_openssl_ca_that_waited_at_its_prompt_is_noticed() {
    let ca = Ca::new();
    ca.ok(&["issue", "before.example.com", "--yes"]);
    let request = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    let openssl = AtPrompt::new(&ca, &request);
    ca.ok(&["issue", "one.example.com", "--yes"]);
    ca.ok(&["issue", "two.example.com", "--yes"]);
    let serials = ca.serials();
    openssl.answer_yes();
    // OpenSSL gave the number of `one` away again, and dropped the row of `two`.
    assert_eq!(ca.serials(), serials[..2]);

    let error = ca.refuses(&["issue", "three.example.com", "--yes"]);
    let lost = format!(
        "{} has lost the row of {} (/CN=two.example.com): an openssl ca that ran at the same time",
        ca.file("index.txt"),
        serials[2]
    );
    assert!(error.contains(&lost), "{error}");
    // The hint is a command that puts the row back.
    let hint = error
        .split_once("put back what is not revoked: ")
        .expect("a hint")
        .1;
    run(ca.dir.command("sh").args(["-c", hint])).exits(0);
    ca.ok(&["issue", "three.example.com", "--yes"]);
    let after = ca.serials();
    assert_eq!(after[..3], serials);
    assert_eq!(after.iter().collect::<BTreeSet<_>>().len(), 4, "{after:?}");
    ca.openssl_ca(&["-updatedb"]).exits(0);
}

#[test]
fn a_number_that_openssl_gave_away_again_is_said_until_it_is_revoked() {
    let ca = Ca::new();
    let request = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    let openssl = AtPrompt::new(&ca, &request);
    ca.ok(&["issue", "one.example.com", "--yes"]);
    let serial = ca.serials().remove(0);
    openssl.answer_yes();
    let error = ca.refuses(&["issue", "two.example.com", "--yes"]);
    let twice = format!(
        "the serial number {serial} stands for two certificates, /CN=one.example.com by mailca and \
         /CN=theirs in {}",
        ca.file("index.txt")
    );
    assert!(error.contains(&twice), "{error}");
    let hint = error.split_once("issue both again: ").expect("a hint").1;
    run(ca.dir.command("sh").args(["-c", hint])).exits(0);
    ca.ok(&["issue", "two.example.com", "--yes"]);
    // Its host is told that the number is revoked.
    let error = ca.refuses(&["issue", "one.example.com", "--yes"]);
    assert!(
        error.contains(&format!("{serial} of one.example.com was revoked")),
        "{error}"
    );
}

/// Each command that writes.
const WRITING: [&[&str]; 7] = [
    &["issue", "new.example.com", "--yes"],
    &["req", "new.example.com"],
    &["sign", "a.example.com.csr", "--yes"],
    &["revoke", "old.example.com", "--yes"],
    &["crl", "--expiring", "1d"],
    &["renew", "--expiring", "1d", "--yes"],
    &["renew-ca", "--yes"],
];

#[test]
fn a_register_that_is_missing_is_not_begun_anew() {
    let ca = Ca::new();
    ca.request("a.example.com", &[]);
    ca.ok(&["issue", "old.example.com", "--yes"]);
    ca.ok(&["crl"]);
    let [register, serial] = ["index.txt", "serial"].map(|name| ca.read(name));
    let place = |name: &str| ca.file(name);
    let remove = |name: &str| std::fs::remove_file(place(name)).expect("remove");
    let check = |missing: &str, there: &str| {
        for words in WRITING {
            let said = ca.refuses(words);
            let expected = format!(
                "error: {} is missing, and {there}\nhint: mailca --ca {} repair\n",
                place(missing),
                ca.dir.path().join("CA").display()
            );
            assert_eq!(said, expected, "{words:?}");
        }
    };
    // As nobody but an openssl ca that was killed leaves it.
    for (name, content) in [("index.txt", &register), ("serial", &serial)] {
        let [old, new] = [".old", ".new"].map(|end| format!("{name}{end}"));
        remove(name);
        ca.write(&old, content);
        check(name, &format!("{} lies beside its place", place(&old)));
        ca.write(&new, content);
        let both = format!("{} and {} lie beside its place", place(&old), place(&new));
        check(name, &both);
        remove(&old);
        check(name, &format!("{} lies beside its place", place(&new)));
        remove(&new);
        ca.write(name, content);
    }
    remove("index.txt");
    check(
        "index.txt",
        &format!("{} holds certificates", place("newcerts")),
    );
    ca.write("index.txt", &register);
    ca.ok(WRITING[0]);

    // The CRL's number is of no concern to who publishes none.
    ca.write("crlnumber.new", &ca.read("crlnumber"));
    remove("crlnumber");
    ca.ok(&["issue", "other.example.com", "--yes"]);
    let said = ca.refuses(&["crl"]);
    assert!(said.contains("crlnumber is missing, and "), "{said}");
}

#[test]
fn where_nothing_was_issued_nothing_is_missing() {
    let ca = Ca::new();
    for name in ["index.txt", "serial"] {
        std::fs::remove_file(ca.file(name)).expect("remove");
    }
    // What old CAs keep beside their certificates is none that they issued.
    ca.write("newcerts/ca.pem", "");
    ca.write("newcerts/README", "");
    ca.ok(&["crl"]);
    ca.ok(&["issue", "first.example.com", "--yes"]);
    assert_eq!(ca.rows().len(), 1);
}

#[test]
fn a_serial_from_an_old_backup_or_none_repeats_no_number() {
    let ca = Ca::new();
    let old = ca.read("serial");
    for host in ["a.example.com", "b.example.com"] {
        ca.ok(&["issue", host, "--yes"]);
    }
    // As if newcerts had been cleared up as well.
    for serial in ca.serials() {
        std::fs::remove_file(ca.file(&format!("newcerts/{serial}.pem"))).expect("remove");
    }
    ca.write("serial", &old);
    ca.ok(&["issue", "c.example.com", "--yes"]);
    std::fs::remove_file(ca.file("serial")).expect("remove");
    ca.ok(&["issue", "d.example.com", "--yes"]);
    let request = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    ca.openssl_ca(&["-in", &request, "-out", "../theirs.pem"])
        .exits(0);
    ca.write("serial", &old);
    ca.ok(&["issue", "e.example.com", "--yes"]);
    let serials = ca.serials();
    assert_eq!(
        serials.iter().collect::<BTreeSet<_>>().len(),
        6,
        "{serials:?}"
    );
}
