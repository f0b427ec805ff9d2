//! What a caller learns about snapshots: the receipt for one, and the files in the directory.

use std::path::PathBuf;

use crate::lsn::Lsn;
use crate::storage::Synced;

/// A durable snapshot. It is the receipt for writing one, or for reading and checking one.
///
/// The log may be truncated before the record after [`lsn`](Self::lsn).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    pub(super) log_id: u64,
    pub(super) lsn: Lsn,
    len: u64,
}

impl Snapshot {
    /// The file was synced before it got its name, and the receipt shows that the name is durable.
    pub(super) fn new(log_id: u64, lsn: Lsn, len: u64, _: Synced) -> Self {
        Self { log_id, lsn, len }
    }

    /// The last record that the snapshot covers.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Bytes of contents.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no contents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A file with the name of a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SnapshotFile {
    /// The last record that it covers, by its name.
    pub lsn: Lsn,
    /// The path of the file.
    pub path: PathBuf,
    /// What its header says.
    pub state: SnapshotState,
}

/// The state of a snapshot, as far as it is known without reading its contents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SnapshotState {
    /// A snapshot of this log whose last record is not the log's record of that LSN: see
    /// [`SnapshotError::Diverged`](crate::snapshot::SnapshotError::Diverged). It is left alone.
    Diverged,
    /// Not a complete snapshot: its header is damaged or names another LSN, or the file is too
    /// short.
    Damaged,
    /// A snapshot of another log.
    Foreign,
    /// Header and length are sound. The contents are checked when they are read.
    Whole {
        /// The number of bytes of contents.
        len: u64,
    },
    /// Not a regular file, or the system cannot read it. It is left alone.
    Unreadable,
    /// Written by a later version of the format.
    Unsupported {
        /// The version in its header.
        version: u32,
    },
}
