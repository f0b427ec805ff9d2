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
/// Writing and syncing take the file and give it back on success only. After a failure there is no
/// file to write to or to sync again.
pub(crate) struct File {
    raw: Box<dyn BackendFile>,
    id: Option<FileId>,
    dir: Dir,
    name: String,
    /// The file was at least this long.
    len: u64,
}

impl File {
    /// The same file under its new name, after a rename.
    pub(crate) fn with_name(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The file, of which everything up to `end` was written and synced in an earlier life.
    pub(crate) fn written_before(mut self, end: u64) -> Self {
        self.raw.assume_written(end);
        self
    }

    /// Checks that the file is still present under its name.
    pub(crate) fn check_present(&self) -> Result<Present, IoFailure> {
        self.dir.check_file(&self.name, self.id, self.len)
    }

    /// Whether the file has only the name under which it was opened. A file with another name, such
    /// as a hard-link backup, must not be changed.
    pub(crate) fn is_exclusive(&self) -> Result<bool, IoFailure> {
        let links = self.raw.links();
        Ok(links.map_err(|error| self.fault("look at", error))? <= 1)
    }

    pub(crate) fn len(&self) -> Result<u64, IoFailure> {
        self.raw.len().map_err(|error| self.fault("look at", error))
    }

    /// Fills `buffer` from `offset` on. Returns less only at the end of the file.
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

    /// Writes the pieces one after the other. Consumes them.
    pub(crate) fn write_all_at(
        mut self,
        pieces: &mut [IoSlice<'_>],
        offset: u64,
    ) -> Result<(Self, Wrote), IoFailure> {
        self.write_pieces(pieces, offset)?;
        Ok((self, Wrote::all()))
    }

    /// The same for bytes that nothing depends on, where nothing was written before. Without space
    /// for them it writes a part of them, or none, and succeeds: a write changes no byte outside
    /// its range.
    pub(crate) fn write_if_room(
        mut self,
        pieces: &mut [IoSlice<'_>],
        offset: u64,
    ) -> Result<Self, IoFailure> {
        match self.write_pieces(pieces, offset) {
            Err(fault) if !fault.is_storage_full() => Err(fault),
            _ => Ok(self),
        }
    }

    fn write_pieces(
        &mut self,
        mut pieces: &mut [IoSlice<'_>],
        mut offset: u64,
    ) -> Result<(), IoFailure> {
        // Skips empty pieces, here and below.
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
        Ok(())
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

    /// Drops pages from the system's cache.
    #[cfg(tidewal_mutants)]
    pub(crate) fn evict(&mut self, offset: u64, len: u64) {
        let _ = self.raw.evict(offset, len.next_multiple_of(PAGE_LEN));
    }

    /// Frees space, if possible. Nothing depends on it.
    pub(crate) fn release(mut self, offset: u64) {
        let _ = self.raw.release(offset);
    }

    /// Removes everything from `len` on, if possible. Nothing depends on it.
    #[cfg(feature = "tools")]
    pub(crate) fn shorten(mut self, len: u64) {
        let _ = self.raw.shorten(len);
    }

    /// Lets the disk begin to write, so a later sync has less to do. Returns no receipt.
    ///
    /// The real disk has finished when this returns. A simulated disk that stalls is not waited
    /// for.
    #[cfg(feature = "snapshot")]
    pub(crate) fn sync_early(mut self) -> Result<Self, IoFailure> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.raw.poll_sync(&mut context) {
            Poll::Ready(Err(error)) => Err(self.fault("sync", error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(self),
        }
    }

    /// Syncs the file, and checks that it is still present: a file without its name is not durable.
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

/// At least the page size of any system, which is also the unit of the system's cache.
pub(crate) const PAGE_LEN: u64 = 64 * 1024;
