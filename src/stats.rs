//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a log has done since it was opened, and what waits in its queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Records written.
    pub records: u64,
    /// Bytes of payload written.
    pub payload_bytes: u64,
    /// Bytes of records written, headers included.
    pub written_bytes: u64,
    /// Group commits: writes that carried records.
    pub batches: u64,
    /// Syncs of a segment's records.
    pub syncs: u64,
    /// Segments opened.
    pub segments: u64,
    /// Bytes that wait to be written, counted as `queue_bytes` does.
    pub queued_bytes: u64,
    /// Records that wait to be written.
    pub queued_records: u64,
}

/// The counters behind [`Stats`]. Only the writer changes them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: Counter,
    pub(crate) payload_bytes: Counter,
    pub(crate) written_bytes: Counter,
    pub(crate) batches: Counter,
    pub(crate) syncs: Counter,
    pub(crate) segments: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            records: self.records.get(),
            payload_bytes: self.payload_bytes.get(),
            written_bytes: self.written_bytes.get(),
            batches: self.batches.get(),
            syncs: self.syncs.get(),
            segments: self.segments.get(),
            queued_bytes: 0,
            queued_records: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Relaxed, because a counter orders nothing.
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
