//! What a log says about itself: counters and histograms that are always kept.
//!
//! [`Stats`] and what it consists of are the public values. [`figures`] names what is
//! counted and [`counters`] keeps it, [`latency`] decides which appends are timed, [`histogram`] counts in buckets, [`published`] hands the
//! same figures to the `metrics` facade if that feature is on.

pub(crate) mod counters;
pub(crate) mod figures;
mod histogram;
pub(crate) mod latency;
#[cfg(feature = "metrics")]
mod published;
#[cfg(not(feature = "metrics"))]
#[path = "unpublished.rs"]
mod published;

use std::time::Duration;

use crate::lsn::Lsn;

pub use crate::stats::histogram::Histogram;

/// What a log has done since it was opened, and how it stands.
///
/// Taking it costs some hundred loads and, for a moment, the queue's lock. Each figure is exact in
/// itself (only [`append_nanos`](Self::append_nanos) is an estimate in some cases); two of them may be a
/// batch apart, because the writer works on while they are read. All of it is gone with the log: a log
/// that is opened again begins at zero.
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
    /// Why each of them was written when it was. The sum is `batches`.
    pub flushes: Flushes,
    /// Syncs of a segment's records.
    pub syncs: u64,
    /// Segments opened.
    pub segments: u64,
    /// Segments given free by truncation.
    pub segments_truncated: u64,
    /// Truncations that were asked for and carried out, those that freed no segment included.
    pub truncations: u64,
    /// Segments that the log consists of now.
    pub segments_kept: u64,
    /// The last LSN that is durable; [`Lsn::ZERO`] if the log never held a record.
    pub durable_lsn: Lsn,
    /// Bytes that wait to be written, counted as `queue_bytes` does.
    pub queued_bytes: u64,
    /// Records that wait to be written.
    pub queued_records: u64,
    /// Segments that were truncated and are there only because of [holds](crate::Wal::hold).
    pub held_segments: u64,
    /// Bytes that those take on disk.
    pub held_bytes: u64,
    /// Followers that there are ([`Wal::follow`](crate::Wal::follow)).
    pub followers: u64,
    /// Bytes of durable records in memory for them.
    pub follow_buffer_bytes: u64,
    /// For how long the writer has been waiting for the disk, if it is: for the sync of its records, or
    /// for those of a rotation, a truncation or a close.
    ///
    /// A disk that hangs shows here, and in no histogram, because nothing comes to its end.
    pub sync_running: Option<Duration>,
    /// Whether an operation has failed, so that the log takes nothing more.
    pub poisoned: bool,
    /// How long each sync of records took that came to its end, in nanoseconds.
    pub sync_nanos: Histogram,
    /// How long appends took, in nanoseconds: from the call, the wait for a place in the queue included,
    /// until the writer answers. Only those that were answered with `Ok` count.
    ///
    /// While batches are small, below eight appends, every append is timed. Of larger batches each thread
    /// times one in 2, 4, 8 and so on, so that there are four to eight in a batch, and counts it as many
    /// times: then this is an estimate, also its count. The size of the last batches decides. The
    /// reason is that reading the clock takes some tens of nanoseconds, which a busy log would feel.
    pub append_nanos: Histogram,
    /// Records in each batch.
    pub batch_records: Histogram,
    /// Bytes in each batch, headers included.
    pub batch_bytes: Histogram,
}

/// How many batches were written for each [`FlushCause`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flushes([u64; FlushCause::ALL.len()]);

impl Flushes {
    /// Batches written for this cause.
    #[must_use]
    pub fn of(&self, cause: FlushCause) -> u64 {
        self.0[cause as usize]
    }

    /// Every cause with its number of batches.
    pub fn iter(&self) -> impl Iterator<Item = (FlushCause, u64)> + use<> {
        FlushCause::ALL.iter().copied().zip(self.0)
    }

    /// All batches.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Why a batch was written when it was, and not earlier or later.
///
/// Under [`SyncPolicy::Always`](crate::SyncPolicy::Always) and
/// [`SyncPolicy::Manual`](crate::SyncPolicy::Manual) nothing waits but for the disk, so that most batches
/// have [`WriterIdle`](Self::WriterIdle). Under [`SyncPolicy::Interval`](crate::SyncPolicy::Interval) the
/// others say what ended the wait.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum FlushCause {
    /// The writer was free, and the policy lets no batch wait.
    WriterIdle,
    /// The batch had `max_batch_bytes`, or as much as the queue can hold; or the next append did not fit.
    BatchBytes,
    /// The batch had `max_batch_records`, or as many as the queue can hold; or the next append did not
    /// fit.
    BatchRecords,
    /// The interval was over.
    Interval,
    /// Somebody asked for a [`sync`](crate::Wal::sync) before the interval was over.
    Sync,
    /// An append with [`Durability::Written`](crate::Durability::Written) waited for the write.
    Written,
    /// The queue was full, and somebody waited for a place in it.
    QueueFull,
    /// A truncation came next, which waits for what was submitted before it.
    Truncation,
    /// The log is closing.
    Close,
    /// The segment was full: this is the rest of a batch, in the next segment.
    Rotation,
}

impl FlushCause {
    /// Every cause.
    pub const ALL: &'static [Self] = &[
        Self::WriterIdle,
        Self::BatchBytes,
        Self::BatchRecords,
        Self::Interval,
        Self::Sync,
        Self::Written,
        Self::QueueFull,
        Self::Truncation,
        Self::Close,
        Self::Rotation,
    ];

    /// The cause in one word, as the label `cause` of `tidewal_batches_total` has it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::WriterIdle => "writer_idle",
            Self::BatchBytes => "batch_bytes",
            Self::BatchRecords => "batch_records",
            Self::Interval => "interval",
            Self::Sync => "sync",
            Self::Written => "written",
            Self::QueueFull => "queue_full",
            Self::Truncation => "truncation",
            Self::Close => "close",
            Self::Rotation => "rotation",
        }
    }
}
