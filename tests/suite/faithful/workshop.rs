//! Keys and requests of every kind, made by openssl; what it would not make, by hand.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::der::{self, EXTENSION_REQUEST, extension_request, sequence, tlv};
use crate::support::{Ran, TestDir, run};

pub const HOST: &str = "mail.example.test";
const NAMES: &str = "subjectAltName = DNS:mail.example.test";

/// In what form a request comes.
#[derive(Clone, Copy)]
pub enum Form {
    Pem,
    OldLabel,
    TextAround,
    Crlf,
    Der,
}

/// What is to become of a request.
pub enum Wanted {
    /// A certificate for these names; and what is said of it, note by note.
    Signed {
        names: &'static [&'static str],
        notes: Vec<String>,
    },
    /// An error with these words.
    Refused(String),
}

/// A request of some kind.
pub struct Case {
    pub what: String,
    pub wanted: Wanted,
    key: String,
    options: String,
    subject: String,
    string_mask: &'static str,
    extensions: String,
    attributes: String,
    by_hand: ByHand,
    form: Form,
}

/// The parts that openssl would not write so, DER.
#[derive(Default)]
struct ByHand {
    subject: Option<Vec<u8>>,
    attributes: Option<Vec<u8>>,
    damage: Option<fn(Vec<u8>) -> Vec<u8>>,
}

/// A request that gets a certificate for [`HOST`] unless it is said otherwise.
pub fn signed(what: impl Into<String>) -> Case {
    Case {
        what: what.into(),
        wanted: Wanted::Signed {
            names: &["DNS:mail.example.test"],
            notes: Vec::new(),
        },
        key: "p256".into(),
        options: String::new(),
        subject: format!("CN = {HOST}"),
        string_mask: "utf8only",
        extensions: NAMES.into(),
        attributes: String::new(),
        by_hand: ByHand::default(),
        form: Form::Pem,
    }
}

/// A request that is refused with these words.
pub fn refused(what: impl Into<String>, error: impl Into<String>) -> Case {
    Case {
        wanted: Wanted::Refused(error.into()),
        ..signed(what)
    }
}

impl Case {
    /// By this key of [`KEYS`], with these options of `openssl req`.
    pub fn by(mut self, key: &str, options: &str) -> Self {
        self.key = key.into();
        self.options = options.into();
        self
    }

    /// With this subject, as a section of openssl.cnf has it.
    pub fn subject(mut self, lines: &str) -> Self {
        self.subject = lines.into();
        self
    }

    /// With strings of this type alone.
    pub fn strings(mut self, mask: &'static str) -> Self {
        self.string_mask = mask;
        self
    }

    /// With these extensions, as a section of openssl.cnf has them.
    pub fn extensions(mut self, lines: &str) -> Self {
        self.extensions = lines.into();
        self
    }

    /// With these extensions besides its name.
    pub fn also(self, lines: &str) -> Self {
        self.extensions(&format!("{NAMES}\n{lines}"))
    }

    /// With these attributes, as a section of openssl.cnf has them.
    pub fn attributes(mut self, lines: &str) -> Self {
        self.attributes = lines.into();
        self
    }

    /// With this Name, DER.
    pub fn subject_der(mut self, name: Vec<u8>) -> Self {
        self.by_hand.subject = Some(name);
        self
    }

    /// With these attributes, DER.
    pub fn attributes_der(mut self, attributes: &[Vec<u8>]) -> Self {
        self.by_hand.attributes = Some(tlv(0xA0, &attributes.concat()));
        self
    }

    /// Without even the empty set of attributes that PKCS#10 demands.
    pub fn without_attributes(mut self) -> Self {
        self.by_hand.attributes = Some(Vec::new());
        self
    }

    /// With these extensions, DER.
    pub fn extensions_der(self, extensions: &[Vec<u8>]) -> Self {
        self.attributes_der(&[extension_request(EXTENSION_REQUEST, extensions)])
    }

    /// Altered after it was signed.
    pub fn damaged(mut self, damage: fn(Vec<u8>) -> Vec<u8>) -> Self {
        self.by_hand.damage = Some(damage);
        self
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Signed for these names.
    pub fn names(mut self, wanted: &'static [&'static str]) -> Self {
        if let Wanted::Signed { names, .. } = &mut self.wanted {
            *names = wanted;
        }
        self
    }

    /// What is said of the request, in this order.
    pub fn notes(mut self, sentences: &[&str]) -> Self {
        if let Wanted::Signed { notes, .. } = &mut self.wanted {
            *notes = sentences.iter().map(ToString::to_string).collect();
        }
        self
    }

    /// These wishes are not honoured, and said in this order.
    pub fn denied(self, wishes: &[&str]) -> Self {
        let sentence = |wish| format!("the request asks for {wish}, which it does not get");
        let sentences: Vec<_> = wishes.iter().map(sentence).collect();
        let sentences: Vec<_> = sentences.iter().map(String::as_str).collect();
        self.notes(&sentences)
    }
}

/// Every key, and how openssl makes it.
const KEYS: &[(&str, &str)] = &[
    ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
    ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
    ("p521", "EC -pkeyopt ec_paramgen_curve:P-521"),
    ("p224", "EC -pkeyopt ec_paramgen_curve:P-224"),
    ("secp256k1", "EC -pkeyopt ec_paramgen_curve:secp256k1"),
    ("brainpool", "EC -pkeyopt ec_paramgen_curve:brainpoolP256r1"),
    (
        "explicit",
        "EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
    ),
    ("ed25519", "ED25519"),
    ("ed448", "ED448"),
    ("rsa1024", "RSA -pkeyopt rsa_keygen_bits:1024"),
    ("rsa2047", "RSA -pkeyopt rsa_keygen_bits:2047"),
    ("rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"),
    (
        "rsa2049",
        "RSA -pkeyopt rsa_keygen_bits:2049 -pkeyopt rsa_keygen_primes:3",
    ),
    ("rsa3072", "RSA -pkeyopt rsa_keygen_bits:3072"),
    (
        "rsa-e3",
        "RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3",
    ),
    (
        "rsa-e65bits",
        "RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:0x1000000000000001f",
    ),
    ("pss", "RSA-PSS -pkeyopt rsa_keygen_bits:2048"),
    ("pss1024", "RSA-PSS -pkeyopt rsa_keygen_bits:1024"),
    (
        "pss-bound",
        "RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256 \
         -pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:32",
    ),
];

const RSA_4096: &[u8] = include_bytes!("../fixtures/rsa4096.key");
const RSA_8192: &[u8] = include_bytes!("../fixtures/rsa8192.key");

/// A directory with keys, requests and a CA.
pub struct Workshop {
    pub dir: TestDir,
}

impl Workshop {
    pub fn new() -> Self {
        let dir = TestDir::new();
        dir.create_dir("keys");
        dir.create_dir("requests");
        Self { dir }
    }

    /// The file of a key, which is made when it is asked for.
    #[track_caller]
    pub fn key(&self, name: &str) -> String {
        let file = format!("keys/{name}");
        if fs::exists(self.dir.file(&file)).expect("a readable directory") {
            return file;
        }
        match name {
            "rsa4096" => self.write(&file, RSA_4096),
            "rsa8192" => self.write(&file, RSA_8192),
            "dsa" => {
                self.openssl("dsaparam -out parameters 1024");
                self.openssl(&format!("genpkey -paramfile parameters -out {file}"));
            }
            _ => {
                if let Some(curve) = name.strip_suffix("-compressed") {
                    let curve = self.key(curve);
                    let compress = "-ec_conv_form compressed";
                    self.openssl(&format!("pkey -in {curve} {compress} -out {file}"));
                } else {
                    let kind = name.strip_prefix("ca-").unwrap_or(name);
                    let (_, how) = KEYS
                        .iter()
                        .find(|(known, _)| *known == kind)
                        .unwrap_or_else(|| panic!("no key {name}"));
                    self.openssl(&format!("genpkey -algorithm {how} -out {file}"));
                }
            }
        }
        file
    }

    #[track_caller]
    pub fn openssl(&self, args: &str) -> String {
        self.dir
            .openssl(&args.split_whitespace().collect::<Vec<_>>())
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.file(name), bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Makes a request in its form, and returns its DER.
    #[track_caller]
    pub fn make(&self, file: &str, case: &Case) -> Vec<u8> {
        let Case {
            key,
            options,
            subject,
            string_mask,
            extensions,
            attributes,
            by_hand,
            ..
        } = case;
        let asks = if extensions.is_empty() {
            ""
        } else {
            "req_extensions = ext"
        };
        let config = format!(
            "[req]\ndistinguished_name = dn\nprompt = no\nutf8 = yes\nstring_mask = {string_mask}\n\
             {asks}\nattributes = more\n[dn]\n{subject}\n[ext]\n{extensions}\n\
             [more]\n{attributes}\n[other]\nCN = other\n"
        );
        self.write("req.cnf", config.as_bytes());
        let key = self.key(key);
        self.openssl(&format!(
            "req -new -config req.cnf -key {key} {options} -outform DER -out request"
        ));
        let mut der = self.read("request");
        if by_hand.subject.is_some() || by_hand.attributes.is_some() {
            der = self.by_hand(case, &der);
        }
        if let Some(damage) = by_hand.damage {
            der = damage(der);
        }
        self.write(file, &self.formed(case.form, &der));
        der
    }

    /// A request like `der` with the parts made by hand, signed anew.
    fn by_hand(&self, case: &Case, der: &[u8]) -> Vec<u8> {
        let [content, algorithm, _] = der::elements(der).try_into().expect("PKCS#10");
        let [version, subject, public_key, attributes] =
            der::elements(&content).try_into().expect("PKCS#10");
        let ByHand {
            subject: other_subject,
            attributes: other_attributes,
            ..
        } = &case.by_hand;
        let attributes = other_attributes.clone().unwrap_or(attributes);
        let subject = other_subject.clone().unwrap_or(subject);
        let content = sequence(&[version, subject, public_key, attributes]);
        self.write("content", &content);
        let key = self.key(&case.key);
        self.openssl(&format!("dgst -sha256 -sign {key} -out signature content"));
        let signature = [&[0], &*self.read("signature")].concat();
        sequence(&[content, algorithm, tlv(der::BIT_STRING, &signature)])
    }

    fn formed(&self, form: Form, der: &[u8]) -> Vec<u8> {
        let pem = mailca::pki::pem_text::encode("CERTIFICATE REQUEST", der);
        match form {
            Form::Pem => pem.into_bytes(),
            Form::OldLabel => pem
                .replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
                .into_bytes(),
            Form::TextAround => {
                self.write("request", der);
                let text = self.openssl("req -in request -inform DER -text");
                assert!(text.contains("Certificate Request:"), "{text}");
                [b"Gr\xfc\xdfe,\n", text.as_bytes(), b"\n-- \nJ\xfcrgen\n"].concat()
            }
            Form::Crlf => pem.replace('\n', "\r\n").into_bytes(),
            Form::Der => der.to_vec(),
        }
    }

    /// Makes the CA's directory anew: its subject and key are those of a request, its certificate is
    /// self-signed with these options of `openssl x509`.
    #[track_caller]
    pub fn make_ca(&self, case: &Case, options: &str) {
        // The journal of the one before would miss its certificates.
        let _ = fs::remove_dir_all(self.dir.file("CA"));
        for folder in ["CA", "CA/private", "CA/newcerts"] {
            self.dir.create_dir(folder);
        }
        let request = self.make("ca.csr", case);
        self.write("ca.cnf", CA_EXTENSIONS.as_bytes());
        let key = self.key(&case.key);
        self.openssl(&format!(
            "x509 -req -in ca.csr -signkey {key} -days 3650 -extfile ca.cnf {options} \
             -out CA/cacert.pem"
        ));
        let made = pem::parse(self.read("CA/cacert.pem")).expect("PEM");
        let subject =
            |signed: &[u8], at: usize| der::elements(&der::elements(signed)[0]).remove(at);
        assert_eq!(
            subject(made.contents(), 5),
            subject(&request, 1),
            "as odd as its request"
        );
        self.write("CA/private/cakey.pem", &self.read(&key));
        let closed = Permissions::from_mode(0o600);
        fs::set_permissions(self.dir.file("CA/private/cakey.pem"), closed).expect("chmod");
        self.write("CA/openssl.cnf", SETTINGS.as_bytes());
        self.write("CA/index.txt", b"");
        self.write("CA/index.txt.attr", b"unique_subject = no\n");
        self.write("CA/serial", b"01\n");
    }

    pub fn mailca(&self, args: &[&str]) -> Ran {
        run(self.dir.mailca(&["--ca", "CA"]).args(args))
    }
}

const CA_EXTENSIONS: &str = "basicConstraints = critical, CA:TRUE, pathlen:0\n\
    keyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n";

/// Of a CA that takes any subject.
const SETTINGS: &str = "[ca]\ndefault_ca = here\n[here]\ndir = .\nnew_certs_dir = $dir/newcerts\n\
    database = $dir/index.txt\nserial = $dir/serial\ncertificate = $dir/cacert.pem\n\
    private_key = $dir/private/cakey.pem\ndefault_days = 365\npolicy = anything\n\
    [anything]\ncommonName = optional\n\
    [mailca]\npolicy = anything\n";
