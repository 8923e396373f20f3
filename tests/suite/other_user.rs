//! A CA that somebody else may look at, but not change, and whose keys he may not read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::damage::problems_in;
use super::support::{Ca, Ran, User, run};

/// Root's CA, or one whose owner may not read its keys.
fn of_somebody_else() -> Ca {
    let ca = Ca::new();
    ca.ok(&["issue", "mail.example.test", "--yes"]);
    ca.ok(&["crl"]);
    let top = Permissions::from_mode(0o755);
    fs::set_permissions(ca.dir.path(), top).expect("chmod");
    ca
}

fn forbid(ca: &Ca) {
    if !User::me().is_root() {
        ca.chmod("hosts/mail.example.test/key.pem", 0);
        ca.chmod("private/cakey.pem", 0);
        ca.chmod("", 0o555);
    }
}

fn as_other(ca: &Ca, words: &[&str]) -> Ran {
    let mut command = User::ordinary().mailca();
    command.current_dir(ca.dir.path());
    run(command.args(["--ca", "CA"]).args(words))
}

#[test]
fn check_tells_what_it_could_not_look_at() {
    let ca = of_somebody_else();
    let own = problems_in(&ca.mailca(&["check", "--for=dovecot", "--json"]));
    forbid(&ca);
    let ran = as_other(&ca, &["check", "--for=dovecot", "--json"]);
    assert_eq!(problems_in(&ran), own, "{ran}");
    let ran = as_other(&ca, &["check", "--for=dovecot"]);
    for key in ["CA/private/cakey.pem", "CA/hosts/mail.example.test/key.pem"] {
        let told = format!("not checked: whether {key} belongs to ");
        assert!(ran.stdout.contains(&told), "{ran}");
    }
    assert_eq!(ran.stdout.matches("Permission denied").count(), 2, "{ran}");
    ca.chmod("", 0o755);
}

#[test]
fn repair_by_somebody_who_may_not_changes_nothing() {
    let ca = of_somebody_else();
    let row = ca.read("index.txt");
    ca.write("index.txt", &format!("{row}V\t2801"));
    let before = ca.tree();
    forbid(&ca);
    let plan = as_other(&ca, &["repair", "--dry-run"]).exits(3);
    assert!(plan.stdout.contains("leave out line 2"), "{plan}");
    let ran = as_other(&ca, &["repair", "--yes"]).exits(1);
    assert_eq!(ran.stdout, "", "{ran}");
    assert!(ran.stderr.contains("Permission denied"), "{ran}");
    if User::me().is_root() {
        before.assert_unchanged(ca.dir.path(), &ran.to_string());
    }
    assert_eq!(ca.read("index.txt"), format!("{row}V\t2801"));
    ca.chmod("", 0o755);
}
