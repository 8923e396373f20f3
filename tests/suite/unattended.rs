//! Without a terminal: every question has an option, and without an answer
//! nothing happens.

use std::process::Command;

use super::support::{Ca, Ran, Tree, User, require, run, run_with};

const HOST: &str = "mail.example.test";

/// Runs a command in a session of its own, which has no terminal.
fn detached(command: &Command) -> Ran {
    let mut setsid = Command::new("setsid");
    setsid
        .arg("--wait")
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        setsid.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => setsid.env(name, value),
            None => setsid.env_remove(name),
        };
    }
    run(&mut setsid)
}

/// mailca stops at once, names the option, and writes nothing.
#[track_caller]
fn asks_for(option: &str, ca: &Ca, command: &Command) {
    let before = Tree::of(ca.dir.path());
    let ran = detached(command).exits(1);
    assert_eq!(ran.stdout, "", "{ran}");
    assert!(ran.stderr.contains("no terminal to ask on"), "{ran}");
    assert!(
        ran.stderr.contains(&format!("hint: give {option}")),
        "{ran}"
    );
    before.assert_unchanged(ca.dir.path(), &ran.to_string());
}

#[test]
fn init_names_the_option_for_each_answer_it_misses() {
    let ca = Ca::unmade(User::me());
    let init = |args: &[&str]| ca.dir.mailca(&[&["init", "CA"], args].concat());
    asks_for("--subject", &ca, &init(&[]));
    asks_for("--subject", &ca, &init(&["--no-passphrase", "--yes"]));
    asks_for("--passphrase-file", &ca, &init(&["--subject=/CN=Test CA"]));
    asks_for(
        "--passphrase-file",
        &ca,
        &init(&["--subject=/CN=Test CA", "--yes"]),
    );
    detached(&init(&["--subject=/CN=Test CA", "--passphrase-file=pass"])).exits(0);
}

#[test]
fn sign_and_issue_name_the_option_for_each_answer_they_miss() {
    let ca = Ca::encrypted();
    ca.ok(&["req", HOST]);
    asks_for("--yes", &ca, &ca.command(&["sign"]));
    asks_for(
        "--yes",
        &ca,
        &ca.command(&["sign", "--passphrase-file=pass"]),
    );
    asks_for("--passphrase-file", &ca, &ca.command(&["sign", "--yes"]));
    let issue = ["issue", "other.example.test"];
    let with = |args: &[&str]| ca.command(&[&issue[..], args].concat());
    asks_for("--yes", &ca, &with(&[]));
    asks_for("--yes", &ca, &with(&["--passphrase-file=pass"]));
    asks_for("--passphrase-file", &ca, &with(&["--yes"]));
    detached(&with(&["--yes", "--passphrase-file=pass"])).exits(0);
    detached(&ca.command(&["sign", "--yes", "--passphrase-file=pass"])).exits(0);
}

#[test]
fn repair_names_the_option_for_each_answer_it_misses() {
    let ca = Ca::new();
    ca.ok(&["issue", HOST, "--yes"]);
    let row = ca.read("index.txt");
    ca.write("index.txt", &format!("{row}V\t2801"));
    let without_a_word = detached(&ca.command(&["repair", "--dry-run"])).exits(3);
    assert!(
        without_a_word.stdout.contains("this would be done"),
        "{without_a_word}"
    );
    asks_for("--yes", &ca, &ca.command(&["repair"]));
    asks_for("--yes", &ca, &ca.command(&["repair", "--assume-valid"]));
    detached(&ca.command(&["repair", "--yes"])).exits(0);
    ca.write("index.txt", "");
    let before = ca.tree();
    for words in [&["repair"][..], &["repair", "--yes"]] {
        let ran = detached(&ca.command(words)).exits(1);
        assert!(ran.stderr.contains("were not revoked"), "{ran}");
        assert!(ran.stderr.contains("--assume-valid"), "{ran}");
        before.assert_unchanged(ca.dir.path(), &ran.to_string());
    }
    detached(&ca.command(&["repair", "--yes", "--assume-valid"])).exits(0);
    assert_eq!(ca.read("index.txt"), row);
}

#[test]
fn a_host_is_this_machine_or_missing() {
    let ca = Ca::new();
    for command in ["req", "issue"] {
        let mailca = ca.command(&[command, "--yes"]);
        let named = |name: &str| {
            let script = format!("hostname {name} && exec \"$@\"");
            let mut command = Command::new("unshare");
            command.args(["--uts", "sh", "-c", &script, "sh"]);
            command.arg(mailca.get_program()).args(mailca.get_args());
            command
        };
        let before = ca.tree();
        let bare = detached(&named("mail"));
        if bare.stderr.contains("unshare") {
            return;
        }
        assert_eq!(bare.code(), 1, "{bare}");
        assert!(bare.stderr.contains("HOST is missing"), "{bare}");
        assert!(
            bare.stderr.contains("\"mail\" is not fully qualified"),
            "{bare}"
        );
        before.assert_unchanged(ca.dir.path(), &bare.to_string());
        let own = format!("{command}.example.test");
        let full = detached(&named(&own)).exits(0);
        assert!(
            full.stderr
                .contains(&format!("HOST is this machine, {own}")),
            "{full}"
        );
    }
}

/// A mailca that signs, with an encrypted key.
fn signing(ca: &Ca, host: &str, args: &[&str]) -> Command {
    ca.command(&[&["issue", host, "--yes"], args].concat())
}

#[test]
fn a_passphrase_comes_from_any_of_its_places() {
    let ca = Ca::encrypted();
    let credentials = ca.dir.create_dir("credentials");
    ca.dir
        .write("credentials/mailca-passphrase", "mailca tests\n");
    let pass = ca.dir.file("pass");
    run(&mut signing(
        &ca,
        "a.example.test",
        &["--passphrase-file", &pass],
    ))
    .exits(0);
    let mut piped = signing(&ca, "b.example.test", &["--passphrase-file", "-"]);
    run_with(&mut piped, "mailca tests\nand more").exits(0);
    let mut variable = signing(&ca, "c.example.test", &[]);
    run(variable.env("MAILCA_PASSPHRASE", "mailca tests")).exits(0);
    let mut unit = signing(&ca, "d.example.test", &[]);
    run(unit.env("CREDENTIALS_DIRECTORY", &credentials)).exits(0);

    let through_shell = |script: &str, host: &str| {
        let mailca = signing(&ca, host, &[]);
        let mut shell = ca.dir.command("sh");
        shell.args(["-e", "-c", script, "sh"]);
        run(shell.arg(mailca.get_program()).args(mailca.get_args())).exits(0);
    };
    through_shell("exec \"$@\" --passphrase-fd 7 7<pass", "e.example.test");
    through_shell("\"$@\" --passphrase-fd 0 <pass", "f.example.test");
    through_shell(
        "mkfifo fifo; cat pass >fifo & \"$@\" --passphrase-file fifo; wait",
        "g.example.test",
    );
    assert_eq!(ca.rows().len(), 7);
}

#[test]
fn a_request_and_a_passphrase_do_not_share_standard_input_by_accident() {
    let ca = Ca::encrypted();
    let request = ca.request(HOST, &[]);
    let text = std::fs::read_to_string(request).unwrap();
    let both = ["sign", "-", "--yes", "--passphrase-file", "-"];
    let before = ca.tree();
    let ran = run_with(&mut ca.command(&both), &text).exits(2);
    before.assert_unchanged(ca.dir.path(), &ran.to_string());
    let sign = [
        "sign",
        "-",
        "--yes",
        "--passphrase-file",
        "pass",
        "--out",
        "-",
    ];
    let ran = run_with(&mut ca.command(&sign), &text).exits(0);
    assert!(
        ran.stdout.starts_with("-----BEGIN CERTIFICATE-----\n"),
        "{ran}"
    );
}

#[test]
fn a_wrong_or_empty_passphrase_changes_nothing() {
    let ca = Ca::encrypted();
    ca.dir.write_secret("wrong", "not it\n");
    ca.dir.write_secret("empty", "");
    ca.dir.write_secret("line", "\nmailca tests\n");
    ca.ok(&["req", HOST]);
    for command in [&["sign"][..], &["issue", "other.example.test"]] {
        let with = |file| {
            let args = [command, &["--yes", "--passphrase-file", file]].concat();
            ca.refuses(&args)
        };
        let said = with("wrong");
        assert!(
            said.contains("passphrase") && said.contains("cakey.pem"),
            "{said}"
        );
        assert!(with("empty").contains("the passphrase in empty is empty"));
        assert!(with("line").contains("the passphrase in line is empty"));
        assert!(with("missing").contains("cannot read a passphrase from missing"));
    }
    let unmade = Ca::unmade(User::me());
    unmade.dir.write_secret("empty", "\n");
    let before = unmade.tree();
    let init = ["init", "CA", "--subject=/CN=x", "--passphrase-file=empty"];
    let ran = run(&mut unmade.dir.mailca(&init)).exits(1);
    assert!(ran.stderr.contains("is empty"), "{ran}");
    before.assert_unchanged(unmade.dir.path(), &ran.to_string());
}

#[test]
fn openssl_opens_the_key_with_the_same_passphrase_and_no_other() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::encrypted();
    let key = ca.read("private/cakey.pem");
    assert!(
        key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        "{key}"
    );
    let file = ca.file("private/cakey.pem");
    ca.dir
        .openssl(&["pkey", "-in", &file, "-passin", "file:pass", "-noout"]);
    let mut wrong = ca.dir.command("openssl");
    let ran = run(wrong.args(["pkey", "-in", &file, "-passin", "pass:x", "-noout"]));
    assert!(!ran.status.success(), "{ran}");
}
