//! Name constraints of every form, each against names of every kind: mailca refuses what OpenSSL
//! would refuse afterwards, and signs the rest. OpenSSL is the judge.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::support::{Ca, require, run, tell};

/// Values of nameConstraints as openssl.cnf(5) has them, or DER where it has no word for it.
const CONSTRAINTS: &[&str] = &[
    "permitted;DNS:example.com",
    "permitted;DNS:.example.com",
    "permitted;DNS:EXAMPLE.Com",
    "permitted;DNS:mail.example.com",
    "permitted;DNS:example.org, permitted;DNS:example.com",
    "permitted;DNS:com",
    "permitted;DNS:.",
    // dNSName, permitted and empty
    "DER:30:06:A0:04:30:02:82:00",
    "excluded;DNS:example.com",
    "excluded;DNS:.example.com",
    "excluded;DNS:mail.example.com",
    "excluded;DNS:a.b.example.com",
    "excluded;DNS:.mail.example.com",
    // dNSName, excluded and empty
    "DER:30:06:A1:04:30:02:82:00",
    "permitted;DNS:example.com, excluded;DNS:mail.example.com",
    "permitted;email:example.com",
    "permitted;email:.example.com",
    "permitted;email:example.com, permitted;email:.example.com",
    "permitted;email:root@example.com",
    "permitted;email:Root@EXAMPLE.com",
    "permitted;email:@example.com",
    "permitted;email:root@.example.com",
    // rfc822Name, permitted and empty
    "DER:30:06:A0:04:30:02:81:00",
    "excluded;email:example.com",
    "excluded;email:.example.com",
    "excluded;email:root@example.com",
    "excluded;email:@example.com",
    // rfc822Name, excluded and empty
    "DER:30:06:A1:04:30:02:81:00",
    "permitted;IP:192.0.2.0/255.255.255.0",
    "permitted;IP:192.0.2.77/255.255.255.0",
    "permitted;IP:192.0.2.1/255.0.255.255",
    "permitted;IP:192.0.2.1/255.255.255.255",
    "permitted;IP:2001:db8::/ffff:ffff:0:0:0:0:0:0",
    "permitted;IP:2001:db8::1/ffff:0:0:0:0:0:0:1",
    "excluded;IP:0.0.0.0/0.0.0.0",
    "excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0",
    "excluded;IP:192.0.2.0/255.255.255.254",
    "permitted;IP:192.0.0.0/255.255.0.0, excluded;IP:192.0.2.0/255.255.255.0",
    // iPAddress of 5 octets, permitted and excluded
    "DER:30:0B:A0:09:30:07:87:05:C0:00:02:01:FF",
    "DER:30:0B:A1:09:30:07:87:05:C0:00:02:01:FF",
    "permitted;dirName:example",
    "permitted;dirName:country",
    "permitted;dirName:other",
    "permitted;dirName:everything",
    "excluded;dirName:example",
    "excluded;dirName:country",
    "excluded;dirName:everything",
    "permitted;dirName:country, excluded;dirName:example",
    // Kinds of names that are never certified.
    "permitted;URI:.example.com",
    "excluded;URI:example.com",
    "permitted;otherName:1.2.3.4;UTF8:x",
    "permitted;RID:1.2.3.4",
    // x400Address
    "DER:30:06:A0:04:30:02:A3:00",
    // minimum 0 as BER has it, minimum 1, maximum 1, for example.com
    "DER:30:14:A0:12:30:10:82:0B:65:78:61:6D:70:6C:65:2E:63:6F:6D:80:01:00",
    "DER:30:14:A0:12:30:10:82:0B:65:78:61:6D:70:6C:65:2E:63:6F:6D:80:01:01",
    "DER:30:14:A0:12:30:10:82:0B:65:78:61:6D:70:6C:65:2E:63:6F:6D:81:01:01",
    "DER:30:14:A1:12:30:10:82:0B:65:78:61:6D:70:6C:65:2E:63:6F:6D:81:01:01",
    // Empty, and with an empty list.
    "DER:30:00",
    "DER:30:02:A0:00",
];

/// What none can read: a NULL, and a subtree of a kind that does not exist.
const UNREADABLE: &[&str] = &[
    "DER:05:00",
    "DER:30:06:A0:04:30:02:89:00",
    "DER:30:03:02:01:01",
];

/// Subjects with the names that the certificate gets.
const NAMES: &[(&str, &str)] = &[
    ("/CN=example.com", "DNS:example.com"),
    ("/CN=mail.example.com", "DNS:mail.example.com"),
    ("/CN=x", "DNS:Mail.EXAMPLE.com"),
    ("/CN=x", "DNS:a.b.example.com"),
    ("/CN=x", "DNS:badexample.com"),
    ("/CN=x", "DNS:example.org"),
    ("/CN=x", "DNS:mail.example.com,DNS:example.org"),
    ("/CN=x", "DNS:*.example.com"),
    ("/CN=x", "DNS:*.mail.example.com"),
    ("/CN=x", "email:root@example.com"),
    ("/CN=x", "email:Root@Example.COM"),
    ("/CN=x", "email:root@mail.example.com"),
    ("/CN=x", "email:root@example.org"),
    ("/CN=x", "IP:192.0.2.1"),
    ("/CN=x", "IP:192.9.2.1"),
    ("/CN=x", "IP:198.51.100.1"),
    ("/CN=x", "IP:2001:db8::1"),
    ("/CN=x", "IP:2001:db9::2"),
    ("/C=US/O=Example/CN=x", "IP:192.0.2.1"),
    ("/C=US/O=  exAMPLE  /CN=x", "IP:192.0.2.1"),
    ("/C=US/O=Other/CN=x", "IP:192.0.2.1"),
    ("/O=Example/C=US", "IP:192.0.2.1"),
    ("/C=US+O=Example/CN=x", "IP:192.0.2.1"),
    ("/C=US/O=Example and others", "IP:192.0.2.1"),
    ("/", "critical,DNS:mail.example.com"),
    ("/CN=x/emailAddress=root@example.com", "IP:192.0.2.1"),
    ("/CN=x/emailAddress=root@example.org", "IP:192.0.2.1"),
    ("/CN=x/emailAddress=root", "IP:192.0.2.1"),
    // A CN that looks like a host, where there is no dNSName.
    ("/CN=mail.example.com", "IP:192.0.2.1"),
    ("/CN=mail.example.org", "email:root@example.com"),
    ("/CN=mail.example.org", "DNS:mail.example.com"),
    ("/CN=mail.example.org/CN=x", "IP:192.0.2.1"),
    ("/CN=*.example.org", "IP:192.0.2.1"),
    ("/CN=mail_1.example.org", "IP:192.0.2.1"),
    ("/CN=-mail.example.org", "IP:192.0.2.1"),
    ("/CN=192.0.2.1", "IP:192.0.2.1"),
];

const CNF: &str = "\
[req]
distinguished_name = everything
x509_extensions = ca
req_extensions = names
[everything]
[country]
C = US
[example]
C = US
O = Example
[other]
O = Elsewhere
[names]
subjectAltName = $ENV::NAMES
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
nameConstraints = critical, $ENV::CONSTRAINTS
[judge]
default_ca = judged
[judged]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
default_days = 30
policy = any
unique_subject = no
copy_extensions = copy
x509_extensions = leaf
[any]
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// A CA whose certificate gets one constraint after the other, and the requests to sign.
struct Court {
    ca: Ca,
    requests: Vec<String>,
}

impl Court {
    fn new() -> Self {
        let ca = Ca::new();
        ca.dir.write("x.cnf", CNF);
        let policy = "\n[ policy_anything ]\ncommonName = optional\n";
        ca.write("openssl.cnf", &(ca.read("openssl.cnf") + policy));
        let mut court = Self {
            ca,
            requests: Vec::new(),
        };
        for (number, (subject, names)) in NAMES.iter().enumerate() {
            let request = format!("{number:02}.csr");
            let key = [
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ];
            let mut req = court.openssl("req");
            req.env("NAMES", names).arg("-new").args(key);
            req.args(["-subj", subject, "-keyout", "any.key", "-out", &request]);
            run(&mut req).exits(0);
            court.requests.push(request);
        }
        court
    }

    /// An openssl command that reads x.cnf.
    fn openssl(&self, command: &str) -> Command {
        let mut openssl = self.ca.dir.command("openssl");
        openssl.args([command, "-config", &self.ca.dir.file("x.cnf")]);
        openssl
            .env("NAMES", "DNS:x")
            .env("CONSTRAINTS", "permitted;DNS:x");
        openssl
    }

    /// Gives the CA a certificate with this constraint, for the same key.
    #[track_caller]
    fn constrain(&self, constraint: &str) {
        let mut req = self.openssl("req");
        req.env("CONSTRAINTS", constraint)
            .args(["-x509", "-days", "100"]);
        req.args(["-subj", "/C=US/ST=CA/O=Example/CN=Example Mail CA"]);
        req.args(["-key", "CA/private/cakey.pem", "-out", "CA/cacert.pem"]);
        run(&mut req).exits(0);
    }

    /// The requests that mailca signs; what it signs, OpenSSL verifies.
    fn signed(&self) -> BTreeSet<usize> {
        let sign = [
            "sign",
            "--yes",
            "--json",
            "--preserve-dn",
            "--profile",
            "client",
        ];
        let ran = run(self.ca.command(&sign).args(&self.requests));
        let said: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
        let all = |list: &str| said[list].as_array().unwrap().clone();
        for failed in all("failed") {
            let error = failed["error"].as_str().unwrap();
            assert!(error.starts_with("the name constraints of "), "{failed}");
        }
        let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let files = all("certificates").into_iter();
        let files: Vec<_> = files.map(|one| text(&one, "certificate")).collect();
        let (accepted, verdict) = self.verify(&files);
        assert_eq!(accepted.len(), files.len(), "{verdict}");
        let names = all("certificates").into_iter();
        let names: Vec<_> = names.map(|one| text(&one, "name")).collect();
        let all = 0..self.requests.len();
        all.filter(|&at| names.contains(&self.requests[at]))
            .collect()
    }

    /// The requests whose certificates, made by `openssl ca`, OpenSSL verifies.
    fn verified(&self, folder: &str) -> (BTreeSet<usize>, String) {
        let dir = self.ca.dir.create_dir(folder);
        fs::write(dir.join("index"), "").unwrap();
        fs::write(dir.join("serial"), "00\n").unwrap();
        let mut openssl = self.openssl("ca");
        openssl
            .current_dir(dir)
            .args(["-name", "judged", "-batch", "-notext", "-preserveDN"]);
        openssl.args([
            "-cert",
            "../CA/cacert.pem",
            "-keyfile",
            "../CA/private/cakey.pem",
        ]);
        openssl.args(["-out", "last.pem", "-infiles"]);
        let requests = self.requests.iter().map(|request| format!("../{request}"));
        run(openssl.args(requests)).exits(0);
        let files: Vec<_> = (0..NAMES.len())
            .map(|number| format!("{folder}/{number:02X}.pem"))
            .collect();
        self.verify(&files)
    }

    /// Those of the files that OpenSSL accepts, and what it says of the others.
    fn verify(&self, files: &[String]) -> (BTreeSet<usize>, String) {
        let mut openssl = self.ca.dir.command("openssl");
        openssl.args(["verify", "-x509_strict", "-CAfile", "CA/cacert.pem"]);
        // Without a name it would read one from standard input.
        let ran = run(openssl.args(files).arg("CA/cacert.pem"));
        let is_ok = |file: &str| ran.stdout.lines().any(|line| line == format!("{file}: OK"));
        let accepted = (0..files.len()).filter(|&at| is_ok(&files[at])).collect();
        (accepted, ran.to_string())
    }
}

/// Where mailca refuses although OpenSSL does not: another verifier may.
fn is_stricter(constraint: &str, names: &str) -> bool {
    let has_email = names.contains("email:") || names.contains("emailAddress=");
    match constraint {
        // A wildcard that stands for an excluded name.
        "excluded;DNS:mail.example.com"
        | "permitted;DNS:example.com, excluded;DNS:mail.example.com" => {
            names.contains("DNS:*.example.com")
        }
        // No addresses at all, say others.
        "DER:30:06:A1:04:30:02:81:00" => has_email,
        _ => false,
    }
}

#[test]
fn mailca_refuses_the_names_that_openssl_refuses() {
    if !require(&["openssl"]) {
        return;
    }
    let court = Court::new();
    let (mut signed, mut refused, mut stricter) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (row, constraint) in CONSTRAINTS.iter().enumerate() {
        court.constrain(constraint);
        let by_mailca = court.signed();
        let (by_openssl, said) = court.verified(&format!("judged-{row}"));
        for (number, (subject, names)) in NAMES.iter().enumerate() {
            let is_signed = by_mailca.contains(&number);
            let is_verified = by_openssl.contains(&number);
            let is_stricter = is_stricter(constraint, &format!("{subject} {names}"));
            signed += usize::from(is_signed);
            refused += usize::from(!is_signed && !is_verified);
            stricter += usize::from(is_verified && is_stricter);
            if is_signed != (is_verified && !is_stricter) {
                wrong.push(format!(
                    "{constraint}: {subject} {names}: signed {is_signed}, verified {is_verified}"
                ));
            }
        }
        let faults = ["subtree violation", "minimum and maximum", "name syntax"];
        let refusals = said.lines().filter(|line| line.contains(" depth lookup: "));
        for line in refusals {
            assert!(faults.iter().any(|fault| line.contains(fault)), "{said}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    tell(&format!(
        "name constraints: {} forms by {} names: {signed} signed and verified, {refused} refused as \
         OpenSSL does, {stricter} refused beyond it",
        CONSTRAINTS.len(),
        NAMES.len(),
    ));
}

#[test]
fn constraints_that_cannot_be_read_are_not_passed_over() {
    if !require(&["openssl"]) {
        return;
    }
    let court = Court::new();
    for constraint in UNREADABLE {
        court.constrain(constraint);
        let said = court.ca.refuses(&["sign", "01.csr", "--yes"]);
        assert!(
            said.contains("its extension nameConstraints cannot be read"),
            "{said}"
        );
    }
}
