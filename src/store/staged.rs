//! Files too large for the journal: they are written beside their place before the commit, and
//! the record names them by their digest, so that no other file of that name is taken for them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use crate::pki::hex;
use crate::sys::disk::{self, Folder};
use crate::sys::files::{self, FileError};

const NEW_MODE: u32 = 0o644;
const SECRET_MODE: u32 = 0o600;

/// A file that is being written beside its place.
pub struct Staged {
    folder: Folder,
    name: OsString,
    beside: PathBuf,
    file: File,
    written: u64,
    digest: Context,
    /// of a file in whose place nothing is
    mode: u32,
    /// what it is made from
    like: Option<File>,
}

impl Staged {
    /// Begins a file that shall take the place of `path`, over what a dead process left.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        Self::create_with(path, NEW_MODE)
    }

    /// The same for a private key, which nobody but its owner may read.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_secret(path: &Path) -> Result<Self, FileError> {
        Self::create_with(path, SECRET_MODE)
    }

    fn create_with(path: &Path, mode: u32) -> Result<Self, FileError> {
        discard(path)?;
        let target = target(path);
        let folder = files::open_folder(files::parent(&target))?;
        let name = target.file_name().unwrap_or_default().to_owned();
        let temporary = temporary(&name);
        let beside = folder.path().join(&temporary);
        let created = folder.create(&temporary);
        Ok(Self {
            file: created.map_err(|error| FileError::new("create", &beside, error))?,
            folder,
            name,
            beside,
            written: 0,
            digest: Context::new(&SHA256),
            mode,
            like: None,
        })
    }

    /// Opens what it is made from: the file that it shall replace, or the one named `other` beside
    /// that, if it is there. It gets the owner, group and mode of this, and of nothing that took
    /// its place meanwhile.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file.
    pub fn original(&mut self, other: Option<&OsStr>) -> Result<Option<File>, FileError> {
        let name = other.unwrap_or(&self.name);
        let opened = self.folder.open_file(name, false);
        let opened = opened.and_then(|file| Ok((file.try_clone()?, file)));
        match opened {
            Ok((file, like)) => {
                self.like = Some(like);
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::new(
                "read",
                &self.folder.path().join(name),
                error,
            )),
        }
    }

    /// Gives it owner, group and mode of the file that it shall replace, and returns its SHA-256
    /// digest.
    ///
    /// # Errors
    /// When they cannot be set, or the file was not written.
    pub fn finish(self) -> Result<String, FileError> {
        match &self.like {
            Some(like) => files::take_access_of(like, &self.file, &self.beside)?,
            None => files::take_access(&self.file, &self.folder, &self.name, self.mode)?,
        }
        disk::close(self.file, &self.beside)
            .map_err(|error| FileError::new("write", &self.beside, error))?;
        Ok(hex::lower(self.digest.finish().as_ref()))
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        disk::write_at(&self.file, &self.beside, bytes, self.written)?;
        self.digest.update(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file staged for `path`, open, if it is there and the one with this digest.
///
/// # Errors
/// When it cannot be read.
pub fn find(path: &Path, sha256: &str) -> Result<Option<File>, FileError> {
    let beside = beside(path);
    let fail = |error| FileError::new("read", &beside, error);
    let mut file = match File::open(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(fail)?,
    };
    let mut digest = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => break,
            read => digest.update(&buffer[..read]),
        }
    }
    file.rewind().map_err(fail)?;
    let is_it = hex::lower(digest.finish().as_ref()) == sha256;
    Ok(is_it.then_some(file))
}

/// Puts the staged file with this digest into its place. Where there is none, it is there already.
///
/// # Errors
/// When it cannot be read or renamed.
pub fn place(path: &Path, sha256: &str) -> Result<(), FileError> {
    match find(path, sha256)? {
        Some(_) => put(path),
        None => Ok(()),
    }
}

/// Puts the staged file into its place, whatever is in it.
///
/// # Errors
/// When it cannot be renamed.
pub fn put(path: &Path) -> Result<(), FileError> {
    let target = target(path);
    let folder = files::open_folder(files::parent(&target))?;
    let name = target.file_name().unwrap_or_default();
    folder
        .rename(&temporary(name), &folder, name)
        .map_err(|error| FileError::new("replace", path, error))
}

/// Removes what is staged for `path`.
///
/// # Errors
/// When it cannot be removed.
pub fn discard(path: &Path) -> Result<(), FileError> {
    let beside = beside(path);
    if !files::exists(&beside) {
        return Ok(());
    }
    disk::remove_file(&beside).map_err(|error| FileError::new("remove", &beside, error))
}

// Behind a link, the file it leads to is replaced.
fn target(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Where the file for `path` is staged.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    let target = target(path);
    let name = target.file_name().unwrap_or_default();
    files::parent(&target).join(temporary(name))
}

fn temporary(name: &OsStr) -> OsString {
    format!(".{}.staged", name.to_string_lossy()).into()
}
