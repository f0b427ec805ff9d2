//! The task that makes spare files.
//!
//! It allocates a new file and fills it with zeros piece by piece. So later syncs have no metadata
//! to write, and no other sync waits for more than one piece. It prefers to recycle truncated
//! segments: once there are enough of them, an unfinished file waits for the next rotation. If
//! truncation keeps up with rotation, each byte is therefore written once.

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, IoFailure};
use crate::executor::Executor;
use crate::queue::completion::Completion;
use crate::storage::Lock;
use crate::writer::retire::{Recycler, Retired};
use crate::writer::spare_factory::{Spare, SpareFactory};
use crate::writer::zero_fill::{ZEROS_MAX, ZeroFill, write_zeros};

/// A request to the preallocator.
pub(super) enum SpareRequest {
    /// Make as many spares as configured.
    Fill,
    /// Recycle or remove truncated segments, oldest first.
    Retire(Vec<Retired>, Completion<()>),
    /// Remove the recycled segments: the log closes.
    Discard,
}

/// The task behind `Spares`, which is the writer's end.
pub(super) struct Preallocator {
    pub(super) factory: SpareFactory,
    pub(super) recycler: Recycler,
    /// A caller that opens the directory next waits for this task too, even if the writer has panicked.
    pub(super) _lock: Lock,
    pub(super) executor: Executor,
    /// How many spares are kept ready.
    pub(super) count: usize,
    pub(super) ready: mpsc::Sender<Spare>,
    pub(super) jobs: mpsc::UnboundedReceiver<SpareRequest>,
    pub(super) unfinished: Option<Unfinished>,
}

/// A new file that is being filled with zeros.
pub(super) struct Unfinished {
    spare: Spare,
    /// Bytes that are written and synced.
    written: u64,
}

impl Preallocator {
    /// Runs until no more requests can come.
    pub(super) async fn run(mut self, end: oneshot::Sender<()>) {
        while let Some(job) = self.jobs.recv().await {
            match job {
                SpareRequest::Fill => self.fill().await,
                SpareRequest::Retire(segments, done) => self.retire(segments, done),
                SpareRequest::Discard => self.recycler.discard(&self.factory),
            }
        }
        if let Some(unfinished) = self.unfinished.take() {
            self.factory.discard(&unfinished.spare.name);
        }
        // The writer unlocks the directory once it knows that this task has ended.
        drop(self);
        drop(end);
    }

    fn wants_more(&self) -> bool {
        self.count > 0 && self.ready.capacity() > 0
    }

    /// Makes files ready until there are enough, or one cannot be made.
    async fn fill(&mut self) {
        loop {
            self.use_stock();
            if !self.wants_more() || self.jobs.is_closed() {
                return;
            }
            let written = self.fill_next_piece().await;
            self.retire_meanwhile();
            if written.is_err() {
                // Recycled files are still available when the disk is full.
                return self.use_stock();
            }
            self.executor.yield_now().await;
        }
    }

    /// Writes the next piece of a new file, and makes the file ready after the last piece. A file
    /// that cannot be written is removed.
    async fn fill_next_piece(&mut self) -> Result<(), IoFailure> {
        let unfinished = match self.unfinished.take() {
            Some(unfinished) => unfinished,
            None => Unfinished::new(self.factory.make()?),
        };
        let (name, len) = (unfinished.spare.name.clone(), self.factory.len);
        let written = unfinished.write(len).await;
        let unfinished = written.inspect_err(|_| self.factory.discard(&name))?;
        match unfinished.written < len {
            true => self.unfinished = Some(unfinished),
            false => self.hand_over(unfinished.spare),
        }
        Ok(())
    }

    /// A truncation does not wait for a whole file to be written.
    fn retire_meanwhile(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            match job {
                SpareRequest::Retire(segments, done) => self.retire(segments, done),
                SpareRequest::Discard => self.recycler.discard(&self.factory),
                // Filling is in progress already.
                SpareRequest::Fill => {}
            }
        }
    }

    /// Recycles or removes segments, oldest first, and answers.
    fn retire(&mut self, segments: Vec<Retired>, done: Completion<()>) {
        let room = (2 * self.count).saturating_sub(self.kept());
        let retired = self.recycler.retire(&self.factory, room, segments);
        self.use_stock();
        match retired {
            Ok(synced) => done.done(synced),
            Err(fault) => done.fail(Error::Io(fault)),
        }
    }

    fn use_stock(&mut self) {
        while self.wants_more()
            && let Some(spare) = self.recycler.take(&self.factory)
        {
            self.hand_over(spare);
        }
    }

    /// The number of files in reserve.
    fn kept(&self) -> usize {
        let ready = self.ready.max_capacity() - self.ready.capacity();
        ready + self.recycler.stocked() + usize::from(self.unfinished.is_some())
    }

    /// The channel has room, because only this task makes files ready, and only while more are
    /// needed. If the writer has ended, the file is removed.
    fn hand_over(&self, spare: Spare) {
        let name = spare.name.clone();
        if self.ready.try_send(spare).is_err() {
            self.factory.discard(&name);
        }
    }
}

impl Unfinished {
    fn new(spare: Spare) -> Self {
        Self { spare, written: 0 }
    }

    /// Writes the next piece of `len` zeros.
    async fn write(self, len: u64) -> Result<Self, IoFailure> {
        let Spare { name, file, .. } = self.spare;
        let piece = PIECE_LEN.min(len - self.written);
        let (file, _) = write_zeros(file, self.written, piece)?.0.sync().await?;
        let written = self.written + piece;
        let ahead = ZeroFill::DONE;
        Ok(Self {
            spare: Spare { name, file, ahead },
            written,
        })
    }
}

/// Zeros are written and synced in pieces of this size, so a sync of the log in the meantime waits
/// for one piece and not for a whole segment.
const PIECE_LEN: u64 = 1024 * 1024;

const _: () = assert!(PIECE_LEN <= ZEROS_MAX as u64);
