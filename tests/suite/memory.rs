//! What is left of keys and passphrases in the memory of a mailca that is about to end: nothing.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use der::Decode;
use mailca::pki::key::{EncodedKey, Passphrase};
use mailca::pki::public_key::PublicKeyKind;
use nix::libc::SYS_exit_group;
use pkcs1::RsaPrivateKeyRef;
use pkcs8::PrivateKeyInfoRef;
use ring::digest::{SHA512, digest};
use rustix::process::{Pid, Signal, kill_process};
use sec1::EcPrivateKey;

use super::secrets::Waiting;
use super::support::{Ca, TestDir, User, require, tell};
use super::terminal::{CA_PASSPHRASE, CONFIRM, Terminal};

const HOST: &str = "mail.example.test";

/// Pieces of secrets that are looked for, each with the name of its secret.
#[derive(Default)]
struct Secrets(HashMap<Vec<u8>, String>);

// Long enough to be nowhere by chance, short enough to find what was half overwritten.
const PIECE: usize = 16;

impl Secrets {
    fn add(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= PIECE, "{name} is too short");
        for start in 0..=secret.len() - PIECE {
            let piece = secret[start..start + PIECE].to_vec();
            self.0.insert(piece, name.to_owned());
        }
    }

    fn add_passphrase(&mut self, passphrase: &str) {
        self.add("the passphrase", passphrase.as_bytes());
    }

    /// A private key in the forms that it has while mailca works with it.
    #[track_caller]
    fn add_key(&mut self, name: &str, file: &str, passphrase: &str) {
        let found = EncodedKey::find(file.as_bytes());
        let key = found.expect("a key").expect("a key");
        let key = key.unlock(Some(&Passphrase::new(passphrase)));
        let key = key.expect("an open key");
        let pem = key.to_pem().expect("PEM");
        let der = pem::parse(pem.as_bytes()).expect("PEM").into_contents();
        let numbers = numbers(key.kind(), &der);
        for (number, bytes) in &numbers {
            self.add(&format!("{number} of {name}"), bytes);
            let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
            self.add(&format!("{number} of {name}, reversed"), &reversed);
        }
        // Base64 has four characters for each three bytes.
        let secret = &numbers[0].1;
        let mut windows = der.windows(secret.len());
        let start = windows.position(|window| window == secret);
        let start = start.expect("the number in the key").div_ceil(3) * 4;
        let text: String = pem.lines().skip(1).collect();
        let text = &text.as_bytes()[start..start + secret.len() / 3 * 4 - 4];
        self.add(&format!("the PEM of {name}"), text);
    }

    /// The secrets of which something is in the memory that a process may write to.
    #[track_caller]
    fn left_in(&self, pid: u32) -> BTreeSet<&str> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("read the map");
        let memory = File::open(format!("/proc/{pid}/mem")).expect("open the memory");
        let mut found = BTreeSet::new();
        let mut looked_at = 0;
        for line in maps.lines() {
            let mut words = line.split(' ');
            let range = words.next().and_then(|range| range.split_once('-'));
            let is_writable = words.next().is_some_and(|rights| rights.starts_with("rw"));
            let (Some((start, end)), true) = (range, is_writable) else {
                continue;
            };
            let address = |text| u64::from_str_radix(text, 16).expect("an address");
            let length = usize::try_from(address(end) - address(start)).expect("a length");
            let mut bytes = vec![0; length];
            let read = memory.read_exact_at(&mut bytes, address(start));
            read.unwrap_or_else(|error| panic!("{line}: {error}"));
            // Most of it is empty.
            let pieces = bytes.windows(PIECE).filter(|piece| piece[..4] != [0; 4]);
            for piece in pieces {
                looked_at += 1;
                found.extend(self.0.get(piece).map(String::as_str));
            }
        }
        assert!(looked_at > 10_000, "{looked_at} pieces");
        found
    }
}

/// What a private key consists of, the first as it is in the file.
fn numbers(kind: PublicKeyKind, der: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let info = PrivateKeyInfoRef::from_der(der).expect("PKCS#8");
    let key = info.private_key.as_bytes();
    match kind {
        PublicKeyKind::Ec(_) => {
            let number = EcPrivateKey::from_der(key).expect("a key").private_key;
            let other = montgomery(number);
            vec![
                ("the number", number.to_vec()),
                ("the Montgomery form", other),
            ]
        }
        PublicKeyKind::Ed25519 => {
            let seed = &key[2..];
            let hash = digest(&SHA512, seed);
            // Without the two bytes whose bits are set and cleared (RFC 8032 section 5.1.5).
            let (scalar, prefix) = hash.as_ref().split_at(32);
            let scalar = scalar[1..31].to_vec();
            vec![
                ("the seed", seed.to_vec()),
                ("the scalar", scalar),
                ("the prefix", prefix.to_vec()),
            ]
        }
        PublicKeyKind::Rsa { .. } => {
            let key = RsaPrivateKeyRef::from_der(key).expect("a key");
            let number = |number: pkcs1::UintRef<'_>| number.as_bytes().to_vec();
            vec![
                ("the private exponent", number(key.private_exponent)),
                ("the first prime", number(key.prime1)),
                ("the second prime", number(key.prime2)),
                ("the first exponent", number(key.exponent1)),
                ("the second exponent", number(key.exponent2)),
                ("the coefficient", number(key.coefficient)),
            ]
        }
        other => panic!("{other}"),
    }
}

// The order of P-256 (SEC 2, 2.4.2).
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// A number times 2^256 modulo the order of P-256: what ring computes with.
fn montgomery(number: &[u8]) -> Vec<u8> {
    let digits = ORDER.as_bytes().chunks(2);
    let order: Vec<u8> = digits
        .map(|digits| u8::from_str_radix(str::from_utf8(digits).expect("hex"), 16).expect("hex"))
        .collect();
    let mut number = number.to_vec();
    for _ in 0..256 {
        let mut carry = 0;
        for byte in number.iter_mut().rev() {
            (*byte, carry) = ((*byte << 1) | carry, *byte >> 7);
        }
        if carry == 1 || number >= order {
            let mut borrow = 0;
            for (byte, other) in number.iter_mut().zip(&order).rev() {
                let difference = i16::from(*byte) - i16::from(*other) - borrow;
                borrow = i16::from(difference < 0);
                *byte = difference.to_le_bytes()[0];
            }
        }
    }
    number
}

#[test]
fn the_montgomery_form_of_one() {
    let one = [[0; 31].as_slice(), &[1]].concat();
    let form = montgomery(&one);
    assert_eq!(form[..8], [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(form[24..], [0x0C, 0x46, 0x35, 0x3D, 0x03, 0x9C, 0xDA, 0xAF]);
}

/// Options of strace that stop a program where it is about to end.
const STOP: &str = "-f -qq -o trace -e trace=exit_group -e inject=exit_group:delay_enter=600000000";

/// A mailca that is about to end, until this is dropped.
struct Ending {
    strace: Child,
    pid: u32,
}

impl Ending {
    /// Runs a command to its end; `None` where nothing may be traced.
    #[track_caller]
    fn of(dir: &TestDir, command: &Command) -> Option<Self> {
        let _ = fs::remove_file(dir.path().join("pid"));
        let mut strace = Command::new("strace");
        strace.args(STOP.split(' '));
        strace.args(["sh", "-c", "echo $$ >pid; exec \"$@\"", "sh"]);
        strace.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        strace.current_dir(dir.path()).stdin(Stdio::null());
        let file = |name| File::create(dir.path().join(name)).expect("a file");
        strace.stdout(file("stdout")).stderr(file("stderr"));
        let mut strace = strace.spawn().expect("start strace");
        let start = Instant::now();
        loop {
            if let Some(pid) = ending(dir) {
                return Some(Self { strace, pid });
            }
            if strace.try_wait().expect("wait for strace").is_some() {
                let said = dir.read("stderr");
                assert!(
                    said.to_lowercase().contains("ptrace"),
                    "{command:?}: {said}"
                );
                tell(&format!("SKIPPED: tracing is not permitted: {said}"));
                return None;
            }
            let waited = start.elapsed() > Duration::from_secs(120);
            assert!(!waited, "{command:?} does not end: {}", dir.read("stderr"));
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        kill(self.pid);
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a process id"), Signal::KILL);
}

/// The process whose number is in the file `pid`, if it is in exit_group(2).
#[track_caller]
fn ending(dir: &TestDir) -> Option<u32> {
    let pid = fs::read_to_string(dir.path().join("pid")).ok()?;
    let call = fs::read_to_string(format!("/proc/{}/syscall", pid.trim())).ok()?;
    let mut words = call.split(' ');
    if words.next() != Some(&SYS_exit_group.to_string()) {
        return None;
    }
    let said = fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
    assert_eq!(words.next(), Some("0x0"), "its exit status: {said}");
    pid.trim().parse().ok()
}

const TO_PKCS12: &[&str] = &[
    "export",
    HOST,
    "host.p12",
    "--pkcs12",
    "--pkcs12-passphrase-file=pass",
];

/// Runs commands that use secrets, and looks for these at the end of each.
#[track_caller]
fn leaves_nothing(key_type: &str) {
    const PASSPHRASE: &str = "sesame-43-open-it";
    if !require(&["strace"]) {
        return;
    }
    let ca = Ca::unmade(User::me());
    ca.dir.write("pass", &format!("{PASSPHRASE}\n"));
    ca.dir.write(
        "hosts.txt",
        "h1.example.test\nh2.example.test\nh3.example.test\n",
    );
    let of_type = format!("--key-type={key_type}");
    let next = format!("CA/hosts/{HOST}.next/key.pem");
    let own = format!("CA/hosts/{HOST}/key.pem");
    let with_passphrase = "--passphrase-file=pass";
    let commands: [(&[&str], &[&str]); 17] = [
        (
            &["init", "--subject=/CN=Test CA", &of_type, with_passphrase],
            &["CA/private/cakey.pem"],
        ),
        (&["req", HOST, &of_type], &[&next]),
        (
            &["sign", "--yes", with_passphrase],
            &["CA/private/cakey.pem", &format!("CA/hosts/{HOST}/key.pem")],
        ),
        (
            &[
                "issue",
                "mx.example.test",
                &of_type,
                "--yes",
                with_passphrase,
            ],
            &["CA/private/cakey.pem", "CA/hosts/mx.example.test/key.pem"],
        ),
        (
            &[
                "issue",
                "--from",
                "hosts.txt",
                &of_type,
                "--yes",
                with_passphrase,
            ],
            &[
                "CA/private/cakey.pem",
                "CA/hosts/h1.example.test/key.pem",
                "CA/hosts/h2.example.test/key.pem",
                "CA/hosts/h3.example.test/key.pem",
            ],
        ),
        (&["emit-mc", HOST], &[&own]),
        (&["export", HOST, "exported"], &[&own]),
        (TO_PKCS12, &[&own]),
        (&["emit", "systemd"], &["CA/private/cakey.pem"]),
        (&["verify", HOST], &[&own]),
        (&["show", &own], &[&own]),
        (
            &["check", "--for=dovecot", with_passphrase],
            &["CA/private/cakey.pem", &format!("CA/hosts/{HOST}/key.pem")],
        ),
        (
            &["renew", HOST, "--yes", with_passphrase],
            &["CA/private/cakey.pem", &format!("CA/hosts/{HOST}/key.pem")],
        ),
        (
            &["revoke", "h1.example.test", "--yes", with_passphrase],
            &["CA/private/cakey.pem"],
        ),
        (
            &["renew-ca", "--yes", with_passphrase],
            &["CA/private/cakey.pem"],
        ),
        (
            &["renew-ca", "--new-key", "--yes", with_passphrase],
            &["CA/private/cakey.pem"],
        ),
        (
            &["req", HOST, "--out-dir=.", &of_type],
            &[&format!("{HOST}.key")],
        ),
    ];
    for (words, keys) in commands {
        let Some(mailca) = Ending::of(&ca.dir, &ca.command(words)) else {
            return;
        };
        let mut secrets = Secrets::default();
        secrets.add_passphrase(PASSPHRASE);
        for key in keys {
            secrets.add_key(key, &ca.dir.read(key), PASSPHRASE);
        }
        let left = secrets.left_in(mailca.pid);
        assert!(left.is_empty(), "{words:?} with {key_type} leaves {left:?}");
    }
}

#[test]
fn commands_leave_nothing_of_p256_keys_in_memory() {
    leaves_nothing("p256");
}

#[test]
fn commands_leave_nothing_of_ed25519_keys_in_memory() {
    leaves_nothing("ed25519");
}

#[test]
fn commands_leave_nothing_of_rsa_keys_in_memory() {
    leaves_nothing("rsa2048");
}

#[test]
fn a_passphrase_that_was_typed_is_not_left_in_memory() {
    if !require(&["strace"]) {
        return;
    }
    let Some(terminal) = Terminal::with_ca() else {
        return;
    };
    let issue = format!("mailca --ca CA issue {HOST}");
    terminal.start(&format!("strace {STOP} sh as {issue}"));
    terminal.answer(CONFIRM, "y");
    terminal.answer(CA_PASSPHRASE, Terminal::PASSPHRASE);
    terminal.wait_until("a certificate", |screen| {
        assert!(!screen.contains("ptrace"), "{screen}");
        screen.contains("\nsigned ")
    });
    let dir = &terminal.dir;
    let start = Instant::now();
    let pid = loop {
        if let Some(pid) = ending(dir) {
            break pid;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it does not end");
        sleep(Duration::from_millis(5));
    };
    let mut secrets = Secrets::default();
    secrets.add_passphrase(Terminal::PASSPHRASE);
    let key = dir.read("CA/private/cakey.pem");
    secrets.add_key("the CA", &key, Terminal::PASSPHRASE);
    let left: Vec<_> = secrets
        .left_in(pid)
        .into_iter()
        .map(str::to_owned)
        .collect();
    kill(pid);
    assert!(left.is_empty(), "{left:?}");
}

/// What is in use is found, and so would be what is left.
#[test]
fn while_the_lock_is_waited_for_the_key_is_in_memory_and_the_passphrase_is_not() {
    const PASSPHRASE: &str = "sesame-43-open-it";
    let ca = Ca::unmade(User::me());
    ca.dir.write("pass", &format!("{PASSPHRASE}\n"));
    ca.ok(&["init", "--subject=/CN=Test CA", "--passphrase-file=pass"]);
    let mailca = Waiting::of(&ca, &["issue", HOST, "--passphrase-file=pass"]);
    let mut secrets = Secrets::default();
    secrets.add_passphrase(PASSPHRASE);
    secrets.add_key("the CA", &ca.read("private/cakey.pem"), PASSPHRASE);
    assert_eq!(
        Vec::from_iter(secrets.left_in(mailca.child.id())),
        [
            "the Montgomery form of the CA, reversed",
            "the number of the CA"
        ]
    );
}
