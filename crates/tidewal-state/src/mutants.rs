//! Mutants: deliberate bugs that show whether the tests find them (`tests/state/mutants.rs`).
//!
//! Only a build with `--cfg tidewal_mutants` has them. In every other build [`is_active`] is `false` at
//! compile time.

#[cfg(all(tidewal_mutants, not(debug_assertions)))]
compile_error!("mutants are for tests: no release has them");

/// A bug in the state machine.
#[cfg_attr(
    not(tidewal_mutants),
    expect(
        unreachable_pub,
        reason = "the tests of a build that has them activate them"
    )
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutant {
    /// A command is applied and answered before it is durable.
    AnsweredBeforeDurable,
    /// The commands of one group commit are applied in another order than the log's.
    ApplyOrderSwapped,
    /// An expired session is taken for a new one.
    ExpiredSessionIsNew,
    /// The space for the next snapshot does not follow the growth of the state.
    ReserveNotGrown,
    /// A start applies only the first command of a batch.
    BatchCutShort,
    /// The commands of a batch get LSNs of their own.
    BatchLsnsDiffer,
    /// A snapshot lacks the table of sessions.
    RetriesForgotten,
    /// A snapshot says that it covers one record fewer than it does.
    SnapshotLsnBehind,
    /// The log is truncated before the snapshot is durable.
    TruncatedBeforeSnapshot,
    /// The log is truncated to the newest snapshot, instead of the oldest that is kept.
    TruncatedToNewest,
}

#[cfg(tidewal_mutants)]
impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 10] = [
        Self::AnsweredBeforeDurable,
        Self::ApplyOrderSwapped,
        Self::ExpiredSessionIsNew,
        Self::ReserveNotGrown,
        Self::BatchCutShort,
        Self::BatchLsnsDiffer,
        Self::RetriesForgotten,
        Self::SnapshotLsnBehind,
        Self::TruncatedBeforeSnapshot,
        Self::TruncatedToNewest,
    ];
}

#[cfg(not(tidewal_mutants))]
pub(crate) const fn is_active(_: Mutant) -> bool {
    false
}

#[cfg(tidewal_mutants)]
mod active {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Activates a mutant, or none, on this thread. Over the simulated disk, everything runs on the
    /// caller's thread.
    pub fn activate(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }

    pub(crate) fn is_active(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(tidewal_mutants)]
pub use active::activate;
#[cfg(tidewal_mutants)]
pub(crate) use active::is_active;
