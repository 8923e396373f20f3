//! A private Postfix, as Debian has it.

use std::fs;
use std::io;
use std::path::Path;

use super::release::{Daemon, Release, free_ports, script};
use super::run::below_target;
use super::{Ran, Smtp, run};

/// What is not the administrator's: it listens on one port, asks nobody for addresses, and trusts
/// no address. Whoever may send mail elsewhere, it stays here.
const BASE: &str = "\
compatibility_level = 3.6
maillog_file = /etc/postfix/log
maillog_file_prefixes = /etc/postfix
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
mynetworks = 192.0.2.1/32
mydestination =
default_transport = smtp:[127.0.0.1]:9
smtpd_tls_loglevel = 1
smtp_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_recipient_restrictions =
";

/// Its folders are in memory, and new each time. `postfix start-fg` would check owners that only
/// dpkg sets.
const START: &str = "
    mkdir -p /var/spool/postfix /var/lib/postfix
    chown postfix /var/lib/postfix
    cd /var/spool/postfix || exit
    mkdir -m 700 active bounce corrupt defer deferred flush hold incoming private saved trace
    mkdir -m 755 pid
    mkdir -m 730 maildrop
    mkdir -m 710 public
    chown postfix [a-o]* private public saved trace
    chgrp postdrop maildrop public
    exec /usr/lib/postfix/sbin/master -i
";

/// A Postfix on a port of its own of 127.0.0.1, which ends with the value.
pub struct Postfix {
    release: Release,
    daemon: Option<Daemon>,
    pub port: u16,
}

impl Postfix {
    /// One of that name that sees the directory `files`; `None` where it cannot be run.
    #[track_caller]
    pub fn new(name: &str, files: &Path) -> Option<Self> {
        let release = Release::new("bookworm", files)?;
        let [port] = free_ports();
        let root = below_target("bookworm").expect("it was found");
        let shared = fs::read_dir(root.join("etc/postfix")).expect("Postfix's own files");
        release.write_etc("postfix/local.cf", "");
        for entry in shared {
            let path = entry.expect("Postfix's own files").path();
            if path.is_file() {
                let to = Path::new(&release.etc())
                    .join("postfix")
                    .join(path.file_name().unwrap());
                fs::copy(&path, to).expect("copy a file");
            }
        }
        let master = fs::read_to_string(root.join("usr/share/postfix/master.cf.dist"));
        let master: String = master
            .expect("Postfix's services")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.replacen(" y ", " n ", 1))
            .map(|line| {
                line.replacen("smtp      inet", &format!("127.0.0.1:{port} inet"), 1) + "\n"
            })
            .collect();
        release.write_etc("postfix/master.cf", &master);
        let postfix = Self {
            release,
            daemon: None,
            port,
        };
        let base = format!("{BASE}myhostname = {name}\n");
        postfix.release.write_etc("postfix/main.cf", &base);
        Some(postfix)
    }

    /// What is /etc/postfix inside.
    pub fn etc(&self) -> String {
        self.release.etc() + "/postfix"
    }

    /// Appends lines to main.cf.
    pub fn append(&self, lines: &str) {
        let path = self.etc() + "/main.cf";
        let old = fs::read_to_string(&path).expect("main.cf");
        fs::write(path, old + lines).expect("write main.cf");
    }

    /// `postconf` with these arguments.
    #[track_caller]
    pub fn postconf(&self, args: &[&str]) -> Ran {
        run(&mut self.release.command("/usr/sbin/postconf", args))
    }

    #[track_caller]
    pub fn start(&mut self) {
        self.daemon = None;
        let daemon = self.release.start("/bin/sh", &["-c", START], self.port);
        self.daemon = Some(daemon);
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it was started")
    }

    pub fn log(&self) -> String {
        let log = fs::read(self.etc() + "/log").unwrap_or_default();
        self.daemon().log() + &String::from_utf8_lossy(&log)
    }

    /// A script that runs one of its programs beside the daemon, which knows /etc/postfix by no other
    /// name.
    pub fn script(&self, program: &str) -> String {
        let etc = self.etc();
        let path = format!("/usr/sbin/{program}");
        let run = script(&self.daemon().command(&path, &[]));
        format!(
            "for word; do
                shift
                set -- \"$@\" \"$(printf %s \"$word\" | sed 's|{etc}|/etc/postfix|g')\"
            done
            {run}"
        )
    }

    /// A shell command that runs beside the daemon, and has to succeed.
    #[track_caller]
    pub fn shell(&self, line: &str) -> Ran {
        let line = format!("PATH=/usr/sbin:/usr/bin; {line}");
        run(&mut self.daemon().command("/bin/sh", &["-c", &line])).exits(0)
    }

    /// The answer to a recipient elsewhere, from a client with these options for `openssl s_client`.
    #[track_caller]
    pub fn answer_to_relaying(&self, options: &[&str]) -> String {
        // While Postfix reloads, it may hang up.
        let mut tries = (0..5).map(|_| self.try_relaying(options));
        let said = tries.find_map(Result::ok);
        said.unwrap_or_else(|| panic!("no answer\n{}", self.log()))
    }

    fn try_relaying(&self, options: &[&str]) -> io::Result<String> {
        let mut smtp = Smtp::starttls(self.port, options)?;
        for line in [
            "EHLO client.example.test",
            "MAIL FROM:<a@client.example.test>",
        ] {
            let said = smtp.say(line)?;
            assert!(said[0].starts_with("250"), "{said:?}\n{}", self.log());
        }
        let said = smtp.say("RCPT TO:<b@elsewhere.example.test>")?;
        let _ = smtp.say("QUIT");
        Ok(said.join("\n"))
    }

    /// The recipients of all that waits in the queue.
    #[track_caller]
    pub fn queue(&self) -> String {
        self.shell("postqueue -p").stdout
    }
}
