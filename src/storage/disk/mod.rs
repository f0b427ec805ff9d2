//! The disk of the machine: the only user of `std::fs`.
//!
//! A directory is held open and its files are named relative to it ([`dir`]), so a change of its
//! path cannot make the log write elsewhere. On systems without such calls, the absolute path is
//! fixed when the directory is opened, and the directory is protected from being renamed
//! ([`elsewhere`]).

#[cfg(target_os = "linux")]
mod aborted;
#[cfg(unix)]
mod dir;
#[cfg(not(unix))]
mod elsewhere;
mod file;
#[cfg(target_os = "linux")]
mod lock_owners;
#[cfg(unix)]
mod make;
#[cfg(unix)]
mod regular;

use std::collections::hash_map::RandomState;
use std::fs::{self, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::IoFailure;
use crate::storage::access::{Access, SystemLock};
use crate::storage::backend::{Backend, Locator, Opening};
use crate::storage::dir::Location;
use crate::storage::lock_table::LockTable;

/// A path on the machine's file system.
pub(crate) struct DiskPath {
    /// The path as it was given.
    shown: PathBuf,
    /// The absolute path, because the process may change its working directory at any time.
    absolute: PathBuf,
}

impl DiskPath {
    fn new(path: &Path) -> Self {
        Self {
            shown: path.to_owned(),
            // An empty path stays empty, and is refused when it is opened.
            absolute: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        }
    }

    pub(crate) fn location(path: &Path) -> Location {
        Location::new(Self::new(path))
    }
}

impl Locator for DiskPath {
    fn path(&self) -> &Path {
        &self.shown
    }

    #[cfg(unix)]
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, IoFailure> {
        Ok(Arc::new(make::open(&self.absolute, &self.shown, opening)?))
    }

    #[cfg(not(unix))]
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, IoFailure> {
        let opened = elsewhere::PathDir::open(&self.absolute, &self.shown, opening)?;
        Ok(Arc::new(opened))
    }
}

/// The directories that this process has open for appending.
static LOCK_TABLE: LockTable = LockTable::new();

/// A file, or a directory, while it is locked.
struct HeldLock {
    file: fs::File,
    /// The id of the process that has locked it.
    process: u32,
}

impl HeldLock {
    fn new(file: fs::File) -> Self {
        let process = std::process::id();
        Self { file, process }
    }
}

impl Drop for HeldLock {
    /// Unlocks explicitly, because closing the file is not enough: a process that is being started
    /// holds a copy of the descriptor for a moment. A forked process only closes the file, because
    /// the lock is the parent's too.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}

fn lock_file(file: fs::File, access: Access) -> io::Result<SystemLock> {
    let locked = match access {
        Access::Append => file.try_lock(),
        Access::Read => file.try_lock_shared(),
    };
    match locked {
        Ok(()) => Ok(Box::new(HeldLock::new(file))),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn random() -> u64 {
    // The standard library seeds `RandomState` from the system's source of randomness once per
    // thread and then increments the seed. Hashing the time as well makes equal results in two
    // processes unlikely.
    let mut hasher = RandomState::new().build_hasher();
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    hasher.write_u128(since_epoch.map_or(0, |elapsed| elapsed.as_nanos()));
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A clone of the file stands in for the parent's descriptor after a fork.
    #[test]
    fn regression_a_process_that_was_forked_off_does_not_give_back_its_parents_lock() {
        let dir = tempfile::tempdir().expect("there is room for a directory");
        let path = dir.path().join("LOCK");
        let parent = fs::File::create(&path).expect("it can be created");
        parent.try_lock().expect("it is free");
        let inherited = HeldLock {
            file: parent.try_clone().expect("a descriptor is free"),
            process: std::process::id() + 1,
        };
        drop(inherited);
        let other = fs::File::open(&path).expect("it is there");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(HeldLock::new(parent));
        other.try_lock().expect("its owner has given it back");
    }
}
