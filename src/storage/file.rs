//! An open file of a log.

use std::future;
use std::io::{self, IoSlice};
#[cfg(feature = "snapshot")]
use std::task::{Context, Poll};

use crate::error::IoFailure;
use crate::mutants::{Mutant, is_active, skips_this_sync};
use crate::storage::access::FileId;
use crate::storage::backend::{BackendFile, Mode};
use crate::storage::dir::Dir;
use crate::storage::receipts::{Present, Synced, Wrote};

impl Dir {
    pub(crate) fn open(&self, name: &str, mode: Mode) -> Result<File, IoFailure> {
        let action = match mode {
            Mode::Create => "create",
            Mode::Read | Mode::Write => "open",
        };
        let raw = self.backend().open(name, mode);
        let raw = raw.map_err(self.fault(action, name))?;
        let id = raw.id();
        Ok(File {
            raw,
            id,
            dir: self.clone(),
            name: name.into(),
            len: 0,
        })
    }
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

    /// The file, of which everything up to `end` was written and synced in an earlier life.
    pub(crate) fn written_before(mut self, end: u64) -> Self {
        self.raw.assume_written(end);
        self
    }

    /// Checks that the file can still be found under its name.
    pub(crate) fn check_present(&self) -> Result<Present, IoFailure> {
        self.dir.check_file(&self.name, self.id, self.len)
    }

    /// Whether it has no other name than the one that it was opened by. What has one, such as a backup
    /// made of hard links, must not be changed.
    pub(crate) fn is_exclusive(&self) -> Result<bool, IoFailure> {
        let links = self.raw.links();
        Ok(links.map_err(|error| self.fault("look at", error))? <= 1)
    }

    pub(crate) fn len(&self) -> Result<u64, IoFailure> {
        self.raw.len().map_err(|error| self.fault("look at", error))
    }

    /// Fills `buffer` from `offset` on; less only at the end of the file.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, IoFailure> {
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

    pub(crate) fn write_at(self, bytes: &[u8], offset: u64) -> Result<(Self, Wrote), IoFailure> {
        self.write_all_at(&mut [IoSlice::new(bytes)], offset)
    }

    /// Writes pieces one behind the other. They are used up.
    pub(crate) fn write_all_at(
        mut self,
        mut pieces: &mut [IoSlice<'_>],
        mut offset: u64,
    ) -> Result<(Self, Wrote), IoFailure> {
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

    pub(crate) fn allocate(mut self, len: u64) -> Result<Self, IoFailure> {
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
    pub(crate) fn rewrite(mut self, bytes: &[u8], offset: u64) -> Result<(Self, Wrote), IoFailure> {
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
    pub(crate) fn sync_early(mut self) -> Result<Self, IoFailure> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.raw.poll_sync(&mut context) {
            Poll::Ready(Err(error)) => Err(self.fault("sync", error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(self),
        }
    }

    /// Syncs the file, and checks that it is still there: what cannot be found is not durable.
    pub(crate) async fn sync(mut self) -> Result<(Self, Synced), IoFailure> {
        if skips_this_sync() {
            return self.synced();
        }
        let mut outcome = self.sync_once().await;
        if is_active(Mutant::SyncRetried) && outcome.is_err() {
            outcome = self.sync_once().await;
        }
        match outcome {
            Ok(()) => self.synced(),
            Err(error) => Err(self.fault("sync", error)),
        }
    }

    fn synced(self) -> Result<(Self, Synced), IoFailure> {
        let present = self.check_present()?;
        Ok((self, Synced::and(present)))
    }

    async fn sync_once(&mut self) -> io::Result<()> {
        future::poll_fn(|context| self.raw.poll_sync(context)).await
    }

    fn fault(&self, action: &'static str, error: io::Error) -> IoFailure {
        IoFailure::new(action, &self.dir.path_of(&self.name), error)
    }
}

/// What a system caches as a whole; where it is less, more is forgotten than need be, and written again.
pub(crate) const PAGE_LEN: u64 = 64 * 1024;
