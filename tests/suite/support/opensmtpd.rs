//! A private OpenSMTPD.

use std::path::Path;

use super::release::{Daemon, Release, script};
use super::{Ran, run};

/// One that is given its whole smtpd.conf, and ends with the value.
pub struct Opensmtpd {
    release: Release,
    daemon: Option<Daemon>,
}

impl Opensmtpd {
    /// One that sees the directory `files`; `None` where it cannot be run. `public` is the
    /// certificate of a CA that everybody trusts: without one it does not start.
    #[track_caller]
    pub fn new(files: &Path, public: &str) -> Option<Self> {
        let release = Release::new("trixie", files)?;
        release.write_etc("ssl/certs/ca-certificates.crt", public);
        release.write_etc("aliases", "");
        Some(Self {
            release,
            daemon: None,
        })
    }

    /// What is /etc inside.
    pub fn etc(&self) -> String {
        self.release.etc()
    }

    /// A script that runs smtpd there.
    pub fn script(&self) -> String {
        script(&self.release.command("/usr/sbin/smtpd", &[]))
    }

    /// `smtpd -n` with that smtpd.conf.
    #[track_caller]
    pub fn check(&self, conf: &str) -> Ran {
        self.release.write_etc("smtpd.conf", conf);
        run(&mut self.release.command("/usr/sbin/smtpd", &["-n"]))
    }

    /// Starts it, or restarts it with another smtpd.conf, ready when it greets on `port`.
    #[track_caller]
    pub fn start(&mut self, conf: &str, port: u16) {
        self.daemon = None;
        self.release.write_etc("smtpd.conf", conf);
        self.daemon = Some(self.release.start("/usr/sbin/smtpd", &["-dv"], port));
    }

    /// A run that is to end at once: the exit status and what it said.
    #[track_caller]
    pub fn fails(&self, conf: &str) -> Ran {
        self.release.write_etc("smtpd.conf", conf);
        run(&mut self.release.command("/usr/sbin/smtpd", &["-d"]))
    }

    pub fn log(&self) -> String {
        self.daemon.as_ref().expect("it was started").log()
    }
}
