//! Files, and the receipts for what was done to them: the only room that touches a disk.
//!
//! A [`Backend`] is a directory of a disk, real ([`disk`]) or simulated ([`sim`]). The rest of the crate
//! sees it through [`Dir`] and [`File`], which add what every backend would otherwise repeat: errors
//! that say what was tried and where, writes that are never short, and the receipts that an
//! acknowledgement needs ([`receipts`]).

mod dir;
pub(crate) mod disk;
pub(crate) mod lock;
mod receipts;
#[cfg(feature = "sim")]
pub mod sim;

use std::future;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Fault;
use crate::planted::{Bug, is_planted};
use crate::storage::lock::{Access, Holder};

pub(crate) use crate::storage::dir::{Dir, Location};
pub(crate) use crate::storage::receipts::{Present, Synced, Wrote};

/// The way to a directory on some disk, which may not exist yet.
pub(crate) trait Locator: Send + Sync {
    fn path(&self) -> &Path;
    /// Opens the directory that is there now.
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, Fault>;
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

#[cfg(any(feature = "tools", tidewal_planted))]
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
    /// What tells it from every other directory that exists.
    fn key(&self) -> DirKey;
    /// The registry of which directories of this disk are open in this process.
    fn lock_table(&self) -> &lock::Table;
    /// Takes the operating system's lock of the directory itself, or says `WouldBlock`. It is given back
    /// by dropping it. `None` where a directory cannot be locked.
    fn try_lock(&self, access: Access) -> io::Result<Option<Held>>;
    /// Whether others may use the directory who do not see that lock.
    fn is_shared(&self) -> bool;
    /// The same of the file `LOCK`, which is created for appending. `None` where there is none and it is
    /// not to be created.
    fn try_lock_file(&self, access: Access) -> io::Result<Option<(Held, Option<FileId>)>>;
    /// The processes that have it locked, as far as the system says.
    fn holders(&self) -> Vec<Holder>;
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

/// What tells a directory from others.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum DirKey {
    /// Its number, and that of its file system.
    Inode(FileId),
    /// Where there are no such numbers: the one path that stands for it.
    #[cfg_attr(unix, expect(dead_code, reason = "there are numbers"))]
    Path(PathBuf),
}

/// What tells an open file, or a directory, from others.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// `None` where files have no numbers.
    pub(crate) id: Option<FileId>,
    pub(crate) len: u64,
}

/// A lock of the operating system, which goes when this is dropped.
pub(crate) type Held = Box<dyn Send + Sync>;

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

/// An open file of a log.
///
/// Writing and syncing take the file and give it back on success only: after a failure there is
/// nothing left to write to, or to sync once more.
pub(crate) struct File {
    raw: Box<dyn BackendFile>,
    id: Option<FileId>,
    dir: Dir,
    name: String,
    /// It was at least as long.
    len: u64,
}

impl File {
    /// The file after it was renamed.
    pub(crate) fn known_as(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Checks that the file can still be found under its name.
    pub(crate) fn check_present(&self) -> Result<Present, Fault> {
        self.dir.check_file(self)
    }

    /// Whether it has no other name than the one that it was opened by. What has one, such as a backup
    /// made of hard links, must not be changed.
    pub(crate) fn is_exclusive(&self) -> Result<bool, Fault> {
        let links = self.raw.links();
        Ok(links.map_err(|error| self.fault("look at", error))? <= 1)
    }

    pub(crate) fn len(&self) -> Result<u64, Fault> {
        self.raw.len().map_err(|error| self.fault("look at", error))
    }

    /// Fills `buffer` from `offset` on; less only at the end of the file.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .raw
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault("read", error)),
            }
        }
        Ok(filled)
    }

    pub(crate) fn write_at(self, bytes: &[u8], offset: u64) -> Result<(Self, Wrote), Fault> {
        self.write_all_at(&mut [IoSlice::new(bytes)], offset)
    }

    /// Writes pieces one behind the other. They are used up.
    pub(crate) fn write_all_at(
        mut self,
        mut pieces: &mut [IoSlice<'_>],
        mut offset: u64,
    ) -> Result<(Self, Wrote), Fault> {
        // Leaves out what is empty, here and below.
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            match self.raw.write_at(pieces, offset) {
                Ok(0) => return Err(self.fault("write", io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    IoSlice::advance_slices(&mut pieces, count);
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault("write", error)),
            }
        }
        Ok((self, Wrote::all()))
    }

    pub(crate) fn allocate(mut self, len: u64) -> Result<Self, Fault> {
        loop {
            match self.raw.allocate(len) {
                Ok(()) => {
                    self.len = self.len.max(len);
                    return Ok(self);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault("allocate", error)),
            }
        }
    }

    /// Writes bytes that were read from the file at `offset`, the start of a page, over themselves, so
    /// that the next sync takes them to the disk, whatever became of them before.
    ///
    /// The system's cache forgets them first. Ext4 takes the block under a cached page for one that was
    /// written, even if that write failed: it would write to it again, and never note that the block
    /// holds data.
    pub(crate) fn rewrite(mut self, bytes: &[u8], offset: u64) -> Result<(Self, Wrote), Fault> {
        let pages = (bytes.len() as u64).next_multiple_of(PAGE_LEN);
        // Elsewhere there is no such cache to be wary of, or nothing to be done about it.
        let _ = self.raw.evict(offset, pages);
        self.write_at(bytes, offset)
    }

    /// Gives space back if it can be; nothing depends on it.
    pub(crate) fn release(mut self, offset: u64) {
        let _ = self.raw.release(offset);
    }

    /// Lets the disk begin with what was written, so that a later sync has less to do. Gives no receipt.
    ///
    /// The real disk is through with it then. A simulated one that stalls is not waited for.
    #[cfg(feature = "snapshot")]
    pub(crate) fn sync_early(mut self) -> Result<Self, Fault> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.raw.poll_sync(&mut context) {
            Poll::Ready(Err(error)) => Err(self.fault("sync", error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(self),
        }
    }

    /// Syncs the file, and checks that it is still there: what cannot be found is not durable.
    pub(crate) async fn sync(mut self) -> Result<(Self, Synced), Fault> {
        let mut outcome = self.sync_once().await;
        if is_planted(Bug::SyncRetried) && outcome.is_err() {
            outcome = self.sync_once().await;
        }
        match outcome {
            Ok(()) => self.synced(),
            Err(error) => Err(self.fault("sync", error)),
        }
    }

    /// As [`sync`](Self::sync). The bug is what it would be to forget it.
    pub(crate) async fn sync_unless(self, bug: Bug) -> Result<(Self, Synced), Fault> {
        if is_planted(bug) {
            return self.synced();
        }
        self.sync().await
    }

    fn synced(self) -> Result<(Self, Synced), Fault> {
        let present = self.check_present()?;
        Ok((self, Synced::and(present)))
    }

    async fn sync_once(&mut self) -> io::Result<()> {
        future::poll_fn(|context| self.raw.poll_sync(context)).await
    }

    fn fault(&self, action: &'static str, error: io::Error) -> Fault {
        Fault::new(action, &self.dir.path_of(&self.name), error)
    }
}

/// What a system caches as a whole; where it is less, more is forgotten than need be, and written again.
pub(crate) const PAGE_LEN: u64 = 64 * 1024;
