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
    /// Next: see there. After [`Error::Corrupt`], remove the node from the cluster and add a new one.
    #[error(transparent)]
    Log(#[from] Error),

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
