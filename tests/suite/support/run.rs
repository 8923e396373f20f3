//! Running programs: what they said, and an end to those that never finish.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A program that has run.
pub struct Ran {
    pub command: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The exit status; a signal counts as in the shell, 128 and up.
    pub fn code(&self) -> i32 {
        let by_signal = || 128 + self.status.signal().unwrap_or(0);
        self.status.code().unwrap_or_else(by_signal)
    }

    /// Panics unless the program exited with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code() == code, "expected exit status {code}: {self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n{}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.status, self.stdout, self.stderr
        )
    }
}

/// Runs a command to its end, with nothing on its standard input.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    run_with(command, "")
}

/// Runs a command to its end, with `input` on its standard input. Panics when
/// it cannot be started or does not end.
#[track_caller]
pub fn run_with(command: &mut Command, input: &str) -> Ran {
    let name = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // A program that does not read its input closes the pipe: no error here.
    thread::spawn(move || stdin.write_all(input.as_bytes()));
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));

    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().expect("kill a child");
            child.wait().expect("wait for a child");
            panic!("{name}: no end after {PATIENCE:?}");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    let text = |output: Receiver<String>| {
        output
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{name}: ended, but something still holds its output open"))
    };
    Ran {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
        command: name,
    }
}

/// Reads a pipe to its end in the background.
fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// Runs `openssl` and returns its standard output; panics when it fails.
#[track_caller]
pub fn openssl(args: &[&str]) -> String {
    run(Command::new("openssl").args(args)).exits(0).stdout
}

/// Whether the tools are here. If not, says so loudly, and the test may pass
/// without having tested anything; never in CI, where it panics instead.
#[track_caller]
pub fn require(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|tool| find(tool).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    lacking(&format!("{missing:?}"))
}

/// Whether a folder that a package brings is here; the same if not.
#[track_caller]
pub fn require_folder(folder: &str) -> bool {
    Path::new(folder).is_dir() || lacking(folder)
}

#[track_caller]
fn lacking(what: &str) -> bool {
    let what = format!("{what} not found: run tests/setup");
    assert!(std::env::var_os("CI").is_none(), "{what}");
    tell(&format!("SKIPPED: {what}"));
    false
}

/// Says something past libtest's capture, which hides what a passing test
/// prints.
pub fn tell(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "\n{sentence}");
}

/// Finds a program, also where an ordinary user's PATH does not look.
pub fn find(tool: &str) -> Option<PathBuf> {
    match tool {
        "sendmail" => return sendmail(),
        "pkilint" => return below_target("pkilint/bin/python"),
        "node_exporter" => {
            return below_target("node-exporter/usr/bin/prometheus-node-exporter");
        }
        "easyrsa" => return below_target("easy-rsa/usr/share/easy-rsa/easyrsa"),
        "CA.pl" => {
            let file = PathBuf::from("/usr/lib/ssl/misc/CA.pl");
            return Some(file).filter(|file| file.is_file());
        }
        "exim" => return below_target("exim/usr/sbin/exim4"),
        "update-exim4.conf" => return below_target("exim/usr/sbin/update-exim4.conf"),
        "bookworm" | "trixie" => return below_target(tool),
        "systemd" => return systemd(),
        _ => {}
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
}

/// What tests/setup puts below target/.
pub(super) fn below_target(name: &str) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(name);
    Some(place).filter(|place| place.exists())
}

/// The manager of systemd itself, which is in no PATH.
fn systemd() -> Option<PathBuf> {
    let places = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
    places
        .map(PathBuf::from)
        .into_iter()
        .find(|file| file.is_file())
}

/// Sendmail proper, with its m4 files. Other mail servers have a program of
/// that name too, but only Sendmail's own knows DontBlameSendmail.
fn sendmail() -> Option<PathBuf> {
    let has_option = |file: &PathBuf| {
        let option = b"DontBlameSendmail";
        std::fs::read(file).is_ok_and(|bytes| bytes.windows(option.len()).any(|w| w == option))
    };
    if !Path::new(super::sendmail::CF_DIR).join("m4/cf.m4").exists() {
        return None;
    }
    ["/usr/libexec/sendmail", "/usr/lib/sm.bin", "/usr/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join("sendmail"))
        .find(has_option)
}
