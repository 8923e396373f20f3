//! What goes to standard output, what to standard error, what `--json` says,
//! and the exit status.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{Ca, Ran, TestDir, User, mailca, require, run, run_with};

const HOST: &str = "mail.example.test";

/// The one document on standard output, and nothing beside it.
#[track_caller]
fn document(ran: &Ran) -> Value {
    let document = serde_json::from_str(&ran.stdout);
    let document: Value = document.unwrap_or_else(|error| panic!("{error}: {ran}"));
    assert!(document["changed"].is_boolean(), "{ran}");
    document
}

fn keys(document: &Value) -> BTreeSet<&str> {
    let object = document.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_time(value: &Value) {
    let text = value.as_str().expect("a time");
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{text}");
}

#[track_caller]
fn assert_hex(value: &Value) {
    let text = value.as_str().expect("a serial number");
    let is_hex = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
    assert!(
        text.len().is_multiple_of(2) && text.chars().all(is_hex),
        "{text}"
    );
}

#[test]
fn every_command_tells_what_it_did_as_json() {
    let ca = Ca::unmade(User::me());
    let json = |args: &[&str]| {
        let ran = ca.ok(&[args, &["--json"]].concat());
        assert_eq!(ran.stderr, "", "{ran}");
        document(&ran)
    };
    let init = [
        "init",
        "--subject=/O=Ex\"ample/CN=Test CA",
        "--passphrase-file=pass",
    ];
    let made = json(&init);
    assert_eq!(
        (&made["changed"], &made["encrypted"]),
        (&true.into(), &true.into())
    );
    assert_time(&made["not_after"]);
    assert_hex(&made["serial"]);
    assert_eq!(json(&["init", "--if-missing"])["changed"], false);

    let request = json(&["req", HOST, "--san", "192.0.2.25"]);
    assert_eq!(
        (&request["changed"], &request["host"]),
        (&true.into(), &HOST.into())
    );
    assert_eq!(request["names"].as_array().unwrap().len(), 2);
    assert_eq!(json(&["req", HOST, "--if-missing"])["changed"], false);
    let elsewhere = json(&["req", HOST, "--out-dir", &ca.dir.file("out")]);
    assert!(
        elsewhere["request"]
            .as_str()
            .unwrap()
            .ends_with("mail.example.test.csr")
    );

    let sign = json(&["sign", "--yes", "--passphrase-file=pass"]);
    let issue = json(&[
        "issue",
        "mx.example.test",
        "--yes",
        "--passphrase-file=pass",
    ]);
    for report in [&sign, &issue] {
        assert_eq!(report["changed"], true);
        assert_eq!(report["profile"], "relay");
        assert_hex(&report["serial"]);
        assert_time(&report["not_before"]);
        assert_time(&report["not_after"]);
        assert!(report["names"].is_array());
        let certificate = report["certificate"].as_str().unwrap();
        assert!(fs::exists(certificate).unwrap(), "{report}");
        let files = report["host_files"].as_str().unwrap();
        assert!(fs::exists(format!("{files}/key.pem")).unwrap(), "{report}");
    }
    assert_eq!(keys(&sign), keys(&issue));
    let again = json(&["issue", "mx.example.test", "--yes"]);
    assert_eq!(
        (&again["changed"], &again["serial"]),
        (&false.into(), &issue["serial"])
    );
    assert_eq!(keys(&again), keys(&issue));

    let csr = ca.dir.file("out/mail.example.test.csr");
    let to_stdout = [
        "sign",
        &csr,
        "--yes",
        "--out",
        "-",
        "--passphrase-file=pass",
        "-q",
    ];
    let pem = json(&to_stdout)["pem"].as_str().unwrap().to_owned();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");

    let man = json(&["man", &ca.dir.file("man")]);
    assert!(man["pages"].as_array().unwrap().len() > 6);
    ca.dir.write("sendmail.mc", "");
    let into = ["emit-mc", HOST, "--into", "sendmail.mc"];
    assert_eq!(ca.json(&into)["changed"], true);
    assert_eq!(ca.json(&into)["changed"], false);
}

#[test]
fn failures_are_json_too() {
    let ca = Ca::new();
    for args in [
        &["init", "--subject=/CN=x", "--no-passphrase"][..],
        &["sign", "--yes"],
        &["sign", "missing.csr", "--yes"],
        &["emit-mc"],
        &["req", HOST, "--key", "missing.pem"],
    ] {
        let before = ca.tree();
        let ran = ca.mailca(&[args, &["--json"]].concat()).exits(1);
        let failure = document(&ran);
        assert_eq!(failure["changed"], false);
        assert!(!failure["error"].as_str().unwrap().is_empty(), "{ran}");
        assert!(
            failure["hint"].is_string() || failure["hint"].is_null(),
            "{ran}"
        );
        assert_eq!(ran.stderr, "", "{ran}");
        before.assert_unchanged(ca.dir.path(), &ran.to_string());
    }
}

#[test]
fn json_is_no_answer_to_a_question() {
    let ca = Ca::new();
    let mailca = ca.command(&["issue", HOST, "--json"]);
    let mut alone = Command::new("setsid");
    alone
        .arg("--wait")
        .arg(mailca.get_program())
        .args(mailca.get_args());
    let failure = document(&run(&mut alone).exits(1));
    assert_eq!(failure["hint"], "give --yes");
    assert!(ca.rows().is_empty());
}

#[test]
fn usage_errors_are_status_two_and_touch_nothing() {
    let ca = Ca::new();
    let before = ca.tree();
    for args in [
        &[][..],
        &["bogus"],
        &["issue", HOST, "--bogus"],
        &["issue", HOST, "--san"],
        &["issue", HOST, "--profile", "bogus"],
        &["issue", HOST, "--days", "-1"],
        &["sign", "--passphrase-file=pass", "--passphrase-fd=3"],
        &["init", "--no-passphrase", "--passphrase-file=pass"],
        &["req", HOST, "--key", "x", "--key-type", "p256"],
        &["completions", "bogus"],
        &["emit"],
        &["emit", "bogus"],
        &["man"],
    ] {
        let ran = ca.mailca(args).exits(2);
        assert_eq!(ran.stdout, "", "{ran}");
        assert!(!ran.stderr.is_empty(), "{ran}");
    }
    let ran = ca.mailca(&["--json", "issue", HOST, "--bogus"]).exits(2);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["changed"], false);
    assert_eq!(document["error"], "unexpected argument '--bogus' found");
    before.assert_unchanged(ca.dir.path(), "usage errors");
}

#[test]
fn results_are_on_standard_output_and_all_else_is_not() {
    let ca = Ca::new();
    let ran = ca.ok(&["issue", HOST, "--yes"]);
    assert!(
        ran.stdout.starts_with("signed mail.example.test as "),
        "{ran}"
    );
    assert_eq!(ran.stderr, "");
    let ran = ca.ok(&["issue", HOST, "--yes"]);
    assert!(ran.stdout.contains("nothing changed"), "{ran}");
    let ran = ca.ok(&["issue", "mx.example.test", "--yes", "--quiet"]);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""));
    let ran = ca.ok(&["emit-mc", HOST, "--json"]);
    assert!(
        ran.stdout
            .starts_with("\ndnl mailca: begin\ndnl mail.example.test; "),
        "{ran}"
    );
    assert!(ran.stdout.ends_with("\ndnl mailca: end\n"), "{ran}");
    for line in ran.stdout.lines().skip(1) {
        assert!(
            line.starts_with("define(`conf") || line.starts_with("dnl "),
            "{line}"
        );
    }
}

#[test]
fn check_and_repair_tell_as_json_what_is_wrong_and_what_was_done() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let row = ca.read("index.txt");
    ca.write("index.txt", &format!("{row}V\t2801"));
    let json = |words: &[&str], code| {
        let ran = ca.mailca(&[words, &["--json"]].concat()).exits(code);
        assert_eq!(ran.stderr, "", "{ran}");
        document(&ran)
    };
    let check = json(&["check"], 3);
    let expected = [
        "at",
        "attention",
        "changed",
        "directory",
        "findings",
        "unchecked",
    ];
    assert_eq!(keys(&check), BTreeSet::from(expected));
    assert_time(&check["at"]);
    let torn = &check["findings"][0];
    assert_eq!(
        (&torn["problem"], &torn["repair"]),
        (&"torn-line".into(), &true.into())
    );
    let planned = json(&["repair", "--dry-run"], 3);
    let done = json(&["repair", "--yes"], 0);
    assert_eq!(planned["actions"], done["actions"]);
    assert_eq!(
        (&planned["changed"], &done["changed"]),
        (&false.into(), &true.into())
    );
    let kept = done["kept"][0].as_str().expect("a path");
    assert_eq!(fs::read_to_string(kept).unwrap(), format!("{row}V\t2801"));
    let again = json(&["repair", "--yes"], 0);
    assert_eq!(
        (&again["changed"], again["actions"].as_array().map(Vec::len)),
        (&false.into(), Some(0))
    );
}

#[test]
fn options_for_every_command_stand_before_and_after_it() {
    let ca = Ca::new();
    let root = ca.file(".");
    let before = run(&mut ca
        .dir
        .mailca(&["--ca", &root, "--yes", "--json", "issue", HOST]));
    assert_eq!(document(&before.exits(0))["changed"], true);
    let after = run(&mut ca.dir.mailca(&["issue", HOST, "--ca", &root, "--json"]));
    assert_eq!(document(&after.exits(0))["changed"], false);
    let mut named = ca.dir.mailca(&["issue", HOST, "--json"]);
    let named = run(named.env("MAILCA_DIR", &root)).exits(0);
    assert_eq!(document(&named)["changed"], false);
    let elsewhere = ca.dir.mailca(&["--ca", "none", "issue", HOST, "--yes"]);
    let mut elsewhere = elsewhere;
    let ran = run(elsewhere.env("MAILCA_DIR", &root)).exits(1);
    assert!(ran.stderr.contains("none holds no CA"), "{ran}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let quiet = |line: &str| {
        let mailca = ca.command(&[]);
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("{line}; echo ${{PIPESTATUS[0]}}"), "sh"]);
        let ran = run(shell.arg(mailca.get_program()).args(mailca.get_args()));
        let last = ran.stdout.lines().last().unwrap_or_default();
        // 141 is the signal that the shell's own tools end with.
        assert!(matches!(last, "0" | "141"), "{ran}");
        // Below a directory like /tmp there is something to warn of.
        let said = ran
            .stderr
            .lines()
            .find(|line| !line.starts_with("warning: "));
        assert_eq!(said, None, "{ran}");
    };
    if require(&["bash"]) {
        quiet("\"$@\" completions bash | head -1");
        quiet("\"$@\" completions zsh | true");
        quiet("\"$@\" --help | true");
        quiet("\"$@\" emit-mc -q | true");
        quiet("\"$@\" repair | true");
    }
}

#[test]
fn a_full_disk_under_standard_output_is_an_error() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let request = ca.request("mx.example.test", &[]);
    let to_stdout = ["sign", &request, "--yes", "--out", "-"];
    // What was changed all the same needs attention.
    for (args, status) in [
        (&["emit-mc", HOST][..], 1),
        (&["emit", "systemd"], 1),
        (&["completions", "bash"], 1),
        (&["--help"], 1),
        (&["sign", "--help"], 1),
        (&["--version"], 1),
        (&["issue", HOST, "--json"], 1),
        (&["check"], 1),
        (&["check", "--json"], 1),
        (&["repair", "--dry-run", "--json"], 1),
        (&["issue", "b.example.test", "--yes"], 3),
        (&to_stdout, 3),
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = ca.command(args);
        let child = command
            .stdin(Stdio::null())
            .stdout(full)
            .stderr(Stdio::piped());
        let ended = child.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(status), "{args:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("cannot write to standard output"), "{said}");
        if args == to_stdout {
            let serial = ca.serials().pop().unwrap();
            let issued = format!("newcerts/{serial}.pem was issued, but");
            assert!(said.contains(&issued), "{said}");
        }
    }
}

#[test]
fn the_help_of_every_command_has_examples() {
    for command in [
        "init",
        "req",
        "sign",
        "issue",
        "list",
        "show",
        "status",
        "check",
        "repair",
        "emit-mc",
        "emit",
        "emit systemd",
        "verify",
        "completions",
        "man",
    ] {
        let ran = run(mailca().args(command.split(' ')).arg("--help")).exits(0);
        assert!(ran.stdout.contains("Examples:"), "{ran}");
        assert_eq!(ran.stderr, "");
        let short = run(mailca().args(command.split(' ')).arg("-h")).exits(0);
        assert!(short.stdout.contains("Usage: mailca"), "{short}");
    }
    let version = run(mailca().arg("--version")).exits(0).stdout;
    assert_eq!(version, format!("mailca {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_shell_has_completions_and_bash_reads_its_own() {
    let dir = TestDir::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(mailca().args(["completions", shell])).exits(0);
        assert!(ran.stdout.contains("emit-mc"), "{shell}");
        dir.write(shell, &ran.stdout);
    }
    if require(&["bash"]) {
        let script = "source ./bash && COMP_WORDS=(mailca emit) COMP_CWORD=1 &&
            _mailca mailca emit mailca && echo \"${COMPREPLY[@]}\"";
        let ran = run(dir.command("bash").args(["--norc", "-c", script])).exits(0);
        assert_eq!(ran.stdout.trim(), "emit-mc emit", "{ran}");
        let script = "source ./bash && COMP_WORDS=(mailca emit '') COMP_CWORD=2 &&
            _mailca mailca '' emit && echo \"${COMPREPLY[@]}\"";
        let ran = run(dir.command("bash").args(["--norc", "-c", script])).exits(0);
        assert!(ran.stdout.trim().ends_with(" systemd"), "{ran}");
    }
}

#[test]
fn every_command_has_a_manual_page_that_man_accepts() {
    let dir = TestDir::new();
    let ran = run(&mut dir.mailca(&["man", "share/man1"])).exits(0);
    let mut expected = vec!["mailca.1".to_owned()];
    for command in [
        "init",
        "req",
        "sign",
        "issue",
        "revoke",
        "crl",
        "renew",
        "renew-ca",
        "list",
        "show",
        "status",
        "check",
        "repair",
        "emit-mc",
        "emit",
        "emit-sendmail",
        "emit-postfix",
        "emit-exim",
        "emit-dovecot",
        "emit-opensmtpd",
        "emit-systemd",
        "access",
        "access-sendmail",
        "access-postfix",
        "export",
        "verify",
        "completions",
        "man",
    ] {
        expected.push(format!("mailca-{command}.1"));
    }
    expected.sort();
    let mut made: Vec<_> = fs::read_dir(dir.path().join("share/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    assert_eq!(made, expected, "{ran}");
    for page in made {
        let text = dir.read(&format!("share/man1/{page}"));
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{text}"
        );
        if require(&["groff"]) {
            let page = dir.file(&format!("share/man1/{page}"));
            let ran = run(Command::new("groff").args(["-Tutf8", "-man", "-ww", &page])).exits(0);
            assert_eq!(ran.stderr, "", "{ran}");
            assert!(ran.stdout.contains("mailca"), "{ran}");
        }
    }
    // Again, nothing is in the way.
    run(&mut dir.mailca(&["man", "share/man1"])).exits(0);
}

#[test]
fn standard_input_is_left_alone_where_nothing_is_read_from_it() {
    let ca = Ca::new();
    let mailca = ca.command(&["issue", HOST, "--yes", "-q"]);
    let mut shell = ca.dir.command("sh");
    shell
        .args(["-c", "\"$@\" && cat", "sh"])
        .arg(mailca.get_program());
    let ran = run_with(shell.args(mailca.get_args()), "left alone").exits(0);
    assert_eq!(ran.stdout, "left alone", "{ran}");
}
