//! The main job: `emit-mc` appended to a sendmail.mc turns STARTTLS on, with a
//! certificate that clients verify.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::support::{BASE_MC, Ca, Sendmail, User};
use super::support::{require, run, s_client_starttls, users};

const HOST: &str = "mail.example.test";

fn tools() -> bool {
    require(&["sendmail", "m4", "cc", "openssl"])
}

/// Sendmail offers STARTTLS, and a client that trusts the CA accepts it under
/// its name, and under no other.
#[track_caller]
fn assert_starttls(sendmail: &Sendmail, ca_file: &str) {
    assert!(sendmail.offers_starttls(), "{}", sendmail.log());
    let good = s_client_starttls(sendmail.port, ca_file, HOST, &[]);
    assert!(good.verified, "{}\n{}", good.ran, sendmail.log());
    let bad = s_client_starttls(sendmail.port, ca_file, "other.example.test", &[]);
    assert_eq!(bad.verify, "62 (hostname mismatch)", "{}", bad.ran);
}

/// The main job from nothing, as root and as an ordinary user.
fn from_nothing(ca_type: &str, host_type: &str) {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &["--key-type", ca_type]);
        ca.ok(&["issue", HOST, "--key-type", host_type, "--yes"]);
        let mc = BASE_MC.to_owned() + &ca.ok(&["emit-mc", HOST]).stdout;
        assert_starttls(&Sendmail::start(user, &mc), &ca.file("cacert.pem"));
    }
}

#[test]
fn a_p256_key_of_a_p256_ca_gives_starttls() {
    from_nothing("p256", "p256");
}

#[test]
fn a_p384_key_of_an_rsa_2048_ca_gives_starttls() {
    from_nothing("rsa2048", "p384");
}

#[test]
fn an_ed25519_key_of_an_ed25519_ca_gives_starttls() {
    from_nothing("ed25519", "ed25519");
}

#[test]
fn an_rsa_2048_key_of_a_p384_ca_gives_starttls() {
    from_nothing("p384", "rsa2048");
}

#[test]
fn an_rsa_3072_key_of_an_rsa_4096_ca_gives_starttls() {
    from_nothing("rsa4096", "rsa3072");
}

#[test]
fn an_rsa_4096_key_of_an_rsa_3072_ca_gives_starttls() {
    from_nothing("rsa3072", "rsa4096");
}

#[test]
fn the_book_s_own_steps_req_and_sign_give_starttls_too() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["req", HOST]);
        ca.ok(&["sign", "--yes"]);
        let mc = BASE_MC.to_owned() + &ca.ok(&["emit-mc"]).stdout;
        let mut sendmail = Sendmail::start(user, &mc);
        assert_starttls(&sendmail, &ca.file("cacert.pem"));
        // Neither another host nor another certificate touches the pair in use.
        ca.ok(&["issue", "other.example.test", "--yes"]);
        ca.ok(&["req", HOST]);
        sendmail.restart();
        assert_starttls(&sendmail, &ca.file("cacert.pem"));
        ca.ok(&["sign", "--yes"]);
        sendmail.restart();
        assert_starttls(&sendmail, &ca.file("cacert.pem"));
    }
}

#[test]
fn the_lines_do_their_work_wherever_they_are_appended() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", HOST, "--yes"]);
        let lines = ca.ok(&["emit-mc", HOST]).stdout;
        let cacert = ca.file("cacert.pem");
        for mc in [
            format!("{BASE_MC}{lines}{lines}"),
            // A last line without an end, which would swallow what follows.
            format!("{BASE_MC}dnl{lines}"),
            format!("{BASE_MC}LOCAL_CONFIG\n{lines}"),
        ] {
            assert_starttls(&Sendmail::start(user, &mc), &cacert);
        }
    }
}

#[test]
fn the_lines_do_their_work_in_debians_own_file() {
    let debian = Path::new("/etc/mail/sendmail.mc");
    if !tools() || !debian.exists() {
        return;
    }
    // It includes files that only root may read.
    let user = User::me();
    let Ok(debian) = fs::read_to_string(debian) else {
        return;
    };
    if !user.is_root() || !debian.contains("OSTYPE(`debian')") {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    ca.dir.write("sendmail.mc", &debian);
    ca.ok(&["emit-mc", HOST, "--into", "sendmail.mc"]);
    let mc = ca.dir.read("sendmail.mc");
    assert!(mc.starts_with(&debian), "{mc}");
    assert_starttls(&Sendmail::start(user, &mc), &ca.file("cacert.pem"));
}

#[test]
fn into_replaces_the_lines_of_before() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", "old.example.test", "--yes"]);
        ca.ok(&["issue", HOST, "--yes"]);
        let base = format!("{BASE_MC}dnl the last words");
        let file = ca.dir.write("sendmail.mc", &base);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let into = |host| ca.json(&["emit-mc", host, "--into", "sendmail.mc"]);
        assert_eq!(into("old.example.test")["changed"], true);
        assert_eq!(into(HOST)["changed"], true);
        assert_eq!(into(HOST)["changed"], false);
        let mc = ca.dir.read("sendmail.mc");
        assert_eq!(mc, base + &ca.ok(&["emit-mc", HOST]).stdout);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_starttls(&Sendmail::start(user, &mc), &ca.file("cacert.pem"));
    }
}

#[test]
fn dir_names_the_files_where_they_were_taken_to() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", HOST, "--yes"]);
        let there = ca.dir.file("there");
        let lines = ca.ok(&["emit-mc", HOST, "--dir", &there]).stdout;
        let script = "umask 077 && mkdir -p there/hosts && cp CA/cacert.pem there &&
            cp -RL \"CA/hosts/$1\" there/hosts/ && mv CA gone";
        run(ca.dir.command("sh").args(["-c", script, "sh", HOST])).exits(0);
        let sendmail = Sendmail::start(user, &(BASE_MC.to_owned() + &lines));
        assert_starttls(&sendmail, &ca.dir.file("there/cacert.pem"));
    }
}

#[test]
fn a_relay_with_its_certificate_is_verified_and_one_without_is_not() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", HOST, "--yes"]);
        ca.ok(&["issue", "relay.example.test", "--yes"]);
        let server_only = ["--profile", "server", "--yes"];
        ca.ok(&[&["issue", "server.example.test"], &server_only[..]].concat());
        let mc = BASE_MC.to_owned() + &ca.ok(&["emit-mc", HOST]).stdout;
        let sendmail = Sendmail::start(user, &mc);
        for (client, verdict) in [
            (Some("relay.example.test"), "OK"),
            (Some("server.example.test"), "FAIL"),
            (None, "NO"),
        ] {
            let files = client.map(|host| {
                let file = |name| ca.file(&format!("hosts/{host}/{name}"));
                [file("cert.pem"), file("key.pem")]
            });
            let files = files.as_ref().map(|[cert, key]| [&**cert, &**key]);
            assert_eq!(sendmail.verdict_on(files), verdict, "{client:?}");
        }
    }
}

#[test]
fn a_revoked_relay_is_refused_at_once_and_without_a_restart() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        for host in [HOST, "relay.example.test", "other.example.test"] {
            ca.ok(&["issue", host, "--yes"]);
        }
        let mc = BASE_MC.to_owned() + &ca.ok(&["emit-mc", HOST]).stdout;
        let sendmail = Sendmail::start(user, &mc);
        let verdict = |host: &str| {
            let file = |name| ca.file(&format!("hosts/{host}/{name}"));
            sendmail.verdict_on(Some([&file("cert.pem"), &file("key.pem")]))
        };
        assert_eq!(verdict("relay.example.test"), "OK");
        ca.ok(&["revoke", "relay.example.test", "--yes"]);
        assert_eq!(verdict("relay.example.test"), "FAIL", "{}", sendmail.log());
        assert_eq!(verdict("other.example.test"), "OK");
        ca.ok(&["crl", "--days", "30"]);
        assert_eq!(verdict("relay.example.test"), "FAIL");
        assert_eq!(verdict("other.example.test"), "OK");
        ca.ok(&["issue", "relay.example.test", "--replace", "--yes"]);
        assert_eq!(verdict("relay.example.test"), "OK", "{}", sendmail.log());
    }
}

#[test]
fn the_lines_for_sendmail_8_15_have_a_crl_that_counts_after_a_reload() {
    if !tools() {
        return;
    }
    let ca = Ca::new();
    for host in [HOST, "relay.example.test"] {
        ca.ok(&["issue", host, "--yes"]);
    }
    ca.ok(&["crl"]);
    let emitted = ca.ok(&["emit", "sendmail", HOST, "--for", "sendmail-8.15"]);
    let file = ca.file("crl/crl.pem");
    let warning = format!(
        "warning: Sendmail 8.15 reads {file} only when it starts, so a revocation counts after: \
         systemctl reload sendmail; without that file it accepts what is revoked\n"
    );
    assert!(emitted.stderr.contains(&warning), "{emitted}");
    let mut sendmail = Sendmail::start(User::me(), &(BASE_MC.to_owned() + &emitted.stdout));
    let verdict = |sendmail: &Sendmail| {
        let file = |name| ca.file(&format!("hosts/relay.example.test/{name}"));
        sendmail.verdict_on(Some([&file("cert.pem"), &file("key.pem")]))
    };
    ca.ok(&["revoke", "relay.example.test", "--yes"]);
    assert_eq!(verdict(&sendmail), "OK");
    sendmail.reload();
    assert_eq!(verdict(&sendmail), "FAIL", "{}", sendmail.log());
    ca.write("crl/crl.pem", "");
    sendmail.reload();
    assert_eq!(verdict(&sendmail), "OK");

    let oldest = ca.ok(&["emit", "sendmail", HOST, "--for", "sendmail-8.12"]);
    assert!(oldest.stderr.contains("reads no CRL"), "{oldest}");
    let sendmail = Sendmail::start(User::me(), &(BASE_MC.to_owned() + &oldest.stdout));
    assert_starttls(&sendmail, &ca.file("cacert.pem"));
}

#[test]
fn a_key_that_does_not_fit_its_certificate_gives_no_lines() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    ca.ok(&["issue", "other.example.test", "--yes"]);
    let other = ca.file("hosts/other.example.test/key.pem");
    let said = ca.refuses(&["emit-mc", HOST, "--key", &other]);
    assert!(said.contains("does not belong to"), "{said}");
    // The book's erratum: the CA's own key.
    let said = ca.refuses(&["emit-mc", HOST, "--key", &ca.file("private/cakey.pem")]);
    assert!(said.contains("does not belong to"), "{said}");
    fs::copy(&other, ca.file(&format!("hosts/{HOST}/key.pem"))).unwrap();
    let said = ca.refuses(&["emit-mc", HOST]);
    assert!(said.contains("does not belong to"), "{said}");
    let said = ca.refuses(&["emit-mc", HOST, "--into", "/dev/null"]);
    assert!(said.contains("does not belong to"), "{said}");
}

#[test]
fn what_sendmail_would_refuse_is_a_warning_and_the_lines_come_all_the_same() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", HOST, "--yes"]);
        let silent = ca.ok(&["emit-mc", HOST]);
        let warnings = silent.stderr.matches("warning: ").count();
        let key = format!("hosts/{HOST}/key.pem");
        ca.chmod(&key, 0o644);
        let loud = ca.ok(&["emit-mc", HOST]);
        assert_eq!(loud.stdout, silent.stdout);
        assert!(
            loud.stderr
                .contains("key.pem is open to others (mode 0644)"),
            "{loud}"
        );
        assert_eq!(
            loud.stderr.matches("warning: ").count(),
            warnings + 1,
            "{loud}"
        );
        let sendmail = Sendmail::start(user, &(BASE_MC.to_owned() + &loud.stdout));
        assert!(!sendmail.offers_starttls());

        ca.chmod(&key, 0o600);
        ca.chmod("cacert.pem", 0o664);
        ca.chmod("hosts", 0o777);
        let loud = ca.ok(&["emit-mc", HOST]).stderr;
        assert!(loud.contains("cacert.pem is writable by others"), "{loud}");
        assert!(loud.contains("hosts is writable by others"), "{loud}");
    }
}

#[test]
fn with_nothing_to_warn_of_only_the_next_step_is_said() {
    if !User::me().is_root() {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let said = ca.ok(&["emit-mc", HOST]).stderr;
    assert!(
        said.starts_with("next: with the lines in sendmail.mc") && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(ca.ok(&["emit-mc", HOST, "--quiet"]).stderr, "");
}

#[test]
fn an_omitted_host_is_the_only_one_or_this_machine_or_asked_for() {
    let ca = Ca::new();
    let said = ca.refuses(&["emit-mc"]);
    assert!(said.contains("no host with a key"), "{said}");
    ca.ok(&["issue", "a.example.test", "--yes"]);
    let only = ca.ok(&["emit-mc"]).stdout;
    assert_eq!(only, ca.ok(&["emit-mc", "a.example.test"]).stdout);
    ca.ok(&["issue", "b.example.test", "--yes"]);
    let said = ca.refuses(&["emit-mc"]);
    assert!(said.contains("a.example.test, b.example.test"), "{said}");
    let said = ca.refuses(&["emit-mc", "c.example.test"]);
    assert!(
        said.contains("the key of c.example.test is not in"),
        "{said}"
    );

    // A machine of that name.
    let on_b = "hostname b.example.test && exec \"$@\"";
    let mut named = Command::new("unshare");
    named.args(["--uts", "sh", "-c", on_b, "sh"]);
    if !run(named.arg("true")).status.success() {
        return;
    }
    let mailca = ca.command(&["emit-mc"]);
    let mut named = Command::new("unshare");
    named.args(["--uts", "sh", "-c", on_b, "sh"]);
    named.arg(mailca.get_program()).args(mailca.get_args());
    let here = run(named.env_remove("MAILCA_DIR")).exits(0);
    assert_eq!(here.stdout, ca.ok(&["emit-mc", "b.example.test"]).stdout);
}

#[test]
fn paths_that_m4_would_change_are_refused_and_others_work() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        ca.ok(&["issue", HOST, "--yes"]);
        for bad in ["it's", "a`b", "a,b", "$1", "a#b", "dnl", "a b/define"] {
            let said = ca.refuses(&["emit-mc", HOST, "--dir", &ca.dir.file(bad)]);
            assert!(said.contains("which m4 would not leave as it is"), "{said}");
        }
        let good = "Zertifikate für Mail";
        run(ca.dir.command("mv").args(["CA", good])).exits(0);
        let mut mailca = ca.dir.mailca(&["--ca", good, "emit-mc"]);
        let mc = BASE_MC.to_owned() + &run(&mut mailca).exits(0).stdout;
        let cacert = ca.dir.file(good) + "/cacert.pem";
        assert_starttls(&Sendmail::start(user, &mc), &cacert);
    }
}
