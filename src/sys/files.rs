//! Files that are whole or not there: written beside their place and renamed into it, with their
//! mode set and not left to the umask.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat, fstat};
use thiserror::Error;
use zeroize::Zeroizing;

use super::disk::{self, Folder};
use super::open;

/// An operation on a file that failed.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub struct FileError {
    /// what was tried, as a verb
    pub action: &'static str,
    /// the file
    pub path: PathBuf,
    /// what the system says
    pub source: io::Error,
}

impl FileError {
    /// `action` is a verb: "cannot ACTION PATH: SOURCE".
    #[must_use]
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the file is there, and others may do that.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// A file with a secret that others than its owner can read.
#[derive(Debug, Error)]
#[error("{} is readable by {readers} (mode {mode:04o})", .path.display())]
pub struct Exposed {
    /// the file
    pub path: PathBuf,
    /// who: group, others
    pub readers: &'static str,
    /// its permission bits
    pub mode: u32,
}

/// Why a secret is not read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// Others can read it too.
    #[error("{0}")]
    Exposed(#[from] Exposed),
}

pub(super) type Result<T> = std::result::Result<T, FileError>;

// Certificates, requests and keys have a few kilobytes; what is larger is something else.
const LARGEST: u64 = 1 << 20;

/// Reads a whole small file, which may hold a private key.
///
/// # Errors
/// When it cannot be opened or read, is no regular file, or has more than 1 MiB.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_whole(open::regular(path)).map_err(|error| FileError::new("read", path, error))
}

/// The same for what a person named, which may be a device or a pipe too.
///
/// # Errors
/// When it cannot be opened or read, is a directory, has more than 1 MiB, or is a FIFO into which
/// nobody writes.
pub fn read_given(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_whole(open::given(path)).map_err(|error| FileError::new("read", path, error))
}

fn read_whole(opened: io::Result<File>) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = opened?;
    let metadata = file.metadata()?;
    let expected = if metadata.is_file() {
        metadata.len()
    } else {
        LARGEST
    };
    read_at_most(file, expected.min(LARGEST))
}

/// Reads a small file to its end, as [`read`] does, from anything readable.
///
/// # Errors
/// When reading fails, or there is more than 1 MiB.
pub fn read_from(source: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    read_at_most(source, LARGEST)
}

// The CRL of a CA that revoked five million certificates.
const LARGEST_LIST: u64 = 1 << 28;

/// Reads a whole file that may be large and holds no secret, such as a CRL.
///
/// # Errors
/// When it cannot be opened or read, is a directory, or has more than 256 MiB.
pub fn read_large(path: &Path) -> Result<Vec<u8>> {
    let fail = |error| FileError::new("read", path, error);
    let file = open::given(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let expected = metadata.len().min(LARGEST_LIST) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    let mut limited = file.take(LARGEST_LIST + 1);
    limited.read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > LARGEST_LIST {
        return Err(fail(io::Error::other("it is larger than 256 MiB")));
    }
    Ok(bytes)
}

/// The same, `None` where the file does not exist.
///
/// # Errors
/// As [`read_large`], but for a missing file.
pub fn read_large_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match read_large(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_at_most(source: impl Read, expected: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Full size at once: a buffer that grows leaves copies behind that nobody wipes.
    let capacity = usize::try_from(expected).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    source.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// As [`read`], `None` where nothing has this name; a link that leads nowhere is something.
///
/// # Errors
/// As [`read`], but for a missing file.
pub fn read_if_there(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing() && !exists(path) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether anything has this name, a dangling link too.
#[must_use]
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The files of a folder that are wanted, sorted by name; without what is known to be no file, such
/// as a FIFO, from which nothing may ever come.
///
/// # Errors
/// When it cannot be read.
pub fn list(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let fail = |error| FileError::new("read", folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if wanted(&path) && !fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Makes a new file and never overwrites one. What root makes in the directory of another user
/// belongs to that user.
///
/// # Errors
/// When something of that name is there, or the file cannot be written.
pub fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    place(path)
        .and_then(|(folder, name)| write_new(&folder, name, bytes, Access::new(&folder, mode)?))
        .map_err(|error| FileError::new("create", path, error))
}

/// The same for a private key outside of a CA directory, which belongs to whoever makes it and to
/// nobody else: /etc/mail is the mail daemon's on Debian.
///
/// # Errors
/// As [`create_new`].
pub fn create_own(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let access = Access::New { mode, owner: None };
    place(path)
        .and_then(|(folder, name)| write_new(&folder, name, bytes, access))
        .map_err(|error| FileError::new("create", path, error))
}

/// As [`create_new`] in an open directory, with the owner, group and mode of what `like` leads to,
/// a path in another open directory, if it leads to something.
///
/// # Errors
/// As [`create_new`].
pub fn create_in(
    folder: &Folder,
    name: &str,
    bytes: &[u8],
    mode: u32,
    like: Option<(&Folder, &Path)>,
) -> Result<()> {
    Access::like(like, folder, mode)
        .and_then(|access| write_new(folder, name.as_ref(), bytes, access))
        .map_err(|error| FileError::new("create", &folder.path().join(name), error))
}

/// Copies a regular file to a new name beside it. The copy has the owner, group and mode of what
/// was read, so that nobody can read in it what was kept from him.
///
/// # Errors
/// When something has the new name, or one of the two cannot be read or written.
pub fn create_copy(of: &Path, name: &OsStr) -> Result<()> {
    let path = parent(of).join(name);
    let copied = || {
        let (folder, original) = place(of)?;
        let mut source = folder.open_file(original, false)?;
        let file = folder.create(name)?;
        let written = copy_into(&mut source, &file, &path)
            .and_then(|()| Access::of(&source)?.give(&file, &path))
            .and_then(|()| disk::close(file, &path));
        if written.is_err() {
            let _ = folder.remove_file(name);
        }
        written
    };
    copied().map_err(|error| FileError::new("create", &path, error))
}

fn copy_into(source: &mut File, file: &File, path: &Path) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        disk::write_at(file, path, &buffer[..read], at)?;
        at += read as u64;
    }
}

/// Makes an empty file, mode 0600, and leaves it open.
///
/// # Errors
/// As [`create_new`].
pub fn create_open(path: &Path) -> Result<File> {
    place(path)
        .and_then(|(folder, name)| {
            let file = folder.create(name)?;
            Access::new(&folder, 0o600)?.give(&file, path)?;
            Ok(file)
        })
        .map_err(|error| FileError::new("create", path, error))
}

// A key is never open to others, not even for a moment: it has mode 0600 until it is complete.
fn write_new(folder: &Folder, name: &OsStr, bytes: &[u8], access: Access) -> io::Result<()> {
    let path = folder.path().join(name);
    let file = folder.create(name)?;
    let written = disk::write_at(&file, &path, bytes, 0)
        .and_then(|()| access.give(&file, &path))
        .and_then(|()| disk::close(file, &path));
    if written.is_err() {
        let _ = folder.remove_file(name);
    }
    written
}

/// Writes a file beside its place and renames it there. A file that is replaced keeps its owner,
/// group and mode; a new one has `mode`. A link is followed, so that it stays one; a device or a
/// FIFO, such as /dev/null, is written into.
///
/// Two writers of one file must hold a lock.
///
/// # Errors
/// When a step fails; the old file is then as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    Replacement::prepare(path, bytes, mode)?.place()
}

/// The same, and waits until the new file is on the disk: whenever the power fails, there is the
/// old one or the new one.
///
/// # Errors
/// As [`replace`], and when the disk fails.
pub fn replace_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let new = Replacement::prepare(path, bytes, mode)?;
    let Some(target) = new.target.clone() else {
        return new.place();
    };
    sync_file(&temporary_beside(&target))?;
    new.place()?;
    sync_dir(parent(&target))
}

/// Overwrites a short file with bytes of the same number, which a disk does at once or not at
/// all; what has another length, or is not there, is replaced.
///
/// # Errors
/// When a step fails.
pub fn overwrite(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let same_length = fs::metadata(path).is_ok_and(|old| old.len() == bytes.len() as u64);
    if !same_length {
        return replace_durably(path, bytes, mode);
    }
    let fail = |error| FileError::new("write", path, error);
    let file = disk::open(path, true).map_err(fail)?;
    disk::write_at(&file, path, bytes, 0).map_err(fail)?;
    disk::close(file, path).map_err(fail)
}

/// The new content of a file, written beside its place; gone again if it is not placed.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    // Where the links lead; None for a device, which is written already, and for what is placed.
    target: Option<PathBuf>,
}

impl Replacement {
    /// Writes the file beside its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn prepare(path: &Path, bytes: &[u8], mode: u32) -> Result<Self> {
        let fail = |error| FileError::new("write", path, error);
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.map_err(fail)?),
        };
        let target = match &found {
            Some(found) if !found.is_file() && !found.is_dir() => {
                write_into_device(path, bytes).map_err(fail)?;
                None
            }
            Some(_) => Some(fs::canonicalize(path).map_err(fail)?),
            None => Some(path.to_owned()),
        };
        if let Some(target) = &target {
            write_beside(target, bytes, mode).map_err(fail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            target,
        })
    }

    /// Renames it into its place.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn place(mut self) -> Result<()> {
        if let Some(target) = &self.target {
            place(target)
                .and_then(|(folder, name)| folder.rename(&temporary(name), &folder, name))
                .map_err(|error| FileError::new("replace", &self.path, error))?;
        }
        self.target = None;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(target) = &self.target {
            let _ = disk::remove_file(&temporary_beside(target));
        }
    }
}

fn write_beside(target: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (folder, name) = place(target)?;
    let temporary = temporary(name);
    if folder.stat_of(&temporary).is_ok() {
        let _ = folder.remove_file(&temporary);
    }
    let access = access_of_replaced(&folder, name, mode)?;
    write_new(&folder, &temporary, bytes, access)
}

// Of the very entry that is replaced, so that nobody is given what was somebody else's.
fn access_of_replaced(folder: &Folder, name: &OsStr, mode: u32) -> io::Result<Access> {
    match folder.stat_of(name) {
        Ok(old) if FileType::from_raw_mode(old.st_mode) == FileType::RegularFile => {
            Ok(Access::Like(Owner::from(&old)))
        }
        _ => Access::new(folder, mode),
    }
}

/// Gives an open file that shall take a place in an open directory the owner, group and mode of
/// what is there; where nothing is, the mode is `mode`.
///
/// # Errors
/// When they cannot be set.
pub fn take_access(file: &File, folder: &Folder, name: &OsStr, mode: u32) -> Result<()> {
    let path = folder.path().join(name);
    access_of_replaced(folder, name, mode)
        .and_then(|access| access.give(file, &path))
        .map_err(|error| FileError::new("set the owner of", &path, error))
}

/// Gives an open file, whose name is `path`, the owner, group and mode of another.
///
/// # Errors
/// When they cannot be set.
pub fn take_access_of(other: &File, file: &File, path: &Path) -> Result<()> {
    Access::of(other)
        .and_then(|access| access.give(file, path))
        .map_err(|error| FileError::new("set the owner of", path, error))
}

fn write_into_device(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut device = OpenOptions::new().write(true).open(path)?;
    if device.metadata()?.is_file() {
        return Err(io::Error::other("it was a device, and is a file now"));
    }
    device.write_all(bytes)?;
    disk::close(device, path)
}

/// Makes `path` a symbolic link to `target`, replacing a link that is there in one step.
///
/// # Errors
/// When the link cannot be made, or something that is not a link has its name.
pub fn replace_link(path: &Path, target: &Path) -> Result<()> {
    if fs::read_link(path).is_ok_and(|now| now == target) {
        return Ok(());
    }
    if exists(path) && !path.is_symlink() {
        return Err(FileError::new(
            "link",
            path,
            io::ErrorKind::AlreadyExists.into(),
        ));
    }
    let fail = |error| FileError::new("create", path, error);
    let (folder, name) = place(path).map_err(fail)?;
    let temporary = temporary(name);
    if folder.stat_of(&temporary).is_ok() {
        let _ = folder.remove_file(&temporary);
    }
    new_link(&folder, &temporary, target).map_err(fail)?;
    folder.rename(&temporary, &folder, name).map_err(|error| {
        let _ = folder.remove_file(&temporary);
        FileError::new("replace", path, error)
    })
}

/// Makes a symbolic link to `target` where nothing is.
///
/// # Errors
/// When something has its name, or it cannot be made.
pub fn create_link(path: &Path, target: &Path) -> Result<()> {
    place(path)
        .and_then(|(folder, name)| new_link(&folder, name, target))
        .map_err(|error| FileError::new("create", path, error))
}

fn new_link(folder: &Folder, name: &OsStr, target: &Path) -> io::Result<()> {
    folder.symlink(target, name)?;
    let given = match owner_of_new(folder)? {
        Some((owner, group)) => folder.set_owner_of_link(name, owner, group),
        None => Ok(()),
    };
    if given.is_err() {
        let _ = folder.remove_file(name);
    }
    given
}

/// Makes a directory with exactly this mode, where there is none.
///
/// # Errors
/// When it cannot be made.
pub fn create_dir(path: &Path, mode: u32) -> Result<()> {
    let created = place(path).and_then(|(folder, name)| {
        folder.create_dir(name)?;
        Access::new(&folder, mode)?.give(folder.enter(name)?, path)
    });
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.map_err(|error| FileError::new("create", path, error)),
    }
}

/// The same in an open directory, and opens it; a link in its place is not followed. Owner, group
/// and mode are those of what `like` leads to, as for [`create_in`].
///
/// # Errors
/// When it cannot be made, or something else has its name.
pub fn create_dir_in(
    folder: &Folder,
    name: &str,
    mode: u32,
    like: Option<(&Folder, &Path)>,
) -> Result<Folder> {
    let path = folder.path().join(name);
    let created = || {
        let name = OsStr::new(name);
        match folder.create_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => folder.enter(name),
            other => {
                other?;
                let new = folder.enter(name)?;
                Access::like(like, folder, mode)?.give(&new, &path)?;
                Ok(new)
            }
        }
    };
    created().map_err(|error| FileError::new("create", &path, error))
}

/// Opens a directory, or one that a link leads to, to work in it.
///
/// # Errors
/// When it cannot be opened, or is none.
pub fn open_folder(path: &Path) -> Result<Folder> {
    Folder::open(path).map_err(|error| FileError::new("open", path, error))
}

/// Moves a file to the same relative path in another directory. No folder on the way may be a link.
///
/// # Errors
/// When it cannot be moved.
pub fn move_into(to: &Path, from: &Path, file: &Path) -> Result<()> {
    let moved = || {
        let (mut source, name) = place(from)?;
        source = source.enter(name)?;
        let mut target = Folder::open(to)?;
        for folder in file.parent().into_iter().flatten() {
            (source, target) = (source.enter(folder)?, target.enter(folder)?);
        }
        let name = file.file_name().unwrap_or_default();
        source.rename(name, &target, name)
    };
    moved().map_err(|error| FileError::new("create", &to.join(file), error))
}

/// Sets the mode of a directory that is no link.
///
/// # Errors
/// When it is something else, or the system refuses.
pub fn set_dir_mode(path: &Path, mode: u32) -> Result<()> {
    place(path)
        .and_then(|(folder, name)| disk::set_mode(folder.enter(name)?, path, mode))
        .map_err(|error| FileError::new("set the mode of", path, error))
}

/// Takes rights to a file or directory away: of its permission bits it keeps those that are in
/// `mode`. It, or what a link leads to, lies in `folder` by its real name, and no link is followed
/// that takes its place meanwhile.
///
/// # Errors
/// When it is not there, lies elsewhere, or the system refuses.
pub fn restrict(folder: &Folder, path: &Path, mode: u32) -> Result<()> {
    let restricted = || {
        let real = fs::canonicalize(path)?;
        let root = fs::canonicalize(folder.path())?;
        let outside = |_| io::Error::other("it lies elsewhere by now");
        let inside = real.strip_prefix(root).map_err(outside)?;
        let mut folder = folder.enter(OsStr::new("."))?;
        let mut names = inside.iter().peekable();
        while let Some(name) = names.next() {
            match folder.enter(name) {
                Ok(below) => folder = below,
                Err(error)
                    if error.kind() == io::ErrorKind::NotADirectory && names.peek().is_none() =>
                {
                    return keep_bits(folder.open_file(name, true)?, &real, mode);
                }
                Err(error) => return Err(error),
            }
        }
        keep_bits(folder, &real, mode)
    };
    restricted().map_err(|error| FileError::new("set the mode of", path, error))
}

fn keep_bits(file: impl AsFd, path: &Path, mode: u32) -> io::Result<()> {
    let bits = fstat(&file)?.st_mode & 0o7777;
    disk::set_mode(file, path, bits & mode)
}

/// Gives a directory that is no link, and that mailca has made, to the owner of the one it is in.
///
/// # Errors
/// When the owner cannot be set.
pub fn adopt_dir(path: &Path) -> Result<()> {
    place(path)
        .and_then(|(folder, name)| Access::new(&folder, 0o700)?.give(folder.enter(name)?, path))
        .map_err(|error| FileError::new("set the owner of", path, error))
}

/// Makes a directory and what it lies in, where they are missing.
///
/// # Errors
/// When one cannot be made.
pub fn create_dirs(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    create_dirs(parent(path))?;
    create_dir(path, 0o755)
}

/// Waits until a directory's entries are on the disk.
///
/// # Errors
/// When the system reports that they are not.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|dir| disk::sync_data(&dir, path))
        .map_err(|error| FileError::new("sync", path, error))
}

/// Waits until a file's content is on the disk.
///
/// # Errors
/// When the system reports that it is not.
pub fn sync_file(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| disk::sync_data(&file, path))
        .map_err(|error| FileError::new("sync", path, error))
}

/// Waits until everything written to the file system of `path` is on the disk (syncfs(2)): one
/// wait for any number of files.
///
/// # Errors
/// When the system reports that it is not.
pub fn sync_filesystem(path: &Path) -> Result<()> {
    disk::sync_filesystem(path).map_err(|error| FileError::new("sync", path, error))
}

/// Whether a path lies on a file system of another machine, whose word that something is on the
/// disk may not be kept (the numbers are those of statfs(2)).
#[must_use]
pub fn is_on_network(path: &Path) -> bool {
    const AFS: u32 = 0x5346_414F;
    const CEPH: u32 = 0x00C3_6400;
    const CIFS: u32 = 0xFF53_4D42;
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517B;
    const SMB2: u32 = 0xFE53_4D42;
    let kind = rustix::fs::statfs(path).map(|found| found.f_type.cast_unsigned());
    kind.is_ok_and(|kind| {
        [AFS, CEPH, CIFS, NFS, SMB, SMB2].contains(&u32::try_from(kind).unwrap_or_default())
    })
}

/// The permission bits of a file.
///
/// # Errors
/// When it is not there.
pub fn mode(path: &Path) -> Result<u32> {
    fs::metadata(path)
        .map(|metadata| metadata.mode() & 0o7777)
        .map_err(|error| FileError::new("read", path, error))
}

/// Refuses a file with a secret that others than its owner can read. A FIFO keeps none.
///
/// # Errors
/// Who can read it.
pub fn check_secret(path: &Path, metadata: &fs::Metadata) -> std::result::Result<(), Exposed> {
    let mode = metadata.mode() & 0o7777;
    let readers = match (mode & 0o040 != 0, mode & 0o004 != 0) {
        _ if !metadata.is_file() => return Ok(()),
        (_, true) => "others",
        (true, false) => "group",
        (false, false) => return Ok(()),
    };
    Err(Exposed {
        path: path.to_owned(),
        readers,
        mode,
    })
}

/// Reads a private key's file, which only its owner may be able to read.
///
/// # Errors
/// As [`read_given`], and when others can read it.
pub fn read_secret(path: &Path) -> std::result::Result<Zeroizing<Vec<u8>>, SecretError> {
    let fail = |error| FileError::new("read", path, error);
    let file = open::given(path).map_err(fail)?;
    check_secret(path, &file.metadata().map_err(fail)?)?;
    Ok(read_whole(Ok(file)).map_err(fail)?)
}

/// The directory a path lies in.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A path that is good from everywhere: that of the directory it lies in by its real name, while
/// a link at its end stays one, since that is what stays when it is made to lead elsewhere.
///
/// # Errors
/// When that directory is not there.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    let real =
        |path: &Path| fs::canonicalize(path).map_err(|error| FileError::new("read", path, error));
    match path.file_name() {
        Some(name) => Ok(real(parent(path))?.join(name)),
        None => real(path),
    }
}

// A path as the directory it lies in, held open, and a name in it.
fn place(path: &Path) -> io::Result<(Folder, &OsStr)> {
    let folder = Folder::open(parent(path))?;
    Ok((folder, path.file_name().unwrap_or_default()))
}

/// Whose something is, and who may do what with it.
#[derive(Clone, Copy, Debug)]
struct Owner {
    user: u32,
    group: u32,
    mode: u32,
}

impl From<&Stat> for Owner {
    fn from(stat: &Stat) -> Self {
        // No program gets its owner's rights by what is written here.
        let bits = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => 0o7777,
            _ => 0o777,
        };
        Self {
            user: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode & bits,
        }
    }
}

/// What something new is given, by its open descriptor: whatever has its name by then.
#[derive(Clone, Copy, Debug)]
enum Access {
    New {
        mode: u32,
        owner: Option<(u32, u32)>,
    },
    Like(Owner),
}

impl Access {
    fn new(folder: &Folder, mode: u32) -> io::Result<Self> {
        let owner = owner_of_new(folder)?;
        Ok(Self::New { mode, owner })
    }

    fn like(other: Option<(&Folder, &Path)>, folder: &Folder, mode: u32) -> io::Result<Self> {
        match other.map(|(other, path)| other.stat_behind(path)) {
            Some(Ok(other)) => Ok(Self::Like(Owner::from(&other))),
            _ => Self::new(folder, mode),
        }
    }

    fn of(file: &File) -> io::Result<Self> {
        Ok(Self::Like(Owner::from(&fstat(file)?)))
    }

    fn give(self, file: impl AsFd, path: &Path) -> io::Result<()> {
        match self {
            Self::New { mode, owner } => {
                if let Some((user, group)) = owner {
                    disk::set_owner(&file, path, user, group)?;
                }
                disk::set_mode(&file, path, mode)
            }
            Self::Like(old) => give_as_before(file, path, old),
        }
    }
}

// What root does in another user's directory stays usable for that user.
fn owner_of_new(folder: &Folder) -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let stat = folder.stat()?;
    Ok((stat.st_uid != 0).then_some((stat.st_uid, stat.st_gid)))
}

// An ordinary user may not give files away, and to a group only where he is in it. Another group
// may do no more than others could before.
fn give_as_before(file: impl AsFd, path: &Path, old: Owner) -> io::Result<()> {
    let new = Owner::from(&fstat(&file)?);
    let give = |user, group| match disk::set_owner(&file, path, user, group) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        other => other.map(|()| true),
    };
    let keeps_group = new.group == old.group || give(new.user, old.group)?;
    let for_group = if keeps_group {
        0o070
    } else {
        (old.mode & 0o007) << 3
    };
    disk::set_mode(&file, path, old.mode & (0o7707 | for_group))?;
    if new.user != old.user {
        let group = if keeps_group { old.group } else { new.group };
        give(old.user, group)?;
    }
    Ok(())
}

// One fixed name, so that what a dead process left is overwritten and not collected.
pub(super) fn temporary(name: &OsStr) -> OsString {
    format!(".{}.mailca", name.to_string_lossy()).into()
}

fn temporary_beside(path: &Path) -> PathBuf {
    parent(path).join(temporary(path.file_name().unwrap_or_default()))
}
