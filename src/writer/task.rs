//! The writer task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, IoFailure, Result};
use crate::executor::Executor;
use crate::feed::Publisher;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::observe;
use crate::options::WalOptions;
use crate::queue::Inbox;
use crate::queue::ack_guard::PlacedAcks;
use crate::queue::completion::Completion;
use crate::recovered::Recovered;
use crate::retention::Retention;
use crate::small_deque::SmallDeque;
use crate::storage::{Closing, Dir, Lock, Present};
use crate::writer::adopt::adopt;
use crate::writer::batch::{Batch, DurableUpTo, Unsynced};
use crate::writer::batcher::{Action, Batcher, WriterState};
use crate::writer::disk_error::DiskError;
use crate::writer::segments::Segments;
use crate::writer::spares::Spares;
use crate::writer::stall_monitor::StallMonitor;
use crate::writer::tail::Tail;

/// Runs a log from its adoption to its end. Holds the lock for that time.
pub(super) async fn run(
    dir: Dir,
    executor: Executor,
    options: WalOptions,
    recovered: Recovered,
    lock: Lock,
    (inbox, feed): (Inbox, Publisher),
    ready: Completion<()>,
) {
    let ending = Ending {
        closing: lock.closing(),
        retention: Arc::clone(inbox.retention()),
    };
    let ends = (inbox, feed);
    let writer = match Writer::start(dir, executor, &options, recovered, ends, &lock).await {
        Ok(writer) => writer,
        Err(fault) => {
            drop((ending, lock));
            return ready.fail(fault.into());
        }
    };
    ready.done(writer.durable.receipt());
    let (inbox, feed, end) = writer.run(&ending.closing).await;
    // Followers must have closed their files before another process can write to them.
    feed.close();
    inbox.retention().close().await;
    // A caller that learns of the end may open the log again.
    drop(lock);
    feed.end(end.clone());
    inbox.finish(end);
}

/// Ends the log however the writer ends, even by a panic: readers close their files, and callers that
/// open the directory wait until they have. It must be dropped before the lock.
struct Ending {
    closing: Closing,
    retention: Arc<Retention>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.closing.announce();
        self.retention.end();
    }
}

/// The state of a log that is open for appending.
struct Writer {
    executor: Executor,
    inbox: Inbox,
    batcher: Batcher,
    tail: Tail,
    segments: Segments,
    unsynced: Unsynced,
    /// For followers of the log.
    feed: Publisher,
    in_doubt: InDoubt,
    durable: DurableUpTo,
    /// When the first record was written to the open segment.
    filled_since: Option<Instant>,
    /// Whether the open segment was opened although holds exceed their bounds.
    is_beyond_holds: bool,
    /// The log's directory, for messages.
    dir: Dir,
    stall_monitor: StallMonitor,
    /// Whether the last rotation was refused, which is reported once.
    is_refusing: bool,
}

/// The callers that were being served when an operation failed. They are answered once the log is
/// known to be closing, because they will open it again next.
#[derive(Default)]
struct InDoubt {
    appends: SmallDeque<PlacedAcks>,
    /// The caller of a truncation or a rotation.
    asked: Option<Completion<()>>,
}

impl InDoubt {
    fn fail(self, fault: &IoFailure) {
        self.appends
            .into_iter()
            .for_each(|append| append.fail(fault));
        self.asked
            .into_iter()
            .for_each(|done| done.fail(Error::OutcomeUnknown(fault.clone())));
    }
}

impl Writer {
    async fn start(
        dir: Dir,
        executor: Executor,
        options: &WalOptions,
        recovered: Recovered,
        (inbox, feed): (Inbox, Publisher),
        lock: &Lock,
    ) -> Result<Self, IoFailure> {
        let synced = adopt(&dir, &recovered).await?;
        let (end, last) = (recovered.end, recovered.last);
        let retention = Arc::clone(inbox.retention());
        let spares = Spares::start(&dir, executor, options, &retention, lock.share())?;
        let stall_monitor = StallMonitor::start(&dir, executor, options, &inbox)?;
        inbox.counters().note_opened(end, recovered.segments.len());
        let size = options.segment_size;
        let segments = Segments::new(dir.clone(), recovered, size, spares, retention);
        Ok(Self {
            executor,
            inbox,
            batcher: Batcher::new(executor, options),
            tail: Tail::Recovered {
                next: end.next(),
                last,
            },
            segments,
            unsynced: Unsynced::new(),
            feed,
            in_doubt: InDoubt::default(),
            durable: DurableUpTo::adopted(end, synced),
            filled_since: None,
            is_beyond_holds: false,
            dir,
            stall_monitor,
            is_refusing: false,
        })
    }

    /// Serves requests until the log is closed or an operation fails. Returns how it ended.
    async fn run(mut self, closing: &Closing) -> (Inbox, Publisher, Result<()>) {
        let end = match self.serve().await {
            Ok(()) => self.shut_down().await.map_err(Error::OutcomeUnknown),
            Err(fault) => Err(Error::Poisoned(fault)),
        };
        if let Err(Error::OutcomeUnknown(fault) | Error::Poisoned(fault)) = &end {
            // Callers will get an error and open the log again, possibly before its handles are
            // dropped.
            closing.announce();
            self.fail(fault);
        }
        match &end {
            Ok(()) => self.segments.spares.remove_and_end().await,
            // Nothing more is done to a disk that has failed.
            Err(_) => self.segments.spares.end().await,
        }
        (self.inbox, self.feed, end)
    }

    async fn serve(&mut self) -> Result<(), IoFailure> {
        loop {
            let state = WriterState {
                due: self.unsynced.due,
                idle_matters: self.unsynced.is_empty() && !self.tail.is_marked(),
            };
            match self.batcher.next(&mut self.inbox, state).await {
                Action::Commit(batch) => self.commit(batch).await?,
                Action::Truncate(before, done) => {
                    self.inbox.release_controls(1);
                    self.truncate(before, done).await?;
                }
                Action::Rotate(age, done) => {
                    self.inbox.release_controls(1);
                    self.finish_segment(age, done).await?;
                }
                Action::TruncatePutOff => {
                    let put_off = self.inbox.retention().take_put_off();
                    self.truncate_put_off(put_off).await?;
                }
                Action::SyncDue => self.sync().await?,
                Action::Idle => self.mark()?,
                Action::Closed => return Ok(()),
            }
        }
    }

    /// One group commit: one write, and one sync if it is due. More of each only where a segment
    /// ends.
    async fn commit(&mut self, mut batch: Batch) -> Result<(), IoFailure> {
        let asks = batch.syncs.len();
        if let Err(fault) = self.write(&mut batch).await {
            self.batcher.take_back(batch);
            return Err(fault);
        }
        self.inbox.release(batch.places);
        self.inbox.release_controls(asks);
        self.unsynced.push_syncs(&mut batch.syncs);
        if batch
            .due
            .min(self.unsynced.due)
            .is_reached(|| self.executor.now())
        {
            self.sync().await?;
        }
        Ok(())
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), IoFailure> {
        while let Some(len) = batch.next_len() {
            match self.make_room(len).await {
                Ok(()) => {}
                // The rest of the batch is refused too, so appends that were submitted together
                // have the same outcome.
                Err(DiskError::Refused(fault)) => {
                    let error = Error::without_segment(fault);
                    self.note_refused(&error, batch.len());
                    batch.refuse(&error);
                    return Ok(());
                }
                Err(DiskError::Broken(fault)) => return Err(fault),
            }
            let segment = self.tail.take_open().expect("a rotation opens a segment");
            let first = segment.next();
            let encoded = batch.encode(&segment, self.durable.lsn());
            let now = || self.executor.now();
            let (segment, written, frames) = match encoded.write(segment, &self.inbox, now) {
                Ok(written) => written,
                Err((fault, appends)) => {
                    self.in_doubt.appends = appends;
                    return Err(fault);
                }
            };
            self.filled_since.get_or_insert_with(now);
            self.feed
                .stage(first..=segment.next().prev(), || frames.share());
            self.segments.request_next(&segment);
            self.tail = Tail::Open(segment);
            self.batcher.expect_idle(&self.inbox);
            self.unsynced.absorb(written, batch.due);
            self.batcher.recycle(frames);
        }
        Ok(())
    }

    /// Syncs what was written, and answers the callers that wait for it.
    async fn sync(&mut self) -> Result<(), IoFailure> {
        let Some(upto) = self.unsynced.upto() else {
            self.check_present()?;
            self.unsynced.answer_syncs(self.durable);
            return Ok(());
        };
        let segment = self
            .tail
            .take_open()
            .expect("what was written is in the open segment");
        let started = self.begin_disk_work();
        let (segment, synced) = segment.sync().await?;
        self.tail = Tail::Open(segment);
        let (took, ended) = self.end_disk_work(started);
        self.inbox.counters().note_sync(took, upto);
        let unsynced = std::mem::replace(&mut self.unsynced, Unsynced::new());
        self.batcher.expect_idle(&self.inbox);
        let (durable, count) =
            unsynced
                .synced(upto, synced)
                .acknowledge(&self.inbox, &mut self.feed, ended);
        self.durable = durable;
        self.batcher.note_answered(count, took);
        Ok(())
    }

    /// Ensures that `len` bytes fit into the open segment, and that holds allow it.
    async fn make_room(&mut self, len: u64) -> Result<(), DiskError> {
        let has_room = self.tail.has_room(len);
        if has_room && !self.is_beyond_holds {
            return Ok(());
        }
        let released = self.inbox.retention().release_exhausted();
        let truncated = self.truncate_put_off(released).await;
        truncated.map_err(DiskError::Broken)?;
        self.segments.check_held()?;
        self.is_beyond_holds = false;
        match has_room {
            true => Ok(()),
            false => self.rotate().await,
        }
    }

    /// Rotates to a new segment.
    async fn rotate(&mut self) -> Result<(), DiskError> {
        if !self.unsynced.is_empty() && !is_active(Mutant::RotationUnsynced) {
            self.sync().await.map_err(DiskError::Broken)?;
        }
        let (started, base) = (self.begin_disk_work(), self.tail.next());
        let advance = self.segments.advance(&mut self.tail);
        observe::rotating(self.dir.path(), base, advance).await?;
        self.end_disk_work(started);
        let kept = self.segments.count();
        self.inbox.counters().note_segment_opened(kept);
        self.is_refusing = false;
        self.filled_since = None;
        Ok(())
    }

    /// Carries out a truncation that a hold has postponed. No caller waits for it. If it fails, the
    /// next truncation tries again.
    async fn truncate_put_off(&mut self, before: Option<Lsn>) -> Result<(), IoFailure> {
        match before {
            Some(before) => self.truncate(before, Completion::new().0).await,
            None => Ok(()),
        }
    }

    /// Rotates to a new segment at a caller's request, if the open one has a record of that age.
    ///
    /// Holds that exceed their bounds do not prevent it: their owners may need the records of the
    /// open segment to move on. But nothing is appended to the new segment before they have moved.
    async fn finish_segment(
        &mut self,
        age: Duration,
        done: Completion<()>,
    ) -> Result<(), IoFailure> {
        let now = self.executor.now();
        let is_due = |since: Instant| now.saturating_duration_since(since) >= age;
        if !self.filled_since.is_some_and(is_due) {
            done.done(self.durable.receipt());
            return Ok(());
        }
        let is_beyond_holds = self.segments.check_held().is_err();
        match self.rotate().await {
            Ok(()) => {
                self.is_beyond_holds = is_beyond_holds;
                done.done(self.durable.receipt());
            }
            Err(DiskError::Refused(fault)) => {
                let error = Error::without_segment(fault);
                self.note_refused(&error, 0);
                done.fail(error);
            }
            Err(DiskError::Broken(fault)) => {
                self.in_doubt.asked = Some(done);
                return Err(fault);
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, before: Lsn, done: Completion<()>) -> Result<(), IoFailure> {
        let end = self.tail.next().prev();
        if before > end.next() {
            done.fail(Error::BeyondEnd { asked: before, end });
            return Ok(());
        }
        let started = self.begin_disk_work();
        let cut = self.segments.truncate_before(before, &mut self.tail);
        let cut = observe::truncating(self.dir.path(), before, cut).await;
        self.end_disk_work(started);
        let cut = match cut {
            Ok(cut) => cut,
            Err(DiskError::Refused(fault)) => {
                done.fail(Error::Io(fault));
                return Ok(());
            }
            Err(DiskError::Broken(fault)) => {
                self.in_doubt.asked = Some(done);
                return Err(fault);
            }
        };
        let kept = self.segments.count();
        self.inbox.counters().note_truncation(cut.len(), kept);
        let held = self.inbox.retention().held();
        self.inbox.counters().note_held(held);
        if cut.is_empty() && !self.segments.spares.owes_removals() {
            done.done(self.durable.receipt());
        } else {
            self.segments.spares.retire(cut, done);
        }
        Ok(())
    }

    /// Checks that the log's files are still present. A file without its name is not durable.
    fn check_present(&self) -> Result<Present, IoFailure> {
        match &self.tail {
            Tail::Open(segment) => segment.check_present().and(self.dir.check_present()),
            Tail::Recovered { .. } | Tail::Poisoned => self.dir.check_present(),
        }
    }

    /// Writes the mark of an idle log. Fails if the segment was removed or replaced.
    fn mark(&mut self) -> Result<(), IoFailure> {
        match self.check_present() {
            Err(fault) if fault.is_not_found() => return Err(fault),
            _ => {}
        }
        if let Tail::Open(segment) = &mut self.tail {
            segment.mark(&self.dir);
        }
        Ok(())
    }

    async fn shut_down(&mut self) -> Result<(), IoFailure> {
        if !self.unsynced.is_empty() {
            self.sync().await?;
        }
        let started = self.begin_disk_work();
        let close = self.tail.take().close();
        observe::closing(self.dir.path(), close).await?;
        self.end_disk_work(started);
        observe::closed(self.dir.path(), self.durable.lsn());
        Ok(())
    }

    /// The cause is stored before any caller is answered with it.
    fn fail(&mut self, fault: &IoFailure) {
        observe::poisoned(self.dir.path(), fault);
        self.inbox.counters().end_disk_work();
        self.inbox.counters().note_poisoned();
        self.inbox.poison(fault);
        std::mem::take(&mut self.in_doubt).fail(fault);
        self.unsynced.fail(fault);
        self.batcher.refuse(&Error::Poisoned(fault.clone()));
    }

    /// Records that the writer is about to wait for the disk, for the stall monitor.
    fn begin_disk_work(&self) -> Instant {
        let started = self.executor.now();
        self.inbox.counters().begin_disk_work(started);
        self.stall_monitor.begun();
        started
    }

    /// Records that the wait for the disk has ended. Returns how long it took, and when it ended.
    fn end_disk_work(&self, started: Instant) -> (Duration, Instant) {
        let ended = self.executor.now();
        let took = ended.saturating_duration_since(started);
        self.inbox.counters().end_disk_work();
        self.stall_monitor.ended(took);
        (took, ended)
    }

    fn note_refused(&mut self, error: &Error, appends: usize) {
        let counters = self.inbox.counters();
        counters.end_disk_work();
        match error {
            Error::StorageFull(_) => counters.note_storage_full(appends),
            _ => counters.note_segment_unavailable(appends),
        }
        if !std::mem::replace(&mut self.is_refusing, true) {
            observe::refused(self.dir.path(), error);
        }
    }
}
