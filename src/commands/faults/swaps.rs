//! Root works in the directory of another user, who puts links to root's own files in the place of
//! whatever is about to be changed: what root gives to that user is nothing of root's.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use super::{NOW, Place, damaged, tell};
use crate::sys::disk::faults::{self, Tree};

const SOMEBODY: u32 = 65534;
const SECRET: &[u8] = b"secret\nsecret\n";

/// What becomes a link.
#[derive(Clone, Copy, Debug)]
enum Swapped {
    Entry,
    Folder,
}

/// A link in the place of something.
struct Swap {
    place: PathBuf,
    aside: PathBuf,
}

impl Swap {
    fn of(place: &Path, target: &Path) -> Self {
        let mut aside = OsString::from(place);
        aside.push(".aside");
        let swap = Self {
            place: place.to_owned(),
            aside: aside.into(),
        };
        let _ = fs::rename(place, &swap.aside);
        let _ = symlink(target, place);
        swap
    }

    fn undo(&self) {
        if self.place.is_symlink() {
            let _ = fs::remove_file(&self.place);
            let _ = fs::rename(&self.aside, &self.place);
        }
    }
}

/// Something like /etc, with a file of each name that `folder` has.
fn make_victim(victim: &Path, folder: &Path) {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name());
    for name in names.chain(["shadow".into()]) {
        let path = victim.join(name);
        if fs::write(&path, SECRET).is_ok() {
            let _ = fs::set_permissions(path, Permissions::from_mode(0o600));
        }
    }
}

/// What of root's is not as it was.
fn given_away(folder: &Path) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let metadata = entry.path().symlink_metadata().unwrap();
        let was_here = metadata.is_file() && fs::read(entry.path()).unwrap() == SECRET;
        if metadata.uid() != 0 || (was_here && metadata.mode() & 0o777 != 0o600) {
            let name = entry.path();
            let (owner, mode) = (metadata.uid(), metadata.mode());
            let _ = write!(found, "{} belongs to {owner}, {mode:o}; ", name.display());
        }
        if metadata.is_dir() {
            found += &given_away(&entry.path());
        }
    }
    found
}

/// What somebody can read now, and could not.
fn disclosed(folder: &Path) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            found += &disclosed(&path);
        }
        let is_readable = metadata.uid() != 0 || metadata.mode() & 0o044 != 0;
        if metadata.is_file() && is_readable {
            let bytes = fs::read(&path).unwrap();
            if bytes.windows(6).any(|part| part == b"secret") {
                let _ = write!(found, "{} tells the secret; ", path.display());
            }
        }
    }
    found
}

fn give_to_somebody(path: &Path) {
    lchown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap().flatten() {
            give_to_somebody(&entry.path());
        }
    }
}

/// Somebody's CA with a host, a request that waits, and a request with a certificate beside it.
fn prepared() -> Place {
    let place = Place::new();
    let init = ["init", "--subject", "/O=Example/CN=CA", "--no-passphrase"];
    place.must(NOW, &init);
    place.must(NOW, &["issue", "mail.example.com"]);
    place.must(NOW, &["req", "a.example.com", "--out-dir", "%/out"]);
    let out = ["--out", "%/out/a.pem"];
    place.must(
        NOW,
        &[&["sign", "%/out/a.example.com.csr"], &out[..]].concat(),
    );
    fs::create_dir_all(place.path("NEW/private")).unwrap();
    place
}

fn keeps_what_is_root_s(words: &[&str]) {
    keeps_in(&prepared(), words);
}

fn keeps_in(template: &Place, words: &[&str]) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let template = Tree::read(template.0.path());
    let mut tried = 0;
    let mut broken = String::new();
    let mut attempt = |at: usize, swapped: Swapped, lasts: usize| {
        let place = Place::new();
        template.write(place.0.path());
        give_to_somebody(place.0.path());
        let victim = tempfile::tempdir().unwrap();
        let (root, target) = (place.0.path().to_owned(), victim.path().to_owned());
        let disk = faults::install(place.0.path(), None, false);
        let mut swap = None;
        disk.meanwhile(move |number, path| {
            let folder = path.parent().unwrap();
            if number == at + lasts {
                swap.as_ref().map(Swap::undo);
            }
            if number != at {
                return;
            }
            match swapped {
                Swapped::Entry if path.is_dir() => swap = Some(Swap::of(path, &target)),
                Swapped::Entry => {
                    make_victim(&target, folder);
                    swap = Some(Swap::of(path, &target.join("shadow")));
                }
                Swapped::Folder if folder == root => {}
                Swapped::Folder => {
                    make_victim(&target, folder);
                    swap = Some(Swap::of(folder, &target));
                }
            }
        });
        place.run(words);
        let changes = disk.changes();
        drop(disk);
        let lost = given_away(victim.path()) + &disclosed(place.0.path());
        if !lost.is_empty() {
            let change = changes.get(at);
            let _ = writeln!(broken, "{swapped:?} at {change:?} for {lasts}: {lost}");
        }
        tried += 1;
        changes.len()
    };
    let count = attempt(usize::MAX / 2, Swapped::Entry, 1);
    assert!(count > 10, "{count} changes");
    for at in 0..count {
        for swapped in [Swapped::Entry, Swapped::Folder] {
            for lasts in [1, 2, count] {
                attempt(at, swapped, lasts);
            }
        }
    }
    let command = words.join(" ");
    tell(&format!("{command}: {count} changes, {tried} swaps"));
    assert!(broken.is_empty(), "{command}:\n{broken}");
}

#[test]
fn init_keeps_what_is_root_s() {
    let init = ["init", "%/NEW", "--subject", "/CN=x", "--no-passphrase"];
    keeps_what_is_root_s(&init);
}

#[test]
fn req_keeps_what_is_root_s() {
    keeps_what_is_root_s(&["req", "other.example.com"]);
}

#[test]
fn issue_keeps_what_is_root_s() {
    let other = ["--san", "x.example.com", "--replace"];
    keeps_what_is_root_s(&[&["issue", "mail.example.com"], &other[..]].concat());
}

#[test]
fn revoke_keeps_what_is_root_s() {
    keeps_what_is_root_s(&["revoke", "mail.example.com"]);
}

#[test]
fn renew_keeps_what_is_root_s() {
    let new = ["--new-key", "--revoke-old"];
    keeps_what_is_root_s(&[&["renew", "mail.example.com"], &new[..]].concat());
}

#[test]
fn renew_ca_keeps_what_is_root_s() {
    keeps_what_is_root_s(&["renew-ca"]);
}

#[test]
fn renew_ca_with_a_new_key_keeps_what_is_root_s() {
    keeps_what_is_root_s(&["renew-ca", "--new-key", "--no-passphrase"]);
}

#[test]
fn sign_to_a_file_keeps_what_is_root_s() {
    let out = ["--out", "%/out/a.pem"];
    keeps_what_is_root_s(&[&["sign", "%/out/a.example.com.csr"], &out[..]].concat());
}

#[test]
fn repair_keeps_what_is_root_s() {
    keeps_in(&damaged().0, &["repair", "--assume-valid"]);
}
