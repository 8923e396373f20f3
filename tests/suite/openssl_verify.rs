//! OpenSSL accepts what mailca signs, for what it was signed and nothing else.

use super::support::{Ca, require};

const HOST: &str = "mail.example.test";

#[track_caller]
fn assert_purposes(ca: &Ca, certificate: &str, server: bool, client: bool) {
    for (purpose, accepted) in [("sslserver", server), ("sslclient", client)] {
        let ran = ca.verify(certificate, &["-purpose", purpose]);
        assert_eq!(ran.status.success(), accepted, "{ran}");
        assert!(accepted || ran.stderr.contains("purpose"), "{ran}");
    }
}

#[track_caller]
fn assert_host(ca: &Ca, certificate: &str, host: &str, does: bool) {
    let said = ca.x509(certificate, &["-checkhost", host]);
    assert_eq!(said.contains("does match"), does, "{said}");
}

#[test]
fn each_profile_serves_its_purposes_and_no_other() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.request(HOST, &["--san", "smtp.example.test", "--san", "192.0.2.25"]);
    for (profile, server, client) in [
        ("relay", true, true),
        ("server", true, false),
        ("client", false, true),
    ] {
        let out = ca.dir.file(&format!("{profile}.pem"));
        ca.ok(&[
            "sign",
            &request,
            "--profile",
            profile,
            "--out",
            &out,
            "--yes",
        ]);
        assert_purposes(&ca, &out, server, client);
        assert_host(&ca, &out, HOST, true);
        assert_host(&ca, &out, "smtp.example.test", true);
        assert_host(&ca, &out, "example.test", false);
        let address = ca.x509(&out, &["-checkip", "192.0.2.25"]);
        assert!(address.contains("does match"), "{address}");
    }
    let out = ca.dir.file("default.pem");
    ca.ok(&["sign", &request, "--out", &out, "--yes"]);
    assert_purposes(&ca, &out, true, true);
}

#[test]
fn every_type_of_ca_signs_every_type_of_key() {
    if !require(&["openssl"]) {
        return;
    }
    // RSA keys of 4096 bits are the slow ones; they have their place elsewhere.
    let types = ["p256", "p384", "ed25519", "rsa2048", "rsa3072"];
    let requests = Ca::new();
    for key_type in types {
        requests.request(
            &format!("{key_type}.example.test"),
            &["--key-type", key_type],
        );
    }
    for ca_type in types {
        let ca = Ca::of(super::support::User::me(), &["--key-type", ca_type]);
        for key_type in types {
            let host = format!("{key_type}.example.test");
            let request = requests.dir.file(&format!("{host}.csr"));
            let out = ca.dir.file(&format!("{host}.pem"));
            ca.ok(&["sign", &request, "--out", &out, "--yes"]);
            assert_purposes(&ca, &out, true, true);
            assert_host(&ca, &out, &host, true);
        }
    }
}

#[test]
fn a_request_that_openssl_made_is_signed_and_verified() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let subject = [
        "-subj",
        "/O=Example/CN=mail.example.test/emailAddress=root@example.test",
    ];
    let request = ca.openssl_request("plain", &subject);
    let ran = ca.ok(&["sign", &request, "--out", "plain.pem", "--yes"]);
    assert!(
        ran.stderr.contains("the request has no SubjectAltName"),
        "{ran}"
    );
    assert_purposes(&ca, "plain.pem", true, true);
    assert_host(&ca, "plain.pem", HOST, true);
    let names = ca.x509("plain.pem", &["-ext", "subjectAltName"]);
    assert!(names.contains("DNS:mail.example.test"), "{names}");
    assert!(names.contains("email:root@example.test"), "{names}");

    let der = ca.dir.file("request.der");
    ca.dir
        .openssl(&["req", "-in", &request, "-outform", "DER", "-out", &der]);
    ca.ok(&["sign", &der, "--out", "der.pem", "--yes"]);
    assert_purposes(&ca, "der.pem", true, true);
}

#[test]
fn a_request_s_own_wishes_for_power_are_named_and_not_granted() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.openssl_request(
        "greedy",
        &[
            "-subj",
            "/CN=mail.example.test",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=keyCertSign,cRLSign",
            "-addext",
            "subjectAltName=DNS:mail.example.test,URI:https://example.test/",
        ],
    );
    let ran = ca.ok(&["sign", &request, "--out", "out.pem", "--yes"]);
    for wish in ["basicConstraints", "keyUsage", "example.test/"] {
        assert!(ran.stderr.contains(wish), "{wish}: {ran}");
    }
    let text = ca.x509("out.pem", &["-text"]);
    assert!(
        text.contains("CA:FALSE") && !text.contains("CA:TRUE"),
        "{text}"
    );
    assert!(
        !text.contains("Certificate Sign") && !text.contains("URI:"),
        "{text}"
    );
    assert_purposes(&ca, "out.pem", true, true);
}
