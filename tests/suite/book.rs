//! Listing 6.2 of the book, made by OpenSSL as it stands there, and then
//! mailca: a directory that mailca did not make.

use super::support::{BASE_MC, Ca, Sendmail, TestDir, User};
use super::support::{require, run, s_client_starttls, users};

const HOST: &str = "mail.example.test";
const STOCK: &str = "/etc/ssl/openssl.cnf";

/// Listing 6.2 by OpenSSL, up to newreq.pem, with its own steps before and
/// after: what `script` says.
pub fn listing(user: User, script: &str) -> Ca {
    let ca = Ca::unmade(user);
    fill(&ca.dir, script);
    ca
}

/// The same in `CA` of a directory that has the passphrase in the file `pass`.
pub fn fill(dir: &TestDir, script: &str) {
    dir.create_dir("CA");
    let listing = format!(
        "umask 022
        mkdir certs crl newcerts private
        openssl req -new -x509 -keyout private/cakey.pem -out cacert.pem -days 365 \
            -config openssl.cnf -passout file:../pass \
            -subj '/C=US/ST=California/O=Example/CN=Example CA' 2>../said &&
        openssl req -nodes -new -x509 -keyout newreq.pem -out newreq.pem -days 365 \
            -config openssl.cnf -subj '/C=US/ST=California/O=Example/CN={HOST}' 2>../said
        chmod 600 private/cakey.pem
        {script}"
    );
    let settings = if std::path::Path::new(STOCK).exists() {
        std::fs::read_to_string(STOCK).unwrap()
    } else {
        "[ca]\ndefault_ca = CA_default\n[CA_default]\ndir = ./demoCA\n\
         certificate = $dir/cacert.pem\nprivate_key = $dir/private/cakey.pem\n\
         database = $dir/index.txt\nserial = $dir/serial\nnew_certs_dir = $dir/newcerts\n\
         policy = policy_match\ndefault_md = default\n[policy_match]\ncountryName = match\n\
         organizationName = match\ncommonName = supplied\n\
         [req]\ndistinguished_name = dn\nx509_extensions = v3_ca\n[dn]\n\
         [v3_ca]\nbasicConstraints = critical, CA:true\nsubjectKeyIdentifier = hash\n\
         authorityKeyIdentifier = keyid:always, issuer\n"
            .into()
    };
    dir.write("CA/openssl.cnf", &settings);
    let mut shell = dir.command("sh");
    shell.current_dir(dir.path().join("CA"));
    run(shell.args(["-e", "-c", &listing])).exits(0);
}

const EDITED: &str = "sed -i 's|= ./demoCA|= .|' openssl.cnf";
const SIGN: [&str; 3] = ["sign", "--yes", "--passphrase-file=pass"];

/// `mailca sign`, `emit-mc`, and a Sendmail that starts with it.
#[track_caller]
fn finish_with_mailca(ca: &Ca, user: User) -> String {
    let request = ca.read("newreq.pem");
    let said = ca.ok(&SIGN).stderr;
    assert_eq!(ca.read("newreq.pem"), request);
    assert_eq!(ca.rows().len(), 1);
    let pair = |name: &str| ca.read(&format!("hosts/{HOST}/{name}"));
    assert_eq!(pair("cert.pem"), ca.read("newcert.pem"));
    assert_eq!(ca.mode(&format!("hosts/{HOST}/key.pem")), 0o600);
    // Not -x509_strict: the book's CA certificate has no keyUsage.
    for purpose in ["sslserver", "sslclient"] {
        let verify = ["verify", "-purpose", purpose, "-CAfile"];
        let files = [&ca.file("cacert.pem"), "CA/newcert.pem"];
        ca.dir.openssl(&[&verify[..], &files].concat());
    }

    let mc = BASE_MC.to_owned() + &ca.ok(&["emit-mc", HOST]).stdout;
    let sendmail = Sendmail::start(user, &mc);
    assert!(sendmail.offers_starttls(), "{}", sendmail.log());
    let hello = s_client_starttls(sendmail.port, &ca.file("cacert.pem"), HOST, &[]);
    assert!(hello.verified, "{}\n{}", hello.ran, sendmail.log());
    said
}

fn tools() -> bool {
    require(&["sendmail", "m4", "cc", "openssl"])
}

#[test]
fn the_book_s_directory_serves_sendmail_after_one_mailca_sign() {
    if !tools() {
        return;
    }
    for user in users() {
        let files = format!("{EDITED}; : >index.txt; echo 01 >serial");
        let ca = listing(user, &files);
        finish_with_mailca(&ca, user);
        assert_eq!(ca.serials(), ["01"]);
        assert_eq!(ca.read("serial"), "02\n");
    }
}

#[test]
fn without_a_serial_file_the_first_number_is_random() {
    if !tools() {
        return;
    }
    let user = User::me();
    let mut firsts = Vec::new();
    for script in [format!("{EDITED}; : >index.txt"), EDITED.to_owned()] {
        let ca = listing(user, &script);
        finish_with_mailca(&ca, user);
        let first = ca.serials().remove(0);
        assert_eq!(first.len(), 16, "{first}");
        // And on from there, for both tools.
        ca.ok(&["issue", "a.example.test", "--yes", "--passphrase-file=pass"]);
        let next = u64::from_str_radix(&first, 16).unwrap();
        assert_eq!(ca.serials()[1], format!("{:016X}", next + 1));
        assert_eq!(ca.read("serial"), format!("{:016X}\n", next + 2));
        firsts.push(first);
    }
    assert_ne!(firsts[0], firsts[1]);
}

#[test]
fn a_lost_serial_file_starts_above_the_register() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = Ca::of(User::me(), &["--serial", "FFFFFFFFFFFFFFFFFF"]);
    ca.ok(&["issue", "a.example.test", "--yes"]);
    std::fs::remove_file(ca.file("serial")).unwrap();
    ca.ok(&["issue", "b.example.test", "--yes"]);
    let serials = ca.serials();
    assert_eq!(serials[0], "FFFFFFFFFFFFFFFFFF");
    // A random number of 64 bits above it.
    assert!(
        serials[1].len() == 20 && serials[1].starts_with("0100"),
        "{serials:?}"
    );
}

#[test]
fn the_stock_openssl_cnf_leads_to_demo_ca_and_that_is_said() {
    if !tools() {
        return;
    }
    let user = User::me();
    let ca = listing(user, ": >index.txt; echo 01 >serial");
    let said = finish_with_mailca(&ca, user);
    assert!(
        said.contains("says dir = ./demoCA, which leads to"),
        "{said}"
    );
    assert!(
        said.contains(&format!("the files in {} are used", ca.dir.file("CA"))),
        "{said}"
    );
    assert_eq!(ca.serials(), ["01"]);
    assert!(!ca.exists("demoCA"));
}

#[test]
fn a_directory_without_openssl_cnf_has_the_standard_names() {
    if !tools() {
        return;
    }
    let user = User::me();
    let ca = listing(user, ": >index.txt; echo 01 >serial; rm openssl.cnf");
    finish_with_mailca(&ca, user);
    assert_eq!(ca.serials(), ["01"]);
}

#[test]
fn openssl_ca_goes_on_in_the_book_s_directory_before_and_after() {
    if !require(&["openssl"]) {
        return;
    }
    let files = format!("{EDITED}; : >index.txt; echo 01 >serial");
    let ca = listing(User::me(), &files);
    let subject = |host: &str| format!("/C=US/ST=California/O=Example/CN={host}");
    let openssl_signs = |host: &str| {
        let request = ca.openssl_request(host, &["-subj", &subject(host)]);
        let sign = [
            "-in",
            &request,
            "-passin",
            "file:../pass",
            "-out",
            "newcert.pem",
        ];
        ca.openssl_ca(&sign).exits(0);
    };
    openssl_signs("before.example.test");
    assert_eq!(ca.read("index.txt.attr"), "unique_subject = yes\n");
    ca.ok(&SIGN);
    openssl_signs("after.example.test");
    assert_eq!(ca.serials(), ["01", "02", "03"]);
    assert_eq!(ca.read("index.txt.attr"), "unique_subject = yes\n");
    // The default is yes, so the same subject has no second certificate.
    let said = ca.refuses(&SIGN);
    assert!(
        said.contains("already has the valid certificate 02"),
        "{said}"
    );
}

#[test]
fn a_newreq_with_a_key_in_it_is_never_overwritten() {
    if !require(&["openssl"]) {
        return;
    }
    let files = format!("{EDITED}; : >index.txt; echo 01 >serial");
    let ca = listing(User::me(), &files);
    let said = ca.refuses(&["req", "other.example.test"]);
    assert!(said.contains("newreq.pem holds a private key"), "{said}");
    ca.ok(&SIGN);
    let said = ca.refuses(&["req", "other.example.test"]);
    assert!(said.contains("newreq.pem holds a private key"), "{said}");
    // Moved away, as the hint says, there is room for another.
    run(ca.dir.command("mv").args(["CA/newreq.pem", "old.pem"])).exits(0);
    ca.ok(&["req", "other.example.test"]);
}

#[test]
fn a_newreq_from_which_the_key_was_taken_is_refused() {
    if !require(&["openssl"]) {
        return;
    }
    let files = format!("{EDITED}; : >index.txt; echo 01 >serial");
    let ca = listing(User::me(), &files);
    ca.dir
        .openssl(&["x509", "-in", "CA/newreq.pem", "-out", "bare.pem"]);
    let said = ca.refuses(&["sign", "bare.pem", "--yes", "--passphrase-file=pass"]);
    assert!(said.contains("bare.pem"), "{said}");
    // And so is one with somebody else's key.
    ca.dir
        .openssl(&["genpkey", "-algorithm", "ED25519", "-out", "key.pem"]);
    let mixed = ca.dir.read("key.pem") + &ca.dir.read("bare.pem");
    ca.dir.write("mixed.pem", &mixed);
    ca.refuses(&["sign", "mixed.pem", "--yes", "--passphrase-file=pass"]);
}
