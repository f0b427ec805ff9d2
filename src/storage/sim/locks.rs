//! The locks on the directories of a simulated disk and on their lock files.

use std::io;

use crate::storage::access::Access;
use crate::storage::sim::changes::DirId;
use crate::storage::sim::model::{DirState, Locked, Model};

/// What can be locked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lockable {
    Directory(DirId),
    LockFile(DirId, usize),
}

impl Model {
    /// The current lock file of a directory. It is created when the directory is opened for
    /// appending.
    pub(super) fn lock_file(&mut self, dir: DirId, access: Access) -> Option<Lockable> {
        let state = &mut self.dirs[dir];
        if !state.has_lock_file {
            if access == Access::Read {
                return None;
            }
            state.lock_files.push(Locked::default());
            state.has_lock_file = true;
        }
        Some(Lockable::LockFile(dir, state.lock_files.len() - 1))
    }

    /// The number of the current lock file.
    pub(super) fn lock_file_id(&self, dir: DirId) -> io::Result<usize> {
        match self.dirs[dir].has_lock_file {
            true => Ok(self.dirs[dir].lock_files.len()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn try_lock(&mut self, what: Lockable, access: Access) -> io::Result<()> {
        let locked = self.locked(what);
        let is_free = match access {
            Access::Append => locked.readers == 0 && locked.appenders == 0,
            Access::Read => locked.appenders == 0,
        };
        if !is_free {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *locked.count_of(access) += 1;
        Ok(())
    }

    pub(super) fn unlock(&mut self, what: Lockable, access: Access) {
        *self.locked(what).count_of(access) -= 1;
    }

    fn locked(&mut self, what: Lockable) -> &mut Locked {
        match what {
            Lockable::Directory(dir) => &mut self.dirs[dir].lock,
            Lockable::LockFile(dir, file) => &mut self.dirs[dir].lock_files[file],
        }
    }
}

impl DirState {
    pub(super) fn release_locks(&mut self) {
        self.lock = Locked::default();
        self.lock_files.fill(Locked::default());
    }
}

impl Locked {
    fn count_of(&mut self, access: Access) -> &mut usize {
        match access {
            Access::Append => &mut self.appenders,
            Access::Read => &mut self.readers,
        }
    }
}
