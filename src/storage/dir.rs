//! A log's directory: its location, and the directory itself once it is open.

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

/// The location of a log's directory: a path that is resolved when the directory is opened.
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

    /// Opens the directory that the path refers to now. From then on the path is not used.
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

/// A log's directory. It is held open, and every name is resolved against it. It stays the same
/// directory if its path is moved or replaced.
#[derive(Clone)]
pub(crate) struct Dir {
    backend: Arc<dyn Backend>,
    path: Arc<Path>,
    /// The lock file, if it is the only lock that keeps other processes out.
    lock_file: Arc<OnceLock<FileId>>,
    /// The first failed sync of the directory. Locked while a sync is running.
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

    /// Held by readers of snapshots, from before they open a file.
    #[cfg(feature = "snapshot")]
    pub(crate) fn snapshot_readers(&self) -> &RwLock<()> {
        &self.snapshot_readers
    }

    /// Records that only this lock file keeps other processes out.
    pub(super) fn rely_on(&self, lock_file: FileId) {
        // A directory is locked for appending once.
        let _ = self.lock_file.set(lock_file);
    }

    /// Whether a log was ever opened for appending here, or was copied here.
    pub(crate) fn holds_log(&self) -> Result<bool, IoFailure> {
        let names = self.list()?;
        let is_of_log = |name: &String| name == names::LOCK || names::parse_segment(name).is_some();
        Ok(names.iter().any(is_of_log))
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, IoFailure> {
        self.backend().list().map_err(self.fault("list", ""))
    }

    /// Renames a file. The new name must be free.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), IoFailure> {
        let renamed = self.backend().rename(from, to, Onto::Nothing);
        renamed.map_err(self.fault("rename", from))
    }

    /// Renames a file over another one.
    pub(crate) fn rename_over(&self, from: &str, to: &str) -> Result<(), IoFailure> {
        let renamed = self.backend().rename(from, to, Onto::Anything);
        renamed.map_err(self.fault("rename", from))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), IoFailure> {
        self.backend()
            .remove(name)
            .map_err(self.fault("remove", name))
    }

    /// Makes the directory's entries durable. Once that has failed, it always fails.
    ///
    /// The system reports a failed write once per open directory, to the next sync of it. That sync
    /// may belong to another operation, such as a truncation or a snapshot. So the failure is
    /// recorded before another sync can begin, and no later sync is trusted.
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

    /// Like [`sync`](Self::sync), after the removal of names that do no harm if they come back: an
    /// earlier failure does not matter. A failure of this sync is recorded for later ones.
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

    /// Checks that neither the directory nor the lock file that keeps other processes out was
    /// removed.
    pub(crate) fn check_present(&self) -> Result<Present, IoFailure> {
        self.check_lock_file()?;
        Present::directory(self.backend().as_ref()).map_err(self.fault("find the directory", ""))
    }

    /// Checks that a file still has its name in the directory, and that other processes are still
    /// kept out.
    ///
    /// It must be the file with this id, and at least this long.
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

    /// The mutant behaves as if no directory were held open.
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

/// Subdirectories, which a repair creates.
#[cfg(feature = "tools")]
impl Dir {
    /// Whether the directory does not exist or is empty.
    pub(crate) fn has_room_for(&self, subdir: &str) -> bool {
        match self.backend().open_subdir(subdir, false) {
            Ok(found) => found.list().is_ok_and(|names| names.is_empty()),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Opens a directory in this one. Creates it durably if it is missing.
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

    /// Removes an empty directory in this one, if possible. Nothing depends on it.
    pub(crate) fn remove_subdir(&self, name: &str) {
        let _ = self.backend().remove_subdir(name);
    }

    /// Gives a file of the parent directory a second name in this one. Fails if the name is taken.
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
