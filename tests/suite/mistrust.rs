//! What `repair` must not believe: files that somebody else put there, or that are of another time.

use super::support::{Ca, require, run};

/// Issues a certificate; its serial number.
#[track_caller]
fn issue(ca: &Ca, host: &str) -> String {
    ca.ok(&["issue", host, "--yes"]);
    ca.serials().pop().expect("a row")
}

/// A CA with two certificates and a CRL made after them.
#[track_caller]
fn in_use() -> (Ca, [String; 2]) {
    let ca = Ca::new();
    let serials = ["mx1.example.test", "mx2.example.test"].map(|host| issue(&ca, host));
    ca.ok(&["crl"]);
    (ca, serials)
}

#[track_caller]
fn sh(ca: &Ca, script: &str) {
    let mut shell = ca.dir.command("sh");
    run(shell.current_dir(ca.file(".")).args(["-euc", script])).exits(0);
}

#[track_caller]
fn problems(ca: &Ca) -> Vec<String> {
    let ran = ca.mailca(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let names = findings.iter().map(|it| it["problem"].as_str());
    names.map(|name| name.expect("a name").to_owned()).collect()
}

#[track_caller]
fn openssl_goes_on(ca: &Ca) {
    let request = ca.openssl_request("next", &["-subj", "/C=US/ST=CA/O=Example/CN=next"]);
    ca.openssl_ca(&["-in", &request]).exits(0);
}

#[test]
fn a_second_file_of_a_number_is_no_certificate_without_a_row() {
    if !require(&["openssl"]) {
        return;
    }
    let (ca, [first, second]) = in_use();
    let rows = ca.rows();
    sh(
        &ca,
        &format!(
            "cp newcerts/{first}.pem newcerts/000{first}.pem; cp newcerts/{second}.pem newcerts/mx.pem"
        ),
    );
    assert_eq!(problems(&ca), ["copy-in-newcerts", "copy-in-newcerts"]);
    ca.ok(&["repair", "--yes", "--assume-valid"]);
    assert_eq!(ca.rows(), rows);
    openssl_goes_on(&ca);
}

#[test]
fn of_a_certificate_that_the_ca_has_not_signed_no_row_is_made() {
    if !require(&["openssl"]) {
        return;
    }
    let (ca, [first, _]) = in_use();
    let rows = ca.rows();
    sh(
        &ca,
        &format!(
            "name=/C=US/ST=CA/O=Example/CN
             openssl req -x509 -newkey rsa:2048 -nodes -keyout ../k -out ../c -subj \"$name=Example Mail CA\"
             openssl req -new -newkey rsa:2048 -nodes -keyout ../l -out ../r -subj $name=mx1.example.test
             for serial in {first} 7A7A; do
                 openssl x509 -req -in ../r -CA ../c -CAkey ../k -set_serial 0x$serial -out newcerts/$serial.pem
             done"
        ),
    );
    assert!(problems(&ca).contains(&"not-signed-here".to_owned()));
    ca.mailca(&["repair", "--yes", "--assume-valid"]);
    assert_eq!(ca.rows(), rows);
}

#[test]
fn what_the_crl_has_on_hold_gets_its_row_back_so() {
    if !require(&["openssl"]) {
        return;
    }
    let (ca, [first, _]) = in_use();
    ca.ok(&["revoke", &first, "--reason=certificateHold", "--yes"]);
    let row = ca.rows().remove(0);
    assert!(
        row.starts_with("R\t") && row.contains(",certificateHold\t"),
        "{row}"
    );
    sh(&ca, "sed -i 1d index.txt");
    ca.ok(&["repair", "--yes"]);
    assert!(ca.rows().contains(&row), "{:?}", ca.rows());
}

#[test]
fn an_old_register_beside_the_lost_one_proves_nothing() {
    if !require(&["openssl"]) {
        return;
    }
    for script in [
        "rm index.txt",
        "mv index.txt.old index.txt.new; rm index.txt",
        // Of an openssl ca that was interrupted long before.
        "cp index.txt.old index.txt.new; touch -d 2020-01-01 index.txt.new; rm index.txt",
    ] {
        let (ca, [first, second]) = in_use();
        let file = format!("newcerts/{first}.pem");
        ca.openssl_ca(&["-revoke", &file]).exits(0);
        sh(&ca, script);
        let refused = ca.refuses(&["repair", "--yes"]);
        assert!(
            refused.contains(&first) && refused.contains(&second),
            "{refused}"
        );
        assert!(!ca.exists("index.txt"));
    }
    let (ca, [first, _]) = in_use();
    sh(
        &ca,
        &format!(
            "printf 'R\\t100101000000Z\\t090101000000Z\\t{first}\\tunknown\\t/CN=x\\n' >index.txt.new
             touch -d 2010-01-01 index.txt.new"
        ),
    );
    let rows = ca.rows();
    ca.ok(&["repair", "--yes"]);
    assert_eq!(ca.rows(), rows);
}

#[test]
fn a_number_that_the_crl_lists_is_not_given_again() {
    if !require(&["openssl"]) {
        return;
    }
    let (ca, [_, second]) = in_use();
    ca.ok(&["revoke", &second, "--yes"]);
    sh(
        &ca,
        &format!("rm newcerts/{second}.pem; sed -i '$d' index.txt; echo {second} >serial"),
    );
    assert!(problems(&ca).contains(&"serial-behind".to_owned()));
    ca.mailca(&["repair", "--yes"]);
    openssl_goes_on(&ca);
    assert_ne!(ca.serials().last(), Some(&second));
}

#[test]
fn of_rows_of_one_number_the_revocation_that_says_most_stays() {
    if !require(&["openssl"]) {
        return;
    }
    let (ca, [first, _]) = in_use();
    sh(
        &ca,
        r#"row=$(sed -n 1p index.txt | sed 's/^V\(\t[^\t]*\t\)/R\1261101000000Z/')
          printf '%s\n%s\n' "$row" "$(printf %s "$row" | sed 's/01000000Z\t/01000000Z,keyCompromise\t/')" >>index.txt"#,
    );
    assert_eq!(
        ca.rows().iter().filter(|row| row.contains(&first)).count(),
        3
    );
    ca.mailca(&["repair", "--yes"]);
    let left: Vec<String> = ca
        .rows()
        .into_iter()
        .filter(|row| row.contains(&first))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains(",keyCompromise\t"), "{left:?}");
    openssl_goes_on(&ca);
}
