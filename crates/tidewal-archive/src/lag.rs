//! Finishing the open segment in time, so that no record waits long for its segment to be full.

use std::future::pending;
use std::time::Duration;

use tidewal::{DurableLsns, Lsn, Segments, Wal};
use tokio::time::{Instant, sleep, sleep_until};

/// Finishes segments by time.
///
/// It is asked only while everything finished is in the archive. An archiver that is behind would gain nothing
/// by more and smaller segments, and a store that is down does not multiply them.
pub(super) struct Lag {
    /// How long a record may wait; `None` for as long as it takes.
    max: Option<Duration>,
    segments: Segments,
    lsns: DurableLsns,
    /// The first LSN of the open segment, and when it was first seen to hold a record.
    seen: Option<(Lsn, Instant)>,
}

impl Lag {
    pub(super) fn new(wal: &Wal, max: Option<Duration>) -> Self {
        Self {
            max,
            segments: wal.segments(),
            lsns: wal.subscribe_durable(),
            seen: None,
        }
    }

    /// Finishes the open segment whenever its first record has waited long enough, forever.
    ///
    /// Cancel safe: the next call goes on where this one was.
    pub(super) async fn finish_in_time(&mut self) {
        let Some(max) = self.max else {
            return pending().await;
        };
        loop {
            let base = self.wait_for_record().await;
            let since = self.seen.filter(|(of, _)| *of == base);
            let (_, since) = *self.seen.insert(since.unwrap_or((base, Instant::now())));
            match since.checked_add(max) {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
            // A log that can open no segment now may later. One that has ended is noticed elsewhere.
            let _ = self.segments.rotate_if_older_than(max).await;
            if self.open() == Some(base) {
                sleep(PAUSE).await;
            }
        }
    }

    /// Waits until the open segment holds a durable record. Returns its first LSN.
    async fn wait_for_record(&mut self) -> Lsn {
        loop {
            if let Some(base) = self.open() {
                return base;
            }
            if self.lsns.next().await.is_none() {
                return pending().await;
            }
        }
    }

    /// The first LSN of the open segment, if that holds a durable record.
    fn open(&mut self) -> Option<Lsn> {
        let list = self.segments.list();
        let open = list.open.filter(|open| open.base <= list.durable);
        open.map(|open| open.base)
    }
}

/// Before a segment is asked for again that could not be opened.
const PAUSE: Duration = Duration::from_secs(1);
