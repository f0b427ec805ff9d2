//! The directories that this process has open, and which of their logs are closing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::storage::access::{DirKey, SystemLock};

/// Keeps the directory locked until it and all locks from [`Lock::share`] and [`Closing::hold`] are
/// dropped.
pub(crate) struct Lock(Arc<OpenLog>);

impl Lock {
    pub(super) fn new(system: Vec<SystemLock>) -> Self {
        Self(OpenLog::new(system))
    }

    /// A handle to announce that the log is closing.
    pub(crate) fn closing(&self) -> Closing {
        Closing {
            log: Arc::downgrade(&self.0),
            gone: self.0.gone.subscribe(),
        }
    }

    /// The same lock for another task of the log. The directory stays locked until both are dropped.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Announces that the log is closing, so callers that open the directory next wait for it.
#[derive(Clone)]
pub(crate) struct Closing {
    log: Weak<OpenLog>,
    gone: watch::Receiver<()>,
}

impl Closing {
    pub(crate) fn announce(&self) {
        if let Some(log) = self.log.upgrade() {
            log.closing.store(true, Ordering::Release);
        }
    }

    /// Keeps the directory locked until the result is dropped. `None` if the log is closing.
    pub(crate) fn hold(&self) -> Option<Lock> {
        let log = self.log.upgrade()?;
        let is_closing = log.closing.load(Ordering::Acquire);
        (!is_closing).then_some(Lock(log))
    }

    /// Like [`hold`](Self::hold), also while the log is closing. `None` once it has ended.
    pub(crate) fn share(&self) -> Option<Lock> {
        self.log.upgrade().map(Lock)
    }

    /// Waits until the system's locks are released.
    ///
    /// Cancel safe: it only waits.
    pub(crate) async fn released(&self) {
        // The wait ends with an error, because the sender is dropped with the lock.
        let _ = self.gone.clone().changed().await;
    }
}

/// The directories that this process has open for appending.
pub(crate) struct LockTable(Mutex<Option<HashMap<DirKey, Known>>>);

impl LockTable {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(super) fn get(&self, key: &DirKey) -> Option<Known> {
        let entries = self.entries();
        let known = entries.as_ref()?.get(key)?;
        known.is_locked().then(|| known.clone())
    }

    pub(super) fn insert(&self, key: DirKey, lock: &Lock) {
        let mut entries = self.entries();
        let entries = entries.get_or_insert_default();
        entries.retain(|_, other| other.is_locked());
        entries.insert(key, Known::of(&lock.0));
    }

    fn entries(&self) -> MutexGuard<'_, Option<HashMap<DirKey, Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the table knows about an open log.
#[derive(Clone)]
pub(super) struct Known {
    log: Weak<OpenLog>,
    gone: watch::Receiver<()>,
}

impl Known {
    fn of(log: &Arc<OpenLog>) -> Self {
        Self {
            log: Arc::downgrade(log),
            gone: log.gone.subscribe(),
        }
    }

    /// Whether the system's locks are still held, as they are for a moment after the last [`Lock`]
    /// is dropped.
    fn is_locked(&self) -> bool {
        self.gone.has_changed().is_ok()
    }

    /// Whether the log is closing, or its last [`Lock`] was dropped.
    pub(super) fn is_closing(&self) -> bool {
        let log = self.log.upgrade();
        log.is_none_or(|log| log.closing.load(Ordering::Acquire))
    }

    /// Waits until the system's locks are released.
    pub(super) async fn gone(&mut self) {
        // The wait ends with an error, because the sender is dropped with the lock.
        let _ = self.gone.changed().await;
    }
}

/// One open log.
struct OpenLog {
    closing: AtomicBool,
    // Fields are dropped in this order: the system's lock goes first, then waiting callers are woken.
    _system: Vec<SystemLock>,
    /// Nothing is ever sent: receivers wait for it to be dropped.
    gone: watch::Sender<()>,
}

impl OpenLog {
    fn new(system: Vec<SystemLock>) -> Arc<Self> {
        Arc::new(Self {
            closing: AtomicBool::new(false),
            _system: system,
            gone: watch::Sender::new(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::access::FileId;

    static TABLE: LockTable = LockTable::new();

    fn key() -> DirKey {
        DirKey::Inode(FileId {
            device: 1,
            inode: 1,
        })
    }

    /// A system lock that looks at the table while it is released.
    struct System;

    impl Drop for System {
        fn drop(&mut self) {
            let known = TABLE.get(&key()).expect("the system's lock is still taken");
            assert!(known.is_closing(), "who comes now waits");
        }
    }

    /// The reference count of a log falls to zero before its lock is released. A caller that came in
    /// between found no log in the table but the system's lock, and got the error that another process had the
    /// log open.
    #[test]
    fn regression_a_log_is_waited_for_until_its_lock_is_given_back() {
        let lock = Lock::new(vec![Box::new(System)]);
        TABLE.insert(key(), &lock);
        assert!(TABLE.get(&key()).is_some_and(|known| !known.is_closing()));
        drop(lock);
        assert!(TABLE.get(&key()).is_none());
    }
}
