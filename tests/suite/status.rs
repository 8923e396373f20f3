//! `mailca status`: everything that will hurt is said before it does, in the form that is asked
//! for, and nothing else is.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use mailca::exit::{Exit, Plugin};
use serde_json::Value;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::clock::{self, START, issue};
use super::support::{Ca, Clock, NodeExporter, TestDir, User, require, run, users};

const HOST: &str = "mx.example.com";

/// What `status --json` says at a time, so many days after the CA was made, and how it ends.
#[track_caller]
fn status(dir: &TestDir, after: i64, words: &[&str]) -> Value {
    let now = START + Duration::days(after);
    let ran = clock::mailca(dir, now, &[&["status"], words].concat());
    let report = ran.json();
    let expected = match report["attention"].as_bool() {
        Some(true) => Exit::Attention,
        _ => Exit::Done,
    };
    assert_eq!(ran.exit, expected, "{report}");
    report
}

fn states(report: &Value) -> [&str; 3] {
    let state = |item: &Value| item["state"].as_str().map(str::to_owned);
    let all = [
        state(&report["ca"]),
        state(&report["crl"]),
        state(&report["hosts"][0]),
    ];
    all.map(|found| match found.as_deref() {
        Some("ok") => "ok",
        Some("warning") => "warning",
        Some("critical") => "critical",
        other => panic!("{other:?}: {report}"),
    })
}

#[test]
fn each_thing_is_in_order_then_a_warning_and_then_critical() {
    let dir = clock::ca("3650");
    issue(&dir, 0, &[]);
    clock::mailca(&dir, START, &["crl"]);
    // The host's certificate has 365 days, the CRL 180.
    let cases = [
        (0, ["ok", "ok", "ok"]),
        (173, ["ok", "ok", "ok"]),
        (174, ["ok", "warning", "ok"]),
        (178, ["ok", "warning", "ok"]),
        (179, ["ok", "critical", "ok"]),
        (181, ["ok", "critical", "ok"]),
        (335, ["ok", "critical", "ok"]),
        (336, ["ok", "critical", "warning"]),
        (357, ["ok", "critical", "warning"]),
        (358, ["ok", "critical", "critical"]),
        (366, ["ok", "critical", "critical"]),
        (3285, ["ok", "critical", "critical"]),
        (3286, ["warning", "critical", "critical"]),
        (3558, ["warning", "critical", "critical"]),
        (3559, ["critical", "critical", "critical"]),
        (3651, ["critical", "critical", "critical"]),
    ];
    for (after, expected) in cases {
        let report = status(&dir, after, &[]);
        assert_eq!(states(&report), expected, "after {after} days: {report}");
        let is_ok = expected == ["ok"; 3];
        assert_eq!(report["attention"], !is_ok, "{report}");
    }
}

#[test]
fn the_reasons_say_when_and_what_then() {
    let dir = clock::ca("3650");
    issue(&dir, 0, &[]);
    clock::mailca(&dir, START, &["crl"]);
    let reason = |after, item: fn(&Value) -> &Value| {
        let report = status(&dir, after, &[]);
        item(&report)["reason"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    let host = |after| reason(after, |report| &report["hosts"][0]);
    assert_eq!(host(300), "none");
    assert_eq!(host(353), "ends on 2028-01-01, in 12 days");
    assert_eq!(host(364), "ends at 2028-01-01T00:00:00Z, in 24 hours");
    assert_eq!(host(375), "ended on 2028-01-01, 10 days ago");
    let crl = |after| reason(after, |report| &report["crl"]);
    let then = "Sendmail and Dovecot refuse every client certificate";
    assert_eq!(
        crl(175),
        format!("ends on 2027-06-30, in 5 days; then {then}")
    );
    assert_eq!(crl(183), format!("ended on 2027-06-30, 3 days ago; {then}"));
    let ca = |after| reason(after, |report| &report["ca"]);
    assert_eq!(
        ca(3600),
        "ends on 2036-12-29, in 50 days; new certificates would end before their 365 days \
         (default_days)"
    );
    assert_eq!(
        ca(3660),
        "ended on 2036-12-29, 10 days ago; nothing that it signed is accepted any more"
    );
    // No new CA is needed because a clock is wrong.
    assert_eq!(
        ca(-10),
        "begins only on 2027-01-01, in 10 days; is the clock of this machine right? date -u shows it"
    );
    let early = status(&dir, -10, &[]);
    for item in [&early["ca"], &early["crl"], &early["hosts"][0]] {
        assert_eq!(item["state"], "critical", "{item}");
        assert_eq!(item["remedy"], Value::Null, "{item}");
    }
}

#[test]
fn expiring_is_the_time_for_all_of_them() {
    let dir = clock::ca("400");
    issue(&dir, 0, &["--days=90"]);
    clock::mailca(&dir, START, &["crl", "--days=60"]);
    let states = |after, time| {
        let report = status(&dir, after, &[&format!("--expiring={time}")]);
        states(&report).map(str::to_owned)
    };
    // The CA by itself would need attention from the 36th day on.
    assert_eq!(states(37, "20d"), ["ok", "ok", "ok"]);
    assert_eq!(states(41, "20d"), ["ok", "warning", "ok"]);
    assert_eq!(states(50, "100d"), ["ok", "critical", "warning"]);
    assert_eq!(states(59, "12h"), ["ok", "ok", "ok"]);
    let late = states(59, "25h");
    assert_eq!(late, ["ok", "warning", "ok"]);
}

/// The items of a report that need attention, in words.
fn urgent(report: &Value) -> Vec<String> {
    let hosts = report["hosts"].as_array().expect("a list");
    let all = [&report["ca"], &report["crl"]].into_iter().chain(hosts);
    all.filter(|item| item["state"] != "ok")
        .map(|item| {
            let text = |field: &str| item[field].as_str().unwrap_or("none").to_owned();
            format!("{} {}: {}", text("name"), text("state"), text("reason"))
        })
        .collect()
}

#[track_caller]
fn assert_urgent(ca: &Ca, expected: &[&str]) -> Value {
    let ran = ca
        .mailca(&["status", "--json"])
        .exits(if expected.is_empty() { 0 } else { 3 });
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let found = urgent(&report);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found:?}, not {expected:?}");
    }
    report
}

/// Runs what is said to help, as it is printed, in the directory beside the CA.
#[track_caller]
fn help(ca: &Ca, report: &Value) {
    let hosts = report["hosts"].as_array().expect("a list");
    for item in [&report["ca"], &report["crl"]].into_iter().chain(hosts) {
        if let Some(remedy) = item["remedy"].as_str() {
            assert_ne!(item["state"], "ok", "{item}");
            let bin = Path::new(env!("CARGO_BIN_EXE_mailca")).parent().unwrap();
            let path = std::env::var("PATH").unwrap_or_default();
            let mut shell = ca.dir.command("sh");
            shell.env("PATH", format!("{}:{path}", bin.display()));
            run(shell.args(["-c", &format!("{remedy} --yes")])).exits(0);
        }
    }
}

#[test]
fn what_is_said_to_help_helps() {
    if !require(&["openssl"]) {
        return;
    }
    for unique in [false, true] {
        let ca = Ca::of(User::me(), &["--days=300"]);
        if unique {
            ca.write("index.txt.attr", "unique_subject = yes\n");
        }
        ca.ok(&["issue", HOST, "--days=20", "--yes"]);
        ca.ok(&["issue", "revoked.example.com", "--yes"]);
        ca.ok(&["revoke", "revoked.example.com", "--yes"]);
        let request = ca.request("relay.example.com", &[]);
        ca.ok(&["sign", &request, "--days=20", "--yes"]);
        // A person, whom no command can name as a host.
        let person = ca.openssl_request("person", &["-subj", "/CN=Jane Doe"]);
        ca.ok(&["sign", &person, "--profile=client", "--days=25", "--yes"]);
        ca.ok(&["crl", "--days=5"]);
        let mut expected = vec![
            "C=US, ST=CA, O=Example, CN=Example Mail CA warning: ends on",
            "CRL warning: ends on",
            "mx.example.com warning: ends on",
            "relay.example.com warning: ends on",
            "Jane Doe warning: ends on",
            "revoked.example.com critical: was revoked on",
        ];
        expected[2..5].sort_unstable();
        let ran = ca.mailca(&["status", "--json"]).exits(3);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let mut found = urgent(&report);
        found[2..5].sort_unstable();
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.starts_with(expected), "{found:?}, not {expected:?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
        help(&ca, &report);
        let report = assert_urgent(&ca, &[]);
        assert_eq!(report["hosts"].as_array().unwrap().len(), 4, "{report}");
        for file in ["relay.example.com.pem", "jane_doe.pem"] {
            ca.verify(&ca.dir.file(file), &["-purpose", "sslclient"])
                .exits(0);
        }
    }
}

/// What the CRL of a CA is said to be.
#[track_caller]
fn assert_crl(ca: &Ca, expected: Option<&str>) {
    match expected {
        None => drop(assert_urgent(ca, &[])),
        Some(reason) => {
            let report = assert_urgent(ca, &[&format!("CRL critical: {reason}")]);
            assert!(report["crl"]["remedy"].as_str().unwrap().ends_with(" crl"));
        }
    }
}

#[test]
fn a_crl_that_mail_servers_do_not_find_or_that_lacks_something_is_critical() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let serials = ["a", "b"].map(|host| {
        let host = format!("{host}.example.com");
        let request = ca.request(&host, &[]);
        let issued = ca.json(&["sign", &request, "--yes"]);
        issued["serial"].as_str().unwrap().to_owned()
    });
    // Nobody needs one yet.
    assert_crl(&ca, None);
    let revoke = |serial: &str| {
        let file = format!("newcerts/{serial}.pem");
        ca.openssl_ca(&["-revoke", &file]).exits(0);
    };
    revoke(&serials[0]);
    assert_crl(&ca, Some("is missing, and 1 certificate is revoked"));
    ca.ok(&["crl"]);
    assert_crl(&ca, None);
    revoke(&serials[1]);
    assert_crl(
        &ca,
        Some("lists 1 revoked certificates, and the register has 2"),
    );
    // As `openssl ca` publishes it: in one of the two forms.
    ca.openssl_ca(&["-gencrl", "-out", "crl/crl.pem"]).exits(0);
    assert_crl(&ca, Some("is another one than "));
    ca.ok(&["crl"]);
    assert_crl(&ca, None);
    let hash = ca.x509("CA/cacert.pem", &["-hash"]);
    for file in ["crl/crl.der", &format!("crl/{}.r0", hash.trim())] {
        fs::remove_file(ca.file(file)).unwrap();
        assert_crl(
            &ca,
            Some(&format!("is there, but {} is missing", ca.file(file))),
        );
        ca.ok(&["crl"]);
    }
    let other = Ca::named("/CN=Other");
    other.ok(&["crl"]);
    ca.write("crl/crl.pem", &other.read("crl/crl.pem"));
    assert_crl(&ca, Some("is of another CA, CN=Other"));
}

#[test]
fn a_damaged_register_is_said_to_be_damaged_and_not_the_crl() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for host in ["a.example.com", "b.example.com"] {
        let request = ca.request(host, &[]);
        ca.ok(&["sign", &request, "--yes"]);
    }
    ca.ok(&["revoke", "a.example.com", "--reason=superseded", "--yes"]);
    let whole = ca.read("index.txt");
    let register = |reason: &str| {
        let ran = ca.mailca(&["status", "--json"]).exits(3);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let item = &report["register"];
        assert_eq!(item["state"], "critical", "{report}");
        let found = item["reason"].as_str().unwrap();
        assert!(found.starts_with(reason), "{found}, not {reason}");
        for other in [&report["ca"], &report["crl"], &report["hosts"][0]] {
            assert_ne!(other["state"], "critical", "{other}");
        }
        let printed = ca.mailca(&["status"]).exits(3).stdout;
        let second = printed.lines().nth(1).unwrap();
        assert!(second.starts_with("critical  index.txt  "), "{printed}");
        report
    };
    // An older copy took its place.
    let row = whole.lines().next().unwrap();
    let revoked = row.split('\t').nth(2).unwrap();
    let older = row.replacen('R', "V", 1).replace(revoked, "");
    ca.write("index.txt", &whole.replace(row, &older));
    let report = register("has lost the revocation of ");
    let remedy = report["register"]["remedy"].as_str().unwrap();
    run(ca.dir.command("sh").args(["-c", remedy])).exits(0);
    ca.ok(&["crl"]);
    assert_urgent(&ca, &[]);
    let whole = ca.read("index.txt");
    ca.write("index.txt", &format!("{whole}oops\n"));
    let report = register("has a line that is no row: \"oops\"");
    assert_eq!(report["register"]["remedy"], Value::Null);
    fs::remove_file(ca.file("index.txt")).unwrap();
    let ran = ca.mailca(&["status", "--json"]).exits(3);
    assert!(
        ran.stdout.contains("is missing, with all that was issued"),
        "{ran}"
    );
    ca.write("index.txt", &whole);
    assert_urgent(&ca, &[]);
    // A row is gone, and only the CRL knows of the revocation.
    let row = whole.lines().next().unwrap();
    ca.write("index.txt", &whole.replace(&format!("{row}\n"), ""));
    let serial = row.split('\t').nth(3).unwrap();
    let expected = format!("CRL critical: lists {serial}, of which the register has no row");
    let report = assert_urgent(&ca, &[&expected]);
    let repair = format!("mailca --ca {} repair", ca.dir.path().join("CA").display());
    assert_eq!(report["crl"]["remedy"], *repair);
    // Nothing was issued yet.
    let new = Ca::new();
    fs::remove_file(new.file("index.txt")).unwrap();
    assert_urgent(&new, &[]);
}

#[test]
fn a_crl_that_is_gone_was_there_before() {
    let ca = Ca::new();
    ca.ok(&["crl"]);
    fs::remove_file(ca.file("crl/crl.pem")).unwrap();
    assert_crl(&ca, Some("is missing, but "));
    ca.ok(&["crl"]);
    assert_crl(&ca, None);
}

#[test]
fn files_of_another_ca_are_no_host_s_files() {
    let (ca, other) = (Ca::new(), Ca::named("/CN=Other"));
    for ca in [&ca, &other] {
        ca.ok(&["issue", HOST, "--yes"]);
    }
    let cert = format!("hosts/{HOST}/cert.pem");
    ca.write(&cert, &other.read(&cert));
    assert_urgent(
        &ca,
        &[&format!("{HOST} critical: is of another CA, CN=Other")],
    );
    // By name the same, by key another.
    let twin = Ca::new();
    twin.ok(&["issue", HOST, "--yes"]);
    ca.write(&cert, &twin.read(&cert));
    let name = "C=US, ST=CA, O=Example, CN=Example Mail CA";
    assert_urgent(
        &ca,
        &[&format!(
            "{HOST} critical: is of another CA, {name} with another key"
        )],
    );
}

#[test]
fn what_helps_names_the_settings_too() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--days=5", "--yes"]);
    let settings = ca.file("other.cnf");
    fs::copy(ca.file("openssl.cnf"), &settings).unwrap();
    let ran = ca.mailca(&["status", "--config", &settings]).exits(3);
    let expected = format!(" --config {settings} renew {HOST}\n");
    assert!(ran.stdout.contains(&expected), "{ran}");
}

#[test]
fn of_each_host_the_certificate_counts_that_it_uses() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let names = || {
        let report = ca.json(&["status"]);
        let hosts = report["hosts"].as_array().unwrap().iter();
        hosts
            .map(|item| {
                let here = if item["host_files"].is_string() {
                    "here"
                } else {
                    "elsewhere"
                };
                let days = &item["days_left"];
                format!("{} {here} {days}", item["name"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(names(), Vec::<String>::new());
    ca.ok(&["issue", HOST, "--days=100", "--yes"]);
    // Those of before are no longer used, also under another subject.
    ca.ok(&["renew", HOST, "--days=200", "--yes"]);
    assert_eq!(names(), ["mx.example.com here 200"]);
    let subject = "--subject=/O=Example/CN=mx.example.com";
    let other = ["--san=smtp.example.com", "--days=300", "--yes", "--replace"];
    ca.ok(&[&["issue", HOST, subject], &other[..]].concat());
    assert_eq!(names(), ["mx.example.com here 300"]);
    // Its key lives elsewhere: the last to end counts, revoked ones do not.
    let request = ca.request("relay.example.com", &[]);
    let sign = |days: &str| ca.json(&["sign", &request, "--yes", days]);
    sign("--days=150");
    sign("--days=120");
    assert_eq!(
        names(),
        ["relay.example.com elsewhere 150", "mx.example.com here 300"]
    );
    let last = sign("--days=160");
    ca.ok(&["revoke", last["serial"].as_str().unwrap(), "--yes"]);
    assert_eq!(names()[0], "relay.example.com elsewhere 150");
    // Without a subject, and with names that no file has.
    let nameless = ca.openssl_request(
        "nameless",
        &["-subj", "/", "-addext", "subjectAltName=DNS:n.example.com"],
    );
    ca.edit(
        "openssl.cnf",
        "[ policy_anything ]",
        "[ none ]\n\n[ policy_anything ]",
    );
    ca.ok(&["sign", &nameless, "--yes", "--days=90", "--policy=none"]);
    assert_eq!(names()[0], "n.example.com elsewhere 90");
    // CA.pl keeps the CA's own row.
    let own = ca.x509("CA/cacert.pem", &["-serial"]);
    let serial = own.trim().trim_start_matches("serial=");
    let row = format!(
        "V\t361231235959Z\t\t{serial}\tunknown\t/C=US/ST=CA/O=Example/CN=Example Mail CA\n"
    );
    ca.write("index.txt", &(ca.read("index.txt") + &row));
    assert_eq!(names().len(), 3);
}

#[test]
fn what_ended_long_ago_elsewhere_belongs_to_nobody_any_more() {
    let dir = clock::ca("3650");
    issue(&dir, 0, &["--days=10"]);
    let made = run(&mut dir.mailca(&["req", "relay.example.com", "--out-dir", "."]));
    made.exits(0);
    let request = dir.file("relay.example.com.csr");
    let signed = clock::mailca(&dir, START, &["sign", &request, "--days=10"]);
    assert_eq!(signed.exit, Exit::Done);
    let hosts = |after, words: &[&str]| {
        let report = status(&dir, after, words);
        report["hosts"].as_array().unwrap().len()
    };
    assert_eq!(hosts(11, &[]), 2);
    assert_eq!(hosts(39, &[]), 2);
    assert_eq!(hosts(41, &[]), 1);
    assert_eq!(hosts(69, &["--expiring=60d"]), 2);
    // That whose key is here is not forgotten.
    let report = status(&dir, 3000, &[]);
    assert_eq!(report["hosts"][0]["name"], HOST);
}

#[test]
fn a_certificate_that_cannot_be_read_is_critical_and_hides_no_other() {
    let ca = Ca::new();
    ca.ok(&["issue", "a.example.com", "--yes"]);
    ca.ok(&["issue", "b.example.com", "--yes"]);
    ca.write("hosts/a.example.com/cert.pem", "nothing\n");
    let report = assert_urgent(&ca, &["a.example.com critical: cannot be read: "]);
    assert_eq!(report["hosts"].as_array().unwrap().len(), 2);
    help(&ca, &report);
    ca.ok(&["crl"]);
    ca.write("crl/crl.pem", "nothing\n");
    let path = ca.file("crl/crl.pem");
    let expected = format!("CRL critical: cannot be read: {path}: it holds no CRL");
    help(&ca, &assert_urgent(&ca, &[&expected]));
    assert_urgent(&ca, &[]);
}

#[test]
fn what_others_can_read_is_not_to_be_replaced() {
    let ca = Ca::of(User::ordinary(), &[]);
    ca.ok(&["issue", HOST, "--yes"]);
    ca.ok(&["crl"]);
    for file in ["crl/crl.pem", &format!("hosts/{HOST}/cert.pem")] {
        ca.chmod(file, 0o000);
    }
    let ran = ca.mailca(&["status", "--json"]).exits(3);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    for item in [&report["crl"], &report["hosts"][0]] {
        assert_eq!(item["state"], "critical", "{item}");
        assert_eq!(item["remedy"], Value::Null, "{item}");
    }
}

#[test]
fn people_have_the_names_that_they_write() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for (file, name) in [
        ("person", "Jürgen Müller"),
        ("host", "bücher.example"),
        ("odd", "a\\x41"),
    ] {
        let subject = format!("/CN={}", name.replace('\\', "\\\\"));
        let request = ca.openssl_request(file, &["-utf8", "-subj", &subject]);
        ca.ok(&["sign", &request, "--profile=client", "--days=25", "--yes"]);
    }
    let expected = ["Jürgen Müller", "a\\x41", "bücher.example"];
    let expected = expected.map(|name| format!("{name} warning: ends on"));
    let report = assert_urgent(&ca, &expected.each_ref().map(String::as_str));
    let listed = ca.json(&["list"]);
    let names = listed["certificates"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Jürgen Müller", "bücher.example", "a\\x41"]);
    help(&ca, &report);
    assert_urgent(&ca, &[]);
}

#[test]
fn no_time_is_too_long() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    ca.ok(&["sign", &request, "--yes"]);
    // The most that is read as a time.
    for time in ["106751991167300d", "0s"] {
        let ran = ca.mailca(&["status", "--expiring", time]);
        ran.exits(if time == "0s" { 0 } else { 3 });
    }
}

#[test]
fn no_name_of_a_folder_steers_a_terminal() {
    if !require(&["script"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let name = "a\u{1b}]0;evil\u{7}";
    fs::rename(
        ca.file(&format!("hosts/{HOST}")),
        ca.file(&format!("hosts/{name}")),
    )
    .unwrap();
    ca.write(&format!("hosts/{name}/cert.pem"), "nothing\n");
    let script = format!("'{}' --ca CA status", env!("CARGO_BIN_EXE_mailca"));
    let mut command = ca.dir.command("script");
    command.args(["-qec", &script, "/dev/null"]);
    let shown = run(command.env("NO_COLOR", "1")).exits(3).stdout;
    assert!(shown.contains("a\\u{1b}]0;evil"), "{shown:?}");
    assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
}

#[test]
fn a_ca_above_ends_too() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
        subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    ca.dir.write("v3.cnf", extensions);
    let script = "openssl req -x509 -days 20 -subj /CN=Root -newkey ec -nodes \
            -pkeyopt ec_paramgen_curve:P-256 -keyout root.key -out root.pem &&
        openssl req -new -key CA/private/cakey.pem -subj '/C=US/ST=CA/O=Example/CN=Example Mail CA' \
            -out ca.csr &&
        openssl x509 -req -in ca.csr -CA root.pem -CAkey root.key -CAcreateserial -days 3000 \
            -extfile v3.cnf -out CA/cacert.pem && cp root.pem CA/certs/";
    run(ca.dir.command("sh").args(["-c", script])).exits(0);
    let ran = ca.mailca(&["status", "--json"]).exits(3);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["ca"]["state"], "ok", "{report}");
    let root = &report["issuers"][0];
    assert_eq!(
        (&root["name"], &root["state"]),
        (&"CN=Root".into(), &"critical".into())
    );
    // Its own people renew it.
    assert_eq!(root["remedy"], Value::Null, "{root}");
}

#[test]
fn nothing_is_written_and_no_right_to_write_is_needed() {
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", HOST, "--yes"]);
        ca.ok(&["crl"]);
        let before = ca.tree();
        for words in [
            &["status"][..],
            &["status", "--json"],
            &["status", "--nagios"],
            &["status", "--prometheus"],
            &["list"],
            &["show", HOST],
        ] {
            ca.chmod(".", 0o555);
            let ran = ca.mailca(words);
            ca.chmod(".", 0o755);
            let said = ran.exits(0);
            assert_eq!(said.stderr, "", "{said}");
        }
        before.assert_unchanged(ca.dir.path(), "status, list and show");
    }
}

#[test]
fn nagios_gets_one_line_and_its_own_exit_status() {
    let dir = clock::ca("3650");
    issue(&dir, 0, &[]);
    clock::mailca(&dir, START, &["crl"]);
    let nagios = |after| {
        let now = START + Duration::days(after);
        let ca = dir.file("CA");
        let ran = clock::run(now, &["mailca", "--ca", &ca, "status", "--nagios"]);
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
        (ran.exit, ran.stdout)
    };
    let data = |days: [i64; 3]| {
        let [ca, crl, host] = days.map(|days| days * 86_400);
        format!(
            " | ca={ca}s;31536000:;7884000: crl={crl}s;604800:;151200: host={host}s;2592000:;648000:\n"
        )
    };
    let (exit, line) = nagios(0);
    assert_eq!(exit, Exit::Plugin(Plugin::Ok));
    let expected = "MAILCA OK: mx.example.com ends first, 365 days left";
    assert_eq!(line, expected.to_owned() + &data([3650, 180, 365]));
    let (exit, line) = nagios(174);
    assert_eq!(exit, Exit::Plugin(Plugin::Warning));
    let expected = "MAILCA WARNING: CRL 01 ends on 2027-06-30, in 6 days; then Sendmail and \
        Dovecot refuse every client certificate";
    assert_eq!(line, expected.to_owned() + &data([3476, 6, 191]));
    let (exit, line) = nagios(340);
    assert_eq!(exit, Exit::Plugin(Plugin::Critical));
    assert!(
        line.starts_with("MAILCA CRITICAL: CRL 01 ended on"),
        "{line}"
    );
    assert!(
        line.contains("; mx.example.com ends on 2028-01-01, in 25 days | "),
        "{line}"
    );
    // What would end the words, or the line.
    for host in 0..7 {
        let subject = format!("/O=a|b\\nc/CN=h{host}.example.com");
        let ran = issue_other(&dir, &format!("h{host}.example.com"), &subject);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.stdout);
    }
    let (_, line) = nagios(364);
    assert_eq!(line.matches('|').count(), 1, "{line}");
    assert!(line.contains("; and 4 more | "), "{line}");
    fs::remove_file(dir.file("CA/cacert.pem")).unwrap();
    let (exit, line) = nagios(0);
    assert_eq!(exit, Exit::Plugin(Plugin::Unknown));
    let ca = dir.file("CA");
    let expected = format!("MAILCA UNKNOWN: {ca} holds no CA: {ca}/cacert.pem is missing\n");
    assert_eq!(line, expected);
    let wrong = [
        "mailca",
        "--ca",
        &ca,
        "status",
        "--nagios",
        "--expiring=soon",
    ];
    let ran = clock::run(START, &wrong);
    assert_eq!(ran.exit, Exit::Plugin(Plugin::Unknown));
    assert!(
        ran.stdout
            .starts_with("MAILCA UNKNOWN: invalid value 'soon'"),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let statuses = [
        Plugin::Ok,
        Plugin::Warning,
        Plugin::Critical,
        Plugin::Unknown,
    ];
    assert_eq!(
        statuses.map(|status| Exit::Plugin(status).code()),
        [0, 1, 2, 3]
    );
}

fn issue_other(dir: &TestDir, host: &str, subject: &str) -> clock::Ran {
    clock::mailca(dir, START, &["issue", host, "--subject", subject])
}

#[test]
fn node_exporter_takes_the_metrics() {
    let Some(exporter) = NodeExporter::start() else {
        return;
    };
    let ca = Ca::named("/O=A \"B\" \\\\ C/CN=Quoted, CA");
    ca.ok(&["issue", HOST, "--yes"]);
    ca.ok(&["issue", "revoked.example.com", "--yes"]);
    // Two people of one name.
    for name in ["one", "two"] {
        let subject = format!("/CN=Jane Doe/emailAddress={name}@example.com");
        let request = ca.openssl_request(name, &["-subj", &subject]);
        ca.ok(&["sign", &request, "--yes", "--profile=client"]);
    }
    ca.ok(&["revoke", "revoked.example.com", "--yes"]);
    // 0 although something needs attention: a shell's `&& mv` shall be carried out.
    let metrics = ca.ok(&["status", "--prometheus"]).stdout;
    let served = exporter.serve("mailca.prom", &metrics);
    assert!(
        served.contains("node_textfile_scrape_error 0\n"),
        "{served}"
    );
    let value = |metric: &str, kind: &str, name: &str| {
        let labels = [format!("kind=\"{kind}\""), format!("name=\"{name}\"")];
        let line = served.lines().find(|line| {
            line.starts_with(metric) && labels.iter().all(|label| line.contains(label.as_str()))
        });
        let line = line.unwrap_or_else(|| panic!("{metric} {kind} {name}: {served}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let end = ca.x509("CA/cacert.pem", &["-enddate", "-dateopt", "iso_8601"]);
    let end = end.trim().trim_start_matches("notAfter=").to_owned();
    let date = run(ca.dir.command("date").args(["-u", "-d", &end, "+%s"]))
        .exits(0)
        .stdout;
    let report = ca.mailca(&["status", "--json"]).exits(3).stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    let name = report["ca"]["name"].as_str().unwrap();
    assert!(name.contains(['"', '\\']), "{name}");
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    let end = value("mailca_end_timestamp_seconds", "ca", &name);
    assert_eq!(end.to_string(), date.trim(), "{served}");
    assert_eq!(value("mailca_state", "host", HOST).to_string(), "0");
    assert_eq!(
        value("mailca_state", "host", "revoked.example.com").to_string(),
        "2"
    );
    assert_eq!(served.matches("name=\"Jane Doe\"").count(), 4, "{served}");
}

/// A CA with something of each kind, on a certain day.
struct Scene {
    ca: Ca,
    clock: Clock,
}

const NOW: OffsetDateTime = datetime!(2026-12-20 12:00 UTC);

impl Scene {
    fn new() -> Self {
        let scene = Self {
            ca: Ca::unmade(User::me()),
            clock: Clock::new(),
        };
        let subject = "--subject=/O=Example/CN=Example Mail CA";
        let init = ["init", subject, "--no-passphrase", "--serial=51A0"];
        scene.mailca(datetime!(2025-01-01 12:00 UTC), &init);
        for (at, host) in [
            (datetime!(2025-12-10 12:00 UTC), "mx3.example.com"),
            (datetime!(2026-01-08 12:00 UTC), "mail.example.com"),
            (datetime!(2026-05-01 12:00 UTC), "backup.example.com"),
            (datetime!(2026-11-01 12:00 UTC), "mx1.example.com"),
        ] {
            scene.mailca(at, &["issue", host]);
        }
        let request = scene.ca.request("relay.example.org", &[]);
        scene.mailca(datetime!(2026-09-01 12:00 UTC), &["sign", &request]);
        let revoke = ["revoke", "backup.example.com", "--reason=keyCompromise"];
        scene.mailca(datetime!(2026-06-28 12:00 UTC), &revoke);
        scene
    }

    fn mailca(&self, at: OffsetDateTime, words: &[&str]) {
        let mut command = self.ca.command(&["--yes"]);
        self.clock.stop(command.args(words), at);
        run(&mut command).exits(0);
    }

    /// `mailca status` in the directory above the CA, so that no path is another each time.
    fn status(&self, options: &[&str]) -> Command {
        let mut command = self.ca.dir.mailca(&["--ca", "CA", "status"]);
        self.clock.stop(command.args(options), NOW);
        command
    }

    /// The same on a terminal.
    fn on_terminal(&self, columns: u32, variables: &[(&str, &str)]) -> String {
        let program = env!("CARGO_BIN_EXE_mailca");
        let script = format!("stty cols {columns} rows 50; '{program}' --ca CA status");
        let mut command = self.ca.dir.command("script");
        command.args(["-qec", &script, "/dev/null"]);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        self.clock.stop(&mut command, NOW);
        let ran = run(&mut command).exits(3);
        ran.stdout.replace("\r\n", "\n")
    }
}

/// The CA's own, which is another each time.
const SERIAL: &str = "6F94B8A16136BF5168566125F76F8C5CABB31310";
const UNICODE: (&str, &str) = ("LC_ALL", "C.UTF-8");

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (_, rest) = part.split_once('m').expect("the end of a colour");
        text + rest
    })
}

#[test]
fn the_page_shows_what_is_shown() {
    if !require(&["cc", "openssl", "script", "stty"]) {
        return;
    }
    let scene = Scene::new();
    let drawn = |columns| without_colours(&scene.on_terminal(columns, &[UNICODE]));
    let printed = |options: &[&str], code| run(&mut scene.status(options)).exits(code).stdout;
    let serial = scene.ca.x509("CA/cacert.pem", &["-serial"]);
    let serial = serial.trim().trim_start_matches("serial=");
    let metrics = printed(&["--prometheus"], 0).replace(serial, SERIAL);
    let blocks = [
        ("On a terminal of 80 columns", drawn(80)),
        ("On a terminal of 120 columns", drawn(120)),
        ("Piped", printed(&[], 3)),
        ("For Nagios", printed(&["--nagios"], 2)),
        ("For Prometheus", metrics),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status.md");
    let mut page = fs::read_to_string(&path).unwrap();
    for (heading, shown) in blocks {
        let at = page.find(&format!("\n## {heading}\n")).expect(heading);
        let start = at + page[at..].find("\n```text\n").expect("a block") + 9;
        let end = start + page[start..].find("```").expect("its end");
        if env::var_os("UPDATE_DOCS").is_some() {
            page.replace_range(start..end, &shown);
        } else {
            assert_eq!(&page[start..end], shown, "{heading}");
        }
    }
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page).unwrap();
    }
}

#[test]
fn a_terminal_gets_colours_and_bars_that_fit_and_a_pipe_none() {
    if !require(&["cc", "openssl", "script", "stty"]) {
        return;
    }
    let scene = Scene::new();
    for columns in [20, 40, 60, 80, 100, 120, 200] {
        let shown = scene.on_terminal(columns, &[UNICODE]);
        for colour in ["\x1b[31m\x1b[1m", "\x1b[32m", "\x1b[33m"] {
            assert!(shown.contains(colour), "{shown:?}");
        }
        let plain = without_colours(&shown);
        let table = plain.split("\n\n").nth(1).expect("a table");
        assert_eq!(table.lines().count(), 7, "{plain}");
        for line in table.lines() {
            let width = line.chars().count();
            // Dates and bars take so much.
            let most = usize::try_from(columns.max(60)).unwrap();
            assert!(width <= most, "{width} of {columns}: {line}");
            assert!(line.contains(['█', '░']), "{line}");
        }
    }
    let ascii = scene.on_terminal(80, &[]);
    assert!(ascii.is_ascii() && ascii.contains("####"), "{ascii}");
    for without in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = scene.on_terminal(80, &[UNICODE, without]);
        assert!(!shown.contains('\x1b'), "{shown:?}");
        assert!(shown.contains('█'), "{shown}");
    }
    let piped = run(&mut scene.status(&[])).exits(3).stdout;
    assert!(piped.is_ascii() && !piped.contains('\x1b'), "{piped}");
}
