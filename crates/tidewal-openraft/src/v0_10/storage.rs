//! The storage traits of openraft 0.10.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;

use futures_core::Stream;
use openraft::storage::{IOFlushed, LeaderBoundedStreamResult, RaftLogStorage};
use openraft::type_config::alias::{LeaderIdOf, LogIdOf, VoteOf};
use openraft::{LogState, OptionalSend, RaftLogReader, RaftTypeConfig};

use crate::core::WriteError;
use crate::held::READ_BYTES;
use crate::v0_10::stream::{EntryStream, Unbounded};
use crate::v0_10::{LogReader, RaftLog, V0_10};

impl<C> RaftLogStorage<C> for RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    type LogReader = LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let memory = self.0.memory().lock();
        Ok(LogState {
            last_purged_log_id: memory.purged.clone(),
            last_log_id: memory.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &VoteOf<C>) -> Result<(), io::Error> {
        self.0.save_vote(vote.clone()).await.map_err(io_error)
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        self.0.save_committed(committed).await.map_err(io_error)
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<C>>, io::Error> {
        Ok(self.0.memory().lock().committed.clone())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let appended = self.0.append(entries.into_iter(), callback).await;
        appended.map_err(io_error)
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        let since = last.map_or(0, |last| last.index.saturating_add(1));
        self.0.truncate(since).await.map_err(io_error)
    }

    async fn purge(&mut self, log_id: LogIdOf<C>) -> Result<(), io::Error> {
        self.0.purge(log_id).await.map_err(io_error)
    }
}

impl<C: RaftTypeConfig> RaftLogReader<C> for LogReader<C>
where
    C::Entry: Clone,
{
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<C::Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.0.lock().clone_range(range, u64::MAX))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<C::Entry>, io::Error> {
        Ok(self.0.lock().clone_range(start..end, READ_BYTES))
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<C>>, io::Error> {
        Ok(self.0.lock().vote.clone())
    }

    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<C::Entry, io::Error>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Unbounded(EntryStream::new(self.0.clone(), &range, None))
    }

    async fn leader_bounded_stream<R>(
        &mut self,
        leader: LeaderIdOf<C>,
        range: R,
    ) -> impl Stream<Item = LeaderBoundedStreamResult<C>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        EntryStream::new(self.0.clone(), &range, Some(leader))
    }
}

/// The error with its causes.
fn io_error<C: RaftTypeConfig>(error: WriteError<V0_10<C>>) -> io::Error {
    let kind = error.kind();
    match error {
        WriteError::Log(error) => io::Error::new(kind, error),
        WriteError::Encode(error) => io::Error::new(kind, error),
        error => io::Error::new(kind, error.to_string()),
    }
}
