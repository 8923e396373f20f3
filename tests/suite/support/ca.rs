//! A CA that mailca made.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use super::{Ran, TestDir, Tree, User, run};

const SUBJECT: &str = "/C=US/ST=CA/O=Example/CN=Example Mail CA";

/// A CA directory, `CA` in a private directory.
pub struct Ca {
    pub dir: TestDir,
}

impl Ca {
    /// Of whoever runs the suite, with its key unencrypted.
    #[track_caller]
    pub fn new() -> Self {
        Self::of(User::me(), &[])
    }

    /// The same of `user`, with more options for `mailca init`.
    #[track_caller]
    pub fn of(user: User, options: &[&str]) -> Self {
        Self::made(user, SUBJECT, "--no-passphrase", options)
    }

    /// With a subject of its own.
    #[track_caller]
    pub fn named(subject: &str) -> Self {
        Self::made(User::me(), subject, "--no-passphrase", &[])
    }

    /// With its key encrypted; the passphrase is in the file `pass` beside it.
    #[track_caller]
    pub fn encrypted() -> Self {
        Self::made(User::me(), SUBJECT, "--passphrase-file=pass", &[])
    }

    #[track_caller]
    fn made(user: User, subject: &str, passphrase: &str, options: &[&str]) -> Self {
        let Self { dir } = Self::unmade(user);
        run(dir
            .mailca(&["init", "CA", "--subject", subject, passphrase])
            .args(options))
        .exits(0);
        Self { dir }
    }

    /// A directory with a passphrase in the file `pass`, but no `CA` yet.
    pub fn unmade(user: User) -> Self {
        let dir = TestDir::of(user);
        dir.write_secret("pass", "mailca tests\n");
        Self { dir }
    }

    /// Another one with the same files, here and beside the CA.
    #[track_caller]
    pub fn copy(&self) -> Self {
        let copy = Self::unmade(User::me());
        let all = self.dir.file(".");
        run(Command::new("cp").args(["-a", &all]).arg(copy.dir.path())).exits(0);
        copy
    }

    /// A file of the CA directory, by its full name.
    pub fn file(&self, name: &str) -> String {
        self.dir.file("CA") + "/" + name
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        self.dir.read(&format!("CA/{name}"))
    }

    /// Writes a file of the CA directory.
    pub fn write(&self, name: &str, text: &str) {
        self.dir.write(&format!("CA/{name}"), text);
    }

    /// Changes a file of the CA directory, as an editor would.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let old = self.read(name);
        assert!(old.contains(from), "{name} has no {from:?}:\n{old}");
        self.write(name, &old.replacen(from, to, 1));
    }

    #[track_caller]
    pub fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.file(name), Permissions::from_mode(mode)).expect("chmod");
    }

    /// The permission bits of a file of the CA directory.
    #[track_caller]
    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.file(name))
            .expect("metadata")
            .permissions()
            .mode()
            & 0o7777
    }

    pub fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.file(name)).is_ok()
    }

    /// A mailca that works on this CA.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.dir.mailca(&["--ca", &self.dir.file("CA")]);
        command.args(args);
        command
    }

    #[track_caller]
    pub fn mailca(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    /// mailca, which has to succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Ran {
        self.mailca(args).exits(0)
    }

    /// mailca, which has to refuse, to say so, and to leave everything as it
    /// was, here and beside the CA; its standard error.
    #[track_caller]
    pub fn refuses(&self, args: &[&str]) -> String {
        let before = self.tree();
        let ran = self.mailca(args).exits(1);
        assert_eq!(ran.stdout, "", "{ran}");
        assert!(ran.stderr.contains("error: "), "{ran}");
        before.assert_unchanged(self.dir.path(), &ran.to_string());
        ran.stderr
    }

    /// The document that mailca prints with `--json`.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.ok(&[&["--json"], args].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
    }

    /// `openssl ca -config openssl.cnf` in the CA directory.
    #[track_caller]
    pub fn openssl_ca(&self, args: &[&str]) -> Ran {
        run(self.openssl_ca_command(&["-notext"]).args(args))
    }

    /// The same, to be run.
    pub fn openssl_ca_command(&self, args: &[&str]) -> Command {
        let mut command = self.dir.command("openssl");
        command.current_dir(self.file("."));
        command.args(["ca", "-config", "openssl.cnf", "-batch"]);
        command.args(args);
        command
    }

    /// The rows of the register.
    #[track_caller]
    pub fn rows(&self) -> Vec<String> {
        self.read("index.txt").lines().map(str::to_owned).collect()
    }

    /// Serial numbers in the register, in its order.
    #[track_caller]
    pub fn serials(&self) -> Vec<String> {
        let field = |row: &String| row.split('\t').nth(3).expect("six fields").to_owned();
        self.rows().iter().map(field).collect()
    }

    /// The CA directory and what lies beside it.
    #[track_caller]
    pub fn tree(&self) -> Tree {
        Tree::of(self.dir.path())
    }

    /// A request made elsewhere, beside the CA: `HOST.csr` and `HOST.key`.
    #[track_caller]
    pub fn request(&self, host: &str, options: &[&str]) -> String {
        run(self
            .dir
            .mailca(&["req", host, "--out-dir", "."])
            .args(options))
        .exits(0);
        self.dir.file(&format!("{host}.csr"))
    }

    /// A request that OpenSSL makes, with a P-256 key.
    #[track_caller]
    pub fn openssl_request(&self, name: &str, options: &[&str]) -> String {
        let out = format!("{name}.csr");
        let key = format!("{name}.key");
        let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let files = ["req", "-new", "-nodes", "-keyout", &key, "-out", &out];
        self.dir.openssl(&[&files[..], &p256, options].concat());
        self.dir.file(&out)
    }

    /// One property of a certificate, as `openssl x509 -noout` prints it.
    #[track_caller]
    pub fn x509(&self, certificate: &str, args: &[&str]) -> String {
        let command = ["x509", "-noout", "-in", certificate];
        self.dir.openssl(&[&command[..], args].concat())
    }

    /// `openssl verify -x509_strict` of a certificate for a purpose.
    #[track_caller]
    pub fn verify(&self, certificate: &str, options: &[&str]) -> Ran {
        let mut command = self.dir.command("openssl");
        command.args([
            "verify",
            "-x509_strict",
            "-CAfile",
            &self.file("cacert.pem"),
        ]);
        run(command.args(options).arg(certificate))
    }
}
