//! `mailca list`: the register as it is, row by row.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::support::{Ca, User, require, run};

/// A register with a row of each kind; CAs that are old enough begin with zero.
fn rows() -> String {
    let rows = [
        "V\t991231235959Z\t\t00\tunknown\t/O=Example/CN=old.example.com",
        "V\t491231235959Z\t\t02\tunknown\t/CN=mx1.example.com",
        "R\t491231235959Z\t260504120000Z\t03\tunknown\t/CN=mx2.example.com",
        "R\t491231235959Z\t260504120000Z,superseded\t04\tunknown\t/CN=MX1.example.com",
        "R\t491231235959Z\t260504120000Z,keyTime,20260501000000Z\t05\tunknown\t/CN=mx3.example.com",
        "E\t250101000000Z\t\t06\tunknown\t/CN=mx1.example.com",
        "V\t20991231235959Z\t\t0FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\tunknown\t/CN=a\\x09b",
    ];
    rows.join("\n") + "\n"
}

fn ca() -> Ca {
    let ca = Ca::new();
    ca.write("index.txt", &rows());
    ca
}

fn serials(ca: &Ca, words: &[&str]) -> Vec<String> {
    let report = ca.json(&[&["list"], words].concat());
    let certificates = report["certificates"].as_array().unwrap().iter();
    let serials: Vec<_> = certificates
        .map(|one| one["serial"].as_str().unwrap().to_owned())
        .collect();
    let printed = ca.ok(&[&["list"], words].concat()).stdout;
    let first = |line: &str| line.split(' ').next().unwrap().to_owned();
    assert_eq!(serials, printed.lines().map(first).collect::<Vec<_>>());
    serials
}

#[test]
fn each_row_is_one_line_in_the_register_s_order() {
    let ca = ca();
    let said = ca.ok(&["list"]);
    assert_eq!(
        said.stdout,
        "00                expired  1999-12-31  /O=Example/CN=old.example.com
02                valid    2049-12-31  /CN=mx1.example.com
03                revoked  2049-12-31  /CN=mx2.example.com  2026-05-04, unspecified
04                revoked  2049-12-31  /CN=MX1.example.com  2026-05-04, superseded
05                revoked  2049-12-31  /CN=mx3.example.com  2026-05-04, keyCompromise
06                expired  2025-01-01  /CN=mx1.example.com
0FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF  valid    2099-12-31  /CN=a\\x09b
"
    );
    assert_eq!(said.stderr, "");
    let report = ca.json(&["list"]);
    assert_eq!(report["changed"], false);
    let fifth = &report["certificates"][4];
    let expected = serde_json::json!({
        "serial": "05", "state": "revoked", "name": "mx3.example.com",
        "subject": "/CN=mx3.example.com", "not_after": "2049-12-31T23:59:59Z",
        "revoked_at": "2026-05-04T12:00:00Z", "reason": "keyCompromise",
        "compromised_at": "2026-05-01T00:00:00Z",
    });
    assert_eq!(*fifth, expected);
    assert_eq!(ca.ok(&["list", "--quiet"]).stdout, "");
}

#[test]
fn options_mean_what_all_of_them_mean() {
    let ca = ca();
    assert_eq!(serials(&ca, &["--state=valid"]).len(), 2);
    assert_eq!(serials(&ca, &["--state=expired"]), ["00", "06"]);
    assert_eq!(serials(&ca, &["--state=revoked"]), ["03", "04", "05"]);
    let both = ["--state=revoked", "--state=expired"];
    assert_eq!(serials(&ca, &both).len(), 5);
    // Names are the same in whatever case.
    assert_eq!(
        serials(&ca, &["--host=mx1.example.com"]),
        ["02", "04", "06"]
    );
    let valid = ["--host=mx1.example.com", "--state=valid"];
    assert_eq!(serials(&ca, &valid), ["02"]);
    assert_eq!(serials(&ca, &["--expiring=10000d"]), ["02"]);
    assert_eq!(serials(&ca, &["--expiring=100d"]), Vec::<String>::new());
    let nothing = ca.ok(&["list", "--expiring=100d"]);
    let register = ca.file("index.txt");
    assert_eq!(
        nothing.stderr,
        format!("note: {register} has no such certificate\n")
    );
    ca.mailca(&["list", "--state=lost"]).exits(2);
    ca.mailca(&["list", "--expiring=soon"]).exits(2);
    ca.mailca(&["list", "--host=no host"]).exits(1);
}

#[test]
fn the_host_of_a_certificate_without_a_subject_is_found_by_its_names() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.edit(
        "openssl.cnf",
        "[ policy_anything ]",
        "[ none ]\n\n[ policy_anything ]",
    );
    let names = ["-subj", "/", "-addext", "subjectAltName=DNS:n.example.com"];
    let request = ca.openssl_request("n", &names);
    ca.ok(&["sign", &request, "--yes", "--policy=none"]);
    let serial = ca.serials().remove(0);
    assert_eq!(serials(&ca, &["--host=n.example.com"]), [serial]);
    let printed = ca.ok(&["list"]).stdout;
    assert!(printed.ends_with("  n.example.com\n"), "{printed}");
}

#[test]
fn states_are_those_that_openssl_has() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for host in ["a", "b", "c"] {
        ca.ok(&["issue", &format!("{host}.example.com"), "--yes"]);
    }
    ca.ok(&["revoke", "b.example.com", "--yes"]);
    let past = [
        "--not-before=2020-01-01T00:00:00Z",
        "--not-after=2021-01-01T00:00:00Z",
    ];
    let request = ca.request("d.example.com", &[]);
    ca.ok(&[&["sign", &request, "--yes"], &past[..]].concat());
    ca.openssl_ca(&["-updatedb"]).exits(0);
    for one in ca.json(&["list"])["certificates"].as_array().unwrap() {
        let (serial, state) = (
            one["serial"].as_str().unwrap(),
            one["state"].as_str().unwrap(),
        );
        let said = ca.openssl_ca(&["-status", serial]).stderr.to_lowercase();
        let expected = format!("{}={state}", serial.to_lowercase());
        assert!(said.contains(&expected), "{said}, not {expected}");
    }
}

#[test]
fn lines_that_are_no_rows_are_told_and_spoil_nothing() {
    let ca = ca();
    let text = format!(
        "# a comment\n\noops\n{}V\tnever\t\t07\tunknown\t/CN=x",
        rows()
    );
    ca.write("index.txt", &text);
    let said = ca.ok(&["list"]);
    assert_eq!(said.stdout.lines().count(), 7, "{said}");
    let register = ca.file("index.txt");
    assert_eq!(
        said.stderr,
        format!("warning: {register} has 2 lines that are no rows: \"oops\"\n")
    );
    ca.json(&["list"]);
}

#[test]
fn a_register_that_cannot_be_read_on_is_an_error_in_a_whole_document() {
    let ca = ca();
    ca.write("index.txt", &(rows() + &"x".repeat(300_000)));
    let said = ca.mailca(&["list"]).exits(1);
    assert_eq!(said.stdout.lines().count(), 7, "{said}");
    let problem = "a line in it is longer than 256 KiB";
    assert!(said.stderr.contains(problem), "{said}");
    let said = ca.mailca(&["list", "--json"]).exits(1);
    let report: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(report["certificates"].as_array().unwrap().len(), 7);
    assert!(
        report["error"].as_str().unwrap().contains(problem),
        "{report}"
    );
    let said = ca.mailca(&["list", "--json", "--state=valid", "--host=none.example.com"]);
    let report: Value = serde_json::from_str(&said.exits(1).stdout).expect("JSON");
    assert_eq!(report["certificates"], serde_json::json!([]));
}

/// Of a large register the first line is there before the last row is read, and nothing is held.
#[test]
fn a_long_list_begins_at_once_takes_no_memory_and_ends_with_its_reader() {
    if !require(&["prlimit"]) {
        return;
    }
    let ca = Ca::of(User::me(), &[]);
    let mut register = String::new();
    for number in 0..200_000 {
        let _ = writeln!(
            register,
            "V\t491231235959Z\t\t{number:06X}\tunknown\t/CN=host{number}.example.com"
        );
    }
    ca.write("index.txt", &register);
    let whole = ca.ok(&["list"]).stdout;
    assert_eq!(whole.lines().count(), 200_000);
    // A pipe holds 64 KiB: the rest waits, and the first line is there all the same.
    let mut list = ca.command(&["list"]);
    let mut child = list.stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert_eq!(first, whole.lines().next().unwrap().to_owned() + "\n");
    assert!(
        child.try_wait().unwrap().is_none(),
        "it waits for its reader"
    );
    drop(reader);
    let ended = child.wait().unwrap();
    assert!(ended.success(), "{ended}");
    // The whole list, in less memory than it has bytes.
    let program = env!("CARGO_BIN_EXE_mailca");
    for json in [&[][..], &["--json"]] {
        let mut limited = ca.dir.command("prlimit");
        limited.args(["--data=12000000", program, "--ca", "CA", "list"]);
        let length = run(limited.args(json)).exits(0).stdout.len();
        assert!(length >= whole.len() && length > 12_000_000, "{length}");
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut list = ca.command(&["list"]);
    let ended = list.stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(ended.code(), Some(1));
}
