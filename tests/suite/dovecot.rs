//! `emit dovecot`: the real Dovecot, 2.3 and 2.4, with exactly these lines.

use std::fs;

use super::support::{Ca, Dovecot, DovecotVersion, eventually, s_client_tls};

const HOST: &str = "mail.example.test";

/// What a directory may be named: all that Dovecot leaves as it is.
const HOSTILE: &str = "a b  \"c\" 'd' <g> \\h %i %% {j} k=l;m,n:*?!~`|&()[] ü\"";

/// A CA with the server's host and two clients, and the directory that it exports to.
fn ca() -> (Ca, String) {
    let ca = Ca::new();
    for host in [HOST, "phone.example.test", "lost.example.test"] {
        ca.ok(&["issue", host, "--yes"]);
    }
    ca.ok(&["crl"]);
    let exported = ca.dir.file(HOSTILE);
    ca.ok(&["export", HOST, &exported]);
    (ca, exported)
}

#[track_caller]
fn verifies(ca: &Ca, dovecot: &Dovecot) {
    let ca_file = ca.file("cacert.pem");
    for (port, options) in [
        (dovecot.imap, &["-starttls", "imap"][..]),
        (dovecot.imaps, &[]),
    ] {
        let client = s_client_tls(port, &ca_file, HOST, options);
        assert!(client.verified, "{}\n{}", client.ran, dovecot.log());
        let other = s_client_tls(port, &ca_file, "other.example.test", options);
        assert!(!other.verified, "{}", other.ran);
    }
}

/// Whether a host's client may log in; nobody's, where it is empty.
#[track_caller]
fn may_log_in(ca: &Ca, dovecot: &Dovecot, host: &str) -> bool {
    let [cert, key] = ["cert", "key"].map(|name| ca.file(&format!("hosts/{host}/{name}.pem")));
    let options = ["-cert", &cert, "-key", &key];
    let options = if host.is_empty() { &[][..] } else { &options };
    let mut is_in = false;
    // While it reloads, it may say that it is not ready.
    eventually("Dovecot decides", || {
        let said = dovecot.login(options);
        is_in = said.contains("a OK");
        is_in || said.contains("a NO [ALERT] Client didn't present valid SSL certificate")
    });
    is_in
}

fn serves(ca: &Ca, dovecot: &Dovecot, certificate: &str) -> bool {
    let served = s_client_tls(dovecot.imaps, &ca.file("cacert.pem"), HOST, &[]);
    let lines: Vec<_> = certificate.lines().collect();
    served.ran.stdout.contains(&lines.join("\n"))
}

#[track_caller]
fn reload(dovecot: &Dovecot) {
    dovecot.doveadm(&["reload"]).exits(0);
}

#[test]
fn dovecot_takes_the_lines_and_refuses_who_was_revoked() {
    let (ca, exported) = ca();
    for version in DovecotVersion::BOTH {
        let Some(mut dovecot) = Dovecot::new(version, ca.dir.path()) else {
            return;
        };
        let emit = ["emit", "dovecot", HOST, "--for", version.name()];
        // In the CA's own directory there is no file with the CA and the CRL.
        let ran = ca.ok(&emit);
        assert!(ran.stderr.contains("mailca export"), "{ran}");
        dovecot.configure(&ran.stdout);
        assert!(!dovecot.settings().contains("client_cert = yes"));
        dovecot.start();
        verifies(&ca, &dovecot);

        let lines = ca.ok(&[&emit[..], &["--dir", &exported]].concat()).stdout;
        assert!(lines.contains("\n# mail.example.test; after a renewal: doveadm reload\n"));
        dovecot.configure(&lines);
        assert!(dovecot.settings().contains("client_cert = yes"));
        reload(&dovecot);
        let asks = |port| {
            let said = s_client_tls(port, &ca.file("cacert.pem"), HOST, &[])
                .ran
                .stdout;
            said.contains("Acceptable client certificate CA names")
        };
        eventually("it asks for certificates", || asks(dovecot.imaps));
        verifies(&ca, &dovecot);
        assert!(may_log_in(&ca, &dovecot, ""));

        // What is a comment works too.
        let settings = lines.replace("\n#auth_ssl", "\nauth_ssl");
        dovecot.configure(&settings.replace("\n#ssl_client", "\nssl_client"));
        dovecot.settings();
        reload(&dovecot);
        eventually("it wants certificates", || !may_log_in(&ca, &dovecot, ""));
        assert!(may_log_in(&ca, &dovecot, "phone.example.test"));
        let ran = dovecot.as_client_of(HOST).exits(0);
        assert!(ran.stdout.contains("INBOX"), "{ran}\n{}", dovecot.log());
        let ran = dovecot.as_client_of("127.0.0.1");
        assert_ne!(ran.code(), 0, "{ran}");

        // By the printed commands.
        let lost = "lost.example.test";
        assert!(may_log_in(&ca, &dovecot, lost));
        ca.ok(&["revoke", lost, "--yes"]);
        ca.ok(&["export", HOST, &exported]);
        reload(&dovecot);
        eventually("who is revoked is out", || !may_log_in(&ca, &dovecot, lost));
        assert!(may_log_in(&ca, &dovecot, "phone.example.test"));
        ca.ok(&["issue", lost, "--replace", "--yes"]);
        assert!(may_log_in(&ca, &dovecot, lost));

        ca.ok(&["renew", HOST, "--yes"]);
        ca.ok(&["export", HOST, &exported]);
        let new = ca.read(&format!("hosts/{HOST}/cert.pem"));
        assert!(!serves(&ca, &dovecot, &new));
        reload(&dovecot);
        eventually("the new one is served", || serves(&ca, &dovecot, &new));

        an_expired_crl_shuts_everybody_out(&ca, &dovecot, &exported);
        ca.ok(&["export", HOST, &exported]);
        reload(&dovecot);
        eventually("it is good again", || may_log_in(&ca, &dovecot, lost));
    }
}

// As emit's warning has it.
#[track_caller]
fn an_expired_crl_shuts_everybody_out(ca: &Ca, dovecot: &Dovecot, exported: &str) {
    let dates = ["-crl_lastupdate", "20250101000000Z", "-crl_nextupdate"];
    let rest = ["20250201000000Z", "-gencrl", "-out", "../old.pem"];
    ca.openssl_ca(&[&dates[..], &rest].concat()).exits(0);
    let phone = "phone.example.test";
    for crl in [ca.dir.read("old.pem"), String::new()] {
        let file = format!("{exported}/crl/ca-crl.pem");
        fs::write(&file, ca.read("cacert.pem") + &crl).expect("write a file");
        reload(dovecot);
        eventually("nobody gets in", || !may_log_in(ca, dovecot, phone));
        ca.ok(&["export", HOST, exported]);
        reload(dovecot);
        eventually("it is good again", || may_log_in(ca, dovecot, phone));
    }
    fs::remove_file(format!("{exported}/crl/ca-crl.pem")).expect("remove a file");
    let ran = dovecot.doveconf(&["-n", "-x"]);
    assert_ne!(ran.code(), 0, "{ran}");
}

#[test]
fn dovecot_would_not_read_what_emit_refuses() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let key = ca.read(&format!("hosts/{HOST}/key.pem"));
    for version in DovecotVersion::BOTH {
        let Some(dovecot) = Dovecot::new(version, ca.dir.path()) else {
            return;
        };
        let emit = ["emit", "dovecot", HOST, "--for", version.name()];
        let lines = ca.ok(&emit).stdout;
        for (name, takes) in [
            ("plain", true),
            ("a $SET:ssl", false),
            ("a  $b", false),
            ("a#b", false),
            ("a #b", false),
            ("end ", false),
            ("end\\", false),
            ("two\nlines", false),
        ] {
            ca.dir.write_secret(name, &key);
            let path = ca.dir.file(name);
            let ran = ca.mailca(&[&emit[..], &["--key", &path]].concat());
            let said = "which Dovecot would not leave as it is";
            assert_eq!(
                ran.code() == 1 && ran.stderr.contains(said),
                !takes,
                "{ran}"
            );
            // It shows no key.
            ca.dir
                .write(name, &ca.read(&format!("hosts/{HOST}/chain.pem")));
            // Not all kinds of settings have variables.
            let client = lines.replace("\n#ssl_client_ca", "\nssl_client_ca");
            dovecot.configure(&client.replace(&ca.file("cacert.pem"), &path));
            let ran = dovecot.doveconf(&["-n", "-x"]);
            let has_it = ran.code() == 0 && ran.stdout.contains(&format!("{path}\n"));
            assert_eq!(has_it, takes, "{name:?}: {ran}");
        }
    }
}
