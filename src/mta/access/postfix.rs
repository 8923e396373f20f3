//! Postfix, which reads keys as root and takes any mode. `postfix check` looks at what lies in its
//! own directory (postfix-script, "check-warn").

use super::{Objection, is, owner};
use crate::sys::access::Access;

const OWN: &str = "/etc/postfix";

/// What `postfix check` would warn of.
#[must_use]
pub fn objections(access: &Access) -> Vec<Objection> {
    let entries = access.folders.iter().chain([&access.file]);
    let own = entries.filter(|entry| entry.path.starts_with(OWN));
    let mut found = Vec::new();
    for entry in own {
        if entry.mode & 0o022 != 0 {
            let reason = is(entry, "writable by group or others");
            found.push(Objection::new(entry, reason, &[&["chmod", "go-w"]]));
        }
        if entry.user != 0 {
            let path = entry.path.display();
            let reason = format!("{path} belongs to {}, and not to root", owner(entry));
            found.push(Objection::new(entry, reason, &[&["chown", "root"]]));
        }
    }
    found
}
