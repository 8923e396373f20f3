//! pkilint, which reads RFC 5280 as a list of rules, finds nothing in what mailca writes.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use super::support::{Ca, User, find, require, run_with, tell};

const KEY_TYPES: [&str; 6] = ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"];
const PROFILES: [&str; 3] = ["relay", "server", "client"];
const REASONS: [&[&str]; 9] = [
    &[],
    &["--reason=unspecified"],
    &["--reason=affiliationChanged"],
    &["--reason=superseded"],
    &["--reason=cessationOfOperation"],
    &["--reason=certificateHold"],
    &["--reason=CACompromise"],
    &["--reason=keyCompromise"],
    &["--compromised-at=2026-01-31T00:00:00Z"],
];

/// What is to be linted: commands of pkilint, with their words.
#[derive(Default)]
struct Files {
    commands: String,
    count: usize,
}

impl Files {
    fn add(&mut self, command: &str, files: &[&str]) {
        let _ = writeln!(self.commands, "{command} {}", files.join(" "));
        self.count += 1;
    }

    fn add_ca(&mut self, ca: &Ca) {
        self.add("lint_pkix_cert", &[&ca.file("cacert.pem")]);
    }

    fn add_certificate(&mut self, ca: &Ca, certificate: &str) {
        let issuer = ca.file("cacert.pem");
        self.add("lint_pkix_cert", &[certificate]);
        self.add(
            "lint_pkix_signer_signee_cert_chain",
            &[&issuer, certificate],
        );
    }

    fn add_crl(&mut self, crl: &str) {
        self.add("lint_crl", &["--type=CRL", "--profile=PKIX", crl]);
    }

    /// What pkilint finds, each with the command it comes from: notices, warnings and errors.
    #[track_caller]
    fn findings(&self) -> Vec<String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/lint.py");
        let python = find("pkilint").expect("pkilint");
        let ran = run_with(Command::new(python).arg(script), &self.commands).exits(0);
        assert_eq!(ran.stdout.lines().count(), self.count, "{ran}");
        let mut found = Vec::new();
        for (command, report) in self.commands.lines().zip(ran.stdout.lines()) {
            let report: Value = serde_json::from_str(report).expect("JSON");
            let Some(results) = report["results"].as_array() else {
                found.push(format!("{command}: not read\n{}", ran.stderr));
                continue;
            };
            found.extend(results.iter().map(|result| format!("{command}: {result}")));
        }
        found
    }

    #[track_caller]
    fn assert_no_finding(&self) {
        let found = self.findings();
        assert!(found.is_empty(), "{}", found.join("\n"));
        assert!(self.count > 0);
        tell(&format!(
            "pkilint: {} reports without a finding",
            self.count
        ));
    }
}

/// Copies the CRL of the moment, so that it can be linted later.
fn keep_crl(ca: &Ca, files: &mut Files, name: &str) {
    for form in ["pem", "der"] {
        let kept = ca.dir.file(&format!("{name}.{form}"));
        std::fs::copy(ca.file(&format!("crl/crl.{form}")), &kept).expect("copy");
        files.add_crl(&kept);
    }
}

#[test]
fn of_every_type_of_key_and_profile() {
    if !require(&["pkilint"]) {
        return;
    }
    let mut files = Files::default();
    let mut all = Vec::new();
    for key_type in KEY_TYPES {
        let ca = Ca::of(User::me(), &["--key-type", key_type]);
        files.add_ca(&ca);
        ca.ok(&["crl"]);
        keep_crl(&ca, &mut files, "empty");
        for (number, reason) in REASONS.iter().enumerate() {
            let profile = PROFILES[number % 3];
            let host = format!("mx{number}.example.test");
            // Making an RSA key takes long: three of the CA's type will do.
            let type_of_host = if number < 3 { key_type } else { "p256" };
            let names = ["--san=192.0.2.25", "--san=2001:db8::25", "--san=a@b.test"];
            let options = ["--key-type", type_of_host, "--profile", profile, "--yes"];
            ca.ok(&[&["issue", &host], &options[..], &names].concat());
            let certificate = ca.file(&format!("hosts/{host}/cert.pem"));
            files.add_certificate(&ca, &certificate);
            ca.ok(&[&["revoke", &host, "--yes"], *reason].concat());
            if number == 0 {
                keep_crl(&ca, &mut files, "one");
            }
        }
        keep_crl(&ca, &mut files, "all");
        all.push(ca);
    }
    files.assert_no_finding();
}

#[test]
fn with_constraints_distribution_points_and_times_after_2049() {
    if !require(&["pkilint"]) {
        return;
    }
    let options = [
        "--days=36000",
        "--permit=example.test",
        "--permit=192.0.2.0/24",
        "--crl-url=http://ca.example.test/crl.der",
    ];
    let ca = Ca::of(User::me(), &options);
    let mut files = Files::default();
    files.add_ca(&ca);
    for (host, options) in [
        ("a.example.test", &["--days=20"][..]),
        ("b.example.test", &["--days=20000", "--san=192.0.2.25"]),
    ] {
        ca.ok(&[&["issue", host, "--yes"], options].concat());
        files.add_certificate(&ca, &ca.file(&format!("hosts/{host}/cert.pem")));
    }
    // No subject, and so a critical subjectAltName.
    let san = ["-subj", "/", "-addext", "subjectAltName=DNS:c.example.test"];
    let request = ca.openssl_request("c", &san);
    let policy = "commonName             = supplied";
    ca.edit("openssl.cnf", policy, "commonName = optional");
    ca.edit("openssl.cnf", policy, "commonName = optional");
    let out = ca.dir.file("c.pem");
    ca.ok(&["sign", &request, "--out", &out, "--yes"]);
    files.add_certificate(&ca, &out);
    ca.ok(&["revoke", "a.example.test", "--yes"]);
    ca.ok(&["crl", "--days=30000"]);
    keep_crl(&ca, &mut files, "long");
    files.assert_no_finding();
}

#[test]
fn findings_are_found() {
    if !require(&["pkilint", "openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.openssl_request("a", &["-subj", "/CN=a.example.test"]);
    // A certificate without identifiers of its keys, and a CRL without a number.
    ca.dir
        .write("none.ext", "[ none ]\nkeyUsage = digitalSignature\n");
    let extensions = ["-extfile", "../none.ext", "-extensions", "none"];
    let files = ["-in", &request, "-out", "../bad.pem"];
    ca.openssl_ca(&[&files[..], &extensions].concat()).exits(0);
    ca.edit("openssl.cnf", "crlnumber        =", "# crlnumber      =");
    ca.edit("openssl.cnf", "crl_extensions   =", "# crl_extensions =");
    ca.openssl_ca(&["-gencrl", "-out", "../bad.crl"]).exits(0);
    let other = Ca::new();
    let mut files = Files::default();
    files.add_certificate(&other, &ca.dir.file("bad.pem"));
    files.add_crl(&ca.dir.file("bad.crl"));
    let found = files.findings().join("\n");
    for rule in [
        "key_usage_extension_not_critical",
        "signature_verification_failed",
        "crl_number_missing",
        "crl_version_missing",
    ] {
        assert!(found.contains(rule), "{rule}: {found}");
    }
}
