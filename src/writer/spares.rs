//! Files that are ready to become segments.
//!
//! A [`Preallocator`] makes them in the background, from truncated segments if it can. If no file
//! is ready, the writer makes one itself. There, failures that the preallocator ran into are
//! reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::options::WalOptions;
use crate::queue::completion::Completion;
use crate::retention::Retention;
use crate::storage::{Dir, File, Lock};
use crate::writer::preallocator::{Preallocator, SpareRequest};
use crate::writer::retire::{Recycler, Retired};
use crate::writer::spare_factory::{Spare, SpareFactory};

/// The writer's end.
pub(super) struct Spares {
    factory: SpareFactory,
    ready: mpsc::Receiver<Spare>,
    jobs: mpsc::UnboundedSender<SpareRequest>,
    /// Whether files of an earlier truncation must still be removed.
    owes_removals: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
}

impl Spares {
    /// Starts a preallocator of as many files as configured.
    pub(super) fn start(
        dir: &Dir,
        executor: Executor,
        options: &WalOptions,
        retention: &Arc<Retention>,
        lock: Lock,
    ) -> Result<Self, IoFailure> {
        let count = options.spare_segments;
        let factory = SpareFactory::new(dir, options.segment_size, count > 0);
        let (ready_sender, ready) = mpsc::channel(count.max(1));
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let owes_removals = Arc::default();
        let preallocator = Preallocator {
            factory: factory.clone(),
            recycler: Recycler::new(Arc::clone(retention), Arc::clone(&owes_removals)),
            _lock: lock,
            executor,
            count,
            ready: ready_sender,
            jobs: inbox,
            unfinished: None,
        };
        executor.run("tidewal-spares", dir.path(), preallocator.run(end))?;
        Ok(Self {
            factory,
            ready,
            jobs,
            owes_removals,
            ended,
        })
    }

    /// A file for the next segment: one that is ready, or a new one.
    pub(super) fn take(&mut self) -> Result<Spare, IoFailure> {
        while let Ok(spare) = self.ready.try_recv() {
            if Self::is_usable(&spare.file) {
                return Ok(spare);
            }
            self.factory.discard(&spare.name);
        }
        self.factory.make()
    }

    /// Whether the file still has its name and no other: a hard-link copy of the directory must not
    /// change.
    fn is_usable(file: &File) -> bool {
        file.check_present().is_ok() && file.is_exclusive().is_ok_and(|is| is)
    }

    /// Removes a file that did not become a segment.
    pub(super) fn discard(&self, name: &str) {
        self.factory.discard(name);
    }

    /// Requests that files be made until there are as many as configured.
    pub(super) fn refill(&self) {
        // The preallocator ends after the writer or with the runtime. No file is needed then.
        let _ = self.jobs.send(SpareRequest::Fill);
    }

    /// Whether files of an earlier truncation could not be removed. The next truncation tries
    /// again.
    pub(super) fn owes_removals(&self) -> bool {
        self.owes_removals.load(Ordering::Relaxed)
    }

    /// Requests that truncated segments be recycled or removed, oldest first, including those that
    /// an earlier truncation could not remove.
    pub(super) fn retire(&self, segments: Vec<Retired>, done: Completion<()>) {
        let _ = self.jobs.send(SpareRequest::Retire(segments, done));
    }

    /// Removes the files and ends: the next process could not use them, and a closed log takes no more
    /// space than its records.
    pub(super) async fn remove_and_end(mut self) {
        let _ = self.jobs.send(SpareRequest::Discard);
        drop(self.jobs);
        let _ = self.ended.await;
        while let Ok(spare) = self.ready.try_recv() {
            self.factory.discard(&spare.name);
        }
    }

    /// Waits until the preallocator has completed its requests.
    pub(super) async fn end(self) {
        drop((self.jobs, self.ready));
        let _ = self.ended.await;
    }
}
