//! OpenSMTPD, which reads its files as root when it starts, and looks at no directory on the way
//! (smtpd(8) as it is: `ssl_load_key` and `ssl_load_file`).

use super::{Objection, Role, is, owner};
use crate::sys::access::Access;

/// What OpenSMTPD has against a file: it does not start then.
#[must_use]
pub fn objections(role: Role, access: &Access) -> Vec<Objection> {
    let (forbidden, what, remedy) = match role {
        Role::Key => (0o037, "more open than 0740", "600"),
        Role::Certificate | Role::Ca => (0o022, "writable by group or others", "go-w"),
        Role::Crl => return Vec::new(),
    };
    let file = &access.file;
    let mut found = Vec::new();
    if file.mode & forbidden != 0 {
        found.push(Objection::new(file, is(file, what), &[&["chmod", remedy]]));
    }
    if file.user != 0 {
        let path = file.path.display();
        let reason = format!("{path} belongs to {}, and not to root", owner(file));
        found.push(Objection::new(file, reason, &[&["chown", "root"]]));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::access::Entry;

    #[test]
    fn it_wants_files_of_root_that_nobody_else_writes_and_keys_that_nobody_else_reads() {
        for (role, user, mode, count) in [
            (Role::Key, 0, 0o740, 0),
            (Role::Key, 0, 0o750, 1),
            (Role::Key, 0, 0o644, 1),
            (Role::Key, 7, 0o600, 1),
            (Role::Certificate, 0, 0o755, 0),
            (Role::Certificate, 7, 0o664, 2),
            (Role::Ca, 0, 0o646, 1),
            (Role::Crl, 7, 0o666, 0),
        ] {
            let file = Entry {
                path: "/f".into(),
                user,
                group: 0,
                mode,
            };
            let access = Access {
                file,
                folders: Vec::new(),
            };
            let found = objections(role, &access);
            assert_eq!(found.len(), count, "{role:?} {access:?}: {found:?}");
        }
    }
}
