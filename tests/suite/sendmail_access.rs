//! Access lines and the real Sendmail, which relays for the certificates that they name and for no
//! others.

use mailca::mta::Peer;
use mailca::mta::sendmail::access;
use mailca::pki::extensions;
use mailca::pki::key::{Digest, KeyType, PrivateKey};
use mailca::pki::name::Name;
use mailca::pki::pem_text;
use mailca::pki::tbs::TbsCertificate;
use time::{Duration, OffsetDateTime};

use super::faithful::der::{BMP, T61, UTF8, attribute, bmp, name, sequence, set};
use super::support::{Ca, OTHER_PORT, Sendmail, TestDir, User, mc_with, require, run, users};

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const OU: &str = "2.5.4.11";

fn text(common_name: &str) -> Vec<u8> {
    name(&[attribute(CN, UTF8, common_name.as_bytes())])
}

fn long_unit(organization: &str, length: usize) -> Vec<u8> {
    let unit = "u".repeat(length);
    name(&[(O, organization), (OU, &unit)].map(|(oid, text)| attribute(oid, UTF8, text.as_bytes())))
}

/// A relay's subject, and one that looks much like it.
fn subjects() -> Vec<[Vec<u8>; 2]> {
    let texts = |one: &str, other: &str| [text(one), text(other)];
    let [a, b] = [("A", O), ("B", OU)].map(|(value, oid)| attribute(oid, UTF8, value.as_bytes()));
    vec![
        texts("mx.example.test", "mx.example.tes"),
        texts("a+b@x", "a b@x"),
        [
            text("a/CN=b"),
            name(&["a", "b"].map(|one| attribute(CN, UTF8, one.as_bytes()))),
        ],
        // The same to OpenSSL.
        texts(" a  b ", "a b"),
        [
            text("Grö\u{df}e"),
            name(&[attribute(CN, T61, b"Gr\xF6\xDFe")]),
        ],
        [
            name(&[attribute(CN, BMP, &bmp("Größe"))]),
            name(&[attribute(CN, BMP, &bmp("Grösse"))]),
        ],
        texts("\"a\" 'b' `c`", "'a' \"b\" `c`"),
        texts("a\\b\\", "a\\\\b\\"),
        texts("a\tb\r\n\u{1}\u{7f}", "a\tb\n\r\u{1}\u{7f}"),
        [name(&[attribute(CN, T61, b"a\0b")]), text("a")],
        texts("(a) <b> [c] {d}", "(a) <b> (c) {d}"),
        texts("$a $& $| #!%,:;=?@^_|~*.-", "$a $& $| #!%,:;=?@^_|~*.."),
        [sequence(&[set(&[a.clone(), b.clone()])]), name(&[a, b])],
        // As long as all of it is looked up.
        texts(&"n".repeat(240), &"n".repeat(239)),
        // Longer, so that only the beginning is.
        texts(&"o".repeat(245), &"o".repeat(239)),
        texts(&"+".repeat(60), &"+".repeat(36)),
        // As long as Sendmail reads all of it, and longer by one, so that there is only l.
        [long_unit("k", 247), long_unit("kk", 1)],
        [long_unit("l", 248), long_unit("ll", 1)],
    ]
}

/// CAs with one key, which is that of all their certificates too.
struct Lab {
    dir: TestDir,
    key: PrivateKey,
}

impl Lab {
    fn new(user: User) -> Self {
        let dir = TestDir::of(user);
        let key = PrivateKey::generate(KeyType::P256).expect("a key");
        dir.write_secret("key.pem", &key.to_pem().expect("PEM"));
        Self { dir, key }
    }

    fn certificate(&self, issuer: &Name, subject: &Name) -> String {
        let now = OffsetDateTime::now_utc();
        let info = self.key.subject_public_key_info();
        let is_ca = issuer == subject;
        let of_ca = || extensions::of_ca(info, &[]).expect("extensions");
        let certificate = TbsCertificate {
            serial: &"01".parse().expect("a number"),
            issuer,
            not_before: now - Duration::DAY,
            not_after: now + Duration::DAY,
            subject,
            subject_public_key_info: info,
            extensions: is_ca.then(of_ca).unwrap_or_default(),
        };
        let der = certificate
            .sign(&self.key, Digest::Sha256)
            .expect("a signature");
        pem_text::encode("CERTIFICATE", &der)
    }

    /// Sendmail, trusting these CAs, with these access lines.
    fn sendmail(&self, user: User, issuers: &[Name], lines: &str) -> Sendmail {
        let cas: String = issuers.iter().map(|ca| self.certificate(ca, ca)).collect();
        self.dir.write("cacert.pem", &cas);
        make_map(&self.dir, lines);
        let [folder, ca, key] = ["", "cacert.pem", "key.pem"].map(|name| self.dir.file(name));
        let files = [
            ("CACERT_PATH", &folder),
            ("CACERT", &ca),
            ("SERVER_CERT", &ca),
            ("SERVER_KEY", &key),
        ]
        .map(|(setting, file)| format!("define(`conf{setting}', `{file}')dnl\n"));
        Sendmail::start(user, &(mc_with(&access_db(&self.dir)) + &files.concat()))
    }
}

/// Makes a map of access lines.
fn make_map(dir: &TestDir, lines: &str) {
    dir.write("access", lines);
    let script = "PATH=$PATH:/usr/sbin; makemap hash access <access";
    run(dir.command("sh").args(["-c", script])).exits(0);
}

/// The line by which a sendmail.mc has it.
fn access_db(dir: &TestDir) -> String {
    format!(
        "FEATURE(`access_db', `hash -T<TMPF> {}')dnl\n",
        dir.file("access")
    )
}

fn tools() -> bool {
    require(&["sendmail", "makemap", "m4", "cc", "openssl"])
}

/// Relays are named by their addresses here: 127.0.0.2 and so on.
fn peer(number: usize, issuer: &Name, subject: &Name) -> Peer {
    Peer {
        name: format!("127.0.0.{}", number + 2),
        serial: "01".into(),
        issuer: issuer.clone(),
        subject: subject.clone(),
        fingerprint: String::new(),
        key_fingerprint: String::new(),
        is_compromised: false,
    }
}

#[test]
fn sendmail_relays_for_the_certificates_in_the_lines_and_for_no_others() {
    if !tools() {
        return;
    }
    let user = User::ordinary();
    let lab = Lab::new(user);
    let issuers: Vec<_> = [
        "/O=Example/CN=Example Mail CA",
        "/O=Größe \\+ \\/ (Söhne)/CN=CA",
        &format!("/O={0}/OU={0}/OU={0}/L={0}/CN=CA", "long".repeat(15)),
        "/O=Whole/CN=Example Mail CA",
        "/O=Unknown/CN=Example Mail CA",
    ]
    .iter()
    .map(|text| Name::from_oneline(text).expect("a name"))
    .collect();
    let name = |der: &Vec<u8>| Name::from_der(der).expect("a name");
    let subjects: Vec<_> = subjects()
        .iter()
        .map(|[one, other]| [name(one), name(other)])
        .collect();
    let of = |number: usize| &issuers[number % 3];
    let peers = subjects
        .iter()
        .enumerate()
        .map(|(n, [one, _])| peer(n, of(n), one));
    let lines = access::lines(&peers.collect::<Vec<_>>());
    let whole = access::whole_ca(&issuers[3]);
    let sendmail = lab.sendmail(user, &issuers, &(lines.text + &whole.text));

    let client = lab.dir.file("client.pem");
    let key = lab.dir.file("key.pem");
    let ask = |from: &str, issuer: &Name, subject: &Name| {
        lab.dir
            .write("client.pem", &lab.certificate(issuer, subject));
        sendmail.answer_to_relaying(from, Some([&client, &key]))
    };
    let denied = "550 5.7.1 <a@far.example.test>... Relaying denied";
    for (number, [subject, other]) in subjects.iter().enumerate() {
        let own = format!("127.0.0.{}", number + 2);
        let said = ask(&own, of(number), subject);
        assert!(
            said.starts_with("250 "),
            "{subject}: {said}\n{}",
            sendmail.log()
        );
        let said = ask("127.0.1.1", of(number), other);
        assert!(
            said.starts_with(denied),
            "{other}: {said}\n{}",
            sendmail.log()
        );
    }

    // Another CA's whole, an address where another subject is demanded, and no certificate at all.
    let [one, other] = &subjects[0];
    let said = ask("127.0.1.1", &issuers[4], one);
    assert!(said.starts_with(denied), "{said}\n{}", sendmail.log());
    let said = ask("127.0.1.1", &issuers[3], other);
    assert!(said.starts_with("250 "), "{said}\n{}", sendmail.log());
    let said = ask("127.0.0.2", &issuers[3], other);
    assert!(said.starts_with("403 4.7.0 "), "{said}");
    assert!(said.contains("does not match"), "{said}");
    let said = sendmail.answer_to_relaying("127.0.0.2", None);
    assert!(said.starts_with("403 4.7.0 not authenticated"), "{said}");
    let said = sendmail.answer_to_relaying("127.0.1.1", None);
    assert!(said.starts_with(denied), "{said}");

    // What is said of long names is so.
    assert_eq!(lines.warnings.len(), 5, "{:#?}", lines.warnings);
    for warning in &lines.warnings {
        assert!(warning.contains(" is too long: "), "{warning}");
    }
    let sibling = name(&text(&"o".repeat(246)));
    let number = subjects
        .iter()
        .position(|[one, _]| one.to_string().contains("ooo"));
    let said = ask("127.0.1.1", of(number.expect("a long name")), &sibling);
    assert!(said.starts_with("250 "), "{said}\n{}", sendmail.log());
}

/// A mail host that relays everything to the other, and holds what it gets until it is told.
fn mc_of_relay(ca: &Ca, number: u8, other: &str) -> String {
    let own = format!("mx{number}.example.test");
    let map = access_db(&ca.dir);
    let emitted = ca.ok(&["emit", "sendmail", &own]).stdout;
    let relaying = format!(
        "FEATURE(`nocanonify')dnl
define(`confDOMAIN_NAME', `{own}')dnl
define(`confDOUBLE_BOUNCE_ADDRESS', `')dnl
define(`SMART_HOST', `esmtp:{other}')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {OTHER_PORT}')dnl
CLIENT_OPTIONS(`Family=inet, Address=127.0.0.{number}')dnl\n"
    );
    mc_with(&(relaying + &map)) + &emitted
}

#[test]
fn sendmails_relay_to_each_other_by_certificate() {
    if !tools() {
        return;
    }
    for user in users() {
        let ca = Ca::of(user, &[]);
        let hosts = ["mx2.example.test", "mx3.example.test"];
        for host in hosts {
            ca.ok(&["issue", host, "--yes"]);
        }
        ca.ok(&["crl"]);
        make_map(
            &ca.dir,
            &ca.ok(&["access", "sendmail", hosts[0], hosts[1]]).stdout,
        );
        let [mx2, mx3] = [(2, hosts[1]), (3, hosts[0])].map(|(own, other)| {
            let in_brackets = format!("[{other}]");
            let other = if user.is_root() { &in_brackets } else { other };
            Sendmail::start(user, &mc_of_relay(&ca, own, other))
        });
        let [certificate, key] =
            ["cert.pem", "key.pem"].map(|name| ca.file(&format!("hosts/{}/{name}", hosts[0])));
        let by_certificate = |from| mx3.answer_to_relaying(from, Some([&certificate, &key]));

        for (from, to) in [(&mx2, &mx3), (&mx3, &mx2)] {
            from.submit("a@far.example.test");
            from.run_queue(to);
            assert_eq!(from.queue(), [""; 0], "{}\n{}", from.log(), to.log());
            let arrived = to.queue().concat();
            assert!(
                arrived.contains("a@far.example.test"),
                "{}\n{}",
                from.log(),
                to.log()
            );
            assert!(arrived.contains("verify=OK"), "{arrived}");
        }
        assert!(
            by_certificate("127.0.0.9").starts_with("250 "),
            "{}",
            mx3.log()
        );
        let said = mx3.answer_to_relaying("127.0.0.9", None);
        assert!(said.contains("Relaying denied"), "{said}");
        let said = mx3.answer_to_relaying("127.0.0.2", None);
        assert!(said.starts_with("403 4.7.0 not authenticated"), "{said}");

        // It counts at once, in both directions: nobody restarts Sendmail.
        ca.ok(&["revoke", hosts[0], "--yes"]);
        assert!(by_certificate("127.0.0.9").contains("Relaying denied"));
        assert!(by_certificate("127.0.0.2").starts_with("403 4.7.0 "));
        for (from, to, address) in [
            (&mx2, &mx3, "b@far.example.test"),
            (&mx3, &mx2, "c@far.example.test"),
        ] {
            from.submit(address);
            from.run_queue(to);
            let has = |it: &Sendmail| it.queue().concat().contains(address);
            assert!(!has(to) && has(from), "{}\n{}", from.log(), to.log());
        }
    }
}
