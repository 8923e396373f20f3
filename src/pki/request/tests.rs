use proptest::prelude::*;

use super::*;
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
        let names: Vec<_> = request.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["DNS:mail.example.org", "IP:192.0.2.1"]);
        assert_eq!(request.not_honoured, [""; 0]);
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
    assert_eq!(request.names.len(), 2);
    assert_eq!(request.not_honoured, ["basicConstraints CA:TRUE"]);
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

struct Made {
    key: &'static str,
    options: &'static str,
    current: Result<(), &'static str>,
    legacy: Result<(), &'static str>,
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn requests_are_signed_with_what_can_be_verified_and_is_safe() {
    const SHORT: &str = "its RSA key has 1024 bits, but 2048 are the least that is safe";
    const SHORTER: &str = "its RSA key has 1023 bits, but 2048 are the least that is safe";
    const SHA1: &str = "its signature is made with sha1WithRSAEncryption, which is broken";
    const MD5: &str = "its signature is made with md5WithRSAEncryption, which is broken";
    const EC_SHA1: &str = "its signature is made with ecdsa-with-SHA1, which is broken";
    const EC_SHA1_UNVERIFIED: &str = "its signature is made with ecdsa-with-SHA1 by a key of type EC P-256, which mailca cannot verify";
    const P521: &str = "its signature is made with ecdsa-with-SHA512 by a key of type EC P-521, which mailca cannot verify";
    const P256_512: &str = "its signature is made with ecdsa-with-SHA512 by a key of type EC P-256, which mailca cannot verify";
    const SECP256K1: &str = "its signature is made with ecdsa-with-SHA256 by a key of type EC secp256k1, which mailca cannot verify";
    const ED448: &str =
        "its signature is made with id-Ed448 by a key of type Ed448, which mailca cannot verify";
    const SHA224: &str = "its signature is made with sha224WithRSAEncryption by a key of type RSA 2048, which mailca cannot verify";
    const PSS_SHA1: &str = "its signature is made with id-RSASSA-PSS by a key of type RSA 2048, which mailca cannot verify";
    const PSS_SALT: &str =
        "its signature is made with RSA-PSS and a salt of 222 octets, which mailca cannot verify";
    const SHORT_384: &str = "its signature is made with sha384WithRSAEncryption by a key of type RSA 1024, which mailca cannot verify";
    let case = |key, options, current, legacy| Made {
        key,
        options,
        current,
        legacy,
    };
    let cases = [
        case("p256", "-sha256", Ok(()), Ok(())),
        case("p256", "-sha384", Ok(()), Ok(())),
        case("p384", "-sha256", Ok(()), Ok(())),
        case("p384", "-sha384", Ok(()), Ok(())),
        case("ed25519", "", Ok(()), Ok(())),
        case("rsa", "-sha256", Ok(()), Ok(())),
        case("rsa", "-sha384", Ok(()), Ok(())),
        case("rsa", "-sha512", Ok(()), Ok(())),
        case(
            "rsa",
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
            Ok(()),
            Ok(()),
        ),
        case(
            "rsa",
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:max",
            Err(PSS_SALT),
            Err(PSS_SALT),
        ),
        case(
            "rsa",
            "-sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
            Ok(()),
            Ok(()),
        ),
        case(
            "rsa",
            "-sha1 -sigopt rsa_padding_mode:pss",
            Err(PSS_SHA1),
            Err(PSS_SHA1),
        ),
        case("rsa", "-sha1", Err(SHA1), Ok(())),
        case("rsa", "-md5", Err(MD5), Err(MD5)),
        case("rsa", "-sha224", Err(SHA224), Err(SHA224)),
        case("p256", "-sha1", Err(EC_SHA1), Err(EC_SHA1_UNVERIFIED)),
        case("p256", "-sha512", Err(P256_512), Err(P256_512)),
        case("rsa1024", "-sha256", Err(SHORT), Ok(())),
        case("rsa1024", "-sha1", Err(SHORT), Ok(())),
        case("rsa1024", "-sha512", Err(SHORT), Ok(())),
        case("rsa1024", "-sha384", Err(SHORT), Err(SHORT_384)),
        case("rsa1023", "-sha256", Err(SHORTER), Err(SHORTER)),
        case("p521", "-sha512", Err(P521), Err(P521)),
        case("secp256k1", "-sha256", Err(SECP256K1), Err(SECP256K1)),
        case("ed448", "", Err(ED448), Err(ED448)),
    ];
    let openssl = Openssl::new();
    openssl.write("req.cnf", CONFIG);
    for (name, algorithm) in [
        ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("p521", "EC -pkeyopt ec_paramgen_curve:P-521"),
        ("secp256k1", "EC -pkeyopt ec_paramgen_curve:secp256k1"),
        ("ed25519", "ED25519"),
        ("ed448", "ED448"),
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("rsa1024", "RSA -pkeyopt rsa_keygen_bits:1024"),
        ("rsa1023", "RSA -pkeyopt rsa_keygen_bits:1023"),
    ] {
        openssl.run(&format!("genpkey -algorithm {algorithm} -out {name}"));
    }
    for Made {
        key,
        options,
        current,
        legacy,
    } in cases
    {
        openssl.run_with(
            &format!("req -new -config req.cnf -key {key} {options} -out req.pem"),
            &["-subj", "/CN=mail.example.org"],
        );
        let pem = openssl.read("req.pem");
        for (strength, wanted) in [(Strength::Current, current), (Strength::Legacy, legacy)] {
            let result = Request::read(&pem, None, strength).map(|_| ());
            let wanted = wanted.map_err(str::to_owned);
            assert_eq!(
                result.map_err(|e| e.to_string()),
                wanted,
                "{key} {options} {strength:?}"
            );
        }
        let mut damaged = openssl.run("req -in req.pem -outform DER");
        if let Some(last) = damaged.last_mut() {
            *last ^= 1;
        }
        assert!(
            Request::read(&damaged, None, Strength::Legacy).is_err(),
            "{key} {options}"
        );
    }
}

#[test]
fn what_is_asked_besides_the_names_is_listed() {
    let openssl = requested(
        "basicConstraints=critical,CA:TRUE\n\
         keyUsage=keyCertSign,digitalSignature\n\
         extendedKeyUsage=codeSigning\n\
         subjectKeyIdentifier=hash\n\
         tlsfeature=status_request\n\
         1.2.3.4=ASN1:NULL\n\
         subjectAltName=DNS:a.example,URI:http://x/,RID:1.2.3,otherName:1.2.3.4;UTF8:x,dirName:dn,DNS:a.example,email:a@b.example",
    );
    let request = read(&openssl.read("req.pem")).unwrap();
    assert_eq!(
        request.not_honoured,
        [
            "basicConstraints CA:TRUE",
            "keyUsage with keyCertSign",
            "the extension extKeyUsage",
            "the extension 1.3.6.1.5.5.7.1.24",
            "the extension 1.2.3.4",
            "the name URI:http://x/",
            "the name of kind registeredID 1.2.3",
            "the name of kind otherName 1.2.3.4",
            "the name of kind directoryName",
        ]
    );
    let names: Vec<_> = request.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["DNS:a.example", "email:a@b.example"]);
    let harmless = requested("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature");
    let request = read(&harmless.read("req.pem")).unwrap();
    assert_eq!(request.not_honoured, ["the extension keyUsage"]);
}

#[test]
fn a_challenge_password_is_listed() {
    let openssl = requested(SAN);
    openssl.write(
        "challenge.cnf",
        "[req]\ndistinguished_name=dn\nattributes=more\nprompt=no\n[dn]\nCN=a\n[more]\nchallengePassword=secret\nunstructuredName=x\n",
    );
    openssl.run("req -new -config challenge.cnf -key key -out req.pem");
    let request = read(&openssl.read("req.pem")).unwrap();
    let mut listed = request.not_honoured;
    listed.sort();
    assert_eq!(
        listed,
        ["a challengePassword", "the attribute unstructuredName"]
    );
}

#[test]
fn names_that_cannot_be_certified_refuse_the_request() {
    let cases = [
        (
            "DNS:a..b",
            r#"it asks for a name that cannot be certified: "a..b" is not a host name: it has an empty label"#,
        ),
        (
            "DNS:192.0.2.1",
            r#"it asks for a name that cannot be certified: "192.0.2.1" is not a host name: it is an IP address"#,
        ),
        (
            "email:a",
            r#"it asks for a name that cannot be certified: "a" is not an e-mail address that a certificate can hold"#,
        ),
    ];
    for (name, wanted) in cases {
        let openssl = requested(&format!("subjectAltName={name}"));
        assert_eq!(message(read(&openssl.read("req.pem"))), wanted);
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
