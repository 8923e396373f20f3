//! `openssl ca` and mailca revoke in one directory, side by side; OpenSSL and GnuTLS accept the
//! CRLs of both.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use super::book::listing;
use super::support::invariants::broken;
use super::support::{Ca, Ran, User, require, run, tell};

mod without_row;

const SINCE: &str = "20260131000000Z";

/// Options of `openssl ca -revoke` and of `mailca revoke` that say the same.
const REASONS: [(&[&str], &[&str]); 9] = [
    (&[], &[]),
    (
        &["-crl_reason", "keyCompromise"],
        &["--reason=keyCompromise"],
    ),
    (&["-crl_reason", "CACompromise"], &["--reason=cacompromise"]),
    (
        &["-crl_reason", "affiliationChanged"],
        &["--reason=affiliationChanged"],
    ),
    (&["-crl_reason", "superseded"], &["--reason=superseded"]),
    (
        &["-crl_reason", "cessationOfOperation"],
        &["--reason=cessationOfOperation"],
    ),
    (
        &["-crl_reason", "certificateHold"],
        &["--reason=certificateHold"],
    ),
    (
        &["-crl_compromise", SINCE],
        &["--compromised-at=2026-01-31T00:00:00Z"],
    ),
    (
        &["-crl_CA_compromise", SINCE],
        &[
            "--reason=CACompromise",
            "--compromised-at=2026-01-31T01:00:00+01:00",
        ],
    ),
];

/// What only OpenSSL writes.
const THEIRS: [&[&str]; 4] = [
    &["-crl_reason", "unspecified"],
    &["-crl_reason", "removeFromCRL"],
    &["-crl_hold", "holdInstructionReject"],
    &["-crl_hold", "1.2.3.4"],
];

/// Issues a certificate; its serial number.
#[track_caller]
fn issue(ca: &Ca, host: &str) -> String {
    ca.ok(&["issue", host, "--yes"]);
    ca.serials().pop().expect("a row")
}

#[track_caller]
fn openssl_revokes(ca: &Ca, serial: &str, options: &[&str]) {
    let file = format!("newcerts/{serial}.pem");
    ca.openssl_ca(&[&["-revoke", &file], options].concat())
        .exits(0);
}

#[track_caller]
fn openssl_publishes(ca: &Ca, out: &str) {
    ca.openssl_ca(&["-gencrl", "-out", out]).exits(0);
}

/// One property of a CRL, as `openssl crl -noout` prints it.
#[track_caller]
fn crl(ca: &Ca, file: &str, property: &str) -> String {
    ca.dir.openssl(&["crl", "-noout", "-in", file, property])
}

#[track_caller]
fn number(ca: &Ca, file: &str) -> u64 {
    let said = crl(ca, file, "-crlnumber");
    let digits = said.trim().trim_start_matches("crlNumber=");
    let digits = digits.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The entries of a CRL as OpenSSL shows them: serial number, date, reason, invalidity date, hold
/// instruction. OpenSSL writes the reason unspecified; RFC 5280 section 5.3.1 wants none.
#[track_caller]
fn entries(ca: &Ca, file: &str) -> BTreeSet<String> {
    let unspecified = "        CRL entry extensions:\n            X509v3 CRL Reason Code: \n                \
                       Unspecified\n";
    let text = crl(ca, file, "-text");
    let mut list = text.split("    Serial Number: ");
    list.next();
    list.map(|entry| {
        let entry = entry.split("    Signature Algorithm").next();
        entry.unwrap_or_default().replace(unspecified, "")
    })
    .collect()
}

/// The serial numbers of the rows that are revoked.
fn revoked(ca: &Ca) -> BTreeSet<String> {
    let rows = ca.rows();
    let rows = rows.iter().filter(|row| row.starts_with("R\t"));
    rows.map(|row| row.split('\t').nth(3).unwrap().to_owned())
        .collect()
}

/// Every row that is revoked is in the CRL, and nothing else.
#[track_caller]
fn assert_lists_register(ca: &Ca, file: &str) {
    let listed = entries(ca, file);
    let serials = listed.iter().map(|entry| entry.lines().next().unwrap());
    let serials: BTreeSet<_> = serials.map(str::to_owned).collect();
    assert_eq!(serials, revoked(ca), "{file}");
    assert_eq!(serials.len(), listed.len());
}

#[track_caller]
fn field(row: &str, number: usize) -> &str {
    row.split('\t').nth(number).unwrap()
}

/// A row without what differs between two certificates, or two times at which they are revoked.
#[track_caller]
fn masked(before: &str, after: &str) -> String {
    for same in [1, 3, 4, 5] {
        assert_eq!(field(before, same), field(after, same));
    }
    let revocation = field(after, 2);
    let (date, reason) = revocation.split_at(13);
    assert!(
        date.ends_with('Z') && date[..12].bytes().all(|byte| byte.is_ascii_digit()),
        "{after}"
    );
    format!(
        "{}\t{reason}\t{}",
        field(after, 0),
        after.matches('\t').count()
    )
}

#[test]
fn both_write_the_same_rows_and_the_same_crl() {
    if !require(&["openssl"]) {
        return;
    }
    for unique in ["no", "yes"] {
        let ca = Ca::new();
        ca.write("index.txt.attr", &format!("unique_subject = {unique}\n"));
        let mut pairs = Vec::new();
        for number in 0..REASONS.len() {
            let theirs = issue(&ca, &format!("theirs{number}.example.test"));
            let ours = issue(&ca, &format!("ours{number}.example.test"));
            pairs.push((theirs, ours));
        }
        let before = ca.rows();
        for ((openssl, mailca), (theirs, ours)) in REASONS.iter().zip(&pairs) {
            openssl_revokes(&ca, theirs, openssl);
            ca.ok(&[&["revoke", ours, "--yes"], *mailca].concat());
        }
        for (pair, reason) in REASONS.iter().enumerate() {
            let after = ca.rows();
            let [theirs, ours] =
                [2 * pair, 2 * pair + 1].map(|row| masked(&before[row], &after[row]));
            assert_eq!(theirs, ours, "{reason:?}");
        }
        let more: Vec<_> = (0..THEIRS.len())
            .map(|number| issue(&ca, &format!("more{number}.example.test")))
            .collect();
        for (serial, options) in more.iter().zip(THEIRS) {
            openssl_revokes(&ca, serial, options);
        }
        issue(&ca, "left.example.test");
        openssl_publishes(&ca, "../theirs.pem");
        let rows = ca.rows();
        ca.ok(&["crl"]);
        assert_eq!(ca.rows(), rows);
        let ours = entries(&ca, "CA/crl/crl.pem");
        assert_eq!(entries(&ca, "theirs.pem"), ours);
        assert_eq!(ours.len(), 2 * REASONS.len() + THEIRS.len());
        ca.openssl_ca(&["-updatedb"]).exits(0);
        assert_eq!(ca.rows(), rows);
    }
}

#[test]
fn both_take_turns_at_revoking_and_publishing() {
    if !require(&["openssl"]) {
        return;
    }
    for key_type in ["p256", "p384", "ed25519", "rsa2048"] {
        let ca = Ca::of(User::me(), &["--key-type", key_type]);
        let file = "CA/crl/crl.pem";
        let mut last = 0;
        let mut check = || {
            let now = number(&ca, file);
            assert!(now > last, "{now} after {last}");
            last = now;
            assert_lists_register(&ca, file);
            let issuer = ca.file("cacert.pem");
            let verify = ["crl", "-noout", "-verify", "-CAfile", &issuer, "-in", file];
            ca.dir.openssl(&verify);
        };
        for round in 0..3 {
            let theirs = issue(&ca, &format!("theirs{round}.example.test"));
            let ours = issue(&ca, &format!("ours{round}.example.test"));
            openssl_revokes(&ca, &theirs, &["-crl_reason", "superseded"]);
            openssl_publishes(&ca, "crl/crl.pem");
            check();
            ca.ok(&["revoke", &ours, "--yes"]);
            check();
            openssl_publishes(&ca, "crl/crl.pem");
            check();
            ca.ok(&["crl"]);
            check();
        }
        assert_eq!(revoked(&ca).len(), 6);
    }
}

#[test]
fn a_crl_number_exceeds_the_file_and_the_present_crl() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let file = "CA/crl/crl.pem";
    let publish = || {
        ca.ok(&["crl"]);
        number(&ca, file)
    };
    for (content, expected, next) in [
        // As some CAs begin.
        (Some("00\n"), 1, "02\n"),
        (Some("0F\n"), 0x0F, "10\n"),
        // An older file was put back, or it is gone.
        (Some("03\n"), 0x10, "11\n"),
        (None, 0x11, "12\n"),
        (Some("FF\n"), 0xFF, "0100\n"),
        (Some("1000"), 0x1000, "1001\n"),
    ] {
        match content {
            Some(text) => ca.write("crlnumber", text),
            None => std::fs::remove_file(ca.file("crlnumber")).unwrap(),
        }
        assert_eq!(publish(), expected);
        assert_eq!(ca.read("crlnumber"), next);
        openssl_publishes(&ca, "../theirs.pem");
        assert_eq!(number(&ca, "theirs.pem"), expected + 1);
    }
    ca.write("crlnumber", "no number\n");
    let error = ca.refuses(&["crl"]);
    assert!(error.contains("crlnumber: \"no\" is not"), "{error}");
    ca.write("crlnumber", "2000\n");
    ca.write("crl/crl.pem", "no CRL\n");
    let error = ca.refuses(&["crl"]);
    assert!(error.contains("crl.pem: it holds no CRL"), "{error}");
    // What the hint says, works.
    let hint = error.split_once("publish another: ").expect("a hint").1;
    let bin = Path::new(env!("CARGO_BIN_EXE_mailca")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    run(ca.dir.command("sh").env("PATH", path).args(["-c", hint])).exits(0);
    assert_eq!(number(&ca, file), 0x2000);
}

#[test]
fn odd_rows_are_listed_as_openssl_lists_them_or_refused() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    // Numbers that old CAs gave: zero, and longer than RFC 5280 permits.
    let long = "7F".repeat(24);
    for (serial, revocation) in [
        ("00", "261125021212Z"),
        ("7F", "991231235959Z,superseded"),
        ("0A00", "261125021212Z,KEYCOMPROMISE"),
        (&long, "261125021212Z,CAkeyTime,20260131000000Z"),
    ] {
        let row = format!("R\t271125021212Z\t{revocation}\t{serial}\tunknown\t/CN={serial}\n");
        ca.write("index.txt", &(ca.read("index.txt") + &row));
    }
    openssl_publishes(&ca, "../theirs.pem");
    ca.ok(&["crl"]);
    let ours = entries(&ca, "CA/crl/crl.pem");
    assert_eq!(ours, entries(&ca, "theirs.pem"));
    assert_eq!(ours.len(), 4);
    assert_eq!(ca.json(&["crl", "--expiring=1h"])["changed"], false);
    // What openssl ca stops at is not left out either.
    let good = ca.read("index.txt");
    for (row, why) in [
        (
            "R\t271125021212Z\t261125021212Z,because\t0B\tunknown\t/CN=b",
            "the revocation",
        ),
        (
            "R\t271125021212Z\tyesterday\t0B\tunknown\t/CN=b",
            "the revocation",
        ),
        (
            "R\t271125021212Z\t261125021212Z\t0B\t/CN=b",
            "is no row of six fields",
        ),
    ] {
        ca.write("index.txt", &format!("{good}{row}\n"));
        let refused = ca.openssl_ca(&["-gencrl", "-out", "../theirs.pem"]);
        assert!(!refused.status.success(), "{refused}");
        let error = ca.refuses(&["crl"]);
        assert!(error.contains(why), "{error}");
    }
}

/// Listing 6.2 of the book with Debian's openssl.cnf, and a certificate that OpenSSL issued.
fn stock(settings: &str) -> Ca {
    let script = format!(
        "sed -i 's|= ./demoCA|= .|' openssl.cnf; {settings}
        : >index.txt; echo 01 >serial; rmdir crl
        openssl req -new -nodes -newkey rsa:2048 -keyout /dev/null -out 1.csr \
            -config openssl.cnf -subj '/C=US/ST=California/O=Example/CN=old.example.test' 2>../said
        openssl ca -batch -config openssl.cnf -passin file:../pass -in 1.csr -out 1.pem 2>../said"
    );
    listing(User::me(), &script)
}

/// Until when a CRL is valid, in seconds from its beginning.
#[track_caller]
fn lifetime(ca: &Ca, file: &str) -> i64 {
    let seconds = |property| {
        let said = crl(ca, file, property);
        let (_, date) = said.trim().split_once('=').unwrap();
        let mut command = ca.dir.command("date");
        let said = run(command.args(["-u", "+%s", "-d", date])).exits(0).stdout;
        said.trim().parse::<i64>().unwrap()
    };
    seconds("-nextupdate") - seconds("-lastupdate")
}

const DAY: i64 = 86400;

#[test]
fn the_stock_openssl_cnf_publishes_where_it_says() {
    if !require(&["openssl"]) {
        return;
    }
    let hours = "sed -i 's/^default_crl_days.*/default_crl_hours = 36/' openssl.cnf";
    let both = "sed -i 's/^default_crl_days.*/default_crl_days = 2\\ndefault_crl_hours = 3/' \
                openssl.cnf";
    for (settings, expected) in [
        ("", 30 * DAY),
        (hours, 36 * 3600),
        (both, 2 * DAY + 3 * 3600),
    ] {
        let ca = stock(settings);
        assert!(!ca.exists("crlnumber") && !ca.exists("crl"));
        let revoke = ["revoke", "01", "--yes", "--passphrase-file=pass"];
        ca.ok(&[&revoke[..], &["--reason=superseded"]].concat());
        // crl = $dir/crl.pem, crl_dir = $dir/crl
        let hash = ca.x509("CA/cacert.pem", &["-hash"]);
        let link = std::fs::read_link(ca.file(&format!("crl/{}.r0", hash.trim()))).unwrap();
        assert_eq!(link, Path::new("../crl.pem"));
        assert!(ca.exists("crl.der") && ca.exists(&format!("crl/{}.r0", hash.trim())));
        assert_lists_register(&ca, "CA/crl.pem");
        assert_eq!(
            (number(&ca, "CA/crl.pem"), lifetime(&ca, "CA/crl.pem")),
            (1, expected)
        );
        ca.openssl_ca(&["-gencrl", "-passin", "file:../pass", "-out", "crl.pem"])
            .exits(0);
        assert_eq!(
            (number(&ca, "CA/crl.pem"), lifetime(&ca, "CA/crl.pem")),
            (2, expected)
        );
        assert_lists_register(&ca, "CA/crl.pem");
        ca.ok(&["crl", "--days=7", "--passphrase-file=pass"]);
        assert_eq!(
            (number(&ca, "CA/crl.pem"), lifetime(&ca, "CA/crl.pem")),
            (3, 7 * DAY)
        );
    }
}

/// `openssl verify` with the CA certificate and CRL that `options` tell.
fn verify(ca: &Ca, certificate: &str, options: &[&str]) -> Ran {
    let mut openssl = ca.dir.command("openssl");
    openssl.args(["verify", "-x509_strict", "-crl_check_all"]);
    run(openssl.args(options).arg(certificate))
}

fn certtool(ca: &Ca, certificate: &str) -> Ran {
    let mut certtool = ca.dir.command("certtool");
    certtool.args(["--verify", "--infile", certificate]);
    certtool.args(["--load-ca-certificate", &ca.file("cacert.pem")]);
    run(certtool.args(["--load-crl", &ca.file("crl/crl.pem")]))
}

#[test]
fn others_accept_the_crl_and_refuse_the_revoked() {
    if !require(&["openssl", "certtool"]) {
        return;
    }
    for key_type in ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"] {
        let ca = Ca::of(User::me(), &["--key-type", key_type]);
        let [bad, good] = ["bad", "good"].map(|host| {
            let serial = issue(&ca, &format!("{host}.example.test"));
            ca.file(&format!("newcerts/{serial}.pem"))
        });
        let (issuer, crl) = (ca.file("cacert.pem"), ca.file("crl/crl.pem"));
        let given = ["-CAfile", &issuer, "-CRLfile", &crl];
        // In a folder, OpenSSL looks for the names of hash links alone.
        let folder = ca.file("crl");
        let by_hash = ["-CAfile", &issuer, "-CApath", &folder];
        ca.ok(&["crl"]);
        for certificate in [&bad, &good] {
            verify(&ca, certificate, &given).exits(0);
            certtool(&ca, certificate).exits(0);
        }
        ca.ok(&["revoke", &bad, "--yes", "--reason=keyCompromise"]);
        for options in [&given[..], &by_hash] {
            let ran = verify(&ca, &bad, options).exits(2);
            assert!(ran.stderr.contains("certificate revoked"), "{ran}");
            verify(&ca, &good, options).exits(0);
        }
        let ran = certtool(&ca, &bad);
        assert!(!ran.status.success(), "{ran}");
        assert!(ran.stdout.contains("revoked"), "{ran}");
        certtool(&ca, &good).exits(0);
        // Both forms are one CRL.
        let forms = ["pem", "der"].map(|form| {
            let file = ca.file(&format!("crl/crl.{form}"));
            ca.dir.openssl(&["crl", "-in", &file, "-outform", "PEM"])
        });
        assert_eq!(forms[0], forms[1]);
        assert_eq!(forms[0], ca.read("crl/crl.pem"));
    }
}

#[test]
fn another_ca_s_crl_keeps_its_link() {
    if !require(&["openssl"]) {
        return;
    }
    // Two CAs of one name have one hash.
    let (ca, other) = (Ca::new(), Ca::new());
    other.ok(&["crl"]);
    let hash = ca.x509("CA/cacert.pem", &["-hash"]);
    let [first, second] = ["r0", "r1"].map(|end| format!("crl/{}.{end}", hash.trim()));
    let theirs = other.read("crl/crl.pem");
    for kind in ["file", "link"] {
        let script = match kind {
            "file" => format!("cp {} CA/{first}", other.file("crl/crl.pem")),
            _ => format!(
                "rm -f CA/crl/*; cp {} other.pem; ln -s ../../other.pem CA/{first}",
                other.file("crl/crl.pem")
            ),
        };
        run(ca.dir.command("sh").args(["-c", &script])).exits(0);
        let serial = issue(&ca, &format!("{kind}.example.test"));
        ca.ok(&["revoke", &serial, "--yes"]);
        assert_eq!(ca.read(&first), theirs);
        assert_eq!(
            std::fs::read_link(ca.file(&second)).unwrap(),
            Path::new("crl.pem")
        );
        // Published again, it is the same link.
        ca.ok(&["crl"]);
        assert!(!ca.exists(&format!("crl/{}.r2", hash.trim())));
        let report = ca.json(&["crl", "--expiring=1h"]);
        assert_eq!(report["changed"], false);
        assert_eq!(report["link"], *ca.file(&second));
    }
}

const WRITERS: usize = 16;
const ROUNDS: usize = 4;

#[test]
fn sixteen_processes_revoke_publish_and_sign() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.request("signed.example.com", &[]);
    let ready: Vec<String> = (0..WRITERS * ROUNDS)
        .map(|number| issue(&ca, &format!("h{number}.example.com")))
        .collect();
    let numbers: Vec<Vec<String>> = thread::scope(|scope| {
        let (ca, ready, request) = (&ca, &ready, &request);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut numbers = Vec::new();
                    for round in 0..ROUNDS {
                        let out = format!("{writer}-{round}.pem");
                        let wait = ["--yes", "--wait=100"];
                        let sign = ["sign", request, "--out", &out];
                        ca.ok(&[&sign[..], &wait].concat());
                        let number = writer * ROUNDS + round;
                        let revoke = ["revoke", &ready[number], "--reason=superseded"];
                        let report = ca.json(&[&revoke[..], &wait].concat());
                        numbers.push(report["crl"]["number"].as_str().unwrap().to_owned());
                        if number.is_multiple_of(3) {
                            let report = ca.json(&["crl", "--wait=100"]);
                            numbers.push(report["number"].as_str().unwrap().to_owned());
                        }
                    }
                    numbers
                })
            })
            .collect();
        let ended = writers.into_iter().map(|writer| writer.join().unwrap());
        ended.collect()
    });
    let value = |text: &String| u64::from_str_radix(text, 16).unwrap();
    for own in &numbers {
        assert!(own.is_sorted_by_key(value), "{own:?}");
    }
    let all: BTreeSet<u64> = numbers.iter().flatten().map(value).collect();
    let count = numbers.iter().flatten().count();
    assert_eq!(all.len(), count, "{all:?}");
    assert_eq!(number(&ca, "CA/crl/crl.pem"), *all.last().unwrap());
    assert_eq!(
        value(&ca.read("crlnumber").trim().into()),
        all.last().unwrap() + 1
    );

    assert_eq!(ca.rows().len(), 2 * WRITERS * ROUNDS);
    assert_eq!(revoked(&ca), ready.into_iter().collect());
    assert_lists_register(&ca, "CA/crl/crl.pem");
    let problems = broken(Path::new(&ca.file("")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    openssl_publishes(&ca, "../theirs.pem");
    assert_eq!(entries(&ca, "theirs.pem"), entries(&ca, "CA/crl/crl.pem"));
    tell(&format!("{count} CRLs by {WRITERS} processes"));
}
