//! `emit postfix` and `access postfix`: the real Postfix, with exactly these lines.

use std::fs;

use super::support::{Ca, Postfix, eventually, s_client_starttls};

const MX1: &str = "mx1.example.test";
const MX2: &str = "mx2.example.test";

/// A CA with two relays.
fn ca() -> Ca {
    let ca = Ca::new();
    for host in [MX1, MX2] {
        ca.ok(&["issue", host, "--yes"]);
    }
    ca
}

/// The lines for a host, with what is a comment in them if `whole`.
#[track_caller]
fn lines(ca: &Ca, host: &str, whole: bool) -> String {
    let lines = ca
        .ok(&["emit", "postfix", host, "--for", "postfix-3.7"])
        .stdout;
    assert!(
        lines.contains("; after a renewal: postfix reload\n"),
        "{lines}"
    );
    if !whole {
        return lines;
    }
    let settings = ["relay_clientcerts =", "smtpd_client_res", "smtpd_relay_res"];
    settings.iter().fold(lines, |lines, setting| {
        let comment = format!("\n#{setting}");
        assert!(lines.contains(&comment), "{lines}");
        lines.replace(&comment, &comment.replacen('#', "", 1))
    })
}

/// Writes the tables by the printed lines, and runs the printed postmap commands.
#[track_caller]
fn make_tables(ca: &Ca, postfix: &Postfix, permitted: &[&str]) {
    let access = |words: &[&str]| ca.ok(&[&["access", "postfix"], words].concat());
    let is_any_revoked = ca.rows().iter().any(|row| row.starts_with('R'));
    let rejected = is_any_revoked.then(|| access(&["--reject"]));
    for (table, ran) in [
        ("relay_clientcerts", Some(access(permitted))),
        ("revoked", rejected),
    ] {
        let text = ran.as_ref().map_or("", |ran| &ran.stdout);
        fs::write(format!("{}/{table}", postfix.etc()), text).unwrap();
        let command = format!("postmap /etc/postfix/{table}");
        if let Some(ran) = &ran {
            let next = format!("next: with the lines in /etc/postfix/{table}, run: {command}\n");
            assert!(ran.stderr.contains(&next), "{ran}");
        }
        let ran = postfix.shell(&command);
        assert_eq!(ran.stderr, "", "{ran}");
    }
}

fn client(files: &[String; 2]) -> [&str; 4] {
    ["-cert", &files[0], "-key", &files[1]]
}

fn files(ca: &Ca, host: &str) -> [String; 2] {
    ["cert", "key"].map(|name| ca.file(&format!("hosts/{host}/{name}.pem")))
}

fn serves(ca: &Ca, postfix: &Postfix, certificate: &str) -> bool {
    let served = s_client_starttls(postfix.port, &ca.file("cacert.pem"), MX1, &[]);
    let lines: Vec<_> = certificate.lines().collect();
    served.ran.stdout.contains(&lines.join("\n"))
}

#[test]
fn postfix_takes_the_lines_and_refuses_who_is_in_the_table() {
    let ca = ca();
    let Some(mut postfix) = Postfix::new(MX1, ca.dir.path()) else {
        return;
    };
    postfix.append(&lines(&ca, MX1, false));
    assert_eq!(postfix.postconf(&["-n"]).exits(0).stderr, "");
    postfix.start();
    let verify = |name| s_client_starttls(postfix.port, &ca.file("cacert.pem"), name, &[]);
    let good = verify(MX1);
    assert!(good.verified, "{}\n{}", good.ran, postfix.log());
    assert!(!verify("other.example.test").verified);

    // It asks for a certificate, verifies it, and lets nobody relay for that alone.
    let own = files(&ca, MX2);
    let relays = |options: &[&str]| {
        let said = postfix.answer_to_relaying(options);
        let is_refused = ["454 4.7.1", "554 5.7.1"]
            .iter()
            .any(|code| said.starts_with(code));
        assert!(said.starts_with("250") || is_refused, "{said}");
        said.starts_with("250")
    };
    assert!(!relays(&client(&own)));
    let trusted = "Trusted TLS connection established from";
    assert!(postfix.log().contains(trusted), "{}", postfix.log());

    // By the tables it does.
    postfix.append(&lines(&ca, MX1, true));
    make_tables(&ca, &postfix, &[MX2]);
    postfix.shell("postfix reload");
    eventually("its certificate counts", || relays(&client(&own)));
    assert!(!relays(&[]));
    let strangers = files(&ca, MX1);
    assert!(
        !relays(&client(&strangers)),
        "a certificate that is in no table"
    );

    // A renewal under the same key needs no new line; the server has to read its own again.
    ca.ok(&["renew", MX2, "--yes"]);
    let own = files(&ca, MX2);
    assert!(relays(&client(&own)));
    ca.ok(&["renew", MX1, "--yes"]);
    let new = ca.read(&format!("hosts/{MX1}/cert.pem"));
    assert!(!serves(&ca, &postfix, &new));
    postfix.shell("postfix reload");
    eventually("the new one is served", || serves(&ca, &postfix, &new));
    // Not by some processes only.
    assert!((0..5).all(|_| serves(&ca, &postfix, &new)));

    // Whoever has a compromised key can make certificates of it.
    ca.ok(&["revoke", MX2, "--all", "--reason", "keyCompromise", "--yes"]);
    assert!(relays(&client(&own)), "Postfix reads no CRL");
    make_tables(&ca, &postfix, &[MX1]);
    eventually("it is refused", || {
        let said = postfix.answer_to_relaying(&client(&own));
        said.contains("is revoked")
    });
    let made = [
        "req",
        "-x509",
        "-new",
        "-subj",
        "/CN=anybody",
        "-out",
        "made.pem",
    ];
    ca.dir.openssl(&[&made[..], &["-key", &own[1]]].concat());
    let made = [ca.dir.file("made.pem"), own[1].clone()];
    let said = postfix.answer_to_relaying(&client(&made));
    assert!(said.contains("is revoked"), "{said}");
}

#[test]
fn two_postfixes_relay_to_each_other_by_certificate() {
    let ca = ca();
    let [Some(mut mx1), Some(mut mx2)] = [MX1, MX2].map(|it| Postfix::new(it, ca.dir.path()))
    else {
        return;
    };
    let both = [(&mx1, MX1, &mx2), (&mx2, MX2, &mx1)];
    for (number, (own, host, other)) in both.into_iter().enumerate() {
        own.append(&lines(&ca, host, true));
        // Mail for one domain goes to the other relay, and waits there.
        let port = other.port;
        own.append(&format!(
            "transport_maps = inline:{{ to{number}.example.test=smtp:[127.0.0.1]:{port} }}\n"
        ));
        fs::write(format!("{}/revoked", own.etc()), "").unwrap();
        fs::write(format!("{}/relay_clientcerts", own.etc()), "").unwrap();
    }
    mx1.start();
    mx2.start();
    for postfix in [&mx1, &mx2] {
        make_tables(&ca, postfix, &[MX1, MX2]);
        postfix.shell("postfix reload");
    }
    let send = |from: &Postfix, address: &str| {
        from.shell(&format!("echo test | sendmail -f a@example.test {address}"));
    };
    for (from, to, address) in [
        (&mx1, &mx2, "a@to0.example.test"),
        (&mx2, &mx1, "b@to1.example.test"),
    ] {
        send(from, address);
        eventually(&format!("it arrives\n{}", from.log()), || {
            to.queue().contains(address)
        });
        assert!(to.log().contains("Trusted TLS connection established from"));
    }
    assert!(
        mx1.answer_to_relaying(&[]).starts_with("554 5.7.1"),
        "{}",
        mx1.log()
    );

    ca.ok(&["revoke", MX1, "--yes"]);
    make_tables(&ca, &mx2, &[MX2]);
    eventually("a revoked one is refused", || {
        send(&mx1, "c@to0.example.test");
        mx2.log().contains("is revoked")
    });
    assert!(!mx2.queue().contains("c@to0.example.test"));
    // And without one.
    let lines = lines(&ca, MX1, true);
    let without = lines
        .lines()
        .filter(|line| !line.starts_with("smtp_tls_chain_files"));
    let without: Vec<_> = without.collect();
    let main = fs::read_to_string(format!("{}/main.cf", mx1.etc())).unwrap();
    let main = main.replace(&lines, &(without.join("\n") + "\n"));
    fs::write(format!("{}/main.cf", mx1.etc()), &main).unwrap();
    mx1.shell("postfix reload");
    eventually("nobody relays without one", || {
        send(&mx1, "d@to0.example.test");
        mx2.log()
            .contains("<d@to0.example.test>: Relay access denied")
    });
}

#[test]
fn postconf_reads_the_paths_that_mailca_prints() {
    let ca = ca();
    for refused in [
        "/etc/a b",
        "/etc/a,b",
        "/etc/$a",
        "/etc/a#b",
        "/etc/{a}",
        "/etc/a\nb",
        "/etc/a\tb",
    ] {
        let said = ca.refuses(&["emit", "postfix", MX1, "--dir", refused]);
        assert!(
            said.contains("which Postfix would not leave as it is"),
            "{said}"
        );
    }
    let Some(postfix) = Postfix::new(MX1, ca.dir.path()) else {
        return;
    };
    let main = postfix.etc() + "/main.cf";
    for folder in [
        "a;b=c:d",
        "q\"u'o",
        "\u{fc}ml",
        "100%",
        "a\\b",
        "-x",
        "a(b)[c]",
        "!*?~&|`<>",
    ] {
        let dir = format!("/etc/{folder}");
        let emit = [
            "emit",
            "postfix",
            MX1,
            "--for",
            "postfix-3.7",
            "--dir",
            &dir,
        ];
        ca.ok(&[&emit[..], &["--into", &main]].concat());
        let ran = postfix
            .postconf(&["-x", "-h", "smtpd_tls_chain_files"])
            .exits(0);
        assert_eq!(ran.stderr, "", "{ran}");
        let host = format!("{dir}/hosts/{MX1}");
        assert_eq!(ran.stdout, format!("{host}/key.pem, {host}/chain.pem\n"));
    }
}
