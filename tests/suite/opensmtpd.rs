//! `emit opensmtpd`: the real OpenSMTPD with exactly these lines, and what their comments say in its
//! other lines.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use serde_json::Value;

use super::support::{
    Ca, Opensmtpd, Smtp, eventually, free_ports, run, s_client_starttls, s_client_tls,
};

const HOST: &str = "mail.example.test";
const CLIENT: &str = "client.example.test";
const GONE: &str = "gone.example.test";

/// What a directory may be named: all that OpenSMTPD leaves as it is.
const HOSTILE: &str = "a b  'c' $d #e <f> %{g} {h} %% k=l;m,n:*?!~`|&()[] ü";

/// A CA with the server's host and two clients, what it exports, and a certificate that is none of
/// its own.
fn ca() -> (Ca, String, String) {
    let ca = Ca::new();
    for host in [HOST, CLIENT, GONE] {
        ca.ok(&["issue", host, "--yes"]);
    }
    ca.ok(&["crl"]);
    let exported = ca.dir.file(HOSTILE);
    ca.ok(&["export", HOST, &exported]);
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes"];
    let files = ["-keyout", "public.key", "-subj", "/CN=Public CA"];
    let public = ca.dir.openssl(&[&request[..], &files].concat());
    (ca, exported, public)
}

/// Where a private one listens.
struct Ports {
    smtp: u16,
    smtps: u16,
    relays: u16,
}

impl Ports {
    fn new() -> Self {
        let [smtp, smtps, relays] = free_ports();
        Self {
            smtp,
            smtps,
            relays,
        }
    }

    /// The printed lines, and those that their comments speak of: on `smtp` everybody sends to
    /// relay.test, which goes to `relays` by certificate, from where who comes from 127.0.0.1 may
    /// send anything.
    fn conf(&self, lines: &str, mailbox: &str) -> String {
        let words = |begin: &str| {
            let found = lines.lines().find_map(|line| {
                let (_, words) = line.strip_prefix("#   ")?.split_once(" ... ")?;
                words.starts_with(begin).then_some(words)
            });
            found.unwrap_or_else(|| panic!("no {begin}:\n{lines}"))
        };
        let relay = words("relay host").replace("HOST", &format!("{HOST}:{}", self.relays));
        let listen = "listen on 127.0.0.1 port";
        format!(
            "{lines}\
             {listen} {} {}\n{listen} {} {}\n{listen} {} {} tag relays\n\
             action \"keep\" maildir \"{mailbox}\" virtual {{ \"@\" = vmail }}\n\
             action \"pass\" {relay}\n\
             match tag relays from src 127.0.0.1 for any action \"keep\"\n\
             match from any for domain \"relay.test\" action \"pass\"\n",
            self.smtp,
            words("tls pki"),
            self.smtps,
            words("smtps pki"),
            self.relays,
            words("tls-require verify"),
        )
    }
}

/// What `relays` answers to a client by its certificate, from an address; empty without a
/// handshake.
fn as_relay(ca: &Ca, ports: &Ports, host: &str, from: &str) -> String {
    let [cert, key] = ["cert", "key"].map(|name| ca.file(&format!("hosts/{host}/{name}.pem")));
    let bind = format!("{from}:0");
    let options = ["-bind", &bind, "-cert", &cert, "-key", &key];
    let options = if host.is_empty() {
        &options[..2]
    } else {
        &options
    };
    let mut smtp = Smtp::starttls(ports.relays, options).expect("a connection");
    let mut answer = String::new();
    for line in ["EHLO x", "MAIL FROM:<a@x.test>", "RCPT TO:<b@x.test>"] {
        match smtp.say(line) {
            Ok(said) => answer = said.last().cloned().unwrap_or_default(),
            Err(_) => return String::new(),
        }
    }
    answer
}

#[track_caller]
fn verifies(ca: &Ca, smtpd: &Opensmtpd, ports: &Ports) {
    let ca_file = ca.file("cacert.pem");
    let client = s_client_starttls(ports.smtp, &ca_file, HOST, &[]);
    assert!(client.verified, "{}\n{}", client.ran, smtpd.log());
    let client = s_client_tls(ports.smtps, &ca_file, HOST, &[]);
    assert!(client.verified, "{}\n{}", client.ran, smtpd.log());
    let current = ca.read(&format!("hosts/{HOST}/cert.pem"));
    let lines: Vec<_> = current.lines().collect();
    assert!(client.ran.stdout.contains(&lines.join("\n")), "{current}");
}

#[test]
fn opensmtpd_takes_the_lines_and_relays_by_certificate() {
    let (ca, exported, public) = ca();
    let Some(mut smtpd) = Opensmtpd::new(ca.dir.path(), &public) else {
        return;
    };
    let ports = Ports::new();
    let mailbox = ca.dir.create_dir("mailbox");
    chown(&mailbox, Some(64905), Some(64905)).expect("chown");
    let emit = ["emit", "opensmtpd", HOST, "--for", "opensmtpd-7.6", "--dir"];
    let ran = ca.ok(&[&emit[..], &[&exported]].concat());
    assert!(
        ran.stderr.contains("warning: OpenSMTPD reads no CRL"),
        "{ran}"
    );
    assert!(
        ran.stdout
            .contains("# mail.example.test; after a renewal: systemctl restart")
    );
    let conf = ports.conf(&ran.stdout, mailbox.to_str().expect("UTF-8"));
    smtpd.check(&conf).exits(0);
    smtpd.start(&conf, ports.smtp);
    verifies(&ca, &smtpd, &ports);

    // By certificate and address.
    let relay = |host: &str, from: &str| as_relay(&ca, &ports, host, from);
    assert_eq!(relay("", "127.0.0.1"), "");
    let said = relay(CLIENT, "127.0.0.1");
    assert!(said.starts_with("250 "), "{said}\n{}", smtpd.log());
    let said = relay(CLIENT, "127.0.0.2");
    assert!(said.starts_with("550 "), "{said}\n{}", smtpd.log());

    // From the one to the other by the printed words, here both the same.
    let mut smtp = Smtp::connect(ports.smtp).expect("a connection");
    for line in [
        "EHLO x",
        "MAIL FROM:<a@x.test>",
        "RCPT TO:<b@relay.test>",
        "DATA",
        "Subject: by certificate\r\n\r\n.",
    ] {
        let said = smtp.say(line).expect("an answer");
        assert!(said[0].starts_with(['2', '3']), "{line}: {said:?}");
    }
    let new = mailbox.join("new");
    eventually("the mail arrives", || {
        fs::read_dir(&new).is_ok_and(|mut files| files.next().is_some())
    });
    let log = smtpd.log();
    for checked in [
        "mta cert-check result=\"valid\"",
        "smtp cert-check result=\"verified\"",
    ] {
        assert!(log.contains(checked), "{log}");
    }

    ca.ok(&["renew", HOST, "--yes"]);
    ca.ok(&["export", HOST, &exported]);
    smtpd.start(&conf, ports.smtp);
    verifies(&ca, &smtpd, &ports);

    // The warning is true.
    ca.ok(&["revoke", GONE, "--yes"]);
    ca.ok(&["export", HOST, &exported]);
    smtpd.start(&conf, ports.smtp);
    let said = relay(GONE, "127.0.0.1");
    assert!(said.starts_with("250 "), "{said}\n{}", smtpd.log());
    // Another key of the CA helps, once nobody is to trust the one before.
    ca.ok(&["renew-ca", "--new-key", "--no-passphrase", "--yes"]);
    ca.ok(&["renew", HOST, CLIENT, "--yes"]);
    let unlink = ["CA", "-maxdepth", "1", "-lname", "certs/*", "-delete"];
    run(ca.dir.command("find").args(unlink)).exits(0);
    ca.ok(&["export", HOST, &exported]);
    smtpd.start(&conf, ports.smtp);
    verifies(&ca, &smtpd, &ports);
    assert_eq!(relay(GONE, "127.0.0.1"), "");
    let said = relay(CLIENT, "127.0.0.1");
    assert!(said.starts_with("250 "), "{said}\n{}", smtpd.log());
}

#[test]
fn opensmtpd_refuses_what_mailca_says_it_does() {
    let (ca, _, public) = ca();
    let Some(smtpd) = Opensmtpd::new(ca.dir.path(), &public) else {
        return;
    };
    let lines = ca.ok(&["emit", "opensmtpd", HOST]).stdout;
    let conf = Ports::new().conf(&lines, "/tmp/mailbox");
    smtpd.check(&conf).exits(0);

    // Paths that it would not read.
    let key = format!("hosts/{HOST}/key.pem");
    for name in ["a\"b", "a\\ b", "two\nlines", "end\\"] {
        ca.dir.write_secret(name, &ca.read(&key));
        let path = ca.dir.file(name);
        let said = ca.refuses(&["emit", "opensmtpd", HOST, "--key", &path]);
        assert!(said.contains("which OpenSMTPD would not leave"), "{said}");
        let ran = smtpd.check(&conf.replace(&ca.file(&key), &path));
        assert_ne!(ran.code(), 0, "{ran}");
    }

    // A kind of key that it does not take; `smtpd -n` does not see that.
    let other = "other.example.test";
    ca.ok(&["issue", other, "--key-type", "ed25519", "--yes"]);
    let said = ca.refuses(&["emit", "opensmtpd", other]);
    assert!(
        said.contains("is Ed25519, which OpenSMTPD does not take"),
        "{said}"
    );
    let ran = smtpd.fails(&conf.replace(HOST, other));
    assert!(ran.stderr.contains("incorrect key type"), "{ran}");

    owners_and_modes(&ca, &smtpd, &conf);
}

/// What check says of the files, and what the real one does.
#[track_caller]
fn owners_and_modes(ca: &Ca, smtpd: &Opensmtpd, conf: &str) {
    let key = format!("hosts/{HOST}/key.pem");
    let chain = format!("hosts/{HOST}/chain.pem");
    for (name, mode, user) in [
        (&*key, 0o640, 0),
        (&key, 0o740, 0),
        (&key, 0o750, 0),
        (&key, 0o604, 0),
        (&key, 0o660, 0),
        (&key, 0o600, 65534),
        (&chain, 0o755, 0),
        (&chain, 0o664, 0),
        (&chain, 0o644, 65534),
        ("cacert.pem", 0o646, 0),
    ] {
        let path = fs::canonicalize(ca.file(name)).expect("a file");
        let usual = fs::metadata(&path).expect("a file").permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        chown(&path, Some(user), None).expect("chown");
        let said = ca.mailca(&["check", "--json", "--for", "opensmtpd"]);
        let report: Value = serde_json::from_str(&said.stdout).expect("JSON");
        let findings = report["findings"].as_array().expect("findings");
        // A key that is open to all is told of as such.
        let is_it = |it: &&Value| {
            let file = it["file"].as_str().expect("a path");
            it["severity"] == "critical" && fs::canonicalize(file).is_ok_and(|file| file == path)
        };
        let found = findings.iter().find(is_it);
        let ran = smtpd.check(conf);
        assert_eq!(
            ran.code() == 0,
            found.is_none(),
            "{name} {mode:o}: {ran}\n{said}"
        );
        if let Some(found) = found {
            let remedy = found["remedy"].as_str().expect("a remedy");
            run(Command::new("sh").args(["-ec", remedy])).exits(0);
            smtpd.check(conf).exits(0);
        }
        fs::set_permissions(&path, usual).expect("chmod");
        chown(&path, Some(0), None).expect("chown");
    }
}
