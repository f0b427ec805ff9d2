//! The handle of an archiver, and how it is started.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::archive::error::{Error, Result};
use crate::archive::hold;
use crate::archive::objects::Objects;
use crate::archive::options::{ArchiveOptions, Overflow};
use crate::archive::shipper::Shipper;
use crate::archive::status::Status;
use crate::archive::times::{self, Times};
use crate::executor::race;
use crate::lsn::Lsn;
use crate::queue::Progress;
use crate::retention::Retention;
use crate::wal::Wal;

/// Ships the complete segments of a log to an object store, for as long as it lives.
///
/// It works on the tokio runtime on which it was started, and reads files on threads of its own, named
/// `tidewal-archive`. It does not keep the log open: it ends with it. Dropping it stops it at once, as a
/// crash would. What is not in the archive stays held back until the log is closed, or another archiver
/// goes on.
///
/// What it promises, and what is in the store, is in `docs/archive.md` in the repository.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tidewal::archive::{ArchiveOptions, Archiver, RestoreTarget, restore};
/// use tidewal::Wal;
///
/// # tokio_test::block_on(async {
/// # let scratch = tempfile::tempdir().unwrap();
/// # let (dir, other_dir) = (scratch.path().join("wal"), scratch.path().join("restored"));
/// # let store = Arc::new(object_store::memory::InMemory::new());
/// # Wal::open(&dir).await.unwrap().append("a record").await.unwrap();
/// // On start, before anything is truncated. `store` is any `object_store::ObjectStore`.
/// let wal = Wal::open(&dir).await?;
/// let archiver = Archiver::start(&wal, store.clone(), "prod/orders", ArchiveOptions::new())?;
///
/// // Everything from before this start is complete, and so will be in the archive.
/// archiver.wait_caught_up().await?;
/// println!("archived up to {}", archiver.status().archived);
///
/// // Somewhere else, after a disaster.
/// let restored = restore(store, "prod/orders", &other_dir, RestoreTarget::End).await?;
/// # assert_eq!(restored.end.get(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "dropping an archiver stops it"]
pub struct Archiver {
    status: watch::Receiver<Status>,
    retention: Arc<Retention>,
    tasks: Vec<AbortHandle>,
    _post: Post,
}

impl Archiver {
    /// Starts to archive a log under a prefix of a store. One archive to a prefix.
    ///
    /// From the return of this call on the log keeps what is not in the archive, whatever is truncated.
    /// If the log had an archiver before, since it was opened, that is what was not in *its* archive: to
    /// begin an archive under another prefix with the oldest segment there is, open the log again.
    ///
    /// The store need not be there yet; it is tried for as long as the log is open. What is wrong with
    /// it, or with what it holds, is in [`status`](Self::status).
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if the log has an archiver, [`Error::NoRuntime`].
    pub fn start(
        wal: &Wal,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        options: ArchiveOptions,
    ) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let post = Post::take(wal)?;
        let limit = match options.overflow {
            Overflow::RefuseAppends => options.max_held_bytes,
            Overflow::LeaveGap => u64::MAX,
        };
        let _ = wal.retention().hold(Lsn::ZERO, limit);
        let (status, watching) = watch::channel(Status::default());
        let times = Times::new(Arc::clone(&options.clock));
        let recorder = times::record(times.clone(), wal.progress(), options.time_step);
        let gap_task = hold::give_up(wal, &options);
        let objects = Objects::new(store, prefix);
        let shipper = Shipper::new(wal, objects, times, options, status);
        let tasks = vec![
            runtime.spawn(run(shipper, wal.progress())).abort_handle(),
            runtime
                .spawn(until_end(recorder, wal.progress()))
                .abort_handle(),
            runtime
                .spawn(until_end(gap_task, wal.progress()))
                .abort_handle(),
        ];
        Ok(Self {
            status: watching,
            retention: Arc::clone(wal.retention()),
            tasks,
            _post: post,
        })
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            held_bytes: hold::held_bytes(&self.retention.subscribe().borrow()),
            ..self.status.borrow().clone()
        }
    }

    /// Waits until everything up to `lsn` is in the archive, or was given up.
    ///
    /// A record comes into the archive when its segment is complete: after the next one was opened, or
    /// the log was opened again.
    ///
    /// # Errors
    ///
    /// The error that ended the archiver: [`Error::Log`] with [`Closed`](crate::Error::Closed) if the
    /// log has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    pub async fn wait_archived(&self, lsn: Lsn) -> Result<()> {
        self.wait_for(|status| status.archived >= lsn).await
    }

    /// Waits until all segments that are complete now are in the archive, or were given up. If there are
    /// none, until the archive was looked at, and found not to be another log's.
    ///
    /// # Errors
    ///
    /// Those of [`wait_archived`](Self::wait_archived).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    pub async fn wait_caught_up(&self) -> Result<()> {
        let complete = self.retention.subscribe().borrow().sealed.last().copied();
        let last = complete.map_or(Lsn::ZERO, |sealed| sealed.last);
        self.wait_for(|status| status.has_looked && status.archived >= last)
            .await
    }

    async fn wait_for(&self, is_so: impl Fn(&Status) -> bool) -> Result<()> {
        let mut status = self.status.clone();
        let so = status.wait_for(|status| is_so(status) || status.end.is_some());
        let Ok(status) = so.await else {
            return Err(crate::Error::Interrupted.into());
        };
        match &status.end {
            Some(end) if !is_so(&status) => Err(end.clone()),
            _ => Ok(()),
        }
    }
}

impl Drop for Archiver {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for Archiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archiver")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// The one place of a log's archiver, which is free again when this is dropped.
struct Post(Arc<Retention>);

impl Post {
    fn take(wal: &Wal) -> Result<Self> {
        let retention = wal.retention();
        if retention.take() {
            Ok(Self(Arc::clone(retention)))
        } else {
            Err(Error::Busy)
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

async fn run(mut shipper: Shipper, progress: watch::Receiver<Progress>) {
    let end = race(shipper.run(), async {
        has_ended(progress).await;
        crate::Error::Closed.into()
    });
    let end = end.await;
    shipper.note_end(end);
}

async fn until_end(work: impl Future<Output = ()>, progress: watch::Receiver<Progress>) {
    race(work, has_ended(progress)).await;
}

/// Waits for the end of the log.
async fn has_ended(mut progress: watch::Receiver<Progress>) {
    // An error is an end as well: the writer has gone.
    let _ = progress.wait_for(|progress| progress.end.is_some()).await;
}
