//! What other people's tools call the files of a CA. Where there is no openssl.cnf to say so, the
//! CA certificate and key that are there tell which of them made the directory.

use std::path::{Path, PathBuf};

use super::conf::Conf;
use crate::sys::files;

/// The names of a CA's files, from its directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// the CA's certificate
    pub certificate: &'static str,
    /// the CA's key
    pub private_key: &'static str,
    /// the register
    pub database: &'static str,
    /// the next certificate's serial number
    pub serial: &'static str,
    /// the next CRL's number
    pub crl_number: &'static str,
    /// every certificate issued, by serial
    pub new_certs_dir: &'static str,
    /// CA certificates trusted beside our own
    pub certs: &'static str,
    /// where daemons look CRLs up
    pub crl_dir: &'static str,
    /// the current CRL
    pub crl: &'static str,
    /// whether a subject may have only one valid certificate, where index.txt.attr does not say
    pub unique_subject: bool,
}

/// Where easy-rsa moves what it revokes; the names end in .crt there.
pub const REVOKED: &str = "revoked/certs_by_serial";

/// OpenSSL's own names, of Listing 6.2 and CA.pl.
pub const STANDARD: Layout = Layout {
    certificate: "cacert.pem",
    private_key: "private/cakey.pem",
    database: "index.txt",
    serial: "serial",
    crl_number: "crlnumber",
    new_certs_dir: "newcerts",
    certs: "certs",
    crl_dir: "crl",
    crl: "crl/crl.pem",
    unique_subject: true,
};

const KNOWN: [Layout; 11] = [
    STANDARD,
    // Red Hat's /etc/pki/CA, and many who moved the certificate to the others.
    Layout {
        certificate: "certs/cacert.pem",
        ..STANDARD
    },
    // easy-rsa 3: its own openssl.cnf has unique_subject = no.
    Layout {
        certificate: "ca.crt",
        private_key: "private/ca.key",
        new_certs_dir: "certs_by_serial",
        crl: "crl.pem",
        unique_subject: false,
        ..STANDARD
    },
    Layout {
        certificate: "ca.crt",
        private_key: "private/ca.key",
        ..STANDARD
    },
    Layout {
        certificate: "certs/ca.crt",
        private_key: "private/ca.key",
        ..STANDARD
    },
    // The tutorials with a root CA and an intermediate one.
    Layout {
        certificate: "certs/ca.cert.pem",
        private_key: "private/ca.key.pem",
        crl: "crl/ca.crl.pem",
        ..STANDARD
    },
    Layout {
        certificate: "certs/intermediate.cert.pem",
        private_key: "private/intermediate.key.pem",
        crl: "crl/intermediate.crl.pem",
        ..STANDARD
    },
    // Those with a folder db.
    Layout {
        certificate: "root-ca.crt",
        private_key: "private/root-ca.key",
        crl: "root-ca.crl",
        ..IN_DB
    },
    Layout {
        certificate: "sub-ca.crt",
        private_key: "private/sub-ca.key",
        crl: "sub-ca.crl",
        ..IN_DB
    },
    // RabbitMQ's.
    Layout {
        certificate: "ca_certificate.pem",
        private_key: "private/ca_private_key.pem",
        new_certs_dir: "certs",
        ..STANDARD
    },
    // mod_ssl's sign.sh.
    Layout {
        certificate: "ca.crt",
        private_key: "ca.key",
        database: "ca.db.index",
        serial: "ca.db.serial",
        new_certs_dir: "ca.db.certs",
        ..STANDARD
    },
];

const IN_DB: Layout = Layout {
    database: "db/index",
    serial: "db/serial",
    crl_number: "db/crlnumber",
    new_certs_dir: "certs",
    ..STANDARD
};

impl Layout {
    /// The layout of a directory by the files that are there, the standard one where there are none.
    ///
    /// # Errors
    /// The layouts that it may have, where that cannot be told.
    pub fn of(root: &Path) -> Result<&'static Self, Vec<&'static Self>> {
        let mut fitting: Vec<&Self> = KNOWN.iter().collect();
        let names: [fn(&Self) -> &str; 4] = [
            |it| it.certificate,
            |it| it.private_key,
            |it| it.new_certs_dir,
            |it| it.database,
        ];
        for name in names {
            let is_there = |it: &&Self| files::exists(&root.join(name(it)));
            if fitting.iter().any(is_there) {
                fitting.retain(is_there);
            }
        }
        let first = fitting[0];
        let is_first = |it: &&Self| {
            it.private_key == first.private_key && it.new_certs_dir == first.new_certs_dir
        };
        // Two certificates beside one key: one of them is a copy.
        if fitting.iter().all(is_first) || !files::exists(&root.join(first.certificate)) {
            Ok(first)
        } else {
            Err(fitting)
        }
    }
}

/// Settings of `openssl ca` by another name than openssl.cnf, which may say where the CA of a
/// directory is.
#[must_use]
pub fn settings_in(root: &Path) -> Option<PathBuf> {
    let is_conf = |path: &Path| {
        path.extension()
            .is_some_and(|it| it == "cnf" || it == "conf")
    };
    let found = files::list(root, is_conf).unwrap_or_default();
    found.into_iter().find(|path| {
        Conf::read(path, &|_| None).is_ok_and(|conf| conf.get("ca", "default_ca").is_some())
    })
}

/// Whether a directory in which no CA was found has files that a CA has.
#[must_use]
pub fn is_like_ca(root: &Path) -> bool {
    let names = ["index.txt", "serial", "private", "newcerts"];
    names.iter().any(|name| files::exists(&root.join(name)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told_from(files: &[&str]) -> Result<&'static str, usize> {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = Layout::of(dir.path());
        found.map(|it| it.certificate).map_err(|all| all.len())
    }

    #[test]
    fn the_certificate_and_key_that_are_there_tell_whose_directory_it_is() {
        assert_eq!(told_from(&[]), Ok("cacert.pem"));
        for layout in &KNOWN {
            let files = [
                layout.certificate,
                layout.private_key,
                &format!("{}/x", layout.new_certs_dir),
                layout.database,
            ];
            assert_eq!(told_from(&files), Ok(layout.certificate));
        }
        // The certificate alone, and without it what else is there.
        assert_eq!(told_from(&["root-ca.crt"]), Ok("root-ca.crt"));
        let keyless = ["private/ca.key", "certs_by_serial/x"];
        assert_eq!(told_from(&keyless), Ok("ca.crt"));
    }

    #[test]
    fn a_copy_of_the_certificate_confuses_nobody_but_another_key_does() {
        let copies = ["cacert.pem", "certs/cacert.pem", "private/cakey.pem"];
        assert_eq!(told_from(&copies), Ok("cacert.pem"));
        let without_key = ["cacert.pem", "private/cakey.pem", "ca.crt"];
        assert_eq!(told_from(&without_key), Ok("cacert.pem"));
        let two = [
            "cacert.pem",
            "private/cakey.pem",
            "ca.crt",
            "private/ca.key",
        ];
        assert_eq!(told_from(&two), Err(3));
        assert_eq!(told_from(&["ca.crt", "private/ca.key"]), Err(2));
    }
}
