//! The log of a raft node.

use std::fmt::{self, Debug};
use std::ops::RangeBounds;
use std::pin::pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, AsyncRuntime, DefensiveError, ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend,
    RaftLogId, RaftLogReader, RaftTypeConfig, StorageError, StorageIOError, Violation, Vote,
};
use tidewal::{Durability, Error, Lsn, OrderedAppender, Recovery, Result};
use tokio::sync::{mpsc, oneshot, watch};

use crate::completions::{Completions, Failure, Job, Then, trim};
use crate::encoding::{self, EncodeError};
use crate::error::OpenError;
use crate::memory::{Memory, OutOfOrder, cost};
use crate::options::RaftLogOptions;
use crate::reader::LogReader;
use crate::rebuild::Rebuild;

/// The log of a raft node: a [`RaftLogStorage`] over one [`Wal`](tidewal::Wal).
///
/// See the [module](crate) for what is durable when, what it takes, and what failures do.
/// When it is dropped, the log under it closes in the background; opening the same directory in the
/// same process waits for that.
///
/// # Cancel safety
///
/// Every future of it can be dropped. What it was to record is then recorded or not, in the order of the
/// calls, and of an append's entries those may be recorded that come first. The log keeps working.
pub struct RaftLog<C: RaftTypeConfig> {
    /// Nothing behind a refused record is recorded.
    appender: OrderedAppender,
    reader: LogReader<C>,
    jobs: mpsc::Sender<Job<C>>,
    failure: Failure,
    /// The number of the next record.
    next: u64,
    memory_limit: u64,
}

impl<C> RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    /// A reader of the entries, to look at [what the log holds](LogReader::held) while a
    /// [`Raft`](openraft::Raft) owns it.
    #[must_use]
    pub fn reader(&self) -> LogReader<C> {
        self.reader.clone()
    }

    pub(crate) async fn rebuild(
        mut recovery: Recovery,
        options: &RaftLogOptions,
    ) -> Result<Self, OpenError> {
        let rebuild = Rebuild::run(&mut recovery).await?;
        let wal = recovery.into_wal().await?;
        let (jobs, receiver) = mpsc::channel(IN_FLIGHT);
        let (low_water, trims) = watch::channel(Lsn::ZERO);
        let failure = Failure::default();
        let completions = Completions {
            jobs: receiver,
            failure: failure.clone(),
            places: rebuild.places,
            low_water,
        };
        drop(C::AsyncRuntime::spawn(completions.run()));
        drop(C::AsyncRuntime::spawn(trim(wal.clone(), trims)));
        Ok(Self {
            appender: wal.ordered(),
            reader: LogReader::new(rebuild.memory),
            jobs,
            failure,
            next: rebuild.next,
            memory_limit: options.memory_limit,
        })
    }
}

/// Submitting.
impl<C: RaftTypeConfig> RaftLog<C> {
    /// Submits a record, and changes the memory accordingly. From the moment that it is submitted there
    /// is no await, so that log, memory and completions agree also when the future is dropped.
    async fn submit(
        &mut self,
        record: Bytes,
        durability: Durability,
        then: Then<C>,
        change: impl FnOnce(&mut Memory<C>),
    ) -> Result<()> {
        self.failure.check()?;
        let place = self.jobs.reserve().await.map_err(|_| Error::Interrupted)?;
        let submitted = self.appender.submit_with(record, durability).await;
        let pending = submitted.map_err(first_cause)?;
        place.send(Job {
            pending: Some(pending),
            then,
        });
        self.next += 1;
        change(&mut self.reader.memory());
        Ok(())
    }

    /// As [`submit`](Self::submit), and waits until the record is durable.
    async fn submit_and_wait(
        &mut self,
        record: Bytes,
        then: impl FnOnce(oneshot::Sender<Result<()>>) -> Then<C>,
        change: impl FnOnce(&mut Memory<C>),
    ) -> Result<()> {
        let (answer, durable) = oneshot::channel();
        self.submit(record, Durability::Durable, then(answer), change)
            .await?;
        durable.await.unwrap_or(Err(Error::Interrupted))
    }

    async fn write_entry(&mut self, entry: C::Entry) -> Result<(), WriteError<C>> {
        let number = self.next;
        let (record, len) = encoding::entry(number, &entry)?;
        self.check(&entry, len)?;
        self.submit(record, Durability::Durable, Then::Entry(number), |memory| {
            memory.append(number, entry, len);
        })
        .await?;
        Ok(())
    }

    /// Checks the order of the next entry, and whether there is room for it.
    fn check(&self, entry: &C::Entry, len: usize) -> Result<(), WriteError<C>> {
        let memory = self.reader.memory();
        memory.check_order(entry.get_log_id())?;
        if memory.bytes() + cost::<C>(len) > self.memory_limit {
            return Err(WriteError::MemoryLimit(self.memory_limit));
        }
        Ok(())
    }

    /// Calls `callback` once everything that was submitted is durable.
    async fn flushed(&mut self, callback: LogFlushed<C>) -> Result<()> {
        let place = self.jobs.reserve().await.map_err(|_| Error::Interrupted)?;
        place.send(Job {
            pending: None,
            then: Then::Flushed(callback),
        });
        Ok(())
    }

    async fn write_entries(
        &mut self,
        entries: impl Iterator<Item = C::Entry>,
        callback: LogFlushed<C>,
    ) -> Result<(), WriteError<C>> {
        for entry in entries {
            self.write_entry(entry).await?;
        }
        Ok(self.flushed(callback).await?)
    }

    async fn write_vote(&mut self, vote: Vote<C::NodeId>) -> Result<(), WriteError<C>> {
        let record = encoding::vote(self.next, &vote)?;
        self.submit_and_wait(record, Then::Answer, |memory| memory.vote = Some(vote))
            .await?;
        Ok(())
    }

    async fn write_committed(
        &mut self,
        committed: Option<LogId<C::NodeId>>,
    ) -> Result<(), WriteError<C>> {
        let record = encoding::committed(self.next, &committed)?;
        self.submit(record, Durability::Written, Then::Nothing, |memory| {
            memory.committed = committed;
        })
        .await?;
        Ok(())
    }

    async fn write_truncation(&mut self, since: u64) -> Result<(), WriteError<C>> {
        let record = encoding::truncate(self.next, since);
        self.submit_and_wait(record, Then::Answer, |memory| memory.truncate(since))
            .await?;
        Ok(())
    }

    async fn write_purge(&mut self, upto: LogId<C::NodeId>) -> Result<(), WriteError<C>> {
        let checkpoint = self.reader.memory().checkpoint(self.next, upto.clone());
        let record = encoding::checkpoint(self.next, &checkpoint)?;
        let needs = checkpoint.needs;
        self.submit_and_wait(
            record,
            |answer| Then::Checkpoint { needs, answer },
            |memory| memory.purge(upto),
        )
        .await?;
        Ok(())
    }
}

impl<C> RaftLogStorage<C> for RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    type LogReader = LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, StorageError<C::NodeId>> {
        let memory = self.reader.memory();
        Ok(LogState {
            last_purged_log_id: memory.purged.clone(),
            last_log_id: memory.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        self.write_vote(vote.clone())
            .await
            .map_err(|error| error.into_storage_error(ErrorSubject::Vote))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<C::NodeId>>, StorageError<C::NodeId>> {
        Ok(self.reader.memory().vote.clone())
    }

    async fn save_committed(
        &mut self,
        committed: Option<LogId<C::NodeId>>,
    ) -> Result<(), StorageError<C::NodeId>> {
        self.write_committed(committed)
            .await
            .map_err(|error| error.into_storage_error(ErrorSubject::Logs))
    }

    async fn read_committed(
        &mut self,
    ) -> Result<Option<LogId<C::NodeId>>, StorageError<C::NodeId>> {
        Ok(self.reader.memory().committed.clone())
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
        self.write_entries(entries.into_iter(), callback)
            .await
            .map_err(|error| error.into_storage_error(ErrorSubject::Logs))
    }

    async fn truncate(&mut self, log_id: LogId<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        self.write_truncation(log_id.index)
            .await
            .map_err(|error| error.into_storage_error(ErrorSubject::Logs))
    }

    async fn purge(&mut self, log_id: LogId<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        self.write_purge(log_id)
            .await
            .map_err(|error| error.into_storage_error(ErrorSubject::Logs))
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
        self.reader.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>> {
        self.reader.limited_get_log_entries(start, end).await
    }
}

impl<C: RaftTypeConfig> Drop for RaftLog<C> {
    /// Closes the log, although the tasks still have a handle: a caller that opens it then waits.
    fn drop(&mut self) {
        let close = pin!(self.appender.wal().clone().close());
        let _ = close.poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl<C: RaftTypeConfig> fmt::Debug for RaftLog<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftLog")
            .field("held", &self.reader.held())
            .finish_non_exhaustive()
    }
}

/// What every call gets after the first failure.
fn first_cause(error: Error) -> Error {
    match error {
        Error::EarlierRefused(cause) => Error::clone(&cause),
        error => error,
    }
}

/// Why something was not recorded.
#[derive(Debug, thiserror::Error)]
enum WriteError<C: RaftTypeConfig> {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Log(#[from] Error),
    #[error(
        "the entries would take more than {0} bytes of memory; let the snapshot policy purge \
         earlier, or raise memory_limit"
    )]
    MemoryLimit(u64),
    #[error(transparent)]
    Order(#[from] OutOfOrder<C>),
}

impl<C: RaftTypeConfig> WriteError<C> {
    fn into_storage_error(self, subject: ErrorSubject<C::NodeId>) -> StorageError<C::NodeId> {
        let source = match self {
            Self::Order(OutOfOrder { prev, next }) => {
                let prev = Some(prev);
                let violation = Violation::LogsNonConsecutive { prev, next };
                return DefensiveError::new(subject, violation).into();
            }
            Self::Encode(error) => AnyError::new(&error),
            Self::Log(error) => AnyError::new(&error),
            limit @ Self::MemoryLimit(_) => AnyError::error(limit),
        };
        StorageIOError::new(subject, ErrorVerb::Write, source).into()
    }
}

/// Records whose completion may be outstanding.
const IN_FLIGHT: usize = 1024;
