//! Facts about this machine.

use std::path::{Path, PathBuf};
use std::{env, fs};

use nix::unistd::{Group, Uid, User};

use super::files::FileError;

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

/// The program that runs, under its real name.
///
/// # Errors
/// When it is not there any more.
pub fn program() -> Result<PathBuf, FileError> {
    env::current_exe()
        .and_then(fs::canonicalize)
        .map_err(|error| FileError::new("find", Path::new("mailca"), error))
}

/// The name of the user with a number, or the number again where nobody has it.
#[must_use]
pub fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The number of a group by its name, or the number that is given as text; `None` where this machine
/// has no such group.
#[must_use]
pub fn group_number(name: &str) -> Option<u32> {
    let by_number = || Group::from_gid(name.parse::<u32>().ok()?.into()).ok()?;
    let group = Group::from_name(name).ok().flatten().or_else(by_number)?;
    Some(group.gid.as_raw())
}
