//! Many raft logs over one `Wal`.

use std::fmt;
use std::path::Path;

use tidewal::{Recovery, Wal};

use crate::core::{Groups, Types};
use crate::error::{GroupError, OpenError};
use crate::log::RaftLog;
use crate::options::RaftLogOptions;

/// The logs of many raft groups, in one [`Wal`]: all share its syncs.
///
/// `T` is a configuration of openraft together with its version. The modules of the versions have
/// an alias with the configuration alone: `v0_10::RaftLogs<C>`.
///
/// Each group has its own vote, committed log id, entries, truncations and purges. All groups share
/// the beginning of the log. A purge of a busy group moves it. If an idle group needs records that
/// are too far back ([`RaftLogOptions::reclaim_after`]), they are appended again.
///
/// The log of a [`RaftLog`] cannot be opened as a `RaftLogs`, or vice versa.
///
/// The log is closed in the background when this and every [opened](Self::open_group) group is
/// dropped.
pub struct RaftLogs<T: Types>(Groups<T>);

impl<T> RaftLogs<T>
where
    T: Types,
    T::Entry: Clone,
{
    /// Opens the logs in `dir` with the default options, and rebuilds the state of each.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Cancel safety
    ///
    /// Like [`WalOptions::open`](tidewal::WalOptions::open): if the future is dropped before it completes,
    /// no log is open.
    ///
    /// # Panics
    ///
    /// If it is called outside of the runtime of the raft, on which the logs run three tasks in all.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::recover(Wal::recover(dir).await?, &RaftLogOptions::new()).await
    }

    /// Rebuilds the state of each group from a log that is being recovered, in one pass, and opens
    /// the log for appending.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Cancel safety
    ///
    /// Like [`Recovery::into_wal`]: if the future is dropped before it completes, no log is open.
    ///
    /// # Panics
    ///
    /// If it is called outside of the runtime of the raft, on which the logs run three tasks in all.
    pub async fn recover(recovery: Recovery, options: &RaftLogOptions) -> Result<Self, OpenError> {
        Ok(Self(Groups::recover(recovery, options).await?))
    }

    /// Opens the log of a group, to be passed to `Raft::new`. If the group has no log, it is empty,
    /// and nothing is written before its first record.
    ///
    /// # Errors
    ///
    /// [`GroupError::Open`] if the group is open already: drop that log first.
    pub fn open_group(&self, group: u64) -> Result<RaftLog<T>, GroupError> {
        Ok(RaftLog(self.0.open(group)?))
    }

    /// The groups that have a log, in order.
    #[must_use]
    pub fn groups(&self) -> Vec<u64> {
        self.0.ids()
    }

    /// Removes the log of a group durably. The group's node must have left its cluster, or the
    /// cluster must no longer exist: a node that returns without its vote may vote twice in one
    /// term.
    ///
    /// # Errors
    ///
    /// [`GroupError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the group may or may not be removed, and its removal may not be
    /// durable. The call can be repeated.
    pub async fn remove_group(&self, group: u64) -> Result<(), GroupError> {
        self.0.remove(group).await
    }
}

impl<T: Types> fmt::Debug for RaftLogs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftLogs").finish_non_exhaustive()
    }
}
