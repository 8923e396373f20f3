//! A disk for tests: one that is full or broken, one that forgets what was not synced, and one
//! where somebody else changes things meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happens to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The system refuses it with this error number.
    Error(i32),
    /// The process dies before it.
    Death,
    /// The process dies in the middle of what it writes.
    TornDeath,
}

/// A directory on a disk that a test controls, as long as this lives.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    state: Mutex<State>,
}

/// What somebody else does just before the change with this number, at this path.
type Deed = dyn FnMut(usize, &Path) + Send;
struct Meanwhile(Box<Deed>);

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[derive(Debug, Default)]
struct State {
    changes: Vec<String>,
    fault: Option<(usize, Fault)>,
    is_dead: bool,
    /// whether the trees below are kept
    remembers: bool,
    /// the directory at the last sync of all, and then before each change
    trees: Vec<Tree>,
    /// the files of the first tree, open, so that none of their numbers is given to a new file
    held: Vec<File>,
    /// files synced since, by themselves
    synced: HashMap<PathBuf, Vec<u8>>,
    meanwhile: Option<Meanwhile>,
}

static DISKS: Mutex<Vec<Arc<Disk>>> = Mutex::new(Vec::new());

/// Puts a disk under `root` at which the change with the number `fault.0` goes wrong. With
/// `remembers`, power can be lost later.
pub fn install(root: &Path, fault: Option<(usize, Fault)>, remembers: bool) -> Installed {
    let disk = Arc::new(Disk {
        root: root.to_owned(),
        state: Mutex::new(State {
            fault,
            remembers,
            ..State::default()
        }),
    });
    if remembers {
        let tree = Tree::read(root);
        let mut state = disk.state();
        state.held = tree.open(root);
        state.trees.push(tree);
    }
    disks().push(Arc::clone(&disk));
    Installed(disk)
}

/// Takes the disk away when it is dropped.
pub struct Installed(Arc<Disk>);

impl Drop for Installed {
    fn drop(&mut self) {
        disks().retain(|disk| !Arc::ptr_eq(disk, &self.0));
    }
}

impl Installed {
    /// The changes asked for so far, in words.
    pub fn changes(&self) -> Vec<String> {
        self.0.state().changes.clone()
    }

    /// Has somebody do something before each change.
    pub fn meanwhile(&self, other: impl FnMut(usize, &Path) + Send + 'static) {
        self.0.state().meanwhile = Some(Meanwhile(Box::new(other)));
    }

    /// Makes the directory what a machine finds there after its power failed: what was synced,
    /// some of the changes since in their order, and of what was written since, some of the bytes.
    pub fn lose_power(&self, seed: u64) {
        let mut state = self.0.state();
        state.is_dead = true;
        state.trees.push(Tree::read(&self.0.root));
        let mut dice = Dice(seed);
        let files = state.trees[0].0.values().filter_map(|node| match node {
            Node::File(file) => Some((file.number, file.bytes.clone())),
            _ => None,
        });
        let durable: HashMap<u64, Vec<u8>> = files.collect();
        let mut left = state.trees[dice.below(state.trees.len())].clone();
        for (path, node) in &mut left.0 {
            let Node::File(file) = node else {
                continue;
            };
            let synced = state.synced.get(path);
            match (synced, durable.get(&file.number)) {
                (Some(synced), _) => file.bytes.clone_from(synced),
                (None, Some(before)) if *before == file.bytes => {}
                (None, before) => {
                    let before = before.map_or(&[][..], Vec::as_slice);
                    file.bytes = dice.torn(before, &file.bytes);
                }
            }
        }
        left.write(&self.0.root);
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allowed(&self, change: &'static str, path: &Path, bytes: usize) -> io::Result<usize> {
        let dead = || io::Error::other("the process is dead");
        let mut state = self.state();
        if state.is_dead {
            return Err(dead());
        }
        let number = state.changes.len();
        let name = path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        state.changes.push(format!("{change} {}", name.display()));
        if let Some(Meanwhile(other)) = &mut state.meanwhile {
            other(number, path);
        }
        let fault = state.fault.filter(|(at, _)| *at == number);
        match fault.map(|(_, fault)| fault) {
            Some(Fault::Error(number)) => return Err(io::Error::from_raw_os_error(number)),
            Some(Fault::TornDeath) if bytes > 1 => {
                state.is_dead = true;
                return Ok(bytes / 2);
            }
            Some(Fault::Death | Fault::TornDeath) => {
                state.is_dead = true;
                return Err(dead());
            }
            None => {}
        }
        if state.remembers {
            let tree = Tree::read(&self.root);
            match change {
                "syncfs" => {
                    state.trees.clear();
                    state.synced.clear();
                    state.held = tree.open(&self.root);
                }
                "sync" => {
                    let content = fs::read(path).unwrap_or_default();
                    state.synced.insert(name, content);
                }
                _ => {}
            }
            state.trees.push(tree);
        }
        Ok(bytes)
    }
}

/// How much of a change may happen.
pub(super) fn allowed(change: &'static str, path: &Path, bytes: usize) -> io::Result<usize> {
    let found = disks()
        .iter()
        .find(|disk| path.starts_with(&disk.root))
        .cloned();
    match found {
        Some(disk) => disk.allowed(change, path, bytes),
        None => Ok(bytes),
    }
}

fn disks() -> MutexGuard<'static, Vec<Arc<Disk>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory and all below it, in memory.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<PathBuf, Node>);

#[derive(Clone, Debug)]
enum Node {
    Directory(u32),
    File(Content),
    Link(PathBuf),
}

#[derive(Clone, Debug)]
struct Content {
    bytes: Vec<u8>,
    mode: u32,
    /// which file it is, whatever its name
    number: u64,
}

impl Tree {
    /// Reads what is below `root`.
    pub fn read(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.add(root, Path::new(""));
        tree
    }

    fn add(&mut self, root: &Path, folder: &Path) {
        let Ok(entries) = fs::read_dir(root.join(folder)) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = folder.join(entry.file_name());
            let metadata = path.symlink_metadata().unwrap();
            let mode = metadata.permissions().mode();
            if metadata.is_dir() {
                self.0.insert(name.clone(), Node::Directory(mode));
                self.add(root, &name);
            } else if metadata.is_symlink() {
                let target = fs::read_link(path).unwrap();
                self.0.insert(name, Node::Link(target));
            } else {
                let bytes = fs::read(path).unwrap_or_default();
                let number = metadata.ino();
                let file = Content {
                    bytes,
                    mode,
                    number,
                };
                self.0.insert(name, Node::File(file));
            }
        }
    }

    fn open(&self, root: &Path) -> Vec<File> {
        let paths = self.0.keys().map(|name| root.join(name));
        paths.filter_map(|path| File::open(path).ok()).collect()
    }

    /// Makes `root` exactly this.
    pub fn write(&self, root: &Path) {
        for entry in fs::read_dir(root).unwrap().flatten() {
            let path = entry.path();
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        for (name, node) in &self.0 {
            let path = root.join(name);
            let mode = match node {
                Node::Directory(mode) => {
                    fs::create_dir(&path).unwrap();
                    mode
                }
                Node::File(file) => {
                    fs::write(&path, &file.bytes).unwrap();
                    &file.mode
                }
                Node::Link(target) => {
                    symlink(target, &path).unwrap();
                    continue;
                }
            };
            fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
        }
    }
}

/// Numbers that look random, the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
    /// What was written over `before`, where each sector of the disk has the old or the new bytes.
    fn torn(&mut self, before: &[u8], after: &[u8]) -> Vec<u8> {
        let mut bytes = after.to_vec();
        if self.below(2) == 0 {
            bytes.truncate(before.len());
        }
        for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
            if self.below(2) == 0 {
                continue;
            }
            let old = before.get(number * SECTOR..).unwrap_or_default();
            for (position, byte) in sector.iter_mut().enumerate() {
                *byte = old.get(position).copied().unwrap_or(0);
            }
        }
        bytes
    }
}

const SECTOR: usize = 512;
