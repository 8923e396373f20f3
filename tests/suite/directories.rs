//! mailca in the CA directories that other tools made, and those tools after it.

use std::collections::BTreeSet;
use std::fs;

use super::support::layouts::{self, Layout};
use super::support::{BASE_MC, Sendmail, User, require, s_client_starttls};

/// No serial number stands twice, and every row has its certificate.
#[track_caller]
fn assert_sound(layout: &Layout) {
    let names = layout.names;
    let mut serials = BTreeSet::new();
    for row in layout.rows() {
        let [status, _, _, serial, _, subject] = &row[..] else {
            panic!("{}: {row:?}", layout.name);
        };
        assert!(serials.insert(serial.clone()), "{serial} twice");
        let kept = layout.file(&format!("{}/{serial}.pem", names.new_certs_dir));
        let moved = layout.file(&format!("revoked/certs_by_serial/{serial}.crt"));
        let file = if status == "R" && fs::exists(&moved).unwrap() {
            moved
        } else {
            kept
        };
        let command = [
            "x509", "-noout", "-serial", "-subject", "-nameopt", "compat", "-in", &file,
        ];
        let said = layout.dir.openssl(&command);
        assert_eq!(said, format!("serial={serial}\nsubject={subject}\n"));
    }
    let stem = |name: String| name.strip_suffix(".pem").map(str::to_owned);
    let files = fs::read_dir(layout.file(names.new_certs_dir)).unwrap();
    let files = files.filter_map(|entry| stem(entry.unwrap().file_name().into_string().unwrap()));
    for file in files {
        assert!(serials.contains(&file), "{file} has no row");
    }
}

#[track_caller]
fn serial_of(layout: &Layout, certificate: &str) -> String {
    let command = ["x509", "-noout", "-serial", "-in", certificate];
    let said = layout.dir.openssl(&command);
    said.trim().strip_prefix("serial=").unwrap().to_owned()
}

/// The years of such a CA, all of them in a row.
#[track_caller]
fn lives(layout: &Layout) {
    // The tool, as ever.
    let first = layout.tool_signs("first.example.test");

    // Then mailca.
    let request = layout.request("second.example.test");
    layout.signs(&["sign", &request, "--out", "second.example.test.crt"]);
    let second = layout.dir.file("second.example.test.crt");
    layout.verify(&second).exits(0);
    layout.signs(&["issue", "mx.example.test"]);
    let mx = layout.file("hosts/mx.example.test/cert.pem");
    layout.verify(&mx).exits(0);
    let lines = layout.ok(&["emit-mc", "mx.example.test"]).stdout;
    let certificate = layout.file(if layout.is_root() {
        layout.names.certificate
    } else {
        "certs/ca-chain.cert.pem"
    });
    assert!(lines.contains(&format!("`{certificate}'")), "{lines}");
    let listed = layout.ok(&["list"]).stdout;
    for host in ["first", "second", "mx"] {
        assert!(listed.contains(&format!("{host}.example.test")), "{listed}");
        let host = format!("{host}.example.test");
        let shown = layout.ok(&["show", &host]).stdout;
        assert!(shown.contains(&host), "{shown}");
    }
    layout.ok(&["status", "--expiring", "1d"]);
    layout.ok(&["verify", "mx.example.test", "--host", "mx.example.test"]);

    // A certificate of the tool is revoked by mailca, and is in the CRL where the tool has it.
    layout.signs(&["revoke", "first.example.test", "--reason", "superseded"]);
    let said = layout.verify(&first).exits(2);
    assert!(said.stderr.contains("certificate revoked"), "{said}");
    layout.verify(&second).exits(0);
    layout.mailca(&["verify", &first]).exits(3);
    layout.ok(&["status", "--expiring", "1d"]);

    // Renewed under its key, as the register permits.
    let old = serial_of(layout, &mx);
    let renewed = layout.mailca(&[
        "renew",
        "mx.example.test",
        "--yes",
        "--passphrase-file=pass",
    ]);
    if renewed.code() != 0 {
        assert!(renewed.stderr.contains("unique_subject"), "{renewed}");
        layout.signs(&["renew", "mx.example.test", "--revoke-old"]);
    }
    assert_ne!(serial_of(layout, &mx), old);
    layout.verify(&mx).exits(0);
    layout.signs(&["crl"]);
    assert_sound(layout);
    renew_the_ca(layout);
    layout.verify(&mx).exits(0);
    layout.verify(&second).exits(0);

    // The tool goes on, also with what mailca issued.
    let third = layout.tool_signs("third.example.test");
    layout.verify(&third).exits(0);
    layout.tool_revokes(&second);
    layout.tool_makes_crl();
    let said = layout.verify(&serial_file(layout, &second)).exits(2);
    assert!(said.stderr.contains("certificate revoked"), "{said}");
    layout.verify(&third).exits(0);
    assert_sound(layout);

    // And mailca again.
    layout.ok(&["list"]);
    layout.signs(&["issue", "last.example.test"]);
    layout.signs(&["revoke", "third.example.test"]);
    let said = layout.verify(&third).exits(2);
    assert!(said.stderr.contains("certificate revoked"), "{said}");
    layout.signs(&["crl"]);
    layout.ok(&["status", "--expiring", "1d"]);
    assert_sound(layout);
    layout.openssl_ca(&["-updatedb"]).exits(0);
    let shown = layout.ok(&["show", &serial_of(layout, &serial_file(layout, &second))]);
    assert!(shown.stdout.contains("second.example.test"), "{shown}");
}

/// A certificate's file, wherever easy-rsa has put it.
fn serial_file(layout: &Layout, given: &str) -> String {
    if fs::exists(given).unwrap() {
        return given.to_owned();
    }
    let row = layout
        .rows()
        .into_iter()
        .find(|row| row[5].contains("second"));
    layout.file(&format!("revoked/certs_by_serial/{}.crt", row.unwrap()[3]))
}

#[track_caller]
fn renew_the_ca(layout: &Layout) {
    let own = layout.file(layout.names.certificate);
    let before = serial_of(layout, &own);
    if layout.is_root() {
        layout.signs(&["renew-ca"]);
        assert_ne!(serial_of(layout, &own), before);
        return;
    }
    // Only the CA above it can; what to give that is in the hint.
    let said = layout
        .mailca(&["renew-ca", "--yes", "--passphrase-file=pass"])
        .exits(1)
        .stderr;
    let hint = said
        .lines()
        .find_map(|line| line.strip_prefix("hint: "))
        .unwrap();
    let (_, command) = hint
        .split_once("this makes: ")
        .unwrap_or_else(|| panic!("{said}"));
    layout.sh(&format!("{command} -passin file:pass"));
    layout.sh(
        "openssl ca -config ca/openssl.cnf -extensions v3_intermediate_ca -batch -notext \
         -passin file:pass -in ca.csr -out new.pem 2>said || \
         { openssl ca -config ca/openssl.cnf -batch -passin file:pass \
            -revoke ca/newcerts/1000.pem
         openssl ca -config ca/openssl.cnf -extensions v3_intermediate_ca -batch -notext \
            -passin file:pass -in ca.csr -out new.pem; }
         cat new.pem >new && mv -f new ca/intermediate/certs/intermediate.cert.pem",
    );
    assert_ne!(serial_of(layout, &own), before);
}

#[track_caller]
fn lives_as(name: &str) {
    if let Some(layout) = layouts::named(name) {
        lives(&layout);
    }
}

#[test]
fn the_book_s() {
    lives_as("book");
}

#[test]
fn ca_pl_s() {
    lives_as("demoCA");
}

#[test]
fn a_tutorial_s_root() {
    lives_as("tutorial root");
}

#[test]
fn a_tutorial_s_intermediate() {
    lives_as("tutorial intermediate");
}

#[test]
fn easy_rsa_s() {
    lives_as("easy-rsa");
}

#[test]
fn rabbitmq_s() {
    lives_as("testca");
}

#[test]
fn sign_sh_s() {
    lives_as("sign.sh");
}

#[test]
fn one_with_its_settings_in_etc() {
    lives_as("simple PKI");
}

#[test]
fn one_with_a_folder_db() {
    lives_as("db folder");
}

/// What a hint says to run, behind the words before the command.
#[track_caller]
fn hint<'a>(said: &'a str, words: &str) -> &'a str {
    let found = said.lines().find_map(|line| line.strip_prefix("hint: "));
    let found = found.and_then(|hint| hint.strip_prefix(words));
    found.unwrap_or_else(|| panic!("no hint {words:?} in: {said}"))
}

const SIGNING: [&str; 4] = [
    "issue",
    "mx.example.test",
    "--yes",
    "--passphrase-file=pass",
];

#[test]
fn without_settings_they_are_known_by_their_names() {
    for (name, settings) in [
        ("book", "openssl.cnf"),
        ("tutorial root", "openssl.cnf"),
        ("tutorial intermediate", "openssl.cnf"),
        ("easy-rsa", "openssl-easyrsa.cnf"),
        ("testca", "openssl.cnf"),
        ("sign.sh", "ca.config"),
        ("db folder", "root-ca.conf"),
    ] {
        let Some(mut layout) = layouts::named(name) else {
            continue;
        };
        layout.options.clear();
        fs::remove_file(layout.file(settings)).unwrap();
        match name {
            // OpenSSL's own names, and those of its CA.pl.
            "book" => layout.names.crl = "crl/crl.pem",
            "db folder" => layout.names.crl = "root-ca.crl",
            _ => {}
        }
        let names = layout.names;
        let before = layout.read(names.serial);
        let ran = layout.mailca(&SIGNING).exits(0);
        assert!(!ran.stderr.contains("warning"), "{name}: {ran}");
        assert_ne!(layout.read(names.serial), before);
        let mx = layout.file("hosts/mx.example.test/cert.pem");
        layout.verify(&mx).exits(0);
        layout.signs(&["revoke", "mx.example.test"]);
        let said = layout.verify(&mx).exits(2);
        assert!(said.stderr.contains("certificate revoked"), "{said}");
        assert_sound(&layout);
        layout.signs(&["issue", "mx.example.test", "--replace"]);
        layout.ok(&["status", "--expiring", "1d"]);

        fs::remove_file(layout.file(names.private_key)).unwrap();
        let said = layout.mailca(&["crl", "--yes"]).exits(1).stderr;
        assert!(said.contains(names.private_key), "{name}: {said}");
    }
}

#[test]
fn a_directory_that_was_moved_is_used_where_it_is() {
    for name in ["tutorial root", "tutorial intermediate"] {
        let Some(mut layout) = layouts::named(name) else {
            return;
        };
        layout.sh("mv ca moved");
        layout.ca = if name == "tutorial root" {
            "moved"
        } else {
            layout.issuers = Some("moved/certs/ca.cert.pem");
            "moved/intermediate"
        };
        let said = layout.mailca(&SIGNING).exits(0).stderr;
        let warning = format!("the files in {} are used", layout.ca);
        assert!(said.contains(&warning), "{said}");
        layout.signs(&["crl"]);
        layout
            .verify(&layout.file("hosts/mx.example.test/cert.pem"))
            .exits(0);
        assert!(!fs::exists(layout.dir.file("ca")).unwrap());
        assert_sound(&layout);
    }
}

#[test]
fn settings_that_were_moved_are_given_by_config() {
    for name in ["tutorial root", "testca", "db folder"] {
        let Some(mut layout) = layouts::named(name) else {
            return;
        };
        let layouts::Tool::OpensslCa { config, .. } = layout.tool else {
            panic!("{name}");
        };
        layout.sh(&format!("mkdir etc; mv {config} etc/my.cnf"));
        layout.options = vec!["--config".into(), "etc/my.cnf".into()];
        layout.mailca(&SIGNING).exits(0);
        layout
            .verify(&layout.file("hosts/mx.example.test/cert.pem"))
            .exits(0);
        assert_sound(&layout);
        // What mailca says to run next is about these settings.
        let next = layout.signs(&["issue", "mx2.example.test"]).stdout;
        assert!(next.contains("--config etc/my.cnf"), "{next}");
    }
}

#[test]
fn a_directory_that_may_be_two_is_refused_until_it_says_which() {
    let Some(layout) = layouts::named("easy-rsa") else {
        return;
    };
    // Another tool's files beside those of easy-rsa.
    layout.sh("cd pki; mkdir newcerts
        cp ca.crt cacert.pem; cp private/ca.key private/cakey.pem");
    let said = layout.mailca(&SIGNING).exits(1).stderr;
    for name in ["newcerts", "certs_by_serial", "cacert.pem", "ca.crt"] {
        assert!(said.contains(name), "{said}");
    }
    layout.sh(hint(&said, "say which it is: "));
    layout.mailca(&SIGNING).exits(0);
    assert_eq!(fs::read_dir(layout.file("newcerts")).unwrap().count(), 1);
}

#[test]
fn a_ca_of_other_names_is_refused_with_what_helps() {
    let Some(layout) = layouts::named("testca") else {
        return;
    };
    layout.sh("cd testca; mv ca_certificate.pem mine.pem; mv openssl.cnf mine.cnf; rm *.cer");
    // Its settings are there, by another name.
    let said = layout.mailca(&SIGNING).exits(1).stderr;
    assert!(said.contains("testca holds no CA: "), "{said}");
    assert_eq!(
        hint(&said, "try "),
        "mailca --ca testca --config testca/mine.cnf status"
    );
    // They name the file that is not there.
    let said = layout
        .mailca(&["--config=testca/mine.cnf", "status"])
        .exits(1)
        .stderr;
    assert!(
        said.contains("testca/ca_certificate.pem is missing"),
        "{said}"
    );
    assert_eq!(
        hint(&said, "put it there, or "),
        "change the path in testca/mine.cnf"
    );
    // And where there are none, the hint writes some.
    layout.sh("rm testca/mine.cnf");
    let said = layout.mailca(&SIGNING).exits(1).stderr;
    layout.sh(hint(&said, "say where it is: "));
    layout.sh("sed -i 's|/ca_certificate.pem|/mine.pem|' testca/openssl.cnf");
    layout.mailca(&SIGNING).exits(0);
}

#[test]
fn what_nothing_needs_yet_may_be_missing() {
    let Some(layout) = layouts::named("book") else {
        return;
    };
    layout.sh("cd CA; rm -rf crl certs serial openssl.cnf index.txt");
    layout.mailca(&SIGNING).exits(0);
    layout.signs(&["revoke", "mx.example.test"]);
    layout.signs(&["renew-ca"]);
    layout.signs(&["issue", "mx.example.test", "--replace"]);
    layout.ok(&["status"]);
    assert_sound(&layout);
    layout.sh("rm -rf CA/newcerts");
    let said = layout
        .mailca(&["issue", "b.example.test", "--yes"])
        .exits(1)
        .stderr;
    let make = hint(&said, "make it (").split_once("), ").unwrap().0;
    layout.sh(make);
    layout.signs(&["issue", "b.example.test"]);
}

#[test]
fn a_serial_file_counts_as_openssl_reads_it() {
    let Some(layout) = layouts::named("testca") else {
        return;
    };
    for (text, first, next) in [
        ("ab", "AB", "AC\n"),
        ("0abc", "0ABC", "0ABD\n"),
        ("1D2F \n", "1D2F", "1D30\n"),
        ("2000\r\n", "2000", "2001\n"),
        ("00003000\n", "3000", "3001\n"),
        ("4000\n99\n", "4000", "4001\n"),
        // OpenSSL reads no odd number of digits: who wrote it knows no better.
        ("fff", "0FFF", "1000\n"),
    ] {
        let by_openssl = layouts::named("testca").unwrap();
        for layout in [&layout, &by_openssl] {
            fs::write(layout.file("serial"), text).unwrap();
            fs::write(layout.file("index.txt"), "").unwrap();
        }
        layout.sh("rm -f testca/index.txt.journal testca/certs/*.pem; rm -rf testca/hosts");
        layout.mailca(&SIGNING).exits(0);
        assert_eq!(layout.rows()[0][3], first, "{text:?}");
        assert_eq!(layout.read("serial"), next, "{text:?}");
        if text != "fff" {
            by_openssl.tool_signs("mx.example.test");
            assert_eq!(by_openssl.rows()[0][3], first, "{text:?}");
            assert_eq!(by_openssl.read("serial"), next, "{text:?}");
        }
    }
}

#[test]
fn the_first_serial_number_of_an_old_ca_is_not_zero() {
    let Some(layout) = layouts::named("testca") else {
        return;
    };
    fs::write(layout.file("serial"), "00\n").unwrap();
    layout.mailca(&SIGNING).exits(0);
    assert_eq!(layout.rows()[0][3], "01");
}

#[test]
fn a_key_that_easy_rsa_revoked_as_compromised_is_refused() {
    let Some(layout) = layouts::named("easy-rsa") else {
        return;
    };
    layout.tool_signs("leaked.example.test");
    let request = layout.dir.file("leaked.req");
    fs::copy(layout.file("reqs/leaked.example.test.req"), &request).unwrap();
    layout.easyrsa(&["revoke", "leaked.example.test", "keyCompromise"]);
    let sign = ["sign", &request, "--yes", "--san", "leaked.example.test"];
    let said = layout.mailca(&sign).exits(1).stderr;
    assert!(said.contains("the key was compromised"), "{said}");
}

#[test]
fn a_ca_certificate_that_a_root_issued_is_not_renewed_as_a_host_s() {
    let Some(layout) = layouts::named("tutorial root") else {
        return;
    };
    layout.signs(&["issue", "mx.example.test"]);
    let renew = ["renew", "--expiring", "5000d", "--revoke-old", "--yes"];
    let ran = layout
        .mailca(&[&renew[..], &["--passphrase-file=pass"]].concat())
        .exits(3);
    assert!(
        ran.stderr
            .contains("1000 of Example Sub CA is a CA certificate"),
        "{ran}"
    );
    assert!(ran.stdout.contains("renewed mx.example.test"), "{ran}");
}

#[test]
fn sendmail_trusts_those_below_a_root_and_an_intermediate() {
    if !require(&["sendmail", "m4", "cc"]) {
        return;
    }
    let Some(layout) = layouts::named("tutorial intermediate") else {
        return;
    };
    layout.mailca(&SIGNING).exits(0);
    let request = layout.request("client.example.test");
    layout.signs(&["sign", &request, "--out", "client.pem"]);
    let mc = BASE_MC.to_owned() + &layout.ok(&["emit-mc"]).stdout;
    let sendmail = Sendmail::start(User::me(), &mc);
    let root = layout.dir.file("ca/certs/ca.cert.pem");
    let hello = s_client_starttls(sendmail.port, &root, "mx.example.test", &[]);
    assert!(hello.verified, "{}\n{}", hello.ran, sendmail.log());
    let [cert, key] = ["client.pem", "client.example.test.key"].map(|name| layout.dir.file(name));
    let verdict = || sendmail.verdict_on(Some([&cert, &key]));
    assert_eq!(verdict(), "OK", "{}", sendmail.log());
    layout.signs(&["issue", "other.example.test"]);
    layout.signs(&["revoke", "client.example.test"]);
    assert_eq!(verdict(), "FAIL", "{}", sendmail.log());
    let pair = ["cert.pem", "key.pem"];
    let [cert, key] = pair.map(|name| layout.file(&format!("hosts/other.example.test/{name}")));
    let other = sendmail.verdict_on(Some([&cert, &key]));
    assert_eq!(other, "OK", "{}", sendmail.log());

    // Without the file, it is said how to make it.
    layout.sh("rm ca/intermediate/certs/ca-chain.cert.pem");
    let emit = ["emit-mc", "mx.example.test"];
    let said = layout.ok(&emit).stderr;
    assert!(said.contains("put the certificate of "), "{said}");
    layout.sh("cp ca/certs/ca.cert.pem ca/intermediate/certs");
    let said = layout.ok(&emit).stderr;
    let (_, cat) = said.split_once("in the same file: ").unwrap();
    layout.sh(cat.lines().next().unwrap());
    let ran = layout.ok(&emit);
    assert!(!ran.stderr.contains("warning: "), "{ran}");
    let lines = ran.stdout;
    assert!(lines.contains("certs/mailca-chain.pem'"), "{lines}");
}

#[test]
fn a_revocation_that_was_lost_is_put_back_by_the_hint() {
    for name in ["easy-rsa", "sign.sh", "tutorial root"] {
        let Some(layout) = layouts::named(name) else {
            continue;
        };
        layout.mailca(&SIGNING).exits(0);
        let before = layout.read(layout.names.database);
        layout.signs(&["revoke", "mx.example.test", "--reason", "keyCompromise"]);
        // An older copy of the register.
        fs::write(layout.file(layout.names.database), before).unwrap();
        let said = layout
            .mailca(&["crl", "--passphrase-file=pass"])
            .exits(1)
            .stderr;
        let (_, command) = said.split_once("(keyCompromise): ").unwrap();
        let command = command.lines().next().unwrap();
        layout.sh(&format!("top=$PWD; {command} -passin file:$top/pass"));
        let row = layout.rows().pop().unwrap();
        assert_eq!(row[0], "R", "{row:?}");
        layout.signs(&["crl"]);
    }
}
