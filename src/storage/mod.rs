//! Files, and the receipts for what was done to them: the only room that touches a disk.
//!
//! A [`Backend`] is a disk, real ([`disk`]) or simulated ([`sim`]). The rest of the crate sees it
//! through [`Dir`] and [`File`], which add what every backend would otherwise repeat: errors that say
//! what was tried and where, writes that are never short, and the two receipts that an
//! acknowledgement needs. [`Wrote`] and [`Synced`] can be made in this file only.

pub(crate) mod disk;
pub(crate) mod lock;
#[cfg(feature = "sim")]
pub mod sim;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, future, io};

use crate::error::{Fault, Result};
use crate::planted::{Bug, is_planted};
use crate::storage::lock::{Access, Lock};

/// One directory on some disk.
pub(crate) trait Backend: Send + Sync {
    fn path(&self) -> &Path;
    /// Creates the directory and its parents where they are missing, and makes that durable.
    fn make(&self) -> io::Result<()>;
    /// Takes the operating system's lock, or says `WouldBlock`. It is given back by dropping it.
    fn try_lock(&self, access: Access) -> io::Result<Box<dyn Send + Sync>>;
    /// The one path that stands for the directory, whatever path it was opened by.
    fn identity(&self) -> io::Result<PathBuf>;
    /// The registry of who has which directory of this disk open in this process.
    fn lock_table(&self) -> &lock::Table;
    fn list(&self) -> io::Result<Vec<String>>;
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// A directory in this one, which need not exist.
    #[cfg(feature = "tools")]
    fn folder(&self, name: &str) -> Dir;
    /// Gives a file a second name, in a directory in this one; never that of another file.
    #[cfg(feature = "tools")]
    fn link(&self, name: &str, folder: &str, second: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the directory's entries durable.
    fn sync(&self) -> io::Result<()>;
    /// A random number that is new at each call.
    fn random(&self) -> u64;
}

/// One open file.
pub(crate) trait BackendFile: Send {
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

/// A log's directory.
#[derive(Clone)]
pub(crate) struct Dir(Arc<dyn Backend>);

impl Dir {
    pub(crate) fn new(backend: impl Backend + 'static) -> Self {
        Self(Arc::new(backend))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The full path of one of its files, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn make(&self) -> Result<(), Fault> {
        self.0
            .make()
            .map_err(self.fault("create the directory", ""))
    }

    /// Takes the directory for reading or for appending.
    ///
    /// Waits for a log in this process whose last handle was dropped and that is still closing;
    /// for nobody else.
    pub(crate) async fn lock(&self, access: Access) -> Result<Lock> {
        lock::acquire(&*self.0, access).await
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, Fault> {
        self.0.list().map_err(self.fault("list", ""))
    }

    pub(crate) fn open(&self, name: &str, mode: Mode) -> Result<File, Fault> {
        let action = if mode == Mode::Create {
            "create"
        } else {
            "open"
        };
        let raw = self.0.open(name, mode).map_err(self.fault(action, name))?;
        Ok(File {
            raw,
            path: self.path_of(name),
        })
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        self.0.rename(from, to).map_err(self.fault("rename", from))
    }

    /// A directory in this one, which need not exist.
    #[cfg(feature = "tools")]
    pub(crate) fn folder(&self, name: &str) -> Self {
        self.0.folder(name)
    }

    /// Gives a file a second name, in a directory in this one; never that of another file.
    #[cfg(feature = "tools")]
    pub(crate) fn link(&self, name: &str, folder: &str, second: &str) -> Result<(), Fault> {
        self.0
            .link(name, folder, second)
            .map_err(self.fault("link", name))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Fault> {
        self.0.remove(name).map_err(self.fault("remove", name))
    }

    pub(crate) fn sync(&self) -> Result<Synced, Fault> {
        self.0
            .sync()
            .map_err(self.fault("sync the directory", ""))?;
        Ok(Synced(()))
    }

    /// As [`sync`](Self::sync). The bug is what it would be to forget it.
    pub(crate) fn sync_unless(&self, bug: Bug) -> Result<Synced, Fault> {
        if is_planted(bug) {
            return Ok(Synced(()));
        }
        self.sync()
    }

    /// A salt for a new life of a file: random and never zero.
    pub(crate) fn new_salt(&self) -> u64 {
        if is_planted(Bug::SaltConstant) {
            return 1;
        }
        self.0.random().max(1)
    }

    fn fault<'a>(
        &'a self,
        action: &'static str,
        name: &'a str,
    ) -> impl FnOnce(io::Error) -> Fault + use<'a> {
        move |error| {
            let path = if name.is_empty() {
                self.path().to_owned()
            } else {
                self.path_of(name)
            };
            Fault::new(action, &path, error)
        }
    }
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

/// An open file of a log.
///
/// Writing and syncing take the file and give it back on success only: after a failure there is
/// nothing left to write to, or to sync once more.
pub(crate) struct File {
    raw: Box<dyn BackendFile>,
    path: PathBuf,
}

impl File {
    /// The file after it was renamed.
    pub(crate) fn known_as(self, path: PathBuf) -> Self {
        Self { path, ..self }
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
        Ok((self, Wrote(())))
    }

    pub(crate) fn allocate(mut self, len: u64) -> Result<Self, Fault> {
        loop {
            match self.raw.allocate(len) {
                Ok(()) => return Ok(self),
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

    pub(crate) async fn sync(mut self) -> Result<(Self, Synced), Fault> {
        let mut outcome = self.sync_once().await;
        if is_planted(Bug::SyncRetried) && outcome.is_err() {
            outcome = self.sync_once().await;
        }
        match outcome {
            Ok(()) => Ok((self, Synced(()))),
            Err(error) => Err(self.fault("sync", error)),
        }
    }

    /// As [`sync`](Self::sync). The bug is what it would be to forget it.
    pub(crate) async fn sync_unless(self, bug: Bug) -> Result<(Self, Synced), Fault> {
        if is_planted(bug) {
            return Ok((self, Synced(())));
        }
        self.sync().await
    }

    async fn sync_once(&mut self) -> io::Result<()> {
        future::poll_fn(|context| self.raw.poll_sync(context)).await
    }

    fn fault(&self, action: &'static str, error: io::Error) -> Fault {
        Fault::new(action, &self.path, error)
    }
}

/// What a system caches as a whole; where it is less, more is forgotten than need be, and written again.
pub(crate) const PAGE_LEN: u64 = 64 * 1024;

/// Receipt: bytes were handed to the operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrote(());

/// Receipt: a file, or a directory, was synced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synced(());
