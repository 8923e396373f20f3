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
    /// rows in its register, past their date where there are others
    pub rows: u32,
    /// valid certificates in newcerts besides, each with its row
    pub kept: u32,
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
        format!(
            "ca-{}-{}-{}-{}",
            self.rows, self.kept, self.unique, self.revoked
        )
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
            } else if self.kept > 0 {
                ("E", String::new())
            } else {
                ("V", String::new())
            };
            let end = if self.kept > 0 {
                "250101000000Z"
            } else {
                "491231235959Z"
            };
            writeln!(
                register,
                "{status}\t{end}\t{revoked}\t{serial:08X}\tunknown\t/CN=host{number}.example.com"
            )?;
        }
        register.flush()?;
        self.sign_kept(dir)?;
        mailca(dir, &["issue", "issued.example.com", "--yes"])
    }

    // By one request, under many names.
    fn sign_kept(self, dir: &Path) -> Result<()> {
        if self.kept == 0 {
            return Ok(());
        }
        let requests = dir.with_extension("requests");
        make_requests(&requests, 1)?;
        let request = requests.join(request_name(1));
        for number in 2..=PORTION {
            fs::hard_link(&request, requests.join(request_name(number)))?;
        }
        let words = ["sign", &requests.to_string_lossy(), "--yes"];
        for _ in 0..self.kept as usize / PORTION {
            mailca(dir, &words)?;
        }
        Ok(fs::remove_dir_all(requests)?)
    }
}

/// How many certificates are signed by one command.
const PORTION: usize = 10_000;

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
