//! What is done to directories: files get names and lose them.

use std::io;
use std::path::Path;

use crate::storage::backend::Onto;
use crate::storage::sim::changes::{Change, DirId, EntryEdit, InodeId};
use crate::storage::sim::model::{DirState, Inode, Model};

impl Model {
    pub(super) fn make_dir(&mut self, path: &Path) -> DirId {
        let dirs = &mut self.dirs;
        *self.paths.entry(path.to_owned()).or_insert_with(|| {
            dirs.push(DirState::default());
            dirs.len() - 1
        })
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<DirId> {
        let found = self.paths.get(path).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Removes a directory without files.
    #[cfg(feature = "tools")]
    pub(super) fn remove_empty_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.find_dir(path)?;
        if !self.dirs[dir].live.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.paths.remove(path);
        Ok(())
    }

    /// The path of a directory, unless it was removed.
    pub(super) fn path_of(&self, dir: DirId) -> Option<&Path> {
        let mut paths = self.paths.iter();
        paths
            .find(|&(_, &other)| other == dir)
            .map(|(path, _)| &**path)
    }

    pub(super) fn names(&self, dir: DirId) -> Vec<String> {
        self.dirs[dir].live.keys().cloned().collect()
    }

    pub(super) fn find(&self, dir: DirId, name: &str) -> io::Result<InodeId> {
        let entry = self.dirs[dir].live.get(name);
        entry.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, dir: DirId, name: &str) -> io::Result<InodeId> {
        if self.find(dir, name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.edit_entries(
            dir,
            EntryEdit::Create {
                name: name.into(),
                inode,
            },
        )?;
        Ok(inode)
    }

    pub(super) fn rename(
        &mut self,
        dir: DirId,
        from: &str,
        to: &str,
        onto: Onto,
    ) -> io::Result<()> {
        let inode = self.find(dir, from)?;
        let replaced = self.find(dir, to).ok();
        if onto == Onto::Nothing && replaced.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.edit_entries(
            dir,
            EntryEdit::Rename {
                from: from.into(),
                to: to.into(),
                inode,
            },
        )?;
        replaced
            .into_iter()
            .for_each(|inode| self.note_nameless(inode));
        Ok(())
    }

    #[cfg(feature = "tools")]
    pub(super) fn link(
        &mut self,
        dir: DirId,
        name: &str,
        folder: DirId,
        second: &str,
    ) -> io::Result<()> {
        let inode = self.find(dir, name)?;
        if self.find(folder, second).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name = second.into();
        self.edit_entries(folder, EntryEdit::Create { name, inode })
    }

    pub(super) fn remove(&mut self, dir: DirId, name: &str) -> io::Result<()> {
        let inode = self.find(dir, name)?;
        self.edit_entries(dir, EntryEdit::Remove { name: name.into() })?;
        self.note_nameless(inode);
        Ok(())
    }

    /// A file that has lost its last name takes no space.
    pub(super) fn note_nameless(&mut self, inode: InodeId) {
        self.inodes[inode].removed = self.links(inode) == 0;
    }

    /// How many names a file has.
    pub(super) fn links(&self, inode: InodeId) -> usize {
        let names = self.dirs.iter().flat_map(|dir| dir.live.values());
        names.filter(|&&other| other == inode).count()
    }

    pub(super) fn sync_dir(&mut self, dir: DirId) {
        let (settled, rest) = std::mem::take(&mut self.volatile).into_iter().partition(
            |change| matches!(change, Change::Entry { dir: other, .. } if *other == dir),
        );
        self.volatile = rest;
        settled
            .into_iter()
            .for_each(|change: Change| self.settle(change));
    }

    /// The effect of a failed sync of a directory: the names are visible until the power is cut,
    /// and will never be durable.
    pub(super) fn forget_names(&mut self, dir: DirId) {
        self.volatile
            .retain(|change| !matches!(change, Change::Entry { dir: other, .. } if *other == dir));
    }

    fn edit_entries(&mut self, dir: DirId, edit: EntryEdit) -> io::Result<()> {
        // No file gets a name in a directory that was removed.
        self.path_of(dir).ok_or(io::ErrorKind::NotFound)?;
        edit.apply(&mut self.dirs[dir].live);
        self.volatile.push(Change::Entry { dir, edit });
        Ok(())
    }
}
