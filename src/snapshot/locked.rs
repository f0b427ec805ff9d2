//! A directory that is locked and not read yet.

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::format::{names, segment};
use crate::lsn::Lsn;
use crate::recovery::{Context, Recovery, Start, ToLock};
use crate::snapshot::chain::Chain;
use crate::snapshot::error::Result;
use crate::snapshot::{Site, Snapshot, SnapshotFile, SnapshotInput, files};
use crate::storage::{Access, Dir, Lock, Mode};

/// The directory of a log, locked for appending and not read yet: the time to read a snapshot.
/// [`WalOptions::lock`](crate::WalOptions::lock) makes one.
///
/// Dropping it changes nothing and gives the directory back.
///
/// # Cancel safety
///
/// `snapshots` and `read_snapshot` work in the background. If the future is dropped, the directory stays
/// locked until the function that was given to it returns.
pub struct LockedDir {
    context: Context,
    site: Site,
    lock: Lock,
    chain: Chain,
}

impl LockedDir {
    /// Locks the directory, creating it if necessary.
    pub(crate) async fn lock(context: Context) -> Result<Self, Error> {
        let (to_lock, executor) = (context.to_lock(Access::Append), context.executor);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let job = async move {
            let locked = lock(&to_lock, || sender.is_closed()).await;
            // A caller that has gone gives the lock back with the answer.
            let _ = sender.send(locked);
        };
        executor.run("tidewal-snapshot", context.location.path(), job)?;
        let (dir, lock, chain) = receiver.await.unwrap_or(Err(Error::Interrupted))?;
        let site = Site {
            dir,
            executor,
            closing: lock.closing(),
        };
        Ok(Self {
            context,
            site,
            lock,
            chain,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.site.dir.path()
    }

    /// The snapshots that there are, oldest first.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Io`](crate::snapshot::SnapshotError::Io).
    pub async fn snapshots(&self) -> Result<Vec<SnapshotFile>> {
        let (site, chain) = (self.site.clone(), self.chain.clone());
        let list = async move {
            let _lock = site.hold()?;
            files::list(&site.dir, &chain)
        };
        self.site.run(list).await
    }

    /// Reads the snapshot of `lsn` and checks all of it. Returns what `contents` has made of it.
    ///
    /// `contents` is called on a thread of its own (on a simulated disk, on the caller's runtime) with an
    /// [`io::Read`]. Damage may be found after it has returned; then what it has made is dropped. The name
    /// of the snapshot is made durable, as it may have been read from the system's cache only.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::snapshot::SnapshotError::Missing),
    /// [`Damaged`](crate::snapshot::SnapshotError::Damaged),
    /// [`Foreign`](crate::snapshot::SnapshotError::Foreign),
    /// [`Diverged`](crate::snapshot::SnapshotError::Diverged),
    /// [`Unsupported`](crate::snapshot::SnapshotError::Unsupported),
    /// [`Failed`](crate::snapshot::SnapshotError::Failed),
    /// [`Io`](crate::snapshot::SnapshotError::Io);
    /// [`Contents`](crate::snapshot::SnapshotError::Contents) with what `contents` has returned;
    /// [`Interrupted`](crate::snapshot::SnapshotError::Interrupted) if it has panicked.
    pub async fn read_snapshot<T, F>(&self, lsn: Lsn, contents: F) -> Result<(Snapshot, T)>
    where
        F: FnOnce(&mut SnapshotInput) -> io::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (site, chain) = (self.site.clone(), self.chain.clone());
        let read = async move {
            let _lock = site.hold()?;
            files::read(&site.dir, &chain, lsn, contents)
        };
        self.site.run(read).await
    }

    /// Begins to read the log at `start`: the LSN after that of the snapshot, or [`Lsn::FIRST`] without
    /// one. It takes the place of [`start_at`](crate::WalOptions::start_at).
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
        let locked = (self.site.dir, self.lock);
        Recovery::start_locked(self.context, Start::At(start), locked).await
    }
}

impl std::fmt::Debug for LockedDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LockedDir").field(&self.site.dir).finish()
    }
}

async fn lock(
    to_lock: &ToLock,
    is_given_up: impl Fn() -> bool + Sync,
) -> Result<(Dir, Lock, Chain), Error> {
    let (dir, lock) = to_lock.lock(is_given_up).await?;
    let chain = chain(&dir)?;
    Ok((dir, lock, chain))
}

/// The segments that are there, and the id that the newest one has.
///
/// Those below one whose header cannot be read say nothing of who came after them, so they are left out. If
/// it matters, recovery will say why it cannot be read.
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
