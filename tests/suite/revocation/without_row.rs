//! What only the CRL knows stays in the CRL, as long as it is this CA's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{REASONS, entries, issue, number, openssl_publishes, openssl_revokes, verify};
use crate::support::{Ca, User, require};

const CRL: &str = "CA/crl/crl.pem";

/// Takes the rows of some certificates out of the register.
fn lose(ca: &Ca, serials: &[String]) {
    let rows = ca.rows().into_iter();
    let left = rows.filter(|row| !serials.iter().any(|serial| row.contains(serial)));
    let left: String = left.map(|row| row + "\n").collect();
    ca.write("index.txt", &left);
}

/// A CA with a certificate revoked for each reason that there is.
fn revoked_for_each_reason() -> (Ca, Vec<String>) {
    let ca = Ca::new();
    let mut serials = Vec::new();
    for (number, (_, options)) in REASONS.iter().enumerate() {
        let serial = issue(&ca, &format!("mx{number}.example.test"));
        ca.ok(&[&["revoke", &serial, "--yes"], *options].concat());
        serials.push(serial);
    }
    let held = issue(&ca, "held.example.test");
    openssl_revokes(&ca, &held, &["-crl_hold", "holdInstructionReject"]);
    serials.push(held);
    ca.ok(&["crl"]);
    (ca, serials)
}

#[test]
fn an_entry_whose_row_is_gone_stays_as_it_is() {
    if !require(&["openssl"]) {
        return;
    }
    let (ca, serials) = revoked_for_each_reason();
    let register = ca.read("index.txt");
    let before = entries(&ca, CRL);
    assert_eq!(before.len(), serials.len());
    let all_but_one = &serials[1..];
    lose(&ca, all_but_one);
    for round in 1..3 {
        let at = number(&ca, CRL);
        let ran = ca.ok(&["crl"]);
        assert_eq!(entries(&ca, CRL), before, "round {round}");
        assert_eq!(number(&ca, CRL), at + 1);
        let warning = format!(
            "warning: the CRL goes on listing {} and {} more, of which {} has no row; mailca --ca {} \
             repair puts back what newcerts still has\n",
            all_but_one[..5].join(", "),
            all_but_one.len() - 5,
            ca.file("index.txt"),
            ca.file("").trim_end_matches('/')
        );
        assert_eq!(ran.stderr, warning);
    }
    let report = ca.json(&["crl"]);
    assert_eq!(report["without_row"], json!(all_but_one));
    assert_eq!(report["entries"], serials.len());
    let fresh = ca.json(&["crl", "--expiring", "1h"]);
    assert_eq!(fresh["changed"], false);
    assert_eq!(fresh["without_row"], json!(all_but_one));
    for serial in &serials {
        let file = format!("CA/newcerts/{serial}.pem");
        let options = ["-CAfile", "CA/cacert.pem", "-CRLfile", CRL];
        let ran = verify(&ca, &file, &options);
        assert!(ran.stderr.contains("certificate revoked"), "{ran}");
    }

    // Another revocation, by each command that can.
    let next = issue(&ca, "next.example.test");
    let report = ca.json(&["revoke", &next, "--yes"]);
    assert_eq!(report["crl"]["without_row"], json!(all_but_one));
    assert_eq!(entries(&ca, CRL).len(), before.len() + 1);
    let late = issue(&ca, "late.example.test");
    ca.ok(&["revoke", &late, "--yes", "--no-crl"]);
    assert_eq!(ca.json(&["crl", "--expiring", "1h"])["changed"], true);
    issue(&ca, "old.example.test");
    let renewed = [
        "renew",
        "old.example.test",
        "--revoke-old",
        "--yes",
        "--json",
    ];
    let ran = ca.ok(&renewed);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["crl"]["without_row"], json!(all_but_one));
    assert!(ran.stderr.contains("goes on listing"), "{ran}");
    assert_eq!(entries(&ca, CRL).len(), before.len() + 3);
    assert!(entries(&ca, CRL).is_superset(&before));

    // With their rows, each is there once.
    let mut rows = ca.rows();
    let lost = register
        .lines()
        .filter(|row| !rows.iter().any(|it| it == row));
    let lost: Vec<String> = lost.map(str::to_owned).collect();
    rows.extend(lost);
    ca.write("index.txt", &(rows.join("\n") + "\n"));
    let ran = ca.ok(&["crl"]);
    assert_eq!(ran.stderr, "");
    assert_eq!(entries(&ca, CRL).len(), before.len() + 3);
    assert_eq!(ca.json(&["crl"])["without_row"], json!([]));
}

#[test]
fn a_row_decides_where_there_is_one() {
    if !require(&["openssl"]) {
        return;
    }
    let (ca, serials) = revoked_for_each_reason();
    // The last was on hold, and somebody released it.
    let held = serials.last().unwrap();
    let rows = ca.rows().into_iter().map(|row| {
        let mut fields: Vec<&str> = row.split('\t').collect();
        if fields[3] == held {
            (fields[0], fields[2]) = ("V", "");
        }
        fields.join("\t") + "\n"
    });
    let rows: String = rows.collect();
    ca.write("index.txt", &rows);
    let ran = ca.ok(&["crl"]);
    assert_eq!(ran.stderr, "");
    let left = entries(&ca, CRL);
    assert_eq!(left.len(), serials.len() - 1);
    assert!(!left.iter().any(|entry| entry.starts_with(held.as_str())));
}

#[test]
fn what_openssl_published_stays_too() {
    if !require(&["openssl"]) {
        return;
    }
    // An old CA's CRL has a signature that nobody would make today.
    for (key_type, digest) in [("p256", "sha1"), ("rsa2048", "sha1"), ("rsa2048", "sha256")] {
        let ca = Ca::of(User::me(), &["--key-type", key_type]);
        let serials = ["a", "b"].map(|host| issue(&ca, &format!("{host}.example.test")));
        for serial in &serials {
            openssl_revokes(&ca, serial, &["-crl_reason", "superseded"]);
        }
        let gencrl = ["-gencrl", "-md", digest, "-out", "crl/crl.pem"];
        ca.openssl_ca(&gencrl).exits(0);
        let before = entries(&ca, CRL);
        lose(&ca, &serials[..1]);
        let report = ca.json(&["crl"]);
        assert_eq!(report["without_row"], json!([serials[0]]), "{digest}");
        assert_eq!(entries(&ca, CRL), before);
    }
}

#[test]
fn what_another_key_signed_or_nobody_is_not_taken_over() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let own = issue(&ca, "own.example.test");
    ca.ok(&["revoke", &own, "--yes"]);
    let expected = entries(&ca, CRL);
    for (other, why) in [
        (
            Ca::named("/CN=Other CA"),
            "it is of another CA, CN=Other CA",
        ),
        (Ca::new(), "the signature does not match the key of"),
    ] {
        let theirs = issue(&other, "theirs.example.test");
        other.ok(&["revoke", &theirs, "--yes"]);
        ca.write("crl/crl.pem", &other.read("crl/crl.pem"));
        let ran = ca.ok(&["crl"]);
        let begin = format!(
            "warning: {} listed 1 certificate of which {} has no row, and the new CRL does not: ",
            ca.file("crl/crl.pem"),
            ca.file("index.txt")
        );
        assert!(
            ran.stderr.starts_with(&begin) && ran.stderr.contains(why),
            "{ran}"
        );
        assert_eq!(entries(&ca, CRL), expected);
        // It is due, whatever it lists beside.
        ca.write("crl/crl.pem", &other.read("crl/crl.pem"));
        assert_eq!(ca.json(&["crl", "--expiring", "1h"])["changed"], true);
    }

    // One octet of an entry was changed.
    let lost = issue(&ca, "lost.example.test");
    ca.ok(&["revoke", &lost, "--yes"]);
    ca.ok(&["crl"]);
    lose(&ca, &[lost]);
    let der = ca.dir.path().join("CA/crl/crl.der");
    let mut bytes = std::fs::read(&der).unwrap();
    let date = bytes
        .windows(2)
        .rposition(|two| two == [0x17, 0x0D])
        .unwrap();
    bytes[date + 2 + 11] ^= 1;
    std::fs::write(ca.dir.path().join(CRL), &bytes).unwrap();
    let ran = ca.ok(&["crl"]);
    assert!(ran.stderr.contains("the signature does not match"), "{ran}");
    assert_eq!(entries(&ca, CRL), expected);

    // A part of what is revoked, or not only this CA's.
    ca.write(
        "openssl.cnf",
        &(ca.read("openssl.cnf")
            + "\n[ narrow ]\nissuingDistributionPoint = critical, @idp\n[ idp ]\nindirectCRL = TRUE\n"),
    );
    let lost = issue(&ca, "indirect.example.test");
    openssl_revokes(&ca, &lost, &[]);
    ca.ok(&["crl"]);
    ca.openssl_ca(&["-gencrl", "-crlexts", "narrow", "-out", "crl/crl.pem"])
        .exits(0);
    lose(&ca, &[lost]);
    let ran = ca.ok(&["crl"]);
    assert!(ran.stderr.contains("the critical extension"), "{ran}");
    assert_eq!(entries(&ca, CRL), expected);
    openssl_publishes(&ca, "../theirs.pem");
    let serials = |file| -> BTreeSet<String> {
        let all = entries(&ca, file).into_iter();
        all.filter_map(|entry| Some(entry.lines().next()?.to_owned()))
            .collect()
    };
    assert_eq!(serials("theirs.pem"), serials(CRL));
}
