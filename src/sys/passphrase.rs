//! Where a passphrase comes from when nobody is asked.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::files::{self, Exposed};
use super::open;

/// The longest passphrase, in bytes.
pub const MAX_LENGTH: usize = 1024;

const VARIABLE: &str = "MAILCA_PASSPHRASE";
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const CREDENTIAL: &str = "mailca-passphrase";

/// The environment variables that hold a passphrase, or lead to one.
pub const VARIABLES: [&str; 2] = [VARIABLE, CREDENTIALS];

/// The places that may hold a passphrase; the first that is set counts, in this order.
#[derive(Default)]
pub struct Sources {
    /// `--passphrase-file`: a file or a FIFO, `-` for standard input.
    pub file: Option<PathBuf>,
    /// `--passphrase-fd`: a descriptor that is open already.
    pub fd: Option<u32>,
    /// `MAILCA_PASSPHRASE`.
    pub env: Option<Zeroizing<Vec<u8>>>,
    /// `CREDENTIALS_DIRECTORY`, where systemd puts the credential `mailca-passphrase`.
    pub credentials_directory: Option<PathBuf>,
}

/// One of the places, as an error names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file named on the command line.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// A descriptor inherited from the caller.
    Fd(u32),
    /// `MAILCA_PASSPHRASE`.
    Environment,
    /// The file of a systemd credential.
    Credential(PathBuf),
    /// The answer to a question.
    Typed,
}

/// Why a source has no usable passphrase.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum PassphraseError {
    #[error("the passphrase in {0} is empty")]
    Empty(Source),
    #[error("the passphrase in {0} is longer than {MAX_LENGTH} bytes")]
    TooLong(Source),
    #[error("the passphrase in {0} contains a NUL byte")]
    Nul(Source),
    #[error("file descriptor {0} is not open")]
    NotOpen(u32),
    #[error("cannot read a passphrase from {from}")]
    Read { from: Source, source: io::Error },
    #[error("{0}")]
    Exposed(#[from] Exposed),
}

impl Sources {
    /// Adds what the environment offers to what the command line said.
    #[must_use]
    pub fn from_environment(
        file: Option<PathBuf>,
        fd: Option<u32>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        Self {
            file,
            fd,
            env: variable(VARIABLE).map(|value| Zeroizing::new(value.into_vec())),
            credentials_directory: variable(CREDENTIALS).map(PathBuf::from),
        }
    }

    /// The passphrase that needs no question, if any source has one.
    ///
    /// Only its first line is read, and no byte more, so that the rest of a pipe is left to
    /// whoever reads next. A buffered `stdin` keeps a copy that is never wiped.
    ///
    /// # Errors
    /// If the first source that is set cannot be read or holds no passphrase: a later one may
    /// belong to another key.
    pub fn read(
        &self,
        stdin: &mut dyn Read,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, PassphraseError> {
        if let Some(path) = &self.file {
            return if path == Path::new("-") {
                first_line(stdin, Source::Stdin).map(Some)
            } else {
                from_file(path, Source::File(path.clone())).map(Some)
            };
        }
        if let Some(fd) = self.fd {
            return from_fd(fd).map(Some);
        }
        if let Some(value) = &self.env {
            return first_line(&mut value.as_slice(), Source::Environment).map(Some);
        }
        let Some(directory) = &self.credentials_directory else {
            return Ok(None);
        };
        let path = directory.join(CREDENTIAL);
        match from_file(&path, Source::Credential(path.clone())) {
            // A unit may have other credentials only.
            Err(error) if error.is_missing() => Ok(None),
            result => result.map(Some),
        }
    }
}

impl PassphraseError {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == ErrorKind::NotFound)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("standard input"),
            Self::Fd(fd) => write!(f, "file descriptor {fd}"),
            Self::Environment => f.write_str(VARIABLE),
            Self::Typed => f.write_str("the answer"),
            Self::Credential(path) => write!(f, "the credential {}", path.display()),
        }
    }
}

/// Closes the descriptor that a passphrase came by, so that no other program inherits it. The
/// standard streams stay.
pub fn close(fd: u32) {
    if let Ok(fd @ 3..) = i32::try_from(fd) {
        let _ = nix::unistd::close(fd);
    }
}

fn from_fd(fd: u32) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    from_file(Path::new(&format!("/dev/fd/{fd}")), Source::Fd(fd)).map_err(|error| {
        if error.is_missing() {
            PassphraseError::NotOpen(fd)
        } else {
            error
        }
    })
}

// systemd guards a credential in its own way, and a descriptor is its giver's affair.
fn from_file(path: &Path, from: Source) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    match open::given(path).and_then(|file| Ok((file.metadata()?, file))) {
        Ok((metadata, mut file)) => {
            if matches!(from, Source::File(_)) {
                files::check_secret(path, &metadata)?;
            }
            first_line(&mut file, from)
        }
        Err(source) => Err(PassphraseError::Read { from, source }),
    }
}

fn first_line(input: &mut dyn Read, from: Source) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    match read_line(input) {
        Err(source) => Err(PassphraseError::Read { from, source }),
        Ok(line) => {
            check(&line, from)?;
            Ok(line)
        }
    }
}

/// Whether OpenSSL too can be given this passphrase, so that a key made with it opens there.
///
/// # Errors
/// When it is empty, too long, or has a NUL byte.
pub fn check(passphrase: &[u8], from: Source) -> Result<(), PassphraseError> {
    match passphrase {
        [] => Err(PassphraseError::Empty(from)),
        long if long.len() > MAX_LENGTH => Err(PassphraseError::TooLong(from)),
        nul if nul.contains(&0) => Err(PassphraseError::Nul(from)),
        _ => Ok(()),
    }
}

/// The first line without its end, cut where it is certain to be too long.
pub(super) fn read_line(input: &mut dyn Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let room = MAX_LENGTH + b"\r\n".len();
    // All the room at once: a Vec that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(room));
    let mut byte = Zeroizing::new([0]);
    while line.len() < room {
        match input.read(&mut byte[..]) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => {
                line.pop_if(|last| *last == b'\r');
                break;
            }
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use tempfile::{TempDir, tempdir};

    use super::*;

    fn read(sources: &Sources) -> Result<Vec<u8>, String> {
        read_with_stdin(sources, b"from stdin\n")
    }

    fn read_with_stdin(sources: &Sources, mut stdin: &[u8]) -> Result<Vec<u8>, String> {
        match sources.read(&mut stdin) {
            Ok(Some(passphrase)) => Ok(passphrase.to_vec()),
            Ok(None) => Err("no source".into()),
            Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
        }
    }

    fn stdin_holds(bytes: &[u8]) -> Result<Vec<u8>, String> {
        read_with_stdin(&from_path("-"), bytes)
    }

    fn from_path(path: impl Into<PathBuf>) -> Sources {
        Sources {
            file: Some(path.into()),
            ..Sources::default()
        }
    }

    fn file_with(contents: &[u8]) -> (TempDir, PathBuf) {
        let dir = tempdir().unwrap();
        let path = dir.path().join("pass");
        fs::write(&path, contents).unwrap();
        chmod(&path, 0o600);
        (dir, path)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let (_dir, path) = file_with(b"secret");
        for (mode, readers) in [(0o640, "group"), (0o604, "others"), (0o444, "others")] {
            chmod(&path, mode);
            let named = format!(
                "{} is readable by {readers} (mode {mode:04o})",
                path.display()
            );
            let said = read(&from_path(&path)).unwrap_err();
            assert!(said.starts_with(&named), "{said}");
        }
        chmod(&path, 0o400);
        assert_eq!(read(&from_path(&path)), Ok(b"secret".to_vec()));
    }

    #[test]
    fn without_a_source_there_is_no_passphrase() {
        assert_eq!(read(&Sources::default()), Err("no source".into()));
    }

    #[test]
    fn the_sources_are_tried_in_their_documented_order() {
        let (dir, path) = file_with(b"from file");
        let (_fd_dir, fd_path) = file_with(b"from fd");
        fs::write(dir.path().join(CREDENTIAL), "from credential").unwrap();
        let open = File::open(fd_path).unwrap();
        let mut sources = Sources {
            file: Some(path),
            fd: Some(open.as_raw_fd().try_into().unwrap()),
            env: Some(Zeroizing::new(b"from env".to_vec())),
            credentials_directory: Some(dir.path().into()),
        };
        assert_eq!(read(&sources).unwrap(), b"from file");
        sources.file = None;
        assert_eq!(read(&sources).unwrap(), b"from fd");
        sources.fd = None;
        assert_eq!(read(&sources).unwrap(), b"from env");
        sources.env = None;
        assert_eq!(read(&sources).unwrap(), b"from credential");
    }

    #[test]
    fn a_dash_is_standard_input() {
        assert_eq!(read(&from_path("-")).unwrap(), b"from stdin");
    }

    #[test]
    fn only_the_first_line_counts_without_its_end() {
        assert_eq!(stdin_holds(b"one").unwrap(), b"one");
        assert_eq!(stdin_holds(b"one\ntwo\n").unwrap(), b"one");
        assert_eq!(stdin_holds(b"one\r\ntwo\r\n").unwrap(), b"one");
        assert_eq!(stdin_holds(b" o\rne \n").unwrap(), b" o\rne ");
    }

    #[test]
    fn what_follows_the_first_line_is_left_unread() {
        let mut stdin = b"one\ntwo\n".as_slice();
        from_path("-").read(&mut stdin).unwrap();
        assert_eq!(stdin, b"two\n");
    }

    #[test]
    fn bytes_need_not_be_utf8() {
        assert_eq!(stdin_holds(b"caf\xe9\n").unwrap(), b"caf\xe9");
    }

    #[test]
    fn an_empty_first_line_is_refused() {
        let refused = Err("the passphrase in standard input is empty".into());
        assert_eq!(stdin_holds(b""), refused);
        assert_eq!(stdin_holds(b"\nsecond\n"), refused);
        assert_eq!(stdin_holds(b"\r\n"), refused);
    }

    #[test]
    fn an_empty_variable_is_refused() {
        let sources = Sources {
            env: Some(Zeroizing::default()),
            ..Sources::default()
        };
        let refused = Err("the passphrase in MAILCA_PASSPHRASE is empty".into());
        assert_eq!(read(&sources), refused);
    }

    #[test]
    fn the_longest_passphrase_has_1024_bytes() {
        let longest = "x".repeat(MAX_LENGTH);
        let refused = Err("the passphrase in standard input is longer than 1024 bytes".into());
        for end in ["", "\n", "\r\n"] {
            let fits = format!("{longest}{end}");
            assert_eq!(stdin_holds(fits.as_bytes()).unwrap(), longest.as_bytes());
            let too_long = format!("{longest}x{end}");
            assert_eq!(stdin_holds(too_long.as_bytes()), refused);
        }
        assert_eq!(stdin_holds(&[b'x'; 10_000]), refused);
    }

    #[test]
    fn a_nul_byte_is_refused() {
        let refused = Err("the passphrase in standard input contains a NUL byte".into());
        assert_eq!(stdin_holds(b"a\0b\n"), refused);
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = read(&from_path("/nonexistent/pass")).unwrap_err();
        assert!(message.starts_with("cannot read a passphrase from /nonexistent/pass: No such"));
    }

    #[test]
    fn a_directory_is_named() {
        let dir = tempdir().unwrap();
        let message = read(&from_path(dir.path())).unwrap_err();
        assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
        assert!(message.contains("is a directory"), "{message}");
    }

    #[test]
    fn a_closed_descriptor_is_named() {
        let sources = Sources {
            fd: Some(987_654),
            ..Sources::default()
        };
        let refused = Err("file descriptor 987654 is not open".into());
        assert_eq!(read(&sources), refused);
    }

    #[test]
    fn a_descriptor_may_be_a_pipe() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"piped\n").unwrap();
        let sources = Sources {
            fd: Some(reader.as_raw_fd().try_into().unwrap()),
            ..Sources::default()
        };
        assert_eq!(read(&sources).unwrap(), b"piped");
    }

    #[test]
    fn a_fifo_is_waited_for() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let writer = thread::spawn({
            let path = path.clone();
            move || fs::write(path, "late\n").unwrap()
        });
        assert_eq!(read(&from_path(path)).unwrap(), b"late");
        writer.join().unwrap();
    }

    #[test]
    fn credentials_of_other_names_are_no_source() {
        let dir = tempdir().unwrap();
        let sources = Sources {
            credentials_directory: Some(dir.path().into()),
            ..Sources::default()
        };
        assert_eq!(read(&sources), Err("no source".into()));
        fs::write(dir.path().join(CREDENTIAL), "").unwrap();
        let message = read(&sources).unwrap_err();
        assert!(message.starts_with("the passphrase in the credential /"));
    }
}
