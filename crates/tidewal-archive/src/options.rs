//! Options of an archiver and their defaults.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How an archiver behaves.
///
/// A consuming builder: set what differs from the defaults. Nothing of it is stored; an archive can be
/// gone on with under other options.
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

    /// How long a durable record may wait for its segment to be finished, so that it can be shipped; `None` for
    /// as long as the segment takes to fill. Default: 5 minutes.
    ///
    /// This bounds what is lost with the machine, beside the time of an upload, as long as the archiver keeps up.
    /// A log that is idle is left alone, and no segment is finished early while others wait for the store. Each
    /// segment that is finished early costs a rotation of the log and two objects in the store.
    pub fn max_lag(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.max_lag = time.into();
        self
    }

    /// How many bytes of truncated segments may be held back, because the archive does not have them
    /// yet, before [`overflow`](Self::overflow) says what happens. Default: 4 GiB.
    ///
    /// Counted in whole segments. With 0 no segment is opened while anything is held back.
    /// Segments that were not truncated do not count.
    pub fn max_held_bytes(mut self, bytes: u64) -> Self {
        self.max_held_bytes = bytes;
        self
    }

    /// What happens when more is held back. Default: [`Overflow::RefuseAppends`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How long one call of the store may take before it is given up and tried again. Default: 5
    /// minutes.
    ///
    /// A part of 8 MiB has to get through in that time. Stores commonly have time limits of their own,
    /// which are shorter.
    pub fn attempt_timeout(mut self, time: Duration) -> Self {
        self.attempt_timeout = time;
        self
    }

    /// The longest wait between two attempts. Default: 1 minute.
    ///
    /// The first one is 100 ms, each further one twice as long, and each is shortened by chance, by up
    /// to a half.
    pub fn retry_cap(mut self, time: Duration) -> Self {
        self.retry_cap = time;
        self
    }

    /// How far apart the times are that are recorded for restoring to a point in time. Default: 1
    /// second.
    pub fn time_step(mut self, time: Duration) -> Self {
        self.time_step = time;
        self
    }

    /// Takes the archive over with the first segment that there is to ship, and not at the start. Then an
    /// archiver without news writes no entry. Default: `false`.
    ///
    /// For programs that ship what there is and end. A service leaves it `false`: it stops another
    /// archiver of the same log at once, such as that of a machine that was believed dead.
    pub fn lazy_claim(mut self, lazy: bool) -> Self {
        self.lazy_claim = lazy;
        self
    }

    /// What decides how the waits between attempts are shortened. Default: by chance.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the wall clock is read. Default: [`SystemTime::now`].
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

    /// The oldest truncated segments are given up, and the archive gets a gap that its manifest states.
    ///
    /// Also lets an archiver go on, with a gap, if the log was truncated while it had none.
    LeaveGap,
}

// What managed databases promise for a point-in-time restore. The log writes up to a segment of zeros for each
// rotation, and the store takes two objects: a minute would be five times as much, for a log with little to do.
const MAX_LAG_DEFAULT: Duration = Duration::from_secs(5 * 60);
const MAX_HELD_BYTES_DEFAULT: u64 = 4 * 1024 * 1024 * 1024;
const ATTEMPT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5 * 60);
const RETRY_CAP_DEFAULT: Duration = Duration::from_secs(60);
const TIME_STEP_DEFAULT: Duration = Duration::from_secs(1);
