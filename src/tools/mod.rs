//! Survey and repair: for operators who inspect a log or repair a damaged one.
//!
//! A service does not need this module: it recovers its log, or gets an error. These are the tools
//! for what comes after that error. [`LogDir::survey`] reads a directory in any state, lists every
//! damaged range of records, and changes nothing. [`LogDir::plan_repair`] says how a damaged log
//! can be repaired so that it opens, and what is lost. [`RepairPlan::execute`] does it, and keeps
//! everything that it takes out of the log. The command `tidewal` (package `tidewal-cli`) is built
//! on these functions.
//!
//! All functions block while they read and write. Call them from a tool, or from a thread that may
//! block, for example with tokio's `spawn_blocking`.
//!
//! # Examples
//!
//! ```
//! use tidewal::Wal;
//! use tidewal::tools::{Depth, LogDir};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! # tokio_test::block_on(async {
//! let wal = Wal::open(dir).await?;
//! wal.append("a record").await?;
//! wal.close().await?;
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//!
//! let survey = LogDir::new(dir).survey(Depth::Everything)?;
//! assert!(survey.is_sound());
//! assert_eq!(survey.segments[0].records, Some(1));
//! # Ok::<(), tidewal::Error>(())
//! ```

mod decision;
mod display;
mod lsns;
mod open_dir;
mod plan;
mod repair;
mod step;
mod survey;
mod work;

use std::path::Path;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::storage::Access;
#[cfg(feature = "sim")]
use crate::storage::sim::SimDisk;
use crate::tools::open_dir::OpenDir;

pub use crate::storage::LockOwner;
pub use crate::tools::plan::RepairPlan;
pub use crate::tools::repair::Repaired;
pub use crate::tools::step::RepairStep;
pub use crate::tools::survey::{
    Depth, Ending, HeaderSurvey, Observer, Progress, SegmentSurvey, Statement, StatementKind,
    Survey,
};

/// The directory of a log, to be inspected or repaired.
#[derive(Clone, Debug)]
pub struct LogDir {
    environment: Environment,
}

impl LogDir {
    /// A directory of the machine's file system. Does not access it yet.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self {
            environment: Environment::on_disk(dir.as_ref()),
        }
    }

    /// A directory of a simulated disk.
    ///
    /// While a function blocks, no simulated time passes and nothing else runs. The functions
    /// therefore do not wait for a log that is closing, and a repair works only if syncs take no
    /// time.
    #[cfg(feature = "sim")]
    pub fn on(disk: &SimDisk, dir: impl AsRef<Path>) -> Self {
        Self {
            environment: Environment::simulated(disk, dir.as_ref()),
        }
    }

    /// Reads the directory, tolerates damage, and reports what is there. Changes nothing.
    ///
    /// Locks the directory for reading in the meantime, so no process can append. If the log is
    /// open for appending, only [`Depth::Headers`] is possible, and the survey is marked
    /// [`Survey::in_use`]. If the log is closing in this process, waits for it for up to 10
    /// seconds.
    ///
    /// Memory is bounded as in a recovery. Up to 10,000 damaged places are listed one by one.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if the log is open for appending and more than headers were requested.
    /// [`Error::UnfinishedRestore`] if a restore was interrupted in the directory. [`Error::Io`] if
    /// the directory cannot be opened or listed. Files in it that cannot be read are listed in
    /// [`Survey::read_errors`].
    pub fn survey(&self, depth: Depth) -> Result<Survey> {
        self.survey_for(depth, None)
    }

    /// Like [`survey`](Self::survey), with an observer of its progress and of the records.
    ///
    /// # Errors
    ///
    /// The errors of [`survey`](Self::survey).
    pub fn survey_with(&self, depth: Depth, observer: &mut dyn Observer) -> Result<Survey> {
        self.survey_for(depth, Some(observer))
    }

    fn survey_for(&self, depth: Depth, observer: Option<&mut dyn Observer>) -> Result<Survey> {
        let open = OpenDir::open(&self.environment)?;
        let lock = match open.lock(Access::Read) {
            Ok(lock) => Some(lock),
            Err(Error::Locked { .. }) if depth == Depth::Headers => None,
            Err(error) => return Err(error),
        };
        survey::take(&open.dir, depth, lock.is_none(), observer)
    }

    /// The processes that have the log open, where the system reports them (on Linux).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the directory cannot be opened.
    pub fn lock_owners(&self) -> Result<Vec<LockOwner>> {
        Ok(OpenDir::open(&self.environment)?.dir.lock_owners())
    }

    /// Surveys the log and says what a repair would do. Changes nothing.
    ///
    /// # Errors
    ///
    /// The errors of [`survey`](Self::survey). Anything that prevents every repair is an error too:
    /// a file that the system cannot read or that a later version wrote, because a repair must be
    /// able to keep what it takes out. Files of two logs in one directory are also an error,
    /// because nothing shows which of the two logs to repair. The error names the files of each.
    /// Move the files of the other log to a directory of their own.
    pub fn plan_repair(&self) -> Result<RepairPlan> {
        self.plan_repair_for(None)
    }

    /// Like [`plan_repair`](Self::plan_repair), with an observer of its progress and of the records.
    ///
    /// # Errors
    ///
    /// The errors of [`plan_repair`](Self::plan_repair).
    pub fn plan_repair_with(&self, observer: &mut dyn Observer) -> Result<RepairPlan> {
        self.plan_repair_for(Some(observer))
    }

    fn plan_repair_for(&self, observer: Option<&mut dyn Observer>) -> Result<RepairPlan> {
        let open = OpenDir::open(&self.environment)?;
        let _lock = open.lock(Access::Read)?;
        plan::make(&open, observer)
    }
}
