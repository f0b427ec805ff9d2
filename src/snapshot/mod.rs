//! Durable snapshots beside the log, in its own directory and under its lock.
//!
//! A service that keeps its state in a log writes a snapshot of that state from time to time,
//! truncates the log, and starts from both. If a snapshot is not durable before the log is
//! truncated, is damaged, or belongs to another log, acknowledged records are lost. This module
//! enforces the rules by types and by the order of operations:
//!
//! - [`Snapshots::write`] returns a [`Snapshot`] only after its file, its name and its directory are durable.
//!   Truncate the log only up to the LSN of a `Snapshot`. [`Snapshots::remove_before`] requires one before it
//!   removes older snapshots.
//! - A snapshot names its log and the last record that it covers, and each mebibyte of it has a
//!   checksum. [`SnapshotState`] distinguishes damaged and foreign snapshots and those of a later
//!   version.
//! - [`WalOptions::lock`](crate::WalOptions::lock) gives access to the snapshots *before* the log
//!   is recovered, because the snapshot determines where recovery starts.
//! - [`Snapshots::reserve`] reserves space, so a snapshot fits on a disk that the log has filled.
//!
//! Snapshots use the same storage layer as the log, so they also work on the simulated disk (feature `sim`).
//! `docs/snapshots.md` in the repository has the format, and what a crash leaves at each step.
//!
//! # Examples
//!
//! ```
//! use std::io::{Read, Write};
//! use tidewal::{Lsn, Wal};
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! # for start in 0..2 {
//! // On start: the newest snapshot, then the rest of the log.
//! let locked = Wal::options().lock(dir).await?;
//! let (mut start_at, mut sum) = (Lsn::FIRST, 0);
//! if let Some(newest) = locked.snapshots().await?.last() {
//!     let (snapshot, bytes) = locked
//!         .read_snapshot(newest.lsn, |input| {
//!             let mut bytes = [0; 8];
//!             input.read_exact(&mut bytes).map(|()| bytes)
//!         })
//!         .await?;
//!     (start_at, sum) = (snapshot.lsn().next(), u64::from_le_bytes(bytes));
//! }
//! let mut recovery = locked.recover(start_at).await?;
//! while let Some(record) = recovery.try_next().await? {
//!     sum += record.payload.len() as u64;
//! }
//! let wal = recovery.into_wal().await?;
//! # assert_eq!(sum, start * 5);
//!
//! // In service: a snapshot, then truncation.
//! let lsn = wal.append("bytes").await?;
//! sum += 5;
//! let snapshots = wal.snapshots();
//! let snapshot = snapshots
//!     .write(lsn, move |output| output.write_all(&sum.to_le_bytes()))
//!     .await?;
//! wal.truncate_before(snapshot.lsn().next()).await?;
//! snapshots.remove_before(&snapshot).await?;
//! # wal.close().await?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod error;
mod files;
mod input;
mod lineage;
mod locked;
mod output;
mod pace;
mod values;

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot, watch};

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::lsn::Lsn;
use crate::queue::Progress;
use crate::retention::Retention;
use crate::snapshot::files::Target;
use crate::snapshot::lineage::Chain;
use crate::snapshot::pace::Pace;
use crate::storage::{Closing, Dir, Lock};
use crate::wal::Wal;

pub use crate::snapshot::error::{Result, SnapshotError};
pub use crate::snapshot::input::SnapshotInput;
pub use crate::snapshot::locked::LockedDir;
pub use crate::snapshot::output::SnapshotOutput;
pub use crate::snapshot::values::{Snapshot, SnapshotFile, SnapshotState};

impl Wal {
    /// Returns a handle to the snapshots in this log's directory.
    ///
    /// The handle does not keep the log open.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        Snapshots {
            work: WorkContext {
                dir: self.dir().clone(),
                executor: self.executor(),
                closing: self.closing().clone(),
            },
            progress: self.progress(),
            retention: Arc::clone(self.retention()),
            turn: Arc::clone(self.snapshot_turn()),
        }
    }
}

/// The snapshots beside a log that is open for appending. Made by [`Wal::snapshots`].
///
/// All clones refer to the same snapshots. Each call does its work on a thread of its own, while
/// appends continue.
///
/// # Cancel safety
///
/// `write`, `list`, `read`, `remove_before` and `reserve` work in the background: if the future is
/// dropped after it was first polled, the work is still completed, and only the answer is lost.
#[derive(Clone)]
pub struct Snapshots {
    work: WorkContext,
    progress: watch::Receiver<Progress>,
    retention: Arc<Retention>,
    /// Held while a snapshot is written, so one is written at a time. Holds the failure that has
    /// ended snapshots, if any.
    turn: Arc<Mutex<Option<IoFailure>>>,
}

impl Snapshots {
    /// Writes a snapshot that covers the records up to `lsn`. Returns once the snapshot is durable.
    ///
    /// `contents` is called on a thread of its own (on a simulated disk, on the caller's runtime)
    /// and writes to an [`io::Write`]. It must write the effect of all records up to `lsn`, and of
    /// no other record. The LSN that an append returned is not enough for that where other tasks append: a
    /// record with a lower LSN may not be applied yet. Appends continue in the meantime. A second call waits for the first.
    ///
    /// The snapshot is written into the [reserved](Self::reserve) space, if there is any. It gets
    /// its name, `<20 digits of the LSN>.snapshot`, only when the file is durable. If there is a
    /// sound snapshot of this LSN already, it is kept, and `contents` is not called.
    ///
    /// # Errors
    ///
    /// - [`SnapshotError::NotDurable`], also for LSN 0
    /// - [`SnapshotError::StorageFull`], [`SnapshotError::Failed`], [`SnapshotError::Io`]
    /// - [`SnapshotError::Contents`] with the error that `contents` returned
    /// - [`SnapshotError::Interrupted`] if `contents` panicked
    /// - [`SnapshotError::Closed`] if the log closes in the meantime
    /// - [`SnapshotError::Foreign`], [`SnapshotError::Diverged`] and [`SnapshotError::Unsupported`]
    ///   if such a file has the name already
    ///
    /// After each of these except `Failed`, there is no new snapshot.
    pub async fn write<F>(&self, lsn: Lsn, contents: F) -> Result<Snapshot>
    where
        F: FnOnce(&mut SnapshotOutput) -> io::Result<()> + Send + 'static,
    {
        let this = self.clone();
        self.work
            .run(async move { this.write_now(lsn, contents).await })
            .await
    }

    /// The snapshots in the directory, oldest first.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Closed`], [`SnapshotError::Io`].
    pub async fn list(&self) -> Result<Vec<SnapshotFile>> {
        let (work, chain) = (self.work.clone(), self.chain());
        let list = async move {
            let _lock = work.hold()?;
            files::list(&work.dir, &chain)
        };
        self.work.run(list).await
    }

    /// Reads a snapshot and checks all of it. Returns the result of `contents`.
    ///
    /// # Errors
    ///
    /// The errors of [`LockedDir::read_snapshot`], and [`SnapshotError::Closed`].
    pub async fn read<T, F>(&self, lsn: Lsn, contents: F) -> Result<(Snapshot, T)>
    where
        F: FnOnce(&mut SnapshotInput) -> io::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (work, chain) = (self.work.clone(), self.chain());
        let read = async move {
            let _lock = work.hold()?;
            files::read(&work.dir, &chain, lsn, contents)
        };
        self.work.run(read).await
    }

    /// Removes the snapshots before `kept`, which is durable. Returns how many were removed.
    ///
    /// Damaged snapshots are removed too. Snapshots of other logs or of later versions, diverged
    /// ones and unreadable ones are left alone. If no space is reserved yet and no snapshot is
    /// being read, the largest file becomes the reserved space under another name.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Foreign`] if `kept` is a snapshot of another log.
    /// [`SnapshotError::Closed`], [`SnapshotError::Failed`], [`SnapshotError::Io`]. Some older
    /// snapshots may be gone after an error, but `kept` and later ones are not.
    pub async fn remove_before(&self, kept: &Snapshot) -> Result<usize> {
        let (this, kept) = (self.clone(), kept.clone());
        let remove = async move {
            let mut turn = this.turn.lock().await;
            check(turn.as_ref())?;
            let _lock = this.work.hold()?;
            let removed = files::remove_before(&this.work.dir, &this.chain(), &kept);
            note(&mut turn, removed)
        };
        self.work.run(remove).await
    }

    /// Reserves space for the next snapshot: a file `snapshot.spare` of at least `bytes` bytes.
    ///
    /// Allow for the growth of the state until then, and for an overhead of 4 KiB plus 12 bytes for
    /// each mebibyte. A snapshot that needs more space takes it, if there is any.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::StorageFull`], [`SnapshotError::Closed`], [`SnapshotError::Failed`],
    /// [`SnapshotError::Io`]. Space that was reserved before stays reserved.
    pub async fn reserve(&self, bytes: u64) -> Result<()> {
        let this = self.clone();
        let reserve = async move {
            let mut turn = this.turn.lock().await;
            check(turn.as_ref())?;
            let _lock = this.work.hold()?;
            note(&mut turn, files::reserve(&this.work.dir, bytes))
        };
        self.work.run(reserve).await
    }

    async fn write_now<F>(self, lsn: Lsn, contents: F) -> Result<Snapshot>
    where
        F: FnOnce(&mut SnapshotOutput) -> io::Result<()>,
    {
        let mut turn = self.turn.lock().await;
        check(turn.as_ref())?;
        let _lock = self.work.hold()?;
        let written = self.write_in_turn(lsn, contents).await;
        note(&mut turn, written)
    }

    async fn write_in_turn<F>(&self, lsn: Lsn, contents: F) -> Result<Snapshot>
    where
        F: FnOnce(&mut SnapshotOutput) -> io::Result<()>,
    {
        let chain = self.chain();
        let target = Target {
            dir: &self.work.dir,
            log_id: self.log_id_for(&chain, lsn)?,
            chain: &chain,
            lsn,
        };
        let replaced = match target.standing()? {
            files::Standing::Sound(snapshot) => return Ok(snapshot),
            files::Standing::Free => false,
            files::Standing::Damaged => true,
        };
        let pace = Pace::new(self.work.executor, self.progress.clone());
        let filled = target.fill(&self.work.closing, pace, contents);
        let (len, synced) = filled.await?;
        let synced = target.publish(synced, replaced)?;
        Ok(target.snapshot(len, synced))
    }

    fn chain(&self) -> Chain {
        let (log_id, headers) = self.retention.segments();
        Chain::new(log_id, headers)
    }

    /// The log's id, if record `lsn` is durable.
    fn log_id_for(&self, chain: &Chain, lsn: Lsn) -> Result<u64> {
        let durable = self.progress.borrow().durable;
        match chain.log_id() {
            Some(log_id) if lsn <= durable && lsn != Lsn::ZERO => Ok(log_id),
            _ => Err(SnapshotError::NotDurable {
                asked: lsn,
                durable,
            }),
        }
    }
}

/// Refuses every call after a failed sync of the directory.
fn check(failed: Option<&IoFailure>) -> Result<()> {
    failed.map_or(Ok(()), |fault| Err(SnapshotError::Failed(fault.clone())))
}

fn note<T>(turn: &mut Option<IoFailure>, done: Result<T>) -> Result<T> {
    if let Err(SnapshotError::Failed(fault)) = &done {
        turn.get_or_insert_with(|| fault.clone());
    }
    done
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshots").field(&self.work.dir).finish()
    }
}

/// What the work on snapshots needs.
#[derive(Clone)]
struct WorkContext {
    dir: Dir,
    executor: Executor,
    closing: Closing,
}

impl WorkContext {
    /// Runs `job` in the background and returns what it returns.
    async fn run<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job = async {
            // An error means that the caller was dropped.
            let _ = sender.send(job.await);
        };
        self.executor
            .run("tidewal-snapshot", self.dir.path(), job)?;
        receiver.await.unwrap_or(Err(SnapshotError::Interrupted))
    }

    /// Keeps the directory locked until the result is dropped, however the log ends.
    fn hold(&self) -> Result<Lock> {
        self.closing.hold().ok_or(SnapshotError::Closed)
    }
}
