//! `openssl ca`, killed at each of its system calls that change the disk: whatever it leaves,
//! `repair` heals, and both go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mailca::pki::certificate::Certificate;
use mailca::pki::certificate_list::CertificateList;

use super::damage::problems_in;
use super::support::invariants::broken;
use super::support::strace::{self, Call};
use super::support::{Ca, require, tell};

/// Where the killed one puts a certificate, beside the CA.
const OUT: &str = "killed.pem";

/// Enough for a register and a CRL that are not written at once: of more than 4096 bytes.
const HOSTS: usize = 120;

/// A CA with nothing to complain about, and what is to be signed and revoked beside it.
fn prepared() -> Ca {
    let ca = Ca::new();
    ca.request("host.example.com", &[]);
    ca.openssl_request("short", &["-subj", "/CN=short.example.com"]);
    // Its certificate is of more than 4096 bytes with the text above it.
    let long = ["-newkey", "rsa:4096", "-subj", "/CN=long.example.com"];
    let files = [
        "req", "-new", "-nodes", "-keyout", "long.key", "-out", "long.csr",
    ];
    ca.dir.openssl(&[&files[..], &long].concat());
    ca.openssl_request("after", &["-subj", "/CN=after.example.com"]);
    let many: Vec<String> = (0..HOSTS).map(|number| format!("{number}.csr")).collect();
    for name in &many {
        fs::copy(ca.dir.file("host.example.com.csr"), ca.dir.file(name)).expect("copy");
    }
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    ca.ok(&[&["sign", "--yes", "--out-dir", "out"], &many[..]].concat());
    let serials = ca.serials();
    let revoked: Vec<&str> = serials.iter().skip(1).map(String::as_str).collect();
    ca.ok(&[&["revoke", "--yes", "--reason", "superseded"], &revoked[..]].concat());
    fs::copy(
        ca.file(&format!("newcerts/{}.pem", serials[0])),
        ca.dir.file("valid.pem"),
    )
    .expect("copy");
    // `-updatedb` has something to do.
    let past = [
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20210101000000Z",
    ];
    let sign = ["-in", "../short.csr", "-out", "../past.pem"];
    ca.openssl_ca(&[&sign[..], &past].concat()).exits(0);
    ca.ok(&["crl"]);
    for name in ["index.txt", "crl/crl.pem"] {
        assert!(ca.read(name).len() > 4096, "{name}");
    }
    ca.ok(&["check"]);
    ca
}

/// The kinds of damage in a CA directory.
fn damage(ca: &Ca) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in ["serial", "index.txt", "index.txt.attr", "crlnumber"] {
        if !ca.exists(name) {
            found.insert(format!("no {name}"));
        }
        if let Ok(text) = fs::read_to_string(ca.file(&format!("{name}.new"))) {
            let how = match text.as_str() {
                "" => "empty",
                whole if whole.ends_with('\n') => "whole",
                _ => "torn",
            };
            found.insert(format!("{how} {name}.new"));
        }
    }
    let crl = fs::read(ca.file("crl/crl.pem")).unwrap_or_default();
    if CertificateList::from_pem_or_der(&crl).is_err() {
        let how = if crl.is_empty() { "empty" } else { "torn" };
        found.insert(format!("{how} crl.pem"));
    }
    if !ca.exists("index.txt") {
        return found;
    }
    let serials: BTreeSet<String> = ca.serials().into_iter().collect();
    for serial in stored(ca) {
        if serials.contains(&serial) {
            continue;
        }
        let how = match stored_as(ca, &serial) {
            Ok(_) => "whole",
            Err(0) => "empty",
            Err(_) => "torn",
        };
        found.insert(format!("{how} certificate without row"));
    }
    found
}

/// The serial numbers of newcerts.
fn stored(ca: &Ca) -> BTreeSet<String> {
    let entries = fs::read_dir(ca.file("newcerts")).expect("newcerts");
    let names = entries.map(|entry| entry.expect("newcerts").path());
    names
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// A certificate in newcerts, or how long its file is that holds none.
fn stored_as(ca: &Ca, serial: &str) -> Result<Certificate, usize> {
    let file = fs::read(ca.file(&format!("newcerts/{serial}.pem"))).unwrap_or_default();
    Certificate::from_pem_or_der(&file).map_err(|_| file.len())
}

/// What is wrong after `repair`, a sentence each.
fn unhealed(ca: &Ca) -> Vec<String> {
    let mut problems = Vec::new();
    let mut tries = |what: &str, words: &[&str], codes: &[i32]| {
        let ran = ca.mailca(words);
        if !codes.contains(&ran.code()) {
            problems.push(format!("{what}: {ran}"));
        }
    };
    let out = fs::read(ca.dir.file(OUT)).unwrap_or_default();
    let out = Certificate::from_pem_or_der(&out).ok();
    // What was torn is no certificate yet, and its number is free.
    let stored = stored(ca).into_iter();
    let mut given: BTreeSet<String> = stored
        .filter(|serial| stored_as(ca, serial).is_ok())
        .collect();
    // What is left for a person is to publish another CRL.
    tries("repair", &["repair", "--yes", "--assume-valid"], &[0, 3]);
    tries("crl", &["crl"], &[0]);
    problems.extend(broken(Path::new(&ca.file(""))));
    if !problems.is_empty() {
        return problems;
    }
    given.extend(ca.serials());
    if let Some(certificate) = out {
        let serial = certificate.serial.to_string();
        let kept = stored_as(ca, &serial).ok();
        if !ca.serials().contains(&serial) {
            problems.push(format!("{serial} was issued and has no row"));
        }
        if kept.is_none_or(|kept| kept.as_der() != certificate.as_der()) {
            problems.push(format!("{serial} was issued and is not in newcerts"));
        }
    }
    let signed = ca.openssl_ca(&["-in", "../after.csr", "-out", "../after.pem"]);
    if signed.code() != 0 {
        problems.push(format!("openssl ca fails: {signed}"));
        return problems;
    }
    let serial = ca.serials().pop().unwrap_or_default();
    if given.contains(&serial) {
        problems.push(format!("openssl ca gave {serial} again"));
    }
    // openssl ca gives none to what it signs.
    let check = ca.mailca(&["check", "--json"]);
    if problems_in(&check).iter().any(|name| name != "no-name") {
        problems.push(format!("{check}"));
    }
    let next = ca.mailca(&["issue", "next.example.com", "--yes"]);
    if next.code() != 0 {
        problems.push(format!("{next}"));
    }
    problems.extend(broken(Path::new(&ca.file(""))));
    problems
}

/// Kills `openssl ca` at every one of its changes.
#[track_caller]
fn heals(words: &[&str]) {
    if !require(&["strace", "openssl"]) {
        return;
    }
    let template = prepared();
    let whole = template.copy();
    let command = whole.openssl_ca_command(words);
    let Some((ran, calls)) = strace::changes(&whole.dir, &command) else {
        return;
    };
    let ran = ran.exits(0);
    assert!(calls.len() > 6, "{ran}");
    let results = strace::on_two_cores(&calls, |call: &Call| {
        let ca = template.copy();
        let command = ca.openssl_ca_command(words);
        let ran = strace::accident(&ca.dir, &command, call, "signal=KILL");
        let damage = damage(&ca);
        let mut problems = unhealed(&ca);
        if ran.code() == 0 {
            problems.push("it was not killed".into());
        }
        (damage, problems)
    });
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut broken = Vec::new();
    for (call, (damage, problems)) in calls.iter().zip(results) {
        if !problems.is_empty() {
            let text = &call.text;
            let problems = problems.join("; ");
            broken.push(format!(
                "{words:?}, killed at {text}, {damage:?}: {problems}"
            ));
        }
        for kind in damage {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    tell(&format!(
        "openssl ca {}: killed at {} calls, {} unhealed; it left: {}",
        words.join(" "),
        calls.len(),
        broken.len(),
        kinds.join(", ")
    ));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_killed_signing_is_healed() {
    heals(&["-in", "../long.csr", "-out", "../killed.pem"]);
}

#[test]
fn a_killed_signing_of_two_is_healed() {
    let words = [
        "-out",
        "../killed.pem",
        "-infiles",
        "../short.csr",
        "../long.csr",
    ];
    heals(&words);
}

#[test]
fn a_killed_revocation_is_healed() {
    heals(&["-revoke", "../valid.pem"]);
}

#[test]
fn a_killed_crl_is_healed() {
    heals(&["-gencrl", "-out", "crl/crl.pem"]);
}

#[test]
fn a_killed_update_of_the_register_is_healed() {
    heals(&["-updatedb"]);
}
