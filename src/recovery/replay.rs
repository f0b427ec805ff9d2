//! The task that reads a log and sends its records.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::{Corruption, CorruptionKind, Error, Result};
use crate::lsn::Lsn;
use crate::observe;
use crate::recovered::{LastSegment, Recovered};
use crate::recovery::chain::{SegmentChain, SegmentMeta, Start};
use crate::recovery::chunk::{Chunk, Keep, Records};
use crate::recovery::lock_dir::ToLock;
use crate::recovery::report::RecoveryReport;
use crate::recovery::scan::{Scan, Stop};
use crate::recovery::tail::{self, Verdict};
use crate::storage::{Dir, Lock};

/// What a replay sends: the first event once, the second any number of times, the third once.
pub(super) enum Event {
    Opened {
        dir: Dir,
        lock: Lock,
        report: RecoveryReport,
    },
    /// The permit for the memory of the records is released when the consumer has finished with
    /// them.
    Records(Records, RecoveryReport, Option<Room>),
    Ended(Recovered, RecoveryReport),
}

/// A part of the memory that records may take.
pub(super) type Room = OwnedSemaphorePermit;

/// Reads a log and sends it. Ends early if the receiver is dropped.
pub(super) async fn run(source: Source, start: Start, events: Outbox) {
    let sent = match open(source, start).await {
        Ok((dir, lock, replayer)) => replayer.send_all(&dir, lock, &events).await,
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        observe::recovery_failed(&error);
        // An error means that the receiver was dropped.
        let _ = events.send(Err(error)).await;
    }
}

/// The directory to be read.
pub(super) enum Source {
    ToLock(ToLock),
    #[cfg(feature = "snapshot")]
    Locked(Dir, Lock),
}

async fn open(source: Source, start: Start) -> Result<(Dir, Lock, Replayer)> {
    let (dir, lock) = match source {
        Source::ToLock(to_lock) => to_lock.lock().await?,
        #[cfg(feature = "snapshot")]
        Source::Locked(dir, lock) => (dir, lock),
    };
    let chain = SegmentChain::read(&dir)?;
    let first = chain.first_to_read(start)?;
    let report = RecoveryReport {
        segments: chain.segments.len() as u64,
        oldest: chain.oldest(),
        end: chain
            .segments
            .get(first)
            .map_or(Lsn::ZERO, |segment| segment.header.base.prev()),
        ..RecoveryReport::default()
    };
    Ok((
        dir,
        lock,
        Replayer {
            chain,
            start,
            first,
            report,
            memory: Arc::new(Semaphore::new(CHUNKS_MAX as usize)),
        },
    ))
}

/// Sends the records of a directory that is open.
struct Replayer {
    chain: SegmentChain,
    start: Start,
    first: usize,
    report: RecoveryReport,
    /// Room for chunks that are being read, in the channel or being consumed.
    memory: Arc<Semaphore>,
}

impl Replayer {
    async fn send_all(mut self, dir: &Dir, lock: Lock, outbox: &Outbox) -> Result<()> {
        let opened = Event::Opened {
            dir: dir.clone(),
            lock,
            report: self.report.clone(),
        };
        send(outbox, opened).await?;
        let mut last = None;
        for index in self.first..self.chain.segments.len() {
            last = self.send_segment(dir, index, outbox).await?;
        }
        let end = self.report.end;
        match self.start {
            Start::At(asked) if asked > end.next() => return Err(Error::BeyondEnd { asked, end }),
            _ => {}
        }
        let headers = self
            .chain
            .segments
            .iter()
            .map(|segment| segment.header)
            .collect();
        let SegmentChain { stale, spares, .. } = self.chain;
        let recovered = Recovered {
            end,
            segments: headers,
            last,
            stale,
            spares,
        };
        observe::recovered(end, self.report.segments, self.report.records);
        send(outbox, Event::Ended(recovered, self.report)).await
    }

    /// Sends one segment's records. Returns how the segment ends if it is the newest.
    async fn send_segment(
        &mut self,
        dir: &Dir,
        index: usize,
        outbox: &Outbox,
    ) -> Result<Option<LastSegment>> {
        let successor = self.chain.segments.get(index + 1).cloned();
        let limit = successor
            .as_ref()
            .and_then(|next| next.header.predecessor)
            .map(|prev| prev.end);
        let mut scan = Scan::open(dir, &self.chain.segments[index], limit)?;
        loop {
            let room = self.wait_for_room(scan.is_large_next(), outbox).await?;
            let mut chunk = Chunk::new(self.keep());
            let stop = scan.read_block(&mut chunk)?;
            self.send_records(chunk, room, outbox).await?;
            self.report.end = scan.end().0;
            let Some(stop) = stop else { continue };
            if let Stop::UnknownKind(kind) = stop {
                return Err(scan.unsupported(kind));
            }
            return match successor {
                Some(next) => Ok(check_complete(dir, &scan, &next).map(|()| None)?),
                None => self.judge(dir, &scan, stop).map(Some),
            };
        }
    }

    fn keep(&self) -> Keep {
        match self.start.wants_records() {
            true => Keep::ALL,
            false => Keep::Nothing,
        }
    }

    /// A large record is alone in memory: it is read once the consumer has finished with everything
    /// before it, and nothing is read ahead of it.
    async fn wait_for_room(&self, is_large: bool, outbox: &Outbox) -> Result<Option<Room>> {
        if !self.start.wants_records() {
            return Ok(None);
        }
        let count = if is_large { CHUNKS_MAX } else { 1 };
        let memory = Arc::clone(&self.memory);
        let room = memory.acquire_many_owned(count).await.ok();
        match outbox.is_closed() {
            true => Err(Error::Interrupted),
            false => Ok(room),
        }
    }

    async fn send_records(
        &mut self,
        mut chunk: Chunk,
        room: Option<Room>,
        outbox: &Outbox,
    ) -> Result<()> {
        match self.start {
            Start::Last => return Ok(()),
            Start::At(asked) => chunk.skip_before(asked),
            Start::Oldest => {}
        }
        let Some(last) = chunk.last() else {
            return Ok(());
        };
        self.report.end = last;
        self.report.records += chunk.count;
        self.report.bytes += chunk.bytes;
        let report = self.report.clone();
        send(outbox, Event::Records(chunk.into_records(), report, room)).await
    }

    fn judge(&mut self, dir: &Dir, scan: &Scan, stop: Stop) -> Result<LastSegment> {
        let sealed = match tail::judge(dir, scan, stop)? {
            Verdict::Sealed => true,
            Verdict::Torn(cut) => {
                observe::torn(&cut.segment, cut.offset, cut.lsn, &cut.reason);
                self.report.torn_tail = Some(cut);
                false
            }
            Verdict::Damaged(corruption) => return Err(corruption.into()),
        };
        let unproven_from = scan.unproven_from();
        Ok(LastSegment {
            header: scan.segment.header,
            end: scan.end().1,
            unproven_from,
            sealed,
        })
    }
}

type Outbox = mpsc::Sender<Result<Event>>;

/// Waits for room. An error means that the consumer was dropped.
async fn send(outbox: &Outbox, event: Event) -> Result<()> {
    outbox.send(Ok(event)).await.map_err(|_| Error::Interrupted)
}

/// A segment with a successor was complete when the successor was opened. It must end where the
/// successor says, with the record before the successor's first.
pub(super) fn check_complete(dir: &Dir, scan: &Scan, next: &SegmentMeta) -> Result<(), Corruption> {
    let expected = next.header.predecessor.map(|predecessor| predecessor.end);
    if scan.end() == (next.header.base.prev(), expected.unwrap_or(0)) && !scan.walker.is_in_unit() {
        return Ok(());
    }
    let last = next.header.base.prev();
    Err(scan.damaged(dir, CorruptionKind::SealedDamaged, last))
}

/// Chunks of records in memory: one being read, one in the channel, one being consumed.
const CHUNKS_MAX: u32 = 3;
