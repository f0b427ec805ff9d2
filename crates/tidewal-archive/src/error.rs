//! The errors of an archive, classified by what the caller should do next.

use std::path::PathBuf;
use std::sync::Arc;

use tidewal::Lsn;

/// The result of an operation on an archive.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an archive. The variants differ in what the caller should do next.
///
/// Errors are cheap to clone; each clone carries the original cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log already has an archiver in this process.
    ///
    /// Next: keep using that archiver, or drop it before you start another one.
    #[error("the log already has an archiver")]
    Busy,

    /// The archive ends before the requested record.
    ///
    /// Next: restore everything in the archive ([`RestoreTarget::End`](crate::RestoreTarget::End)), or wait until the
    /// record is archived: see [`Status::archived`](crate::Status::archived).
    #[error("LSN {asked} is beyond the end of the archive, which is LSN {end}")]
    #[non_exhaustive]
    BeyondEnd {
        /// The requested LSN.
        asked: Lsn,
        /// The last LSN in the archive.
        end: Lsn,
    },

    /// An object has other bytes than those that were put, or contradicts the objects around it.
    ///
    /// Next: put the original object back, for instance from an earlier version, or restore up to the
    /// last record before it.
    #[error("{object} is damaged: {reason}")]
    #[non_exhaustive]
    Damaged {
        /// The object's full name in the store.
        object: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The prefix holds the archive of the same log, but log and archive have different records after some LSN:
    /// a part of the log was restored and appended to, or older files were put back.
    ///
    /// Next: archive this log under another prefix.
    #[error(
        "the archive under {prefix} and the log differ, at LSN {} at the latest: use another prefix for this log",
        after.next()
    )]
    #[non_exhaustive]
    Diverged {
        /// The prefix of the archive.
        prefix: String,
        /// The last LSN that both may have in common.
        after: Lsn,
    },

    /// There is no archive under the prefix.
    ///
    /// Next: check the prefix and the store.
    #[error("there is no archive under {prefix}")]
    #[non_exhaustive]
    Empty {
        /// The prefix that was searched.
        prefix: String,
    },

    /// Another archiver has taken over, and this one has stopped.
    ///
    /// Next: find out why there are two. This log still keeps every record that is not in the archive.
    #[error("another archiver has taken over: it wrote {object}")]
    #[non_exhaustive]
    Fenced {
        /// The manifest entry that this archiver was about to write.
        object: String,
    },

    /// The prefix holds the archive of another log.
    ///
    /// Next: use another prefix. If the log's directory was lost, restore it before you open the log.
    #[error("{prefix} holds the archive of another log")]
    #[non_exhaustive]
    Foreign {
        /// The prefix of the archive.
        prefix: String,
    },

    /// These records are not in the archive.
    ///
    /// Next, when restoring: end before the gap, or begin after it with
    /// [`restore_from`](crate::Archive::restore_from) and a snapshot. When archiving, the log was truncated
    /// without an archiver: use another prefix, or [`Overflow::LeaveGap`](crate::Overflow::LeaveGap).
    #[error("records {first} to {last} are not in the archive")]
    #[non_exhaustive]
    Gap {
        /// The first record that is missing.
        first: Lsn,
        /// The last record that is missing.
        last: Lsn,
    },

    /// The log has ended, or one of its finished segments could not be read.
    ///
    /// Next: see the source.
    #[error(transparent)]
    Log(tidewal::Error),

    /// A finished segment of the log itself is damaged. The segment was not shipped, and the archive is unchanged.
    ///
    /// Next: restore the directory up to the record before this segment, or from a replica.
    #[error("{} is damaged at byte {offset}: {reason}", segment.display())]
    #[non_exhaustive]
    LogDamaged {
        /// The file.
        segment: PathBuf,
        /// The offset of the damage, in bytes from the start of the file.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// An object that the manifest names, or an entry of the manifest, is missing.
    ///
    /// Next: put the object back, or restore up to the last record before it.
    #[error("{object} is missing")]
    #[non_exhaustive]
    Missing {
        /// The object's full name in the store.
        object: String,
    },

    /// Archiving and restoring use the clock of a tokio runtime, and the call was made outside of one.
    ///
    /// Next: make the call on a tokio runtime whose timer is enabled.
    #[error("an archive needs a tokio runtime, and this call was made outside of one")]
    NoRuntime,

    /// The directory to restore into is not empty. (A `LOCK` file, a `lost+found` and the files of an interrupted
    /// restore do not count.)
    ///
    /// Next: choose another directory.
    #[error("{} is not empty: it holds {file}", dir.display())]
    #[non_exhaustive]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One of its files.
        file: String,
    },

    /// The requested range begins after it ends.
    ///
    /// Next: begin earlier or end later. If the target is a time, the end is the last record of that time.
    #[error("LSN {from} is after LSN {upto}, the last record to be restored")]
    #[non_exhaustive]
    EmptyRange {
        /// The first requested record.
        from: Lsn,
        /// The last requested record.
        upto: Lsn,
    },

    /// The archive begins after the requested record.
    ///
    /// Next: begin or end later.
    #[error("LSN {asked} is before the beginning of the archive, which is LSN {oldest}")]
    #[non_exhaustive]
    BeforeBeginning {
        /// The requested LSN.
        asked: Lsn,
        /// The first LSN in the archive.
        oldest: Lsn,
    },

    /// A call of the store failed.
    ///
    /// Next: see the source for the cause, remove it, and try again.
    #[error("cannot {action} {object}")]
    #[non_exhaustive]
    Store {
        /// The call that failed, such as "put".
        action: &'static str,
        /// The object's full name in the store, or the prefix that was listed.
        object: String,
        /// The error of the store.
        source: Arc<object_store::Error>,
    },

    /// A call of the store was abandoned because it took longer than `attempt_timeout`. Its outcome is
    /// unknown.
    ///
    /// Next: nothing. The archiver retries the call.
    #[error("cannot {action} {object}: the store did not answer in time")]
    #[non_exhaustive]
    TimedOut {
        /// The call that was abandoned, such as "put".
        action: &'static str,
        /// The object's full name in the store.
        object: String,
    },

    /// The requested time is before the first time in the archive.
    ///
    /// Next: choose a later time, or an LSN.
    #[error("the requested time is before the first time in the archive")]
    TooEarly,

    /// The store does not support conditional puts ("create unless it exists"). Without them, two archivers could
    /// overwrite each other's entries.
    ///
    /// Next: use a store that supports conditional puts, or enable them.
    #[error("the store cannot put {object} conditionally")]
    #[non_exhaustive]
    Unconditional {
        /// The object's full name in the store.
        object: String,
        /// The error of the store.
        source: Arc<object_store::Error>,
    },

    /// The manifest was written by a later version of the format.
    ///
    /// Next: use a version of this crate that supports the format.
    #[error("{object} has a format version that this crate does not support")]
    #[non_exhaustive]
    Unsupported {
        /// The manifest entry's full name in the store.
        object: String,
    },
}

impl From<tidewal::Error> for Error {
    fn from(error: tidewal::Error) -> Self {
        match error {
            tidewal::Error::HoldTaken { .. } => Self::Busy,
            tidewal::Error::NotEmpty { dir, file, .. } => Self::NotEmpty { dir, file },
            error => Self::Log(error),
        }
    }
}

impl Error {
    /// Whether a retry alone can help, because the store or the network fails at the moment. If this is `false`
    /// for an error of the store, such as a missing permission, an operator has to remove the cause.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.prospect() == Prospect::Passes
    }

    /// Whether an archiver stops. It keeps retrying if an operator can remove the cause while it runs.
    pub(super) fn ends_archiver(&self) -> bool {
        self.prospect() == Prospect::Stays
    }

    /// What a retry would bring.
    fn prospect(&self) -> Prospect {
        match self {
            Self::Store { source, .. } if is_refusal(source) => Prospect::NeedsOperator,
            Self::Store { .. } | Self::TimedOut { .. } | Self::Log(tidewal::Error::Io(_)) => {
                Prospect::Passes
            }
            _ => Prospect::Stays,
        }
    }
}

/// The prospect of a retry.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Prospect {
    /// Success, sooner or later.
    Passes,
    /// Success once an operator has changed something outside of the archive.
    NeedsOperator,
    /// The same error.
    Stays,
}

/// Whether the store understood the call and refused it.
fn is_refusal(error: &object_store::Error) -> bool {
    use object_store::Error::{
        InvalidPath, NotFound, NotImplemented, NotSupported, PermissionDenied, Unauthenticated,
        UnknownConfigurationKey,
    };
    match error {
        InvalidPath { .. }
        | NotFound { .. }
        | NotImplemented { .. }
        | NotSupported { .. }
        | PermissionDenied { .. }
        | Unauthenticated { .. }
        | UnknownConfigurationKey { .. } => true,
        // The error type of some calls, such as a listing at S3, does not have the status of the answer.
        error => sources(error).any(|cause| REFUSALS.iter().any(|said| cause.contains(said))),
    }
}

/// The texts of an error and of its sources.
fn sources(error: &dyn std::error::Error) -> impl Iterator<Item = String> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string)
}

/// The part of an error's text that names the status of a refusal.
const REFUSALS: [&str; 3] = ["status code: 401", "status code: 403", "status code: 404"];
