//! Every change that mailca makes to a disk, one function each: the one place where tests let
//! the power fail, the disk be full, or the process die.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fchown, fstat, mkdirat,
    openat, renameat, statat, symlinkat, unlinkat,
};

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
        OFlags::NOFOLLOW.bits().cast_signed()
    };
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// A directory held open: what is done in it is done in this one and no other, whoever renames
/// what meanwhile, and it has one owner.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a directory, or one that a link leads to.
    ///
    /// # Errors
    /// When it cannot be opened, or is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            handle: rustix::fs::open(path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// Opens a directory in it; a link is not followed.
    ///
    /// # Errors
    /// When it cannot be opened, or is none.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self {
            handle: openat(&self.handle, name, flags, Mode::empty())?,
            path: self.path.join(name),
        })
    }

    /// Opens a file in it to be read, and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be opened; with `is_itself`, when it is a link.
    pub fn open_file(&self, name: &OsStr, is_itself: bool) -> io::Result<File> {
        let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, is_itself);
        let file: File = openat(&self.handle, name, flags, Mode::empty())?.into();
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(file)
    }

    /// Its path when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is itself.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(fstat(&self.handle)?)
    }

    /// What has this name in it; a link is not followed.
    ///
    /// # Errors
    /// When nothing has, or the system does not tell.
    pub fn stat_of(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What a path in it leads to.
    ///
    /// # Errors
    /// When it leads nowhere, or the system does not tell.
    pub fn stat_behind(&self, path: &Path) -> io::Result<Stat> {
        Ok(statat(&self.handle, path, AtFlags::empty())?)
    }

    /// Makes a file, mode 0600, that was not there.
    ///
    /// # Errors
    /// When something has its name, or it cannot be made.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        allowed("create", &self.path.join(name), 0)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Makes a directory, mode 0700, that was not there.
    ///
    /// # Errors
    /// When something has its name, or it cannot be made.
    pub fn create_dir(&self, name: &OsStr) -> io::Result<()> {
        allowed("mkdir", &self.path.join(name), 0)?;
        Ok(mkdirat(&self.handle, name, Mode::RWXU)?)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// When something has its name, or it cannot be made.
    pub fn symlink(&self, target: &Path, name: &OsStr) -> io::Result<()> {
        allowed("symlink", &self.path.join(name), 0)?;
        Ok(symlinkat(target, &self.handle, name)?)
    }

    /// Sets owner and group of a symbolic link, and of nothing else.
    ///
    /// # Errors
    /// When it is no link any more, or the system refuses.
    pub fn set_owner_of_link(&self, name: &OsStr, owner: u32, group: u32) -> io::Result<()> {
        allowed("chown", &self.path.join(name), 0)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = openat(&self.handle, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&link)?.st_mode) != FileType::Symlink {
            return Err(io::Error::other("it is not a symbolic link any more"));
        }
        let (owner, group) = (Uid::from_raw(owner), Gid::from_raw(group));
        let itself = AtFlags::EMPTY_PATH;
        Ok(chownat(&link, "", Some(owner), Some(group), itself)?)
    }

    /// Renames what is in it to something in `other`, replacing what has the new name.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn rename(&self, from: &OsStr, other: &Self, to: &OsStr) -> io::Result<()> {
        allowed("rename", &other.path.join(to), 0)?;
        Ok(renameat(&self.handle, from, &other.handle, to)?)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it is not there, or the system refuses.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        allowed("unlink", &self.path.join(name), 0)?;
        Ok(unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// Removes an empty directory in it.
    ///
    /// # Errors
    /// When it is not empty or not there, or the system refuses.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        allowed("rmdir", &self.path.join(name), 0)?;
        Ok(unlinkat(&self.handle, name, AtFlags::REMOVEDIR)?)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
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
pub fn set_mode(file: impl AsFd, path: &Path, mode: u32) -> io::Result<()> {
    allowed("chmod", path, 0)?;
    Ok(fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Sets owner and group.
///
/// # Errors
/// When the system refuses.
pub fn set_owner(file: impl AsFd, path: &Path, owner: u32, group: u32) -> io::Result<()> {
    allowed("chown", path, 0)?;
    let (owner, group) = (Uid::from_raw(owner), Gid::from_raw(group));
    Ok(fchown(file, Some(owner), Some(group))?)
}

/// Renames, replacing what has the new name.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    allowed("rename", to, 0)?;
    fs::rename(from, to)
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
