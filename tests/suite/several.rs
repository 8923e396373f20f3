//! Many requests or hosts by one command.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::invariants::broken;
use super::support::{Ca, run, run_with};

fn requests(ca: &Ca, hosts: &[&str]) {
    fs::create_dir(ca.dir.path().join("requests")).expect("mkdir");
    for host in hosts {
        let made = ca.request(&format!("{host}.example.com"), &[]);
        fs::rename(made, ca.dir.path().join(format!("requests/{host}.csr"))).expect("rename");
    }
}

#[track_caller]
fn assert_sound(ca: &Ca) {
    let problems = broken(Path::new(&ca.file("")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_requests_of_a_folder_are_signed_in_one_command() {
    let ca = Ca::new();
    requests(&ca, &["a", "b", "c"]);
    // What lies beside them is not taken for requests.
    ca.dir.write("requests/notes.txt", "to do\n");
    fs::create_dir(ca.dir.path().join("requests/old.csr")).expect("mkdir");
    let fifo = ca.dir.file("requests/fifo.csr");
    run(std::process::Command::new("mkfifo").arg(fifo)).exits(0);
    let ran = ca.ok(&["sign", "requests", "--out-dir", "certificates", "--yes"]);
    let serials = ca.serials();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{ran}");
    assert!(
        lines[0].starts_with(&format!("signed a.example.com as {}", serials[0])),
        "{ran}"
    );
    assert_eq!(lines[3], "signed 3", "{ran}");
    for host in ["a", "b", "c"] {
        let file = ca.dir.file(&format!("certificates/{host}.pem"));
        ca.verify(&file, &["-verify_hostname", &format!("{host}.example.com")])
            .exits(0);
    }
    assert!(!ca.exists("newcert.pem"));
    assert_sound(&ca);
    let theirs = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    ca.openssl_ca(&["-in", &theirs, "-out", "../theirs.pem"])
        .exits(0);
}

#[test]
fn one_bad_request_is_named_and_does_not_spoil_the_others() {
    let ca = Ca::new();
    requests(&ca, &["a", "b"]);
    ca.dir.write("requests/bad.csr", "no request\n");
    ca.dir.write("requests/empty.csr", "");
    let words = ["sign", "requests", "--out-dir", "certificates", "--yes"];
    let ran = ca.mailca(&words).exits(3);
    let expected = "error: requests/bad.csr, requests/empty.csr: it holds no certificate request";
    assert!(ran.stderr.starts_with(expected), "{ran}");
    assert_eq!(ran.stderr.matches("hint: ").count(), 1, "{ran}");
    assert!(ran.stdout.ends_with("signed 2, failed 2\n"), "{ran}");
    assert_eq!(ca.rows().len(), 2);

    let before = ca.tree();
    let ran = ca.mailca(&[&words[..], &["--atomic"]].concat()).exits(1);
    assert!(ran.stderr.contains("--atomic: nothing was signed"), "{ran}");
    before.assert_unchanged(ca.dir.path(), "--atomic");
}

#[test]
fn the_json_document_has_every_certificate_and_every_failure() {
    let ca = Ca::new();
    requests(&ca, &["a", "b"]);
    ca.dir.write("requests/bad.csr", "no request\n");
    let ran = ca.mailca(&["sign", "requests", "--yes", "--json"]).exits(3);
    let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(ran.stderr, "");
    assert_eq!(document["changed"], true);
    let names = |list: &str| -> Vec<String> {
        let list = document[list].as_array().expect("a list");
        list.iter()
            .map(|one| one["name"].as_str().expect("a name").into())
            .collect()
    };
    assert_eq!(names("certificates"), ["requests/a.csr", "requests/b.csr"]);
    assert_eq!(names("failed"), ["requests/bad.csr"]);
    assert_eq!(document["certificates"][0]["serial"], ca.serials()[0]);
}

#[test]
fn what_cannot_be_done_together_is_refused_before_anything_is_signed() {
    let ca = Ca::new();
    requests(&ca, &["a"]);
    let there = ca.dir.path().join("requests/a.csr");
    fs::copy(there, ca.dir.path().join("a.csr")).expect("copy");
    let both = ["sign", "requests/a.csr", "a.csr", "--yes"];
    let ran = ca
        .mailca(&[&both[..], &["--out-dir", "out", "--atomic"]].concat())
        .exits(1);
    assert!(
        ran.stderr
            .contains("another request's certificate goes to out/a.pem too"),
        "{ran}"
    );
    let ran = ca
        .mailca(&[&both[..], &["--out", "both.pem"]].concat())
        .exits(2);
    assert!(ran.stderr.contains("hint: say --out-dir DIR"), "{ran}");
    let ran = ca.mailca(&["sign", "requests", "-", "--yes"]).exits(2);
    assert!(
        ran.stderr
            .contains("standard input (-) cannot be one of several"),
        "{ran}"
    );
    fs::create_dir(ca.dir.path().join("empty")).expect("mkdir");
    let ran = ca.mailca(&["sign", "empty", "--yes"]).exits(1);
    assert!(
        ran.stderr.contains("there is no request (*.csr) in empty"),
        "{ran}"
    );
    assert!(ca.rows().is_empty());

    ca.write("index.txt.attr", "unique_subject = yes\n");
    let ran = ca.mailca(&both).exits(3);
    assert!(
        ran.stderr
            .contains("a.csr: /CN=a.example.com is asked for twice"),
        "{ran}"
    );
    let ran = ca.mailca(&["sign", "requests", "a.csr", "--yes"]).exits(1);
    assert!(
        ran.stderr.contains("already has the valid certificate"),
        "{ran}"
    );
    assert_eq!(ca.rows().len(), 1);
    assert_sound(&ca);
}

#[test]
fn a_note_about_many_is_said_once() {
    let ca = Ca::new();
    requests(&ca, &["a", "b", "c"]);
    let ran = ca.ok(&[
        "sign",
        "requests",
        "--policy",
        "policy_anything",
        "--yes",
        "--days",
        "30",
    ]);
    assert_eq!(ran.stderr, "", "{ran}");
    let key = ["-subj", "/CN=x.example.com/serialNumber=1"];
    for name in ["x", "y", "z"] {
        let made = ca.openssl_request(name, &key);
        fs::rename(made, ca.dir.path().join(format!("requests/{name}.csr"))).expect("rename");
    }
    let ran = ca.ok(&["sign", "requests", "--yes"]);
    let about = "note: requests/x.csr and 2 others: ";
    assert!(ran.stderr.contains(about), "{ran}");
    assert_eq!(ran.stderr.matches("SubjectAltName").count(), 1, "{ran}");
}

#[test]
fn hosts_from_a_list_are_issued_for_and_the_second_run_changes_nothing() {
    let ca = Ca::new();
    let list =
        "# relays\nmx1.example.com smtp.example.com 192.0.2.1\n\nmx2.example.com # the other\n";
    ca.dir.write("hosts.txt", list);
    let ran = ca.ok(&["issue", "--from", "hosts.txt", "--yes"]);
    assert!(ran.stdout.contains("signed 2\nnext: mailca --ca "), "{ran}");
    let names = ca.x509(
        &ca.file("hosts/mx1.example.com/cert.pem"),
        &["-ext", "subjectAltName"],
    );
    assert!(
        names.contains("DNS:smtp.example.com, IP Address:192.0.2.1"),
        "{names}"
    );
    let before = ca.tree();
    let ran = ca.ok(&["issue", "--from", "hosts.txt", "--yes"]);
    assert!(ran.stdout.ends_with("signed 0, unchanged 2\n"), "{ran}");
    before.assert_unchanged(ca.dir.path(), "the second run");

    let more = run_with(
        &mut ca.command(&["issue", "--from", "-", "--yes"]),
        "mx1.example.com other.example.com\nmx3.example.com\n-bad-\nmx3.example.com\n",
    )
    .exits(3);
    assert!(
        more.stderr
            .contains("error: mx1.example.com: mx1.example.com has "),
        "{more}"
    );
    assert!(
        more.stderr
            .contains("standard input:3: \"-bad-\" is not a host name"),
        "{more}"
    );
    assert!(
        more.stderr
            .contains("the host mx3.example.com is asked for twice"),
        "{more}"
    );
    assert_eq!(ca.rows().len(), 3);
    assert_sound(&ca);
}

#[test]
fn more_than_a_group_is_signed_with_one_commit_for_each() {
    let ca = Ca::new();
    let request = ca.request("many.example.com", &[]);
    fs::create_dir(ca.dir.path().join("requests")).expect("mkdir");
    for number in 0..2600 {
        let name = format!("requests/{number}.csr");
        fs::hard_link(&request, ca.dir.path().join(name)).expect("link");
    }
    let ran = ca.ok(&["sign", "requests", "--yes"]);
    assert!(ran.stdout.ends_with("signed 2600\n"));
    assert_eq!(ca.rows().len(), 2600);
    assert_sound(&ca);
}
