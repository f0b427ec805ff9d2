//! The task that makes spare files.
//!
//! It allocates a new file and fills it with zeros piece by piece. So later syncs have no metadata
//! to write, and no other sync waits for more than one piece. It prefers to recycle truncated
//! segments: once there are enough of them, an unfinished file waits for the next rotation. If
//! truncation keeps up with rotation, each byte is therefore written once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, IoFailure};
use crate::executor::Executor;
use crate::format::names;
use crate::mutants::{Mutant, skip_next_sync};
use crate::queue::completion::Completion;
use crate::retention::Retention;
use crate::storage::{Lock, Mode};
use crate::writer::spare_factory::{Spare, SpareFactory};
use crate::writer::write_ahead::{WriteAhead, ZEROS_MAX, write_zeros};

/// A request to the preallocator.
pub(super) enum SpareRequest {
    /// Make as many spares as configured.
    Fill,
    /// Recycle or remove truncated segments, oldest first.
    Retire(Vec<Retired>, Completion<()>),
    /// Remove the recycled segments: the log closes.
    Discard,
}

/// A file that is no longer part of the log.
pub(super) struct Retired {
    pub(super) name: String,
    /// Where its records end: up to there it was written and synced.
    pub(super) end: u64,
}

/// The task behind `Spares`, which is the writer's end.
pub(super) struct Preallocator {
    pub(super) factory: SpareFactory,
    pub(super) retention: Arc<Retention>,
    /// A caller that opens the directory next waits for this task too, even if the writer has panicked.
    pub(super) _lock: Lock,
    pub(super) executor: Executor,
    /// How many spares are kept ready.
    pub(super) count: usize,
    pub(super) ready: mpsc::Sender<Spare>,
    pub(super) jobs: mpsc::UnboundedReceiver<SpareRequest>,
    pub(super) owes_removals: Arc<AtomicBool>,
    pub(super) unfinished: Option<Unfinished>,
    pub(super) recycled: Recycled,
}

/// A new file that is being filled with zeros.
pub(super) struct Unfinished {
    spare: Spare,
    /// Bytes that are written and synced.
    written: u64,
}

/// Truncated segments.
#[derive(Default)]
pub(super) struct Recycled {
    /// Files that already have a spare's name, and become ready when there is a free slot.
    stock: Vec<Retired>,
    /// Segments that could not be removed, oldest first.
    leftovers: Vec<Retired>,
}

impl Preallocator {
    /// Runs until no more requests can come.
    pub(super) async fn run(mut self, end: oneshot::Sender<()>) {
        while let Some(job) = self.jobs.recv().await {
            match job {
                SpareRequest::Fill => self.fill().await,
                SpareRequest::Retire(segments, done) => self.retire(segments, done),
                SpareRequest::Discard => self.discard_stock(),
            }
        }
        if let Some(unfinished) = self.unfinished.take() {
            self.factory.discard(&unfinished.spare.name);
        }
        // The writer unlocks the directory once it knows that this task has ended.
        drop(self);
        drop(end);
    }

    fn discard_stock(&mut self) {
        for segment in self.recycled.stock.drain(..) {
            self.factory.discard(&segment.name);
        }
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
            let written = self.write_ahead().await;
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
    async fn write_ahead(&mut self) -> Result<(), IoFailure> {
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
                SpareRequest::Discard => self.discard_stock(),
                // Filling is in progress already.
                SpareRequest::Fill => {}
            }
        }
    }

    /// Removes or recycles segments, makes that durable, and answers.
    ///
    /// A recycled file is used only once the removal of its old name is durable: otherwise a crash
    /// could bring the old name back, on a file that has become another segment. If a file cannot
    /// be removed, the others are still removed. It is reported, and the next truncation tries
    /// again. Any order is safe, because all of these files are below the head mark.
    fn retire(&mut self, segments: Vec<Retired>, done: Completion<()>) {
        let mut recycled = Vec::new();
        let mut failed = None;
        let leftovers = std::mem::take(&mut self.recycled.leftovers);
        for segment in leftovers.into_iter().chain(segments) {
            match self.retire_one(&segment, recycled.len()) {
                Ok(spare) => recycled.extend(spare),
                Err(fault) => {
                    self.recycled.leftovers.push(segment);
                    failed.get_or_insert(fault);
                }
            }
        }
        self.owes_removals
            .store(!self.recycled.leftovers.is_empty(), Ordering::Relaxed);
        skip_next_sync(Mutant::RecycleUnsynced);
        match self.factory.dir.sync_removals() {
            Ok(synced) => {
                self.recycled.stock.append(&mut recycled);
                self.use_stock();
                match failed {
                    None => done.done(synced),
                    Some(fault) => done.fail(Error::Io(fault)),
                }
            }
            Err(fault) => {
                let names = recycled.iter().map(|spare| &spare.name);
                names.for_each(|name| self.factory.discard(name));
                done.fail(Error::Io(fault));
            }
        }
    }

    /// Recycles a segment and returns its new name, if another spare is needed. Otherwise removes
    /// it.
    fn retire_one(&self, segment: &Retired, recycled: usize) -> Result<Option<Retired>, IoFailure> {
        let Retired { name: old, end } = segment;
        if self.kept() + recycled < 2 * self.count && self.is_reusable(old) {
            let dir = &self.factory.dir;
            let renamed = self.factory.name_freely(|name| dir.rename(old, name));
            if let Ok((name, ())) = renamed {
                return Ok(Some(Retired { name, end: *end }));
            }
        }
        match self.factory.dir.remove(old) {
            Err(fault) if !fault.is_not_found() => Err(fault),
            _ => Ok(None),
        }
    }

    /// The number of files in reserve.
    fn kept(&self) -> usize {
        let ready = self.ready.max_capacity() - self.ready.capacity();
        ready + self.recycled.stock.len() + usize::from(self.unfinished.is_some())
    }

    fn use_stock(&mut self) {
        while self.wants_more()
            && let Some(retired) = self.recycled.stock.pop()
        {
            self.reuse(retired);
        }
    }

    /// Makes a recycled file ready, or removes it.
    fn reuse(&mut self, Retired { name, end }: Retired) {
        let opened = self.factory.dir.open(&name, Mode::Write);
        let opened = opened.map(|file| file.written_before(end));
        match opened.and_then(|file| file.allocate(self.factory.len)) {
            Ok(file) if file.is_exclusive().is_ok_and(|is| is) => {
                let ahead = WriteAhead::DONE;
                self.hand_over(Spare { name, file, ahead });
            }
            _ => self.factory.discard(&name),
        }
    }

    /// A file with another name is shared, for example with a backup. A file that a follower is
    /// reading must not change.
    fn is_reusable(&self, name: &str) -> bool {
        if names::parse_segment(name).is_some_and(|base| self.retention.is_pinned(base)) {
            return false;
        }
        let opened = self.factory.dir.open(name, Mode::Read);
        let looked =
            opened.and_then(|file| Ok(file.is_exclusive()? && file.len()? == self.factory.len));
        looked.is_ok_and(|is_reusable| is_reusable)
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
        let ahead = WriteAhead::DONE;
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
