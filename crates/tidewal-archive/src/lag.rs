//! Finishes the open segment after a time, so no record waits long for its segment to fill up.

use std::future::pending;
use std::time::Duration;

use tidewal::{DurableLsns, Lsn, Segments, Wal};
use tokio::time::{Instant, sleep, sleep_until};

/// Finishes segments by time.
///
/// The shipper calls it only while every finished segment is in the archive. More and smaller segments do not help
/// an archiver that is behind, and a store that is down must not cause hundreds of them.
pub(super) struct Lag {
    /// How long a record may wait. `None`: until the segment is full.
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

    /// Finishes the open segment each time its first record has waited long enough. Never returns.
    ///
    /// Cancel safe: the next call continues where this one stopped.
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
            // If the log cannot open a segment now, it may be able to later. The shipper detects the log's end.
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

    /// The first LSN of the open segment, if the segment holds a durable record.
    fn open(&mut self) -> Option<Lsn> {
        let list = self.segments.list();
        let open = list.open.filter(|open| open.base <= list.durable);
        open.map(|open| open.base)
    }
}

/// The pause after a rotation that failed.
const PAUSE: Duration = Duration::from_secs(1);
