//! Private keys and passphrases: where they are, and that they are nowhere else.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Ca, Ran, TestDir, Tree, User, mailca, require, run, run_with, tell, users};
use super::terminal::{CA_PASSPHRASE, CONFIRM, Terminal};

const HOST: &str = "mail.example.test";
const PASSPHRASE: &str = "mailca tests";

/// A mailca that waits for the lock, with the CA's key unlocked. It may dump core as far as the
/// system lets it.
pub(super) struct Waiting {
    pub child: Child,
    _lock: File,
}

impl Waiting {
    #[track_caller]
    pub fn of(ca: &Ca, words: &[&str]) -> Self {
        let path = ca.file("index.txt.lock");
        let mut options = File::options();
        let lock = options.create(true).truncate(false).write(true).open(&path);
        let lock = lock.expect("open the lock");
        lock.lock().expect("take the lock");
        let mailca = ca.command(&[words, &["--yes", "--wait=600"]].concat());
        let mut shell = with_cores(&mailca);
        let mut child = shell
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start mailca");
        let start = Instant::now();
        while !has_open(child.id(), Path::new(&path)) {
            let ended = child.try_wait().expect("wait for mailca");
            assert_eq!(ended, None, "{mailca:?} does not wait");
            let waited = start.elapsed() > Duration::from_secs(60);
            assert!(!waited, "{mailca:?} does not come to the lock");
            sleep(Duration::from_millis(5));
        }
        Self { child, _lock: lock }
    }

    fn proc(&self, name: &str) -> Vec<u8> {
        fs::read(format!("/proc/{}/{name}", self.child.id())).expect("read /proc")
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_open(pid: u32, path: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
}

/// A command with the highest limit of core files that there may be.
fn with_cores(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c \"$(ulimit -H -c)\"; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    shell
}

const FATAL: [Signal; 3] = [Signal::ABORT, Signal::QUIT, Signal::SEGV];

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("send a signal");
}

#[test]
fn no_signal_leaves_a_core_with_the_key_in_it() {
    let ca = Ca::encrypted();
    let issue = ["issue", HOST, "--passphrase-file=pass"];
    // Whether there would be one here, which the kernel tells who waits for a process.
    let mut other = with_cores(ca.dir.command("sleep").arg("60"));
    let mut other = other.spawn().expect("start sleep");
    while fs::read(format!("/proc/{}/comm", other.id())).unwrap() != b"sleep\n" {}
    send(other.id(), Signal::SEGV);
    if !other.wait().unwrap().core_dumped() {
        tell("here no program leaves a core: what follows has little to show");
    }
    let before = ca.dir.path().read_dir().unwrap().count();
    for signal in FATAL {
        let mut mailca = Waiting::of(&ca, &issue);
        let limits = String::from_utf8(mailca.proc("limits")).unwrap();
        let limit = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let soft = limit.unwrap().split_whitespace().nth(4).unwrap();
        assert!(matches!(soft, "0" | "1"), "{limits}");
        // Rust takes the first SIGSEGV for a fault, finds none, and lets the second one kill.
        let ended = loop {
            send(mailca.child.id(), signal);
            sleep(Duration::from_millis(10));
            if let Some(ended) = mailca.child.try_wait().unwrap() {
                break ended;
            }
        };
        assert_eq!(ended.signal(), Some(signal.as_raw()));
        assert!(!ended.core_dumped(), "{signal:?}");
    }
    let after = ca.dir.path().read_dir().unwrap().count();
    assert_eq!(before, after);
}

#[test]
fn no_signal_leaves_a_core_with_half_a_passphrase_in_it() {
    let shell = "sh -c 'ulimit -c \"$(ulimit -H -c)\"; exec \"$@\"' sh";
    for signal in ["ABRT", "SEGV"] {
        let Some(terminal) = Terminal::with_ca() else {
            return;
        };
        terminal.start(&format!("{shell} sh as mailca --ca CA issue {HOST}"));
        terminal.answer(CONFIRM, "y");
        terminal.wait_for_question(CA_PASSPHRASE);
        terminal.type_text(&Terminal::PASSPHRASE[..9]);
        let pid = terminal.dir.read("pid");
        while Path::new("/proc").join(pid.trim()).exists() {
            run(Command::new("kill").args([&format!("-{signal}"), pid.trim()]));
            sleep(Duration::from_millis(10));
        }
        let screen = terminal.wait_until("the shell's prompt", |screen| {
            screen.trim_end().ends_with("\nready>")
        });
        assert!(!screen.contains("core dumped"), "{screen}");
        let names = terminal.dir.path().read_dir().unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.find(|name| name.starts_with("core")), None);
    }
}

/// The files below a folder in which one of these is, and in which.
fn files_with(folder: &Path, secrets: &[String]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files_with(&path, secrets));
        } else if holds(&fs::read(&path).unwrap(), secrets) {
            found.insert(path);
        }
    }
    found
}

fn holds(bytes: &[u8], secrets: &[String]) -> bool {
    let has = |secret: &str| {
        bytes
            .windows(secret.len())
            .any(|it| it == secret.as_bytes())
    };
    secrets.iter().any(|secret| has(secret))
}

/// The base64 of private keys, and their numbers in hexadecimal digits.
fn secrets_in(key: &str, passphrase: &[&str]) -> Vec<String> {
    let out = run(Command::new("openssl")
        .args(["pkey", "-text", "-in", key])
        .args(passphrase));
    let text = out.exits(0).stdout;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Of P-256: the first line has half of the number, and nothing that is public.
    let base64 = lines[1][48..].to_owned();
    let hex = lines.iter().skip_while(|line| **line != "priv:").skip(1);
    let hex: Vec<&str> = hex.take_while(|line| **line != "pub:").copied().collect();
    // 32 octets, zeros too, perhaps behind one for the sign.
    let hex = hex.join("");
    let hex = hex[hex.len() - 95..].to_owned();
    let digits = hex.replace(':', "");
    vec![
        base64,
        digits.to_uppercase(),
        digits,
        hex.to_uppercase(),
        hex,
    ]
}

/// A CA with hosts and waiting keys, by every command; what each said.
fn worked_with(ca: &Ca) -> Vec<Ran> {
    let pass = "--passphrase-file=pass";
    ca.dir.write_secret("wrong", "not the one\n");
    ca.dir
        .write("hosts.txt", "h1.example.test\nh2.example.test\n");
    let mut said = Vec::new();
    for words in [
        &["init", "--subject=/CN=Test CA", pass][..],
        &["init", "--subject=/CN=Test CA", pass],
        &["req", HOST],
        &["req", HOST],
        &["req", HOST, "--if-missing"],
        &["sign", "--passphrase-file=wrong"],
        &["sign", pass],
        &["issue", "mx.example.test", pass],
        &["issue", "mx.example.test", pass],
        &[
            "issue",
            "mx.example.test",
            "--san=x.example.test",
            "--replace",
            pass,
        ],
        &["issue", "--from=hosts.txt", pass],
        &["req", "other.example.test", "--out-dir=."],
        &["req", "other.example.test", "--out-dir=."],
        &["sign", "other.example.test.csr", "--out=-", pass],
        &["sign", "other.example.test.csr", "--out-dir=out", pass],
        &["sign", "other.example.test.key", pass],
        &["sign", "CA/private/cakey.pem", pass],
        &["req", "third.example.test", "--key=CA/private/cakey.pem"],
        &["req", "third.example.test", "--key=pass"],
        &["emit-mc", HOST],
        &["emit", "postfix", HOST],
        &["access", "postfix", HOST],
        &["export", HOST, "exported"],
        &["export", HOST, "exported"],
        &["export", HOST, "CA/exported"],
        &[
            "export",
            HOST,
            "host.p12",
            "--pkcs12",
            "--pkcs12-passphrase-file=pass",
        ],
        &["emit", "systemd"],
        &["verify", HOST],
        &["show", "CA/private/cakey.pem"],
        &["show", "other.example.test.key"],
        &["status"],
        &["check"],
        &["check", pass],
        &["check", "--passphrase-file=wrong"],
        &["repair"],
        &["renew", HOST, pass],
        &["renew", "h1.example.test", "--new-key", pass],
        &["revoke", "h2.example.test", pass],
        &["crl", pass],
        &["crl", "--passphrase-file=wrong"],
        &["renew-ca", pass],
        &["renew-ca", "--new-key", pass],
        &["req", "waits.example.test"],
    ] {
        for more in [&[][..], &["--json"], &["--quiet"]] {
            let mut command = ca.command(&[words, &["--yes"], more].concat());
            command
                .env("RUST_BACKTRACE", "full")
                .env("RUST_LOG", "trace");
            said.push(run(&mut command));
        }
    }
    said
}

#[test]
fn secrets_are_in_key_files_and_in_no_word_of_mailca() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::unmade(User::me());
    let said = worked_with(&ca);
    let file = |name: &str| ca.dir.path().join(name);
    let key_files: BTreeSet<PathBuf> = files_with(ca.dir.path(), &["PRIVATE KEY".into()]);
    let mut keys: Vec<PathBuf> = key_files.iter().cloned().collect();
    // The CA's own are encrypted.
    keys.retain(|path| !path.starts_with(file("CA/private")));
    assert!(keys.len() > 6, "{keys:?}");
    let mut all = Vec::new();
    for key in &keys {
        let secrets = secrets_in(key.to_str().unwrap(), &[]);
        assert!(!files_with(ca.dir.path(), &secrets).is_empty());
        assert!(files_with(ca.dir.path(), &secrets).is_subset(&key_files));
        all.extend(secrets);
    }
    let own = secrets_in(
        &ca.file("private/cakey.pem"),
        &["-passin", "pass:mailca tests"],
    );
    for name in &key_files {
        let mode = fs::metadata(name).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", name.display());
    }
    // The CA's own key is in no file as it is.
    assert_eq!(files_with(ca.dir.path(), &own), BTreeSet::new());
    let passphrase = [PASSPHRASE.to_owned()];
    let pass_file = BTreeSet::from([file("pass")]);
    assert_eq!(files_with(ca.dir.path(), &passphrase), pass_file);
    all.extend(own);
    all.extend(passphrase);
    for ran in said {
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!holds(text.as_bytes(), &all), "{ran}");
        }
    }
}

#[test]
fn secrets_are_written_to_key_files_and_nowhere_else() {
    if !require(&["strace", "openssl"]) {
        return;
    }
    let ca = Ca::unmade(User::me());
    let pass = "--passphrase-file=pass";
    let mut written = String::new();
    for words in [
        &["init", "--subject=/CN=Test CA", pass][..],
        &["req", HOST],
        &["sign", pass],
        &["issue", "mx.example.test", pass],
        &[
            "issue",
            "mx.example.test",
            "--san=x.example.test",
            "--replace",
            pass,
        ],
        &["req", "other.example.test", "--out-dir=."],
        &["sign", "other.example.test.csr", "--out=other.pem", pass],
    ] {
        let command = ca.command(&[words, &["--yes"]].concat());
        let mut strace = Command::new("strace");
        strace.args([
            "-f",
            "-qq",
            "-y",
            "-s",
            "1000000",
            "-o",
            &ca.dir.file("trace"),
        ]);
        strace.args([
            "-e",
            "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,ioctl",
        ]);
        strace.arg(command.get_program()).args(command.get_args());
        let ran = run(strace.current_dir(ca.dir.path()));
        if ran.stderr.contains("ptrace") || ran.stderr.contains("PTRACE") {
            tell(&format!("SKIPPED: tracing is not permitted: {ran}"));
            return;
        }
        ran.exits(0);
        written += &ca.dir.read("trace");
    }
    fs::remove_file(ca.dir.path().join("trace")).unwrap();
    let mut secrets = secrets_in(
        &ca.file("private/cakey.pem"),
        &["-passin", "pass:mailca tests"],
    );
    secrets.push(PASSPHRASE.into());
    assert!(!holds(written.as_bytes(), &secrets));
    let mut count = 0;
    for key in files_with(ca.dir.path(), &["BEGIN PRIVATE KEY".into()]) {
        let secrets = secrets_in(key.to_str().unwrap(), &[]);
        let lines = written
            .lines()
            .filter(|line| holds(line.as_bytes(), &secrets));
        for line in lines {
            let (_, file) = line.split_once('<').unwrap();
            let (file, _) = file.split_once('>').unwrap();
            assert!(
                file.ends_with("/key.pem") || file.ends_with("test.key"),
                "{line}"
            );
            count += 1;
        }
    }
    assert!(count >= 4, "{count} of\n{written}");
}

#[test]
fn no_word_of_a_command_line_is_a_passphrase() {
    let ca = Ca::encrypted();
    for option in ["--passphrase", "--pass", "--password", "-p"] {
        for words in [
            &["issue", HOST, "--yes"][..],
            &["init", "NEW", "--subject=/CN=x"],
        ] {
            let ran = ca.mailca(&[words, &[option, PASSPHRASE]].concat()).exits(2);
            assert!(ran.stderr.contains("unexpected argument"), "{ran}");
        }
    }
    let mailca = Waiting::of(&ca, &["issue", HOST, "--passphrase-file=pass"]);
    let line = mailca.proc("cmdline");
    assert!(holds(&line, &["--passphrase-file=pass".into()]));
    assert!(!holds(&line, &[PASSPHRASE.into()]));
}

/// Something of somebody else's, where mailca is about to make a file.
#[derive(Clone, Copy, Debug)]
enum Planted {
    File,
    HardLink,
    Link,
    LinkToNothing,
}

const PLANTED: [Planted; 4] = [
    Planted::File,
    Planted::HardLink,
    Planted::Link,
    Planted::LinkToNothing,
];

impl Planted {
    /// Puts it at `path`, beside a file `victim` in the same private directory.
    fn put(self, dir: &TestDir, path: &str) {
        let victim = dir.write("victim", "precious\n");
        fs::set_permissions(&victim, Permissions::from_mode(0o604)).unwrap();
        let path = dir.path().join(path);
        match self {
            Self::File => fs::copy(&victim, path).map(drop),
            Self::HardLink => fs::hard_link(&victim, path),
            Self::Link => symlink(&victim, path),
            Self::LinkToNothing => symlink(dir.path().join("nothing"), path),
        }
        .unwrap();
    }

    #[track_caller]
    fn is_unharmed(dir: &TestDir, ran: &Ran) {
        let victim = dir.path().join("victim");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n", "{ran}");
        let mode = fs::metadata(&victim).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o604, "{ran}");
        assert!(!dir.path().join("nothing").exists(), "{ran}");
    }
}

#[test]
fn what_is_planted_in_the_place_of_a_key_is_neither_followed_nor_overwritten() {
    let next = format!("CA/hosts/{HOST}.next");
    for planted in PLANTED {
        let ca = Ca::new();
        ca.dir.create_dir(&next);
        planted.put(&ca.dir, &format!("{next}/key.pem"));
        planted.put(&ca.dir, &format!("{HOST}.key"));
        let refuses = |args: &[&str]| {
            let before = ca.tree();
            let ran = ca.mailca(args).exits(1);
            before.assert_unchanged(ca.dir.path(), &ran.to_string());
            assert!(
                ran.stderr.contains("a private key is never overwritten"),
                "{ran}"
            );
            Planted::is_unharmed(&ca.dir, &ran);
        };
        refuses(&["req", HOST]);
        refuses(&["req", HOST, "--out-dir=."]);

        let ca = Ca::unmade(User::me());
        ca.dir.create_dir("CA");
        ca.dir.create_dir("CA/private");
        planted.put(&ca.dir, "CA/private/cakey.pem");
        let said = ca.refuses(&["init", "--subject=/CN=x", "--no-passphrase"]);
        assert!(
            said.contains("already holds a CA (private/cakey.pem)"),
            "{said}"
        );
    }
}

#[test]
fn what_is_planted_in_the_place_of_a_folder_for_keys_is_not_entered() {
    let elsewhere = |dir: &TestDir, path: &str| {
        let folder = dir.create_dir("elsewhere");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        dir.write("elsewhere/precious", "precious\n");
        symlink(&folder, dir.path().join(path)).unwrap();
        Tree::of(folder)
    };
    let ca = Ca::unmade(User::me());
    ca.dir.create_dir("CA");
    let before = elsewhere(&ca.dir, "CA/private");
    let said = ca.refuses(&["init", "--subject=/CN=x", "--no-passphrase"]);
    before.assert_unchanged(ca.dir.file("elsewhere"), &said);

    let ca = Ca::new();
    let before = elsewhere(&ca.dir, "CA/hosts/.pending");
    let ran = ca.ok(&["issue", HOST, "--yes"]);
    before.assert_unchanged(ca.dir.file("elsewhere"), &ran.to_string());
    assert!(!ca.exists("hosts/.pending"));

    let ca = Ca::new();
    let before = elsewhere(&ca.dir, &format!("CA/hosts/{HOST}.next"));
    let ran = ca.mailca(&["req", HOST]).exits(1);
    before.assert_unchanged(ca.dir.file("elsewhere"), &ran.to_string());
    ca.ok(&["req", "other.example.test"]);
}

#[test]
fn what_is_planted_in_the_place_of_a_temporary_file_is_neither_followed_nor_overwritten() {
    for planted in PLANTED {
        let ca = Ca::new();
        let csr = ca.request(HOST, &[]);
        ca.dir.create_dir("out");
        let temporaries = [
            "CA/.newreq.pem.mailca".to_owned(),
            "CA/.newcert.pem.mailca".to_owned(),
            format!("CA/hosts/.{HOST}.mailca"),
            format!("CA/hosts/{HOST}.next/.cert.pem.mailca"),
            format!("out/.{HOST}.pem.mailca"),
            ".other.example.test.csr.mailca".to_owned(),
        ];
        ca.ok(&["req", HOST]);
        for temporary in &temporaries {
            planted.put(&ca.dir, temporary);
        }
        let does = |args: &[&str]| {
            let ran = ca.ok(&[args, &["--yes"]].concat());
            Planted::is_unharmed(&ca.dir, &ran);
        };
        does(&["sign"]);
        does(&["sign", &csr, "--out-dir=out"]);
        does(&["req", "other.example.test"]);
        does(&["req", "other.example.test", "--out-dir=."]);
        for temporary in &temporaries {
            let path = ca.dir.path().join(temporary);
            assert!(
                fs::symlink_metadata(&path).is_err(),
                "{planted:?}: {temporary}"
            );
        }
    }
}

#[test]
fn what_is_planted_in_the_place_of_the_lock_or_the_journal_is_not_written_to() {
    for planted in [Planted::Link, Planted::LinkToNothing] {
        for name in ["index.txt.lock", "index.txt.journal"] {
            let ca = Ca::new();
            planted.put(&ca.dir, &format!("CA/{name}"));
            let ran = ca.mailca(&["issue", HOST, "--yes"]);
            Planted::is_unharmed(&ca.dir, &ran);
            assert!(ca.exists(name));
            // A lock is a lock wherever it is.
            let locked = matches!((planted, name), (Planted::Link, "index.txt.lock"));
            assert_eq!(ran.code(), i32::from(!locked), "{ran}");
        }
    }
}

#[test]
fn only_its_owner_can_write_what_the_next_command_does() {
    let ca = Ca::new();
    ca.chmod("index.txt", 0o666);
    ca.ok(&["issue", HOST, "--yes"]);
    assert_eq!(ca.mode("index.txt.journal"), 0o644);
    assert_eq!(ca.mode("index.txt.lock"), 0o600);
}

#[test]
fn what_root_makes_in_somebody_s_ca_belongs_to_that_user() {
    if !User::me().is_root() {
        return;
    }
    let user = User::ordinary();
    let ca = Ca::unmade(user);
    ca.dir.create_dir("CA");
    let request = ca.request("other.example.test", &[]);
    let as_root = |words: &[&str]| {
        let mut command = mailca();
        command.args(["--ca", "CA"]).args(words).arg("--yes");
        run(command.current_dir(ca.dir.path())).exits(0);
        let all = run(Command::new("find")
            .arg(ca.dir.path())
            .args(["!", "-user", "65534"]));
        assert_eq!(all.exits(0).stdout, "", "{words:?}");
    };
    as_root(&["init", "--subject=/CN=Test CA", "--no-passphrase"]);
    as_root(&["req", HOST]);
    as_root(&["sign"]);
    as_root(&["issue", HOST, "--san=x.example.test", "--replace"]);
    as_root(&["issue", "mx.example.test"]);
    as_root(&["sign", &request, "--out-dir=out"]);
    // It is usable: that user goes on.
    ca.ok(&["issue", "last.example.test", "--yes"]);
}

#[test]
fn a_new_ca_and_a_new_key_belong_to_whoever_made_them() {
    if !User::me().is_root() {
        return;
    }
    // As /etc/mail is the mail daemon's on Debian, with its group for what is made there.
    let dir = TestDir::of(User::ordinary());
    fs::set_permissions(dir.path(), Permissions::from_mode(0o2755)).unwrap();
    for words in [
        &["init", "--subject=/CN=Test CA", "--no-passphrase"][..],
        &["issue", HOST],
        &["req", "mx.example.test"],
    ] {
        let mut command = mailca();
        command.args(["--ca", "CA", "--yes"]).args(words);
        run(command.current_dir(dir.path())).exits(0);
        let find = run(Command::new("find")
            .arg(dir.file("CA"))
            .args(["!", "-user", "root"]));
        assert_eq!(find.exits(0).stdout, "", "{words:?}");
        let find = run(Command::new("find")
            .arg(dir.file("CA"))
            .args(["!", "-type", "l", "-perm", "/6022"]));
        assert_eq!(find.exits(0).stdout, "", "{words:?}");
    }
    let mut command = mailca();
    command.args(["req", HOST, "--out-dir=."]);
    run(command.current_dir(dir.path())).exits(0);
    let key = fs::metadata(dir.file(&format!("{HOST}.key"))).unwrap();
    assert_eq!((key.uid(), key.mode() & 0o7777), (0, 0o600));
}

#[test]
fn every_key_has_mode_0600_whatever_the_umask() {
    for user in users() {
        for umask in ["000", "077"] {
            let ca = Ca::unmade(user);
            ca.dir
                .write("hosts.txt", "h1.example.test\nh2.example.test\n");
            let mailca = ca.command(&["--yes"]);
            let script = format!(
                "umask {umask}; set -e
                \"$@\" init --subject '/CN=Test CA' --no-passphrase
                \"$@\" issue --from hosts.txt; \"$@\" req {HOST}
                \"$@\" issue h1.example.test --san x.example.test --replace
                \"$@\" req {HOST} --out-dir a/b; \"$@\" req waits.example.test
                openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=book.example.test \\
                    -keyout key -out cert && cat key cert >CA/newreq.pem && rm key
                chmod 600 CA/newreq.pem; \"$@\" sign"
            );
            let mut shell = ca.dir.command("sh");
            shell.args(["-c", &script, "sh"]);
            run_with(shell.arg(mailca.get_program()).args(mailca.get_args()), "").exits(0);
            let keys = files_with(ca.dir.path(), &["PRIVATE KEY".into()]);
            assert_eq!(keys.len(), 9, "{keys:?}");
            for key in keys {
                let mode = fs::metadata(&key).unwrap().mode() & 0o7777;
                assert_eq!(mode, 0o600, "{} under umask {umask}", key.display());
            }
        }
    }
}
