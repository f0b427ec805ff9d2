//! The directories that this process has open, and the logs in it that are closing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::storage::access::{DirKey, Held};

/// The directory is ours until this is dropped, and all that was made of it: [`Lock::share`], [`Closing::hold`].
pub(crate) struct Lock(Arc<Entry>);

impl Lock {
    pub(super) fn new(system: Vec<Held>) -> Self {
        Self(Entry::new(system))
    }

    /// A way to say that the log is on its way out.
    pub(crate) fn closing(&self) -> Closing {
        Closing {
            entry: Arc::downgrade(&self.0),
            gone: self.0.gone.subscribe(),
        }
    }

    /// The same lock for another task of the log: the directory stays locked until both are dropped.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Says to those who come next that waiting for this log is worth their while.
#[derive(Clone)]
pub(crate) struct Closing {
    entry: Weak<Entry>,
    gone: watch::Receiver<()>,
}

impl Closing {
    pub(crate) fn announce(&self) {
        if let Some(entry) = self.entry.upgrade() {
            entry.closing.store(true, Ordering::Release);
        }
    }

    /// Keeps the directory locked until the result is dropped; `None` if the log is on its way out.
    pub(crate) fn hold(&self) -> Option<Lock> {
        let entry = self.entry.upgrade()?;
        let is_closing = entry.closing.load(Ordering::Acquire);
        (!is_closing).then_some(Lock(entry))
    }

    /// As [`hold`](Self::hold), also of a log that is on its way out. `None` once it has ended.
    pub(crate) fn share(&self) -> Option<Lock> {
        self.entry.upgrade().map(Lock)
    }

    /// Waits until the system's locks are released.
    ///
    /// Cancel safe: it only waits.
    pub(crate) async fn released(&self) {
        // An error is what is waited for: the sender goes with the lock.
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

/// What is known of a log that is open.
#[derive(Clone)]
pub(super) struct Known {
    entry: Weak<Entry>,
    gone: watch::Receiver<()>,
}

impl Known {
    fn of(entry: &Arc<Entry>) -> Self {
        Self {
            entry: Arc::downgrade(entry),
            gone: entry.gone.subscribe(),
        }
    }

    /// Whether the system's locks are still taken. They are for a moment after the last [`Lock`] has gone.
    fn is_locked(&self) -> bool {
        self.gone.has_changed().is_ok()
    }

    /// Whether it is on its way out, or already past its last [`Lock`].
    pub(super) fn is_closing(&self) -> bool {
        let entry = self.entry.upgrade();
        entry.is_none_or(|entry| entry.closing.load(Ordering::Acquire))
    }

    /// Waits until the system's locks are given back.
    pub(super) async fn gone(&mut self) {
        // An error is what is waited for: the sender went with the lock.
        let _ = self.gone.changed().await;
    }
}

/// One log that is open.
struct Entry {
    closing: AtomicBool,
    // Fields are dropped in this order: the system's lock goes first, then waiting callers are woken.
    _system: Vec<Held>,
    /// Nothing is ever sent: its drop is the news.
    gone: watch::Sender<()>,
}

impl Entry {
    fn new(system: Vec<Held>) -> Arc<Self> {
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

    /// A lock of the system, which looks at the table while it is given back.
    struct System;

    impl Drop for System {
        fn drop(&mut self) {
            let known = TABLE.get(&key()).expect("the system's lock is still taken");
            assert!(known.is_closing(), "who comes now waits");
        }
    }

    /// The count of an entry falls to zero before its lock is given back. Who came in between found no entry
    /// and the system's lock, and was told that another process had it.
    #[test]
    fn regression_a_log_is_waited_for_until_its_lock_is_given_back() {
        let lock = Lock::new(vec![Box::new(System)]);
        TABLE.insert(key(), &lock);
        assert!(TABLE.get(&key()).is_some_and(|known| !known.is_closing()));
        drop(lock);
        assert!(TABLE.get(&key()).is_none());
    }
}
