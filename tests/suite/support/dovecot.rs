//! A private Dovecot, 2.3 or 2.4, in which every user's password is `secret`.

use std::path::Path;
use std::process::Command;

use super::release::{Daemon, Release, free_ports, script};
use super::{Ran, run, run_with};

/// What is the same in both.
const BASE: &str = "
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
service imap-login {
  inet_listener imap {
    port = IMAP
  }
  inet_listener imaps {
    port = TLS
  }
}
";

const OLD: &str = "
mail_location = maildir:/tmp/%u
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/tmp/%u
}
";

const NEW: &str = "
mail_driver = maildir
mail_path = /tmp/%{user}
passdb static {
  password = secret
}
userdb static {
  fields {
    uid = vmail
    gid = vmail
    home = /tmp/%{user}
  }
}
";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DovecotVersion {
    Old,
    New,
}

impl DovecotVersion {
    pub const BOTH: [Self; 2] = [Self::Old, Self::New];

    /// As `emit --for` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "dovecot-2.3",
            Self::New => "dovecot-2.4",
        }
    }
}

/// A Dovecot on ports of its own of 127.0.0.1, which ends with the value.
pub struct Dovecot {
    version: DovecotVersion,
    release: Release,
    daemon: Option<Daemon>,
    /// IMAP with STARTTLS
    pub imap: u16,
    /// IMAP in TLS
    pub imaps: u16,
}

/// Its configuration, which includes /etc/dovecot/local.conf, as Debian's does.
const CONF: &str = "/etc/dovecot/dovecot.conf";

impl Dovecot {
    /// One that sees the directory `files`; `None` where it cannot be run.
    #[track_caller]
    pub fn new(version: DovecotVersion, files: &Path) -> Option<Self> {
        let name = match version {
            DovecotVersion::Old => "bookworm",
            DovecotVersion::New => "trixie",
        };
        let release = Release::new(name, files)?;
        let [imap, imaps] = free_ports();
        let base = BASE
            .replace("IMAP", &imap.to_string())
            .replace("TLS", &imaps.to_string());
        let text = match version {
            DovecotVersion::Old => base + OLD,
            DovecotVersion::New => {
                let begin = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n";
                begin.to_owned() + &base + NEW
            }
        };
        let text = text + "!include_try local.conf\n";
        release.write_etc("dovecot/dovecot.conf", &text);
        Some(Self {
            version,
            release,
            daemon: None,
            imap,
            imaps,
        })
    }

    /// What is /etc/dovecot inside.
    pub fn etc(&self) -> String {
        self.release.etc() + "/dovecot"
    }

    /// A script that runs doveadm beside the daemon.
    pub fn doveadm_script(&self) -> String {
        script(&self.daemon().command("/usr/bin/doveadm", &[]))
    }

    /// Writes /etc/dovecot/local.conf.
    pub fn configure(&self, lines: &str) {
        self.release.write_etc("dovecot/local.conf", lines);
    }

    #[track_caller]
    pub fn doveconf(&self, args: &[&str]) -> Ran {
        run(&mut self.release.command("/usr/bin/doveconf", args))
    }

    /// `doveconf -n`, which has to accept the configuration.
    #[track_caller]
    pub fn settings(&self) -> String {
        let ran = self.doveconf(&["-n"]).exits(0);
        assert_eq!(ran.stderr, "", "{ran}");
        ran.stdout
    }

    #[track_caller]
    pub fn start(&mut self) {
        self.daemon = None;
        let args = ["-F", "-c", CONF];
        self.daemon = Some(self.release.start("/usr/sbin/dovecot", &args, self.imap));
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it was started")
    }

    pub fn log(&self) -> String {
        self.daemon().log()
    }

    /// `doveadm` beside the daemon.
    #[track_caller]
    pub fn doveadm(&self, args: &[&str]) -> Ran {
        run(&mut self.daemon().command("/usr/bin/doveadm", args))
    }

    /// The mailboxes that Dovecot as a client finds in itself, by TLS to `host`.
    #[track_caller]
    pub fn as_client_of(&self, host: &str) -> Ran {
        let port = format!("imapc_port={}", self.imaps);
        let host = format!("imapc_host={host}");
        let location: &[&str] = match self.version {
            DovecotVersion::Old => &["-o", "mail_location=imapc:", "-o", "mail_home=/tmp/c"],
            DovecotVersion::New => &[
                "-o",
                "mail_driver=imapc",
                "-o",
                "mail_path=/tmp/c/imapc",
                "-o",
                "mail_home=/tmp/c",
            ],
        };
        let server = ["-o", &host, "-o", &port, "-o", "imapc_ssl=imaps"];
        let user = ["-o", "imapc_user=u", "-o", "imapc_password=secret"];
        let list = ["mailbox", "list", "-u", "u"];
        self.doveadm(&[location, &server, &user, &list].concat())
    }

    /// What a client of IMAP in TLS is answered who logs in, with more options for s_client.
    #[track_caller]
    pub fn login(&self, options: &[&str]) -> String {
        let mut client = Command::new("openssl");
        client
            .args(["s_client", "-quiet", "-connect"])
            .arg(format!("127.0.0.1:{}", self.imaps))
            .args(options);
        run_with(&mut client, "a login u secret\r\nb logout\r\n").stdout
    }
}
