//! An exclusive lock that the kernel drops when its holder dies.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::disk;
use super::files::{self, FileError};

const POLL: Duration = Duration::from_millis(20);

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else held it all the time.
    #[error("another mailca holds the lock {path} (waited {} s)", .waited.as_secs())]
    Held {
        /// the lock file
        path: PathBuf,
        /// how long it was waited for
        waited: Duration,
    },
    /// The lock file cannot be opened or locked.
    #[error("{0}")]
    File(#[from] FileError),
}

/// A lock held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Takes the lock file `path`, making it (mode 0600) where it is missing, and waits for at most
/// `wait`. The file stays: removing it would let two holders lock two files of one name.
///
/// # Errors
/// When somebody else holds it for longer than `wait`, or the file cannot be opened.
pub fn acquire(path: &Path, wait: Duration) -> Result<Lock, LockError> {
    let file = open(path)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) if start.elapsed() >= wait => {
                return Err(LockError::Held {
                    path: path.to_owned(),
                    waited: wait,
                });
            }
            Err(TryLockError::WouldBlock) => sleep(POLL),
            Err(TryLockError::Error(error)) => {
                return Err(FileError::new("lock", path, error).into());
            }
        }
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    let failed = |error| FileError::new("open", path, error);
    match disk::open(path, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map_err(failed),
    }
    match files::create_open(path) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
            disk::open(path, true).map_err(failed)
        }
        created => created,
    }
}
