//! Exim, which reads key, certificates and CRL for each connection, as its own user (its
//! specification, "Ownership and permissions").

use super::{Objection, Role, owner};
use crate::sys::access::{Access, Account, Entry, READ, SEARCH};

/// The names that its user has, Debian's first.
pub const USERS: [&str; 2] = ["Debian-exim", "exim"];

/// What Exim has against a file: STARTTLS is offered, and then fails.
#[must_use]
pub fn objections(user: &Account, role: Role, access: &Access) -> Vec<Objection> {
    let folders = access.folders.iter();
    let closed = folders.filter(|folder| !folder.allows(user, SEARCH));
    let mut found: Vec<_> = closed
        .map(|folder| {
            let reason = sentence(user, folder, "go through the directory");
            Objection::new(folder, reason, &[&["chmod", "a+x"]])
        })
        .collect();
    if !access.file.allows(user, READ) {
        let reason = sentence(user, &access.file, "read");
        let group = user.group();
        let for_exim: [&[&str]; 2] = [&["chgrp", &group], &["chmod", "640"]];
        let remedy: &[&[&str]] = match role {
            Role::Key => &for_exim,
            _ => &[&["chmod", "a+r"]],
        };
        found.push(Objection::new(&access.file, reason, remedy));
    }
    found
}

fn sentence(user: &Account, entry: &Entry, what: &str) -> String {
    format!(
        "{} cannot {what} {} (mode {:04o}, owner {})",
        user.name,
        entry.path.display(),
        entry.mode,
        owner(entry)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_user_must_read_the_file_and_get_there() {
        let exim = Account {
            name: "exim".into(),
            user: 7,
            groups: vec![8],
        };
        let entry = |group, mode| Entry {
            path: "/d".into(),
            user: 0,
            group,
            mode,
        };
        for (file, folder, bad) in [
            (entry(0, 0o600), entry(0, 0o755), 1),
            (entry(8, 0o640), entry(0, 0o755), 0),
            (entry(8, 0o604), entry(0, 0o755), 1),
            (entry(0, 0o644), entry(0, 0o700), 1),
            (entry(0, 0o644), entry(8, 0o710), 0),
        ] {
            let folders = vec![folder];
            let access = Access { file, folders };
            let found = objections(&exim, Role::Key, &access);
            assert_eq!(found.len(), bad, "{access:?}: {found:?}");
        }
    }
}
