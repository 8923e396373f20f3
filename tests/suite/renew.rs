//! Certificates that follow others.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use mailca::pki::certificate::Certificate;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::invariants::broken;
use super::support::{BASE_MC, Ca, Ran, Sendmail, User, require, run, s_client_starttls, users};

const HOST: &str = "mail.example.com";
/// The dates of a certificate that has ended.
const PAST: [&str; 2] = [
    "--not-before=2020-01-01T00:00:00Z",
    "--not-after=2020-02-01T00:00:00Z",
];
const RENEW: [&str; 3] = ["renew", HOST, "--yes"];

#[track_caller]
fn assert_sound(ca: &Ca) {
    let problems = broken(Path::new(&ca.file("")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[track_caller]
fn certificate(path: &str) -> Certificate {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Certificate::from_pem_or_der(&bytes).expect("a certificate")
}

/// The certificate in hosts/HOST.
#[track_caller]
fn current(ca: &Ca, host: &str) -> Certificate {
    certificate(&ca.file(&format!("hosts/{host}/cert.pem")))
}

#[track_caller]
fn states(ca: &Ca) -> Vec<String> {
    ca.rows().iter().map(|row| row[..1].to_owned()).collect()
}

#[track_caller]
fn assert_follows(new: &Certificate, old: &Certificate) {
    assert_ne!(new.serial, old.serial);
    assert_eq!(new.subject.as_der(), old.subject.as_der());
    assert_eq!(new.names, old.names);
    assert_eq!(new.purposes, old.purposes);
    assert_eq!(new.subject_public_key_info, old.subject_public_key_info);
}

#[track_caller]
fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

#[test]
fn a_renewed_certificate_keeps_subject_names_profile_and_key_of_every_type() {
    let ca = Ca::new();
    for key_type in ["p256", "p384", "ed25519", "rsa2048"] {
        let host = format!("{key_type}.example.com");
        // An order, and a repeated attribute, that no policy leaves as they are.
        let subject = format!("/OU=one/O=Example/OU=two/C=US/CN={host}");
        let req = ["req", &host, "--subject", &subject, "--key-type", key_type];
        ca.ok(&[&req[..], &["--san", "192.0.2.25"]].concat());
        ca.ok(&[
            "sign",
            "--preserve-dn",
            "--profile=server",
            "--days=9",
            "--yes",
        ]);
        let old = current(&ca, &host);
        let key = ca.read(&format!("hosts/{host}/key.pem"));
        let ran = ca.ok(&["renew", &host, "--yes"]);
        let new = current(&ca, &host);
        assert_follows(&new, &old);
        let days = (new.not_after - new.not_before).whole_days();
        assert_eq!(days, 365, "{ran}");
        assert_eq!(ca.read(&format!("hosts/{host}/key.pem")), key);
        let said = format!("renewed {host} as {}, valid until", new.serial);
        assert!(ran.stdout.starts_with(&said), "{ran}");
        assert!(ran.stdout.contains("next: let the mail server"), "{ran}");
        let file = ca.file(&format!("hosts/{host}/cert.pem"));
        ca.verify(&file, &["-purpose", "sslserver", "-verify_hostname", &host])
            .exits(0);
    }
    assert_sound(&ca);
}

#[test]
fn a_host_whose_key_lives_elsewhere_gets_its_certificate_for_the_last_ones_key() {
    let ca = Ca::new();
    let request = ca.request("mx2.example.com", &["--key-type=p384"]);
    ca.ok(&[
        "sign",
        &request,
        "--out",
        "old.pem",
        "--profile=client",
        "--yes",
    ]);
    // The files of a host of that name here are those of another key.
    ca.ok(&["issue", HOST, "--yes"]);
    let theirs = ca.request(HOST, &[]);
    ca.ok(&["sign", &theirs, "--out", "theirs.pem", "--yes"]);
    let here = current(&ca, HOST);

    let ran = ca.ok(&["renew", "MX2.example.com.", "--yes", "--days=20"]);
    let old = certificate(&ca.dir.file("old.pem"));
    let new = certificate(&ca.file(&format!("newcerts/{}.pem", ca.serials()[3])));
    assert_follows(&new, &old);
    assert!(!ca.exists("hosts/mx2.example.com"));
    let next = format!(
        "next: put {}",
        ca.file(&format!("newcerts/{}.pem", new.serial))
    );
    assert!(ran.stdout.contains(&next), "{ran}");

    let ran = ca.ok(&["renew", "mx2.example.com", "--yes", "--out-dir=out"]);
    let copy = certificate(&ca.dir.file("out/mx2.example.com.pem"));
    assert_follows(&copy, &old);
    assert!(ran.stdout.contains("out/mx2.example.com.pem"), "{ran}");

    // Both of one name are due: that whose key is here, and that whose key is not.
    let words = ["renew", "--expiring=400d", "--yes", "--out-dir=out"];
    let ran = ca.mailca(&words).exits(3);
    assert!(
        ran.stderr.contains("another request's certificate goes to"),
        "{ran}"
    );
    ca.ok(&["renew", "--expiring=400d", "--yes"]);
    assert_follows(&current(&ca, HOST), &here);
    assert_sound(&ca);
}

#[test]
fn of_several_certificates_of_a_host_the_newest_valid_one_is_renewed() {
    let ca = Ca::new();
    let sign = |name: &str, options: &[&str]| {
        let request = ca.openssl_request(name, &["-subj", "/CN=mx2.example.com"]);
        let out = format!("{name}.pem");
        ca.ok(&[&["sign", &request, "--out", &out, "--yes"], options].concat());
        certificate(&ca.dir.file(&out))
    };
    let renewed = || {
        ca.ok(&["renew", "mx2.example.com", "--yes"]);
        certificate(&ca.file(&format!("newcerts/{}.pem", ca.serials().pop().unwrap())))
    };
    let ended = sign("ended", &PAST);
    let one = renewed();
    assert_follows(&one, &ended);
    let valid = sign("valid", &[]);
    sign("later", &PAST);
    let two = renewed();
    assert_follows(&two, &valid);
    for serial in [&two, &valid, &one] {
        ca.ok(&["revoke", &serial.serial.to_string(), "--yes"]);
    }
    let later = certificate(&ca.dir.file("later.pem"));
    assert_follows(&renewed(), &later);
}

#[test]
fn what_is_due_is_renewed_by_one_command_and_then_nothing_is() {
    let ca = Ca::encrypted();
    let config = ca.read("openssl.cnf") + "\n[ policy_none ]\ncommonName = optional\n";
    ca.write("openssl.cnf", &config);
    let pass = "--passphrase-file=pass";
    for (host, days) in [("due", "9"), ("fresh", "90"), ("revoked", "9")] {
        let host = format!("{host}.example.com");
        ca.ok(&["issue", &host, "--days", days, "--yes", pass]);
    }
    ca.ok(&["revoke", "revoked.example.com", "--yes", pass]);
    ca.ok(&["req", "ended.example.com"]);
    ca.ok(&[&["sign", "--yes", pass], &PAST[..]].concat());
    for (name, days) in [
        ("elsewhere", "9"),
        ("later", "90"),
        ("nameless", "9"),
        ("gone", "9"),
    ] {
        let request = match name {
            "nameless" => ca.openssl_request(
                name,
                &[
                    "-subj",
                    "/",
                    "-addext",
                    "subjectAltName=DNS:nameless.example.com",
                ],
            ),
            _ => ca.request(&format!("{name}.example.com"), &[]),
        };
        let sign = ["sign", &request, "--out=out.pem", "--yes", pass];
        match name {
            "nameless" => ca.ok(&[&sign[..], &["--policy=policy_none", "--days=9"]].concat()),
            // One that ended long ago, of a host that is perhaps no more.
            "gone" => ca.ok(&[&sign[..], &PAST].concat()),
            _ => ca.ok(&[&sign[..], &["--days", days]].concat()),
        };
    }
    // A second one of `elsewhere` ends in time, but a later one takes its place already.
    let request = ca.dir.file("later.example.com.csr");
    ca.ok(&["sign", &request, "--out=out.pem", "--days=9", "--yes", pass]);

    let before = ca.rows().len();
    let ran = ca
        .mailca(&["renew", "--expiring=30d", "--yes", "--json", pass])
        .exits(0);
    let document = document(&ran);
    let names: Vec<&str> = document["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    let expected = ["due", "ended", "elsewhere", "nameless"].map(|it| format!("{it}.example.com"));
    assert_eq!(names, expected, "{ran}");
    assert_eq!(document["changed"], true);
    assert_eq!(ca.rows().len(), before + 4);
    assert_sound(&ca);

    // Now nobody is asked for anything.
    let unchanged = ca.tree();
    let document = ca.json(&["renew", "--expiring=30d"]);
    assert_eq!(document["changed"], false);
    assert_eq!(document["certificates"], Value::Array(Vec::new()));
    let ran = ca.ok(&["renew", "--expiring=30d"]);
    assert!(ran.stdout.contains("nothing changed"), "{ran}");
    assert_eq!(ran.stderr, "");
    unchanged.assert_unchanged(ca.dir.path(), "nothing was due");
}

#[test]
fn what_ends_with_the_ca_certificate_is_not_renewed_every_day() {
    let ca = Ca::of(User::me(), &["--days=20"]);
    ca.ok(&["issue", HOST, "--yes"]);
    let due = ["renew", "--expiring=30d", "--yes"];
    let ran = ca.ok(&due);
    assert!(
        ran.stderr.contains("1 of the certificates due end with"),
        "{ran}"
    );
    assert_eq!(ca.rows().len(), 1);
    ca.ok(&RENEW_CA);
    ca.ok(&due);
    assert_eq!(ca.rows().len(), 2);
}

#[test]
fn the_ca_s_own_row_is_never_due() {
    let ca = Ca::new();
    // As CA.pl makes a CA: its certificate stands in the register.
    ca.dir.openssl(&[
        "req",
        "-new",
        "-key",
        "CA/private/cakey.pem",
        "-subj",
        "/CN=Own",
        "-out",
        "ca.csr",
    ]);
    ca.openssl_ca(&[
        "-selfsign",
        "-days=9",
        "-in",
        "../ca.csr",
        "-keyfile=private/cakey.pem",
        "-out=../own.pem",
    ])
    .exits(0);
    let document = ca.json(&["renew", "--expiring=30d"]);
    assert_eq!(document["changed"], false);
}

#[test]
fn a_new_key_is_of_the_same_type_and_what_it_changes_is_told() {
    let ca = Ca::new();
    for key_type in ["p384", "ed25519"] {
        let host = format!("{key_type}.example.com");
        ca.ok(&["issue", &host, "--key-type", key_type, "--yes"]);
        ca.ok(&["req", &host]);
        let waiting = ca.read(&format!("hosts/{host}.next/key.pem"));
        let old = current(&ca, &host);
        let ran = ca.ok(&["renew", &host, "--new-key", "--yes"]);
        let new = current(&ca, &host);
        assert_ne!(new.subject_public_key_info, old.subject_public_key_info);
        assert_eq!(new.names, old.names);
        let algorithm = |it: &Certificate| {
            let file = ca.file(&format!("newcerts/{}.pem", it.serial));
            let text = ca.x509(&file, &["-text"]);
            text.lines()
                .find(|line| line.contains("Public Key Algorithm"))
                .unwrap()
                .to_owned()
        };
        assert_eq!(algorithm(&new), algorithm(&old));
        // As openssl counts them.
        for it in [&old, &new] {
            let file = ca.file(&format!("newcerts/{}.pem", it.serial));
            let script = format!(
                "openssl x509 -in {file} -noout -pubkey | openssl pkey -pubin -outform DER \
                 | openssl sha256 -c | sed 's/.*= //'"
            );
            let colons = run(ca.dir.command("sh").args(["-c", &script]))
                .exits(0)
                .stdout;
            let postfix = colons.trim().to_uppercase();
            assert!(ran.stdout.contains(&postfix), "{ran}");
            let tlsa = colons.trim().replace(':', "");
            let record = format!("_25._tcp.{host}. IN TLSA 3 1 1 {tlsa}");
            assert!(ran.stdout.contains(&record), "{record}: {ran}");
        }
        assert_eq!(ca.read(&format!("hosts/{host}.next/key.pem")), waiting);
    }
    let request = ca.request("mx2.example.com", &[]);
    ca.ok(&["sign", &request, "--out=mx2.pem", "--yes"]);
    let said = ca.refuses(&["renew", "mx2.example.com", "--new-key", "--yes"]);
    assert!(
        said.contains("hint: have the host make a new request"),
        "{said}"
    );
    assert!(fs::read_dir(ca.file("hosts")).unwrap().count() == 8);
    fs::remove_file(ca.file("newreq.pem")).unwrap();
    assert_sound(&ca);
}

#[test]
fn the_old_one_is_revoked_in_the_same_step_and_openssl_goes_on() {
    for unique in ["no", "yes"] {
        let ca = Ca::new();
        ca.write("index.txt.attr", &format!("unique_subject = {unique}\n"));
        ca.ok(&["issue", HOST, "--yes"]);
        let request = ca.request("mx2.example.com", &[]);
        ca.ok(&["sign", &request, "--out=mx2.pem", "--yes"]);
        if unique == "yes" {
            let said = ca.refuses(&RENEW);
            assert!(said.contains("unique_subject = yes permits one"), "{said}");
            let (_, hint) = said.split_once("hint: ").unwrap();
            assert!(
                hint.contains(&format!("renew {HOST} --revoke-old")),
                "{hint}"
            );
        }
        let (old, theirs) = (current(&ca, HOST), certificate(&ca.dir.file("mx2.pem")));
        let words = [
            "renew",
            HOST,
            "mx2.example.com",
            "--revoke-old",
            "--yes",
            "--json",
        ];
        let ran = ca.mailca(&words).exits(0);
        let document = document(&ran);
        assert_eq!(document["crl"]["entries"], 2, "{ran}");
        for one in document["certificates"].as_array().unwrap() {
            assert_eq!(one["revoked"], true, "{ran}");
        }
        assert_eq!(states(&ca), ["R", "R", "V", "V"]);
        assert!(ca.rows()[0].contains(",superseded\t"), "{:?}", ca.rows());
        for (name, code) in [(&old, 2), (&theirs, 2), (&current(&ca, HOST), 0)] {
            let file = ca.file(&format!("newcerts/{}.pem", name.serial));
            let crl = ca.file("crl/crl.pem");
            ca.verify(&file, &["-crl_check", "-CRLfile", &crl])
                .exits(code);
        }
        assert_sound(&ca);
        let theirs = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
        ca.openssl_ca(&["-in", &theirs, "-out", "../theirs.pem"])
            .exits(0);
        ca.openssl_ca(&["-gencrl", "-out", "../theirs.crl"])
            .exits(0);
    }
}

#[test]
fn under_unique_subject_one_that_has_ended_is_renewed_and_marked() {
    let ca = Ca::new();
    ca.write("index.txt.attr", "unique_subject = yes\n");
    ca.ok(&["req", HOST]);
    ca.ok(&[&["sign", "--yes"][..], &PAST].concat());
    let ran = ca.ok(&[&RENEW[..], &["--revoke-old"]].concat());
    assert!(
        ran.stderr.contains("has ended, and need not be revoked"),
        "{ran}"
    );
    assert_eq!(states(&ca), ["E", "V"]);
    let theirs = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    ca.openssl_ca(&["-in", &theirs, "-out", "../theirs.pem"])
        .exits(0);
    assert_sound(&ca);
}

#[test]
fn a_revoked_certificate_and_a_compromised_key_are_not_renewed() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    ca.ok(&["revoke", HOST, "--reason=keyCompromise", "--yes"]);
    let said = ca.refuses(&RENEW);
    assert!(
        said.contains("(keyCompromise), and a revoked certificate is not renewed"),
        "{said}"
    );
    assert!(said.contains(&format!("issue {HOST} --replace")), "{said}");

    // The same key, certified elsewhere before: another certificate of it is valid.
    let request = ca.request("mx2.example.com", &[]);
    ca.ok(&["sign", &request, "--out=one.pem", "--yes"]);
    ca.ok(&["sign", &request, "--out=two.pem", "--yes"]);
    ca.ok(&["revoke", "one.pem", "--reason=keyCompromise", "--yes"]);
    let said = ca.refuses(&["renew", "mx2.example.com", "--yes"]);
    assert!(said.contains("the key was compromised"), "{said}");
    ca.ok(&["revoke", "two.pem", "--yes"]);
    let said = ca.refuses(&["renew", "mx2.example.com", "--yes"]);
    assert!(
        said.contains("hint: have the host make a new request"),
        "{said}"
    );
    ca.refuses(&["renew", "unknown.example.com", "--yes"]);
}

#[test]
fn one_that_is_refused_does_not_spoil_the_others() {
    let ca = Ca::new();
    for host in ["a", "b", "c"] {
        ca.ok(&["issue", &format!("{host}.example.com"), "--yes"]);
    }
    ca.ok(&["revoke", "b.example.com", "--yes"]);
    fs::remove_file(ca.file("hosts/c.example.com/key.pem")).unwrap();
    let words = [
        "renew",
        "a.example.com",
        "b.example.com",
        "c.example.com",
        "a.example.com",
    ];
    let ran = ca
        .mailca(&[&words[..], &["--yes", "--json"]].concat())
        .exits(3);
    let document = document(&ran);
    assert_eq!(
        document["certificates"].as_array().unwrap().len(),
        1,
        "{ran}"
    );
    assert_eq!(document["failed"].as_array().unwrap().len(), 2, "{ran}");
    assert_eq!(ca.rows().len(), 4);
    let ran = ca.mailca(&["renew", "b.example.com", "--yes"]).exits(1);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{ran}");
}

#[test]
fn what_a_certificate_by_openssl_lacks_is_made_good_and_said() {
    let ca = Ca::new();
    let request = ca.openssl_request("old", &["-subj", "/CN=old.example.com"]);
    let bare = "basicConstraints = CA:FALSE\n";
    ca.dir.write("bare.cnf", bare);
    ca.openssl_ca(&["-in", &request, "-out=../old.pem", "-extfile=../bare.cnf"])
        .exits(0);
    let ran = ca.ok(&["renew", "old.example.com", "--yes", "--out-dir=out"]);
    assert!(
        ran.stderr
            .contains("has no SubjectAltName; from its subject comes DNS:old"),
        "{ran}"
    );
    assert!(ran.stderr.contains("the purposes of no profile"), "{ran}");
    let file = ca.dir.file("out/old.example.com.pem");
    ca.verify(
        &file,
        &[
            "-purpose",
            "sslserver",
            "-verify_hostname",
            "old.example.com",
        ],
    )
    .exits(0);
}

const HOOK: &str = "
    printf '%s\\n' \"$MAILCA_HOST $MAILCA_SERIAL ${MAILCA_HOST_FILES-nowhere}\" >>\"$LOG\"
    env | grep -c 'PASSPHRASE\\|CREDENTIALS' >>\"$LOG\"
    openssl x509 -in \"$MAILCA_CERTIFICATE\" -noout -serial >>\"$LOG\"
    # Nothing is locked any more.
    \"$MAILCA\" --ca CA issue \"$MAILCA_HOST.hook.example.com\" --wait 0 --yes >>\"$LOG\" 2>&1
    echo said by the hook
    [ \"$MAILCA_HOST\" != mx2.example.com ] || exit 7
";

#[test]
fn the_deploy_hook_runs_for_each_host_without_secrets_and_its_failure_is_told() {
    let ca = Ca::encrypted();
    let pass = "--passphrase-file=pass";
    ca.ok(&["issue", HOST, "--yes", pass]);
    let request = ca.request("mx2.example.com", &[]);
    ca.ok(&["sign", &request, "--out=mx2.pem", "--yes", pass]);
    let (log, key) = (ca.dir.file("log"), ca.dir.file("key.pem"));
    let mut command = ca.command(&["renew", HOST, "mx2.example.com", "--yes", "--json"]);
    command
        .args(["--deploy-hook", HOOK])
        .env("LOG", &log)
        .env("MAILCA", env!("CARGO_BIN_EXE_mailca"))
        .env("MAILCA_HOST_FILES", key)
        .env("MAILCA_PASSPHRASE", "mailca tests")
        .env("CREDENTIALS_DIRECTORY", "/nonexistent");
    let ran = run(&mut command).exits(3);
    let document = document(&ran);
    let deployed: Vec<_> = (0..2)
        .map(|n| document["certificates"][n]["deployed"].clone())
        .collect();
    assert_eq!(deployed, [true, false], "{ran}");
    assert_eq!(ran.stderr.matches("said by the hook").count(), 2, "{ran}");
    let warning = "warning: the deploy hook for mx2.example.com ended with exit status: 7";
    assert!(ran.stderr.contains(warning), "{ran}");
    let serials = ca.serials();
    let log = ca.dir.read("log");
    let files = ca.file(&format!("hosts/{HOST}"));
    for (host, serial, files) in [
        (HOST, &serials[2], &*files),
        ("mx2.example.com", &serials[3], "nowhere"),
    ] {
        let block = format!("{host} {serial} {files}\n0\nserial={serial}\n");
        assert!(log.contains(&block), "{block}\n{log}");
    }
    // The inner command gets as far as the passphrase.
    assert_eq!(
        log.matches("the CA key's passphrase is missing").count(),
        2,
        "{log}"
    );
    assert_sound(&ca);
}

#[test]
fn a_hook_does_not_inherit_the_descriptor_of_the_passphrase() {
    let ca = Ca::encrypted();
    ca.ok(&["issue", HOST, "--yes", "--passphrase-file=pass"]);
    let hook = "ls -l /proc/self/fd >fds";
    let script = format!(
        "exec \"$MAILCA\" --ca CA renew {HOST} --yes --passphrase-fd 9 --deploy-hook '{hook}' 9<pass"
    );
    let mut shell = ca.dir.command("sh");
    shell
        .args(["-c", &script])
        .env("MAILCA", env!("CARGO_BIN_EXE_mailca"));
    run(&mut shell).exits(0);
    let open = ca.dir.read("fds");
    assert!(!open.contains("/pass"), "{open}");
}

#[test]
fn a_signal_that_stops_mailca_stops_the_hook() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let before = current(&ca, HOST).serial;
    let hook = "echo $$ >started; (sleep 300; echo late >late) & wait";
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let _ = fs::remove_file(ca.dir.path().join("started"));
        let mut command = ca.command(&["renew", HOST, "--yes", "--deploy-hook", hook]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start mailca");
        let deadline = Instant::now() + Duration::from_secs(120);
        let group = loop {
            let text = fs::read_to_string(ca.dir.path().join("started")).unwrap_or_default();
            if let Ok(group) = text.trim().parse::<i32>() {
                break Pid::from_raw(group).expect("a process");
            }
            assert!(Instant::now() < deadline, "the hook never started");
            sleep(Duration::from_millis(5));
        };
        kill_process(Pid::from_child(&child), signal).expect("signal mailca");
        let status = child.wait().expect("wait for mailca");
        assert_eq!(status.code(), Some(130));
        // The hook's processes are a group; it goes away with the last of them.
        while rustix::process::test_kill_process_group(group).is_ok() {
            assert!(
                Instant::now() < deadline,
                "the hook lives on after {signal:?}"
            );
            sleep(Duration::from_millis(5));
        }
    }
    assert_ne!(current(&ca, HOST).serial, before);
    assert_sound(&ca);
}

const RENEW_CA: [&str; 2] = ["renew-ca", "--yes"];

/// Puts another CA certificate with the same key into the CA's place: by OpenSSL, with these
/// extensions and, as options of `openssl ca`, dates.
fn replace_ca(ca: &Ca, extensions: &str, dates: &[&str]) {
    ca.dir.write("ca.cnf", &format!("[ v3 ]\n{extensions}\n"));
    let subject = "/C=US/ST=CA/O=Example/CN=Example Mail CA";
    let key = ca.file("private/cakey.pem");
    ca.dir.openssl(&[
        "req", "-new", "-key", &key, "-subj", subject, "-out", "ca.csr",
    ]);
    // With a register of its own.
    ca.dir.write("index.txt", "");
    let settings = format!(
        "[ ca ]\ndefault_ca = own\n[ own ]\ndatabase = index.txt\nnew_certs_dir = .\npolicy = any\n\
         rand_serial = yes\ndefault_md = sha256\ncertificate = CA/cacert.pem\n\
         [ any ]\ncountryName = optional\nstateOrProvinceName = optional\n\
         organizationName = optional\ncommonName = supplied\n{}",
        ca.dir.read("ca.cnf")
    );
    ca.dir.write("ca.cnf", &settings);
    let sign = [
        "ca",
        "-config=ca.cnf",
        "-batch",
        "-notext",
        "-selfsign",
        "-in=ca.csr",
    ];
    let files = ["-out=CA/cacert.pem", "-extensions=v3", "-keyfile", &key];
    ca.dir.openssl(&[&sign[..], &files, dates].concat());
}

const TEN_DAYS: [&str; 2] = ["-days", "10"];
const ENDED: [&str; 4] = [
    "-startdate",
    "20200101000000Z",
    "-enddate",
    "20210101000000Z",
];

#[test]
fn what_was_issued_before_verifies_with_the_new_ca_certificate_alone() {
    for key_type in ["p256", "p384", "ed25519", "rsa2048"] {
        let ca = Ca::of(User::me(), &["--key-type", key_type, "--days=100"]);
        ca.ok(&["issue", HOST, "--days=30", "--yes"]);
        ca.ok(&["issue", "again.example.com", "--days=30", "--yes"]);
        ca.ok(&[
            "issue",
            "again.example.com",
            "--san=x.example.com",
            "--replace",
            "--yes",
            "--days=30",
        ]);
        ca.ok(&["issue", "revoked.example.com", "--yes"]);
        ca.ok(&["revoke", "revoked.example.com", "--yes"]);
        let request = ca.request("mx2.example.com", &[]);
        ca.ok(&["sign", &request, "--out=mx2.pem", "--days=30", "--yes"]);
        let old = certificate(&ca.file("cacert.pem"));
        let link = fs::read_dir(ca.file("."))
            .unwrap()
            .flatten()
            .find(|entry| entry.path().is_symlink())
            .unwrap()
            .path();

        let document = ca.json(&RENEW_CA);
        let new = certificate(&ca.file("cacert.pem"));
        assert_follows(&new, &old);
        assert_eq!(new.subject_key_identifier, old.subject_key_identifier);
        assert_eq!(new.serial.as_be_bytes().len(), 20);
        assert_eq!((new.not_after - new.not_before).whole_days(), 3650);
        let hosts = [HOST, "again.example.com", "mx2.example.com"]
            .map(Value::from)
            .to_vec();
        let mut listed = document["hosts"].as_array().unwrap().clone();
        listed.sort_by_key(|it| hosts.iter().position(|host| host == it));
        assert_eq!(listed, hosts);
        assert_eq!(document["hosts_total"], 3);
        assert_eq!(document["renews"], old.serial.to_string());
        let kept = certificate(document["kept"].as_str().unwrap());
        assert_eq!(kept.as_der(), old.as_der());
        assert_eq!(certificate(link.to_str().unwrap()).as_der(), new.as_der());

        for serial in ca.serials() {
            let crl = ca.file("crl/crl.pem");
            let file = ca.file(&format!("newcerts/{serial}.pem"));
            let revoked = ca
                .rows()
                .iter()
                .any(|row| row.starts_with('R') && row.contains(&serial));
            ca.verify(&file, &[]).exits(0);
            ca.verify(&file, &["-crl_check", "-CRLfile", &crl])
                .exits(if revoked { 2 } else { 0 });
        }
        assert_sound(&ca);
        // The chain a server presents ends with it.
        let chain = ca.read(&format!("hosts/{HOST}/chain.pem"));
        assert!(chain.ends_with(&ca.read("cacert.pem")), "{chain}");
        // Both go on.
        ca.ok(&["issue", "next.example.com", "--yes"]);
        let theirs = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
        ca.openssl_ca(&["-in", &theirs, "-out", "../theirs.pem"])
            .exits(0);
        ca.verify(&ca.dir.file("theirs.pem"), &[]).exits(0);
        assert_sound(&ca);
        let ran = ca.ok(&RENEW_CA);
        assert!(
            ran.stdout.contains("which need the new one before"),
            "{ran}"
        );
        assert_ne!(certificate(&ca.file("cacert.pem")).serial, new.serial);
        assert_eq!(fs::read_dir(ca.file("certs")).unwrap().count(), 2);
        assert_sound(&ca);
    }
}

#[test]
fn a_ca_certificate_that_has_ended_is_renewed_as_the_hint_says() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let extensions = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash";
    replace_ca(&ca, extensions, &ENDED);
    let hint = |words: &[&str]| {
        let said = ca.mailca(words).exits(1).stderr;
        assert!(said.contains("expired on 2021-01-01"), "{said}");
        let (_, hint) = said.split_once("hint: ").unwrap();
        hint.lines().next().unwrap().to_owned()
    };
    assert!(hint(&["crl"]).contains("renew-ca"));
    let hint = hint(&RENEW);
    let mailca = env!("CARGO_BIN_EXE_mailca");
    let command = hint.replacen("mailca", mailca, 1) + " --yes";
    let ran = run(ca.dir.command("sh").args(["-c", &command])).exits(0);
    assert!(ran.stdout.contains("need the new one now: 1"), "{ran}");
    ca.verify(&ca.file(&format!("hosts/{HOST}/cert.pem")), &[])
        .exits(0);
    ca.ok(&RENEW);
    ca.ok(&["crl"]);
}

#[test]
fn what_a_ca_certificate_lacks_is_added_and_what_it_has_besides_is_named() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let extensions = "basicConstraints = CA:TRUE, pathlen:1
         keyUsage = keyCertSign
         subjectKeyIdentifier = 0102030405
         nameConstraints = permitted;DNS:example.com
         subjectAltName = email:ca@example.com";
    replace_ca(&ca, extensions, &TEN_DAYS);
    let said = ca.mailca(&["crl"]).exits(1).stderr;
    assert!(said.contains("renew-ca"), "{said}");
    let ran = ca.ok(&RENEW_CA);
    let added = "new in it: basicConstraints is critical, keyUsage includes cRLSign";
    assert!(ran.stderr.contains(added), "{ran}");
    assert!(
        ran.stderr.contains("left out of it: id-ce-subjectAltName"),
        "{ran}"
    );
    assert!(ran.stdout.contains(" crl\n"), "{ran}");
    let text = ca.x509(&ca.file("cacert.pem"), &["-text"]);
    for part in [
        "CA:TRUE, pathlen:1",
        "01:02:03:04:05",
        "DNS:example.com",
        "Certificate Sign, CRL Sign",
    ] {
        assert!(text.contains(part), "{text}");
    }
    ca.ok(&["crl"]);
    let new = ca.ok(&RENEW);
    assert!(new.stdout.contains("renewed"), "{new}");
    let file = ca.file(&format!("hosts/{HOST}/cert.pem"));
    ca.verify(&file, &["-crl_check", "-CRLfile", &ca.file("crl/crl.pem")])
        .exits(0);
    ca.refuses(&["issue", "mail.example.org", "--yes"]);
}

#[test]
fn a_ca_certificate_of_version_1_becomes_one_of_version_3() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let key = ca.file("private/cakey.pem");
    let subject = "/C=US/ST=CA/O=Example/CN=Example Mail CA";
    ca.dir.openssl(&[
        "req", "-new", "-key", &key, "-subj", subject, "-out", "ca.csr",
    ]);
    ca.dir.openssl(&[
        "x509",
        "-req",
        "-in",
        "ca.csr",
        "-signkey",
        &key,
        "-out",
        "CA/cacert.pem",
    ]);
    assert!(
        ca.x509(&ca.file("cacert.pem"), &["-text"])
            .contains("Version: 1")
    );
    ca.ok(&RENEW_CA);
    assert!(
        ca.x509(&ca.file("cacert.pem"), &["-text"])
            .contains("Version: 3")
    );
    ca.verify(&ca.file(&format!("hosts/{HOST}/cert.pem")), &[])
        .exits(0);
    ca.ok(&RENEW);
    assert_sound(&ca);
}

#[test]
fn what_only_its_issuer_can_renew_and_what_would_be_lost_is_refused() {
    let ca = Ca::new();
    let own = ca.read("cacert.pem");
    ca.write("cacert.pem", &(own.clone() + &own));
    let said = ca.refuses(&RENEW_CA);
    assert!(
        said.contains("holds more than the CA certificate"),
        "{said}"
    );
    ca.write("cacert.pem", &(own.clone() + &ca.read("private/cakey.pem")));
    ca.refuses(&RENEW_CA);
    ca.write("cacert.pem", &own);
    replace_ca(&ca, "basicConstraints = CA:FALSE", &TEN_DAYS);
    let said = ca.refuses(&RENEW_CA);
    assert!(said.contains("basicConstraints says CA:FALSE"), "{said}");
    ca.write("cacert.pem", &own);
    // An intermediate.
    let key = ca.file("private/cakey.pem");
    let other = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Root",
    ];
    ca.dir
        .openssl(&[&other[..], &["-keyout", "root.key", "-out", "root.pem"]].concat());
    ca.dir.openssl(&[
        "req",
        "-new",
        "-key",
        &key,
        "-subj",
        "/CN=Inter",
        "-out",
        "inter.csr",
    ]);
    ca.dir
        .write("inter.cnf", "basicConstraints = critical, CA:TRUE\n");
    let sign = [
        "x509",
        "-req",
        "-in=inter.csr",
        "-CA=root.pem",
        "-CAkey=root.key",
    ];
    let to = [
        "-CAcreateserial",
        "-extfile=inter.cnf",
        "-out=CA/cacert.pem",
    ];
    ca.dir.openssl(&[&sign[..], &to].concat());
    let said = ca.refuses(&RENEW_CA);
    assert!(
        said.contains("was issued by CN=Root, which has to renew it"),
        "{said}"
    );
    let (_, hint) = said
        .split_once("from the request that this makes: ")
        .unwrap();
    run(ca.dir.command("sh").args(["-c", hint.trim()])).exits(0);
    ca.dir
        .openssl(&["req", "-in", "ca.csr", "-noout", "-verify"]);
}

#[test]
fn what_is_bound_to_the_old_certificate_or_ends_with_it_is_named_and_renewed() {
    let ca = Ca::new();
    let extensions = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash";
    replace_ca(&ca, extensions, &TEN_DAYS);
    // Shortened to the end of the CA certificate.
    ca.ok(&["issue", HOST, "--yes"]);
    let request = ca.request("mx2.example.com", &[]);
    ca.ok(&["sign", &request, "--out=mx2.pem", "--yes"]);
    ca.ok(&["issue", "bound.example.com", "--days=5", "--yes"]);
    // As some openssl.cnf have it.
    let request = ca.dir.file("bound.csr");
    let key = ca.file("hosts/bound.example.com/key.pem");
    ca.dir.openssl(&[
        "req",
        "-new",
        "-key",
        &key,
        "-subj",
        "/CN=bound.example.com",
        "-out",
        &request,
    ]);
    ca.dir.write(
        "bound.cnf",
        "authorityKeyIdentifier = keyid:always, issuer:always\nbasicConstraints = CA:FALSE\n",
    );
    ca.openssl_ca(&[
        "-in",
        &request,
        "-days=5",
        "-out=../bound.pem",
        "-extfile=../bound.cnf",
    ])
    .exits(0);
    let bound = ca.dir.read("bound.pem");
    ca.write("hosts/bound.example.com/cert.pem", &bound);
    let file = ca.file("hosts/bound.example.com/cert.pem");
    ca.verify(&file, &[]).exits(0);

    let ran = ca.ok(&RENEW_CA);
    assert!(
        ran.stderr
            .contains("warning: the certificate of bound.example.com names"),
        "{ran}"
    );
    ca.verify(&file, &[]).exits(2);
    ca.verify(&ca.file(&format!("hosts/{HOST}/cert.pem")), &[])
        .exits(0);
    assert!(
        ran.stdout
            .contains("certificates that end with the old one"),
        "{ran}"
    );
    let before = ca.rows().len();
    let mailca = env!("CARGO_BIN_EXE_mailca");
    for next in ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("next: mailca"))
    {
        let command = format!("{mailca}{next} --yes");
        run(ca.dir.command("sh").args(["-c", &command])).exits(0);
    }
    ca.verify(&file, &[]).exits(0);
    let days = |it: &Certificate| (it.not_after - it.not_before).whole_days();
    assert_eq!(days(&current(&ca, HOST)), 365);
    assert_eq!(ca.rows().len(), before + 3, "{:?}", ca.rows());
    assert_sound(&ca);
}

#[test]
fn a_copy_of_the_ca_certificate_under_its_hash_is_named() {
    let ca = Ca::new();
    let hash = ca.x509(&ca.file("cacert.pem"), &["-subject_hash"]);
    let copy = ca.file(&format!("{}.0", hash.trim()));
    fs::remove_file(&copy).unwrap();
    fs::copy(ca.file("cacert.pem"), &copy).unwrap();
    let ran = ca.ok(&RENEW_CA);
    assert!(
        ran.stderr.contains(&format!("warning: {copy} is a copy")),
        "{ran}"
    );
    let ran = ca.ok(&RENEW_CA);
    assert_eq!(ran.stderr, "", "{ran}");
}

#[test]
fn sixteen_processes_renew_revoke_and_sign_at_once() {
    let ca = Ca::new();
    for number in 0..16 {
        ca.ok(&["issue", &format!("h{number}.example.com"), "--yes"]);
        ca.request(&format!("r{number}.example.com"), &[]);
    }
    thread::scope(|scope| {
        for number in 0..16 {
            let ca = &ca;
            scope.spawn(move || {
                let host = format!("h{number}.example.com");
                let (request, out) = (
                    format!("r{number}.example.com.csr"),
                    format!("{number}.pem"),
                );
                let wait = ["--yes", "--wait", "100"];
                let run = |words: &[&str]| ca.ok(&[words, &wait].concat());
                run(&["renew", &host, "--revoke-old"]);
                run(&["sign", &request, "--out", &out]);
                run(&["renew", &host]);
                match number % 4 {
                    0 => run(&["revoke", &out]),
                    1 => run(&["crl"]),
                    _ => run(&["renew", &format!("r{number}.example.com"), "--revoke-old"]),
                };
            });
        }
    });
    // 16 issued, 32 renewed for hosts here, 16 signed, 8 renewed for keys elsewhere.
    assert_eq!(ca.rows().len(), 72);
    let revoked = states(&ca).iter().filter(|state| *state == "R").count();
    assert_eq!(revoked, 16 + 4 + 8);
    assert_sound(&ca);
    let theirs = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
    ca.openssl_ca(&["-in", &theirs, "-out", "../theirs.pem"])
        .exits(0);
}

fn mail_host(user: User) -> (Ca, Sendmail) {
    let ca = Ca::of(user, &[]);
    ca.ok(&["issue", HOST, "--yes"]);
    let lines = ca.ok(&["emit-mc", HOST]).stdout;
    let sendmail = Sendmail::start(user, &(BASE_MC.to_owned() + &lines));
    (ca, sendmail)
}

#[test]
fn sendmail_presents_the_renewed_certificate_after_a_reload() {
    if !require(&["sendmail", "m4", "cc", "openssl"]) {
        return;
    }
    for user in users() {
        let (ca, mut sendmail) = mail_host(user);
        let presented = |sendmail: &Sendmail| {
            let shown = s_client_starttls(sendmail.port, &ca.file("cacert.pem"), HOST, &[]);
            assert!(shown.verified, "{}\n{}", shown.ran, sendmail.log());
            ca.dir.write("shown.pem", &shown.ran.stdout);
            certificate(&ca.dir.file("shown.pem")).serial
        };
        let old = presented(&sendmail);
        for options in [&[][..], &["--new-key", "--revoke-old"]] {
            ca.ok(&[&RENEW[..], options].concat());
            sendmail.reload();
            let new = presented(&sendmail);
            assert_ne!(new, old);
            assert_eq!(new, current(&ca, HOST).serial);
        }
    }
}

#[test]
fn sendmail_accepts_a_client_certificate_issued_before_the_ca_certificate_was_renewed() {
    if !require(&["sendmail", "m4", "cc", "openssl"]) {
        return;
    }
    for user in users() {
        let (ca, mut sendmail) = mail_host(user);
        let request = ca.request("client.example.test", &[]);
        ca.ok(&["sign", &request, "--out=client.pem", "--yes"]);
        let (cert, key) = (
            ca.dir.file("client.pem"),
            ca.dir.file("client.example.test.key"),
        );
        assert_eq!(
            sendmail.verdict_on(Some([&cert, &key])),
            "OK",
            "{}",
            sendmail.log()
        );
        let before = ca.read("cacert.pem");
        ca.ok(&RENEW_CA);
        assert_ne!(ca.read("cacert.pem"), before);
        sendmail.restart();
        assert_eq!(
            sendmail.verdict_on(Some([&cert, &key])),
            "OK",
            "{}",
            sendmail.log()
        );
        let shown = s_client_starttls(sendmail.port, &ca.file("cacert.pem"), HOST, &[]);
        assert!(shown.verified, "{}\n{}", shown.ran, sendmail.log());
    }
}
