//! `revoke` and `crl` as their user sees them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Ca, Ran, Tree, User, openssl, require, run};

const HOST: &str = "mail.example.test";

/// Issues a certificate; its serial number.
#[track_caller]
fn issue(ca: &Ca, host: &str, options: &[&str]) -> String {
    ca.ok(&[&["issue", host, "--yes"], options].concat());
    ca.serials().pop().expect("a row")
}

/// The statuses of the rows, in the register's order.
#[track_caller]
fn statuses(ca: &Ca) -> String {
    ca.rows().iter().map(|row| &row[..1]).collect()
}

/// Revokes and returns what is printed.
#[track_caller]
fn revoke(ca: &Ca, words: &[&str]) -> String {
    ca.ok(&[&["revoke", "--yes"], words].concat()).stdout
}

/// `revoke` has to refuse and to leave everything as it was; its standard error.
#[track_caller]
fn refuses(ca: &Ca, words: &[&str]) -> String {
    ca.refuses(&[&["revoke", "--yes"], words].concat())
}

/// mailca has to say that it was used wrongly, and to change nothing; its standard error.
#[track_caller]
fn is_wrong_usage(ca: &Ca, words: &[&str]) -> String {
    let before = ca.tree();
    let ran = ca.mailca(words).exits(2);
    before.assert_unchanged(ca.dir.path(), &ran.to_string());
    ran.stderr
}

/// Runs the command in a hint, which begins with these words.
#[track_caller]
fn run_hint(ca: &Ca, error: &str, words: &str) -> Ran {
    let hint = error.split_once(words).expect(error).1;
    let hint = hint.split_once(": ").expect(error).1;
    let bin = Path::new(env!("CARGO_BIN_EXE_mailca")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = ca.dir.command("sh");
    shell.env("PATH", format!("{}:{path}", bin.display()));
    run(shell.args(["-c", hint.trim()])).exits(0)
}

/// The serial numbers in the CRL.
#[track_caller]
fn listed(ca: &Ca) -> Vec<String> {
    let text = openssl(&["crl", "-noout", "-text", "-in", &ca.file("crl/crl.pem")]);
    let numbers = text
        .lines()
        .filter_map(|line| line.split_once("Serial Number: "));
    numbers.map(|(_, number)| number.to_owned()).collect()
}

#[test]
fn a_certificate_is_named_by_number_host_or_file() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "ABCD01"]);
    let mut serials = Vec::new();
    for number in 0..12 {
        serials.push(issue(&ca, &format!("mx{number}.example.test"), &[]));
    }
    assert_eq!(serials[0], "ABCD01");
    ca.dir.openssl(&[
        "x509",
        "-in",
        &ca.file("newcerts/ABCD0B.pem"),
        "-outform",
        "DER",
        "-out",
        "mx10.der",
    ]);
    let kept = ca.file("newcerts/ABCD08.pem");
    for (number, words) in [
        &["ABCD01"][..],
        &["abcd02"],
        &["0xABCD03"],
        &["ab:cd:04"],
        &["00ABCD05"],
        &["mx5.example.test"],
        &["MX6.Example.Test"],
        &[&kept],
        &["CA/hosts/mx8.example.test/cert.pem"],
        &["CA/hosts/mx9.example.test/chain.pem"],
        &["mx10.der"],
    ]
    .iter()
    .enumerate()
    {
        let said = revoke(&ca, words);
        let title = format!("revoked {}, mx{number}.example.test\n", serials[number]);
        assert!(said.contains(&title), "{words:?}: {said}");
        assert_eq!(listed(&ca), serials[..=number], "{words:?}");
    }
    assert_eq!(statuses(&ca), "RRRRRRRRRRRV");
    // Several at once, and the same one twice.
    for host in ["a", "b", "c"] {
        issue(&ca, &format!("{host}.example.test"), &[]);
    }
    let report = ca.json(&[
        "revoke",
        "--yes",
        "mx11.example.test",
        "ABCD0D",
        "CA/hosts/b.example.test/cert.pem",
        "abcd0e",
        "--reason=superseded",
    ]);
    let revoked = report["revoked"].as_array().unwrap();
    let revoked: Vec<_> = revoked
        .iter()
        .map(|one| one["serial"].as_str().unwrap())
        .collect();
    assert_eq!(revoked, ["ABCD0C", "ABCD0D", "ABCD0E"]);
    assert_eq!(statuses(&ca), "RRRRRRRRRRRRRRV");
    // One that cannot be spoils all.
    let error = refuses(&ca, &["c.example.test", "ABCD01"]);
    assert!(error.contains("ABCD01 was already revoked on "), "{error}");
}

#[test]
fn every_certificate_of_a_key_is_revoked() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let dir = &ca.dir;
    let key = dir.file("mx.example.test.key");
    for form in ["private", "public", "certificate", "request"] {
        let request = ca.request("mx.example.test", &[]);
        let from = ca.rows().len();
        ca.ok(&["sign", &request, "--yes", "--out", "one.pem"]);
        issue(&ca, &format!("{form}.example.test"), &[]);
        let other = ["--san", "smtp.example.test", "--out", "two.pem", "--yes"];
        ca.ok(&[&["sign", &request], &other[..]].concat());
        dir.openssl(&["pkey", "-in", &key, "-pubout", "-out", "public.pem"]);
        let file = match form {
            "private" => &key,
            "public" => "public.pem",
            "certificate" => "one.pem",
            _ => &request,
        };
        let said = revoke(&ca, &["--key", file, "--reason=cessationOfOperation"]);
        assert_eq!(&statuses(&ca)[from..], "RVR", "{form}: {said}");
        let error = refuses(&ca, &["--key", file]);
        assert!(
            error.contains("no valid certificate has the key of"),
            "{error}"
        );
        fs::remove_file(&key).unwrap();
        fs::remove_file(&request).unwrap();
    }
    let locked = [
        "pkey",
        "-aes256",
        "-passout",
        "file:pass",
        "-out",
        "locked.pem",
    ];
    dir.openssl(&["genpkey", "-algorithm", "ED25519", "-out", "plain.pem"]);
    dir.openssl(&[&locked[..], &["-in", "plain.pem"]].concat());
    let error = refuses(&ca, &["--key", "locked.pem"]);
    assert!(
        error.contains("the private key in locked.pem is encrypted"),
        "{error}"
    );
    let error = refuses(&ca, &["--key", "pass"]);
    assert!(
        error.contains("pass holds no key, certificate or request"),
        "{error}"
    );
}

#[test]
fn a_certificate_of_somebody_else_is_refused() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "77"]);
    issue(&ca, HOST, &[]);
    // Another CA, and one of the same name and numbers.
    ca.dir.openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "other.key",
        "-subj",
        "/O=Example/CN=Other",
        "-set_serial",
        "0x77",
        "-out",
        "other.pem",
    ]);
    let error = refuses(&ca, &["other.pem"]);
    assert!(
        error.contains(
            "other.pem is not from this CA: it was issued by O=Example, CN=Other, not by"
        ),
        "{error}"
    );
    let twin = Ca::of(User::me(), &["--serial", "77"]);
    issue(&twin, "twin.example.test", &[]);
    let file = twin.file("newcerts/77.pem");
    let error = refuses(&ca, &[&file]);
    let why = format!("{file} is not the certificate 77 of this CA, which is for {HOST}");
    assert!(error.contains(&why), "{error}");
    // So it is where newcerts has lost its copy.
    fs::remove_file(ca.file("newcerts/77.pem")).unwrap();
    let error = refuses(&ca, &[&file]);
    assert!(
        error.contains("is not the certificate 77 of this CA"),
        "{error}"
    );
    let error = refuses(&ca, &["pass"]);
    assert!(error.contains("pass"), "{error}");
    for unknown in ["78", "unknown.example.test"] {
        let error = refuses(&ca, &[unknown]);
        assert!(error.contains("index.txt has no"), "{error}");
    }
    revoke(&ca, &["CA/hosts/mail.example.test/cert.pem"]);
    assert_eq!(statuses(&ca), "R");
}

#[test]
fn a_host_with_several_certificates_has_them_listed() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let first = issue(&ca, HOST, &[]);
    let second = issue(&ca, HOST, &["--replace", "--san=a.example.test"]);
    issue(&ca, "other.example.test", &[]);
    let third = issue(&ca, HOST, &["--replace", "--san=b.example.test"]);
    let error = refuses(&ca, &[HOST]);
    assert!(
        error.contains(&format!("{HOST} has 3 valid certificates: {first} (until ")),
        "{error}"
    );
    assert!(error.contains(&second) && error.contains(&third), "{error}");
    assert!(
        error.contains("hint: name one by its serial number, or say --all"),
        "{error}"
    );
    revoke(&ca, &[&second]);
    let said = revoke(&ca, &[HOST, "--all", "--reason=superseded"]);
    assert_eq!(statuses(&ca), "RRVR");
    // The host's own is to be replaced.
    assert!(said.contains(&format!("issue {HOST} --replace")), "{said}");
    let error = refuses(&ca, &[HOST, "--all"]);
    assert!(
        error.contains(&format!("{third} was already revoked on ")),
        "{error}"
    );
    assert!(error.contains("(superseded); nothing changed"), "{error}");
}

#[test]
fn what_openssl_revoked_is_revoked() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let serial = issue(&ca, HOST, &[]);
    let file = format!("newcerts/{serial}.pem");
    let by_openssl = ["-revoke", &file, "-crl_compromise", "20260131000000Z"];
    ca.openssl_ca(&by_openssl).exits(0);
    for word in [&*serial, HOST, "CA/newcert.pem", &ca.file(&file)] {
        if word == "CA/newcert.pem" {
            fs::copy(ca.file(&file), ca.file("newcert.pem")).unwrap();
        }
        let error = refuses(&ca, &[word]);
        assert!(
            error.contains(&format!("{serial} was already revoked on ")),
            "{error}"
        );
        assert!(
            error.contains(" (keyCompromise); nothing changed"),
            "{error}"
        );
    }
}

#[test]
fn an_expired_certificate_can_be_revoked() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    let past = [
        "--not-before=2020-01-01T00:00:00Z",
        "--not-after=2021-01-01T00:00:00Z",
    ];
    for out in ["one.pem", "two.pem"] {
        ca.ok(&[&["sign", &request, "--yes", "--out", out], &past[..]].concat());
    }
    let error = refuses(&ca, &[HOST]);
    assert!(
        error.contains(&format!("no valid certificate of {HOST}")),
        "{error}"
    );
    revoke(&ca, &["one.pem", "--reason=keyCompromise"]);
    ca.openssl_ca(&["-updatedb"]).exits(0);
    assert_eq!(statuses(&ca), "RE");
    revoke(&ca, &["two.pem"]);
    assert_eq!(statuses(&ca), "RR");
    assert_eq!(listed(&ca), ca.serials());
}

#[test]
fn the_time_of_a_compromise_goes_with_a_compromise() {
    let ca = Ca::new();
    let serial = issue(&ca, HOST, &[]);
    let revoke =
        |words: &[&str]| is_wrong_usage(&ca, &[&["revoke", &serial, "--yes"], words].concat());
    let error = revoke(&["--compromised-at=2126-01-01T00:00:00Z"]);
    assert!(
        error.contains("cannot have been compromised at 2126-01-01T00:00:00Z: it is 20"),
        "{error}"
    );
    let error = revoke(&[
        "--compromised-at=2026-01-01T00:00:00Z",
        "--reason=superseded",
    ]);
    assert!(error.contains("not with superseded"), "{error}");
    let error = revoke(&["--compromised-at=yesterday"]);
    assert!(error.contains("RFC 3339"), "{error}");
    let error = revoke(&["--reason=removeFromCRL"]);
    assert!(error.contains("certificateHold"), "{error}");
    is_wrong_usage(&ca, &["revoke", "--yes"]);
    let since = ["--compromised-at=2026-01-31T01:00:00+01:00"];
    let report = ca.json(&[&["revoke", &serial, "--yes"], &since[..]].concat());
    assert_eq!(report["reason"], "keyCompromise");
    assert_eq!(report["compromised_at"], "2026-01-31T00:00:00Z");
    assert!(ca.rows()[0].contains(",keyTime,20260131000000Z\t"));
}

#[test]
fn without_a_crl_only_the_register_changes() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::encrypted();
    let pass = ["--passphrase-file=pass"];
    ca.ok(&[&["issue", HOST, "--yes"], &pass[..]].concat());
    // It needs no key, and so no passphrase.
    let said = revoke(&ca, &[HOST, "--no-crl"]);
    assert_eq!(statuses(&ca), "R");
    assert!(!ca.exists("crl/crl.pem") && !ca.exists("crl/crl.der"));
    assert!(said.contains("next: mailca --ca "), "{said}");
    let report = ca.json(&["crl", "--passphrase-file=pass"]);
    assert_eq!(report["entries"], 1);
}

#[test]
fn without_an_answer_nothing_is_revoked() {
    if !require(&["setsid"]) {
        return;
    }
    let ca = Ca::encrypted();
    ca.ok(&["issue", HOST, "--yes", "--passphrase-file=pass"]);
    ca.dir.write_secret("wrong", "wrong\n");
    for (words, why) in [
        (
            &["revoke", HOST, "--passphrase-file=pass"][..],
            "give --yes",
        ),
        (&["revoke", HOST, "--no-crl"], "give --yes"),
        (&["revoke", HOST, "--yes"], "give --passphrase-file"),
        (&["crl"], "give --passphrase-file"),
        (
            &["revoke", HOST, "--yes", "--passphrase-file=wrong"],
            "the passphrase does not open",
        ),
        (
            &["crl", "--passphrase-file=wrong"],
            "the passphrase does not open",
        ),
        (&["revoke", HOST, "--yes", "--passphrase-file=none"], "none"),
    ] {
        let before = ca.tree();
        let command = ca.command(words);
        let mut detached = ca.dir.command("setsid");
        detached
            .arg("--wait")
            .arg(command.get_program())
            .args(command.get_args());
        let ran = run(&mut detached).exits(1);
        assert!(ran.stderr.contains(why), "{ran}");
        before.assert_unchanged(ca.dir.path(), &ran.to_string());
    }
    ca.ok(&["revoke", HOST, "--yes", "--passphrase-file=pass"]);
    assert_eq!(statuses(&ca), "R");
}

#[test]
fn a_ca_that_may_not_sign_crls_can_still_revoke() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    issue(&ca, HOST, &[]);
    ca.dir.write(
        "ca.ext",
        "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
         subjectKeyIdentifier = hash\n",
    );
    let again = "openssl req -new -key CA/private/cakey.pem -out ca.csr \
                 -subj '/C=US/ST=CA/O=Example/CN=Example Mail CA' &&
        openssl x509 -req -in ca.csr -signkey CA/private/cakey.pem -extfile ca.ext \
                 -out CA/cacert.pem -days 100";
    run(ca.dir.command("sh").args(["-c", again])).exits(0);
    let error = refuses(&ca, &[HOST]);
    assert!(
        error.contains("may not sign CRLs: its keyUsage does not include cRLSign"),
        "{error}"
    );
    assert!(error.contains("--no-crl"), "{error}");
    ca.refuses(&["crl"]);
    revoke(&ca, &[HOST, "--no-crl"]);
    assert_eq!(statuses(&ca), "R");
}

#[test]
fn where_the_crl_cannot_be_written_nothing_is_revoked() {
    let ca = Ca::of(User::ordinary(), &[]);
    issue(&ca, HOST, &[]);
    ca.chmod("crl", 0o555);
    for published in [false, true] {
        if published {
            ca.chmod("crl", 0o755);
            ca.ok(&["crl"]);
            ca.chmod("crl", 0o555);
        }
        let before = ca.read("index.txt");
        let tree = Tree::of(ca.file("crl"));
        let ran = ca.mailca(&["revoke", HOST, "--yes"]).exits(1);
        assert!(ran.stderr.contains("crl"), "{ran}");
        assert_eq!(ca.read("index.txt"), before);
        tree.assert_unchanged(ca.file("crl"), &ran.to_string());
    }
    ca.chmod("crl", 0o755);
    revoke(&ca, &[HOST]);
    assert_eq!(listed(&ca), ca.serials());
}

#[test]
fn a_crl_is_published_only_when_it_is_due() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let serials = ["a", "b", "c"].map(|host| issue(&ca, &format!("{host}.example.test"), &[]));
    let is_due = |why: &str| {
        let report = ca.json(&["crl", "--expiring=30d"]);
        assert_eq!(report["changed"], true, "{report}");
        assert!(report["due"].as_str().unwrap().contains(why), "{report}");
        let before = ca.tree();
        let report = ca.json(&["crl", "--expiring=30d"]);
        assert_eq!(report["changed"], false, "{report}");
        before.assert_unchanged(ca.dir.path(), &report.to_string());
        report
    };
    is_due("there was none");
    // Not due for a passphrase either.
    let said = ca.ok(&["crl", "--expiring=12h"]).stdout;
    assert!(said.contains("; nothing changed"), "{said}");
    ca.ok(&["crl", "--days=10"]);
    is_due("was valid until");
    let openssl_revokes = |serial: &str| {
        let file = format!("newcerts/{serial}.pem");
        ca.openssl_ca(&["-revoke", &file, "-crl_reason", "certificateHold"])
            .exits(0);
    };
    openssl_revokes(&serials[0]);
    let report = is_due("register");
    assert_eq!(report["entries"], 1);
    revoke(&ca, &[&serials[1], "--no-crl"]);
    is_due("register");
    // As many as before, but not the same: one that was on hold is released by hand.
    let row = &ca.rows()[0];
    let valid = row
        .replace("R\t", "V\t")
        .replace(row.split('\t').nth(2).unwrap(), "");
    ca.edit("index.txt", row, &valid);
    openssl_revokes(&serials[2]);
    is_due("register");
    let mut sorted = listed(&ca);
    sorted.sort();
    assert_eq!(sorted, serials[1..]);
    fs::remove_file(ca.file("crl/crl.der")).unwrap();
    is_due("crl.der was missing");
    let hash = ca.x509("CA/cacert.pem", &["-hash"]);
    fs::remove_file(ca.file(&format!("crl/{}.r0", hash.trim()))).unwrap();
    is_due("r0 was missing");
    is_wrong_usage(&ca, &["crl", "--expiring=soon"]);
}

#[test]
fn the_crl_is_copied_where_it_is_asked_for() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    issue(&ca, HOST, &[]);
    revoke(&ca, &[HOST]);
    let der = || fs::read(ca.file("crl/crl.der")).unwrap();
    let copy = |name: &str| fs::read(ca.dir.file(name)).unwrap();
    ca.ok(&["crl", "--out", "copy.pem"]);
    assert_eq!(ca.dir.read("copy.pem"), ca.read("crl/crl.pem"));
    ca.ok(&["crl", "--out", "copy.der"]);
    assert_eq!(copy("copy.der"), der());
    let printed = ca.ok(&["crl", "--out", "-"]).stdout;
    assert_eq!(printed, ca.read("crl/crl.pem"));
    // One that is not due is copied too.
    ca.dir.write("copy.der", "");
    ca.ok(&["crl", "--expiring=1h", "--out", "copy.der"]);
    assert_eq!(copy("copy.der"), der());
    let printed = ca.ok(&["crl", "--expiring=1h", "--out", "-"]).stdout;
    assert_eq!(printed, ca.read("crl/crl.pem"));
    for taken in [
        "CA/private/cakey.pem",
        "CA/index.txt",
        "CA/cacert.pem",
        "CA/newcerts/new.pem",
        "CA/crl/other.pem",
        "pass",
        "none/crl.pem",
    ] {
        ca.refuses(&["crl", "--out", taken]);
    }
}

/// What may be done with a key: signed under its name, another one, or issued to its host.
fn uses_of_key<'a>(request: &'a str, host: &'a str) -> [Vec<&'a str>; 3] {
    [
        vec!["sign", request, "--yes", "--out=out.pem"],
        vec![
            "sign",
            request,
            "--yes",
            "--out=out.pem",
            "--san=other.example.test",
        ],
        vec!["issue", host, "--yes", "--replace"],
    ]
}

#[test]
fn a_compromised_key_is_never_certified_again() {
    if !require(&["openssl"]) {
        return;
    }
    let by_openssl = |ca: &Ca, serial: &str| {
        let file = format!("newcerts/{serial}.pem");
        ca.openssl_ca(&["-revoke", &file, "-crl_reason", "keyCompromise"])
            .exits(0);
    };
    for (case, how) in ["mailca", "openssl", "file lost", "openssl later"]
        .iter()
        .enumerate()
    {
        let ca = Ca::new();
        ca.ok(&["req", HOST]);
        let request = ca.file("newreq.pem");
        ca.ok(&["sign", "--yes"]);
        let serial = ca.serials().pop().unwrap();
        let mut number = serial.clone();
        match case {
            0 => drop(revoke(&ca, &[&serial, "--reason=keyCompromise"])),
            1 => by_openssl(&ca, &serial),
            2 => {
                revoke(&ca, &[&serial, "--compromised-at=2026-01-31T00:00:00Z"]);
                issue(&ca, "later.example.test", &[]);
                fs::remove_file(ca.file("index.txt.compromised")).unwrap();
            }
            _ => {
                // Superseded first; the compromise comes out with its next certificate.
                revoke(&ca, &[&serial, "--reason=superseded"]);
                ca.ok(&["sign", &request, "--yes", "--out=out.pem"]);
                number = ca.serials().pop().unwrap();
                by_openssl(&ca, &number);
                fs::remove_file(ca.dir.file("out.pem")).unwrap();
            }
        }
        // Other writers come and go.
        for round in 0..3 {
            for words in &uses_of_key(&request, HOST)[..2] {
                let error = ca.refuses(words);
                let why = format!(
                    "the request's key is that of {number}, which was revoked because the key was \
                     compromised"
                );
                assert!(error.contains(&why), "{how}: {error}");
            }
            issue(&ca, &format!("mx{round}.example.test"), &[]);
            if round == 1 {
                let other = issue(&ca, "other.example.test", &[]);
                by_openssl(&ca, &other);
            }
        }
        // The host gets another key.
        let key = ca.read(&format!("hosts/{HOST}/key.pem"));
        ca.ok(&["issue", HOST, "--yes", "--replace"]);
        assert_ne!(ca.read(&format!("hosts/{HOST}/key.pem")), key, "{how}");
    }
}

#[test]
fn a_key_is_kept_out_though_newcerts_lost_its_certificate() {
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    for out in ["one.pem", "two.pem"] {
        ca.ok(&["sign", &request, "--yes", "--out", out]);
    }
    for serial in ca.serials() {
        fs::remove_file(ca.file(&format!("newcerts/{serial}.pem"))).unwrap();
    }
    // The number alone does not tell the key, and that is said.
    let serial = ca.serials().remove(0);
    let number = ["revoke", &serial, "--yes", "--reason=keyCompromise"];
    let ran = ca.ok(&number);
    let why = format!("newcerts has no {serial}: its key is not known");
    assert!(ran.stderr.contains(&why), "{ran}");
    ca.ok(&["sign", &request, "--yes", "--out=three.pem"]);
    let ran = ca.ok(&["revoke", "two.pem", "--yes", "--reason=keyCompromise"]);
    assert_eq!(ran.stderr, "");
    let error = ca.refuses(&["sign", &request, "--yes", "--out=four.pem"]);
    assert!(error.contains("the key was compromised"), "{error}");
}

#[test]
fn a_superseded_key_may_be_certified_again() {
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    for reason in [
        "superseded",
        "unspecified",
        "cessationOfOperation",
        "certificateHold",
    ] {
        ca.ok(&["sign", &request, "--yes", "--out=out.pem"]);
        revoke(&ca, &["out.pem", &format!("--reason={reason}")]);
    }
    ca.ok(&["sign", &request, "--yes", "--out=out.pem"]);
    assert_eq!(statuses(&ca), "RRRRV");
    assert!(!ca.exists("index.txt.compromised") || ca.read("index.txt.compromised").is_empty());
}

#[test]
fn a_revocation_that_openssl_dropped_is_noticed() {
    if !require(&["openssl"]) {
        return;
    }
    for (reason, expected) in [
        (&["--reason=superseded"][..], ",superseded\t"),
        (&[], "Z\t"),
        (
            &["--compromised-at=2026-01-31T00:00:00Z"],
            ",keyTime,20260131000000Z\t",
        ),
        (
            &[
                "--reason=CACompromise",
                "--compromised-at=2026-01-31T00:00:00Z",
            ],
            ",CAkeyTime,20260131000000Z\t",
        ),
    ] {
        for sign_after in [false, true] {
            let ca = Ca::new();
            let serial = issue(&ca, HOST, &[]);
            let old = ca.read("index.txt");
            revoke(&ca, &[&[&*serial], reason].concat());
            if sign_after {
                // Not the last thing that mailca wrote.
                issue(&ca, "later.example.test", &[]);
            }
            let later = &ca.read("index.txt")[ca.rows()[0].len() + 1..];
            // As an `openssl ca` that read it before and writes it now.
            ca.write("index.txt", &format!("{old}{later}"));
            let error = ca.refuses(&["issue", "next.example.test", "--yes"]);
            let lost = format!(
                "{} has lost the revocation of {serial}: an openssl ca",
                ca.file("index.txt")
            );
            assert!(error.contains(&lost), "{error}");
            ca.refuses(&["crl"]);
            run_hint(&ca, &error, "put it back, ");
            assert!(ca.rows()[0].starts_with("R\t") && ca.rows()[0].contains(expected));
            ca.ok(&["crl"]);
            issue(&ca, "next.example.test", &[]);
            assert_eq!(listed(&ca), [serial]);
        }
    }
}

#[test]
fn a_hold_that_was_released_by_hand_is_not_lost() {
    let ca = Ca::new();
    let serial = issue(&ca, HOST, &[]);
    let old = ca.read("index.txt");
    revoke(&ca, &[&serial, "--reason=certificateHold"]);
    issue(&ca, "later.example.test", &[]);
    let later = ca.rows()[1].clone();
    ca.write("index.txt", &format!("{old}{later}\n"));
    let report = ca.json(&["crl", "--expiring=1h"]);
    assert_eq!(
        (&report["changed"], &report["entries"]),
        (&true.into(), &0.into())
    );
    assert_eq!(statuses(&ca), "VV");
}

#[test]
fn what_was_done_is_told_in_words_and_as_a_document() {
    let ca = Ca::new();
    let serial = issue(&ca, HOST, &["--san=smtp.example.test"]);
    let said = revoke(&ca, &[HOST, "--reason=keyCompromise"]);
    for part in [
        format!(
            "revoked {serial}, {HOST} (keyCompromise), for DNS:{HOST}, DNS:smtp.example.test\n"
        ),
        "signed the CRL 01 with 1 revoked certificate, valid until 20".into(),
        format!("  PEM   {}\n", ca.file("crl/crl.pem")),
        format!(" REJECT certificate {serial} of {HOST} is revoked\n"),
        format!("issue {HOST} --replace\n"),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    let fingerprint = ca.x509(
        &ca.file(&format!("newcerts/{serial}.pem")),
        &["-fingerprint", "-sha256"],
    );
    let fingerprint = fingerprint.trim().split_once('=').unwrap().1;
    assert!(said.contains(fingerprint), "{fingerprint}: {said}");

    let serial = issue(&ca, HOST, &["--replace"]);
    let document = ca.json(&["revoke", &serial, "--yes"]);
    assert_eq!(document["changed"], true);
    assert_eq!(document["reason"], "unspecified");
    assert_eq!(document["compromised_at"], Value::Null);
    let one = &document["revoked"][0];
    assert_eq!(one["serial"], *serial);
    assert_eq!(one["host"], HOST);
    assert_eq!(one["subject"], format!("CN={HOST}"));
    assert_eq!(one["names"][0], format!("DNS:{HOST}"));
    let crl = &document["crl"];
    assert_eq!((&crl["number"], &crl["entries"]), (&"02".into(), &2.into()));
    assert_eq!(crl["pem"], *ca.file("crl/crl.pem"));

    let failed = ca.mailca(&["--json", "revoke", &serial, "--yes"]).exits(1);
    let document: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(document["changed"], false);
    assert!(
        document["error"]
            .as_str()
            .unwrap()
            .contains("was already revoked on")
    );
}
