//! Options, with their defaults and bounds.

mod policy;

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format;
use crate::lsn::Lsn;
pub use crate::options::policy::{Durability, SyncPolicy};

/// How a log is opened and how it works.
///
/// A consuming builder: set what differs from the defaults, then [`open`](Self::open),
/// [`recover`](Self::recover) or [`read`](Self::read) a directory. Setters never fail. The opening
/// call reports a value out of bounds as [`Error::InvalidOptions`], with the name and the bound of
/// the option. No option is stored on disk: a log can be reopened with other options at any time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidewal::{SyncPolicy, Wal};
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let wal = Wal::options()
///     .sync_policy(SyncPolicy::Interval(Duration::from_millis(2)))
///     .segment_size(16 * 1024 * 1024)
///     .open(dir)
///     .await?;
/// # wal.close().await?;
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a directory is opened with them"]
pub struct WalOptions {
    pub(crate) sync_policy: SyncPolicy,
    pub(crate) durability: Durability,
    pub(crate) segment_size: u64,
    pub(crate) max_batch_bytes: usize,
    pub(crate) max_batch_records: usize,
    pub(crate) max_record_size: Option<usize>,
    pub(crate) queue_bytes: usize,
    pub(crate) queue_records: usize,
    pub(crate) spare_segments: usize,
    pub(crate) start_at: Option<Lsn>,
    pub(crate) create: bool,
    pub(crate) allow_unsynced_directory: bool,
    pub(crate) lock_timeout: Duration,
    pub(crate) metrics_label: Option<String>,
    pub(crate) slow_sync_after: Duration,
    pub(crate) busy_poll: Duration,
    pub(crate) follow_buffer_bytes: usize,
    pub(crate) follow_rotate_interval: Duration,
}

impl WalOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the log syncs. Default: [`SyncPolicy::Always`]. An interval must be above zero and at
    /// most one day.
    pub fn sync_policy(mut self, policy: SyncPolicy) -> Self {
        self.sync_policy = policy;
        self
    }

    /// What an append waits for, unless the call says otherwise. Default: [`Durability::Durable`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The size of a segment file in bytes. Default: 64 MiB. Allowed: 16 KiB to 4 GiB - 1.
    ///
    /// The log takes space in whole segments, and `truncate_before` frees whole segments. A record
    /// or an atomic batch must fit into one segment.
    pub fn segment_size(mut self, bytes: u64) -> Self {
        self.segment_size = bytes;
        self
    }

    /// The most bytes that one group commit writes. Default: 4 MiB. Minimum: 1.
    ///
    /// A single record or atomic batch that is larger is written alone.
    pub fn max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_batch_bytes = bytes;
        self
    }

    /// The most records that one group commit writes. Default: 16,384. Minimum: 1.
    ///
    /// An atomic batch with more records is written alone.
    pub fn max_batch_records(mut self, records: usize) -> Self {
        self.max_batch_records = records;
        self
    }

    /// The largest payload in bytes. Default: 16 MiB, or what a segment holds if that is less.
    /// Maximum: what a segment holds.
    ///
    /// It limits appending only: a log that was written with a larger limit can still be read.
    pub fn max_record_size(mut self, bytes: usize) -> Self {
        self.max_record_size = Some(bytes);
        self
    }

    /// How many bytes may wait to be written before producers must wait (back-pressure). Default:
    /// 64 MiB. Allowed: 1 to 4 GiB - 1, so a bits-for-bytes mistake is refused instead of filling
    /// memory.
    ///
    /// Each record counts as its payload plus 20 bytes. A record or batch that is larger than the
    /// whole budget takes all of it, so it still gets through.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// How many records may wait to be written before producers must wait (back-pressure). Default:
    /// 65,536. Allowed: 1 to 4,294,967,295.
    pub fn queue_records(mut self, records: usize) -> Self {
        self.queue_records = records;
        self
    }

    /// How many files are preallocated to become segments. Default: 1. Maximum: 64.
    ///
    /// A background task prepares them once an eighth of the open segment is filled, so a log that
    /// holds little takes the space of one segment. Beside them, the log recycles up to the same
    /// number of truncated segments. Together they take up to `2 * files * segment_size` bytes
    /// beside the log. They are removed when the log is closed. With 0, nothing is preallocated or
    /// recycled, and a rotation makes its batch wait for a new file.
    ///
    /// If no such file was ready for a segment, as for the first one, the writer itself writes zeros ahead of
    /// the records: up to 1 MiB at a time, unless many bytes are synced at once. With 0 files, it does not.
    pub fn spare_segments(mut self, files: usize) -> Self {
        self.spare_segments = files;
        self
    }

    /// The first record that recovery delivers. Default: the oldest one kept.
    ///
    /// Use the LSN after the one of your snapshot, or [`Lsn::FIRST`] if there is no snapshot. A
    /// lost snapshot over a truncated log is then an error, instead of a state that lacks its
    /// beginning. Segments that end before this LSN are not read. If the record is no longer kept,
    /// opening fails with [`Error::Truncated`]. If the log ends more than one record before it, the
    /// stream and `into_wal` fail with [`Error::BeyondEnd`].
    pub fn start_at(mut self, lsn: Lsn) -> Self {
        self.start_at = Some(lsn);
        self
    }

    /// Whether to create a log where there is none. Default: `true`.
    ///
    /// With `false`, a directory that does not exist, or that never held a log, is the error
    /// [`Error::NoLog`] and stays as it is. An unmounted volume then does not become a new log that
    /// begins at LSN 1. Set it on every start of a service but its first.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How long opening waits for a log that another process or a reader has open, before it fails
    /// with [`Error::Locked`]. Default: zero, which fails at once. [`Duration::MAX`] waits forever.
    ///
    /// Opening always waits for a log that is closing in this process, and for an earlier opening
    /// whose future was dropped: for this long, or until the directory is unlocked if this option is
    /// zero. Opening tries again every 20 ms.
    pub fn lock_timeout(mut self, time: Duration) -> Self {
        self.lock_timeout = time;
        self
    }

    /// Whether a log may be opened for appending in a directory whose file system cannot sync
    /// directories. Default: `false`, which fails with [`Error::Io`] and the name of the directory.
    ///
    /// With `true`, a new segment's name is only as durable as the file system makes it: if the
    /// file system loses it in a power cut, acknowledged records are lost with it. An error of the
    /// disk is still an error.
    pub fn allow_unsynced_directory(mut self, allow: bool) -> Self {
        self.allow_unsynced_directory = allow;
        self
    }

    /// The value of the label `log` on the metrics of this log, which distinguishes it from other
    /// logs of the process. Default: the directory as it was given.
    #[cfg(feature = "metrics")]
    pub fn metrics_label(mut self, label: impl Into<String>) -> Self {
        self.metrics_label = Some(label.into());
        self
    }

    /// How long a thread polls before it sleeps: the writer for the next append, and a caller that
    /// finds the log idle for its answer. Default: zero, which means that they sleep at once.
    /// Maximum: 1 ms.
    ///
    /// An append wakes a sleeping thread twice, which takes about 10 µs each time. If a sync takes
    /// 100 µs, that is a part of the latency of a lone producer. If a sync takes 10 µs, or if an
    /// append waits for the write only ([`Durability::Written`]), it is most of the latency: with
    /// polling, one producer reaches 324,000 appends/s instead of 20,000 to 40,000
    /// (`docs/benchmarks.md`). A useful value is a little more than such an append takes.
    ///
    /// The cost: whenever the log becomes idle, the writer occupies a processor for this long. An
    /// [`append`](crate::Wal::append) that finds the log idle blocks its *caller's* thread for up to this long,
    /// and other tasks of that thread wait in the meantime. Each of the two threads needs a processor of its
    /// own. Otherwise polling only makes appends slower. An append that finds the log busy waits as usual, and
    /// so does the future that [`submit`](crate::Wal::submit) returns. On the simulated disk the option does
    /// nothing.
    pub fn busy_poll(mut self, time: Duration) -> Self {
        self.busy_poll = time;
        self
    }

    /// The age from which a sync is slow. A warning is logged while the sync runs, again each time
    /// its age has doubled, and once more when it has ended. Default: 1 second. Allowed: 1 ms to
    /// one day.
    #[cfg(feature = "tracing")]
    pub fn slow_sync_after(mut self, age: Duration) -> Self {
        self.slow_sync_after = age;
        self
    }

    /// How many bytes of the newest durable records are kept in memory for all
    /// [followers](crate::Wal::follow) together. Default: 16 MiB. Maximum: 4 GiB - 1.
    ///
    /// A payload of 16 KiB or more is kept as the `Bytes` that was appended, together with the buffer of
    /// which it is a slice. Append a copy if that buffer is much larger or belongs to a pool.
    ///
    /// Nothing is kept while there is no follower. A batch that is larger than this buffer is not
    /// kept. With less than `max_batch_bytes`, followers read such batches from finished segments.
    pub fn follow_buffer_bytes(mut self, bytes: usize) -> Self {
        self.follow_buffer_bytes = bytes;
        self
    }

    /// The shortest time between two rotations that [followers](crate::Wal::follow) request because they are
    /// behind. It is for all followers together. Default: 1 second. Maximum: one day. Less than 1 ms counts as
    /// 1 ms: if a rotation is refused, for example on a full disk, followers would otherwise request it again
    /// at once and keep the writer busy.
    ///
    /// A follower whose next record is no longer in memory reads it from its segment once that is
    /// finished. With a shorter interval the follower waits less, and the log has more and smaller
    /// segments.
    pub fn follow_rotate_interval(mut self, interval: Duration) -> Self {
        self.follow_rotate_interval = interval;
        self
    }

    /// The shortest time between rotations that followers request.
    pub(crate) fn rotate_interval(&self) -> Duration {
        self.follow_rotate_interval.max(ROTATE_INTERVAL_MIN)
    }

    /// The name under which the log is published.
    pub(crate) fn label_for(&self, dir: &Path) -> String {
        let label = self.metrics_label.clone();
        label.unwrap_or_else(|| dir.display().to_string())
    }

    /// The largest payload that can be appended, in bytes.
    pub(crate) fn payload_limit(&self) -> usize {
        let segment =
            usize::try_from(format::payload_room(self.segment_size)).unwrap_or(usize::MAX);
        self.max_record_size
            .unwrap_or(MAX_RECORD_SIZE_DEFAULT.min(segment))
    }

    /// Checks every bound.
    pub(crate) fn validate(&self) -> Result<()> {
        self.check_sizes()?;
        self.check_queue()?;
        self.check_times()?;
        check(
            "spare_segments",
            self.spare_segments <= SPARE_SEGMENTS_MAX,
            || format!("at most {SPARE_SEGMENTS_MAX} files"),
        )
    }

    fn check_sizes(&self) -> Result<()> {
        let room = format::payload_room(self.segment_size.max(SEGMENT_SIZE_MIN));
        check(
            "segment_size",
            (SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&self.segment_size),
            || format!("between {SEGMENT_SIZE_MIN} and {SEGMENT_SIZE_MAX} bytes"),
        )?;
        check(
            "max_record_size",
            self.payload_limit() as u64 <= room,
            || format!("at most {room} bytes, which is what a segment of this size holds"),
        )?;
        check(
            "follow_buffer_bytes",
            u32::try_from(self.follow_buffer_bytes).is_ok(),
            || format!("at most {} bytes", u32::MAX),
        )
    }

    fn check_queue(&self) -> Result<()> {
        check("max_batch_bytes", self.max_batch_bytes >= 1, || {
            "at least 1 byte".into()
        })?;
        check("max_batch_records", self.max_batch_records >= 1, || {
            "at least 1 record".into()
        })?;
        check("queue_bytes", is_budget(self.queue_bytes), || {
            budget_bound("bytes")
        })?;
        check("queue_records", is_budget(self.queue_records), || {
            budget_bound("records")
        })
    }

    fn check_times(&self) -> Result<()> {
        let interval = match self.sync_policy {
            SyncPolicy::Interval(interval) => interval,
            SyncPolicy::Always | SyncPolicy::Manual => INTERVAL_MAX,
        };
        check(
            "sync_policy",
            !interval.is_zero() && interval <= INTERVAL_MAX,
            || "an interval above zero and of at most one day".into(),
        )?;
        check("busy_poll", self.busy_poll <= BUSY_POLL_MAX, || {
            "at most 1 ms".into()
        })?;
        check(
            "slow_sync_after",
            (SLOW_SYNC_MIN..=INTERVAL_MAX).contains(&self.slow_sync_after),
            || "between 1 ms and one day".into(),
        )?;
        check(
            "follow_rotate_interval",
            self.follow_rotate_interval <= INTERVAL_MAX,
            || "at most one day".into(),
        )
    }
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            sync_policy: SyncPolicy::Always,
            durability: Durability::Durable,
            segment_size: SEGMENT_SIZE_DEFAULT,
            max_batch_bytes: MAX_BATCH_BYTES_DEFAULT,
            max_batch_records: MAX_BATCH_RECORDS_DEFAULT,
            max_record_size: None,
            queue_bytes: QUEUE_BYTES_DEFAULT,
            queue_records: QUEUE_RECORDS_DEFAULT,
            spare_segments: SPARE_SEGMENTS_DEFAULT,
            start_at: None,
            create: true,
            allow_unsynced_directory: false,
            lock_timeout: Duration::ZERO,
            metrics_label: None,
            slow_sync_after: SLOW_SYNC_DEFAULT,
            busy_poll: Duration::ZERO,
            follow_buffer_bytes: FOLLOW_BUFFER_DEFAULT,
            follow_rotate_interval: FOLLOW_ROTATE_DEFAULT,
        }
    }
}

const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A refused rotation costs the writer a few system calls. Without a pause it would do nothing
/// else.
const ROTATE_INTERVAL_MIN: Duration = Duration::from_millis(1);
const SEGMENT_SIZE_DEFAULT: u64 = 64 * 1024 * 1024;
const SEGMENT_SIZE_MIN: u64 = 16 * 1024;
const SEGMENT_SIZE_MAX: u64 = u32::MAX as u64;
const MAX_BATCH_BYTES_DEFAULT: usize = 4 * 1024 * 1024;
const MAX_BATCH_RECORDS_DEFAULT: usize = 16_384;
const MAX_RECORD_SIZE_DEFAULT: usize = 16 * 1024 * 1024;
const QUEUE_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
const QUEUE_RECORDS_DEFAULT: usize = 65_536;
const SPARE_SEGMENTS_DEFAULT: usize = 1;
const SPARE_SEGMENTS_MAX: usize = 64;
const SLOW_SYNC_DEFAULT: Duration = Duration::from_secs(1);
const FOLLOW_BUFFER_DEFAULT: usize = 16 * 1024 * 1024;
const FOLLOW_ROTATE_DEFAULT: Duration = Duration::from_secs(1);
const BUSY_POLL_MAX: Duration = Duration::from_millis(1);
const SLOW_SYNC_MIN: Duration = Duration::from_millis(1);

const _: () = assert!(SEGMENT_SIZE_MIN > format::DATA_OFFSET);
const _: () = assert!(SEGMENT_SIZE_MAX <= format::SEGMENT_SIZE_LIMIT);

/// Bounded so that a bits-for-bytes mistake is refused instead of filling memory.
fn is_budget(amount: usize) -> bool {
    (1..=u32::MAX as usize).contains(&amount)
}

fn budget_bound(unit: &str) -> String {
    format!("between 1 and {} {unit}", u32::MAX)
}

fn check(field: &'static str, holds: bool, bound: impl FnOnce() -> String) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::InvalidOptions {
            field,
            bound: bound(),
        })
    }
}

#[cfg(test)]
mod tests;
