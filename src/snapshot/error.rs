//! Errors of snapshots, grouped by what the caller should do next.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::IoFailure;
use crate::lsn::Lsn;

/// The result of an operation on snapshots.
pub type Result<T, E = SnapshotError> = std::result::Result<T, E>;

/// Why an operation on snapshots failed. Each variant says what the caller should do next.
///
/// No failure harms the log or another snapshot: what was durable before still is.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The log was closed, or is closing. There is no new snapshot.
    ///
    /// Next: open the log again.
    #[error("no snapshot was written, because the log is closed")]
    Closed,

    /// The function that writes or reads the contents returned this error.
    ///
    /// Next: see the source. There is no new snapshot.
    #[error("the contents of the snapshot could not be written or read")]
    Contents(#[source] Arc<io::Error>),

    /// The file is not a sound snapshot. Nothing on disk was changed.
    ///
    /// Next: use the snapshot before it, if the log reaches back to it. Otherwise restore a backup.
    #[error("{} at byte {offset}: the snapshot is damaged: {what}", file.display())]
    #[non_exhaustive]
    Damaged {
        /// The snapshot's file.
        file: PathBuf,
        /// The offset in that file, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },

    /// The last record that the snapshot covers is not the log's record of that LSN. The log was
    /// cut by a repair, restored to an earlier point, or replaced by an older copy, and the
    /// snapshot covers records that were cut.
    ///
    /// Next: if the log was cut on purpose, move the file out of the directory and start from the
    /// snapshot before it. Otherwise the log has lost records: restore the directory from a backup.
    /// The snapshot's file is left alone.
    #[error(
        "{} covers records that are not in this log: was the log repaired, or restored to an earlier point?",
        file.display()
    )]
    #[non_exhaustive]
    Diverged {
        /// The snapshot's file.
        file: PathBuf,
    },

    /// A sync of the directory failed, now or earlier, for a snapshot or for the log. The existing
    /// snapshots may not survive a power cut, and no new snapshot is made. A snapshot that has just
    /// got its name loses it again if possible, but may still be found later.
    ///
    /// Next: truncate nothing, and reopen the log. A failed sync is never retried, because a retry
    /// that succeeds would prove nothing.
    #[error("the name of a snapshot could not be made durable")]
    Failed(#[source] IoFailure),

    /// The snapshot belongs to another log.
    ///
    /// Next: find out where the file came from. It is left alone.
    #[error("{} is a snapshot of another log", file.display())]
    #[non_exhaustive]
    Foreign {
        /// The snapshot's file.
        file: PathBuf,
    },

    /// The task that worked on the snapshot ended before it could answer: the function that writes
    /// or reads the contents panicked, or the process is shutting down.
    ///
    /// Next: fix the function.
    #[error("the snapshot ended without an answer, probably because its function panicked")]
    Interrupted,

    /// A call to the operating system failed. There is no new snapshot.
    ///
    /// Next: see the source for the cause, remove it, and try again.
    #[error(transparent)]
    Io(IoFailure),

    /// There is no snapshot of this LSN.
    ///
    /// Next: list the existing snapshots.
    #[error("there is no snapshot {}", file.display())]
    #[non_exhaustive]
    Missing {
        /// The file name that a snapshot of this LSN would have.
        file: PathBuf,
    },

    /// The snapshot would cover a record that is not durable yet, and could outlive that record.
    ///
    /// Next: wait until that record is durable.
    #[error("a snapshot cannot cover record {asked}: the log is durable up to {durable}")]
    #[non_exhaustive]
    NotDurable {
        /// The requested LSN.
        asked: Lsn,
        /// The last durable record.
        durable: Lsn,
    },

    /// There is no space for the snapshot, or for the space to be reserved.
    ///
    /// Next: free space and try again. Reserve more space the next time.
    #[error("the disk is full: no space for the snapshot")]
    StorageFull(#[source] IoFailure),

    /// The snapshot was written by a later version of the format.
    ///
    /// Next: use a version of this crate that supports the format. The file is left alone.
    #[error("{} is a snapshot of format version {version}, or of a variant of it, which this version of tidewal does not support", file.display())]
    #[non_exhaustive]
    Unsupported {
        /// The snapshot's file.
        file: PathBuf,
        /// The version in its header.
        version: u32,
    },
}

impl From<IoFailure> for SnapshotError {
    fn from(fault: IoFailure) -> Self {
        if fault.is_storage_full() {
            Self::StorageFull(fault)
        } else {
            Self::Io(fault)
        }
    }
}
