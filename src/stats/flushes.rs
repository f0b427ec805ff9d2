//! Why batches were written, and how many for each cause.

/// How many batches were written for each [`FlushCause`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flushes(pub(super) [u64; FlushCause::ALL.len()]);

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

/// Why a batch was written at that moment.
///
/// Under [`SyncPolicy::Always`](crate::SyncPolicy::Always) and
/// [`SyncPolicy::Manual`](crate::SyncPolicy::Manual) a batch waits only for the disk, so most
/// batches have [`WriterIdle`](Self::WriterIdle). Under
/// [`SyncPolicy::Interval`](crate::SyncPolicy::Interval) the other causes say what ended the wait.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum FlushCause {
    /// The writer was idle, and the policy lets no batch wait.
    WriterIdle,
    /// The batch had `max_batch_bytes`, or as much as the queue can hold, or the next append did
    /// not fit.
    BatchBytes,
    /// The batch had `max_batch_records`, or as many as the queue can hold, or the next append did
    /// not fit.
    BatchRecords,
    /// The interval had elapsed.
    Interval,
    /// A caller requested a [`sync`](crate::Wal::sync) before the interval had elapsed.
    Sync,
    /// An append with [`Durability::Written`](crate::Durability::Written) was waiting for the
    /// write.
    Written,
    /// The queue was full, and a caller was waiting for room in it.
    QueueFull,
    /// A truncation was next, which waits for what was submitted before it.
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

    /// The cause in one word: the value of the label `cause` of `tidewal_batches_total`.
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
