//! A log's directory: where it is, and the directory itself once it is open.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
#[cfg(feature = "snapshot")]
use std::sync::RwLock;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{IoFailure, Result};
use crate::format::names;
use crate::mutants::{Mutant, is_active, skips_this_sync};
#[cfg(tidewal_mutants)]
use crate::storage::access::Access;
use crate::storage::access::FileId;
use crate::storage::backend::{Backend, Locator, Onto, Opening};
use crate::storage::receipts::{Present, Synced};

/// Where a log's directory is, or will be: a path, which is resolved when the directory is opened.
#[derive(Clone)]
pub(crate) struct Location(Arc<dyn Locator>);

impl Location {
    pub(crate) fn new(locator: impl Locator + 'static) -> Self {
        Self(Arc::new(locator))
    }

    /// The path as it was given, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Opens the directory that the path stands for now. From then on the path plays no part.
    pub(crate) fn open(&self, opening: Opening) -> Result<Dir, IoFailure> {
        Ok(Dir {
            backend: self.0.open(opening)?,
            path: self.path().into(),
            lock_file: Arc::default(),
            failed_sync: Arc::default(),
            #[cfg(feature = "snapshot")]
            snapshot_readers: Arc::default(),
            #[cfg(tidewal_mutants)]
            location: self.clone(),
        })
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

/// A log's directory. It is held open, and every name is resolved against it: it stays the same whatever
/// becomes of the path that it was opened by.
#[derive(Clone)]
pub(crate) struct Dir {
    backend: Arc<dyn Backend>,
    path: Arc<Path>,
    /// The lock file, where it alone keeps others out.
    lock_file: Arc<OnceLock<FileId>>,
    /// The first sync of the directory that has failed. Locked while one is under way.
    failed_sync: Arc<Mutex<Option<IoFailure>>>,
    #[cfg(feature = "snapshot")]
    snapshot_readers: Arc<RwLock<()>>,
    #[cfg(tidewal_mutants)]
    location: Location,
}

impl Dir {
    /// The path that the directory had when it was opened, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The full path of one of its files, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Another directory of the same disk.
    pub(crate) fn locate(&self, path: &Path) -> Location {
        Location(self.backend().locate(path))
    }

    /// Held by those who read snapshots, from before they open them.
    #[cfg(feature = "snapshot")]
    pub(crate) fn snapshot_readers(&self) -> &RwLock<()> {
        &self.snapshot_readers
    }

    /// Notes that others are kept out by this lock file and nothing else.
    pub(super) fn rely_on(&self, lock_file: FileId) {
        // A directory is locked for appending once.
        let _ = self.lock_file.set(lock_file);
    }

    /// Whether a log was ever opened for appending here, or is here as a copy.
    pub(crate) fn holds_log(&self) -> Result<bool, IoFailure> {
        let names = self.list()?;
        let is_of_log = |name: &String| name == names::LOCK || names::parse_segment(name).is_some();
        Ok(names.iter().any(is_of_log))
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, IoFailure> {
        self.backend().list().map_err(self.fault("list", ""))
    }

    /// Gives a file another name, which must be free.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), IoFailure> {
        let renamed = self.backend().rename(from, to, Onto::Nothing);
        renamed.map_err(self.fault("rename", from))
    }

    /// Gives a file the name of another one, which loses it.
    pub(crate) fn rename_over(&self, from: &str, to: &str) -> Result<(), IoFailure> {
        let renamed = self.backend().rename(from, to, Onto::Anything);
        renamed.map_err(self.fault("rename", from))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), IoFailure> {
        self.backend()
            .remove(name)
            .map_err(self.fault("remove", name))
    }

    /// Makes the directory's entries durable. Once that has failed, it fails for good.
    ///
    /// The system reports the failure of a write once for each open directory, to the next sync of it, which
    /// may be another's: of a truncation, or of a snapshot. So the failure is noted before another sync can
    /// begin, and no later one is believed.
    pub(crate) fn sync(&self) -> Result<Synced, IoFailure> {
        if skips_this_sync() {
            return Ok(Synced::and(self.check_present()?));
        }
        let mut failed = self.failed_sync();
        if let Some(fault) = &*failed {
            return Err(fault.clone());
        }
        self.sync_noting(&mut failed)?;
        drop(failed);
        Ok(Synced::and(self.check_present()?))
    }

    /// As [`sync`](Self::sync) after names were removed of which no one minds if they come back: an earlier
    /// failure does not matter. One of its own matters to those who sync next.
    pub(crate) fn sync_removals(&self) -> Result<Synced, IoFailure> {
        if !skips_this_sync() {
            self.sync_noting(&mut self.failed_sync())?;
        }
        Ok(Synced::and(self.check_present()?))
    }

    fn failed_sync(&self) -> MutexGuard<'_, Option<IoFailure>> {
        let failed = self.failed_sync.lock();
        failed.unwrap_or_else(PoisonError::into_inner)
    }

    fn sync_noting(&self, failed: &mut Option<IoFailure>) -> Result<(), IoFailure> {
        let synced = self.backend().sync();
        let synced = synced.map_err(self.fault("sync the directory", ""));
        synced.inspect_err(|fault| {
            failed.get_or_insert_with(|| fault.clone());
        })
    }

    /// Checks that the directory was not removed, nor what keeps others out of it.
    pub(crate) fn check_present(&self) -> Result<Present, IoFailure> {
        self.check_lock_file()?;
        Present::directory(self.backend().as_ref()).map_err(self.fault("find the directory", ""))
    }

    /// Checks that a file still has its name in the directory, and that others are still kept out.
    ///
    /// It has to be the file with this number, and at least as long.
    pub(super) fn check_file(
        &self,
        name: &str,
        id: Option<FileId>,
        len: u64,
    ) -> Result<Present, IoFailure> {
        self.check_lock_file()?;
        Present::file(self.backend().as_ref(), name, id, len).map_err(self.fault("find", name))
    }

    fn check_lock_file(&self) -> Result<(), IoFailure> {
        let Some(&locked) = self.lock_file.get() else {
            return Ok(());
        };
        let present = Present::lock_file(self.backend().as_ref(), locked);
        present.map(drop).map_err(self.fault("find", names::LOCK))
    }

    /// A salt for a new life of a file: random and never zero.
    pub(crate) fn new_salt(&self) -> u64 {
        if is_active(Mutant::SaltConstant) {
            return 1;
        }
        self.backend().random().max(1)
    }

    #[cfg(not(tidewal_mutants))]
    pub(super) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The bug is what it would be to hold no directory open.
    #[cfg(tidewal_mutants)]
    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        if is_active(Mutant::PathResolvedAnew) {
            let opened = self.location.0.open(Opening::existing(Access::Read));
            return opened.unwrap_or_else(|_| Arc::clone(&self.backend));
        }
        Arc::clone(&self.backend)
    }

    pub(super) fn fault<'a>(
        &'a self,
        action: &'static str,
        name: &'a str,
    ) -> impl FnOnce(io::Error) -> IoFailure + use<'a> {
        move |error| {
            let path = match name {
                "" => self.path().to_owned(),
                name => self.path_of(name),
            };
            IoFailure::new(action, &path, error)
        }
    }
}

/// Directories in this one, which a repair makes.
#[cfg(feature = "tools")]
impl Dir {
    /// Whether there is no such directory, or an empty one.
    pub(crate) fn has_room_for(&self, subdir: &str) -> bool {
        match self.backend().open_subdir(subdir, false) {
            Ok(found) => found.list().is_ok_and(|names| names.is_empty()),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Opens a directory in this one. Makes it, durably, where it is missing.
    pub(crate) fn make_subdir(&self, name: &str) -> Result<Self, IoFailure> {
        let made = self.backend().open_subdir(name, true);
        Ok(Self {
            backend: made.map_err(self.fault("create the directory", name))?,
            path: self.path_of(name).into(),
            lock_file: Arc::default(),
            failed_sync: Arc::default(),
            #[cfg(feature = "snapshot")]
            snapshot_readers: Arc::default(),
            #[cfg(tidewal_mutants)]
            location: self.location.clone(),
        })
    }

    /// Removes an empty directory in this one, if it can be; nothing depends on it.
    pub(crate) fn remove_subdir(&self, name: &str) {
        let _ = self.backend().remove_subdir(name);
    }

    /// Gives a file of the directory that this one is in a second name here; never that of another file.
    pub(crate) fn link_from_parent(&self, name: &str, second: &str) -> Result<(), IoFailure> {
        let linked = self.backend().link_from_parent(name, second);
        linked.map_err(self.fault("link", second))
    }
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}
