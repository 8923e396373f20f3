//! What a directory holds, to see whether anything changed in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Every file, folder and link below a directory: mode, owner, content.
#[derive(Debug, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, (String, Vec<u8>)>);

impl Tree {
    #[track_caller]
    pub fn of(root: impl AsRef<Path>) -> Self {
        let mut entries = BTreeMap::new();
        let mut waiting = vec![root.as_ref().to_owned()];
        while let Some(path) = waiting.pop() {
            let meta = fs::symlink_metadata(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let content = if meta.is_dir() {
                for entry in fs::read_dir(&path).expect("list a folder") {
                    waiting.push(entry.expect("list a folder").path());
                }
                Vec::new()
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).expect("read a link");
                target.into_os_string().into_encoded_bytes()
            } else if meta.is_file() {
                // What the user who runs the tests may not read has its mode and size at least.
                fs::read(&path).unwrap_or_else(|_| meta.len().to_string().into_bytes())
            } else {
                Vec::new()
            };
            let what = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
            entries.insert(path, (what, content));
        }
        Self(entries)
    }

    /// Panics unless the directory is as it was, and says what changed.
    #[track_caller]
    pub fn assert_unchanged(&self, root: impl AsRef<Path>, why: &str) {
        let now = Self::of(root);
        let changed = |path: &&PathBuf| self.0.get(*path) != now.0.get(*path);
        let changed: Vec<_> = self.0.keys().chain(now.0.keys()).filter(changed).collect();
        assert!(changed.is_empty(), "{why}\nchanged: {changed:#?}");
    }
}
