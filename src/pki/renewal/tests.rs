use time::macros::datetime;

use super::*;
use crate::pki::key::{EncodedKey, PrivateKey};
use crate::pki::serial::SerialNumber;
use crate::pki::tbs::TbsCertificate;
use crate::pki::testing::Openssl;

// A CA certificate by OpenSSL with these extensions, and the one that takes its place, new.pem.
fn renewed(openssl: &Openssl, extensions: &str) -> Renewal {
    openssl.p256("cakey.pem");
    let config = format!("[req]\ndistinguished_name = dn\n[dn]\n[v3]\n{extensions}\n");
    openssl.write("ca.cnf", config);
    openssl.run("req -new -x509 -config ca.cnf -extensions v3 -key cakey.pem -subj /O=a/O=b/CN=CA -out ca.pem");
    renew(openssl)
}

fn renew(openssl: &Openssl) -> Renewal {
    let old = openssl.certificate("ca.pem");
    let renewal = Renewal::of(&old).unwrap();
    let key = EncodedKey::find(&openssl.read("cakey.pem"))
        .unwrap()
        .unwrap();
    let key: PrivateKey = key.unlock(None).unwrap();
    let der = TbsCertificate {
        serial: &SerialNumber::from_be_bytes(&[7]).unwrap(),
        issuer: &old.subject,
        not_before: datetime!(2026-01-01 00:00 UTC),
        not_after: datetime!(2036-01-01 00:00 UTC),
        subject: &old.subject,
        subject_public_key_info: &old.subject_public_key_info,
        extensions: renewal.extensions.clone(),
    }
    .sign(&key, key.digest_for(None))
    .unwrap();
    let new = Certificate::from_der(&der).unwrap();
    openssl.write("new.pem", new.to_pem());
    renewal
}

fn text(openssl: &Openssl, name: &str, extension: &str) -> String {
    openssl.text(&format!("x509 -in {name} -noout -ext {extension}"))
}

#[test]
fn path_length_key_identifier_and_name_constraints_stay_as_they_were() {
    let openssl = Openssl::new();
    let renewal = renewed(
        &openssl,
        "basicConstraints = critical, CA:TRUE, pathlen:3
         keyUsage = critical, keyCertSign, cRLSign
         subjectKeyIdentifier = 0102030405
         nameConstraints = permitted;DNS:example.com, excluded;email:.example.org",
    );
    assert_eq!((renewal.added.len(), renewal.dropped.len()), (0, 0));
    let all = "basicConstraints,keyUsage,subjectKeyIdentifier,nameConstraints";
    assert_eq!(
        text(&openssl, "new.pem", all),
        text(&openssl, "ca.pem", all)
    );
    assert!(text(&openssl, "new.pem", all).contains("pathlen:3"));
}

#[test]
fn what_a_ca_must_have_is_added_and_what_describes_the_old_one_dropped() {
    let openssl = Openssl::new();
    let renewal = renewed(
        &openssl,
        "basicConstraints = CA:TRUE
         keyUsage = keyCertSign, digitalSignature
         authorityKeyIdentifier = issuer:always
         subjectKeyIdentifier = hash
         nsComment = made by hand",
    );
    assert_eq!(
        renewal.added,
        ["basicConstraints is critical", "keyUsage includes cRLSign"]
    );
    assert_eq!(renewal.dropped.len(), 3, "{:?}", renewal.dropped);
    let usage = text(&openssl, "new.pem", "keyUsage");
    assert!(usage.contains("critical"), "{usage}");
    assert!(usage.ends_with("Certificate Sign, CRL Sign"), "{usage}");
}

#[test]
fn a_certificate_of_version_1_becomes_one_of_version_3() {
    let openssl = Openssl::new();
    openssl.p256("cakey.pem");
    openssl.run("req -new -key cakey.pem -subj /CN=CA -out ca.csr");
    openssl.run("x509 -req -in ca.csr -signkey cakey.pem -out ca.pem");
    assert!(
        openssl
            .text("x509 -in ca.pem -noout -text")
            .contains("Version: 1")
    );
    let renewal = renew(&openssl);
    assert_eq!(renewal.added.len(), 3, "{:?}", renewal.added);
    assert!(
        openssl
            .text("x509 -in new.pem -noout -text")
            .contains("Version: 3")
    );
    openssl.run("verify -x509_strict -CAfile new.pem new.pem");
}

#[test]
fn what_says_that_it_is_no_ca_does_not_become_one() {
    let openssl = Openssl::new();
    for extensions in [
        "basicConstraints = CA:FALSE",
        "basicConstraints = CA:TRUE\nkeyUsage = digitalSignature",
    ] {
        openssl.p256("cakey.pem");
        let config = format!("[req]\ndistinguished_name = dn\n[dn]\n[v3]\n{extensions}\n");
        openssl.write("ca.cnf", config);
        openssl.run(
            "req -new -x509 -config ca.cnf -extensions v3 -key cakey.pem -subj /CN=CA -out ca.pem",
        );
        let error = Renewal::of(&openssl.certificate("ca.pem")).unwrap_err();
        assert!(matches!(error, RenewalError::NotCa(_)), "{error}");
    }
}
