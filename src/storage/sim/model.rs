//! The state of the simulated disk, and what a power cut does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::format::{HEADER_BLOCK_LEN, names};
use crate::rng::SplitMix64;
use crate::storage::sim::changes::{Change, DirId, InodeId};
use crate::storage::sim::faults::Faults;
use crate::storage::sim::operation::Operation;
use crate::storage::sim::pages::BadPages;

/// The disk's whole state, behind one lock.
#[derive(Clone)]
pub(super) struct Model {
    /// Which life of the machine this is. Handles of an earlier life are invalid.
    pub(super) generation: u64,
    pub(super) operations: u64,
    /// The bytes of all writes that were done.
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
    /// Files that an open descriptor appends records to, if no other descriptor may read them.
    pub(super) appended: Option<BTreeSet<InodeId>>,
    /// The directory at each path. Changes are durable at once.
    pub(super) paths: BTreeMap<PathBuf, DirId>,
    pub(super) dirs: Vec<DirState>,
    /// Whether directories can be locked, or only lock files.
    pub(super) locks_directories: bool,
    pub(super) faults: Faults,
    rng: SplitMix64,
}

/// The target of an operation.
#[derive(Clone, Copy)]
pub(super) enum On<'a> {
    Directory,
    Name(&'a str),
    File(InodeId),
}

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
    /// All lock files of the directory so far. At most the last one still has the name.
    pub(super) lock_files: Vec<Locked>,
    pub(super) has_lock_file: bool,
}

/// The holders of one lock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Locked {
    pub(super) readers: usize,
    pub(super) appenders: usize,
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
            faults: Faults::default(),
            keeps_names: false,
            rng: SplitMix64::new(seed),
        }
    }

    /// Counts an operation and decides its outcome. `Ok(true)` means that the power is cut while it
    /// runs.
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
        if self.faults.awaits(operation) {
            let file = self.name_of(on);
            self.faults.fail(operation, &file)?;
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

    /// The current name of a file. Empty for a directory and for a file that has lost its name.
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

    /// How long the sync that begins now will take.
    pub(super) fn time_of_sync(&mut self) -> Duration {
        self.sync_time.saturating_add(self.faults.stall())
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

pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the simulated power was cut")
}
