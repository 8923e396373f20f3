//! Brings files and links, each with its owner and mode, into a directory that others read, and
//! writes only what is not there already.
//!
//! Every step is taken in a directory that is held open, and no link below the first one is
//! followed, so that nobody who can write there leads it elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Stat, readlinkat};
use zeroize::Zeroizing;

use super::disk::{self, Folder};
use super::files::{self, FileError, Result, temporary};

/// What there shall be.
#[derive(Clone, Debug)]
pub struct Item {
    /// where, below the directory
    pub path: PathBuf,
    /// what it is
    pub what: What,
}

/// The kinds of things.
#[derive(Clone, Debug)]
pub enum What {
    /// a file
    File {
        /// what it holds
        bytes: Zeroizing<Vec<u8>>,
        /// who may do what with it
        access: Access,
    },
    /// a symbolic link and what it leads to
    Link(PathBuf),
}

/// Whose a file is, and its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// the owner's number
    pub user: u32,
    /// the group's number
    pub group: u32,
    /// permission bits
    pub mode: u32,
}

impl Access {
    fn is_of(self, stat: &Stat) -> bool {
        let mode = stat.st_mode & 0o7777;
        (self.user, self.group, self.mode) == (stat.st_uid, stat.st_gid, mode)
    }

    // Never more open than both, while it belongs to neither.
    fn give(self, file: &File, path: &Path) -> io::Result<()> {
        let now = rustix::fs::fstat(file)?;
        if (now.st_uid, now.st_gid) != (self.user, self.group) {
            disk::set_mode(file, path, now.st_mode & self.mode & 0o700)?;
            disk::set_owner(file, path, self.user, self.group)?;
        }
        disk::set_mode(file, path, self.mode)
    }
}

/// Brings `items` into `root`, one after the other, and tells which of them were not there as they
/// should be. Directories that are missing are made, mode 0755. What is replaced is replaced by one
/// rename.
///
/// # Errors
/// When a step fails; the items before it are there then, and the one that failed is as it was.
pub fn bring(root: &Path, items: &[Item]) -> Result<Vec<PathBuf>> {
    for item in items {
        check_place(&root.join(&item.path), &item.what)?;
    }
    let mut changed: Vec<PathBuf> = Vec::new();
    let mut synced = 0;
    for item in items {
        let path = root.join(&item.path);
        let fail = |error| FileError::new("write", &path, error);
        // What a link leads to is on the disk before it does.
        if matches!(item.what, What::Link(_)) && synced < changed.len() {
            files::sync_filesystem(root)?;
            synced = changed.len();
        }
        let (folder, name) = folder_of(root, &item.path).map_err(fail)?;
        let is_new = match &item.what {
            What::File { bytes, access } => bring_file(&folder, name, bytes, *access),
            What::Link(target) => bring_link(&folder, name, target),
        };
        if is_new.map_err(fail)? {
            changed.push(item.path.clone());
        }
    }
    if synced < changed.len() {
        files::sync_filesystem(root)?;
    }
    Ok(changed)
}

/// Makes the directory where it is missing, and holds others off who bring something into it, until
/// what is returned is dropped.
///
/// # Errors
/// When it cannot be made or locked.
pub fn lock(root: &Path) -> Result<File> {
    files::create_dirs(root)?;
    let locked = File::open(root).and_then(|folder| folder.lock().map(|()| folder));
    locked.map_err(|error| FileError::new("lock", root, error))
}

// What is in the way stops it before anything is written.
fn check_place(path: &Path, what: &What) -> Result<()> {
    let Ok(there) = path.symlink_metadata() else {
        return Ok(());
    };
    let is_free = match what {
        What::File { .. } => !there.is_dir(),
        What::Link(_) => there.is_symlink(),
    };
    if is_free {
        return Ok(());
    }
    let kind = if there.is_dir() { "directory" } else { "file" };
    let error = io::Error::other(format!("a {kind} is in its place"));
    Err(FileError::new("write", path, error))
}

/// The names in a directory below `root`, none where there is no such directory.
///
/// # Errors
/// When it cannot be read, or a link leads to it.
pub fn names_in(root: &Path, below: &Path) -> Result<Vec<String>> {
    let path = root.join(below);
    let fail = |error| FileError::new("read", &path, error);
    let list = || {
        let mut folder = Folder::open(root)?;
        for name in below {
            folder = folder.enter(name)?;
        }
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    };
    match list() {
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(fail),
    }
}

/// Removes a directory below `root` that holds nothing but these files.
///
/// # Errors
/// When it holds something else, or the system refuses.
pub fn remove(root: &Path, below: &Path, files: &[&str]) -> Result<()> {
    let removed = || {
        let (folder, name) = folder_of(root, below)?;
        let inside = folder.enter(name)?;
        // A death may have left what was to become one of them.
        let names = files.iter().map(OsStr::new);
        for name in names.flat_map(|name| [name.to_owned(), temporary(name)]) {
            match inside.remove_file(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        folder.remove_dir(name)
    };
    removed().map_err(|error| FileError::new("remove", &root.join(below), error))
}

fn folder_of<'a>(root: &Path, path: &'a Path) -> io::Result<(Folder, &'a OsStr)> {
    let mut folder = Folder::open(root)?;
    let mut names = path.components().peekable();
    while let Some(Component::Normal(name)) = names.next() {
        if names.peek().is_none() {
            return Ok((folder, name));
        }
        folder = match folder.enter(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(&folder, name)?;
                folder.enter(name)?
            }
            entered => entered?,
        };
    }
    Err(io::ErrorKind::InvalidInput.into())
}

// Under another name until its mode is right: whatever has its own name is left as it is.
fn make_dir(folder: &Folder, name: &OsStr) -> io::Result<()> {
    let temporary = temporary(name);
    if folder.stat_of(&temporary).is_ok() {
        folder.remove_dir(&temporary)?;
    }
    folder.create_dir(&temporary)?;
    let new = folder.enter(&temporary)?;
    let placed = disk::set_mode(&new, new.path(), 0o755)
        .and_then(|()| folder.rename(&temporary, folder, name));
    if placed.is_err() {
        let _ = folder.remove_dir(&temporary);
    }
    placed
}

fn bring_file(folder: &Folder, name: &OsStr, bytes: &[u8], access: Access) -> io::Result<bool> {
    let path = folder.path().join(name);
    if let Some(there) = same_file(folder, name, bytes)? {
        if access.is_of(&rustix::fs::fstat(&there)?) {
            return Ok(false);
        }
        access.give(&there, &path)?;
        return Ok(true);
    }
    let temporary = temporary(name);
    if folder.stat_of(&temporary).is_ok() {
        folder.remove_file(&temporary)?;
    }
    let file = folder.create(&temporary)?;
    let written = disk::write_at(&file, &path, bytes, 0)
        .and_then(|()| access.give(&file, &path))
        .and_then(|()| disk::sync_data(&file, &path))
        .and_then(|()| disk::close(file, &path))
        .and_then(|()| folder.rename(&temporary, folder, name));
    if written.is_err() {
        let _ = folder.remove_file(&temporary);
    }
    written.map(|()| true)
}

// The file of that name, where it is a regular one and holds these bytes.
fn same_file(folder: &Folder, name: &OsStr, bytes: &[u8]) -> io::Result<Option<File>> {
    // One that has other names too may be somebody else's.
    let is_file = |stat: &Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1
    };
    match folder.stat_of(name) {
        Ok(stat) if is_file(&stat) && i64::try_from(bytes.len()) == Ok(stat.st_size) => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = folder.open_file(name, true)?;
    let mut there = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    Read::by_ref(&mut &file)
        .take(bytes.len() as u64 + 1)
        .read_to_end(&mut there)?;
    Ok((**there == *bytes).then_some(file))
}

fn bring_link(folder: &Folder, name: &OsStr, target: &Path) -> io::Result<bool> {
    match folder.stat_of(name) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            let now = readlinkat(folder, name, Vec::new())?;
            if now.as_bytes() == target.as_os_str().as_encoded_bytes() {
                return Ok(false);
            }
        }
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no link has its name",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let temporary = temporary(name);
    if folder.stat_of(&temporary).is_ok() {
        folder.remove_file(&temporary)?;
    }
    folder.symlink(target, &temporary)?;
    let placed = folder.rename(&temporary, folder, name);
    if placed.is_err() {
        let _ = folder.remove_file(&temporary);
    }
    placed.map(|()| true)
}
