//! Why a raft log could not be opened.

use tidewal::{Error, Lsn};

/// Why a raft log could not be opened. Nothing on disk was changed, but for
/// [`Log`](Self::Log) with an error of writing.
///
/// A node that lost its log lost its vote with it, and could vote twice in one term. So do not start
/// it on an empty directory, nor on an old copy of this one: remove it from the cluster, and add a new
/// node, under a new id.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Records of the log that were durable are damaged or missing.
    ///
    /// Next: remove the node from the cluster and add a new one. Do not repair the log: a repair keeps what
    /// comes before the damage, so that votes and entries that the node has promised to keep go back to
    /// earlier ones, and it could vote twice in one term.
    #[error(
        "the log of this raft node is damaged; do not repair it, replace the node by a new one"
    )]
    Damaged(#[source] Error),

    /// Records that the state is made of are not there.
    ///
    /// Next: open without [`start_at`](tidewal::WalOptions::start_at); if that is not why, remove the
    /// node from the cluster and add a new one.
    #[error(
        "the raft log begins at record {first} and needs earlier ones; open it without start_at, \
         or replace the node by a new one"
    )]
    Incomplete {
        /// The first record that was delivered.
        first: Lsn,
    },

    /// The log could not be recovered or opened.
    ///
    /// Next: see there.
    #[error(transparent)]
    Log(Error),

    /// A record is not what a raft log holds at that place.
    ///
    /// Next: look whether the directory is that of another log, and whether the types of `C`, or the
    /// versions of this crate and of openraft, are those that wrote it.
    #[error("record {lsn} is not one that this raft log can have there: {reason}")]
    Unreadable {
        /// The record.
        lsn: Lsn,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        match error {
            Error::Corrupt(_) => Self::Damaged(error),
            error => Self::Log(error),
        }
    }
}

/// Why a group of a `RaftLogs` could not be opened or removed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Its log is open already, or is being removed.
    ///
    /// Next: drop what holds it, and try again.
    #[error("the log of group {group} is in use")]
    Open {
        /// The group.
        group: u64,
    },

    /// The record of its removal could not be appended.
    ///
    /// Next: see there.
    #[error(transparent)]
    Log(#[from] Error),
}
