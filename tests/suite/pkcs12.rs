//! `mailca export --pkcs12`, read by OpenSSL, GnuTLS and NSS.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use super::support::{Ca, require, run};

const HOST: &str = "alice.example.test";
const PASSPHRASE: &str = "geheïm € 1";

/// A CA with a client's certificate, and the passphrase for its file in `p12.pass`.
fn ca_with_client(key_type: &str) -> Ca {
    let ca = Ca::new();
    let names = ["--san", "email:alice@example.test", "--profile", "client"];
    let words = ["issue", HOST, "--yes", "--key-type", key_type];
    ca.ok(&[&words[..], &names].concat());
    ca.dir.write_secret("p12.pass", &format!("{PASSPHRASE}\n"));
    ca
}

fn export(ca: &Ca, file: &str, more: &[&str]) -> String {
    let words = ["export", HOST, file, "--pkcs12"];
    let pass = ["--pkcs12-passphrase-file", "p12.pass"];
    ca.ok(&[&words[..], &pass, more].concat()).stderr
}

/// Whether it holds the key and certificate of the host, and its CA's.
#[track_caller]
fn assert_read_by_all(ca: &Ca, file: &str, is_legacy: bool, nss_takes_it: bool) {
    let key = ca
        .dir
        .openssl(&["pkey", "-in", &ca.file(&format!("hosts/{HOST}/key.pem"))]);
    let legacy: &[&str] = if is_legacy { &["-legacy"] } else { &[] };
    let read = ["pkcs12", "-in", file, "-passin", "file:p12.pass", "-noenc"];
    let text = ca.dir.openssl(&[&read[..], legacy].concat());
    let strip = |text: &str| text.replace(char::is_whitespace, "");
    assert!(strip(&text).contains(&strip(&key)), "{text}");
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "{text}");
    assert!(text.contains(&format!("friendlyName: {HOST}")), "{text}");

    let info = ["--p12-info", "--inder", "--infile", file, "--password"];
    let gnutls = run(ca.dir.command("certtool").args(info).arg(PASSPHRASE)).exits(0);
    assert_eq!(gnutls.stdout.matches("BEGIN CERTIFICATE").count(), 2);

    let place = format!("{file}.nss");
    ca.dir.create_dir(&place);
    let database = format!("sql:{place}");
    let new = ["-N", "-d", &database, "--empty-password"];
    run(ca.dir.command("certutil").args(new)).exits(0);
    let import = ["-i", file, "-d", &database, "-w", "p12.pass", "-K", ""];
    let nss = run(ca
        .dir
        .command("pk12util")
        .args(import)
        .env("LC_ALL", "C.UTF-8"));
    assert_eq!(nss.code() == 0, nss_takes_it, "{nss}");
    if nss_takes_it {
        let list = ["-K", "-d", &database];
        let keys = run(ca.dir.command("certutil").args(list)).exits(0);
        assert!(keys.stdout.contains("< 0>"), "{keys}");
    }
}

#[test]
fn openssl_gnutls_and_nss_read_keys_of_every_type_in_both_forms() {
    if !require(&["openssl", "certtool", "certutil", "pk12util"]) {
        return;
    }
    for key_type in ["p256", "p384", "rsa2048", "ed25519"] {
        let ca = ca_with_client(key_type);
        // NSS knows no such key, and Thunderbird is NSS.
        let nss_takes_it = key_type != "ed25519";
        let said = export(&ca, "modern.p12", &[]);
        assert_eq!(said.contains("NSS do not import"), !nss_takes_it, "{said}");
        assert_read_by_all(&ca, "modern.p12", false, nss_takes_it);
        export(&ca, "legacy.p12", &["--legacy"]);
        assert_read_by_all(&ca, "legacy.p12", true, nss_takes_it);
        for (file, protected_by) in [
            ("modern.p12", "PBES2, PBKDF2, AES-256-CBC"),
            ("legacy.p12", "pbeWithSHA1And3-KeyTripleDES-CBC"),
        ] {
            let info = ["pkcs12", "-in", file, "-passin", "file:p12.pass", "-noenc"];
            let more = ["-info", "-legacy"];
            let said = run(ca.dir.command("openssl").args(info).args(more)).exits(0);
            assert_eq!(said.stderr.matches(protected_by).count(), 2, "{said}");
            let it = fs::metadata(ca.dir.path().join(file)).unwrap();
            assert_eq!(it.mode() & 0o7777, 0o600);
        }
    }
}

#[test]
fn a_pkcs12_file_goes_through_a_pipe_and_never_over_another() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = ca_with_client("p256");
    let words = [
        "export",
        HOST,
        "-",
        "--pkcs12",
        "--pkcs12-passphrase-file",
        "p12.pass",
    ];
    let mut command = ca.command(&words);
    let file = fs::File::create(ca.dir.path().join("piped.p12")).unwrap();
    command.stdout(file).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let read = [
        "pkcs12",
        "-in",
        "piped.p12",
        "-passin",
        "file:p12.pass",
        "-noenc",
    ];
    ca.dir.openssl(&read);

    ca.dir.write("taken.p12", "");
    let pass = ["--pkcs12-passphrase-file", "p12.pass"];
    let refuses = |words: &[&str], says: &str| {
        let said = ca.refuses(words);
        assert!(said.contains(says), "{said}");
    };
    let taken = [&["export", HOST, "taken.p12", "--pkcs12"], &pass[..]].concat();
    refuses(&taken, "is there already");
    let nobody = [
        &["export", "bob.example.test", "bob.p12", "--pkcs12"],
        &pass[..],
    ]
    .concat();
    refuses(&nobody, "the key of bob.example.test is not in");
    refuses(
        &["export", HOST, "new.p12", "--pkcs12"],
        "a passphrase for the file is missing",
    );
    ca.dir.write("p12.pass", "\u{1F511}\n");
    let emoji = [&["export", HOST, "new.p12", "--pkcs12"], &pass[..]].concat();
    refuses(&emoji, "characters up to U+FFFF");
    for wrong in [
        &["export", HOST, "new.p12", "--legacy"][..],
        &[
            "export",
            HOST,
            "new.p12",
            "--pkcs12-passphrase-file",
            "p12.pass",
        ],
        &["export", HOST, "new.p12", "--pkcs12", "--for", "exim"],
    ] {
        ca.mailca(wrong).exits(2);
    }
}
