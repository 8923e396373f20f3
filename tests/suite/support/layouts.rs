//! CA directories that other tools make, each with the tool that made it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Ran, TestDir, find, require, run, run_with};

/// That of each encrypted CA key, also in the file `pass`.
pub const PASSPHRASE: &str = "mailca-tests";

/// Where a layout has its files, from [`Layout::ca`].
#[derive(Clone, Copy)]
pub struct Names {
    pub certificate: &'static str,
    pub private_key: &'static str,
    pub database: &'static str,
    pub serial: &'static str,
    pub new_certs_dir: &'static str,
    pub crl: &'static str,
}

const STANDARD: Names = Names {
    certificate: "cacert.pem",
    private_key: "private/cakey.pem",
    database: "index.txt",
    serial: "serial",
    new_certs_dir: "newcerts",
    crl: "crl/crl.pem",
};

/// What works in the directory besides mailca.
#[derive(Clone, Copy, PartialEq)]
pub enum Tool {
    /// `openssl ca -config CONFIG`, run in a directory; both from the test's own
    OpensslCa {
        run_in: &'static str,
        config: &'static str,
    },
    CaPl,
    EasyRsa,
}

/// A CA directory that mailca did not make, in a private directory.
pub struct Layout {
    pub name: &'static str,
    pub dir: TestDir,
    /// the CA directory, from `dir`
    pub ca: &'static str,
    /// what mailca needs to be told besides `--ca`
    pub options: Vec<String>,
    pub names: Names,
    pub tool: Tool,
    /// the file with the certificates above the CA's own, from `dir`, where it is not its own issuer
    pub issuers: Option<&'static str>,
}

/// Makes one; `None` where its tool is missing, which is said loudly.
pub type Maker = fn() -> Option<Layout>;

/// Every layout, by its name.
pub fn all() -> Vec<(&'static str, Maker)> {
    vec![
        ("book", book),
        ("demoCA", demo_ca),
        ("tutorial root", tutorial_root),
        ("tutorial intermediate", tutorial_intermediate),
        ("easy-rsa", easy_rsa),
        ("testca", testca),
        ("sign.sh", sign_sh),
        ("simple PKI", simple_pki),
        ("db folder", db_folder),
    ]
}

/// The one of that name.
#[track_caller]
pub fn named(name: &str) -> Option<Layout> {
    let (_, make) = all()
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("the name of a layout");
    make()
}

/// `C=US, O=Example` and a CN.
pub fn subject(name: &str) -> String {
    format!("/C=US/ST=California/O=Example/CN={name}")
}

impl Layout {
    fn new(name: &'static str, ca: &'static str, names: Names, tool: Tool) -> Self {
        let dir = TestDir::new();
        // OpenSSL takes the second line of a file that it reads twice.
        for file in ["pass", "passout"] {
            dir.write_secret(file, &format!("{PASSPHRASE}\n"));
        }
        Self {
            name,
            dir,
            ca,
            options: Vec::new(),
            names,
            tool,
            issuers: None,
        }
    }

    /// A file of the CA, by its full name.
    pub fn file(&self, name: &str) -> String {
        self.dir.file(&format!("{}/{name}", self.ca))
    }

    pub fn read(&self, name: &str) -> String {
        self.dir.read(&format!("{}/{name}", self.ca))
    }

    /// Whether the CA is its own issuer.
    pub fn is_root(&self) -> bool {
        self.issuers.is_none()
    }

    /// mailca on this CA, as an administrator types it.
    #[track_caller]
    pub fn mailca(&self, args: &[&str]) -> Ran {
        let mut command = self.dir.mailca(&["--ca", self.ca]);
        run(command.args(&self.options).args(args))
    }

    /// mailca, which has to succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Ran {
        self.mailca(args).exits(0)
    }

    /// mailca with a command that signs.
    #[track_caller]
    pub fn signs(&self, args: &[&str]) -> Ran {
        self.ok(&[args, &["--yes", "--passphrase-file=pass"]].concat())
    }

    /// A shell's script in the test's own directory, which has to succeed.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Ran {
        run(self.dir.command("sh").args(["-e", "-c", script])).exits(0)
    }

    /// A request with a P-256 key, made by OpenSSL: `HOST.csr` and `HOST.key`; its full name.
    #[track_caller]
    pub fn request(&self, host: &str) -> String {
        let (csr, key) = (format!("{host}.csr"), format!("{host}.key"));
        let files = ["req", "-new", "-nodes", "-keyout", &key, "-out", &csr];
        let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let subject = ["-subj", &subject(host)];
        self.dir.openssl(&[&files[..], &p256, &subject].concat());
        self.dir.file(&csr)
    }

    /// `openssl ca` with the configuration of whoever made the directory.
    #[track_caller]
    pub fn openssl_ca(&self, args: &[&str]) -> Ran {
        let mut command = self.dir.command("openssl");
        let config = match self.tool {
            Tool::OpensslCa { run_in, config } => {
                command.current_dir(self.dir.path().join(run_in));
                self.dir.file(config)
            }
            Tool::CaPl => STOCK.into(),
            Tool::EasyRsa => {
                self.in_easy_rsa(&mut command);
                self.file("openssl-easyrsa.cnf")
            }
        };
        let pass = format!("file:{}", self.dir.file("pass"));
        command.args(["ca", "-config", &config, "-batch", "-notext"]);
        run(command.args(["-passin", &pass]).args(args))
    }

    /// The tool signs a certificate for a host, whose file it returns.
    #[track_caller]
    pub fn tool_signs(&self, host: &str) -> String {
        match self.tool {
            Tool::OpensslCa { .. } => {
                let request = self.request(host);
                let out = self.dir.file(&format!("{host}.crt"));
                self.openssl_ca(&["-in", &request, "-out", &out]).exits(0);
                out
            }
            Tool::CaPl => {
                let request = self.request(host);
                fs::copy(request, self.dir.file("newreq.pem")).expect("copy a request");
                self.ca_pl(&["-sign"], "y\ny\n");
                let out = self.dir.file(&format!("{host}.crt"));
                fs::copy(self.dir.file("newcert.pem"), &out).expect("copy a certificate");
                out
            }
            Tool::EasyRsa => {
                self.easyrsa(&["build-server-full", host, "nopass"]);
                self.file(&format!("issued/{host}.crt"))
            }
        }
    }

    /// The tool revokes a certificate, which lies in a file.
    #[track_caller]
    pub fn tool_revokes(&self, certificate: &str) {
        match self.tool {
            Tool::OpensslCa { .. } => {
                let revoke = ["-revoke", certificate, "-crl_reason", "superseded"];
                self.openssl_ca(&revoke).exits(0);
            }
            Tool::CaPl => self.ca_pl(&["-revoke", certificate, "superseded"], ""),
            Tool::EasyRsa => {
                // It wants the certificate under its name among its own.
                let name = Path::new(certificate).file_stem().expect("a file's name");
                let name = name.to_str().expect("UTF-8");
                let own = self.file(&format!("issued/{name}.crt"));
                if own != certificate {
                    fs::copy(certificate, own).expect("copy a certificate");
                }
                self.easyrsa(&["revoke", name, "superseded"]);
            }
        }
    }

    /// The tool makes a new CRL, where it keeps it.
    #[track_caller]
    pub fn tool_makes_crl(&self) {
        match self.tool {
            Tool::OpensslCa { .. } => {
                let out = self.file(self.names.crl);
                self.openssl_ca(&["-gencrl", "-out", &out]).exits(0);
            }
            Tool::CaPl => self.ca_pl(&["-crl"], ""),
            Tool::EasyRsa => self.easyrsa(&["gen-crl"]),
        }
    }

    #[track_caller]
    fn ca_pl(&self, args: &[&str], input: &str) {
        let program = find("CA.pl").expect("CA.pl");
        let mut command = self.dir.command(program.to_str().expect("UTF-8"));
        let config = format!("-config {STOCK} -passin file:pass");
        command.args(args).env("OPENSSL_CONFIG", config);
        run_with(&mut command, input).exits(0);
    }

    /// easyrsa with these words.
    #[track_caller]
    pub fn easyrsa(&self, args: &[&str]) {
        let program = find("easyrsa").expect("easyrsa");
        let mut command = self.dir.command(program.to_str().expect("UTF-8"));
        self.in_easy_rsa(&mut command);
        run(command.args(["--batch", "--use-algo=ec"]).args(args)).exits(0);
    }

    // What easyrsa sets for its openssl.cnf.
    fn in_easy_rsa(&self, command: &mut Command) {
        let program = find("easyrsa").expect("easyrsa");
        command.env("EASYRSA", program.parent().expect("its folder"));
        command.env("EASYRSA_PKI", self.file("."));
        let settings = [
            ("CERT_EXPIRE", "825"),
            ("CRL_DAYS", "180"),
            ("DIGEST", "sha256"),
            ("KEY_SIZE", "2048"),
            ("DN", "cn_only"),
            ("REQ_CN", "Example CA"),
            ("REQ_COUNTRY", "US"),
            ("REQ_PROVINCE", "California"),
            ("REQ_CITY", "San Francisco"),
            ("REQ_ORG", "Example"),
            ("REQ_OU", "Mail"),
            ("REQ_EMAIL", "me@example.test"),
        ];
        if command.get_program() == "openssl" {
            for (name, value) in settings {
                command.env(format!("EASYRSA_{name}"), value);
            }
        }
    }

    /// A certificate with its issuers, as `openssl verify` judges it; with the current CRL where
    /// there is one.
    #[track_caller]
    pub fn verify(&self, certificate: &str) -> Ran {
        let own = self.file(self.names.certificate);
        let mut command = self.dir.command("openssl");
        command.args(["verify", "-purpose", "sslserver", "-CAfile"]);
        match self.issuers {
            Some(issuers) => command.args([issuers, "-untrusted", &own]),
            None => command.arg(&own),
        };
        let crl = self.file(self.names.crl);
        if fs::exists(&crl).expect("look for the CRL") {
            command.args(["-crl_check", "-CRLfile", &crl]);
        }
        run(command.arg(certificate))
    }

    /// The rows of the register, each as its fields.
    #[track_caller]
    pub fn rows(&self) -> Vec<Vec<String>> {
        let text = self.read(self.names.database);
        let fields = |row: &str| row.split('\t').map(str::to_owned).collect();
        text.lines().map(fields).collect()
    }
}

const STOCK: &str = "/etc/ssl/openssl.cnf";

const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";

// Extensions of the tutorials' files.
const EXTENSIONS: &str = "
[ req ]
distinguished_name = req_distinguished_name
string_mask = utf8only
default_md = sha256
[ req_distinguished_name ]
countryName = Country
commonName = Common Name
[ policy_loose ]
countryName = optional
stateOrProvinceName = optional
localityName = optional
organizationName = optional
organizationalUnitName = optional
commonName = supplied
emailAddress = optional
[ policy_strict ]
countryName = match
stateOrProvinceName = match
organizationName = match
organizationalUnitName = optional
commonName = supplied
emailAddress = optional
[ v3_ca ]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer
basicConstraints = critical, CA:true
keyUsage = critical, digitalSignature, cRLSign, keyCertSign
[ v3_intermediate_ca ]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, digitalSignature, cRLSign, keyCertSign
[ server_cert ]
basicConstraints = CA:FALSE
nsCertType = server
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid,issuer:always
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
[ crl_ext ]
authorityKeyIdentifier = keyid:always
";

/// Listing 6.2, with the one edit that makes its openssl.cnf work.
pub fn book() -> Option<Layout> {
    if !require(&["openssl"]) {
        return None;
    }
    let tool = Tool::OpensslCa {
        run_in: "CA",
        config: "CA/openssl.cnf",
    };
    let names = Names {
        crl: "crl.pem",
        ..STANDARD
    };
    let layout = Layout::new("book", "CA", names, tool);
    crate::book::fill(
        &layout.dir,
        "sed -i 's|= ./demoCA|= .|' openssl.cnf; : >index.txt; echo 01 >serial; rm newreq.pem",
    );
    Some(layout)
}

/// CA.pl's demoCA, under the machine's own openssl.cnf.
pub fn demo_ca() -> Option<Layout> {
    if !require(&["openssl", "CA.pl", "perl"]) || !super::require_folder("/etc/ssl") {
        return None;
    }
    let layout = Layout::new("demoCA", "demoCA", STANDARD, Tool::CaPl);
    let subject = subject("Example CA");
    let request = format!("{P256} -passout file:passout -subj '{subject}'");
    layout.ca_pl(&["-newca", "-extra-req", &request], "\n");
    Some(layout)
}

/// The root of the tutorials with two CAs.
pub fn tutorial_root() -> Option<Layout> {
    if !require(&["openssl"]) {
        return None;
    }
    let names = Names {
        certificate: "certs/ca.cert.pem",
        private_key: "private/ca.key.pem",
        crl: "crl/ca.crl.pem",
        ..STANDARD
    };
    let tool = Tool::OpensslCa {
        run_in: ".",
        config: "ca/openssl.cnf",
    };
    let layout = Layout::new("tutorial root", "ca", names, tool);
    fill_tutorial(&layout);
    Some(layout)
}

/// The intermediate one, below its root.
pub fn tutorial_intermediate() -> Option<Layout> {
    if !require(&["openssl"]) {
        return None;
    }
    let names = Names {
        certificate: "certs/intermediate.cert.pem",
        private_key: "private/intermediate.key.pem",
        crl: "crl/intermediate.crl.pem",
        ..STANDARD
    };
    let tool = Tool::OpensslCa {
        run_in: ".",
        config: "ca/intermediate/openssl.cnf",
    };
    let mut layout = Layout::new("tutorial intermediate", "ca/intermediate", names, tool);
    layout.issuers = Some("ca/certs/ca.cert.pem");
    fill_tutorial(&layout);
    Some(layout)
}

fn fill_tutorial(layout: &Layout) {
    let root = layout.dir.file("ca");
    layout.sh("mkdir -p ca/intermediate");
    for (place, name, policy) in [
        (root.clone(), "ca", "policy_strict"),
        (root + "/intermediate", "intermediate", "policy_loose"),
    ] {
        let settings = format!(
            "[ ca ]
default_ca = CA_default
[ CA_default ]
dir = {place}
certs = $dir/certs
crl_dir = $dir/crl
new_certs_dir = $dir/newcerts
database = $dir/index.txt
serial = $dir/serial
RANDFILE = $dir/private/.rand
private_key = $dir/private/{name}.key.pem
certificate = $dir/certs/{name}.cert.pem
crlnumber = $dir/crlnumber
crl = $dir/crl/{name}.crl.pem
crl_extensions = crl_ext
default_crl_days = 30
default_md = sha256
name_opt = ca_default
cert_opt = ca_default
default_days = 375
preserve = no
policy = {policy}
x509_extensions = server_cert
{EXTENSIONS}"
        );
        fs::write(Path::new(&place).join("openssl.cnf"), settings).expect("write settings");
    }
    let (root, intermediate) = (subject("Example Root CA"), subject("Example Sub CA"));
    layout.sh(&format!(
        "umask 022
        for place in ca ca/intermediate; do
            (cd $place; mkdir certs crl newcerts private; chmod 700 private
            touch index.txt; echo 1000 >serial; echo 1000 >crlnumber)
        done
        mkdir ca/intermediate/csr
        key() {{
            openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
                -aes256 -pass file:pass -out $1
            chmod 400 $1
        }}
        key ca/private/ca.key.pem
        openssl req -config ca/openssl.cnf -key ca/private/ca.key.pem -new -x509 -days 7300 \
            -sha256 -extensions v3_ca -passin file:pass -subj '{root}' \
            -out ca/certs/ca.cert.pem
        chmod 444 ca/certs/ca.cert.pem
        cd ca/intermediate
        ln -s ../../pass pass
        key private/intermediate.key.pem
        openssl req -config openssl.cnf -new -sha256 -key private/intermediate.key.pem \
            -passin file:pass -subj '{intermediate}' -out csr/intermediate.csr.pem
        openssl ca -config ../openssl.cnf -extensions v3_intermediate_ca -days 3650 -notext \
            -md sha256 -batch -passin file:pass -in csr/intermediate.csr.pem \
            -out certs/intermediate.cert.pem
        rm pass
        chmod 444 certs/intermediate.cert.pem
        cat certs/intermediate.cert.pem ../certs/ca.cert.pem >certs/ca-chain.cert.pem
        chmod 444 certs/ca-chain.cert.pem"
    ));
}

/// easy-rsa's pki.
pub fn easy_rsa() -> Option<Layout> {
    if !require(&["openssl", "easyrsa"]) {
        return None;
    }
    let names = Names {
        certificate: "ca.crt",
        private_key: "private/ca.key",
        new_certs_dir: "certs_by_serial",
        crl: "crl.pem",
        ..STANDARD
    };
    let layout = Layout::new("easy-rsa", "pki", names, Tool::EasyRsa);
    layout.easyrsa(&["init-pki"]);
    layout.easyrsa(&["--req-cn=Example CA", "build-ca", "nopass"]);
    Some(layout)
}

/// The CA of RabbitMQ's guide to TLS.
pub fn testca() -> Option<Layout> {
    if !require(&["openssl"]) {
        return None;
    }
    let names = Names {
        certificate: "ca_certificate.pem",
        private_key: "private/ca_private_key.pem",
        new_certs_dir: "certs",
        ..STANDARD
    };
    let tool = Tool::OpensslCa {
        run_in: "testca",
        config: "testca/openssl.cnf",
    };
    let layout = Layout::new("testca", "testca", names, tool);
    let subject = subject("MyTestCA");
    layout.sh(&format!(
        "umask 022
        mkdir testca testca/certs testca/crl testca/private
        chmod 700 testca/private
        cd testca
        echo 01 >serial
        touch index.txt
        cat >openssl.cnf <<'end'
[ ca ]
default_ca = testca
[ testca ]
dir = .
certificate = $dir/ca_certificate.pem
database = $dir/index.txt
new_certs_dir = $dir/certs
private_key = $dir/private/ca_private_key.pem
serial = $dir/serial
default_crl_days = 7
default_days = 365
default_md = sha256
policy = policy_loose
x509_extensions = server_cert
{EXTENSIONS}
end
        openssl req -x509 -config openssl.cnf {P256} -days 365 -nodes -extensions v3_ca \
            -keyout private/ca_private_key.pem -out ca_certificate.pem -outform PEM \
            -subj '{subject}'
        openssl x509 -in ca_certificate.pem -out ca_certificate.cer -outform DER"
    ));
    Some(layout)
}

/// What mod_ssl's sign.sh leaves, of which many have a copy.
pub fn sign_sh() -> Option<Layout> {
    if !require(&["openssl"]) {
        return None;
    }
    let names = Names {
        certificate: "ca.crt",
        private_key: "ca.key",
        database: "ca.db.index",
        serial: "ca.db.serial",
        new_certs_dir: "ca.db.certs",
        ..STANDARD
    };
    let tool = Tool::OpensslCa {
        run_in: "ssl",
        config: "ssl/ca.config",
    };
    let mut layout = Layout::new("sign.sh", "ssl", names, tool);
    layout.options = vec!["--config=ssl/ca.config".into()];
    let subject = subject("Example CA");
    // It has no crl/ before the first CRL.
    layout.sh(&format!(
        "umask 022
        mkdir ssl ssl/ca.db.certs
        cd ssl
        echo 01 >ca.db.serial
        : >ca.db.index
        cat >ca.config <<'end'
[ ca ]
default_ca = CA_own
[ CA_own ]
dir = .
certs = $dir
new_certs_dir = $dir/ca.db.certs
database = $dir/ca.db.index
serial = $dir/ca.db.serial
certificate = $dir/ca.crt
private_key = $dir/ca.key
default_days = 365
default_crl_days = 30
default_md = sha256
preserve = no
policy = policy_loose
x509_extensions = server_cert
{EXTENSIONS}
end
        openssl req -x509 -config ca.config {P256} -days 365 -nodes -extensions v3_ca \
            -keyout ca.key -out ca.crt -subj '{subject}'
        chmod 600 ca.key
        mkdir crl"
    ));
    Some(layout)
}

/// A tree with the settings in etc/, from whose top `openssl ca` is run.
pub fn simple_pki() -> Option<Layout> {
    if !require(&["openssl"]) {
        return None;
    }
    let names = Names {
        certificate: "ca/root-ca.crt",
        private_key: "ca/root-ca/private/root-ca.key",
        database: "ca/root-ca/db/root-ca.db",
        serial: "ca/root-ca/db/root-ca.crt.srl",
        new_certs_dir: "ca/root-ca",
        crl: "crl/root-ca.crl",
    };
    let tool = Tool::OpensslCa {
        run_in: "pki",
        config: "pki/etc/root-ca.conf",
    };
    let mut layout = Layout::new("simple PKI", "pki", names, tool);
    layout.options = vec!["--config=pki/etc/root-ca.conf".into()];
    let subject = subject("Simple Root CA");
    layout.sh(&format!(
        "umask 022
        mkdir -p pki/etc pki/ca/root-ca/private pki/ca/root-ca/db pki/crl pki/certs
        chmod 700 pki/ca/root-ca/private
        cd pki
        : >ca/root-ca/db/root-ca.db
        : >ca/root-ca/db/root-ca.db.attr
        echo 01 >ca/root-ca/db/root-ca.crt.srl
        echo 01 >ca/root-ca/db/root-ca.crl.srl
        cat >etc/root-ca.conf <<'end'
[ default ]
ca = root-ca
dir = .
[ ca ]
default_ca = root_ca
[ root_ca ]
certificate = $dir/ca/$ca.crt
private_key = $dir/ca/$ca/private/$ca.key
new_certs_dir = $dir/ca/$ca
serial = $dir/ca/$ca/db/$ca.crt.srl
crlnumber = $dir/ca/$ca/db/$ca.crl.srl
database = $dir/ca/$ca/db/$ca.db
crl = $dir/crl/$ca.crl
unique_subject = no
default_days = 365
default_md = sha256
policy = policy_strict
email_in_dn = no
preserve = no
name_opt = ca_default
cert_opt = ca_default
copy_extensions = none
x509_extensions = server_cert
default_crl_days = 365
crl_extensions = crl_ext
{EXTENSIONS}
end
        openssl req -new -config etc/root-ca.conf {P256} -out ca/root-ca.csr \
            -keyout ca/root-ca/private/root-ca.key -passout file:../pass -subj '{subject}'
        openssl ca -selfsign -config etc/root-ca.conf -in ca/root-ca.csr -out ca/root-ca.crt \
            -extensions v3_ca -batch -days 3650 -passin file:../pass"
    ));
    Some(layout)
}

/// Register, serial and crlnumber in a folder db, and the settings beside it by a name of their
/// own, without `dir`.
pub fn db_folder() -> Option<Layout> {
    if !require(&["openssl"]) {
        return None;
    }
    let names = Names {
        certificate: "root-ca.crt",
        private_key: "private/root-ca.key",
        database: "db/index",
        serial: "db/serial",
        new_certs_dir: "certs",
        ..STANDARD
    };
    let tool = Tool::OpensslCa {
        run_in: "root-ca",
        config: "root-ca/root-ca.conf",
    };
    let mut layout = Layout::new("db folder", "root-ca", names, tool);
    layout.options = vec!["--config=root-ca/root-ca.conf".into()];
    let subject = subject("Root CA");
    layout.sh(&format!(
        "umask 022
        mkdir root-ca
        cd root-ca
        mkdir certs db private
        chmod 700 private
        touch db/index
        openssl rand -hex 16 >db/serial
        echo 1001 >db/crlnumber
        cat >root-ca.conf <<'end'
[ default ]
name = root-ca
[ ca ]
default_ca = ca_default
[ ca_default ]
home = .
database = $home/db/index
serial = $home/db/serial
crlnumber = $home/db/crlnumber
certificate = $home/$name.crt
private_key = $home/private/$name.key
RANDFILE = $home/private/random
new_certs_dir = $home/certs
unique_subject = no
copy_extensions = none
default_days = 3650
default_crl_days = 365
default_md = sha256
policy = policy_strict
x509_extensions = server_cert
{EXTENSIONS}
end
        openssl req -new -config root-ca.conf {P256} -out root-ca.csr \
            -keyout private/root-ca.key -passout file:../pass -subj '{subject}'
        openssl ca -selfsign -config root-ca.conf -in root-ca.csr -out root-ca.crt \
            -extensions v3_ca -batch -passin file:../pass"
    ));
    Some(layout)
}
