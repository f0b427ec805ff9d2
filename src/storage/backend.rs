//! The operations of a disk: traits that the real disk and the simulated one implement.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::IoFailure;
use crate::storage::access::{Access, DirKey, FileId, LockOwner, SystemLock};
use crate::storage::lock_table::LockTable;

/// The location of a directory on some disk. The directory may not exist yet.
pub(crate) trait Locator: Send + Sync {
    fn path(&self) -> &Path;
    /// Opens the directory that is at this location now.
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, IoFailure>;
}

/// How a directory is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) access: Access,
    /// Whether it and its parents are created if they are missing. Created directories are durable.
    pub(crate) create: bool,
    /// Whether a directory that cannot be synced is accepted.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "there no directory can be synced")
    )]
    pub(crate) allow_unsynced: bool,
}

#[cfg(any(feature = "tools", tidewal_mutants))]
impl Opening {
    /// Opens an existing directory.
    pub(crate) fn existing(access: Access) -> Self {
        Self {
            access,
            create: false,
            allow_unsynced: false,
        }
    }
}

/// A directory on some disk, held open. Every name is resolved in this directory, even after it was
/// moved.
pub(crate) trait Backend: Send + Sync {
    /// Another directory of the same disk.
    fn locate(&self, path: &Path) -> Arc<dyn Locator>;
    /// The identity of the directory among all that exist.
    fn key(&self) -> DirKey;
    /// The directories of this disk that this process has open.
    fn lock_table(&self) -> &LockTable;
    /// Takes the operating system's lock of the directory itself, or fails with `WouldBlock`.
    /// Dropping the lock releases it. `None` if directories cannot be locked.
    fn try_lock(&self, access: Access) -> io::Result<Option<SystemLock>>;
    /// Whether processes that do not see this lock may use the directory.
    fn is_shared(&self) -> bool;
    /// Like [`try_lock`](Self::try_lock), for the file `LOCK`, which is created when the directory
    /// is opened for appending. `None` if there is no such file and it must not be created.
    fn try_lock_file(&self, access: Access) -> io::Result<Option<(SystemLock, Option<FileId>)>>;
    /// The processes that have it locked, where the system reports them.
    fn lock_owners(&self) -> Vec<LockOwner>;
    fn list(&self) -> io::Result<Vec<String>>;
    /// Looks up a file without opening it.
    fn look_up(&self, name: &str) -> io::Result<FileInfo>;
    /// Opens or creates a regular file. Fails for anything else.
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>>;
    fn rename(&self, from: &str, to: &str, onto: Onto) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the directory's entries durable.
    fn sync(&self) -> io::Result<()>;
    /// Whether the directory still exists.
    fn is_linked(&self) -> io::Result<bool>;
    /// A random number that is new at each call.
    fn random(&self) -> u64;
    /// Opens a directory in this one. With `create`, it is created durably if it is missing.
    #[cfg(feature = "tools")]
    fn open_subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Backend>>;
    /// Removes an empty directory in this one, if possible.
    #[cfg(feature = "tools")]
    fn remove_subdir(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    /// Gives a file of the parent directory a second name in this one. Fails if the name is taken.
    #[cfg(feature = "tools")]
    fn link_from_parent(&self, name: &str, second: &str) -> io::Result<()>;
}

/// The file that a name refers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileInfo {
    /// `None` where files have no numbers.
    pub(crate) id: Option<FileId>,
    pub(crate) len: u64,
}

/// What a rename may replace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Onto {
    Nothing,
    Anything,
}

/// One open file.
pub(crate) trait BackendFile: Send {
    /// `None` where files have no numbers.
    fn id(&self) -> Option<FileId>;
    /// How many names the file has, or 1 if that is unknown.
    fn links(&self) -> io::Result<u64>;
    fn len(&self) -> io::Result<u64>;
    /// May be short. Returns 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes the pieces one after the other. May be short.
    fn write_at(&mut self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Makes the file at least `len` bytes long, and allocates the space for them.
    fn allocate(&mut self, len: u64) -> io::Result<()>;
    /// Frees the space from `offset` on, if the file system can, and keeps the length. Afterwards
    /// that range reads as zeros, or as before.
    fn release(&mut self, offset: u64) -> io::Result<()>;
    /// Removes everything from `len` on: the file ends there.
    #[cfg(feature = "tools")]
    fn shorten(&mut self, len: u64) -> io::Result<()>;
    /// Drops clean whole pages from the system's cache. Data that never reached the disk is lost by
    /// this.
    #[cfg(tidewal_mutants)]
    fn evict(&mut self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
    /// Notes that everything up to `end` was written and synced in an earlier life of the file: a sync of what
    /// is written there has no more to do than that of any other data.
    fn assume_written(&mut self, _end: u64) {}
    /// Makes the file's bytes and length durable. The real disk blocks. The simulated one may stall
    /// in virtual time.
    fn poll_sync(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// It must exist.
    Read,
    /// It must exist.
    Write,
    /// It must not exist.
    Create,
}
