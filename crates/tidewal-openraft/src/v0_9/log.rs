//! The log of one node.

use std::fmt::{self, Debug};
use std::ops::RangeBounds;
use std::path::Path;

use openraft09::storage::{LogFlushed, RaftLogStorage};
use openraft09::{
    AnyError, DefensiveError, ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend,
    RaftLogReader, RaftTypeConfig, StorageError, StorageIOError, Violation, Vote,
};
use tidewal::{Recovery, Wal};

use crate::core::{Log, OutOfOrder, WriteError};
use crate::v0_9::reader::LogReader;
use crate::v0_9::types::Raft;
use crate::{OpenError, RaftLogOptions};

/// The log of an openraft 0.9 node: a [`RaftLogStorage`] over one [`Wal`].
///
/// The [crate documentation](crate) says what is durable when, how much memory the log takes, and
/// what failures do. When it is dropped, the log under it closes in the background. Opening the
/// same directory in the same process waits for that.
///
/// # Cancel safety
///
/// Every future of this type can be dropped. Its records may or may not be written, in the order of
/// the calls, and of an append's entries only the first ones may be written. The log keeps working.
pub struct RaftLog<C: RaftTypeConfig>(pub(super) Log<Raft<C>>);

impl<C> RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    /// Opens the log in `dir` with the default options, and rebuilds its state.
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
    /// Outside of the runtime of `C`, on which the log runs two tasks.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::recover(Wal::recover(dir).await?, &RaftLogOptions::new()).await
    }

    /// Rebuilds the state from a log that is being recovered, and opens the log for appending.
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
    /// Outside of the runtime of `C`, on which the log runs two tasks.
    pub async fn recover(recovery: Recovery, options: &RaftLogOptions) -> Result<Self, OpenError> {
        Ok(Self(Log::recover(recovery, options).await?))
    }

    /// A reader of the entries, for example to see [how much the log holds](LogReader::held) while
    /// a [`Raft`](openraft09::Raft) owns it.
    #[must_use]
    pub fn reader(&self) -> LogReader<C> {
        LogReader::new(self.0.memory().clone())
    }
}

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

impl<C> fmt::Debug for RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftLog")
            .field("held", &self.reader().held())
            .finish_non_exhaustive()
    }
}

fn logs_error<C: RaftTypeConfig>(error: WriteError<Raft<C>>) -> StorageError<C::NodeId> {
    storage_error(error, ErrorSubject::Logs)
}

fn storage_error<C: RaftTypeConfig>(
    error: WriteError<Raft<C>>,
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
