//! Every file that mailca reads, in every form that it should not have, and words on the command
//! line that nobody means: one clear error, and nothing is changed.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Ca, Ran, User, require, run, tell, users};

const HOST: &str = "mail.example.test";

/// A form that a file can have.
enum Form {
    Bytes(Vec<u8>),
    LinkTo(&'static str),
    Fifo,
    Directory,
    Unreadable,
}

/// The forms of a file whose content is `good`.
fn forms(good: &[u8]) -> Vec<(&'static str, Form)> {
    let text = String::from_utf8_lossy(good).into_owned();
    let middle = good.len() / 2;
    let with = |extra: &[u8]| [&good[..middle], extra, &good[middle..]].concat();
    let utf16 = |units: &str| units.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("empty", Form::Bytes(Vec::new())),
        (
            "truncated",
            Form::Bytes(good[..good.len() * 2 / 3].to_vec()),
        ),
        ("noise", Form::Bytes(noise())),
        ("large", Form::Bytes([good, &vec![b'x'; 1 << 20]].concat())),
        ("endless", Form::LinkTo("/dev/zero")),
        ("device", Form::LinkTo("/dev/null")),
        ("nested", Form::Bytes(in_pem(&text, &nested()))),
        (
            "nested without lengths",
            Form::Bytes(in_pem(&text, &[0x30, 0x80].repeat(100_000))),
        ),
        ("nested DER", Form::Bytes(nested())),
        ("Latin-1", Form::Bytes(with(b"\xfc"))),
        ("NUL", Form::Bytes(with(b"\0"))),
        ("CRLF", Form::Bytes(text.replace('\n', "\r\n").into_bytes())),
        ("BOM", Form::Bytes([b"\xef\xbb\xbf", good].concat())),
        ("UTF-16", Form::Bytes(utf16(&format!("\u{feff}{text}")))),
        ("FIFO", Form::Fifo),
        ("directory", Form::Directory),
        ("unreadable", Form::Unreadable),
        ("dangling link", Form::LinkTo("nowhere/at/all")),
        ("link loop", Form::LinkTo(".")),
    ]
}

/// 100,000 sequences, each within the one before.
pub fn nested() -> Vec<u8> {
    let mut backwards = Vec::new();
    for _ in 0..100_000 {
        match backwards.len() {
            length @ 0..0x80 => backwards.push(u8::try_from(length).unwrap()),
            length => {
                let octets = length.to_be_bytes();
                backwards.extend(octets[4..].iter().rev());
                backwards.push(0x84);
            }
        }
        backwards.push(0x30);
    }
    backwards.reverse();
    backwards
}

/// DER in PEM with the labels of `like`, if that has any.
fn in_pem(like: &str, der: &[u8]) -> Vec<u8> {
    let label = |line: &str| {
        Some(
            line.strip_prefix("-----BEGIN ")?
                .strip_suffix("-----")?
                .to_owned(),
        )
    };
    let labels = like.lines().filter_map(label);
    let block = |label: String| {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            base64(der)
        )
    };
    let text: String = labels.map(block).collect();
    if text.is_empty() {
        der.to_vec()
    } else {
        text.into_bytes()
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for (number, chunk) in bytes.chunks(3).enumerate() {
        let group = [chunk, &[0, 0]].concat();
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 0x3F) as usize];
            out.push(if place > chunk.len() {
                '='
            } else {
                digit.into()
            });
        }
        if number % 16 == 15 {
            out.push('\n');
        }
    }
    out
}

fn noise() -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let states = std::iter::successors(Some(1_u32), next);
    states
        .map(|state| state.to_be_bytes()[0])
        .take(3000)
        .collect()
}

/// A file that mailca reads, and a command that reads it.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    file: &'a str,
    args: &'a [&'a str],
    /// the forms in which the file does what it should
    read: &'a str,
    /// how a shell opens the file, where that does it
    redirection: &'a str,
}

const fn place<'a>(name: &'a str, file: &'a str, args: &'a [&'a str], read: &'a str) -> Place<'a> {
    Place {
        name,
        file,
        args,
        read,
        redirection: "",
    }
}

impl Place<'_> {
    fn command(&self, ca: &Ca) -> Command {
        let mailca = ca.command(self.args);
        if self.redirection.is_empty() {
            return mailca;
        }
        let mut shell = ca.dir.command("sh");
        let script = format!("exec \"$@\" {}", self.redirection);
        shell.args(["-c", &script, "sh"]).arg(mailca.get_program());
        shell.args(mailca.get_args());
        shell
    }
}

const REQUEST: &str = "other.example.test.csr";
const KEY: &str = "other.example.test.key";
const SIGN: &[&str] = &["sign", REQUEST, "--yes", "--passphrase-file", "pass"];
const PRESENT: &[&str] = &["issue", HOST, "--yes", "--passphrase-file", "pass"];

/// A CA with a host, a request and everything else that the places need.
fn prepared(user: User) -> Ca {
    let ca = Ca::unmade(user);
    let init = ["init", "--subject=/O=Example/CN=Test CA", "--serial=0100"];
    ca.ok(&[&init[..], &["--passphrase-file=pass"]].concat());
    ca.request("other.example.test", &[]);
    ca.ok(PRESENT);
    ca.ok(SIGN);
    ca.ok(&["req", "next.example.test"]);
    ca.dir.write(
        "hosts.txt",
        "a.example.test b.example.test\nc.example.test\n",
    );
    ca.dir
        .write("sendmail.mc", "divert(0)dnl\ndefine(`a', `b')dnl\n");
    ca.ok(&["emit", "systemd", "--into", "."]);
    ca.write("more.cnf", "[ mailca ]\nprofile = relay\n");
    let settings = ca.read("openssl.cnf") + ".include = more.cnf\n";
    ca.write("openssl.cnf", &settings);
    let script = "mkdir as-it-was && cp -a CA as-it-was && for file in *; do
        test -d $file || cp -a $file as-it-was; done";
    run(ca.dir.command("sh").args(["-e", "-c", script])).exits(0);
    ca
}

fn put(ca: &Ca, file: &str, form: &Form) {
    let path = ca.dir.path().join(file);
    if let Form::Bytes(bytes) = form {
        // In place, so that owner and mode stay.
        return fs::write(&path, bytes).expect("written");
    }
    if matches!(form, Form::Unreadable) {
        return fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("chmod");
    }
    fs::remove_file(&path).expect("removed");
    let name = path.file_name().expect("a name");
    match form {
        Form::LinkTo(".") => symlink(name, &path).expect("a link"),
        Form::LinkTo(target) => symlink(target, &path).expect("a link"),
        Form::Fifo => _ = run(ca.dir.command("mkfifo").arg(&path)).exits(0),
        _ => _ = run(ca.dir.command("mkdir").arg(&path)).exits(0),
    }
}

fn restore(ca: &Ca, file: &str) {
    let top = file.split('/').next().expect("a name");
    let script = "chmod -R u+rwX \"$1\" 2>/dev/null; rm -rf \"$1\" && cp -a \"as-it-was/$1\" .";
    run(ca.dir.command("sh").args(["-c", script, "sh", top])).exits(0);
}

/// One clear error, whatever was wrong.
#[track_caller]
fn assert_clear(ran: &Ran, what: &str) {
    let lines: Vec<_> = ran.stderr.lines().collect();
    let of = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
    let known = of("error: ") + of("hint: ") + of("warning: ") + of("note: ");
    assert_eq!(known, lines.len(), "{what}: {ran}");
    assert!(of("error: ") == 1 && of("hint: ") <= 1, "{what}: {ran}");
    assert_harmless(ran, what);
}

#[track_caller]
fn assert_harmless(ran: &Ran, what: &str) {
    assert_harmless_within(5000, ran, what);
}

#[track_caller]
fn assert_harmless_within(length: usize, ran: &Ran, what: &str) {
    let steers = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    for text in [&ran.stdout, &ran.stderr] {
        assert!(
            text.len() < length,
            "{what}: {} bytes of {text:.5000}",
            text.len()
        );
        assert!(!text.contains(steers), "{what}: {text:?}");
        assert!(!text.contains("panicked"), "{what}: {text}");
    }
}

fn check(ran: &Ran, place: &Place<'_>, form: &str) {
    let what = format!("{}, {form}", place.name);
    if place.read.split(", ").any(|read| read == form) {
        assert_eq!(ran.code(), 0, "{what}: {ran}");
        assert_harmless(ran, &what);
    } else {
        assert_eq!(ran.code(), 1, "{what}: {ran}");
        assert_clear(ran, &what);
    }
}

/// Tries each form in each place as each user; how many there were.
fn try_all(places: &[Place<'_>]) -> usize {
    let mut count = 0;
    for user in users() {
        let ca = prepared(user);
        for place in places {
            let good = fs::read(ca.dir.path().join(place.file)).expect("a good file");
            for (name, form) in forms(&good) {
                if is_tried(place, &form, user) {
                    try_one(&ca, place, name, &form);
                    count += 1;
                }
            }
        }
    }
    count
}

fn is_tried(place: &Place<'_>, form: &Form, user: User) -> bool {
    let names_it = !place.file.starts_with("CA/") && !place.args[0].starts_with("emit");
    match form {
        // Root reads the same bytes, and what nobody may.
        Form::Bytes(_) | Form::Unreadable if user.is_root() => false,
        // They have a test of their own, since they are waited for.
        Form::Fifo if names_it => false,
        // The shell would fail, and not mailca.
        Form::Fifo | Form::Unreadable | Form::LinkTo("nowhere/at/all" | ".") => {
            place.redirection.is_empty()
        }
        _ => true,
    }
}

fn try_one(ca: &Ca, place: &Place<'_>, name: &str, form: &Form) {
    put(ca, place.file, form);
    let before = ca.tree();
    let ran = run(&mut place.command(ca));
    check(&ran, place, name);
    if ran.code() != 0 {
        before.assert_unchanged(ca.dir.path(), &format!("{}, {name}", place.name));
    }
    if ran.code() == 0 {
        restore(ca, "CA");
    }
    restore(ca, place.file);
}

const PEM: &str = "CRLF, BOM";
const ANY_BYTES: &str = "empty, truncated, noise, large, nested, nested without lengths, \
                         nested DER, Latin-1, NUL, CRLF, BOM, UTF-16";

#[test]
fn what_the_ca_directory_holds_may_have_any_form() {
    let rows = "empty, Latin-1, CRLF, BOM";
    let written = format!("{ANY_BYTES}, endless, device, unreadable, dangling link");
    let included = "empty, CRLF, directory, dangling link";
    let newreq: &[&str] = &["sign", "--yes", "--passphrase-file=pass"];
    let again: &[&str] = &["req", "new.example.test"];
    let without = |form| ANY_BYTES.replace(form, "");
    let count = try_all(&[
        place("cacert.pem", "CA/cacert.pem", SIGN, PEM),
        place("cakey.pem", "CA/private/cakey.pem", SIGN, PEM),
        place("index.txt", "CA/index.txt", SIGN, rows),
        place(
            "index.txt, list",
            "CA/index.txt",
            &["list"],
            &without("large, "),
        ),
        place(
            "index.txt.attr",
            "CA/index.txt.attr",
            SIGN,
            "empty, CRLF, BOM",
        ),
        place("serial", "CA/serial", SIGN, "truncated, CRLF"),
        place(
            "openssl.cnf",
            "CA/openssl.cnf",
            SIGN,
            "truncated, CRLF, BOM",
        ),
        place("an included file", "CA/more.cnf", SIGN, included),
        // What is no whole record was never committed.
        place("the journal", "CA/index.txt.journal", SIGN, ANY_BYTES),
        place("newcert.pem", "CA/newcert.pem", SIGN, &written),
        place("newreq.pem, signed", "CA/newreq.pem", newreq, PEM),
        place(
            "newreq.pem, replaced",
            "CA/newreq.pem",
            again,
            &without("large, "),
        ),
    ]);
    tell(&format!("files of a CA directory: {count} hostile ones"));
}

#[test]
fn what_hosts_hold_may_have_any_form() {
    let cert = format!("CA/hosts/{HOST}/cert.pem");
    let key = format!("CA/hosts/{HOST}/key.pem");
    let next = "CA/hosts/next.example.test.next/key.pem";
    let emit: &[&str] = &["emit-mc", HOST];
    let issue: &[&str] = &[
        "issue",
        "next.example.test",
        "--yes",
        "--passphrase-file=pass",
    ];
    let again: &[&str] = &["req", "next.example.test", "--if-missing"];
    let export: &[&str] = &["export", HOST, "exported"];
    let count = try_all(&[
        place("cert.pem, export", &cert, export, PEM),
        place("key.pem, export", &key, export, PEM),
        place("cert.pem, emit-mc", &cert, emit, PEM),
        place("cert.pem, issue", &cert, PRESENT, PEM),
        place("key.pem, emit-mc", &key, emit, PEM),
        place("key.pem, issue", &key, PRESENT, PEM),
        place("key.pem that waits, issue", next, issue, PEM),
        place("key.pem that waits, req", next, again, PEM),
    ]);
    tell(&format!("files in hosts/: {count} hostile ones"));
}

const SEVERAL: &[&str] = &[
    "sign",
    REQUEST,
    "--out-dir=.",
    "--yes",
    "--passphrase-file=pass",
];
const FROM: &[&str] = &[
    "issue",
    "--from=hosts.txt",
    "--yes",
    "--passphrase-file=pass",
];
const WITH_KEY: &[&str] = &["req", "new.example.test", "--key", KEY];
// A CRL that is shown may be larger than any request.
const SHOWN: &str = "large, CRLF, BOM";
const NAMED: [Place<'static>; 7] = [
    place("a request", REQUEST, SIGN, PEM),
    place("one of several requests", REQUEST, SEVERAL, PEM),
    place("a list of hosts", "hosts.txt", FROM, "truncated, CRLF, BOM"),
    place("a key", KEY, WITH_KEY, PEM),
    place("a passphrase", "pass", SIGN, "large, CRLF"),
    place("a request to show", REQUEST, &["show", REQUEST], SHOWN),
    place("a key to show", KEY, &["show", KEY], SHOWN),
];

#[test]
fn what_a_person_names_may_have_any_form() {
    let into: &[&str] = &["emit-mc", HOST, "--into", "sendmail.mc"];
    let for_sendmail: &[&str] = &["emit-mc", HOST, "--key", KEY];
    let texts = "empty, truncated, NUL, CRLF, BOM";
    let looked_at: &[&str] = &["check", "--for=dovecot", "--sendmail=sendmail.mc"];
    let mc = "empty, nested without lengths, Latin-1, NUL, CRLF, BOM, UTF-16, device";
    let units: &[&str] = &["emit", "systemd", "--into", ".", "--deploy-hook=true"];
    let ours = "truncated, Latin-1, NUL, CRLF";
    let count = try_all(&NAMED)
        + try_all(&[
            place("a key for Sendmail", KEY, for_sendmail, ""),
            place("sendmail.mc", "sendmail.mc", into, texts),
            place("sendmail.mc, check", "sendmail.mc", looked_at, mc),
            place("a service", "mailca.service", units, ours),
            place("a timer", "mailca.timer", units, ours),
        ]);
    tell(&format!("files named: {count} hostile ones"));
}

#[test]
fn what_a_shell_opens_may_have_any_form() {
    let sign: &[&str] = &["sign", "-", "--yes", "--passphrase-file=pass"];
    let from: &[&str] = &["issue", "--from=-", "--yes", "--passphrase-file=pass"];
    let stdin: &[&str] = &["sign", REQUEST, "--yes", "--passphrase-file=-"];
    let descriptor: &[&str] = &["sign", REQUEST, "--yes", "--passphrase-fd=7"];
    let through = |redirection, place| Place {
        redirection,
        ..place
    };
    let count = try_all(&[
        through(
            "<other.example.test.csr",
            place("a request, streamed", REQUEST, sign, PEM),
        ),
        through(
            "<hosts.txt",
            place("hosts, streamed", "hosts.txt", from, "truncated, CRLF, BOM"),
        ),
        through(
            "<pass",
            place("a passphrase, streamed", "pass", stdin, "large, CRLF"),
        ),
        through(
            "7<pass",
            place("a descriptor", "pass", descriptor, "large, CRLF"),
        ),
    ]);
    tell(&format!("streams: {count} hostile ones"));
}

#[test]
fn many_names_are_signed_but_no_more_than_tls_takes() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let request = |count: usize| {
        let names: Vec<_> = (0..count)
            .map(|n| format!("DNS:n{n}.example.test"))
            .collect();
        let san = format!("subjectAltName={}", names.join(","));
        let text = format!("[req]\ndistinguished_name=dn\nreq_extensions=e\n[dn]\n[e]\n{san}\n");
        ca.dir.write("names.cnf", &text);
        ca.openssl_request(
            "names",
            &["-config", "names.cnf", "-subj", "/CN=a.example.test"],
        )
    };
    let file = request(1000);
    ca.ok(&["sign", &file, "--yes", "--out", "many.pem"]);
    let shown = ca.x509("many.pem", &["-ext", "subjectAltName"]);
    assert_eq!(shown.matches("DNS:").count(), 1000);
    let file = request(3500);
    let said = ca.refuses(&["sign", &file, "--yes"]);
    assert!(
        said.contains("but 65536 are the most that is signed"),
        "{said}"
    );
}

#[test]
fn a_fifo_without_a_writer_is_given_up() {
    let cas: Vec<_> = users().into_iter().map(prepared).collect();
    thread::scope(|scope| {
        for (ca, place) in cas.iter().flat_map(|ca| NAMED.map(|place| (ca, place))) {
            // Each has a FIFO of its own: all are waited for at the same time.
            scope.spawn(move || {
                let fifo = format!("{}.fifo", place.name.replace(' ', "-"));
                run(ca.dir.command("mkfifo").arg(&fifo)).exits(0);
                let named = |arg: &&str| match arg.strip_suffix(place.file) {
                    Some(option @ ("" | "--from=")) => option.to_owned() + &fifo,
                    _ => (*arg).to_owned(),
                };
                let args: Vec<_> = place.args.iter().map(named).collect();
                let args: Vec<_> = args.iter().map(String::as_str).collect();
                let ran = ca.mailca(&args).exits(1);
                assert_clear(&ran, place.name);
                assert!(
                    ran.stderr.contains("nobody has written into this FIFO"),
                    "{ran}"
                );
            });
        }
    });
}

#[test]
fn ctrl_c_ends_the_wait_for_a_fifo() {
    let ca = prepared(User::me());
    let before = ca.tree();
    run(ca.dir.command("mkfifo").arg("fifo")).exits(0);
    let mut command = ca.command(&["sign", "fifo", "--yes"]);
    let mut child = command.stderr(Stdio::null()).spawn().expect("mailca");
    let id = child.id();
    let fifo = fs::canonicalize(ca.dir.path().join("fifo")).expect("a path");
    let waits = || {
        let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten();
        let mut open = open
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok());
        open.any(|path| path == fifo)
    };
    while !waits() {
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it did not wait"
        );
        thread::sleep(Duration::from_millis(5));
    }
    let process = Pid::from_child(&child);
    kill_process(process, Signal::INT).expect("a signal");
    let status = child.wait().expect("a child");
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{status}");
    fs::remove_file(fifo).expect("removed");
    before.assert_unchanged(ca.dir.path(), "Ctrl-C");
}

#[test]
fn pipes_of_a_shell_are_read_to_their_end() {
    if !require(&["bash"]) {
        return;
    }
    let ca = prepared(User::me());
    let mailca = ca.command(&["sign", "--yes"]);
    // The last words come late.
    let script = "\"$@\" <(head -c 100 other.example.test.csr; sleep 0.2; \
        tail -c +101 other.example.test.csr) --passphrase-file <(sleep 0.2; cat pass)";
    let mut bash = ca.dir.command("bash");
    bash.args(["-c", script, "bash"]).arg(mailca.get_program());
    run(bash.args(mailca.get_args())).exits(0);
    assert_eq!(ca.rows().len(), 3);
}

#[test]
fn what_is_no_ca_directory_is_refused() {
    for user in users() {
        let ca = prepared(user);
        let closed = ca.dir.create_dir("closed");
        let set_mode = |mode| {
            fs::set_permissions(&closed, Permissions::from_mode(mode)).expect("chmod");
        };
        run(ca.dir.command("mkfifo").arg("fifo")).exits(0);
        for (target, link) in [("loop", "loop"), ("nowhere", "dangling")] {
            symlink(target, ca.dir.path().join(link)).expect("a link");
        }
        set_mode(0o700);
        let before = ca.tree();
        set_mode(0o000);
        let long = "x/".repeat(2000);
        for place in [
            "pass",
            "fifo",
            "/dev/zero",
            "loop",
            "dangling",
            "closed",
            "\x1b[31m",
            &long,
        ] {
            for command in [SIGN, PRESENT, &["req", HOST], &["emit-mc", HOST]] {
                let ran = run(ca.dir.mailca(&["--ca", place]).args(command)).exits(1);
                assert_clear(&ran, place);
            }
        }
        set_mode(0o700);
        before.assert_unchanged(ca.dir.path(), "no CA directory");
    }
}

/// Words between bars: what steers a terminal, what a shell or a format would expand, and what is
/// almost a name, a subject, a number or a time.
const WORDS: &str = "| |\n|a\nerror: b|\x1b[31mred\x1b[0m|\u{9b}31m|\u{202e}moc.elpmaxe|\u{200b}|\
    \u{feff}new.example.test|new.example.test\r|a b|..|../../etc/passwd|/|-|--|*|*.*|a*b.example.test|\
    %s%n|$(id)|`id`|0|-1|00|1e9|99999999999999999999|\u{661}|0x10|mail..example.test|\
    -a.example.test|xn--|xn--a|256.256.256.256|1.2.3|::::|[::1]|fe80::1%eth0|@|a@|@b|\"a b\"@c.test|\
    dns:|ip:x|email:|uri:http://a.test|/|/CN|/CN=|/CN=a\\|//|/=a|/X=1|/1.2.3.4.5=|/C=USA|\
    /emailAddress=\u{fc}|2027-02-30T00:00:00Z|20270131|now|9999-12-31T23:59:59-01:00|\
    0000-01-01T00:00:00+01:00|2027-01-31T24:00:00Z|2026-12-31T23:59:60Z|\
    2027-01-31T00:00:00.99999999999999999999Z|192.0.2.0/33|\u{1f4e7}";

#[test]
fn words_that_nobody_means_are_refused_in_one_line() {
    let ca = prepared(User::ordinary());
    let before = ca.tree();
    let long = "x".repeat(100_000);
    let many = "a.".repeat(50_000);
    let texts = WORDS.split('|').chain([&*long, &*many]);
    let words = texts
        .map(OsStr::new)
        .chain([OsStr::from_bytes(b"\xff\xfe")]);
    let words: Vec<&OsStr> = words.collect();
    let takes_word: [&[&str]; 15] = [
        &["sign", REQUEST, "--san"],
        &["sign", REQUEST, "--not-before"],
        &["sign", REQUEST, "--not-after"],
        &["sign", REQUEST, "--days"],
        &["sign", REQUEST, "--profile"],
        &["sign", REQUEST, "--passphrase-fd"],
        &["sign", REQUEST, "--policy"],
        &["sign", REQUEST, "--wait"],
        &["sign"],
        &["issue"],
        &["issue", HOST, "--subject"],
        &["emit-mc", "--into"],
        &["init", "--permit"],
        &["init", "--serial"],
        &[],
    ];
    let mut count = 0;
    for args in takes_word {
        for word in &words {
            let mut command = ca.command(args);
            let ran = run(command.arg(word));
            let what = format!("{args:?} {word:.100?}");
            assert!(matches!(ran.code(), 1 | 2), "{what}: {ran}");
            let errors = ran
                .stderr
                .lines()
                .filter(|line| line.starts_with("error: "))
                .count();
            let is_help = args.is_empty() && ran.code() == 2;
            assert!(errors == 1 || is_help, "{what}: {ran}");
            if ran.code() == 1 {
                assert_clear(&ran, &what);
            }
            assert_harmless(&ran, &what);
            count += 1;
        }
    }
    before.assert_unchanged(ca.dir.path(), "words");
    tell(&format!("words on the command line: {count} hostile ones"));
}

/// What `check` and `repair` look at, besides what other commands read.
fn files_of_check(ca: &Ca) -> Vec<String> {
    let serial = &ca.serials()[0];
    let more = [
        format!("CA/newcerts/{serial}.pem"),
        format!("CA/hosts/{HOST}/cert.pem"),
        format!("CA/hosts/{HOST}/chain.pem"),
        format!("CA/hosts/{HOST}/key.pem"),
    ];
    let named = "cacert.pem private/cakey.pem index.txt index.txt.attr index.txt.new index.txt.attr.new \
        index.txt.journal index.txt.compromised serial serial.new crlnumber crl/crl.pem openssl.cnf \
        newreq.pem newcert.pem 12345678.0 12345678.r0";
    let named = named.split_whitespace().map(|name| format!("CA/{name}"));
    named.chain(more).collect()
}

#[test]
fn check_and_repair_take_any_form_of_any_file() {
    let mut count = 0;
    let mut failed = Vec::new();
    let mut attempt = |ca: &Ca, file: &str, form: &str, spoil: &dyn Fn()| {
        let looks = AssertUnwindSafe(|| looks_at(ca, file, form, spoil));
        if catch_unwind(looks).is_err() {
            failed.push(format!("{file}, {form}"));
        }
        restore(ca, file);
        count += 1;
    };
    // One who is not root, where there is one: what they may not read they meet too.
    for user in users().into_iter().rev().take(1) {
        let ca = prepared(user);
        ca.ok(&[
            "revoke",
            "other.example.test",
            "--yes",
            "--passphrase-file=pass",
        ]);
        let script = "cp index.txt index.txt.new; cp index.txt.attr index.txt.attr.new; \
            cp serial serial.new; cp cacert.pem 12345678.0; cp crl/crl.pem 12345678.r0; \
            test -e index.txt.compromised || : >index.txt.compromised; \
            rm -rf ../as-it-was/CA; cp -a . ../as-it-was/CA";
        run(ca
            .dir
            .command("sh")
            .args(["-ec", &format!("cd CA; {script}")]))
        .exits(0);
        for (number, file) in files_of_check(&ca).into_iter().enumerate() {
            let good = fs::read(ca.dir.path().join(&file)).expect("a good file");
            let place = place("", &file, &["check"], "");
            let forms = forms(&good);
            // Each form somewhere, and others at the next file: all of them take minutes.
            let tried = forms
                .iter()
                .filter(|(_, form)| is_tried(&place, form, user))
                .skip(number % 8)
                .step_by(8);
            for (name, form) in tried {
                attempt(&ca, &file, name, &|| put(&ca, &file, form));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    tell(&format!("check and repair: {count} hostile files"));
}

/// `check` and then `repair`, in bounded memory, of a directory that `spoil` spoils.
#[track_caller]
fn looks_at(ca: &Ca, file: &str, form: &str, spoil: &dyn Fn()) {
    spoil();
    let what = format!("{file}, {form}");
    let repair: &[&str] = &["repair", "--yes", "--assume-valid"];
    for words in [&["check", "--for=dovecot"], repair] {
        let before = ca.tree();
        let mailca = ca.command(words);
        let mut shell = ca.dir.command("sh");
        shell.args(["-c", "ulimit -v 1000000; exec \"$@\"", "sh"]);
        let ran = run(shell.arg(mailca.get_program()).args(mailca.get_args()));
        let what = format!("{what}, {words:?}");
        assert!(matches!(ran.code(), 0 | 1 | 3), "{what}: {ran}");
        if ran.code() == 1 {
            assert_clear(&ran, &what);
        }
        // Every line that is left out is shown.
        let length = if words[0] == "repair" { 1 << 22 } else { 5000 };
        assert_harmless_within(length, &ran, &what);
        if ran.code() == 1 || words[0] == "check" {
            before.assert_unchanged(ca.dir.path(), &what);
        }
    }
}

#[test]
fn names_of_files_do_not_steer_the_terminal() {
    let ca = prepared(User::me());
    let names: [&[u8]; 4] = [
        b"evil\nerror: forged.pem",
        b"\x1b[31mred.pem",
        b"\xff\xfe.pem",
        b"\xe2\x80\xaemoc.pem",
    ];
    let folder = ca.dir.path().join("CA/newcerts");
    for name in names {
        fs::write(folder.join(OsStr::from_bytes(name)), "").expect("written");
    }
    let script =
        "printf 'V\\t\\033[31m\\n' >>CA/index.txt; ln -s \"$(printf 'a\\nb')\" CA/12345678.0";
    run(ca.dir.command("sh").args(["-ec", script])).exits(0);
    for words in [
        &["check"][..],
        &["repair", "--dry-run"],
        &["repair", "--yes"],
    ] {
        let ran = ca.mailca(words);
        assert_harmless(&ran, &format!("{words:?}"));
        let forged = |text: &str| text.lines().any(|line| line.starts_with("error: forged"));
        assert!(!forged(&ran.stdout) && !forged(&ran.stderr), "{ran}");
        assert!(ran.stdout.contains("forged"), "{ran}");
    }
    // What is no text cannot be recorded before it is moved.
    let left = names.map(|name| folder.join(OsStr::from_bytes(name)).exists());
    assert_eq!(left, [false, false, true, false]);
}
