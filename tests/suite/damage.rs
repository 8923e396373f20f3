//! CA directories of every kind, damaged in every way: `check` names the damage and no other,
//! `repair` mends it, and `openssl ca` goes on.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::support::layouts::{self, Layout};
use super::support::{Ca, Ran, Tree, tell};

/// How a damage ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// `repair` mends it.
    Repaired,
    /// The same, after somebody says that nothing was revoked.
    Assumed,
    /// It needs somebody who decides; the command that helps, if there is one, does.
    Left,
}
use End::{Assumed, Left, Repaired};

/// A damage: its name, how a shell does it, what `check` calls it, and how it ends.
type Damage = (&'static str, &'static str, &'static [&'static str], End);

const DAMAGES: &[Damage] = &[
    (
        "a row torn at the end",
        "printf 'V\\t2801' >>$index",
        &["torn-line"],
        Repaired,
    ),
    (
        "an empty line",
        "sed -i '1G' $index",
        &["torn-line"],
        Repaired,
    ),
    (
        "a line of something else",
        "sed -i '1i hello' $index",
        &["torn-line"],
        Repaired,
    ),
    (
        "two rows without a line end between them",
        "printf '%s%s\\n' \"$(row 1)\" \"$(row 2)\" >new; sed 1,2d $index >>new; cat new >$index; rm new",
        &["torn-line"],
        Repaired,
    ),
    (
        "a last row cut in its subject",
        "head -c -7 $index >new; cat new >$index; rm new",
        &["unended-row", "row-differs"],
        Repaired,
    ),
    (
        "a last row cut in its serial number",
        "sed -i '$s/unknown.*//; $s/.\\t$//' $index; truncate -s -1 $index",
        &["torn-line"],
        Repaired,
    ),
    (
        "a last row without an end",
        "truncate -s -1 $index",
        &["unended-row"],
        Repaired,
    ),
    (
        "the last rows lost",
        "sed -i '$d' $index",
        &["no-row"],
        Assumed,
    ),
    (
        "the first row lost",
        "sed -i 1d $index",
        &["no-row"],
        Repaired,
    ),
    (
        "the row of a revoked certificate lost",
        "grep -v '^R' $index >new || :; cat new >$index; rm new",
        &["no-row"],
        Repaired,
    ),
    ("a row twice", "row 1 >>$index", &["serial-twice"], Repaired),
    (
        "a revocation forgotten",
        "sed -i -E 's/^R(\\t[^\\t]*\\t)[^\\t]*/V\\1/' $index",
        &["lost-revocation"],
        Repaired,
    ),
    (
        "a row marked expired",
        "sed -i '1s/^V/E/' $index",
        &["expired-early"],
        Repaired,
    ),
    (
        "a date that is none",
        "sed -i -E '1s/[0-9]{6}Z/Z/' $index",
        &["bad-row"],
        Repaired,
    ),
    (
        "an odd serial number",
        "sed -i \"1s/\\t0*$(serial 1)\\t/\\t0$(serial 1)\\t/\" $index",
        &["bad-row"],
        Repaired,
    ),
    (
        "a subject changed",
        "sed -i 's/CN=first/CN=worst/' $index",
        &["row-differs"],
        Repaired,
    ),
    (
        "a date changed",
        "sed -i -E '1s/^V\\t.{6}/V\\t310101/' $index",
        &["row-differs"],
        Repaired,
    ),
    (
        "an older serial",
        "serial 1 >$serial",
        &["serial-behind"],
        Repaired,
    ),
    ("no serial", "rm $serial", &["serial-missing"], Repaired),
    (
        "serial with something else",
        "echo hello >$serial",
        &["serial-unreadable"],
        Repaired,
    ),
    (
        "serial with nothing",
        ": >$serial",
        &["serial-unreadable"],
        Repaired,
    ),
    (
        "the certificate of a host gone from newcerts",
        "rm $newcerts/$(serial_of mx.example.test).pem",
        &["missing-certificate"],
        Repaired,
    ),
    (
        "the certificate of a host torn in newcerts",
        "truncate -s 300 $newcerts/$(serial_of mx.example.test).pem",
        &["damaged-certificate"],
        Repaired,
    ),
    (
        "a certificate gone, and no copy",
        "rm $newcerts/$(serial 1).pem",
        &["missing-certificate"],
        Left,
    ),
    (
        "a certificate in newcerts that somebody else signed",
        "name=$(openssl x509 -in $certificate -noout -subject -nameopt compat)
        openssl req -x509 -newkey ed25519 -nodes -keyout forged.key -subj \"${name#subject=}\" -out forged.ca
        openssl req -new -newkey ed25519 -nodes -keyout host.key -subj /CN=forged -out forged.csr
        openssl x509 -req -in forged.csr -CA forged.ca -CAkey forged.key -set_serial 0x7A7B -out forged.crt
        cp forged.crt $newcerts/7A7B.pem",
        &["not-signed-here"],
        Left,
    ),
    (
        "an empty file in newcerts",
        ": >$newcerts/7A7A.pem",
        &["damaged-certificate"],
        Repaired,
    ),
    (
        "a certificate under another number",
        "mv $newcerts/$(serial 1).pem $newcerts/7A7A.pem",
        &["missing-certificate", "misnamed-certificate"],
        Left,
    ),
    (
        "an openssl ca that was killed before it renamed",
        "cp $index $index.new; cp $serial $serial.new",
        &["interrupted-openssl"],
        Repaired,
    ),
    (
        "an openssl ca that was killed between its renames",
        "mv $index $index.old; cp $index.old $index.new",
        &["register-missing", "interrupted-openssl"],
        Repaired,
    ),
    (
        "the register gone",
        "rm -f $index $index.old",
        &["register-missing"],
        Assumed,
    ),
    (
        "a link to nothing",
        "ln -s nowhere $folder/12345678.0",
        &["dangling-link"],
        Repaired,
    ),
    (
        "a link under a wrong hash",
        "ln -s $certificate $folder/87654321.0",
        &["stale-link"],
        Repaired,
    ),
    (
        "a key that others can read",
        "chmod 644 $key",
        &["ca-key-exposed"],
        Repaired,
    ),
    (
        "a key's directory that others can open",
        "chmod 755 $(dirname $key)",
        &["private-open"],
        Repaired,
    ),
    (
        "a register that others can write",
        "chmod 666 $index",
        &["writable"],
        Repaired,
    ),
    (
        "newcerts that others can write",
        "chmod 777 $newcerts",
        &["writable"],
        Repaired,
    ),
    (
        "a host's key that others can read",
        "chmod 644 $folder/hosts/mx.example.test/key.pem",
        &["host-key-exposed"],
        Repaired,
    ),
    (
        "a host with another's key",
        "openssl genpkey -algorithm ED25519 -out $folder/hosts/mx.example.test/key.pem",
        &["host-key-differs"],
        Left,
    ),
    (
        "a host with another's chain",
        "cp $certificate $folder/hosts/mx.example.test/chain.pem",
        &["host-chain"],
        Repaired,
    ),
    (
        "the CA's key gone",
        "mv $key $key.away",
        &["ca-key-missing"],
        Left,
    ),
    (
        "an older CRL",
        "cat $crl.before >$crl",
        &["crl-incomplete"],
        Left,
    ),
];

/// Of the register one of each, so that none hides another.
const TOGETHER: (&str, &[&str]) = (
    r"serial 1 >$serial
    chmod 666 $index
    sed -i -E 's/^R(\t[^\t]*\t)[^\t]*/V\1/' $index
    sed -i '$d' $index
    sed -i '1s/^V/E/' $index
    printf 'V\t2801' >>$index
    cp $index $index.new",
    &[
        "serial-behind",
        "writable",
        "lost-revocation",
        "no-row",
        "expired-early",
        "torn-line",
        "interrupted-openssl",
    ],
);

const PRELUDE: &str = r#"
row() { sed -n "$1p" $index; }
serial() { row "$1" | cut -f4; }
serial_of() { grep "^V.*CN=$1" $index | tail -n 1 | cut -f4; }
"#;

fn sh(layout: &Layout, script: &str) {
    let names = layout.names;
    let file = |name: &str| layout.file(name);
    let variables = format!(
        "index={} serial={} newcerts={} crl={} certificate={} key={} folder={}\n",
        file(names.database),
        file(names.serial),
        file(names.new_certs_dir),
        file(names.crl),
        file(names.certificate),
        file(names.private_key),
        layout.dir.file(layout.ca),
    );
    layout.sh(&format!("{variables}{PRELUDE}{script}"));
}

/// What `check` calls what it found, each once; notes left out.
#[track_caller]
fn problems(layout: &Layout) -> BTreeSet<String> {
    problems_in(&layout.mailca(&["check", "--json"]))
}

/// The same of a `check --json` that has run.
#[track_caller]
pub fn problems_in(ran: &Ran) -> BTreeSet<String> {
    let document: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let findings = document["findings"].as_array().expect("a list");
    let counted = findings.iter().filter(|it| it["severity"] != "note");
    let found: BTreeSet<String> = counted
        .map(|it| it["problem"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(ran.code(), if found.is_empty() { 0 } else { 3 }, "{ran}");
    found
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A directory in use: certificates of both tools, one revoked, a CRL.
fn in_use(layout: &Layout) {
    layout.tool_signs("first.example.test");
    layout.signs(&["issue", "mx.example.test"]);
    layout.signs(&["crl"]);
    sh(layout, "cp $crl $crl.before");
    layout.tool_signs("second.example.test");
    // The CRL says nothing of one that is as old as itself.
    sleep(Duration::from_millis(1100));
    let request = layout.request("third.example.test");
    layout.signs(&["sign", &request, "--out", "third.example.test.crt"]);
    layout.signs(&["revoke", "third.example.test", "--reason", "superseded"]);
    sleep(Duration::from_millis(1100));
    let request = layout.request("fourth.example.test");
    layout.signs(&["sign", &request, "--out", "fourth.example.test.crt"]);
    layout.ok(&["repair", "--yes"]);
    sh(layout, "rm -f $folder/*.20[0-9]*Z");
}

struct Trial<'a> {
    layout: &'a Layout,
    /// what is wrong with it from the beginning
    own: BTreeSet<String>,
    backup: String,
}

impl Trial<'_> {
    fn restore(&self) {
        let ca = self.layout.dir.file(self.layout.ca);
        self.layout.sh(&format!(
            "rm -rf {ca}; cp -a {backup} {ca}",
            backup = self.backup
        ));
    }

    /// What check finds besides what was there from the beginning.
    #[track_caller]
    fn found(&self) -> BTreeSet<String> {
        problems(self.layout)
            .difference(&self.own)
            .cloned()
            .collect()
    }

    /// Runs the commands that `check` prints for what it found, and returns how many there are.
    #[track_caller]
    fn remedies(&self) -> usize {
        let layout = self.layout;
        let ran = layout.mailca(&["check", "--json"]);
        let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let findings = document["findings"].as_array().expect("a list").iter();
        let new = findings.filter(|it| !self.own.contains(it["problem"].as_str().expect("a name")));
        let commands: Vec<&str> = new.filter_map(|it| it["remedy"].as_str()).collect();
        let mailca = env!("CARGO_BIN_EXE_mailca");
        let answers = format!(
            "mailca() {{ MAILCA_PASSPHRASE='{}' {mailca} \"$@\" --yes; }}\n",
            layouts::PASSPHRASE
        );
        layout.sh(&(answers + &commands.join("\n")));
        commands.len()
    }

    #[track_caller]
    fn openssl_signs(&self, what: &str) {
        let layout = self.layout;
        let before = layout.rows().len();
        let request = layout.request("after.example.test");
        let out = layout.dir.file("after.example.test.crt");
        let ran = layout.openssl_ca(&["-in", &request, "-out", &out]);
        assert_eq!(ran.code(), 0, "{}, {what}: {ran}", layout.name);
        let after = layout.rows().len();
        assert_eq!(after, before + 1, "{}, {what}: {ran}", layout.name);
        layout.verify(&out).exits(0);
    }

    #[track_caller]
    fn suffers(&self, what: &str, scripts: &[&str], expected: &BTreeSet<String>, end: End) {
        let layout = self.layout;
        let name = layout.name;
        sh(layout, &scripts.join("\n"));
        assert_eq!(self.found(), *expected, "{name}, {what}");
        let before = Tree::of(layout.dir.path());
        layout.mailca(&["repair", "--dry-run"]);
        before.assert_unchanged(layout.dir.path(), what);
        let ran = layout.mailca(&["repair", "--yes"]);
        let ran = match end {
            Repaired => ran.exits(0),
            Assumed => {
                let ran = ran.exits(1);
                assert!(ran.stderr.contains("were not revoked"), "{ran}");
                before.assert_unchanged(layout.dir.path(), what);
                layout.ok(&["repair", "--yes", "--assume-valid"])
            }
            Left => ran,
        };
        if end == Left {
            let ran = layout.mailca(&["check"]).exits(3);
            let left = self.found();
            assert!(!left.is_empty(), "{name}, {what}: {ran}");
            assert!(left.is_subset(expected), "{name}, {what}: {ran}");
            if self.remedies() > 0 {
                let left = self.found();
                assert!(
                    left.is_empty(),
                    "{name}, {what}: {left:?} left by the remedies"
                );
            }
        } else {
            let left = self.found();
            assert!(left.is_empty(), "{name}, {what}: {left:?} left by {ran}");
        }
        if expected.contains("ca-key-missing") {
            return;
        }
        self.openssl_signs(what);
        layout.signs(&["issue", "mailca.example.test"]);
        if end != Left {
            let mut left = self.found();
            // openssl ca gives none to what it signs.
            left.remove("no-name");
            assert!(left.is_empty(), "{name}, {what}: {left:?} afterwards");
        }
    }
}

fn suffers_all(layout: &Layout) {
    in_use(layout);
    let trial = Trial {
        own: problems(layout),
        backup: layout.dir.file("backup"),
        layout,
    };
    let ca = layout.dir.file(layout.ca);
    layout.sh(&format!("cp -a {ca} {}", trial.backup));
    let mut failed = Vec::new();
    for (what, script, expected, end) in DAMAGES {
        // Each by itself, so that one does not hide what another does.
        let suffer = || trial.suffers(what, &[script], &set(expected), *end);
        if catch_unwind(AssertUnwindSafe(suffer)).is_err() {
            failed.push(*what);
        }
        trial.restore();
    }
    // All that is mended together, but for what would hide another.
    let alone = [
        "register", "row", "serial", "subject", "date", "unended", "line", "killed", "torn",
    ];
    let together = |(what, _, _, end): &&Damage| {
        *end == Repaired && !alone.iter().any(|word| what.contains(word))
    };
    let scripts = [TOGETHER.0].into_iter();
    let many: Vec<&Damage> = DAMAGES.iter().filter(together).collect();
    let scripts: Vec<&str> = scripts.chain(many.iter().map(|it| it.1)).collect();
    let mut expected = set(TOGETHER.1);
    expected.extend(many.iter().flat_map(|it| set(it.2)));
    let suffer = || trial.suffers("all together", &scripts, &expected, Assumed);
    if catch_unwind(AssertUnwindSafe(suffer)).is_err() {
        failed.push("all together");
    }
    assert!(failed.is_empty(), "{}: {failed:?}", layout.name);
    let mended = DAMAGES.iter().filter(|(.., end)| *end == Repaired).count();
    tell(&format!(
        "{}: {} damages named, {mended} mended without a word",
        layout.name,
        DAMAGES.len()
    ));
}

#[test]
fn the_book_s_directory_is_mended() {
    layouts::book().iter().for_each(suffers_all);
}

#[test]
fn demo_ca_is_mended() {
    layouts::demo_ca().iter().for_each(suffers_all);
}

#[test]
fn the_tutorials_intermediate_ca_is_mended() {
    layouts::tutorial_intermediate()
        .iter()
        .for_each(suffers_all);
}

#[test]
fn easy_rsas_directory_is_mended() {
    layouts::easy_rsa().iter().for_each(suffers_all);
}

#[test]
fn a_certificate_that_the_crl_has_on_hold_stays_there() {
    let ca = Ca::new();
    for host in ["held.example.test", "other.example.test"] {
        ca.ok(&["issue", host, "--yes"]);
    }
    // The CRL says nothing of one that is as old as itself.
    sleep(Duration::from_millis(1100));
    let hold = ["--reason", "certificateHold", "--yes"];
    ca.ok(&[&["revoke", "held.example.test"], &hold[..]].concat());
    let index = ca.read("index.txt");
    let lost = index.lines().filter(|row| !row.contains("held"));
    let lost = lost.collect::<Vec<_>>().join("\n") + "\n";
    fs::write(ca.file("index.txt"), &lost).expect("write index.txt");
    assert_eq!(
        problems_in(&ca.mailca(&["check", "--json"])),
        set(&["no-row"])
    );
    ca.ok(&["repair", "--yes"]);
    let mended = ca.read("index.txt");
    assert!(mended.contains(",certificateHold\t"), "{mended}");
}

#[test]
fn what_a_repaired_line_brings_to_light_is_repaired_too() {
    let ca = Ca::new();
    for host in ["a.example.test", "b.example.test"] {
        ca.ok(&["issue", host, "--yes"]);
    }
    ca.ok(&["revoke", "b.example.test", "--yes"]);
    let index = ca.read("index.txt");
    let [valid, revoked] = [0, 1].map(|at| index.lines().nth(at).expect("a row"));
    let other = "V\t491231235959Z\t\t03\tunknown\t/CN=other";
    let second = "V\t491231235959Z\t\t04\tunknown\t/CN=other";
    for (register, attributes, undecided) in [
        // Three of one number, of which the last is torn.
        (
            format!("{valid}\n{revoked}\n{revoked}\n{}", &revoked[..60]),
            "",
            None,
        ),
        // Rows glued together, of a number that is there.
        (format!("{valid}\n{other}\n{other}{valid}\n"), "", None),
        (
            format!("{other}\n{other}2{valid}\n"),
            "",
            Some("lines 1 and 2"),
        ),
        // One that openssl ca refuses, in a line with another.
        (
            format!("{other}R\t{}\n{revoked}\n", &revoked[2..]),
            "",
            None,
        ),
        (
            format!("{other}\n{second}{valid}\n"),
            "unique_subject = yes\n",
            Some("one subject"),
        ),
        (format!("{}\r\n{valid}{revoked}", &valid[..40]), "", None),
    ] {
        ca.write("index.txt", &register);
        ca.write("index.txt.attr", attributes);
        let left = undecided.map_or(0, |_| 3);
        let ran = ca.mailca(&["repair", "--yes", "--assume-valid", "--json"]);
        let ran = ran.exits(left);
        assert!(
            undecided.is_none_or(|it| ran.stdout.contains(it)),
            "{register}\n{ran}"
        );
        let again = ca.mailca(&["repair", "--yes", "--json"]).exits(left);
        assert!(
            again.stdout.contains("\"changed\": false"),
            "{register}\n{again}"
        );
        if undecided.is_none() {
            let request = ca.openssl_request("theirs", &["-subj", "/CN=theirs"]);
            let signed = ["-in", &request, "-out", "../theirs.pem"];
            ca.openssl_ca(&signed).exits(0);
        }
        for row in [valid, revoked] {
            assert!(ca.read("index.txt").contains(row), "{register}");
        }
    }
}
