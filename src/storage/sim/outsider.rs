//! Changes that other programs make to a simulated disk without the log's knowledge.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::format::names;
use crate::storage::sim::changes::{DirId, InodeId};
use crate::storage::sim::model::{Inode, Model};
use crate::storage::sim::pages::BadPages;

impl Model {
    pub(super) fn read_file(&self, path: &Path) -> Option<Vec<u8>> {
        let inode = self.find_file(path).ok()?;
        Some(self.inodes[inode].live.clone())
    }

    fn find_file(&self, path: &Path) -> io::Result<InodeId> {
        let (dir, name) = split(path)?;
        self.find(self.find_dir(dir)?, name)
    }

    pub(super) fn make_unreadable(&mut self, path: &Path, offset: u64, is_cached: bool) -> bool {
        let (Ok(inode), Ok(offset)) = (self.find_file(path), usize::try_from(offset)) else {
            return false;
        };
        self.inodes[inode].pages.plant(offset, is_cached);
        true
    }

    pub(super) fn damage_file(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(mut bytes) = self.read_file(path) else {
            return false;
        };
        change(&mut bytes);
        self.plant_file(path, bytes);
        true
    }

    /// An existing file keeps its inode, so a handle to it sees the change, and a disk that is
    /// damaged repeatedly does not grow.
    pub(super) fn plant_file(&mut self, path: &Path, bytes: Vec<u8>) {
        let Ok((dir, name)) = split(path) else {
            return;
        };
        let dir = self.make_dir(dir);
        let inode = self.find(dir, name).unwrap_or_else(|_| {
            self.inodes.push(Inode::default());
            self.inodes.len() - 1
        });
        self.forget(inode);
        self.inodes[inode] = Inode {
            live: bytes.clone(),
            durable: bytes,
            pages: BadPages::default(),
            removed: false,
        };
        let state = &mut self.dirs[dir];
        state.live.insert(name.into(), inode);
        state.durable.insert(name.into(), inode);
    }

    pub(super) fn destroy_file(&mut self, path: &Path) -> bool {
        let Ok((dir, name)) = split(path) else {
            return false;
        };
        let Ok(dir) = self.find_dir(dir) else {
            return false;
        };
        if name == names::LOCK {
            return std::mem::take(&mut self.dirs[dir].has_lock_file);
        }
        self.destroy(dir, name)
    }

    fn destroy(&mut self, dir: DirId, name: &str) -> bool {
        // Pending changes of the name come before its removal.
        self.sync_dir(dir);
        let state = &mut self.dirs[dir];
        state.durable.remove(name);
        let Some(inode) = state.live.remove(name) else {
            return false;
        };
        self.note_nameless(inode);
        true
    }

    /// Gives a file a second name, durably, and makes its contents durable.
    pub(super) fn link_file(&mut self, path: &Path, second: &Path) -> io::Result<()> {
        let inode = self.find_file(path)?;
        let (dir, name) = split(second)?;
        let dir = self.make_dir(dir);
        self.sync(inode);
        let state = &mut self.dirs[dir];
        state.live.insert(name.into(), inode);
        state.durable.insert(name.into(), inode);
        Ok(())
    }

    /// Moves a directory, with the directories in it.
    pub(super) fn move_dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.find_dir(from)?;
        if self.find_dir(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (moved, rest) = std::mem::take(&mut self.paths)
            .into_iter()
            .partition(|(path, _): &(PathBuf, DirId)| path.starts_with(from));
        self.paths = rest;
        let moved: BTreeMap<PathBuf, DirId> = moved;
        for (path, dir) in moved {
            let below = path.strip_prefix(from).expect("it begins so");
            let path = match below.as_os_str().is_empty() {
                true => to.to_owned(),
                false => to.join(below),
            };
            self.paths.insert(path, dir);
        }
        Ok(())
    }

    /// Copies what can be read in a directory into a new one, durably.
    pub(super) fn copy_dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let files = self.dirs[self.find_dir(from)?].live.clone();
        self.make_dir(to);
        for (name, inode) in files {
            let bytes = self.inodes[inode].live.clone();
            self.plant_file(&to.join(name), bytes);
        }
        Ok(())
    }

    /// Removes a directory and everything in it.
    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.find_dir(path)?;
        for name in self.names(dir) {
            self.destroy(dir, &name);
        }
        self.dirs[dir].has_lock_file = false;
        self.paths.retain(|other, _| !other.starts_with(path));
        Ok(())
    }
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let parts = || Some((path.parent()?, path.file_name()?.to_str()?));
    parts().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
