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
}

impl Ca {
    /// Its directory's name.
    pub fn name(self) -> String {
        format!("ca-{}-{}", self.rows, self.unique)
    }

    /// Makes the directory. Its key has no passphrase.
    pub fn make(self, dir: &Path) -> Result<()> {
        let status = Command::new(MAILCA)
            .arg("init")
            .arg(dir)
            .args(["--subject", "/O=Example/CN=Example Mail CA"])
            // Above all serial numbers in the register.
            .args(["--no-passphrase", "--serial", "10000000"])
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "mailca init failed");
        if self.unique {
            fs::write(dir.join("index.txt.attr"), "unique_subject = yes\n")?;
        }
        let mut register = BufWriter::new(File::create(dir.join("index.txt"))?);
        for number in 1..=self.rows {
            writeln!(
                register,
                "V\t491231235959Z\t\t{number:08X}\tunknown\t/CN=host{number}.example.com"
            )?;
        }
        Ok(register.flush()?)
    }
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
