//! Files that are whole or not there: written beside their place and renamed into it, with their
//! mode set and not left to the umask.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::{disk, open};

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

type Result<T> = std::result::Result<T, FileError>;

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

/// Makes a new file and never overwrites one.
///
/// # Errors
/// When something of that name is there, or the file cannot be written.
pub fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let fail = |error| FileError::new("create", path, error);
    // 0600 until it is complete: a key is never open to others, not even for a moment.
    let file = disk::create(path).map_err(fail)?;
    let written = disk::write_at(&file, path, bytes, 0)
        .and_then(|()| disk::set_mode(&file, path, mode))
        .map_err(fail)
        .and_then(|()| give_to_owner_of_parent(&file, path))
        .and_then(|()| disk::close(file, path).map_err(fail));
    if written.is_err() {
        let _ = disk::remove_file(path);
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
    match new.beside.clone() {
        Some(beside) => {
            sync_file(&beside)?;
            new.place()?;
            sync_dir(parent(path))
        }
        None => new.place(),
    }
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
    target: PathBuf,
    // None for a device, which is written already.
    beside: Option<PathBuf>,
}

impl Replacement {
    /// Writes the file beside its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn prepare(path: &Path, bytes: &[u8], mode: u32) -> Result<Self> {
        let fail = |error| FileError::new("write", path, error);
        let old = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.map_err(fail)?),
        };
        let target = match old {
            Some(_) => fs::canonicalize(path).map_err(fail)?,
            None => path.to_owned(),
        };
        let mut new = Self {
            path: path.to_owned(),
            beside: None,
            target,
        };
        if old
            .as_ref()
            .is_some_and(|old| !old.is_file() && !old.is_dir())
        {
            let mut device = OpenOptions::new().write(true).open(path).map_err(fail)?;
            device.write_all(bytes).map_err(fail)?;
            disk::close(device, path).map_err(fail)?;
            return Ok(new);
        }
        let beside = temporary_beside(&new.target);
        let _ = remove_if_there(&beside);
        // No file is open to a group that is not yet its own.
        let first_mode = if old.is_some() { 0o600 } else { mode };
        create_new(&beside, bytes, first_mode).map_err(|error| fail(error.source))?;
        new.beside = Some(beside.clone());
        match old {
            Some(old) => take_owner_and_mode(&beside, &old).map(|()| new),
            None => Ok(new),
        }
    }

    /// Renames it into its place.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn place(mut self) -> Result<()> {
        if let Some(beside) = &self.beside {
            disk::rename(beside, &self.target)
                .map_err(|error| FileError::new("replace", &self.path, error))?;
        }
        self.beside = None;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = disk::remove_file(beside);
        }
    }
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
    let beside = temporary_beside(path);
    let _ = remove_if_there(&beside);
    disk::symlink(target, &beside).map_err(|error| FileError::new("create", &beside, error))?;
    disk::rename(&beside, path).map_err(|error| {
        let _ = disk::remove_file(&beside);
        FileError::new("replace", path, error)
    })
}

/// Makes a directory with exactly this mode, where there is none.
///
/// # Errors
/// When it cannot be made.
pub fn create_dir(path: &Path, mode: u32) -> Result<()> {
    let fail = |error| FileError::new("create", path, error);
    match disk::create_dir(path, 0o700) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(fail(error)),
        Ok(()) => {
            let directory = File::open(path).map_err(fail)?;
            disk::set_mode(&directory, path, mode).map_err(fail)?;
            give_to_owner_of_parent(&directory, path)
        }
    }
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

/// Gives a new file to the owner of the directory it is in, so that what root does in another
/// user's directory stays usable for that user.
///
/// # Errors
/// When the owner cannot be set.
pub fn give_to_owner_of_parent(file: &File, path: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let fail = |error| FileError::new("set the owner of", path, error);
    let parent = fs::metadata(parent(path)).map_err(fail)?;
    if parent.uid() == 0 {
        return Ok(());
    }
    disk::set_owner(file, path, parent.uid(), parent.gid()).map_err(fail)
}

/// The directory a path lies in.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Gives a file or folder the owner, group and mode of another one, if that is there.
///
/// # Errors
/// When they cannot be set.
pub fn take_access(path: &Path, like: &Path) -> Result<()> {
    let Ok(old) = fs::metadata(like) else {
        return Ok(());
    };
    take_owner_and_mode(path, &old)
}

// An ordinary user may not give files away, and to a group only where he is in it. Another group
// may do no more than others could before.
fn take_owner_and_mode(path: &Path, old: &fs::Metadata) -> Result<()> {
    let fail = |error| FileError::new("set the owner of", path, error);
    let file = File::open(path).map_err(fail)?;
    let new = file.metadata().map_err(fail)?;
    let give = |owner, group| match disk::set_owner(&file, path, owner, group) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        other => other.map(|()| true).map_err(fail),
    };
    let keeps_group = new.gid() == old.gid() || give(new.uid(), old.gid())?;
    let for_group = if keeps_group {
        0o070
    } else {
        (old.mode() & 0o007) << 3
    };
    let mode = old.mode() & (0o7707 | for_group);
    disk::set_mode(&file, path, mode).map_err(fail)?;
    if new.uid() != old.uid() {
        let group = if keeps_group { old.gid() } else { new.gid() };
        give(old.uid(), group)?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    if exists(path) {
        disk::remove_file(path)?;
    }
    Ok(())
}

// One fixed name, so that what a dead process left is overwritten and not collected.
fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    parent(path).join(format!(".{name}.mailca"))
}
