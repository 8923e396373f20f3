//! What becomes of a request, whatever it looks like: a certificate that has
//! its bytes and nothing it should not have, or one refusal.

mod cases;
pub mod der;
mod public;
mod workshop;

use std::fs;

use self::cases::all;
use self::der::{PRINTABLE, UTF8, attribute, extension, name, sequence, tlv};
use self::workshop::{Case, Wanted, Workshop, signed};
use super::support::{Ran, Tree, require, run, tell};

const ANY_SUBJECT: [&str; 3] = ["--yes", "--preserve-dn", "--policy=anything"];

/// The parts of a CA's certificate that stand in those it signs.
struct Issuer {
    subject: Vec<u8>,
    key_identifier: Vec<u8>,
}

impl Issuer {
    #[track_caller]
    fn of(workshop: &Workshop) -> Self {
        let content = der::elements(&certificate(workshop, "CA/cacert.pem"))[0].clone();
        let parts = der::elements(&content);
        Self {
            subject: parts[5].clone(),
            key_identifier: der::key_identifier(&parts[6]),
        }
    }
}

#[track_caller]
fn certificate(workshop: &Workshop, file: &str) -> Vec<u8> {
    let pem = pem::parse(workshop.read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(pem.tag(), "CERTIFICATE");
    pem.into_contents()
}

/// What a certificate has of its request, DER.
struct Asked {
    subject: Vec<u8>,
    public_key: Vec<u8>,
}

impl Asked {
    #[track_caller]
    fn of(request: &[u8]) -> Self {
        let content = der::elements(&der::elements(request)[0]);
        Self {
            subject: content[1].clone(),
            public_key: content[2].clone(),
        }
    }
}

/// Asserts that a certificate has the subject and the key of its request byte by byte, the issuer
/// of its CA likewise, and just the extensions of a relay with these names.
#[track_caller]
fn assert_faithful(certificate: &[u8], asked: &Asked, issuer: &Issuer, names: &[&str], why: &str) {
    let Asked {
        subject,
        public_key,
    } = asked;
    let content = der::elements(&der::elements(certificate)[0]);
    let [
        version,
        _,
        _,
        of,
        _,
        subject_now,
        public_key_now,
        extensions,
    ] = &content[..]
    else {
        panic!("{why}: {content:02x?}");
    };
    assert_eq!(version, &[0xA0, 3, 2, 1, 2], "{why}: not version 3");
    assert_eq!(of, &issuer.subject, "{why}: the issuer");
    assert_eq!(subject_now, subject, "{why}: the subject");
    assert_eq!(public_key_now, public_key, "{why}: the key");
    let encrypts = der::elements(&der::elements(public_key)[0])[0] == der::oid(RSA_ENCRYPTION);
    let usage: &[u8] = if encrypts { &[5, 0xA0] } else { &[7, 0x80] };
    let purposes = sequence(&[der::oid("1.3.6.1.5.5.7.3.1"), der::oid("1.3.6.1.5.5.7.3.2")]);
    let own = tlv(4, &der::key_identifier(public_key));
    let authority = sequence(&[tlv(0x80, &issuer.key_identifier)]);
    let expected = [
        extension("2.5.29.19", true, &sequence(&[])),
        extension("2.5.29.15", true, &tlv(3, usage)),
        extension("2.5.29.37", false, &purposes),
        extension("2.5.29.14", false, &own),
        extension("2.5.29.35", false, &authority),
        der::subject_alt_name(names, subject == &sequence(&[])),
    ];
    let found = der::elements(&der::elements(extensions)[0]);
    assert_eq!(found, expected, "{why}: the extensions");
}

const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";

/// Asserts that OpenSSL takes every certificate for a server's and a client's.
#[track_caller]
fn assert_accepted(workshop: &Workshop, certificates: &[String]) {
    for purpose in ["sslserver", "sslclient"] {
        let verify = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile"];
        let mut openssl = workshop.dir.command("openssl");
        let ran = run(openssl.args(verify).arg("CA/cacert.pem").args(certificates)).exits(0);
        let accepted = ran
            .stdout
            .lines()
            .filter(|line| line.ends_with(": OK"))
            .count();
        assert_eq!(accepted, certificates.len(), "{ran}");
    }
}

fn lines<'a>(ran: &'a Ran, start: &str) -> Vec<&'a str> {
    let lines = ran.stderr.lines();
    lines.filter_map(|line| line.strip_prefix(start)).collect()
}

/// Asserts that a command refused with one error, what to do about it, and nothing else.
#[track_caller]
fn assert_one_refusal(ran: &Ran, why: &str) -> String {
    assert_eq!(ran.code(), 1, "{why}: {ran}");
    assert_eq!(ran.stdout, "", "{why}: {ran}");
    let (errors, hints) = (lines(ran, "error: "), lines(ran, "hint: "));
    assert_eq!((errors.len(), hints.len()), (1, 1), "{why}: {ran}");
    let others = ran
        .stderr
        .lines()
        .filter(|line| !line.starts_with("note: "));
    assert_eq!(others.count(), 2, "{why}: {ran}");
    errors[0].to_owned()
}

#[test]
fn every_request_becomes_what_it_should() {
    if !require(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    let ca = signed("a CA").by("ca-p256", "");
    workshop.make_ca(&ca.subject("O = Example\nCN = Example CA"), "");
    workshop.dir.create_dir("out");
    let issuer = Issuer::of(&workshop);
    let cases = all();
    let mut certificates = Vec::new();
    let mut refused = 0;
    for (number, case) in cases.iter().enumerate() {
        let why = &case.what;
        let file = format!("requests/{number}.csr");
        let request = workshop.make(&file, case);
        let out = format!("out/{number}.pem");
        let sign = [&["sign", &file, "--out", &out], &ANY_SUBJECT[..]].concat();
        match &case.wanted {
            Wanted::Signed { names, notes } => {
                let ran = workshop.mailca(&sign);
                assert_eq!(ran.code(), 0, "{why}: {ran}");
                let certificate = certificate(&workshop, &out);
                assert_faithful(&certificate, &Asked::of(&request), &issuer, names, why);
                assert_eq!(lines(&ran, "note: "), *notes, "{why}");
                certificates.push(out);
            }
            Wanted::Refused(error) => {
                let before = Tree::of(workshop.dir.path());
                let ran = workshop.mailca(&sign);
                let said = assert_one_refusal(&ran, why);
                assert!(said.contains(error), "{why}: {ran}");
                before.assert_unchanged(workshop.dir.path(), why);
                refused += 1;
            }
        }
    }
    assert_accepted(&workshop, &certificates);
    let rows = String::from_utf8(workshop.read("CA/index.txt")).unwrap();
    assert_eq!(rows.lines().count(), certificates.len());
    tell(&format!(
        "{} requests: {} signed, {refused} refused",
        cases.len(),
        certificates.len()
    ));
    assert!(certificates.len() > 100 && refused > 80);
}

/// CAs whose subject or key is not what most have, with options of `openssl x509`.
fn odd_cas() -> Vec<(Case, &'static str)> {
    let ca = |what: &str, key: &str| signed(what).by(&format!("ca-{key}"), "");
    let empty = name(&[
        attribute("2.5.4.10", UTF8, b""),
        attribute("2.5.4.11", PRINTABLE, b""),
        attribute("2.5.4.3", UTF8, &[b'x'; 2000]),
        attribute("1.2.3.4.5", UTF8, b"what"),
    ]);
    let universal = attribute("2.5.4.3", der::UNIVERSAL, &der::universal("日本 😀"));
    vec![
        (
            ca("two OUs", "p256").subject("O = Example\n0.OU = One\n1.OU = Two\nCN = CA"),
            "",
        ),
        (
            signed("domain components, RSA 4096")
                .subject("0.DC = com\n1.DC = example\nCN = CA")
                .by("rsa4096", ""),
            "",
        ),
        (
            ca("a multi-valued RDN, P-384", "p384")
                .subject("O = Example\n+OU = Mail\nCN = CA\n+serialNumber = 7"),
            "-sha384",
        ),
        (
            ca("BMPString, Ed25519", "ed25519")
                .strings("MASK:0x800")
                .subject("O = Jürgen 日本\nCN = CA"),
            "",
        ),
        (
            ca("T61String, RSA 2048, RSA-PSS by itself", "rsa2048")
                .strings("MASK:0x4")
                .subject("O = Söhne & Töchter\nCN = CA"),
            "-sigopt rsa_padding_mode:pss",
        ),
        (
            ca("empty, long and unknown attributes", "p256").subject_der(empty),
            "",
        ),
        (
            ca("UniversalString", "p256").subject_der(name(&[universal])),
            "",
        ),
    ]
}

#[test]
fn seven_odd_cas_sign_every_request() {
    if !require(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    let cases = all();
    let mut requests = Vec::new();
    let mut refused = 0;
    for (number, case) in cases.iter().enumerate() {
        let request = workshop.make(&format!("requests/{number}.csr"), case);
        match &case.wanted {
            Wanted::Signed { names, .. } => requests.push((number, case, request, *names)),
            Wanted::Refused(_) => refused += 1,
        }
    }
    let mut total = 0;
    let cas = odd_cas();
    assert_eq!(cas.len(), 7);
    for (position, (ca, options)) in cas.iter().enumerate() {
        workshop.make_ca(ca, options);
        let issuer = Issuer::of(&workshop);
        let out = format!("out{position}");
        let sign = [&["sign", "requests", "--out-dir", &out], &ANY_SUBJECT[..]].concat();
        let ran = workshop.mailca(&sign).exits(3);
        let mut certificates = Vec::new();
        let mut by_own_key = 0;
        for (number, case, request, names) in &requests {
            let why = format!("{}, by the CA with {}", case.what, ca.what);
            let file = format!("{out}/{number}.pem");
            if case.key() == ca.key() {
                by_own_key += 1;
                continue;
            }
            let certificate = certificate(&workshop, &file);
            assert_faithful(&certificate, &Asked::of(request), &issuer, names, &why);
            certificates.push(file);
        }
        let made = fs::read_dir(workshop.dir.file(&out)).unwrap().count();
        assert_eq!(made, certificates.len(), "{ran}");
        let failed = refused + by_own_key;
        assert_eq!(made + failed, cases.len());
        let counts = format!("signed {made}, failed {failed}\n");
        assert!(ran.stdout.contains(&counts), "{ran}");
        let own_key = ran.stderr.contains("the request's key is the CA's own");
        assert_eq!(own_key, by_own_key > 0, "{ran}");
        assert_accepted(&workshop, &certificates);
        tell(&format!("{}: {made} certificates accepted", ca.what));
        total += made;
    }
    tell(&format!(
        "7 odd CAs times {} requests: {total} certificates, all accepted by openssl verify -x509_strict",
        cases.len()
    ));
    assert!(total > 600);
}

#[test]
fn a_policy_keeps_the_bytes_of_what_it_keeps() {
    if !require(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    workshop.make_ca(&signed("a CA").by("ca-p256", ""), "");
    let issuer = Issuer::of(&workshop);
    let mut kept = 0;
    for case in cases::subjects() {
        let Wanted::Signed { names, .. } = case.wanted else {
            continue;
        };
        let why = &case.what;
        let mut asked = Asked::of(&workshop.make("any.csr", &case));
        let rdns = der::elements(&asked.subject);
        let attributes = rdns.iter().flat_map(|rdn| der::elements(rdn));
        let is_common_name = |one: &Vec<u8>| der::content(one).starts_with(&der::oid("2.5.4.3"));
        let (common_names, others): (Vec<_>, Vec<_>) = attributes.partition(is_common_name);
        asked.subject = name(&common_names);
        let sign = [
            "sign",
            "any.csr",
            "--out",
            "any.pem",
            "--yes",
            "--policy=anything",
        ];
        let ran = workshop.mailca(&sign).exits(0);
        let certificate = certificate(&workshop, "any.pem");
        assert_faithful(&certificate, &asked, &issuer, names, why);
        let dropped = ran.stderr.contains("anything has no place for ");
        assert_eq!(dropped, !others.is_empty(), "{why}: {ran}");
        kept += common_names.len();
    }
    assert!(kept > 20);
}

// Listing 6.2 has certificate and key in one file.
#[test]
fn the_book_s_form_of_a_request_becomes_what_it_should() {
    if !require(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    workshop.make_ca(&signed("a CA").by("ca-p256", ""), "");
    let issuer = Issuer::of(&workshop);
    workshop.write(
        "book.cnf",
        b"[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\n\
          0.OU = One\n1.OU = Two\nCN = mail.example.test\n[ext]\n\
          subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid:always, issuer\n\
          basicConstraints = critical, CA:TRUE\n",
    );
    let newreq = |key: &str| {
        let key = workshop.key(key);
        workshop.openssl(&format!(
            "req -x509 -new -config book.cnf -key {key} -out own.pem"
        ));
        let file = [workshop.read(&key), workshop.read("own.pem")];
        workshop.write("newreq.pem", &file.concat());
    };
    let sign = [
        &["sign", "newreq.pem", "--out", "out.pem"],
        &ANY_SUBJECT[..],
    ]
    .concat();
    for key in ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"] {
        newreq(key);
        let content = der::elements(&der::elements(&certificate(&workshop, "own.pem"))[0]);
        let asked = Asked {
            subject: content[5].clone(),
            public_key: content[6].clone(),
        };
        let ran = workshop.mailca(&sign).exits(0);
        let notes = [
            "the request asks for basicConstraints CA:TRUE, which it does not get",
            "the request has no SubjectAltName; from its subject comes DNS:mail.example.test",
        ];
        assert_eq!(lines(&ran, "note: "), notes, "{key}");
        let certificate = certificate(&workshop, "out.pem");
        let names = ["DNS:mail.example.test"];
        assert_faithful(&certificate, &asked, &issuer, &names, key);
        assert_accepted(&workshop, &["out.pem".into()]);
        let installed = "pkey -in CA/hosts/mail.example.test/key.pem -pubout -outform DER -out own";
        workshop.openssl(installed);
        assert_eq!(workshop.read("own"), asked.public_key, "{key}");
    }
    for (key, kind) in [
        ("p521", "EC P-521"),
        ("rsa2049", "RSA 2049"),
        ("rsa8192", "RSA 8192"),
        ("rsa-e3", "RSA 2048 (exponent 3)"),
        ("pss", "RSA-PSS"),
        ("ed448", "Ed448"),
        ("secp256k1", "EC secp256k1"),
    ] {
        newreq(key);
        let before = Tree::of(workshop.dir.path());
        let said = assert_one_refusal(&workshop.mailca(&sign), key);
        let wanted = format!("newreq.pem: mailca cannot sign with a key of type {kind}");
        assert_eq!(said, wanted);
        before.assert_unchanged(workshop.dir.path(), key);
    }
    newreq("p256");
    let foreign = [
        workshop.read(&workshop.key("p384")),
        workshop.read("own.pem"),
    ]
    .concat();
    workshop.write("newreq.pem", &foreign);
    let said = assert_one_refusal(&workshop.mailca(&sign), "a foreign key");
    assert!(said.ends_with("its private key does not belong to its certificate"));
    workshop.write("newreq.pem", &workshop.read("own.pem"));
    let said = assert_one_refusal(&workshop.mailca(&sign), "no key");
    assert!(said.contains("without its private key"), "{said}");
}

// Of what is refused as no key: openssl counts such a signature.
#[test]
fn openssl_counts_a_signature_that_anybody_could_write() {
    if !require(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    let forged = cases::forgeries();
    let forged = forged.iter().find(|case| case.what == "exponent 1");
    workshop.make("forged.csr", forged.expect("the forgery"));
    workshop.openssl("req -in forged.csr -verify -noout");
}
