//! The task that makes spare files.
//!
//! It takes the space of a new file and writes it full of zeros piece by piece, so that later syncs have
//! no metadata to write and no other sync waits for more than a piece. It prefers truncated segments: when
//! enough of those have come, the file that is being made waits for the next rotation instead of being
//! written on. So where truncation keeps up, each byte is written once.

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
use crate::writer::spares::{Spare, SpareFactory};
use crate::writer::write_ahead::{WriteAhead, ZEROS_MAX, write_zeros};

/// What the preallocator is asked for.
pub(super) enum Job {
    /// As many spares as are wanted.
    Fill,
    /// To recycle or remove truncated segments, oldest first.
    Retire(Vec<Retired>, Completion<()>),
}

/// A file that is not part of the log any more.
pub(super) struct Retired {
    pub(super) name: String,
    /// Where its records end: up to there it was written and synced.
    pub(super) end: u64,
}

/// The task behind [`Spares`](crate::writer::spares::Spares).
pub(super) struct Preallocator {
    pub(super) factory: SpareFactory,
    pub(super) retention: Arc<Retention>,
    /// A caller that opens the directory next waits for this task too, even if the writer has panicked.
    pub(super) _lock: Lock,
    pub(super) executor: Executor,
    /// How many spares are kept ready.
    pub(super) count: usize,
    pub(super) ready: mpsc::Sender<Spare>,
    pub(super) jobs: mpsc::UnboundedReceiver<Job>,
    pub(super) owes_removals: Arc<AtomicBool>,
    pub(super) unfinished: Option<Unfinished>,
    pub(super) recycled: Recycled,
}

/// A new file that is being written full of zeros.
pub(super) struct Unfinished {
    spare: Spare,
    /// Bytes that are written and synced.
    written: u64,
}

/// Truncated segments.
#[derive(Default)]
pub(super) struct Recycled {
    /// Those that have a spare's name and become ready when there is a place for them.
    stock: Vec<Retired>,
    /// Those that could not be removed, oldest first.
    leftovers: Vec<Retired>,
}

impl Preallocator {
    /// Ends once no request can come any more.
    pub(super) async fn run(mut self, end: oneshot::Sender<()>) {
        while let Some(job) = self.jobs.recv().await {
            match job {
                Job::Fill => self.fill().await,
                Job::Retire(segments, done) => self.retire(segments, done),
            }
        }
        if let Some(unfinished) = self.unfinished.take() {
            self.factory.discard(&unfinished.spare.name);
        }
        // The writer unlocks the directory when it hears of the end.
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
            let written = self.write_ahead().await;
            self.retire_meanwhile();
            if written.is_err() {
                // What was recycled in the meantime is there when the disk is full.
                return self.use_stock();
            }
            self.executor.yield_now().await;
        }
    }

    /// Writes the next piece of a new file, and makes the file ready if that was the last. A file that
    /// cannot be written does not stay behind.
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
                Job::Retire(segments, done) => self.retire(segments, done),
                // This is what is being done.
                Job::Fill => {}
            }
        }
    }

    /// Removes or recycles segments, makes that durable, and answers.
    ///
    /// A recycled file is used only once its old name is gone for good: otherwise a crash could bring
    /// the name back, on a file that has become another segment. A file that cannot be removed keeps
    /// none of the others: it is reported, and tried again with the next truncation. That is safe in
    /// any order, because all of them are below the head mark.
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

    /// Recycles a segment, if another spare is wanted, and returns its new name; or removes it.
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

    /// How many files there are beside the log's.
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

    /// A file that has another name is shared, for example with a backup. One that a
    /// follower is reading stays as it is.
    fn is_reusable(&self, name: &str) -> bool {
        if names::parse_segment(name).is_some_and(|base| self.retention.is_pinned(base)) {
            return false;
        }
        let opened = self.factory.dir.open(name, Mode::Read);
        let looked =
            opened.and_then(|file| Ok(file.is_exclusive()? && file.len()? == self.factory.len));
        looked.is_ok_and(|is_reusable| is_reusable)
    }

    /// There is room for it: files are made ready only while more are wanted, by this task alone. If the
    /// writer has gone, the file is removed.
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

/// Zeros are written and synced in pieces of this size: a sync of the log that comes in the meantime waits
/// for one of them, not for a whole segment.
const PIECE_LEN: u64 = 1024 * 1024;

const _: () = assert!(PIECE_LEN <= ZEROS_MAX as u64);
