//! The handle.

mod durable_lsns;
mod pending;
mod submit;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
#[cfg(feature = "archive")]
use std::sync::Weak;

use bytes::Bytes;
#[cfg(any(feature = "archive", feature = "snapshot"))]
use tokio::sync::watch;

#[cfg(feature = "snapshot")]
use crate::error::IoFailure;
use crate::error::{Error, Result, TrySubmitError};
use crate::host::Host;
use crate::lsn::Lsn;
use crate::options::{Durability, SyncPolicy, WalOptions};
#[cfg(any(feature = "archive", feature = "snapshot"))]
use crate::queue::Progress;
use crate::queue::Submitter;
use crate::queue::completion::Completion;
use crate::queue::request::Request;
#[cfg(any(feature = "archive", feature = "snapshot"))]
use crate::retention::Retention;
use crate::stats::Stats;
use crate::storage::{Closing, Dir};

pub use crate::wal::durable_lsns::DurableLsns;
pub use crate::wal::pending::{PendingAppend, PendingBatch};

/// A log that is open for appending.
///
/// A handle is cheap to clone, and all clones are the same log. It works from any executor: the log's
/// own work is done on threads of its own.
///
/// When the last handle is dropped the log closes in the background, as [`close`](Self::close) does
/// it: what was submitted is written and synced. Opening the same directory in the same process waits
/// for that. A process that ends without waiting leaves a log that opens all the same; then only what
/// was acknowledged is sure to be there.
///
/// # Closing
///
/// [`close`](Self::close) takes a handle and closes the log for all of them. Where the handle is a field
/// of something shared, close a clone: `shared.wal.clone().close().await`. There is no need for an `Arc`
/// around a `Wal`, or to wait until it is the last one. Every other handle gets [`Error::Closed`].
///
/// # Payloads
///
/// A payload is owned or static: the record outlives the call. `Vec<u8>`, `String`, `Bytes` and literals
/// will do, as `impl Into<Bytes>` says. Two compile errors are usual. *"`buffer` does not live long
/// enough ... argument requires that it is borrowed for `'static`"* is a borrowed slice: append
/// `Bytes::copy_from_slice(&buffer)`, or give the buffer away. *"the trait bound `Bytes: From<&Vec<u8>>`
/// is not satisfied"* is a reference to a vector: append the vector, or a clone.
///
/// # Timeouts and processes
///
/// A log on a real disk runs on threads that tokio's clock does not know. In a test with a *paused*
/// clock (`start_paused`), tokio sees nothing to do while it waits for the disk and moves the clock on, so
/// that `tokio::time::timeout` around an append fires at once. Use the simulated disk (feature `sim`)
/// there, which runs on tokio's clock, or leave the clock running.
///
/// Do not use a log in a process that was forked after it was opened. The child has the handle and not
/// the threads: its appends wait for ever, and the directory stays locked until the child has ended or
/// has executed another program.
///
/// # Examples
///
/// ```
/// use tidewal::{Lsn, Wal};
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let wal = Wal::open(dir).await?;
/// assert_eq!(wal.append("on disk").await?, Lsn::FIRST);
/// wal.close().await?;
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Wal {
    shared: Arc<Shared>,
}

impl Wal {
    pub(crate) fn new(
        submitter: Submitter,
        host: Host,
        options: &WalOptions,
        closing: Closing,
        dir: Dir,
    ) -> Self {
        let limits = Limits {
            payload: options.payload_limit(),
            batch: crate::format::payload_room(options.segment_size),
        };
        let durability = options.durability;
        let shared = Shared {
            submitter,
            host,
            policy: options.sync_policy,
            durability,
            limits,
            closing,
            dir,
            #[cfg(feature = "snapshot")]
            snapshots: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Appends a record and waits until it is durable, or written, as the options say.
    ///
    /// The same as [`submit`](Self::submit) and then awaiting what it returns.
    ///
    /// # Errors
    ///
    /// The record is certainly not appended after [`Error::Closed`], [`Error::Poisoned`],
    /// [`Error::StorageFull`], [`Error::SegmentUnavailable`] and [`Error::TooLarge`]. The outcome is unknown after [`Error::OutcomeUnknown`]
    /// and [`Error::Interrupted`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the record may or may not be appended; other
    /// callers are not affected. Use [`submit`](Self::submit) to tell the two apart.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let wal = tidewal::Wal::open(dir.path()).await?;
    /// let lsn = wal.append(b"bytes".as_slice()).await?;
    /// assert!(wal.durable_lsn() >= lsn);
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn append(&self, payload: impl Into<Bytes>) -> Result<Lsn> {
        self.append_with(payload, self.shared.durability).await
    }

    /// As [`append`](Self::append), with a durability for this record alone.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append).
    ///
    /// # Cancel safety
    ///
    /// That of [`append`](Self::append).
    pub async fn append_with(
        &self,
        payload: impl Into<Bytes>,
        durability: Durability,
    ) -> Result<Lsn> {
        self.submit_with(payload, durability).await?.await
    }

    /// Appends several records as one: after a crash either all of them are there or none. Returns
    /// their LSNs, which follow each other.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append); [`Error::EmptyBatch`] if there is no payload;
    /// [`Error::TooLarge`] also if the batch does not fit into one segment.
    ///
    /// # Cancel safety
    ///
    /// That of [`append`](Self::append); a batch is never appended in part.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let wal = tidewal::Wal::open(dir.path()).await?;
    /// let lsns = wal.append_batch(["debit alice", "credit bob"]).await?;
    /// assert_eq!(lsns.start().next(), *lsns.end());
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn append_batch<I>(&self, payloads: I) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.submit_batch(payloads).await?.await
    }

    /// As [`append_batch`](Self::append_batch), with a durability for this batch alone.
    ///
    /// # Errors
    ///
    /// Those of [`append_batch`](Self::append_batch).
    ///
    /// # Cancel safety
    ///
    /// That of [`append_batch`](Self::append_batch).
    pub async fn append_batch_with<I>(
        &self,
        payloads: I,
        durability: Durability,
    ) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.submit_batch_with(payloads, durability).await?.await
    }

    /// Waits for a place in the queue, takes it, and returns a future of the record's LSN.
    ///
    /// A submission that has returned before another one began gets the lower LSN, whichever tasks they
    /// are of. One task can so have many records in flight; and a state machine that has to apply its
    /// commands in the order of the log submits them under a short lock and applies them in that order
    /// (`examples/kv-service`).
    ///
    /// If a record is refused later, because the disk is full, one that was submitted behind it may be
    /// appended all the same. Where that must not be, because a command was validated against the effect
    /// of the one before, submit through [`ordered`](Self::ordered).
    ///
    /// Places are offered to those who wait in the order in which they began to, so that small records do
    /// not starve a large one. A future that is kept and not polled does not stop the others: they pass
    /// where there is room for them beside it, and otherwise 10 ms after room was offered to it. When it
    /// is polled again, it is in turn before all who came after it. Once the log is closed no one waits.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::Poisoned`] and [`Error::TooLarge`]; the record is then certainly
    /// not appended.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped before it completes, it is guaranteed that nothing was appended. If
    /// the [`PendingAppend`] is dropped, that does not take the record back, and only the answer is
    /// lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let wal = tidewal::Wal::open(dir.path()).await?;
    /// let first = wal.submit("first").await?;
    /// let second = wal.submit("second").await?;
    /// assert!(first.await? < second.await?);
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn submit(&self, payload: impl Into<Bytes>) -> Result<PendingAppend> {
        self.submit_with(payload, self.shared.durability).await
    }

    /// As [`submit`](Self::submit), with a durability for this record alone.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit).
    ///
    /// # Cancel safety
    ///
    /// That of [`submit`](Self::submit).
    pub async fn submit_with(
        &self,
        payload: impl Into<Bytes>,
        durability: Durability,
    ) -> Result<PendingAppend> {
        self.submit_in(None, payload.into(), durability).await
    }

    /// As [`submit`](Self::submit), for several records that are appended as one: after a crash either
    /// all of them are there or none.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit); [`Error::EmptyBatch`] if there is no payload;
    /// [`Error::TooLarge`] also if the batch does not fit into one segment.
    ///
    /// # Cancel safety
    ///
    /// That of [`submit`](Self::submit).
    pub async fn submit_batch<I>(&self, payloads: I) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.submit_batch_with(payloads, self.shared.durability)
            .await
    }

    /// As [`submit_batch`](Self::submit_batch), with a durability for this batch alone.
    ///
    /// # Errors
    ///
    /// Those of [`submit_batch`](Self::submit_batch).
    ///
    /// # Cancel safety
    ///
    /// That of [`submit`](Self::submit).
    pub async fn submit_batch_with<I>(
        &self,
        payloads: I,
        durability: Durability,
    ) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.submit_batch_in(None, payloads, durability).await
    }

    /// As [`submit`](Self::submit), but fails if the queue has no place now.
    ///
    /// The queue is full if there is no room for this record beside the records in it and beside those
    /// that wait for a place: it does not push ahead of them. A record that no one has polled for 10 ms
    /// after it was offered a place does not count.
    ///
    /// # Errors
    ///
    /// [`TrySubmitError::Full`], which gives the payload back, and those of [`submit`](Self::submit);
    /// the record is then certainly not appended.
    pub fn try_submit(&self, payload: impl Into<Bytes>) -> Result<PendingAppend, TrySubmitError> {
        self.try_submit_in(None, payload.into())
    }

    /// Waits until everything that was submitted before this call, and was not refused, is durable,
    /// whatever the policy. Returns the last durable LSN, [`Lsn::ZERO`] if the log never held a record.
    ///
    /// Returns without a sync if there is nothing to sync. It is no substitute for the answers to
    /// appends: a record that was refused is told of in its own answer. A `sync` that fails says nothing
    /// about records already acknowledged as [`Written`](Durability::Written).
    ///
    /// # Errors
    ///
    /// [`Error::StorageFull`] or [`Error::SegmentUnavailable`] if a record that was to be written with this
    /// sync was refused, [`Error::OutcomeUnknown`] if the sync fails, [`Error::Poisoned`] if something failed earlier,
    /// [`Error::Closed`], [`Error::Interrupted`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the sync may still happen.
    pub async fn sync(&self) -> Result<Lsn> {
        let (done, answer) = Completion::new();
        self.shared.submitter.ask(Request::Sync(done)).await?;
        answer.await
    }

    /// The last LSN that is durable; [`Lsn::ZERO`] if the log never held a record.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.submitter.progress.borrow().durable
    }

    /// Follows the durable LSN.
    pub fn subscribe_durable(&self) -> DurableLsns {
        DurableLsns::new(self.shared.submitter.progress.clone())
    }

    /// Gives the records before `before` free: the low-water mark. Returns once that is durable.
    ///
    /// Space is given back in whole segments, so that some records below the mark may still be kept,
    /// and delivered by recovery. A record at or above it is never touched. The segment that is being
    /// written always stays. While the log has an archiver (feature `archive`), what is not in the archive
    /// is kept as well, and goes when it is there.
    ///
    /// # Errors
    ///
    /// [`Error::BeyondEnd`] if the log has not reached `before` yet; the LSN after the last record is
    /// the highest one allowed. [`Error::Io`] if the truncation could not begin, or if a file could not
    /// be removed. The log keeps working. In the second case the truncation is durable, the other files
    /// have gone, and the next call (with the same LSN, say) tries that file again; so does the next start. [`Error::OutcomeUnknown`],
    /// [`Error::Poisoned`], [`Error::Closed`], [`Error::Interrupted`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the truncation may still happen.
    pub async fn truncate_before(&self, before: Lsn) -> Result<()> {
        let (done, answer) = Completion::new();
        self.shared
            .submitter
            .ask(Request::Truncate(before, done))
            .await?;
        answer.await
    }

    /// What the log has done since it was opened, how long that took, and what waits in its queue.
    ///
    /// Works at any time, also while the disk hangs and after the log has ended.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.submitter.stats(self.shared.host.now())
    }

    /// Closes the log: takes nothing more, writes and syncs what was submitted, seals the log and
    /// gives the directory free.
    ///
    /// Other handles then get [`Error::Closed`].
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`] if an operation fails on the way, [`Error::Poisoned`] if one failed earlier,
    /// [`Error::Interrupted`] if the writer ended otherwise. A second `close` returns what the first did.
    /// The log is closed all the same, and everything acknowledged is safe.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was first polled, the log still closes; before that, the
    /// handle is dropped like any other.
    pub async fn close(self) -> Result<()> {
        self.shared.closing.announce();
        let mut progress = self.shared.submitter.progress.clone();
        self.shared.submitter.close();
        match progress.wait_for(|progress| progress.end.is_some()).await {
            Ok(progress) => progress.end.clone().unwrap_or(Ok(())),
            Err(_) => Err(Error::Interrupted),
        }
    }

    /// Whether an append is answered only once somebody has asked for a sync.
    #[cfg(feature = "sink")]
    pub(crate) fn waits_to_be_asked(&self) -> bool {
        self.shared.policy.waits_to_be_asked() && self.shared.durability == Durability::Durable
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("durable_lsn", &self.durable_lsn())
            .finish_non_exhaustive()
    }
}

/// What is needed to write snapshots beside a log.
#[cfg(feature = "snapshot")]
impl Wal {
    pub(crate) fn snapshot_turn(&self) -> &Arc<tokio::sync::Mutex<Option<IoFailure>>> {
        &self.shared.snapshots
    }

    pub(crate) fn closing(&self) -> &Closing {
        &self.shared.closing
    }
}

/// What an archiver needs of a log, and who writes snapshots.
#[cfg(any(feature = "archive", feature = "snapshot"))]
impl Wal {
    pub(crate) fn dir(&self) -> &Dir {
        &self.shared.dir
    }

    pub(crate) fn host(&self) -> Host {
        self.shared.host
    }

    pub(crate) fn retention(&self) -> &Arc<Retention> {
        self.shared.submitter.retention()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.submitter.progress.clone()
    }

    #[cfg(feature = "archive")]
    pub(crate) fn downgrade(&self) -> WeakWal {
        WeakWal(Arc::downgrade(&self.shared))
    }
}

/// A handle that does not keep the log open.
#[cfg(feature = "archive")]
pub(crate) struct WeakWal(Weak<Shared>);

#[cfg(feature = "archive")]
impl WeakWal {
    pub(crate) fn upgrade(&self) -> Option<Wal> {
        self.0.upgrade().map(|shared| Wal { shared })
    }
}

/// What all handles share; gone with the last of them.
struct Shared {
    submitter: Submitter,
    host: Host,
    policy: SyncPolicy,
    durability: Durability,
    limits: Limits,
    closing: Closing,
    #[cfg_attr(
        not(any(feature = "archive", feature = "snapshot")),
        expect(dead_code, reason = "only archiver and snapshots look at it")
    )]
    dir: Dir,
    /// Held by who writes snapshots, one at a time, and why there are to be none any more.
    #[cfg(feature = "snapshot")]
    snapshots: Arc<tokio::sync::Mutex<Option<IoFailure>>>,
}

impl Drop for Shared {
    /// The queue ends with its `Submitter`, which makes the writer close the log.
    fn drop(&mut self) {
        self.closing.announce();
    }
}

struct Limits {
    /// The largest payload.
    payload: usize,
    /// The largest batch: all its bytes but the first header.
    batch: u64,
}
