//! What a sendmail.mc or a sendmail.cf says about certificates, with the lines that say it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::m4::{M4Error, Macros};

/// A setting of Sendmail (its op guide, section 5.6 "O — Set Option"; cf/README "STARTTLS").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `confSERVER_CERT`
    ServerCertificate,
    /// `confSERVER_KEY`
    ServerKey,
    /// `confCLIENT_CERT`
    ClientCertificate,
    /// `confCLIENT_KEY`
    ClientKey,
    /// `confCACERT`: the file with trusted CAs
    CaFile,
    /// `confCACERT_PATH`: the folder with trusted CAs
    CaPath,
    /// `confCRL`
    Crl,
    /// `confCRL_PATH`
    CrlPath,
    /// `confRUN_AS_USER`: whom the daemon becomes
    RunAsUser,
    /// `confTRUSTED_USER`: whose files are as good as root's
    TrustedUser,
    /// `confDONT_BLAME_SENDMAIL`: what it does not check
    DontBlame,
}

impl Setting {
    /// Every one of them.
    pub const ALL: [Self; 11] = [
        Self::ServerCertificate,
        Self::ServerKey,
        Self::ClientCertificate,
        Self::ClientKey,
        Self::CaFile,
        Self::CaPath,
        Self::Crl,
        Self::CrlPath,
        Self::RunAsUser,
        Self::TrustedUser,
        Self::DontBlame,
    ];

    /// Its name in a sendmail.mc, and in a sendmail.cf.
    #[must_use]
    pub fn names(self) -> [&'static str; 2] {
        match self {
            Self::ServerCertificate => ["confSERVER_CERT", "ServerCertFile"],
            Self::ServerKey => ["confSERVER_KEY", "ServerKeyFile"],
            Self::ClientCertificate => ["confCLIENT_CERT", "ClientCertFile"],
            Self::ClientKey => ["confCLIENT_KEY", "ClientKeyFile"],
            Self::CaFile => ["confCACERT", "CACertFile"],
            Self::CaPath => ["confCACERT_PATH", "CACertPath"],
            Self::Crl => ["confCRL", "CRLFile"],
            Self::CrlPath => ["confCRL_PATH", "CRLPath"],
            Self::RunAsUser => ["confRUN_AS_USER", "RunAsUser"],
            Self::TrustedUser => ["confTRUSTED_USER", "TrustedUser"],
            Self::DontBlame => ["confDONT_BLAME_SENDMAIL", "DontBlameSendmail"],
        }
    }
}

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    text: Vec<u8>,
    /// where it is set, from 1
    pub line: usize,
}

impl Value {
    /// The value as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// The files that it names: one, or a pair such as `rsa.pem,ec.pem`.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let names = self.text.split(|byte| *byte == b',');
        names.map(|name| OsStr::from_bytes(name).into())
    }
}

/// A sendmail.mc or a sendmail.cf.
#[derive(Clone, Debug, Default)]
pub struct Config(Vec<(Setting, Value)>);

impl Config {
    /// Reads a sendmail.mc. What other files define is not known here, and neither is a value that
    /// depends on it.
    ///
    /// # Errors
    /// Where m4 would stop.
    pub fn of_mc(text: &[u8]) -> Result<Self, M4Error> {
        // As cf.m4 has it for every system.
        let mut macros = Macros::of(text, &[("MAIL_SETTINGS_DIR", "/etc/mail/")])?;
        let mut config = Self::default();
        for setting in Setting::ALL {
            if let Some((value, line)) = macros.value(setting.names()[0])? {
                config.set(setting, &value, line);
            }
        }
        Ok(config)
    }

    /// Reads a sendmail.cf. Of two lines that set the same, the last one counts.
    #[must_use]
    pub fn of_cf(text: &[u8]) -> Self {
        let mut config = Self::default();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let Some(option) = line.strip_prefix(b"O") else {
                continue;
            };
            let option = option
                .split(|byte| *byte == b'#')
                .next()
                .unwrap_or_default();
            let (name, value) = match option.iter().position(|byte| *byte == b'=') {
                Some(at) => (&option[..at], &option[at + 1..]),
                None => (option, &[][..]),
            };
            let is_meant = |setting: &Setting| {
                name.trim_ascii()
                    .eq_ignore_ascii_case(setting.names()[1].as_bytes())
            };
            if let Some(setting) = Setting::ALL.into_iter().find(is_meant) {
                config.set(setting, value, number + 1);
            }
        }
        config
    }

    /// What a setting is set to, `None` where it is not.
    #[must_use]
    pub fn get(&self, setting: Setting) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| *known == setting);
        found.map(|(_, value)| value)
    }

    // An empty value is none.
    fn set(&mut self, setting: Setting, value: &[u8], line: usize) {
        self.0.retain(|(known, _)| *known != setting);
        let text = value.trim_ascii().to_vec();
        if !text.is_empty() {
            self.0.push((setting, Value { text, line }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mc(text: &str, setting: Setting) -> Option<(String, usize)> {
        let config = Config::of_mc(text.as_bytes()).unwrap();
        config.get(setting).map(|value| (value.text(), value.line))
    }

    #[test]
    fn the_listing_of_the_book_has_its_paths() {
        let listing = "dnl TLS\n\
            define(`CERT_DIR', `MAIL_SETTINGS_DIR`'CA')dnl\n\
            define(`confCACERT_PATH', `CERT_DIR')dnl\n\
            define(`confCACERT', `CERT_DIR/cacert.pem')dnl\n\
            define(`confSERVER_CERT', `CERT_DIR/newcert.pem')dnl\n\
            define(`confSERVER_KEY', `CERT_DIR/private/cakey.pem')dnl\n";
        for (setting, value, line) in [
            (Setting::CaPath, "/etc/mail/CA", 3),
            (Setting::CaFile, "/etc/mail/CA/cacert.pem", 4),
            (Setting::ServerCertificate, "/etc/mail/CA/newcert.pem", 5),
            (Setting::ServerKey, "/etc/mail/CA/private/cakey.pem", 6),
        ] {
            assert_eq!(mc(listing, setting), Some((value.into(), line)));
        }
        assert_eq!(mc(listing, Setting::Crl), None);
    }

    #[test]
    fn what_another_file_decides_is_not_known() {
        for text in [
            "define(`confCRL', `CERT_DIR/crl.pem')",
            "define(`confCRL', esyscmd(`hostname'))",
            "include(`own.m4')define(`confCRL', confSERVER_KEY)",
        ] {
            assert_eq!(mc(text, Setting::Crl), None, "{text}");
        }
    }

    #[test]
    fn what_m4_would_not_read_is_refused() {
        for (text, said) in [
            (
                "a\ndefine(`confCRL', `/x)\n",
                "the string that begins in line 2 has no end",
            ),
            (
                "\n\ndefine(`a', (b)\n",
                "the list of arguments that begins in line 3 has no end",
            ),
            (
                "define(`a', `a')a",
                "the macros of line 1 expand without an end",
            ),
            (
                "define(`a', `a(a')a",
                "the macros of line 1 expand without an end",
            ),
            ("changequote([[, ]])", "line 1 changes m4's quotes"),
        ] {
            let error = Config::of_mc(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), said, "{text}");
        }
    }

    #[test]
    fn the_last_option_of_a_cf_counts() {
        let text = b"# O CRLFile=/no\nO CRLFile=/a\nO CRLFile = /b\t# why\n#O CRLFile=/c\nO ServerKeyFile=/r,/e\nO CACertFile";
        let config = Config::of_cf(text);
        let crl = config.get(Setting::Crl).unwrap();
        assert_eq!((crl.text(), crl.line), ("/b".into(), 3));
        let keys: Vec<_> = config.get(Setting::ServerKey).unwrap().files().collect();
        assert_eq!(keys, ["/r", "/e"].map(PathBuf::from));
        assert_eq!(config.get(Setting::CaFile), None);
    }
}
