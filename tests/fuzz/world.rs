//! The world around a command that runs within a target: a CA in the working directory, a fixed
//! time, and a person who reads the review and then says no.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Cursor, Write};
use std::rc::Rc;
use std::sync::OnceLock;

use mailca::context::Context;
use mailca::exit::Exit;
use mailca::pki::certificate::Certificate;
use mailca::pki::key::{EncodedKey, KeyType, PrivateKey};
use mailca::sys::prompt::{PromptError, Terminal};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// The CA that commands find with `--ca CA`.
pub struct Ca {
    pub certificate: Certificate,
    pub key: PrivateKey,
}

pub fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(|| {
        let init = [
            "init",
            "CA",
            "--subject=/O=Example/CN=Fuzz CA",
            "--no-passphrase",
        ];
        let ran = run(&init, &[]);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.stderr);
        let read = |name| std::fs::read(name).expect("a file of the CA");
        let key = EncodedKey::find(&read("CA/private/cakey.pem"));
        Ca {
            certificate: Certificate::from_pem_or_der(&read("CA/cacert.pem")).expect("its own"),
            key: key
                .expect("a key")
                .expect("a key")
                .unlock(None)
                .expect("no passphrase"),
        }
    })
}

/// The key of somebody who asks for a certificate.
pub fn key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeyType::P256).expect("a key"))
}

/// A command that has run.
pub struct Ran {
    pub exit: Exit,
    pub stderr: String,
    /// what was shown before a question
    pub review: String,
}

/// Runs mailca with these words, and `stdin` on its standard input.
pub fn run(words: &[&str], stdin: &[u8]) -> Ran {
    let argv = ["mailca"].iter().chain(words).map(OsString::from);
    let (stdout, stderr, review) = (Shared::default(), Shared::default(), Shared::default());
    let mut context = Context {
        clock: Box::new(now),
        random: Box::new(|buffer| {
            buffer.fill(7);
            Ok(())
        }),
        terminal: Box::new(Person(review.clone())),
        environment: Box::new(|_| None),
        node_name: "mail.example.com".into(),
        stdin: Box::new(Cursor::new(stdin.to_vec())),
        screen: None,
        stdout: Box::new(stdout),
        stderr: Box::new(stderr.clone()),
    };
    let exit = mailca::run(argv, &mut context);
    let ran = Ran {
        exit,
        stderr: stderr.text(),
        review: review.text(),
    };
    assert_harmless(&ran.stderr);
    assert_harmless(&ran.review);
    ran
}

pub fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a time")
}

/// Nothing in the text moves the cursor, but for line ends.
pub fn assert_harmless(text: &str) {
    let bad = |c: &char| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c);
    assert_eq!(text.chars().find(bad), None, "{text:?}");
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("text")
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Person(Shared);

impl Terminal for Person {
    fn is_present(&self) -> bool {
        true
    }

    fn show(&mut self, text: &str) -> Result<(), PromptError> {
        Ok(self.0.write_all(text.as_bytes())?)
    }

    fn ask(&mut self, prompt: &str) -> Result<String, PromptError> {
        self.show(prompt)?;
        Ok("no".into())
    }

    fn ask_hidden(&mut self, _: &str) -> Result<Zeroizing<Vec<u8>>, PromptError> {
        Err(PromptError::Closed)
    }
}
