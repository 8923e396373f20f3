use proptest::prelude::*;

use super::*;
use crate::pki::key::{Digest, EncodedKey};
use crate::pki::testing::Openssl;

const CONFIG: &str = "[req]\ndistinguished_name=dn\n[dn]\n";

/// A directory with the P-256 key `key` and the request `req.pem`, whose extensions are given.
fn requested(extensions: &str) -> Openssl {
    let openssl = Openssl::new();
    openssl.p256("key");
    openssl.write(
        "req.cnf",
        format!("[req]\ndistinguished_name=dn\nreq_extensions=ext\n[dn]\n[ext]\n{extensions}\n"),
    );
    openssl.run_with(
        "req -new -config req.cnf -key key -out req.pem",
        &[
            "-subj",
            "/O=Example/CN=mail.example.org/emailAddress=a@example.org",
        ],
    );
    openssl
}

const SAN: &str = "subjectAltName=DNS:mail.example.org,IP:192.0.2.1";

fn read(bytes: &[u8]) -> Result<Request, RequestError> {
    Request::read(bytes, None, Strength::Current)
}

fn names(request: &Request) -> Vec<String> {
    let names = request.names.as_ref().unwrap();
    names.iter().map(ToString::to_string).collect()
}

fn message(result: Result<Request, RequestError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_request_is_found_in_every_form_it_comes_in() {
    let openssl = requested(SAN);
    let pem = String::from_utf8(openssl.read("req.pem")).unwrap();
    let mut with_key = openssl.read("key");
    with_key.extend(pem.as_bytes());
    let latin = [b"J\xfcrgen schreibt:\n\n", pem.as_bytes(), b"\nGr\xfc\xdfe"].concat();
    let forms = [
        pem.clone().into_bytes(),
        pem.replace("CERTIFICATE", "NEW CERTIFICATE").into_bytes(),
        pem.replace('\n', "\r\n").into_bytes(),
        pem.replace('\n', "  \n").into_bytes(),
        openssl.run("req -in req.pem -text"),
        openssl.run("req -in req.pem -outform DER"),
        with_key,
        latin,
    ];
    for form in forms {
        let request = read(&form).unwrap();
        assert_eq!(
            request.subject.oneline(),
            "/O=Example/CN=mail.example.org/emailAddress=a@example.org"
        );
        assert_eq!(request.subject_public_key_info, openssl.public_key("key"));
        assert_eq!(names(&request), ["DNS:mail.example.org", "IP:192.0.2.1"]);
        assert_eq!(request.not_honoured(Profile::Relay), [""; 0]);
    }
}

#[test]
fn what_holds_no_request_is_told() {
    let openssl = requested(SAN);
    let der = openssl.run("req -in req.pem -outform DER");
    let surplus = [&der[..], b"\n"].concat();
    let empty = b"-----BEGIN CERTIFICATE REQUEST-----\n!!!!\n-----END CERTIFICATE REQUEST-----\n";
    assert_eq!(message(read(b"")), "it holds no certificate request");
    assert_eq!(message(read(b"hello")), "it holds no certificate request");
    assert_eq!(
        message(read(&openssl.read("key"))),
        "it holds no certificate request"
    );
    assert_eq!(
        message(read(&surplus)),
        "its request cannot be read (1 bytes follow it)"
    );
    assert!(message(read(empty)).starts_with("its request cannot be read ("));
    assert!(message(read(&der[..der.len() - 1])).starts_with("its request cannot be read ("));
}

#[test]
fn a_private_key_in_the_same_file_must_be_that_of_the_request() {
    let openssl = requested(SAN);
    openssl.p256("other");
    let pem = openssl.read("req.pem");
    let own = openssl.public_key("key");
    let foreign = openssl.public_key("other");
    Request::read(&pem, Some(&own), Strength::Current).unwrap();
    assert_eq!(
        message(Request::read(&pem, Some(&foreign), Strength::Current)),
        "its private key does not belong to its certificate request"
    );
}

#[test]
fn the_books_certificate_counts_as_a_request_beside_its_key_only() {
    let openssl = requested(SAN);
    openssl.p256("other");
    openssl.write(
        "x509.cnf",
        format!("{CONFIG}[ext]\n{SAN}\nbasicConstraints=CA:TRUE\n"),
    );
    openssl.run_with(
        "req -x509 -config x509.cnf -extensions ext -key key -out newreq.pem",
        &["-subj", "/O=Example/CN=mail.example.org"],
    );
    let pem = openssl.read("newreq.pem");
    let own = openssl.public_key("key");
    let request = Request::read(&pem, Some(&own), Strength::Current).unwrap();
    assert_eq!(request.subject.oneline(), "/O=Example/CN=mail.example.org");
    assert_eq!(names(&request).len(), 2);
    assert_eq!(
        request.not_honoured(Profile::Relay),
        ["basicConstraints CA:TRUE"]
    );
    let bare =
        "it holds a certificate without its private key, which proves nothing about who asks";
    assert_eq!(message(read(&pem)), bare);
    assert_eq!(
        message(read(&openssl.run("x509 -in newreq.pem -outform DER"))),
        bare
    );
    assert_eq!(
        message(Request::read(
            &pem,
            Some(&openssl.public_key("other")),
            Strength::Current
        )),
        "its private key does not belong to its certificate"
    );
}

#[test]
fn one_flipped_bit_is_noticed_in_the_content_and_in_the_signature() {
    let openssl = requested(SAN);
    let der = openssl.run("req -in req.pem -outform DER");
    let content = der.windows(4).position(|four| four == b"mail").unwrap();
    for at in [content, der.len() - 1] {
        let mut altered = der.clone();
        altered[at] ^= 1;
        assert_eq!(
            message(read(&altered)),
            "the signature does not match its public key"
        );
    }
}

#[test]
fn what_is_asked_besides_the_names_is_listed() {
    let openssl = requested(
        "basicConstraints=critical,CA:TRUE\n\
         keyUsage=keyCertSign,digitalSignature,cRLSign\n\
         extendedKeyUsage=codeSigning,serverAuth,anyExtendedKeyUsage,msSGC\n\
         subjectKeyIdentifier=hash\n\
         tlsfeature=status_request\n\
         nameConstraints=critical,permitted;DNS:example\n\
         1.2.3.4=ASN1:NULL\n\
         1.2.3.5=critical,ASN1:NULL\n\
         2.5.29.31=DER:3000FF\n\
         subjectAltName=DNS:a.example,URI:http://x/,RID:1.2.3,otherName:1.2.3.4;UTF8:x,dirName:dn,DNS:a.example,email:a@b.example",
    );
    let request = read(&openssl.read("req.pem")).unwrap();
    assert_eq!(
        request.not_honoured(Profile::Relay),
        [
            "keyUsage keyCertSign, cRLSign",
            "extendedKeyUsage codeSigning, anyExtendedKeyUsage, 1.3.6.1.4.1.311.10.3.3",
            "basicConstraints CA:TRUE",
            "the extension 1.3.6.1.5.5.7.1.24",
            "the critical extension nameConstraints",
            "the extension 1.2.3.4",
            "the critical extension 1.2.3.5",
            "an unreadable extension cRLDistributionPoints",
            "the name URI:http://x/",
            "the name of kind registeredID 1.2.3",
            "the name of kind otherName 1.2.3.4",
            "the name of kind directoryName",
        ]
    );
    assert_eq!(names(&request), ["DNS:a.example", "email:a@b.example"]);
}

#[test]
fn what_the_profile_gives_is_not_listed() {
    let openssl = requested(
        "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth",
    );
    let request = read(&openssl.read("req.pem")).unwrap();
    let encipherment = "keyUsage keyEncipherment";
    assert_eq!(request.not_honoured(Profile::Relay), [encipherment]);
    assert_eq!(
        request.not_honoured(Profile::Client),
        [encipherment, "extendedKeyUsage serverAuth"]
    );
    openssl.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key");
    openssl.run("req -new -config req.cnf -subj /CN=a -key key -out req.pem");
    let request = read(&openssl.read("req.pem")).unwrap();
    assert_eq!(request.not_honoured(Profile::Relay), [""; 0]);
    assert_eq!(
        request.not_honoured(Profile::Client),
        [encipherment, "extendedKeyUsage serverAuth"]
    );
    for (identifier, wanted) in [
        ("hash", &[][..]),
        ("AB:CD", &["the extension subjectKeyIdentifier"]),
    ] {
        let openssl = requested(&format!("subjectKeyIdentifier={identifier}"));
        let request = read(&openssl.read("req.pem")).unwrap();
        assert_eq!(request.not_honoured(Profile::Relay), wanted);
    }
}

#[test]
fn attributes_are_listed() {
    let openssl = requested(SAN);
    openssl.write(
        "challenge.cnf",
        "[req]\ndistinguished_name=dn\nattributes=more\nprompt=no\n[dn]\nCN=a\n[more]\nchallengePassword=secret\nunstructuredName=x\n1.2.3.4=x\n",
    );
    openssl.run("req -new -config challenge.cnf -key key -out req.pem");
    let request = read(&openssl.read("req.pem")).unwrap();
    let mut listed = request.not_honoured(Profile::Relay);
    listed.sort();
    assert_eq!(
        listed,
        [
            "the attribute 1.2.3.4",
            "the attribute challengePassword",
            "the attribute unstructuredName"
        ]
    );
}

#[test]
fn names_that_cannot_be_certified_are_told() {
    let cases = [
        (
            "DNS:a..b",
            r#""a..b" is not a host name: it has an empty label"#,
        ),
        (
            "DNS:192.0.2.1",
            r#""192.0.2.1" is not a host name: it is an IP address"#,
        ),
        (
            "email:a",
            r#""a" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "DNS:good.example,DNS:bücher.example",
            r#""bücher.example" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
    ];
    for (name, wanted) in cases {
        let openssl = requested(&format!("subjectAltName={name}"));
        let request = read(&openssl.read("req.pem")).unwrap();
        assert_eq!(request.names.unwrap_err().to_string(), wanted);
    }
}

#[test]
fn a_request_without_names_has_those_of_its_subject() {
    let cases: &[(&str, &[&str])] = &[
        ("/CN=mail.example.org", &["DNS:mail.example.org"]),
        (
            "/CN=Mail.Example.ORG/emailAddress=a@b",
            &["DNS:mail.example.org", "email:a@b"],
        ),
        ("/CN=192.0.2.1", &["IP:192.0.2.1"]),
        ("/CN=Example Mail", &[]),
        ("/CN=a@example.org", &[]),
        ("/CN=dns:mail.example.org", &[]),
        ("/O=Example/emailAddress=not an address", &[]),
    ];
    let openssl = requested(SAN);
    openssl.write("plain.cnf", CONFIG);
    for (subject, wanted) in cases {
        openssl.run_with(
            "req -new -config plain.cnf -key key -out req.pem",
            &["-subj", subject],
        );
        let request = read(&openssl.read("req.pem")).unwrap();
        let names: Vec<_> = request
            .names_from_subject()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, *wanted, "{subject}");
    }
}

/// A request for `attributes`, the content of the SET, signed by the P-256 key of `openssl`.
fn with_attributes(openssl: &Openssl, attributes: &[u8]) -> Vec<u8> {
    let subject = Name::common_name_only("mail.example.org").unwrap();
    let key = EncodedKey::find(&openssl.read("key")).unwrap().unwrap();
    let key = key.unlock(None).unwrap();
    let content = [
        &[2, 1, 0],
        subject.as_der(),
        key.subject_public_key_info(),
        &tlv(0xA0, attributes),
    ];
    let content = tlv(0x30, &content.concat());
    let signature = key.sign(Digest::Sha256, &content).unwrap();
    let algorithm = signature.algorithm.to_der().unwrap();
    let bits = tlv(3, &[&[0], &signature.bytes[..]].concat());
    tlv(0x30, &[content, algorithm, bits].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = der::Length::try_from(content.len()).unwrap();
    [&[tag], &length.to_der().unwrap()[..], content].concat()
}

fn attribute(oid: &str, values: &[u8]) -> Vec<u8> {
    let oid = ObjectIdentifier::new_unwrap(oid).to_der().unwrap();
    tlv(0x30, &[oid, tlv(0x31, values)].concat())
}

const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
const MICROSOFT: &str = "1.3.6.1.4.1.311.2.1.14";

fn extension(oid: &str, value: &[u8]) -> Vec<u8> {
    let oid = ObjectIdentifier::new_unwrap(oid).to_der().unwrap();
    tlv(0x30, &[oid, tlv(4, value)].concat())
}

fn dns(name: &[u8]) -> Vec<u8> {
    extension("2.5.29.17", &tlv(0x30, &tlv(0x82, name)))
}

fn extensions(extensions: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &extensions.concat())
}

#[test]
fn extensions_are_asked_for_once_and_by_either_attribute() {
    let openssl = requested(SAN);
    let read_attributes = |attributes: &[Vec<u8>]| {
        let der = with_attributes(&openssl, &attributes.concat());
        // To openssl it is a request like any other.
        openssl.write("made.der", &der);
        openssl.run("req -in made.der -inform DER -verify -noout");
        read(&der)
    };
    let once = extensions(&[dns(b"a.example")]);
    let other = extensions(&[dns(b"b.example")]);
    for oid in [EXTENSION_REQUEST, MICROSOFT] {
        let request = read_attributes(&[attribute(oid, &once)]).unwrap();
        assert_eq!(names(&request), ["DNS:a.example"]);
        assert_eq!(request.not_honoured(Profile::Relay), [""; 0]);
    }
    for oid in [EXTENSION_REQUEST, MICROSOFT] {
        let twice = [attribute(EXTENSION_REQUEST, &once), attribute(oid, &other)];
        assert_eq!(
            message(read_attributes(&twice)),
            "its request cannot be read (it has two extensionRequests)"
        );
    }
    let null = extension("1.2.3", &[5, 0]);
    let trailing = [tlv(0x30, &tlv(0x82, b"a.example")), vec![0]].concat();
    let cases = [
        ([once, other].concat(), "its extensionRequest is none"),
        (vec![], "its extensionRequest is none"),
        (
            extensions(&[dns(b"a.example"), dns(b"b.example")]),
            "it has two extensions subjectAltName",
        ),
        (
            extensions(&[null.clone(), null]),
            "it has two extensions 1.2.3",
        ),
        (
            extensions(&[extension("2.5.29.17", &tlv(0x30, &[]))]),
            "its subjectAltName has no name",
        ),
        (
            extensions(&[extension("2.5.29.17", &[5, 0])]),
            "its subjectAltName is none",
        ),
        (
            extensions(&[extension("2.5.29.17", &trailing)]),
            "its subjectAltName is none",
        ),
    ];
    for (values, problem) in cases {
        assert_eq!(
            message(read_attributes(&[attribute(EXTENSION_REQUEST, &values)])),
            format!("its request cannot be read ({problem})")
        );
    }
}

#[test]
fn what_is_unreadable_in_a_request_is_listed_as_that() {
    let openssl = requested(SAN);
    let odd = extensions(&[
        dns(b"caf\xe9.example"),
        extension("2.5.29.15", &[3, 2, 7, 0x80, 0]),
        extension("2.5.29.37", &[5, 0]),
        extension("2.5.29.19", &tlv(0x30, &[1, 1, 0xFF, 5, 0])),
    ]);
    let odd = with_attributes(&openssl, &attribute(EXTENSION_REQUEST, &odd));
    let request = read(&odd).unwrap();
    assert_eq!(
        request.names.as_ref().unwrap_err().to_string(),
        "\"caf\u{fffd}.example\" is not a host name: a label has other characters than letters, digits and hyphens"
    );
    assert_eq!(
        request.not_honoured(Profile::Relay),
        [
            "an unreadable extension keyUsage",
            "an unreadable extension extKeyUsage",
            "an unreadable extension basicConstraints",
        ]
    );
}

#[test]
fn the_order_of_attributes_and_their_types_do_not_matter() {
    let openssl = requested(SAN);
    // UniversalString, an OBJECT IDENTIFIER with an arc of 128 bits, and no order.
    let password = attribute("1.2.840.113549.1.9.7", &tlv(28, &[0, 0, 0, 65]));
    let uuid = tlv(
        6,
        b"\x69\x83\xf0\x9d\xa7\xeb\xcf\xde\xe0\xc7\xa1\xa7\xb2\xc0\x94\x8c\xc8\xf9\xd7\x76",
    );
    let unknown = tlv(0x30, &[uuid, tlv(0x31, &[5, 0])].concat());
    for attributes in [[&unknown, &password], [&password, &unknown]] {
        let attributes = attributes.map(Clone::clone).concat();
        let request = read(&with_attributes(&openssl, &attributes)).unwrap();
        assert_eq!(request.not_honoured(Profile::Relay).len(), 2);
        assert!(!request.has_subject_alt_name);
    }
    let bare = with_attributes(&openssl, &[]);
    assert_eq!(read(&bare).unwrap().not_honoured(Profile::Relay), [""; 0]);
}

#[test]
fn mutated_requests_never_panic() {
    let openssl = requested(
        "basicConstraints=CA:TRUE\nsubjectAltName=DNS:a.example,IP:192.0.2.1,URI:http://x/,dirName:dn,email:a@b",
    );
    let der = openssl.run("req -in req.pem -outform DER");
    let pem = openssl.read("req.pem");
    proptest!(|(at: prop::sample::Index, byte: u8, in_der: bool, cut: bool)| {
        let mut bytes = if in_der { der.clone() } else { pem.clone() };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = Request::read(&bytes, None, Strength::Legacy);
    });
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_request(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
        let labelled = crate::pki::pem_text::encode("CERTIFICATE REQUEST", &bytes);
        prop_assert!(read(labelled.as_bytes()).is_err());
    }
}
