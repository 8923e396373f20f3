//! A private Exim.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
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
        self.choose_port();
        let place = self.dir.file("");
        let settings = format!(
            "spool_directory = {place}spool\nprimary_hostname = mail.example.test\n\
             keep_environment =\nlocal_interfaces = 127.0.0.1\n{}{lines}",
            self.settings()
        );
        let file = self.dir.write("exim.conf", &settings);
        self.start_from(&file);
    }

    /// Tries once to deliver what is in the queue of an Exim that [`Exim::start`] started.
    #[track_caller]
    pub fn run_queue(&self) {
        self.say(&["-C", &self.dir.file("exim.conf"), "-qf"])
            .exits(0);
    }

    /// Has a port of its own, where it does not listen yet.
    pub fn choose_port(&mut self) {
        self.stop();
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        self.port = free.local_addr().expect("its number").port();
    }

    /// What keeps any configuration in its private place, but for the spool directory.
    pub fn settings(&self) -> String {
        let (program, _) = program();
        format!(
            "exim_path = {program}\nlog_file_path = {}/%slog\nqueue_only\ndaemon_smtp_ports = {}\n",
            self.spool(),
            self.port
        )
    }

    /// Its spool directory, which belongs to its user.
    pub fn spool(&self) -> String {
        self.dir.file("spool")
    }

    /// Starts Exim from a configuration with its settings in it.
    #[track_caller]
    pub fn start_from(&mut self, file: &Path) {
        self.stop();
        let (program, libraries) = program();
        let file = file.to_str().expect("UTF-8 path");
        let mut command = self.command(&program, &["-C", file, "-bdf"]);
        command.env("LD_LIBRARY_PATH", libraries);
        let output = fs::File::create(self.dir.file("output")).expect("create a file");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        let daemon = self.daemon.insert(command.spawn().expect("start Exim"));
        let deadline = Instant::now() + PATIENCE;
        while Smtp::connect(self.port).is_err() {
            let ended = daemon.try_wait().expect("wait for Exim").is_some();
            let may_come = !ended && Instant::now() < deadline;
            assert!(may_come, "Exim is not listening\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// What runs the program, as a script.
    pub fn run_script() -> String {
        let (program, libraries) = program();
        format!("LD_LIBRARY_PATH='{libraries}' exec '{program}' \"$@\"")
    }

    /// A shell, as a script, that sees Exim's user, and by whose programs there is no Sendmail.
    pub fn shell(&self) -> String {
        let [passwd, group] = ["passwd", "group"].map(|name| self.dir.file(name));
        let praliases = "/usr/sbin/praliases";
        format!(
            "#!/bin/bash
            exec unshare --mount /bin/sh -c '
                mount --bind {passwd} /etc/passwd && mount --bind {group} /etc/group || exit 99
                [ ! -e {praliases} ] || mount --bind /dev/null {praliases} || exit 99
                exec /bin/sh \"$@\"' sh \"$@\"\n"
        )
    }

    /// What Exim logged so far, and what it wrote before it could.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.file(name)).unwrap_or_default();
        read("output") + &read("spool/mainlog")
    }

    /// What Exim answers a client with this certificate and key that sends a mail to somewhere else.
    #[track_caller]
    pub fn answer_to_relaying(&self, certificate_and_key: Option<[&str; 2]>) -> String {
        // Debian lets 127.0.0.1 relay.
        let mut options = vec!["-bind", "127.0.0.2:0"];
        if let Some([certificate, key]) = certificate_and_key {
            options.extend(["-cert", certificate, "-key", key]);
        }
        let mut smtp = Smtp::starttls(self.port, &options).expect("STARTTLS");
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

/// Debian's /etc/exim4, in a private directory.
pub struct DebianExim {
    pub dir: TestDir,
}

impl DebianExim {
    #[track_caller]
    pub fn new() -> Option<Self> {
        if !require(&["update-exim4.conf"]) {
            return None;
        }
        let script = find("update-exim4.conf").expect("a script");
        let root = script.ancestors().nth(3).expect("a folder");
        let dir = TestDir::new();
        let theirs = root.join("etc/exim4/.");
        run(Command::new("cp").arg("-r").args([&theirs, dir.path()])).exits(0);
        dir.write("mailname", "mail.example.test");
        let script = fs::read_to_string(script).expect("a script");
        let script = script.replace("/etc/mailname", &dir.file("mailname"));
        let script = script.replace("\"/etc/exim4", &format!("\"{}", dir.file("")));
        dir.write("update", &script);
        Some(Self { dir })
    }

    /// Makes Exim's configuration of it, as Debian does when Exim is started.
    #[track_caller]
    pub fn update(&self, exim: &Exim, is_split: bool) -> PathBuf {
        let settings = format!(
            "dc_eximconfig_configtype='internet'\ndc_local_interfaces='127.0.0.1'\n\
             dc_minimaldns='true'\ndc_localdelivery='mail_spool'\nCFILEMODE='644'\n\
             dc_use_split_config='{is_split}'\n"
        );
        self.dir.write("update-exim4.conf.conf", &settings);
        let made = self.dir.path().join("made");
        let script = self.dir.file("update");
        let out = made.to_str().expect("UTF-8 path");
        run(&mut exim.command("sh", &[&script, "-o", out])).exits(0);
        made
    }
}
