use time::macros::datetime;

use super::*;
use crate::pki::public_key::BadKey;
use crate::pki::signature::SignatureError;
use crate::pki::testing::Openssl;

const CONF: &str = "\
[ca]\ndefault_ca = d\n\
[d]\ndatabase = index.txt\ncrlnumber = crlnumber\ncertificate = ca.pem\nprivate_key = ca.key\n\
default_md = sha256\ndefault_crl_days = 30\ncrl_extensions = x\n\
[x]\nauthorityKeyIdentifier = keyid:always\n\
[plain]\ndatabase = index.txt\ncertificate = ca.pem\nprivate_key = ca.key\n\
default_md = sha256\ndefault_crl_days = 30\n";

// Serial numbers and revocations as `openssl ca` keeps them, in the order in which it writes them.
const REVOKED: [(&str, &str); 5] = [
    ("01", "261124001943Z"),
    ("0203", "261124001944Z,superseded"),
    ("80FF", "261124001943Z,keyCompromise"),
    (
        "040506",
        "261124001945Z,holdInstruction,holdInstructionReject",
    ),
    ("7A00000000000000", "261124001946Z,keyTime,20261101120000Z"),
];

fn ca() -> Openssl {
    let ca = Openssl::new();
    ca.p256("ca.key");
    ca.run_with(
        "req -x509 -new -key ca.key -out ca.pem -days 30 -subj",
        &["/O=Example/CN=Example CA"],
    );
    ca.write("ca.cnf", CONF);
    let rows = REVOKED.map(|(serial, revoked)| {
        format!("R\t361124001943Z\t{revoked}\t{serial}\tunknown\t/CN=a\n")
    });
    ca.write("index.txt", rows.concat());
    ca.write("crlnumber", "80AB\n");
    ca.run("ca -config ca.cnf -gencrl -out crl.pem");
    ca
}

fn read(ca: &Openssl, name: &str) -> CertificateList {
    CertificateList::from_pem_or_der(&ca.read(name)).unwrap()
}

#[test]
fn the_head_of_a_crl_by_openssl_is_read() {
    let ca = ca();
    let list = read(&ca, "crl.pem");
    let issuer = ca.certificate("ca.pem");
    assert_eq!(list.issuer, issuer.subject);
    assert_eq!(list.number.as_ref().unwrap().to_string(), "80AB");
    assert_eq!(list.authority_key_identifier, issuer.subject_key_identifier);
    let lifetime = list.next_update.unwrap() - list.this_update;
    assert_eq!(lifetime.whole_days(), 30);
    assert_eq!(list.unknown_critical, None);
    list.verify_signature(&issuer).unwrap();

    ca.run("crl -in crl.pem -outform DER -out crl.der");
    assert_eq!(list.as_der(), ca.read("crl.der"));
    assert_eq!(read(&ca, "crl.der").number, list.number);
}

#[test]
fn entries_have_what_openssl_wrote() {
    let ca = ca();
    let list = read(&ca, "crl.pem");
    let entries: Vec<_> = list.entries().map(Result::unwrap).collect();
    let serials: Vec<_> = entries
        .iter()
        .map(|e| e.serial_number().to_string())
        .collect();
    assert_eq!(serials, REVOKED.map(|(serial, _)| serial));
    let reasons: Vec<_> = entries.iter().map(|entry| entry.reason).collect();
    let hold = CrlReason::CertificateHold;
    let compromise = CrlReason::KeyCompromise;
    assert_eq!(
        reasons,
        [
            None,
            Some(CrlReason::Superseded),
            Some(compromise),
            Some(hold),
            Some(compromise)
        ]
    );
    assert_eq!(entries[2].revoked_at, datetime!(2026-11-24 00:19:43 UTC));
    assert_eq!(entries[2].invalid_since, None);
    assert_eq!(
        entries[4].invalid_since,
        Some(datetime!(2026-11-01 12:00 UTC))
    );
    for entry in &entries {
        assert_eq!(
            list.find(&entry.serial_number()).unwrap().as_ref(),
            Some(entry)
        );
    }
    assert_eq!(list.find(&"FF".parse().unwrap()).unwrap(), None);
}

#[test]
fn a_first_version_without_extensions_and_an_empty_one_are_read() {
    let ca = ca();
    ca.run("ca -config ca.cnf -name plain -gencrl -out first.pem");
    let list = read(&ca, "first.pem");
    assert_eq!(
        (&list.number, &list.authority_key_identifier),
        (&None, &None)
    );
    assert_eq!(list.entries().count(), REVOKED.len());
    ca.write("index.txt", "");
    ca.run("ca -config ca.cnf -gencrl -out empty.pem");
    assert_eq!(read(&ca, "empty.pem").entries().count(), 0);
}

#[test]
fn a_signature_by_another_key_or_over_other_bytes_is_wrong() {
    let ca = ca();
    let issuer = ca.certificate("ca.pem");
    ca.p256("other.key");
    ca.run("req -x509 -new -key other.key -out other.pem -days 30 -subj /CN=Other");
    let wrong = |by: &str| SignedError::Wrong(by.into());
    let list = read(&ca, "crl.pem");
    let other = list.verify_signature(&ca.certificate("other.pem"));
    assert_eq!(other, Err(wrong("CN=Other")));
    let mut der = list.as_der().to_vec();
    let at = der
        .windows(2)
        .position(|pair| pair == [0x80, 0xFF])
        .unwrap();
    der[at + 1] = 0xFE;
    let altered = CertificateList::from_der(der).unwrap();
    assert_eq!(
        altered.verify_signature(&issuer),
        Err(wrong("O=Example, CN=Example CA"))
    );
}

#[test]
fn a_signature_that_cannot_be_checked_is_named() {
    let ca = ca();
    ca.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out ca.key");
    ca.run("req -x509 -new -key ca.key -out ca.pem -days 30 -subj /CN=Curve");
    ca.run("ca -config ca.cnf -gencrl -md sha512 -out crl.pem");
    let found = read(&ca, "crl.pem").verify_signature(&ca.certificate("ca.pem"));
    assert_eq!(found, Ok(()));
    ca.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out ca.key");
    ca.run("req -x509 -new -key ca.key -out ca.pem -days 30 -subj /CN=Curve");
    ca.run("ca -config ca.cnf -gencrl -md sha256 -out crl.pem");
    let refused = read(&ca, "crl.pem").verify_signature(&ca.certificate("ca.pem"));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "its signature is made with ecdsa-with-SHA256 by a key of type EC secp256k1, which mailca \
         cannot verify"
    );
    ca.run("genrsa -out ca.key 1024");
    ca.run("req -x509 -new -key ca.key -out ca.pem -days 30 -subj /CN=Short");
    ca.run("ca -config ca.cnf -gencrl -out crl.pem");
    let refused = read(&ca, "crl.pem").verify_signature(&ca.certificate("ca.pem"));
    let short = SignatureError::Key(BadKey::Short { bits: 1024 });
    assert_eq!(refused, Err(SignedError::Signature(short)));
}

#[test]
fn what_is_no_crl_is_refused_and_damage_never_panics() {
    let ca = ca();
    for bytes in [
        &b""[..],
        b"-----BEGIN X509 CRL-----\n",
        b"x",
        &ca.read("ca.pem"),
    ] {
        let refused = CertificateList::from_pem_or_der(bytes);
        assert!(matches!(refused, Err(CertificateListError::None)));
    }
    let der = read(&ca, "crl.pem").as_der().to_vec();
    for at in 0..der.len() {
        assert!(CertificateList::from_der(der[..at].to_vec()).is_err());
        for value in [0, 0x30, 0x7F, 0x80, 0x84, 0xFF] {
            let mut damaged = der.clone();
            damaged[at] = value;
            if let Ok(list) = CertificateList::from_der(damaged) {
                assert!(list.entries().count() <= der.len());
                let _ = list.find(&"FF".parse().unwrap());
                let _ = list.verify_signature(&ca.certificate("ca.pem"));
            }
        }
    }
}
