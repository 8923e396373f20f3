//! Facts about this machine.

use std::fs;

/// The boot the machine runs in; `None` where it cannot be told. What was written but not yet
/// synced is gone exactly when this has changed (Linux: random(4), boot_id).
#[must_use]
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// The machine's name as `hostname` prints it, in lower case.
#[must_use]
pub fn node_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().to_ascii_lowercase()
}
