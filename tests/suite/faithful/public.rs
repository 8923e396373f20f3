//! Requests found in public test suites: every well-formed and strong one is
//! signed, every other one refused.

use std::fs;
use std::path::{Path, PathBuf};

use super::workshop::{Workshop, signed};
use super::{ANY_SUBJECT, assert_accepted, assert_one_refusal};
use crate::support::{require, require_folder, run, tell};

/// Of the package python3-cryptography-vectors.
const VECTORS: &str = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/requests";

/// Of other packages, where somebody has installed them.
const OTHERS: [&str; 2] = [
    "/usr/share/gocode/src/github.com/cloudflare/cfssl",
    "/usr/lib/python3/dist-packages/certbot/tests/testdata",
];

/// Every file with a request below a folder.
fn requests(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(requests(&path));
            continue;
        }
        let content = fs::read(&path).expect("a readable file");
        let label = b"CERTIFICATE REQUEST-----";
        let is_pem = content.windows(label.len()).any(|window| window == label);
        let is_der = folder == Path::new(VECTORS) && content.starts_with(&[0x30]);
        if is_pem || is_der {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What OpenSSL finds that speaks against a request by the rules of mailca.
fn problem(workshop: &Workshop, file: &str) -> Option<String> {
    let content = workshop.read(file);
    let form = if content[0] == 0x30 { "DER" } else { "PEM" };
    let mut openssl = workshop.dir.command("openssl");
    let show = [
        "req", "-noout", "-text", "-verify", "-inform", form, "-in", file,
    ];
    let ran = run(openssl.args(show));
    let said = format!("{}{}", ran.stdout, ran.stderr);
    if ran.code() != 0 || !said.contains("self-signature verify OK") {
        return Some("the signature".into());
    }
    let value = |name: &str| {
        let mut lines = ran.stdout.lines().rev();
        let found = lines.find_map(|line| line.trim_start().strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    let algorithm = value("Signature Algorithm: ");
    let strong = [
        "sha256WithRSAEncryption",
        "sha384WithRSAEncryption",
        "sha512WithRSAEncryption",
        "rsassaPss",
        "ecdsa-with-SHA256",
        "ecdsa-with-SHA384",
        "ecdsa-with-SHA512",
        "ED25519",
    ];
    if !strong.contains(&&*algorithm) {
        return Some(algorithm);
    }
    let kind = value("Public Key Algorithm: ");
    let bits = value("Public-Key: (");
    let bits = bits
        .split(' ')
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0);
    let curve = value("ASN1 OID: ");
    let curves = ["prime256v1", "secp384r1", "secp521r1"];
    let is_strong = match &*kind {
        "rsaEncryption" | "rsassaPss" => (2048..=8192).contains(&bits),
        "id-ecPublicKey" => curves.contains(&&*curve),
        kind => kind == "ED25519",
    };
    if !is_strong {
        return Some(format!("{kind} {bits} {curve}"));
    }
    let version = value("Version: ");
    if version != "1 (0x0)" {
        return Some(format!("version {version}"));
    }
    let extensions = ran.stdout.lines().filter(|line| line.contains("X509v3 "));
    let mut extensions: Vec<_> = extensions.collect();
    let all = extensions.len();
    extensions.sort_unstable();
    extensions.dedup();
    (extensions.len() < all).then(|| "an extension twice".into())
}

#[test]
fn public_requests_are_signed_where_they_are_good_and_refused_where_not() {
    if !require(&["openssl"]) || !require_folder(VECTORS) {
        return;
    }
    let workshop = Workshop::new();
    workshop.make_ca(&signed("a CA").by("ca-p256", ""), "");
    let vectors = requests(Path::new(VECTORS));
    assert!(vectors.len() > 20, "{vectors:?}");
    let others = OTHERS.iter().flat_map(|folder| requests(Path::new(folder)));
    let mut certificates = Vec::new();
    let mut refused = Vec::new();
    for (number, path) in vectors.into_iter().chain(others).enumerate() {
        let why = path.display().to_string();
        workshop.write("any.csr", &fs::read(&path).expect("a readable file"));
        let out = format!("{number}.pem");
        let sign = [
            "sign",
            "any.csr",
            "--san",
            "mail.example.test",
            "--out",
            &out,
        ];
        let ran = workshop.mailca(&[&sign, &ANY_SUBJECT[..]].concat());
        let problem = problem(&workshop, "any.csr");
        let exists = workshop.dir.path().join(&out).exists();
        assert_eq!(exists, ran.code() == 0, "{why}: {ran}");
        assert_eq!(exists, problem.is_none(), "{why}: {problem:?}, but {ran}");
        if exists {
            certificates.push(out);
        } else {
            refused.push(assert_one_refusal(&ran, &why));
        }
    }
    assert_accepted(&workshop, &certificates);
    tell(&format!(
        "{} public requests: {} signed, {} refused",
        certificates.len() + refused.len(),
        certificates.len(),
        refused.len()
    ));
    assert!(certificates.len() > 5 && refused.len() > 10, "{refused:#?}");
}
