//! Every change that mailca makes to a disk, one function each: the one place where tests let
//! the power fail, the disk be full, or the process die.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt, fchown, symlink as make_link,
};
use std::path::Path;

#[cfg(test)]
pub(crate) mod faults;

// How much of a change may happen, or why none of it.
#[cfg(test)]
use faults::allowed;

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
fn allowed(_: &'static str, _: &Path, bytes: usize) -> io::Result<usize> {
    Ok(bytes)
}

/// Opens a file for reading and writing; a symbolic link is refused where `follow` is false.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path, follow: bool) -> io::Result<File> {
    allowed("open", path, 0)?;
    let flags = if follow {
        0
    } else {
        rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
    };
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// Makes a file, mode 0600, that was not there.
///
/// # Errors
/// When something has its name, or it cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    allowed("create", path, 0)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes a directory that was not there.
///
/// # Errors
/// When something has its name, or it cannot be made.
pub fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    allowed("mkdir", path, 0)?;
    DirBuilder::new().mode(mode).create(path)
}

/// Writes `bytes` at the offset `at`.
///
/// # Errors
/// When they are not all written.
pub fn write_at(file: &File, path: &Path, bytes: &[u8], at: u64) -> io::Result<()> {
    let part = allowed("write", path, bytes.len())?;
    file.write_all_at(&bytes[..part], at)?;
    if part < bytes.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// Cuts or extends a file.
///
/// # Errors
/// When the system refuses.
pub fn set_len(file: &File, path: &Path, length: u64) -> io::Result<()> {
    allowed("truncate", path, 0)?;
    file.set_len(length)
}

/// Sets permission bits.
///
/// # Errors
/// When the system refuses.
pub fn set_mode(file: &File, path: &Path, mode: u32) -> io::Result<()> {
    allowed("chmod", path, 0)?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// Sets owner and group.
///
/// # Errors
/// When the system refuses.
pub fn set_owner(file: &File, path: &Path, owner: u32, group: u32) -> io::Result<()> {
    allowed("chown", path, 0)?;
    fchown(file, Some(owner), Some(group))
}

/// Renames, replacing what has the new name.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    allowed("rename", to, 0)?;
    fs::rename(from, to)
}

/// Makes a symbolic link.
///
/// # Errors
/// When something has its name, or it cannot be made.
pub fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    allowed("symlink", path, 0)?;
    make_link(target, path)
}

/// Removes a file.
///
/// # Errors
/// When it is not there, or the system refuses.
pub fn remove_file(path: &Path) -> io::Result<()> {
    allowed("unlink", path, 0)?;
    fs::remove_file(path)
}

/// Removes an empty directory.
///
/// # Errors
/// When it is not empty or not there, or the system refuses.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    allowed("rmdir", path, 0)?;
    fs::remove_dir(path)
}

/// Removes a directory with all that is in it.
///
/// # Errors
/// When it is not there, or the system refuses.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    allowed("rmdir", path, 0)?;
    fs::remove_dir_all(path)
}

/// Waits until a file's content is on the disk (fdatasync(2)).
///
/// # Errors
/// When the system reports that it is not.
pub fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    allowed("sync", path, 0)?;
    file.sync_data()
}

/// Waits until everything written to the file system of `path` is on the disk (syncfs(2)).
///
/// # Errors
/// When the system reports that it is not.
pub fn sync_filesystem(path: &Path) -> io::Result<()> {
    allowed("syncfs", path, 0)?;
    Ok(rustix::fs::syncfs(File::open(path)?.as_fd())?)
}

/// Closes a file that was written; a network file system tells only then that it was not.
///
/// # Errors
/// When the system reports that it was not written.
pub fn close(file: File, path: &Path) -> io::Result<()> {
    allowed("close", path, 0)?;
    nix::unistd::close(file).map_err(Into::into)
}
