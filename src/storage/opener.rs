//! The caller that a directory is opened for.
//!
//! Directories are opened and locked in the background, so the caller's future may be dropped before
//! or while that happens. The lock is then about to be released, even one that is taken only
//! afterwards, and the next caller waits for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the task that opens a directory knows about its caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opener(Arc<AtomicBool>);

impl Opener {
    /// Whether the caller does not want the directory any more.
    pub(crate) fn has_left(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn leave(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Kept in the caller's future. Dropping it before the log is the caller's means that the caller has
/// left.
#[must_use = "a guard that is dropped says that the caller has left"]
#[derive(Debug)]
pub(crate) struct OpenerGuard(Option<Opener>);

impl OpenerGuard {
    pub(crate) fn new(opener: Opener) -> Self {
        Self(Some(opener))
    }

    /// The caller has what it waited for, and with it the lock.
    pub(crate) fn served(mut self) {
        self.0 = None;
    }
}

impl Drop for OpenerGuard {
    fn drop(&mut self) {
        self.0.iter().for_each(Opener::leave);
    }
}
