//! Why a raft log could not be opened.

use tidewal::{Error, Lsn};

/// Why a raft log could not be opened. Nothing on disk was changed, except possibly after
/// [`Log`](Self::Log) with a failed write.
///
/// A node that has lost its log has lost its vote, and could vote twice in one term. So start it
/// neither on an empty directory nor on an old copy of this one. Remove it from the cluster, and
/// add a new node with a new id.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Records of the log that were durable are damaged or missing.
    ///
    /// Next: remove the node from the cluster and add a new one. Do not repair the log: a repair
    /// keeps only what comes before the damage. It would roll back votes and entries that the node
    /// has promised to keep, and the node could vote twice in one term.
    #[error(
        "the log of this raft node is damaged. Do not repair it, replace the node by a new one"
    )]
    Damaged(#[source] Error),

    /// Records that the state needs are missing.
    ///
    /// Next: open without [`start_at`](tidewal::WalOptions::start_at). If that is not the reason,
    /// remove the node from the cluster and add a new one.
    #[error(
        "the raft log begins at record {first} and needs earlier ones. Open it without start_at, \
         or replace the node by a new one"
    )]
    #[non_exhaustive]
    Incomplete {
        /// The first record that was delivered.
        first: Lsn,
    },

    /// The log could not be recovered or opened.
    ///
    /// Next: see the source.
    #[error(transparent)]
    Log(Error),

    /// A record is not one that this raft log can have at that position.
    ///
    /// Next: check that the directory is the right one, and that the types of `C` and the versions
    /// of this crate and of openraft are those that wrote it.
    #[error("record {lsn} does not belong at this position of the raft log: {reason}")]
    #[non_exhaustive]
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
    /// The log of the group is open already, or is being removed.
    ///
    /// Next: drop the open log, and try again.
    #[error("the log of group {group} is in use")]
    #[non_exhaustive]
    Open {
        /// The group.
        group: u64,
    },

    /// The record of the group's removal could not be appended.
    ///
    /// Next: see the source.
    #[error(transparent)]
    Log(#[from] Error),
}
