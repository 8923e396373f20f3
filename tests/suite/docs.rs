//! README.md and docs/ say what is so: the commands of their console blocks are run on a terminal,
//! and what they print is compared. `UPDATE_DOCS=1 cargo test --test suite docs:: --
//! --test-threads=1` puts what they print into the pages instead.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use mailca::mta::MailServer;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::support::layouts;
use super::support::{BASE_MC, Sendmail, TestDir, User, require, run, s_client_starttls};

mod check;
mod dovecot;
mod exim;
mod opensmtpd;
mod operations;
mod postfix;
mod sendmail;

const MAIL_SERVERS: &str = "docs/mail-servers";
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PASSPHRASE: &str = layouts::PASSPHRASE;

#[test]
fn the_readme_leads_to_starttls() {
    if !tools() {
        return;
    }
    let mut page = Page::read("README.md");
    let mut host = MailHost::new();
    host.check(&mut page, "From nothing to STARTTLS", 0);
    let _sendmail = host.start_sendmail();
    host.check(&mut page, "From nothing to STARTTLS", 1);
    host.check(&mut page, "From nothing to STARTTLS", 2);
    page.finish();
}

#[test]
fn the_readme_is_right_about_a_ca_made_by_openssl() {
    if !tools() {
        return;
    }
    let mut page = Page::read("README.md");
    let mut host = MailHost::new();
    host.make_openssl_ca();
    host.check(&mut page, "You already have a CA", 0);
    let sendmail = host.start_sendmail();
    assert!(sendmail.offers_starttls(), "{}", sendmail.log());
    page.finish();
}

#[test]
fn the_commands_beside_listing_6_2_do_its_job() {
    if !tools() {
        return;
    }
    let mut page = Page::read("docs/listing-6.2.md");
    let mut host = MailHost::new();
    host.check(&mut page, "In one piece", 0);
    host.check(&mut page, "Listing 6.3", 0);
    let sendmail = host.start_sendmail();
    assert!(sendmail.offers_starttls(), "{}", sendmail.log());
    page.finish();
}

#[test]
fn a_successor_is_trusted_beside_the_ca_and_then_alone() {
    if !tools() {
        return;
    }
    let mut page = Page::read("docs/successor-ca.md");
    let mut host = MailHost::new();
    let file = |host: &MailHost, name: &str| host.dir.file(name);
    // A client's certificate by one of the CAs.
    let client = |host: &MailHost, ca: &str| {
        let name = format!("{}.example.com", ca.to_lowercase());
        host.type_in(&format!("mailca req {name} --out-dir /etc/mail"));
        host.type_in(&format!(
            "mailca --ca /etc/mail/{ca} sign /etc/mail/{name}.csr --out /etc/mail/{name}.pem"
        ));
        [
            file(host, &format!("{name}.pem")),
            file(host, &format!("{name}.key")),
        ]
    };
    host.type_in("mailca init --subject '/O=Example/CN=Example Mail CA'");
    host.type_in("mailca issue mail.example.com");
    host.type_in("mailca emit-mc mail.example.com >>/etc/mail/sendmail.mc");
    let [old, old_key] = client(&host, "CA");
    let before = host.start_sendmail();
    assert_eq!(
        before.verdict_on(Some([&old, &old_key])),
        "OK",
        "{}",
        before.log()
    );

    host.check(&mut page, "Make the new CA", 0);
    let [new, new_key] = client(&host, "newCA");
    assert_eq!(
        before.verdict_on(Some([&new, &new_key])),
        "FAIL",
        "{}",
        before.log()
    );
    host.check(&mut page, "Trust both", 0);
    host.check(&mut page, "Trust both", 1);
    // Without a restart.
    assert_eq!(
        before.verdict_on(Some([&new, &new_key])),
        "OK",
        "{}",
        before.log()
    );
    assert_eq!(
        before.verdict_on(Some([&old, &old_key])),
        "OK",
        "{}",
        before.log()
    );
    let both = file(&host, "both.pem");
    // By the file alone: the directory of links is empty.
    host.dir.create_dir("empty");
    let empty = file(&host, "empty");
    let bundle = format!(
        "{}define(`confCACERT', `{both}')dnl\ndefine(`confCACERT_PATH', `{empty}')dnl\n",
        host.dir.read("sendmail.mc")
    );
    let by_file = Sendmail::start(User::me(), &bundle);
    for (cert, key) in [(&old, &old_key), (&new, &new_key)] {
        assert_eq!(
            by_file.verdict_on(Some([cert, key])),
            "OK",
            "{}",
            by_file.log()
        );
        host.dir.openssl(&["verify", "-CAfile", &both, cert]);
    }

    host.check(&mut page, "Renew the hosts under it", 0);
    let after = host.start_sendmail();
    for ca in [&both, &file(&host, "newCA/cacert.pem")] {
        let shown = s_client_starttls(after.port, ca, "mail.example.com", &[]);
        assert!(shown.verified, "{}\n{}", shown.ran, after.log());
    }
    assert_eq!(
        after.verdict_on(Some([&old, &old_key])),
        "OK",
        "{}",
        after.log()
    );
    assert_eq!(
        after.verdict_on(Some([&new, &new_key])),
        "OK",
        "{}",
        after.log()
    );

    host.check(&mut page, "Drop the old one", 0);
    assert_eq!(
        after.verdict_on(Some([&old, &old_key])),
        "FAIL",
        "{}",
        after.log()
    );
    assert_eq!(
        after.verdict_on(Some([&new, &new_key])),
        "OK",
        "{}",
        after.log()
    );
    page.finish();
}

#[test]
fn a_ca_that_another_tool_made_is_used_where_it_is() {
    let mut page = Page::read("docs/existing-ca.md");
    for (section, name, place) in [
        ("CA.pl", "demoCA", "/srv"),
        (
            "A root CA and an intermediate one",
            "tutorial intermediate",
            "/root",
        ),
        ("easy-rsa", "easy-rsa", "/etc/easy-rsa"),
        ("Settings by another name", "db folder", "/srv"),
    ] {
        let Some(layout) = layouts::named(name) else {
            continue;
        };
        if name == "easy-rsa" {
            layout.easyrsa(&["build-server-full", "mx0.example.com", "nopass"]);
            layout.easyrsa(&["gen-req", "mx1.example.com", "nopass"]);
        }
        let mut host = MailHost::new();
        host.places.push([place.into(), layout.dir.file("")]);
        host.places[0][1].pop();
        host.check(&mut page, section, 0);
        if name == "easy-rsa" {
            layout.easyrsa(&["revoke", "mx1.example.com"]);
            layout.easyrsa(&["gen-crl"]);
            layout.signs(&["crl"]);
        }
        layout.ok(&["list"]);
    }
    page.finish();
}

#[test]
fn every_json_document_is_as_documented() {
    if !require(&["setsid"]) {
        return;
    }
    let mut page = Page::read("docs/json.md");
    let host = MailHost::new();
    for section in page.sections() {
        for block in 0..page.blocks(&section).len() {
            host.check(&mut page, &section, block);
        }
    }
    page.finish();
    for section in page.sections() {
        let printed: BTreeSet<_> = page
            .blocks(&section)
            .iter()
            .flat_map(|(_, steps)| steps)
            .filter(|step| !step.output.is_empty())
            .flat_map(|step| fields(&step.output))
            .collect();
        let documented = first_column(page.section(&section).1);
        assert_eq!(documented, printed, "the fields under {section:?}");
    }
}

#[test]
fn no_console_block_goes_unchecked() {
    let checked = [
        ("README.md", "From nothing to STARTTLS", 3),
        ("README.md", "You already have a CA", 1),
        ("docs/existing-ca.md", "CA.pl", 1),
        (
            "docs/existing-ca.md",
            "A root CA and an intermediate one",
            1,
        ),
        ("docs/existing-ca.md", "easy-rsa", 1),
        ("docs/existing-ca.md", "Settings by another name", 1),
        ("docs/listing-6.2.md", "In one piece", 1),
        ("docs/listing-6.2.md", "Listing 6.3", 1),
        ("docs/successor-ca.md", "Make the new CA", 1),
        ("docs/successor-ca.md", "Trust both", 2),
        ("docs/successor-ca.md", "Renew the hosts under it", 1),
        ("docs/successor-ca.md", "Drop the old one", 1),
    ];
    // Of these, tests of their own see to every block.
    let others = ["docs/json.md", check::PAGE, operations::PAGE];
    let is_of_server = |path: &str| path.starts_with(&format!("{MAIL_SERVERS}/"));
    let pages = pages().into_iter();
    let pages = pages.filter(|path| !others.contains(&&**path) && !is_of_server(path));
    for path in &pages.collect::<Vec<_>>() {
        let page = Page::read(path);
        for section in page.sections() {
            let there = page.blocks(&section).len();
            let known = checked
                .iter()
                .find(|(p, s, _)| (*p, *s) == (&**path, &*section));
            assert_eq!(there, known.map_or(0, |(.., n)| *n), "{path}: {section}");
        }
    }
}

#[test]
fn each_mail_server_is_as_the_overview_has_it() {
    let text = Page::read("docs/mail-servers.md").text;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let row = |name: &str| rows.iter().find(|row| row[0] == name).expect(name);
    for (number, server) in MailServer::ALL.into_iter().enumerate() {
        let cell = |name| row(name)[number + 1];
        assert_eq!(cell(""), server.title());
        assert!(
            cell("lines").contains(&format!("`emit {server}`")),
            "{server}"
        );
        assert_eq!(cell("from version"), server.oldest().to_string());
        let reload = server
            .reload()
            .map_or("nothing".into(), |it| format!("`{it}`"));
        assert_eq!(cell("after a renewal"), reload);
        let page = format!("[{}](mail-servers/{server}.md)", server.title());
        assert!(text.contains(&page), "{page}");
    }
}

#[test]
fn links_lead_somewhere() {
    for path in pages() {
        let page = Page::read(&path);
        for target in page.text.split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = page.path.parent().unwrap().join(target);
            assert!(file.exists(), "{path} links to {target}");
        }
    }
}

#[test]
fn the_readme_names_the_rust_that_is_needed() {
    let cargo = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let (_, rest) = cargo.split_once("rust-version = \"").unwrap();
    let version = rest.split('"').next().unwrap();
    let readme = Page::read("README.md").text;
    assert!(readme.contains(&format!("Rust {version} or newer")));
}

#[test]
fn the_architecture_names_every_room() {
    let text = Page::read("docs/architecture.md").text;
    for entry in fs::read_dir(Path::new(ROOT).join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".rs");
        assert!(text.contains(name), "docs/architecture.md lacks {name}");
    }
}

/// Everything but the building, which would take minutes: that a fresh clone builds is seen by
/// whoever runs it there.
#[test]
fn the_first_command_ends_with_the_lines_however_often_it_is_run() {
    if !require(&["cc"]) {
        return;
    }
    let dir = TestDir::new();
    dir.create_dir("bin");
    let shim = dir.write("bin/cargo", CARGO);
    fs::set_permissions(shim, Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let again = || {
        run(dir
            .command("sh")
            .arg(format!("{ROOT}/tests/try"))
            .env("PATH", format!("{}:{path}", dir.file("bin")))
            .env("BUILT", env!("CARGO_BIN_EXE_mailca"))
            // Settings of whoever tries it do not lead it elsewhere.
            .env("MAILCA_DIR", dir.file("elsewhere"))
            .env("MAILCA_PASSPHRASE", "unused"))
        .exits(0)
        .stdout
    };
    let first = again();
    assert!(first.contains("$ mailca --ca mailca-demo/CA issue mail.example.com --yes\nsigned"));
    let key = dir.read("mailca-demo/CA/hosts/mail.example.com/key.pem");
    let second = again();
    for output in [&first, &second] {
        assert_eq!(output.matches("define(`conf").count(), 7, "{output}");
        assert!(output.ends_with("dnl mailca: end\n"), "{output}");
    }
    assert!(second.contains("nothing changed"), "{second}");
    assert_eq!(
        dir.read("mailca-demo/CA/hosts/mail.example.com/key.pem"),
        key
    );
    assert!(!dir.path().join("elsewhere").exists());
}

const CARGO: &str = r#"#!/bin/sh
case $1 in
build) ;;
run) while [ "$1" != -- ]; do shift; done; shift; exec "$BUILT" "$@" ;;
*) exit 1 ;;
esac
"#;

fn tools() -> bool {
    require(&["sendmail", "m4", "cc", "openssl", "setsid", "bash"])
}

/// The pages, by their names from the top of the tree.
fn pages() -> Vec<String> {
    let mut names = vec!["README.md".to_owned()];
    for folder in ["docs", MAIL_SERVERS] {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.file_name().unwrap().to_str().unwrap();
                names.push(format!("{folder}/{name}"));
            }
        }
    }
    names
}

/// A page in Markdown.
struct Page {
    path: PathBuf,
    text: String,
    changed: bool,
    /// Serial numbers as they stand on the page, and what they are this time.
    serials: Vec<[String; 2]>,
}

/// A command of a console block, and what it prints.
#[derive(Debug)]
struct Step {
    command: String,
    output: String,
}

impl Page {
    fn read(name: &str) -> Self {
        let path = Path::new(ROOT).join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            path,
            text,
            changed: false,
            serials: Vec::new(),
        }
    }

    /// The headings of the second level.
    fn sections(&self) -> Vec<String> {
        outside_fences(&self.text)
            .filter_map(|(_, line)| line.strip_prefix("## "))
            .map(|heading| heading.trim().to_owned())
            .collect()
    }

    /// Where the section under a heading begins, and its text.
    fn section(&self, heading: &str) -> (usize, &str) {
        let mut headings = outside_fences(&self.text)
            .filter(|(_, line)| line.starts_with("## "))
            .skip_while(|(_, line)| line[3..].trim() != heading);
        let (start, _) = headings
            .next()
            .unwrap_or_else(|| panic!("{} has no section {heading:?}", self.path.display()));
        let end = headings.next().map_or(self.text.len(), |(at, _)| at);
        (start, &self.text[start..end])
    }

    /// The console blocks under a heading: where each one's inside begins, and its commands.
    fn blocks(&self, heading: &str) -> Vec<(usize, Vec<Step>)> {
        let (start, text) = self.section(heading);
        let fence = "\n```console\n";
        text.match_indices(fence)
            .map(|(at, _)| {
                let inside = start + at + fence.len();
                let (block, _) = self.text[inside..]
                    .split_once("```")
                    .expect("a closed block");
                (inside, steps(block))
            })
            .collect()
    }

    /// Learns from what a command shows which serial number stands for which on the page.
    fn learn(&mut self, on_the_page: &str, printed: &str) {
        let now: Vec<_> = serials_in(printed).collect();
        let mut before: Vec<_> = serials_in(on_the_page).collect();
        if before.len() != now.len() {
            // It will stand there as it was printed.
            before.clone_from(&now);
        }
        for (page, now) in before.into_iter().zip(now) {
            if !self.serials.iter().any(|[known, _]| known == page) {
                self.serials.push([page.to_owned(), now.to_owned()]);
            }
        }
    }

    /// A command of the page with the serial numbers of this time.
    fn as_of_now(&self, command: &str) -> String {
        let pairs = self.serials.iter();
        pairs.fold(command.to_owned(), |text, [page, now]| {
            text.replace(page, now)
        })
    }

    /// What was printed, with the serial numbers of the page.
    fn as_on_the_page(&self, printed: &str) -> String {
        let pairs = self.serials.iter();
        pairs.fold(printed.to_owned(), |text, [page, now]| {
            text.replace(now, page)
        })
    }

    /// Replaces the inside of a block.
    fn replace(&mut self, inside: usize, block: &str) {
        let length = self.text[inside..].find("```").expect("a closed block");
        self.text.replace_range(inside..inside + length, block);
        self.changed = true;
    }

    /// How many console blocks there are.
    fn count(&self) -> usize {
        let sections = self.sections().into_iter();
        sections.map(|one| self.blocks(&one).len()).sum()
    }

    /// Writes what was replaced.
    fn finish(&self) {
        if self.changed {
            fs::write(&self.path, &self.text).expect("write a page");
        }
    }
}

/// The lines outside of code blocks, and where they begin.
fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut inside = false;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        if line.starts_with("```") {
            inside = !inside;
            return None;
        }
        (!inside).then_some((start, line))
    })
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for line in block.split_inclusive('\n') {
        let last = steps.last_mut();
        if let (true, Some(step)) = (continued, last) {
            step.command.push_str(line);
            continued = line.trim_end().ends_with('\\');
        } else if let Some(command) = line.strip_prefix("$ ") {
            continued = line.trim_end().ends_with('\\');
            steps.push(Step {
                command: command.to_owned(),
                output: String::new(),
            });
        } else {
            let step = steps.last_mut().expect("a block begins with a command");
            step.output.push_str(line);
        }
    }
    steps
}

/// The next certificate ends later than the one before, and so stands behind it.
fn wait_a_second() {
    sleep(Duration::from_millis(1100));
}

/// A mail host: a private directory stands for its /etc/mail, and a private Sendmail for the one
/// on its port 25.
struct MailHost {
    dir: TestDir,
    port: Option<u16>,
    /// Other folders of the machine, and the real ones that stand for them.
    places: Vec<[String; 2]>,
    /// Who types.
    user: User,
}

impl MailHost {
    fn new() -> Self {
        let dir = TestDir::new();
        dir.write("sendmail.mc", BASE_MC);
        dir.create_dir("bin");
        Self {
            dir,
            port: None,
            places: Vec::new(),
            user: User::me(),
        }
    }

    /// A CA as `openssl ca` keeps it, with the machine's own openssl.cnf and one certificate.
    fn make_openssl_ca(&self) {
        let script = format!(
            "set -e; mkdir CA; cd CA; mkdir certs crl newcerts private; touch index.txt
            echo 01 >serial
            sed 's,= ./demoCA,= .,' \"$(openssl version -d | cut -d'\"' -f2)/openssl.cnf\" >openssl.cnf
            name=/C=US/ST=Maryland/O=Example
            openssl req -new -x509 -days 3650 -config openssl.cnf -subj \"$name/CN=Example CA\" \
                -keyout private/cakey.pem -out cacert.pem -passout pass:{PASSPHRASE}
            openssl req -new -nodes -config openssl.cnf -subj \"$name/CN=mx1.example.com\" \
                -keyout mx1.key -out mx1.csr
            openssl ca -batch -config openssl.cnf -policy policy_anything \
                -passin pass:{PASSPHRASE} -out mx1.pem -infiles mx1.csr"
        );
        run(self.dir.command("sh").args(["-c", &script])).exits(0);
    }

    /// Starts Sendmail with the sendmail.mc that the commands have made.
    fn start_sendmail(&mut self) -> Sendmail {
        let sendmail = Sendmail::start(User::me(), &self.dir.read("sendmail.mc"));
        self.port = Some(sendmail.port);
        let nc = self.dir.write("bin/nc", NC);
        fs::set_permissions(nc, Permissions::from_mode(0o755)).expect("chmod");
        sendmail
    }

    /// Lets the commands see no Sendmail on this machine.
    fn hide_sendmail(&self) {
        let script = r#"#!/bin/sh
            exec unshare --mount /bin/sh -c '
                [ ! -e /usr/sbin/praliases ] || mount --bind /dev/null /usr/sbin/praliases || exit 99
                exec /bin/sh "$@"' sh "$@"
        "#;
        let shell = self.dir.write("bin/sh", script);
        fs::set_permissions(shell, Permissions::from_mode(0o755)).expect("chmod");
    }

    /// Runs the commands of a block and compares what they print.
    #[track_caller]
    fn check(&self, page: &mut Page, section: &str, block: usize) {
        let (inside, steps) = page.blocks(section).remove(block);
        let mut actual = String::new();
        let mut same = true;
        for Step { command, output } in &steps {
            let printed = self.type_in(page.as_of_now(command).trim_end());
            let fits = normal(&printed) == normal(output);
            if !fits && std::env::var_os("UPDATE_DOCS").is_none() {
                assert_eq!(normal(&printed), normal(output), "{section}: {command}");
            }
            same &= fits;
            page.learn(output, &printed);
            actual.extend(["$ ", command, &page.as_on_the_page(&printed)]);
        }
        if !same {
            page.replace(inside, &actual);
        }
    }

    /// Types a command into a terminal, answers what it asks, and returns what the terminal shows.
    fn type_in(&self, command: &str) -> String {
        let real = self.dir.path().to_str().expect("UTF-8 path");
        let mut command = command.replace("/etc/mail", real);
        for [name, real] in &self.places {
            command = command.replace(name, real);
        }
        if let Some(port) = self.port {
            command = command
                .replace("localhost 25", &format!("127.0.0.1 {port}"))
                .replace("localhost:25", &format!("127.0.0.1:{port}"));
        }
        let built = Path::new(env!("CARGO_BIN_EXE_mailca")).parent().unwrap();
        let path = format!(
            "{real}/bin:{}:/usr/sbin:/usr/bin:/sbin:/bin",
            built.display()
        );
        let mut shell = self.user.command("setsid");
        shell
            .current_dir(self.dir.path())
            .args(["--ctty", "--wait", "timeout", "--foreground", "120"])
            .args(["sh", "-c", &command])
            .env_clear()
            .envs([("PATH", &*path), ("HOME", real)])
            .env("MAILCA_DIR", self.dir.path().join("CA"));
        let text = on_terminal(shell).replace('\r', "");
        // Without root the directory is below /tmp, which a real /etc/mail is not.
        let mut shown: String = text
            .lines()
            .filter(|line| !line.starts_with("warning: the directory /tmp is writable"))
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect();
        for [name, real] in &self.places {
            shown = shown.replace(real, name);
        }
        shown
            .replace(real, "/etc/mail")
            .replace(" --ca /etc/mail/CA", "")
    }
}

/// Runs a command on a terminal of its own, and returns what that shows.
fn on_terminal(mut command: Command) -> String {
    let mut terminal = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty"));
    grantpt(&terminal).expect("a pty");
    unlockpt(&terminal).expect("a pty");
    let name = ptsname(&terminal, Vec::new()).expect("a pty's name");
    let name = name.into_string().expect("UTF-8 name");
    let open = || {
        File::options()
            .read(true)
            .write(true)
            .open(&name)
            .expect("open a pty")
    };
    command.stdin(open()).stdout(open()).stderr(open());
    let mut child = command.spawn().expect("start a command");
    // It holds the pty open, and reading would never end.
    drop(command);
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    // Linux says EIO when nobody holds the terminal open any more.
    while let Ok(length @ 1..) = terminal.read(&mut bytes) {
        shown.extend(&bytes[..length]);
        let line = shown
            .rsplit(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        if line.ends_with("[y/N] ") {
            terminal.write_all(b"y\n").expect("type an answer");
        } else if line.trim_end().ends_with(':')
            && SECRETS.iter().any(|prompt| line.starts_with(prompt))
        {
            // What is typed before the echo is off would be shown, and thrown away.
            while tcgetattr(&terminal).is_ok_and(|t| t.local_modes.contains(LocalModes::ECHO)) {
                sleep(Duration::from_millis(5));
            }
            writeln!(terminal, "{PASSPHRASE}").expect("type an answer");
        }
    }
    child.wait().expect("wait for a command");
    String::from_utf8(shown).expect("UTF-8")
}

/// How questions begin whose answers are not shown.
const SECRETS: [&str; 7] = [
    "Passphrase",
    "The same again",
    "Enter pass phrase",
    "enter AES-256-CBC",
    "Verifying - enter AES-256-CBC",
    "Enter Encryption Password",
    "Verifying - Enter Encryption Password",
];

/// nc, as far as it is needed.
const NC: &str = r#"#!/bin/bash
exec 3<>"/dev/tcp/$1/$2"
cat <&3 &
cat >&3
wait
"#;

/// Without what differs each time: times, serial numbers, fingerprints, places in other people's
/// files.
fn normal(text: &str) -> String {
    let mut out = String::new();
    // A tab is shown so that a terminal does not lose it.
    let text = text.replace("\\t", "\t");
    let mut rest = text.trim_end();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_part_of_word(c)).unwrap_or(rest.len());
        if end == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push_str(variable(&rest[..end]).unwrap_or(&rest[..end]));
            rest = &rest[end..];
        }
    }
    let lines = out.lines();
    lines
        .map(
            |line| match line.split_once("-----BEGIN CERTIFICATE-----") {
                Some((before, _)) => format!("{before}PEM"),
                None => line.to_owned(),
            },
        )
        .map(|line| {
            let mut words: Vec<_> = line.split_whitespace().collect();
            // A moment later there is a day less.
            for at in 1..words.len() {
                let rest = &words[at + 1..];
                let is_time_left = match words[at - 1] {
                    "in" => rest.first().is_some_and(|next| next.starts_with("days")),
                    "\"days_left\":" => true,
                    _ => rest.starts_with(&["days", "left"]),
                };
                if is_time_left {
                    words[at] = "N";
                }
            }
            words.join(" ") + "\n"
        })
        .collect()
}

fn is_part_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || ":-".contains(c)
}

/// The serial numbers in a text, as often as they are there.
fn serials_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_part_of_word(c))
        .filter(|word| variable(word) == Some("SERIAL"))
        .map(|word| word.trim_end_matches(':'))
}

fn variable(word: &str) -> Option<&'static str> {
    let shape: String = word
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let is_hex = |c: char| matches!(c, '0'..='9' | 'A'..='F');
    let is_octet = |pair: &str| pair.len() == 2 && pair.chars().all(is_hex);
    match shape.as_str() {
        "0000-00-00" | "0000-00-00:" => Some("DATE"),
        "0000-00-00T00:00:00Z" => Some("TIME"),
        "000000000000Z" => Some("UTCTIME"),
        "00000000000000Z" => Some("GENERALIZEDTIME"),
        "cnf:00:" | "cnf:000:" => Some("cnf:LINE:"),
        _ if word.len() >= 16 && word.trim_end_matches(':').chars().all(is_hex) => Some("SERIAL"),
        _ if word.starts_with("cacert-") && word[7..].chars().all(is_hex) => Some("cacert-SERIAL"),
        // In one line or in two.
        _ if word.len() >= 20 && word.trim_end_matches(':').split(':').all(is_octet) => {
            Some("SHA256")
        }
        _ if word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit()) => Some("SHA256"),
        _ => None,
    }
}

/// The words in code style in the first column of a section's tables.
fn first_column(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(field, _)| field.to_owned())
        .collect()
}

/// The fields of a JSON document.
fn fields(output: &str) -> BTreeSet<String> {
    let document: serde_json::Value =
        serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"));
    document
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect()
}
