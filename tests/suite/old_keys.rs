//! CA keys in every form that OpenSSL has written them in: mailca signs with them, or says what
//! they are and prints the command that converts them.

use std::fs;

use super::support::{Ca, Ran, TestDir, User, require, run_with};

const PASSPHRASE: &str = "mailca tests";

/// A key type of `mailca init`, and the forms its keys come in: what makes each of `plain.pem`.
const READ: [(&str, &[&str]); 4] = [
    (
        "rsa2048",
        &[
            "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1",
            "pkcs8 -topk8 -v2 aes-192-cbc -v2prf hmacWithSHA384",
            "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512",
            "pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA256",
            "pkcs8 -topk8 -scrypt",
            "pkcs8 -topk8 -outform DER",
            "pkcs8 -topk8 -nocrypt -outform DER",
            "rsa -traditional",
            "rsa -traditional -outform DER",
            "rsa -traditional -des3",
            "rsa -traditional -aes128",
            "rsa -traditional -aes192",
            "rsa -traditional -aes256",
        ],
    ),
    (
        "p256",
        &[
            "pkey",
            "pkey -outform DER",
            "ec",
            "ec -outform DER",
            "ec -no_public",
            "ec -aes256",
            "ec -des3",
            "ec -param_enc explicit",
            "ec -param_enc explicit -conv_form compressed",
            "pkcs8 -topk8 -scrypt",
        ],
    ),
    (
        "p384",
        &[
            "ec",
            "ec -no_public",
            "ec -param_enc explicit",
            "pkcs8 -topk8 -nocrypt",
        ],
    ),
    (
        "ed25519",
        &["pkey", "pkey -outform DER", "pkcs8 -topk8 -scrypt"],
    ),
];

/// The options that say where the passphrase is, as far as a command takes any.
fn passphrase_options(form: &str) -> &'static [&'static str] {
    let encrypts = form.contains("topk8") && !form.contains("nocrypt")
        || ["-des", "-aes", "-camellia", "-aria"]
            .iter()
            .any(|cipher| form.contains(cipher));
    if encrypts {
        &["-passout", "file:pass"]
    } else {
        &[]
    }
}

/// A CA whose unencrypted key is in `plain.pem` too.
fn ca(key_type: &str) -> Ca {
    let ca = Ca::of(User::me(), &["--key-type", key_type]);
    fs::copy(ca.file("private/cakey.pem"), ca.dir.file("plain.pem")).expect("copy");
    ca
}

/// Puts the CA's key into another form.
#[track_caller]
fn write_as(ca: &Ca, form: &str) {
    let words: Vec<&str> = form.split_whitespace().collect();
    let key = ca.file("private/cakey.pem");
    let files = ["-in", "plain.pem", "-out", &key];
    let options = passphrase_options(form);
    ca.dir.openssl(&[&words[..], &files, options].concat());
    ca.chmod("private/cakey.pem", 0o600);
}

#[track_caller]
fn signs(ca: &Ca, what: &str) {
    let host = format!("mx{}.example.com", ca.rows().len());
    let ran = ca.mailca(&["issue", &host, "--yes", "--passphrase-file", "pass"]);
    assert_eq!(ran.code(), 0, "{what}: {ran}");
    let certificate = ca.file(&format!("hosts/{host}/cert.pem"));
    let verified = ca.verify(&certificate, &["-purpose", "sslserver"]);
    assert_eq!(verified.code(), 0, "{what}: {verified}");
}

#[test]
fn keys_in_every_form_of_openssl_sign() {
    for (key_type, forms) in READ {
        let ca = ca(key_type);
        for form in forms {
            write_as(&ca, form);
            signs(&ca, form);
        }
    }
}

#[test]
fn a_wrong_passphrase_of_the_traditional_form_is_told() {
    let ca = ca("rsa2048");
    write_as(&ca, "rsa -traditional -aes256");
    let issue = ["issue", "mail.example.com", "--yes"];
    let said = ca.refuses(&issue);
    assert!(
        said.contains("the CA key's passphrase is missing"),
        "{said}"
    );
    ca.dir.write_secret("wrong", "something else\n");
    let said = ca.refuses(&[&issue[..], &["--passphrase-file", "wrong"]].concat());
    let expected = "the passphrase does not open the private key";
    assert!(said.contains(expected), "{said}");
}

// OpenSSL 3.0 writes version 1 only (RFC 5958 section 2).
#[test]
fn an_ed25519_key_of_version_2_signs() {
    let ca = ca("ed25519");
    ca.dir.openssl(&[
        "pkey",
        "-in",
        "plain.pem",
        "-outform",
        "DER",
        "-out",
        "v1.der",
    ]);
    let public = ["-pubout", "-outform", "DER", "-out", "public.der"];
    ca.dir
        .openssl(&[&["pkey", "-in", "plain.pem"], &public[..]].concat());
    let v1 = fs::read(ca.dir.file("v1.der")).expect("a key");
    let public = fs::read(ca.dir.file("public.der")).expect("a key");
    let point = &public[public.len() - 32..];
    let version = [2, 1, 1];
    let body = [&version, &v1[5..], &[0x81, 33, 0], point].concat();
    let length = u8::try_from(body.len()).expect("a short key");
    fs::write(
        ca.file("private/cakey.pem"),
        [&[0x30, length], &body[..]].concat(),
    )
    .expect("write");
    signs(&ca, "version 2");
}

#[test]
fn keys_are_found_behind_what_stands_before_them() {
    let ca = ca("rsa2048");
    let key = ca.read("private/cakey.pem");
    let text = ca.dir.openssl(&["rsa", "-in", "plain.pem", "-text"]);
    let certificate = ca.read("cacert.pem");
    let decoded = ca.x509(&ca.file("cacert.pem"), &["-text"]);
    for (what, written) in [
        ("its own text before it", text),
        ("a certificate before it", format!("{certificate}{key}")),
        ("a certificate behind it", format!("{key}{certificate}")),
        (
            "the text of a certificate before it",
            format!("{decoded}{certificate}{key}"),
        ),
        ("CRLF", key.replace('\n', "\r\n")),
        (
            "bag attributes",
            format!("Bag Attributes\n    localKeyID: 01 \nKey Attributes: <No Attributes>\n{key}"),
        ),
    ] {
        ca.write("private/cakey.pem", &written);
        signs(&ca, what);
    }
    // `openssl req -x509 -keyout x -out x`, both in one file.
    ca.write("cacert.pem", &format!("{key}{certificate}"));
    ca.chmod("cacert.pem", 0o600);
    ca.edit("openssl.cnf", "private/cakey.pem", "cacert.pem");
    signs(&ca, "certificate and key in one file");
}

/// What runs a printed hint: without a terminal, openssl asks for passphrases on standard input.
fn sh(dir: &TestDir, script: &str) -> Ran {
    let mut shell = dir.command("setsid");
    shell.args(["-w", "sh", "-c", script]);
    run_with(&mut shell, &format!("{PASSPHRASE}\n").repeat(3))
}

fn hint(said: &str) -> &str {
    let hint = said.lines().find_map(|line| line.strip_prefix("hint: "));
    hint.unwrap_or_else(|| panic!("no hint: {said}"))
}

/// Forms that mailca does not read, how it calls them, and whether OpenSSL needs its legacy
/// provider for them.
const UNREAD: [(&str, &str, bool); 8] = [
    ("pkcs8 -topk8 -v1 PBE-MD5-DES", "pbeWithMD5AndDES-CBC", true),
    (
        "pkcs8 -topk8 -v1 PBE-SHA1-3DES",
        "pbeWithSHAAnd3-KeyTripleDES-CBC",
        false,
    ),
    ("pkcs8 -topk8 -v1 PBE-SHA1-RC2-40", "RC2", true),
    (
        "pkcs8 -topk8 -v2 camellia-256-cbc",
        "camellia-256-cbc",
        false,
    ),
    (
        "pkcs8 -topk8 -v2 aria-256-cbc",
        "1.2.410.200046.1.1.12",
        false,
    ),
    ("pkcs8 -topk8 -v2 rc2 -v2prf hmacWithSHA1", "rc2", true),
    (
        "rsa -traditional -camellia256",
        "CAMELLIA-256-CBC (DEK-Info)",
        false,
    ),
    ("rsa -traditional -des", "DES-CBC (DEK-Info)", true),
];

#[test]
fn what_is_not_read_is_named_and_the_printed_command_converts_it() {
    if !require(&["setsid"]) {
        return;
    }
    let ca = ca("rsa2048");
    for (form, name, is_legacy) in UNREAD {
        let legacy = " -provider legacy -provider default";
        write_as(
            &ca,
            &format!("{form}{}", if is_legacy { legacy } else { "" }),
        );
        let before = ca.read("private/cakey.pem");
        let said = ca.refuses(&["issue", "new.example.com", "--yes"]);
        let sentence = said.to_lowercase();
        let expected = "mailca does not read keys encrypted with ";
        assert!(sentence.contains(&expected.to_lowercase()), "{said}");
        assert!(sentence.contains(&name.to_lowercase()), "{form}: {said}");
        let ran = sh(&ca.dir, hint(&said));
        assert_eq!(ran.code(), 0, "{form}: {ran}");
        assert_eq!(ca.read("private/cakey.pem.old"), before, "{form}");
        assert_eq!(ca.mode("private/cakey.pem"), 0o600, "{form}");
        assert!(ca.read("private/cakey.pem").contains("ENCRYPTED"), "{form}");
        signs(&ca, form);
    }
}

#[test]
fn a_host_s_key_that_is_not_read_is_converted_by_the_printed_command() {
    if !require(&["setsid"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", "mail.example.com", "--yes"]);
    let key = ca.file("hosts/mail.example.com/key.pem");
    for cipher in ["-aes128", "-camellia128"] {
        let files = ["-in", &key, "-out", &key, "-passout", "file:pass"];
        ca.dir.openssl(&[&["ec", cipher], &files[..]].concat());
        let said = ca.refuses(&["renew", "mail.example.com", "--yes"]);
        let ran = sh(&ca.dir, hint(&said));
        assert_eq!(ran.code(), 0, "{ran}");
        ca.ok(&["renew", "mail.example.com", "--yes"]);
    }
}
