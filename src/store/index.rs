//! The register, index.txt (`openssl ca`, FILES; its TXT_DB format): one line a certificate, six
//! fields between tabs, byte for byte what OpenSSL writes.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memchr::{memchr_iter, memrchr};
use time::OffsetDateTime;

use crate::pki::asn1_time;
use crate::pki::certificate::Certificate;
use crate::pki::revocation::Revocation;
use crate::pki::serial::SerialNumber;
use crate::sys::files::{self, FileError};
use crate::sys::open;

/// A row as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// `V`, `R` or `E`
    pub status: &'a str,
    /// notAfter, as in the certificate
    pub expires: &'a str,
    /// `date,reason` of a revoked certificate, else empty
    pub revoked: &'a str,
    /// the serial number in hexadecimal
    pub serial: &'a str,
    /// OpenSSL's file name, always `unknown`
    pub file: &'a str,
    /// the subject as `X509_NAME_oneline` writes it
    pub subject: &'a str,
}

impl<'a> Row<'a> {
    /// Reads a line; `None` for a comment, or where it has not six fields.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let mut fields = line.splitn(6, '\t');
        let mut next = || fields.next();
        Some(Self {
            status: next()?,
            expires: next()?,
            revoked: next()?,
            serial: next()?,
            file: next()?,
            subject: next()?,
        })
    }

    /// Whether it stands for a certificate that is neither revoked nor marked expired.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.status == "V"
    }

    /// Whether the row's date has passed.
    #[must_use]
    pub fn is_past(&self, now: OffsetDateTime) -> bool {
        let now = asn1_time::format_generalized(now);
        asn1_time::generalized(self.expires).is_some_and(|expires| expires < now)
    }
}

/// The row of a certificate just issued, with its line end.
#[must_use]
pub fn line_of(certificate: &Certificate) -> String {
    format!(
        "V\t{}\t\t{}\tunknown\t{}\n",
        asn1_time::format(certificate.not_after),
        certificate.serial,
        subject_of(certificate)
    )
}

/// The row of a certificate that is revoked, from the one it has, without a line end.
#[must_use]
pub fn revoked_line(row: &Row<'_>, revocation: &Revocation) -> String {
    let Row {
        expires,
        serial,
        file,
        subject,
        ..
    } = row;
    let revoked = revocation.to_field();
    format!("R\t{expires}\t{revoked}\t{serial}\t{file}\t{subject}")
}

/// The subject as the register has it; the serial number stands for an empty one.
#[must_use]
pub fn subject_of(certificate: &Certificate) -> String {
    let subject = certificate.subject.oneline();
    if subject.is_empty() {
        certificate.serial.to_string()
    } else {
        subject
    }
}

// What is read at a time, and the longest line.
const CHUNK: usize = 1 << 18;

/// Calls `each` with the offset in bytes and the bytes of every line, without its end, until it
/// returns false. A line that is being appended at the moment is read to its end.
///
/// # Errors
/// When the register cannot be read, or a line in it has more than 256 KiB.
pub fn lines(path: &Path, each: impl FnMut(u64, &[u8]) -> bool) -> Result<(), FileError> {
    let fail = |error| FileError::new("read", path, error);
    match open::regular(path) {
        Err(error) if is_missing(&error, path) => Ok(()),
        opened => lines_of(opened.map_err(fail)?, path, each),
    }
}

/// The same of a register that is open; `path` is its name.
///
/// # Errors
/// As [`lines`].
pub fn lines_of(
    file: File,
    path: &Path,
    each: impl FnMut(u64, &[u8]) -> bool,
) -> Result<(), FileError> {
    read_lines(file, each).map_err(|error| FileError::new("read", path, error))
}

fn read_lines(mut file: File, mut each: impl FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let (mut offset, mut filled) = (0, 0);
    loop {
        if filled == buffer.len() {
            return Err(io::Error::other("a line in it is longer than 256 KiB"));
        }
        let read = file.read(&mut buffer[filled..])?;
        let known = filled;
        filled += read;
        let mut start = 0;
        for found in memchr_iter(b'\n', &buffer[known..filled]) {
            let end = known + found;
            if !each(offset + start as u64, without_return(&buffer[start..end])) {
                return Ok(());
            }
            start = end + 1;
        }
        if read == 0 {
            if start < filled {
                each(
                    offset + start as u64,
                    without_return(&buffer[start..filled]),
                );
            }
            return Ok(());
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        offset += start as u64;
    }
}

/// A line of the register that is written anew.
#[derive(Debug)]
pub struct Change {
    /// its offset in bytes
    pub at: u64,
    /// its length in bytes, without its end
    pub length: u64,
    /// what takes its place
    pub line: String,
}

/// Copies an open register, byte for byte but for `changes`, which are in the order of their
/// offsets, and ends its last line.
///
/// # Errors
/// When the register cannot be read, or `out` not be written.
pub fn rewrite(mut file: File, changes: &[Change], out: &mut impl Write) -> io::Result<()> {
    for change in changes {
        let here = file.stream_position()?;
        io::copy(&mut (&file).take(change.at - here), out)?;
        out.write_all(change.line.as_bytes())?;
        file.seek(SeekFrom::Start(change.at + change.length))?;
    }
    io::copy(&mut file, out)?;
    let length = file.stream_position()?;
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last != *b"\n" {
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The serial number in a line, as it stands there; `None` where there is no row.
#[must_use]
pub fn serial_in(line: &[u8]) -> Option<&[u8]> {
    if line.starts_with(b"#") {
        return None;
    }
    let mut tabs = memchr_iter(b'\t', line).skip(2);
    let (start, end) = (tabs.next()?, tabs.next()?);
    tabs.next()?;
    Some(&line[start + 1..end])
}

/// Whether a line is the row of a revoked certificate.
#[must_use]
pub fn is_revoked(line: &[u8]) -> bool {
    line.starts_with(b"R\t")
}

/// Date and reason in the line of a revoked certificate.
#[must_use]
pub fn revocation_in(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let row = Row::parse(&text).filter(|row| row.status == "R")?;
    Some(row.revoked.to_owned())
}

/// The subject in the line of a valid certificate, as it stands there.
#[must_use]
pub fn valid_subject_in(line: &[u8]) -> Option<&[u8]> {
    subject_in(line).filter(|_| line.starts_with(b"V\t"))
}

/// The subject in a line, as it stands there.
#[must_use]
pub fn subject_in(line: &[u8]) -> Option<&[u8]> {
    // OpenSSL writes a tab in a subject as \x09.
    memrchr(b'\t', line).map(|tab| &line[tab + 1..])
}

/// The register's length in bytes, and whether its last line has an end. OpenSSL silently drops
/// a last line without one.
///
/// # Errors
/// When the register cannot be read.
pub fn end(path: &Path) -> Result<(u64, bool), FileError> {
    let tail = tail(path, 1)?;
    Ok((tail.length, tail.bytes.is_empty() || tail.bytes == b"\n"))
}

/// The last rows, without reading the others: the highest serial number in them, and the first
/// line that is no row, as which OpenSSL would refuse the whole register.
///
/// # Errors
/// When the register cannot be read.
pub fn last_rows(path: &Path) -> Result<(Option<SerialNumber>, Option<String>), FileError> {
    let mut tail = self::tail(path, 1 << 12)?;
    if !tail.bytes.trim_ascii_end().contains(&b'\n') {
        tail = self::tail(path, CHUNK as u64)?;
    }
    let mut highest = Highest::default();
    let mut stranger = None;
    let bytes = tail.bytes.strip_suffix(b"\n").unwrap_or(&tail.bytes);
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let is_whole = number > 0 || tail.length == tail.bytes.len() as u64;
        if tail.bytes.is_empty() {
            break;
        }
        let line = without_return(line);
        if is_whole && stranger.is_none() && !is_regular(line) {
            stranger = Some(String::from_utf8_lossy(line).into_owned());
        }
        highest.see(line);
    }
    Ok((highest.number(), stranger))
}

/// Whether a line is what OpenSSL's `TXT_DB_read` takes: six fields or a comment. An empty line is
/// none of these.
#[must_use]
pub fn is_regular(line: &[u8]) -> bool {
    let is_row = || memchr_iter(b'\t', line).count() == 5 && !line.contains(&0);
    line.starts_with(b"#") || is_row()
}

/// The highest serial number in the register, `None` where it has no row.
///
/// # Errors
/// When the register cannot be read.
pub fn highest_serial(path: &Path) -> Result<Option<SerialNumber>, FileError> {
    let mut highest = Highest::default();
    lines(path, |_, line| {
        highest.see(line);
        true
    })?;
    Ok(highest.number())
}

/// The highest serial number of the lines seen.
#[derive(Debug, Default)]
pub struct Highest(Vec<u8>);

impl Highest {
    /// Takes a line into account.
    pub fn see(&mut self, line: &[u8]) {
        let Some(mut digits) = serial_in(line) else {
            return;
        };
        while let [b'0', rest @ ..] = digits {
            digits = rest;
        }
        // What is no serial number must not hide those that are (20 octets, the first bit clear).
        let fits = digits.len() < 40 || (digits.len() == 40 && digits[0] < b'8');
        let is_higher = match digits.len().cmp(&self.0.len()) {
            Ordering::Equal => {
                let upper = digits.iter().map(u8::to_ascii_uppercase);
                upper.gt(self.0.iter().copied())
            }
            by_length => by_length.is_gt(),
        };
        if fits && is_higher && digits.iter().all(u8::is_ascii_hexdigit) {
            self.0 = digits.to_ascii_uppercase();
        }
    }

    /// The number, if there was any.
    #[must_use]
    pub fn number(&self) -> Option<SerialNumber> {
        str::from_utf8(&self.0).ok()?.parse().ok()
    }
}

// A register on a disk that is not mounted is not an empty one.
fn is_missing(error: &io::Error, path: &Path) -> bool {
    error.kind() == io::ErrorKind::NotFound && !files::exists(path)
}

struct Tail {
    length: u64,
    bytes: Vec<u8>,
}

fn tail(path: &Path, most: u64) -> Result<Tail, FileError> {
    let fail = |error| FileError::new("read", path, error);
    let file = match open::regular(path) {
        Err(error) if is_missing(&error, path) => {
            return Ok(Tail {
                length: 0,
                bytes: Vec::new(),
            });
        }
        opened => opened.map_err(fail)?,
    };
    let length = file.metadata().map_err(fail)?.len();
    let start = length.saturating_sub(most);
    let mut bytes = vec![0; usize::try_from(length - start).unwrap_or_default()];
    file.read_exact_at(&mut bytes, start).map_err(fail)?;
    Ok(Tail { length, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn rows_of_both_forms_are_compared_by_date() {
        let row = Row::parse("V\t491231235959Z\t\t01\tunknown\t/CN=a").unwrap();
        assert!(row.is_past(datetime!(2050-01-01 00:00:00 UTC)));
        assert!(!row.is_past(datetime!(2049-01-01 00:00:00 UTC)));
        let row = Row::parse("V\t20500101000000Z\t\t01\tunknown\t/CN=a").unwrap();
        assert!(!row.is_past(datetime!(2049-12-31 00:00:00 UTC)));
    }

    fn all_lines(path: &Path) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        lines(path, |at, line| {
            found.push((at, String::from_utf8_lossy(line).into_owned()));
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn lines_come_with_their_offsets_whatever_ends_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.txt");
        assert_eq!(end(&path).unwrap(), (0, true));
        assert!(all_lines(&path).is_empty());
        let text = "# one\n\nV\t1\t\t0A\tunknown\t/CN=\u{fc}\r\nR\t1\t2\t0B\tunknown\t/CN=b";
        std::fs::write(&path, text).unwrap();
        let found: Vec<_> = all_lines(&path)
            .into_iter()
            .filter_map(|(at, line)| Some((at, Row::parse(&line)?.subject.to_owned())))
            .collect();
        assert_eq!(found, [(7, "/CN=\u{fc}".into()), (31, "/CN=b".into())]);
        assert_eq!(end(&path).unwrap(), (text.len() as u64, false));
        assert_eq!(highest_serial(&path).unwrap().unwrap().to_string(), "0B");
    }

    #[test]
    fn a_register_longer_than_a_chunk_is_read_whole_and_an_endless_line_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.txt");
        let rows: Vec<String> = (0..10_000)
            .map(|n| format!("V\t1\t\t{n:06X}\tunknown\t/CN={}", "x".repeat(n % 97)))
            .collect();
        std::fs::write(&path, rows.join("\n")).unwrap();
        let found = all_lines(&path);
        assert!(found.iter().map(|(_, line)| line).eq(rows.iter()));
        let last: u64 = rows
            .iter()
            .take(9_999)
            .map(|row| row.len() as u64 + 1)
            .sum();
        assert_eq!(found[9_999].0, last);
        assert_eq!(
            last_rows(&path).unwrap(),
            (highest_serial(&path).unwrap(), None)
        );
        std::fs::write(&path, "x".repeat(CHUNK + 1)).unwrap();
        let error = lines(&path, |_, _| true).unwrap_err().to_string();
        assert!(
            error.ends_with("a line in it is longer than 256 KiB"),
            "{error}"
        );
    }

    #[test]
    fn what_openssl_would_not_take_for_a_row_is_found_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.txt");
        let row = "V\t1\t\t01\tunknown\t/CN=a\n";
        for (text, stranger) in [
            ("", None),
            ("# one\n", None),
            ("# one\n\n", Some("")),
            ("\n", Some("")),
            (&format!("{row}\r\n"), Some("")),
            (row, None),
            (&row.replace('\n', "\r\n"), None),
            (row.trim_end(), None),
            (&format!("{row}V\t1\t\t02\tunk"), Some("V\t1\t\t02\tunk")),
            (&format!("{row}\0\0"), Some("\0\0")),
            (&format!("oops\n{row}"), Some("oops")),
            (
                &format!("{row}{row}x\ty").replacen('\n', "\t\n", 1),
                Some("V\t1\t\t01\tunknown\t/CN=a\t"),
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(last_rows(&path).unwrap().1.as_deref(), stranger, "{text:?}");
        }
        // Of what is longer than what is read, the first line is cut.
        std::fs::write(&path, format!("{}\n{row}", "x".repeat(1 << 12))).unwrap();
        assert_eq!(last_rows(&path).unwrap().1, None);
        let endless = "x".repeat(1 << 13);
        for end in ["", "\n"] {
            std::fs::write(&path, format!("{endless}{end}")).unwrap();
            assert_eq!(last_rows(&path).unwrap().1.as_ref(), Some(&endless));
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_not_as_text() {
        let mut highest = Highest::default();
        assert_eq!(highest.number(), None);
        let (large, larger) = (format!("00{}", "f".repeat(40)), "F".repeat(50));
        for serial in [
            "9", "0a", "00FF", "0010", "xyz", "000100", "00", &large, &larger,
        ] {
            highest.see(format!("V\t1\t\t{serial}\tunknown\t/CN=a").as_bytes());
        }
        highest.see(b"#V\t1\t\t0FFF\tunknown\t/CN=a");
        highest.see(b"V\t1\t\t0FFF\tunknown");
        assert_eq!(highest.number().unwrap().to_string(), "0100");
        let mut highest = Highest::default();
        for serial in ["F0", "e1"] {
            highest.see(format!("V\t1\t\t{serial}\tunknown\t/CN=a").as_bytes());
        }
        assert_eq!(highest.number().unwrap().to_string(), "F0");
    }

    #[test]
    fn a_line_of_five_fields_is_no_row() {
        assert_eq!(Row::parse("V\t491231235959Z\t\t01\tunknown"), None);
        assert_eq!(Row::parse("# V\t1\t\t01\tunknown\t/CN=a"), None);
    }
}
