//! Who runs a test: root, and an ordinary user.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{getgid, getuid};

/// An identity to run programs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// The identities to test with: root and an ordinary user where the suite runs
/// as root, otherwise whoever runs it.
pub fn users() -> Vec<User> {
    let me = User::me();
    if me.is_root() {
        vec![me, User::ordinary()]
    } else {
        vec![me]
    }
}

impl User {
    /// Whoever runs the suite.
    pub fn me() -> Self {
        Self {
            uid: getuid().as_raw(),
            gid: getgid().as_raw(),
        }
    }

    /// An ordinary user: `nobody` where the suite runs as root.
    pub fn ordinary() -> Self {
        match Self::me() {
            me if me.is_root() => Self {
                uid: 65534,
                gid: 65534,
            },
            me => me,
        }
    }

    pub fn is_root(self) -> bool {
        self.uid == 0
    }

    /// A command that runs as this user, with nothing on standard input. Set
    /// its directory: the user may not be allowed in the suite's own.
    pub fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        if self != Self::me() {
            command.uid(self.uid).gid(self.gid).env("HOME", "/");
        }
        command
    }

    /// [`mailca`] as this user.
    pub fn mailca(self) -> Command {
        let mut command = self.command(if self == Self::me() {
            Path::new(MAILCA)
        } else {
            shared_mailca()
        });
        let ours = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.as_encoded_bytes().starts_with(b"MAILCA_"));
        for name in ours {
            command.env_remove(name);
        }
        command.env_remove("CREDENTIALS_DIRECTORY");
        command
    }
}

/// The mailca under test, with nothing on standard input and no settings or
/// passphrase in its environment.
pub fn mailca() -> Command {
    User::me().mailca()
}

const MAILCA: &str = env!("CARGO_BIN_EXE_mailca");

/// A name under which every user can run mailca.
fn shared_mailca() -> &'static Path {
    static SHARED: OnceLock<(PathBuf, Option<File>)> = OnceLock::new();
    let (path, _) = SHARED.get_or_init(|| {
        let path = Path::new(MAILCA);
        let open_to_all = |part: &Path| part.metadata().is_ok_and(|meta| meta.mode() & 0o001 != 0);
        if path.ancestors().all(open_to_all) {
            return (path.to_owned(), None);
        }
        let (path, file) = inherited(path);
        (path, Some(file))
    });
    path
}

/// A name for a program below a private home directory: a file descriptor
/// which children inherit, while the file is open.
pub(super) fn inherited(program: &Path) -> (PathBuf, File) {
    let file = File::open(program).expect("open a program");
    fcntl_setfd(&file, FdFlags::empty()).expect("let children inherit a file");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (path, file)
}
