//! Files of a CA directory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use mailca::exit::Exit;
use mailca::pki::hex;
use mailca::pki::serial::SerialNumber;
use mailca::store::Store;
use mailca::store::index::{self, Row};
use mailca::store::journal::Record;
use mailca::store::settings::Settings;
use mailca::store::steps::Step;

use super::world;

/// openssl.cnf, and index.txt.attr.
pub fn conf(data: &[u8]) {
    world::ca();
    fs::write("CA/openssl.cnf", data).expect("written");
    fs::write("CA/index.txt.attr", data).expect("written");
    let env = |name: &str| (name == "CITY").then(|| "Praha".to_owned());
    match Settings::read(Path::new("CA"), None, &env) {
        Ok(settings) => {
            let _ = settings.unique_subject();
            for policy in [None, Some("policy_match")] {
                let _ = settings.policy(policy);
            }
            assert!(settings.default_days > 0);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// index.txt.
pub fn index(data: &[u8]) {
    let path = Path::new("index.txt");
    fs::write(path, data).expect("written");
    let mut read = Vec::new();
    let mut highest: Option<SerialNumber> = None;
    let all = index::lines(path, |at, line| {
        assert_eq!(at, read.len() as u64);
        read.extend_from_slice(line);
        if data[read.len()..].first() == Some(&b'\r') {
            read.push(b'\r');
        }
        if read.len() < data.len() {
            read.push(b'\n');
        }
        check_row(line, &mut highest);
        true
    });
    assert!(all.is_ok());
    assert_eq!(read, data);
    assert_eq!(index::highest_serial(path).expect("a register"), highest);
    let (length, ended) = index::end(path).expect("a register");
    assert_eq!(length, data.len() as u64);
    assert_eq!(ended, data.is_empty() || data.ends_with(b"\n"));
    let _ = index::last_rows(path).expect("a register");
}

/// index.txt of a CA with certificates: nothing is left to repair after `repair`.
pub fn repair(data: &[u8]) {
    static ISSUED: OnceLock<()> = OnceLock::new();
    ISSUED.get_or_init(issue);
    let _ = fs::remove_dir_all("CA");
    shell("cp -a issued CA");
    fs::write("CA/index.txt", data).expect("written");
    let repair = ["repair", "--ca", "CA", "--yes", "--assume-valid"];
    let first = world::run(&repair, &[]);
    assert!(
        matches!(first.exit, Exit::Done | Exit::Attention),
        "{}",
        first.stderr
    );
    let store = Store::open(Path::new("CA"), None, &|_| None).expect("a CA");
    let audit = store.audit(world::now()).expect("an audit");
    let plan = store.repair_plan(&audit, world::now()).expect("a plan");
    assert_eq!(plan.actions, []);
    // What is left, is said.
    assert!(audit.orphans.is_empty() || first.exit == Exit::Attention);
    assert!(audit.rows.refused.is_empty() || first.exit == Exit::Attention);
    assert!(audit.rows.strangers.is_empty());
    assert!(!audit.rows.is_unended);
}

// Three certificates, of which the CRL lists one as revoked.
fn issue() {
    world::ca();
    for words in [
        ["issue", "a.example.com"],
        ["issue", "b.example.com"],
        ["revoke", "b.example.com"],
        ["issue", "c.example.com"],
    ] {
        let ran = world::run(&[&["--ca", "CA", "--yes"], &words[..]].concat(), &[]);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.stderr);
    }
    shell("mv CA issued");
}

fn shell(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status();
    assert!(status.is_ok_and(|status| status.success()), "{command}");
}

fn check_row(line: &[u8], highest: &mut Option<SerialNumber>) {
    let _ = (index::revocation_in(line), index::valid_subject_in(line));
    let text = String::from_utf8_lossy(line);
    let row = Row::parse(&text);
    let serial = index::serial_in(line).map(String::from_utf8_lossy);
    if let Some(row) = &row {
        let _ = row.is_past(world::now());
        assert_eq!(serial.as_deref(), Some(row.serial));
    }
    if let Some(number) = serial.and_then(|serial| serial.parse().ok()) {
        let number: SerialNumber = number;
        *highest = highest.take().max(Some(number));
    }
}

/// index.txt.journal; its checksum is right where the first byte is even.
pub fn journal(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let path = Path::new("index.txt.journal");
    let text = if first % 2 == 0 {
        let digest = ring::digest::digest(&ring::digest::SHA256, data);
        let digest = hex::lower(digest.as_ref());
        let head = format!("mailca-journal-1 {digest} {} 0-0-0\n", "-".repeat(36));
        [head.as_bytes(), data].concat()
    } else {
        data.to_vec()
    };
    fs::write(path, text).expect("written");
    let Ok(Some(record)) = Record::read(path) else {
        assert_eq!(first % 2, 1, "a record");
        return;
    };
    assert!(!record.is_published || first % 2 == 1);
    if let Ok(steps) = record.steps() {
        let json = serde_json::to_vec(&steps).expect("steps");
        let again: Vec<Step> = serde_json::from_slice(&json).expect("steps");
        assert_eq!(again, steps);
    }
}
