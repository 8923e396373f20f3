//! A new CA directory: made beside its place and moved there whole, so that a failed `init`
//! leaves nothing behind.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::pki::serial::SerialNumber;
use crate::sys::disk;
use crate::sys::files::{self, FileError};
use crate::sys::lock::{self, LockError};

/// Why a CA directory was not made.
#[derive(Debug, Error)]
pub enum CreateError {
    /// There is one already, or a part of one.
    #[error("{} already holds a CA ({found})", .root.display())]
    Exists {
        /// the directory
        root: PathBuf,
        /// the CA's subject, or the file that is there
        found: String,
    },
    /// Somebody else makes one there right now.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// A file could not be written.
    #[error("{0}")]
    File(#[from] FileError),
}

/// What a new CA directory is filled with.
pub struct NewCa<'a> {
    /// cacert.pem
    pub certificate: &'a str,
    /// private/cakey.pem
    pub private_key: &'a str,
    /// openssl.cnf
    pub settings: &'a str,
    /// the first certificate's serial number
    pub serial: &'a SerialNumber,
    /// OpenSSL's hash of the subject
    pub hash: &'a str,
}

const DIRECTORIES: [(&str, u32); 5] = [
    ("certs", 0o755),
    ("crl", 0o755),
    ("newcerts", 0o755),
    ("hosts", 0o755),
    ("private", 0o700),
];

// In the order in which they are moved into a directory that exists: the certificate makes it a
// CA, so it comes last.
const FILES: [&str; 8] = [
    "openssl.cnf",
    "serial",
    "crlnumber",
    "index.txt.attr",
    "index.txt",
    "private/cakey.pem",
    "cacert.pem",
    "HASH.0",
];

/// The file that shows that `root` holds a CA or part of one, if there is any.
#[must_use]
pub fn trace_of_ca(root: &Path) -> Option<&'static str> {
    let kept = FILES.iter().filter(|name| **name != "HASH.0");
    kept.copied().find(|name| files::exists(&root.join(name)))
}

/// Makes the CA directory `root`.
///
/// # Errors
/// When it holds a CA already, or cannot be written; what was made is removed again.
pub fn create(root: &Path, ca: &NewCa<'_>) -> Result<(), CreateError> {
    refuse_existing(root)?;
    if root.is_dir() {
        fill(root, ca)
    } else {
        make(root, ca)
    }
}

// It belongs to whoever makes it, and not to the owner of the directory it is in: on Debian,
// /etc/mail is the mail daemon's.
fn make(root: &Path, ca: &NewCa<'_>) -> Result<(), CreateError> {
    let stage = stage_in(existing_ancestor(root))?;
    write(stage.path(), ca)?;
    let parent = files::parent(root);
    files::create_dirs(parent)?;
    files::set_dir_mode(stage.path(), 0o755)?;
    disk::rename(stage.path(), root).map_err(|error| FileError::new("create", root, error))?;
    // It has another name now: nothing is left to remove.
    let _ = stage.keep();
    let synced = files::sync_dir(parent);
    if synced.is_err() {
        let _ = disk::remove_dir_all(root);
    }
    Ok(synced?)
}

// The directory is there, perhaps with the book's empty folders in it: it stays what it is.
fn fill(root: &Path, ca: &NewCa<'_>) -> Result<(), CreateError> {
    let lock_file = root.join("index.txt.lock");
    let lock = lock::acquire(&lock_file, Duration::ZERO)?;
    let mut made = vec![lock_file];
    let filled = refuse_existing(root).and_then(|()| {
        let stage = stage_in(root)?;
        files::adopt_dir(stage.path())?;
        write(stage.path(), ca)?;
        for (name, mode) in DIRECTORIES {
            let path = root.join(name);
            if !path.exists() {
                files::create_dir(&path, mode)?;
                made.push(path);
            }
        }
        files::set_dir_mode(&root.join("private"), 0o700)?;
        for name in FILES {
            let name = file_name(name, ca);
            let path = root.join(&name);
            if name.ends_with(".0") && files::exists(&path) {
                continue;
            }
            files::move_into(root, stage.path(), Path::new(&name))?;
            made.push(path);
        }
        Ok(files::sync_filesystem(root)?)
    });
    if filled.is_err() && !matches!(filled, Err(CreateError::Exists { .. })) {
        for path in made.iter().rev() {
            let _ = disk::remove_file(path).or_else(|_| disk::remove_dir(path));
        }
    }
    drop(lock);
    filled
}

fn stage_in(place: &Path) -> Result<tempfile::TempDir, FileError> {
    tempfile::Builder::new()
        .prefix(".mailca-init-")
        .tempdir_in(place)
        .map_err(|error| {
            // Without tempfile's own words, which name what nobody asked for.
            let source = error
                .raw_os_error()
                .map_or(error, io::Error::from_raw_os_error);
            FileError::new("create a directory in", place, source)
        })
}

fn write(path: &Path, ca: &NewCa<'_>) -> Result<(), FileError> {
    for (name, mode) in DIRECTORIES {
        files::create_dir(&path.join(name), mode)?;
    }
    for name in FILES {
        let name = file_name(name, ca);
        let target = path.join(&name);
        match name.as_str() {
            "openssl.cnf" => files::create_new(&target, ca.settings.as_bytes(), 0o644)?,
            "serial" => files::create_new(&target, format!("{}\n", ca.serial).as_bytes(), 0o644)?,
            "crlnumber" => files::create_new(&target, b"01\n", 0o644)?,
            "index.txt.attr" => files::create_new(&target, b"unique_subject = no\n", 0o644)?,
            "index.txt" => files::create_new(&target, b"", 0o644)?,
            "private/cakey.pem" => files::create_new(&target, ca.private_key.as_bytes(), 0o600)?,
            "cacert.pem" => files::create_new(&target, ca.certificate.as_bytes(), 0o644)?,
            _ => files::create_link(&target, Path::new("cacert.pem"))?,
        }
    }
    files::sync_filesystem(path)
}

fn file_name(name: &str, ca: &NewCa<'_>) -> String {
    name.replace("HASH", ca.hash)
}

fn refuse_existing(root: &Path) -> Result<(), CreateError> {
    match trace_of_ca(root) {
        Some(found) => Err(CreateError::Exists {
            root: root.to_owned(),
            found: found.into(),
        }),
        None => Ok(()),
    }
}

fn existing_ancestor(path: &Path) -> &Path {
    let mut place = files::parent(path);
    while !place.is_dir() {
        match place.parent() {
            Some(up) if up != Path::new("") => place = up,
            _ => return Path::new("."),
        }
    }
    place
}
