//! The task that takes snapshots, one at a time while commands continue, and truncates the log.
//!
//! The order makes it safe to be killed at any point: the new snapshot is durable before the log is
//! truncated, and the log is truncated before older snapshots are removed (`docs/state.md`,
//! "Orderings").

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidewal::snapshot::{Snapshot, SnapshotError, Snapshots};
use tidewal::{Lsn, Wal};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::contents;
use crate::core::{Core, Frozen};
use crate::error::{Error, Result};
use crate::mutants::{Mutant, is_active};
use crate::state::State;

/// The task.
pub(crate) struct Snapshotter<S: State> {
    core: Arc<Core<S>>,
    /// The log, as long as there are handles.
    wal: Weak<Wal>,
    snapshots: Snapshots,
    /// The durable snapshots that are kept, oldest first.
    kept: VecDeque<Snapshot>,
    /// The earliest time for the next automatic snapshot.
    not_before: Instant,
    /// Whether the last attempt failed. If so, a full disk waits for the pause too.
    has_failed: bool,
}

/// Why a snapshot is taken.
struct Reason {
    full: bool,
    waiters: Vec<oneshot::Sender<Result<Lsn>>>,
}

impl<S: State> Snapshotter<S> {
    pub(crate) fn new(
        core: Arc<Core<S>>,
        wal: &Arc<Wal>,
        found: Option<Snapshot>,
        snapshots: Snapshots,
    ) -> Self {
        let newest = found.as_ref().map_or(0, Snapshot::len);
        core.reserve.note_newest(newest);
        Self {
            core,
            wal: Arc::downgrade(wal),
            snapshots,
            kept: found.into_iter().collect(),
            not_before: Instant::now(),
            has_failed: false,
        }
    }

    /// Runs until no handle is left.
    pub(crate) async fn run(mut self) {
        loop {
            match self.next_reason() {
                Next::Snapshot(reason) => {
                    self.serve(reason).await;
                    self.core.requests.finish();
                }
                Next::Space => self.make_space().await,
                Next::Wait(deadline) => {
                    // The requests and the deadline are checked in any case.
                    let _ = timeout_at(deadline, self.core.requests.changed()).await;
                }
                Next::End => return,
            }
        }
    }

    fn next_reason(&self) -> Next {
        let may_now = Instant::now() >= self.not_before;
        let mut requested = self.core.requests.lock();
        if requested.ended {
            return Next::End;
        }
        requested.waiters.retain(|waiter| !waiter.is_closed());
        let is_urgent = requested.full && (may_now || !self.has_failed);
        if !requested.waiters.is_empty() || is_urgent || requested.due && may_now {
            requested.due = false;
            requested.begun += 1;
            return Next::Snapshot(Reason {
                full: std::mem::take(&mut requested.full),
                waiters: std::mem::take(&mut requested.waiters),
            });
        }
        if self.core.requests.take_request_for_space() {
            return Next::Space;
        }
        if requested.due || requested.full {
            return Next::Wait(self.not_before);
        }
        Next::Wait(Instant::now() + FAR_OFF)
    }

    async fn serve(&mut self, reason: Reason) {
        let core = Arc::clone(&self.core);
        let started = Instant::now();
        let counted = core.restart_counts();
        let made = self.make(reason.full).await;
        self.has_failed = made.is_err();
        let mut pause = core.policy.pause;
        if self.has_failed {
            pause = pause.max(PAUSE_AFTER_FAILURE);
            core.note_applied(counted.0, counted.1);
            self.reserve().await;
        }
        self.not_before = started + pause.min(PAUSE_MAX);
        let failed = made.as_ref().err().cloned().map(Arc::new);
        self.core.note(|stats| {
            stats.snapshot_time = started.elapsed();
            stats.snapshot_error = failed;
        });
        for waiter in reason.waiters {
            // The caller may have been dropped.
            let _ = waiter.send(made.clone());
        }
    }

    /// Takes a snapshot, truncates the log, and removes snapshots that are no longer kept.
    async fn make(&mut self, full: bool) -> Result<Lsn> {
        let frozen = self.freeze()?;
        let lsn = frozen.lsn;
        if lsn == Lsn::ZERO {
            return Ok(lsn);
        }
        self.mutate(lsn).await;
        if self.kept.back().is_none_or(|newest| newest.lsn() < lsn) {
            let sessions = frozen.sessions.written_len();
            let write = self
                .snapshots
                .write(lsn, move |output| contents::write(frozen, output));
            // The snapshot is written into the reserved space.
            self.core.reserve.note_held(0);
            let snapshot = write.await?;
            let state = snapshot.len().saturating_sub(sessions);
            self.core.reserve.note_newest(state);
            self.core.note(|stats| {
                stats.snapshots += 1;
                stats.snapshot_lsn = lsn;
                stats.snapshot_len = snapshot.len();
            });
            self.kept.push_back(snapshot);
        }
        // A full disk needs the space of the log more than a second snapshot.
        let keep = if full { 1 } else { self.core.policy.keep };
        while self.kept.len() > keep {
            self.kept.pop_front();
        }
        self.make_room().await?;
        Ok(lsn)
    }

    async fn mutate(&self, lsn: Lsn) {
        if is_active(Mutant::TruncatedBeforeSnapshot) {
            let _ = self.truncate(lsn.next()).await;
        }
    }

    fn freeze(&self) -> Result<Frozen<S>> {
        let started = Instant::now();
        let frozen = catch_unwind(AssertUnwindSafe(|| self.core.freeze()));
        let took = started.elapsed();
        self.core.note(|stats| stats.freeze_time = took);
        frozen.unwrap_or(Err(Error::Snapshot(SnapshotError::Interrupted)))
    }

    /// Truncates the log up to the oldest kept snapshot, removes older snapshots, and reserves
    /// space for the next.
    async fn make_room(&mut self) -> Result<()> {
        if let Some(oldest) = self.kept.front().cloned() {
            let needed = match is_active(Mutant::TruncatedToNewest) {
                true => self.kept.back().map_or(oldest.lsn(), Snapshot::lsn),
                false => oldest.lsn(),
            };
            self.truncate(needed.next()).await?;
            self.snapshots.remove_before(&oldest).await?;
        }
        self.reserve().await;
        Ok(())
    }

    fn truncate(&self, before: Lsn) -> impl Future<Output = Result<()>> + Send + use<S> {
        let wal = self.wal.upgrade().map(|wal| Wal::clone(&wal));
        async move {
            match wal {
                Some(wal) => Ok(wal.truncate_before(before).await?),
                None => Err(tidewal::Error::Closed.into()),
            }
        }
    }

    /// Reserves more space if the state may have grown. If the disk has no room for that, takes a snapshot
    /// while it still fits.
    async fn make_space(&self) {
        if let Err(SnapshotError::StorageFull(_)) = self.try_reserve().await {
            self.core.requests.request_because_full();
        }
    }

    /// Reserves space for the next snapshot. Without room for it, the state machine still works,
    /// and tries again when the state has grown, or after the next snapshot.
    pub(crate) async fn reserve(&self) {
        let _ = self.try_reserve().await;
    }

    async fn try_reserve(&self) -> Result<(), SnapshotError> {
        let reserve = &self.core.reserve;
        let mut reserved = Ok(());
        if let Some(wanted) = reserve.wanted(self.core.estimate()) {
            reserved = self.snapshots.reserve(wanted).await;
            if reserved.is_ok() {
                reserve.note_held(wanted);
            }
        }
        self.core.note(|stats| stats.reserved = reserve.held());
        reserved
    }
}

impl<S: State> Drop for Snapshotter<S> {
    /// However the task ends, for example with its runtime, no caller waits for a snapshot any
    /// longer.
    fn drop(&mut self) {
        self.core.requests.end();
        self.core.requests.finish();
    }
}

enum Next {
    Snapshot(Reason),
    /// The reserved space may be too small.
    Space,
    Wait(Instant),
    End,
}

/// A deadline that is practically never.
const FAR_OFF: Duration = Duration::from_secs(24 * 3600);

/// The longest pause. Any longer pause never ends in practice, and an [`Instant`] must be able to
/// represent its end.
const PAUSE_MAX: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The pause after a failed snapshot, whatever the policy.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
