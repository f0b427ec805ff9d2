//! What a disk has to be able to do: the traits that the real one and the simulated one implement.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::IoFailure;
use crate::storage::access::{Access, DirKey, FileId, Held, LockOwner};
use crate::storage::lock_table::LockTable;

/// The way to a directory on some disk, which may not exist yet.
pub(crate) trait Locator: Send + Sync {
    fn path(&self) -> &Path;
    /// Opens the directory that is there now.
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, IoFailure>;
}

/// How a directory is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) access: Access,
    /// Whether it, and its parents, are created where they are missing. What is created is durable.
    pub(crate) create: bool,
    /// Whether it may be one that cannot be synced.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "there no directory can be synced")
    )]
    pub(crate) allow_unsynced: bool,
}

#[cfg(any(feature = "tools", tidewal_mutants))]
impl Opening {
    /// Of a directory that has to be there.
    pub(crate) fn existing(access: Access) -> Self {
        Self {
            access,
            create: false,
            allow_unsynced: false,
        }
    }
}

/// One directory on some disk, held open: every name is one in this directory, wherever it is moved.
pub(crate) trait Backend: Send + Sync {
    /// Another directory of the same disk.
    fn locate(&self, path: &Path) -> Arc<dyn Locator>;
    /// What tells it from every other directory that exists.
    fn key(&self) -> DirKey;
    /// The registry of which directories of this disk are open in this process.
    fn lock_table(&self) -> &LockTable;
    /// Takes the operating system's lock of the directory itself, or says `WouldBlock`. It is given back
    /// by dropping it. `None` where a directory cannot be locked.
    fn try_lock(&self, access: Access) -> io::Result<Option<Held>>;
    /// Whether others may use the directory who do not see that lock.
    fn is_shared(&self) -> bool;
    /// The same of the file `LOCK`, which is created for appending. `None` where there is none and it is
    /// not to be created.
    fn try_lock_file(&self, access: Access) -> io::Result<Option<(Held, Option<FileId>)>>;
    /// The processes that have it locked, as far as the system says.
    fn lock_owners(&self) -> Vec<LockOwner>;
    fn list(&self) -> io::Result<Vec<String>>;
    /// Looks at a file without opening it.
    fn look_up(&self, name: &str) -> io::Result<Found>;
    /// Opens or creates a regular file, and nothing else.
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>>;
    fn rename(&self, from: &str, to: &str, onto: Onto) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the directory's entries durable.
    fn sync(&self) -> io::Result<()>;
    /// Whether the directory has not been removed.
    fn is_linked(&self) -> io::Result<bool>;
    /// A random number that is new at each call.
    fn random(&self) -> u64;
    /// Opens a directory in this one. If `create` it is made where it is missing, durably.
    #[cfg(feature = "tools")]
    fn open_subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Backend>>;
    /// Removes an empty directory in this one, where that can be done.
    #[cfg(feature = "tools")]
    fn remove_subdir(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    /// Gives a file of the directory that this one was opened in a second name here; never that of
    /// another file.
    #[cfg(feature = "tools")]
    fn link_from_parent(&self, name: &str, second: &str) -> io::Result<()>;
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// `None` where files have no numbers.
    pub(crate) id: Option<FileId>,
    pub(crate) len: u64,
}

/// What a renamed file may take the name of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Onto {
    Nothing,
    Anything,
}

/// One open file.
pub(crate) trait BackendFile: Send {
    /// `None` where files have no numbers.
    fn id(&self) -> Option<FileId>;
    /// How many names the file has; 1 where that cannot be told.
    fn links(&self) -> io::Result<u64>;
    fn len(&self) -> io::Result<u64>;
    /// May be short; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes pieces one behind the other. May be short.
    fn write_at(&mut self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Makes the file at least `len` bytes long, and takes the space for them.
    fn allocate(&mut self, len: u64) -> io::Result<()>;
    /// Gives the space from `offset` on back where the file system can, and keeps the length. What is
    /// read there afterwards is zero, or what it was.
    fn release(&mut self, offset: u64) -> io::Result<()>;
    /// Lets the system forget what it has cached of some whole pages, and need not write, where it can.
    /// What was never written is lost by it.
    fn evict(&mut self, offset: u64, len: u64) -> io::Result<()>;
    /// Notes that everything up to `end` was written and synced in an earlier life of the file: a sync of what
    /// is written there has no more to do than that of any other data.
    fn assume_written(&mut self, _end: u64) {}
    /// Makes the file's bytes and length durable. The real disk blocks; the simulated one may stall in
    /// virtual time.
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
