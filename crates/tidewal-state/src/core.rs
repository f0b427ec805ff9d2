//! The state that the handles and the two tasks share. It does not keep the log open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidewal::Lsn;

use crate::error::{Error, Result};
use crate::in_flight::InFlight;
use crate::machine::Machine;
use crate::mutants::{Mutant, is_active};
use crate::options::{Options, SnapshotPolicy};
use crate::reserve::Reserve;
use crate::sessions::Sessions;
use crate::snapshot_requests::SnapshotRequests;
use crate::state::{SnapshotFormat, State};
use crate::stats::Stats;

pub(crate) struct Core<S: State> {
    pub(crate) machine: Locked<Machine<S>>,
    /// As far as the machine is, for those who must not wait for a group that is applied.
    applied: AtomicU64,
    /// Whether the machine has failed, so nothing more is applied.
    is_broken: AtomicBool,
    pub(crate) in_flight: InFlight,
    pub(crate) requests: SnapshotRequests,
    pub(crate) policy: SnapshotPolicy,
    pub(crate) reserve: Reserve,
    pub(crate) stats: std::sync::Mutex<Stats>,
    /// Records and bytes since the last snapshot was taken.
    records: AtomicU64,
    bytes: AtomicU64,
}

/// The state at one LSN, for a snapshot.
pub(crate) struct Frozen<S: State> {
    pub(crate) lsn: Lsn,
    pub(crate) sessions: Sessions,
    pub(crate) state: <S::Snapshot as SnapshotFormat<S>>::Frozen,
}

impl<S: State> Core<S> {
    pub(crate) fn new(machine: Machine<S>, replayed: (u64, u64), options: &Options<S>) -> Self {
        Self {
            applied: AtomicU64::new(machine.applied.get()),
            machine: Locked(RwLock::new(machine)),
            is_broken: AtomicBool::new(false),
            in_flight: InFlight::new(options.in_flight_bytes),
            requests: SnapshotRequests::default(),
            policy: options.policy,
            reserve: Reserve::new(options.reserve),
            stats: std::sync::Mutex::default(),
            records: AtomicU64::new(replayed.0),
            bytes: AtomicU64::new(replayed.1),
        }
    }

    /// Counts applied records, and requests what is due: a snapshot, or more space for one.
    pub(crate) fn note_applied(&self, records: u64, bytes: u64) {
        let records = records + self.records.fetch_add(records, Ordering::Relaxed);
        let bytes = bytes + self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.policy.is_due(records, bytes) {
            self.requests.request_due();
        }
        if self.reserve.is_due(|| self.estimate()) {
            self.requests.request_space();
        }
    }

    /// Restarts the counts for the next snapshot. Returns the counts for this one.
    pub(crate) fn restart_counts(&self) -> (u64, u64) {
        let records = self.records.swap(0, Ordering::Relaxed);
        (records, self.bytes.swap(0, Ordering::Relaxed))
    }

    /// The length of a snapshot of the state as it is now, at most.
    ///
    /// Without a hint of the state: it may have taken up everything that the records since the newest snapshot
    /// have brought.
    pub(crate) fn estimate(&self) -> u64 {
        let since = self.bytes.load(Ordering::Relaxed);
        let machine = self.machine.read();
        let hint = catch_unwind(AssertUnwindSafe(|| machine.state.snapshot_len_hint()));
        let state = hint.ok().flatten();
        let state = state.unwrap_or(self.reserve.newest().saturating_add(since));
        state.saturating_add(machine.sessions.written_len())
    }

    /// Freezes the state, between two groups of commands.
    pub(crate) fn freeze(&self) -> Result<Frozen<S>> {
        let machine = self.machine.read();
        machine.check()?;
        let lsn = match is_active(Mutant::SnapshotLsnBehind) {
            true => machine.applied.prev(),
            false => machine.applied,
        };
        let sessions = match is_active(Mutant::RetriesForgotten) {
            true => Sessions::default(),
            false => machine.sessions.clone(),
        };
        Ok(Frozen {
            lsn,
            sessions,
            state: S::Snapshot::freeze(&machine.state),
        })
    }

    /// Without the lock: a query may ask, too.
    pub(crate) fn applied(&self) -> Lsn {
        Lsn::new(self.applied.load(Ordering::Acquire))
    }

    pub(crate) fn note_place(&self, applied: Lsn) {
        self.applied.store(applied.get(), Ordering::Release);
    }

    /// Takes no lock unless something has failed: callers must not wait while a group is applied.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.is_broken.load(Ordering::Acquire) {
            true => self.machine.read().check(),
            false => Ok(()),
        }
    }

    /// Records that nothing more is applied.
    pub(crate) fn note_broken(&self) {
        self.is_broken.store(true, Ordering::Release);
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn stats(&self) -> Stats {
        let stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            applied: self.applied(),
            records_since_snapshot: self.records.load(Ordering::Relaxed),
            bytes_since_snapshot: self.bytes.load(Ordering::Relaxed),
            ..stats.clone()
        }
    }
}

/// A lock that a panic does not poison. Panics are reported by other means.
pub(crate) struct Locked<T>(RwLock<T>);

impl<T> Locked<T> {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
