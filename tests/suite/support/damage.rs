//! A CA directory with damage of every kind that `repair` mends.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Damages a CA with two certificates, the second one revoked, listed by a CRL and that of a host:
/// a lost row, a forgotten revocation, a torn line, numbers that were given already, an empty file
/// and none where there are certificates, a link to nothing, and a key that others can read.
pub fn damage(ca: &Path) {
    let path = |name: &str| ca.join(name);
    let whole = fs::read_to_string(path("index.txt")).unwrap();
    let rows: Vec<&str> = whole.lines().collect();
    let [lost, revoked] = rows[..] else {
        panic!("{whole}");
    };
    let serial = |row: &str| row.split('\t').nth(3).unwrap().to_owned();
    let forgotten = revoked.replacen('R', "V", 1);
    let mut fields: Vec<&str> = forgotten.split('\t').collect();
    fields[2] = "";
    let torn = format!("{}\nV\t2801", fields.join("\t"));
    fs::write(path("index.txt"), torn).unwrap();
    fs::write(path("index.txt.new"), lost).unwrap();
    fs::write(path("serial"), format!("{}\n", serial(lost))).unwrap();
    fs::write(path("crlnumber"), "01\n").unwrap();
    fs::write(path("newcerts/7A7A.pem"), "").unwrap();
    fs::remove_file(path(&format!("newcerts/{}.pem", serial(revoked)))).unwrap();
    symlink("nowhere", path("12345678.0")).unwrap();
    for (name, mode) in [("private/cakey.pem", 0o644), ("newcerts", 0o775)] {
        fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
    }
}
