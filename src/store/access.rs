//! Whose the files of a CA directory are, and what others may do with them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::hosts::{CERT, CHAIN, KEY};
use super::{Store, journal_path, parent, with_suffix};
use crate::pki::pem_text;
use crate::sys::access::{self, Entry};
use crate::sys::files::{self, FileError};

/// What others can do with a file or directory, and should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looseness {
    /// the CA's key is not its owner's alone
    CaKey,
    /// the directory of the CA's key is not
    PrivateFolder,
    /// others can read a host's key, or more than its owner can write it
    HostKey,
    /// others than its owner can change it
    Writable,
}

/// A file or directory with the wrong mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loose {
    /// the file or directory
    pub path: PathBuf,
    /// what is wrong
    pub kind: Looseness,
    /// its permission bits
    pub mode: u32,
    /// those that it should have
    pub wanted: u32,
    /// whether it lies in the CA directory, also by its real name
    pub is_inside: bool,
}

const OTHERS: u32 = 0o077;
const WRITERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

impl Store {
    /// What in this CA directory, or named by its settings, has a mode that gives others too much.
    /// What nobody here may look at is left out.
    #[must_use]
    pub fn loose_files(&self) -> Vec<Loose> {
        let root = fs::canonicalize(&self.settings.root);
        let root = root.unwrap_or_else(|_| self.settings.root.clone());
        let mut found = Vec::new();
        let mut known = HashSet::new();
        let mut judge = |kind, path: PathBuf, unwanted: u32, wanted: Option<u32>| {
            let Ok(Entry { mode, .. }) = Entry::of(&path) else {
                return;
            };
            if mode & unwanted != 0 && known.insert(path.clone()) {
                let real = fs::canonicalize(&path);
                found.push(Loose {
                    is_inside: real.is_ok_and(|real| real.starts_with(&root)),
                    path,
                    kind,
                    mode,
                    wanted: mode & wanted.unwrap_or(!unwanted),
                });
            }
        };
        let settings = &self.settings;
        if !access::is_same(&settings.private_key, &settings.certificate) {
            let key = settings.private_key.clone();
            judge(Looseness::CaKey, key, OTHERS, Some(0o600));
        }
        let folder = self.private_folder();
        if let Some(folder) = folder {
            judge(Looseness::PrivateFolder, folder.into(), OTHERS, Some(0o700));
        }
        // The group of a mail server's user is meant to read, and not that of the whole directory.
        let group = Entry::of(&self.settings.root).map(|root| root.group).ok();
        for path in self.keys_of_hosts() {
            let is_common = Entry::of(&path).is_ok_and(|key| Some(key.group) == group);
            let wanted = is_common.then_some(0o600);
            judge(Looseness::HostKey, path, OTHERS & !0o050, wanted);
        }
        for path in self.files_that_others_must_not_write() {
            judge(Looseness::Writable, path, WRITERS, None);
        }
        found
    }

    /// The directories above this one that others can write to, with what is in them: whoever can,
    /// can put another CA in its place. One with the sticky bit, as /tmp, is left out.
    #[must_use]
    pub fn loose_folders_above(&self) -> Vec<Entry> {
        let root = fs::canonicalize(&self.settings.root).unwrap_or_default();
        let above = root
            .ancestors()
            .skip(1)
            .filter_map(|path| Entry::of(path).ok());
        above
            .filter(|folder| folder.mode & WRITERS != 0 && folder.mode & STICKY == 0)
            .collect()
    }

    /// The CA directory, and what in it belongs to somebody else.
    ///
    /// # Errors
    /// When the directory is not there any more.
    pub fn foreign_files(&self) -> Result<(Entry, Vec<Entry>), FileError> {
        let root = Entry::of(&self.settings.root)?;
        let register = &self.settings.database;
        let mut paths = self.own_files();
        paths.push(self.settings.private_key.clone());
        paths.push(with_suffix(register, ".lock"));
        paths.push(with_suffix(register, ".compromised"));
        paths.extend(self.private_folder().map(Path::to_owned));
        // The daemon's user may have the CA certificate: renew-ca puts another in its place.
        paths.retain(|path| {
            path.starts_with(&self.settings.root) && *path != self.settings.certificate
        });
        let found = paths.iter().filter_map(|path| Entry::of(path).ok());
        let foreign = found.filter(|entry| entry.user != root.user).collect();
        Ok((root, foreign))
    }

    /// The mode of the CA certificate's file, if that holds a private key too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn mode_of_certificate_with_key(&self) -> Result<Option<u32>, FileError> {
        let path = &self.settings.certificate;
        let bytes = files::read(path)?;
        let mut blocks = pem_text::texts(&bytes);
        if blocks.any(|(label, _)| label.ends_with("PRIVATE KEY")) {
            return files::mode(path).map(Some);
        }
        Ok(None)
    }

    // One that is the CA directory itself, or above it, is there for more than the key.
    fn private_folder(&self) -> Option<&Path> {
        let folder = parent(&self.settings.private_key);
        let real = |path: &Path| fs::canonicalize(path).ok();
        let is_above = real(&self.settings.root)?.starts_with(real(folder)?);
        let has_more = access::is_same(folder, parent(&self.settings.certificate));
        (!is_above && !has_more).then_some(folder)
    }

    fn own_files(&self) -> Vec<PathBuf> {
        let settings = &self.settings;
        let paths = [
            &settings.database,
            &settings.serial,
            &settings.crl_number,
            &settings.new_certs_dir,
            &settings.certs,
            &settings.crl_dir,
            &settings.crl,
            &settings.certificate,
        ];
        let mut all: Vec<PathBuf> = paths.into_iter().cloned().collect();
        all.push(with_suffix(&settings.database, ".attr"));
        all.push(journal_path(settings));
        all.push(settings.root.join("openssl.cnf"));
        all.push(self.hosts.root().to_owned());
        all
    }

    fn files_that_others_must_not_write(&self) -> Vec<PathBuf> {
        let mut all = vec![self.settings.root.clone()];
        all.extend(self.own_files());
        all.extend(entries_in(&self.settings.new_certs_dir));
        for folder in self.folders_of_hosts() {
            let names = [CERT, CHAIN, KEY].map(|name| folder.join(name));
            all.push(folder);
            all.extend(names);
        }
        all
    }

    // The book's newreq.pem has a host's key in it.
    fn keys_of_hosts(&self) -> Vec<PathBuf> {
        let folders = self.folders_of_hosts().into_iter();
        let mut keys: Vec<_> = folders.map(|folder| folder.join(KEY)).collect();
        let request = self.request_path();
        let has_key = files::read(&request).is_ok_and(|bytes| {
            pem_text::texts(&bytes).any(|(label, _)| label.ends_with("PRIVATE KEY"))
        });
        keys.extend(has_key.then_some(request));
        keys
    }

    fn folders_of_hosts(&self) -> Vec<PathBuf> {
        let mut folders = entries_in(self.hosts.root());
        folders.retain(|path| !path.is_symlink() && path.is_dir());
        folders.sort();
        folders
    }
}

fn entries_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
