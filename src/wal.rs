//! The handle of an open log.

mod append;
mod durable_lsns;
mod pending;
mod rotate;
mod submit;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

#[cfg(feature = "snapshot")]
use crate::error::IoFailure;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::feed::Feed;
use crate::lsn::Lsn;
use crate::options::{Durability, SyncPolicy, WalOptions};
use crate::queue::Progress;
use crate::queue::completion::Completion;
use crate::queue::request::Request;
use crate::queue::{Control, Submitter};
use crate::retention::Retention;
use crate::stats::Stats;
use crate::storage::{Closing, Dir};

pub use crate::wal::durable_lsns::DurableLsns;
pub use crate::wal::pending::{PendingAppend, PendingBatch};

/// A log that is open for appending.
///
/// A handle is cheap to clone, and all clones are the same log. It works from any executor: the log
/// does its own work on its own threads.
///
/// When the last handle is dropped, the log closes in the background, as [`close`](Self::close)
/// does: it writes and syncs what was submitted. Opening the same directory in the same process
/// waits for that. If the process ends without waiting, the log can still be opened, but only what
/// was acknowledged is certain to be in it.
///
/// # Closing
///
/// [`close`](Self::close) takes a handle and closes the log for all handles. If the handle is a
/// field of something shared, close a clone: `shared.wal.clone().close().await`. You need neither
/// an `Arc` around a `Wal` nor to wait until it is the last handle. Every other handle gets
/// [`Error::Closed`].
///
/// # Payloads
///
/// A payload is `impl Into<Bytes>` and must be owned or static, because the record outlives the
/// call. `Vec<u8>`, `String`, `Bytes` and literals work. Two compile errors are common:
///
/// - *"`buffer` does not live long enough ... argument requires that it is borrowed for
///   `'static`"*: the payload is a borrowed slice. Append `Bytes::copy_from_slice(&buffer)`, or
///   move the buffer.
/// - *"the trait bound `Bytes: From<&Vec<u8>>` is not satisfied"*: the payload is a reference to a
///   vector. Append the vector, or a clone.
///
/// # Timeouts and processes
///
/// A log on a real disk runs on threads that tokio's clock does not know. In a test with a *paused*
/// clock (`start_paused`), tokio sees nothing to do while it waits for the disk and advances the
/// clock, so a `tokio::time::timeout` around an append fires at once. In such a test use the
/// simulated disk (feature `sim`), which runs on tokio's clock, or do not pause the clock.
///
/// Do not use a log in a process that was forked after the log was opened. The child has the handle
/// but not the threads: its appends wait forever, and the directory stays locked until the child
/// has ended or has executed another program.
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
        (submitter, feed): (Submitter, Arc<Feed>),
        executor: Executor,
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
            executor,
            feed,
            policy: options.sync_policy,
            busy_poll: options.busy_poll,
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

    /// Waits until everything that was submitted before this call, and was not refused, is durable,
    /// whatever the policy. Returns the last durable LSN, or [`Lsn::ZERO`] if the log never held a
    /// record.
    ///
    /// Returns without a sync if there is nothing to sync. It is no substitute for the answers to
    /// appends: only the answer to a record says that it was refused. A `sync` that fails says
    /// nothing about records already acknowledged as [`Written`](Durability::Written).
    ///
    /// # Errors
    ///
    /// - [`Error::StorageFull`] or [`Error::SegmentUnavailable`] if a record was refused that was
    ///   to be written with this sync. Everything else that was submitted before is durable
    /// - [`Error::OutcomeUnknown`] if the sync fails
    /// - [`Error::Poisoned`] if an operation failed earlier
    /// - [`Error::Closed`], [`Error::Interrupted`]
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the sync may still happen.
    pub async fn sync(&self) -> Result<Lsn> {
        self.control().sync().await
    }

    /// The last durable LSN, or [`Lsn::ZERO`] if the log never held a record.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.submitter.progress.borrow().durable
    }

    /// Returns a stream of the durable LSN.
    pub fn subscribe_durable(&self) -> DurableLsns {
        DurableLsns::new(self.shared.submitter.progress.clone())
    }

    /// Discards all records below `before` (the low-water mark). Returns once the truncation is
    /// durable.
    ///
    /// Space is freed in whole segments, so some records below `before` may be kept, and recovery
    /// delivers them. A record at or above `before` is never removed. The open segment always
    /// stays. A segment that a [`hold`](Self::hold) keeps is removed once the hold has moved or was
    /// dropped. An archiver (`tidewal-archive`) holds each segment until it is archived.
    ///
    /// # Errors
    ///
    /// - [`Error::BeyondEnd`] if the log has not reached `before` yet. The highest allowed value is
    ///   the LSN after the last record.
    /// - [`Error::Io`] if the truncation could not begin, or if a file could not be removed. The
    ///   log keeps working. In the second case the truncation is durable and the other files are
    ///   removed. The next call (for example, with the same LSN) and the next start try that file
    ///   again.
    /// - [`Error::OutcomeUnknown`], [`Error::Poisoned`], [`Error::Closed`], [`Error::Interrupted`]
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

    /// Figures about the log since it was opened: what it has done, how long that took, and what is
    /// in its queue.
    ///
    /// Works at any time, even while the disk stalls and after the log has ended.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (followers, bytes) = self.shared.feed.usage();
        Stats {
            followers: followers as u64,
            follow_buffer_bytes: bytes as u64,
            ..self.shared.submitter.stats(self.shared.executor.now())
        }
    }

    /// Closes the log: rejects new appends, writes and syncs what was submitted, seals the log and
    /// releases the directory lock.
    ///
    /// When this returns, with an error or without, any process can open the directory. Other handles get
    /// [`Error::Closed`]. A snapshot that is being written or read (feature `snapshot`) ends first, because
    /// it works in the directory. Writing to it fails from now on, and `close` waits until its function has
    /// returned. So that function must not wait for `close`.
    ///
    /// # Errors
    ///
    /// - [`Error::OutcomeUnknown`] if an operation fails while closing
    /// - [`Error::Poisoned`] if an operation failed earlier
    /// - [`Error::Interrupted`] if the writer ended in another way
    ///
    /// A second `close` returns what the first did. The log is closed even after an error, and
    /// everything acknowledged is safe.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was first polled, the log still closes. Before that, the
    /// handle is dropped like any other.
    pub async fn close(self) -> Result<()> {
        self.shared.closing.announce();
        let mut progress = self.shared.submitter.progress.clone();
        self.shared.submitter.close();
        let end = match progress.wait_for(|progress| progress.end.is_some()).await {
            Ok(progress) => progress.end.clone().unwrap_or(Ok(())),
            Err(_) => Err(Error::Interrupted),
        };
        // The writer has released its lock. A snapshot or a backup may still hold the directory.
        self.shared.closing.released().await;
        end
    }

    /// Whether an append is answered only once a caller has requested a sync.
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

/// What snapshots need of a log.
#[cfg(feature = "snapshot")]
impl Wal {
    pub(crate) fn snapshot_turn(&self) -> &Arc<tokio::sync::Mutex<Option<IoFailure>>> {
        &self.shared.snapshots
    }
}

/// What followers, holds, backups and snapshots need of a log.
impl Wal {
    pub(crate) fn closing(&self) -> &Closing {
        &self.shared.closing
    }

    pub(crate) fn control(&self) -> Control {
        self.shared.submitter.control()
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.shared.feed
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.shared.dir
    }

    pub(crate) fn executor(&self) -> Executor {
        self.shared.executor
    }

    pub(crate) fn retention(&self) -> &Arc<Retention> {
        self.shared.submitter.retention()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.submitter.progress.clone()
    }
}

/// What all handles share. It is dropped with the last of them.
struct Shared {
    submitter: Submitter,
    executor: Executor,
    feed: Arc<Feed>,
    policy: SyncPolicy,
    busy_poll: Duration,
    durability: Durability,
    limits: Limits,
    closing: Closing,
    dir: Dir,
    /// Held while a snapshot is written, so one is written at a time. A failure here ends
    /// snapshots.
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
    /// The largest batch: all its bytes without the first header.
    batch: u64,
}
