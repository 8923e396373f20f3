//! mailca in the CA directories that other tools made, and those tools after it.

use std::collections::BTreeSet;
use std::fs;

use super::support::layouts::{self, Layout, Tool};
use super::support::run;

/// No serial number stands twice, and every row has its certificate.
#[track_caller]
fn assert_sound(layout: &Layout) {
    let names = layout.names;
    let mut serials = BTreeSet::new();
    for row in layout.rows() {
        let [status, _, _, serial, _, subject] = &row[..] else {
            panic!("{}: {row:?}", layout.name);
        };
        assert!(serials.insert(serial.clone()), "{serial} twice");
        let kept = layout.file(&format!("{}/{serial}.pem", names.new_certs_dir));
        let moved = layout.file(&format!("revoked/certs_by_serial/{serial}.crt"));
        let file = if status == "R" && fs::exists(&moved).unwrap() {
            moved
        } else {
            kept
        };
        let command = [
            "x509", "-noout", "-serial", "-subject", "-nameopt", "compat", "-in", &file,
        ];
        let said = layout.dir.openssl(&command);
        assert_eq!(said, format!("serial={serial}\nsubject={subject}\n"));
    }
    let stem = |name: String| name.strip_suffix(".pem").map(str::to_owned);
    let files = fs::read_dir(layout.file(names.new_certs_dir)).unwrap();
    let files = files.filter_map(|entry| stem(entry.unwrap().file_name().into_string().unwrap()));
    for file in files {
        assert!(serials.contains(&file), "{file} has no row");
    }
}

#[track_caller]
fn serial_of(layout: &Layout, certificate: &str) -> String {
    let command = ["x509", "-noout", "-serial", "-in", certificate];
    let said = layout.dir.openssl(&command);
    said.trim().strip_prefix("serial=").unwrap().to_owned()
}

/// The years of such a CA, all of them in a row.
#[track_caller]
fn lives(layout: &Layout) {
    // The tool, as ever.
    let first = layout.tool_signs("first.example.test");

    // Then mailca.
    let request = layout.request("second.example.test");
    layout.signs(&["sign", &request, "--out", "second.example.test.crt"]);
    let second = layout.dir.file("second.example.test.crt");
    layout.verify(&second).exits(0);
    layout.signs(&["issue", "mx.example.test"]);
    let mx = layout.file("hosts/mx.example.test/cert.pem");
    layout.verify(&mx).exits(0);
    let lines = layout.ok(&["emit-mc", "mx.example.test"]).stdout;
    let certificate = layout.file(layout.names.certificate);
    assert!(lines.contains(&format!("`{certificate}'")), "{lines}");
    let listed = layout.ok(&["list"]).stdout;
    for host in ["first", "second", "mx"] {
        assert!(listed.contains(&format!("{host}.example.test")), "{listed}");
        let host = format!("{host}.example.test");
        let shown = layout.ok(&["show", &host]).stdout;
        assert!(shown.contains(&host), "{shown}");
    }
    layout.ok(&["status"]);
    layout.ok(&["verify", "mx.example.test", "--host", "mx.example.test"]);

    // A certificate of the tool is revoked by mailca, and is in the CRL where the tool has it.
    layout.signs(&["revoke", "first.example.test", "--reason", "superseded"]);
    let said = layout.verify(&first).exits(2);
    assert!(said.stderr.contains("certificate revoked"), "{said}");
    layout.verify(&second).exits(0);
    layout.mailca(&["verify", &first]).exits(3);
    layout.ok(&["status"]);

    // Renewed under its key, as the register permits.
    let old = serial_of(layout, &mx);
    let renewed = layout.mailca(&[
        "renew",
        "mx.example.test",
        "--yes",
        "--passphrase-file=pass",
    ]);
    if renewed.code() != 0 {
        assert!(renewed.stderr.contains("unique_subject"), "{renewed}");
        layout.signs(&["renew", "mx.example.test", "--revoke-old"]);
    }
    assert_ne!(serial_of(layout, &mx), old);
    layout.verify(&mx).exits(0);
    layout.signs(&["crl"]);
    assert_sound(layout);
    renew_the_ca(layout);
    layout.verify(&mx).exits(0);
    layout.verify(&second).exits(0);

    // The tool goes on, also with what mailca issued.
    let third = layout.tool_signs("third.example.test");
    layout.verify(&third).exits(0);
    layout.tool_revokes(&second);
    layout.tool_makes_crl();
    let said = layout.verify(&serial_file(layout, &second)).exits(2);
    assert!(said.stderr.contains("certificate revoked"), "{said}");
    layout.verify(&third).exits(0);
    assert_sound(layout);

    // And mailca again.
    layout.ok(&["list"]);
    layout.signs(&["issue", "last.example.test"]);
    layout.signs(&["revoke", "third.example.test"]);
    let said = layout.verify(&third).exits(2);
    assert!(said.stderr.contains("certificate revoked"), "{said}");
    layout.signs(&["crl"]);
    layout.ok(&["status"]);
    assert_sound(layout);
    layout.openssl_ca(&["-updatedb"]).exits(0);
    let shown = layout.ok(&["show", &serial_of(layout, &serial_file(layout, &second))]);
    assert!(shown.stdout.contains("second.example.test"), "{shown}");
}

/// A certificate's file, wherever easy-rsa has put it.
fn serial_file(layout: &Layout, given: &str) -> String {
    if fs::exists(given).unwrap() {
        return given.to_owned();
    }
    let row = layout
        .rows()
        .into_iter()
        .find(|row| row[5].contains("second"));
    layout.file(&format!("revoked/certs_by_serial/{}.crt", row.unwrap()[3]))
}

#[track_caller]
fn renew_the_ca(layout: &Layout) {
    let own = layout.file(layout.names.certificate);
    let before = serial_of(layout, &own);
    if layout.is_root() {
        layout.signs(&["renew-ca"]);
        assert_ne!(serial_of(layout, &own), before);
        return;
    }
    // Only the CA above it can; what to give that is in the hint.
    let said = layout
        .mailca(&["renew-ca", "--yes", "--passphrase-file=pass"])
        .exits(1)
        .stderr;
    let hint = said
        .lines()
        .find_map(|line| line.strip_prefix("hint: "))
        .unwrap();
    let (_, command) = hint
        .split_once("this makes: ")
        .unwrap_or_else(|| panic!("{said}"));
    layout.sh(&format!("{command} -passin file:pass"));
    layout.sh(
        "openssl ca -config ca/openssl.cnf -extensions v3_intermediate_ca -batch -notext \
         -passin file:pass -in ca.csr -out new.pem 2>said || \
         { openssl ca -config ca/openssl.cnf -batch -passin file:pass \
            -revoke ca/newcerts/1000.pem
         openssl ca -config ca/openssl.cnf -extensions v3_intermediate_ca -batch -notext \
            -passin file:pass -in ca.csr -out new.pem; }
         cat new.pem >new && mv -f new ca/intermediate/certs/intermediate.cert.pem",
    );
    assert_ne!(serial_of(layout, &own), before);
}

#[track_caller]
fn lives_as(name: &str) {
    let (_, make) = layouts::all()
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a layout's name");
    if let Some(layout) = make() {
        lives(&layout);
    }
}

#[test]
fn the_book_s() {
    lives_as("book");
}

#[test]
fn ca_pl_s() {
    lives_as("demoCA");
}

#[test]
fn a_tutorial_s_root() {
    lives_as("tutorial root");
}

#[test]
fn a_tutorial_s_intermediate() {
    lives_as("tutorial intermediate");
}

#[test]
fn easy_rsa_s() {
    lives_as("easy-rsa");
}

#[test]
fn rabbitmq_s() {
    lives_as("testca");
}

#[test]
fn sign_sh_s() {
    lives_as("sign.sh");
}

#[test]
fn one_with_its_settings_in_etc() {
    lives_as("simple PKI");
}

#[test]
fn one_with_a_folder_db() {
    lives_as("db folder");
}
