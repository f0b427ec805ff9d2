//! Files that are ready to become segments.
//!
//! A [`Preallocator`] makes them in the background, from truncated segments if it can. If no file
//! is ready, the writer makes one itself. There, failures that the preallocator ran into are
//! reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::format::names;
use crate::queue::completion::Completion;
use crate::retention::Retention;
use crate::storage::{Dir, File, Lock, Mode};
use crate::writer::preallocator::{Preallocator, Recycled, Retired, SpareRequest};
use crate::writer::write_ahead::WriteAhead;

/// A file of full length under the name of a spare. Its contents do not matter.
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) ahead: WriteAhead,
}

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
    /// Starts a preallocator of `count` files of `len` bytes.
    pub(super) fn start(
        dir: &Dir,
        executor: Executor,
        (count, len): (usize, u64),
        retention: &Arc<Retention>,
        lock: Lock,
    ) -> Result<Self, IoFailure> {
        let factory = SpareFactory {
            dir: dir.clone(),
            len,
            ahead: match count {
                0 => WriteAhead::DONE,
                _ => WriteAhead::NOTHING,
            },
            next: Arc::default(),
        };
        let (ready_sender, ready) = mpsc::channel(count.max(1));
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let owes_removals = Arc::default();
        let preallocator = Preallocator {
            factory: factory.clone(),
            retention: Arc::clone(retention),
            _lock: lock,
            executor,
            count,
            ready: ready_sender,
            jobs: inbox,
            owes_removals: Arc::clone(&owes_removals),
            unfinished: None,
            recycled: Recycled::default(),
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

    /// Waits until the preallocator has completed its requests.
    pub(super) async fn end(self) {
        drop((self.jobs, self.ready));
        let _ = self.ended.await;
    }
}

/// Makes files of a segment's length.
#[derive(Clone)]
pub(super) struct SpareFactory {
    pub(super) dir: Dir,
    pub(super) len: u64,
    /// How new files are written ahead by the writer. If preallocation is off, they are not.
    ahead: WriteAhead,
    /// The number in the next file's name.
    next: Arc<AtomicU64>,
}

impl SpareFactory {
    fn next_name(&self) -> String {
        names::spare(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A new file with its space allocated. Nothing is written to it.
    pub(super) fn make(&self) -> Result<Spare, IoFailure> {
        self.take_space(self.create()?)
    }

    fn create(&self) -> Result<Spare, IoFailure> {
        let (name, file) = self.name_freely(|name| self.dir.open(name, Mode::Create))?;
        let ahead = self.ahead;
        Ok(Spare { name, file, ahead })
    }

    /// Skips names that are taken by files of an earlier process that could not be removed.
    pub(super) fn name_freely<T>(
        &self,
        mut name_it: impl FnMut(&str) -> Result<T, IoFailure>,
    ) -> Result<(String, T), IoFailure> {
        loop {
            let name = self.next_name();
            match name_it(&name) {
                Err(fault) if fault.is_taken() => {}
                named => return Ok((name, named?)),
            }
        }
    }

    /// If the space cannot be allocated, the file is removed, so it does not keep a part of it.
    fn take_space(&self, spare: Spare) -> Result<Spare, IoFailure> {
        let Spare { name, file, ahead } = spare;
        match file.allocate(self.len) {
            Ok(file) => Ok(Spare { name, file, ahead }),
            Err(fault) => {
                self.discard(&name);
                Err(fault)
            }
        }
    }

    /// Removes a file that is not needed. If that fails, the next start finds and removes it.
    pub(super) fn discard(&self, name: &str) {
        let _ = self.dir.remove(name);
    }
}

/// Creates a file with the name of a spare, so the next start removes it if this process ends
/// early.
///
/// The numbers count down, so they never meet those of a factory. Otherwise, on systems that cannot
/// rename without replacing, one of them could replace the other's file.
pub(super) fn create_free(dir: &Dir) -> Result<(String, File), IoFailure> {
    let taken = dir.list()?;
    let numbers = (0..).map(|number| u64::MAX - number);
    let mut names = numbers
        .map(names::spare)
        .filter(|name| !taken.contains(name));
    loop {
        let name = names.next().expect("there are more numbers than files");
        match dir.open(&name, Mode::Create) {
            Err(fault) if fault.is_taken() => {}
            created => return Ok((name, created?)),
        }
    }
}
