//! `mailca init`: what it makes, where, and what it leaves alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::support::{Ca, Ran, TestDir, Tree, User, require, run, users};

const SUBJECT: &str = "--subject=/C=US/O=Example/CN=Example Mail CA";
const MODES: [(&str, u32); 11] = [
    ("", 0o755),
    ("certs", 0o755),
    ("crl", 0o755),
    ("newcerts", 0o755),
    ("hosts", 0o755),
    ("private", 0o700),
    ("private/cakey.pem", 0o600),
    ("cacert.pem", 0o644),
    ("openssl.cnf", 0o644),
    ("serial", 0o644),
    ("index.txt", 0o644),
];

fn init(dir: &TestDir, args: &[&str]) -> Ran {
    let made = ["init", "CA", SUBJECT, "--no-passphrase"];
    run(dir.mailca(&made).args(args))
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for user in users() {
        for umask in ["077", "000"] {
            let ca = Ca::unmade(user);
            let mailca = ca.command(&[]);
            let script = format!(
                "umask {umask}; set -e; \"$@\" init '{SUBJECT}' --no-passphrase
                \"$@\" req mail.example.test; \"$@\" sign --yes
                \"$@\" issue mx.example.test --yes"
            )
            .replace("'--subject=", "--subject='");
            let mut shell = ca.dir.command("sh");
            shell.args(["-c", &script, "sh"]);
            run(shell.arg(mailca.get_program()).args(mailca.get_args())).exits(0);
            for (name, mode) in MODES {
                assert_eq!(ca.mode(name), mode, "{name} under umask {umask}");
            }
            for host in ["mail.example.test", "mx.example.test"] {
                let file = |name: &str| format!("hosts/{host}/{name}");
                assert_eq!(ca.mode(&file("key.pem")), 0o600);
                assert_eq!(ca.mode(&file("cert.pem")), 0o644);
                assert_eq!(ca.mode(&file("chain.pem")), 0o644);
                assert_eq!(ca.mode(&file(".")), 0o755);
            }
            assert_eq!(ca.mode("newcert.pem"), 0o644);
            assert_eq!(ca.mode("newreq.pem"), 0o644);
            assert_eq!(ca.mode("index.txt.lock"), 0o600);
            let serial = ca.serials().remove(0);
            assert_eq!(ca.mode(&format!("newcerts/{serial}.pem")), 0o644);
        }
    }
}

#[test]
fn a_directory_that_holds_a_ca_is_refused_and_left_alone() {
    let ca = Ca::new();
    let again = ["init", SUBJECT, "--no-passphrase", "--yes"];
    let said = ca.refuses(&again);
    assert!(
        said.contains("already holds a CA (C=US, ST=CA, O=Example, CN="),
        "{said}"
    );
    let before = ca.tree();
    let report = ca.json(&[&again[..], &["--if-missing"]].concat());
    assert_eq!(report["changed"], false);
    assert_eq!(report["encrypted"], false);
    let ran = ca.ok(&["init", "--if-missing"]);
    assert!(ran.stdout.contains("nothing changed"), "{ran}");
    before.assert_unchanged(ca.dir.path(), "--if-missing changes nothing");
}

#[test]
fn a_part_of_a_ca_is_not_overwritten_either() {
    for name in [
        "openssl.cnf",
        "cacert.pem",
        "serial",
        "index.txt",
        "private/cakey.pem",
    ] {
        let dir = TestDir::new();
        dir.create_dir("CA");
        dir.create_dir("CA/private");
        dir.write(&format!("CA/{name}"), "precious\n");
        let before = Tree::of(dir.path());
        for more in [&[][..], &["--if-missing"]] {
            let ran = init(&dir, more).exits(1);
            assert!(
                ran.stderr.contains(&format!("already holds a CA ({name})")),
                "{ran}"
            );
            before.assert_unchanged(dir.path(), &ran.to_string());
        }
    }
}

#[test]
fn folders_that_are_there_are_filled() {
    if !require(&["openssl"]) {
        return;
    }
    for user in users() {
        for script in [
            "mkdir CA",
            // The book's.
            "mkdir CA && cd CA && mkdir certs crl newcerts private",
            "mkdir CA && echo mine >CA/README && mkdir CA/old && chmod 750 CA",
        ] {
            let ca = Ca::unmade(user);
            run(ca.dir.command("sh").args(["-c", script])).exits(0);
            let mode = ca.mode(".");
            init(&ca.dir, &[]).exits(0);
            assert_eq!(ca.mode("."), mode, "{script}");
            assert_eq!(ca.mode("private"), 0o700, "{script}");
            ca.ok(&["issue", "mail.example.test", "--yes"]);
            ca.verify("CA/hosts/mail.example.test/cert.pem", &[])
                .exits(0);
            let left: Vec<_> = fs::read_dir(ca.file("."))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.starts_with('.'))
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

#[test]
fn missing_parents_are_made() {
    let dir = TestDir::new();
    run(&mut dir.mailca(&["init", "a/b/CA", SUBJECT, "--no-passphrase"])).exits(0);
    let mode = |name| fs::metadata(dir.file(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a/b/CA"), mode("a/b/CA/private")), (0o755, 0o700));
    let names = Tree::of(dir.path());
    run(&mut dir.mailca(&["init", "a/b/CA", SUBJECT, "--no-passphrase"])).exits(1);
    names.assert_unchanged(dir.path(), "a second init");
}

#[test]
fn a_failed_init_leaves_nothing_behind() {
    let user = User::ordinary();
    for script in [
        // No right to make CA, or anything in it.
        "mkdir a && chmod 555 a",
        "mkdir a a/CA && chmod 555 a/CA",
        "touch a",
        "mkdir a && touch a/CA",
    ] {
        let dir = TestDir::of(user);
        run(dir.command("sh").args(["-c", script])).exits(0);
        let before = Tree::of(dir.path());
        let init = ["init", "a/CA", SUBJECT, "--no-passphrase"];
        let ran = run(&mut dir.mailca(&init)).exits(1);
        assert!(ran.stderr.starts_with("error: cannot "), "{ran}");
        before.assert_unchanged(dir.path(), &format!("{script}\n{ran}"));
        run(dir.command("chmod").args(["-R", "u+w", "."])).exits(0);
    }
}

#[test]
fn root_leaves_another_user_s_directory_to_that_user() {
    if !User::me().is_root() {
        return;
    }
    let user = User::ordinary();
    let dir = TestDir::of(user);
    dir.create_dir("CA");
    let mut mailca = User::me().mailca();
    mailca.current_dir(dir.path());
    let init = ["init", "CA", SUBJECT, "--no-passphrase"];
    run(mailca.args(init)).exits(0);
    let mut mailca = User::me().mailca();
    mailca.current_dir(dir.path());
    run(mailca.args(["--ca", "CA", "issue", "a.example.test", "--yes"])).exits(0);
    run(&mut dir.mailca(&["--ca", "CA", "issue", "b.example.test", "--yes"])).exits(0);
    run(&mut dir.mailca(&["--ca", "CA", "emit-mc", "a.example.test"])).exits(0);
    let strangers = run(dir.command("find").args([".", "!", "-user", "nobody"])).exits(0);
    assert_eq!(strangers.stdout, "");
}

#[test]
fn openssl_verifies_the_ca_certificate_of_every_type_of_key() {
    if !require(&["openssl"]) {
        return;
    }
    for (key_type, named) in [
        ("p256", "prime256v1"),
        ("p384", "secp384r1"),
        ("ed25519", "ED25519 Public-Key"),
        ("rsa2048", "(2048 bit)"),
        ("rsa3072", "(3072 bit)"),
        ("rsa4096", "(4096 bit)"),
    ] {
        let ca = Ca::of(User::me(), &["--key-type", key_type]);
        ca.verify("CA/cacert.pem", &[]).exits(0);
        let text = ca.x509("CA/cacert.pem", &["-text"]);
        assert!(text.contains(named), "{text}");
        for part in [
            "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
            "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign",
            "X509v3 Subject Key Identifier",
            "Version: 3",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let link = ca.x509("CA/cacert.pem", &["-hash"]).trim().to_owned() + ".0";
        assert_eq!(
            fs::read_link(ca.file(&link)).unwrap().to_str(),
            Some("cacert.pem")
        );
        // A CRL is OpenSSL's to make, until mailca makes one.
        ca.openssl_ca(&["-gencrl", "-out", "crl/crl.pem"]).exits(0);
    }
}

#[test]
fn the_link_has_openssl_s_hash_of_any_subject() {
    if !require(&["openssl"]) {
        return;
    }
    for subject in [
        "/CN=Example Mail CA",
        "/C=DE/O=Müller  &  Söhne/CN=Größe",
        "/O=日本/CN=Ärger",
        "/DC=test/DC=example/OU=A/OU=B/CN= spaces ",
        "/O=A\\/B/CN=C=D",
        "/OU=One+CN=Two/emailAddress=ca@example.test",
    ] {
        let ca = Ca::unmade(User::me());
        run(&mut ca
            .dir
            .mailca(&["init", "CA", "--subject", subject, "--no-passphrase"]))
        .exits(0);
        let link = ca.x509("CA/cacert.pem", &["-hash"]).trim().to_owned() + ".0";
        assert!(ca.exists(&link), "{subject}: no {link}");
        ca.ok(&["issue", "mail.example.test", "--yes"]);
        ca.verify("CA/hosts/mail.example.test/cert.pem", &[])
            .exits(0);
        let path = ca.dir.openssl(&[
            "verify",
            "-no-CAfile",
            "-no-CAstore",
            "-CApath",
            "CA",
            "CA/hosts/mail.example.test/cert.pem",
        ]);
        assert!(path.contains("OK"), "{path}");
    }
}

#[test]
fn a_subject_that_is_none_is_refused_with_the_reason() {
    let dir = TestDir::new();
    for subject in [
        "",
        "/",
        "CN=no slash",
        "/CN",
        "/CN=",
        "/XX=unknown",
        "/C=USA",
        "//CN=x",
        "/CN=a/",
    ] {
        let ran = run(&mut dir.mailca(&["init", "CA", "--subject", subject, "--no-passphrase"]));
        assert_eq!(ran.code(), 2, "{subject:?}: {ran}");
        assert!(ran.stderr.contains("--subject"), "{subject:?}: {ran}");
        assert!(!dir.path().join("CA").exists());
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let dir = TestDir::new();
    let too_large = format!("8{}", "0".repeat(39));
    for wrong in [
        ["--days", "0"],
        ["--days", "x"],
        ["--key-type", "rsa1024"],
        ["--key-type", "dsa"],
        ["--serial", "0"],
        ["--serial", "xyz"],
        ["--serial", &too_large],
        ["--permit", "not a name"],
        ["--permit", "192.0.2.0/33"],
        ["--crl-url", "example.test/crl"],
        ["--crl-url", "http://example.test/a b"],
    ] {
        let ran = init(&dir, &wrong).exits(2);
        assert!(ran.stderr.contains(wrong[0]), "{ran}");
        assert!(!dir.path().join("CA").exists());
    }
}

#[test]
fn the_first_serial_number_is_the_one_given_or_random() {
    let ca = Ca::of(User::me(), &["--serial", "0a1"]);
    assert_eq!(ca.read("serial"), "A1\n");
    ca.ok(&["issue", "a.example.test", "--yes"]);
    assert_eq!(ca.serials(), ["A1"]);
    assert_eq!(ca.read("serial"), "A2\n");
    let (one, other) = (Ca::new().read("serial"), Ca::new().read("serial"));
    assert_eq!((one.len(), other.len()), (17, 17));
    assert_ne!(one, other);
    assert_ne!(one[..8], other[..8]);
}

#[test]
fn the_ca_certificate_lives_as_long_as_was_asked() {
    if !require(&["openssl"]) {
        return;
    }
    let ends = |ca: &Ca, days: u32| {
        let seconds = (days * 86400).to_string();
        let mut command = ca.dir.command("openssl");
        let check = ["x509", "-noout", "-in", "CA/cacert.pem", "-checkend"];
        run(command.args(check).arg(seconds)).code()
    };
    let ca = Ca::new();
    assert_eq!((ends(&ca, 3649), ends(&ca, 3651)), (0, 1));
    let ca = Ca::of(User::me(), &["--days", "30"]);
    assert_eq!((ends(&ca, 29), ends(&ca, 31)), (0, 1));
}

#[test]
fn a_permitted_domain_confines_the_ca() {
    if !require(&["openssl"]) {
        return;
    }
    let confined = Ca::of(
        User::me(),
        &["--permit", "example.test", "--permit", "192.0.2.0/24"],
    );
    confined.verify("CA/cacert.pem", &[]).exits(0);
    for (host, san, inside) in [
        ("mail.example.test", "192.0.2.25", true),
        ("example.test", "root@example.test", true),
        ("a.b.example.test", "root@mail.example.test", true),
        ("mail.example.com", "dns:mail.example.com", false),
        ("badexample.test", "dns:badexample.test", false),
        ("mail.example.test", "198.51.100.25", false),
        ("mail.example.test", "2001:db8::25", false),
        ("mail.example.test", "root@example.com", false),
    ] {
        let request = confined.openssl_request("any", &["-subj", &format!("/CN={host}")]);
        let names = ["--san", host, "--san", san, "--out", "any.pem", "--yes"];
        let sign = [&["sign", &request], &names[..]].concat();
        let ran = confined.mailca(&sign);
        assert_eq!(ran.code(), i32::from(!inside), "{host} {san}: {ran}");
        if inside {
            confined.verify("any.pem", &[]).exits(0);
        }
        // What openssl ca lets through, openssl verify refuses.
        let kind = match san.parse::<std::net::IpAddr>() {
            Ok(_) => format!("IP:{san}"),
            Err(_) if san.contains('@') => format!("email:{san}"),
            Err(_) => san.replace("dns:", "DNS:"),
        };
        confined
            .dir
            .write("any.cnf", &format!("subjectAltName=DNS:{host},{kind}\n"));
        let out = [
            "-in",
            &request,
            "-out",
            "../any.pem",
            "-extfile",
            "../any.cnf",
        ];
        confined.openssl_ca(&out).exits(0);
        let ran = confined.verify("any.pem", &[]);
        assert_eq!(ran.status.success(), inside, "{host} {san}: {ran}");
    }
}

#[test]
fn a_ca_without_a_permitted_network_permits_no_address() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--permit", "example.test"]);
    let said = ca.refuses(&["issue", "mx.example.test", "--san", "192.0.2.1", "--yes"]);
    assert!(said.contains("192.0.2.1"), "{said}");
    ca.ok(&["issue", "mx.example.test", "--yes"]);
    ca.verify("CA/hosts/mx.example.test/cert.pem", &[]).exits(0);
}

#[test]
fn a_crl_url_is_in_every_certificate_and_openssl_ca_still_works() {
    if !require(&["openssl"]) {
        return;
    }
    let url = "http://ca.example.test/crl.der";
    let ca = Ca::of(User::me(), &["--crl-url", url]);
    ca.ok(&["issue", "a.example.test", "--yes"]);
    let request = ca.openssl_request("b", &["-subj", "/CN=b.example.test"]);
    ca.openssl_ca(&["-in", &request, "-out", "../b.pem"])
        .exits(0);
    for file in ["CA/hosts/a.example.test/cert.pem", "b.pem"] {
        let said = ca.x509(file, &["-ext", "crlDistributionPoints"]);
        assert!(said.contains(&format!("URI:{url}")), "{said}");
    }
    let without = Ca::new();
    without.ok(&["issue", "a.example.test", "--yes"]);
    let text = without.x509("CA/hosts/a.example.test/cert.pem", &["-text"]);
    assert!(!text.contains("CRL Distribution"), "{text}");
}

#[test]
fn a_world_writable_parent_is_no_reason_to_fail() {
    let dir = TestDir::new();
    dir.create_dir("tmp");
    fs::set_permissions(dir.file("tmp"), Permissions::from_mode(0o1777)).unwrap();
    run(&mut dir.mailca(&["init", "tmp/CA", SUBJECT, "--no-passphrase"])).exits(0);
}
