//! Whole commands in this process, with another time than now.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use mailca::context::Context;
use mailca::exit::Exit;
use mailca::sys::prompt::NoTerminal;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::support::TestDir;

pub(super) const START: OffsetDateTime = datetime!(2027-01-01 00:00:00 UTC);

#[derive(Clone, Default)]
struct Stream(Rc<RefCell<Vec<u8>>>);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

pub(super) struct Ran {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub(super) fn mailca(dir: &TestDir, now: OffsetDateTime, words: &[&str]) -> Ran {
    let ca = dir.file("CA");
    let common = ["mailca", "--ca", &ca, "--yes", "--json"];
    run(now, &[&common, words].concat())
}

pub(super) fn run(now: OffsetDateTime, argv: &[&str]) -> Ran {
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
    let exit = mailca::run(argv.iter().map(Into::into), &mut context);
    Ran {
        exit,
        stdout: stdout.text(),
        stderr: stderr.text(),
    }
}

pub(super) fn ca(days: &str) -> TestDir {
    let dir = TestDir::new();
    let init = [
        "init",
        "--subject",
        "/CN=CA",
        "--no-passphrase",
        "--days",
        days,
    ];
    let made = mailca(&dir, START, &init);
    assert_eq!(made.exit, Exit::Done, "{}", made.stdout);
    dir
}

pub(super) fn issue(dir: &TestDir, after: i64, words: &[&str]) -> Ran {
    let now = START + Duration::days(after);
    mailca(dir, now, &[&["issue", "mx.example.com"], words].concat())
}

#[test]
fn issue_renews_in_the_last_thirty_days_under_the_same_key() {
    let dir = ca("3650");
    let first = issue(&dir, 0, &[]).json();
    let key = dir.read("CA/hosts/mx.example.com/key.pem");
    let idle = issue(&dir, 334, &[]).json();
    assert_eq!(
        (&idle["changed"], &idle["serial"]),
        (&false.into(), &first["serial"])
    );
    let second = issue(&dir, 336, &[]).json();
    assert_eq!(second["changed"], true);
    assert_ne!(second["serial"], first["serial"]);
    assert_eq!(dir.read("CA/hosts/mx.example.com/key.pem"), key);
}

#[test]
fn a_short_life_is_renewed_in_its_last_third() {
    let dir = ca("3650");
    issue(&dir, 0, &["--days", "9"]);
    assert_eq!(issue(&dir, 5, &["--days", "9"]).json()["changed"], false);
    assert_eq!(issue(&dir, 7, &["--days", "9"]).json()["changed"], true);
}

#[test]
fn the_ca_certificate_shortens_what_outlives_it_and_refuses_what_was_asked() {
    let dir = ca("100");
    let shortened = issue(&dir, 0, &[]);
    assert_eq!(shortened.json()["not_after"], "2027-04-11T00:00:00Z");
    assert!(
        shortened.stderr.contains("shortened from 365 days"),
        "{}",
        shortened.stderr
    );
    let asked = issue(
        &dir,
        0,
        &["--replace", "--san", "a.example.com", "--days", "365"],
    );
    assert_eq!(asked.exit, Exit::Refused);
    let error = asked.json()["error"].to_string();
    assert!(
        error.contains("2028-01-01") && error.contains("2027-04-11"),
        "{error}"
    );
}

#[test]
fn nothing_is_signed_once_the_ca_certificate_has_ended() {
    let dir = ca("100");
    let late = issue(&dir, 101, &[]);
    assert_eq!(late.exit, Exit::Refused);
    let error = late.json()["error"].to_string();
    assert!(error.contains("expired on 2027-04-11"), "{error}");
    assert_eq!(dir.read("CA/index.txt"), "");
}

#[test]
fn nothing_is_signed_before_the_ca_certificate_begins() {
    let dir = ca("100");
    let early = issue(&dir, -1, &[]);
    assert_eq!(early.exit, Exit::Refused);
    let error = early.json()["error"].to_string();
    let why = "is valid from 2027-01-01T00:00:00Z on, but it is 2026-12-31T00:00:00Z now";
    assert!(error.contains(why), "{error}");
    let hint = early.json()["hint"].to_string();
    assert!(hint.contains("date -u"), "{hint}");
    assert_eq!(dir.read("CA/index.txt"), "");
}

#[test]
fn under_unique_subject_a_row_past_its_date_is_marked_and_a_valid_one_refused() {
    let dir = ca("3650");
    dir.write("CA/index.txt.attr", "unique_subject = yes\n");
    issue(&dir, 0, &[]);
    let early = issue(&dir, 340, &[]);
    assert_eq!(early.exit, Exit::Refused);
    assert!(early.json()["error"].to_string().contains("unique_subject"));
    let late = issue(&dir, 366, &[]);
    assert_eq!(late.exit, Exit::Done, "{}", late.stdout);
    let register = dir.read("CA/index.txt");
    let states: Vec<_> = register.lines().map(|row| &row[..1]).collect();
    assert_eq!(states, ["E", "V"]);
}

#[test]
fn dates_from_2050_on_are_recorded_as_openssl_records_them() {
    let dir = ca("36500");
    let issued = issue(&dir, 0, &["--days", "9000"]);
    assert_eq!(issued.exit, Exit::Done, "{}", issued.stdout);
    assert!(
        dir.read("CA/index.txt")
            .starts_with("V\t20510823000000Z\t\t")
    );
}

#[test]
fn a_ca_that_has_ended_still_revokes_but_publishes_no_crl() {
    let dir = ca("100");
    issue(&dir, 0, &[]);
    let register = dir.read("CA/index.txt");
    let serial = register.split('\t').nth(3).unwrap();
    let late = START + Duration::days(101);
    for words in [&["revoke", serial][..], &["crl"]] {
        let refused = mailca(&dir, late, words);
        assert_eq!(refused.exit, Exit::Refused);
        let error = refused.json()["error"].to_string();
        assert!(error.contains("expired on 2027-04-11"), "{error}");
        assert!(refused.json()["hint"].to_string().contains("--no-crl"));
    }
    assert_eq!(dir.read("CA/index.txt"), register);
    let revoked = mailca(&dir, late, &["revoke", serial, "--no-crl"]);
    assert_eq!(revoked.exit, Exit::Done, "{}", revoked.stdout);
    assert!(dir.read("CA/index.txt").contains("\t270412000000Z\t"));
}

#[test]
fn a_crl_is_due_so_long_before_it_ends() {
    let dir = ca("3650");
    let crl = |day: i64, words: &[&str]| {
        let now = START + Duration::days(day);
        mailca(&dir, now, &[&["crl"], words].concat()).json()
    };
    assert_eq!(
        crl(0, &["--days", "10"])["next_update"],
        "2027-01-11T00:00:00Z"
    );
    assert_eq!(crl(7, &["--expiring", "3d"])["changed"], false);
    assert_eq!(crl(7, &["--expiring", "73h"])["changed"], true);
    assert_eq!(crl(7 + 150, &["--expiring", "30d"])["changed"], false);
    let late = crl(7 + 181, &["--expiring", "0s"]);
    assert_eq!(
        late["due"],
        "the one before was valid until 2027-07-07T00:00:00Z"
    );
}
