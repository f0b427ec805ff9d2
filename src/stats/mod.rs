//! What a log reports about itself: counters and histograms that are always kept.
//!
//! [`Stats`] and its parts are the public values, [`flushes`] among them. [`figures`] names what is counted, [`counters`]
//! keeps it, [`latency`] decides which appends are timed, [`histogram`] counts in buckets, and
//! [`published`] passes the same figures to the `metrics` facade if that feature is on.

pub(crate) mod counters;
pub(crate) mod figures;
mod flushes;
mod histogram;
pub(crate) mod latency;
#[cfg(feature = "metrics")]
mod published;
#[cfg(not(feature = "metrics"))]
mod published_noop;

use std::time::Duration;

use crate::lsn::Lsn;
#[cfg(not(feature = "metrics"))]
use crate::stats::published_noop as published;

pub use crate::stats::flushes::{FlushCause, Flushes};
pub use crate::stats::histogram::Histogram;

/// What a log has done since it was opened, and its current state.
///
/// Taking it costs a few hundred loads and, for a moment, the queue's lock. Each figure is exact in
/// itself, except that [`append_nanos`](Self::append_nanos) is an estimate in some cases. Two
/// figures may be a batch apart, because the writer continues while they are read. The figures are
/// not stored: a log that is opened again starts at zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let wal = tidewal::Wal::open(dir.path()).await?;
/// wal.append("record").await?;
/// let stats = wal.stats();
/// if let Some(nanos) = stats.sync_nanos.quantile(0.99) {
///     println!("{} syncs, p99 {:?}", stats.syncs, Duration::from_nanos(nanos));
/// }
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Appends written. An atomic batch is one append of several records.
    pub appends: u64,
    /// Records written.
    pub records: u64,
    /// Bytes of payload written.
    pub payload_bytes: u64,
    /// Bytes of records written, headers included.
    pub written_bytes: u64,
    /// Appends refused with [`Error::StorageFull`](crate::Error::StorageFull).
    pub storage_full: u64,
    /// Appends refused with [`Error::SegmentUnavailable`](crate::Error::SegmentUnavailable).
    pub segment_unavailable: u64,
    /// Group commits: writes that carried records.
    pub batches: u64,
    /// Why each batch was written at that moment. The sum is `batches`.
    pub flushes: Flushes,
    /// Syncs of a segment's records.
    pub syncs: u64,
    /// Segments opened.
    pub segments: u64,
    /// Segments truncated.
    pub segments_truncated: u64,
    /// Truncations that were requested and carried out, including those that freed no segment.
    pub truncations: u64,
    /// Segments of the log now.
    pub segments_kept: u64,
    /// The last durable LSN, or [`Lsn::ZERO`] if the log never held a record.
    pub durable_lsn: Lsn,
    /// Bytes waiting to be written, counted as `queue_bytes` counts them.
    pub queued_bytes: u64,
    /// Records waiting to be written.
    pub queued_records: u64,
    /// Truncated segments that are kept only because of [holds](crate::Wal::hold).
    pub held_segments: u64,
    /// Bytes that these segments take on disk.
    pub held_bytes: u64,
    /// Open followers ([`Wal::follow`](crate::Wal::follow)).
    pub followers: u64,
    /// Bytes of durable records that are kept in memory for followers.
    pub follow_buffer_bytes: u64,
    /// How long the writer has been waiting for the disk, if it is: for the sync of its records, or
    /// for the syncs of a rotation, a truncation or a close.
    ///
    /// A stalled disk shows here and in no histogram, because the sync has not ended.
    pub sync_running: Option<Duration>,
    /// Whether an operation has failed, so that the log takes no more records.
    pub poisoned: bool,
    /// The duration of each completed sync of records, in nanoseconds.
    pub sync_nanos: Histogram,
    /// The duration of appends, in nanoseconds: from the call, including the wait for room in the
    /// queue, until the writer answers. Only appends that were answered with `Ok` count.
    ///
    /// In batches of fewer than eight appends, every append is timed. In larger batches each thread times one
    /// in every 2, 4, 8 and so on, so that four to eight of a batch are timed. Each then counts as that many
    /// appends, so this histogram is an estimate, including its count. The size of the last batches decides.
    /// The reason is that reading the clock takes some tens of nanoseconds, which a busy log would feel.
    pub append_nanos: Histogram,
    /// Records in each batch.
    pub batch_records: Histogram,
    /// Bytes in each batch, headers included.
    pub batch_bytes: Histogram,
}
