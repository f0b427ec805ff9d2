//! When records become durable, and what the log asks about that.

use std::time::Duration;

/// When the log syncs.
///
/// Under every policy, a sync also happens on [`sync`](crate::Wal::sync), on rotation and on
/// [`close`](crate::Wal::close). Every sync makes everything written before it durable.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Sync as soon as the previous sync completes. Appends that arrive in the meantime share the
    /// next one. A lone producer waits only for its own sync.
    ///
    /// After a sync that acknowledged several appends, the writer lingers briefly so that those
    /// producers can join the next batch: until none arrives for 30 µs or a quarter of a sync,
    /// whichever is less, and at most half a sync.
    #[default]
    Always,

    /// Sync at most this long after the first record of a batch.
    ///
    /// The time counts from the submission of that record, and later arrivals do not prolong it. A
    /// batch that reaches a limit is synced earlier. A batch that fills the queue while callers
    /// wait for room is written earlier. This means fewer syncs, for disks where they are
    /// expensive.
    Interval(Duration),

    /// Sync only on [`sync`](crate::Wal::sync), on rotation and on [`close`](crate::Wal::close).
    ///
    /// An append with [`Durability::Durable`] waits until one of them happens.
    Manual,
}

/// What the log asks about a policy. Each function is a complete `match`, so a new policy must
/// answer all of them.
impl SyncPolicy {
    /// How long a batch may wait for more records, if at all.
    pub(crate) fn interval(self) -> Option<Duration> {
        match self {
            Self::Interval(interval) => Some(interval),
            Self::Always | Self::Manual => None,
        }
    }

    /// Whether an append that finds the log idle is answered without delay.
    pub(crate) fn answers_at_once(self, durability: Durability) -> bool {
        match self {
            Self::Always => true,
            Self::Interval(_) | Self::Manual => durability == Durability::Written,
        }
    }

    /// Whether the writer waits, after a sync, for the producers that it has just answered.
    pub(crate) fn lingers(self) -> bool {
        match self {
            Self::Always => true,
            Self::Interval(_) | Self::Manual => false,
        }
    }

    /// Whether records become durable only when a caller requests a sync.
    #[cfg(feature = "sink")]
    pub(crate) fn waits_to_be_asked(self) -> bool {
        match self {
            Self::Manual => true,
            Self::Always | Self::Interval(_) => false,
        }
    }
}

/// What an append waits for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Durability {
    /// Wait until the record is on disk: it survives a power cut.
    #[default]
    Durable,

    /// Wait until the operating system has the record: it survives a killed process, but not a
    /// power cut or a crash of the machine.
    ///
    /// Such records are synced at the latest 10 ms after they were written under
    /// [`SyncPolicy::Always`], after the interval under [`SyncPolicy::Interval`], and earlier if
    /// anything else needs a sync. A failed [`sync`](crate::Wal::sync) says nothing about them:
    /// they were acknowledged before, and are lost only if the machine dies.
    Written,
}
