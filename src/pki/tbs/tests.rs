//! Certificates and requests that mailca writes, as openssl sees them.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::pki::certificate::Certificate;
use crate::pki::extensions::{of_ca, of_end_entity, subject_alt_name};
use crate::pki::general_name::GeneralName;
use crate::pki::key::{EncodedKey, KeyType};
use crate::pki::name_constraints::Subtree;
use crate::pki::pem_text;
use crate::pki::profile::Profile;
use crate::pki::request::{Request, Strength};
use crate::pki::testing::Openssl;

struct Ca {
    key: PrivateKey,
    certificate: Certificate,
}

impl Ca {
    fn new(openssl: &Openssl, key_type: KeyType, permitted: &[&str]) -> Self {
        let key = PrivateKey::generate(key_type).unwrap();
        let permitted: Vec<Subtree> = permitted.iter().map(|one| one.parse().unwrap()).collect();
        let subject = Name::from_oneline("/O=Example/CN=Example Mail CA").unwrap();
        let tbs = TbsCertificate {
            serial: &"01".parse().unwrap(),
            issuer: &subject,
            not_before: datetime!(2020-01-01 00:00 UTC),
            not_after: datetime!(2060-01-01 00:00 UTC),
            subject: &subject,
            subject_public_key_info: key.subject_public_key_info(),
            extensions: of_ca(key.subject_public_key_info(), &permitted).unwrap(),
        };
        let der = tbs.sign(&key, key.digest_for(None)).unwrap();
        let certificate = Certificate::from_der(&der).unwrap();
        openssl.write("ca.pem", certificate.to_pem());
        Self { key, certificate }
    }

    /// The CA that openssl made, in `ca.pem` and `cakey.pem`.
    fn of(openssl: &Openssl) -> Self {
        let key = EncodedKey::find(&openssl.read("cakey.pem")).unwrap();
        Self {
            key: key.unwrap().unlock(None).unwrap(),
            certificate: openssl.certificate("ca.pem"),
        }
    }

    /// Issues `leaf.pem`.
    fn issue(&self, openssl: &Openssl, leaf: &Leaf<'_>) -> Certificate {
        let names: Vec<_> = leaf
            .names
            .iter()
            .map(|name| GeneralName::parse(name).unwrap())
            .collect();
        let tbs = TbsCertificate {
            serial: &"F00D".parse().unwrap(),
            issuer: &self.certificate.subject,
            not_before: datetime!(2020-01-01 00:00:01 UTC),
            not_after: leaf.not_after,
            subject: &leaf.subject,
            subject_public_key_info: leaf.public_key,
            extensions: of_end_entity(
                leaf.profile,
                leaf.public_key,
                &names,
                leaf.subject.is_empty(),
                &self.certificate,
                leaf.crl_url,
            )
            .unwrap(),
        };
        let der = tbs.sign(&self.key, self.key.digest_for(None)).unwrap();
        let certificate = Certificate::from_der(&der).unwrap();
        openssl.write("leaf.pem", certificate.to_pem());
        certificate
    }
}

struct Leaf<'a> {
    subject: Name,
    public_key: &'a [u8],
    profile: Profile,
    names: &'a [&'a str],
    crl_url: Option<&'a str>,
    not_after: OffsetDateTime,
}

impl<'a> Leaf<'a> {
    fn new(public_key: &'a [u8], names: &'a [&'a str]) -> Self {
        Self {
            subject: Name::common_name_only("mail.example.org").unwrap(),
            public_key,
            profile: Profile::Relay,
            names,
            crl_url: None,
            not_after: datetime!(2049-12-31 23:59:59 UTC),
        }
    }
}

const VERIFY: &str = "verify -x509_strict -no-CApath -CAfile ca.pem";

#[test]
fn openssl_verifies_every_profile_under_every_kind_of_ca_for_its_purposes_only() {
    let openssl = Openssl::new();
    let keys = [
        KeyType::P256,
        KeyType::P384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
    ]
    .map(|key_type| (key_type, PrivateKey::generate(key_type).unwrap()));
    for (ca_type, _) in &keys {
        let ca = Ca::new(&openssl, *ca_type, &[]);
        let (accepted, said) = openssl.try_run(&format!("{VERIFY} -check_ss_sig ca.pem"));
        assert!(accepted, "{ca_type}: {said}");
        for (key_type, key) in &keys {
            for profile in Profile::ALL {
                let mut leaf = Leaf::new(key.subject_public_key_info(), &["mail.example.org"]);
                leaf.profile = profile;
                let issued = ca.issue(&openssl, &leaf);
                assert_eq!(
                    issued.subject_public_key_info,
                    key.subject_public_key_info()
                );
                assert_eq!(issued.issuer, ca.certificate.subject);
                assert_eq!(Profile::of(&issued), Some(profile));
                let verify =
                    |purpose| openssl.try_run(&format!("{VERIFY} -purpose {purpose} leaf.pem"));
                let server = verify("sslserver");
                let client = verify("sslclient");
                assert_eq!(
                    (server.0, client.0),
                    (profile != Profile::Client, profile != Profile::Server),
                    "{ca_type} {key_type} {profile}: {server:?} {client:?}"
                );
            }
        }
    }
}

/// The extensions as `openssl x509` prints them, one a line: `name[ critical]: value`.
fn extensions_of(openssl: &Openssl, file: &str) -> Vec<String> {
    let text = openssl.text(&format!(
        "x509 -in {file} -noout -text -certopt no_header,no_version,no_serial,no_signame,no_validity,no_subject,no_issuer,no_pubkey,no_sigdump"
    ));
    let mut found: Vec<String> = Vec::new();
    for line in text
        .lines()
        .skip_while(|line| !line.contains("X509v3 extensions"))
        .skip(1)
    {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        match found.last_mut() {
            Some(last) if indent > 12 => {
                last.push_str(line);
                last.push(';');
            }
            _ => found.push(line.to_owned()),
        }
    }
    found
}

#[test]
fn a_certificate_has_exactly_the_extensions_of_its_profile() {
    let openssl = Openssl::new();
    let ca = Ca::new(&openssl, KeyType::P256, &["example.org", "192.0.2.0/24"]);
    let ca_id = fingerprint(ca.certificate.subject_key_identifier.as_ref().unwrap());
    assert_eq!(
        extensions_of(&openssl, "ca.pem"),
        [
            "X509v3 Basic Constraints: criticalCA:TRUE, pathlen:0;",
            "X509v3 Key Usage: criticalCertificate Sign, CRL Sign;",
            &format!("X509v3 Subject Key Identifier:{ca_id};"),
            "X509v3 Name Constraints: criticalPermitted:;DNS:example.org;email:example.org;\
             email:.example.org;IP:192.0.2.0/255.255.255.0;",
        ]
    );
    let rsa = PrivateKey::generate(KeyType::Rsa2048).unwrap();
    let mut leaf = Leaf::new(
        rsa.subject_public_key_info(),
        &[
            "mail.example.org",
            "192.0.2.1",
            "2001:db8::1",
            "postmaster@example.org",
        ],
    );
    leaf.crl_url = Some("http://ca.example.org/crl.der");
    let issued = ca.issue(&openssl, &leaf);
    let id = fingerprint(issued.subject_key_identifier.as_ref().unwrap());
    let authority = format!("X509v3 Authority Key Identifier:{ca_id};");
    let subject = format!("X509v3 Subject Key Identifier:{id};");
    assert_eq!(
        extensions_of(&openssl, "leaf.pem"),
        [
            "X509v3 Basic Constraints: criticalCA:FALSE;",
            "X509v3 Key Usage: criticalDigital Signature, Key Encipherment;",
            "X509v3 Extended Key Usage:TLS Web Server Authentication, \
             TLS Web Client Authentication;",
            &subject,
            &authority,
            "X509v3 Subject Alternative Name:DNS:mail.example.org, IP Address:192.0.2.1, \
             IP Address:2001:DB8:0:0:0:0:0:1, email:postmaster@example.org;",
            "X509v3 CRL Distribution Points:Full Name:;URI:http://ca.example.org/crl.der;",
        ]
    );
    assert_eq!(issued.names.len(), 4);
    leaf.profile = Profile::Client;
    leaf.names = &[];
    leaf.crl_url = None;
    ca.issue(&openssl, &leaf);
    assert_eq!(
        extensions_of(&openssl, "leaf.pem"),
        [
            "X509v3 Basic Constraints: criticalCA:FALSE;",
            "X509v3 Key Usage: criticalDigital Signature;",
            "X509v3 Extended Key Usage:TLS Web Client Authentication;",
            &subject,
            &authority,
        ]
    );
}

fn fingerprint(octets: &[u8]) -> String {
    let pairs: Vec<_> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    pairs.join(":")
}

#[test]
fn the_names_are_critical_where_the_subject_is_empty() {
    let openssl = Openssl::new();
    let ca = Ca::new(&openssl, KeyType::P256, &[]);
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let mut leaf = Leaf::new(key.subject_public_key_info(), &["mail.example.org"]);
    leaf.subject = Name::from_attributes(Vec::new()).unwrap();
    ca.issue(&openssl, &leaf);
    assert!(
        extensions_of(&openssl, "leaf.pem")
            .contains(&"X509v3 Subject Alternative Name: criticalDNS:mail.example.org;".to_owned())
    );
    openssl.run(&format!(
        "{VERIFY} -verify_hostname mail.example.org leaf.pem"
    ));
}

#[test]
fn openssl_reads_the_dates_that_were_meant() {
    let openssl = Openssl::new();
    let ca = Ca::new(&openssl, KeyType::P256, &[]);
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let cases = [
        (
            datetime!(2049-12-31 23:59:59 UTC),
            "Dec 31 23:59:59 2049 GMT",
        ),
        (
            datetime!(2050-01-01 01:00:00 +1),
            "Jan  1 00:00:00 2050 GMT",
        ),
        (
            datetime!(9999-12-31 23:59:59 UTC),
            "Dec 31 23:59:59 9999 GMT",
        ),
    ];
    for (not_after, printed) in cases {
        let mut leaf = Leaf::new(key.subject_public_key_info(), &["a"]);
        leaf.not_after = not_after;
        let issued = ca.issue(&openssl, &leaf);
        assert_eq!(issued.not_after, not_after);
        let text = openssl.text("x509 -in leaf.pem -noout -enddate");
        assert_eq!(text, format!("notAfter={printed}"));
        openssl.run(&format!("{VERIFY} leaf.pem"));
    }
}

#[test]
fn the_subject_of_a_ca_that_openssl_made_comes_back_as_issuer_byte_for_byte() {
    let openssl = Openssl::new();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let cases = [
        ("utf8only", "/C=US/O=Example/OU=One/OU=Two/CN=Größe"),
        ("utf8only", "/DC=org/DC=example/CN=CA"),
        ("utf8only", "/O=Example/CN=CA+OU=b+serialNumber=1"),
        ("pkix", "/O=Exämple/CN=CA"),
        ("MASK:0x800", "/O=Exämple 日本/CN=CA"),
        ("MASK:0x4", "/O=Exämple/CN=CA"),
        ("nombstr", "/O=Exämple/CN=CA & Sons"),
        ("default", "/O=Exämple/CN=CA_x/emailAddress=ca@example.org"),
    ];
    for (mask, subject) in cases {
        openssl.write(
            "req.cnf",
            format!(
                "[req]\ndistinguished_name=dn\nstring_mask={mask}\nx509_extensions=ext\n[dn]\n\
                 [ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
                 subjectKeyIdentifier=hash\n"
            ),
        );
        openssl.run_with(
            "req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -utf8 -keyout cakey.pem -out ca.pem",
            &["-subj", subject],
        );
        let ca = Ca::of(&openssl);
        let mut leaf = Leaf::new(key.subject_public_key_info(), &["mail.example.org"]);
        leaf.not_after = ca.certificate.not_after;
        let issued = ca.issue(&openssl, &leaf);
        assert_eq!(issued.issuer.as_der(), ca.certificate.subject.as_der());
        openssl.run(&format!("{VERIFY} -purpose sslserver leaf.pem"));
    }
}

#[test]
fn a_ca_without_key_identifier_is_pointed_to_by_the_hash_of_its_key() {
    let openssl = Openssl::new();
    openssl.p256("cakey.pem");
    openssl.write("v1.cnf", "[req]\ndistinguished_name=dn\n[dn]\n");
    openssl.run_with(
        "req -new -config v1.cnf -key cakey.pem -out ca.csr",
        &["-subj", "/CN=Old CA"],
    );
    openssl.run("x509 -req -in ca.csr -signkey cakey.pem -out ca.pem");
    let ca = Ca::of(&openssl);
    assert_eq!(ca.certificate.subject_key_identifier, None);
    assert!(!ca.certificate.is_ca);
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let mut leaf = Leaf::new(key.subject_public_key_info(), &["mail.example.org"]);
    leaf.not_after = ca.certificate.not_after;
    ca.issue(&openssl, &leaf);
    openssl.run("verify -no-CApath -CAfile ca.pem leaf.pem");
}

#[test]
fn name_constraints_hold_names_inside_and_keep_out_all_others() {
    let openssl = Openssl::new();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let cases: &[(&[&str], &[&str], bool)] = &[
        (&["example.org"], &["example.org"], true),
        (
            &["example.org"],
            &["mail.example.org", "a.b.example.org"],
            true,
        ),
        (&["example.org"], &["*.example.org"], true),
        (&["example.org"], &["MAIL.EXAMPLE.ORG"], true),
        (&["EXAMPLE.org."], &["mail.example.org"], true),
        (&[".example.org"], &["mail.example.org"], true),
        (&["bücher.example"], &["mail.bücher.example"], true),
        (&["example.org"], &["badexample.org"], false),
        (&["example.org"], &["mail.example.com"], false),
        (
            &["example.org"],
            &["mail.example.org", "mail.example.com"],
            false,
        ),
        (&["example.org"], &["a@example.org"], true),
        (&["example.org"], &["a@mail.example.org"], true),
        (&["example.org"], &["a@example.com"], false),
        (&["example.org"], &["a@badexample.org"], false),
        (&["example.org"], &["192.0.2.1"], false),
        (&["example.org"], &["2001:db8::1"], false),
        (
            &["example.org", "192.0.2.0/24"],
            &["mail.example.org", "192.0.2.255"],
            true,
        ),
        (&["example.org", "192.0.2.0/24"], &["192.0.3.1"], false),
        (&["example.org", "192.0.2.0/24"], &["2001:db8::1"], false),
        (&["192.0.2.77/25"], &["192.0.2.127"], true),
        (&["192.0.2.77/25"], &["192.0.2.128"], false),
        (&["2001:db8::/33"], &["2001:db8:7fff::1"], true),
        (&["2001:db8::/33"], &["2001:db8:8000::1"], false),
        (&["0.0.0.0/0"], &["10.0.0.1"], true),
        (&["10.0.0.1/32"], &["10.0.0.1"], true),
        (&["10.0.0.1/32"], &["10.0.0.0"], false),
    ];
    for (permitted, names, wanted) in cases {
        let ca = Ca::new(&openssl, KeyType::P256, permitted);
        let mut leaf = Leaf::new(key.subject_public_key_info(), names);
        leaf.subject = Name::from_oneline("/O=Example").unwrap();
        ca.issue(&openssl, &leaf);
        let (accepted, said) = openssl.try_run(&format!("{VERIFY} leaf.pem"));
        assert_eq!(accepted, *wanted, "{permitted:?} {names:?}: {said}");
    }
}

#[test]
fn openssl_verifies_a_request_and_finds_its_names() {
    let openssl = Openssl::new();
    let names = ["mail.example.org", "192.0.2.1"].map(|name| GeneralName::parse(name).unwrap());
    let subject = Name::from_oneline("/O=Example+OU=Mail/CN=mail.example.org").unwrap();
    for key_type in [
        KeyType::P256,
        KeyType::P384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
    ] {
        let key = PrivateKey::generate(key_type).unwrap();
        for extensions in [vec![subject_alt_name(&names, false).unwrap()], vec![]] {
            let der = certification_request(&subject, &extensions, &key).unwrap();
            openssl.write("new.csr", pem_text::encode("CERTIFICATE REQUEST", &der));
            let text = openssl.text("req -in new.csr -verify -noout -text");
            assert_eq!(
                text.contains("DNS:mail.example.org, IP Address:192.0.2.1"),
                !extensions.is_empty(),
                "{text}"
            );
            let request = Request::read(&der, None, Strength::Current).unwrap();
            assert_eq!(request.subject, subject);
            assert_eq!(
                request.subject_public_key_info,
                key.subject_public_key_info()
            );
            assert_eq!(request.names.as_ref().unwrap().len(), 2 * extensions.len());
            assert!(request.not_honoured(Profile::Relay).is_empty());
        }
    }
}

#[test]
fn a_certificate_before_1970_cannot_be_written() {
    let openssl = Openssl::new();
    let ca = Ca::new(&openssl, KeyType::P256, &[]);
    let subject = Name::common_name_only("a").unwrap();
    let tbs = TbsCertificate {
        serial: &"01".parse().unwrap(),
        issuer: &subject,
        not_before: datetime!(1969-12-31 00:00 UTC),
        not_after: datetime!(2030-01-01 00:00 UTC),
        subject: &subject,
        subject_public_key_info: ca.key.subject_public_key_info(),
        extensions: Vec::new(),
    };
    let error = tbs.sign(&ca.key, Digest::Sha256).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the certificate cannot be encoded (")
    );
}

#[test]
fn mutated_certificates_never_panic() {
    let openssl = Openssl::new();
    let ca = Ca::new(&openssl, KeyType::P256, &["example.org", "192.0.2.0/24"]);
    let mut leaf = Leaf::new(
        ca.key.subject_public_key_info(),
        &["mail.example.org", "192.0.2.1", "a@example.org"],
    );
    leaf.crl_url = Some("http://ca.example.org/crl.der");
    let issued = ca.issue(&openssl, &leaf);
    let samples = [ca.certificate.as_der(), issued.as_der()];
    proptest!(|(which in 0..2_usize, at: prop::sample::Index, byte: u8, cut: bool)| {
        let mut der = samples[which].to_vec();
        let at = at.index(der.len());
        der[at] = byte;
        if cut {
            der.truncate(at);
        }
        if let Ok(read) = Certificate::from_der(&der) {
            let _ = (read.title(), read.subject.hash(), read.to_pem());
        }
        let _ = Request::read(&der, None, Strength::Legacy);
    });
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_certificate(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Certificate::from_der(&bytes).is_err());
        prop_assert!(Certificate::from_pem_or_der(&bytes).is_err());
    }
}
