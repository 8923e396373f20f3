//! The CA directories and the requests that are measured with.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

/// The program that is measured.
pub const MAILCA: &str = env!("CARGO_BIN_EXE_mailca");

/// A CA directory before anything is signed in it.
#[derive(Clone, Copy)]
pub struct Ca {
    /// rows in its register
    pub rows: u32,
    /// its `unique_subject`
    pub unique: bool,
    /// whether all rows are revoked
    pub revoked: bool,
}

/// A certificate that can be revoked, in every CA directory.
pub const ISSUED: &str = "newcerts/10000000.pem";

impl Ca {
    /// Its directory's name.
    pub fn name(self) -> String {
        format!("ca-{}-{}-{}", self.rows, self.unique, self.revoked)
    }

    /// Makes the directory. Its key has no passphrase.
    pub fn make(self, dir: &Path) -> Result<()> {
        // Above all serial numbers in the register.
        let init = ["init", "--subject", "/O=Example/CN=Example Mail CA"];
        mailca(
            dir,
            &[&init[..], &["--no-passphrase", "--serial", "10000000"]].concat(),
        )?;
        if self.unique {
            fs::write(dir.join("index.txt.attr"), "unique_subject = yes\n")?;
        }
        let mut register = BufWriter::new(File::create(dir.join("index.txt"))?);
        for number in 1..=self.rows {
            let serial = FIRST + number;
            let (status, revoked) = if self.revoked {
                let reason = REASONS[(number % 4) as usize];
                let (day, second) = (number % 28 + 1, number % 60);
                ("R", format!("2601{day:02}1200{second:02}Z{reason}"))
            } else {
                ("V", String::new())
            };
            writeln!(
                register,
                "{status}\t491231235959Z\t{revoked}\t{serial:08X}\tunknown\t/CN=host{number}.example.com"
            )?;
        }
        register.flush()?;
        mailca(dir, &["issue", "issued.example.com", "--yes"])
    }
}

// Serial numbers of one length, as OpenSSL writes them.
const FIRST: u32 = 0x0100_0000;
const REASONS: [&str; 4] = ["", ",superseded", ",cessationOfOperation", ",keyCompromise"];

/// Lets mailca do something in a directory, unmeasured.
pub fn mailca(dir: &Path, words: &[&str]) -> Result<()> {
    let status = Command::new(MAILCA)
        .arg("--ca")
        .arg(dir)
        .args(words)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "mailca {} failed", words[0]);
    Ok(())
}

/// Makes requests for hosts that no register has, each with a key of its own.
pub fn make_requests(dir: &Path, count: usize) -> Result<()> {
    fs::create_dir(dir)?;
    for number in 1..=count {
        let host = format!("mx{number}.example.com");
        let mut params = CertificateParams::new([host.clone()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, host);
        let request = params.serialize_request(&KeyPair::generate()?)?;
        fs::write(dir.join(request_name(number)), request.pem()?)?;
    }
    Ok(())
}

/// The file name of a request, counted from 1.
pub fn request_name(number: usize) -> String {
    format!("mx{number}.csr")
}
