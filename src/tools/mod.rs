//! For the person who has to look into a log, and to mend it.
//!
//! A service never needs this: it recovers its log or learns that it cannot. What is in here is for
//! the time after that. [`LogDir::survey`] reads a directory, whatever state it is in, and says what
//! it finds, down to every damaged record; it changes nothing. [`LogDir::plan_repair`] says how a
//! damaged log can be made one that opens, and what that costs; [`RepairPlan::execute`] does it, and
//! keeps a copy of everything that it takes out of the log. The command `tidewal` (package `tidewal-cli`) is
//! made of these.
//!
//! The work is done on the calling thread, in futures that block while they read: call them from a
//! tool, or from a thread that may block.
//!
//! # Examples
//!
//! ```
//! use tidewal::Wal;
//! use tidewal::tools::{Depth, LogDir};
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let wal = Wal::open(dir).await?;
//! wal.append("a record").await?;
//! wal.close().await?;
//!
//! let survey = LogDir::new(dir).survey(Depth::Everything, &mut ()).await?;
//! assert!(survey.is_sound());
//! assert_eq!(survey.segments[0].records, Some(1));
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//! ```

mod plan;
mod repair;
mod survey;
mod words;

use std::path::Path;

use crate::error::Result;
use crate::storage::disk::DiskPath;
#[cfg(feature = "sim")]
use crate::storage::sim::SimDisk;
use crate::storage::{Access, Dir, Location, Opening};

pub use crate::storage::LockOwner;
pub use crate::tools::plan::{RepairPlan, RepairStep};
pub use crate::tools::repair::Repaired;
pub use crate::tools::survey::{
    Depth, Ending, Observer, Progress, SegmentHeader, SegmentSurvey, Statement, StatementKind,
    Survey,
};

/// The directory of a log, to be looked into.
#[derive(Clone, Debug)]
pub struct LogDir {
    location: Location,
}

impl LogDir {
    /// A directory of the machine's file system. It is not touched yet.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self {
            location: DiskPath::location(dir.as_ref()),
        }
    }

    /// A directory of a simulated disk.
    #[cfg(feature = "sim")]
    pub fn on(disk: &SimDisk, dir: impl AsRef<Path>) -> Self {
        Self {
            location: disk.location(dir.as_ref()),
        }
    }

    /// Reads the directory, tolerating damage, and says what is there. Changes nothing.
    ///
    /// It holds the directory for reading meanwhile, so that nobody appends. If somebody has it open for
    /// appending, [`Depth::Headers`] is the one that is possible, and is marked [`Survey::in_use`].
    ///
    /// Memory is bounded as when a log is recovered; up to 10,000 damages are listed one by one.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`](crate::Error::Locked) if somebody appends and more than headers was asked for;
    /// [`Error::UnfinishedRestore`](crate::Error::UnfinishedRestore) if a restore was cut short in it;
    /// [`Error::Io`](crate::Error::Io) if the directory cannot be opened or listed. What cannot be read
    /// in it is in [`Survey::read_errors`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn survey(&self, depth: Depth, observer: &mut dyn Observer) -> Result<Survey> {
        let dir = self.open()?;
        let lock = match dir.lock(Access::Read).await {
            Ok(lock) => Some(lock),
            Err(crate::Error::Locked { .. }) if depth == Depth::Headers => None,
            Err(error) => return Err(error),
        };
        survey::take(&dir, depth, lock.is_none(), observer)
    }

    /// The processes that have the log open, as far as the system says: Linux does.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the directory cannot be opened.
    pub fn lock_owners(&self) -> Result<Vec<LockOwner>> {
        Ok(self.open()?.lock_owners())
    }

    fn open(&self) -> Result<Dir> {
        Ok(self.location.open(Opening::existing(Access::Read))?)
    }

    /// Surveys the log and says what a repair would do. Changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`survey`](Self::survey). What stands in the way of any repair, which is a file that the
    /// system cannot read or that a later version has written, is an error too: a repair has to keep what
    /// it takes away, and to know what it keeps. So are files of two logs in one directory: nothing tells
    /// which of them is the one to repair. The error names the files of each; move those of the other one
    /// to a directory of their own.
    ///
    /// # Cancel safety
    ///
    /// That of [`survey`](Self::survey).
    pub async fn plan_repair(&self, observer: &mut dyn Observer) -> Result<RepairPlan> {
        let dir = self.open()?;
        let _lock = dir.lock(Access::Read).await?;
        plan::make(&dir, observer)
    }
}
