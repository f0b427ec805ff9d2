//! Who has a directory open: one for appending, or any number for reading (promise P6).
//!
//! There are two stages. The operating system's lock keeps other processes out. A table in this
//! process comes first, for the one case in which waiting is right: a log whose last handle was
//! dropped closes in the background, or an opening whose future was dropped ends there, and a caller
//! that opens the same directory next expects to succeed after that.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::mutants::{Mutant, is_active};
#[cfg(feature = "tools")]
use crate::storage::access::LockOwner;
use crate::storage::access::{Access, SystemLock};
use crate::storage::dir::Dir;
use crate::storage::lock_table::{Known, Lock};
use crate::storage::opener::Opener;

impl Dir {
    /// Locks the directory for reading or for appending.
    ///
    /// Waits only for a lock of this process that is about to be released: the log is closing, or the
    /// caller that opens it was dropped. The new lock is one of them once `opener` has left.
    pub(crate) async fn lock(&self, access: Access, opener: &Opener) -> Result<Lock> {
        let backend = self.backend();
        loop {
            // The table comes before the system's locks, because those do not distinguish two logs of
            // one process.
            match backend.lock_table().enter(backend.key(), access, opener) {
                Ok(lock) => return take(self, access, lock),
                Err(known) => wait_for(known, self.path()).await?,
            }
        }
    }

    /// The processes that have it locked, where the system reports them.
    #[cfg(feature = "tools")]
    pub(crate) fn lock_owners(&self) -> Vec<LockOwner> {
        self.backend().lock_owners()
    }
}

/// Takes the system's locks for a lock that is in the table.
fn take(dir: &Dir, access: Access, lock: Lock) -> Result<Lock> {
    match lock_all(dir, access) {
        Ok(system) => {
            lock.add(system);
            Ok(lock)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(locked_by_others(dir)),
        Err(error) => Err(dir.fault("lock", "")(error).into()),
    }
}

/// Locks the directory first: its lock cannot be circumvented, while the lock file can be removed,
/// and a new file of that name can be locked. Both are locked, because some file systems do not
/// lock directories, and some lock them for this machine only. On those, the log checks that the
/// lock file is still the one that it locked before it acknowledges anything.
fn lock_all(dir: &Dir, access: Access) -> io::Result<Vec<SystemLock>> {
    let backend = dir.backend();
    let itself = match is_active(Mutant::LockFileAlone) {
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
        && !is_active(Mutant::LockFileAlone)
    {
        dir.rely_on(id);
    }
    Ok(itself.into_iter().chain([file]).collect())
}

/// Waits for a lock of this process that is about to be released, or is only being taken. Otherwise
/// fails with [`Error::Locked`].
async fn wait_for(mut known: Known, dir: &Path) -> Result<()> {
    if known.is_open() {
        return Err(locked(dir, "this process has it open for appending"));
    }
    known.changed().await;
    Ok(())
}

/// The error for a caller that has waited too long for a log of this process to close.
pub(crate) fn still_closing(dir: &Path) -> Error {
    locked(dir, "this process is still closing it")
}

fn locked_by_others(dir: &Dir) -> Error {
    let owners = dir.backend().lock_owners();
    let known: Vec<_> = owners.iter().map(ToString::to_string).collect();
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
