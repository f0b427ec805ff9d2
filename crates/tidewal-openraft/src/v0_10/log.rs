//! The log of one node.

use std::fmt;
use std::io;
use std::path::Path;

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::alias::{LogIdOf, VoteOf};
use openraft::{LogState, OptionalSend, RaftTypeConfig};
use tidewal::{Recovery, Wal};

use crate::core::{Log, WriteError};
use crate::v0_10::reader::LogReader;
use crate::v0_10::types::Raft;
use crate::{OpenError, RaftLogOptions};

/// The log of an openraft 0.10 node: a [`RaftLogStorage`] over one [`Wal`].
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
    /// a [`Raft`](openraft::Raft) owns it.
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

/// The error with its causes.
fn io_error<C: RaftTypeConfig>(error: WriteError<Raft<C>>) -> io::Error {
    let kind = error.kind();
    match error {
        WriteError::Log(error) => io::Error::new(kind, error),
        WriteError::Encode(error) => io::Error::new(kind, error),
        error => io::Error::new(kind, error.to_string()),
    }
}
