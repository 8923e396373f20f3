//! What `mailca` refuses: each with its reason, with what to do about it, with exit status 1 and
//! nothing written.

use std::fs;

use super::support::{Ca, Ran, require, run, tell};

/// Makes a CA, or what lies beside it, other than it was.
type Prepare = fn(&Ca);

/// One thing that is refused.
struct Refusal {
    /// what, in a word or two
    of: &'static str,
    prepare: Prepare,
    command: &'static [&'static str],
    /// `error:` and `hint:`, with the directory as `DIR`
    error: &'static str,
    hint: &'static str,
}

const fn refusal(
    of: &'static str,
    prepare: Prepare,
    command: &'static [&'static str],
    error: &'static str,
    hint: &'static str,
) -> Refusal {
    Refusal {
        of,
        prepare,
        command,
        error,
        hint,
    }
}

const SIGN: &[&str] = &["sign", "good.csr", "--yes"];
const NEW_REQUEST: &str =
    "ask for a new request; --allow-legacy accepts SHA-1 and RSA from 1024 bits";
const CHMOD_KEY: &str = "chmod 600 DIR/CA/private/cakey.pem";
const ANEW: &str = "have the CA's own key certified again, without what stands in the way";
const NO_NAME: &str = "name the host with --san mail.example.com";
const OUT_OF_BOUNDS: &str = "leave the name out, or have it certified by a CA for that domain";
const LONGEST: &str = "leave out --days or --not-after to get the longest that is possible";
const SHORTER: &str = "name a shorter one first, and this one after it by --san";
const LONG_HOST: &str = "a-host-name-that-goes-on-and-on-and-on.in-a-domain-that-does-so-too.test";

fn nothing(_: &Ca) {}

/// Requests and what is asked of them.
const REQUESTS: &[Refusal] = &[
    refusal(
        "a bad self-signature",
        |ca| {
            ca.dir.openssl(&[
                "req", "-in", "good.csr", "-outform", "DER", "-out", "bad.der",
            ]);
            let mut bytes = fs::read(ca.dir.file("bad.der")).unwrap();
            let at = bytes.windows(4).position(|four| four == b"mail").unwrap();
            bytes[at] = b'n';
            fs::write(ca.dir.file("bad.der"), bytes).unwrap();
        },
        &["sign", "bad.der", "--yes", "--allow-legacy"],
        "bad.der: the signature does not match its public key",
        "the file was altered or damaged; ask for a new request",
    ),
    refusal(
        "RSA under 2048 bits",
        |ca| rsa(ca, "rsa:1024", "-sha256"),
        &["sign", "rsa.csr", "--yes"],
        "rsa.csr: its RSA key has 1024 bits, but 2048 are the least that is safe",
        NEW_REQUEST,
    ),
    refusal(
        "RSA under 1024 bits",
        |ca| rsa(ca, "rsa:1023", "-sha256"),
        &["sign", "rsa.csr", "--yes", "--allow-legacy"],
        "rsa.csr: its RSA key has 1023 bits, but 2048 are the least that is safe",
        NEW_REQUEST,
    ),
    refusal(
        "a SHA-1 signature",
        |ca| rsa(ca, "rsa:2048", "-sha1"),
        &["sign", "rsa.csr", "--yes"],
        "rsa.csr: its signature is made with sha1WithRSAEncryption, which is broken",
        NEW_REQUEST,
    ),
    refusal(
        "an MD5 signature",
        |ca| rsa(ca, "rsa:2048", "-md5"),
        &["sign", "rsa.csr", "--yes", "--allow-legacy"],
        "rsa.csr: its signature is made with md5WithRSAEncryption, which is broken",
        NEW_REQUEST,
    ),
    refusal(
        "the CA's own key",
        |ca| {
            let subject = ["-subj", "/CN=mail.example.test", "-out", "own.csr"];
            let key = ["req", "-new", "-key", "CA/private/cakey.pem"];
            ca.dir.openssl(&[&key[..], &subject].concat());
        },
        &["sign", "own.csr", "--yes"],
        "the request's key is the CA's own",
        "make another key: mailca req HOST",
    ),
    refusal(
        "a bare self-signed certificate",
        nothing,
        &["sign", "CA/cacert.pem", "--yes"],
        "CA/cacert.pem: it holds a certificate without its private key, which proves nothing about \
         who asks",
        "ask for a request (PKCS#10), or for the file with certificate and key",
    ),
    refusal(
        "no name for a relay",
        nothing,
        &["sign", "nameless.csr", "--yes"],
        "a relay certificate needs a name, but neither the request nor its subject has one",
        NO_NAME,
    ),
    refusal(
        "no name for a server",
        nothing,
        &["sign", "nameless.csr", "--yes", "--profile", "server"],
        "a server certificate needs a name, but neither the request nor its subject has one",
        NO_NAME,
    ),
    refusal(
        "a first name over 64 characters",
        nothing,
        &[
            "sign", "good.csr", "--yes", "--san", LONG_HOST, "--san", "a.test",
        ],
        "the first name a-host-name-that-goes-on-and-on-and-on.in-a-domain-that-does-so-too.test has \
         72 characters, but 64 are the limit of a commonName",
        SHORTER,
    ),
    refusal(
        "a CN over 64 characters",
        nothing,
        &["issue", LONG_HOST, "--yes"],
        "CN=a-host-name-that-goes-on-and-on-and-on.in-a-domain-that-does-so-too.test has 72 \
         characters, but CN takes 1 to 64",
        SHORTER,
    ),
    refusal(
        "a lifetime past the CA's, in days",
        nothing,
        &["sign", "good.csr", "--yes", "--days", "9999"],
        "the certificate would be valid until WHEN, but the CA is only until WHEN",
        LONGEST,
    ),
    refusal(
        "a lifetime past the CA's, as a time",
        nothing,
        &[
            "sign",
            "good.csr",
            "--yes",
            "--not-after",
            "2099-01-01T00:00:00Z",
        ],
        "the certificate would be valid until WHEN, but the CA is only until WHEN",
        LONGEST,
    ),
    refusal(
        "an end before the beginning",
        nothing,
        &[
            "sign",
            "good.csr",
            "--yes",
            "--not-after",
            "2001-01-01T00:00:00Z",
        ],
        "the certificate would end at WHEN, before it begins at WHEN",
        "say an earlier --not-before, or a later --not-after",
    ),
];

/// Files that keep no secret, or hold something else than they should.
const FILES: &[Refusal] = &[
    refusal(
        "a CA key that the group can read",
        |ca| ca.chmod("private/cakey.pem", 0o640),
        SIGN,
        "DIR/CA/private/cakey.pem is readable by group (mode 0640)",
        CHMOD_KEY,
    ),
    refusal(
        "a CA key that all can read",
        |ca| ca.chmod("private/cakey.pem", 0o604),
        SIGN,
        "DIR/CA/private/cakey.pem is readable by others (mode 0604)",
        CHMOD_KEY,
    ),
    refusal(
        "a CA key that all can read, for a host",
        |ca| ca.chmod("private/cakey.pem", 0o644),
        &["issue", "a.example.test", "--yes"],
        "DIR/CA/private/cakey.pem is readable by others (mode 0644)",
        CHMOD_KEY,
    ),
    refusal(
        "a host's key that the group can read",
        |ca| ca.chmod("../good.key", 0o660),
        &["req", "mail.example.test", "--key", "good.key"],
        "good.key is readable by group (mode 0660)",
        "chmod 600 good.key",
    ),
    refusal(
        "a host's key that all can read",
        |ca| ca.chmod("../good.key", 0o444),
        &[
            "req",
            "mail.example.test",
            "--key",
            "good.key",
            "--out-dir",
            ".",
        ],
        "good.key is readable by others (mode 0444)",
        "chmod 600 good.key",
    ),
    refusal(
        "a passphrase that the group can read",
        |ca| {
            encrypt(ca);
            ca.chmod("../pass", 0o640);
        },
        &["sign", "good.csr", "--yes", "--passphrase-file", "pass"],
        "pass is readable by group (mode 0640)",
        "chmod 600 pass",
    ),
    refusal(
        "a passphrase that all can read",
        |ca| {
            encrypt(ca);
            ca.chmod("../pass", 0o644);
        },
        &["sign", "good.csr", "--yes", "--passphrase-file", "pass"],
        "pass is readable by others (mode 0644)",
        "chmod 600 pass",
    ),
    refusal(
        "a CA key that is none",
        |ca| ca.write("private/cakey.pem", "nothing\n"),
        SIGN,
        "DIR/CA/private/cakey.pem holds no private key",
        "put the CA's private key into DIR/CA/private/cakey.pem",
    ),
    refusal(
        "a CA certificate that is none",
        |ca| ca.write("cacert.pem", "nothing\n"),
        SIGN,
        "DIR/CA/cacert.pem: it holds no certificate",
        "put the CA's certificate into DIR/CA/cacert.pem, as PEM",
    ),
    refusal(
        "a certificate that is no CA's",
        |ca| {
            let key = "CA/private/cakey.pem";
            let req = [
                "req", "-new", "-key", key, "-subj", "/CN=x", "-out", "x.csr",
            ];
            ca.dir.openssl(&req);
            ca.dir.write("x.cnf", "subjectKeyIdentifier = hash\n");
            let sign = ["x509", "-req", "-in", "x.csr", "-signkey", key];
            let files = ["-extfile", "x.cnf", "-out", "CA/cacert.pem"];
            ca.dir.openssl(&[&sign[..], &files].concat());
        },
        SIGN,
        "DIR/CA/cacert.pem is not a CA certificate (basicConstraints does not say CA:TRUE)",
        "put the CA's own certificate into DIR/CA/cacert.pem",
    ),
    refusal(
        "a CA key that does not fit the certificate",
        |ca| {
            fs::copy(ca.dir.file("good.key"), ca.file("private/cakey.pem")).unwrap();
        },
        SIGN,
        "DIR/CA/private/cakey.pem does not belong to DIR/CA/cacert.pem",
        "put back the key that DIR/CA/cacert.pem was made with",
    ),
];

/// CA certificates below which OpenSSL accepts nothing of the kind either.
const CAS: &[Refusal] = &[
    refusal(
        "an expired CA",
        |ca| ca.certify(Made::OWN.during("20200101000000Z", "20210101000000Z")),
        SIGN,
        "the CA certificate DIR/CA/cacert.pem expired on 2021-01-01",
        "mailca --ca DIR/CA renew-ca",
    ),
    refusal(
        "a CA that is not valid yet",
        |ca| ca.certify(Made::OWN.during("20990101000000Z", "21000101000000Z")),
        SIGN,
        "the CA certificate DIR/CA/cacert.pem is valid from WHEN on, but it is WHEN \
         now",
        "set this machine's clock if it is wrong (date -u shows it), or wait",
    ),
    refusal(
        "a certificate that is no CA's",
        |ca| ca.certify(Made::OWN.with("basicConstraints=CA:FALSE")),
        SIGN,
        "DIR/CA/cacert.pem is not a CA certificate (basicConstraints does not say CA:TRUE)",
        "put the CA's own certificate into DIR/CA/cacert.pem",
    ),
    refusal(
        "a CA that may not sign certificates",
        |ca| ca.certify(Made::OWN.with("keyUsage=critical,cRLSign")),
        SIGN,
        "no certificate below DIR/CA/cacert.pem would be accepted: its keyUsage does not include \
         keyCertSign",
        ANEW,
    ),
    refusal(
        "an unknown critical extension",
        |ca| ca.certify(Made::OWN.with("1.2.3.4=critical,ASN1:NULL")),
        SIGN,
        "no certificate below DIR/CA/cacert.pem would be accepted: it has the critical extension \
         1.2.3.4, which verifiers do not know",
        ANEW,
    ),
    refusal(
        "a critical extension that may not be",
        |ca| ca.certify(Made::OWN.with("authorityInfoAccess=critical,OCSP;URI:http://a.test/")),
        SIGN,
        "no certificate below DIR/CA/cacert.pem would be accepted: it has the critical extension \
         id-pe-authorityInfoAccess, which verifiers do not know",
        ANEW,
    ),
    refusal(
        "a CA for servers only",
        |ca| ca.certify(Made::OWN.with("extendedKeyUsage=serverAuth")),
        SIGN,
        "the extendedKeyUsage of DIR/CA/cacert.pem does not permit relay certificates",
        "sign with --profile server",
    ),
    refusal(
        "a CA for any purpose, which to OpenSSL is none",
        |ca| ca.certify(Made::OWN.with("extendedKeyUsage=anyExtendedKeyUsage")),
        SIGN,
        "the extendedKeyUsage of DIR/CA/cacert.pem does not permit relay certificates",
        "have the CA's own key certified again, without extendedKeyUsage",
    ),
    refusal(
        "names outside the constraints",
        |ca| ca.certify(Made::OWN.with("nameConstraints=permitted;DNS:example.org")),
        SIGN,
        "the name constraints of DIR/CA/cacert.pem do not permit DNS:mail.example.test",
        OUT_OF_BOUNDS,
    ),
    refusal(
        "an excluded subject",
        |ca| {
            let names = "nameConstraints=excluded;dirName:dn\n[dn]\nCN=mail.example.test";
            ca.certify(Made::OWN.with(names));
        },
        SIGN,
        "the name constraints of DIR/CA/cacert.pem exclude the subject CN=mail.example.test",
        OUT_OF_BOUNDS,
    ),
    refusal(
        "constraints that cannot be read",
        |ca| ca.certify(Made::OWN.with("nameConstraints=critical,DER:05:00")),
        SIGN,
        "no certificate below DIR/CA/cacert.pem would be accepted: its extension nameConstraints \
         cannot be read",
        ANEW,
    ),
    refusal(
        "constraints of the CA above",
        |ca| {
            ca.certify(Made::ROOT.with("nameConstraints=critical,excluded;DNS:mail.example.test"));
            ca.certify(Made::BELOW);
        },
        SIGN,
        "the name constraints of DIR/CA/certs/root.pem exclude DNS:mail.example.test",
        OUT_OF_BOUNDS,
    ),
    refusal(
        "constraints of a CA above that stands behind ours",
        |ca| {
            ca.certify(Made::ROOT.with("nameConstraints=critical,permitted;DNS:example.org"));
            ca.certify(Made::BELOW);
            let both = ca.read("cacert.pem") + &ca.read("certs/root.pem");
            ca.write("cacert.pem", &both);
            fs::rename(ca.file("certs/root.pem"), ca.dir.file("root.pem")).unwrap();
        },
        SIGN,
        "the name constraints of DIR/CA/cacert.pem do not permit DNS:mail.example.test",
        OUT_OF_BOUNDS,
    ),
    refusal(
        "a CA whose own name is out of the bounds of the CA above",
        |ca| {
            let names = "nameConstraints=critical,permitted;dirName:dn\n[dn]\nO=Elsewhere";
            ca.certify(Made::ROOT.with(names));
            ca.certify(Made::BELOW);
        },
        SIGN,
        "no certificate below DIR/CA/certs/root.pem would be accepted: its name constraints do not \
         permit the subject CN=Example Mail CA",
        ANEW,
    ),
    refusal(
        "an ended CA above",
        |ca| {
            ca.certify(Made::ROOT.during("20200101000000Z", "20210101000000Z"));
            ca.certify(Made::BELOW);
        },
        SIGN,
        "the CA certificate DIR/CA/certs/root.pem, by whose CA ours is certified, expired on \
         2021-01-01",
        "put the new certificate of that CA into DIR/CA/certs",
    ),
    refusal(
        "a pathlen of the CA above",
        |ca| {
            ca.certify(Made::ROOT.with("basicConstraints=critical,CA:TRUE,pathlen:0"));
            ca.certify(Made::BELOW);
        },
        SIGN,
        "no certificate below DIR/CA/certs/root.pem would be accepted: its pathlen permits 0 CAs \
         below it, and there are 1",
        ANEW,
    ),
    refusal(
        "purposes of the CA above",
        |ca| {
            ca.certify(Made::ROOT.with("extendedKeyUsage=clientAuth"));
            ca.certify(Made::BELOW);
        },
        SIGN,
        "the extendedKeyUsage of DIR/CA/certs/root.pem does not permit relay certificates",
        "sign with --profile client",
    ),
];

/// CA certificates that are odd, and no reason to refuse anything.
const ACCEPTED: &[(&str, Prepare)] = &[
    ("pathlen:0", |ca| {
        ca.certify(Made::OWN.with("basicConstraints=critical,CA:TRUE,pathlen:0"));
    }),
    ("no SubjectKeyIdentifier", |ca| {
        ca.certify(Made::OWN.with("subjectKeyIdentifier=none"));
    }),
    ("basicConstraints that are not critical", |ca| {
        ca.certify(Made::OWN.with("basicConstraints=CA:TRUE"));
    }),
    ("purposes that suffice", |ca| {
        ca.certify(
            Made::OWN.with("extendedKeyUsage=critical,clientAuth,serverAuth,emailProtection"),
        );
    }),
    ("critical extensions that are known", |ca| {
        let policies = "certificatePolicies=critical,1.2.3.4\npolicyConstraints=critical,inhibitPolicyMapping:0";
        ca.certify(Made::OWN.with(policies));
    }),
    ("an unknown extension", |ca| {
        ca.certify(Made::OWN.with("1.2.3.4=ASN1:NULL"));
    }),
    ("constraints that permit the name", |ca| {
        ca.certify(Made::OWN.with("nameConstraints=critical,permitted;DNS:test"));
    }),
    ("a CA above that permits it", |ca| {
        let permits = "nameConstraints=critical,permitted;DNS:test\n";
        ca.certify(
            Made::ROOT
                .with("basicConstraints=critical,CA:TRUE,pathlen:1")
                .with(permits),
        );
        ca.certify(Made::BELOW);
    }),
    ("a newer certificate of the CA above", |ca| {
        ca.certify(Made::ROOT.during("20200101000000Z", "20210101000000Z"));
        fs::rename(ca.file("certs/root.pem"), ca.file("certs/old.pem")).unwrap();
        ca.certify(Made::ROOT);
        ca.certify(Made::BELOW);
    }),
    ("another CA of the same name in certs", |ca| {
        ca.certify(Made::ROOT);
        ca.certify(Made::BELOW);
        ca.dir
            .openssl(&["genpkey", "-algorithm", "ED25519", "-out", "other.key"]);
        ca.certify(Made {
            key: "other.key",
            out: "CA/certs/other.pem",
            ..Made::ROOT.with("nameConstraints=critical,permitted;DNS:example.org")
        });
    }),
];

/// A CA certificate that OpenSSL makes.
#[derive(Clone, Copy)]
struct Made {
    subject: &'static str,
    key: &'static str,
    issuer: Option<(&'static str, &'static str)>,
    out: &'static str,
    extensions: [&'static str; 2],
    dates: [&'static str; 2],
}

impl Made {
    /// The CA's own, by itself.
    const OWN: Self = Self {
        subject: "/CN=Example Mail CA",
        key: "CA/private/cakey.pem",
        issuer: None,
        out: "CA/cacert.pem",
        extensions: [""; 2],
        dates: ["20260101000000Z", "20360101000000Z"],
    };
    /// The one above it.
    const ROOT: Self = Self {
        subject: "/CN=Example Root CA",
        key: "root.key",
        out: "CA/certs/root.pem",
        ..Self::OWN
    };
    /// The CA's own, by the one above.
    const BELOW: Self = Self {
        issuer: Some(("CA/certs/root.pem", "root.key")),
        ..Self::OWN
    };

    const fn with(self, extension: &'static str) -> Self {
        let extensions = [extension, self.extensions[0]];
        Self { extensions, ..self }
    }

    const fn during(self, from: &'static str, to: &'static str) -> Self {
        let dates = [from, to];
        Self { dates, ..self }
    }
}

trait Certify {
    fn certify(&self, made: Made);
}

impl Certify for Ca {
    #[track_caller]
    fn certify(&self, made: Made) {
        // The last of two lines for one extension counts.
        let cnf = format!(
            "[req]\ndistinguished_name=any\n[any]\n[ca]\ndefault_ca=own\n[own]\nnew_certs_dir=.\n\
             database=x.index\nserial=x.serial\ndefault_md=sha256\npolicy=any\nunique_subject=no\n\
             [extensions]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n\
             authorityKeyIdentifier=keyid\nkeyUsage=critical,keyCertSign,cRLSign\n{}\n{}\n",
            made.extensions[1], made.extensions[0],
        );
        self.dir.write("x.cnf", &cnf);
        self.dir.write("x.index", "");
        self.dir.write("x.serial", "01\n");
        let config = ["-config", "x.cnf"];
        let req = [
            "req",
            "-new",
            "-key",
            made.key,
            "-subj",
            made.subject,
            "-out",
            "x.csr",
        ];
        self.dir.openssl(&[&req[..], &config].concat());
        let issuer = match made.issuer {
            None => vec!["-selfsign", "-keyfile", made.key],
            Some((certificate, key)) => vec!["-cert", certificate, "-keyfile", key],
        };
        let how = [
            "ca",
            "-batch",
            "-notext",
            "-preserveDN",
            "-extensions",
            "extensions",
        ];
        let [from, to] = made.dates;
        let what = [
            "-startdate",
            from,
            "-enddate",
            to,
            "-in",
            "x.csr",
            "-out",
            made.out,
        ];
        self.dir
            .openssl(&[&how[..], &config, &issuer, &what].concat());
    }
}

#[track_caller]
fn rsa(ca: &Ca, size: &str, digest: &str) {
    let req = [
        "req", "-new", "-nodes", "-newkey", size, digest, "-out", "rsa.csr",
    ];
    let rest = ["-keyout", "rsa.key", "-subj", "/CN=mail.example.test"];
    ca.dir.openssl(&[&req[..], &rest].concat());
}

fn encrypt(ca: &Ca) {
    let key = ca.file("private/cakey.pem");
    let how = ["-topk8", "-v2", "aes-256-cbc", "-passout", "file:pass"];
    ca.dir
        .openssl(&[&["pkcs8", "-in", &key, "-out", "locked.key"][..], &how].concat());
    fs::rename(ca.dir.file("locked.key"), key).unwrap();
}

/// A CA with requests beside it, to be copied for each refusal.
fn template() -> Ca {
    let ca = Ca::new();
    ca.openssl_request("good", &["-subj", "/CN=mail.example.test"]);
    ca.openssl_request("nameless", &["-subj", "/CN=Not a host"]);
    ca.dir
        .openssl(&["genpkey", "-algorithm", "ED25519", "-out", "root.key"]);
    ca
}

/// What a command says from `error:` on, without what differs from run to run.
fn said(ca: &Ca, stderr: &str) -> String {
    let from = stderr.find("error: ").expect("an error");
    let text = stderr[from..].replace(&ca.dir.file(""), "DIR/");
    let is_time = |word: &str| word.len() == 20 && word.starts_with("20") && word.ends_with('Z');
    let words = text.split_inclusive([' ', ',', '\n']).map(|word| {
        let time = word.trim_end_matches([' ', ',', '\n']);
        if is_time(time) {
            word.replace(time, "WHEN")
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

/// Whether OpenSSL accepts what the CA signs for a mail server, whoever signs it.
fn openssl_accepts(ca: &Ca) -> Ran {
    ca.dir.write(
        "leaf.ext",
        "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n\
         subjectAltName=DNS:mail.example.test\n",
    );
    let sign = [
        "x509", "-req", "-in", "good.csr", "-extfile", "leaf.ext", "-days", "9",
    ];
    let with = [
        "-CA",
        "CA/cacert.pem",
        "-CAkey",
        "CA/private/cakey.pem",
        "-out",
        "leaf.pem",
    ];
    ca.dir.openssl(&[&sign[..], &with].concat());
    verify(ca, "leaf.pem")
}

fn verify(ca: &Ca, certificate: &str) -> Ran {
    let roots = ["CA/certs/root.pem", "root.pem", "CA/cacert.pem"];
    let root = roots
        .iter()
        .find(|file| ca.dir.path().join(file).exists())
        .unwrap();
    let mut verdict = None;
    for purpose in ["sslserver", "sslclient"] {
        let mut openssl = ca.dir.command("openssl");
        openssl.args(["verify", "-purpose", purpose, "-CAfile", root]);
        let ran = run(openssl.args(["-untrusted", "CA/cacert.pem", certificate]));
        if verdict.is_none() || !ran.status.success() {
            verdict = Some(ran);
        }
    }
    verdict.unwrap()
}

#[track_caller]
fn check(template: &Ca, refusals: &[Refusal]) -> Vec<Ca> {
    let mut done = Vec::new();
    for refusal in refusals {
        let ca = template.copy();
        (refusal.prepare)(&ca);
        let stderr = ca.refuses(refusal.command);
        let expected = format!("error: {}\nhint: {}\n", refusal.error, refusal.hint);
        assert_eq!(said(&ca, &stderr), expected, "{}", refusal.of);
        if refusal.hint.starts_with("chmod ") {
            run_hint(&ca, &stderr);
            ca.ok(refusal.command);
        }
        done.push(ca);
    }
    tell(&format!(
        "{} refusals, each with its hint and nothing written",
        refusals.len()
    ));
    done
}

/// Does what the hint says.
#[track_caller]
fn run_hint(ca: &Ca, stderr: &str) {
    let (_, hint) = stderr.split_once("hint: ").expect("a hint");
    let command = hint.trim_start_matches("make a new CA certificate with the same key: ");
    run(ca.dir.command("sh").args(["-c", command])).exits(0);
}

#[test]
fn bad_requests_and_wishes_are_refused() {
    if !require(&["openssl"]) {
        return;
    }
    check(&template(), REQUESTS);
}

#[test]
fn old_cryptography_is_signed_only_where_that_is_allowed() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = template();
    for (size, digest) in [
        ("rsa:1024", "-sha256"),
        ("rsa:2048", "-sha1"),
        ("rsa:1024", "-sha1"),
    ] {
        rsa(&ca, size, digest);
        ca.refuses(&["sign", "rsa.csr", "--yes"]);
        ca.ok(&["sign", "rsa.csr", "--yes", "--allow-legacy"]);
    }
}

#[test]
fn files_that_keep_no_secret_or_do_not_fit_are_refused() {
    if !require(&["openssl"]) {
        return;
    }
    check(&template(), FILES);
}

#[test]
fn a_ca_below_which_nothing_is_accepted_signs_nothing() {
    if !require(&["openssl"]) {
        return;
    }
    let template = template();
    for (ca, refusal) in check(&template, CAS).iter().zip(CAS) {
        let ran = openssl_accepts(ca);
        assert!(!ran.status.success(), "{}: {ran}", refusal.of);
    }
    let ca = template.copy();
    (CAS[0].prepare)(&ca);
    ca.refuses(SIGN);
    // As the hint says.
    ca.ok(&["renew-ca", "--yes"]);
    ca.ok(SIGN);
    verify(&ca, "CA/newcert.pem").exits(0);
}

#[test]
fn an_odd_ca_signs_what_openssl_accepts() {
    if !require(&["openssl"]) {
        return;
    }
    let template = template();
    for (oddity, prepare) in ACCEPTED {
        let ca = template.copy();
        prepare(&ca);
        let ran = ca.mailca(SIGN);
        assert_eq!(ran.code(), 0, "{oddity}: {ran}");
        let ran = verify(&ca, "CA/newcert.pem");
        assert!(ran.status.success(), "{oddity}: {ran}");
    }
}
