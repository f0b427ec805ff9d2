//! Reading what memory no longer holds: finished segments, from their files.
//!
//! A task of its own on the log's executor, because files block. It ends when the records that follow are in
//! memory, and does not depend on the follower's being polled: it gives up its file as soon as the log is
//! about to close, or has truncated the segment.

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
use crate::retention::{Kept, Place, Sealed};

/// Records of a file, and the memory that they take.
pub(super) struct Chunk {
    pub(super) records: Records,
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) type Chunks = mpsc::Receiver<Result<Chunk>>;

/// Starts to read from `next` on. The channel ends when what follows is in memory, or the log is closing.
pub(super) fn start(source: Source, next: Lsn) -> Result<Chunks> {
    // A chunk has its room before it is read, so that sending it never waits.
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
    /// Room for chunks that are read, on their way, or being consumed.
    memory: Arc<Semaphore>,
    outbox: mpsc::Sender<Result<Chunk>>,
}

impl CatchUp {
    async fn run(mut self) {
        if let Err(error) = self.catch_up().await {
            // An error means that the follower has gone.
            let _ = self.outbox.send(Err(error)).await;
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        while self.source.feed.needs_files(self.next) && !self.outbox.is_closed() {
            match self.source.retention.place_of(self.next) {
                Place::Finished(sealed) => self.read(&sealed).await?,
                Place::Open => self.finish_open().await,
                Place::Closing => return Ok(()),
                Place::Truncated { oldest } => {
                    let asked = self.next;
                    return Err(Error::Truncated { asked, oldest });
                }
            }
        }
        Ok(())
    }

    /// Reads one segment, unless it goes meanwhile.
    async fn read(&mut self, sealed: &Sealed) -> Result<()> {
        let base = sealed.header.base;
        let Some(_pin) = self.source.pin(base) else {
            return Ok(());
        };
        let mut scan =
            FinishedScan::open(&self.source.dir, &sealed.header, sealed.last, sealed.end)?;
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
            // An error means that the follower has gone, which is noticed above.
            let _ = self.outbox.send(Ok(Chunk { records, room })).await;
        }
    }

    /// Waits until the segment that is being written is finished, and asks for it if that may be.
    async fn finish_open(&self) {
        let next = self.next;
        let is_finished = move |kept: &Kept| kept.is_finished(next);
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
            // On a full disk it is tried again after the interval.
            Some(Ok(()) | Err(Error::StorageFull(_) | Error::SegmentUnavailable(_))) | None => {}
            // The log is about to end.
            Some(Err(_)) => drop(self.unless(|_| false, std::future::pending::<()>()).await),
        }
    }

    /// Does something, unless this comes to be so, the log is closing, or the follower has gone.
    async fn unless<T>(
        &self,
        is_so: impl Fn(&Kept) -> bool,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        self.source.unless(is_so, self.outbox.closed(), work).await
    }
}

/// Chunks of records in memory: one that is being read, one on its way, one that is being consumed.
const CHUNKS_MAX: u32 = 3;
