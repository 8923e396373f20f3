//! CAs and certificates that OpenSSL makes.

use std::fs;

use crate::support::TestDir;

pub const HOST: &str = "mail.example.test";
pub const LEAF: &str = "basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName=DNS:mail.example.test
";
pub const ROOT: &str = "basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
";

/// CAs and certificates that OpenSSL makes, each in files named after it.
pub struct Lab {
    pub dir: TestDir,
}

impl Lab {
    pub fn new() -> Self {
        let lab = Self {
            dir: TestDir::new(),
        };
        lab.ca("root", ROOT);
        lab.leaf("root", "good", LEAF);
        lab.crl("root", &[]);
        lab
    }

    pub fn p256(&self, name: &str) {
        let curve = "ec_paramgen_curve:P-256";
        self.key(name, &["EC", "-pkeyopt", curve]);
    }

    pub fn key(&self, name: &str, algorithm: &[&str]) {
        let out = format!("{name}.key");
        let command = ["genpkey", "-out", &out, "-algorithm"];
        self.dir.openssl(&[&command[..], algorithm].concat());
    }

    pub fn request(&self, name: &str, subject: &str) {
        let (key, out) = (format!("{name}.key"), format!("{name}.csr"));
        if !self.dir.path().join(&key).exists() {
            self.p256(name);
        }
        let command = ["req", "-new", "-key", &key, "-out", &out, "-subj", subject];
        self.dir.openssl(&command);
    }

    /// A CA `/O=Lab/CN=NAME`, signed by itself.
    pub fn ca(&self, name: &str, extensions: &str) {
        self.ca_with(name, &format!("/O=Lab/CN={name}"), extensions, &[]);
    }

    pub fn ca_with(&self, name: &str, subject: &str, extensions: &str, options: &[&str]) {
        self.request(name, subject);
        self.become_ca(name);
        let key = format!("{name}.key");
        let own = ["-selfsign", "-keyfile", &key];
        self.sign(name, name, extensions, &[&own[..], options].concat());
    }

    /// What `openssl ca` needs to sign with a key.
    pub fn become_ca(&self, name: &str) {
        let conf = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={name}.txt\nnew_certs_dir={name}.new\n\
             certificate={name}.pem\nprivate_key={name}.key\nserial={name}.srl\n\
             crlnumber={name}.crlnumber\ndefault_md=default\npolicy=p\ndefault_days=365\n\
             default_crl_days=30\nunique_subject=no\ncrl_extensions=c\n\
             [p]\norganizationName=optional\ncommonName=optional\n\
             [c]\nauthorityKeyIdentifier=keyid\n"
        );
        self.dir.write(&format!("{name}.cnf"), &conf);
        self.dir.write(&format!("{name}.txt"), "");
        self.dir.write(&format!("{name}.srl"), "1001\n");
        self.dir.write(&format!("{name}.crlnumber"), "01\n");
        self.dir.create_dir(&format!("{name}.new"));
    }

    pub fn sign(&self, ca: &str, name: &str, extensions: &str, options: &[&str]) {
        let ext = format!("{name}.ext");
        self.dir.write(&ext, extensions);
        let (conf, request) = (format!("{ca}.cnf"), format!("{name}.csr"));
        let out = format!("{name}.pem");
        let command = [
            "ca", "-batch", "-notext", "-config", &conf, "-in", &request, "-out", &out, "-extfile",
            &ext,
        ];
        self.dir.openssl(&[&command[..], options].concat());
    }

    /// The certificate `NAME.pem`, of `/CN=mail.example.test`.
    pub fn leaf(&self, ca: &str, name: &str, extensions: &str) {
        self.leaf_with(ca, name, extensions, &[]);
    }

    pub fn leaf_with(&self, ca: &str, name: &str, extensions: &str, options: &[&str]) {
        self.request(name, &format!("/CN={HOST}"));
        self.sign(ca, name, extensions, options);
    }

    /// A CA below another one.
    pub fn intermediate(&self, ca: &str, name: &str, extensions: &str) {
        self.request(name, &format!("/O=Lab/CN={name}"));
        self.become_ca(name);
        self.sign(ca, name, extensions, &[]);
    }

    /// Another certificate for the key and name of the CA `root`.
    pub fn renewal(&self, name: &str, extensions: &str, options: &[&str]) {
        let request = format!("{name}.csr");
        fs::copy(self.dir.file("root.csr"), self.dir.file(&request)).expect("copy a request");
        let own = ["-selfsign", "-keyfile", "root.key"];
        self.sign("root", name, extensions, &[&own[..], options].concat());
    }

    pub fn revoke(&self, ca: &str, name: &str, reason: &str) {
        let (conf, file) = (format!("{ca}.cnf"), format!("{name}.pem"));
        let command = [
            "ca",
            "-config",
            &conf,
            "-revoke",
            &file,
            "-crl_reason",
            reason,
        ];
        self.dir.openssl(&command);
    }

    /// `NAME.crl`
    pub fn crl(&self, name: &str, options: &[&str]) {
        self.crl_as(name, name, options);
    }

    pub fn crl_as(&self, ca: &str, name: &str, options: &[&str]) {
        let (conf, out) = (format!("{ca}.cnf"), format!("{name}.crl"));
        let command = ["ca", "-config", &conf, "-gencrl", "-out", &out];
        self.dir.openssl(&[&command[..], options].concat());
    }

    /// Changes one octet of what is in a PEM file, found by the octets before it.
    pub fn alter(&self, from: &str, to: &str, label: &str, before: &[u8]) {
        let mut block = pem::parse(self.dir.read(from))
            .expect("PEM")
            .into_contents();
        let at = block
            .windows(before.len())
            .rposition(|found| found == before);
        block[at.expect("the octets") + before.len()] ^= 1;
        self.dir
            .write(to, &pem::encode(&pem::Pem::new(label, block)));
    }
}
