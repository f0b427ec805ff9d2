//! What can go wrong with an archive, told apart by what the caller should do next.

use std::path::PathBuf;
use std::sync::Arc;

use tidewal::Lsn;

/// The result of an operation on an archive.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with an archive, told apart by what the caller should do next.
///
/// Errors are cheap to clone; each clone carries the original cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log already has an archiver in this process.
    ///
    /// Next: keep the one that there is, or drop it first.
    #[error("the log has an archiver already")]
    Busy,

    /// The archive ends before the record that was asked for.
    ///
    /// Next: take what there is ([`RestoreTarget::End`](crate::RestoreTarget::End)), or wait until the record is in the
    /// archive: see [`Status::archived`](crate::Status::archived).
    #[error("LSN {asked} lies beyond the end of the archive, which is {end}")]
    BeyondEnd {
        /// The LSN that was asked for.
        asked: Lsn,
        /// The last LSN in the archive.
        end: Lsn,
    },

    /// An object is not what was put there, or does not fit those beside it.
    ///
    /// Next: bring the object back, for instance an earlier version of it; or restore up to the last
    /// record before it.
    #[error("{object} is damaged: {reason}")]
    Damaged {
        /// The object's full name in the store.
        object: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The prefix holds the same log, but another course of it: a part was restored and appended to, or
    /// files were put back.
    ///
    /// Next: archive this log under another prefix.
    #[error(
        "the archive under {prefix} goes another way than the log after LSN {after}; use another prefix"
    )]
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
    Empty {
        /// The prefix that was looked at.
        prefix: String,
    },

    /// Another archiver has taken over; this one has stopped.
    ///
    /// Next: find out why there are two. What is not in the archive is still held back here.
    #[error("another archiver of this log has written {object}")]
    Fenced {
        /// The manifest entry that this archiver would have written.
        object: String,
    },

    /// The prefix holds the archive of another log.
    ///
    /// Next: use another prefix. If the log's directory was lost, restore it before it is opened.
    #[error("{prefix} holds the archive of another log")]
    Foreign {
        /// The prefix of the archive.
        prefix: String,
    },

    /// These records are not in the archive.
    ///
    /// Next, when restoring: end before them, or begin behind them with
    /// [`restore_from`](crate::Archive::restore_from) and a snapshot. When archiving: the log was truncated while
    /// it had no archiver; use another prefix, or [`Overflow::LeaveGap`](crate::Overflow::LeaveGap).
    #[error("records {first} to {last} are not in the archive")]
    Gap {
        /// The first record that is missing.
        first: Lsn,
        /// The last record that is missing.
        last: Lsn,
    },

    /// The log has ended, or a complete segment of it could not be read.
    ///
    /// Next: see the source.
    #[error(transparent)]
    Log(tidewal::Error),

    /// A complete segment of the log itself is damaged. Nothing was shipped over what the archive has.
    ///
    /// Next: restore the directory up to the record before this segment, or from a replica.
    #[error("{} is damaged at byte {offset}: {reason}", segment.display())]
    LogDamaged {
        /// The file.
        segment: PathBuf,
        /// Where it stops to be sound, in bytes from its start.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// An object that the manifest names, or an entry of the manifest, is not there.
    ///
    /// Next: bring it back; or restore up to the last record before it.
    #[error("{object} is missing")]
    Missing {
        /// The object's full name in the store.
        object: String,
    },

    /// Archiving and restoring use the clock of a tokio runtime, and there is none.
    ///
    /// Next: call it on a tokio runtime with its time enabled.
    #[error("an archive needs a tokio runtime")]
    NoRuntime,

    /// A directory that was to be restored into holds something. (A `LOCK`, a `lost+found` and what a
    /// restore that was cut short has left are nothing.)
    ///
    /// Next: choose another one.
    #[error("{} is not empty: it holds {file}", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One of its files.
        file: String,
    },

    /// What was asked for begins behind the record that it ends with.
    ///
    /// Next: begin earlier or end later. The end may come of a time.
    #[error("LSN {from} lies behind LSN {upto}, the last record to be restored")]
    EmptyRange {
        /// The first record that was asked for.
        from: Lsn,
        /// The last one.
        upto: Lsn,
    },

    /// The archive begins after the record that was asked for.
    ///
    /// Next: begin or end later.
    #[error("LSN {asked} lies before the beginning of the archive, which is {oldest}")]
    BeforeBeginning {
        /// The LSN that was asked for.
        asked: Lsn,
        /// The first LSN in the archive.
        oldest: Lsn,
    },

    /// A call of the store failed.
    ///
    /// Next: see the source for the reason, mend it, try again.
    #[error("cannot {action} {object}")]
    Store {
        /// What was tried, such as "put".
        action: &'static str,
        /// The object's full name in the store, or the prefix that was listed.
        object: String,
        /// The error of the store.
        source: Arc<object_store::Error>,
    },

    /// A call of the store was given up because it took longer than `attempt_timeout`. What came of it
    /// is unknown.
    ///
    /// Next: nothing, it is tried again.
    #[error("cannot {action} {object}: the store does not answer")]
    TimedOut {
        /// What was tried, such as "put".
        action: &'static str,
        /// The object's full name in the store.
        object: String,
    },

    /// The archive was not begun at the time that was asked for.
    ///
    /// Next: choose a later time, or an LSN.
    #[error("the archive knows no state that is as old as that time")]
    TooEarly,

    /// The store cannot create an object on the condition that there is none, and without that two
    /// archivers could not be kept apart.
    ///
    /// Next: use a store that can, or turn its conditional puts on.
    #[error("the store cannot put {object} on condition")]
    Unconditional {
        /// The object's full name in the store.
        object: String,
        /// The error of the store.
        source: Arc<object_store::Error>,
    },

    /// The manifest was written by a later version of the format.
    ///
    /// Next: use a version of this crate that knows the format.
    #[error("{object} is in a format that this crate does not know")]
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
    /// Whether trying again can help by itself: the store or the network is not well. Of an error of the
    /// store that is not transient, such as a permission that is missing, a person has to mend the cause.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.prospect() == Prospect::Passes
    }

    /// Whether an archiver stops. It goes on trying what a person can mend while it runs.
    pub(super) fn ends_archiver(&self) -> bool {
        self.prospect() == Prospect::Stays
    }

    /// Decides for all of the above.
    fn prospect(&self) -> Prospect {
        match self {
            Self::Store { source, .. } if is_refusal(source) => Prospect::NeedsPerson,
            Self::Store { .. } | Self::TimedOut { .. } | Self::Log(tidewal::Error::Io(_)) => {
                Prospect::Passes
            }
            _ => Prospect::Stays,
        }
    }
}

/// What comes of trying again.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Prospect {
    /// Success, sooner or later.
    Passes,
    /// Success once a person has changed something that is not the archive's.
    NeedsPerson,
    /// The same error.
    Stays,
}

/// Whether a store has understood and said no.
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
        // Some calls of some stores, such as a listing at S3, do not say in their type what the answer was.
        error => sources(error).any(|cause| REFUSALS.iter().any(|said| cause.contains(said))),
    }
}

/// The texts of an error and of what it came from.
fn sources(error: &dyn std::error::Error) -> impl Iterator<Item = String> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string)
}

/// What the text of an error says whose answer had one of these statuses.
const REFUSALS: [&str; 3] = ["status code: 401", "status code: 403", "status code: 404"];
