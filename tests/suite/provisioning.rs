//! A script that gives forty hosts their certificates, as often as one likes.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::support::{Ca, Ran, require, run};

const HOSTS: usize = 40;

/// Runs a shell script in which `$MAILCA` is a mailca for this CA.
#[track_caller]
fn script(ca: &Ca, text: &str) -> Ran {
    let mailca = ca.command(&[]);
    let mut command: Command = ca.dir.command("sh");
    command.env("MAILCA_DIR", ca.file("."));
    command.env("MAILCA", mailca.get_program());
    run(command.args(["-c", text]))
}

#[track_caller]
fn assert_forty(ca: &Ca) {
    let serials: BTreeSet<_> = ca.serials().into_iter().collect();
    assert_eq!((ca.rows().len(), serials.len()), (HOSTS, HOSTS));
    let count = |folder: &str| fs::read_dir(ca.file(folder)).unwrap().count();
    assert_eq!(count("newcerts"), HOSTS);
    // A link and a folder each, and nothing left over.
    assert_eq!(count("hosts"), 2 * HOSTS);
    for serial in serials {
        ca.verify(&ca.file(&format!("newcerts/{serial}.pem")), &[])
            .exits(0);
    }
    for host in 1..=HOSTS {
        let lines = ca
            .ok(&["emit-mc", &format!("mx{host}.example.test")])
            .stdout;
        assert!(lines.contains("confSERVER_KEY"), "{lines}");
    }
}

#[track_caller]
fn assert_answers(ran: &Ran, changed: bool) {
    let answer = format!("\"changed\": {changed},");
    assert_eq!(ran.stdout.matches(&answer).count(), HOSTS, "{ran}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn forty_hosts_one_after_the_other_and_again() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let forty = "set -e
        for host in $(seq 1 40); do
            \"$MAILCA\" issue \"mx$host.example.test\" --san \"192.0.2.$host\" --yes --json
        done";
    assert_answers(&script(&ca, forty).exits(0), true);
    assert_forty(&ca);
    let before = ca.tree();
    assert_answers(&script(&ca, forty).exits(0), false);
    before.assert_unchanged(ca.dir.path(), "a second run changes nothing");
}

#[test]
fn forty_hosts_eight_at_a_time_and_again() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let forty = "seq -f 'mx%g.example.test' 40 | xargs -P 8 -I HOST \
        sh -c '\"$MAILCA\" issue HOST --yes --json >>../HOST.json 2>&1 || echo HOST failed'";
    let all = format!("cd \"$MAILCA_DIR\" && {forty}; cat ../*.json; rm ../*.json");
    assert_answers(&script(&ca, &all).exits(0), true);
    assert_forty(&ca);
    let before = ca.tree();
    assert_answers(&script(&ca, &all).exits(0), false);
    before.assert_unchanged(ca.dir.path(), "a second run changes nothing");
}

#[test]
fn one_host_eight_times_at_once_has_one_certificate() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let ran = script(
        &ca,
        "seq 8 | xargs -P 8 -I N sh -c '\"$MAILCA\" issue mx.example.test --yes -q || echo N'",
    );
    // Those that saw it appear between question and answer refuse, and say so.
    let refused = ran.stdout.lines().count();
    assert!(refused < 8, "{ran}");
    ca.ok(&["issue", "mx.example.test", "--yes"]);
    assert_eq!(ca.rows().len(), 1, "{ran}");
    ca.ok(&["emit-mc", "mx.example.test"]);
}

#[test]
fn another_wish_is_refused_until_it_is_said_aloud() {
    let ca = Ca::new();
    ca.ok(&["issue", "mx.example.test", "--yes"]);
    let key = ca.read("hosts/mx.example.test/key.pem");
    for wish in [
        &["--san", "smtp.example.test"][..],
        &["--profile", "server"],
        &["--key-type", "p384"],
        &["--subject", "/O=Example/CN=mx.example.test"],
    ] {
        let issue = [&["issue", "mx.example.test", "--yes"], wish].concat();
        let said = ca.refuses(&issue);
        assert!(said.contains("--replace"), "{said}");
    }
    let names = ["--san", "smtp.example.test"];
    let issue = [
        &["issue", "mx.example.test", "--yes", "--replace"],
        &names[..],
    ]
    .concat();
    let report = ca.json(&issue);
    assert_eq!(report["changed"], true);
    assert_eq!(ca.read("hosts/mx.example.test/key.pem"), key);
    // The other order of names is no other wish.
    let again = [
        "issue",
        "MX.example.test",
        "--san",
        "dns:SMTP.example.test",
        "--yes",
    ];
    assert_eq!(ca.json(&again)["changed"], false);
    assert_eq!(ca.rows().len(), 2);
}

#[test]
fn a_host_whose_key_is_gone_gets_another_when_that_is_said() {
    const HOST: &str = "mail.example.test";
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let key = ca.file(&format!("hosts/{HOST}/key.pem"));
    let lost = ca.read(&format!("hosts/{HOST}/key.pem"));
    fs::remove_file(&key).unwrap();
    for more in [&[][..], &["--key-type", "p384"]] {
        let said = ca.refuses(&[&["issue", HOST, "--yes"], more].concat());
        let why = format!("{HOST} has {}, but {key} is missing", ca.serials()[0]);
        assert!(said.contains(&why), "{said}");
        let hint = "hint: --replace issues another, with a new key";
        assert!(said.contains(hint), "{said}");
    }
    ca.ok(&["issue", HOST, "--yes", "--replace"]);
    assert_ne!(ca.read(&format!("hosts/{HOST}/key.pem")), lost);
    assert_eq!(ca.json(&["issue", HOST, "--yes"])["changed"], false);
}

#[test]
fn a_key_that_waits_is_used_unless_another_type_is_asked_for() {
    const HOST: &str = "mail.example.test";
    let ca = Ca::new();
    ca.ok(&["req", HOST]);
    let waiting = ca.read(&format!("hosts/{HOST}.next/key.pem"));
    let said = ca.refuses(&["issue", HOST, "--key-type", "p384", "--yes"]);
    let folder = ca.file(&format!("hosts/{HOST}.next"));
    let why = format!("a key of type EC P-256 waits in {folder}, but p384 is asked for");
    assert!(said.contains(&why), "{said}");
    let (_, aside) = said.split_once("move it away: ").unwrap();
    run(ca.dir.command("sh").args(["-c", aside])).exits(0);
    ca.ok(&["issue", HOST, "--key-type", "p384", "--yes"]);

    fs::rename(ca.file(&format!("{HOST}.next")), folder).unwrap();
    let same = ["--key-type", "p256", "--replace", "--yes"];
    ca.ok(&[&["issue", HOST], &same[..]].concat());
    assert_eq!(ca.read(&format!("hosts/{HOST}/key.pem")), waiting);
}
