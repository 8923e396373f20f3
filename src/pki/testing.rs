//! The `openssl` command, against which the tests check what mailca reads and writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::certificate::Certificate;

/// What stands in the file `pass` of every [`Openssl`].
pub const PASSPHRASE: &str = "kühler Wald, 4 Bäume";

/// A directory with a passphrase in the file `pass`, to run openssl in.
pub struct Openssl(TempDir);

impl Openssl {
    pub fn new() -> Self {
        let openssl = Self(TempDir::new().unwrap());
        openssl.write("pass", PASSPHRASE);
        openssl
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs `openssl` with the words of `args`, and returns what it printed.
    #[track_caller]
    pub fn run(&self, args: &str) -> Vec<u8> {
        self.run_with(args, &[])
    }

    /// The same with more arguments, which may have spaces.
    #[track_caller]
    pub fn run_with(&self, args: &str, more: &[&str]) -> Vec<u8> {
        let output = self.output(args, more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "openssl {args} {more:?}: {stderr}{}",
            String::from_utf8_lossy(&output.stdout)
        );
        output.stdout
    }

    /// What it printed, as text without the last line end.
    #[track_caller]
    pub fn text(&self, args: &str) -> String {
        let text = String::from_utf8(self.run(args)).unwrap();
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// Whether it succeeded, and what it said on standard error.
    pub fn try_run(&self, args: &str) -> (bool, String) {
        let output = self.output(args, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), stderr)
    }

    pub fn output(&self, args: &str, more: &[&str]) -> Output {
        Command::new("openssl")
            .args(args.split_whitespace())
            .args(more)
            .current_dir(self.0.path())
            .output()
            .expect("these tests need the openssl command")
    }

    pub fn public_key(&self, name: &str) -> Vec<u8> {
        self.run(&format!(
            "pkey -in {name} -passin file:pass -pubout -outform DER"
        ))
    }

    /// Makes the P-256 key `name`.
    pub fn p256(&self, name: &str) {
        self.run(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}"
        ));
    }

    #[track_caller]
    pub fn certificate(&self, name: &str) -> Certificate {
        Certificate::from_pem_or_der(&self.read(name)).unwrap()
    }
}
