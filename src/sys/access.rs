//! Who may do what with a file, by its owner, group and mode and those of the directories on the
//! way to it. Access control lists are not looked at.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, User, getgrouplist};

use super::files::{self, FileError};

/// The right to read a file.
pub const READ: u32 = 0o4;
/// The right to go through a directory.
pub const SEARCH: u32 = 0o1;

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// where it is
    pub path: PathBuf,
    /// its owner's number
    pub user: u32,
    /// its group's number
    pub group: u32,
    /// its permission bits
    pub mode: u32,
}

impl Entry {
    /// What a path leads to.
    ///
    /// # Errors
    /// When it is not there, or nobody may look.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let found = fs::metadata(path).map_err(|error| FileError::new("read", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            user: found.uid(),
            group: found.gid(),
            mode: found.mode() & 0o7777,
        })
    }

    /// Whether its mode gives an account a right, [`READ`] or [`SEARCH`].
    #[must_use]
    pub fn allows(&self, account: &Account, right: u32) -> bool {
        let given = match () {
            () if account.user == 0 => return true,
            () if account.user == self.user => self.mode >> 6,
            () if account.groups.contains(&self.group) => self.mode >> 3,
            () => self.mode,
        };
        given & right != 0
    }
}

/// A file with the directories that are passed on the way to it.
#[derive(Clone, Debug)]
pub struct Access {
    /// the file
    pub file: Entry,
    /// the directories: those of the links on the way too
    pub folders: Vec<Entry>,
}

impl Access {
    /// Of what a path leads to.
    ///
    /// # Errors
    /// When it is not there, or nobody may look.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let fail = |error| FileError::new("read", path, error);
        let absolute = std::path::absolute(path).map_err(fail)?;
        let mut folders: Vec<PathBuf> = Vec::new();
        let links = absolute.ancestors().filter(|part| part.is_symlink());
        let ends = [fs::canonicalize(path).map_err(fail)?];
        for place in ends.iter().map(PathBuf::as_path).chain(links) {
            let folder = fs::canonicalize(files::parent(place)).map_err(fail)?;
            for folder in folder.ancestors() {
                if !folders.iter().any(|known| known == folder) {
                    folders.push(folder.to_owned());
                }
            }
        }
        Ok(Self {
            file: Entry::of(path)?,
            folders: folders
                .iter()
                .map(|path| Entry::of(path))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// A user, as far as files are concerned.
#[derive(Clone, Debug)]
pub struct Account {
    /// the name
    pub name: String,
    /// the number
    pub user: u32,
    /// the groups, that of the user itself first
    pub groups: Vec<u32>,
}

impl Account {
    /// The user of a name or a number; `None` where there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let by_number = || User::from_uid(name.parse::<u32>().ok()?.into()).ok()?;
        let user = User::from_name(name).ok().flatten().or_else(by_number)?;
        let name = CString::new(&*user.name).ok()?;
        let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
        Some(Self {
            name: user.name,
            user: user.uid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        })
    }

    /// The user that this process acts as.
    #[must_use]
    pub fn own() -> Self {
        let user = rustix::process::geteuid().as_raw();
        Self::named(&user.to_string()).unwrap_or_else(|| Self {
            name: user.to_string(),
            user,
            groups: vec![rustix::process::getegid().as_raw()],
        })
    }

    /// The name of its first group, or the number where that has none.
    #[must_use]
    pub fn group(&self) -> String {
        let number = self.groups.first().copied().unwrap_or_default();
        match Group::from_gid(number.into()) {
            Ok(Some(group)) => group.name,
            _ => number.to_string(),
        }
    }
}

/// Whether two paths lead to the same file.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// Where a program is on this machine: an absolute path, or a name that is looked for in `path`,
/// a `PATH`, and where ordinary users do not look.
#[must_use]
pub fn find_program(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let own = std::env::split_paths(path.unwrap_or_default());
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let places = own.chain(more).map(|folder| folder.join(program));
    places.into_iter().find(|place| place.is_file())
}
