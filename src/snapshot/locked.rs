//! A log's directory that is locked but not read yet.

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::format::{names, segment};
use crate::lsn::Lsn;
use crate::recovery::{Context, Recovery, Start, ToLock};
use crate::snapshot::error::Result;
use crate::snapshot::lineage::Chain;
use crate::snapshot::{Snapshot, SnapshotFile, SnapshotInput, WorkContext, files};
use crate::storage::{Access, Dir, Lock, Mode};

/// The directory of a log, locked for appending but not read yet. This is the time to read a
/// snapshot. Made by [`WalOptions::lock`](crate::WalOptions::lock).
///
/// Dropping it changes nothing and unlocks the directory.
///
/// # Cancel safety
///
/// `snapshots` and `read_snapshot` work in the background. If the future is dropped, the directory stays
/// locked until the function that was given to it returns.
pub struct LockedDir {
    context: Context,
    work: WorkContext,
    lock: Lock,
    chain: Chain,
}

impl LockedDir {
    /// Locks the directory, creating it if necessary.
    pub(crate) async fn lock(context: Context) -> Result<Self, Error> {
        let ((to_lock, guard), executor) = (context.to_lock(Access::Append), context.executor);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let job = async move {
            let locked = lock(&to_lock).await;
            // If the caller was dropped, the lock is released with the answer.
            let _ = sender.send(locked);
        };
        executor.run("tidewal-snapshot", context.location.path(), job)?;
        let (dir, lock, chain) = receiver.await.unwrap_or(Err(Error::Interrupted))?;
        guard.served();
        let work = WorkContext {
            dir,
            executor,
            closing: lock.closing(),
        };
        Ok(Self {
            context,
            work,
            lock,
            chain,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.work.dir.path()
    }

    /// The snapshots in the directory, oldest first.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Io`](crate::snapshot::SnapshotError::Io).
    pub async fn snapshots(&self) -> Result<Vec<SnapshotFile>> {
        let (work, chain) = (self.work.clone(), self.chain.clone());
        let list = async move {
            let _lock = work.hold()?;
            files::list(&work.dir, &chain)
        };
        self.work.run(list).await
    }

    /// Reads the snapshot of `lsn` and checks all of it. Returns the result of `contents`.
    ///
    /// `contents` is called with an [`io::Read`], on a thread of its own (on a simulated disk, on
    /// the caller's runtime). If damage is found after it has returned, its result is dropped. The
    /// name of the snapshot is made durable, because it may have been read from the system's cache
    /// only.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::snapshot::SnapshotError::Missing),
    /// [`Damaged`](crate::snapshot::SnapshotError::Damaged),
    /// [`Foreign`](crate::snapshot::SnapshotError::Foreign),
    /// [`Diverged`](crate::snapshot::SnapshotError::Diverged),
    /// [`Unsupported`](crate::snapshot::SnapshotError::Unsupported),
    /// [`Failed`](crate::snapshot::SnapshotError::Failed),
    /// [`Io`](crate::snapshot::SnapshotError::Io).
    /// [`Contents`](crate::snapshot::SnapshotError::Contents) with the error that `contents`
    /// returned. [`Interrupted`](crate::snapshot::SnapshotError::Interrupted) if `contents`
    /// panicked.
    pub async fn read_snapshot<T, F>(&self, lsn: Lsn, contents: F) -> Result<(Snapshot, T)>
    where
        F: FnOnce(&mut SnapshotInput) -> io::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (work, chain) = (self.work.clone(), self.chain.clone());
        let read = async move {
            let _lock = work.hold()?;
            files::read(&work.dir, &chain, lsn, contents)
        };
        self.work.run(read).await
    }

    /// Starts reading the log at `start`: the LSN after that of the snapshot, or [`Lsn::FIRST`] if
    /// there is none. `start` replaces [`start_at`](crate::WalOptions::start_at).
    ///
    /// # Errors
    ///
    /// The errors of [`WalOptions::recover`](crate::WalOptions::recover).
    ///
    /// # Cancel safety
    ///
    /// Like [`WalOptions::recover`](crate::WalOptions::recover): if the future is dropped before it
    /// completes, no segment was changed.
    pub async fn recover(self, start: Lsn) -> Result<Recovery, Error> {
        let locked = (self.work.dir, self.lock);
        Recovery::start_locked(self.context, Start::At(start), locked).await
    }
}

impl std::fmt::Debug for LockedDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LockedDir").field(&self.work.dir).finish()
    }
}

async fn lock(to_lock: &ToLock) -> Result<(Dir, Lock, Chain), Error> {
    let (dir, lock) = to_lock.lock().await?;
    let chain = chain(&dir)?;
    Ok((dir, lock, chain))
}

/// The segments in the directory, and the log id of the newest one.
///
/// Segments below one whose header cannot be read are left out, because it is unknown which segment
/// followed them. If it matters, recovery reports why the header cannot be read.
fn chain(dir: &Dir) -> Result<Chain, Error> {
    let names = dir.list()?;
    let mut bases: Vec<_> = names
        .iter()
        .filter_map(|name| names::parse_segment(name))
        .collect();
    bases.sort_unstable();
    let newest_first = bases.into_iter().rev();
    let headers: Vec<_> = newest_first.map_while(|base| header(dir, base)).collect();
    let log_id = headers.first().map(|newest| newest.log_id);
    Ok(Chain::new(log_id, headers))
}

fn header(dir: &Dir, base: Lsn) -> Option<segment::Header> {
    let file = dir.open(&names::segment(base), Mode::Read).ok()?;
    let mut header = [0; segment::HEADER_LEN];
    file.read_at(&mut header, 0).ok()?;
    segment::Header::decode(&header).ok()
}
