//! An open directory, for functions that block.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::{IoFailure, Result};
use crate::executor::Executor;
use crate::storage::{Access, Dir, Lock, Opener, Opening, still_closing};

/// A log's directory, held open, and the executor of the work on it.
#[derive(Clone, Debug)]
pub(super) struct OpenDir {
    pub(super) dir: Dir,
    executor: Executor,
}

impl OpenDir {
    /// Opens an existing directory.
    pub(super) fn open(environment: &Environment) -> Result<Self> {
        Ok(Self {
            dir: environment.location.open(Opening::existing(Access::Read))?,
            executor: environment.executor,
        })
    }

    /// Locks the directory. Waits, within a limit, for a log of this process that is closing in it.
    pub(super) fn lock(&self, access: Access) -> Result<Lock> {
        let opener = Opener::default();
        let lock = self.dir.lock(access, &opener);
        let locked = self.executor.block_on(CLOSING_MAX, lock);
        locked.unwrap_or_else(|| Err(still_closing(self.dir.path())))
    }

    /// Runs work that waits for the disk only.
    pub(super) fn block_on<T>(
        &self,
        work: impl Future<Output = Result<T, IoFailure>>,
    ) -> Result<T> {
        let done = self.executor.block_on(Duration::MAX, work);
        Ok(done.unwrap_or_else(|| Err(self.no_time_passes()))?)
    }

    /// The error for a simulated sync that takes time: the clock stands still while the caller
    /// blocks.
    fn no_time_passes(&self) -> IoFailure {
        let error = io::Error::other(
            "a sync of the simulated disk takes time, and none passes while a function blocks",
        );
        IoFailure::new("sync", self.dir.path(), error)
    }
}

/// How long to wait for a log of this process to close. The wait is bounded, because something that keeps the
/// log open, such as a snapshot that is being written, may run on the calling thread.
const CLOSING_MAX: Duration = Duration::from_secs(10);
