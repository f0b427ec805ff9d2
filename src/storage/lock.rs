//! Who has a directory open: one for appending, or any number for reading (promise P6).
//!
//! Two gates in a row. The operating system's lock keeps other processes out. A table in this process
//! comes before it, for the one case in which waiting is right: a log whose last handle was dropped
//! closes in the background, and whoever opens the same directory next means to come after it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::error::{Error, Fault, Result};
use crate::storage::Backend;

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
pub(crate) struct Table(Mutex<Option<HashMap<PathBuf, Weak<Entry>>>>);

impl Table {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn get(&self, key: &Path) -> Option<Arc<Entry>> {
        self.entries().as_ref()?.get(key)?.upgrade()
    }

    fn insert(&self, key: PathBuf, entry: &Arc<Entry>) {
        let mut entries = self.entries();
        let entries = entries.get_or_insert_default();
        entries.retain(|_, other| other.strong_count() > 0);
        entries.insert(key, Arc::downgrade(entry));
    }

    fn entries(&self) -> MutexGuard<'_, Option<HashMap<PathBuf, Weak<Entry>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One log that is open.
struct Entry {
    closing: AtomicBool,
    // Fields are dropped in this order: the system's lock goes first, then whoever waits is woken.
    _system: Box<dyn Send + Sync>,
    /// Nothing is ever sent: its drop is the news.
    gone: watch::Sender<()>,
}

impl Entry {
    fn new(system: Box<dyn Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            closing: AtomicBool::new(false),
            _system: system,
            gone: watch::Sender::new(()),
        })
    }
}

/// Takes the lock, after a log that is closing in this process if there is one.
pub(crate) async fn acquire(backend: &dyn Backend, access: Access) -> Result<Lock> {
    let fault = |error| Fault::new("lock", backend.path(), error);
    let key = backend.identity();
    let key = key.map_err(|error| Fault::new("open the directory", backend.path(), error))?;
    loop {
        // Before the system's lock, which is no help if somebody has removed the lock file.
        if let Some(holder) = backend.lock_table().get(&key) {
            wait_for(holder, backend.path()).await?;
            continue;
        }
        return match backend.try_lock(access) {
            Ok(system) => {
                let entry = Entry::new(system);
                if access == Access::Append {
                    backend.lock_table().insert(key, &entry);
                }
                Ok(Lock(entry))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(locked(
                backend.path(),
                "another process or a reader has it open",
            )),
            Err(error) => Err(fault(error).into()),
        };
    }
}

/// Waits for a log of this process to be gone if it is on its way, and says [`Error::Locked`] if it is
/// not.
async fn wait_for(holder: Arc<Entry>, dir: &Path) -> Result<()> {
    if !holder.closing.load(Ordering::Acquire) {
        return Err(locked(dir, "this process has it open for appending"));
    }
    let mut gone = holder.gone.subscribe();
    drop(holder);
    // An error is what is waited for: the sender went with the lock.
    let _ = gone.changed().await;
    Ok(())
}

fn locked(dir: &Path, holder: &str) -> Error {
    Error::Locked {
        dir: dir.to_owned(),
        holder: holder.into(),
    }
}
