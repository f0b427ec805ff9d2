//! Options of an archiver and their defaults.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Options of an archiver.
///
/// A consuming builder: set what differs from the defaults. The options are not stored. The next archiver can
/// continue the archive with other options.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidewal_archive::{ArchiveOptions, Overflow};
///
/// let options = ArchiveOptions::new()
///     .max_lag(Duration::from_secs(60))
///     .max_held_bytes(16 * 1024 * 1024 * 1024)
///     .overflow(Overflow::LeaveGap);
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until an archiver is started with them"]
pub struct ArchiveOptions {
    pub(super) max_lag: Option<Duration>,
    pub(super) max_held_bytes: u64,
    pub(super) overflow: Overflow,
    pub(super) attempt_timeout: Duration,
    pub(super) retry_cap: Duration,
    pub(super) time_step: Duration,
    pub(super) lazy_claim: bool,
    pub(super) seed: Option<u64>,
    pub(super) clock: Clock,
}

pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl ArchiveOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a durable record may wait until its segment is finished and can be shipped. `None`: until the
    /// segment is full. Default: 5 minutes.
    ///
    /// If the machine is lost, the archive lacks at most the records of this time and of one upload, provided that
    /// the archiver keeps up. An idle log is not rotated, and no segment is finished early while others wait for the
    /// store. Each segment that is finished early costs a rotation of the log and two objects in the store.
    pub fn max_lag(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.max_lag = time.into();
        self
    }

    /// How many bytes of truncated segments the log may hold back because they are not archived yet. Beyond this,
    /// [`overflow`](Self::overflow) decides what happens. Default: 4 GiB.
    ///
    /// Whole segments are counted. With 0, no segment is opened while anything is held back. Segments that were not
    /// truncated do not count.
    pub fn max_held_bytes(mut self, bytes: u64) -> Self {
        self.max_held_bytes = bytes;
        self
    }

    /// What happens when more than [`max_held_bytes`](Self::max_held_bytes) is held back. Default:
    /// [`Overflow::RefuseAppends`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How long one call of the store may take before it is abandoned and retried. Default: 5 minutes.
    ///
    /// It must be long enough to put a part of 8 MiB. Clients of stores commonly have shorter timeouts of their
    /// own.
    pub fn attempt_timeout(mut self, time: Duration) -> Self {
        self.attempt_timeout = time;
        self
    }

    /// The longest wait between two attempts. Default: 1 minute.
    ///
    /// The first wait is 100 ms, and each further one is twice as long. Each wait is shortened at random by up to a
    /// half.
    pub fn retry_cap(mut self, time: Duration) -> Self {
        self.retry_cap = time;
        self
    }

    /// The least distance between two times that are recorded for point-in-time restore. Default: 1 second.
    pub fn time_step(mut self, time: Duration) -> Self {
        self.time_step = time;
        self
    }

    /// Whether the archiver takes the archive over only when it has a segment to ship, and not at its start. If there
    /// is nothing to ship, it then writes no entry. Default: `false`.
    ///
    /// Set it in programs that ship what exists and then exit. A service should leave it `false`: its archiver then
    /// stops another archiver of the same log at once, such as that of a machine that was believed dead.
    pub fn lazy_claim(mut self, lazy: bool) -> Self {
        self.lazy_claim = lazy;
        self
    }

    /// The seed that determines how waits between attempts are shortened. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The function that reads the wall clock. Default: [`SystemTime::now`].
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(now);
        self
    }
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self {
            max_lag: Some(MAX_LAG_DEFAULT),
            max_held_bytes: MAX_HELD_BYTES_DEFAULT,
            overflow: Overflow::RefuseAppends,
            attempt_timeout: ATTEMPT_TIMEOUT_DEFAULT,
            retry_cap: RETRY_CAP_DEFAULT,
            time_step: TIME_STEP_DEFAULT,
            lazy_claim: false,
            seed: None,
            clock: Arc::new(SystemTime::now),
        }
    }
}

impl fmt::Debug for ArchiveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveOptions")
            .field("max_lag", &self.max_lag)
            .field("max_held_bytes", &self.max_held_bytes)
            .field("overflow", &self.overflow)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("retry_cap", &self.retry_cap)
            .field("time_step", &self.time_step)
            .field("lazy_claim", &self.lazy_claim)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// What happens when more than `max_held_bytes` of truncated segments are not in the archive.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The log opens no further segment: appends fail with [`StorageFull`](tidewal::Error::StorageFull), and
    /// work again when the archive has caught up. Nothing is lost.
    #[default]
    RefuseAppends,

    /// The oldest truncated segments are given up, and the manifest records a gap in the archive.
    ///
    /// With this value, an archiver also continues, with a gap, if the log was truncated while it had no archiver.
    LeaveGap,
}

// Managed databases promise this for a point-in-time restore. Each rotation writes up to a segment of zeros and
// creates two objects in the store. For a log with few appends, one minute would cost five times as much.
const MAX_LAG_DEFAULT: Duration = Duration::from_secs(5 * 60);
const MAX_HELD_BYTES_DEFAULT: u64 = 4 * 1024 * 1024 * 1024;
const ATTEMPT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5 * 60);
const RETRY_CAP_DEFAULT: Duration = Duration::from_secs(60);
const TIME_STEP_DEFAULT: Duration = Duration::from_secs(1);
