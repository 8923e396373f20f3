use std::collections::HashSet;

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::pki::key::{Digest, KeyType, PrivateKey};
use crate::pki::tbs::TbsCertificate;
use crate::pki::testing::Openssl;

const BIT_STRING: u8 = 3;
const UTF8: u8 = 12;
const NUMERIC: u8 = 18;
const PRINTABLE: u8 = 19;
const T61: u8 = 20;
const IA5: u8 = 22;
const UNIVERSAL: u8 = 28;
const BMP: u8 = 30;

fn attribute(oid: &str, tag: u8, value: &[u8]) -> Attribute {
    let der = [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
    Attribute {
        oid: ObjectIdentifier::new_unwrap(oid),
        value: AttributeValue::from_der(&der).unwrap(),
    }
}

fn cn(tag: u8, value: &[u8]) -> Attribute {
    attribute("2.5.4.3", tag, value)
}

fn bmp(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn universal(text: &str) -> Vec<u8> {
    text.chars()
        .flat_map(|c| u32::from(c).to_be_bytes())
        .collect()
}

/// A certificate with this subject, so that openssl can say how it reads the name.
fn certificate_of(subject: &Name, key: &PrivateKey) -> Vec<u8> {
    let tbs = TbsCertificate {
        serial: &"01".parse().unwrap(),
        issuer: subject,
        not_before: datetime!(2026-01-01 00:00 UTC),
        not_after: datetime!(2027-01-01 00:00 UTC),
        subject,
        subject_public_key_info: key.subject_public_key_info(),
        extensions: crate::pki::extensions::of_ca(key.subject_public_key_info(), &[]).unwrap(),
    };
    tbs.sign(key, Digest::Sha256).unwrap()
}

#[test]
fn every_attribute_has_the_names_and_the_number_that_openssl_gives_it() {
    let known = Openssl::new().text("list -objects");
    let known: HashSet<&str> = known.lines().map(str::trim).collect();
    for &(number, short, long) in attribute::TYPES {
        let full = format!("{short} = {long}, {number}");
        let single = format!("{short} = {number}");
        assert!(
            known.contains(&*full) || (short == long && known.contains(&*single)),
            "{full}"
        );
    }
}

#[test]
fn names_of_every_string_type_are_written_and_hashed_as_openssl_does() {
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let openssl = Openssl::new();
    let spaces = b" \t Example \x0b\x0c \r\n  Mail\tCA  ";
    let rdns: Vec<Vec<Vec<Attribute>>> = vec![
        vec![],
        vec![vec![cn(UTF8, b"")]],
        vec![vec![cn(UTF8, b"   ")]],
        vec![vec![cn(UTF8, b"plain")]],
        vec![vec![cn(UTF8, "Jürgen GRÜßT 日本 😀".as_bytes())]],
        vec![vec![cn(UTF8, b"a/b+c\\d=e,f\"g'h<i>;#~\x7f\x00\x01\x1f")]],
        vec![vec![cn(UTF8, spaces)]],
        vec![vec![cn(PRINTABLE, spaces)]],
        vec![vec![cn(PRINTABLE, b"not *printable*")]],
        vec![vec![cn(PRINTABLE, "Latin \u{fc}".as_bytes())]],
        vec![vec![cn(IA5, b"Some@Example.ORG")]],
        vec![vec![cn(IA5, b"latin \xfc in IA5")]],
        vec![vec![cn(T61, b"J\xfcrgen  GR\xdc\xdfT")]],
        vec![vec![cn(T61, "in UTF-8: ü".as_bytes())]],
        vec![vec![cn(BMP, &bmp("Jürgen  日本 / A+B"))]],
        vec![vec![cn(BMP, &bmp(" "))]],
        vec![vec![cn(UNIVERSAL, &universal("Jürgen  日本 / A+B 😀"))]],
        vec![vec![cn(UNIVERSAL, &universal(""))]],
        vec![vec![cn(NUMERIC, b" 12  34 ")]],
        vec![vec![attribute("2.5.4.45", BIT_STRING, &[0, 0xAB, 0x41])]],
        vec![vec![attribute("1.2.3.4.5", UTF8, b"no such type")]],
        vec![vec![attribute("2.25.4000000000", UTF8, b"far out")]],
        vec![vec![attribute(
            "1.2.643.3.131.1.1",
            NUMERIC,
            b"007707083893",
        )]],
        vec![
            vec![attribute("0.9.2342.19200300.100.1.25", IA5, b"ORG")],
            vec![attribute("0.9.2342.19200300.100.1.25", IA5, b"Example")],
            vec![attribute("2.5.4.11", UTF8, b"One")],
            vec![attribute("2.5.4.11", BMP, &bmp("Two"))],
            vec![
                cn(UTF8, b"B  b"),
                attribute("1.2.840.113549.1.9.1", IA5, b"A@B"),
            ],
        ],
        vec![vec![
            attribute("2.5.4.11", UTF8, b"z"),
            cn(UTF8, b"longer than the other"),
            cn(PRINTABLE, b"A"),
        ]],
    ];
    for rdns in rdns {
        let name = Name::from_rdns(&rdns).unwrap();
        openssl.write("cert.der", certificate_of(&name, &key));
        let said =
            openssl.text("x509 -in cert.der -inform DER -noout -subject -nameopt compat -hash");
        let (subject, hash) = said.rsplit_once('\n').unwrap();
        assert_eq!(format!("subject={}", name.oneline()), subject);
        assert_eq!(name.hash().unwrap(), hash, "{subject}");
        assert_eq!(Name::from_der(name.as_der()).unwrap(), name);
    }
}

#[test]
fn the_cas_of_the_system_have_the_hashes_under_which_they_are_linked() {
    let Ok(entries) = std::fs::read_dir("/etc/ssl/certs") else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let file = entry.file_name().into_string().unwrap();
        let Some((hash, number)) = file.split_once('.') else {
            continue;
        };
        if hash.len() != 8 || number.parse::<u8>().is_err() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        let ca = crate::pki::certificate::Certificate::from_pem_or_der(&bytes).unwrap();
        assert_eq!(ca.subject.hash().unwrap(), hash, "{}", ca.subject);
    }
}

#[test]
fn a_subject_on_the_command_line_becomes_the_bytes_that_openssl_req_makes() {
    let openssl = Openssl::new();
    openssl.p256("key");
    let subjects = [
        "/CN=mail.example.org",
        "/C=US/ST=Oregon/L=Portland/O=Example, Inc./OU=Mail/CN=Example Mail CA",
        "/C=US/O=Example/OU=One/OU=Two/CN=Two units/emailAddress=postmaster@example.org",
        "/DC=org/DC=example/CN=a",
        "/O=Exämple GmbH/CN=Größe 日本 😀",
        "/O=A\\/B \\+ C \\\\ D/CN=x",
        "/CN=b+O=a/OU=c",
        "/O=z+CN=a long one+OU=m",
        "/commonName=long/organizationName=names/2.5.4.11=number",
        "/CN=with = in it",
        "/CN= blanks stay ",
        "/UID=u1/serialNumber=12/dnQualifier=q/title=t/street=s/SN=x/GN=y/initials=z",
        "/name=n/description=d/postalCode=1/pseudonym=p/organizationIdentifier=VATDE-1",
        "/unstructuredName=u/mail=a@b.example/jurisdictionC=DE/businessCategory=x/c3=DEU",
        "/CN=a\\b",
    ];
    for subject in subjects {
        openssl.run_with(
            "req -new -key key -outform DER -utf8 -out req.der",
            &["-subj", subject],
        );
        let theirs = openssl.read("req.der");
        let ours = Name::from_oneline(subject).unwrap();
        let there = theirs
            .windows(ours.as_der().len())
            .any(|window| window == ours.as_der());
        let said = openssl.text("req -in req.der -inform DER -noout -subject -nameopt compat");
        assert!(there, "{subject}: {ours:?}, {said}");
        assert_eq!(format!("subject={}", ours.oneline()), said);
    }
}

#[test]
fn a_subject_of_another_form_is_refused_in_words() {
    let long = "x".repeat(65);
    let too_long = format!("CN={long} has 65 characters, but CN takes 1 to 64");
    let cases = [
        (
            "",
            r#"the subject "" does not have the form /C=US/O=Example/CN=name: it does not begin with /"#,
        ),
        (
            "CN=a",
            r#"the subject "CN=a" does not have the form /C=US/O=Example/CN=name: it does not begin with /"#,
        ),
        (
            "/",
            r#"the subject "/" does not have the form /C=US/O=Example/CN=name: "" has no ="#,
        ),
        (
            "/CN=a/",
            r#"the subject "/CN=a/" does not have the form /C=US/O=Example/CN=name: "" has no ="#,
        ),
        (
            "/CN=a/b",
            r#"the subject "/CN=a/b" does not have the form /C=US/O=Example/CN=name: "b" has no ="#,
        ),
        (
            "/CN=a+b",
            r#"the subject "/CN=a+b" does not have the form /C=US/O=Example/CN=name: "b" has no ="#,
        ),
        (
            "/CN=a\\",
            r#"the subject "/CN=a\\" does not have the form /C=US/O=Example/CN=name: it ends in a single \"#,
        ),
        (
            "/XY=a",
            r#""XY" is not an attribute of a subject that OpenSSL knows, such as C, ST, L, O, OU, CN"#,
        ),
        (
            "/=a",
            r#""" is not an attribute of a subject that OpenSSL knows, such as C, ST, L, O, OU, CN"#,
        ),
        (
            "/1.2.=a",
            r#""1.2." is not an attribute of a subject that OpenSSL knows, such as C, ST, L, O, OU, CN"#,
        ),
        ("/C=USA", "C=USA has 3 characters, but C takes exactly 2"),
        ("/C=Ü1", "C=Ü1 has characters that C cannot hold"),
        ("/CN=", "CN= has 0 characters, but CN takes 1 to 64"),
        (
            "/emailAddress=ü@a",
            "emailAddress=ü@a has characters that emailAddress cannot hold",
        ),
        (
            "/CN=a\0b\n",
            "CN=a\\u{0}b\\n has characters that CN cannot hold",
        ),
    ];
    for (subject, message) in cases {
        assert_eq!(
            Name::from_oneline(subject).unwrap_err().to_string(),
            message
        );
    }
    let error = Name::from_oneline(&format!("/CN={long}")).unwrap_err();
    assert_eq!(error.to_string(), too_long);
}

#[test]
fn bytes_that_are_no_name_are_refused() {
    let cases: [&[u8]; 7] = [
        b"",
        b"\x30",
        b"\x31\x00",
        b"\x30\x02\x30\x00",
        b"\x30\x04\x31\x02\x30\x00",
        b"\x30\x00\x00",
        b"\x30\x05\x31\x02\x30\x00\x05",
    ];
    for bytes in cases {
        assert!(Name::from_der(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_name_is_shown_without_control_characters() {
    let name = Name::from_oneline("/O=A\x1b[31m\nB/CN=ü").unwrap();
    assert_eq!(name.to_string(), "O=A\\u{1b}[31m\\nB, CN=ü");
    let name = Name::from_der(b"\x30\x00").unwrap();
    assert_eq!(name.to_string(), "(empty subject)");
    assert!(name.is_empty());
}

#[test]
fn the_last_common_name_and_every_mail_address_are_found() {
    let name = Name::from_oneline("/CN=a/emailAddress=x@a/OU=b+CN=c/emailAddress=y@a").unwrap();
    assert_eq!(name.common_name().as_deref(), Some("c"));
    assert_eq!(name.email_addresses(), ["x@a", "y@a"]);
    assert!(!name.is_single_valued());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Name::from_der(&bytes);
    }

    #[test]
    fn mutated_names_never_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let name = Name::from_oneline("/C=US/O=A+OU=B/CN=Größe/emailAddress=a@b").unwrap();
        let mut der = name.as_der().to_vec();
        let at = at.index(der.len());
        der[at] = byte;
        if let Ok(name) = Name::from_der(&der) {
            let _ = (name.oneline(), name.hash(), name.to_string(), name.common_name());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(/|\\+|\\\\|=|C|CN|O|OU|ü|[a-z]| ){0,30}") {
        if let Ok(name) = Name::from_oneline(&text) {
            prop_assert_eq!(&Name::from_der(name.as_der()).unwrap(), &name);
        }
    }

    #[test]
    fn any_string_is_read_or_refused(text in any::<String>()) {
        let _ = Name::from_oneline(&text);
    }
}
