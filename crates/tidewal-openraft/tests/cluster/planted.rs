//! Bugs that a store or a service of this kind can have, each planted to check that the cluster
//! test notices it.

use std::io;

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::alias::{EntryOf, LogIdOf};
use openraft::{LogState, OptionalSend};
use tidewal_openraft::v0_10::{LogReader, RaftLog};

use crate::machine::{Types, Vote};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Planted {
    /// `save_vote` returns before the vote is durable. The next append makes it durable.
    VoteNotSynced,
    /// An append is called back when it is submitted.
    FlushedEarly,
    /// Truncated entries are still there.
    TruncationLost,
    /// A snapshot counts before it is durable, so the log is purged too early.
    SnapshotNotDurable,
    /// A restarted leader continues without an election, as openraft does by default. It may not
    /// know how far the log was committed, and answers reads with an older state.
    LeaderRestored,
    /// A node that believes that it leads answers reads without asking the others.
    StaleRead,
}

/// A log with or without a bug.
pub struct Store {
    pub log: RaftLog<Types>,
    pub planted: Option<Planted>,
    /// A vote that a crash loses, if that bug is planted.
    pub unsynced: Option<Vote>,
}

impl RaftLogStorage<Types> for Store {
    type LogReader = LogReader<Types>;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        self.log.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> LogReader<Types> {
        self.log.get_log_reader().await
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        if self.planted == Some(Planted::VoteNotSynced) {
            self.unsynced = Some(*vote);
            return Ok(());
        }
        self.log.save_vote(vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        self.log.save_committed(committed).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<Types>>, io::Error> {
        self.log.read_committed().await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        if let Some(vote) = self.unsynced.take() {
            self.log.save_vote(&vote).await?;
        }
        match self.planted {
            Some(Planted::FlushedEarly) => {
                self.log.append(entries, IOFlushed::noop()).await?;
                callback.io_completed(Ok(()));
                Ok(())
            }
            Some(Planted::TruncationLost) => {
                let last = self.log.get_log_state().await?.last_log_id;
                let last = last.map(|last| last.index);
                let new: Vec<_> = entries.into_iter().collect();
                let new = new.into_iter().filter(|new| Some(new.log_id.index) > last);
                self.log.append(new.collect::<Vec<_>>(), callback).await
            }
            _ => self.log.append(entries, callback).await,
        }
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        match self.planted {
            Some(Planted::TruncationLost) => Ok(()),
            _ => self.log.truncate_after(last).await,
        }
    }

    async fn purge(&mut self, log_id: LogIdOf<Types>) -> Result<(), io::Error> {
        self.log.purge(log_id).await
    }
}
