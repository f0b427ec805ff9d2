//! Durable snapshots beside the log, in its own directory and under its lock.
//!
//! A service that keeps its state in a log writes a snapshot of that state now and then, truncates the
//! log, and starts from both. A snapshot that is not durable before the log is truncated, that is damaged,
//! or that belongs to another log loses what was acknowledged. Here the rules are kept by type and by
//! order:
//!
//! - [`Snapshots::write`] returns a [`Snapshot`] only after its file, its name and its directory are
//!   durable. That is what to truncate by, and what [`Snapshots::remove_before`] asks for before it
//!   removes an older one.
//! - A snapshot says which log it is of and which record it covers, and each mebibyte of it has a
//!   checksum. What is damaged, foreign or of a later version is told apart ([`SnapshotState`]).
//! - [`WalOptions::lock`](crate::WalOptions::lock) gives the snapshots to read *before* the log is
//!   recovered, because the snapshot says where to begin.
//! - [`Snapshots::reserve`] sets space aside, so that a snapshot fits on a disk that the log has filled.
//!
//! The files go through the same storage as the log's, so that they work on the simulated disk (feature
//! `sim`) too. `docs/snapshots.md` has the format and every case of a crash.
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

mod chain;
mod error;
mod files;
mod input;
mod locked;
mod output;
mod pace;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot, watch};

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::lsn::Lsn;
use crate::queue::Progress;
use crate::retention::Retention;
use crate::snapshot::chain::Chain;
use crate::snapshot::files::Target;
use crate::snapshot::pace::Pace;
use crate::storage::{Closing, Dir, Lock, Synced};
use crate::wal::Wal;

pub use crate::snapshot::error::{Result, SnapshotError};
pub use crate::snapshot::input::SnapshotInput;
pub use crate::snapshot::locked::LockedDir;
pub use crate::snapshot::output::SnapshotOutput;

impl Wal {
    /// The snapshots in this log's directory.
    ///
    /// The handle does not keep the log open.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        Snapshots {
            site: Site {
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

/// The snapshots beside a log that is open for appending. [`Wal::snapshots`] makes one.
///
/// Clones are the same. The work is done on a thread of its own for each call; appends go on meanwhile.
///
/// # Cancel safety
///
/// `write`, `list`, `read`, `remove_before` and `reserve` work in the background: if the future is dropped
/// after it was first polled, the work still goes on to its end, and only the answer is lost.
#[derive(Clone)]
pub struct Snapshots {
    site: Site,
    progress: watch::Receiver<Progress>,
    retention: Arc<Retention>,
    /// Held by who writes, one at a time, and why there are to be no snapshots any more.
    turn: Arc<Mutex<Option<IoFailure>>>,
}

impl Snapshots {
    /// Writes a snapshot that covers the records up to `lsn`. Returns once it is durable.
    ///
    /// `contents` is called on a thread of its own (on a simulated disk, on the caller's runtime) and
    /// writes to an [`io::Write`]. What it writes must be the effect of all records up to `lsn` and of no
    /// other. Appends go on meanwhile. A second call waits for the first.
    ///
    /// The snapshot is written into the space that was [set aside](Self::reserve) if there is any. It gets
    /// its name, `<20 digits of the LSN>.snapshot`, only when the file is durable. If there is a sound one
    /// of this LSN it is kept instead, and `contents` is not called.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NotDurable`], also for LSN 0; [`SnapshotError::StorageFull`];
    /// [`SnapshotError::Contents`] with what `contents` has returned; [`SnapshotError::Interrupted`] if
    /// it has panicked; [`SnapshotError::Closed`] if the log closes meanwhile;
    /// [`SnapshotError::Foreign`], [`SnapshotError::Diverged`] and [`SnapshotError::Unsupported`] if such a
    /// file has the name;
    /// [`SnapshotError::Failed`]; [`SnapshotError::Io`]. After all of them but `Failed` there is no new
    /// snapshot.
    pub async fn write<F>(&self, lsn: Lsn, contents: F) -> Result<Snapshot>
    where
        F: FnOnce(&mut SnapshotOutput) -> io::Result<()> + Send + 'static,
    {
        let this = self.clone();
        self.site
            .run(async move { this.write_now(lsn, contents).await })
            .await
    }

    /// The snapshots that there are, oldest first.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Closed`], [`SnapshotError::Io`].
    pub async fn list(&self) -> Result<Vec<SnapshotFile>> {
        let (site, chain) = (self.site.clone(), self.chain());
        let list = async move {
            let _lock = site.hold()?;
            files::list(&site.dir, &chain)
        };
        self.site.run(list).await
    }

    /// Reads a snapshot and checks all of it. Returns what `contents` has made of it.
    ///
    /// # Errors
    ///
    /// The errors of [`LockedDir::read_snapshot`], and [`SnapshotError::Closed`].
    pub async fn read<T, F>(&self, lsn: Lsn, contents: F) -> Result<(Snapshot, T)>
    where
        F: FnOnce(&mut SnapshotInput) -> io::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (site, chain) = (self.site.clone(), self.chain());
        let read = async move {
            let _lock = site.hold()?;
            files::read(&site.dir, &chain, lsn, contents)
        };
        self.site.run(read).await
    }

    /// Removes the snapshots before `kept`, which is durable. Returns how many there were.
    ///
    /// Damaged ones are removed too. Those of other logs or of later versions, those that have diverged, and
    /// what cannot be read, are left alone. If no space is set aside yet, and no snapshot is being read, the largest file becomes
    /// that, and is kept under another name.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Foreign`] if `kept` is a snapshot of another log; [`SnapshotError::Closed`],
    /// [`SnapshotError::Failed`], [`SnapshotError::Io`]. Some may then be gone, and no one that is needed is.
    pub async fn remove_before(&self, kept: &Snapshot) -> Result<usize> {
        let (this, kept) = (self.clone(), kept.clone());
        let remove = async move {
            let mut turn = this.turn.lock().await;
            check(turn.as_ref())?;
            let _lock = this.site.hold()?;
            let removed = files::remove_before(&this.site.dir, &this.chain(), &kept);
            note(&mut turn, removed)
        };
        self.site.run(remove).await
    }

    /// Sets aside space for the next snapshot: a file `snapshot.spare` of at least so many bytes.
    ///
    /// Allow for what the state may grow by until then, and 12 bytes for each mebibyte and 4 KiB beside.
    /// A snapshot that needs more still takes more, if there is any.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::StorageFull`], [`SnapshotError::Closed`], [`SnapshotError::Failed`],
    /// [`SnapshotError::Io`]. What was set aside before still is.
    pub async fn reserve(&self, bytes: u64) -> Result<()> {
        let this = self.clone();
        let reserve = async move {
            let mut turn = this.turn.lock().await;
            check(turn.as_ref())?;
            let _lock = this.site.hold()?;
            note(&mut turn, files::reserve(&this.site.dir, bytes))
        };
        self.site.run(reserve).await
    }

    async fn write_now<F>(self, lsn: Lsn, contents: F) -> Result<Snapshot>
    where
        F: FnOnce(&mut SnapshotOutput) -> io::Result<()>,
    {
        let mut turn = self.turn.lock().await;
        check(turn.as_ref())?;
        let _lock = self.site.hold()?;
        let written = self.write_in_turn(lsn, contents).await;
        note(&mut turn, written)
    }

    async fn write_in_turn<F>(&self, lsn: Lsn, contents: F) -> Result<Snapshot>
    where
        F: FnOnce(&mut SnapshotOutput) -> io::Result<()>,
    {
        let chain = self.chain();
        let target = Target {
            dir: &self.site.dir,
            log_id: self.log_id_for(&chain, lsn)?,
            chain: &chain,
            lsn,
        };
        let replaced = match target.standing()? {
            files::Standing::Sound(snapshot) => return Ok(snapshot),
            files::Standing::Free => false,
            files::Standing::Damaged => true,
        };
        let pace = Pace::new(self.site.executor, self.progress.clone());
        let filled = target.fill(&self.site.closing, pace, contents);
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

/// Refuses what comes after a failed sync of the directory.
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
        f.debug_tuple("Snapshots").field(&self.site.dir).finish()
    }
}

/// A snapshot that is durable: the receipt for having written one, or for having read and checked one.
///
/// The log may be truncated before the record after [`lsn`](Self::lsn).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    log_id: u64,
    lsn: Lsn,
    len: u64,
}

impl Snapshot {
    /// A file was synced before it got its name, and the name is durable with its directory.
    fn new(log_id: u64, lsn: Lsn, len: u64, _: Synced) -> Self {
        Self { log_id, lsn, len }
    }

    /// The last record that it covers.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Bytes of contents.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no contents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A file with the name of a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SnapshotFile {
    /// The last record that it covers, by its name.
    pub lsn: Lsn,
    /// Where it is.
    pub path: PathBuf,
    /// What its header says.
    pub state: SnapshotState,
}

/// What can be said of a snapshot without reading its contents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SnapshotState {
    /// It is of this log, and the last record that it covers is not the log's record of that LSN: see
    /// [`SnapshotError::Diverged`]. It is left alone.
    Diverged,
    /// It is no whole snapshot: its header is damaged, or of a file of another name, or the file is short.
    Damaged,
    /// It is a snapshot of another log.
    Foreign,
    /// Header and length are sound. Its contents are checked as they are read.
    Whole {
        /// Bytes of contents.
        len: u64,
    },
    /// It is no regular file, or the system fails to read it. It is left alone.
    Unreadable,
    /// It was written by a later version of the format.
    Unsupported {
        /// The version in its header.
        version: u32,
    },
}

/// Where the work is done.
#[derive(Clone)]
struct Site {
    dir: Dir,
    executor: Executor,
    closing: Closing,
}

impl Site {
    /// Runs `job` in the background and returns what it returns.
    async fn run<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job = async {
            // A caller that has gone does not want to know.
            let _ = sender.send(job.await);
        };
        self.executor
            .run("tidewal-snapshot", self.dir.path(), job)?;
        receiver.await.unwrap_or(Err(SnapshotError::Interrupted))
    }

    /// The directory stays locked until the result is dropped, however the log ends.
    fn hold(&self) -> Result<Lock> {
        self.closing.hold().ok_or(SnapshotError::Closed)
    }
}
