//! The handle of an archiver.

use std::fmt;
use std::time::Duration;

use tidewal::{DurableLsns, FinishedSegment, Lsn, Segments, Wal};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::archive::Archive;
use crate::archive_hold::{self, ArchiveHold};
use crate::error::{Error, Result};
use crate::options::{ArchiveOptions, Overflow};
use crate::race::race;
use crate::shipper::Shipper;
use crate::status::Status;
use crate::times::{self, Times};

/// Ships the finished segments of a log to an object store until it is dropped.
///
/// It runs on the tokio runtime on which it was started. Threads of the log read the files. It does not keep the log
/// open, and it ends with the log. Dropping it stops it at once, as a crash would. The log then still holds back what
/// is not in the archive, until it is closed or another archiver continues.
///
/// `docs/archive.md` in the repository has its promises and describes the objects in the store.
///
/// # Examples
///
/// To ship a log that no service has open, open it and wait:
///
/// ```
/// use tidewal::Wal;
/// use tidewal_archive::{Archive, ArchiveOptions, Archiver};
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = std::sync::Arc::new(object_store::memory::InMemory::new());
/// let archive = Archive::new(store, "prod/orders");
/// let wal = Wal::open(dir.path()).await?;
/// let archiver = Archiver::start(&wal, &archive, ArchiveOptions::new())?;
///
/// // Opening the log has finished all its segments, so all its records are shipped.
/// archiver.wait_caught_up().await?;
/// println!("archived up to {}", archiver.status().archived);
/// wal.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "dropping an archiver stops it"]
pub struct Archiver {
    status: watch::Receiver<Status>,
    hold: ArchiveHold,
    segments: Segments,
    tasks: Vec<AbortHandle>,
}

impl Archiver {
    /// Starts shipping a log to its archive.
    ///
    /// Once this call has returned, the log keeps what is not in the archive, even if it is truncated. If the log
    /// already had an archiver since it was opened, the new one begins where the old one stopped, also if it ships
    /// to another prefix. To begin an archive under another prefix with the oldest segment, open the log again.
    ///
    /// The store does not have to be reachable yet: the archiver retries while the log is open.
    /// [`status`](Self::status) has the errors of the store, and says what is wrong with the archive.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if the log has an archiver. [`Error::NoRuntime`].
    pub fn start(wal: &Wal, archive: &Archive, options: ArchiveOptions) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let hold = ArchiveHold::take(wal, &options)?;
        let (status, watching) = watch::channel(Status::default());
        let times = Times::new(options.clock.clone());
        let recorder = times::record(times.clone(), wal.subscribe_durable(), options.time_step);
        let mut tasks = vec![runtime.spawn(recorder).abort_handle()];
        if options.overflow == Overflow::LeaveGap {
            let gaps = archive_hold::give_up(hold.clone(), wal.segments(), options.max_held_bytes);
            tasks.push(runtime.spawn(gaps).abort_handle());
        }
        let shipper = Shipper::new(wal, archive, hold.clone(), times, options, status);
        let shipping = runtime.spawn(run(shipper, wal.subscribe_durable()));
        tasks.push(shipping.abort_handle());
        Ok(Self {
            status: watching,
            hold,
            segments: wal.segments(),
            tasks,
        })
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            held_bytes: self.hold.info().map_or(0, |info| info.bytes),
            ..self.status.borrow().clone()
        }
    }

    /// Waits until everything up to `lsn` is in the archive, or was given up.
    ///
    /// A record is shipped when its segment is finished: when the segment is full, when its first record is as old
    /// as [`max_lag`](ArchiveOptions::max_lag), or when the log is opened again. [`Wal::rotate`] finishes it now.
    ///
    /// # Errors
    ///
    /// The error that ended the archiver. If the log has ended, [`Error::Log`] with
    /// [`Closed`](tidewal::Error::Closed).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    pub async fn wait_archived(&self, lsn: Lsn) -> Result<()> {
        self.wait_for(|status| status.archived >= lsn).await
    }

    /// Waits until all segments that are finished now are in the archive, or were given up. If there are none, waits
    /// until the archiver has checked that the archive does not belong to another log.
    ///
    /// # Errors
    ///
    /// Those of [`wait_archived`](Self::wait_archived).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    pub async fn wait_caught_up(&self) -> Result<()> {
        let finished = self.segments.clone().list().finished;
        let last = finished.last().map_or(Lsn::ZERO, FinishedSegment::last);
        self.wait_for(|status| status.has_looked && status.archived >= last)
            .await
    }

    async fn wait_for(&self, is_so: impl Fn(&Status) -> bool) -> Result<()> {
        let mut status = self.status.clone();
        let so = status.wait_for(|status| is_so(status) || status.end.is_some());
        let Ok(status) = so.await else {
            return Err(tidewal::Error::Interrupted.into());
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
        self.hold.leave();
    }
}

impl fmt::Debug for Archiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archiver")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

async fn run(mut shipper: Shipper, lsns: DurableLsns) {
    let end = race(shipper.run(), async {
        has_ended(lsns).await;
        tidewal::Error::Closed.into()
    });
    let end = end.await;
    shipper.note_end(end);
}

/// Waits for the end of the log, without being woken by each record.
async fn has_ended(mut lsns: DurableLsns) {
    while lsns.next().await.is_some() {
        tokio::time::sleep(LOOK).await;
    }
}

/// How often an archiver that waits for the store checks whether the log has ended.
const LOOK: Duration = Duration::from_millis(100);
