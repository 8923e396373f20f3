//! `mailca show`: what it says of a certificate, request, CRL or key is what openssl says.

use std::fs;

use serde_json::Value;

use super::support::{Ca, TestDir, require, require_folder, run, run_with};

/// The objects that a file holds.
#[track_caller]
fn objects(ca: &Ca, what: &str) -> Vec<Value> {
    match ca.json(&["show", what])["objects"].take() {
        Value::Array(objects) => objects,
        other => panic!("{other}"),
    }
}

#[track_caller]
fn only(ca: &Ca, what: &str) -> Value {
    let mut objects = objects(ca, what);
    assert_eq!(objects.len(), 1, "{objects:?}");
    objects.remove(0)
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {object}"))
}

/// The fingerprint of a public key, as Postfix and openssl have it.
#[track_caller]
fn key_digest(dir: &TestDir, command: &str) -> String {
    let script = format!("{command} | openssl pkey -pubin -outform DER | openssl sha256 -c");
    let ran = run(dir.command("sh").args(["-c", &script])).exits(0);
    ran.stdout.rsplit(' ').next().unwrap().trim().to_uppercase()
}

/// Debian's CA certificates: names in every string type, old and new extensions.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

#[test]
fn a_hundred_certificates_are_told_as_openssl_tells_them() {
    if !require(&["openssl"]) || !require_folder("/etc/ssl/certs") {
        return;
    }
    let ca = Ca::new();
    let shown = objects(&ca, BUNDLE);
    assert!(shown.len() > 100, "{}", shown.len());
    let bundle = fs::read_to_string(BUNDLE).unwrap();
    let blocks: Vec<&str> = bundle
        .split_inclusive("-----END CERTIFICATE-----\n")
        .collect();
    assert_eq!(shown.len(), blocks.len());
    let options = "-noout -serial -fingerprint -sha256 -startdate -enddate -dateopt iso_8601 \
        -ext basicConstraints,keyUsage,subjectKeyIdentifier,extendedKeyUsage";
    for (shown, block) in shown.iter().zip(blocks) {
        let args = ["x509"].into_iter().chain(options.split(' '));
        let mut command = ca.dir.command("openssl");
        let said = run_with(command.args(args), block).stdout;
        let value = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name}: {said}")).to_owned()
        };
        let time = |name: &str| value(name).replacen(' ', "T", 1);
        assert_eq!(text(shown, "serial"), value("serial="));
        assert_eq!(text(shown, "sha256"), value("sha256 Fingerprint="));
        assert_eq!(text(shown, "not_before"), time("notBefore="));
        assert_eq!(text(shown, "not_after"), time("notAfter="));
        assert_eq!(shown["ca"], said.contains("CA:TRUE"), "{said}");
        if let Some(length) = shown["path_length"].as_u64() {
            assert!(said.contains(&format!("pathlen:{length}")), "{said}");
        } else {
            assert!(!said.contains("pathlen"), "{said}");
        }
        if let Some(identifier) = shown["subject_key_identifier"].as_str() {
            let pairs: Vec<_> = identifier.as_bytes().chunks(2).collect();
            let pairs = pairs.iter().map(|pair| String::from_utf8_lossy(pair));
            let with_colons = pairs.collect::<Vec<_>>().join(":");
            assert!(said.contains(&with_colons), "{said}, not {with_colons}");
        }
        for (ours, theirs) in [
            ("keyCertSign", "Certificate Sign"),
            ("cRLSign", "CRL Sign"),
            ("digitalSignature", "Digital Signature"),
        ] {
            let usages = shown["key_usage"].as_array().unwrap();
            assert_eq!(
                usages.iter().any(|it| it == ours),
                said.contains(theirs),
                "{said}"
            );
        }
    }
}

#[test]
fn what_this_ca_issued_is_told_with_its_state_and_its_place() {
    let ca = Ca::new();
    ca.ok(&["issue", "mail.example.com", "--san=192.0.2.25", "--yes"]);
    let serial = ca.serials().remove(0);
    let by_host = only(&ca, "mail.example.com");
    for word in [
        serial.as_str(),
        &format!("0x{}", serial.to_lowercase()),
        &ca.file(&format!("newcerts/{serial}.pem")),
        &ca.file("hosts/mail.example.com/cert.pem"),
    ] {
        assert_eq!(only(&ca, word), by_host, "{word}");
    }
    assert_eq!(text(&by_host, "state"), "valid");
    assert_eq!(text(&by_host, "profile"), "relay");
    assert_eq!(
        text(&by_host, "host_files"),
        ca.file("hosts/mail.example.com")
    );
    let names = serde_json::json!(["DNS:mail.example.com", "IP:192.0.2.25"]);
    assert_eq!(by_host["names"], names);
    // The one before, and one whose key lives elsewhere.
    ca.ok(&["renew", "mail.example.com", "--yes"]);
    assert_eq!(only(&ca, &serial)["host_files"], Value::Null);
    let request = ca.request("relay.example.com", &[]);
    ca.ok(&["sign", &request, "--yes"]);
    ca.ok(&[
        "revoke",
        "relay.example.com",
        "--reason=superseded",
        "--yes",
    ]);
    let relay = only(&ca, "relay.example.com");
    let state = [text(&relay, "state"), text(&relay, "reason")];
    assert_eq!(state, ["revoked", "superseded"]);
    assert!(relay["revoked_at"].is_string(), "{relay}");
    // Chain and key in one file each.
    let chain = objects(&ca, &ca.file("hosts/mail.example.com/chain.pem"));
    let titles: Vec<_> = chain.iter().map(|it| text(it, "subject")).collect();
    assert_eq!(titles[0], "CN=mail.example.com");
    assert!(
        titles[1..].iter().all(|it| it.contains("Mail CA")),
        "{titles:?}"
    );
    // Somebody else's certificate of the same number, or of another CA, is not ours.
    let other = Ca::new();
    let file = other.file("cacert.pem");
    assert_eq!(only(&ca, &file)["state"], Value::Null);
    // Without a CA.
    let mut alone = ca.dir.mailca(&["--ca", "nowhere", "show", &file]);
    let printed = run(&mut alone).exits(0);
    assert!(
        printed.stdout.starts_with("Kind       certificate\n"),
        "{printed}"
    );
}

#[test]
fn a_request_is_told_with_what_it_asks_for_and_whether_its_signature_is_right() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.openssl_request(
        "r",
        &[
            "-subj=/O=Example/CN=r.example.com",
            "-addext=subjectAltName=DNS:r.example.com,IP:192.0.2.1,URI:https://r.example.com",
            "-addext=keyUsage=keyCertSign",
            "-addext=basicConstraints=CA:TRUE",
        ]
        .map(|word| word.split_once('=').unwrap())
        .iter()
        .flat_map(|(option, value)| [*option, *value])
        .collect::<Vec<_>>(),
    );
    let shown = only(&ca, &request);
    assert_eq!(text(&shown, "kind"), "request");
    assert_eq!(text(&shown, "subject"), "O=Example, CN=r.example.com");
    assert_eq!(
        shown["names"],
        serde_json::json!(["DNS:r.example.com", "IP:192.0.2.1"])
    );
    let asks = serde_json::json!([
        "keyUsage keyCertSign",
        "the name URI:https://r.example.com",
        "basicConstraints CA:TRUE",
    ]);
    let mut found: Vec<_> = shown["asks_for"].as_array().unwrap().clone();
    let mut expected: Vec<_> = asks.as_array().unwrap().clone();
    found.sort_by_key(ToString::to_string);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(found, expected);
    assert_eq!(shown["problems"], serde_json::json!([]));
    let digest = key_digest(&ca.dir, "openssl req -in r.csr -noout -pubkey");
    assert_eq!(text(&shown, "key_sha256"), digest);
    // In DER, and by standard input.
    ca.dir
        .openssl(&["req", "-in", "r.csr", "-outform", "DER", "-out", "r.der"]);
    assert_eq!(only(&ca, &ca.dir.file("r.der")), shown);
    let pem = ca.dir.read("r.csr");
    let piped = run_with(&mut ca.command(&["show", "-", "--json"]), &pem).exits(0);
    let piped: Value = serde_json::from_str(&piped.stdout).unwrap();
    assert_eq!(piped["objects"][0], shown);
    // A bit of its signature, which is at its end.
    let mut der = fs::read(ca.dir.file("r.der")).unwrap();
    *der.last_mut().unwrap() ^= 1;
    fs::write(ca.dir.file("bad.der"), der).unwrap();
    let shown = only(&ca, &ca.dir.file("bad.der"));
    let problem = "the signature does not match its public key";
    assert_eq!(shown["problems"], serde_json::json!([problem]));
    let printed = ca.ok(&["show", &ca.dir.file("bad.der")]).stdout;
    assert!(
        printed.contains(&format!("Problem    {problem}\n")),
        "{printed}"
    );
}

#[test]
fn a_crl_is_told_with_its_entries() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for number in 0..22 {
        ca.ok(&["issue", &format!("h{number}.example.com"), "--yes"]);
        let reason = if number == 0 {
            "--reason=keyCompromise"
        } else {
            "--reason=superseded"
        };
        ca.ok(&["revoke", &format!("h{number}.example.com"), reason, "--yes"]);
    }
    let shown = only(&ca, &ca.file("crl/crl.pem"));
    assert_eq!(only(&ca, &ca.file("crl/crl.der")), shown);
    let said = ca.dir.openssl(&[
        "crl",
        "-in",
        "CA/crl/crl.pem",
        "-noout",
        "-fingerprint",
        "-sha256",
        "-crlnumber",
        "-text",
    ]);
    assert!(
        said.contains(&format!("Fingerprint={}\n", text(&shown, "sha256"))),
        "{said}"
    );
    assert!(
        said.contains(&format!("crlNumber=0x{}\n", text(&shown, "number"))),
        "{said}"
    );
    let revoked = shown["revoked"].as_array().unwrap();
    let listed = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Serial Number: "));
    let serials: Vec<_> = revoked.iter().map(|one| text(one, "serial")).collect();
    assert_eq!(serials, listed.collect::<Vec<_>>());
    assert_eq!(text(&revoked[0], "reason"), "keyCompromise");
    let printed = ca.ok(&["show", &ca.file("crl/crl.pem")]).stdout;
    assert!(printed.contains("\nRevoked    22\n"), "{printed}");
    assert!(
        printed.ends_with("           and 2 more, which --json lists\n"),
        "{printed}"
    );
}

#[test]
fn of_a_private_key_only_its_public_key_is_told() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for (name, options) in [
        ("p256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
        ("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
        ("ed25519", "-algorithm ED25519"),
        ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ] {
        let file = format!("{name}.key");
        let words = ["genpkey", "-out", &file]
            .into_iter()
            .chain(options.split(' '));
        ca.dir.openssl(&words.collect::<Vec<_>>());
        let shown = only(&ca, &ca.dir.file(&file));
        assert_eq!(
            (text(&shown, "kind"), &shown["private"]),
            ("key", &true.into())
        );
        if name == "p521" {
            let problem = "mailca cannot sign with a key of type EC P-521";
            assert_eq!(text(&shown, "problem"), problem);
            continue;
        }
        let digest = key_digest(&ca.dir, &format!("openssl pkey -in {file} -pubout"));
        assert_eq!(text(&shown, "key_sha256"), digest);
        for form in ["pkcs8 -topk8 -nocrypt", "pkey", "pkey -traditional"] {
            let mut words = form.split(' ').collect::<Vec<_>>();
            words.extend(["-in", &file, "-outform", "DER", "-out", "key.der"]);
            if run(ca.dir.command("openssl").args(&words)).code() == 0 {
                let der = only(&ca, &ca.dir.file("key.der"));
                assert_eq!(der, shown, "{words:?}");
            }
        }
        let public = format!("{name}.pub");
        ca.dir
            .openssl(&["pkey", "-in", &file, "-pubout", "-out", &public]);
        let public = only(&ca, &ca.dir.file(&public));
        assert_eq!(text(&public, "key_sha256"), digest);
        assert_eq!(public["private"], false);
        let words = ca.ok(&["show", &ca.dir.file(&file)]).stdout;
        let secret = ca.dir.read(&file);
        for line in secret
            .lines()
            .filter(|line| line.len() > 20 && !line.contains("---"))
        {
            assert!(!words.contains(line), "{words}");
        }
    }
    let encrypted = Ca::encrypted();
    let shown = only(&encrypted, &encrypted.file("private/cakey.pem"));
    let expected = serde_json::json!({
        "kind": "key", "private": true, "encrypted": true, "problem": null,
    });
    assert_eq!(shown, expected);
    // In a form that mailca does not read.
    let old = [
        "rsa",
        "-in",
        "rsa.key",
        "-traditional",
        "-camellia128",
        "-passout",
        "pass:x",
    ];
    ca.dir.openssl(&[&old[..], &["-out", "old.key"]].concat());
    let problem = only(&ca, &ca.dir.file("old.key"));
    assert!(
        text(&problem, "problem").starts_with("mailca does not read "),
        "{problem}"
    );
    // The book's file has both.
    let both = ca.dir.read("p256.key") + &ca.read("cacert.pem");
    ca.dir.write("both.pem", &both);
    let both = objects(&ca, &ca.dir.file("both.pem"));
    let kinds: Vec<_> = both.iter().map(|object| text(object, "kind")).collect();
    assert_eq!(kinds, ["key", "certificate"]);
    let several = ca.dir.read("p256.key") + &ca.dir.read("rsa.key") + &ca.dir.read("ed25519.key");
    ca.dir.write("several.pem", &several);
    let several = objects(&ca, &ca.dir.file("several.pem"));
    let types: Vec<_> = several.iter().map(|key| text(key, "key_type")).collect();
    assert_eq!(types, ["EC P-256", "RSA 2048", "Ed25519"]);
}

#[test]
fn what_is_not_there_is_refused_with_a_hint() {
    let ca = Ca::new();
    ca.dir.write("empty", "");
    ca.dir.write("text", "hello\n");
    ca.ok(&["issue", "mail.example.com", "--yes"]);
    let serial = ca.serials().remove(0);
    fs::remove_file(ca.file(&format!("newcerts/{serial}.pem"))).unwrap();
    let pem = ca.file(&format!("newcerts/{serial}.pem"));
    for (word, expected) in [
        ("nobody.example.com", "is neither a file, nor a serial"),
        ("no/such.pem", "cannot read no/such.pem"),
        ("./CA", "cannot read ./CA"),
        ("0815", "has no certificate 0815"),
        (
            "no such thing",
            "is neither a file, nor a serial number or host in",
        ),
        (
            &serial,
            &*format!("{pem} is missing, the certificate of /CN=mail.example.com"),
        ),
        (
            &ca.dir.file("empty"),
            "holds no certificate, request, CRL or key",
        ),
        (
            &ca.dir.file("text"),
            "holds no certificate, request, CRL or key",
        ),
    ] {
        let said = ca.refuses(&["show", word]);
        assert!(said.contains(expected), "{said}, not {expected}");
    }
}

#[test]
fn what_would_steer_a_terminal_or_forge_a_line_is_escaped() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = ca.openssl_request(
        "evil",
        &[
            "-utf8",
            "-subj",
            "/CN=a\u{1b}[31m/O=x\nIssuer     CN=Trusted CA",
        ],
    );
    let printed = ca.ok(&["show", &request]).stdout;
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
    assert!(!printed.contains("\nIssuer"), "{printed}");
}
