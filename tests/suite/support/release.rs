//! Daemons of a Debian release that need not be this machine's: tests/setup unpacks what they are
//! made of, and here they get a root file system of their own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::run::below_target;
use super::{PATIENCE, TestDir, User, require, run, tell};

/// Users and groups, by numbers that no machine gives to others.
const USERS: [(&str, u32); 9] = [
    ("root", 0),
    ("dovecot", 64901),
    ("dovenull", 64902),
    ("opensmtpd", 64903),
    ("opensmtpq", 64904),
    ("vmail", 64905),
    ("postfix", 64906),
    ("postdrop", 64907),
    ("nobody", 64908),
];

/// Makes the root file system in memory, in a mount name space, so that nothing of it is left. The
/// directory with the CA is where it is outside too.
const ENTER: &str = r#"
    usr=$1 etc=$2 root=$3 files=$4
    shift 4
    mount -t tmpfs -o mode=755 tmpfs "$root" && cd "$root" || exit 99
    mkdir -p usr etc dev run tmp var/lib/opensmtpd/empty var/spool/smtpd var/mail home/vmail ".$files"
    for folder in bin sbin lib lib64; do ln -s usr/$folder $folder; done
    ln -s ../run var/run
    chmod 1777 tmp
    chmod 711 var/spool/smtpd
    chown 64905:64905 home/vmail
    mount --rbind /dev dev && mount --bind "$usr" usr && mount --bind "$etc" etc || exit 99
    mount --bind "$files" ".$files" || exit 99
    exec chroot . "$@"
"#;

/// A root file system with the programs of a release.
pub struct Release {
    usr: PathBuf,
    dir: TestDir,
    files: PathBuf,
}

impl Release {
    /// The release of that name, whose daemons see the directory `files`. `None` where there is
    /// none, or whoever runs the suite may not change a name space.
    #[track_caller]
    pub fn new(name: &str, files: &Path) -> Option<Self> {
        if !User::me().is_root() || !require(&[name, "unshare", "nsenter", "openssl"]) {
            return None;
        }
        let dir = TestDir::new();
        dir.create_dir("root");
        dir.create_dir("etc");
        let users = USERS.map(|(name, id)| format!("{name}:x:{id}:{id}::/home/{name}:/bin/sh\n"));
        dir.write("etc/passwd", &users.concat());
        let groups = USERS.map(|(name, id)| format!("{name}:x:{id}:\n"));
        dir.write("etc/group", &groups.concat());
        let hosts = "127.0.0.1 mail.example.test mail.example.com\n";
        dir.write("etc/hosts", hosts);
        dir.write("etc/mtab", "");
        dir.write("etc/mailname", "mail.example.test\n");
        let usr = below_target(name).expect("it was found").join("usr");
        let release = Self {
            usr,
            dir,
            files: files.to_owned(),
        };
        let seen = run(&mut release.command("/usr/bin/openssl", &["version"]));
        if seen.code() != 0 {
            tell("SKIPPED: no name spaces can be made here, which another release's daemon needs");
            return None;
        }
        Some(release)
    }

    /// Writes a file that is below /etc inside.
    pub fn write_etc(&self, name: &str, text: &str) {
        let path = self.dir.path().join("etc").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("create a folder");
        fs::write(path, text).expect("write a file");
    }

    /// What is /etc inside.
    pub fn etc(&self) -> String {
        self.dir.file("etc")
    }

    /// A program that runs in there. Whatever it starts ends with it.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.dir.command("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", ENTER, "sh"])
            .args([&self.usr, &self.dir.path().join("etc")])
            .args([&self.dir.path().join("root"), &self.files])
            .arg(program)
            .args(args);
        command
    }

    /// Starts a daemon in there, which is ready when it greets on `port`.
    #[track_caller]
    pub fn start(&self, program: &str, args: &[&str], port: u16) -> Daemon {
        let log = self.dir.path().join("log");
        let output = File::create(&log).expect("create a file");
        let mut command = self.command(program, args);
        command
            .stdout(output.try_clone().expect("a file"))
            .stderr(output);
        let child = command.spawn().expect("start a daemon");
        let mut daemon = Daemon { child, log };
        let deadline = Instant::now() + PATIENCE;
        while !greets(port) {
            let has_ended = daemon.child.try_wait().expect("wait for a child").is_some();
            assert!(
                !has_ended && Instant::now() < deadline,
                "{program} does not greet\n{}",
                daemon.log()
            );
            sleep(Duration::from_millis(20));
        }
        daemon
    }
}

fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .is_ok_and(|length| length > 0)
}

/// A command as a shell has it, which adds its own arguments.
pub fn script(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words = words.map(|word| {
        let word = word.to_str().expect("UTF-8");
        format!("'{}'", word.replace('\'', "'\\''"))
    });
    let words: Vec<_> = words.collect();
    format!("exec {} \"$@\"\n", words.join(" "))
}

/// As many ports of 127.0.0.1 that nobody listens on.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its number").port())
}

/// A running daemon, which ends with the value, and all that it started with it.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// What it wrote so far.
    pub fn log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The first process in its name space: all others end with it.
    fn first(&self) -> Option<i32> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(children).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// A program that runs where it does, and sees its processes and files.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--pid", "--root", "--wd", "--target"])
            .arg(self.first().expect("its process").to_string())
            .arg(program)
            .args(args)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What is above it then waits for it, and ends.
        match self.first().and_then(Pid::from_raw) {
            Some(first) => drop(kill_process(first, Signal::KILL)),
            None => drop(self.child.kill()),
        }
        let _ = self.child.wait();
    }
}
