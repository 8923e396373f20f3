//! Where the files of a CA are: openssl.cnf names them from the directory where `openssl ca` is
//! run, and does so still when the CA has been moved.

use std::path::{Path, PathBuf};

use super::{Settings, SettingsError};
use crate::sys::files;

/// A way to read the paths of openssl.cnf.
enum Reading<'a> {
    /// from a directory: that of the file, or that of the CA
    From(&'a Path),
    /// those below `dir` as below the CA directory
    Moved(&'a str),
}

impl Settings {
    pub(super) fn find_paths(&mut self) -> Result<(), SettingsError> {
        let reading = self.reading()?;
        let layout = self.layout;
        let path = |name: &str, standard: &str| match self.get(name) {
            Some(value) => self.path(&reading, value),
            None => self.root.join(standard),
        };
        let found = (
            path("certificate", layout.certificate),
            path("private_key", layout.private_key),
            path("database", layout.database),
            path("serial", layout.serial),
            path("crlnumber", layout.crl_number),
            path("new_certs_dir", layout.new_certs_dir),
            path("crl_dir", layout.crl_dir),
            path("crl", layout.crl),
            path("certs", layout.certs),
        );
        let warning = match reading {
            Reading::From(_) => None,
            Reading::Moved(dir) => Some(format!(
                "{} says dir = {dir}, which leads to {}; the files in {} are used",
                self.file().display(),
                tidy(&self.base().join(dir)).display(),
                self.root.display()
            )),
        };
        self.warnings.extend(warning);
        self.certificate = tidy(&found.0);
        self.private_key = tidy(&found.1);
        self.database = tidy(&found.2);
        self.serial = tidy(&found.3);
        self.crl_number = tidy(&found.4);
        self.new_certs_dir = tidy(&found.5);
        self.crl_dir = tidy(&found.6);
        self.crl = tidy(&found.7);
        self.certs = tidy(&found.8);
        Ok(())
    }

    // The first reading by which there is a CA in the directory given.
    fn reading(&self) -> Result<Reading<'_>, SettingsError> {
        let base = self.base();
        let dir = self.get("dir");
        let leads_to = tidy(&base.join(dir.unwrap_or_default()));
        let is_here = dir.is_none() || is_inside(&leads_to, &self.root);
        let mut readings = Vec::new();
        if is_here {
            readings.push(Reading::From(base));
        }
        readings.push(Reading::From(&self.root));
        readings.extend(dir.map(Reading::Moved));
        let mut best = None;
        for reading in readings {
            let present = |name, standard| {
                let path = match self.get(name) {
                    Some(value) => self.path(&reading, value),
                    None => self.root.join(standard),
                };
                files::exists(&path) && (is_here || path.starts_with(&self.root))
            };
            let holds = (
                present("certificate", self.layout.certificate),
                present("private_key", self.layout.private_key)
                    || present("database", self.layout.database),
            );
            if best.as_ref().is_none_or(|(most, _)| *most < holds) {
                best = Some((holds, reading));
            }
        }
        match best {
            Some((holds, reading)) if is_here || holds != (false, false) => Ok(reading),
            _ => Err(SettingsError::Elsewhere {
                file: self.file().to_owned(),
                dir: dir.unwrap_or_default().to_owned(),
                leads_to,
                root: self.root.clone(),
            }),
        }
    }

    fn path(&self, reading: &Reading<'_>, value: &str) -> PathBuf {
        let value = Path::new(value);
        match reading {
            Reading::From(place) => place.join(value),
            Reading::Moved(dir) => match value.strip_prefix(dir) {
                Ok(rest) => self.root.join(rest),
                Err(_) => self.base().join(value),
            },
        }
    }

    // Where relative paths count from.
    fn base(&self) -> &Path {
        let file = self.file.as_deref();
        file.map_or(&*self.root, super::super::parent)
    }

    fn file(&self) -> &Path {
        self.file.as_deref().unwrap_or(&self.root)
    }
}

fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

fn is_inside(path: &Path, root: &Path) -> bool {
    match (path.canonicalize(), root.canonicalize()) {
        (Ok(path), Ok(root)) => path.starts_with(root),
        _ => false,
    }
}
