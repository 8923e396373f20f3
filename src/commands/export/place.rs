//! The directory that files are exported to, and what is there already.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::ExportRefusal;
use crate::pki::certificate::Certificate;
use crate::pki::key::{EncodedKey, PrivateKey};
use crate::store::Store;
use crate::store::hosts::{CERT, CHAIN, HostError, KEY};
use crate::store::package::Packaged;
use crate::sys::access::{Access as Way, Entry};
use crate::sys::files;
use crate::sys::tree::{self, Access};

/// Refuses a directory that is no place for the files of this CA: its own, another CA's, or one into
/// which others can put things.
pub fn check(dir: &Path, host: &str, store: &Store) -> Result<()> {
    let nearest = dir.ancestors().find(|part| part.exists());
    let nearest = match nearest {
        Some(part) if part != Path::new("") => part,
        _ => Path::new("."),
    };
    if !nearest.is_dir() {
        bail!(ExportRefusal::NoDirectory(nearest.to_owned()));
    }
    let real = nearest.canonicalize();
    let ca = store.settings.root.canonicalize();
    if let (Ok(real), Ok(ca)) = (&real, ca)
        && real.starts_with(&ca)
    {
        bail!(ExportRefusal::InCa {
            dir: dir.to_owned(),
            ca,
        });
    }
    let path = dir.join(store.settings.elsewhere(&store.trusted_path()?));
    if let Some(bytes) = files::read_if_there(&path)?
        && let Ok(found) = Certificate::from_pem_or_der(&bytes)
        && found.subject != store.certificate.subject
    {
        bail!(ExportRefusal::OtherCa {
            path,
            there: found.subject.to_string(),
            own: store.certificate.subject.to_string(),
        });
    }
    let way = Way::of(nearest)?;
    let is_open =
        |entry: &Entry, sticky: u32| entry.mode & 0o022 != 0 && entry.mode & 0o1000 & sticky == 0;
    // In /tmp nobody moves what is another's, but anybody can put something there.
    let sticky = if nearest == dir { 0 } else { 0o1000 };
    if is_open(&way.file, sticky) {
        bail!(ExportRefusal::Writable(way.file));
    }
    if let Some(open) = way.folders.into_iter().find(|it| is_open(it, 0o1000)) {
        bail!(ExportRefusal::Writable(open));
    }
    let (own, _) = super::owner::own();
    let hosts = dir.join("hosts");
    for inside in [dir.to_owned(), hosts.clone(), hosts.join(host)] {
        let Ok(entry) = Entry::of(&inside) else {
            continue;
        };
        if is_open(&entry, 0) {
            bail!(ExportRefusal::Writable(entry));
        }
        if entry.user != 0 && entry.user != own {
            bail!(ExportRefusal::Foreign(entry));
        }
    }
    Ok(())
}

/// A private key that is there, and who may read it.
pub struct KeyThere {
    pub path: PathBuf,
    pub key: PrivateKey,
    pub access: Access,
}

/// The key in the folder to which hosts/HOST leads, if that is one of ours.
pub fn key_there(dir: &Path, host: &str) -> Result<Option<KeyThere>> {
    let hosts = dir.join("hosts");
    let Ok(folder) = fs::read_link(hosts.join(host)) else {
        return Ok(None);
    };
    if folder.components().count() != 1 || !is_of_host(&folder.to_string_lossy(), host) {
        return Ok(None);
    }
    let path = hosts.join(folder).join(KEY);
    let access = match path.symlink_metadata() {
        Ok(there) if there.is_file() && there.nlink() == 1 => Access {
            user: there.uid(),
            group: there.gid(),
            mode: there.mode() & 0o640,
        },
        _ => return Ok(None),
    };
    Ok(read_key(&path)?.map(|key| KeyThere { path, key, access }))
}

fn read_key(path: &Path) -> Result<Option<PrivateKey>, HostError> {
    let failed = |source| HostError::Key {
        path: path.to_owned(),
        source,
    };
    let Some(bytes) = files::read_if_there(path)? else {
        return Ok(None);
    };
    let found = EncodedKey::find(&bytes).map_err(failed)?;
    let encoded = found.ok_or_else(|| HostError::NoKey(path.to_owned()))?;
    encoded.unlock(None).map(Some).map_err(failed)
}

// mail.example.com.de is another host, whose name is in small letters.
fn is_of_host(name: &str, host: &str) -> bool {
    let serial = name
        .strip_prefix(host)
        .and_then(|rest| rest.strip_prefix('.'));
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    serial.is_some_and(|serial| serial.bytes().all(is_digit))
}

/// Removes the folders of former certificates, so that old keys do not pile up. One whose key is
/// nowhere else stays.
pub fn remove_former(dir: &Path, packaged: &Packaged<'_>, store: &Store) -> Result<Vec<PathBuf>> {
    let own = packaged.folder();
    let mut removed = Vec::new();
    let mut names = tree::names_in(dir, Path::new("hosts"))?;
    names.sort();
    for name in names {
        let path = Path::new("hosts").join(&name);
        let there = dir.join(&path);
        let is_folder = there.symlink_metadata().is_ok_and(|it| it.is_dir());
        if name == own || !is_of_host(&name, packaged.host) || !is_folder {
            continue;
        }
        let is_ours = |name: &String| {
            let name = name.strip_prefix('.').unwrap_or(name);
            [CERT, CHAIN, KEY].contains(&name.strip_suffix(".mailca").unwrap_or(name))
        };
        if tree::names_in(dir, &path)?.iter().all(is_ours)
            && is_elsewhere(&there.join(KEY), &name, packaged, store)
        {
            tree::remove(dir, &path, &[CERT, CHAIN, KEY])?;
            removed.push(path);
        }
    }
    Ok(removed)
}

// Whether a key that is about to go is the one that was just brought, or one that the CA keeps.
fn is_elsewhere(key: &Path, folder: &str, packaged: &Packaged<'_>, store: &Store) -> bool {
    let old = match read_key(key) {
        Ok(Some(old)) => old,
        Ok(None) => return true,
        Err(_) => return false,
    };
    let is_it = |key: &PrivateKey| key.subject_public_key_info() == old.subject_public_key_info();
    let kept = store.hosts.root().join(folder).join(KEY);
    packaged.key.is_some_and(|(key, _)| is_it(key))
        || read_key(&kept).is_ok_and(|kept| kept.is_some_and(|key| is_it(&key)))
}
