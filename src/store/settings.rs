//! The CA's settings: openssl.cnf as `openssl ca` reads it, and a section `[ mailca ]` for what
//! OpenSSL has no name for.

use std::path::{Path, PathBuf};

use thiserror::Error;
use time::Duration;

use super::conf::{Conf, ConfError};
use super::layout::{self, Layout};
use crate::pki::key::Digest;
use crate::pki::policy::{Policy, PolicyError};
use crate::pki::profile::Profile;
use crate::sys::files::{self, FileError};

mod paths;
#[cfg(test)]
mod tests;

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// openssl.cnf cannot be read.
    #[error("{0}")]
    Conf(#[from] ConfError),
    /// There is no `[ ca ] default_ca`.
    #[error("{} names no default_ca in its section [ ca ]", .0.display())]
    NoDefaultCa(PathBuf),
    /// Without openssl.cnf, the files may be those of several layouts.
    #[error("{} has no openssl.cnf, and may be a CA with {}", .root.display(), in_words(.layouts))]
    Ambiguous {
        /// the CA directory given
        root: PathBuf,
        /// what it may be
        layouts: Vec<&'static Layout>,
    },
    /// `dir` leads elsewhere, and there is no CA beside the file either.
    #[error("{} says dir = {dir}, which leads to {}, and {} holds no CA", .file.display(), .leads_to.display(), .root.display())]
    Elsewhere {
        /// openssl.cnf
        file: PathBuf,
        /// the value of `dir`
        dir: String,
        /// that value as a path
        leads_to: PathBuf,
        /// the CA directory given
        root: PathBuf,
    },
    /// A value is not what it should be.
    #[error("{place}: {name} = {value}, but it takes {expected}")]
    BadValue {
        /// file and line
        place: String,
        /// the setting
        name: String,
        /// its value
        value: String,
        /// what it takes, in words
        expected: String,
    },
    /// `--policy` names a section that is not there.
    #[error("{} has no section [ {name} ]", .file.display())]
    NoPolicy {
        /// openssl.cnf
        file: PathBuf,
        /// the section asked for
        name: String,
    },
    /// The policy section is wrong.
    #[error("{0}")]
    Policy(#[from] PolicyError),
}

/// Where everything of a CA lies, and how it signs unless told otherwise.
#[derive(Debug)]
pub struct Settings {
    /// the CA directory
    pub root: PathBuf,
    /// `certificate`: the CA's certificate
    pub certificate: PathBuf,
    /// `private_key`: the CA's key
    pub private_key: PathBuf,
    /// `database`: the register, index.txt
    pub database: PathBuf,
    /// `serial`: the next certificate's serial number
    pub serial: PathBuf,
    /// `crlnumber`: the next CRL's number
    pub crl_number: PathBuf,
    /// `new_certs_dir`: every certificate issued, by serial
    pub new_certs_dir: PathBuf,
    /// `certs`: CA certificates trusted beside our own, and what else people keep there
    pub certs: PathBuf,
    /// `crl_dir`: the CRLs
    pub crl_dir: PathBuf,
    /// `crl`: the current CRL
    pub crl: PathBuf,
    /// `default_days`: the lifetime of a certificate
    pub default_days: u32,
    /// `default_crl_days` and `default_crl_hours`: the time until the next CRL
    pub crl_lifetime: Duration,
    /// `default_md`; `None` lets the key decide
    pub digest: Option<Digest>,
    /// `preserve`: leave subjects as they are, whatever the policy's order
    pub preserve: bool,
    /// `[ mailca ] profile`
    pub profile: Profile,
    /// `[ mailca ] crl_url`: where clients find the CRL
    pub crl_url: Option<String>,
    /// what the administrator should know about these settings, a sentence each
    pub warnings: Vec<String>,
    /// what of the file does not count for what mailca signs, a sentence each
    pub ignored: Vec<String>,
    /// the settings file, where there is one
    pub file: Option<PathBuf>,
    is_given: bool,
    layout: &'static Layout,
    conf: Conf,
    section: String,
}

const MAILCA: &str = "mailca";
const MAILCA_NAMES: [&str; 3] = ["profile", "crl_url", "policy"];

impl Settings {
    /// Reads the settings of the CA in `root`: `config`, else `root/openssl.cnf`, else the
    /// standard names. `env` answers `$ENV::NAME`.
    ///
    /// # Errors
    /// When the file cannot be read, leads elsewhere, or has values that mean nothing.
    pub fn read(
        root: &Path,
        config: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let own = root.join("openssl.cnf");
        let file = match config {
            Some(given) => Some(given.to_owned()),
            None => files::exists(&own).then_some(own),
        };
        let conf = match &file {
            Some(file) => Conf::read(file, env)?,
            None => Conf::default(),
        };
        let layout = match &file {
            Some(_) => &layout::STANDARD,
            None => Layout::of(root).map_err(|layouts| SettingsError::Ambiguous {
                root: root.to_owned(),
                layouts,
            })?,
        };
        let section = match (&file, conf.get("ca", "default_ca")) {
            (_, Some(name)) => name.to_owned(),
            (Some(file), None) => return Err(SettingsError::NoDefaultCa(file.clone())),
            (None, None) => "CA_default".to_owned(),
        };
        for used in [&*section, "ca", MAILCA, "default"] {
            conf.check_text(used)?;
        }
        let mut settings = Self {
            root: root.to_owned(),
            certificate: PathBuf::new(),
            private_key: PathBuf::new(),
            database: PathBuf::new(),
            serial: PathBuf::new(),
            crl_number: PathBuf::new(),
            new_certs_dir: PathBuf::new(),
            certs: PathBuf::new(),
            crl_dir: PathBuf::new(),
            crl: PathBuf::new(),
            default_days: 365,
            crl_lifetime: Duration::days(30),
            digest: None,
            preserve: false,
            profile: Profile::default(),
            crl_url: None,
            warnings: Vec::new(),
            ignored: Vec::new(),
            file,
            is_given: config.is_some(),
            layout,
            conf,
            section,
        };
        settings.find_paths()?;
        settings.read_values()?;
        settings.warn_of_what_is_ignored();
        Ok(settings)
    }

    /// The settings file, where it is not the one in the CA directory.
    #[must_use]
    pub fn given_file(&self) -> Option<&Path> {
        self.file.as_deref().filter(|_| self.is_given)
    }

    /// The names of other tools that count where the settings file has none.
    #[must_use]
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Where the certificate of a serial number in the register is kept: in newcerts, or where
    /// easy-rsa has moved it.
    #[must_use]
    pub fn kept_certificate(&self, serial: &str) -> PathBuf {
        let path = self.new_certs_dir.join(format!("{serial}.pem"));
        if !files::exists(&path) {
            let folder = self.root.join(layout::REVOKED);
            let moved = folder.join(format!("{serial}.crt"));
            if files::exists(&moved) {
                return moved;
            }
        }
        path
    }

    /// A file's path as the journal has it: from the root, since a directory that is moved or
    /// restored elsewhere keeps its journal; one that lies elsewhere is absolute.
    #[must_use]
    pub fn from_root(&self, path: &Path) -> PathBuf {
        // openssl.cnf may name the same place in another way than the command line.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = absolute(path);
        let below = path.strip_prefix(absolute(&self.root)).map(Path::to_owned);
        below.unwrap_or(path)
    }

    /// Where a file of the CA lies in another directory that is laid out as this one, from its root:
    /// as here, or by its name alone where it is not below the root.
    #[must_use]
    pub fn elsewhere(&self, path: &Path) -> PathBuf {
        let path = self.from_root(path);
        if path.is_relative() {
            return path;
        }
        path.file_name().unwrap_or_default().into()
    }

    fn read_values(&mut self) -> Result<(), SettingsError> {
        if let Some(days) = self.get("default_days") {
            self.default_days = days
                .parse()
                .ok()
                .filter(|days| *days > 0)
                .ok_or_else(|| self.bad(&self.section, "default_days", "a number of days"))?;
        }
        let count = |name: &str| match self.get(name) {
            Some(value) => match value.parse::<u32>() {
                Ok(number) => Ok(i64::from(number)),
                Err(_) => Err(self.bad(&self.section, name, "a whole number")),
            },
            None => Ok(0),
        };
        let crl_lifetime = Duration::days(count("default_crl_days")?)
            + Duration::hours(count("default_crl_hours")?);
        if crl_lifetime.is_positive() {
            self.crl_lifetime = crl_lifetime;
        }
        // `openssl ca` reads this one from [ ca ] alone, and counts a y as yes.
        self.preserve = says_y(self.conf.get("ca", "preserve"));
        match self
            .get("default_md")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("default" | "null") => {}
            Some("sha256") => self.digest = Some(Digest::Sha256),
            Some("sha384") => self.digest = Some(Digest::Sha384),
            Some("sha512") => self.digest = Some(Digest::Sha512),
            Some(other) => {
                let place = self.place(&self.section, "default_md");
                self.ignored.push(format!(
                    "{place}: default_md = {other} is not used: mailca signs with sha256, sha384 or sha512"
                ));
            }
        }
        if let Some(name) = self.conf.get(MAILCA, "profile") {
            self.profile = name
                .parse()
                .map_err(|_| self.bad(MAILCA, "profile", "relay, server or client"))?;
        }
        self.crl_url = self.conf.get(MAILCA, "crl_url").map(str::to_owned);
        Ok(())
    }

    fn warn_of_what_is_ignored(&mut self) {
        let mut ignored = Vec::new();
        let mut ignore = |name: &str, unless: &dyn Fn(&str) -> bool, instead: &str| {
            if let Some(value) = self.get(name).filter(|value| !unless(value)) {
                let place = self.place(&self.section, name);
                ignored.push(format!("{place}: {name} = {value} is not used: {instead}"));
            }
        };
        ignore(
            "copy_extensions",
            &|value| value == "none",
            "mailca copies the SubjectAltName of a request and nothing else",
        );
        ignore(
            "rand_serial",
            &|value| !is_yes(value),
            "mailca counts on from the file serial",
        );
        ignore(
            "email_in_dn",
            &|value| value != "no",
            "mailca leaves e-mail addresses in the subject",
        );
        ignore(
            "preserve",
            &|value| self.section == "ca" || !says_y(Some(value)),
            "openssl ca reads it in section [ ca ] only, and so does mailca",
        );
        ignore("default_startdate", &|_| false, "give --not-before");
        ignore("default_enddate", &|_| false, "give --not-after or --days");
        // The section that `init` writes says the same as the profiles do.
        ignore(
            "x509_extensions",
            &|value| value == "mailca_relay",
            "mailca's profiles (relay, server, client) decide the extensions",
        );
        if says_y(self.conf.get("ca", "msie_hack")) {
            let place = self.place("ca", "msie_hack");
            ignored.push(format!(
                "{place}: msie_hack is not used: mailca writes what RFC 5280 says"
            ));
        }
        for entry in self
            .conf
            .section(MAILCA)
            .into_iter()
            .flat_map(super::conf::Section::entries)
        {
            if !MAILCA_NAMES.contains(&entry.name.as_str()) {
                ignored.push(format!(
                    "{}: [ mailca ] has no setting {}",
                    entry.origin, entry.name
                ));
            }
        }
        for skipped in self.conf.skipped() {
            ignored.push(format!(
                "{}: there is no {} to include",
                skipped.origin,
                skipped.path.display()
            ));
        }
        self.ignored.extend(ignored);
    }

    /// The policy to sign under: the section `asked` for, else `[ mailca ] policy`, else
    /// policy_anything. The second value is the file's own `policy`, where that is stricter than
    /// what is used.
    ///
    /// # Errors
    /// When the section is missing or wrong.
    pub fn policy(&self, asked: Option<&str>) -> Result<(Policy, Option<String>), SettingsError> {
        let chosen = asked.or_else(|| self.conf.get(MAILCA, "policy"));
        if let Some(name) = chosen {
            return Ok((self.policy_section(name)?, None));
        }
        let stricter = self
            .get("policy")
            .filter(|name| {
                self.policy_section(name)
                    .is_ok_and(|policy| policy.demands_match())
            })
            .map(str::to_owned);
        Ok((self.policy_section("policy_anything")?, stricter))
    }

    fn policy_section(&self, name: &str) -> Result<Policy, SettingsError> {
        match self.conf.section(name) {
            Some(section) => {
                self.conf.check_text(name)?;
                let lines = section
                    .entries()
                    .map(|e| (e.name.as_str(), e.value.as_str()));
                Ok(Policy::new(name, lines)?)
            }
            None if name == "policy_anything" => Ok(Policy::anything()),
            None => Err(SettingsError::NoPolicy {
                file: self
                    .file
                    .clone()
                    .unwrap_or_else(|| self.root.join("openssl.cnf")),
                name: name.into(),
            }),
        }
    }

    /// Whether the register may hold only one valid certificate for a subject: index.txt.attr
    /// first, then openssl.cnf, then the default of whoever made the directory.
    ///
    /// # Errors
    /// When index.txt.attr cannot be read.
    pub fn unique_subject(&self) -> Result<bool, SettingsError> {
        let attributes = super::with_suffix(&self.database, ".attr");
        let own = if files::exists(&attributes) {
            let read = Conf::read(&attributes, &|_| None)?;
            read.get("default", "unique_subject").map(str::to_owned)
        } else {
            None
        };
        let value = own.or_else(|| self.get("unique_subject").map(str::to_owned));
        Ok(value.map_or(self.layout.unique_subject, |value| is_yes(&value)))
    }

    /// Whether `openssl ca` takes random serial numbers (`rand_serial`), and needs no file.
    #[must_use]
    pub fn has_random_serials(&self) -> bool {
        self.get("rand_serial").is_some_and(is_yes)
    }

    /// Whether openssl.cnf names the file with the next CRL's number, without which `openssl ca`
    /// makes CRLs that have none.
    #[must_use]
    pub fn has_crl_number(&self) -> bool {
        self.get("crlnumber").is_some()
    }

    /// The current CRL in DER, beside [`Settings::crl`].
    #[must_use]
    pub fn crl_der(&self) -> PathBuf {
        if self.crl.extension().is_some_and(|it| it == "der") {
            return super::with_suffix(&self.crl, ".der");
        }
        self.crl.with_extension("der")
    }

    /// The directories that signing and renewing writes to: the CA directory, and those that
    /// openssl.cnf and links in it lead to, by their real names.
    ///
    /// # Errors
    /// When there is no CA directory.
    pub fn written_directories(&self) -> Result<Vec<PathBuf>, FileError> {
        let root = self.root.canonicalize();
        let root = root.map_err(|error| FileError::new("read", &self.root, error))?;
        let hosts = self.root.join("hosts");
        let mut found = vec![root];
        for folder in [&hosts, &self.new_certs_dir, &self.crl_dir] {
            found.extend(folder.canonicalize());
        }
        let crl_der = self.crl_der();
        for file in [
            &self.database,
            &self.serial,
            &self.crl_number,
            &self.crl,
            &crl_der,
        ] {
            // Where the file is a link, what is new is written beside its target.
            let target = file.canonicalize();
            let beside = target.as_deref().map(super::parent);
            found.extend(beside.map(Path::to_owned));
            found.extend(super::parent(file).canonicalize());
        }
        found.sort();
        // What lies in another of them follows it.
        found.dedup_by(|next, kept| next.starts_with(kept));
        Ok(found)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.conf.get(&self.section, name)
    }

    fn place(&self, section: &str, name: &str) -> String {
        self.conf
            .origin(section, name)
            .map_or_else(|| "openssl.cnf".into(), ToString::to_string)
    }

    fn bad(&self, section: &str, name: &str, expected: &str) -> SettingsError {
        SettingsError::BadValue {
            place: self.place(section, name),
            name: name.into(),
            value: self.conf.get(section, name).unwrap_or_default().into(),
            expected: expected.into(),
        }
    }
}

// As OpenSSL's parse_yesno: the first letter decides, and what is neither is yes.
fn is_yes(value: &str) -> bool {
    !matches!(value.chars().next(), Some('f' | 'F' | 'n' | 'N' | '0'))
}

fn says_y(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.starts_with(['y', 'Y']))
}

fn in_words(layouts: &[&Layout]) -> String {
    let one = |it: &&Layout| {
        let Layout {
            certificate,
            private_key,
            new_certs_dir,
            ..
        } = it;
        format!("{certificate}, {private_key} and {new_certs_dir}")
    };
    layouts
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(", or with ")
}
