//! Sendmail and the lines that turn its STARTTLS on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::support::{BASE_MC, Sendmail, TestDir, User};
use super::support::{require, s_client_starttls, users};

const HOST: &str = "mail.example.test";

fn tools() -> bool {
    require(&["sendmail", "m4", "cc", "openssl"])
}

/// A CA and a certificate for HOST, all by OpenSSL.
struct OpensslCa {
    dir: TestDir,
}

impl OpensslCa {
    fn new(user: User) -> Self {
        let dir = TestDir::of(user);
        dir.write("leaf.cnf", &format!("subjectAltName = DNS:{HOST}\n"));
        let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let request =
            |rest: &[&str]| dir.openssl(&[&["req"], &p256[..], &["-nodes"], rest].concat());
        request(&[
            "-x509",
            "-days",
            "30",
            "-subj",
            "/CN=Test CA",
            "-keyout",
            "cakey.pem",
            "-out",
            "cacert.pem",
        ]);
        request(&["-subj", "/CN=mail", "-keyout", "key.pem", "-out", "req.pem"]);
        dir.openssl(&[
            "x509",
            "-req",
            "-days",
            "30",
            "-in",
            "req.pem",
            "-CA",
            "cacert.pem",
            "-CAkey",
            "cakey.pem",
            "-CAcreateserial",
            "-extfile",
            "leaf.cnf",
            "-out",
            "cert.pem",
        ]);
        Self { dir }
    }

    fn file(&self, name: &str) -> String {
        self.dir.file(name)
    }

    /// The settings of the book's Listing 6.3, with `key` as the server's key.
    fn mc(&self, key: &str) -> String {
        let lines = [
            ("CACERT_PATH", self.dir.file("")),
            ("CACERT", self.file("cacert.pem")),
            ("SERVER_CERT", self.file("cert.pem")),
            ("SERVER_KEY", self.file(key)),
        ]
        .map(|(setting, file)| format!("define(`conf{setting}', `{file}')dnl\n"));
        BASE_MC.to_owned() + &lines.concat()
    }
}

#[test]
fn sendmail_offers_starttls_with_a_certificate_that_clients_verify() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = OpensslCa::new(user);
        let sendmail = Sendmail::start(user, &ca.mc("key.pem"));
        assert!(sendmail.offers_starttls(), "{user:?}\n{}", sendmail.log());

        let connect = |host| s_client_starttls(sendmail.port, &ca.file("cacert.pem"), host, &[]);
        let good = connect(HOST);
        assert_ne!(good.cipher, "(NONE)");
        assert!(good.verified, "{}\n{}", good.ran, sendmail.log());
        let bad = connect("other.example.test");
        assert!(!bad.verified, "{}", bad.ran);
        assert_eq!(bad.verify, "62 (hostname mismatch)", "{}", bad.ran);
    }
}

#[test]
fn a_client_certificate_is_verified_and_recorded() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = OpensslCa::new(user);
        let sendmail = Sendmail::start(user, &ca.mc("key.pem"));
        let (cert, key) = (ca.file("cert.pem"), ca.file("key.pem"));
        assert_eq!(sendmail.verdict_on(Some([&cert, &key])), "OK");
    }
}

#[test]
fn a_key_that_others_can_read_gives_no_starttls() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = OpensslCa::new(user);
        fs::set_permissions(ca.file("key.pem"), Permissions::from_mode(0o644)).unwrap();
        let sendmail = Sendmail::start(user, &ca.mc("key.pem"));
        assert!(!sendmail.offers_starttls(), "{user:?}");
        let log = sendmail.log();
        assert!(log.contains("key.pem unsafe"), "{log}");
    }
}

#[test]
fn a_reload_and_a_restart_read_the_files_again() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = OpensslCa::new(user);
        let cert = ca.dir.read("cert.pem");
        ca.dir.write("cert.pem", "");
        let mut sendmail = Sendmail::start(user, &ca.mc("key.pem"));
        assert!(!sendmail.offers_starttls(), "{user:?}");
        ca.dir.write("cert.pem", &cert);
        sendmail.reload();
        assert!(sendmail.offers_starttls(), "{}", sendmail.log());
        ca.dir.write("cert.pem", "");
        sendmail.restart();
        assert!(!sendmail.offers_starttls(), "{user:?}");
    }
}

#[test]
fn the_cas_own_key_as_the_servers_key_gives_no_starttls() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = OpensslCa::new(user);
        let sendmail = Sendmail::start(user, &ca.mc("cakey.pem"));
        assert!(!sendmail.offers_starttls(), "{user:?}");
        let log = sendmail.log();
        assert!(log.contains("SSL_CTX_check_private_key"), "{log}");
        let none = s_client_starttls(sendmail.port, &ca.file("cacert.pem"), HOST, &[]);
        assert!(!none.verified, "{}", none.ran);
    }
}
