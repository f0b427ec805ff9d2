//! The locks of the operating system, and the directories that this process has locked.

use std::fs::{File, TryLockError};
use std::io;

use crate::storage::access::{Access, SystemLock};
use crate::storage::lock_table::LockTable;

/// The directories that this process has open.
pub(super) static LOCK_TABLE: LockTable = LockTable::new();

/// A file, or a directory, while it is locked.
struct HeldLock {
    file: File,
    /// The id of the process that has locked it.
    process: u32,
}

impl HeldLock {
    fn new(file: File) -> Self {
        let process = std::process::id();
        Self { file, process }
    }
}

impl Drop for HeldLock {
    /// Unlocks explicitly, because closing the file is not enough: a process that is being started
    /// holds a copy of the descriptor for a moment. A forked process only closes the file, because
    /// the lock is the parent's too.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}

pub(super) fn lock_file(file: File, access: Access) -> io::Result<SystemLock> {
    let locked = match access {
        Access::Append => file.try_lock(),
        Access::Read => file.try_lock_shared(),
    };
    match locked {
        Ok(()) => Ok(Box::new(HeldLock::new(file))),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A clone of the file has the role of the parent's descriptor after a fork.
    #[test]
    fn regression_a_process_that_was_forked_off_does_not_give_back_its_parents_lock() {
        let dir = tempfile::tempdir().expect("there is room for a directory");
        let path = dir.path().join("LOCK");
        let parent = File::create(&path).expect("it can be created");
        parent.try_lock().expect("it is free");
        let inherited = HeldLock {
            file: parent.try_clone().expect("a descriptor is free"),
            process: std::process::id() + 1,
        };
        drop(inherited);
        let other = File::open(&path).expect("it is there");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(HeldLock::new(parent));
        other.try_lock().expect("its owner has given it back");
    }
}
