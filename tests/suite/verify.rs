//! `mailca verify`: on files beside OpenSSL and GnuTLS, and in a CA directory.

mod agreement;
mod lab;

use std::fs;

use serde_json::Value;
use time::OffsetDateTime;

use self::lab::HOST;
use super::support::{Ca, Ran, User, require, run, run_with, tell, users};

fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).expect("a time")
}

fn tools() -> bool {
    require(&["openssl", "certtool"])
}

fn line<'a>(ran: &'a Ran, check: &str) -> &'a str {
    let start = format!("{check:<9}  ");
    let found = ran
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("no line {check}: {ran}"))
}

const TYPES: [&str; 6] = ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"];

/// Writes the CA's CRL with `openssl ca`.
#[track_caller]
fn gencrl(ca: &Ca) {
    ca.openssl_ca(&["-gencrl", "-out", "crl/crl.pem"]).exits(0);
}

/// What the check says, its verdict and reason.
#[track_caller]
fn told(document: &Value, check: &str) -> (String, String) {
    let checks = document["checks"].as_array().expect("a list");
    let found = checks.iter().find(|one| one["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check}: {document:#}"));
    let text = |field: &str| found[field].as_str().expect("text").to_owned();
    (text("verdict"), text("reason"))
}

#[track_caller]
fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

#[test]
fn what_mailca_signs_is_good_for_all_three_whatever_the_type_of_key() {
    if !tools() {
        return;
    }
    let mut agreed = 0;
    for key_type in TYPES {
        let ca = Ca::of(User::me(), &["--key-type", key_type]);
        // RSA keys are slow to make; the requests of the hosts are another test's.
        ca.ok(&["issue", HOST, "--key-type", "p256", "--yes"]);
        gencrl(&ca);
        let ran = ca.ok(&["verify", HOST, "--host", HOST, "--purpose", "server"]);
        for check in [
            "chain",
            "CA",
            "validity",
            "host name",
            "server",
            "CRL",
            "register",
            "key match",
        ] {
            assert!(line(&ran, check).starts_with("ok "), "{check}: {ran}");
        }
        let certificate = ca.file(&format!("hosts/{HOST}/cert.pem"));
        let crl = ca.file("crl/crl.pem");
        let strict = ["-crl_check_all", "-CRLfile", &crl, "-purpose", "sslserver"];
        let named = [&strict[..], &["-verify_hostname", HOST]].concat();
        ca.verify(&certificate, &named).exits(0);
        let mut certtool = ca.dir.command("certtool");
        certtool.args(["--verify", "--infile", &certificate, "--load-crl", &crl]);
        certtool.args(["--load-ca-certificate", &ca.file("cacert.pem")]);
        run(certtool.arg(format!("--verify-hostname={HOST}"))).exits(0);
        agreed += 1;
    }
    tell(&format!(
        "key types of the CA: all three agree on {agreed} of {}",
        TYPES.len()
    ));
}

#[test]
fn the_directory_s_own_ca_crl_register_and_keys_are_taken() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let tree = ca.tree();
    let ran = ca.ok(&["verify", HOST]);
    tree.assert_unchanged(ca.dir.path(), "verify");
    let serial = ca.serials().remove(0);
    assert!(
        ran.stdout
            .starts_with(&format!("{HOST}, serial number {serial}\n")),
        "{ran}"
    );
    let missing = line(&ran, "CRL");
    assert!(
        missing.starts_with("-     not checked: ") && missing.ends_with("crl/crl.pem is not there"),
        "{ran}"
    );
    gencrl(&ca);

    // By its number, in small letters too, as a file, from standard input, in DER.
    let by_serial = ca.ok(&["verify", &serial.to_lowercase()]);
    assert_eq!(by_serial.stdout, ca.ok(&["verify", HOST]).stdout);
    let file = ca.file(&format!("newcerts/{serial}.pem"));
    let by_file = ca.ok(&["verify", &file]);
    assert_eq!(
        line(&by_file, "register"),
        "ok    index.txt has it as valid"
    );
    assert_eq!(
        line(&by_file, "key match"),
        "-     not checked: no --key was given"
    );
    let pem = ca.dir.read(&format!("CA/newcerts/{serial}.pem"));
    let piped = run_with(&mut ca.command(&["verify", "-"]), &pem).exits(0);
    assert_eq!(piped.stdout, by_file.stdout);
    ca.dir
        .openssl(&["x509", "-in", &file, "-outform", "DER", "-out", "cert.der"]);
    assert_eq!(ca.ok(&["verify", "cert.der"]).stdout, by_file.stdout);
    assert_eq!(ca.ok(&["verify", HOST, "--quiet"]).stdout, "");

    // Another key, and the right one.
    ca.request("other.example.test", &[]);
    let other = ca
        .mailca(&["verify", HOST, "--key", "other.example.test.key"])
        .exits(3);
    let said = line(&other, "key match");
    assert!(
        said.starts_with("FAIL  other.example.test.key is EC P-256 "),
        "{other}"
    );
    let key = ca.file(&format!("hosts/{HOST}/key.pem"));
    let own = ca.ok(&["verify", &file, "--key", &key]);
    assert_eq!(
        line(&own, "key match"),
        format!("ok    {key} belongs to it")
    );

    // The host gets another certificate.
    ca.ok(&[
        "issue",
        HOST,
        "--san",
        "smtp.example.test",
        "--replace",
        "--yes",
    ]);
    let newer = ca.serials().remove(1);
    let said = ca.ok(&["verify", &serial]);
    assert!(
        line(&said, "key match").ends_with(&format!("has the certificate {newer} now")),
        "{said}"
    );
    // A host whose key is not here.
    let request = ca.request("mx2.example.test", &[]);
    ca.ok(&["sign", &request, "--yes"]);
    let said = ca.ok(&["verify", &ca.serials().remove(2)]);
    assert!(
        line(&said, "key match").starts_with("-     not checked: there is no "),
        "{said}"
    );
    ca.ok(&["verify", &ca.file("cacert.pem")]);
}

#[test]
fn the_register_counts_although_the_crl_is_older() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    gencrl(&ca);
    let serial = ca.serials().remove(0);
    let file = format!("newcerts/{serial}.pem");
    ca.openssl_ca(&["-revoke", &file, "-crl_reason", "superseded"])
        .exits(0);
    let ran = ca.mailca(&["--json", "verify", HOST]).exits(3);
    let said = document(&ran);
    assert_eq!(
        (&said["valid"], &said["changed"]),
        (&Value::Bool(false), &Value::Bool(false))
    );
    assert_eq!(told(&said, "CRL").0, "ok");
    let (verdict, reason) = told(&said, "register");
    assert_eq!(verdict, "failed");
    let today = now().date();
    assert_eq!(
        reason,
        format!("index.txt has it as revoked on {today} (superseded)")
    );
    gencrl(&ca);
    let said = document(&ca.mailca(&["--json", "verify", HOST]).exits(3));
    assert_eq!(
        told(&said, "CRL"),
        ("failed".into(), format!("revoked on {today} (superseded)"))
    );

    // Marked as expired, with a date to come; then without a row.
    let row = ca.read("index.txt");
    let fields: Vec<&str> = row.split('\t').collect();
    ca.write(
        "index.txt",
        &["E", fields[1], "", fields[3], fields[4], fields[5]].join("\t"),
    );
    let said = document(&ca.mailca(&["--json", "verify", HOST]).exits(3));
    assert!(
        told(&said, "register")
            .1
            .starts_with("index.txt has it as expired; it ends on ")
    );
    ca.write("index.txt", "");
    let said = document(&ca.mailca(&["--json", "verify", HOST]).exits(3));
    assert_eq!(
        told(&said, "register").1,
        format!("index.txt has no row for {serial}")
    );
    // What the register says is of no matter for a CA that was named.
    let named = [
        "verify",
        HOST,
        "--ca-file",
        &ca.file("cacert.pem"),
        "--json",
    ];
    let said = ca.json(&named[..4]);
    assert!(
        said["checks"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|one| one["check"] != "register")
    );
}

#[test]
fn the_json_has_what_the_words_have() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--profile", "client", "--yes"]);
    let at = "2026-12-24T12:00:00+01:00";
    let said = document(&ca.mailca(&["--json", "verify", HOST, "--at", at]));
    assert_eq!(said["at"], "2026-12-24T11:00:00Z");
    assert_eq!(said["names"], serde_json::json!(["DNS:mail.example.test"]));
    assert_eq!(said["serial"], ca.serials().remove(0));
    assert_eq!(said["subject"], "CN=mail.example.test");
    assert_eq!(said["issuer"], "C=US, ST=CA, O=Example, CN=Example Mail CA");
    assert!(said["not_before"].is_string() && said["not_after"].is_string());
    assert_eq!(told(&said, "server").0, "no");
    assert_eq!(
        told(&said, "host name"),
        (
            "unchecked".into(),
            "not checked: no --host was given".into()
        )
    );
    let checks = said["checks"].as_array().expect("a list");
    let names: Vec<_> = checks
        .iter()
        .map(|one| one["check"].as_str().expect("text"))
        .collect();
    let all = [
        "chain",
        "CA",
        "validity",
        "host name",
        "server",
        "client",
        "CRL",
        "register",
        "key match",
    ];
    assert_eq!(names, all);
    let error = document(&ca.mailca(&["--json", "verify", "nothing"]).exits(1));
    assert!(
        error["error"]
            .as_str()
            .expect("text")
            .starts_with("nothing is neither a file, nor")
    );
}

#[test]
fn what_cannot_be_read_is_one_error() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    gencrl(&ca);
    ca.dir.write("text", "no certificate at all\n");
    ca.dir.write("empty", "");
    ca.dir.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    );
    let whole = ca.read("cacert.pem");
    ca.dir.write("half.pem", &whole[..whole.len() / 2]);
    let zeros = vec![0x30; 4096];
    fs::write(ca.dir.file("zeros"), zeros).expect("write a test file");
    fs::File::create(ca.dir.file("huge"))
        .and_then(|file| file.set_len((1 << 28) + 2))
        .expect("a sparse file");
    let crl = ca.file("crl/crl.pem");
    let chain = ca.file(&format!("hosts/{HOST}/cert.pem"));
    for (args, part) in [
        (&["text"][..], "text: it holds no certificate"),
        (&["empty"], "empty: it holds no certificate"),
        (
            &["broken.pem"],
            "broken.pem: its certificate cannot be read",
        ),
        (&["half.pem"], "half.pem: its certificate cannot be read"),
        (&["zeros"], "zeros: its certificate cannot be read"),
        (&["huge"], "cannot read huge: it is larger than 1 MiB"),
        (&[&crl], "it holds no certificate"),
        (
            &["missing.pem"],
            "missing.pem is neither a file, nor a serial number or host in ",
        ),
        (
            &["../x"],
            "../x is neither a file, nor a serial number or host in ",
        ),
        (&["CA"], "CA is neither a file"),
        (&[HOST, "--ca-file", "missing"], "cannot read missing"),
        (
            &[HOST, "--ca-file", "text"],
            "text: it holds no certificate",
        ),
        (&[HOST, "--untrusted", &crl], "it holds no certificate"),
        (&[HOST, "--crl", "text"], "text: it holds no CRL"),
        (&[HOST, "--crl", &chain], "it holds no CRL"),
        (&[HOST, "--crl", "zeros"], "zeros: its CRL cannot be read"),
        (
            &[HOST, "--crl", "huge"],
            "cannot read huge: it is larger than 256 MiB",
        ),
        (&[HOST, "--crl", "."], "cannot read .: "),
        (&[HOST, "--key", &chain], "cert.pem holds no private key"),
    ] {
        let said = ca.refuses(&[&["verify"], args].concat());
        assert!(said.contains(part), "{args:?}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{args:?}: {said}");
    }
    for args in [
        &["verify"][..],
        &["verify", HOST, "--purpose", "mail"],
        &["verify", HOST, "--at", "tomorrow"],
        &["verify", HOST, "--host", "*.example.test"],
        &["verify", HOST, "--host", "a b"],
    ] {
        ca.mailca(args).exits(2);
    }
    let list = pem::parse(ca.dir.read("CA/crl/crl.pem"))
        .expect("PEM")
        .into_contents();
    let half = &list[..list.len() - 3];
    fs::write(ca.dir.file("short.crl"), half).expect("write a test file");
    let said = ca.refuses(&["verify", HOST, "--crl", "short.crl"]);
    assert!(said.contains("short.crl: its CRL cannot be read"), "{said}");
}

#[test]
fn who_may_not_read_the_key_is_told_so_and_the_rest() {
    let Some(user) = users().into_iter().find(|user| !user.is_root()) else {
        return;
    };
    if !User::me().is_root() {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let mut command = user.mailca();
    command.args(["--ca", &ca.dir.file("CA"), "verify", HOST]);
    let ran = run(&mut command).exits(0);
    assert!(
        line(&ran, "key match").starts_with("-     not checked: cannot read "),
        "{ran}"
    );
    assert!(line(&ran, "register").starts_with("ok "), "{ran}");
}
