//! docs/operations.md: every command of it is run as it stands there, on machines that are private
//! directories, and afterwards the world has to be as the page promises.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use super::super::support::invariants::broken;
use super::super::support::{Sendmail, TestDir, User, find, require, run, s_client_starttls};
use super::{MailHost, PASSPHRASE, Page, outside_fences, tools, wait_a_second};

pub(super) const PAGE: &str = "docs/operations.md";

/// The sections with commands, and the tests that run them.
const SECTIONS: [(&str, fn()); 15] = [
    ("The first day", the_first_day_ends_with_starttls),
    (
        "A new relay, its key made there",
        a_relay_whose_key_was_made_there_is_verified,
    ),
    (
        "A new relay, its key made here",
        a_relay_whose_key_was_made_here_is_verified,
    ),
    ("Every day", the_daily_run_renews_what_is_due),
    ("Every week", the_weekly_look_says_what_is_wrong),
    ("Renewal", what_was_renewed_is_served),
    ("A host is compromised", a_compromised_host_is_shut_out),
    ("The CA is compromised", nothing_of_a_compromised_ca_counts),
    ("Backup", a_backup_is_restored_as_it_was),
    ("Restore", a_backup_is_restored_as_it_was),
    (
        "After an old backup",
        after_an_old_backup_no_number_repeats_and_no_revocation_is_lost,
    ),
    ("Another machine", a_ca_that_moved_goes_on),
    ("Two administrators", two_administrators_work_side_by_side),
    ("An offline CA", an_offline_ca_serves_its_hosts),
    ("The CA certificate ends", a_renewed_ca_is_trusted_as_before),
];

#[test]
fn every_command_of_the_page_is_run() {
    let page = Page::read(PAGE);
    let tested: BTreeSet<_> = SECTIONS.map(|(name, _)| name.to_owned()).into();
    let written: BTreeSet<_> = page.sections().into_iter().collect();
    assert_eq!(written, tested);
    // Before the first section there are none, and everywhere they are of the kind that is run.
    let intro = page.text.split("\n## ").next().unwrap_or_default();
    assert!(!intro.contains("```"), "{intro}");
    let fences = page.text.lines().filter(|line| line.contains("```"));
    let fences: BTreeSet<_> = fences.collect();
    assert_eq!(fences, BTreeSet::from(["```", "```console"]));

    // A command within a sentence has to be part of one in a block.
    let run: Vec<String> = page
        .sections()
        .iter()
        .flat_map(|section| page.blocks(section))
        .flat_map(|(_, steps)| steps)
        .map(|step| step.command)
        .collect();
    let prose: String = outside_fences(&page.text).map(|(_, line)| line).collect();
    for span in prose.split('`').skip(1).step_by(2) {
        let program = span.split_whitespace().next().unwrap_or_default();
        let is_command = span.contains(char::is_whitespace)
            && (["mailca", "sudo", "sendmailconfig"].contains(&program) || find(program).is_some());
        assert!(
            !is_command || run.iter().any(|command| command.contains(span)),
            "`{span}` is in no block"
        );
    }
}

fn tools_are_here() -> bool {
    tools() && require(&["flock", "install", "sha256sum", "shred", "tar"])
}

/// One section and its blocks, each of which has to be run, in the page's order.
struct Section {
    page: Page,
    name: &'static str,
    next: usize,
}

impl Section {
    fn new(name: &'static str) -> Self {
        assert!(SECTIONS.iter().any(|(known, _)| *known == name));
        Self {
            page: Page::read(PAGE),
            name,
            next: 0,
        }
    }

    /// Runs the next block on a machine.
    #[track_caller]
    fn next_on(&mut self, host: &MailHost) {
        host.check(&mut self.page, self.name, self.next);
        self.next += 1;
    }

    #[track_caller]
    fn end(self) {
        assert_eq!(
            self.page.blocks(self.name).len(),
            self.next,
            "{}",
            self.name
        );
        self.page.finish();
    }
}

/// A machine with other folders than /etc/mail.
pub(super) fn machine(folders: &[&str]) -> MailHost {
    let mut host = MailHost::new();
    for name in folders {
        let inside = name[1..].replace('/', "-");
        host.dir.create_dir(&inside);
        let real = host.dir.file(&inside);
        host.places.push([(*name).to_owned(), real]);
    }
    host
}

/// The CA's machine, which is a mail host too: with a CA, a passphrase in a file, a certificate,
/// and a Sendmail that uses it.
fn ca_machine(folders: &[&str]) -> (MailHost, Sendmail) {
    let mut host = machine(&[&["/root"], folders].concat());
    host.dir
        .write_secret("root/ca.pass", &format!("{PASSPHRASE}\n"));
    let pass = "--yes --passphrase-file /root/ca.pass";
    host.type_in(&format!(
        "mailca init --subject '/O=Example/CN=Example Mail CA' {pass}"
    ));
    host.type_in(&format!("mailca issue mail.example.com {pass}"));
    host.type_in("mailca emit-mc mail.example.com >>/etc/mail/sendmail.mc");
    let sendmail = start(&mut host);
    (host, sendmail)
}

/// Starts a machine's Sendmail, and gives it the commands that make it read its files again: what
/// systemd and Debian's sendmailconfig do to the machine's own Sendmail cannot be done to a private
/// one by them. Nor can systemd be given a timer without changing the machine.
pub(super) fn start(host: &mut MailHost) -> Sendmail {
    let sendmail = host.start_sendmail();
    let reload = sendmail.reloading();
    let configure = sendmail.configuring(&host.dir.file("sendmail.mc"));
    let service = run_service(host);
    program(
        host,
        "systemctl",
        &format!(
            "case \"$*\" in
            'reload sendmail') {reload} ;;
            daemon-reload | 'start mailca.timer' | 'stop mailca.timer') ;;
            'enable --now mailca.timer' | 'disable --now mailca.timer') ;;
            'start mailca.service') {service} ;;
            *) echo \"systemctl $*?\" >&2; exit 1 ;;
            esac"
        ),
    );
    program(
        host,
        "service",
        &format!("[ \"$*\" = 'sendmail reload' ] || exit 1\n{reload}"),
    );
    program(host, "sendmailconfig", &format!("{configure}{reload}"));
    // The real one, with a secret of its own in the place of the machine's, and without what it
    // says of the disk that this is on.
    let secret = host.dir.file("credential.secret");
    program(
        host,
        "systemd-creds",
        &format!(
            "export SYSTEMD_CREDENTIAL_SECRET='{secret}' PATH=/usr/bin:/bin
            {{ systemd-creds --with-key=host \"$@\" 2>&1 >&3 |
                grep -v 'not located on encrypted media' >&2
            exit \"${{PIPESTATUS[0]}}\"; }} 3>&1"
        ),
    );
    sendmail
}

/// What systemd does to start mailca.service: decrypt the passphrase, and run each program. Its
/// words are quoted as a shell's are, but that a dollar sign stays.
fn run_service(host: &MailHost) -> String {
    let [unit, credential] = ["/etc/systemd/system", "/etc/credstore.encrypted"].map(|name| {
        let place = host.places.iter().find(|[known, _]| known == name);
        place.map_or("/nowhere", |[_, real]| real)
    });
    let private = host.dir.file(".");
    format!(
        "set -e
        unit='{unit}/mailca.service'
        grep -qx 'LoadCredentialEncrypted=mailca-passphrase:/etc/credstore.encrypted/mailca-passphrase' \"$unit\"
        export CREDENTIALS_DIRECTORY=$(mktemp -d -p '{private}')
        trap 'rm -r \"$CREDENTIALS_DIRECTORY\"' EXIT
        systemd-creds decrypt --name=mailca-passphrase '{credential}/mailca-passphrase' \
            \"$CREDENTIALS_DIRECTORY/mailca-passphrase\"
        sed -n 's/^ExecStart=://p' \"$unit\" | sed 's/[$]/\\\\$/g' | while read -r line; do
            eval \"setsid --wait $line\" >/dev/null
        done"
    )
}

pub(super) fn program(host: &MailHost, name: &str, script: &str) {
    let path = host
        .dir
        .write(&format!("bin/{name}"), &format!("#!/bin/bash\n{script}"));
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("chmod");
}

/// What is carried from one machine to others.
fn medium(hosts: &mut [&mut MailHost]) -> TestDir {
    let medium = TestDir::new();
    for host in hosts {
        let real = medium.path().to_str().expect("UTF-8 path").to_owned();
        host.places.push(["/media/usb".into(), real]);
    }
    medium
}

/// A relay with Sendmail, whose key was made there, as the section on it has it.
fn relay(ca: &MailHost, name: &str) -> (MailHost, Sendmail) {
    relay_for(ca, name, 365)
}

/// The same, with a certificate for so many days.
fn relay_for(ca: &MailHost, name: &str, days: u32) -> (MailHost, Sendmail) {
    let mut relay = machine(&[]);
    let usb = ca.places.iter().find(|[name, _]| name == "/media/usb");
    relay.places.extend(usb.cloned());
    relay.type_in(&format!(
        "install -d -m 755 /etc/mail/certs/hosts/{name}; \
         mailca req {name} --out-dir /etc/mail/certs; cp /etc/mail/certs/{name}.csr /media/usb"
    ));
    ca.type_in(&format!(
        "mailca sign /media/usb/{name}.csr --out /media/usb/{name}.pem --days {days} --yes --passphrase-file /root/ca.pass; \
         mailca emit-mc {name} --dir /etc/mail/certs --key /etc/mail/certs/{name}.key >/media/usb/{name}.mc; \
         mailca crl --passphrase-file /root/ca.pass; \
         cd /etc/mail/CA && tar -cf /media/usb/trust.tar cacert.pem *.0 crl"
    ));
    carry_lines(ca, &relay, &format!("{name}.mc"));
    relay.type_in(&format!(
        "tar --no-same-owner -C /etc/mail/certs -xf /media/usb/trust.tar; \
         install -m 644 /media/usb/{name}.pem /etc/mail/certs/hosts/{name}/cert.pem; \
         cat /media/usb/{name}.mc >>/etc/mail/sendmail.mc"
    ));
    let sendmail = start(&mut relay);
    (relay, sendmail)
}

fn place<'h>(host: &'h MailHost, name: &str) -> &'h str {
    let place = host.places.iter().find(|[known, _]| known == name);
    &place.expect("a place of the machine")[1]
}

/// What a Sendmail thinks of a client with the certificate and key in these files.
#[track_caller]
fn verdict(sendmail: &Sendmail, host: &MailHost, certificate: &str, key: &str) -> String {
    let files = [host.dir.file(certificate), host.dir.file(key)];
    sendmail.verdict_on(Some([&files[0], &files[1]]))
}

const OWN: [&str; 2] = [
    "CA/hosts/mail.example.com/cert.pem",
    "CA/hosts/mail.example.com/key.pem",
];
const MX2: [&str; 2] = [
    "certs/hosts/mx2.example.com/cert.pem",
    "certs/mx2.example.com.key",
];

#[track_caller]
fn assert_verdict(expected: &str, sendmail: &Sendmail, host: &MailHost, pair: [&str; 2]) {
    let verdict = verdict(sendmail, host, pair[0], pair[1]);
    assert_eq!(verdict, expected, "{}", sendmail.log());
}

/// The server presents a certificate for the name that verifies with the CA in a file of `host`.
#[track_caller]
fn assert_served(sendmail: &Sendmail, host: &MailHost, ca: &str, name: &str) {
    let shown = s_client_starttls(sendmail.port, &host.dir.file(ca), name, &[]);
    assert!(shown.verified, "{}\n{}", shown.ran, sendmail.log());
}

/// The serial number of the certificate that a server presents.
pub(super) fn served(host: &MailHost) -> String {
    host.type_in(
        "openssl s_client -starttls smtp -connect localhost:25 </dev/null 2>/dev/null \
         | openssl x509 -noout -serial",
    )
}

fn serial_of(host: &MailHost, file: &str) -> String {
    host.dir
        .openssl(&["x509", "-noout", "-serial", "-in", &host.dir.file(file)])
}

fn serials(host: &MailHost, ca: &str) -> Vec<String> {
    let index = host.dir.read(&format!("{ca}/index.txt"));
    let serial = |row: &str| row.split('\t').nth(3).expect("six fields").to_owned();
    index.lines().map(serial).collect()
}

#[test]
fn the_first_day_ends_with_starttls() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("The first day");
    let mut host = machine(&["/root"]);
    let sendmail = start(&mut host);
    assert!(!sendmail.offers_starttls());
    section.next_on(&host);
    assert!(sendmail.offers_starttls(), "{}", sendmail.log());
    section.next_on(&host);
    section.next_on(&host);
    assert_served(&sendmail, &host, "CA/cacert.pem", "mail.example.com");
    assert_verdict("OK", &sendmail, &host, OWN);
    let mode = |name: &str| host.dir.path().join(name).metadata().expect(name).mode() & 0o777;
    assert_eq!(mode("root/ca.pass"), 0o600);
    let key = host.dir.read("CA/private/cakey.pem");
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    section.end();
}

#[test]
fn a_relay_whose_key_was_made_there_is_verified() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("A new relay, its key made there");
    let (mut ca, its) = ca_machine(&[]);
    ca.type_in("mailca crl --passphrase-file /root/ca.pass");
    let mut relay = machine(&[]);
    let usb = medium(&mut [&mut ca, &mut relay]);
    let relays = start(&mut relay);
    section.next_on(&relay);
    section.next_on(&ca);
    carry_lines(&ca, &relay, "mx2.mc");
    section.next_on(&relay);
    assert_served(&relays, &relay, "certs/cacert.pem", "mx2.example.com");
    assert_verdict("OK", &its, &relay, MX2);
    assert_verdict("OK", &relays, &ca, OWN);
    // The key has not left it.
    for entry in fs::read_dir(usb.path()).expect("list the medium") {
        let bytes = fs::read(entry.expect("list the medium").path()).expect("read the medium");
        assert!(!String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"));
    }
    section.end();
}

/// Both machines have an /etc/mail, but not the same directory stands for it.
fn carry_lines(from: &MailHost, to: &MailHost, name: &str) {
    let path = format!("{}/{name}", place(from, "/media/usb"));
    let lines = fs::read_to_string(&path).expect("lines for sendmail.mc");
    let path_of = |host: &MailHost| host.dir.path().to_str().expect("UTF-8 path").to_owned();
    assert!(lines.contains(&path_of(from)), "{lines}");
    fs::write(&path, lines.replace(&path_of(from), &path_of(to))).expect("write");
}

#[test]
fn a_relay_whose_key_was_made_here_is_verified() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("A new relay, its key made here");
    let (mut ca, its) = ca_machine(&[]);
    ca.type_in("mailca crl --passphrase-file /root/ca.pass");
    let mut relay = machine(&[]);
    let usb = medium(&mut [&mut ca, &mut relay]);
    let relays = start(&mut relay);
    section.next_on(&ca);
    let mode = usb
        .path()
        .join("mx3.tar")
        .metadata()
        .expect("mx3.tar")
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    carry_lines(&ca, &relay, "mx3.mc");
    section.next_on(&relay);
    assert_served(&relays, &relay, "certs/cacert.pem", "mx3.example.com");
    let pair = [
        "certs/hosts/mx3.example.com/cert.pem",
        "certs/hosts/mx3.example.com/key.pem",
    ];
    assert_verdict("OK", &its, &relay, pair);
    assert_verdict("OK", &relays, &ca, OWN);
    assert!(!usb.path().join("mx3.tar").exists());
    section.end();
}

#[test]
fn the_daily_run_renews_what_is_due() {
    if !tools_are_here() || !require(&["systemd-creds"]) {
        return;
    }
    let mut section = Section::new("Every day");
    let places = [
        "/etc/cron.daily",
        "/etc/systemd/system",
        "/etc/credstore.encrypted",
    ];
    for by_systemd in [true, false] {
        let (mut host, sendmail) = ca_machine(&places);
        let _usb = medium(&mut [&mut host]);
        let (mx2, relays) = relay_for(&host, "mx2.example.com", 20);
        host.type_in(
            "mailca renew mail.example.com --days 20 --yes --passphrase-file /root/ca.pass; \
             mailca crl --days 20 --passphrase-file /root/ca.pass; systemctl reload sendmail",
        );
        let (short, crl) = (served(&host), host.dir.read("CA/crl/crl.pem"));
        assert_eq!(short, serial_of(&host, OWN[0]));
        section.next_on(&host);
        section.next_on(&host);
        if by_systemd {
            // Nobody can read the passphrase there.
            let credential = "etc-credstore.encrypted/mailca-passphrase";
            let bytes = fs::read(host.dir.file(credential)).expect(credential);
            assert!(!String::from_utf8_lossy(&bytes).contains(PASSPHRASE));
        }
        assert_ne!(served(&host), short);
        assert_eq!(served(&host), serial_of(&host, OWN[0]));
        assert_ne!(host.dir.read("CA/crl/crl.pem"), crl);
        assert_served(&sendmail, &host, "CA/cacert.pem", "mail.example.com");
        let renewed = host.dir.read("root/renewed/mx2.example.com.pem");
        mx2.dir.write(MX2[0], &renewed);
        mx2.type_in("systemctl reload sendmail");
        assert_served(&relays, &mx2, "certs/cacert.pem", "mx2.example.com");
        // Nothing is due the next day.
        let before = serials(&host, "CA");
        let again = "systemctl start mailca.service; /etc/cron.daily/mailca";
        let again = if by_systemd {
            again
        } else {
            "/etc/cron.daily/mailca"
        };
        assert_eq!(host.type_in(again), "");
        assert_eq!(serials(&host, "CA"), before);
        // What no renewal helps against is told.
        host.type_in("mailca revoke mail.example.com --all --yes --passphrase-file /root/ca.pass");
        let told = host.type_in("/etc/cron.daily/mailca");
        assert!(told.contains("revoked"), "{told}");
    }
    section.end();
}

#[test]
fn the_weekly_look_says_what_is_wrong() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("Every week");
    let (mut host, sendmail) = ca_machine(&["/root/renewed"]);
    host.type_in("mailca crl --passphrase-file /root/ca.pass");
    let usb = medium(&mut [&mut host]);
    wait_a_second();
    // As the daily run leaves it.
    let request = "mailca req mx2.example.com --out-dir /etc/mail";
    let sign = "mailca sign /etc/mail/mx2.example.com.csr --yes --passphrase-file /root/ca.pass";
    host.type_in(&format!("{request}; {sign} --out-dir /root/renewed"));
    host.type_in(
        "cp /etc/mail/CA/hosts/mail.example.com/cert.pem /root/renewed/mail.example.com.pem",
    );
    let looks: Vec<String> = section.page.blocks(section.name)[..2]
        .iter()
        .flat_map(|(_, steps)| steps)
        .map(|step| step.command.trim_end().to_owned())
        .collect();
    for _ in 0..3 {
        section.next_on(&host);
    }
    for name in ["trust.tar", "mx2.example.com.pem"] {
        assert!(usb.path().join(name).exists(), "{name}");
    }
    host.type_in("mailca revoke mail.example.com --yes --passphrase-file /root/ca.pass");
    for look in looks {
        assert!(host.type_in(&look).contains("revoked"), "{look}");
    }
    drop(sendmail);
    section.end();
}

#[test]
fn what_was_renewed_is_served() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("Renewal");
    let (mut ca, its) = ca_machine(&[]);
    let _usb = medium(&mut [&mut ca]);
    let (mx2, relays) = relay(&ca, "mx2.example.com");
    let key = ca.dir.read(OWN[1]);
    for round in 0..2 {
        let before = served(&ca);
        if round == 0 {
            section.next_on(&ca);
            assert_eq!(ca.dir.read(OWN[1]), key);
            let old = served(&mx2);
            section.next_on(&ca);
            section.next_on(&mx2);
            assert_ne!(served(&mx2), old);
        } else {
            section.next_on(&ca);
            assert_ne!(ca.dir.read(OWN[1]), key);
        }
        assert_ne!(served(&ca), before);
        assert_eq!(served(&ca), serial_of(&ca, OWN[0]));
        assert_served(&its, &ca, "CA/cacert.pem", "mail.example.com");
        assert_served(&relays, &mx2, "certs/cacert.pem", "mx2.example.com");
        assert_verdict("OK", &its, &mx2, MX2);
        assert_verdict("OK", &relays, &ca, OWN);
    }
    section.end();
}

#[test]
fn a_compromised_host_is_shut_out() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("A host is compromised");
    let (mut ca, its) = ca_machine(&[]);
    let _usb = medium(&mut [&mut ca]);
    let (other, others) = relay(&ca, "mx6.example.com");
    let (mx2, _) = relay(&ca, "mx2.example.com");
    // It was renewed in between: both certificates are good.
    let stolen = [
        mx2.dir.write("old.pem", &mx2.dir.read(MX2[0])),
        mx2.dir.write("stolen.key", &mx2.dir.read(MX2[1])),
    ];
    let stolen = stolen.map(|path| path.to_str().expect("UTF-8 path").to_owned());
    let stolen = [&*stolen[0], &*stolen[1]];
    ca.type_in(
        "mailca renew mx2.example.com --yes --passphrase-file /root/ca.pass --out-dir /media/usb",
    );
    for sendmail in [&its, &others] {
        assert_eq!(sendmail.verdict_on(Some(stolen)), "OK");
    }
    section.next_on(&ca);
    assert_eq!(its.verdict_on(Some(stolen)), "FAIL");
    let renewed = format!("{}/mx2.example.com.pem", place(&ca, "/media/usb"));
    assert_eq!(its.verdict_on(Some([&renewed, stolen[1]])), "FAIL");
    assert_eq!(others.verdict_on(Some(stolen)), "OK");
    section.next_on(&other);
    assert_eq!(others.verdict_on(Some(stolen)), "FAIL");
    assert_eq!(others.verdict_on(Some([&renewed, stolen[1]])), "FAIL");

    section.next_on(&mx2);
    mx2.type_in("cp /etc/mail/certs/mx2.example.com.csr /media/usb");
    ca.type_in(
        "mailca sign /media/usb/mx2.example.com.csr --out /media/usb/mx2.example.com.pem --yes --passphrase-file /root/ca.pass",
    );
    mx2.type_in(
        "install -m 644 /media/usb/mx2.example.com.pem /etc/mail/certs/hosts/mx2.example.com/cert.pem",
    );
    for sendmail in [&its, &others] {
        assert_verdict("OK", sendmail, &mx2, MX2);
        assert_eq!(sendmail.verdict_on(Some(stolen)), "FAIL");
    }
    let old = OWN.map(|name| {
        let copy = format!("stolen-{}", name.rsplit('/').next().expect("a name"));
        ca.dir.write(&copy, &ca.dir.read(name));
        copy
    });
    section.next_on(&ca);
    assert_verdict("FAIL", &its, &ca, [&old[0], &old[1]]);
    assert_verdict("OK", &its, &ca, OWN);
    assert_served(&its, &ca, "CA/cacert.pem", "mail.example.com");
    section.end();
}

#[test]
fn nothing_of_a_compromised_ca_counts() {
    if !tools_are_here() || !require(&["systemd-creds"]) {
        return;
    }
    let mut section = Section::new("The CA is compromised");
    let (mut ca, its) = ca_machine(&["/etc/credstore.encrypted"]);
    let _usb = medium(&mut [&mut ca]);
    let (mx2, relays) = relay(&ca, "mx2.example.com");
    let thief = TestDir::new();
    run(thief.command("cp").args(["-a", &ca.dir.file("CA"), "."])).exits(0);
    let mut forge = thief.mailca(&["--ca", "CA", "issue", "forged.example.com", "--yes"]);
    run(forge
        .arg("--passphrase-file")
        .arg(ca.dir.file("root/ca.pass")))
    .exits(0);
    let pairs = ["mail.example.com", "forged.example.com"]
        .map(|host| ["cert", "key"].map(|name| thief.file(&format!("CA/hosts/{host}/{name}.pem"))));
    let verdicts = |expected: &str| {
        for sendmail in [&its, &relays] {
            for [cert, key] in &pairs {
                assert_eq!(sendmail.verdict_on(Some([cert, key])), expected);
            }
        }
    };
    verdicts("OK");
    section.next_on(&ca);
    section.next_on(&ca);
    section.next_on(&mx2);
    verdicts("FAIL");
    for (host, trusted) in [(&ca, "CA/cacert.pem"), (&mx2, "certs/cacert.pem")] {
        for [cert, _] in &pairs {
            let mut verify = host.dir.command("openssl");
            verify.args(["verify", "-CAfile", &host.dir.file(trusted), cert]);
            run(&mut verify).exits(2);
        }
    }
    assert_served(&its, &ca, "CA/cacert.pem", "mail.example.com");
    assert_served(&relays, &mx2, "certs/cacert.pem", "mx2.example.com");
    assert_verdict("OK", &its, &mx2, MX2);
    assert_verdict("OK", &relays, &ca, OWN);
    section.end();
}

/// Every file of a CA directory with its mode, owner and content, by its name in there.
fn tree(host: &MailHost, ca: &str) -> Vec<(String, u32, u32, u32, Vec<u8>)> {
    let root = host.dir.path().join(ca);
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(path) = waiting.pop() {
        let meta = path.symlink_metadata().expect("metadata");
        let content = if meta.is_dir() {
            let entries = fs::read_dir(&path).expect("list a folder");
            waiting.extend(entries.map(|entry| entry.expect("list a folder").path()));
            Vec::new()
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).expect("read a link");
            target.into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).expect("read a file")
        };
        let name = path.strip_prefix(&root).expect("inside");
        let name = name.to_str().expect("UTF-8").to_owned();
        found.push((name, meta.mode(), meta.uid(), meta.gid(), content));
    }
    found.sort();
    found
}

/// The next serial number is this one, and `openssl ca` gives the one after it.
#[track_caller]
fn assert_signs_on(host: &MailHost, ca: &str) {
    let next = host.dir.read(&format!("{ca}/serial")).trim().to_owned();
    let before = serials(host, ca);
    let pass = host.dir.file("root/ca.pass");
    let mut issue = host
        .dir
        .mailca(&["--ca", ca, "issue", "next.example.com", "--yes"]);
    run(issue.args(["--passphrase-file", &pass])).exits(0);
    host.dir.openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=theirs.example.com",
        "-keyout",
        "theirs.key",
        "-out",
        "theirs.csr",
    ]);
    let mut openssl = host.dir.command("openssl");
    openssl
        .current_dir(host.dir.file(ca))
        .args(["ca", "-config", "openssl.cnf", "-batch", "-notext"])
        .args(["-passin", &format!("file:{pass}")])
        .args([
            "-in",
            &host.dir.file("theirs.csr"),
            "-out",
            &host.dir.file("theirs.pem"),
        ]);
    run(&mut openssl).exits(0);
    let after = serials(host, ca);
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()], next);
    assert_eq!(after.len(), before.len() + 2);
    assert_eq!(after.iter().collect::<BTreeSet<_>>().len(), after.len());
    host.dir.openssl(&[
        "verify",
        "-CAfile",
        &host.dir.file(&format!("{ca}/cacert.pem")),
        &host.dir.file("theirs.pem"),
    ]);
}

#[track_caller]
fn assert_sound(host: &MailHost, ca: &str) {
    let problems = broken(&host.dir.path().join(ca));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_backup_is_restored_as_it_was() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("Backup");
    let (mut host, sendmail) = ca_machine(&["/var/backups", "/etc/cron.daily"]);
    let usb = medium(&mut [&mut host]);
    if User::me().is_root() {
        // Files of others stay theirs.
        let path = host.dir.path().join("CA/notes");
        fs::copy(host.dir.file("CA/cacert.pem"), &path).expect("copy");
        let user = User::ordinary();
        chown(&path, Some(user.uid), Some(user.gid)).expect("chown");
    }
    section.next_on(&host);
    let archive = host.dir.file("var-backups/mailca.tar.gz");
    fs::remove_file(&archive).expect(&archive);
    assert_eq!(host.type_in("sh /etc/cron.daily/mailca"), "");
    assert_eq!(
        fs::metadata(&archive).expect(&archive).mode() & 0o777,
        0o600
    );
    section.next_on(&host);
    let encrypted = fs::read(usb.path().join("mailca.tar.gz.enc")).expect("the archive");
    assert!(encrypted.starts_with(b"Salted__"));
    section.next_on(&host);
    section.end();

    let before = tree(&host, "CA");
    let mut section = Section::new("Restore");
    section.next_on(&host);
    assert_eq!(tree(&host, "CA"), before);
    // As it is, another copy would give the next number.
    host.type_in("cp -a /etc/mail/CA /etc/mail/copy");
    assert_signs_on(&host, "copy");
    assert_sound(&host, "copy");
    section.next_on(&host);
    section.next_on(&host);
    assert_signs_on(&host, "CA");
    assert_sound(&host, "CA");
    let [given, again] = ["copy", "CA"].map(|ca| serials(&host, ca));
    let old = serials(&host, "CA.damaged");
    assert!(
        again
            .iter()
            .all(|serial| old.contains(serial) || !given.contains(serial))
    );
    assert_served(&sendmail, &host, "CA/cacert.pem", "mail.example.com");
    assert_verdict("OK", &sendmail, &host, OWN);
    section.end();
}

#[test]
fn after_an_old_backup_no_number_repeats_and_no_revocation_is_lost() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("After an old backup");
    let (mut host, sendmail) = ca_machine(&[]);
    let usb = medium(&mut [&mut host]);
    usb.create_dir("found");
    let pass = "--yes --passphrase-file /root/ca.pass";
    let issue = |name: &str| {
        host.type_in(&format!(
            "mailca req {name}.example.com --out-dir /etc/mail && \
             mailca sign /etc/mail/{name}.example.com.csr --out /etc/mail/{name}.pem {pass}"
        ));
    };
    issue("before");
    host.type_in(&format!(
        "mailca crl {pass}; cp -a /etc/mail/CA /etc/mail/old"
    ));
    wait_a_second();
    for name in ["found", "revoked", "unknown"] {
        issue(name);
    }
    // The CRL is newer.
    wait_a_second();
    for name in ["before", "revoked", "unknown"] {
        host.type_in(&format!(
            "mailca revoke {name}.example.com --reason keyCompromise {pass}"
        ));
    }
    host.type_in(
        "cp /etc/mail/CA/crl/crl.pem /media/usb; cp /etc/mail/found.pem /etc/mail/revoked.pem \
         /etc/mail/CA/hosts/mail.example.com/cert.pem /media/usb/found",
    );
    // The disk is lost, and the old directory is put back.
    host.type_in("mv /etc/mail/CA /etc/mail/lost; mv /etc/mail/old /etc/mail/CA");
    host.type_in("cd /etc/mail/CA && sed -i 's/^/0100/' serial crlnumber");

    for _ in 0..section.page.blocks(section.name).len() {
        section.next_on(&host);
    }
    let pair = |name: &str| [format!("{name}.pem"), format!("{name}.example.com.key")];
    for (name, expected) in [
        ("found", "OK"),
        ("before", "FAIL"),
        ("revoked", "FAIL"),
        ("unknown", "FAIL"),
    ] {
        let [cert, key] = pair(name);
        assert_verdict(expected, &sendmail, &host, [&cert, &key]);
    }
    assert_verdict("OK", &sendmail, &host, OWN);
    // Whose key is known, it is never certified again.
    for name in ["before", "revoked"] {
        let said = host.type_in(&format!(
            "mailca sign /etc/mail/{name}.example.com.csr {pass}"
        ));
        assert!(said.contains("the key was compromised"), "{said}");
    }
    let number = |ca: &str| {
        let crl = host.dir.file(&format!("{ca}/crl/crl.pem"));
        let text = host
            .dir
            .openssl(&["crl", "-noout", "-crlnumber", "-in", &crl]);
        let hex = text.trim().rsplit(['=', 'x']).next().expect("a number");
        u128::from_str_radix(hex, 16).expect("a number")
    };
    assert!(number("CA") > number("lost"));
    // Of the one that nobody has, the CRL tells.
    let recorded = serials(&host, "CA");
    let lost = serials(&host, "lost").into_iter();
    let unrecorded: Vec<_> = lost.filter(|it| !recorded.contains(it)).collect();
    let unknown = serial_of(&host, "unknown.pem");
    assert_eq!(unrecorded, [unknown.trim().trim_start_matches("serial=")]);
    assert_signs_on(&host, "CA");
    section.end();
}

#[test]
fn a_ca_that_moved_goes_on() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("Another machine");
    let (mut old, sendmail) = ca_machine(&["/etc/cron.daily"]);
    let mut new = machine(&["/root", "/srv"]);
    new.dir
        .write_secret("root/ca.pass", &format!("{PASSPHRASE}\n"));
    let usb = medium(&mut [&mut old, &mut new]);
    let before = tree(&old, "CA");
    section.next_on(&old);
    let said = old.type_in("mailca issue mx7.example.com --yes --passphrase-file /root/ca.pass");
    assert!(said.contains("error: "), "{said}");
    section.next_on(&new);
    let kept = |(name, ..): &&(String, u32, u32, u32, Vec<u8>)| {
        ["cacert.pem", "private/cakey.pem", "openssl.cnf"].contains(&&**name)
            || name.starts_with("hosts/mail.example.com")
    };
    let after = tree(&new, "srv/mailca");
    assert!(before.iter().filter(kept).eq(after.iter().filter(kept)));
    assert_eq!(serials(&new, "srv/mailca")[0], serials(&old, "CA")[0]);
    assert_signs_on(&new, "srv/mailca");
    assert_sound(&new, "srv/mailca");
    section.next_on(&old);
    assert!(!usb.path().join("ca.tar").exists());
    assert!(!old.dir.path().join("CA/private/cakey.pem.moved").exists());
    assert_served(&sendmail, &old, "CA/cacert.pem", "mail.example.com");
    assert_verdict(
        "OK",
        &sendmail,
        &new,
        [
            "srv/mailca/hosts/mx4.example.com/cert.pem",
            "srv/mailca/hosts/mx4.example.com/key.pem",
        ],
    );
    let moved = start(&mut new);
    section.next_on(&new);
    assert_served(&moved, &new, "srv/mailca/cacert.pem", "mail.example.com");
    section.end();
}

#[test]
fn two_administrators_work_side_by_side() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("Two administrators");
    let (mut host, sendmail) = ca_machine(&["/home/anna"]);
    let anna = User::ordinary();
    let home = host.dir.file("home-anna");
    chown(&home, Some(anna.uid), Some(anna.gid)).expect("chown");
    // Where the program was built, she may not be able to look.
    let mailca = anna.mailca().get_program().to_owned();
    let mailca = mailca.to_str().expect("UTF-8 path");
    program(&host, "mailca", &format!("exec {mailca} \"$@\"\n"));
    host.user = anna;
    section.next_on(&host);
    let key = fs::metadata(format!("{home}/mx5.example.com.key")).expect("her key");
    assert_eq!((key.uid(), key.mode() & 0o777), (anna.uid, 0o600));
    let said = host.type_in("mailca renew mail.example.com --yes");
    assert!(
        anna == User::me() || said.contains("Permission denied"),
        "{said}"
    );

    host.user = User::me();
    // Who runs the test is root already, or owns the CA: sudo would change nothing.
    program(&host, "sudo", "exec \"$@\"\n");
    let owners = tree(&host, "CA").into_iter();
    let owners: Vec<_> = owners
        .map(|(name, mode, uid, gid, _)| (name, mode, uid, gid))
        .collect();
    section.next_on(&host);
    let after = tree(&host, "CA");
    for (name, mode, uid, gid) in owners {
        let same = after.iter().find(|file| file.0 == name).expect("the file");
        assert_eq!((same.1, same.2, same.3), (mode, uid, gid), "{name}");
    }

    // Another who holds the lock is waited for, or not.
    let lock = "flock /etc/mail/CA/index.txt.lock";
    let crl = "mailca crl --passphrase-file /root/ca.pass";
    let said = host.type_in(&format!("{lock} {crl} --wait 0"));
    assert!(said.contains("another mailca holds the lock"), "{said}");
    let said = host.type_in(&format!("{lock} sleep 1 & sleep 0.2; {crl}; wait"));
    assert!(said.contains("signed the CRL"), "{said}");
    let issue = |name: &str| {
        format!("mailca issue {name}.example.com --yes --passphrase-file /root/ca.pass")
    };
    let count = serials(&host, "CA").len();
    host.type_in(&format!("{} & {}; wait", issue("one"), issue("two")));
    assert_eq!(serials(&host, "CA").len(), count + 2);
    let (one, two) = (issue("same"), issue("same"));
    host.type_in(&format!("{one} & {two}; wait"));
    assert_eq!(serials(&host, "CA").len(), count + 3);

    let key = host.dir.file("CA/private/cakey.pem");
    let old = host.dir.read("CA/private/cakey.pem");
    section.next_on(&host);
    assert_ne!(host.dir.read("CA/private/cakey.pem"), old);
    assert_eq!(fs::metadata(&key).expect(&key).mode() & 0o777, 0o600);
    assert_signs_on(&host, "CA");
    assert_served(&sendmail, &host, "CA/cacert.pem", "mail.example.com");
    section.end();
}

#[test]
fn an_offline_ca_serves_its_hosts() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("An offline CA");
    let (mut ca, mut host) = (machine(&[]), machine(&[]));
    let _usb = medium(&mut [&mut ca, &mut host]);
    let sendmail = start(&mut host);
    section.next_on(&ca);
    section.next_on(&host);
    section.next_on(&ca);
    carry_lines(&ca, &host, "mail.example.com.mc");
    section.next_on(&ca);
    section.next_on(&host);
    assert_served(&sendmail, &host, "certs/cacert.pem", "mail.example.com");
    let pair = [
        "certs/hosts/mail.example.com/cert.pem",
        "certs/mail.example.com.key",
    ];
    assert_verdict("OK", &sendmail, &host, pair);
    section.end();
}

#[test]
fn a_renewed_ca_is_trusted_as_before() {
    if !tools_are_here() {
        return;
    }
    let mut section = Section::new("The CA certificate ends");
    let (mut ca, its) = ca_machine(&[]);
    let _usb = medium(&mut [&mut ca]);
    wait_a_second();
    let (mx2, relays) = relay(&ca, "mx2.example.com");
    ca.type_in("mailca renew-ca --days 300 --yes --passphrase-file /root/ca.pass");
    let old = ca.dir.read("CA/cacert.pem");
    section.next_on(&ca);
    section.next_on(&ca);
    section.next_on(&mx2);
    assert_ne!(mx2.dir.read("certs/cacert.pem"), old);
    assert_eq!(
        mx2.dir.read("certs/cacert.pem"),
        ca.dir.read("CA/cacert.pem")
    );
    assert_served(&its, &ca, "CA/cacert.pem", "mail.example.com");
    assert_served(&relays, &mx2, "certs/cacert.pem", "mx2.example.com");
    assert_verdict("OK", &its, &mx2, MX2);
    assert_verdict("OK", &relays, &ca, OWN);
    section.end();
}
