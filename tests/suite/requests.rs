//! Requests made elsewhere, and what `sign` does with them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use super::support::{Ca, TestDir, Tree, User, mailca, require, run, run_with, users};

const HOST: &str = "mail.example.test";

#[test]
fn a_request_needs_no_ca() {
    if !require(&["openssl"]) {
        return;
    }
    for user in users() {
        let dir = TestDir::of(user);
        let req = [
            "req",
            HOST,
            "--san",
            "192.0.2.25",
            "--out-dir",
            "made/there",
        ];
        let ran = run(&mut dir.mailca(&req)).exits(0);
        assert!(ran.stdout.contains("mail.example.test.csr"), "{ran}");
        let key = dir.file("made/there/mail.example.test.key");
        let csr = dir.file("made/there/mail.example.test.csr");
        let mode = |file: &str| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&key), mode(&csr)), (0o600, 0o644));
        let text = dir.openssl(&["req", "-in", &csr, "-noout", "-text", "-verify"]);
        assert!(
            text.contains("DNS:mail.example.test, IP Address:192.0.2.25"),
            "{text}"
        );
        let public = |args: &[&str]| dir.openssl(args);
        assert_eq!(
            public(&["pkey", "-in", &key, "-pubout"]),
            public(&["req", "-in", &csr, "-noout", "-pubkey"])
        );

        // A key is never overwritten; the same key may ask again.
        let before = Tree::of(dir.path());
        let ran = run(&mut dir.mailca(&req)).exits(1);
        assert!(
            ran.stderr.contains("a private key is never overwritten"),
            "{ran}"
        );
        let again = [&req[..], &["--if-missing"]].concat();
        run(&mut dir.mailca(&again)).exits(0);
        before.assert_unchanged(dir.path(), "req again");
        run(&mut dir.mailca(&[&req[..], &["--key", &key]].concat())).exits(0);
        let names = dir.openssl(&["req", "-in", &csr, "-noout", "-text", "-verify"]);
        assert!(names.contains("DNS:mail.example.test"), "{names}");
    }
}

#[test]
fn every_type_of_key_asks() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for key_type in ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"] {
        let request = ca.request(&format!("{key_type}.test"), &["--key-type", key_type]);
        ca.dir
            .openssl(&["req", "-in", &request, "-noout", "-verify"]);
        let sign = ["sign", &request, "--out", "-", "--yes"];
        assert!(
            ca.ok(&sign)
                .stdout
                .starts_with("-----BEGIN CERTIFICATE-----\n")
        );
    }
}

#[test]
fn an_encrypted_key_or_none_is_no_key_for_a_request() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let encrypt = [
        "genpkey",
        "-algorithm",
        "ED25519",
        "-aes256",
        "-pass",
        "pass:secret",
    ];
    ca.dir
        .openssl(&[&encrypt[..], &["-out", "locked.pem"]].concat());
    let said = ca.refuses(&["req", HOST, "--key", "locked.pem"]);
    assert!(
        said.contains("locked.pem is encrypted") && said.contains("openssl pkey"),
        "{said}"
    );
    let said = ca.refuses(&["req", HOST, "--key", "pass"]);
    assert!(said.contains("pass holds no private key"), "{said}");
    let said = ca.refuses(&["req", HOST, "--key", "missing.pem"]);
    assert!(said.contains("missing.pem"), "{said}");
}

#[test]
fn a_certificate_goes_where_out_says() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    let text = fs::read(&request).unwrap();
    let text = String::from_utf8(text).unwrap();
    let ran = ca.ok(&["sign", &request, "--out", "mail.pem", "--yes"]);
    assert!(ran.stdout.contains("mail.pem"), "{ran}");
    let serial = ca.serials().remove(0);
    assert_eq!(
        ca.dir.read("mail.pem"),
        ca.read(&format!("newcerts/{serial}.pem"))
    );
    assert!(!ca.exists("newcert.pem"));

    let stdin = ["sign", "-", "--out", "-", "--yes"];
    let ran = run_with(&mut ca.command(&stdin), &text).exits(0);
    let serial = ca.serials().remove(1);
    assert_eq!(ran.stdout, ca.read(&format!("newcerts/{serial}.pem")));
    assert!(!ca.exists("newcert.pem"));

    let file = ["sign", "-", "--yes", "-q"];
    let ran = run_with(&mut ca.command(&file), &text).exits(0);
    assert_eq!(ran.stdout, "");
    let serial = ca.serials().remove(2);
    assert_eq!(
        ca.read("newcert.pem"),
        ca.read(&format!("newcerts/{serial}.pem"))
    );
}

#[test]
fn an_unwritable_out_is_status_three_and_the_certificate_is_recorded() {
    let ca = Ca::of(User::ordinary(), &[]);
    let request = ca.request(HOST, &[]);
    ca.dir.create_dir("closed");
    let closed = ca.dir.path().join("closed");
    fs::set_permissions(closed, Permissions::from_mode(0o555)).expect("chmod");
    let sign = ["sign", &request, "--out", "closed/mail.pem", "--yes"];
    let ran = ca.mailca(&sign).exits(3);
    let serial = ca.serials().remove(0);
    let file = format!("newcerts/{serial}.pem");
    assert!(ca.exists(&file));
    assert!(ran.stderr.contains(&file), "{ran}");
    assert!(ran.stderr.contains("closed/mail.pem"), "{ran}");
    let ran = ca.mailca(&[&sign[..], &["--json"]].concat()).exits(3);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["changed"], true);
    assert!(
        report["error"].as_str().unwrap().contains("was issued"),
        "{ran}"
    );
    assert_eq!(ca.rows().len(), 2);
}

#[test]
fn an_out_that_cannot_be_is_refused_before_anything_is_issued() {
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    for (out, said) in [
        (
            "nowhere/mail.pem",
            "there is no directory nowhere for the certificate",
        ),
        (".", "cannot write .: is a directory"),
        (
            "CA/newcerts/mine.pem",
            "CA/newcerts/mine.pem is the CA's own or holds",
        ),
        ("CA/cacert.pem", "CA/cacert.pem is the CA's own or holds"),
    ] {
        let error = ca.refuses(&["sign", &request, "--out", out, "--yes"]);
        assert!(error.contains(said), "{error}");
    }
    ca.ok(&["issue", HOST, "--yes"]);
    let out = format!("CA/hosts/{HOST}/other.pem");
    let error = ca.refuses(&["sign", &request, "--out", &out, "--yes"]);
    assert!(error.contains("is the CA's own"), "{error}");
}

#[test]
fn times_that_no_certificate_has_are_refused_with_their_reason() {
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    let early = [
        "sign",
        &request,
        "--yes",
        "--not-before",
        "1969-01-01T00:00:00Z",
    ];
    let error = ca.refuses(&early);
    assert!(
        error.contains("times before 1970 are not certified"),
        "{error}"
    );
    let late = [
        "sign",
        &request,
        "--yes",
        "--not-before",
        "9999-12-01T00:00:00Z",
    ];
    let error = ca.refuses(&late);
    assert!(error.contains("before it begins"), "{error}");
    ca.edit("openssl.cnf", "default_days", "default_days = 4000000000 #");
    ca.ok(&["sign", &request, "--yes"]);
}

#[test]
fn a_device_or_a_fifo_is_written_into_and_never_replaced() {
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    let mailca = ca.command(&["sign", &request, "--yes", "-q", "--out"]);
    let script = "set -e; mkfifo fifo; cat fifo >read & \"$@\" fifo; wait; test -p fifo
        \"$@\" /dev/stdout >through";
    let mut shell = ca.dir.command("sh");
    shell.args(["-c", script, "sh"]).arg(mailca.get_program());
    run(shell.args(mailca.get_args())).exits(0);
    let serials = ca.serials();
    let issued = |at: usize| ca.read(&format!("newcerts/{}.pem", serials[at]));
    assert_eq!(ca.dir.read("read"), issued(0));
    assert_eq!(ca.dir.read("through"), issued(1));
}

#[test]
fn what_is_no_request_is_refused() {
    let ca = Ca::new();
    let said = ca.refuses(&["sign", "--yes"]);
    assert!(said.contains("there is no request in"), "{said}");
    ca.refuses(&["sign", "missing.csr", "--yes"]);
    ca.refuses(&["sign", "CA", "--yes"]);
    let said = ca.refuses(&["sign", "pass", "--yes"]);
    assert!(
        said.contains("pass: it holds no certificate request"),
        "{said}"
    );
    let said = ca.refuses(&["sign", "-", "--yes"]);
    assert!(said.contains("standard input: it holds no"), "{said}");
}

#[test]
fn a_foreign_request_of_a_host_s_name_leaves_the_host_alone() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let folder = ca.file("hosts");
    let before = Tree::of(&folder);
    let request = ca.request(HOST, &[]);
    let ran = ca.ok(&["sign", &request, "--yes"]);
    let note = "the request's key is not the one in ";
    assert!(
        ran.stderr.contains(note) && ran.stderr.contains("stays as it is"),
        "{ran}"
    );
    before.assert_unchanged(&folder, &ran.to_string());
    assert_eq!(ca.rows().len(), 2);

    // With the host's own key, it is the host's.
    let own = ca.file(&format!("hosts/{HOST}/key.pem"));
    let request = ca.dir.file(&format!("{HOST}.csr"));
    run(&mut ca
        .dir
        .mailca(&["req", HOST, "--key", &own, "--out-dir", "."]))
    .exits(0);
    ca.ok(&["sign", &request, "--yes"]);
    let last = ca.serials().pop().unwrap();
    let link = fs::read_link(ca.file(&format!("hosts/{HOST}"))).unwrap();
    assert_eq!(link.to_str(), Some(&*format!("{HOST}.{last}")));
    assert_eq!(
        ca.read(&format!("hosts/{HOST}/key.pem")),
        fs::read_to_string(own).unwrap()
    );
}

#[test]
fn a_waiting_key_is_not_overwritten_and_becomes_the_host_s_by_signing() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    ca.ok(&["req", HOST]);
    let waiting = ca.read(&format!("hosts/{HOST}.next/key.pem"));
    let said = ca.refuses(&["req", HOST]);
    assert!(
        said.contains("a private key is never overwritten"),
        "{said}"
    );
    let before = ca.tree();
    ca.ok(&["req", HOST, "--if-missing"]);
    before.assert_unchanged(ca.dir.path(), "req --if-missing");
    let next = ca.file(&format!("hosts/{HOST}.next/key.pem"));
    ca.ok(&["req", HOST, "--san", "smtp.example.test", "--key", &next]);
    assert_ne!(ca.read(&format!("hosts/{HOST}/key.pem")), waiting);
    ca.ok(&["sign", "--yes"]);
    assert_eq!(ca.read(&format!("hosts/{HOST}/key.pem")), waiting);
    assert!(!ca.exists(&format!("hosts/{HOST}.next")));
}

#[test]
fn policy_match_holds_a_subject_against_the_ca_s() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for (subject, why) in [
        (
            "/CN=mail",
            "subject has no C, but policy_match requires one",
        ),
        (
            "/C=DE/ST=CA/O=Example/CN=mail",
            "has C=DE, but policy_match requires C=US",
        ),
        ("/C=US/ST=CA/O=Other/CN=mail", "has O=Other, but"),
        ("/C=US/ST=CA/O=Example", "subject has no CN, but"),
    ] {
        let request = ca.openssl_request("any", &["-subj", subject]);
        let sign = ["sign", &request, "--san", HOST, "--yes", "--policy"];
        let said = ca.refuses(&[&sign[..], &["policy_match"]].concat());
        assert!(said.contains(why), "{subject}: {said}");
        assert!(said.contains("--policy policy_anything"), "{said}");
        let refused = ca.openssl_ca(&["-in", &request, "-policy", "policy_match"]);
        assert!(!refused.status.success(), "{refused}");
    }
    let request = ca.openssl_request("any", &["-subj", "/C=US/ST=CA/O=Example/CN=mail"]);
    let sign = ["sign", &request, "--san", HOST, "--yes", "--policy"];
    ca.ok(&[&sign[..], &["policy_match"]].concat());
    let said = ca.refuses(&[&sign[..], &["policy_none"]].concat());
    assert!(said.contains("no section [ policy_none ]"), "{said}");
}

#[test]
fn a_subject_is_kept_whole_only_where_that_is_asked() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let subject = "/CN=mail.example.test/title=Postmaster/O=Example/OU=One/OU=Two/C=US";
    let request = ca.openssl_request("any", &["-subj", subject]);
    let ran = ca.ok(&["sign", &request, "--yes", "--out", "policy.pem"]);
    assert!(
        ran.stderr.contains("no place for title=Postmaster"),
        "{ran}"
    );
    assert!(ran.stderr.contains("another order"), "{ran}");
    ca.ok(&[
        "sign",
        &request,
        "--yes",
        "--preserve-dn",
        "--out",
        "kept.pem",
    ]);
    let row = |at: usize| ca.rows()[at].rsplit('\t').next().unwrap().to_owned();
    assert_eq!(row(0), "/C=US/O=Example/OU=One/OU=Two/CN=mail.example.test");
    assert_eq!(row(1), subject);
    let of = |args: &[&str]| ca.dir.openssl(args);
    assert_eq!(
        of(&["req", "-in", &request, "-noout", "-subject"]),
        of(&["x509", "-in", "kept.pem", "-noout", "-subject"])
    );
}

#[test]
fn san_replaces_the_request_s_names() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.request(HOST, &["--san", "smtp.example.test"]);
    let names = [
        "--san",
        "mx.example.test",
        "--san",
        "Bücher.example",
        "--san",
        "2001:db8::1",
    ];
    ca.ok(&[&["sign", &request, "--out", "mx.pem", "--yes"], &names[..]].concat());
    let said = ca.x509("mx.pem", &["-ext", "subjectAltName"]);
    let expected =
        "DNS:mx.example.test, DNS:xn--bcher-kva.example, IP Address:2001:DB8:0:0:0:0:0:1";
    assert!(said.trim_end().ends_with(expected), "{said}");
    let nameless = ca.openssl_request("nameless", &["-subj", "/CN=Not a host"]);
    ca.ok(&["sign", &nameless, "--yes", "--profile", "client"]);
}

#[test]
fn a_lifetime_that_nobody_asked_for_is_shortened_to_the_ca_s() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--days", "100"]);
    let request = ca.request(HOST, &[]);
    ca.refuses(&["issue", "a.example.test", "--days", "101", "--yes"]);
    let ran = ca.ok(&["sign", &request, "--out", "short.pem", "--yes"]);
    assert!(ran.stderr.contains("shortened from 365 days"), "{ran}");
    let of_ca = ca.x509("CA/cacert.pem", &["-enddate"]);
    assert_eq!(ca.x509("short.pem", &["-enddate"]), of_ca);
    ca.ok(&["sign", &request, "--days", "99", "--yes"]);
}

#[test]
fn the_first_and_last_moment_are_those_given() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    let times = [
        "--not-before=2027-01-31T00:00:00Z",
        "--not-after=2028-01-31T12:30:00+02:00",
    ];
    ca.ok(&[&["sign", &request, "--out", "out.pem", "--yes"], &times[..]].concat());
    let dates = ca.x509("out.pem", &["-dates"]);
    assert!(
        dates.contains("notBefore=Jan 31 00:00:00 2027 GMT"),
        "{dates}"
    );
    assert!(
        dates.contains("notAfter=Jan 31 10:30:00 2028 GMT"),
        "{dates}"
    );
    let back = [
        "--not-before=2028-01-31T00:00:00Z",
        "--not-after=2027-01-31T00:00:00Z",
    ];
    let said = ca.refuses(&[&["sign", &request, "--yes"], &back[..]].concat());
    let why = "end at 2027-01-31T00:00:00Z, before it begins at 2028-01-31T00:00:00Z";
    assert!(said.contains(why), "{said}");
    for wrong in [
        &["--not-before", "tomorrow"][..],
        &["--days", "9", "--not-after", "x"],
    ] {
        ca.mailca(&[&["sign", &request, "--yes"], wrong].concat())
            .exits(2);
    }
}

#[test]
fn there_is_no_ca_where_there_is_none() {
    let ca = Ca::unmade(User::me());
    for command in [
        &["sign", "--yes"][..],
        &["issue", HOST, "--yes"],
        &["req", HOST],
        &["emit-mc", HOST],
    ] {
        let said = ca.refuses(command);
        assert!(
            said.contains("holds no CA") && said.contains("mailca init"),
            "{said}"
        );
    }
}

#[test]
fn what_stands_in_the_way_is_named_with_what_to_do() {
    let ca = Ca::new();
    let issue = ["issue", HOST, "--yes"];
    run(ca.dir.command("mv").args(["CA/newcerts", "elsewhere"])).exits(0);
    let said = ca.refuses(&issue);
    assert!(
        said.contains("there is no directory") && said.contains("mkdir"),
        "{said}"
    );
    run(ca.dir.command("mv").args(["elsewhere", "CA/newcerts"])).exits(0);
    ca.edit(
        "openssl.cnf",
        "default_days     = 365",
        "default_days     = soon",
    );
    let said = ca.refuses(&issue);
    assert!(
        said.contains("openssl.cnf:") && said.contains("a number of days"),
        "{said}"
    );
    ca.edit("openssl.cnf", "= soon", "= 9");
    ca.write("serial", "none\n");
    let said = ca.mailca(&issue).exits(1).stderr;
    assert!(
        said.contains("hint: put the next serial number into it"),
        "{said}"
    );
    assert!(ca.rows().is_empty() && !ca.exists("hosts/mail.example.test"));
    ca.write("serial", "01\n");
    ca.ok(&issue);

    let moved = ca.dir.create_dir("moved").join("openssl.cnf");
    fs::write(moved, "[ca]\ndefault_ca = CA\n[CA]\ndir = /nowhere\n").unwrap();
    let ran = run(&mut ca.dir.mailca(&["--ca", "moved", "issue", HOST, "--yes"])).exits(1);
    assert!(ran.stderr.contains("hint: say --ca /nowhere"), "{ran}");
}

#[test]
fn a_held_lock_is_waited_for_and_named() {
    if !require(&["flock"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", "first.example.test", "--yes"]);
    let locked = |args: &[&str]| {
        let mailca = ca.command(args);
        let mut flock = ca.dir.command("flock");
        flock
            .arg(ca.file("index.txt.lock"))
            .arg(mailca.get_program());
        run(flock.args(mailca.get_args()))
    };
    let before = ca.tree();
    let ran = locked(&["issue", HOST, "--yes", "--wait", "0"]).exits(1);
    assert!(
        ran.stderr.contains("another mailca holds the lock"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("hint: wait longer with --wait"),
        "{ran}"
    );
    before.assert_unchanged(ca.dir.path(), &ran.to_string());
    // Whoever only reads waits for nobody.
    locked(&["emit-mc", "--wait", "0"]).exits(0);
    locked(&["issue", "first.example.test", "--wait", "0"]).exits(0);
}

#[test]
fn somebody_else_s_ca_is_left_to_its_owner() {
    if !User::me().is_root() {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let before = ca.tree();
    for args in [
        &["issue", "a.example.test", "--yes"][..],
        &["req", "a.example.test"],
        &["emit-mc", HOST],
    ] {
        let mut mailca = User::ordinary().mailca();
        mailca.current_dir(ca.dir.path()).args(["--ca", "CA"]);
        let ran = run(mailca.args(args)).exits(1);
        assert!(ran.stderr.contains("Permission denied"), "{ran}");
        assert!(ran.stderr.contains("hint: run it as the owner"), "{ran}");
    }
    before.assert_unchanged(ca.dir.path(), "another user");
}

#[test]
fn out_overwrites_nothing_but_certificates_of_its_own() {
    let ca = Ca::new();
    ca.ok(&["req", HOST, "--out-dir", "."]);
    let request = format!("{HOST}.csr");
    ca.ok(&["sign", &request, "--yes", "--out", "mail.pem"]);
    ca.ok(&["sign", &request, "--yes", "--out", "mail.pem"]);
    let issued = fs::read_dir(ca.file("newcerts")).unwrap();
    let issued = issued.map(|entry| entry.unwrap().path().display().to_string());
    let before = ca.tree();
    let own = [
        "private/cakey.pem",
        "cacert.pem",
        "index.txt",
        "openssl.cnf",
    ];
    let own = own.into_iter().map(|name| ca.file(name));
    let made = [format!("{HOST}.key"), request.clone()];
    for taken in own.chain(made).chain(issued) {
        let said = ca.refuses(&["sign", &request, "--yes", "--out", &taken]);
        assert!(said.contains("is not overwritten"), "{taken}: {said}");
    }
    before.assert_unchanged(ca.dir.path(), "nothing was signed");
}

#[test]
fn a_file_that_is_replaced_keeps_its_group_or_is_closed_to_the_other_one() {
    const FOREIGN: u32 = 1;
    if !User::me().is_root() {
        return;
    }
    let user = User::ordinary();
    let ca = Ca::of(user, &[]);
    let request = ca.request(HOST, &[]);
    let out = ca.dir.file("mail.pem");
    let replaced_by = |mailca: &mut Command, group: u32, mode: u32| {
        fs::write(&out, "").unwrap();
        chown(&out, Some(user.uid), Some(group)).unwrap();
        fs::set_permissions(&out, Permissions::from_mode(mode)).unwrap();
        mailca.current_dir(ca.dir.path());
        let sign = ["--ca", "CA", "sign", &request, "--yes", "--out", "mail.pem"];
        run(mailca.args(sign)).exits(0);
        let meta = fs::metadata(&out).unwrap();
        assert_eq!(meta.uid(), user.uid);
        (meta.gid(), meta.mode() & 0o777)
    };
    for (mode, left) in [(0o640, 0o600), (0o664, 0o644), (0o604, 0o604)] {
        let by_user = replaced_by(&mut user.mailca(), FOREIGN, mode);
        assert_eq!(by_user, (user.gid, left));
        let own = replaced_by(&mut user.mailca(), user.gid, mode);
        assert_eq!(own, (user.gid, mode));
        assert_eq!(replaced_by(&mut mailca(), FOREIGN, mode), (FOREIGN, mode));
    }
}
