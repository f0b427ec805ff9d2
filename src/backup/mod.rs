//! A consistent copy of a log that is open for appending.
//!
//! A backup needs only a sync from the writer. What is durable then no longer changes: complete segments are
//! held against truncation, and of the open segment only the records before that point are read. Every record
//! is checked as it is copied. New header blocks are written, so the copy is a log that was closed
//! ([`segment`]). Until all of it is durable, a file marks the directory as unfinished ([`UnfinishedDir`]).

mod segment;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::backup::segment::Part;
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::format;
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::queue::Control;
use crate::retention::{Hold, HoldId, Retention, RetentionState};
use crate::storage::{Closing, Dir, Location, Lock};
use crate::unfinished_dir::UnfinishedDir;
use crate::wal::Wal;

impl Wal {
    /// Copies the log into another directory while it is open, and returns the LSN of the last
    /// record in the copy. Appends continue in the meantime.
    ///
    /// The copy starts at the oldest record that is kept. It holds every record that was submitted
    /// before this call and not refused, and possibly some that were submitted later. It opens as a
    /// log that was closed. The checksum of each record is verified on the way. Only the log is
    /// copied, not snapshots and other files in the directory.
    ///
    /// `dir` must be empty or must not exist. It is created with mode 0700, with its missing
    /// parents, and its files with mode 0600. Everything is durable when this returns. Files are
    /// copied, not linked. They take about as much space as the records. On a simulated disk, `dir`
    /// is a directory of that disk.
    ///
    /// Segments that are truncated in the meantime are removed when the copy is complete. A copy
    /// that a crash interrupted holds a file `RESTORING` and does not open
    /// ([`Error::UnfinishedRestore`]): remove the directory. A backup of a *closed* log needs no
    /// call: copy its directory.
    ///
    /// The copy has the log id of the log. Once both were appended to, never put files of one into
    /// the directory of the other.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`]. [`Error::Io`] if `dir` cannot be written (for example, because the disk is full) or
    /// synced, or if a page of the log cannot be read. [`Error::Corrupt`] if a record of the log is damaged.
    /// [`Error::Closed`] if the log ends before the copy is complete. The errors of [`sync`](Self::sync),
    /// except those for refused records. After an error, what was written is removed as far as possible.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the backup ends shortly afterwards, and what it wrote is
    /// removed as far as possible.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let (dir, backup) = (scratch.path().join("wal"), scratch.path().join("backup"));
    /// # let wal = tidewal::Wal::open(&dir).await?;
    /// let lsn = wal.append("a record").await?;
    /// let last = wal.backup(&backup).await?;
    /// assert!(last >= lsn);
    ///
    /// let mut records = tidewal::Wal::options().read(&backup).await?;
    /// assert_eq!(records.try_next().await?.unwrap().payload, "a record");
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn backup(&self, dir: impl AsRef<Path>) -> Result<Lsn> {
        let backup = Backup {
            log: self.control(),
            feed: Arc::clone(self.feed()),
            retention: Arc::clone(self.retention()),
            closing: self.closing().clone(),
            source: self.dir().clone(),
            location: self.dir().locate(dir.as_ref()),
        };
        let (sender, receiver) = oneshot::channel();
        let job = async move {
            let last = backup.run(|| sender.is_closed()).await;
            // An error means that the caller was dropped.
            let _ = sender.send(last);
        };
        self.executor()
            .run("tidewal-backup", self.dir().path(), job)?;
        receiver.await.unwrap_or(Err(Error::Interrupted))
    }
}

/// A backup that is to be made, of a log that it does not keep open.
///
/// All of it is done in the background. A caller's future that is kept and not polled holds back nothing, and a
/// file is held for as long as it is read.
struct Backup {
    log: Control,
    feed: Arc<Feed>,
    retention: Arc<Retention>,
    closing: Closing,
    source: Dir,
    location: Location,
}

/// Keeps segments of the log until it is dropped.
struct HeldSegments<'a> {
    backup: &'a Backup,
    id: HoldId,
}

impl Drop for HeldSegments<'_> {
    fn drop(&mut self) {
        if self.backup.retention.remove_hold(self.id).is_some() {
            self.backup.log.truncate_put_off();
        }
    }
}

impl Backup {
    async fn run(&self, is_given_up: impl Fn() -> bool + Sync) -> Result<Lsn> {
        let held = self.hold_all();
        // Also waits for a truncation that began before anything was held.
        match self.log.sync().await {
            // The callers of refused records get the error. The other records are durable.
            Ok(_) | Err(Error::StorageFull(_) | Error::SegmentUnavailable(_)) => {}
            Err(error) => return Err(error),
        }
        let last = self.feed.durable_end();
        let parts = parts(&self.retention.kept(), last, &self.source);
        let _locked = self.lock()?;
        let mut unfinished = UnfinishedDir::begin(&self.location).await?;
        let copied = self
            .copy_to(&mut unfinished, &parts, &held, is_given_up)
            .await;
        let made = match copied {
            Ok(()) => unfinished.finish().await,
            Err(error) => Err(error),
        };
        match made {
            Ok(()) => Ok(last),
            Err(error) => {
                unfinished.give_up();
                Err(error)
            }
        }
    }

    fn hold_all(&self) -> HeldSegments<'_> {
        let id = self.retention.add_hold(Hold {
            from: Lsn::ZERO,
            limit: u64::MAX,
        });
        HeldSegments { backup: self, id }
    }

    async fn copy_to(
        &self,
        unfinished: &mut UnfinishedDir,
        parts: &[Part],
        held: &HeldSegments<'_>,
        is_given_up: impl Fn() -> bool + Sync,
    ) -> Result<()> {
        let check = || match is_given_up() {
            true => Err(Error::Interrupted),
            false => self.lock().map(drop),
        };
        for part in parts {
            part.copy(&self.source, unfinished, &check).await?;
            // Later truncations may remove this segment. Those that were postponed run at the end.
            let _ = self.retention.move_hold(held.id, part.last.next());
        }
        Ok(())
    }

    /// Keeps the log's directory locked, unless the log is closing. The hold on its segments ends with the log.
    fn lock(&self) -> Result<Lock> {
        self.closing.hold().ok_or(Error::Closed)
    }
}

/// The segments of the copy of a log that is durable up to `last`.
fn parts(kept: &RetentionState, last: Lsn, dir: &Dir) -> Vec<Part> {
    let finished = kept
        .finished
        .iter()
        .map(|finished| (finished.header, finished.last));
    let open = kept.open.iter().map(|open| (*open, last));
    let mut held: Vec<_> = finished.chain(open).collect();
    held.retain(|(header, _)| header.base <= last);
    if held.is_empty() {
        held.push((beginning(kept.log_id, last.next(), dir), last));
    }
    let part = |(header, upto): (Header, Lsn)| Part {
        header,
        last: upto.min(last),
    };
    held.into_iter().map(part).collect()
}

/// The header for a log without records. It names the LSN of the next record.
fn beginning(log_id: Option<u64>, base: Lsn, dir: &Dir) -> Header {
    Header {
        log_id: log_id.unwrap_or_else(|| dir.new_salt()),
        base,
        salt: dir.new_salt(),
        capacity: format::DATA_OFFSET,
        predecessor: None,
    }
}
