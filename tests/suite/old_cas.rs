//! CAs that have grown old: certificates that mailca and OpenSSL take for a CA's although they do
//! not say so, and keys that mailca cannot sign with, in whose place it puts another one.

use std::fs;

use mailca::pki::certificate::Certificate;

use super::damage::problems_in;
use super::support::{BASE_MC, Ca, Ran, Sendmail, User, require, run, users};

const HOST: &str = "mail.example.com";
const SUBJECT: &str = "/C=US/ST=CA/O=Example/CN=Example Mail CA";
const NEW_KEY: [&str; 4] = ["renew-ca", "--new-key", "--no-passphrase", "--yes"];

#[track_caller]
fn certificate(path: &str) -> Certificate {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Certificate::from_pem_or_der(&bytes).unwrap()
}

fn own_serial(ca: &Ca) -> String {
    certificate(&ca.file("cacert.pem")).serial.to_string()
}

/// `openssl verify` by one CA certificate.
fn verify_by(ca: &Ca, anchor: &str, file: &str, options: &[&str]) -> Ran {
    let mut command = ca.dir.command("openssl");
    command.args(["verify", "-CAfile", anchor]).args(options);
    run(command.arg(file))
}

#[track_caller]
fn hint(said: &str) -> String {
    let hint = said.lines().find_map(|line| line.strip_prefix("hint: "));
    hint.unwrap_or_else(|| panic!("no hint: {said}")).to_owned()
}

/// Runs a command that mailca printed, with the program under test and more options.
fn sh(ca: &Ca, command: &str, options: &str) -> Ran {
    let mailca = env!("CARGO_BIN_EXE_mailca");
    let command = command.replacen("mailca", mailca, 1) + options;
    run(ca.dir.command("sh").args(["-c", &command]))
}

/// A CA whose key was replaced, with its hosts and one certificate that lives elsewhere.
struct Replaced {
    ca: Ca,
    old: Certificate,
    /// what `renew-ca --new-key` printed
    printed: String,
}

const OLD_PASS: &str = "--passphrase-file=pass";
const NEW_PASS: &str = "--passphrase-file=new pass";

impl Replaced {
    /// Checks on the way what is kept of the old key, and what stays.
    #[track_caller]
    fn new() -> Self {
        let ca = Ca::encrypted();
        ca.ok(&["issue", HOST, "--yes", OLD_PASS]);
        ca.ok(&["issue", "gone.example.com", "--yes", OLD_PASS]);
        let request = ca.request("mx2.example.com", &[]);
        ca.ok(&["sign", &request, "--out=mx2.pem", "--yes", OLD_PASS]);
        ca.ok(&["revoke", "gone.example.com", "--yes", OLD_PASS]);
        let old = certificate(&ca.file("cacert.pem"));
        let host_files = || {
            let names = ["cert.pem", "chain.pem", "key.pem"];
            names.map(|name| ca.read(&format!("hosts/{HOST}/{name}")))
        };
        let before = (ca.read("private/cakey.pem"), ca.read("crl/crl.pem"));
        let files = host_files();
        ca.dir.write_secret("new pass", "another passphrase\n");
        let printed = ca.ok(&["renew-ca", "--new-key", "--yes", NEW_PASS]).stdout;
        let serial = &old.serial;
        let kept_key = format!("private/cakey-{serial}.pem");
        let kept_crl = format!("crl/crl-{serial}.pem");
        assert_eq!((ca.read(&kept_key), ca.read(&kept_crl)), before);
        let modes = [ca.mode(&kept_key), ca.mode("private/cakey.pem")];
        assert_eq!(modes, [0o600; 2]);
        assert_eq!(host_files(), files);
        ca.dir
            .write("both.pem", &(ca.read("cacert.pem") + &old.to_pem()));
        ca.ok(&["issue", "new.example.com", "--yes", NEW_PASS]);
        Self { ca, old, printed }
    }

    fn kept(&self) -> String {
        self.ca
            .file(&format!("certs/cacert-{}.pem", self.old.serial))
    }

    fn host(&self, host: &str) -> String {
        self.ca.file(&format!("hosts/{host}/cert.pem"))
    }
}

#[test]
fn a_new_key_takes_over_and_certificates_of_both_keys_verify() {
    let it = Replaced::new();
    let (ca, old) = (&it.ca, &it.old);
    let new = certificate(&ca.file("cacert.pem"));
    assert_eq!(new.subject.as_der(), old.subject.as_der());
    assert_ne!(new.subject_public_key_info, old.subject_public_key_info);
    assert_ne!(new.subject_key_identifier, old.subject_key_identifier);
    assert_eq!(new.path_length, Some(0));
    assert_eq!(certificate(&it.kept()).as_der(), old.as_der());
    let key = ca.file("private/cakey.pem");
    let public = ["-pubout", "-passin", "file:new pass"];
    ca.dir
        .openssl(&[&["pkey", "-in", &key], &public[..]].concat());
    // A server trusts both by the directory, and by a file with both.
    let both = ca.dir.file("both.pem");
    let (host, fresh) = (it.host(HOST), it.host("new.example.com"));
    for file in [&host, &ca.dir.file("mx2.pem"), &fresh] {
        verify_by(ca, &both, file, &[]).exits(0);
        let mut by_links = ca.dir.command("openssl");
        by_links.args(["verify", "-CApath", &ca.file("."), "-no-CAfile", file]);
        run(&mut by_links).exits(0);
    }
    ca.verify(&fresh, &[]).exits(0);
    ca.verify(&host, &[]).exits(2);
    verify_by(ca, &it.kept(), &host, &[]).exits(0);
    verify_by(ca, &it.kept(), &fresh, &[]).exits(2);
}

#[test]
fn the_crls_of_both_keys_are_found_by_the_hash_and_each_revokes() {
    let it = Replaced::new();
    let ca = &it.ca;
    let crl = ca.file("crl/crl.pem");
    let own = ca.file("cacert.pem");
    ca.dir
        .openssl(&["crl", "-in", &crl, "-CAfile", &own, "-noout"]);
    let both = ca.dir.file("both.pem");
    let folder = ca.file("crl");
    for (host, status) in [(HOST, 0), ("new.example.com", 0), ("gone.example.com", 2)] {
        let options = ["-crl_check", "-CApath", &folder];
        let checked = verify_by(ca, &both, &it.host(host), &options).exits(status);
        let is_revoked = checked.stderr.contains("certificate revoked");
        assert_eq!(is_revoked, status == 2, "{checked}");
    }
}

#[test]
fn a_host_of_the_old_key_is_told_until_the_printed_command_has_renewed_it() {
    let it = Replaced::new();
    let ca = &it.ca;
    let status = ca.mailca(&["status"]).exits(3);
    for host in [HOST, "mx2.example.com"] {
        let sentence = format!("{host} is by the old key of the CA: only who trusts");
        assert!(status.stdout.contains(&sentence), "{status}");
    }
    let remedy = format!("renew {HOST}\n");
    assert!(status.stdout.contains(&remedy), "{status}");
    let lines = ca.ok(&["emit-mc", HOST]).stderr;
    assert!(lines.contains("is by the old key of the CA"), "{lines}");
    let verdict = ca.mailca(&["verify", HOST]).exits(3);
    assert!(verdict.stdout.contains("old key"), "{verdict}");
    ca.ok(&["verify", &it.host(HOST), "--ca-file", &it.kept()]);

    let mut printed = it.printed.lines();
    let renew = printed.find_map(|line| line.split_once("of the new key: "));
    let (_, renew) = renew.unwrap_or_else(|| panic!("{}", it.printed));
    let hosts = renew.split(' ').filter(|word| word.contains(".example"));
    assert_eq!(hosts.count(), 2, "{renew}");
    let options = " --yes --out-dir . --passphrase-file='new pass'";
    let renewed = sh(ca, renew, options).exits(0);
    let chain = ca.read(&format!("hosts/{HOST}/chain.pem"));
    assert!(chain.ends_with(&ca.read("cacert.pem")), "{renewed}");
    for file in [it.host(HOST), ca.dir.file("mx2.example.com.pem")] {
        ca.verify(&file, &[]).exits(0);
    }
    let status = ca.mailca(&["status"]);
    assert!(!status.stdout.contains("old key"), "{status}");
    ca.ok(&["verify", HOST]);
}

#[test]
fn openssl_ca_and_another_renewal_go_on_with_the_new_key() {
    let it = Replaced::new();
    let ca = &it.ca;
    let theirs = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    let files = ["-in", &theirs, "-out", "../theirs.pem"];
    ca.openssl_ca(&[&files[..], &["-passin", "file:../new pass"]].concat())
        .exits(0);
    ca.verify(&ca.dir.file("theirs.pem"), &[]).exits(0);
    let middle = ca.read("cacert.pem");
    let chain = |host: &str| ca.read(&format!("hosts/{host}/chain.pem"));
    ca.ok(&["renew-ca", "--new-key", "--yes", NEW_PASS]);
    ca.ok(&["renew-ca", "--yes", NEW_PASS]);
    ca.ok(&["issue", "last.example.com", "--yes", NEW_PASS]);
    // The chain of each ends with the certificate of its key.
    assert!(chain(HOST).ends_with(&it.old.to_pem()));
    assert!(chain("new.example.com").ends_with(&middle));
    assert!(chain("last.example.com").ends_with(&ca.read("cacert.pem")));
    let mut by_links = ca.dir.command("openssl");
    by_links.args(["verify", "-CApath", &ca.file("."), "-no-CAfile"]);
    let hosts = [HOST, "new.example.com", "last.example.com"];
    run(by_links.args(hosts.map(|host| it.host(host)))).exits(0);
    assert_eq!(fs::read_dir(ca.file("private")).unwrap().count(), 3);
}

#[test]
fn the_question_and_the_report_say_that_every_host_needs_a_new_certificate() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let said = ca.refuses(&["renew-ca", "--new-key", "--no-passphrase"]);
    assert!(said.contains("a confirmation is missing"), "{said}");
    let said = ca.refuses(&["renew-ca", "--new-key", "--yes"]);
    assert!(
        said.contains("a passphrase for the CA key is missing"),
        "{said}"
    );
    let ran = ca.ok(&NEW_KEY);
    for part in [
        "needs another one",
        "trust the old and the new CA certificate",
        "is kept in",
    ] {
        assert!(ran.stderr.contains(part), "{ran}");
    }
    let both = "let every host trust both";
    assert!(ran.stdout.contains(both), "{ran}");
    // Nothing was revoked, and there was no CRL.
    assert!(!ca.exists("crl/crl.pem"));
    ca.mailca(&["renew-ca", "--key-type", "p384", "--yes"])
        .exits(2);
}

/// Keys that mailca cannot sign with: how OpenSSL makes them, and what mailca calls them.
const UNABLE: [(&str, &str); 7] = [
    (
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
        "RSA 1024",
    ),
    (
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_pubexp:3",
        "RSA 2048 (exponent 3)",
    ),
    ("genpkey -algorithm RSA-PSS", "RSA-PSS 2048"),
    (
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
        "EC secp256k1",
    ),
    (
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
        "EC P-521",
    ),
    ("genpkey -algorithm ED448", "Ed448"),
    ("genpkey -paramfile dsa.pem", "DSA"),
];

/// Puts a key that `openssl` makes and a certificate of it into a CA's place.
#[track_caller]
fn replace_pair(ca: &Ca, genpkey: &str) {
    let key = ca.file("private/cakey.pem");
    let words: Vec<&str> = genpkey.split_whitespace().collect();
    ca.dir.openssl(&[&words[..], &["-out", &key]].concat());
    ca.chmod("private/cakey.pem", 0o600);
    ca.dir.openssl(&[
        "req",
        "-x509",
        "-new",
        "-key",
        &key,
        "-subj",
        SUBJECT,
        "-days",
        "1000",
        "-out",
        &ca.file("cacert.pem"),
    ]);
}

#[test]
fn a_ca_whose_key_cannot_sign_is_read_and_gets_another_key() {
    let template = Ca::new();
    template
        .dir
        .openssl(&["dsaparam", "-out", "dsa.pem", "1024"]);
    for (genpkey, kind) in UNABLE {
        let ca = Ca::new();
        fs::copy(template.dir.file("dsa.pem"), ca.dir.file("dsa.pem")).unwrap();
        replace_pair(&ca, genpkey);
        // Signed by OpenSSL, with a register's row, and in place for a server.
        let names = "subjectAltName = DNS:mail.example.com\n";
        ca.dir.write("leaf.cnf", names);
        let key = ca.file("private/cakey.pem");
        let request = ca.openssl_request(HOST, &["-subj", "/CN=mail.example.com"]);
        ca.openssl_ca(&[
            "-in",
            &request,
            "-extfile",
            "../leaf.cnf",
            "-out",
            "../old.pem",
        ])
        .exits(0);
        let (old_key, old) = (ca.read("private/cakey.pem"), own_serial(&ca));

        for words in [
            &["list"][..],
            &["status"],
            &["show", HOST],
            &["verify", "old.pem"],
            &["show", &key],
        ] {
            let ran = ca.mailca(words);
            assert!([0, 3].contains(&ran.code()), "{kind}: {ran}");
            assert_eq!(ran.stderr, "", "{kind}: {ran}");
        }
        let status = ca.mailca(&["status"]).exits(3).stdout;
        let said = format!("has a key of type {kind}, with which mailca cannot sign");
        assert!(status.contains(&said), "{status}");
        assert!(status.contains(" renew-ca --new-key\n"), "{status}");
        let problems = problems_in(&ca.mailca(&["check", "--json"]));
        let is_weak = kind == "RSA 1024";
        let problem = if is_weak {
            "ca-weak-key"
        } else {
            "ca-key-unsupported"
        };
        assert!(problems.contains(problem), "{kind}: {problems:?}");
        let request = ca.request("new.example.com", &[]);
        for words in [
            &["sign", &request, "--yes"][..],
            &["issue", "new.example.com", "--yes"],
            &["crl"],
            &["revoke", HOST, "--yes"],
            &["renew", HOST, "--yes"],
            &["renew-ca", "--yes"],
        ] {
            let said = ca.refuses(words);
            let expected = format!(
                "mailca cannot sign with the key of {}, which is of type {kind}\n",
                ca.file("cacert.pem")
            );
            assert!(said.contains(&expected), "{words:?}: {said}");
            assert!(hint(&said).ends_with(" renew-ca --new-key"), "{said}");
        }
        let said = ca.refuses(&["crl"]);
        sh(&ca, &hint(&said), " --no-passphrase --yes").exits(0);
        assert_eq!(ca.read(&format!("private/cakey-{old}.pem")), old_key);
        let kept = ca.file(&format!("certs/cacert-{old}.pem"));
        let status = ca.mailca(&["status"]).exits(3);
        assert!(
            status.stdout.contains("is by the old key of the CA"),
            "{kind}: {status}"
        );
        verify_by(&ca, &kept, &ca.dir.file("old.pem"), &["-auth_level", "0"]).exits(0);
        ca.ok(&["renew", HOST, "--yes", "--out-dir=."]);
        ca.verify(&ca.dir.file(&format!("{HOST}.pem")), &[])
            .exits(0);
        ca.ok(&["sign", &request, "--out=signed.pem", "--yes"]);
        ca.verify(&ca.dir.file("signed.pem"), &[]).exits(0);
        ca.ok(&["revoke", "new.example.com", "--yes"]);
    }
}

#[test]
fn the_old_key_need_not_be_usable() {
    for (what, key) in [("damaged", Some("nothing\n")), ("gone", None)] {
        let ca = Ca::of(User::me(), &["--permit=example.com"]);
        let (path, serial) = (ca.file("private/cakey.pem"), own_serial(&ca));
        match key {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        ca.ok(&[&NEW_KEY[..], &["--key-type=p384"]].concat());
        let kept = ca.exists(&format!("private/cakey-{serial}.pem"));
        assert_eq!(kept, key.is_some(), "{what}");
        assert_eq!(ca.mode("private/cakey.pem"), 0o600, "{what}");
        ca.ok(&["issue", HOST, "--yes"]);
        // Its name constraints hold on.
        ca.refuses(&["issue", "mail.example.org", "--yes"]);
        let text = ca.x509(&ca.file("cacert.pem"), &["-text"]);
        assert!(
            text.contains("P-384") && text.contains("DNS:example.com"),
            "{text}"
        );
    }
    let ca = Ca::new();
    ca.chmod("private/cakey.pem", 0o640);
    let said = ca.refuses(&NEW_KEY);
    assert!(said.contains("is readable by group"), "{said}");
    assert!(hint(&said).starts_with("chmod 600 "), "{said}");
}

#[test]
fn a_key_that_is_kept_is_never_overwritten() {
    let ca = Ca::new();
    let kept = format!("private/cakey-{}.pem", own_serial(&ca));
    ca.write(&kept, "somebody's\n");
    let said = ca.refuses(&NEW_KEY);
    assert!(
        said.contains("holds something else than the CA's key"),
        "{said}"
    );
    // The very same key is no harm.
    ca.write(&kept, &ca.read("private/cakey.pem"));
    ca.chmod(&kept, 0o600);
    ca.ok(&NEW_KEY);
}

#[test]
fn sendmail_trusts_certificates_of_both_keys_while_it_has_both_ca_certificates() {
    if !require(&["sendmail", "m4", "cc", "openssl"]) {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", HOST, "--yes"]);
        let pair = |host: &str| {
            ["cert.pem", "key.pem"].map(|name| ca.file(&format!("hosts/{host}/{name}")))
        };
        ca.ok(&["issue", "old.example.com", "--yes"]);
        ca.ok(&["issue", "gone.example.com", "--yes"]);
        ca.ok(&["revoke", "gone.example.com", "--yes"]);
        let serial = own_serial(&ca);
        ca.ok(&NEW_KEY);
        ca.ok(&["issue", "new.example.com", "--yes"]);
        let old = ca.read(&format!("certs/cacert-{serial}.pem"));
        ca.write("both.pem", &(ca.read("cacert.pem") + &old));
        let lines = ca.ok(&["emit-mc", HOST]).stdout;
        let both = format!("define(`confCACERT', `{}')dnl\n", ca.file("both.pem"));
        // OpenSSL looks in no directory for a name that it has from a file.
        let alone = Sendmail::start(user, &(BASE_MC.to_owned() + &lines));
        let [certificate, key] = pair("old.example.com");
        assert_eq!(alone.verdict_on(Some([&certificate, &key])), "FAIL");
        drop(alone);
        let mut sendmail = Sendmail::start(user, &(BASE_MC.to_owned() + &lines + &both));
        let verdict = |sendmail: &Sendmail, host: &str| {
            let [certificate, key] = pair(host);
            sendmail.verdict_on(Some([&certificate, &key]))
        };
        for (host, expected) in [
            ("old.example.com", "OK"),
            ("new.example.com", "OK"),
            ("gone.example.com", "FAIL"),
        ] {
            assert_eq!(
                verdict(&sendmail, host),
                expected,
                "{host}: {}",
                sendmail.log()
            );
        }
        // The server's own certificate is of the old key, then of the new one.
        for anchor in [&ca.file("both.pem"), &ca.file("cacert.pem")] {
            let said = super::support::s_client_starttls(sendmail.port, anchor, HOST, &[]);
            assert!(said.verified, "{}", said.ran);
            ca.ok(&["renew", HOST, "--yes"]);
            sendmail.restart();
        }
    }
}

/// A certificate that a CA may have: options of `openssl x509 -req` with which it signs itself, the
/// extensions, and what mailca says of it.
struct Grown {
    what: &'static str,
    subject: &'static [&'static str],
    options: &'static [&'static str],
    extensions: &'static str,
    said: &'static [&'static str],
}

const PLAIN: Grown = Grown {
    what: "",
    subject: &["-subj", SUBJECT],
    options: &[],
    extensions: "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash",
    said: &[],
};
const OF_VERSION_1: &str = "is of version 1, which cannot say that it is a CA";

const GROWN: [Grown; 12] = [
    Grown {
        what: "version 1",
        extensions: "",
        said: &[OF_VERSION_1],
        ..PLAIN
    },
    Grown {
        what: "version 1 with SHA-1, number 0",
        options: &["-sha1", "-set_serial", "0"],
        extensions: "",
        said: &[OF_VERSION_1, "is signed with ", "has the serial number 00"],
        ..PLAIN
    },
    Grown {
        what: "keyUsage only",
        extensions: "keyUsage = keyCertSign, cRLSign\nsubjectKeyIdentifier = none",
        said: &["has no basicConstraints", "has no subjectKeyIdentifier"],
        ..PLAIN
    },
    Grown {
        what: "nsCertType only",
        extensions: "nsCertType = sslCA",
        said: &["says by nsCertType only that it is a CA"],
        ..PLAIN
    },
    Grown {
        what: "no key identifier",
        extensions: "basicConstraints = CA:TRUE\nsubjectKeyIdentifier = none",
        said: &["has no subjectKeyIdentifier"],
        ..PLAIN
    },
    Grown {
        what: "MD5",
        options: &["-md5"],
        said: &["is signed with "],
        ..PLAIN
    },
    Grown {
        what: "a negative number",
        options: &["-set_serial", "-5"],
        ..PLAIN
    },
    Grown {
        what: "a number of 24 octets",
        options: &[
            "-set_serial",
            "0x112233445566778899AABBCCDDEEFF001122334455667788",
        ],
        said: &["has the serial number 1122"],
        ..PLAIN
    },
    Grown {
        what: "DER",
        options: &["-outform", "DER"],
        said: &["is in DER, which mail servers do not read"],
        ..PLAIN
    },
    Grown {
        what: "text before it",
        options: &["-text"],
        ..PLAIN
    },
    Grown {
        what: "no name at all",
        subject: &["-subj", "/"],
        ..PLAIN
    },
    Grown {
        what: "several values, two OUs",
        subject: &[
            "-multivalue-rdn",
            "-subj",
            "/C=US+L=Here/OU=One/OU=Two/CN=x",
        ],
        ..PLAIN
    },
];

#[track_caller]
fn grow(ca: &Ca, grown: &Grown) {
    let key = ca.file("private/cakey.pem");
    let request = ["req", "-new", "-key", &key, "-out", "ca.csr"];
    ca.dir.openssl(&[&request, grown.subject].concat());
    ca.dir.write("ca.ext", grown.extensions);
    let out = ca.file("cacert.pem");
    let sign = [
        "x509", "-req", "-in", "ca.csr", "-signkey", &key, "-days", "1000", "-out", &out,
    ];
    let extensions: &[&str] = if grown.extensions.is_empty() {
        &[]
    } else {
        &["-extfile", "ca.ext"]
    };
    ca.dir
        .openssl(&[&sign[..], extensions, grown.options].concat());
}

/// Signs, revokes, publishes and verifies; what `sign` said beside the certificate.
#[track_caller]
fn works(ca: &Ca, what: &str) -> String {
    ca.dir
        .openssl(&["x509", "-in", &ca.file("cacert.pem"), "-out", "anchor.pem"]);
    let anchor = ca.dir.file("anchor.pem");
    let count = ca.rows().len();
    let [host, gone] = [count, count + 1].map(|n| format!("mx{n}.example.com"));
    let ran = ca.mailca(&["issue", &host, "--yes"]);
    assert_eq!(ran.code(), 0, "{what}: {ran}");
    ca.ok(&["issue", &gone, "--yes"]);
    let revoked = ca.mailca(&["revoke", &gone, "--yes"]);
    assert_eq!(revoked.code(), 0, "{what}: {revoked}");
    let crl = ca.file("crl/crl.pem");
    for (host, status) in [(&host, 0), (&gone, 2)] {
        let file = ca.file(&format!("hosts/{host}/cert.pem"));
        for purpose in ["sslserver", "sslclient"] {
            let options = ["-purpose", purpose, "-crl_check", "-CRLfile", &crl];
            let verified = verify_by(ca, &anchor, &file, &options);
            assert_eq!(verified.code(), status, "{what}: {verified}");
        }
        let verdict = ca.mailca(&["verify", host]);
        assert_eq!(verdict.code() == 0, status == 0, "{what}: {verdict}");
        assert_eq!(verdict.stderr, "", "{what}: {verdict}");
    }
    ca.ok(&["emit-mc", &host]);
    ran.stderr
}

#[test]
fn what_openssl_takes_for_a_ca_signs_with_a_warning_that_says_what_to_do() {
    for grown in &GROWN {
        let what = grown.what;
        let ca = Ca::of(User::me(), &["--key-type=rsa2048"]);
        grow(&ca, grown);
        let is_old = || problems_in(&ca.mailca(&["check", "--json"])).contains("ca-old");
        assert_eq!(is_old(), !grown.said.is_empty(), "{what}");
        let said = works(&ca, what);
        let warnings = said.matches("warning: ").count();
        assert_eq!(
            warnings,
            usize::from(!grown.said.is_empty()),
            "{what}: {said}"
        );
        for part in grown.said {
            assert!(said.contains(part), "{what}: {said}");
        }
        if !grown.said.is_empty() {
            assert!(
                said.contains(" renew-ca makes it one of today"),
                "{what}: {said}"
            );
        }
        let ran = ca.mailca(&["renew-ca", "--yes"]);
        assert_eq!(ran.code(), 0, "{what}: {ran}");
        assert!(!is_old(), "{what}");
        let said = works(&ca, what);
        assert!(!said.contains("warning: "), "{what}: {said}");
        for host in ["mx0.example.com", "mx2.example.com"] {
            let file = ca.file(&format!("hosts/{host}/cert.pem"));
            // -x509_strict wants a name.
            let verified = if grown.subject.contains(&"/") {
                verify_by(&ca, &ca.file("cacert.pem"), &file, &[])
            } else {
                ca.verify(&file, &["-purpose", "sslserver"])
            };
            assert_eq!(verified.code(), 0, "{what}: {verified}");
        }
    }
}

#[test]
fn names_of_every_string_type_and_length_are_the_issuer_s() {
    let long = format!(
        "/O={}/OU={}/OU={}/CN=x",
        "o".repeat(64),
        "u".repeat(64),
        "v".repeat(64)
    );
    let longer = format!("{long}/L={}/ST={}", "l".repeat(120), "s".repeat(120));
    for (what, mask, name) in [
        ("T61", "MASK:0x4", "/O=Bäcker/CN=x"),
        ("BMP", "MASK:0x800", "/O=Bäcker/CN=x"),
        ("more than 255 octets", "utf8only", &longer),
    ] {
        let ca = Ca::of(User::me(), &["--key-type=rsa2048"]);
        let settings =
            format!("[ req ]\ndistinguished_name = dn\nstring_mask = {mask}\nutf8 = yes\n[ dn ]\n");
        ca.dir.write("names.cnf", &settings);
        let key = ca.file("private/cakey.pem");
        ca.dir.openssl(&[
            "req",
            "-new",
            "-utf8",
            "-config",
            "names.cnf",
            "-key",
            &key,
            "-subj",
            name,
            "-out",
            "ca.csr",
        ]);
        ca.dir.write("ca.ext", PLAIN.extensions);
        ca.dir.openssl(&[
            "x509",
            "-req",
            "-in",
            "ca.csr",
            "-signkey",
            &key,
            "-extfile",
            "ca.ext",
            "-days",
            "1000",
            "-out",
            &ca.file("cacert.pem"),
        ]);
        works(&ca, what);
        let before = certificate(&ca.file("cacert.pem"));
        ca.ok(&["renew-ca", "--yes"]);
        ca.ok(&NEW_KEY);
        let after = certificate(&ca.file("cacert.pem"));
        assert_eq!(after.subject.as_der(), before.subject.as_der(), "{what}");
        works(&ca, what);
    }
}
