//! Files that are ready to become segments.
//!
//! A [`Preallocator`] makes them in the background, of truncated segments where it can. If it has nothing
//! ready, the writer makes a file itself; whatever the preallocator could not do is tried, and reported,
//! there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::format::names;
use crate::queue::completion::Completion;
use crate::retention::Retention;
use crate::storage::{Dir, File, Lock, Mode};
use crate::writer::preallocator::{Job, Preallocator, Recycled, Retired};
use crate::writer::write_ahead::WriteAhead;

/// A file of full length with some name that is not a segment's. Its contents do not matter.
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) ahead: WriteAhead,
}

/// The writer's side.
pub(super) struct Spares {
    factory: SpareFactory,
    ready: mpsc::Receiver<Spare>,
    jobs: mpsc::UnboundedSender<Job>,
    /// Whether files of an earlier truncation are still to be removed.
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

    /// Whether it still has its name, and no other: a copy of the directory that was made of links must not
    /// follow what is written now.
    fn is_usable(file: &File) -> bool {
        file.check_present().is_ok() && file.is_exclusive().is_ok_and(|is| is)
    }

    /// Removes a file that did not become a segment.
    pub(super) fn discard(&self, name: &str) {
        self.factory.discard(name);
    }

    /// Asks for as many files as are wanted to be made ready.
    pub(super) fn refill(&self) {
        // The preallocator ends after the writer, or with the runtime: then no file is needed.
        let _ = self.jobs.send(Job::Fill);
    }

    /// Whether files of an earlier truncation could not be removed and will be tried again with the
    /// next one.
    pub(super) fn owes_removals(&self) -> bool {
        self.owes_removals.load(Ordering::Relaxed)
    }

    /// Asks for truncated segments to be recycled or removed, oldest first, and for those that an
    /// earlier truncation could not remove.
    pub(super) fn retire(&self, segments: Vec<Retired>, done: Completion<()>) {
        let _ = self.jobs.send(Job::Retire(segments, done));
    }

    /// Waits until the preallocator has done what it was asked for.
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
    /// What new files are written ahead by those who use them: not at all where no file is.
    ahead: WriteAhead,
    /// The number in the next file's name.
    next: Arc<AtomicU64>,
}

impl SpareFactory {
    fn next_name(&self) -> String {
        names::spare(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A new file that has its space. Nothing is written to it.
    pub(super) fn make(&self) -> Result<Spare, IoFailure> {
        self.take_space(self.create()?)
    }

    fn create(&self) -> Result<Spare, IoFailure> {
        let (name, file) = self.name_freely(|name| self.dir.open(name, Mode::Create))?;
        let ahead = self.ahead;
        Ok(Spare { name, file, ahead })
    }

    /// Passes over names that are taken by what an earlier process left and could not be removed.
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

    /// A file that cannot have its space is removed, so that it does not keep what it got.
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

    /// Removes a file that is of no use. If that fails it will be found, and removed, at the next start.
    pub(super) fn discard(&self, name: &str) {
        let _ = self.dir.remove(name);
    }
}

/// Creates a file with the name of a spare, which is what the next start removes if this one gets no
/// further.
///
/// The numbers are counted down, so that a factory's never meet them: where the system cannot rename without
/// replacing, one of both would take the other's file.
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
