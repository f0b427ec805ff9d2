//! What the simulated disk holds, and what becomes of it when the power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::format::{HEADER_BLOCK_LEN, names};
use crate::rng::SplitMix64;
use crate::storage::backend::Onto;
use crate::storage::sim::Operation;
use crate::storage::sim::locks::Locked;
use crate::storage::sim::mishaps::Mishaps;
use crate::storage::sim::pages::BadPages;

/// The disk's state. Everything is in here, behind one lock.
#[derive(Clone)]
pub(super) struct Model {
    /// Which life of the machine this is; handles of an earlier one are dead.
    pub(super) generation: u64,
    pub(super) operations: u64,
    /// Of all writes that were done.
    pub(super) written_bytes: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) off: bool,
    pub(super) quota: Option<u64>,
    pub(super) sync_time: Duration,
    /// Whether a file's own sync makes its name durable too.
    pub(super) keeps_names: bool,
    /// Changes that are not durable yet, oldest first.
    pub(super) volatile: Vec<Change>,
    pub(super) inodes: Vec<Inode>,
    /// Files to which records are written by an open descriptor, if no other one is to read them.
    pub(super) appended: Option<BTreeSet<InodeId>>,
    /// Which directory a path stands for; durable at once.
    pub(super) paths: BTreeMap<PathBuf, DirId>,
    pub(super) dirs: Vec<DirState>,
    /// Whether directories can be locked, and not lock files only.
    pub(super) locks_directories: bool,
    pub(super) mishaps: Mishaps,
    rng: SplitMix64,
}

/// What an operation is done to.
#[derive(Clone, Copy)]
pub(super) enum On<'a> {
    Directory,
    Name(&'a str),
    File(InodeId),
}

/// An index into the inodes of the disk. Inodes are never reused.
pub(super) type InodeId = usize;

/// An index into the directories of the disk. They are never reused either.
pub(super) type DirId = usize;

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pages: BadPages,
    pub(super) removed: bool,
}

#[derive(Clone, Default)]
pub(super) struct DirState {
    pub(super) live: BTreeMap<String, InodeId>,
    pub(super) durable: BTreeMap<String, InodeId>,
    pub(super) lock: Locked,
    /// The lock files that there were. Only the last one has the name, if any has.
    pub(super) lock_files: Vec<Locked>,
    pub(super) has_lock_file: bool,
}

/// One volatile change.
#[derive(Clone, Hash)]
pub(super) enum Change {
    Data { inode: InodeId, edit: Edit },
    Entry { dir: DirId, edit: EntryEdit },
}

/// A change to a file's bytes.
#[derive(Clone, Hash)]
pub(super) enum Edit {
    Clear { from: usize },
    Grow { len: usize },
    Write { offset: usize, bytes: Vec<u8> },
}

/// A change to a directory's entries; each is atomic.
#[derive(Clone, Hash)]
pub(super) enum EntryEdit {
    Create {
        name: String,
        inode: InodeId,
    },
    Remove {
        name: String,
    },
    Rename {
        from: String,
        to: String,
        inode: InodeId,
    },
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            generation: 0,
            operations: 0,
            written_bytes: 0,
            cut_at: None,
            off: false,
            quota: None,
            sync_time: Duration::ZERO,
            volatile: Vec::new(),
            inodes: Vec::new(),
            appended: None,
            paths: BTreeMap::new(),
            dirs: Vec::new(),
            locks_directories: true,
            mishaps: Mishaps::default(),
            keeps_names: false,
            rng: SplitMix64::new(seed),
        }
    }

    /// Counts an operation and decides its fate. `Ok(true)` means that the power goes while it is
    /// under way.
    pub(super) fn begin(
        &mut self,
        generation: u64,
        operation: Operation,
        on: On<'_>,
    ) -> io::Result<bool> {
        if self.off || generation != self.generation {
            return Err(power_is_off());
        }
        if operation.changes_the_disk() {
            self.off = self.cut_at == Some(self.operations);
            self.operations += 1;
        }
        if self.mishaps.awaits(operation) {
            let file = self.name_of(on);
            self.mishaps.fail(operation, &file)?;
        }
        Ok(self.off)
    }

    /// Checks that a segment is open for reading or for appending, never both, if that is enforced.
    pub(super) fn check_read(&self, inode: InodeId, end: usize) -> io::Result<()> {
        let is_appended = |files: &BTreeSet<InodeId>| files.contains(&inode);
        let is_shared = end > HEADER_BLOCK_LEN && self.appended.as_ref().is_some_and(is_appended);
        if is_shared && names::parse_segment(&self.name_of(On::File(inode))).is_some() {
            return Err(io::Error::other("it is read while it is appended to"));
        }
        Ok(())
    }

    /// The name that a file has now; none for a directory, and for a file that has lost its name.
    fn name_of(&self, on: On<'_>) -> String {
        match on {
            On::Directory => String::new(),
            On::Name(name) => name.to_owned(),
            On::File(inode) => {
                let mut names = self.dirs.iter().flat_map(|dir| &dir.live);
                let found = names.find(|(_, named)| **named == inode);
                found.map(|(name, _)| name.clone()).unwrap_or_default()
            }
        }
    }

    /// How long the sync that begins now takes.
    pub(super) fn time_of_sync(&mut self) -> Duration {
        self.sync_time.saturating_add(self.mishaps.stall())
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, &dir) in &self.paths {
            path.hash(&mut hasher);
            let dir = &self.dirs[dir];
            for (name, &inode) in &dir.live {
                (name, &self.inodes[inode].live).hash(&mut hasher);
            }
            for (name, &inode) in &dir.durable {
                let Inode { durable, pages, .. } = &self.inodes[inode];
                (name, durable, pages).hash(&mut hasher);
            }
        }
        self.volatile.hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        self.rng = SplitMix64::new(seed);
    }

    pub(super) fn random(&mut self) -> u64 {
        self.rng.next()
    }
}

/// Directories.
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

    /// A file that has lost its last name takes no space any more.
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

    /// What a failed sync of a directory does: the names are found until the power goes, and will never be
    /// durable.
    pub(super) fn forget_names(&mut self, dir: DirId) {
        self.volatile
            .retain(|change| !matches!(change, Change::Entry { dir: other, .. } if *other == dir));
    }

    fn edit_entries(&mut self, dir: DirId, edit: EntryEdit) -> io::Result<()> {
        // Nothing gets a name in a directory that was removed.
        self.path_of(dir).ok_or(io::ErrorKind::NotFound)?;
        edit.apply(&mut self.dirs[dir].live);
        self.volatile.push(Change::Entry { dir, edit });
        Ok(())
    }
}

/// Files.
impl Model {
    pub(super) fn live(&self, inode: InodeId) -> &[u8] {
        &self.inodes[inode].live
    }

    /// How many bytes can be read there.
    pub(super) fn readable(&self, inode: InodeId, range: Range<usize>) -> io::Result<usize> {
        self.inodes[inode].pages.read(range)
    }

    /// How many bytes can be written there.
    pub(super) fn writable(&mut self, inode: InodeId, range: Range<usize>) -> io::Result<usize> {
        let len = self.inodes[inode].live.len();
        self.inodes[inode].pages.write(range, len)
    }

    pub(super) fn write(&mut self, inode: InodeId, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.take_space(inode, offset + bytes.len())?;
        self.written_bytes += bytes.len() as u64;
        if self.is_there(inode, offset, bytes) {
            return Ok(());
        }
        self.edit(
            inode,
            Edit::Write {
                offset,
                bytes: bytes.to_vec(),
            },
        );
        Ok(())
    }

    /// Whether a file has these bytes there, and has them whatever becomes of what is volatile. Zeros over
    /// zeros need not be one more choice at each power cut.
    fn is_there(&self, inode: InodeId, offset: usize, bytes: &[u8]) -> bool {
        let range = offset..offset + bytes.len();
        let Inode {
            live,
            durable,
            pages,
            ..
        } = &self.inodes[inode];
        let touches = |change: &Change| {
            matches!(change, Change::Data { inode: other, edit } if *other == inode
                && edit.range(live.len()).start < range.end && range.start < edit.range(live.len()).end)
        };
        pages.are_sound()
            && live.get(range.clone()) == Some(bytes)
            && durable.get(range.clone()) == Some(bytes)
            && !self.volatile.iter().any(touches)
    }

    pub(super) fn grow(&mut self, inode: InodeId, len: usize) -> io::Result<()> {
        self.take_space(inode, len)?;
        if self.inodes[inode].live.len() < len {
            self.edit(inode, Edit::Grow { len });
        }
        Ok(())
    }

    /// Gives space back; or does not, as some file systems do not.
    pub(super) fn clear(&mut self, inode: InodeId, from: usize) {
        if self.coin() {
            self.edit(inode, Edit::Clear { from });
            let Inode { pages, live, .. } = &mut self.inodes[inode];
            pages.note_cached(&(from..live.len()));
        }
    }

    pub(super) fn sync(&mut self, inode: InodeId) {
        let (settled, rest): (Vec<_>, _) = std::mem::take(&mut self.volatile)
            .into_iter()
            .partition(|change| match change {
                Change::Data { inode: other, .. } => *other == inode,
                Change::Entry { edit, .. } => self.keeps_names && edit.names(inode),
            });
        self.volatile = rest;
        for change in settled {
            if let Change::Data { inode, edit } = &change {
                let Inode { pages, live, .. } = &mut self.inodes[*inode];
                pages.heal_touched(&edit.range(live.len()));
            }
            self.settle(change);
        }
    }

    /// What a failed sync does: the changes stay readable and will never be durable.
    pub(super) fn forget(&mut self, inode: InodeId) {
        self.volatile.retain(
            |change| !matches!(change, Change::Data { inode: other, .. } if *other == inode),
        );
    }

    fn edit(&mut self, inode: InodeId, edit: Edit) {
        edit.apply(&mut self.inodes[inode].live);
        self.volatile.push(Change::Data { inode, edit });
    }

    /// Reads again from the disk what the cache does not have to write.
    pub(super) fn evict(&mut self, inode: InodeId, offset: usize, len: usize) {
        let mut bytes = self.inodes[inode].durable.clone();
        self.inodes[inode].pages.evict(&(offset..offset + len));
        for change in &self.volatile {
            if let Change::Data { inode: other, edit } = change
                && *other == inode
            {
                edit.apply(&mut bytes);
                let Inode { pages, live, .. } = &mut self.inodes[inode];
                pages.note_cached(&edit.range(live.len()));
            }
        }
        let live = &mut self.inodes[inode].live;
        bytes.resize(live.len(), 0);
        let end = (offset + len).min(live.len());
        live[offset..end].copy_from_slice(&bytes[offset..end]);
    }

    fn take_space(&self, inode: InodeId, len: usize) -> io::Result<()> {
        let Some(quota) = self.quota else {
            return Ok(());
        };
        let used: usize = self
            .inodes
            .iter()
            .filter(|i| !i.removed)
            .map(|i| i.live.len())
            .sum();
        let more = len.saturating_sub(self.inodes[inode].live.len());
        match more == 0 || (used + more) as u64 <= quota {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl Edit {
    /// The bytes that it is about, in a file of this length.
    pub(super) fn range(&self, len: usize) -> Range<usize> {
        match self {
            Self::Clear { from } => *from..len.max(*from),
            Self::Grow { .. } => 0..0,
            Self::Write { offset, bytes } => *offset..offset + bytes.len(),
        }
    }

    pub(super) fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Clear { from } => file.iter_mut().skip(*from).for_each(|byte| *byte = 0),
            Self::Grow { len } => file.resize(file.len().max(*len), 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                file.resize(file.len().max(end), 0);
                file[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl EntryEdit {
    /// Whether it gives this file a name.
    fn names(&self, file: InodeId) -> bool {
        match self {
            Self::Create { inode, .. } | Self::Rename { inode, .. } => *inode == file,
            Self::Remove { .. } => false,
        }
    }

    pub(super) fn apply(&self, entries: &mut BTreeMap<String, InodeId>) {
        match self {
            Self::Create { name, inode } => {
                entries.insert(name.clone(), *inode);
            }
            Self::Remove { name } => {
                entries.remove(name);
            }
            Self::Rename { from, to, inode } => {
                if entries.get(from) == Some(inode) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *inode);
            }
        }
    }
}

pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the simulated power was cut")
}
