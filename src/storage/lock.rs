//! Who has a directory open: one for appending, or any number for reading (promise P6).
//!
//! Two gates in a row. The operating system's lock keeps other processes out. A table in this process
//! comes before it, for the one case in which waiting is right: a log whose last handle was dropped
//! closes in the background, and whoever opens the same directory next means to come after it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{fmt, io};

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::planted::{Bug, is_planted};
use crate::storage::{Dir, DirKey, Held};

/// What a directory is taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    Append,
    Read,
}

/// The directory is ours until this is dropped, and so is what [`Closing::hold`] has made of it.
pub(crate) struct Lock(Arc<Entry>);

impl Lock {
    /// A way to say that the log is on its way out.
    pub(crate) fn closing(&self) -> Closing {
        Closing(Arc::downgrade(&self.0))
    }
}

/// Says to those who come next that waiting for this log is worth their while.
#[derive(Clone)]
pub(crate) struct Closing(Weak<Entry>);

impl Closing {
    pub(crate) fn announce(&self) {
        if let Some(entry) = self.0.upgrade() {
            entry.closing.store(true, Ordering::Release);
        }
    }

    /// Keeps the directory locked until the result is dropped; `None` if the log is on its way out.
    #[cfg(feature = "snapshot")]
    pub(crate) fn hold(&self) -> Option<Lock> {
        let entry = self.0.upgrade()?;
        let is_closing = entry.closing.load(Ordering::Acquire);
        (!is_closing).then_some(Lock(entry))
    }
}

/// The directories that this process has open for appending.
pub(crate) struct Table(Mutex<Option<HashMap<DirKey, Known>>>);

impl Table {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn get(&self, key: &DirKey) -> Option<Known> {
        let entries = self.entries();
        let known = entries.as_ref()?.get(key)?;
        known.is_locked().then(|| known.clone())
    }

    fn insert(&self, key: DirKey, entry: &Arc<Entry>) {
        let mut entries = self.entries();
        let entries = entries.get_or_insert_default();
        entries.retain(|_, other| other.is_locked());
        entries.insert(key, Known::of(entry));
    }

    fn entries(&self) -> MutexGuard<'_, Option<HashMap<DirKey, Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a log that is open.
#[derive(Clone)]
struct Known {
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
    fn is_closing(&self) -> bool {
        let entry = self.entry.upgrade();
        entry.is_none_or(|entry| entry.closing.load(Ordering::Acquire))
    }
}

/// One log that is open.
struct Entry {
    closing: AtomicBool,
    // Fields are dropped in this order: the system's lock goes first, then whoever waits is woken.
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

/// A process that has a log open.
#[cfg_attr(
    not(feature = "tools"),
    expect(unreachable_pub, reason = "`tools` gives it out")
)]
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The name of its program; empty if that is not known.
    pub name: String,
    /// Whether it appends; else it reads.
    pub appends: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.appends { "appending" } else { "reading" };
        write!(f, "{access} by process {}", self.pid)?;
        match (self.pid == std::process::id(), self.name.is_empty()) {
            (true, _) => f.write_str(", which is this one"),
            (false, false) => write!(f, " ({})", self.name),
            (false, true) => Ok(()),
        }
    }
}

/// Takes the lock, after a log that is closing in this process if there is one.
pub(super) async fn acquire(dir: &Dir, access: Access) -> Result<Lock> {
    let key = dir.backend().key();
    loop {
        // Before the system's locks, which tell no process from itself.
        let known = dir.backend().lock_table().get(&key);
        if let Some(known) = known {
            wait_for(known, dir.path()).await?;
            continue;
        }
        return match lock_all(dir, access) {
            Ok(system) => {
                let entry = Entry::new(system);
                if access == Access::Append {
                    dir.backend().lock_table().insert(key, &entry);
                }
                Ok(Lock(entry))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(locked_by_others(dir)),
            Err(error) => Err(dir.fault("lock", "")(error).into()),
        };
    }
}

/// The directory first: its lock cannot be taken away, while the lock file can be removed, and another
/// one of that name locked. Both, because not every file system locks directories, and some lock them for
/// this machine only. Where that is so the log looks whether the lock file is still its own before it
/// acknowledges anything.
fn lock_all(dir: &Dir, access: Access) -> io::Result<Vec<Held>> {
    let backend = dir.backend();
    let itself = match is_planted(Bug::LockFileAlone) {
        true => None,
        false => backend.try_lock(access)?,
    };
    let needs_file = itself.is_none() || backend.is_shared();
    let Some((file, id)) = backend.try_lock_file(access)? else {
        return Ok(itself.into_iter().collect());
    };
    if let Some(id) = id
        && access == Access::Append
        && needs_file
        && !is_planted(Bug::LockFileAlone)
    {
        dir.rely_on(id);
    }
    Ok(itself.into_iter().chain([file]).collect())
}

/// Waits for a log of this process to be gone if it is on its way, and says [`Error::Locked`] if it is
/// not.
async fn wait_for(mut known: Known, dir: &Path) -> Result<()> {
    if !known.is_closing() {
        return Err(locked(dir, "this process has it open for appending"));
    }
    // An error is what is waited for: the sender went with the lock.
    let _ = known.gone.changed().await;
    Ok(())
}

/// What a caller hears that has waited long enough for a log of this process to be gone.
pub(crate) fn still_closing(dir: &Path) -> Error {
    locked(dir, "this process is still closing it")
}

fn locked_by_others(dir: &Dir) -> Error {
    let holders = dir.backend().holders();
    let known: Vec<_> = holders.iter().map(ToString::to_string).collect();
    match known.is_empty() {
        true => locked(dir.path(), "another process or a reader has it open"),
        false => locked(dir.path(), &known.join(", ")),
    }
}

fn locked(dir: &Path, holder: &str) -> Error {
    Error::Locked {
        dir: dir.to_owned(),
        holder: holder.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileId;

    static TABLE: Table = Table::new();

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
        let lock = Lock(Entry::new(vec![Box::new(System)]));
        TABLE.insert(key(), &lock.0);
        assert!(TABLE.get(&key()).is_some_and(|known| !known.is_closing()));
        drop(lock);
        assert!(TABLE.get(&key()).is_none());
    }
}
