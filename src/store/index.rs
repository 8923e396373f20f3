//! The register, index.txt (`openssl ca`, FILES; its TXT_DB format): one line a certificate, six
//! fields between tabs, byte for byte what OpenSSL writes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::pki::certificate::Certificate;
use crate::pki::serial::SerialNumber;
use crate::sys::files::FileError;

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
        sortable(self.expires) < sortable(&asn1_time(now))
    }
}

/// The row of a certificate just issued, with its line end.
#[must_use]
pub fn line_of(certificate: &Certificate) -> String {
    format!(
        "V\t{}\t\t{}\tunknown\t{}\n",
        asn1_time(certificate.not_after),
        certificate.serial,
        subject_of(certificate)
    )
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

/// A time as certificates and the register have it: UTCTime through 2049, then GeneralizedTime.
///
/// # Panics
/// Never: the formats are fixed.
#[must_use]
pub fn asn1_time(time: OffsetDateTime) -> String {
    let utc = time.to_offset(time::UtcOffset::UTC);
    let written = if utc.year() < 2050 {
        utc.format(format_description!(
            "[year repr:last_two][month][day][hour][minute][second]Z"
        ))
    } else {
        utc.format(format_description!(
            "[year][month][day][hour][minute][second]Z"
        ))
    };
    written.expect("a time has all these parts")
}

// Both forms in one that sorts: a two-digit year below 50 is in this century (RFC 5280 4.1.2.5.1).
fn sortable(asn1: &str) -> String {
    match asn1.len() {
        13 if asn1 < "50" => format!("20{asn1}"),
        13 => format!("19{asn1}"),
        _ => asn1.to_owned(),
    }
}

/// Calls `each` with the offset in bytes and the content of every row, until it returns false.
///
/// # Errors
/// When the register cannot be read.
pub fn scan(path: &Path, mut each: impl FnMut(u64, &Row<'_>) -> bool) -> Result<(), FileError> {
    let fail = |error| FileError::new("read", path, error);
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(fail)?,
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut bytes = Vec::new();
    let mut offset = 0;
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes).map_err(fail)?;
        if read == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some(row) = Row::parse(text.trim_end_matches(['\n', '\r']))
            && !each(offset, &row)
        {
            return Ok(());
        }
        offset += read as u64;
    }
}

/// The register's length in bytes, and whether its last line has an end. OpenSSL silently drops
/// a last line without one.
///
/// # Errors
/// When the register cannot be read.
pub fn end(path: &Path) -> Result<(u64, bool), FileError> {
    let fail = |error| FileError::new("read", path, error);
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, true)),
        opened => opened.map_err(fail)?,
    };
    let length = file.metadata().map_err(fail)?.len();
    if length == 0 {
        return Ok((0, true));
    }
    file.seek(SeekFrom::End(-1)).map_err(fail)?;
    let mut last = [0];
    file.read_exact(&mut last).map_err(fail)?;
    Ok((length, last == *b"\n"))
}

/// The highest serial number in the register, `None` where it has no row.
///
/// # Errors
/// When the register cannot be read.
pub fn highest_serial(path: &Path) -> Result<Option<SerialNumber>, FileError> {
    let mut highest = None;
    scan(path, |_, row| {
        highest = highest.take().max(row.serial.parse().ok());
        true
    })?;
    Ok(highest)
}

/// Whether the register has a row of this serial number.
///
/// # Errors
/// When the register cannot be read.
pub fn has_serial(path: &Path, serial: &str) -> Result<bool, FileError> {
    let mut found = false;
    scan(path, |_, row| {
        found = row.serial == serial;
        !found
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn times_change_their_form_in_2050() {
        assert_eq!(
            asn1_time(datetime!(2049-12-31 23:59:59 UTC)),
            "491231235959Z"
        );
        assert_eq!(
            asn1_time(datetime!(2050-01-01 00:00:00 UTC)),
            "20500101000000Z"
        );
    }

    #[test]
    fn rows_of_both_forms_are_compared_by_date() {
        let row = Row::parse("V\t491231235959Z\t\t01\tunknown\t/CN=a").unwrap();
        assert!(row.is_past(datetime!(2050-01-01 00:00:00 UTC)));
        assert!(!row.is_past(datetime!(2049-01-01 00:00:00 UTC)));
        let row = Row::parse("V\t20500101000000Z\t\t01\tunknown\t/CN=a").unwrap();
        assert!(!row.is_past(datetime!(2049-12-31 00:00:00 UTC)));
    }

    #[test]
    fn rows_are_found_between_comments_and_lines_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.txt");
        assert_eq!(end(&path).unwrap(), (0, true));
        let serial = "0B";
        assert!(!has_serial(&path, serial).unwrap());
        let text = "# one\n\nV\t1\t\t0A\tunknown\t/CN=\u{fc}\r\nR\t1\t2\t0B\tunknown\t/CN=b";
        std::fs::write(&path, text).unwrap();
        let mut found = Vec::new();
        scan(&path, |at, row| {
            found.push((at, row.serial.to_owned(), row.subject.to_owned()));
            true
        })
        .unwrap();
        assert_eq!(
            found,
            [
                (7, "0A".to_owned(), "/CN=\u{fc}".to_owned()),
                (31, "0B".to_owned(), "/CN=b".to_owned()),
            ]
        );
        assert!(has_serial(&path, serial).unwrap());
        assert_eq!(end(&path).unwrap(), (text.len() as u64, false));
    }

    #[test]
    fn a_line_of_five_fields_is_no_row() {
        assert_eq!(Row::parse("V\t491231235959Z\t\t01\tunknown"), None);
        assert_eq!(Row::parse("# V\t1\t\t01\tunknown\t/CN=a"), None);
    }
}
