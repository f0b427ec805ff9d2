//! Who asks for a snapshot, and why.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidewal::Lsn;
use tokio::sync::{Notify, oneshot};

use crate::error::Result;

/// What was asked for since the last snapshot was begun.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    asked: Mutex<Asked>,
    changed: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// By the policy.
    pub(crate) due: bool,
    /// By a log that has found the disk full.
    pub(crate) full: bool,
    /// By callers, who wait for it.
    pub(crate) waiters: Vec<oneshot::Sender<Result<Lsn>>>,
    /// No handle is left, or no task that takes snapshots.
    pub(crate) ended: bool,
}

impl Asks {
    pub(crate) fn ask_because_due(&self) {
        self.change(|asked| std::mem::replace(&mut asked.due, true));
    }

    pub(crate) fn ask_because_full(&self) {
        self.change(|asked| std::mem::replace(&mut asked.full, true));
    }

    /// One snapshot serves all who have asked before it was begun.
    pub(crate) fn ask(&self) -> oneshot::Receiver<Result<Lsn>> {
        let (sender, receiver) = oneshot::channel();
        self.change(|asked| {
            asked.waiters.retain(|waiter| !waiter.is_closed());
            if !asked.ended {
                asked.waiters.push(sender);
            }
            false
        });
        receiver
    }

    /// No snapshot is taken any more: those who wait for one are told by the end of their channel.
    pub(crate) fn end(&self) {
        let mut told = Vec::new();
        self.change(|asked| {
            told = std::mem::take(&mut asked.waiters);
            std::mem::replace(&mut asked.ended, true)
        });
        // A waker is code of its owner, which may come back here.
        drop(told);
    }

    /// Changes what is asked for. `change` says whether it was so before.
    fn change(&self, change: impl FnOnce(&mut Asked) -> bool) {
        if !change(&mut self.lock()) {
            self.changed.notify_one();
        }
    }

    /// Waits for a change since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
