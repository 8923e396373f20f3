//! `openssl ca` and mailca in one directory, side by side.

use std::collections::BTreeSet;
use std::fs;

use super::support::{Ca, TestDir, User, require, run, tell};

/// Signs with `openssl ca` the request at `request` in the CA directory's
/// parent, and returns what it says.
#[track_caller]
fn openssl_signs(ca: &Ca, request: &str, options: &[&str]) -> String {
    let sign = ["-in", request, "-out", "../openssl.pem"];
    ca.openssl_ca(&[&sign[..], options].concat())
        .exits(0)
        .stderr
}

/// Every row has its certificate, every certificate its row, no serial number
/// stands twice, and OpenSSL can read the register.
#[track_caller]
fn assert_sound(ca: &Ca) {
    let serials = ca.serials();
    let unique: BTreeSet<_> = serials.iter().cloned().collect();
    assert_eq!(unique.len(), serials.len(), "{serials:?}");
    let files: BTreeSet<_> = fs::read_dir(ca.file("newcerts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.strip_suffix(".pem").unwrap().to_owned())
        .collect();
    assert_eq!(unique, files);
    for serial in serials {
        let file = ca.file(&format!("newcerts/{serial}.pem"));
        let said = ca.x509(&file, &["-serial"]);
        assert_eq!(said.trim(), format!("serial={serial}"));
        ca.verify(&file, &[]).exits(0);
    }
    ca.openssl_ca(&["-updatedb"]);
}

fn take_turns(ca: &Ca, openssl: &[&str], mailca: &[&str]) {
    for round in 0..3 {
        let host = format!("mailca{round}.example.test");
        ca.ok(&[&["issue", &host, "--yes"], mailca].concat());
        let host = format!("openssl{round}.example.test");
        let request = ca.openssl_request(&host, &["-subj", &format!("/CN={host}")]);
        openssl_signs(ca, &request, openssl);
        let host = format!("signed{round}.example.test");
        let request = ca.request(&host, &[]);
        ca.ok(&[&["sign", &request, "--yes"], mailca].concat());
    }
    assert_eq!(ca.rows().len(), 9);
    assert_sound(ca);
    let serials = ca.serials();
    let mut sorted = serials.clone();
    sorted.sort_by_key(|serial| (serial.len(), serial.clone()));
    assert_eq!(serials, sorted);
}

#[test]
fn both_take_turns_with_an_unencrypted_key() {
    if require(&["openssl"]) {
        take_turns(&Ca::new(), &[], &[]);
    }
}

#[test]
fn both_take_turns_with_an_encrypted_key() {
    if require(&["openssl"]) {
        let ca = Ca::encrypted();
        let refused = ca.openssl_ca(&["-in", "none", "-passin", "pass:wrong"]);
        assert!(!refused.status.success());
        take_turns(
            &ca,
            &["-passin", "file:../pass"],
            &["--passphrase-file=pass"],
        );
    }
}

#[test]
fn both_take_turns_with_every_type_of_ca_key() {
    if !require(&["openssl"]) {
        return;
    }
    for key_type in ["p384", "ed25519", "rsa2048"] {
        take_turns(&Ca::of(User::me(), &["--key-type", key_type]), &[], &[]);
    }
}

#[test]
fn both_take_turns_after_a_carry_into_another_digit() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "fd"]);
    assert_eq!(ca.read("serial"), "FD\n");
    take_turns(&ca, &[], &[]);
    assert_eq!(ca.serials()[..4], ["FD", "FE", "FF", "0100"]);
    assert_eq!(ca.read("serial"), "0106\n");
}

/// Lets OpenSSL sign a request, and mailca the same in a copy of the directory,
/// for the same time.
fn both_sign(ca: &Ca, subject: &[&str]) {
    let dir = &ca.dir;
    let request = ca.openssl_request("both", subject);
    run(dir
        .command("sh")
        .args(["-c", "rm -rf copy && cp -R CA copy"]))
    .exits(0);
    let dates = [
        "-startdate",
        "20260101000000Z",
        "-enddate",
        "20281231235959Z",
    ];
    openssl_signs(ca, &request, &dates);
    let times = [
        "--not-before=2026-01-01T00:00:00Z",
        "--not-after=2028-12-31T23:59:59Z",
    ];
    let sign = [
        "--ca",
        "copy",
        "sign",
        &request,
        "--yes",
        "--san=mail.example.test",
    ];
    run(dir.mailca(&sign).args(times)).exits(0);
    for file in ["index.txt", "serial", "index.txt.attr"] {
        let (openssl, mailca) = (ca.read(file), dir.read(&format!("copy/{file}")));
        assert_eq!(openssl, mailca, "{file} for {subject:?}");
    }
    let newest = ca.serials().pop().unwrap();
    for property in [
        "-serial",
        "-subject",
        "-issuer",
        "-dates",
        "-pubkey",
        "-issuer_hash",
    ] {
        let of = |root: &str| {
            let file = dir.file(&format!("{root}/newcerts/{newest}.pem"));
            ca.x509(&file, &[property])
        };
        assert_eq!(of("CA"), of("copy"), "{subject:?}");
    }
    assert!(ca.exists(&format!("newcerts/{newest}.pem")));
}

#[test]
fn both_write_the_same_row_for_the_same_certificate() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "0FFE"]);
    for subject in [
        &["-subj", "/CN=mail.example.test"][..],
        &[
            "-subj",
            "/C=US/ST=CA/L=Berkeley/O=Example/OU=Mail/CN=mail/emailAddress=a@b.test",
        ],
        &["-subj", "/C=US/O=A \\/ B \\+ C/CN=slash and plus"],
        &["-subj", "/O=Tab\there/CN=control"],
        &["-subj", "/O=back\\\\slash/CN=\"quoted\""],
        &["-utf8", "-subj", "/O=Müller & Söhne/CN=größe"],
        &["-utf8", "-subj", "/O=日本/CN=kanji"],
        &[
            "-multivalue-rdn",
            "-subj",
            "/O=Example/OU=One+CN=two.example.test",
        ],
        &["-subj", "/OU=one/OU=two/CN=repeated"],
    ] {
        both_sign(&ca, subject);
    }
}

#[test]
fn both_write_the_same_row_where_the_subject_is_preserved() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "01"]);
    ca.edit("openssl.cnf", "preserve   = no", "preserve   = yes");
    for subject in [
        &["-subj", "/CN=first/O=Example/C=US"][..],
        &["-subj", "/DC=test/DC=example/title=Postmaster/CN=dc"],
        &[
            "-multivalue-rdn",
            "-subj",
            "/O=Example/OU=One+CN=two.example.test",
        ],
        &["-utf8", "-subj", "/2.5.4.65=ä/1.2.3.4=unknown/CN=oids"],
    ] {
        both_sign(&ca, subject);
    }
}

#[test]
fn preserve_where_openssl_does_not_look_is_no_setting_for_mailca_either() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "01"]);
    ca.edit(
        "openssl.cnf",
        "[ CA_default ]",
        "[ CA_default ]\npreserve = yes",
    );
    both_sign(&ca, &["-subj", "/CN=first/O=Example/C=US"]);
    let said = ca.ok(&["issue", "a.example.test", "--yes"]).stderr;
    assert!(said.contains("preserve = yes is not used"), "{said}");
}

#[test]
fn both_write_the_same_row_under_unique_subject() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "01"]);
    ca.write("index.txt.attr", "unique_subject = yes\n");
    both_sign(&ca, &["-subj", "/CN=mail.example.test"]);
}

#[test]
fn days_changed_in_openssl_cnf_count_for_both() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.edit(
        "openssl.cnf",
        "default_days     = 365",
        "default_days     = 77",
    );
    let request = ca.openssl_request("mail", &["-subj", "/CN=mail.example.test"]);
    openssl_signs(&ca, &request, &[]);
    ca.ok(&["sign", &request, "--out", "mailca.pem", "--yes"]);
    for file in ["openssl.pem", "mailca.pem"] {
        let soon = |days: i64| {
            let seconds = (days * 86400).to_string();
            let mut command = ca.dir.command("openssl");
            run(command.args(["x509", "-noout", "-in", file, "-checkend", &seconds])).code()
        };
        assert_eq!((soon(76), soon(78)), (0, 1), "{file}");
    }
}

#[test]
fn paths_changed_in_openssl_cnf_count_for_both() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    for (from, to) in [
        ("$dir/index.txt", "$dir/db/register"),
        ("$dir/serial", "$dir/db/next"),
        ("$dir/newcerts", "$dir/issued"),
        ("$dir/cacert.pem", "$dir/certs/authority.pem"),
        ("$dir/private/cakey.pem", "${dir}/private/authority.key"),
    ] {
        ca.edit("openssl.cnf", from, to);
    }
    let script = "mkdir db issued && mv index.txt db/register && mv serial db/next &&
        mv index.txt.attr db/register.attr && mv cacert.pem certs/authority.pem &&
        mv private/cakey.pem private/authority.key && rm -rf newcerts";
    run(ca
        .dir
        .command("sh")
        .current_dir(ca.file("."))
        .args(["-c", script]))
    .exits(0);
    ca.ok(&["issue", "a.example.test", "--yes"]);
    let request = ca.openssl_request("b", &["-subj", "/CN=b.example.test"]);
    openssl_signs(&ca, &request, &[]);
    ca.ok(&["issue", "c.example.test", "--yes"]);
    assert_eq!(ca.read("db/register").lines().count(), 3);
    assert_eq!(fs::read_dir(ca.file("issued")).unwrap().count(), 3);
    assert!(!ca.exists("index.txt") && !ca.exists("serial") && !ca.exists("newcerts"));
    let lines = ca.ok(&["emit-mc", "a.example.test"]).stdout;
    assert!(lines.contains(&ca.file("certs/authority.pem")), "{lines}");
}

/// Debian's own file with other section names, other paths, and whatever else the grammar has.
fn edited(stock: &str) -> Vec<u8> {
    let mut text = stock.to_owned();
    for (from, to) in [
        (
            "[ new_oids ]",
            "[ paths ]\nkeys = ./keys\ncity = $ENV::CITY\n[ new_oids ]",
        ),
        ("default_ca\t= CA_default\t", "default_ca\t= mail_ca\t"),
        ("[ CA_default ]", "[ mail_ca ] # f\u{fc}r die Mailserver"),
        ("= ./demoCA\t", "= .\t"),
        ("$dir/index.txt", "${dir}/$paths::city/\\\nregister"),
        ("$dir/serial ", "$(dir)/${paths::city}/next"),
        ("$dir/newcerts", "$dir/'issued # here'"),
        ("$dir/cacert.pem", "$mail_ca::dir/\"ca\".crt"),
        ("$dir/private/cakey.pem#", "$paths::keys/ca.key#"),
        (
            "default_days\t= 365",
            ".include more.cnf\n.include = none.cnf\n#",
        ),
        ("= policy_match", "= policy_mail"),
        ("[ policy_match ]", "[policy_mail]"),
        ("Internet Widgits Pty Ltd", "M\u{fc}ller GmbH"),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    // Latin-1, as an editor of that time wrote it.
    let latin = |c| u8::try_from(c).expect("a character of Latin-1");
    text.chars().map(latin).collect()
}

#[test]
fn debians_own_file_edited_as_people_do_counts_for_both() {
    if !require(&["openssl"]) {
        return;
    }
    let Ok(stock) = fs::read_to_string("/etc/ssl/openssl.cnf") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "/etc/ssl/openssl.cnf is missing"
        );
        return tell("SKIPPED: there is no /etc/ssl/openssl.cnf");
    };
    let ca = Ca::unmade(User::me());
    ca.dir.create_dir("CA");
    fs::write(ca.file("openssl.cnf"), edited(&stock)).unwrap();
    ca.write("more.cnf", "default_days = 90");
    let script = "mkdir keys Praha 'issued # here' && : >Praha/register && echo 0FFF >Praha/next &&
        openssl req -new -x509 -nodes -config openssl.cnf -keyout keys/ca.key -days 365 -out ca.crt \
            -subj '/C=US/ST=CA/O=Example/CN=Example CA' 2>../said && chmod 600 keys/ca.key";
    let mut shell = ca.dir.command("sh");
    shell.current_dir(ca.file(".")).env("CITY", "Praha");
    run(shell.args(["-c", script])).exits(0);
    let openssl = |request: &str| {
        let mut command = ca.dir.command("openssl");
        command.current_dir(ca.file(".")).env("CITY", "Praha");
        command.args(["ca", "-config", "openssl.cnf", "-batch", "-notext"]);
        run(command.args(["-in", request, "-out", "../openssl.pem"])).exits(0);
    };
    let mailca = |args: &[&str]| run(ca.command(args).env("CITY", "Praha")).exits(0);
    let subject = "/C=US/ST=CA/O=Example/CN=";
    for (round, word) in ["one", "two"].iter().enumerate() {
        let host = format!("{word}.example.test");
        let subject_of = |name: &str| format!("{subject}{name}.{host}");
        let request = ca.openssl_request(word, &["-subj", &subject_of("openssl")]);
        openssl(&request);
        let ran = mailca(&["issue", &host, "--yes"]);
        assert!(
            ran.stderr.contains("there is no none.cnf to include"),
            "{ran}"
        );
        assert!(ran.stderr.contains("the stricter policy_mail"), "{ran}");
        let request = ca.openssl_request("again", &["-subj", &subject_of("mailca")]);
        mailca(&[
            "sign",
            &request,
            "--yes",
            "--policy",
            "policy_mail",
            "--san",
            &host,
        ]);
        let register = ca.read("Praha/register");
        assert_eq!(register.lines().count(), 3 * (round + 1), "{register}");
    }
    let numbers = ["0FFF", "1000", "1001", "1002", "1003", "1004"];
    assert_eq!(ca.read("Praha/next"), "1005\n");
    for number in numbers {
        let file = ca.file(&format!("issued # here/{number}.pem"));
        let authority = ca.file("ca.crt");
        ca.dir.openssl(&["verify", "-CAfile", &authority, &file]);
        let ends_within = |days: i64| {
            let seconds = (days * 86400).to_string();
            let check = ["x509", "-noout", "-in", &file, "-checkend", &seconds];
            run(ca.dir.command("openssl").args(check)).code()
        };
        assert_eq!((ends_within(89), ends_within(91)), (0, 1), "{number}");
    }
    let lines = mailca(&["emit-mc", "one.example.test"]);
    assert!(lines.stdout.contains(&ca.file("ca.crt")), "{lines}");
}

#[test]
fn a_policy_named_for_mailca_counts_for_mailca() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.edit(
        "openssl.cnf",
        "# policy  = policy_match",
        "policy = policy_match #",
    );
    let request = ca.openssl_request("mail", &["-subj", "/CN=mail.example.test"]);
    let said = ca.refuses(&["sign", &request, "--yes"]);
    assert!(said.contains("policy_match"), "{said}");
    openssl_signs(&ca, &request, &[]);
    // The subject that nobody wrote is completed.
    ca.ok(&["issue", "mail.example.test", "--yes"]);
    let subject = ca.rows().pop().unwrap();
    assert!(
        subject.ends_with("\t/C=US/ST=CA/O=Example/CN=mail.example.test"),
        "{subject}"
    );
}

#[test]
fn a_policy_that_openssl_cnf_names_is_said_where_it_is_stricter() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.edit("openssl.cnf", "= policy_anything", "= policy_match");
    let request = ca.openssl_request("mail", &["-subj", "/CN=mail.example.test"]);
    let refused = ca.openssl_ca(&["-in", &request]);
    assert!(!refused.status.success(), "{refused}");
    assert!(ca.rows().is_empty());
    let ran = ca.ok(&["sign", &request, "--yes"]);
    assert!(ran.stderr.contains("stricter policy_match"), "{ran}");
}

#[test]
fn unique_subject_counts_for_both() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.write("index.txt.attr", "unique_subject = yes\n");
    let request = ca.openssl_request("a", &["-subj", "/CN=a.example.test"]);
    openssl_signs(&ca, &request, &[]);
    let said = ca.refuses(&["sign", &request, "--yes"]);
    assert!(said.contains("unique_subject"), "{said}");
    let said = ca.refuses(&["issue", "a.example.test", "--yes"]);
    assert!(said.contains("unique_subject"), "{said}");
    ca.ok(&["issue", "b.example.test", "--yes"]);
    let request = ca.openssl_request("b", &["-subj", "/CN=b.example.test"]);
    let refused = ca.openssl_ca(&["-in", &request]);
    assert!(!refused.status.success(), "{refused}");
    assert_eq!(ca.rows().len(), 2);

    ca.write("index.txt.attr", "unique_subject = no\n");
    ca.ok(&["sign", &request, "--yes"]);
    openssl_signs(&ca, &request, &[]);
    assert_eq!(ca.rows().len(), 4);
    assert_sound(&ca);
}

#[test]
fn a_row_past_its_date_no_longer_counts_under_unique_subject() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.write("index.txt.attr", "unique_subject = yes\n");
    let request = ca.openssl_request("a", &["-subj", "/CN=a.example.test"]);
    let past = [
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20200201000000Z",
    ];
    openssl_signs(&ca, &request, &past);
    ca.ok(&["sign", &request, "--yes"]);
    let status: Vec<_> = ca.rows().iter().map(|row| row[..1].to_owned()).collect();
    assert_eq!(status, ["E", "V"]);
    let other = ca.openssl_request("c", &["-subj", "/CN=c.example.test"]);
    openssl_signs(&ca, &other, &[]);
}

#[test]
fn openssl_revokes_what_mailca_signed_and_mailca_goes_on() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", "a.example.test", "--yes"]);
    let cert = "hosts/a.example.test/cert.pem";
    ca.openssl_ca(&["-revoke", cert, "-crl_reason", "superseded"])
        .exits(0);
    let said = ca.refuses(&["issue", "a.example.test", "--yes"]);
    assert!(said.contains("was revoked"), "{said}");
    ca.openssl_ca(&["-gencrl", "-out", "crl/crl.pem"]).exits(0);
    let key = ca.read("hosts/a.example.test/key.pem");
    ca.ok(&["issue", "a.example.test", "--replace", "--yes"]);
    assert_ne!(key, ca.read("hosts/a.example.test/key.pem"));
    assert!(ca.rows()[0].starts_with("R\t"));
    assert_sound(&ca);
}

#[test]
fn a_last_row_without_an_end_is_not_lost() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    ca.ok(&["issue", "a.example.test", "--yes"]);
    let cut = ca.read("index.txt");
    ca.write("index.txt", cut.trim_end());
    ca.ok(&["issue", "b.example.test", "--yes"]);
    let request = ca.openssl_request("c", &["-subj", "/CN=c.example.test"]);
    openssl_signs(&ca, &request, &[]);
    assert_eq!(ca.rows().len(), 3);
    assert_sound(&ca);
}

#[test]
fn a_serial_file_that_fell_back_repeats_no_number() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "10"]);
    ca.ok(&["issue", "a.example.test", "--yes"]);
    ca.ok(&["issue", "b.example.test", "--yes"]);
    ca.write("serial", "10\n");
    ca.ok(&["issue", "c.example.test", "--yes"]);
    assert_eq!(ca.serials(), ["10", "11", "12"]);
    assert_sound(&ca);
}

#[test]
fn openssl_issues_the_same_purposes_and_constraints() {
    if !require(&["openssl"]) {
        return;
    }
    let url = "http://ca.example.test/crl.der?a=$b#c";
    let ca = Ca::of(User::me(), &["--crl-url", url]);
    let request = ca.openssl_request("mail", &["-subj", "/CN=mail.example.test"]);
    openssl_signs(&ca, &request, &[]);
    ca.ok(&["sign", &request, "--out", "mailca.pem", "--yes"]);
    let extensions = "basicConstraints,keyUsage,extendedKeyUsage,subjectKeyIdentifier,\
                      authorityKeyIdentifier,crlDistributionPoints";
    let of = |file: &str| ca.x509(file, &["-ext", extensions]);
    let mut openssl: Vec<_> = of("openssl.pem").lines().map(str::to_owned).collect();
    let mut mailca: Vec<_> = of("mailca.pem").lines().map(str::to_owned).collect();
    assert!(mailca.iter().any(|line| line.contains(url)), "{mailca:#?}");
    openssl.sort();
    mailca.sort();
    assert_eq!(openssl, mailca);
}

/// As CA.pl leaves it: the directory and a file that says `dir = ./demoCA` beside each other.
#[test]
fn a_directory_below_the_one_of_its_settings_is_one_place_however_it_is_named() {
    if !require(&["openssl"]) {
        return;
    }
    let dir = TestDir::new();
    dir.write(
        "openssl.cnf",
        "[ca]\ndefault_ca=d\n[d]\ndir=./demoCA\ndatabase=$dir/index.txt\n\
         new_certs_dir=$dir/newcerts\ncertificate=$dir/cacert.pem\nserial=$dir/serial\n\
         crlnumber=$dir/crlnumber\ncrl=$dir/crl.pem\nprivate_key=$dir/private/cakey.pem\n\
         default_md=sha256\ndefault_days=9\ndefault_crl_days=9\npolicy=p\n[p]\ncommonName=supplied\n\
         [req]\ndistinguished_name=dn\n[dn]\n",
    );
    let script = "mkdir demoCA && cd demoCA && mkdir newcerts crl && mkdir -m 700 private &&
        : >index.txt && echo 1000 >serial && echo 01 >crlnumber && cd .. &&
        openssl req -config openssl.cnf -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=Demo \
            -addext basicConstraints=critical,CA:TRUE -keyout demoCA/private/cakey.pem -out demoCA/cacert.pem";
    run(dir.command("sh").args(["-c", script])).exits(0);
    for (turn, root) in ["demoCA", "./demoCA", &dir.file("demoCA")]
        .iter()
        .enumerate()
    {
        let mailca = |words: &[&str]| {
            let common = ["--ca", root, "--config", "openssl.cnf", "--yes"];
            run(&mut dir.mailca(&[&common[..], words].concat())).exits(0)
        };
        let host = format!("h{turn}.example.test");
        mailca(&["issue", &host]);
        mailca(&["revoke", &host, "--reason=keyCompromise"]);
        mailca(&["crl"]);
        mailca(&["renew-ca"]);
        let openssl = ["ca", "-config", "openssl.cnf", "-gencrl", "-out", "crl.pem"];
        dir.openssl(&openssl);
    }
    let rows = dir.read("demoCA/index.txt");
    assert_eq!(rows.matches("R\t").count(), 3, "{rows}");
    assert!(!dir.path().join("demoCA/demoCA").exists());
}
