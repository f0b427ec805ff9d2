//! The one place that chooses a disk together with the executor of the work on it.

use std::path::Path;

use crate::executor::Executor;
use crate::storage::Location;
use crate::storage::disk::DiskPath;
#[cfg(feature = "sim")]
use crate::storage::sim::SimDisk;

/// A directory on some disk, and the executor of the work on it.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) location: Location,
    pub(crate) executor: Executor,
}

impl Environment {
    /// A directory of the machine's file system. The work runs on threads of the log.
    pub(crate) fn on_disk(path: &Path) -> Self {
        Self {
            location: DiskPath::location(path),
            executor: Executor::Thread,
        }
    }

    /// A directory of a simulated disk. The work runs on the caller's runtime, under its clock.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(disk: &SimDisk, path: &Path) -> Self {
        Self {
            location: disk.location(path),
            executor: Executor::Runtime,
        }
    }
}
