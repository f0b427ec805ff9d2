//! The storage traits of openraft 0.9.

use std::fmt::Debug;
use std::ops::RangeBounds;

use openraft09::storage::{LogFlushed, RaftLogStorage};
use openraft09::{
    AnyError, DefensiveError, ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend,
    RaftLogReader, RaftTypeConfig, StorageError, StorageIOError, Violation, Vote,
};

use crate::core::{OutOfOrder, WriteError};
use crate::held::READ_BYTES;
use crate::v0_9::{LogReader, RaftLog, V0_9};

impl<C> RaftLogStorage<C> for RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    type LogReader = LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, StorageError<C::NodeId>> {
        let memory = self.0.memory().lock();
        Ok(LogState {
            last_purged_log_id: memory.purged.clone(),
            last_log_id: memory.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        let saved = self.0.save_vote(vote.clone()).await;
        saved.map_err(|error| storage_error(error, ErrorSubject::Vote))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<C::NodeId>>, StorageError<C::NodeId>> {
        Ok(self.0.memory().lock().vote.clone())
    }

    async fn save_committed(
        &mut self,
        committed: Option<LogId<C::NodeId>>,
    ) -> Result<(), StorageError<C::NodeId>> {
        self.0.save_committed(committed).await.map_err(logs_error)
    }

    async fn read_committed(
        &mut self,
    ) -> Result<Option<LogId<C::NodeId>>, StorageError<C::NodeId>> {
        Ok(self.0.memory().lock().committed.clone())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<C>,
    ) -> Result<(), StorageError<C::NodeId>>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let appended = self.0.append(entries.into_iter(), callback).await;
        appended.map_err(logs_error)
    }

    async fn truncate(&mut self, log_id: LogId<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        self.0.truncate(log_id.index).await.map_err(logs_error)
    }

    async fn purge(&mut self, log_id: LogId<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        self.0.purge(log_id).await.map_err(logs_error)
    }
}

impl<C> RaftLogReader<C> for RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    async fn try_get_log_entries<R>(
        &mut self,
        range: R,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.reader().try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>> {
        self.reader().limited_get_log_entries(start, end).await
    }
}

impl<C: RaftTypeConfig> RaftLogReader<C> for LogReader<C>
where
    C::Entry: Clone,
{
    async fn try_get_log_entries<R>(
        &mut self,
        range: R,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.0.lock().clone_range(range, u64::MAX))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>> {
        Ok(self.0.lock().clone_range(start..end, READ_BYTES))
    }
}

fn logs_error<C: RaftTypeConfig>(error: WriteError<V0_9<C>>) -> StorageError<C::NodeId> {
    storage_error(error, ErrorSubject::Logs)
}

fn storage_error<C: RaftTypeConfig>(
    error: WriteError<V0_9<C>>,
    subject: ErrorSubject<C::NodeId>,
) -> StorageError<C::NodeId> {
    let source = match error {
        WriteError::Order(OutOfOrder { prev, next }) => {
            let prev = Some(prev);
            let violation = Violation::LogsNonConsecutive { prev, next };
            return DefensiveError::new(subject, violation).into();
        }
        WriteError::Encode(error) => AnyError::new(&error),
        WriteError::Log(error) => AnyError::new(&error),
        limit @ WriteError::MemoryLimit(_) => AnyError::error(limit),
    };
    StorageIOError::new(subject, ErrorVerb::Write, source).into()
}
