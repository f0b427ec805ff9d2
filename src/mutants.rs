//! Mutants: deliberate bugs that show whether the tests find them (`tests/mutants.rs`).
//!
//! Only a build with `--cfg tidewal_mutants` can activate one, and such a build is never a release.
//! In every other build, [`is_active`] is `false` at compile time, and the code that depends on it
//! is not compiled.

#[cfg(all(tidewal_mutants, not(debug_assertions)))]
compile_error!("a build with mutants needs debug assertions: it must never be a release");

/// A bug in the log. Each of these was found in some log, or leaves out a line that
/// `docs/durability.md` gives a reason for.
#[cfg_attr(
    not(tidewal_mutants),
    expect(
        unreachable_pub,
        reason = "the tests of a build that has them activate them"
    )
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutant {
    /// Appends are acknowledged without waiting for their sync.
    AnswerUnsynced,
    /// The directory is not synced after the log's first segment got its name.
    CreateUnsynced,
    /// The directory is not synced after a later segment got its name.
    RenameUnsynced,
    /// The directory is not synced before a truncated segment's file is recycled.
    RecycleUnsynced,
    /// A failed sync is retried, and the second result believed.
    SyncRetried,
    /// All segments have the same salt.
    SaltConstant,
    /// A recovered segment is not sealed, and the next records are appended to it.
    RecoveredAppendedTo,
    /// The length of a record is believed before it is checked.
    LengthTrusted,
    /// The first thing that cannot be read ends the log.
    FirstInvalidIsTheEnd,
    /// A valid record after one that cannot be read counts as proof of damage.
    LaterValidIsDamage,
    /// One segment too many is truncated.
    TruncatedTooMuch,
    /// The records of an atomic batch are delivered one by one.
    BatchFlagIgnored,
    /// Each append restarts the interval of its batch.
    WindowRestarted,
    /// What recovery read is called durable without being written and synced again.
    AdoptedUnsynced,
    /// A segment gets its name before its header is durable.
    HeaderUnsynced,
    /// The writer leaves a segment without a sync of its last records.
    RotationUnsynced,
    /// The head mark is not durable before the segments below it are removed.
    HeadMarkUnsynced,
    /// A file that cannot be prepared (for example, because no descriptor is free) poisons the log.
    RefusalPoisons,
    /// The path of the directory is resolved again for each name in it.
    #[cfg_attr(
        not(tidewal_mutants),
        expect(dead_code, reason = "only what it needs is left out")
    )]
    PathResolvedAnew,
    /// The lock file is locked, and the directory is not.
    LockFileAlone,
    /// After a sync, the file is not looked up under its name.
    PresenceUnchecked,
    /// Callers that wait for room in the queue are not told that the log has closed.
    WaitListNotClosed,
    /// Appends after a refused one of the same ordered appender are appended.
    RefusalDoesNotCut,
    /// The newest segment is made durable by overwriting a part of its pages in place.
    #[cfg_attr(
        not(tidewal_mutants),
        expect(dead_code, reason = "only what it needs is left out")
    )]
    AdoptedInPart,
    /// The writer is not woken when something is put into the queue.
    WriterNotWoken,
    /// A caller leaves its waker without checking whether the answer has arrived in the meantime.
    AckOvertaken,
    /// A caller that is dropped keeps the room that it was offered.
    OfferKept,
    /// A rename that reports a missing or taken name is assumed to have done nothing.
    RenameErrorBelieved,
    /// Zeros are written ahead from where the last sync ended, over the records that wait for the
    /// next one.
    WrittenAheadOver,
    /// Followers get records before they are synced.
    FollowedUnsynced,
    /// A follower that needs a record that is no longer in memory continues with the oldest one
    /// there.
    OverrunUnnoticed,
    /// Segments that a hold keeps are truncated.
    HoldIgnored,
    /// Segments are opened whatever the bounds of holds.
    HoldUnbounded,
    /// Followers read the segment that is being written.
    OpenSegmentRead,
    /// A directory says that it is a log before the names of the segments in it are durable.
    UnfinishedMarkRemovedEarly,
    /// A snapshot gets its name without a sync of its file.
    #[cfg(feature = "snapshot")]
    SnapshotUnsynced,
    /// The directory is not synced after a snapshot got its name.
    #[cfg(feature = "snapshot")]
    SnapshotNameUnsynced,
    /// The contents of a snapshot are delivered without checking their checksums.
    #[cfg(feature = "snapshot")]
    SnapshotUnchecked,
    /// A snapshot of records whose LSNs the log has given out again is treated as one of the log.
    #[cfg(feature = "snapshot")]
    SnapshotDiverged,
}

#[cfg(tidewal_mutants)]
impl Mutant {
    /// Every mutant, except those of snapshots and those that only the model check of the queue
    /// uses (`src/queue/model.rs`).
    pub const ALL: [Self; 32] = [
        Self::AnswerUnsynced,
        Self::CreateUnsynced,
        Self::RenameUnsynced,
        Self::RecycleUnsynced,
        Self::SyncRetried,
        Self::SaltConstant,
        Self::RecoveredAppendedTo,
        Self::LengthTrusted,
        Self::FirstInvalidIsTheEnd,
        Self::LaterValidIsDamage,
        Self::TruncatedTooMuch,
        Self::BatchFlagIgnored,
        Self::WindowRestarted,
        Self::AdoptedUnsynced,
        Self::HeaderUnsynced,
        Self::RotationUnsynced,
        Self::HeadMarkUnsynced,
        Self::RefusalPoisons,
        Self::PathResolvedAnew,
        Self::LockFileAlone,
        Self::PresenceUnchecked,
        Self::WaitListNotClosed,
        Self::RefusalDoesNotCut,
        Self::AdoptedInPart,
        Self::RenameErrorBelieved,
        Self::WrittenAheadOver,
        Self::FollowedUnsynced,
        Self::OverrunUnnoticed,
        Self::HoldIgnored,
        Self::HoldUnbounded,
        Self::OpenSegmentRead,
        Self::UnfinishedMarkRemovedEarly,
    ];

    /// The mutants of snapshots, which the tests of `tidewal-state` must detect.
    #[cfg(feature = "snapshot")]
    pub const SNAPSHOTS: [Self; 4] = [
        Self::SnapshotUnsynced,
        Self::SnapshotNameUnsynced,
        Self::SnapshotUnchecked,
        Self::SnapshotDiverged,
    ];
}

#[cfg(not(tidewal_mutants))]
pub(crate) const fn is_active(_: Mutant) -> bool {
    false
}

/// Leaves out the next sync on this thread, if the mutant is active.
#[cfg(not(tidewal_mutants))]
pub(crate) const fn skip_next_sync(_: Mutant) {}

/// Whether this sync is left out.
#[cfg(not(tidewal_mutants))]
pub(crate) const fn skips_this_sync() -> bool {
    false
}

#[cfg(tidewal_mutants)]
mod active {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
        static SKIPS: Cell<bool> = const { Cell::new(false) };
    }

    /// Activates a mutant, or none, on this thread. Over the simulated disk, all of a log runs on
    /// its caller's thread.
    pub fn activate(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
        SKIPS.set(false);
    }

    pub(crate) fn is_active(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }

    pub(crate) fn skip_next_sync(mutant: Mutant) {
        SKIPS.set(is_active(mutant));
    }

    pub(crate) fn skips_this_sync() -> bool {
        SKIPS.take()
    }
}

#[cfg(tidewal_mutants)]
pub use active::activate;
#[cfg(tidewal_mutants)]
pub(crate) use active::{is_active, skip_next_sync, skips_this_sync};
