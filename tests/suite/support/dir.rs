//! Private directories.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{User, run};

/// A user's own directory, which goes away with the value.
///
/// As root it lies where every parent belongs to root and nobody else may
/// write: a Sendmail that runs as root refuses keys and certificates below a
/// world-writable directory, and /tmp is one.
pub struct TestDir {
    folder: tempfile::TempDir,
    owner: User,
}

impl TestDir {
    /// A directory of whoever runs the suite.
    pub fn new() -> Self {
        Self::of(User::me())
    }

    /// A directory of `owner`, which everybody may enter and read.
    pub fn of(owner: User) -> Self {
        let parent = if User::me().is_root() {
            ["/var/cache", "/var/lib", "/run", "/"]
                .map(Path::new)
                .into_iter()
                .find(|path| is_safe(path))
                .expect("a directory that only root can write to")
                .to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::Builder::new()
            .prefix("mailca-test-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .expect("create a private directory");
        // The umask may have taken bits away.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("chmod");
        chown(folder.path(), Some(owner.uid), Some(owner.gid)).expect("chown");
        Self { folder, owner }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The full name of a file in here, as text for arguments and settings.
    pub fn file(&self, name: &str) -> String {
        let path = self.path().join(name);
        path.into_os_string().into_string().expect("UTF-8 path")
    }

    /// Writes a file that belongs to the directory's owner.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("write a test file");
        chown(&path, Some(self.owner.uid), Some(self.owner.gid)).expect("chown");
        path
    }

    /// The same, readable by the owner only: mailca reads no other passphrase or key.
    pub fn write_secret(&self, name: &str, text: &str) {
        let path = self.write(name, text);
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("chmod");
    }

    /// Creates a folder that belongs to the directory's owner.
    pub fn create_dir(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).expect("create a test folder");
        chown(&path, Some(self.owner.uid), Some(self.owner.gid)).expect("chown");
        path
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A command that runs in here as the directory's owner.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.owner.command(program);
        command.current_dir(self.path());
        command
    }

    /// mailca, run in here as the directory's owner.
    pub fn mailca(&self, args: &[&str]) -> Command {
        let mut command = self.owner.mailca();
        command.current_dir(self.path()).args(args);
        command
    }

    /// `openssl`, run in here as the directory's owner; its standard output.
    #[track_caller]
    pub fn openssl(&self, args: &[&str]) -> String {
        run(self.command("openssl").args(args)).exits(0).stdout
    }
}

/// Whether only root can write to a directory and all above it, and everybody
/// can pass.
fn is_safe(path: &Path) -> bool {
    path.ancestors().all(|part| {
        part.symlink_metadata().is_ok_and(|meta| {
            meta.is_dir() && meta.uid() == 0 && meta.mode() & 0o022 == 0 && meta.mode() & 0o001 != 0
        })
    })
}
