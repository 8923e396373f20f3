//! Ten years in a CA's life, in minutes: mailca, `openssl` and Sendmail run at simulated times.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::support::invariants::broken;
use super::support::{BASE_MC, Ca, Clock, Ran, Sendmail, User};
use super::support::{require, run, s_client_starttls};

/// The mail host that Sendmail runs on.
const MAIL: &str = "mail.example.test";
/// The hosts whose keys are in the CA directory.
const HERE: [&str; 3] = [MAIL, "mx1.example.test", "mx2.example.test"];
/// A host whose key lives elsewhere: its request came once, and certificates go to it.
const RELAY: &str = "relay.example.test";
/// A host whose certificate is revoked for all the time, and would be valid without that.
const GONE: &str = "gone.example.test";

const DAY: Duration = Duration::days(1);
const WEEK: Duration = Duration::WEEK;

fn tools() -> bool {
    require(&["sendmail", "m4", "cc", "openssl"])
}

/// A CA and its mail hosts at a moment of their life.
struct Life {
    ca: Ca,
    clock: Clock,
    now: OffsetDateTime,
    user: User,
    /// of `MAIL`, once it was asked
    sendmail: Option<Sendmail>,
    hosts: Vec<String>,
}

impl Life {
    /// A CA that begins at a time, with a certificate for each of the hosts, the first CRL, and
    /// GONE revoked.
    fn begin(user: User, now: OffsetDateTime) -> Self {
        let life = Self {
            ca: Ca::unmade(user),
            clock: Clock::new(),
            now,
            user,
            sendmail: None,
            hosts: HERE.map(str::to_owned).to_vec(),
        };
        life.ok(&["init", "--subject=/O=Example/CN=CA", "--no-passphrase"]);
        for host in HERE {
            life.ok(&["issue", host, "--yes"]);
        }
        for (host, options) in [(RELAY, &[][..]), (GONE, &["--days=3600"])] {
            let request = life.ca.request(host, &[]);
            let out = format!("{host}.pem");
            let sign = ["sign", &request, "--out", &out, "--yes"];
            life.ok(&[&sign[..], options].concat());
        }
        life.ok(&["revoke", GONE, "--reason=cessationOfOperation", "--yes"]);
        life
    }

    fn at(&self, mut command: Command) -> Ran {
        self.clock.set(&mut command, self.now);
        run(&mut command)
    }

    /// mailca in this CA, now.
    #[track_caller]
    fn mailca(&self, args: &[&str]) -> Ran {
        self.at(self.ca.command(args))
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Ran {
        self.mailca(args).exits(0)
    }

    /// `openssl` in the CA directory, now.
    #[track_caller]
    fn openssl(&self, args: &[&str]) -> Ran {
        let mut command = self.ca.dir.command("openssl");
        command.current_dir(self.ca.file(".")).args(args);
        self.at(command)
    }

    /// No serial number was given twice, and `openssl ca` works in the directory, and mailca after it.
    #[track_caller]
    fn ca_is_whole(&self) {
        let serials = self.ca.serials();
        let different: BTreeSet<&String> = serials.iter().collect();
        assert_eq!(different.len(), serials.len(), "{serials:?}");
        let ca = |args: &[&str]| {
            let common = ["ca", "-config", "openssl.cnf", "-batch", "-notext"];
            self.openssl(&[&common[..], args].concat())
        };
        let states = || {
            let rows = self.ca.rows();
            let count = |state| rows.iter().filter(|row| row.starts_with(state)).count();
            ["V", "E", "R"].map(count)
        };
        ca(&["-updatedb"]).exits(0);
        let good = self.good().count();
        assert_eq!(states(), [good, serials.len() - good - 1, 1]);
        // Its exit status is 1 whatever it finds.
        let first = ca(&["-status", &serials[0]]);
        let says = format!("{}=Expired", serials[0]);
        assert!(first.stderr.contains(&says), "{first}");
        ca(&["-in", &format!("../{RELAY}.csr"), "-out", "../theirs.pem"]).exits(0);
        self.ok(&["renew", RELAY, "--yes"]);
        assert_eq!(states()[0], good + 2);
        let problems = broken(Path::new(&self.ca.file("")));
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    /// The certificate and key that a host uses now.
    fn pair(&self, host: &str) -> [String; 2] {
        if self.hosts.iter().any(|here| here == host) {
            ["cert.pem", "key.pem"].map(|name| self.ca.file(&format!("hosts/{host}/{name}")))
        } else {
            ["pem", "key"].map(|end| self.ca.dir.file(&format!("{host}.{end}")))
        }
    }

    /// All whose certificates have to be good.
    fn good(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(String::as_str).chain([RELAY])
    }

    /// `openssl verify` with the CRL, of some hosts' certificates, now.
    fn verify(&self, hosts: &[&str], options: &[&str]) -> Ran {
        let now = self.now.unix_timestamp().to_string();
        let mut command = self.ca.dir.command("openssl");
        command.args(["verify", "-x509_strict", "-crl_check", "-attime", &now]);
        command.args(["-CAfile", &self.ca.file("cacert.pem")]);
        command.args(["-CRLfile", &self.ca.file("crl/crl.pem")]);
        command.args(options);
        run(command.args(hosts.iter().map(|host| self.pair(host)[0].clone())))
    }

    /// OpenSSL accepts every host as server and as client, and refuses the revoked one.
    #[track_caller]
    fn openssl_agrees(&self) {
        let good: Vec<&str> = self.good().collect();
        for purpose in ["sslserver", "sslclient"] {
            let ran = self.verify(&good, &["-purpose", purpose]);
            assert!(ran.status.success(), "{}: {ran}", self.now);
            let ran = self.verify(&[GONE], &["-purpose", purpose]);
            let is_revoked = ran.code() == 2 && ran.stderr.contains("certificate revoked");
            assert!(is_revoked, "{}: {ran}", self.now);
        }
    }

    /// OpenSSL accepts each host by its name.
    #[track_caller]
    fn names_agree(&self) {
        for host in self.good() {
            let ran = self.verify(&[host], &["-verify_hostname", host]);
            assert!(ran.status.success(), "{}: {ran}", self.now);
        }
    }

    /// Sendmail, started now from the lines of `emit-mc`, presents a certificate that a client
    /// verifies; what it thinks of each client.
    #[track_caller]
    fn ask_sendmail(&mut self, clients: &[&str]) -> Vec<String> {
        let lines = self.ok(&["emit-mc", MAIL]).stdout;
        let mc = BASE_MC.to_owned() + &lines;
        let sendmail = match self.sendmail.take() {
            Some(mut sendmail) => {
                sendmail.restart_at(self.now);
                sendmail
            }
            None => Sendmail::start_at(self.user, &mc, self.now),
        };
        let verdict = |host: &&str| {
            let [certificate, key] = self.pair(host);
            sendmail.verdict_on(Some([&certificate, &key]))
        };
        let verdicts = clients.iter().map(verdict).collect();
        self.sendmail = Some(sendmail);
        verdicts
    }

    /// Whether `openssl s_client` accepts the Sendmail that was asked last.
    #[track_caller]
    fn s_client_accepts(&self) -> Result<(), String> {
        let sendmail = self.sendmail.as_ref().expect("a Sendmail");
        assert!(
            sendmail.offers_starttls(),
            "{}\n{}",
            self.now,
            sendmail.log()
        );
        let now = self.now.unix_timestamp().to_string();
        let at = ["-attime", &now];
        let shown = s_client_starttls(sendmail.port, &self.ca.file("cacert.pem"), MAIL, &at);
        if shown.verified {
            return Ok(());
        }
        Err(format!("{}: {}\n{}", self.now, shown.ran, sendmail.log()))
    }

    /// Sendmail offers a STARTTLS that clients verify, takes every host for whom it is, and refuses
    /// the revoked one.
    #[track_caller]
    fn sendmail_agrees(&mut self) {
        let hosts: Vec<String> = self.good().chain([GONE]).map(str::to_owned).collect();
        let clients: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let verdicts = self.ask_sendmail(&clients);
        self.s_client_accepts()
            .unwrap_or_else(|error| panic!("{error}"));
        let log = || {
            self.sendmail
                .as_ref()
                .map(Sendmail::log)
                .unwrap_or_default()
        };
        for (host, verdict) in clients.iter().zip(&verdicts) {
            let expected = if *host == GONE { "FAIL" } else { "OK" };
            assert_eq!(verdict, expected, "{}: {host}\n{}", self.now, log());
        }
    }
}

#[test]
fn a_timer_alone_keeps_a_ca_for_ten_years() {
    if !tools() {
        return;
    }
    // Past 2050, where times are written in another way.
    let mut life = Life::begin(User::me(), datetime!(2042-06-01 06:00 UTC));
    let end = life.now + DAY * 3650;
    let (mut crls, mut weeks, mut ca_ends) = (0, 0, end);
    while life.now < end + DAY * 80 {
        weeks += 1;
        life.now += WEEK;
        let crl = life.ok(&["crl", "--expiring=30d"]);
        crls += usize::from(changed(&crl));
        let renewed = life.ok(&["renew", "--expiring=30d", "--yes", "--out-dir=."]);
        life.openssl_agrees();
        if changed(&renewed) {
            life.names_agree();
            life.sendmail_agrees();
        }
        if ca_ends - life.now < DAY * 365 {
            life.ok(&["renew-ca", "--yes"]);
            ca_ends = life.now + DAY * 3650;
            life.sendmail_agrees();
        }
    }
    // A CRL of 180 days is due in the 22nd week, a certificate of 365 days in the 48th.
    assert_eq!(crls, weeks / 22, "{}", life.now);
    let each = 1 + weeks / 48;
    assert_eq!(life.ca.serials().len(), life.good().count() * each + 1);
    life.ca_is_whole();
}

/// Whether a command says that it changed something.
fn changed(ran: &Ran) -> bool {
    !ran.stdout.contains("nothing changed")
}
