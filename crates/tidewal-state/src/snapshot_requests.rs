//! Requests for snapshots, and their reasons. Requests for space for them.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidewal::Lsn;
use tokio::sync::{Notify, oneshot};

use crate::error::Result;

/// The requests since the last snapshot began.
#[derive(Debug, Default)]
pub(crate) struct SnapshotRequests {
    requested: Mutex<Requested>,
    /// The reserved space may be too small.
    is_small: AtomicBool,
    changed: Notify,
    finished: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Requested {
    /// Requested by the policy.
    pub(crate) due: bool,
    /// Requested because the log has found the disk full.
    pub(crate) full: bool,
    /// Requested by callers, which wait for it.
    pub(crate) waiters: Vec<oneshot::Sender<Result<Lsn>>>,
    /// How many snapshots were begun, and how many of them have finished.
    pub(crate) begun: u64,
    finished: u64,
    /// No handle is left, or the task that takes snapshots has ended.
    pub(crate) ended: bool,
}

impl SnapshotRequests {
    pub(crate) fn request_due(&self) {
        self.change(|requested| std::mem::replace(&mut requested.due, true));
    }

    pub(crate) fn request_because_full(&self) {
        self.change(|requested| std::mem::replace(&mut requested.full, true));
    }

    /// Requests a check of the space that is reserved for the next snapshot.
    pub(crate) fn request_space(&self) {
        if !self.is_small.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
        }
    }

    /// Whether that was requested since the last call.
    pub(crate) fn take_request_for_space(&self) -> bool {
        self.is_small.swap(false, Ordering::Relaxed)
    }

    /// Requests a snapshot. One snapshot serves all requests made before it began.
    pub(crate) fn request(&self) -> oneshot::Receiver<Result<Lsn>> {
        let (sender, receiver) = oneshot::channel();
        self.change(|requested| {
            requested.waiters.retain(|waiter| !waiter.is_closed());
            if !requested.ended {
                requested.waiters.push(sender);
            }
            false
        });
        receiver
    }

    /// Takes no more snapshots. Waiting callers are answered by their closed channel.
    pub(crate) fn end(&self) {
        let mut told = Vec::new();
        self.change(|requested| {
            told = std::mem::take(&mut requested.waiters);
            std::mem::replace(&mut requested.ended, true)
        });
        // Dropping a channel calls a waker. A waker is code of its owner, which may call this type again.
        drop(told);
    }

    /// Records that the snapshot which was begun last has finished.
    pub(crate) fn finish(&self) {
        let mut requested = self.lock();
        requested.finished = requested.begun;
        drop(requested);
        self.finished.notify_waiters();
    }

    /// Waits until the snapshot that is being taken has finished, if there is one. It holds nothing,
    /// so a future that is kept without being polled makes neither a snapshot nor another caller
    /// wait.
    pub(crate) async fn wait_finished(&self) {
        let begun = self.lock().begun;
        loop {
            let mut finished = pin!(self.finished.notified());
            finished.as_mut().enable();
            if self.lock().finished >= begun {
                return;
            }
            finished.await;
        }
    }

    /// Changes the requests. `change` returns whether it was requested already.
    fn change(&self, change: impl FnOnce(&mut Requested) -> bool) {
        if !change(&mut self.lock()) {
            self.changed.notify_one();
        }
    }

    /// Waits for a change since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Requested> {
        self.requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
