//! `emit systemd`: units that the real systemd reads, and that keep a CA alive.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::support::{Ca, Ran, TestDir, User, find, mailca, require, run, users};

const HOST: &str = "mail.example.test";
const HOOK: &str = "echo \"$MAILCA_HOST 100%\" >>renewed; true ; \\";
/// A directory name of what systemd has a meaning for.
const HOSTILE: &str = "C A; \"it's\" 100%h $HOME ${x} $$ \\x41\\";

/// Both units from standard output, each by its path.
fn printed(ran: &Ran) -> [(String, String); 2] {
    let mut parts = ran.stdout.split("# /etc/systemd/system/");
    assert_eq!(parts.next(), Some(""), "{ran}");
    let units: Vec<_> = parts
        .map(|part| part.split_once('\n').expect("a unit below its path"))
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    units.try_into().unwrap_or_else(|_| panic!("{ran}"))
}

/// The words of each ExecStart=, and the paths of ReadWritePaths=, as systemd reads them: its user
/// manager loads the unit, tells what it understood, and starts nothing.
fn as_systemd_reads(service: &str) -> (Vec<Vec<String>>, String) {
    let dir = TestDir::of(User::ordinary());
    dir.write("mailca.service", service);
    for target in ["basic.target", "shutdown.target"] {
        dir.write(target, "[Unit]\nDefaultDependencies=no\n");
    }
    let runtime = dir.create_dir("run");
    fs::set_permissions(&runtime, Permissions::from_mode(0o700)).expect("chmod");
    let mut command = dir.command(find("systemd").unwrap().to_str().unwrap());
    command
        .args(["--user", "--test", "--unit=mailca.service"])
        .env_clear()
        .env("LANG", "C.UTF-8")
        .env("HOME", &runtime)
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("SYSTEMD_UNIT_PATH", dir.path());
    let ran = run(&mut command).exits(0);
    let values = |name: &str| -> Vec<String> {
        let lines = ran.stdout.lines();
        let values = lines.filter_map(|line| line.trim_start().strip_prefix(name));
        values.map(str::to_owned).collect()
    };
    let words = values("Command Line: ");
    let words = words.iter().map(|line| shlex::split(line).expect("words"));
    let paths = values("ReadWritePaths: ").concat();
    assert_eq!(complaint(&ran), None, "{ran}");
    (words.collect(), paths)
}

/// What systemd says of our units, but for what it has against the ordinary user of a suite that
/// runs as root.
fn complaint(ran: &Ran) -> Option<&str> {
    let is_known = |line: &str| line.contains("Special user nobody configured");
    let mut of_ours = ran.stderr.lines().filter(|line| line.contains("mailca"));
    of_ours.find(|line| !is_known(line))
}

/// Tools of systemd; a container has them where nobody has started it.
fn tools() -> bool {
    require(&["systemd", "systemd-analyze"])
}

/// A CA in a directory of any name, with a certificate that is due; its passphrase is in `pass`.
fn due(user: User, name: &str) -> (TestDir, String) {
    let Ca { dir } = Ca::unmade(user);
    let ca = dir.file(name);
    let pass = "--passphrase-file=pass";
    run(&mut dir.mailca(&["init", &ca, "--subject=/CN=Test CA", pass])).exits(0);
    let issue = ["--ca", &ca, "issue", HOST, "--days=20", "--yes", pass];
    run(&mut dir.mailca(&issue)).exits(0);
    (dir, ca)
}

#[track_caller]
fn assert_verified(dir: &TestDir, units: &[&str]) {
    let mut verify = Command::new("systemd-analyze");
    verify.current_dir(dir.path()).arg("verify");
    let ran = run(verify.args(units)).exits(0);
    assert_eq!((&*ran.stdout, complaint(&ran)), ("", None), "{ran}");
}

#[test]
fn what_is_printed_passes_systemd_analyze() {
    if !tools() {
        return;
    }
    for user in users() {
        for name in ["CA", HOSTILE] {
            let (dir, ca) = due(user, name);
            for hook in [&[][..], &["--deploy-hook", HOOK]] {
                let words = [&["--ca", &ca, "emit", "systemd"], hook].concat();
                let ran = run(&mut dir.mailca(&words)).exits(0);
                let [(service, text), (timer, timer_text)] = printed(&ran);
                assert_eq!(service, "mailca.service");
                assert_eq!(timer, "mailca.timer");
                dir.write(&service, &text);
                dir.write(&timer, &timer_text);
                assert_verified(&dir, &[&service, &timer]);
                let runs_as_owner = text.contains("\nUser=");
                assert_eq!(runs_as_owner, !user.is_root(), "{text}");
            }
        }
    }
}

#[test]
fn systemd_reads_the_words_that_were_meant() {
    if !tools() {
        return;
    }
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_mailca")).unwrap();
    let program = program.to_str().unwrap();
    for name in ["CA", HOSTILE, ";", "%", "-x", "ü\u{202f}€", "\u{1f4e7}"] {
        let (dir, ca) = due(User::me(), name);
        let config = format!("{ca}/openssl.cnf");
        for hook in [
            "",
            ";",
            "%i",
            "$$",
            HOOK,
            " a  b ",
            "'",
            "\"",
            "\\",
            "\\\"$(id)\"",
        ] {
            let words = ["--ca", &ca, "--config", &config];
            let emit = ["emit", "systemd", "--deploy-hook", hook];
            let ran = run(&mut dir.mailca(&[&words[..], &emit].concat())).exits(0);
            let [(_, service), _] = printed(&ran);
            let (lines, _) = as_systemd_reads(&service);
            let command = [&[program], &words[..]].concat();
            let crl = [&command[..], &["crl", "--expiring", "30d"]].concat();
            let due = ["renew", "--expiring", "35d", "--yes", "--deploy-hook", hook];
            let renew = [&command[..], &due].concat();
            assert_eq!(lines, [crl, renew], "{service}");
            // Neither is a dollar sign changed when the command is run.
            assert_eq!(service.matches("\nExecStart=").count(), 2, "{service}");
            let unchanged = ["\nExecStart=:/", "\nExecStart=\":/"];
            let colons = unchanged.map(|start| service.matches(start).count());
            assert_eq!(colons.iter().sum::<usize>(), 2, "{service}");
        }
        let ran = run(&mut dir.mailca(&["--ca", &ca, "emit", "systemd"])).exits(0);
        let (_, paths) = as_systemd_reads(&printed(&ran)[0].1);
        assert_eq!(paths, fs::canonicalize(&ca).unwrap().to_str().unwrap());
    }
}

#[test]
fn the_service_renews_what_is_due_with_the_credential_and_publishes_a_crl() {
    if !tools() || !require(&["setsid", "openssl"]) {
        return;
    }
    for name in ["CA", HOSTILE] {
        let (dir, ca) = due(User::me(), name);
        let hook = "echo \"$MAILCA_HOST 100%\" >>renewed";
        let words = ["--ca", &ca, "emit", "systemd", "--deploy-hook", hook];
        let emitted = run(&mut dir.mailca(&words)).exits(0);
        let (lines, _) = as_systemd_reads(&printed(&emitted)[0].1);
        dir.create_dir("credentials");
        dir.write_secret("credentials/mailca-passphrase", "mailca tests");
        for round in 1..=2 {
            for words in &lines {
                let mut command = mailca();
                let mut service = Command::new("setsid");
                service.arg("--wait").args(words).current_dir(dir.path());
                service.env_remove("MAILCA_PASSPHRASE");
                service.env("CREDENTIALS_DIRECTORY", dir.file("credentials"));
                run(&mut service).exits(0);
                run(command.args(["--ca", &ca, "verify", HOST])).exits(0);
            }
            let register = fs::read_to_string(Path::new(&ca).join("index.txt")).unwrap();
            assert_eq!(register.lines().count(), 2, "round {round}: {register}");
            assert_eq!(dir.read("renewed"), format!("{HOST} 100%\n"));
            let crl = format!("{ca}/crl/crl.pem");
            let number = dir.openssl(&["crl", "-noout", "-crlnumber", "-in", &crl]);
            assert!(number.starts_with("crlNumber="), "{number}");
        }
    }
}

#[test]
fn the_units_are_written_once_whole_and_readable_to_all() {
    let ca = Ca::encrypted();
    let dir = ca.dir.create_dir("units");
    let into = ["emit", "systemd", "--into", "units"];
    let first = ca.json(&into);
    assert_eq!(first["changed"], true);
    assert_eq!(first["service"], "units/mailca.service");
    assert_eq!(first["timer"], "units/mailca.timer");
    let emitted = ca.ok(&["emit", "systemd", "--json"]);
    for (name, text) in printed(&emitted) {
        assert_eq!(
            ca.dir.read(&format!("units/{name}")).trim_end(),
            text.trim_end()
        );
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
    }
    let before = ca.tree();
    assert_eq!(ca.json(&into)["changed"], false);
    let said = ca.ok(&into);
    assert!(said.stdout.ends_with("; nothing changed\n"), "{said}");
    before.assert_unchanged(ca.dir.path(), "the same again");

    let with_hook = [&into[..], &["--deploy-hook", "true"]].concat();
    let ran = ca.ok(&with_hook);
    assert!(
        ran.stdout.starts_with("wrote units/mailca.service\n"),
        "{ran}"
    );
    let text = ca.dir.read("units/mailca.service");
    assert!(text.contains(" --deploy-hook true\n"), "{text}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
}

#[test]
fn a_unit_of_somebody_else_or_of_another_ca_is_left_alone() {
    let ca = Ca::new();
    ca.dir.create_dir("units");
    let into = ["emit", "systemd", "--into", "units"];
    let ours = format!("units{}", "/mailca.timer");
    for text in ["", "[Timer]\nOnCalendar=daily\n", "# made by somebody\n"] {
        ca.dir.write(&ours, text);
        let said = ca.refuses(&into);
        assert!(
            said.contains("mailca.timer was not made by mailca"),
            "{said}"
        );
        let hint = "hint: mv units/mailca.timer units/mailca.timer.old\n";
        assert!(said.ends_with(hint), "{said}");
    }
    fs::remove_file(ca.dir.path().join(ours)).unwrap();
    ca.ok(&into);

    let other = ["init", "other", "--subject=/CN=Other", "--no-passphrase"];
    run(&mut ca.dir.mailca(&other)).exits(0);
    let before = ca.tree();
    let of_other = [&["--ca", "other"], &into[..]].concat();
    let ran = run(&mut ca.dir.mailca(&of_other)).exits(1);
    assert!(
        ran.stderr.contains("mailca.service is for another CA than"),
        "{ran}"
    );
    before.assert_unchanged(ca.dir.path(), &ran.to_string());
    let (_, hint) = ran.stderr.split_once("hint: mailca ").unwrap();
    let words = shlex::split(hint).unwrap();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    run(&mut ca.dir.mailca(&words)).exits(0);
    assert!(
        ca.dir
            .read("units/mailca-2.service")
            .contains("/other crl ")
    );
    assert!(ca.dir.read("units/mailca.service").contains("/CA crl "));
}

#[test]
fn what_cannot_be_a_unit_or_do_its_work_is_refused() {
    let (dir, ca) = due(User::me(), "two\nlines");
    let ran = run(&mut dir.mailca(&["--ca", &ca, "emit", "systemd"])).exits(1);
    assert_eq!(ran.stdout, "", "{ran}");
    let why = "has the control character '\\n', which a unit of systemd cannot hold";
    assert!(ran.stderr.contains(why), "{ran}");

    let ca = Ca::encrypted();
    let said = ca.refuses(&["emit", "systemd", "--deploy-hook", "a\nb"]);
    assert!(
        said.contains(why) && said.contains("into a script"),
        "{said}"
    );
    let said = ca.refuses(&["emit", "systemd", "--into", "none"]);
    assert!(
        said.contains("there is no directory none\nhint: mkdir -p none\n"),
        "{said}"
    );
    for name in ["", "a/b", "a b", "-a", ".a", "a@b", "a\n"] {
        ca.mailca(&["emit", "systemd", &format!("--name={name}")])
            .exits(2);
    }
    ca.mailca(&["emit"]).exits(2);

    ca.chmod("private/cakey.pem", 0o644);
    let said = ca.refuses(&["emit", "systemd"]);
    assert!(said.contains("hint: chmod 600 "), "{said}");
    fs::remove_file(ca.file("private/cakey.pem")).unwrap();
    let said = ca.refuses(&["emit", "systemd"]);
    assert!(said.contains("nothing can be renewed without it"), "{said}");
}

#[test]
fn a_passphrase_is_asked_for_where_the_key_has_one() {
    let line = "\nLoadCredentialEncrypted=mailca-passphrase:\
        /etc/credstore.encrypted/NAME-passphrase\n";
    let ca = Ca::encrypted();
    for name in ["mailca", "other.ca"] {
        let ran = ca.ok(&["emit", "systemd", "--name", name]);
        assert!(ran.stdout.contains(&line.replace("NAME", name)), "{ran}");
        let into = " emit systemd --into /etc/systemd/system";
        let first = ran.stderr.lines().find(|line| line.starts_with("next: "));
        assert!(first.is_some_and(|first| first.contains(into)), "{ran}");
        for next in [
            "install -d -m 700 /etc/credstore.encrypted",
            &format!(
                "systemd-ask-password -n 'Passphrase of the CA key' | systemd-creds encrypt \
                 --name=mailca-passphrase - /etc/credstore.encrypted/{name}-passphrase"
            ),
            "systemctl daemon-reload",
            &format!("systemctl enable --now {name}.timer"),
            &format!("systemctl start {name}.service"),
        ] {
            assert!(ran.stderr.contains(&format!("next: {next}\n")), "{ran}");
        }
    }
    assert_eq!(ca.ok(&["emit", "systemd", "--quiet"]).stderr, "");
    let open = Ca::new().ok(&["emit", "systemd"]);
    let all = open.stdout + &open.stderr;
    assert!(!all.contains("redential"), "{all}");

    // Who may not read the key cannot tell.
    if User::me() != User::ordinary() {
        let mut unread = User::ordinary().mailca();
        unread.current_dir(ca.dir.path());
        let ran = run(unread.args(["--ca", "CA", "emit", "systemd"])).exits(0);
        assert!(
            ran.stdout.contains(&line.replace("NAME", "mailca")),
            "{ran}"
        );
        assert!(!ran.stdout.contains("\nUser="), "{ran}");
    }
}

#[test]
fn a_ca_that_may_sign_no_crl_has_its_certificates_renewed_and_is_warned_of() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.dir.write(
        "ca.cnf",
        "[req]\ndistinguished_name = dn\n[dn]\n[ext]\nbasicConstraints = critical, CA:TRUE\n\
         keyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\n",
    );
    let (key, certificate) = (ca.file("private/cakey.pem"), ca.file("cacert.pem"));
    let request = [
        "req",
        "-new",
        "-x509",
        "-config",
        "ca.cnf",
        "-extensions",
        "ext",
    ];
    let names = ["-subj", "/CN=Test CA", "-days", "900"];
    let files = ["-key", &key, "-out", &certificate];
    ca.dir.openssl(&[&request[..], &names, &files].concat());
    let ran = ca.ok(&["emit", "systemd"]);
    assert!(ran.stderr.contains("cacert.pem may not sign CRLs"), "{ran}");
    assert_eq!(ran.stdout.matches("\nExecStart=").count(), 1, "{ran}");
    assert!(
        ran.stdout.contains(" renew --expiring 35d --yes\n"),
        "{ran}"
    );
}

#[test]
fn directories_that_openssl_cnf_or_a_link_leads_to_can_be_written() {
    if !tools() {
        return;
    }
    let ca = Ca::new();
    for name in ["database", "certificates", "a b"] {
        ca.dir.create_dir(name);
    }
    let at = |name: &str| fs::canonicalize(ca.dir.path()).unwrap().join(name);
    let settings = ca.read("openssl.cnf");
    let elsewhere = |setting: &str, path: &str| {
        let is_it = |line: &&str| line.split('=').next().unwrap().trim() == setting;
        let line = settings.lines().find(is_it).unwrap();
        ca.edit("openssl.cnf", line, &format!("{setting} = {path}"));
    };
    fs::rename(ca.file("index.txt"), at("database/index.txt")).unwrap();
    elsewhere("database", at("database/index.txt").to_str().unwrap());
    elsewhere("new_certs_dir", at("certificates").to_str().unwrap());
    fs::remove_dir(ca.file("crl")).unwrap();
    std::os::unix::fs::symlink("../a b", ca.file("crl")).unwrap();
    let ran = ca.ok(&["emit", "systemd"]);
    let (_, paths) = as_systemd_reads(&printed(&ran)[0].1);
    let expected = ["CA", "a b", "certificates", "database"].map(at);
    let expected = expected.map(|path| path.to_str().unwrap().to_owned());
    assert_eq!(paths, expected.join(" "), "{ran}");
}
