//! `check` on CAs that are whole and yet of no use, or of little.

use std::fs;

use super::damage::problems_in;
use super::support::{Ca, User, run};

#[track_caller]
fn finds(ca: &Ca, options: &[&str], problem: &str) {
    let ran = ca.mailca(&[&["check", "--json"], options].concat());
    let found = problems_in(&ran);
    assert!(found.contains(problem), "{ran}");
}

#[track_caller]
fn is_clean(ca: &Ca, options: &[&str]) {
    let before = ca.tree();
    let ran = ca.ok(&[&["check"], options].concat());
    assert!(ran.stdout.contains(": nothing is wrong\n"), "{ran}");
    before.assert_unchanged(ca.dir.path(), "check");
}

/// A CA certificate for the same key, made by OpenSSL.
#[track_caller]
fn certify(ca: &Ca, extensions: &str) {
    let (key, out) = (ca.file("private/cakey.pem"), ca.file("cacert.pem"));
    let subject = ["-subj", "/C=US/ST=CA/O=Example/CN=Example Mail CA"];
    let request = ["req", "-new", "-key", &key, "-out", "ca.csr"];
    ca.dir.openssl(&[&request[..], &subject].concat());
    ca.dir.write("ca.ext", extensions);
    let sign = ["x509", "-req", "-in", "ca.csr", "-signkey", &key];
    let options = ["-extfile", "ca.ext", "-days", "1000", "-out", &out];
    ca.dir.openssl(&[&sign[..], &options].concat());
}

#[test]
fn a_new_ca_is_clean_and_so_is_one_in_use() {
    let ca = Ca::new();
    is_clean(&ca, &[]);
    ca.ok(&["issue", "mail.example.com", "--yes"]);
    ca.ok(&["issue", "old.example.com", "--yes"]);
    ca.ok(&["revoke", "old.example.com", "--yes"]);
    ca.ok(&["renew", "mail.example.com", "--yes"]);
    fs::remove_dir_all(ca.file("hosts/old.example.com")).ok();
    fs::remove_file(ca.file("hosts/old.example.com")).ok();
    is_clean(&ca, &[]);
    ca.ok(&["renew-ca", "--yes"]);
    is_clean(&ca, &[]);
}

#[test]
fn a_locked_key_is_judged_only_with_its_passphrase() {
    let ca = Ca::encrypted();
    let ran = ca.ok(&["check"]);
    assert!(
        ran.stdout.contains("not checked: whether ") && ran.stdout.contains("(--passphrase-file)"),
        "{ran}"
    );
    let given = ["--passphrase-file=pass"];
    let ran = ca.ok(&[&["check"], &given[..]].concat());
    assert!(!ran.stdout.contains("not checked"), "{ran}");
    ca.dir.write_secret("wrong", "something else\n");
    let said = ca.refuses(&["check", "--passphrase-file=wrong"]);
    assert!(said.contains("the passphrase does not open"), "{said}");
    // Another key, under the same passphrase.
    let other = Ca::encrypted();
    fs::copy(
        other.file("private/cakey.pem"),
        ca.file("private/cakey.pem"),
    )
    .unwrap();
    finds(&ca, &given, "ca-key-differs");
}

#[test]
fn another_key_than_the_certificates_is_found() {
    let ca = Ca::new();
    let other = Ca::new();
    fs::copy(
        other.file("private/cakey.pem"),
        ca.file("private/cakey.pem"),
    )
    .unwrap();
    finds(&ca, &[], "ca-key-differs");
    ca.write("private/cakey.pem", "no key\n");
    ca.chmod("private/cakey.pem", 0o600);
    finds(&ca, &[], "ca-key-unreadable");
}

#[test]
fn a_ca_that_cannot_sign_crls_gets_that_by_the_printed_command() {
    let ca = Ca::new();
    certify(
        &ca,
        "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
         subjectKeyIdentifier = hash\n",
    );
    finds(&ca, &[], "ca-cannot-sign-crls");
    let said = ca.mailca(&["check"]).exits(3).stdout;
    assert!(said.contains(" renew-ca\n"), "{said}");
    ca.ok(&["renew-ca", "--yes"]);
    is_clean(&ca, &[]);
}

#[test]
fn what_is_no_ca_is_found() {
    let ca = Ca::new();
    certify(&ca, "basicConstraints = critical, CA:FALSE\n");
    finds(&ca, &[], "ca-cannot-sign");
    certify(
        &ca,
        "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, cRLSign\n\
         subjectKeyIdentifier = hash\n",
    );
    finds(&ca, &[], "ca-cannot-sign");
}

#[test]
fn a_changed_ca_certificate_is_found() {
    let ca = Ca::new();
    ca.dir.openssl(&[
        "x509",
        "-in",
        &ca.file("cacert.pem"),
        "-outform",
        "DER",
        "-out",
        "ca.der",
    ]);
    let mut der = fs::read(ca.dir.file("ca.der")).unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    fs::write(ca.dir.file("ca.der"), der).unwrap();
    ca.dir.openssl(&[
        "x509",
        "-inform",
        "DER",
        "-in",
        "ca.der",
        "-out",
        &ca.file("cacert.pem"),
    ]);
    finds(&ca, &[], "ca-bad-signature");
}

#[test]
fn an_intermediate_ca_without_its_root_is_found() {
    let root = Ca::of(User::me(), &[]);
    let ca = Ca::named("/O=Example/CN=Below");
    let key = ca.file("private/cakey.pem");
    let request = ["req", "-new", "-key", &key, "-subj", "/O=Example/CN=Below"];
    ca.dir
        .openssl(&[&request[..], &["-out", "ca.csr"]].concat());
    ca.dir.write(
        "ca.ext",
        "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n\
         subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n",
    );
    let (above, its_key) = (root.file("cacert.pem"), root.file("private/cakey.pem"));
    let sign = [
        "x509", "-req", "-in", "ca.csr", "-CA", &above, "-CAkey", &its_key,
    ];
    let options = ["-extfile", "ca.ext", "-days", "900", "-out"];
    let out = ca.file("cacert.pem");
    ca.dir.openssl(&[&sign[..], &options, &[&out]].concat());
    finds(&ca, &[], "ca-issuer-missing");
    fs::copy(&above, ca.file("certs/root.pem")).unwrap();
    let found = problems_in(&ca.mailca(&["check", "--json"]));
    assert!(!found.contains("ca-issuer-missing"), "{found:?}");
}

#[test]
fn a_weak_key_and_a_missing_name_are_mended_by_the_printed_commands() {
    let ca = Ca::new();
    let weak = ["-newkey", "rsa:1024", "-subj", "/CN=weak.example.com"];
    let files = [
        "req", "-new", "-nodes", "-keyout", "weak.key", "-out", "weak.csr",
    ];
    ca.dir.openssl(&[&files[..], &weak].concat());
    ca.openssl_ca(&["-in", "../weak.csr", "-out", "../weak.pem"])
        .exits(0);
    finds(&ca, &[], "weak-key");
    finds(&ca, &[], "no-name");
    ca.ok(&["revoke", "weak.pem", "--yes"]);
    let request = ca.openssl_request("bare", &["-subj", "/CN=bare.example.com"]);
    ca.openssl_ca(&["-in", &request, "-out", "../bare.pem"])
        .exits(0);
    let said = ca.mailca(&["check"]).exits(3).stdout;
    let command = said
        .lines()
        .find_map(|line| line.strip_prefix("next: mailca "));
    let command = command.unwrap_or_else(|| panic!("{said}"));
    let mailca = env!("CARGO_BIN_EXE_mailca");
    let line = format!("{mailca} {command} --yes");
    run(ca.dir.command("sh").args(["-e", "-c", &line])).exits(0);
    let renewed = ca.x509(
        &ca.dir.file("bare.example.com.pem"),
        &["-ext", "subjectAltName"],
    );
    assert!(renewed.contains("DNS:bare.example.com"), "{renewed}");
}

#[test]
fn a_host_with_another_key_is_not_taken_for_one_that_needs_nothing() {
    let ca = Ca::new();
    ca.ok(&["issue", "mail.example.com", "--yes"]);
    let key = ca.file("hosts/mail.example.com/key.pem");
    ca.dir
        .openssl(&["genpkey", "-algorithm", "ED25519", "-out", &key]);
    finds(&ca, &[], "host-key-differs");
    let said = ca.refuses(&["issue", "mail.example.com", "--yes"]);
    assert!(said.contains("does not belong"), "{said}");
    ca.ok(&["issue", "mail.example.com", "--replace", "--yes"]);
    is_clean(&ca, &[]);
}
