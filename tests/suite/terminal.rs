//! The whole program in a real terminal: what its user sees, answers and
//! interrupts. tmux provides the terminal, on a socket of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::support::{TestDir, require, run};

const PASSPHRASE: &str = Terminal::PASSPHRASE;
pub(super) const CONFIRM: &str = "Sign the certificate? [y/N]";
pub(super) const CA_PASSPHRASE: &str = "Passphrase for CA key CA/private/cakey.pem:";
const REVOKE: &str = "Revoke the certificate? [y/N]";
const REPAIR: &str = "Do all this? [y/N]";
const ASSUME: &str = "Let them count as valid? [y/N]";
const NEW_PASSPHRASE: &str = "Passphrase for the new CA key:";
const AGAIN: &str = "The same again:";

/// A shell in a terminal, in a directory of its own.
pub(super) struct Terminal {
    pub dir: TestDir,
}

impl Terminal {
    /// The passphrase of the CA beside it.
    pub const PASSPHRASE: &str = "sesame-43-open-it";

    /// A terminal without a CA; `None` where the tools are missing.
    fn open() -> Option<Self> {
        Self::of_width(100)
    }

    fn of_width(columns: u32) -> Option<Self> {
        if !require(&["tmux", "openssl", "stty"]) {
            return None;
        }
        let terminal = Self {
            dir: TestDir::new(),
        };
        let bin = Path::new(env!("CARGO_BIN_EXE_mailca")).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let shell = format!(
            "cd '{}' && exec env -i HOME=/ TERM=screen PATH='{}:{path}' PS1='ready> ' sh -i",
            terminal.dir.path().display(),
            bin.display()
        );
        // A process id to send signals to.
        terminal.dir.write("as", "echo $$ >pid; exec \"$@\"\n");
        terminal
            .dir
            .write_secret("pass", &format!("{PASSPHRASE}\n"));
        let columns = columns.to_string();
        terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            "60",
            &shell,
            ";",
            "pipe-pane",
            &format!("exec cat >>'{}'", terminal.dir.file("raw")),
        ]);
        terminal.wait_for_shell();
        Some(terminal)
    }

    /// A terminal beside a CA whose key is encrypted.
    pub fn with_ca() -> Option<Self> {
        Self::open().map(Self::make_ca)
    }

    fn make_ca(self) -> Self {
        self.mailca(&[
            "init",
            "CA",
            "--subject",
            "/O=Example/CN=Example Mail CA",
            "--passphrase-file",
            "pass",
        ]);
        self
    }

    /// mailca beside the terminal, without one of its own.
    #[track_caller]
    fn mailca(&self, args: &[&str]) -> String {
        run(&mut self.dir.mailca(args)).exits(0).stdout
    }

    #[track_caller]
    fn issue_meanwhile(&self, host: &str) {
        // --wait 0: a lock that is held shows at once.
        let options = ["--yes", "--wait", "0", "--passphrase-file", "pass"];
        self.mailca(&[&["--ca", "CA", "issue", host], &options[..]].concat());
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.dir.path().join("tmux"))
            .args(["-f", "/dev/null"])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types text, and presses no key besides.
    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn enter(&self, text: &str) {
        self.type_text(text);
        self.press("Enter");
    }

    /// The screen and all that has left it, lines that the terminal broke in one piece.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            let waited = start.elapsed() > Duration::from_secs(60);
            assert!(!waited, "waited for {what:?}, but the screen is:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn wait_for_shell(&self) -> String {
        self.wait_until("the shell's prompt", |screen| last_line(screen) == "ready>")
    }

    /// Waits until a question is the last thing on the screen, without an answer; one for a secret
    /// is open once the echo is off.
    #[track_caller]
    pub fn wait_for_question(&self, question: &str) -> String {
        let screen = self.wait_until(question, |screen| {
            let line = last_line(screen);
            line.starts_with(question) && (line.ends_with(':') || line.ends_with("[y/N]"))
        });
        if question.ends_with("key:") || question == AGAIN || question == CA_PASSPHRASE {
            let tty = self.tmux(&["display-message", "-p", "#{pane_tty}"]);
            self.wait_until("no echo", |_| {
                run(Command::new("stty").args(["-F", tty.trim(), "-a"]))
                    .exits(0)
                    .stdout
                    .contains("-echo ")
            });
        }
        screen
    }

    #[track_caller]
    pub fn answer(&self, question: &str, answer: &str) {
        self.wait_for_question(question);
        self.enter(answer);
    }

    /// Starts a command on an empty screen.
    pub fn start(&self, command: &str) {
        self.enter("stty -g >before; echo prepared");
        self.wait_until("a free shell", |screen| {
            screen.trim_end().ends_with("\nprepared\nready>")
        });
        self.tmux(&["send-keys", "-R", ";", "clear-history"]);
        // The prompt went with the screen.
        self.press("Enter");
        self.wait_for_shell();
        self.enter(&format!("sh as {command}"));
        self.wait_until("the command line", |screen| {
            screen.contains("ready> sh as ")
        });
    }

    /// Waits for the command to end, with the terminal as it was: its exit status and the screen.
    #[track_caller]
    fn end(&self) -> (String, String) {
        let screen = self.wait_for_shell();
        self.enter("echo $? >status; stty -g >after; echo told");
        self.wait_until("told", |screen| screen.contains("\ntold"));
        let (before, after) = (self.dir.read("before"), self.dir.read("after"));
        assert_eq!(before, after, "the terminal's settings:\n{screen}");
        assert!(
            !screen.contains(PASSPHRASE),
            "a passphrase on the screen:\n{screen}"
        );
        (self.dir.read("status").trim().to_owned(), screen)
    }

    /// The screen of a command that has to end with this status.
    #[track_caller]
    fn exits(&self, expected: &str) -> String {
        let (status, screen) = self.end();
        assert_eq!(status, expected, "{screen}");
        screen
    }

    fn terminate(&self) {
        let pid = self.dir.read("pid");
        run(Command::new("kill").arg(pid.trim())).exits(0);
    }

    /// Something to repair that is in no other command's way.
    fn damage_link(&self) {
        let link = self.dir.path().join("CA/12345678.0");
        std::os::unix::fs::symlink("nowhere", link).unwrap();
    }

    fn ca(&self) -> Tree {
        tree(&self.dir.path().join("CA"))
    }

    fn certificates(&self) -> usize {
        fs::read_dir(self.dir.path().join("CA/newcerts"))
            .unwrap()
            .count()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn last_line(screen: &str) -> &str {
    screen.trim_end().lines().last().unwrap_or_default()
}

/// Every name below a folder with its mode and content.
type Tree = BTreeMap<String, (u32, Vec<u8>)>;

fn tree(folder: &Path) -> Tree {
    let mut found = Tree::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_file() {
            fs::read(&path).unwrap()
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            target.into_os_string().into_encoded_bytes()
        } else {
            found.extend(tree(&path));
            Vec::new()
        };
        let name = path.display().to_string();
        found.insert(name, (meta.permissions().mode(), content));
    }
    found
}

#[track_caller]
fn assert_shows(screen: &str, expected: &[&str]) {
    for text in expected {
        assert!(
            screen.contains(text),
            "no {text:?} on the screen:\n{screen}"
        );
    }
}

fn this_machine() -> String {
    run(Command::new("uname").arg("-n"))
        .stdout
        .trim()
        .to_lowercase()
}

#[test]
fn init_asks_for_a_subject_and_twice_for_a_passphrase() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    terminal.start("mailca init CA");
    let offer = match this_machine().split_once('.') {
        Some((_, domain)) => format!("/CN={domain} Mail CA"),
        None => "/CN=Mail CA".into(),
    };
    terminal.answer(&format!("Subject of the CA [{offer}]:"), "Example");
    // What is no subject is asked again.
    terminal.answer("Subject of the CA", "/O=Example/CN=Example Mail CA");
    terminal.answer(NEW_PASSPHRASE, PASSPHRASE);
    terminal.answer(AGAIN, "sesame-43-shut");
    terminal.wait_until("a second try", |screen| {
        screen.contains("the two differ; try again")
    });
    terminal.answer(NEW_PASSPHRASE, PASSPHRASE);
    terminal.answer(AGAIN, PASSPHRASE);
    let screen = terminal.exits("0");
    assert!(!screen.contains("sesame"), "{screen}");
    assert_shows(
        &screen,
        &[
            "made the CA O=Example, CN=Example Mail CA in CA\n",
            "private key  private/cakey.pem, EC P-256, encrypted\n",
            "next: mailca --ca CA issue mail.example.com\n",
        ],
    );
    let key = ["pkey", "-in", "CA/private/cakey.pem", "-noout", "-passin"];
    terminal
        .dir
        .openssl(&[&key[..], &[&format!("pass:{PASSPHRASE}")]].concat());
    let mut wrong = terminal.dir.command("openssl");
    run(wrong.args([&key[..], &["pass:sesame-43-shut"]].concat())).exits(1);
}

#[test]
fn init_takes_the_offered_subject() {
    let Some(terminal) = Terminal::open() else {
        return;
    };
    terminal.start("mailca init CA");
    terminal.answer("Subject of the CA", "");
    terminal.answer(NEW_PASSPHRASE, PASSPHRASE);
    terminal.answer(AGAIN, PASSPHRASE);
    assert_shows(&terminal.exits("0"), &["made the CA CN="]);
}

#[test]
fn req_and_sign_ask_for_the_host_the_confirmation_and_the_passphrase_once() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let own = this_machine();
    terminal.start("mailca --ca CA req");
    let question = if own.contains('.') {
        format!("Host [{own}]:")
    } else {
        "Host:".into()
    };
    terminal.answer(&question, "no host");
    terminal.answer(&question, "mx1.example.org");
    assert_shows(
        &terminal.exits("0"),
        &[
            "\"no host\" is not a host name",
            "next: mailca --ca CA sign\n",
        ],
    );

    let before = terminal.ca();
    for refusal in ["n", "", "yesterday", "y y", "\u{444}"] {
        terminal.start("mailca --ca CA sign");
        terminal.answer(CONFIRM, refusal);
        let screen = terminal.exits("1");
        assert_shows(&screen, &["\nerror: not confirmed; nothing changed\n"]);
        assert!(!screen.contains("Passphrase"), "{screen}");
        assert_eq!(terminal.ca(), before, "{screen}");
    }

    terminal.start("mailca --ca CA sign");
    let review = terminal.wait_for_question(CONFIRM);
    assert_shows(
        &review,
        &[
            "Issuer     O=Example, CN=Example Mail CA\n",
            "Directory  CA\n",
            "Subject    CN=mx1.example.org\n",
            "Names      DNS:mx1.example.org\n",
            "Key        EC P-256\n",
            "Key digest ",
            "(365 days)\n",
            "Purposes   TLS server and client (relay)\n\nSign",
        ],
    );
    terminal.enter("y");
    terminal.answer(CA_PASSPHRASE, PASSPHRASE);
    let screen = terminal.exits("0");
    assert_eq!(screen.matches("Passphrase").count(), 1, "{screen}");
    assert_shows(
        &screen,
        &["\nsigned mx1.example.org as ", "\nnext: mailca "],
    );
    let args = ["verify", "-CAfile", "CA/cacert.pem", "CA/newcert.pem"];
    terminal.dir.openssl(&args);
    terminal.start("mailca --ca CA emit-mc >>site.mc");
    terminal.exits("0");
    let lines = terminal.dir.read("site.mc");
    assert!(lines.contains("confSERVER_CERT"), "{lines}");
    assert!(!lines.contains("next:"), "{lines}");
}

#[test]
fn issue_asks_for_the_host_the_confirmation_and_the_passphrase_once() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let before = terminal.ca();
    for refusal in ["n", "", "garbage"] {
        terminal.start("mailca --ca CA issue mx1.example.org");
        terminal.answer(CONFIRM, refusal);
        assert_shows(&terminal.exits("1"), &["not confirmed; nothing changed"]);
        assert_eq!(terminal.ca(), before);
    }
    terminal.start("mailca --ca CA issue");
    terminal.answer("Host", "mx1.example.org");
    terminal.answer(CONFIRM, "yes");
    terminal.answer(CA_PASSPHRASE, PASSPHRASE);
    let screen = terminal.exits("0");
    assert_eq!(screen.matches("Passphrase").count(), 1, "{screen}");
    assert_shows(&screen, &["host files   CA/hosts/mx1.example.org/\n"]);

    // The second time there is nothing to ask.
    terminal.start("mailca --ca CA issue mx1.example.org");
    assert_shows(&terminal.exits("0"), &["; nothing changed\n"]);
    terminal.start("mailca --ca CA issue mx1.example.org --san mx2.example.org --replace");
    assert_shows(&terminal.wait_for_question(CONFIRM), &["\nReplaces   "]);
    terminal.press("C-c");
    terminal.exits("130");
}

#[test]
fn export_asks_twice_for_a_files_passphrase_and_puts_no_tar_on_the_screen() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.issue_meanwhile("mx1.example.org");
    terminal.start("mailca --ca CA export mx1.example.org mx1.p12 --pkcs12");
    terminal.answer("Passphrase for the file:", PASSPHRASE);
    terminal.answer(AGAIN, PASSPHRASE);
    assert_shows(
        &terminal.exits("0"),
        &["wrote mx1.p12, the key and certificate "],
    );
    let read = ["pkcs12", "-in", "mx1.p12", "-passin", "file:pass", "-noenc"];
    terminal.dir.openssl(&read);
    for words in ["-", "- --pkcs12"] {
        terminal.start(&format!("mailca --ca CA export mx1.example.org {words}"));
        assert_shows(
            &terminal.exits("1"),
            &["is not for a terminal\nhint: send it through a pipe"],
        );
    }
}

#[test]
fn revoke_shows_what_it_is_about_and_asks() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.issue_meanwhile("mx1.example.org");
    terminal.issue_meanwhile("mx2.example.org");
    let before = terminal.ca();
    let command = "mailca --ca CA revoke mx1.example.org --compromised-at 2026-01-31T00:00:00Z";
    for refusal in ["n", "", "garbage"] {
        terminal.start(command);
        terminal.answer(REVOKE, refusal);
        let screen = terminal.exits("1");
        assert_shows(&screen, &["\nerror: not confirmed; nothing changed\n"]);
        assert!(!screen.contains("Passphrase"), "{screen}");
        assert_eq!(terminal.ca(), before, "{screen}");
    }
    terminal.start(command);
    assert_shows(
        &terminal.wait_for_question(REVOKE),
        &[
            "\nIssuer     O=Example, CN=Example Mail CA\n",
            "\nDirectory  CA\n",
            "\nRevoke     ",
            ", mx1.example.org, valid until 20",
            "CA/hosts/mx1.example.org",
            "\nReason     keyCompromise, since 2026-01-31T00:00:00Z\n",
            "\nCRL        a new one in CA/crl/crl.pem\n\nRevoke",
        ],
    );
    terminal.enter("y");
    terminal.answer(CA_PASSPHRASE, "sesame-43-shut");
    assert_shows(&terminal.exits("1"), &["does not open the private key"]);
    assert_eq!(terminal.ca(), before);

    terminal.start("mailca --ca CA revoke mx1.example.org mx2.example.org");
    terminal.answer("Revoke these 2 certificates? [y/N]", "y");
    terminal.answer(CA_PASSPHRASE, PASSPHRASE);
    let screen = terminal.exits("0");
    assert_eq!(screen.matches("Passphrase").count(), 1, "{screen}");
    assert_eq!(screen.matches("\nrevoked ").count(), 2, "{screen}");
    assert_shows(
        &screen,
        &["\nsigned the CRL 01 with 2 revoked certificates"],
    );
}

#[test]
fn what_was_revoked_while_the_question_was_open_is_not_revoked_again() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.issue_meanwhile("mx1.example.org");
    terminal.start("mailca --ca CA revoke mx1.example.org");
    terminal.wait_for_question(REVOKE);
    let openssl = "cd CA && openssl ca -config openssl.cnf -revoke newcerts/*.pem \
                   -crl_reason superseded -passin file:../pass";
    run(terminal.dir.command("sh").args(["-c", openssl])).exits(0);
    let before = terminal.dir.read("CA/index.txt");
    terminal.enter("y");
    terminal.answer(CA_PASSPHRASE, PASSPHRASE);
    assert_shows(
        &terminal.exits("1"),
        &[
            " was already revoked on 20",
            " (superseded); nothing changed\n",
        ],
    );
    assert_eq!(terminal.dir.read("CA/index.txt"), before);
    assert!(!terminal.dir.path().join("CA/crl/crl.pem").exists());
}

#[test]
fn questions_stay_on_the_terminal_when_output_and_input_do_not() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.start("mailca --ca CA issue mx1.example.org --json >out.json");
    terminal.answer(CONFIRM, "y");
    terminal.answer(CA_PASSPHRASE, PASSPHRASE);
    let screen = terminal.exits("0");
    assert!(!screen.contains("\"changed\""), "{screen}");
    let document: serde_json::Value = serde_json::from_str(&terminal.dir.read("out.json")).unwrap();
    assert_eq!(document["changed"], true);
    assert_eq!(document["host"], "mx1.example.org");

    terminal.start("mailca --ca CA issue mx2.example.org --json >out.json");
    terminal.answer(CONFIRM, "n");
    terminal.exits("1");
    let document: serde_json::Value = serde_json::from_str(&terminal.dir.read("out.json")).unwrap();
    assert_eq!(document["changed"], false);
    assert_eq!(document["error"], "not confirmed; nothing changed");

    terminal.mailca(&["req", "mx3.example.org", "--out-dir", "."]);
    terminal.start("mailca --ca CA sign - <mx3.example.org.csr --out - >mx3.pem");
    terminal.answer(CONFIRM, "y");
    terminal.answer(CA_PASSPHRASE, PASSPHRASE);
    terminal.exits("0");
    let text = terminal.dir.read("mx3.pem");
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n"), "{text}");
    terminal
        .dir
        .openssl(&["verify", "-CAfile", "CA/cacert.pem", "mx3.pem"]);
}

/// A command, its questions with their answers; the last one stays open.
type Dialogue = (&'static str, &'static [(&'static str, &'static str)]);

const DIALOGUES: &[Dialogue] = &[
    ("mailca init NEW", &[("Subject of the CA", "")]),
    ("mailca init NEW --subject /CN=x", &[(NEW_PASSPHRASE, "")]),
    (
        "mailca init NEW --subject /CN=x",
        &[(NEW_PASSPHRASE, PASSPHRASE), (AGAIN, "")],
    ),
    ("mailca --ca CA req", &[("Host", "")]),
    ("mailca --ca CA sign", &[(CONFIRM, "")]),
    (
        "mailca --ca CA sign",
        &[(CONFIRM, "y"), (CA_PASSPHRASE, "")],
    ),
    ("mailca --ca CA issue", &[("Host", "")]),
    ("mailca --ca CA issue mx2.example.org", &[(CONFIRM, "")]),
    (
        "mailca --ca CA issue mx2.example.org",
        &[(CONFIRM, "y"), (CA_PASSPHRASE, "")],
    ),
    ("mailca --ca CA revoke old.example.org", &[(REVOKE, "")]),
    (
        "mailca --ca CA revoke old.example.org",
        &[(REVOKE, "y"), (CA_PASSPHRASE, "")],
    ),
    ("mailca --ca CA crl", &[(CA_PASSPHRASE, "")]),
    ("mailca --ca CA repair", &[(REPAIR, "")]),
];

/// Leaves every question of every command in some way: nothing may be changed by it.
fn leave_every_question(leave: impl Fn(&Terminal, &str)) {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.issue_meanwhile("old.example.org");
    terminal.mailca(&["--ca", "CA", "req", "mx1.example.org"]);
    terminal.damage_link();
    let before = terminal.ca();
    for (command, questions) in DIALOGUES {
        terminal.start(command);
        let (last, first) = questions.split_last().unwrap();
        for (question, answer) in first {
            terminal.answer(question, answer);
        }
        terminal.wait_for_question(last.0);
        leave(&terminal, last.0);
        assert!(!terminal.dir.path().join("NEW").exists(), "{command}");
        assert_eq!(terminal.ca(), before, "{command}");
    }
}

#[test]
fn ctrl_c_leaves_every_question_and_changes_nothing() {
    leave_every_question(|terminal, _| {
        terminal.type_text("half-an-answer");
        terminal.press("C-c");
        terminal.exits("130");
    });
}

#[test]
fn ctrl_d_leaves_every_question_and_changes_nothing() {
    leave_every_question(|terminal, _| {
        terminal.press("C-d");
        assert_shows(
            &terminal.exits("1"),
            &["error: no answer was given\nhint: nothing was changed\n"],
        );
    });
}

#[test]
fn sigterm_leaves_every_question_and_changes_nothing() {
    leave_every_question(|terminal, question| {
        terminal.terminate();
        let (status, screen) = terminal.end();
        assert!(
            ["130", "143"].contains(&&*status),
            "{question}: {status}\n{screen}"
        );
    });
}

#[test]
fn closing_the_terminal_ends_the_command_and_changes_nothing() {
    for (command, questions) in [DIALOGUES[7], DIALOGUES[8], DIALOGUES[DIALOGUES.len() - 1]] {
        let Some(terminal) = Terminal::with_ca() else {
            return;
        };
        terminal.damage_link();
        let before = terminal.ca();
        terminal.start(command);
        let (last, first) = questions.split_last().unwrap();
        for (question, answer) in first {
            terminal.answer(question, answer);
        }
        terminal.wait_for_question(last.0);
        terminal.tmux(&["kill-server"]);
        let process = Path::new("/proc").join(terminal.dir.read("pid").trim());
        let start = Instant::now();
        while process.exists() && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(20));
        }
        assert!(!process.exists(), "{command} still runs");
        assert_eq!(terminal.ca(), before, "{command}");
    }
}

#[test]
fn while_a_question_is_open_others_can_work() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.start("mailca --ca CA issue mx1.example.org");
    terminal.wait_for_question(CONFIRM);
    terminal.issue_meanwhile("other1.example.org");
    terminal.enter("y");
    terminal.wait_for_question(CA_PASSPHRASE);
    terminal.issue_meanwhile("other2.example.org");
    terminal.enter(PASSPHRASE);
    assert_shows(&terminal.exits("0"), &["signed mx1.example.org as "]);
    assert_eq!(terminal.certificates(), 3);
    let index = terminal.dir.read("CA/index.txt");
    assert_eq!(index.lines().count(), 3, "{index}");
}

#[test]
fn what_was_signed_while_the_question_was_open_is_not_signed_again() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    // issue after issue, sign after sign, sign after issue
    let host = |n| format!("mx{n}.example.org");
    terminal.start("mailca --ca CA issue mx1.example.org");
    terminal.wait_for_question(CONFIRM);
    terminal.issue_meanwhile(&host(1));
    let told = |n: usize| {
        let before = terminal.ca();
        terminal.enter("y");
        terminal.answer(CA_PASSPHRASE, PASSPHRASE);
        let screen = terminal.exits("1");
        assert_shows(
            &screen,
            &["error: CA was changed by another command meanwhile; nothing was signed\nhint: "],
        );
        assert_eq!(terminal.ca(), before, "{screen}");
        assert_eq!(terminal.certificates(), n);
    };
    told(1);

    terminal.mailca(&["--ca", "CA", "req", &host(2)]);
    terminal.start("mailca --ca CA sign");
    terminal.wait_for_question(CONFIRM);
    terminal.mailca(&["--ca", "CA", "sign", "--yes", "--passphrase-file", "pass"]);
    told(2);

    terminal.mailca(&["--ca", "CA", "req", &host(3)]);
    terminal.start("mailca --ca CA sign");
    terminal.wait_for_question(CONFIRM);
    terminal.issue_meanwhile(&host(3));
    told(3);
}

#[test]
fn a_wrong_passphrase_is_one_error_and_changes_nothing() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let before = terminal.ca();
    terminal.start("mailca --ca CA issue mx1.example.org");
    terminal.answer(CONFIRM, "y");
    terminal.answer(CA_PASSPHRASE, "sesame-43-shut");
    let screen = terminal.exits("1");
    assert_shows(
        &screen,
        &["error: CA/private/cakey.pem: the passphrase does not open the private key\n"],
    );
    assert_eq!(screen.matches("error:").count(), 1, "{screen}");
    assert_eq!(terminal.ca(), before);
}

#[test]
fn what_is_typed_ahead_answers_its_own_question() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    // A key is no answer before Enter.
    terminal.start("mailca --ca CA issue mx1.example.org");
    terminal.type_text("y");
    terminal.wait_until(CONFIRM, |screen| screen.contains(CONFIRM));
    thread::sleep(Duration::from_millis(300));
    assert!(last_line(&terminal.screen()).starts_with(CONFIRM));
    terminal.press("BSpace");
    terminal.press("Enter");
    terminal.exits("1");

    terminal.start("mailca --ca CA issue");
    terminal.enter("mx1.example.org");
    terminal.enter("n");
    assert_shows(
        &terminal.exits("1"),
        &["Subject    CN=mx1.example.org\n", "not confirmed"],
    );
    assert_eq!(terminal.certificates(), 0);
}

#[test]
fn very_long_answers_are_refused() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let before = terminal.ca();
    let long = "x".repeat(5000);
    terminal.start("mailca init NEW --subject /CN=x");
    terminal.answer(NEW_PASSPHRASE, &long);
    terminal.answer(AGAIN, &long);
    assert_shows(
        &terminal.exits("1"),
        &["error: the passphrase in the answer is longer than 1024 bytes\n"],
    );
    assert!(!terminal.dir.path().join("NEW").exists());

    terminal.start("mailca --ca CA issue mx1.example.org");
    terminal.answer(CONFIRM, &format!("y{long}"));
    terminal.exits("1");
    terminal.start("mailca --ca CA issue");
    terminal.answer("Host", &long);
    terminal.wait_for_question("Host");
    terminal.press("C-c");
    let screen = terminal.exits("130");
    assert!(screen.len() < 10_000, "{screen}");
    assert_eq!(terminal.ca(), before);
}

#[test]
fn any_kind_of_terminal_will_do() {
    let Some(terminal) = Terminal::of_width(40).map(Terminal::make_ca) else {
        return;
    };
    for (n, environment) in [
        "TERM=dumb",
        "TERM=",
        "-u TERM",
        "TERM=xterm-256color NO_COLOR=1",
        "TERM=xterm-256color CLICOLOR_FORCE=1 COLUMNS=20",
    ]
    .iter()
    .enumerate()
    {
        terminal.start(&format!(
            "env {environment} mailca --ca CA issue mx{n}.example.org --san smtp{n}.example.org"
        ));
        let review = terminal.wait_for_question(CONFIRM);
        let names =
            format!("Names      DNS:mx{n}.example.org,\n           DNS:smtp{n}.example.org\n");
        assert_shows(&review, &[&names]);
        terminal.enter("y");
        terminal.answer(CA_PASSPHRASE, PASSPHRASE);
        terminal.exits("0");
    }
    let raw = fs::read(terminal.dir.path().join("raw")).unwrap();
    assert!(!raw.contains(&0x1B), "{}", String::from_utf8_lossy(&raw));
}

#[test]
fn what_a_request_will_not_get_is_in_the_review() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"];
    let request = ["req", "-new", "-subj", "/CN=mx1.example.org"];
    let wishes = [
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=digitalSignature,keyCertSign",
        "extendedKeyUsage=serverAuth,codeSigning,1.2.3",
        "1.2.3.4=critical,ASN1:NULL",
        "subjectAltName=DNS:mx1.example.org,URI:http://x",
    ];
    let wishes = wishes.map(|wish| ["-addext", wish]).concat();
    terminal
        .dir
        .openssl(&[&request[..], &key, &["-out", "any.csr"], &wishes].concat());
    terminal.start("mailca --ca CA sign any.csr");
    let review = terminal.wait_for_question(CONFIRM);
    let review = review.split_whitespace().collect::<Vec<_>>().join(" ");
    let note = |wish| format!("Note the request asks for {wish}, which it does not get ");
    let notes = [
        "keyUsage keyCertSign",
        "extendedKeyUsage codeSigning, 1.2.3",
        "basicConstraints CA:TRUE",
        "the critical extension 1.2.3.4",
        "the name URI:http://x",
    ];
    let notes: String = notes.map(note).concat();
    assert_shows(&review, &[&format!("{notes}Sign the certificate?")]);
    terminal.enter("n");
    terminal.exits("1");
}

#[test]
fn a_hostile_request_cannot_steer_the_terminal() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let subject = "/O=Bob's, Inc/OU=a\u{1b}[31mred\u{202e}der\nIssuer     CN=Another CA\
                   /CN=mx1\u{1b}]0;owned\u{7}\u{9b}2J";
    let key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"];
    let request = ["req", "-new", "-utf8", "-subj", subject, "-out", "evil.csr"];
    terminal.dir.openssl(&[&request[..], &key].concat());
    terminal.start("mailca --ca CA sign evil.csr --profile client");
    let review = terminal.wait_for_question(CONFIRM);
    assert_eq!(review.matches("\nIssuer ").count(), 1, "{review}");
    assert_shows(
        &review,
        &["Subject    O=Bob's\\, Inc, OU=a\\u{1b}[31mred\\u{202e}der\\nIssuer"],
    );
    terminal.enter("y");
    terminal.answer(CA_PASSPHRASE, PASSPHRASE);
    assert_shows(
        &terminal.exits("0"),
        &["signed mx1\\u{1b}]0;owned\\u{7}\\u{9b}2J as "],
    );
    // Errors quote subjects too.
    let settings = terminal.dir.read("CA/openssl.cnf");
    assert!(settings.contains("policy_match"), "{settings}");
    terminal.start("mailca --ca CA sign evil.csr --profile client --policy policy_match");
    assert_shows(&terminal.exits("1"), &["error: subject has "]);
    let raw = fs::read_to_string(terminal.dir.path().join("raw")).unwrap();
    for steering in ['\u{1b}', '\u{202e}', '\u{7}', '\u{9b}'] {
        assert!(!raw.contains(steering), "{steering:?} in {raw}");
    }
}

#[test]
fn the_review_fits_the_screen() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let names: Vec<_> = (0..12)
        .map(|n| format!("--san host{n}.example.org"))
        .collect();
    terminal.start(&format!(
        "mailca --ca CA issue mail.example.org --san 192.0.2.25 {}",
        names.join(" ")
    ));
    terminal.wait_for_question(CONFIRM);
    // As the lines are on the screen, without those that were typed.
    let screen = terminal.tmux(&["capture-pane", "-p"]);
    let (_, review) = screen.split_once("\nIssuer").unwrap();
    let lines: Vec<_> = review
        .lines()
        .skip(1)
        .take_while(|l| !l.is_empty())
        .collect();
    for line in &lines {
        let (label, value) = line.split_at(11);
        assert!(label.ends_with(' '), "{screen}");
        assert!(!value.starts_with(' '), "{screen}");
        assert!(line.len() < 100, "{screen}");
    }
    assert!(lines.len() < 20, "{screen}");
    terminal.press("C-c");
    terminal.exits("130");
}

#[test]
fn repair_shows_its_plan_and_asks() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.issue_meanwhile("mx1.example.org");
    let register = terminal.dir.path().join("CA/index.txt");
    let row = fs::read_to_string(&register).unwrap();
    fs::write(&register, format!("{row}V\t2801\x1b[31m")).unwrap();
    terminal.damage_link();
    let before = terminal.ca();
    for refusal in ["n", "", "garbage"] {
        terminal.start("mailca --ca CA repair");
        terminal.answer(REPAIR, refusal);
        let screen = terminal.exits("1");
        assert_shows(&screen, &["\nerror: not confirmed; nothing changed\n"]);
        assert_eq!(terminal.ca(), before, "{screen}");
    }
    terminal.start("mailca --ca CA repair");
    assert_shows(
        &terminal.wait_for_question(REPAIR),
        &[
            "\nIn CA:\n  leave out line 2 of the register (it is no row)\n    - V",
            "2801\\u{1b}[31m\n",
            "\n  move CA/12345678.0 aside\n",
        ],
    );
    terminal.enter("y");
    assert_shows(
        &terminal.exits("0"),
        &["\nrepaired CA\n", "\nkept: CA/index.txt."],
    );
    assert_eq!(fs::read_to_string(&register).unwrap(), row);
}

#[test]
fn repair_asks_before_it_goes_on_and_tells_what_it_did() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.issue_meanwhile("mx1.example.org");
    let register = terminal.dir.path().join("CA/index.txt");
    let row = fs::read_to_string(&register).unwrap();
    // The torn row, once it is whole, is one too many.
    let torn = &row[..row.len() - 4];
    for (second, left) in [
        ("n", "\nundecided: there is more to repair\n"),
        ("y", "\n  leave out line 2 of the register"),
    ] {
        fs::write(&register, format!("{row}{row}{torn}")).unwrap();
        terminal.start("mailca --ca CA repair");
        terminal.answer(REPAIR, "y");
        terminal.answer(REPAIR, second);
        let exit = if second == "y" { "0" } else { "3" };
        let screen = terminal.exits(exit);
        assert_shows(&screen, &["\nrepaired CA\n", "\nkept: CA/index.txt.", left]);
        assert!(!screen.contains("nothing changed"), "{screen}");
    }
    assert_eq!(fs::read_to_string(&register).unwrap(), row);
}

#[test]
fn repair_asks_again_where_nothing_proves_that_a_certificate_was_not_revoked() {
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    terminal.issue_meanwhile("mx1.example.org");
    let register = terminal.dir.path().join("CA/index.txt");
    let row = fs::read_to_string(&register).unwrap();
    fs::write(&register, "").unwrap();
    let before = terminal.ca();
    let serial = row.split('\t').nth(3).unwrap();
    terminal.start("mailca --ca CA repair");
    terminal.answer(REPAIR, "y");
    terminal.answer(ASSUME, "n");
    let screen = terminal.exits("1");
    let question = "Nothing proves that these certificates were not revoked:\n  ";
    assert_shows(
        &screen,
        &[&format!("{question}{serial}\n"), "nothing changed\n"],
    );
    assert_eq!(terminal.ca(), before, "{screen}");
    terminal.start("mailca --ca CA repair");
    terminal.answer(REPAIR, "y");
    terminal.wait_for_question(ASSUME);
    terminal.press("C-c");
    terminal.exits("130");
    assert_eq!(terminal.ca(), before);
    terminal.start("mailca --ca CA repair");
    terminal.answer(REPAIR, "y");
    terminal.answer(ASSUME, "y");
    let told = format!("\nvalid from now on, if they were not revoked: {serial}\n");
    assert_shows(&terminal.exits("0"), &[&told]);
    assert_eq!(fs::read_to_string(&register).unwrap(), row);
}
