//! docs/check.md: its commands are run on a CA of `openssl ca` that has suffered, and its tables
//! name every finding of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::super::support::require;
use super::{MailHost, PASSPHRASE, Page, ROOT, wait_a_second};

pub(super) const PAGE: &str = "docs/check.md";

const SECTIONS: [&str; 5] = [
    "Look",
    "Mend",
    "Go back",
    "When openssl ca was interrupted",
    "What nothing proves",
];

/// A host's certificate, by `openssl ca`.
fn openssl_signs(host: &MailHost, name: &str) {
    let said = host.type_in(&format!(
        "cd /etc/mail/CA && openssl req -new -nodes -config openssl.cnf \
         -subj /C=US/ST=Maryland/O=Example/CN={name}.example.com -keyout {name}.key -out {name}.csr && \
         openssl ca -batch -config openssl.cnf -policy policy_anything -passin pass:{PASSPHRASE} \
         -out {name}.pem -infiles {name}.csr"
    ));
    assert!(said.contains("Database updated"), "{said}");
}

#[test]
fn an_old_ca_is_checked_and_mended() {
    if !require(&["openssl", "setsid"]) {
        return;
    }
    let mut page = Page::read(PAGE);
    let sections: Vec<String> = page.sections();
    let with_blocks = sections.iter().filter(|it| !page.blocks(it).is_empty());
    assert!(with_blocks.eq(SECTIONS.iter()));

    let mut host = MailHost::new();
    host.dir.create_dir("root");
    host.places.push(["/root".into(), host.dir.file("root")]);
    host.dir
        .write_secret("root/ca.pass", &format!("{PASSPHRASE}\n"));
    host.make_openssl_ca();
    host.type_in("cd /etc/mail/CA && cp index.txt serial /root");
    openssl_signs(&host, "mx2");
    wait_a_second();
    host.type_in(&format!(
        "cd /etc/mail/CA && echo 01 >crlnumber && openssl ca -config openssl.cnf -gencrl \
         -passin pass:{PASSPHRASE} -out crl.pem"
    ));
    host.type_in("cd /etc/mail/CA && cp /root/serial . && chmod 755 private");
    host.type_in("head -c -1 /root/index.txt >/etc/mail/CA/index.txt");
    let all = |page: &mut Page, section: &str| {
        for block in 0..page.blocks(section).len() {
            host.check(page, section, block);
        }
    };
    let [look, mend, back, interrupted, unproven] = SECTIONS;
    all(&mut page, look);
    all(&mut page, mend);
    let mended = host.dir.read("CA/index.txt");
    all(&mut page, back);
    assert_ne!(host.dir.read("CA/index.txt"), mended);
    host.type_in("mailca repair --yes && rm -f CA/*.2*Z");
    assert_eq!(host.dir.read("CA/index.txt"), mended);

    // Killed between two of its renames.
    openssl_signs(&host, "mx3");
    let signed = host.dir.read("CA/index.txt");
    host.type_in("cd /etc/mail/CA && mv index.txt index.txt.new");
    all(&mut page, interrupted);
    assert_eq!(host.dir.read("CA/index.txt"), signed);

    host.type_in("sed -i '$d' /etc/mail/CA/index.txt && rm -f CA/*.2*Z");
    all(&mut page, unproven);
    assert_eq!(host.dir.read("CA/index.txt"), signed);
    openssl_signs(&host, "mx4");
    page.finish();
}

/// What is a name of a finding anywhere, by its look, and is none.
const NO_FINDINGS: [&str; 3] = ["emit-mc", "renew-ca", "go-w"];

/// What may be wrong with what ends; what the audit knows better is left to it.
const ENDING: [(&str, &[&str]); 5] = [
    ("ca", &["not-valid-yet", "ended", "ending"]),
    ("issuer", &["not-valid-yet", "ended", "ending"]),
    (
        "crl",
        &[
            "not-valid-yet",
            "ended",
            "ending",
            "missing",
            "unreadable",
            "of-another-ca",
            "not-published",
            "incomplete",
            "unrecorded",
        ],
    ),
    (
        "host",
        &[
            "not-valid-yet",
            "ended",
            "ending",
            "unreadable",
            "of-another-ca",
            "revoked",
            "by-the-old-key",
        ],
    ),
    ("register", &["missing", "damaged", "incomplete"]),
];

fn source(name: &str) -> String {
    let path = Path::new(ROOT).join("src/commands").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn sources_of_check() -> Vec<String> {
    let folder = Path::new(ROOT).join("src/commands/check");
    let entries = fs::read_dir(folder).expect("the sources of check");
    let names = entries.map(|entry| entry.expect("a source").file_name());
    names
        .map(|name| source(&format!("check/{}", name.to_str().expect("UTF-8 name"))))
        .collect()
}

fn is_name(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    text.split('-').all(is_word)
}

/// The literals of a source that could be names, each with what stands before and behind it.
fn names_in(source: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    source.match_indices('"').filter_map(|(at, _)| {
        let rest = &source[at + 1..];
        let (name, behind) = rest.split_once('"')?;
        is_name(name).then(|| (source[..at].trim_end(), name, behind.trim_start()))
    })
}

/// The severities in the code of the findings that it names, of some none.
fn findings_in_the_code() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources_of_check() {
        for (before, name, behind) in names_in(&source) {
            let last = before.rsplit("Severity::").next().unwrap_or_default();
            let before = last
                .strip_suffix(',')
                .filter(|it| is_name(&it.to_lowercase()));
            let after = behind.strip_prefix(',').map(str::trim_start);
            let after = after.and_then(|it| it.strip_prefix("Severity::"));
            let after = after.and_then(|it| it.split(',').next());
            let severity = before.or(after).map(str::to_lowercase);
            let is_finding = severity.is_some() || name.contains('-');
            if !is_finding || NO_FINDINGS.contains(&name) {
                continue;
            }
            if let "missing" | "unreadable" | "behind" = name {
                // Of either number, with a severity of its own.
                let both = ["serial", "crlnumber"].map(|file| format!("{file}-{name}"));
                found.extend(both.map(|name| (name, BTreeSet::new())));
            } else {
                found.entry(name.into()).or_default().extend(severity);
            }
        }
    }
    let audited = source("check.rs");
    let (_, audited) = audited
        .split_once("const AUDITED")
        .expect("what is left out");
    let (audited, _) = audited.split_once("];").expect("an end");
    for (kind, problems) in ENDING {
        let names = problems.iter().map(|problem| format!("{kind}-{problem}"));
        let told = names.filter(|name| !audited.contains(&format!("{name:?}")));
        found.extend(told.map(|name| (name, BTreeSet::new())));
    }
    found
}

/// The names in the first cells of the page's tables, and their second cells.
fn findings_on_the_page() -> BTreeMap<String, String> {
    let page = Page::read(PAGE);
    let (_, tables) = page.section("What the findings mean");
    let rows = tables.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let mut cells = row.split(" | ");
        let (first, second) = (cells.next(), cells.next());
        let names = first.expect("a cell").split('`').skip(1).step_by(2);
        names.map(move |name| (name.to_owned(), second.expect("two cells").to_owned()))
    })
    .collect()
}

#[test]
fn every_finding_is_in_the_tables() {
    let (code, page) = (findings_in_the_code(), findings_on_the_page());
    let named: BTreeSet<_> = page.keys().collect();
    assert_eq!(named, code.keys().collect::<BTreeSet<_>>());
    for (name, severities) in code {
        let cell = &page[&name];
        for severity in severities {
            assert!(
                cell.contains(&severity),
                "{name}: {severity} is not in {cell}"
            );
        }
    }
}

#[test]
fn all_that_status_calls_wrong_is_known_here() {
    let mut problems = BTreeSet::new();
    for name in ["overview/item.rs", "overview/watch.rs"] {
        let source = source(name);
        let named = names_in(&source).filter(|(before, ..)| {
            let before = before.trim_end();
            before.ends_with(".fail(") || before.ends_with("problem = Some(")
        });
        problems.extend(named.map(|(_, name, _)| name.to_owned()));
    }
    let known = ENDING.iter().flat_map(|(_, problems)| problems.iter());
    let known: BTreeSet<_> = known.map(|it| (*it).to_owned()).collect();
    assert_eq!(problems, known);
}
