//! One request for each way in which requests differ, and what becomes of it.

use super::der::{
    BIT_STRING, BMP, EXTENSION_REQUEST, MICROSOFT_EXTENSION_REQUEST, PRINTABLE, T61, UNIVERSAL,
    UTF8, attribute, bmp, elements, extension, extension_request, name, oid, sequence, set,
    subject_alt_name, tlv, universal,
};
use super::workshop::{Case, Form, HOST, refused, signed};

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const OU: &str = "2.5.4.11";
const NAMES: &[&str] = &["DNS:mail.example.test"];

pub fn all() -> Vec<Case> {
    [
        subjects(),
        keys(),
        weak_keys(),
        forms(),
        extensions(),
        names(),
        unfit_names(),
        forgeries(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn host() -> Vec<u8> {
    attribute(CN, PRINTABLE, HOST.as_bytes())
}

pub fn subjects() -> Vec<Case> {
    let long: Vec<_> = (0..200)
        .map(|number| attribute(OU, UTF8, format!("{number:0250}").as_bytes()))
        .chain([host()])
        .collect();
    let unsorted = sequence(&[set(&[
        attribute(OU, UTF8, b"zzz"),
        attribute(CN, UTF8, HOST.as_bytes()),
        attribute(O, UTF8, b"a"),
    ])]);
    let uuid = sequence(&[oid("2.25.4000000000"), tlv(UTF8, b"far out")]);
    vec![
        signed("plain"),
        signed("two OUs").subject("0.OU = One\n1.OU = Two\nCN = mail.example.test"),
        signed("the same OU twice").subject("0.OU = One\n1.OU = One\nCN = mail.example.test"),
        signed("domain components")
            .subject("0.DC = com\n1.DC = example\nCN = mail.example.test"),
        signed("a multi-valued RDN")
            .subject("O = Example\n+OU = Mail\nCN = mail.example.test\n+serialNumber = 7"),
        signed("a multi-valued RDN out of order").subject_der(unsorted),
        signed("BMPString").strings("MASK:0x800").subject("O = Jürgen 日本\nCN = mail.example.test"),
        signed("T61String").strings("MASK:0x4").subject("O = Plain\nCN = mail.example.test"),
        signed("T61String beyond ASCII")
            .strings("MASK:0x4")
            .subject("O = Söhne & Töchter\nCN = mail.example.test"),
        signed("UniversalString").subject_der(name(&[
            attribute(O, UNIVERSAL, &universal("Jürgen 日本 😀")),
            attribute(CN, UNIVERSAL, &universal(HOST)),
        ])),
        signed("every string type").subject_der(name(&[
            attribute(O, T61, b"J\xfcrgen"),
            attribute(O, BMP, &bmp("日本")),
            attribute(O, UTF8, "日本 😀".as_bytes()),
            attribute(O, PRINTABLE, b"not *printable*"),
            attribute("2.5.4.45", BIT_STRING, &[0, 0xAB]),
            host(),
        ])),
        signed("empty values").subject_der(name(&[
            attribute(O, UTF8, b""),
            attribute(OU, PRINTABLE, b""),
            host(),
        ])),
        signed("an empty CN").subject_der(name(&[attribute(CN, UTF8, b"")])),
        signed("no subject").subject_der(name(&[])),
        signed("a subject of 50,000 octets").subject_der(name(&long)),
        signed("a value of 3,000 octets")
            .subject_der(name(&[attribute(O, UTF8, &[b'x'; 3000]), host()])),
        signed("beyond ASCII").subject("O = 株式会社 😀\nCN = mail.example.test"),
        signed("control characters")
            .subject_der(name(&[attribute(O, UTF8, b"a\x1b[31m\r\nb\x00c\x7f"), host()])),
        signed("unknown attributes")
            .subject("x.1.2.3.4.5 = what\nCN = mail.example.test\ny.2.25.7 = else"),
        signed("an attribute with a long number").subject_der(name(&[uuid, host()])),
        signed("a mailbox in the subject")
            .subject("CN = mail.example.test\nemailAddress = postmaster@example.test"),
        signed("names in the subject alone")
            .subject("CN = Mail.Example.Test\nemailAddress = postmaster@example.test")
            .extensions("")
            .names(&["DNS:mail.example.test", "email:postmaster@example.test"])
            .notes(&["the request has no SubjectAltName; from its subject comes DNS:mail.example.test, email:postmaster@example.test"]),
        signed("an address as CN")
            .subject("CN = 192.0.2.25")
            .extensions("")
            .names(&["IP:192.0.2.25"])
            .notes(&["the request has no SubjectAltName; from its subject comes IP:192.0.2.25"]),
        signed("a wildcard as CN")
            .subject("CN = *.example.test")
            .extensions("")
            .names(&["DNS:*.example.test"])
            .notes(&["the request has no SubjectAltName; from its subject comes DNS:*.example.test"]),
        signed("another script as CN")
            .subject("CN = bücher.example")
            .extensions("")
            .names(&["DNS:xn--bcher-kva.example"])
            .notes(&["the request has no SubjectAltName; from its subject comes DNS:xn--bcher-kva.example"]),
        refused(
            "no name anywhere",
            "a relay certificate needs a name, but neither the request nor its subject has one",
        )
        .subject("O = Example")
        .extensions(""),
        refused("a name that is no DER", "the name is not DER (").subject_der(sequence(&[vec![5, 0]])),
    ]
}

pub fn keys() -> Vec<Case> {
    let mut cases = Vec::new();
    for key in ["p256", "p384", "p521"] {
        for digest in ["-sha256", "-sha384", "-sha512"] {
            cases.push(signed(format!("{key} {digest}")).by(key, digest));
        }
        let compressed = format!("{key}-compressed");
        cases.push(signed(&*compressed).by(&compressed, "-sha256"));
    }
    cases.push(signed("ed25519").by("ed25519", ""));
    for digest in ["-sha256", "-sha384", "-sha512"] {
        for key in [
            "rsa2048",
            "rsa2049",
            "rsa3072",
            "rsa8192",
            "rsa-e3",
            "rsa-e65bits",
        ] {
            cases.push(signed(format!("{key} {digest}")).by(key, digest));
        }
        for salt in ["0", "20", "digest", "max"] {
            let options =
                format!("{digest} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:{salt}");
            for key in ["rsa2048", "pss"] {
                cases.push(signed(format!("{key} {options}")).by(key, &options));
            }
        }
    }
    let wide = "-sha512 -sigopt rsa_padding_mode:pss";
    cases.push(signed("rsa8192 PSS").by("rsa8192", wide));
    cases.push(signed("rsa4096").by("rsa4096", "-sha256"));
    cases.push(signed("pss-bound").by("pss-bound", "-sha256"));
    cases
}

fn broken(by: &str) -> String {
    format!("its signature is made with {by}, which is broken")
}

fn unverifiable(by: &str) -> String {
    format!("its signature is made with {by}, which mailca cannot verify")
}

pub fn weak_keys() -> Vec<Case> {
    let pss = |options: &str| format!("-sigopt rsa_padding_mode:pss {options}");
    let by_key =
        |kind: &str| unverifiable(&format!("ecdsa-with-SHA256 by a key of type EC {kind}"));
    let mut cases = Vec::new();
    for (key, options, error) in [
        (
            "rsa1024",
            "-sha256".into(),
            "its RSA key has 1024 bits, but 2048 are the least that is safe".into(),
        ),
        (
            "rsa2047",
            "-sha256".into(),
            "its RSA key has 2047 bits, but 2048 are the least that is safe".into(),
        ),
        (
            "pss1024",
            "-sha256".into(),
            "its RSA key has 1024 bits, but 2048 are the least that is safe".into(),
        ),
        ("rsa2048", "-md5".into(), broken("md5WithRSAEncryption")),
        ("rsa2048", "-sha1".into(), broken("sha1WithRSAEncryption")),
        ("p256", "-sha1".into(), broken("ecdsa-with-SHA1")),
        (
            "rsa2048",
            pss("-sha1"),
            broken("RSA-PSS (SHA-1, salt of 234 octets)"),
        ),
        (
            "rsa2048",
            pss("-sha256 -sigopt rsa_mgf1_md:sha1"),
            broken("RSA-PSS (SHA-256, MGF1 with SHA-1, salt of 222 octets)"),
        ),
        (
            "rsa2048",
            pss("-sha256 -sigopt rsa_mgf1_md:sha512"),
            unverifiable(
                "RSA-PSS (SHA-256, MGF1 with SHA-512, salt of 222 octets) by a key of type RSA 2048",
            ),
        ),
        (
            "rsa2048",
            "-sha224".into(),
            unverifiable("sha224WithRSAEncryption"),
        ),
        (
            "rsa2048",
            pss("-sha224"),
            unverifiable("RSA-PSS (id-sha224)"),
        ),
        (
            "rsa2048",
            "-sha3-256".into(),
            unverifiable("2.16.840.1.101.3.4.3.14"),
        ),
        ("p256", "-sha224".into(), unverifiable("ecdsa-with-SHA224")),
        ("p224", "-sha256".into(), by_key("secp224r1")),
        ("secp256k1", "-sha256".into(), by_key("secp256k1")),
        ("brainpool", "-sha256".into(), by_key("brainpoolP256r1")),
        (
            "explicit",
            "-sha256".into(),
            by_key("without a named curve"),
        ),
        ("ed448", String::new(), unverifiable("id-Ed448")),
        ("dsa", "-sha256".into(), unverifiable("dsa-with-sha256")),
    ] {
        cases.push(refused(format!("{key} {options}"), error).by(key, &options));
    }
    cases
}

pub fn forms() -> Vec<Case> {
    [
        ("the old label", Form::OldLabel),
        ("text around it", Form::TextAround),
        ("CRLF", Form::Crlf),
        ("DER", Form::Der),
    ]
    .map(|(what, form)| signed(what).form(form))
    .into()
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn extensions() -> Vec<Case> {
    let san = || subject_alt_name(NAMES, false);
    let null = || extension("1.2.3.4", false, &[5, 0]);
    let asks = |oid: &str, extensions: &[Vec<u8>]| extension_request(oid, extensions);
    let password = |string_type| {
        let value = set(&[tlv(string_type, b"secret")]);
        sequence(&[oid("1.2.840.113549.1.9.7"), value])
    };
    let malformed = |problem: &str| format!("its request cannot be read ({problem})");
    vec![
        signed("CA:FALSE").also("basicConstraints = CA:FALSE"),
        signed("CA:TRUE")
            .also("basicConstraints = critical, CA:TRUE, pathlen:3")
            .denied(&["basicConstraints CA:TRUE"]),
        signed("keyCertSign")
            .also("keyUsage = critical, keyCertSign, cRLSign, digitalSignature")
            .denied(&["keyUsage keyCertSign, cRLSign"]),
        signed("every key usage")
            .by("rsa2048", "-sha256")
            .also("keyUsage = digitalSignature, nonRepudiation, keyEncipherment, dataEncipherment, keyAgreement, keyCertSign, cRLSign, encipherOnly, decipherOnly")
            .denied(&["keyUsage nonRepudiation, dataEncipherment, keyAgreement, keyCertSign, cRLSign, encipherOnly, decipherOnly"]),
        signed("what the profile gives")
            .by("rsa2048", "-sha256")
            .also("keyUsage = digitalSignature, keyEncipherment\nextendedKeyUsage = clientAuth, serverAuth\nsubjectKeyIdentifier = hash"),
        signed("codeSigning")
            .also("extendedKeyUsage = critical, serverAuth, codeSigning, OCSPSigning")
            .denied(&["extendedKeyUsage codeSigning, OCSPSigning"]),
        signed("anyExtendedKeyUsage")
            .also("extendedKeyUsage = anyExtendedKeyUsage, 1.3.6.1.4.1.311.20.2.2")
            .denied(&["extendedKeyUsage anyExtendedKeyUsage, 1.3.6.1.4.1.311.20.2.2"]),
        signed("nameConstraints")
            .also("nameConstraints = critical, permitted;DNS:.")
            .denied(&["the critical extension nameConstraints"]),
        signed("an unknown extension")
            .also("1.2.3.4 = ASN1:NULL")
            .denied(&["the extension 1.2.3.4"]),
        signed("an unknown critical extension")
            .also("1.2.3.4 = critical, ASN1:NULL")
            .denied(&["the critical extension 1.2.3.4"]),
        signed("an extension that is no DER")
            .also("1.2.3.4 = DER:30")
            .denied(&["an unreadable extension 1.2.3.4"]),
        signed("a keyUsage that is none")
            .also("2.5.29.15 = DER:0500")
            .denied(&["an unreadable extension keyUsage"]),
        signed("a key identifier of its own")
            .also("subjectKeyIdentifier = AB:CD")
            .denied(&["the extension subjectKeyIdentifier"]),
        signed("policies, CRL, OCSP, must-staple and Netscape")
            .also("certificatePolicies = 1.2.3\ncrlDistributionPoints = URI:http://x.test/\nauthorityInfoAccess = OCSP;URI:http://x.test/\ntlsfeature = status_request\nnsCertType = sslCA\nnsComment = x\nissuerAltName = DNS:x.test")
            .denied(&[
                "the extension certificatePolicies",
                "the extension cRLDistributionPoints",
                "the extension authorityInfoAccess",
                "the extension 1.3.6.1.5.5.7.1.24",
                "the extension 2.16.840.1.113730.1.1",
                "the extension 2.16.840.1.113730.1.13",
                "the extension issuerAltName",
            ]),
        signed("a critical subjectAltName").extensions("subjectAltName = critical, DNS:mail.example.test"),
        signed("challengePassword and unstructuredName")
            .attributes("challengePassword = secret\nunstructuredName = x")
            .denied(&["the attribute unstructuredName", "the attribute challengePassword"]),
        signed("a challengePassword in UniversalString")
            .attributes_der(&[password(UNIVERSAL), asks(EXTENSION_REQUEST, &[san()])])
            .denied(&["the attribute challengePassword"]),
        signed("an unknown attribute of two values")
            .attributes_der(&[
                asks(EXTENSION_REQUEST, &[san()]),
                sequence(&[oid("1.2.3.4"), set(&[vec![5, 0], vec![1, 1, 0]])]),
            ])
            .denied(&["the attribute 1.2.3.4"]),
        signed("Microsoft's extensionRequest")
            .attributes_der(&[asks(MICROSOFT_EXTENSION_REQUEST, &[san(), null()])])
            .denied(&["the extension 1.2.3.4"]),
        signed("an explicit critical FALSE").extensions_der(&[
            sequence(&[oid("2.5.29.17"), vec![1, 1, 0], elements(&san())[1].clone()]),
        ]),
        signed("no attributes")
            .attributes_der(&[])
            .notes(&["the request has no SubjectAltName; from its subject comes DNS:mail.example.test"]),
        signed("not even the set of attributes")
            .without_attributes()
            .notes(&["the request has no SubjectAltName; from its subject comes DNS:mail.example.test"]),
        refused("two extensionRequests", malformed("it has two extensionRequests"))
            .attributes_der(&[asks(EXTENSION_REQUEST, &[san()]), asks(EXTENSION_REQUEST, &[null()])]),
        refused("extensionRequests of both kinds", malformed("it has two extensionRequests"))
            .attributes_der(&[
                asks(EXTENSION_REQUEST, &[san()]),
                asks(MICROSOFT_EXTENSION_REQUEST, &[null()]),
            ]),
        refused("an extensionRequest of two values", malformed("its extensionRequest is none"))
            .attributes_der(&[sequence(&[
                oid(EXTENSION_REQUEST),
                set(&[sequence(&[san()]), sequence(&[null()])]),
            ])]),
        refused("an extensionRequest of no value", malformed("its extensionRequest is none"))
            .attributes_der(&[sequence(&[oid(EXTENSION_REQUEST), set(&[])])]),
        refused("the same extension twice", malformed("it has two extensions 1.2.3.4"))
            .extensions_der(&[san(), null(), null()]),
        refused("two subjectAltNames", malformed("it has two extensions subjectAltName"))
            .extensions_der(&[san(), subject_alt_name(&["DNS:other.test"], false)]),
        refused("an extension of a single part", "its request cannot be read (")
            .extensions_der(&[san(), sequence(&[oid("1.2.3.4")])]),
    ]
}

pub fn names() -> Vec<Case> {
    let san = |names: &str| format!("subjectAltName = {names}");
    vec![
        signed("names of every kind that is certified")
            .extensions(&san("DNS:mail.example.test, DNS:Mixed.Case.test, IP:192.0.2.1, IP:2001:db8::1, email:Post.Master+x@Example.test"))
            .names(&[
                "DNS:mail.example.test",
                "DNS:Mixed.Case.test",
                "IP:192.0.2.1",
                "IP:2001:db8::1",
                "email:Post.Master+x@Example.test",
            ]),
        signed("names of every other kind")
            .extensions(&san("URI:https://x.test/, RID:1.2.3, otherName:1.2.3.4;UTF8:x, dirName:other, DNS:mail.example.test"))
            .denied(&[
                "the name URI:https://x.test/",
                "the name of kind registeredID 1.2.3",
                "the name of kind otherName 1.2.3.4",
                "the name of kind directoryName",
            ]),
        signed("a URI alone")
            .extensions(&san("URI:https://x.test/"))
            .notes(&[
                "the request asks for the name URI:https://x.test/, which it does not get",
                "no name in the request's SubjectAltName is of a kind that is certified; from its subject comes DNS:mail.example.test",
            ]),
        signed("kinds of names that nobody uses")
            .extensions_der(&[extension(
                "2.5.29.17",
                false,
                &sequence(&[tlv(0xA3, &[]), tlv(0xA5, &[]), tlv(0x89, b"x"), tlv(0x82, HOST.as_bytes())]),
            )])
            .denied(&[
                "the name of kind x400Address",
                "the name of kind ediPartyName",
                "the name of an unknown kind",
            ]),
        signed("a wildcard")
            .extensions(&san("DNS:*.example.test"))
            .names(&["DNS:*.example.test"]),
        signed("an underscore and an A-label")
            .extensions(&san("DNS:_x.example.test, DNS:xn--bcher-kva.example"))
            .names(&["DNS:_x.example.test", "DNS:xn--bcher-kva.example"]),
        signed("duplicates")
            .extensions(&san("DNS:mail.example.test, IP:192.0.2.1, DNS:mail.example.test, IP:192.0.2.1"))
            .names(&["DNS:mail.example.test", "IP:192.0.2.1"]),
        signed("no dot").extensions(&san("DNS:localhost")).names(&["DNS:localhost"]),
        signed("names without a subject")
            .subject_der(name(&[]))
            .extensions_der(&[subject_alt_name(&["IP:192.0.2.1"], true)])
            .names(&["IP:192.0.2.1"]),
    ]
}

pub fn unfit_names() -> Vec<Case> {
    let unfit =
        |problem: &str| format!("the request asks for a name that cannot be certified: {problem}");
    let dns = |what: &str, name: &[u8], problem: &str| {
        let names = sequence(&[tlv(0x82, HOST.as_bytes()), tlv(0x82, name)]);
        let text = String::from_utf8_lossy(name);
        refused(
            what,
            unfit(&format!("{text:?} is not a host name: {problem}")),
        )
        .extensions_der(&[extension("2.5.29.17", false, &names)])
    };
    let other = |what: &str, tag: u8, name: &[u8], problem: &str| {
        let names = sequence(&[tlv(0x82, HOST.as_bytes()), tlv(tag, name)]);
        refused(what, unfit(problem)).extensions_der(&[extension("2.5.29.17", false, &names)])
    };
    let strange = "a label has other characters than letters, digits and hyphens";
    let no_mailbox = "is not an e-mail address that a certificate can hold";
    let malformed = |problem: &str| format!("its request cannot be read ({problem})");
    let long = "x".repeat(64);
    let whole = |what: &str, value: &[u8], problem: &str| {
        refused(what, malformed(problem)).extensions_der(&[extension("2.5.29.17", false, value)])
    };
    vec![
        dns("NUL in a name", b"mail.example.test\0.evil.test", strange),
        dns("a dot at the end", b"mail.example.test.", "it has an empty label"),
        dns("no label", b"mail..test", "it has an empty label"),
        dns("an empty name", b"", "it is empty"),
        dns("another script", "bücher.example".as_bytes(), strange),
        dns("Latin-1", b"b\xfccher.example", strange),
        dns("a space", b"mail.example.test ", strange),
        dns("a comma", b"a.test,DNS:b.test", strange),
        dns("a newline", b"a.test\nDNS", strange),
        dns("a wildcard within", b"m*.example.test", strange),
        dns("a wildcard below", b"mail.*.test", strange),
        dns("a bare wildcard", b"*", strange),
        dns("a hyphen at the end", b"mail-.test", "a label begins or ends with a hyphen"),
        dns("an address as a host name", b"192.0.2.1", "it is an IP address"),
        dns("nearly an address", b"192.0.2", "its last label is a number, as in an IP address"),
        dns("a long label", format!("{long}.test").as_bytes(), "a label is longer than 63 characters"),
        dns("a long name", "a.".repeat(127).as_bytes(), "it is longer than 253 characters"),
        other("five octets of address", 0x87, &[192, 0, 2, 1, 5], "\"5 octets\" is not an IP address"),
        other("an address and its mask", 0x87, &[192, 0, 2, 1, 255, 255, 255, 0], "\"8 octets\" is not an IP address"),
        other("a mailbox without a host", 0x81, b"postmaster", &format!("\"postmaster\" {no_mailbox}")),
        other("NUL in a mailbox", 0x81, b"a\0@b.test", &format!("\"a\\0@b.test\" {no_mailbox}")),
        other("a quoted mailbox", 0x81, b"\"a b\"@b.test", &format!("\"\\\"a b\\\"@b.test\" {no_mailbox}")),
        other("a mailbox of a wildcard", 0x81, b"a@*.test", &format!("\"a@*.test\" {no_mailbox}")),
        whole("an empty subjectAltName", &sequence(&[]), "its subjectAltName has no name"),
        whole("a subjectAltName that is none", &[5, 0], "its subjectAltName is none"),
        whole("something behind the names", &[&*sequence(&[tlv(0x82, b"a.test")]), &[0]].concat(), "its subjectAltName is none"),
        whole("an unfinished name", &sequence(&[vec![0x82, 9, b'a']]), "its subjectAltName is none"),
        refused(
            "a host name of 65 characters",
            "the first name aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aa has 66 characters, but 64 are the limit of a commonName",
        )
        .extensions("subjectAltName = DNS:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aa"),
    ]
}

/// What was altered after it was signed, or never was.
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn forgeries() -> Vec<Case> {
    const MISMATCH: &str = "the signature does not match its public key";
    let mut cases = Vec::new();
    for key in [
        "p256",
        "p384",
        "p521",
        "ed25519",
        "rsa2048",
        "rsa8192",
        "pss",
        "rsa-e65bits",
    ] {
        let digest = if key == "ed25519" { "" } else { "-sha256" };
        cases.push(
            refused(format!("{key}, its end altered"), MISMATCH)
                .by(key, digest)
                .damaged(|mut der| {
                    *der.last_mut().expect("DER") ^= 1;
                    der
                }),
        );
        cases.push(
            refused(format!("{key}, its name altered"), MISMATCH)
                .by(key, digest)
                .damaged(|mut der| {
                    let at = der
                        .windows(4)
                        .rposition(|four| four == b"mail")
                        .expect("its name");
                    der[at] = b'n';
                    der
                }),
        );
    }
    cases.extend([
        refused("no signature", MISMATCH).damaged(|der| {
            let [content, algorithm, _] = elements(&der).try_into().expect("PKCS#10");
            sequence(&[content, algorithm, tlv(BIT_STRING, &[0])])
        }),
        refused("another algorithm before it", MISMATCH).damaged(|der| {
            let [content, _, signature] = elements(&der).try_into().expect("PKCS#10");
            sequence(&[content, sequence(&[oid("1.2.840.10045.4.3.4")]), signature])
        }),
        refused(
            "no algorithm that is known",
            "its signature is made with 1.2.3.4, which mailca cannot verify",
        )
        .damaged(|der| {
            let [content, _, signature] = elements(&der).try_into().expect("PKCS#10");
            sequence(&[content, sequence(&[oid("1.2.3.4")]), signature])
        }),
        refused(
            "a point that is none",
            "its EC P-256 key is none: it is not a point of that curve",
        )
        .damaged(|mut der| {
            let at = der
                .windows(4)
                .position(|four| four == [3, 66, 0, 4])
                .expect("a point");
            der[at + 40] ^= 1;
            der
        }),
        refused(
            "exponent 1",
            "its RSA key is none: its public exponent is 1",
        )
        .by("rsa2048", "-sha256")
        .damaged(|der| signed_by_exponent_1(&der)),
        refused(
            "an even exponent",
            "its RSA key is none: its public exponent is even",
        )
        .by("rsa2048", "-sha256")
        .damaged(|mut der| {
            let at = der
                .windows(5)
                .position(|five| five == [2, 3, 1, 0, 1])
                .expect("65537");
            der[at + 4] = 0;
            der
        }),
        refused(
            "a version that is none",
            "its request cannot be read (its version is 1)",
        )
        .damaged(|mut der| {
            let at = der
                .windows(3)
                .position(|three| three == [2, 1, 0])
                .expect("a version");
            der[at + 2] = 1;
            der
        }),
        refused(
            "something behind it",
            "its request cannot be read (1 bytes follow it)",
        )
        .damaged(|mut der| {
            der.push(0);
            der
        }),
        refused("its last octet missing", "its request cannot be read (").damaged(|mut der| {
            der.pop();
            der
        }),
    ]);
    cases
}

// With exponent 1, what is signed is its own signature, and anybody can write it.
fn signed_by_exponent_1(der: &[u8]) -> Vec<u8> {
    let [content, algorithm, _] = elements(der).try_into().expect("PKCS#10");
    let [version, subject, public_key, attributes] =
        elements(&content).try_into().expect("PKCS#10");
    let [rsa, key] = elements(&public_key).try_into().expect("a key");
    let [modulus, _] = elements(&key[5..]).try_into().expect("an RSA key");
    let key = [&[0], &*sequence(&[modulus, vec![2, 1, 1]])].concat();
    let public_key = sequence(&[rsa, tlv(BIT_STRING, &key)]);
    let content = sequence(&[version, subject, public_key, attributes]);
    let digest = ring::digest::digest(&ring::digest::SHA256, &content);
    let algorithm_of_digest = sequence(&[oid("2.16.840.1.101.3.4.2.1"), vec![5, 0]]);
    let info = sequence(&[algorithm_of_digest, tlv(4, digest.as_ref())]);
    let padding = vec![0xFF; 256 - 3 - info.len()];
    let signature = [&[0, 0, 1], &*padding, &[0], &*info].concat();
    sequence(&[content, algorithm, tlv(BIT_STRING, &signature)])
}
