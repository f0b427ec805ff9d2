//! Reading a log back, as a stream. Nothing in this module changes a file.
//!
//! A separate task does the work ([`replay`]): [`lock_dir`] opens the directory and locks it,
//! [`chain`] reads the headers and decides which files belong to the log, [`scan`] reads one
//! segment record by record, and [`blocks`] reads its file block by block. [`tail`] judges how the
//! newest segment ends. (`salvage`, for the tools, continues where a replay stops.) The task sends
//! records over a short channel in chunks of about 1 MiB, which bounds the read-ahead. A record of
//! more than 8 MiB is alone in memory, and is read only once it is known to be complete. An atomic
//! batch of more than 8 MiB is also checked first, and then delivered block by block.
//!
//! `docs/durability.md`, "Recovery", has the rules and the labels of all cases.

pub(crate) mod bad_pages;
mod blocks;
mod chain;
mod chunk;
mod finished;
mod lock_dir;
mod replay;
mod report;
#[cfg(feature = "tools")]
pub(crate) mod salvage;
mod scan;
mod tail;

use std::path::Path;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use futures_core::Stream;
use tokio::sync::mpsc;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::observe;
use crate::options::WalOptions;
use crate::record::Record;
use crate::recovered::Recovered;
pub(crate) use crate::recovery::chunk::Records;
#[cfg(not(feature = "snapshot"))]
use crate::recovery::lock_dir::ToLock;
use crate::recovery::replay::{Event, Room, Source};
use crate::storage::{Access, Dir, Location, Lock, Opener, OpenerGuard, Opening};

pub(crate) use crate::recovery::chain::Start;
#[cfg(feature = "tools")]
pub(crate) use crate::recovery::chain::{SegmentFile, check_finished};
pub(crate) use crate::recovery::finished::FinishedScan;
#[cfg(feature = "snapshot")]
pub(crate) use crate::recovery::lock_dir::ToLock;
pub use crate::recovery::report::{RecoveryReport, TornTail, TornTailReason};

/// A log that is being read back: a stream of its records, oldest first.
///
/// It locks the directory for appending, so no other log can write or read it in the meantime.
/// After reading, [`into_wal`](Self::into_wal) opens the log for appending. Dropping the recovery
/// instead changes nothing on disk and unlocks the directory.
///
/// The stream ends after its first error. Reading changes no file.
///
/// # Cancel safety
///
/// [`try_next`](Self::try_next) and the stream are cancel safe: if the future is dropped before it
/// completes, no record is lost.
///
/// # Examples
///
/// ```
/// use tidewal::Wal;
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let mut total = 0;
/// let mut recovery = Wal::recover(dir).await?;
/// while let Some(record) = recovery.try_next().await? {
///     total += record.payload.len();
/// }
/// let wal = recovery.into_wal().await?;
/// # wal.close().await?;
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a recovery reads nothing unless it is polled"]
pub struct Recovery {
    replay: Replay,
    context: Context,
}

/// What is needed to continue a recovered log.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) location: Location,
    pub(crate) executor: Executor,
    pub(crate) options: WalOptions,
}

impl Context {
    pub(crate) fn new(environment: Environment, options: WalOptions) -> Self {
        Self {
            location: environment.location,
            executor: environment.executor,
            options,
        }
    }

    /// The directory to be opened and locked, and the guard of the caller that waits for it.
    pub(crate) fn to_lock(&self, access: Access) -> (ToLock, OpenerGuard) {
        let opener = Opener::default();
        let guard = OpenerGuard::new(opener.clone());
        let to_lock = ToLock {
            location: self.location.clone(),
            opening: Opening {
                access,
                create: access == Access::Append && self.options.create,
                allow_unsynced: self.options.allow_unsynced_directory,
            },
            executor: self.executor,
            timeout: self.options.lock_timeout,
            opener,
        };
        (to_lock, guard)
    }
}

impl Recovery {
    /// Starts reading a directory, and creates it if necessary.
    pub(crate) async fn start(context: Context, start: Start) -> Result<Self> {
        let (to_lock, guard) = context.to_lock(Access::Append);
        Self::start_with(context, start, (Source::ToLock(to_lock), guard)).await
    }

    /// Starts reading a directory that is locked for appending.
    #[cfg(feature = "snapshot")]
    pub(crate) async fn start_locked(
        context: Context,
        start: Start,
        (dir, lock): (Dir, Lock),
    ) -> Result<Self> {
        let guard = lock.opener_guard();
        Self::start_with(context, start, (Source::Locked(dir, lock), guard)).await
    }

    async fn start_with(
        context: Context,
        start: Start,
        source: (Source, OpenerGuard),
    ) -> Result<Self> {
        let replay = Replay::start(&context, start, source).await?;
        Ok(Self { replay, context })
    }

    /// The next record, or `None` after the last one.
    ///
    /// The same as the stream, for callers that do not want to import the `Stream` traits.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if a durable record is damaged or missing, [`Error::BeyondEnd`] if the
    /// log ends before `start_at`, [`Error::Io`] if reading failed. After an error the stream has
    /// ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completes, no record is lost.
    pub async fn try_next(&mut self) -> Result<Option<Record>> {
        self.replay.next().await
    }

    /// What was read so far. It is complete once the stream has ended.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.replay.report
    }

    pub(crate) fn path(&self) -> &Path {
        self.context.location.path()
    }

    /// Reads to the end, which verifies the rest, and returns what the writer needs.
    pub(crate) async fn finish(mut self) -> Result<(Context, Recovered, (Dir, Lock))> {
        self.replay.skip_to_end().await?;
        match (self.replay.recovered.take(), self.replay.locked.take()) {
            (Some(recovered), Some(locked)) => Ok((self.context, recovered, locked)),
            _ => Err(Error::Interrupted),
        }
    }
}

impl Stream for Recovery {
    type Item = Result<Record>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.replay.poll_next(context)
    }
}

/// A log that is open for reading only: a stream of its records, oldest first.
///
/// It locks the directory for reading: any number of readers may share it, and no log can be opened
/// for appending in the meantime. A directory without a lock file, such as a copy, is not locked.
/// The stream, its errors and its cancel safety are the same as those of [`Recovery`].
#[derive(Debug)]
#[must_use = "a reader reads nothing unless it is polled"]
pub struct Reader(Replay);

impl Reader {
    /// Starts reading a directory.
    pub(crate) async fn start(context: Context, start: Start) -> Result<Self> {
        let (to_lock, guard) = context.to_lock(Access::Read);
        let replay = Replay::start(&context, start, (Source::ToLock(to_lock), guard));
        replay.await.map(Self)
    }

    /// The next record, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// The errors of [`Recovery::try_next`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completes, no record is lost.
    pub async fn try_next(&mut self) -> Result<Option<Record>> {
        self.0.next().await
    }

    /// What was read so far. It is complete once the stream has ended.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.0.report
    }
}

impl Stream for Reader {
    type Item = Result<Record>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context)
    }
}

/// The receiving side of a replay.
struct Replay {
    events: mpsc::Receiver<Result<Event>>,
    records: Records,
    /// The permit for the memory of the chunks read ahead.
    room: Option<Room>,
    report: RecoveryReport,
    recovered: Option<Recovered>,
    failure: Option<Error>,
    locked: Option<(Dir, Lock)>,
}

impl Replay {
    /// Returns once the directory is locked and its headers are read and checked.
    async fn start(
        context: &Context,
        start: Start,
        (source, guard): (Source, OpenerGuard),
    ) -> Result<Self> {
        let (path, executor) = (context.location.path(), context.executor);
        let (sender, mut events) = mpsc::channel(CHUNKS_AHEAD);
        let job = observe::recovering(path, replay::run(source, start, sender));
        executor.run("tidewal-recovery", path, job)?;
        let Event::Opened { dir, lock, report } =
            events.recv().await.ok_or(Error::Interrupted)??
        else {
            unreachable!("a replay opens the directory before anything else");
        };
        guard.served();
        let records = Records::none();
        Ok(Self {
            events,
            records,
            room: None,
            report,
            recovered: None,
            failure: None,
            locked: Some((dir, lock)),
        })
    }

    /// Fast path: most records are in memory already, and need neither a waker nor room for an
    /// error.
    #[inline]
    async fn next(&mut self) -> Result<Option<Record>> {
        match self.records.next() {
            Some(record) => Ok(Some(record)),
            None => self.next_piece().await,
        }
    }

    async fn next_piece(&mut self) -> Result<Option<Record>> {
        std::future::poll_fn(|context| self.poll_next(context))
            .await
            .transpose()
    }

    fn poll_next(&mut self, context: &mut task::Context<'_>) -> Poll<Option<Result<Record>>> {
        loop {
            if let Some(record) = self.records.next() {
                return Poll::Ready(Some(Ok(record)));
            }
            if self.recovered.is_some() || self.failure.is_some() {
                return Poll::Ready(None);
            }
            self.room = None;
            let event = ready!(self.events.poll_recv(context)).unwrap_or(Err(Error::Interrupted));
            if let Err(error) = self.take(event) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    async fn skip_to_end(&mut self) -> Result<()> {
        while self.next().await?.is_some() {}
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn take(&mut self, event: Result<Event>) -> Result<()> {
        match event {
            Ok(Event::Records(records, report, room)) => {
                self.records = records;
                self.room = room;
                self.report = report;
            }
            Ok(Event::Ended(recovered, report)) => {
                self.recovered = Some(recovered);
                self.report = report;
            }
            Ok(Event::Opened { .. }) => {}
            Err(error) => {
                self.failure = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// Chunks of about 1 MiB in the channel, besides the one that is being read.
const CHUNKS_AHEAD: usize = 1;
