//! Opening what is to be read, so that nothing is waited for that may never come: open(2) of a
//! FIFO waits for a writer, for ever where there is none.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::retry_on_intr;

/// How long somebody may take to begin writing into a FIFO.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens whatever has this name, and tells what it is; reading what is no file does not wait.
///
/// # Errors
/// When it cannot be opened.
pub fn any(path: &Path) -> io::Result<(File, Metadata)> {
    with_flags(path, OFlags::empty())
}

/// Opens a file or a link to one, as those of a CA directory are.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub fn regular(path: &Path) -> io::Result<File> {
    only_regular(any(path)?)
}

/// The same, but no link.
///
/// # Errors
/// As [`regular`], and when it is a link.
pub fn regular_itself(path: &Path) -> io::Result<File> {
    only_regular(with_flags(path, OFlags::NOFOLLOW)?)
}

/// Opens what a person named: a file, a device, or a pipe such as the shell's `<(...)`. A FIFO
/// into which nobody writes is waited for, but not for ever.
///
/// # Errors
/// When it cannot be opened, is a directory, or nobody writes into the FIFO.
pub fn given(path: &Path) -> io::Result<File> {
    given_within(path, PATIENCE)
}

fn given_within(path: &Path, patience: Duration) -> io::Result<File> {
    let (file, metadata) = any(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.file_type().is_fifo() {
        wait_for_writer(&file, patience)?;
    }
    if !metadata.is_file() {
        fcntl_setfl(&file, OFlags::empty())?;
    }
    Ok(file)
}

fn with_flags(path: &Path, more: OFlags) -> io::Result<(File, Metadata)> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | more).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn only_regular((file, metadata): (File, Metadata)) -> io::Result<File> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

// A read that may not wait ends at once where there is no writer, and fails where there is one
// that has nothing to say yet (pipe(7)).
fn wait_for_writer(mut fifo: &File, patience: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut polled = [PollFd::new(&fifo, PollFlags::IN)];
    let is_silent = retry_on_intr(|| poll(&mut polled, Some(&timeout)))? == 0;
    if is_silent && fifo.read(&mut [0]).is_ok() {
        let seconds = patience.as_secs();
        let problem = format!("nobody has written into this FIFO for {seconds} s");
        return Err(io::Error::other(problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;

    use rustix::fs::{CWD, Mode, mkfifoat};
    use tempfile::TempDir;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    fn fifo() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        (dir, path)
    }

    fn read_all(mut file: File) -> String {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_writer_of_a_fifo_may_take_its_time() {
        let (_dir, path) = fifo();
        // Opened both ways, a FIFO waits for nobody.
        let writer = OpenOptions::new().read(true).write(true).open(&path);
        let file = given_within(&path, SHORT).unwrap();
        writer.unwrap().write_all(b"at last").unwrap();
        assert_eq!(read_all(file), "at last");
    }

    #[test]
    fn a_fifo_without_a_writer_is_given_up() {
        let (_dir, path) = fifo();
        let error = given_within(&path, Duration::from_secs(1)).unwrap_err();
        let said = "nobody has written into this FIFO for 1 s";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn a_pipe_whose_writer_is_gone_is_read_to_its_end() {
        for text in ["", "piped"] {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            drop(writer);
            let path = format!("/dev/fd/{}", reader.as_raw_fd());
            let file = given_within(Path::new(&path), SHORT).unwrap();
            assert_eq!(read_all(file), text);
        }
    }

    #[test]
    fn what_is_no_file_is_refused_where_one_belongs() {
        let (dir, path) = fifo();
        let refused = |path: &Path| regular(path).unwrap_err().to_string();
        assert_eq!(refused(&path), "it is not a regular file");
        assert_eq!(refused(Path::new("/dev/zero")), "it is not a regular file");
        assert_eq!(refused(dir.path()), "is a directory");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(regular(&link).is_ok() && given(&link).is_ok());
        assert!(regular_itself(&link).is_err());
        assert!(regular_itself(Path::new("/etc/passwd")).is_ok());
    }
}
