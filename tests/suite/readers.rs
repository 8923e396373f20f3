//! Every reader of the library, and what is almost what it reads: cut off anywhere, with a wrong
//! bit anywhere, with something put in, nested without end, or mere bytes. It says so in one line.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use mailca::mta::MailServer;
use mailca::mta::lines::put_into;
use mailca::mta::sendmail::config::Config;
use mailca::pki::certificate::Certificate;
use mailca::pki::description::Description;
use mailca::pki::general_name::GeneralName;
use mailca::pki::key::{EncodedKey, Passphrase};
use mailca::pki::name::Name;
use mailca::pki::name_constraints::Subtree;
use mailca::pki::pem_text;
use mailca::pki::public_key;
use mailca::pki::request::{Request, Strength};
use mailca::pki::serial::SerialNumber;
use mailca::pki::text;
use mailca::store::index::{self, Row};
use mailca::store::journal::{Journal, Record};
use mailca::store::settings::Settings;
use mailca::store::steps::Step;
use mailca::sys::passphrase::Sources;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::hostile::nested;
use super::support::{TestDir, require, run, tell};

/// Reads bytes; what is wrong with them.
type Read<'a> = Box<dyn Fn(&[u8]) -> Result<(), String> + 'a>;

struct Reader<'a> {
    name: &'a str,
    read: Read<'a>,
    /// what it reads without an error
    good: Vec<Vec<u8>>,
}

fn reader<'a, E: ToString>(
    name: &'a str,
    good: Vec<Vec<u8>>,
    read: impl Fn(&[u8]) -> Result<(), E> + 'a,
) -> Reader<'a> {
    let read = Box::new(move |bytes: &[u8]| read(bytes).map_err(|error| error.to_string()));
    Reader { name, read, good }
}

/// For what is text: other bytes are refused before it is read.
fn words<'a, E: ToString>(
    name: &'a str,
    good: &[&str],
    read: impl Fn(&str) -> Result<(), E> + 'a,
) -> Reader<'a> {
    let good = good.iter().map(|text| text.as_bytes().to_vec()).collect();
    reader(name, good, move |bytes| {
        let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
        read(text).map_err(|error| error.to_string())
    })
}

impl Reader<'_> {
    fn check(&self, bytes: &[u8]) {
        if let Err(error) = (self.read)(bytes) {
            let said = text::sentence(&text::shorten(&error));
            let fits = !said.trim().is_empty() && said.lines().count() == 1 && said.len() < 10_000;
            assert!(fits, "{}: {said}: {}", self.name, bytes.escape_ascii());
        }
    }

    /// How many inputs there were.
    fn try_all(&self) -> usize {
        let count = Cell::new(0);
        let check = |bytes: &[u8]| {
            self.check(bytes);
            count.set(count.get() + 1);
        };
        let empty = Vec::new();
        for good in &self.good {
            let read = (self.read)(good);
            assert_eq!(read, Ok(()), "{}: {}", self.name, good.escape_ascii());
        }
        for good in self.good.iter().chain([&empty]) {
            for at in 0..good.len() {
                check(&good[..at]);
                let mut flipped = good.clone();
                flipped[at] ^= 1 << (at % 8);
                check(&flipped);
            }
            let places = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
            let piece = prop::collection::vec(any::<u8>(), 0..40);
            let mut runner = TestRunner::new(ProptestConfig {
                failure_persistence: None,
                ..ProptestConfig::default()
            });
            let tried = runner.run(&(places, piece), |((from, to), piece)| {
                let (from, to) = (from.index(good.len() + 1), to.index(good.len() + 1));
                let (from, to) = (from.min(to), from.max(to));
                check(&[&good[..from], &piece, &good[to..]].concat());
                // The same piece twice.
                check(&[&good[..to], &good[from..]].concat());
                Ok(())
            });
            tried.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        }
        for der in [nested(), [0x30, 0x80].repeat(100_000), vec![0; 100_000]] {
            check(&der);
            for label in LABELS {
                check(pem_text::encode(label, &der).as_bytes());
            }
        }
        count.get()
    }
}

const LABELS: [&str; 6] = [
    "CERTIFICATE REQUEST",
    "CERTIFICATE",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
];

fn try_each(readers: &[Reader<'_>]) {
    for reader in readers {
        let count = reader.try_all();
        tell(&format!("{}: {count} inputs", reader.name));
    }
}

/// Files that openssl makes with these commands.
fn made(dir: &TestDir, script: &str) -> impl Fn(&str) -> Vec<u8> {
    let script = format!("set -e; exec 2>said; {script}");
    let mut shell = dir.command("sh");
    shell.env(
        "OPENSSL_CONF",
        dir.write("openssl.cnf", "[req]\ndistinguished_name=dn\n[dn]\n"),
    );
    run(shell.args(["-c", &script])).exits(0);
    let path = dir.path().to_owned();
    move |name| fs::read(path.join(name)).expect("a file of openssl")
}

const REQUESTS: &str = "openssl ecparam -name prime256v1 -genkey -noout -out key
    san=subjectAltName=DNS:a.test,IP:192.0.2.1,email:a@b.test,URI:http://a,otherName:1.2.3.4\\;UTF8:x
    openssl req -new -key key -subj /C=US/OU=a/OU=b+CN=a.test/emailAddress=a@b.test \\
        -multivalue-rdn -addext $san -addext basicConstraints=CA:TRUE -out request
    openssl req -in request -outform DER -out request.der
    openssl req -x509 -new -key key -subj /O=Example/CN=a.test -addext $san -out certificate \\
        -addext nameConstraints=permitted\\;DNS:a.test,excluded\\;IP:0.0.0.0/0.0.0.0
    openssl x509 -in certificate -outform DER -out certificate.der
    cat key certificate >book";

#[test]
fn requests_and_certificates() {
    if !require(&["openssl"]) {
        return;
    }
    let dir = TestDir::new();
    let file = made(&dir, REQUESTS);
    let key = EncodedKey::find(&file("key")).unwrap().unwrap();
    let key = key.unlock(None).unwrap();
    let request = |proof| {
        move |bytes: &[u8]| {
            let request = Request::read(bytes, proof, Strength::Current)?;
            let names = request.names.unwrap_or_default();
            assert!(names.iter().all(|name| name.to_string().is_ascii()));
            Ok::<(), mailca::pki::request::RequestError>(())
        }
    };
    let certificate = |bytes: &[u8]| {
        let read = Certificate::from_pem_or_der(bytes)?;
        let again = Certificate::from_der(read.as_der())?;
        assert_eq!(again.to_pem(), read.to_pem());
        let row = index::line_of(&read);
        assert!(Row::parse(row.trim_end()).is_some(), "{row:?}");
        Description::of(&read)?;
        Ok::<(), mailca::pki::certificate::CertificateError>(())
    };
    let name = |bytes: &[u8]| {
        let name = Name::from_der(bytes)?;
        assert!(
            name.oneline()
                .bytes()
                .all(|byte| (b' '..=b'~').contains(&byte))
        );
        assert_eq!(text::sentence(&name.to_string()), name.to_string());
        name.hash().map(|_| ())
    };
    let spki = key.subject_public_key_info();
    let subject = Name::from_oneline("/C=US/OU=a+OU=b/CN=\u{fc}").unwrap();
    try_each(&[
        reader(
            "requests",
            vec![file("request"), file("request.der")],
            request(None),
        ),
        reader("requests to look at", vec![file("request.der")], |bytes| {
            Request::inspect(bytes).map(|(request, _)| _ = request.asks_for())
        }),
        reader(
            "the book's requests",
            vec![file("book")],
            request(Some(spki)),
        ),
        reader(
            "certificates",
            vec![file("certificate"), file("certificate.der")],
            certificate,
        ),
        reader("names", vec![subject.as_der().to_vec()], name),
        reader(
            "public keys",
            vec![spki.to_vec()],
            |bytes| match public_key::describe(bytes) {
                shown if shown == "unreadable key" => Err(shown),
                _ => Ok(()),
            },
        ),
    ]);
}

#[test]
fn no_wrong_bit_changes_what_is_signed() {
    if !require(&["openssl"]) {
        return;
    }
    let dir = TestDir::new();
    let der = made(&dir, REQUESTS)("request.der");
    let read = |bytes: &[u8]| Request::read(bytes, None, Strength::Legacy);
    let right = format!("{:?}", read(&der).unwrap());
    for at in 0..der.len() {
        assert!(read(&der[..at]).is_err(), "{at}");
        for bit in 0..8 {
            let mut wrong = der.clone();
            wrong[at] ^= 1 << bit;
            if let Ok(request) = read(&wrong) {
                assert_eq!(format!("{request:?}"), right, "{at}");
            }
        }
    }
}

#[test]
fn private_keys() {
    if !require(&["openssl"]) {
        return;
    }
    let dir = TestDir::new();
    let file = made(
        &dir,
        "openssl ecparam -name prime256v1 -genkey -noout -out ec
        openssl genpkey -algorithm ED25519 -out ed25519
        openssl genrsa -traditional -out rsa 2048
        topk8='openssl pkcs8 -topk8 -in ed25519 -passout pass:test -out'
        $topk8 aes -v2 aes-256-cbc -iter 1; $topk8 des -v2 des3 -iter 1
        $topk8 scrypt -scrypt -scrypt_N 2",
    );
    let good = ["ec", "ed25519", "rsa", "aes", "des", "scrypt"]
        .map(file)
        .to_vec();
    try_each(&[reader("private keys", good, |bytes| {
        let Some(found) = EncodedKey::find(bytes)? else {
            return Ok(());
        };
        let key = found.unlock(Some(&Passphrase::new("test")))?;
        let pem = key.to_pem()?;
        let again = EncodedKey::find(pem.as_bytes())?.expect("a key");
        assert_eq!(again.unlock(None)?.kind(), key.kind());
        Ok::<(), mailca::pki::key::KeyError>(())
    })]);
}

const SETTINGS: &str = "[ca]\ndefault_ca = a # comment\n[a]\ndir = .\ncertificate = ${dir}/c\n\
    database = $(dir)\\\n/i\ndefault_days = 3\ndefault_md = \"sha256\"\npolicy = p\n\
    copy_extensions = copy\n.include = more.cnf\n[mailca]\nprofile = relay\ncrl_url = 'http://a'\n\
    policy = p\n[p]\ncountryName = match\n0.organizationName = optional\n";
const ROWS: &str = "# one\nV\t271124001943Z\t\t01\tunknown\t/C=US/CN=a\n\
    R\t271124001943Z\t261124001943Z,superseded\t0A\tunknown\t/CN=\\xC3\r\n\n\
    E\t20501124001943Z\t\tFF\tunknown\t/CN=c";

#[test]
fn files_of_a_ca_directory() {
    let dir = TestDir::new();
    let path = |name: &str| dir.path().join(name);
    // A file that is new is written sooner than one that is there.
    let put = |name: &str, bytes: &[u8]| {
        let _ = fs::remove_file(path(name));
        fs::write(path(name), bytes).expect("written");
        path(name)
    };
    let settings = |bytes: &[u8]| {
        put("openssl.cnf", bytes);
        put("i.attr", bytes);
        let settings = Settings::read(dir.path(), None, &|_| None)?;
        settings.unique_subject()?;
        settings.policy(None).map(|_| ())
    };
    let rows = |bytes: &[u8]| {
        let path = put("index.txt", bytes);
        let mut highest = None;
        index::lines(&path, |_, line| {
            let serial = index::serial_in(line).map(String::from_utf8_lossy);
            let number: Option<SerialNumber> = serial.and_then(|serial| serial.parse().ok());
            highest = highest.take().max(number);
            true
        })?;
        assert_eq!(index::highest_serial(&path)?, highest);
        index::end(&path)?;
        index::last_rows(&path).map(|_| ())
    };
    let step = Step::ExpireRow {
        at: 7,
        serial: "0A".into(),
    };
    let record = path("record");
    Journal::open(&record, 0o600)
        .unwrap()
        .commit(std::slice::from_ref(&step))
        .unwrap();
    let journal = |bytes: &[u8]| match Record::read(&put("journal", bytes))? {
        // What is read at all is what was written.
        Some(record) => record
            .steps()
            .map(|steps| assert_eq!(steps, std::slice::from_ref(&step))),
        None => Ok(()),
    };
    // Whatever is there, openssl.cnf says that the CA is here.
    put("index.txt", b"");
    try_each(&[
        reader("openssl.cnf", vec![SETTINGS.into()], settings),
        reader("index.txt", vec![ROWS.into()], rows),
        reader("the journal", vec![fs::read(&record).unwrap()], journal),
    ]);
}

const MC: &str = "divert(-1)\n# don't\ndivert(0)dnl\ninclude(`m4/cf.m4')dnl\n\
    define(`D', `MAIL_SETTINGS_DIR`'$1')dnl\ndefine(`confCRL', `D(x)/`a'')# (\n\
    ifdef(`D', `define(`confCACERT', defn(`D'))')ifelse(a, b, , `undefine(`D')')\n";

#[test]
fn what_people_write() {
    let names = [
        "*.Mail.Example.test.",
        "dns:b\u{fc}cher.test",
        "ip:2001:db8::1",
        "email:a@b.test",
    ];
    let subjects = ["/C=US/O=A\\/B/OU=x+CN=\u{fc}/2.5.4.65=y/emailAddress=a@b.test"];
    let subtrees = [".example.test", "192.0.2.0/24", "2001:db8::/32"];
    let mc = "a\ndnl mailca: begin\nb\ndnl mailca: end\nc dnl";
    let lines = "\ndnl mailca: begin\nnew\ndnl mailca: end\n";
    try_each(&[
        words("host names and addresses", &names, |text| {
            let name = GeneralName::parse(text)?;
            assert!(name.to_string().is_ascii());
            GeneralName::parse(&name.to_string()).map(|again| assert_eq!(again, name))
        }),
        words("subjects", &subjects, |text| {
            let name = Name::from_oneline(text)?;
            Name::from_der(name.as_der()).map(|again| assert_eq!(again, name))
        }),
        words("--permit", &subtrees, |text| {
            let subtree: Subtree = text.parse()?;
            subtree
                .to_string()
                .parse()
                .map(|again: Subtree| assert_eq!(again, subtree))
        }),
        words("serial numbers", &["0FFE", "1a2"], |text| {
            let serial: SerialNumber = text.parse()?;
            serial
                .to_string()
                .parse()
                .map(|again: SerialNumber| assert_eq!(again, serial))
        }),
        words("sendmail.mc", &[mc], |text| {
            let server = MailServer::Sendmail;
            let new = put_into(server, text, lines)?;
            put_into(server, &new, lines).map(|again| assert_eq!(again, new))
        }),
        reader(
            "what a sendmail.mc names",
            vec![MC.as_bytes().to_vec()],
            |bytes| Config::of_mc(bytes).map(|_| ()),
        ),
        reader("a sendmail.cf", vec![b"O CRLFile=/a\n".to_vec()], |bytes| {
            let _ = Config::of_cf(bytes);
            Ok::<(), String>(())
        }),
        reader(
            "passphrases",
            vec![b"one\r\ntwo\n".to_vec()],
            |mut bytes| {
                let sources = Sources {
                    file: Some(Path::new("-").into()),
                    ..Sources::default()
                };
                sources
                    .read(&mut bytes)
                    .map(|read| assert!(!read.expect("a source").contains(&0)))
            },
        ),
        words(
            "any text on a terminal",
            &["a\u{1b}[31m\u{202e}\n"],
            |text| {
                for shown in [
                    text::one_line(text),
                    text::sentence(text),
                    text::shorten(text).into(),
                ] {
                    let shown = text::sentence(&shown);
                    assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
                }
                Ok::<(), String>(())
            },
        ),
    ]);
}
