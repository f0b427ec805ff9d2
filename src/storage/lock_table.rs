//! The directories that this process has open, and which of their locks are about to be released.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::watch;

use crate::storage::access::{Access, DirKey, SystemLock};
use crate::storage::opener::{Opener, OpenerGuard};

/// Keeps the directory locked until it and all locks from [`Lock::share`] and [`Closing::hold`] are
/// dropped.
pub(crate) struct Lock(Arc<OpenLog>);

impl Lock {
    /// Adds the system's locks. Before that, the directory is not locked for other processes.
    pub(super) fn add(&self, system: Vec<SystemLock>) {
        // A lock is taken once.
        let _ = self.0.system.set(system);
        self.0.is_taken.send_replace(true);
    }

    /// A guard for a caller that opens the log with this lock.
    pub(crate) fn opener_guard(&self) -> OpenerGuard {
        OpenerGuard::new(self.0.opener.clone())
    }

    /// A handle to announce that the log is closing.
    pub(crate) fn closing(&self) -> Closing {
        Closing {
            log: Arc::downgrade(&self.0),
            is_taken: self.0.is_taken.subscribe(),
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
    is_taken: watch::Receiver<bool>,
}

impl Closing {
    pub(crate) fn announce(&self) {
        if let Some(log) = self.log.upgrade() {
            log.opener.leave();
        }
    }

    /// Keeps the directory locked until the result is dropped. `None` if the log is closing.
    pub(crate) fn hold(&self) -> Option<Lock> {
        let log = self.log.upgrade()?;
        (!log.opener.has_left()).then_some(Lock(log))
    }

    /// Like [`hold`](Self::hold), also while the log is closing. `None` once it has ended.
    pub(crate) fn share(&self) -> Option<Lock> {
        self.log.upgrade().map(Lock)
    }

    /// Waits until the system's locks are released.
    ///
    /// Cancel safe: it only waits.
    pub(crate) async fn released(&self) {
        gone(&mut self.is_taken.clone()).await;
    }
}

/// Waits until the system's locks are released.
async fn gone(is_taken: &mut watch::Receiver<bool>) {
    // The wait ends with an error, because the sender is dropped with the lock.
    let _ = is_taken.wait_for(|_| false).await;
}

/// The directories that this process has open.
pub(crate) struct LockTable(Mutex<Option<HashMap<DirKey, Vec<Known>>>>);

impl LockTable {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Enters a lock that is about to be taken. If another lock of this process must be released or
    /// decided first, or excludes this one, returns that instead.
    pub(super) fn enter(
        &self,
        key: DirKey,
        access: Access,
        opener: &Opener,
    ) -> Result<Lock, Known> {
        let mut entries = self.entries();
        let entries = entries.get_or_insert_default();
        entries.retain(|_, known| {
            known.retain(Known::is_locked);
            !known.is_empty()
        });
        let known = entries.entry(key).or_default();
        if let Some(known) = known.iter().find(|known| known.comes_before(access)) {
            return Err(known.clone());
        }
        let lock = Lock(OpenLog::new(opener.clone()));
        known.push(Known::of(&lock.0, access));
        Ok(lock)
    }

    fn entries(&self) -> MutexGuard<'_, Option<HashMap<DirKey, Vec<Known>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the table knows about a lock.
#[derive(Clone)]
pub(super) struct Known {
    log: Weak<OpenLog>,
    access: Access,
    is_taken: watch::Receiver<bool>,
}

impl Known {
    fn of(log: &Arc<OpenLog>, access: Access) -> Self {
        Self {
            log: Arc::downgrade(log),
            access,
            is_taken: log.is_taken.subscribe(),
        }
    }

    /// Whether the system's locks are still held, as they are for a moment after the last [`Lock`]
    /// is dropped.
    fn is_locked(&self) -> bool {
        self.is_taken.has_changed().is_ok()
    }

    /// Whether a lock for this access must not be taken now.
    ///
    /// An open reader is left to the system's locks, which other processes have too.
    fn comes_before(&self, access: Access) -> bool {
        match (self.access, access) {
            (Access::Read, Access::Read) => false,
            (Access::Append, _) => true,
            (Access::Read, Access::Append) => self.is_closing() || !self.is_taken(),
        }
    }

    /// Whether the lock is about to be released: the log is closing, the caller that opened it was
    /// dropped, or the last [`Lock`] was.
    pub(super) fn is_closing(&self) -> bool {
        let log = self.log.upgrade();
        log.is_none_or(|log| log.opener.has_left())
    }

    /// Whether the system's locks were taken. Otherwise, that is being tried.
    fn is_taken(&self) -> bool {
        *self.is_taken.borrow()
    }

    /// Whether the log is open, so it is pointless to wait.
    pub(super) fn is_open(&self) -> bool {
        !self.is_closing() && self.is_taken()
    }

    /// Waits until the lock is released or, if it is only being taken, until that is decided.
    pub(super) async fn changed(&mut self) {
        if self.is_closing() {
            gone(&mut self.is_taken).await;
        } else {
            // An error means that the lock was not to be had.
            let _ = self.is_taken.wait_for(|is_taken| *is_taken).await;
        }
    }
}

/// One open log.
struct OpenLog {
    /// The caller that opened it, which has left once the log is closing.
    opener: Opener,
    // Fields are dropped in this order: the system's lock goes first, then waiting callers are woken.
    system: OnceLock<Vec<SystemLock>>,
    /// Whether `system` is there. Receivers learn of the release when this is dropped.
    is_taken: watch::Sender<bool>,
}

impl OpenLog {
    fn new(opener: Opener) -> Arc<Self> {
        Arc::new(Self {
            opener,
            system: OnceLock::new(),
            is_taken: watch::Sender::new(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;
    use crate::storage::access::FileId;

    static TABLE: LockTable = LockTable::new();

    fn key() -> DirKey {
        DirKey::Inode(FileId {
            device: 1,
            inode: 1,
        })
    }

    fn enter(table: &LockTable, access: Access) -> Result<Lock, Known> {
        table.enter(key(), access, &Opener::default())
    }

    /// What the next caller, who wants to append, finds in the table.
    fn known(table: &LockTable) -> Known {
        let Err(known) = enter(table, Access::Append) else {
            panic!("the directory is locked");
        };
        known
    }

    /// A system lock that looks at the table while it is released.
    struct System;

    impl Drop for System {
        fn drop(&mut self) {
            assert!(known(&TABLE).is_closing(), "a caller that comes now waits");
        }
    }

    /// The reference count of a log falls to zero before its lock is released. A caller that came in
    /// between found no log in the table but the system's lock, and got the error that another process had the
    /// log open.
    #[test]
    fn regression_a_log_is_waited_for_until_its_lock_is_given_back() {
        let Ok(lock) = enter(&TABLE, Access::Append) else {
            panic!("the directory is free");
        };
        lock.add(vec![Box::new(System)]);
        assert!(known(&TABLE).is_open());
        drop(lock);
        assert!(enter(&TABLE, Access::Append).is_ok());
    }

    #[test]
    fn a_lock_that_is_only_being_taken_is_waited_for_until_that_is_decided() {
        for is_had in [true, false] {
            let table = LockTable::new();
            let Ok(lock) = enter(&table, Access::Append) else {
                panic!("the directory is free");
            };
            let mut found = known(&table);
            assert!(!found.is_open());
            let mut decided = task::spawn(found.changed());
            assert_pending!(decided.poll());
            if is_had {
                lock.add(Vec::new());
                assert_ready!(decided.poll());
                assert!(known(&table).is_open());
            } else {
                drop(lock);
                assert_ready!(decided.poll());
                assert!(enter(&table, Access::Append).is_ok());
            }
        }
    }

    /// The caller is dropped before the lock is taken, afterwards, or never.
    #[test]
    fn a_lock_whose_caller_has_left_is_waited_for_until_it_is_released() {
        for access in [Access::Append, Access::Read] {
            for is_early in [true, false] {
                let (table, opener) = (LockTable::new(), Opener::default());
                let Ok(lock) = table.enter(key(), access, &opener) else {
                    panic!("the directory is free");
                };
                let guard = OpenerGuard::new(opener);
                if !is_early {
                    lock.add(Vec::new());
                }
                drop(guard);
                if is_early {
                    lock.add(Vec::new());
                }
                let mut found = known(&table);
                assert!(!found.is_open());
                let mut released = task::spawn(found.changed());
                assert_pending!(released.poll());
                drop(lock);
                assert_ready!(released.poll());
            }
        }
    }

    #[test]
    fn a_caller_that_has_what_it_waited_for_has_not_left() {
        let (table, opener) = (LockTable::new(), Opener::default());
        let Ok(lock) = table.enter(key(), Access::Append, &opener) else {
            panic!("the directory is free");
        };
        lock.add(Vec::new());
        OpenerGuard::new(opener).served();
        assert!(known(&table).is_open());
    }

    #[test]
    fn an_open_reader_is_left_to_the_systems_locks() {
        let table = LockTable::new();
        let Ok(reader) = enter(&table, Access::Read) else {
            panic!("the directory is free");
        };
        assert!(enter(&table, Access::Read).is_ok());
        assert!(!known(&table).is_open(), "it is only being taken");
        reader.add(Vec::new());
        assert!(enter(&table, Access::Append).is_ok());
    }
}
