//! A private Exim.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::run::find;
use super::{PATIENCE, Smtp, TestDir, User, require, run, tell};

/// The number of Exim's user where this machine has none.
const USER: u32 = 64999;

/// An Exim on a port of its own of 127.0.0.1, which ends with the value. It runs, with whatever is
/// to see its user, where /etc/passwd has that user: in a mount name space.
pub struct Exim {
    dir: TestDir,
    port: u16,
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

    /// Whether a client gets an encrypted connection from an Exim with these files.
    #[track_caller]
    pub fn encrypts(&mut self, key: &str, certificate: &str) -> bool {
        self.stop();
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        self.port = free.local_addr().expect("its number").port();
        drop(free);
        let program = find("exim").expect("Exim");
        let program = program.to_str().expect("UTF-8 path");
        let place = self.dir.file("");
        let settings = format!(
            "exim_path = {program}\nspool_directory = {place}spool\nlog_file_path = {place}spool/%slog\n\
             primary_hostname = mail.example.test\nkeep_environment =\n\
             tls_advertise_hosts = *\ntls_certificate = {certificate}\ntls_privatekey = {key}\n\
             local_interfaces = 127.0.0.1\ndaemon_smtp_ports = {}\n",
            self.port
        );
        self.dir.write("exim.conf", &settings);
        let libraries = program.replace("usr/sbin/exim4", "usr/lib/libraries");
        let mut command = self.command(program, &["-C", &self.dir.file("exim.conf"), "-bdf"]);
        command.env("LD_LIBRARY_PATH", libraries);
        let output = fs::File::create(self.dir.file("output")).expect("create a file");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        self.daemon = Some(command.spawn().expect("start Exim"));
        let deadline = Instant::now() + PATIENCE;
        while Smtp::connect(self.port).is_err() {
            let log = || fs::read_to_string(self.dir.file("output")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "Exim is not listening\n{}",
                log()
            );
            sleep(Duration::from_millis(20));
        }
        let server = format!("127.0.0.1:{}", self.port);
        let mut client = Command::new("openssl");
        client.args(["s_client", "-starttls", "smtp", "-connect", &server]);
        let said = run(&mut client);
        said.stdout.contains("Cipher is TLS_")
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        self.stop();
    }
}
