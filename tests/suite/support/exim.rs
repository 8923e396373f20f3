//! A private Exim.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::run::find;
use super::{PATIENCE, Ran, Smtp, TestDir, User, require, run, tell};

/// The number of Exim's user where this machine has none.
const USER: u32 = 64999;

/// An Exim on a port of its own of 127.0.0.1, which ends with the value. It runs, with whatever is
/// to see its user, where /etc/passwd has that user: in a mount name space.
pub struct Exim {
    dir: TestDir,
    pub port: u16,
    daemon: Option<Child>,
}

impl Exim {
    /// `None` where there is none, or whoever runs the suite may not change a name space.
    #[track_caller]
    pub fn new() -> Option<Self> {
        if !User::me().is_root() || !require(&["exim", "unshare", "openssl"]) {
            return None;
        }
        let dir = TestDir::new();
        for (file, line) in [
            (
                "passwd",
                format!("Debian-exim:x:{USER}:{USER}::/nonexistent:/bin/false"),
            ),
            ("group", format!("Debian-exim:x:{USER}:")),
        ] {
            let known = fs::read_to_string(format!("/etc/{file}")).expect("users");
            let others = known
                .lines()
                .filter(|line| !line.starts_with("Debian-exim:"));
            let lines: Vec<_> = others.chain([&*line, ""]).collect();
            dir.write(file, &lines.join("\n"));
        }
        let spool = dir.create_dir("spool");
        chown(spool, Some(USER), Some(USER)).expect("chown");
        let exim = Self {
            dir,
            port: 0,
            daemon: None,
        };
        let seen = run(&mut exim.command("true", &[]));
        if seen.code() != 0 {
            tell("SKIPPED: no mount name space can be made here, which Exim's user needs");
            return None;
        }
        Some(exim)
    }

    /// A command that sees Exim's user.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.dir.command("unshare");
        let script = "mount --bind passwd /etc/passwd && mount --bind group /etc/group || exit 99
            exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh", program]);
        command.args(args);
        command
    }

    /// Lets Exim's group read a key.
    #[track_caller]
    pub fn may_read(key: &str) {
        chown(key, None, Some(USER)).expect("chgrp");
        fs::set_permissions(key, Permissions::from_mode(0o640)).expect("chmod");
    }

    /// What Exim says when it is given these arguments.
    #[track_caller]
    pub fn say(&self, args: &[&str]) -> Ran {
        let (program, libraries) = program();
        let mut command = self.command(&program, args);
        run(command.env("LD_LIBRARY_PATH", libraries))
    }

    /// Whether a client gets an encrypted connection from an Exim with these files.
    #[track_caller]
    pub fn encrypts(&mut self, key: &str, certificate: &str) -> bool {
        self.start(&format!(
            "tls_advertise_hosts = *\ntls_certificate = {certificate}\ntls_privatekey = {key}\n"
        ));
        let server = format!("127.0.0.1:{}", self.port);
        let mut client = Command::new("openssl");
        client.args(["s_client", "-starttls", "smtp", "-connect", &server]);
        let said = run(&mut client);
        said.stdout.contains("Cipher is TLS_")
    }

    /// Starts Exim with these lines in its main section, and the sections behind it. Mail stays in
    /// the queue.
    #[track_caller]
    pub fn start(&mut self, lines: &str) {
        self.stop();
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        self.port = free.local_addr().expect("its number").port();
        drop(free);
        let (program, libraries) = program();
        let place = self.dir.file("");
        let settings = format!(
            "exim_path = {program}\nspool_directory = {place}spool\nlog_file_path = {place}spool/%slog\n\
             primary_hostname = mail.example.test\nkeep_environment =\nqueue_only\n\
             local_interfaces = 127.0.0.1\ndaemon_smtp_ports = {}\n{lines}",
            self.port
        );
        self.dir.write("exim.conf", &settings);
        let mut command = self.command(&program, &["-C", &self.dir.file("exim.conf"), "-bdf"]);
        command.env("LD_LIBRARY_PATH", libraries);
        let output = fs::File::create(self.dir.file("output")).expect("create a file");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        self.daemon = Some(command.spawn().expect("start Exim"));
        let deadline = Instant::now() + PATIENCE;
        while Smtp::connect(self.port).is_err() {
            assert!(
                Instant::now() < deadline,
                "Exim is not listening\n{}",
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// What Exim logged so far, and what it wrote before it could.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.file(name)).unwrap_or_default();
        read("output") + &read("spool/mainlog")
    }

    /// What Exim answers a client with this certificate and key that sends a mail to somewhere else.
    #[track_caller]
    pub fn answer_to_relaying(&self, certificate_and_key: Option<[&str; 2]>) -> String {
        let options = certificate_and_key.map(|[cert, key]| ["-cert", cert, "-key", key]);
        let options = options.as_ref().map_or(&[][..], |options| &options[..]);
        let mut smtp = Smtp::starttls(self.port, options).expect("STARTTLS");
        let mut said = String::new();
        for line in [
            "EHLO client.example.test",
            "MAIL FROM:<>",
            // s_client takes an R at the beginning of a line for a command of its own.
            "rCPT TO:<a@far.example.test>",
            "DATA",
            "Subject: test\r\n\r\n.",
        ] {
            said = smtp.say(line).expect("an answer").join("\n");
            if !said.starts_with(['2', '3']) {
                break;
            }
        }
        let _ = smtp.say("QUIT");
        said
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// The program, and the folder of its libraries.
fn program() -> (String, String) {
    let program = find("exim").expect("Exim");
    let program = program.to_str().expect("UTF-8 path");
    let libraries = program.replace("usr/sbin/exim4", "usr/lib/libraries");
    (program.to_owned(), libraries)
}

impl Drop for Exim {
    fn drop(&mut self) {
        self.stop();
    }
}
