//! Reading what memory no longer holds: finished segments, from their files.
//!
//! It is a separate task on the log's executor, because file I/O blocks. It ends once the next
//! records are in memory. It does not depend on the follower being polled: it closes its file as
//! soon as the log is about to close or has truncated the segment.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::{Error, Result};
use crate::follow::source::Source;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::queue::completion::Completion;
use crate::queue::request::Request;
use crate::recovery::{FinishedScan, Records};
use crate::retention::{Finished, RetentionState, SegmentState};

/// Records read from a file, and the permit for the memory that they take.
pub(super) struct Chunk {
    pub(super) records: Records,
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) type Chunks = mpsc::Receiver<Result<Chunk>>;

/// Starts reading at `next`. The channel ends when the next records are in memory, or when the log
/// is closing.
pub(super) fn start(source: Source, next: Lsn) -> Result<Chunks> {
    // Room for a chunk is acquired before it is read, so sending it never waits.
    let (outbox, chunks) = mpsc::channel(CHUNKS_MAX as usize + 1);
    let task = source.clone();
    let catch_up = CatchUp {
        source,
        next,
        memory: Arc::new(Semaphore::new(CHUNKS_MAX as usize)),
        outbox,
    };
    task.run(catch_up.run())?;
    Ok(chunks)
}

struct CatchUp {
    source: Source,
    next: Lsn,
    /// Room for chunks that are being read, queued or consumed.
    memory: Arc<Semaphore>,
    outbox: mpsc::Sender<Result<Chunk>>,
}

impl CatchUp {
    async fn run(mut self) {
        if let Err(error) = self.catch_up().await {
            // An error means that the follower was dropped.
            let _ = self.outbox.send(Err(error)).await;
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        while self.source.feed.needs_files(self.next) && !self.outbox.is_closed() {
            match self.source.retention.segment_of(self.next) {
                SegmentState::Finished(segment) => self.read(&segment).await?,
                SegmentState::Open => self.finish_open().await,
                SegmentState::Closing => return Ok(()),
                SegmentState::Truncated { oldest } => {
                    let asked = self.next;
                    return Err(Error::Truncated { asked, oldest });
                }
            }
        }
        Ok(())
    }

    /// Reads one segment, unless it is truncated in the meantime.
    async fn read(&mut self, segment: &Finished) -> Result<()> {
        let base = segment.header.base;
        let Some(_pin) = self.source.pin(base) else {
            return Ok(());
        };
        let mut scan =
            FinishedScan::open(&self.source.dir, &segment.header, segment.last, segment.end)?;
        loop {
            let count = if scan.is_large_next() { CHUNKS_MAX } else { 1 };
            let room = Arc::clone(&self.memory).acquire_many_owned(count);
            let Some(Ok(room)) = self
                .unless(
                    move |kept| !kept.has(base) && !is_active(Mutant::OpenSegmentRead),
                    room,
                )
                .await
            else {
                return Ok(());
            };
            let Some((records, last)) = scan.read(self.next)? else {
                return Ok(());
            };
            let Some(last) = last else { continue };
            self.next = last.next();
            // An error means that the follower was dropped, which is detected above.
            let _ = self.outbox.send(Ok(Chunk { records, room })).await;
        }
    }

    /// Waits until the open segment is finished. Requests a rotation if the interval allows it.
    async fn finish_open(&self) {
        let next = self.next;
        let is_finished = move |kept: &RetentionState| kept.is_finished(next);
        let claimed = self.source.feed.claim_rotation(self.source.executor.now());
        let Ok(()) = claimed else {
            let sleep = self.source.executor.sleep_until(claimed.err());
            self.unless(is_finished, sleep).await;
            return;
        };
        let rotated = async {
            let (done, answer) = Completion::new();
            let request = Request::Rotate(Duration::ZERO, done);
            self.source.log.ask(request).await?;
            answer.await
        };
        match self.unless(|_| false, rotated).await {
            // On a full disk it tries again after the interval.
            Some(Ok(()) | Err(Error::StorageFull(_) | Error::SegmentUnavailable(_))) | None => {}
            // The log is about to end.
            Some(Err(_)) => drop(self.unless(|_| false, std::future::pending::<()>()).await),
        }
    }

    /// Runs `job` unless the condition becomes true, the log is closing, or the follower was
    /// dropped.
    async fn unless<T>(
        &self,
        is_so: impl Fn(&RetentionState) -> bool,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        self.source.unless(is_so, self.outbox.closed(), work).await
    }
}

/// Chunks of records in memory: one being read, one in the channel, one being consumed.
const CHUNKS_MAX: u32 = 3;
