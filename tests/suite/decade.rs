//! Ten years in a CA's life, in a minute or two: mailca, `openssl` and Sendmail run at simulated
//! times, and `mailca status` says what is to be done before anything hurts.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::support::invariants::broken;
use super::support::{BASE_MC, Ca, Clock, Ran, Sendmail, User};
use super::support::{require, run, s_client_starttls};

/// The mail host that Sendmail runs on.
const MAIL: &str = "mail.example.test";
const MX1: &str = "mx1.example.test";
const MX2: &str = "mx2.example.test";
/// A host whose key lives elsewhere: its request came once, and its certificates are brought to it.
const RELAY: &str = "relay.example.test";
/// A host that is revoked from the first day on, with a certificate that lives long.
const GONE: &str = "gone.example.test";

const HOUR: Duration = Duration::HOUR;
const DAY: Duration = Duration::DAY;
const WEEK: Duration = Duration::WEEK;

/// How long a command takes: longer than it really does, so that no clock runs backwards.
const PACE: Duration = Duration::seconds(10);

/// How long a CA lives.
const LIFE: Duration = Duration::days(3650);
/// Ten years, and so much more that certificates of before have ended.
const WEEKS: i32 = (3650 + 90) / 7;

fn tools() -> bool {
    require(&["sendmail", "m4", "cc", "openssl"])
}

/// A CA and its mail hosts at a moment of their life.
struct Life {
    ca: Ca,
    clock: Clock,
    now: Cell<OffsetDateTime>,
    user: User,
    /// whose keys are in the CA directory
    here: Vec<String>,
    /// certificates and keys that nobody may accept
    revoked: Vec<[String; 2]>,
    /// CA certificates that somebody may still trust
    trusted: Vec<(String, OffsetDateTime)>,
    /// MAIL's, once it was asked, and the lines that it runs with
    sendmail: Option<(Sendmail, String)>,
}

impl Life {
    /// A CA that begins now, with its hosts and the first CRL, which has GONE.
    #[track_caller]
    fn begin(user: User, now: OffsetDateTime, passphrase: &str) -> Self {
        Self::begin_with(user, now, passphrase, &[])
    }

    /// The same with other settings in openssl.cnf.
    #[track_caller]
    fn begin_with(
        user: User,
        now: OffsetDateTime,
        passphrase: &str,
        settings: &[[&str; 2]],
    ) -> Self {
        let ca = Ca::unmade(user);
        let mut life = Self {
            clock: Clock::new(),
            now: Cell::new(now),
            user,
            here: [MAIL, MX1, MX2].map(str::to_owned).to_vec(),
            revoked: vec![["pem", "key"].map(|end| ca.dir.file(&format!("{GONE}.{end}")))],
            trusted: Vec::new(),
            sendmail: None,
            ca,
        };
        let bin = life.ca.dir.create_dir("bin");
        symlink(life.ca.command(&[]).get_program(), bin.join("mailca")).expect("a link");
        life.ok(&["init", "--subject=/O=Example/CN=CA", passphrase]);
        for [from, to] in settings {
            life.ca.edit("openssl.cnf", from, to);
        }
        for host in &life.here {
            life.ok(&["issue", host]);
        }
        for (host, options) in [(RELAY, &[][..]), (GONE, &["--days=3600"])] {
            let request = life.ca.request(host, &[]);
            let out = format!("{host}.pem");
            life.ok(&[&["sign", &request, "--out", &out], options].concat());
        }
        life.ok(&["revoke", GONE, "--reason=cessationOfOperation"]);
        life.trust();
        life
    }

    /// Trusts the CA certificate that is there now until it ends.
    fn trust(&mut self) {
        let name = format!("trusted-{}.pem", self.trusted.len());
        self.ca.dir.write(&name, &self.ca.read("cacert.pem"));
        let certificate = (self.ca.dir.file(&name), self.now() + LIFE);
        self.trusted.push(certificate);
    }

    fn now(&self) -> OffsetDateTime {
        self.now.get()
    }

    /// Runs a program now, which takes some of their time.
    fn run(&self, command: &mut Command) -> Ran {
        self.clock.set(command, self.now());
        self.now.set(self.now() + PACE);
        run(command)
    }

    /// mailca in this CA, now, without a question.
    #[track_caller]
    fn mailca(&self, args: &[&str]) -> Ran {
        let mut command = self.ca.command(args);
        if args[0] != "init" {
            command.args(["--yes", "--passphrase-file=pass"]);
        }
        self.run(&mut command)
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Ran {
        self.mailca(args).exits(0)
    }

    /// `openssl ca` in the CA directory, now.
    #[track_caller]
    fn openssl_ca(&self, args: &[&str]) -> Ran {
        let mut command = self.ca.dir.command("openssl");
        command.current_dir(self.ca.file("."));
        command.args(["ca", "-config", "openssl.cnf", "-batch", "-notext"]);
        command.args(["-passin", "file:../pass"]);
        self.run(command.args(args))
    }

    /// The certificate and key that a host uses now.
    fn pair(&self, host: &str) -> [String; 2] {
        if host == RELAY {
            return ["pem", "key"].map(|end| self.ca.dir.file(&format!("{host}.{end}")));
        }
        ["cert.pem", "key.pem"].map(|name| self.ca.file(&format!("hosts/{host}/{name}")))
    }

    /// A copy of them, as a thief has it.
    fn copied_pair(&self, host: &str) -> [String; 2] {
        self.pair(host).map(|file| {
            let name = file.rsplit('/').next().unwrap_or_default();
            let copy = format!("{host}-old-{name}");
            self.ca.dir.write_secret(
                &copy,
                &fs::read_to_string(&file).expect("a certificate or key"),
            );
            self.ca.dir.file(&copy)
        })
    }

    /// All whose certificates have to be good.
    fn good(&self) -> Vec<&str> {
        let here = self.here.iter().map(String::as_str);
        here.chain([RELAY]).collect()
    }

    /// `openssl verify` at a time.
    fn verify(&self, at: OffsetDateTime, ca: &str, options: &[&str], hosts: &[&str]) -> Ran {
        let at = at.unix_timestamp().to_string();
        let mut command = self.ca.dir.command("openssl");
        command.args(["verify", "-x509_strict", "-attime", &at, "-CAfile", ca]);
        command.args(options);
        run(command.args(hosts.iter().map(|host| self.pair(host)[0].clone())))
    }

    /// OpenSSL accepts every host as server and as client, also by a CA certificate of before, and
    /// refuses what is revoked.
    #[track_caller]
    fn openssl_agrees(&self) {
        let crl = self.ca.file("crl/crl.pem");
        let good = self.good();
        let valid = |(_, end): &&(String, OffsetDateTime)| *end > self.now();
        let trusted: Vec<_> = self.trusted.iter().filter(valid).collect();
        assert!(!trusted.is_empty(), "{}", self.now());
        for (ca, _) in trusted {
            for purpose in ["sslserver", "sslclient"] {
                let mut options = vec!["-crl_check", "-CRLfile", &crl, "-purpose", purpose];
                options.extend(self.revoked.iter().map(|[certificate, _]| &**certificate));
                let ran = self.verify(self.now(), ca, &options, &good);
                let accepted = |host: &&str| {
                    ran.stdout
                        .contains(&(self.pair(host)[0].clone() + ": OK\n"))
                };
                let refused = ran.stderr.matches("certificate revoked").count();
                assert!(good.iter().all(accepted), "{}: {ran}", self.now());
                assert_eq!(
                    ran.stdout.lines().count(),
                    good.len(),
                    "{}: {ran}",
                    self.now()
                );
                assert_eq!(refused, self.revoked.len(), "{}: {ran}", self.now());
            }
        }
    }

    /// OpenSSL accepts each host by its name.
    #[track_caller]
    fn names_agree(&self) {
        for host in self.good() {
            let options = ["-verify_hostname", host];
            let ran = self.verify(self.now(), &self.ca.file("cacert.pem"), &options, &[host]);
            assert!(ran.status.success(), "{}: {ran}", self.now());
        }
    }

    /// Starts Sendmail now, from the lines of `emit-mc`.
    #[track_caller]
    fn start_sendmail(&mut self) {
        let lines = self.ok(&["emit-mc", MAIL]).stdout;
        let now = self.now();
        if let Some((sendmail, before)) = &mut self.sendmail {
            assert_eq!(*before, lines, "{now}");
            sendmail.restart_at(now);
        } else {
            let mc = BASE_MC.to_owned() + &lines;
            let sendmail = Sendmail::start_at(self.user, &mc, now);
            self.sendmail = Some((sendmail, lines));
        }
    }

    /// Sendmail, which was started just now.
    fn sendmail(&self) -> &Sendmail {
        &self.sendmail.as_ref().expect("a Sendmail").0
    }

    /// Sendmail offers STARTTLS, and a client finds that its certificate is `verdict`.
    #[track_caller]
    fn client_says(&self, verdict: &str) {
        let sendmail = self.sendmail();
        let log = || format!("{}\n{}", self.now(), sendmail.log());
        assert!(sendmail.offers_starttls(), "{}", log());
        let at = ["-attime", &self.now().unix_timestamp().to_string()];
        let shown = s_client_starttls(sendmail.port, &self.ca.file("cacert.pem"), MAIL, &at);
        assert!(shown.verify.contains(verdict), "{}\n{}", shown.ran, log());
        assert_eq!(shown.verified, verdict == "ok", "{}\n{}", shown.ran, log());
    }

    /// Sendmail finds that the certificate of every host is `verdict`, and what is revoked FAILs.
    #[track_caller]
    fn sendmail_says(&self, verdict: &str) {
        let hosts: Vec<_> = self
            .good()
            .into_iter()
            .map(|host| self.pair(host))
            .collect();
        self.sendmail_says_of(&hosts, verdict);
        self.sendmail_says_of(&self.revoked, "FAIL");
    }

    #[track_caller]
    fn sendmail_says_of<'a>(
        &self,
        pairs: impl IntoIterator<Item = &'a [String; 2]>,
        verdict: &str,
    ) {
        let sendmail = self.sendmail();
        for [certificate, key] in pairs {
            let said = sendmail.verdict_on(Some([certificate, key]));
            let log = sendmail.log();
            assert_eq!(said, verdict, "{}: {certificate}\n{log}", self.now());
        }
    }

    #[track_caller]
    fn sendmail_agrees(&mut self) {
        self.start_sendmail();
        self.client_says("ok");
        self.sendmail_says("OK");
    }

    #[track_caller]
    fn status(&self) -> Status {
        let ran = self.mailca(&["status", "--json"]);
        let report: Value = serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {ran}", self.now()));
        let hosts = report["hosts"].as_array().expect("hosts").iter();
        let items = [("CA", &report["ca"]), ("CRL", &report["crl"])];
        let named = |item: &'_ Value| item["name"].as_str().expect("a name").to_owned();
        let items = items
            .into_iter()
            .map(|(name, item)| Item::read(name.to_owned(), item))
            .chain(hosts.map(|item| Item::read(named(item), item)));
        let status = Status {
            items: items.collect(),
            ran,
        };
        let (attention, now) = (!status.urgent().is_empty(), self.now());
        assert_eq!(report["attention"], attention, "{now}: {}", status.ran);
        let exit = if attention { 3 } else { 0 };
        assert_eq!(status.ran.code(), exit, "{now}: {}", status.ran);
        for item in &status.items {
            let calm = item.state == "ok";
            assert_eq!(item.reason.is_none(), calm, "{now}: {}", status.ran);
            assert_eq!(item.remedy.is_none(), calm, "{now}: {}", status.ran);
        }
        status
    }

    /// A command line that names mailca, beside the CA directory, now.
    fn shell(&self, line: &str) -> Ran {
        let mut command = self.ca.dir.command("sh");
        command.args(["-c", line]).env_clear();
        command.env("PATH", self.ca.dir.file("bin") + ":/usr/bin:/bin");
        self.run(&mut command)
    }

    /// What the service of `emit systemd` runs.
    #[track_caller]
    fn timer(&self) -> [String; 2] {
        let ran = self
            .run(&mut self.ca.command(&["emit", "systemd"]))
            .exits(0);
        let lines = ran.stdout.lines();
        let lines = lines.filter_map(|line| line.strip_prefix("ExecStart=:"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        lines
            .try_into()
            .unwrap_or_else(|_| panic!("two commands: {ran}"))
    }

    /// Runs what status says, line by line in its order, as a shell does; the lines.
    #[track_caller]
    fn do_as_status_says(&mut self) -> Vec<String> {
        let said = self.mailca(&["status"]);
        let remedies: Vec<String> = said
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("next: "))
            .map(str::to_owned)
            .collect();
        let urgent = self.status();
        let told: BTreeSet<&str> = urgent.urgent().iter().map(|item| item.remedy()).collect();
        let shown: BTreeSet<&str> = remedies.iter().map(String::as_str).collect();
        assert_eq!(told, shown, "{}: {said}", self.now());
        for remedy in &remedies {
            let ran = self.shell(&format!("{remedy} --yes --passphrase-file pass"));
            assert!(ran.status.success(), "{}: {said}\n{ran}", self.now());
            if remedy.contains("renew-ca") {
                self.trust();
            }
        }
        let after = self.status();
        assert!(after.urgent().is_empty(), "{}: {}", self.now(), after.ran);
        remedies
    }

    /// No serial number was given twice, and `openssl ca` works in the directory, and mailca after it.
    #[track_caller]
    fn ca_is_whole(&self) {
        let serials = self.ca.serials();
        let different: BTreeSet<&String> = serials.iter().collect();
        assert_eq!(different.len(), serials.len(), "{serials:?}");
        self.openssl_ca(&["-updatedb"]).exits(0);
        let rows = self.ca.rows();
        let valid = |row: &&String| row.starts_with('V');
        assert_eq!(rows.iter().filter(valid).count(), self.good().len());
        // Its exit status is 1 whatever it finds.
        let first = self.openssl_ca(&["-status", &serials[0]]);
        let says = format!("{}=Expired", serials[0]);
        assert!(first.stderr.contains(&says), "{first}");
        let request = format!("../{RELAY}.csr");
        self.openssl_ca(&["-in", &request, "-out", "../theirs.pem"])
            .exits(0);
        self.ok(&["renew", RELAY]);
        assert_eq!(self.ca.rows().len(), rows.len() + 2);
        let problems = broken(Path::new(&self.ca.file("")));
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

/// What `mailca status` says.
struct Status {
    items: Vec<Item>,
    ran: Ran,
}

impl Status {
    fn urgent(&self) -> Vec<&Item> {
        let items = self.items.iter();
        items.filter(|item| item.state != "ok").collect()
    }

    fn item(&self, name: &str) -> &Item {
        let found = self.items.iter().find(|item| item.name == name);
        found.unwrap_or_else(|| panic!("no {name}: {}", self.ran))
    }
}

/// One of the things that it looks at: the CA, the CRL, or a host.
struct Item {
    name: String,
    state: String,
    until: Option<OffsetDateTime>,
    reason: Option<String>,
    remedy: Option<String>,
}

impl Item {
    fn read(name: String, item: &Value) -> Self {
        let text = |field: &str| item[field].as_str().map(str::to_owned);
        let until = text("until");
        Self {
            name,
            state: text("state").expect("a state"),
            until: until.map(|until| OffsetDateTime::parse(&until, &Rfc3339).expect("a time")),
            reason: text("reason"),
            remedy: text("remedy"),
        }
    }

    fn remedy(&self) -> &str {
        self.remedy.as_deref().expect("a remedy")
    }
}

/// Whether a command says that it changed something.
fn changed(ran: &Ran) -> bool {
    !ran.stdout.contains("nothing changed")
}

#[test]
fn whoever_does_what_status_says_has_a_good_ca_for_ten_years() {
    // In the third year a key is stolen, in the fifth another host gets a new key, in the seventh
    // there is a new host.
    const STOLEN: i32 = 3 * 52;
    const NEW_KEY: i32 = 5 * 52;
    const NEW_HOST: i32 = 7 * 52;
    if !tools() {
        return;
    }
    // Past January 2038, when 32 bits of seconds are full.
    let start = datetime!(2028-06-01 06:00 UTC);
    let mut life = Life::begin(User::ordinary(), start, "--passphrase-file=pass");
    let mut done = Vec::new();
    for week in 1..=WEEKS {
        life.now.set(start + WEEK * week);
        // Nothing hurts before status tells.
        life.openssl_agrees();
        match week {
            STOLEN => {
                life.revoked.push(life.copied_pair(MX1));
                life.ok(&["revoke", MX1, "--reason=keyCompromise"]);
                let said = life.status();
                assert_eq!(said.item(MX1).state, "critical", "{}", said.ran);
            }
            NEW_KEY => {
                life.revoked.push(life.copied_pair(MX2));
                life.ok(&["renew", MX2, "--new-key", "--revoke-old"]);
            }
            NEW_HOST => {
                life.ok(&["issue", "new.example.test"]);
                life.here.push("new.example.test".into());
            }
            _ => {}
        }
        let said = life.status();
        for item in said.urgent() {
            let expected = match &*item.name {
                MX1 if week == STOLEN => "critical",
                _ => "warning",
            };
            assert_eq!(item.state, expected, "{}: {}", life.now(), said.ran);
        }
        let remedies = if said.urgent().is_empty() {
            Vec::new()
        } else {
            life.do_as_status_says()
        };
        if !remedies.is_empty() || matches!(week, STOLEN | NEW_KEY | NEW_HOST) {
            life.openssl_agrees();
            life.names_agree();
            life.sendmail_agrees();
        } else if week % 13 == 0 {
            life.start_sendmail();
            life.client_says("ok");
            life.sendmail_says_of([&life.pair(RELAY)], "OK");
            life.sendmail_says_of(life.revoked.last(), "FAIL");
        }
        done.extend(remedies);
    }
    // Each certificate in its 48th week, each CRL in its 25th, the CA in its 470th; nothing else.
    let expected = [
        ("renew mail.example.test", 11),
        ("renew relay.example.test --out-dir .", 11),
        ("renew mx1.example.test", 3 + 7),
        ("issue mx1.example.test --replace", 1),
        ("renew mx2.example.test", 5 + 5),
        ("renew new.example.test", 3),
        ("crl", 6 + 4 + 10),
        ("renew-ca", 1),
    ];
    for (what, times) in expected {
        let command = format!("mailca --ca {} {what}", life.ca.dir.file("CA"));
        let found = done.iter().filter(|remedy| **remedy == command).count();
        assert_eq!(found, times, "{command}: {done:#?}");
    }
    let all: usize = expected.iter().map(|(_, times)| times).sum();
    assert_eq!(done.len(), all, "{done:#?}");
    life.ca_is_whole();
}

#[test]
fn a_timer_alone_keeps_a_ca_for_ten_years() {
    if !tools() {
        return;
    }
    // Past 2050, where times are written in another way.
    let start = datetime!(2042-06-01 06:00 UTC);
    let mut life = Life::begin(User::me(), start, "--no-passphrase");
    let [crl, renew] = life.timer();
    // The relay's certificate is brought to it.
    let renew = renew + " --out-dir .";
    let (mut crls, mut renewals_of_ca) = (0, 0);
    for week in 1..=WEEKS {
        life.now.set(start + WEEK * week);
        let crl = life.shell(&crl).exits(0);
        crls += i32::from(changed(&crl));
        let renewed = life.shell(&renew).exits(0);
        life.openssl_agrees();
        let said = life.status();
        for item in said.urgent() {
            let it = (&*item.name, &*item.state);
            assert_eq!(it, ("CA", "warning"), "{}: {}", life.now(), said.ran);
            assert_eq!(life.do_as_status_says().len(), 1);
            renewals_of_ca += 1;
        }
        if changed(&renewed) || !said.urgent().is_empty() {
            life.names_agree();
            life.sendmail_agrees();
        }
    }
    assert_eq!(renewals_of_ca, 1);
    // A CRL of 180 days is due in the 22nd week, a certificate of 365 days in the 48th.
    assert_eq!(crls, WEEKS / 22);
    let each = usize::try_from(1 + WEEKS / 48).unwrap();
    assert_eq!(life.ca.serials().len(), life.good().len() * each + 1);
    life.ca_is_whole();
}

/// The first second at which OpenSSL no longer accepts a host, with the CRL where it is asked.
#[track_caller]
fn end_of(life: &Life, host: &str, options: &[&str]) -> OffsetDateTime {
    let ca = life.ca.file("cacert.pem");
    let is_good = |at| {
        let ran = life.verify(at, &ca, options, &[host]);
        let has_ended = ran.stderr.contains("has expired");
        assert!(ran.status.success() != has_ended, "{at}: {ran}");
        !has_ended
    };
    let (mut good, mut bad) = (life.now() + HOUR, life.now() + LIFE * 2);
    assert!(is_good(good) && !is_good(bad), "from {good} to {bad}");
    while bad - good > Duration::SECOND {
        let middle = good + Duration::seconds((bad - good).whole_seconds() / 2);
        if is_good(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    bad
}

/// Something that nobody cares for, when it ends, and how long before that status has to warn.
type Neglected<'a> = (&'a str, OffsetDateTime, Duration);

/// Looks at a life until something has ended, while commands of a timer care for all else: status
/// warns as long before as it promises, and not earlier, and of nothing else.
#[track_caller]
fn watch(life: &mut Life, neglected: &[Neglected<'_>], timer: &[&[&str]]) {
    let mut moments = Vec::new();
    for (_, end, notice) in neglected {
        for edge in [*end - *notice, *end - *notice / 4, *end] {
            moments.extend([edge - HOUR, edge + HOUR]);
        }
    }
    let last = *moments.iter().max().expect("something neglected");
    let weeks = (0..).map(|week| life.now() + WEEK * week);
    moments.extend(weeks.take_while(|at| *at < last));
    moments.sort();
    for at in moments {
        life.now.set(at);
        for command in timer.iter().filter(|_| at < last - HOUR) {
            life.ok(command);
        }
        let said = life.status();
        for item in &said.items {
            let found = neglected.iter().find(|(name, ..)| *name == item.name);
            let state = found.map_or("ok", |(_, end, notice)| {
                let left = *end - at;
                if left > *notice {
                    "ok"
                } else if left > *notice / 4 {
                    assert!(
                        (item.until.unwrap() - *end).abs() < HOUR,
                        "{at}: {}",
                        said.ran
                    );
                    "warning"
                } else {
                    "critical"
                }
            });
            assert_eq!(item.state, state, "{at}: {}: {}", item.name, said.ran);
        }
    }
}

/// Until the end all is well; then Sendmail refuses every client, a client says of the server what
/// it says, and so many commands mend it.
#[track_caller]
fn assert_hurts(life: &mut Life, end: OffsetDateTime, client: &str, remedies: usize) {
    life.now.set(end - HOUR);
    life.sendmail_agrees();
    life.now.set(end + HOUR);
    life.start_sendmail();
    life.client_says(client);
    life.sendmail_says("FAIL");
    assert_eq!(life.do_as_status_says().len(), remedies);
    life.openssl_agrees();
    life.sendmail_agrees();
}

#[test]
fn status_warns_a_week_before_the_end_of_a_crl_that_nobody_refreshes() {
    if !tools() {
        return;
    }
    let start = datetime!(2029-12-01 06:00 UTC);
    let mut life = Life::begin(User::me(), start, "--no-passphrase");
    let crl = life.ca.file("crl/crl.pem");
    let end = end_of(&life, MAIL, &["-crl_check", "-CRLfile", &crl]);
    watch(&mut life, &[("CRL", end, DAY * 7)], &[]);
    assert_hurts(&mut life, end, "ok", 1);
}

#[test]
fn status_warns_thirty_days_before_the_end_of_certificates_that_nobody_renews() {
    if !tools() {
        return;
    }
    let start = datetime!(2031-03-01 06:00 UTC);
    let mut life = Life::begin(User::me(), start, "--no-passphrase");
    let hosts = [MAIL, MX1, MX2, RELAY].map(|host| (host, end_of(&life, host, &[]), DAY * 30));
    watch(&mut life, &hosts, &[&["crl", "--expiring=30d"]]);
    let end = hosts[0].1;
    assert_hurts(&mut life, end, "certificate has expired", hosts.len());
}

#[test]
fn status_warns_a_year_before_the_end_of_a_ca_that_only_a_timer_cares_for() {
    if !tools() {
        return;
    }
    let start = datetime!(2033-03-01 06:00 UTC);
    let mut life = Life::begin(User::me(), start, "--no-passphrase");
    let ca = life.ca.read("cacert.pem");
    // Each certificate is judged as if it were all.
    life.ca.dir.write("relay.example.test.pem", &ca);
    let end = end_of(&life, RELAY, &[]);
    life.now.set(end - DAY * 385);
    life.ok(&["renew", MAIL, MX1, MX2, RELAY, "--out-dir=."]);
    // The last certificates of the hosts end with the CA.
    let hosts = [MAIL, MX1, MX2, RELAY].map(|host| (host, end, DAY * 30));
    let neglected = [&[("CA", end, DAY * 365)], &hosts[..]].concat();
    let timer = [
        &["crl", "--expiring=30d"][..],
        &["renew", "--expiring=30d", "--out-dir=."],
    ];
    watch(&mut life, &neglected, &timer);
    assert_hurts(&mut life, end, "certificate has expired", neglected.len());
}

#[test]
fn what_lives_short_as_a_rule_needs_attention_in_its_last_third() {
    if !tools() {
        return;
    }
    let start = datetime!(2036-03-01 06:00 UTC);
    let settings = [
        ["days     = 365", "days = 15"],
        ["crl_days = 180", "crl_days = 6"],
    ];
    let mut life = Life::begin_with(User::me(), start, "--no-passphrase", &settings);
    let crl = life.ca.file("crl/crl.pem");
    let end = end_of(&life, MAIL, &["-crl_check", "-CRLfile", &crl]);
    watch(&mut life, &[("CRL", end, DAY * 2)], &[]);
    assert_eq!(life.do_as_status_says().len(), 1);
    let hosts = [MAIL, MX1, MX2, RELAY].map(|host| (host, end_of(&life, host, &[]), DAY * 5));
    watch(&mut life, &hosts, &[&["crl", "--expiring=3d"]]);
    assert_eq!(life.do_as_status_says().len(), hosts.len());
    life.openssl_agrees();
}

#[test]
fn a_ca_that_lives_no_longer_than_its_certificates_gets_a_longer_life() {
    if !tools() {
        return;
    }
    let start = datetime!(2036-03-01 06:00 UTC);
    let settings = [["days     = 365", "days = 3650"]];
    let mut life = Life::begin_with(User::me(), start, "--no-passphrase", &settings);
    life.now.set(start + DAY);
    let done = life.do_as_status_says();
    assert!(done[0].ends_with(" renew-ca --days 7300"), "{done:?}");
    assert_eq!(done.len(), 1, "{done:?}");
    life.openssl_agrees();
}

#[test]
fn a_longer_certificate_that_a_host_used_before_counts_no_more() {
    if !tools() {
        return;
    }
    let start = datetime!(2036-03-01 06:00 UTC);
    let life = Life::begin(User::me(), start, "--no-passphrase");
    for options in [&[][..], &["--new-key"]] {
        life.ok(&[&["renew", MX1, "--days=100"], options].concat());
        let said = life.status();
        let ends = said.items.iter().filter(|item| item.name == MX1);
        let days: Vec<i64> = ends
            .filter_map(|item| Some((item.until? - start).whole_days()))
            .collect();
        assert_eq!(days, [100], "{}", said.ran);
    }
}

#[test]
fn status_tells_at_once_what_openssl_ca_revoked_and_no_crl_has() {
    if !tools() {
        return;
    }
    let start = datetime!(2035-03-01 06:00 UTC);
    let mut life = Life::begin(User::me(), start, "--no-passphrase");
    life.now.set(life.now() + DAY * 40);
    let stolen = life.copied_pair(MX1);
    life.openssl_ca(&["-revoke", "hosts/mx1.example.test/cert.pem"])
        .exits(0);
    // Until there is a CRL, Sendmail goes on taking it.
    life.sendmail_agrees();
    let said = life.status();
    let urgent: Vec<(&str, &str)> = said
        .urgent()
        .iter()
        .map(|item| (&*item.name, &*item.state))
        .collect();
    assert_eq!(
        urgent,
        [("CRL", "critical"), (MX1, "critical")],
        "{}",
        said.ran
    );
    life.do_as_status_says();
    life.revoked.push(stolen);
    life.openssl_agrees();
    life.sendmail_agrees();
}

#[test]
fn a_ca_that_was_forgotten_for_ten_years_comes_back_by_what_status_says() {
    if !tools() {
        return;
    }
    let start = datetime!(2038-03-01 06:00 UTC);
    let mut life = Life::begin(User::me(), start, "--no-passphrase");
    for week in (1..).take_while(|week| WEEK * *week < LIFE + DAY * 400) {
        life.now.set(start + WEEK * week);
        let said = life.status();
        assert_eq!(
            said.urgent().is_empty(),
            week < 25,
            "{}: {}",
            life.now(),
            said.ran
        );
    }
    life.do_as_status_says();
    // What ended long ago elsewhere, status does not know to be needed.
    life.ok(&["renew", RELAY, "--out-dir=."]);
    life.openssl_agrees();
    life.names_agree();
    life.sendmail_agrees();
}
