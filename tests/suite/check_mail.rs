//! `mailca check` and the real mail servers: what is critical to the one is refused by the other,
//! and where nothing is said all is well.

use std::fs;
use std::process::Command;

use mailca::mta::sendmail::config::{self, Config, Setting};
use serde_json::Value;

use super::support::{BASE_MC, Ca, Exim, Sendmail, User, require, run, tell, users};

const HOST: &str = "mail.example.test";

fn tools() -> bool {
    require(&["sendmail", "m4", "cc", "openssl"])
}

/// A CA with a host and a CRL, in which nothing is wrong.
fn healthy(user: User) -> Ca {
    let ca = Ca::of(user, &[]);
    ca.ok(&["issue", HOST, "--yes"]);
    ca.ok(&["crl"]);
    assert_eq!(problems(&check(&ca, &[])), Vec::<String>::new());
    ca
}

fn check(ca: &Ca, options: &[&str]) -> Value {
    let ran = ca.mailca(&[&["check", "--json"], options].concat());
    assert!([0, 3].contains(&ran.code()), "{ran}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

fn findings(report: &Value) -> &[Value] {
    report["findings"].as_array().expect("findings")
}

fn problems(report: &Value) -> Vec<String> {
    let all = findings(report).iter();
    all.map(|one| one["problem"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn finding<'a>(report: &'a Value, problem: &str) -> &'a Value {
    let found = findings(report)
        .iter()
        .find(|one| one["problem"] == problem);
    found.unwrap_or_else(|| panic!("no {problem}: {report:#}"))
}

/// Runs what a finding says helps, as the user whose CA it is, with this mailca as `mailca`.
#[track_caller]
fn remedy(ca: &Ca, finding: &Value) {
    let script = finding["remedy"].as_str().expect("a remedy");
    let mailca = ca.command(&[]).get_program().to_owned();
    let script =
        format!("mailca() {{ \"$MAILCA\" --yes \"$@\"; }}\nsendmailconfig() {{ :; }}\n{script}");
    let mut shell = ca.dir.command("sh");
    run(shell.args(["-ec", &script]).env("MAILCA", mailca)).exits(0);
}

const ROLES: [[&str; 2]; 8] = [
    ["CACERT_PATH", ""],
    ["CACERT", "cacert.pem"],
    ["SERVER_CERT", "hosts/mail.example.test/cert.pem"],
    ["SERVER_KEY", "hosts/mail.example.test/key.pem"],
    ["CLIENT_CERT", "hosts/mail.example.test/cert.pem"],
    ["CLIENT_KEY", "hosts/mail.example.test/key.pem"],
    ["CRL", "crl/crl.pem"],
    ["CRL_PATH", "crl"],
];

/// A sendmail.mc that names the files of a CA, but for some.
fn mc(ca: &Ca, others: &[[&str; 2]]) -> String {
    let line = |[setting, usual]: [&str; 2]| {
        let other = others.iter().find(|[name, _]| *name == setting);
        let file = ca.file(other.map_or(usual, |[_, file]| file));
        format!("define(`conf{setting}', `{file}')dnl\n")
    };
    BASE_MC.to_owned() + &ROLES.map(line).concat()
}

/// The configuration that m4 makes of it.
fn cf(ca: &Ca, mc: &str) -> String {
    ca.dir.write("sendmail.mc", mc);
    let cf = "-D_CF_DIR_=/usr/share/sendmail/cf/";
    run(ca.dir.command("m4").args([cf, "sendmail.mc"]))
        .exits(0)
        .stdout
}

/// What check says of a sendmail.mc and of its sendmail.cf, which has to be the same.
#[track_caller]
fn check_mc(ca: &Ca, mc: &str) -> Value {
    let cf = cf(ca, mc);
    ca.dir.write("sendmail.cf", &cf);
    let servers = ["--for", "sendmail", "--sendmail"];
    let by_cf = check(ca, &[&servers[..], &["sendmail.cf"]].concat());
    let by_mc = check(ca, &[&servers[..], &["sendmail.mc"]].concat());
    assert_eq!(problems(&by_cf), problems(&by_mc), "{by_cf:#}\n{by_mc:#}");
    for (report, file, text) in [(&by_cf, "sendmail.cf", &*cf), (&by_mc, "sendmail.mc", mc)] {
        for found in findings(report) {
            let reason = found["reason"].as_str().unwrap();
            let Some((number, rest)) = reason
                .strip_prefix(file)
                .and_then(|rest| rest.strip_prefix(':')?.split_once(" names "))
            else {
                continue;
            };
            let line = text
                .lines()
                .nth(number.parse::<usize>().unwrap() - 1)
                .unwrap();
            let named = rest.split_once(" as ").unwrap().0;
            assert!(line.contains(named), "{reason}: {line}");
        }
    }
    by_mc
}

/// Whether the real Sendmail offers STARTTLS with it, and what it logs.
fn starttls(user: User, mc: &str) -> (bool, String) {
    let sendmail = Sendmail::start(user, mc);
    (sendmail.offers_starttls(), sendmail.log())
}

#[test]
fn sendmail_refuses_what_check_says_it_does() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = healthy(user);
        ca.ok(&["issue", "other.example.test", "--yes"]);
        ca.dir.openssl(&[
            "pkey",
            "-in",
            &ca.file(&format!("hosts/{HOST}/key.pem")),
            "-aes256",
            "-passout",
            "pass:x",
            "-out",
            "CA/locked.pem",
        ]);
        ca.ok(&["sign", &ca.request("last.example.test", &[]), "--yes"]);
        ca.write("empty.pem", "");
        ca.chmod("empty.pem", 0o600);
        let key = "private/cakey.pem";
        let other = "hosts/other.example.test/key.pem";
        let cases: [(&[[&str; 2]], &str); 9] = [
            (&[], ""),
            (
                &[["SERVER_KEY", key], ["CLIENT_KEY", key]],
                "sendmail-ca-key",
            ),
            (
                &[["SERVER_KEY", other], ["CLIENT_KEY", other]],
                "sendmail-pair",
            ),
            (&[["SERVER_KEY", "locked.pem"]], "sendmail-key-encrypted"),
            (&[["SERVER_KEY", "empty.pem"]], "sendmail-no-file"),
            (&[["SERVER_KEY", "gone.pem"]], "sendmail-no-file"),
            (&[["SERVER_CERT", "gone.pem"]], "sendmail-no-file"),
            (&[["SERVER_CERT", "crl/crl.der"]], "sendmail-no-file"),
            (&[["CACERT", "gone.pem"]], "sendmail-no-file"),
        ];
        for (others, problem) in cases {
            let mc = mc(&ca, others);
            let report = check_mc(&ca, &mc);
            let (offers, log) = starttls(user, &mc);
            assert_eq!(offers, problem.is_empty(), "{others:?}: {report:#}\n{log}");
            let told = problems(&report);
            assert_eq!(told.is_empty(), problem.is_empty(), "{report:#}");
            assert!(
                told.iter().all(|it| it == problem),
                "{others:?}: {report:#}"
            );
            if !offers {
                assert_eq!(finding(&report, problem)["severity"], "critical");
            }
        }
    }
}

#[test]
fn the_erratum_of_the_book_is_found_and_mended() {
    if !tools() {
        return;
    }
    for user in users() {
        for passphrase in ["--no-passphrase", "--passphrase-file=pass"] {
            let ca = Ca::unmade(user);
            let directory = ca.file("");
            let subject = "--subject=/O=Example/CN=Test CA";
            ca.ok(&["init", subject, passphrase]);
            ca.ok(&["issue", HOST, "--yes", "--passphrase-file=pass"]);
            let cert = ca.read(&format!("hosts/{HOST}/cert.pem"));
            ca.write("newcert.pem", &cert);
            // Listing 6.3, but for the place.
            let listing = format!(
                "define(`CERT_DIR', `{}')dnl\n\
                 define(`confCACERT_PATH', `CERT_DIR')dnl\n\
                 define(`confCACERT', `CERT_DIR/cacert.pem')dnl\n\
                 define(`confSERVER_CERT', `CERT_DIR/newcert.pem')dnl\n\
                 define(`confSERVER_KEY', `CERT_DIR/private/cakey.pem')dnl\n",
                directory.trim_end_matches('/')
            );
            let erratum = BASE_MC.to_owned() + &listing;
            ca.dir.write("sendmail.mc", &erratum);
            let report = check(&ca, &["--sendmail", "sendmail.mc"]);
            let found = finding(&report, "sendmail-ca-key");
            let reason = found["reason"].as_str().unwrap();
            let begin = format!("sendmail.mc:12 names {}", ca.file("private/cakey.pem"));
            assert!(reason.starts_with(&begin), "{reason}");
            assert_eq!(finding(&report, "sendmail-newcert")["severity"], "warning");
            let (offers, log) = starttls(user, &erratum);
            assert!(!offers, "{log}");

            remedy(&ca, found);
            let mended = ca.dir.read("sendmail.mc");
            let report = check(&ca, &["--sendmail", "sendmail.mc"]);
            let about_it = |problem: &String| problem.starts_with("sendmail");
            assert!(!problems(&report).iter().any(about_it), "{report:#}");
            let (offers, log) = starttls(user, &mended);
            assert!(offers, "{log}");
        }
    }
}

#[test]
fn modes_that_sendmail_refuses_are_told_and_mended() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = healthy(user);
        let folder = fs::read_link(ca.file(&format!("hosts/{HOST}"))).expect("a link");
        let folder = format!("hosts/{}", folder.display());
        let (key, cert) = (format!("{folder}/key.pem"), format!("{folder}/cert.pem"));
        let lines = BASE_MC.to_owned() + &ca.ok(&["emit-mc", HOST]).stdout;
        // Not the one in /etc/mail, which may not mind the sticky bit.
        ca.dir.write("sendmail.cf", &cf(&ca, &lines));
        let look = || check(&ca, &["--for=sendmail", "--sendmail=sendmail.cf"]);
        for (file, mode) in [
            (&*key, 0o640),
            (&key, 0o604),
            (&key, 0o400),
            (&cert, 0o664),
            (&cert, 0o646),
            (&cert, 0o600),
            ("cacert.pem", 0o664),
            (&folder, 0o775),
            ("hosts", 0o757),
            ("hosts", 0o1777),
            (".", 0o775),
            (".", 0o700),
        ] {
            let before = ca.mode(file);
            ca.chmod(file, mode);
            let report = look();
            // What is wrong whatever the server is told once; a daemon that is not root's does not
            // look at directories.
            let own = user.is_root() || !fs::metadata(ca.file(file)).expect("a file").is_dir();
            let is_refused = |one: &&Value| {
                let problem = one["problem"].as_str().expect("a name");
                problem == "file-access"
                    || own && ["host-key-exposed", "writable"].contains(&problem)
            };
            let refused = findings(&report).iter().find(is_refused);
            let (offers, log) = starttls(user, &lines);
            assert_eq!(
                offers,
                refused.is_none(),
                "{file} {mode:o}: {report:#}\n{log}"
            );
            if let Some(refused) = refused {
                let reason = refused["reason"].as_str().unwrap();
                assert!(reason.contains(&format!("{mode:04o}")), "{reason}");
                if mode != 0o1777 {
                    remedy(&ca, refused);
                    assert_eq!(problems(&look()), [""; 0]);
                    assert!(starttls(user, &lines).0, "{file} {mode:o}");
                }
            }
            ca.chmod(file, before);
        }
    }
}

#[test]
fn a_crl_that_sendmail_does_not_read_lets_everybody_in() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = healthy(user);
        ca.ok(&["issue", "client.example.test", "--yes"]);
        let folder = fs::canonicalize(ca.file("hosts/client.example.test")).unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
        let pair = [cert.to_str().unwrap(), key.to_str().unwrap()];
        ca.ok(&["revoke", "client.example.test", "--yes"]);
        ca.write("garbage.pem", "no CRL\n");
        let old = ["-gencrl", "-crlsec", "1", "-out", "old.pem"];
        ca.openssl_ca(&old).exits(0);
        std::thread::sleep(std::time::Duration::from_millis(2100));
        for (crl, is_bad, verdict) in [
            ("crl/crl.pem", false, "FAIL"),
            ("gone.pem", true, "OK"),
            ("garbage.pem", true, "OK"),
            ("crl/crl.der", true, "OK"),
            ("old.pem", true, "FAIL"),
        ] {
            let mc = mc(&ca, &[["CRL", crl], ["CRL_PATH", "newcerts"]]);
            let report = check_mc(&ca, &mc);
            let told = problems(&report).contains(&"sendmail-crl".to_owned());
            assert_eq!(told, is_bad, "{crl}: {report:#}");
            let sendmail = Sendmail::start(user, &mc);
            assert_eq!(sendmail.verdict_on(Some(pair)), verdict, "{crl}");
        }
    }
}

#[test]
fn a_file_of_trusted_cas_without_this_one_is_told() {
    if !tools() {
        return;
    }
    let ca = healthy(User::me());
    let other = Ca::named("/O=Example/CN=Other CA");
    ca.write("others.pem", &other.read("cacert.pem"));
    let trusting = mc(&ca, &[["CACERT", "others.pem"]]);
    let report = check_mc(&ca, &trusting);
    assert_eq!(problems(&report), ["sendmail-ca"]);
    assert_eq!(findings(&report)[0]["severity"], "warning");
    let both = other.read("cacert.pem") + &ca.read("cacert.pem");
    ca.write("others.pem", &both);
    assert_eq!(problems(&check_mc(&ca, &trusting)), [""; 0]);
}

/// Texts that Sendmail's own m4 and mailca read alike.
#[test]
fn a_sendmail_mc_is_read_as_m4_reads_it() {
    if !tools() {
        return;
    }
    let ca = healthy(User::me());
    let block = ca.ok(&["emit-mc", HOST]).stdout;
    let of = |name: &str| format!("/elsewhere/{name}.pem");
    let [a, b] = ["a", "b"].map(of);
    let key = |text: &str| format!("{BASE_MC}define(`confSERVER_KEY', {text})dnl\n");
    let variants = [
        BASE_MC.to_owned() + &block,
        BASE_MC.to_owned() + &block + &block,
        format!("{BASE_MC}dnl{block}"),
        key("`MAIL_SETTINGS_DIR`'CA/gone.pem'"),
        key("MAIL_SETTINGS_DIR`'CA/gone.pem"),
        key("``MAIL_SETTINGS_DIR`'CA/gone.pem''"),
        key("`MAIL_SETTINGS_DIR'`CA/gone.pem'"),
        format!(
            "define(`CERT_DIR', `/early')dnl\n{}define(`CERT_DIR', `/late')",
            key("`CERT_DIR/x'")
        ),
        format!(
            "define(`CERT_DIR', `/early')dnl\n{}define(`CERT_DIR', `/late')",
            key("CERT_DIR`/x'")
        ),
        key(&format!("`{a}'")) + &key(&format!("`{b}'")).replace(BASE_MC, ""),
        key(&format!("`{a}'")) + "dnl define(`confSERVER_KEY', `/no')\nundefine(`confSERVER_KEY')",
        key(&format!("`{a}'")) + "# define(`confSERVER_KEY', `/yes')\n",
        format!("# don't\n{}", key(&format!("`{a}'"))).replace("divert(0)dnl\n", ""),
        format!("divert(-1)\n# it`s' a file\n{}", key(&format!("`{a},{b}'"))),
        key("dnl why\n   `/spread/over.pem'"),
        format!("define(`FILE', `/x/$1.$2')dnl\n{}", key("`FILE(`a', b)'")),
        format!(
            "{BASE_MC}ifdef(`NEVER', `define(`confCRL', `/no')', `define(`confCRL', `/yes')')dnl\n"
        ),
        format!(
            "{BASE_MC}ifelse(a, b, `define(`confCRL', `/no')', c, c, `define(`confCRL', `/yes')')dnl\n"
        ),
        format!("{BASE_MC}define(`confCRL', `')dnl\ndefine(`confCACERT_PATH', `/p')dnl\n"),
        format!("{BASE_MC}pushdef(`confCRL', `/a')pushdef(`confCRL', `/b')popdef(`confCRL')dnl\n"),
        format!("{BASE_MC}define(`confCRL', defn(`_FIRST')`/b')define(`_FIRST', `/a')dnl\n"),
        format!("{BASE_MC}changequote([, ])define([confCRL], [/a'b])changequote`'dnl\n"),
    ];
    let stock = fs::read_to_string("/etc/mail/sendmail.mc").unwrap_or_default();
    let stock = if stock.contains("m4/cf.m4") {
        stock
    } else {
        BASE_MC.into()
    };
    // These are for some users only, and empty as they come.
    let includes = |line: &&str| line.starts_with("include(`/etc/mail/");
    let stock = stock.split_inclusive('\n').filter(|line| !includes(line));
    let stock: String = stock.collect();
    let variants = variants.into_iter().chain([stock.clone(), stock + &block]);
    for text in variants {
        let cf = cf(&ca, &text);
        let options = [
            "ServerCertFile",
            "ServerKeyFile",
            "ClientCertFile",
            "ClientKeyFile",
        ];
        let options = options
            .iter()
            .chain(&["CACertFile", "CACertPath", "CRLFile", "CRLPath"]);
        let by_us = Config::of_mc(text.as_bytes()).expect("a sendmail.mc");
        let by_m4 = Config::of_cf(cf.as_bytes());
        for setting in Setting::ALL {
            let [name, option] = setting.names();
            let line = cf
                .lines()
                .find_map(|line| line.strip_prefix(&format!("O {option}=")));
            let [ours, theirs] = [&by_us, &by_m4].map(|read| read.get(setting));
            let theirs = theirs.map(config::Value::text);
            if options.clone().any(|one| *one == option) {
                assert_eq!(theirs.as_deref(), line.map(str::trim), "{option}:\n{text}");
                let ours = ours.map(config::Value::text);
                assert_eq!(ours, theirs, "{name}:\n{text}");
            }
        }
    }
}

#[test]
fn without_a_file_only_what_concerns_this_ca_is_told() {
    let ca = healthy(User::me());
    let said = ca.refuses(&["check", "--sendmail", "gone.mc"]);
    assert!(said.contains("error: cannot read gone.mc"), "{said}");
    ca.dir.write("sendmail.mc", "define(`confCRL', `/x)\n");
    let said = ca.refuses(&["check", "--sendmail", "sendmail.mc"]);
    assert!(
        said.contains("the string that begins in line 1 has no end"),
        "{said}"
    );
}

/// In a mount name space, where /etc/mail is another directory.
#[test]
fn the_usual_files_are_looked_at_for_what_concerns_this_ca() {
    if !User::me().is_root() || !require(&["unshare"]) {
        return;
    }
    let ca = healthy(User::me());
    ca.dir.create_dir("mail");
    let look = |text: &str| {
        ca.dir.write("mail/sendmail.mc", text);
        let mailca = ca.command(&["check", "--json", "--for", "dovecot"]);
        let mut command = ca.dir.command("unshare");
        let script = "mount --bind mail /etc/mail || exit 99; exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(mailca.get_program()).args(mailca.get_args());
        let ran = run(&mut command);
        (ran.code() != 99).then(|| -> Value { serde_json::from_str(&ran.stdout).expect("JSON") })
    };
    let elsewhere = BASE_MC.to_owned() + "define(`confSERVER_KEY', `/elsewhere/key.pem')\n";
    let Some(silent) = look(&elsewhere) else {
        return tell("SKIPPED: no mount name space can be made here, for another /etc/mail");
    };
    assert_eq!(problems(&silent), [""; 0]);
    assert_eq!(problems(&look("define(`a', `b").unwrap()), [""; 0]);
    let erratum = mc(&ca, &[["SERVER_KEY", "private/cakey.pem"]]);
    let found = look(&erratum).unwrap();
    assert_eq!(problems(&found), ["sendmail-ca-key"]);
    let reason = findings(&found)[0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("/etc/mail/sendmail.mc:11 names "),
        "{reason}"
    );
}

#[test]
fn what_others_can_do_with_the_ca_is_told_and_mended() {
    let ca = healthy(User::me());
    let key = format!("hosts/{HOST}/key.pem");
    let serial = ca.serials()[0].clone();
    let newcert = format!("newcerts/{serial}.pem");
    for (file, mode, problem, severity) in [
        ("private/cakey.pem", 0o640, "ca-key-exposed", "critical"),
        ("private/cakey.pem", 0o602, "ca-key-exposed", "critical"),
        ("private", 0o750, "private-open", "warning"),
        ("private", 0o720, "private-open", "critical"),
        (&*key, 0o604, "host-key-exposed", "critical"),
        ("index.txt", 0o664, "writable", "critical"),
        ("index.txt.attr", 0o646, "writable", "critical"),
        ("serial", 0o664, "writable", "critical"),
        ("crlnumber", 0o664, "writable", "critical"),
        ("newcerts", 0o775, "writable", "critical"),
        ("openssl.cnf", 0o666, "writable", "critical"),
        ("cacert.pem", 0o664, "writable", "critical"),
        (".", 0o775, "writable", "critical"),
        (&newcert, 0o664, "writable", "critical"),
    ] {
        let before = ca.mode(file);
        ca.chmod(file, mode);
        // Dovecot has nothing against any of them.
        let report = check(&ca, &["--for", "dovecot"]);
        assert_eq!(problems(&report), [problem], "{file}: {report:#}");
        let found = &findings(&report)[0];
        assert_eq!(found["severity"], severity, "{found}");
        assert_eq!(found["repair"], true, "{found}");
        remedy(&ca, found);
        assert_eq!(
            problems(&check(&ca, &["--for", "dovecot"])),
            [""; 0],
            "{file}"
        );
        ca.chmod(file, before);
    }
    let above = ca.dir.path();
    let mode = |mode: &str| run(Command::new("chmod").arg(mode).arg(above)).exits(0);
    mode("1777");
    assert_eq!(problems(&check(&ca, &["--for", "dovecot"])), [""; 0]);
    mode("0775");
    let report = check(&ca, &["--for", "dovecot"]);
    assert_eq!(problems(&report), ["writable"]);
    assert_eq!(findings(&report)[0]["repair"], false);
    remedy(&ca, &findings(&report)[0]);
    assert_eq!(problems(&check(&ca, &["--for", "dovecot"])), [""; 0]);
}

#[test]
fn a_key_in_the_certificates_file_is_told() {
    let ca = healthy(User::me());
    let both = ca.read("cacert.pem") + &ca.read("private/cakey.pem");
    ca.write("cacert.pem", &both);
    let report = check(&ca, &["--for", "dovecot"]);
    assert_eq!(problems(&report), ["ca-key-in-certificate"]);
    remedy(&ca, &findings(&report)[0]);
    assert_eq!(problems(&check(&ca, &["--for", "dovecot"])), [""; 0]);
    assert!(!ca.read("cacert.pem").contains("PRIVATE KEY"));
}

#[test]
fn files_of_another_user_are_told_and_given_back() {
    if !User::me().is_root() {
        return;
    }
    let ca = healthy(User::ordinary());
    for name in ["index.txt", "serial"] {
        run(Command::new("chown").arg("root").arg(ca.file(name))).exits(0);
    }
    let report = check(&ca, &["--for", "dovecot"]);
    assert_eq!(problems(&report), ["owner"]);
    let found = &findings(&report)[0];
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("index.txt belongs to root"), "{reason}");
    assert_eq!(found["count"], 2);
    let script = found["remedy"].as_str().unwrap();
    run(Command::new("sh").args(["-ec", script])).exits(0);
    assert_eq!(problems(&check(&ca, &["--for", "dovecot"])), [""; 0]);
}

#[test]
fn exim_fails_where_check_says_it_does() {
    let Some(mut exim) = Exim::new() else {
        return;
    };
    let ca = healthy(User::me());
    let folder = fs::canonicalize(ca.file(&format!("hosts/{HOST}"))).expect("a folder");
    let folder = format!("hosts/{}", folder.file_name().unwrap().display());
    let [key, chain] = ["key.pem", "chain.pem"].map(|name| ca.file(&format!("{folder}/{name}")));
    let mailca = ca.command(&["check", "--json", "--for", "exim"]);
    let program = mailca.get_program().to_str().unwrap();
    let args: Vec<_> = mailca.get_args().map(|arg| arg.to_str().unwrap()).collect();
    let look = |exim: &Exim| -> Value {
        let ran = run(&mut exim.command(program, &args));
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
    };
    // As it is made: the key is root's alone.
    let report = look(&exim);
    assert_eq!(problems(&report), ["file-access"], "{report:#}");
    assert!(!exim.encrypts(&key, &chain));
    let mend = |exim: &Exim, report: &Value| {
        let script = findings(report)[0]["remedy"].as_str().expect("a remedy");
        run(&mut exim.command("sh", &["-ec", script])).exits(0);
        assert_eq!(problems(&look(exim)), [""; 0]);
    };
    mend(&exim, &report);
    assert_eq!(ca.mode(&format!("{folder}/key.pem")), 0o640);
    assert!(exim.encrypts(&key, &chain));
    for (file, mode) in [
        (format!("{folder}/chain.pem"), 0o600),
        (folder.clone(), 0o700),
        ("hosts".to_owned(), 0o700),
    ] {
        ca.chmod(&file, mode);
        let report = look(&exim);
        assert_eq!(problems(&report), ["file-access"], "{file}: {report:#}");
        assert!(!exim.encrypts(&key, &chain), "{file}");
        mend(&exim, &report);
        assert!(exim.encrypts(&key, &chain), "{file}");
    }
}
