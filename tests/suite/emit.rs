//! The lines for mail servers, and those that let relays in, as far as no server is needed to judge
//! them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::support::{Ca, Ran, find, run};

const SERVERS: [&str; 5] = ["sendmail", "postfix", "exim", "dovecot", "opensmtpd"];
const HOST: &str = "mail.example.test";

fn ca_with_host() -> Ca {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    ca
}

/// mailca where these programs say such things of themselves.
fn with_programs(ca: &Ca, programs: &[(&str, &str)], args: &[&str]) -> Ran {
    let bin = ca.dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    for (name, says) in programs {
        ca.dir.write(
            &format!("bin/{name}"),
            &format!("#!/bin/sh\necho '{says}'\n"),
        );
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    run(ca.command(args).env("PATH", path)).exits(0)
}

#[test]
fn the_version_on_this_machine_decides_unless_another_is_named() {
    let ca = ca_with_host();
    let emit = |program: (&str, &str), args: &[&str]| {
        with_programs(&ca, &[program], &[&["emit"], args].concat())
    };
    for (program, args, has, lacks) in [
        (
            ("postconf", "3.3.2"),
            &["postfix"][..],
            "smtpd_tls_key_file",
            "chain_files",
        ),
        (
            ("postconf", "3.7.11"),
            &["postfix"],
            "smtpd_tls_chain_files",
            "key_file",
        ),
        (
            ("postconf", "3.7.11"),
            &["postfix", "--for", "postfix-3.3"],
            "smtpd_tls_key_file",
            "chain_files",
        ),
        (
            ("dovecot", "2.3.19.1 (9b53102964)"),
            &["dovecot"],
            "\nssl_cert = <",
            "ssl_server",
        ),
        (
            ("dovecot", "2.4.1-4 (7d8c0e5759)"),
            &["dovecot"],
            "\nssl_server_cert_file = ",
            "ssl_cert =",
        ),
    ] {
        let ran = emit(program, args);
        assert!(ran.stdout.contains(has), "{program:?}: {ran}");
        assert!(!ran.stdout.contains(lacks), "{program:?}: {ran}");
        assert!(!ran.stderr.contains("note: "), "{ran}");
    }
}

#[test]
fn where_no_server_tells_its_version_the_newest_is_taken_and_named() {
    let ca = ca_with_host();
    let note = "note: the lines are for Dovecot 2.4; for another version: --for dovecot-2.3\n";
    if find("dovecot").is_none() {
        let ran = ca.ok(&["emit", "dovecot"]);
        assert!(ran.stderr.contains(note), "{ran}");
    }
    // On another machine nobody can look.
    let elsewhere = ["emit", "dovecot", "--dir", "/nonexistent/mailca"];
    let ran = with_programs(&ca, &[("dovecot", "2.3.19.1")], &elsewhere);
    assert!(ran.stderr.contains(note), "{ran}");
    assert!(ran.stdout.contains("ssl_server_cert_file"), "{ran}");
}

#[test]
fn versions_that_are_none_of_the_server_are_refused() {
    let ca = ca_with_host();
    let said = ca.refuses(&["emit", "dovecot", "--for", "postfix-3.3"]);
    assert!(
        said.starts_with("error: --for postfix-3.3 is no version of Dovecot\nhint: "),
        "{said}"
    );
    let said = ca.refuses(&["emit", "postfix", "--for", "postfix-2.1"]);
    assert!(
        said.starts_with(
            "error: Postfix 2.1 is too old: lines are known from 2.9 on\nhint: --for postfix-2.9"
        ),
        "{said}"
    );
    for wrong in ["2.4", "dovecot", "dovecot-new", "qmail-1.03"] {
        ca.mailca(&["emit", "dovecot", "--for", wrong]).exits(2);
    }
}

#[test]
fn every_servers_lines_can_be_appended_and_put_into_a_file() {
    let ca = ca_with_host();
    for server in SERVERS {
        let comment = if server == "sendmail" { "dnl" } else { "#" };
        let lines = ca.ok(&["emit", server, HOST, "--dir", "/etc/x"]).stdout;
        let begin = format!("\n{comment} mailca: begin\n");
        let end = format!("\n{comment} mailca: end\n");
        assert!(lines.starts_with(&begin), "{lines}");
        assert!(lines.ends_with(&end), "{lines}");
        assert!(lines.contains(&format!("/etc/x/hosts/{HOST}/")), "{lines}");

        let file = ca.dir.file(server);
        ca.dir.write(server, "before\nafter");
        let into = ["emit", server, HOST, "--dir", "/etc/y", "--into", &file];
        let ran = ca.ok(&into);
        assert!(ran.stdout.starts_with("put the lines into "), "{ran}");
        assert!(ran.stdout.contains("\nnext: "), "{ran}");
        let again = ca.json(&[&into[..], &["--quiet"]].concat());
        assert_eq!(again["changed"], false);
        let replace = ["emit", server, HOST, "--dir", "/etc/x", "--into", &file];
        assert_eq!(ca.json(&replace)["changed"], true);
        let expected = if ["exim", "opensmtpd"].contains(&server) {
            format!("{}before\nafter", &lines[1..])
        } else {
            format!("before\nafter{lines}")
        };
        assert_eq!(ca.dir.read(server), expected);
    }
    let mc = ca.ok(&["emit-mc", HOST]).stdout;
    assert_eq!(mc, ca.ok(&["emit", "sendmail", HOST]).stdout);
}

#[test]
fn the_lines_of_the_servers_on_this_machine_come_next() {
    let ca = Ca::new();
    let programs = [("postfix", ""), ("dovecot", "")];
    let ran = with_programs(&ca, &programs, &["issue", HOST, "--yes"]);
    for (server, file) in [
        ("postfix", "/etc/postfix/main.cf"),
        ("dovecot", "/etc/dovecot/local.conf"),
    ] {
        let next = format!(" emit {server} {HOST} >> {file}\n");
        assert!(ran.stdout.contains(&next), "{ran}");
    }
}

#[test]
fn hosts_and_keys_that_are_not_here_are_refused_for_every_server() {
    let ca = ca_with_host();
    for server in SERVERS {
        let said = ca.refuses(&["emit", server, "other.example.test"]);
        assert!(
            said.contains("the key of other.example.test is not in"),
            "{said}"
        );
        let said = ca.refuses(&["emit", server, "--dir", "relative"]);
        assert!(said.contains("is not an absolute path"), "{said}");
        let said = ca.refuses(&["emit", server, "--key", &ca.file("private/cakey.pem")]);
        assert!(said.contains("does not belong to"), "{said}");
    }
}

#[test]
fn postfix_is_told_keys_of_the_valid_and_fingerprints_of_the_revoked() {
    let ca = ca_with_host();
    let key = |name: &str| {
        let file = ca.file(&format!("hosts/{name}/cert.pem"));
        let public = ca.x509(&file, &["-pubkey"]);
        ca.dir.write("public.pem", &public);
        let der = ["pkey", "-pubin", "-in", "public.pem", "-outform", "DER"];
        ca.dir
            .openssl(&[&der[..], &["-out", "public.der"]].concat());
        let digest = ca.dir.openssl(&["dgst", "-sha256", "-c", "public.der"]);
        let digest = digest.trim().rsplit(' ').next().unwrap();
        digest.to_uppercase()
    };
    let fingerprint = |name: &str| {
        let file = ca.file(&format!("hosts/{name}/cert.pem"));
        let said = ca.x509(&file, &["-fingerprint", "-sha256"]);
        said.trim().split_once('=').unwrap().1.to_owned()
    };
    let permit = ["access", "postfix", HOST];
    let lines = ca.ok(&permit).stdout;
    assert!(lines.starts_with(&key(HOST)), "{lines}");
    // A renewal under the same key changes nothing.
    ca.ok(&["renew", HOST, "--yes"]);
    assert_eq!(ca.ok(&permit).stdout, lines);

    for (host, reason) in [("gone", "superseded"), ("stolen", "keyCompromise")] {
        let host = format!("{host}.example.test");
        ca.ok(&["issue", &host, "--yes"]);
        let said = ca.refuses(&["access", "postfix", "--reject", &host]);
        assert!(
            said.contains(&format!("has no revoked certificate of {host}")),
            "{said}"
        );
        ca.ok(&["revoke", &host, "--reason", reason, "--yes"]);
        for server in ["postfix", "sendmail"] {
            let said = ca.refuses(&["access", server, &host]);
            assert!(
                said.contains(&format!("of {host} was revoked on")),
                "{said}"
            );
        }
        let lines = ca.ok(&["access", "postfix", "--reject", &host]).stdout;
        assert!(lines.contains(&fingerprint(&host)), "{lines}");
        // Who has the key can make another certificate of it.
        assert_eq!(
            lines.contains(&key(&host)),
            reason == "keyCompromise",
            "{lines}"
        );
    }
    let all = ca.ok(&["access", "postfix", "--reject"]).stdout;
    let revoked = ["gone.example.test", "stolen.example.test"];
    assert!(revoked.iter().all(|host| all.contains(&fingerprint(host))));
    assert!(!all.contains(&fingerprint(HOST)), "{all}");
    // One that is not kept does not hide the others.
    let serial = ca.x509(&ca.file("hosts/gone.example.test/cert.pem"), &["-serial"]);
    let serial = serial.trim().trim_start_matches("serial=");
    fs::remove_file(ca.file(&format!("newcerts/{serial}.pem"))).unwrap();
    let ran = ca.mailca(&["access", "postfix", "--reject"]).exits(3);
    assert!(
        ran.stdout.contains(&fingerprint("stolen.example.test")),
        "{ran}"
    );
    assert!(ran.stderr.contains("it is not among the lines"), "{ran}");
    let said = ca.ok(&["emit", "postfix", "typo.example.test", "--dir", "/etc/x"]);
    assert!(
        said.stderr
            .contains("has no certificate of typo.example.test"),
        "{said}"
    );
    let said = ca.refuses(&["emit", "postfix", HOST, "--into", "missing"]);
    assert!(
        said.contains("hint: if it shall be new: touch missing\n"),
        "{said}"
    );
}
