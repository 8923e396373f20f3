//! A private Sendmail.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use time::OffsetDateTime;

use super::clock::{self, LIBRARY};
use super::run::find;
use super::{PATIENCE, Smtp, TestDir, User, run};

/// Where Sendmail keeps its m4 files.
pub const CF_DIR: &str = "/usr/share/sendmail/cf";

/// A small sendmail.mc, which lines are appended to. Mail stays in the queue.
pub const BASE_MC: &str = "\
divert(0)dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confDELIVERY_MODE', `queueonly')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
";

/// The same with more settings, where FEATURE() has to stand.
pub fn mc_with(settings: &str) -> String {
    let mailers = BASE_MC.find("MAILER(").expect("mailers");
    let (before, mailers) = BASE_MC.split_at(mailers);
    [before, settings, mailers].concat()
}

/// Stands for the port of another Sendmail, which nobody knows before both have been started.
pub const OTHER_PORT: &str = "OTHER_PORT";

/// A Sendmail on a port of its own of 127.0.0.1, which ends with the value,
/// and with the thread that started it.
pub struct Sendmail {
    pub port: u16,
    daemon: Child,
    user: User,
    dir: TestDir,
    /// what its clock says when it starts, if not the time that it is
    at: Option<OffsetDateTime>,
}

impl Sendmail {
    /// Starts Sendmail as `user` from a sendmail.mc, and waits until it
    /// accepts connections. Needs `require(&["sendmail", "m4", "cc"])`.
    #[track_caller]
    pub fn start(user: User, mc: &str) -> Self {
        Self::try_start(user, mc).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same at another time.
    #[track_caller]
    pub fn start_at(user: User, mc: &str, at: OffsetDateTime) -> Self {
        let started = Self::try_start_at(user, mc, Some(at));
        started.unwrap_or_else(|error| panic!("{at}: {error}"))
    }

    /// What Sendmail said when it does not come up.
    pub fn try_start(user: User, mc: &str) -> Result<Self, String> {
        Self::try_start_at(user, mc, None)
    }

    fn try_start_at(user: User, mc: &str, at: Option<OffsetDateTime>) -> Result<Self, String> {
        let dir = TestDir::of(user);
        dir.write("sendmail.mc", mc);
        dir.create_dir("queue");
        let cf = run(dir
            .command("m4")
            .arg(format!("-D_CF_DIR_={CF_DIR}/"))
            .arg("sendmail.mc"))
        .exits(0);
        dir.write("sendmail.cf", &cf.stdout);
        let source = [include_str!("hostname.c"), clock::SOURCE].concat();
        clock::library(&dir, &source);

        let port = free_port();
        let mut sendmail = Self {
            daemon: daemon(user, &dir, port, at),
            port,
            user,
            dir,
            at,
        };
        sendmail.wait().map(|()| sendmail)
    }

    /// Waits for the greeting. A free port may be taken by another program
    /// before Sendmail binds it: then tries the next.
    fn wait(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let tag = greeting_tag(&self.dir);
            if Smtp::connect(self.port).is_ok_and(|smtp| smtp.greeting.ends_with(&tag)) {
                return Ok(());
            }
            if let Some(status) = self.daemon.try_wait().expect("wait for Sendmail") {
                return Err(format!("Sendmail ended, {status}\n{}", self.log()));
            }
            if Instant::now() > deadline {
                return Err(format!("Sendmail is not listening\n{}", self.log()));
            }
            if self.log().contains("Address already in use") {
                self.stop();
                fs::remove_file(self.dir.path().join("log")).expect("remove the log");
                self.port = free_port();
                self.daemon = daemon(self.user, &self.dir, self.port, self.at);
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Stops Sendmail and starts it again on the same port, as after a change
    /// of its files.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.daemon = daemon(self.user, &self.dir, self.port, self.at);
        self.wait().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same at another time.
    #[track_caller]
    pub fn restart_at(&mut self, at: OffsetDateTime) {
        self.at = Some(at);
        self.restart();
    }

    /// Lets Sendmail read its files again, as an administrator would: SIGHUP.
    #[track_caller]
    pub fn reload(&mut self) {
        let starts = |log: String| log.matches("starting daemon").count();
        let before = starts(self.log());
        kill_process(self.pid(), Signal::HUP).expect("signal Sendmail");
        let deadline = Instant::now() + PATIENCE;
        while starts(self.log()) == before {
            assert!(Instant::now() < deadline, "no reload\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
        self.wait().unwrap_or_else(|error| panic!("{error}"));
    }

    /// A shell script that makes its configuration from the sendmail.mc of that name, as Debian's
    /// `sendmailconfig` does.
    pub fn configuring(&self, mc: &str) -> String {
        let cf = self.dir.file("sendmail.cf");
        format!("m4 -D_CF_DIR_={CF_DIR}/ '{mc}' >'{cf}' || exit\n")
    }

    /// A bash script that does what [`Sendmail::reload`] does.
    pub fn reloading(&self) -> String {
        let (pid, log) = (self.pid().as_raw_nonzero(), self.dir.file("log"));
        let port = self.port;
        format!(
            "starts() {{ grep -c 'starting daemon' '{log}'; }}
            before=$(starts)
            kill -HUP {pid} || exit
            until [ \"$(starts)\" -gt \"$before\" ] && (: </dev/tcp/127.0.0.1/{port}); do
                sleep 0.05
            done 2>/dev/null\n"
        )
    }

    /// What `EHLO` gets for an answer, line by line.
    #[track_caller]
    pub fn ehlo(&self) -> Vec<String> {
        Smtp::connect(self.port)
            .and_then(|mut smtp| {
                let lines = smtp.say("EHLO client.example.test")?;
                smtp.say("QUIT")?;
                Ok(lines)
            })
            .unwrap_or_else(|error| panic!("EHLO: {error}\n{}", self.log()))
    }

    /// Whether `EHLO` offers STARTTLS.
    #[track_caller]
    pub fn offers_starttls(&self) -> bool {
        self.ehlo().iter().any(|line| &line[4..] == "STARTTLS")
    }

    /// What Sendmail logged so far, and what it wrote before it could.
    pub fn log(&self) -> String {
        let read = |name| fs::read(self.dir.path().join(name)).unwrap_or_default();
        let text = [read("log"), read("output")].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The control files of the mail it has accepted: envelopes and headers.
    pub fn queue(&self) -> Vec<String> {
        self.queued().iter().map(lossy).collect()
    }

    fn queued(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path().join("queue"))
            .expect("list the queue")
            .map(|entry| entry.expect("list the queue"))
            .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"qf"))
            .map(|entry| entry.path())
            .collect()
    }

    /// What Sendmail thinks of a client that sends it a mail with this certificate and key: the
    /// `verify=` of the Received line.
    #[track_caller]
    pub fn verdict_on(&self, certificate_and_key: Option<[&str; 2]>) -> String {
        let options = certificate_and_key.map(|[cert, key]| ["-cert", cert, "-key", key]);
        let options = options.as_ref().map_or(&[][..], |options| &options[..]);
        let before = self.queued();
        let mut smtp = Smtp::starttls(self.port, options).expect("STARTTLS");
        for (line, reply) in [
            ("EHLO client.example.test", "250"),
            ("MAIL FROM:<root@localhost>", "250"),
            ("RCPT TO:<root@localhost>", "250"),
            ("DATA", "354"),
            ("Subject: test\r\n\r\n.", "250"),
            ("QUIT", "221"),
        ] {
            let said = smtp.say(line).expect("an answer");
            assert!(said[0].starts_with(reply), "{said:?}\n{}", self.log());
        }
        let mut new = self.queued();
        new.retain(|path| !before.contains(path));
        let text: String = new.iter().map(lossy).collect();
        let verdict = text.split_once("verify=").map(|(_, rest)| rest.split(')'));
        let verdict = verdict.and_then(|mut words| words.next());
        verdict
            .unwrap_or_else(|| panic!("no verdict: {text}"))
            .to_owned()
    }

    /// What Sendmail answers a client with this certificate and key that wants to send a mail on
    /// to somewhere else. The client comes from another address than 127.0.0.1, which may always
    /// do so.
    #[track_caller]
    pub fn answer_to_relaying(&self, from: &str, certificate_and_key: Option<[&str; 2]>) -> String {
        let from = format!("{from}:0");
        let mut options = vec!["-bind", &from];
        if let Some([certificate, key]) = certificate_and_key {
            options.extend(["-cert", certificate, "-key", key]);
        }
        let mut smtp = Smtp::starttls(self.port, &options).expect("STARTTLS");
        let mut said = String::new();
        for line in [
            "EHLO client.example.test",
            "MAIL FROM:<>",
            "RCPT TO:<a@far.example.test>",
        ] {
            said = smtp.say(line).expect("an answer").join("\n");
            if !said.starts_with('2') {
                break;
            }
        }
        let _ = smtp.say("QUIT");
        said
    }

    /// Puts a mail from nobody into its queue, as a client on its own machine.
    #[track_caller]
    pub fn submit(&self, to: &str) {
        let mut smtp = Smtp::connect(self.port).expect("a connection");
        for line in [
            "EHLO localhost",
            "MAIL FROM:<>",
            &format!("RCPT TO:<{to}>"),
            "DATA",
            "Subject: test\r\n\r\n.",
            "QUIT",
        ] {
            let said = smtp.say(line).expect("an answer");
            assert!(said[0].starts_with(['2', '3']), "{said:?}\n{}", self.log());
        }
    }

    /// Tries once to deliver what is in its queue. Where its sendmail.mc has [`OTHER_PORT`], the
    /// other one listens.
    #[track_caller]
    pub fn run_queue(&self, other: &Self) {
        let cf = self.dir.read("sendmail.cf");
        let cf = cf.replace(OTHER_PORT, &other.port.to_string());
        self.dir.write("queue.cf", &cf);
        let mut command = command(self.user, &self.dir, "queue.cf", self.port, self.at);
        run(command.arg("-qf"));
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.daemon)
    }

    /// Ends the daemon and whatever it forked.
    fn stop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.daemon.wait();
    }
}

impl Drop for Sendmail {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the daemon in the foreground.
fn daemon(user: User, dir: &TestDir, port: u16, at: Option<OffsetDateTime>) -> Child {
    let output = fs::File::create(dir.path().join("output")).expect("create a file");
    command(user, dir, "sendmail.cf", port, at)
        .arg("-bD")
        .stdout(output.try_clone().expect("duplicate a file"))
        .stderr(output)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("start Sendmail")
}

/// Sendmail with its private places. Options on the command line win over those of the .cf, so any
/// sendmail.mc keeps to them.
fn command(user: User, dir: &TestDir, cf: &str, port: u16, at: Option<OffsetDateTime>) -> Command {
    let mut options = vec![
        format!("DaemonPortOptions=Addr=127.0.0.1,Port={port}"),
        format!("QueueDirectory={}", dir.file("queue")),
        format!("PidFile={}", dir.file("pid")),
        format!("SmtpGreetingMessage=$j Sendmail {}", greeting_tag(dir)),
        // Never refuse or defer because the machine is busy.
        "RefuseLA=10000".into(),
        "QueueLA=10000".into(),
        "ConnectionRateThrottle=0".into(),
        // No questions to the network.
        "DontProbeInterfaces=True".into(),
        "Timeout.ident=0".into(),
    ];
    if !user.is_root() {
        options.push(format!("TrustedUser={}", user.uid));
    }
    // pdeathsig ends the daemon even if the suite is killed. It would be lost
    // at the program's set-group-ID bit, and so would the preloaded library.
    let mut command = dir.command("setpriv");
    command
        .args(["--no-new-privs", "--pdeathsig", "KILL"])
        .arg(find("sendmail").expect("Sendmail"))
        .args(["-C", &dir.file(cf)])
        .args(["-D", &dir.file("log"), "-d89.8"]);
    for option in &options {
        command.args(["-O", option]);
    }
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LD_PRELOAD", dir.path().join(LIBRARY))
        .envs(at.map(|at| (clock::VARIABLE, clock::text(at))));
    command
}

/// Ends the greeting, and tells this Sendmail from any other.
fn greeting_tag(dir: &TestDir) -> String {
    let name = dir.path().file_name().expect("a named directory");
    name.to_str().expect("UTF-8 name").to_owned()
}

/// Sendmail's control files have bytes that are no text.
fn lossy(path: &PathBuf) -> String {
    let bytes = fs::read(path).expect("read the queue");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("find a free port");
    listener.local_addr().expect("a bound port").port()
}
