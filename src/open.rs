//! Opening: assembles the parts of a log. No other module knows all of them.

use std::path::Path;
use std::sync::Arc;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::feed::{Feed, Publisher};
use crate::lsn::Lsn;
use crate::observe;
use crate::options::WalOptions;
use crate::recovery::{Context, Reader, Recovery, Start};
#[cfg(feature = "snapshot")]
use crate::snapshot::LockedDir;
#[cfg(feature = "sim")]
use crate::storage::sim::SimDisk;
use crate::wal::Wal;
use crate::writer;

impl Wal {
    /// The options, for a log that differs from the defaults.
    pub fn options() -> WalOptions {
        WalOptions::new()
    }

    /// Opens the log in `dir` with the defaults: [`WalOptions::open`].
    ///
    /// # Errors
    ///
    /// The errors of [`WalOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// Like [`WalOptions::open`]: if the future is dropped before it completes, no log is open.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self> {
        WalOptions::new().open(dir).await
    }

    /// Recovers the log in `dir` with the defaults: [`WalOptions::recover`].
    ///
    /// # Errors
    ///
    /// The errors of [`WalOptions::recover`].
    ///
    /// # Cancel safety
    ///
    /// Like [`WalOptions::recover`]: if the future is dropped before it completes, no segment was
    /// changed.
    pub async fn recover(dir: impl AsRef<Path>) -> Result<Recovery> {
        WalOptions::new().recover(dir).await
    }
}

/// Opening a directory.
impl WalOptions {
    /// Opens a log for appending without reading its records, for callers that have nothing to
    /// replay.
    ///
    /// Creates the directory and its parents if necessary. Checks the headers of all segments and
    /// how the newest segment ends. It does not read the records of the other segments, and ignores
    /// `start_at`.
    ///
    /// # Errors
    ///
    /// The errors of [`recover`](Self::recover) and of [`Recovery::into_wal`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no log is open, and the directory is unlocked
    /// shortly afterwards.
    pub async fn open(self, dir: impl AsRef<Path>) -> Result<Wal> {
        self.open_in(Environment::on_disk(dir.as_ref())).await
    }

    /// Locks the directory and starts reading the log.
    ///
    /// Creates the directory and its parents if necessary. An empty directory is an empty log.
    /// Files that do not belong to the log are left alone.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidOptions`](crate::Error::InvalidOptions)
    /// - [`Error::Locked`](crate::Error::Locked) if the directory is open elsewhere, at once unless
    ///   [`lock_timeout`](Self::lock_timeout) is set. In this process, a log that is closing is
    ///   waited for, and so is an opening whose future was dropped.
    /// - [`Error::NoLog`](crate::Error::NoLog) with [`create(false)`](Self::create), if there is no
    ///   log.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) if a segment is missing, foreign or damaged.
    /// - [`Error::Unsupported`](crate::Error::Unsupported),
    ///   [`Error::Truncated`](crate::Error::Truncated),
    ///   [`Error::UnfinishedRestore`](crate::Error::UnfinishedRestore),
    ///   [`Error::Io`](crate::Error::Io)
    ///
    /// The [`Recovery`] reports damage inside a segment when it reaches it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no segment was changed. The directory and its
    /// lock file may have been created. The directory is unlocked shortly afterwards.
    pub async fn recover(self, dir: impl AsRef<Path>) -> Result<Recovery> {
        self.recover_in(Environment::on_disk(dir.as_ref())).await
    }

    /// Opens a log for reading only.
    ///
    /// Any number of readers may have a log open at the same time. A directory that does not exist
    /// is an error.
    ///
    /// # Errors
    ///
    /// The errors of [`recover`](Self::recover).
    ///
    /// # Cancel safety
    ///
    /// Like [`recover`](Self::recover): if the future is dropped before it completes, no segment
    /// was changed.
    pub async fn read(self, dir: impl AsRef<Path>) -> Result<Reader> {
        self.read_in(Environment::on_disk(dir.as_ref())).await
    }

    /// Locks the directory without reading the log, for a service that must read a snapshot first:
    /// see [`snapshot`](crate::snapshot). [`LockedDir::recover`] continues from there.
    ///
    /// Creates the directory and its parents if necessary, and ignores `start_at`.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidOptions`](crate::Error::InvalidOptions)
    /// - [`Error::Locked`](crate::Error::Locked) if the directory is open elsewhere, at once unless
    ///   [`lock_timeout`](Self::lock_timeout) is set. In this process, a log that is closing is
    ///   waited for, and so is an opening whose future was dropped.
    /// - [`Error::NoLog`](crate::Error::NoLog) with [`create(false)`](Self::create), if there is no
    ///   log.
    /// - [`Error::Io`](crate::Error::Io)
    ///
    /// # Cancel safety
    ///
    /// Like [`recover`](Self::recover): if the future is dropped before it completes, no segment
    /// was changed.
    #[cfg(feature = "snapshot")]
    pub async fn lock(self, dir: impl AsRef<Path>) -> Result<LockedDir> {
        self.lock_in(Environment::on_disk(dir.as_ref())).await
    }

    #[cfg(feature = "snapshot")]
    async fn lock_in(self, environment: Environment) -> Result<LockedDir> {
        self.validate()?;
        LockedDir::lock(Context::new(environment, self)).await
    }

    async fn open_in(self, environment: Environment) -> Result<Wal> {
        self.validate()?;
        let context = Context::new(environment, self);
        Recovery::start(context, Start::Last)
            .await?
            .into_wal()
            .await
    }

    async fn recover_in(self, environment: Environment) -> Result<Recovery> {
        self.validate()?;
        let start = self.start();
        Recovery::start(Context::new(environment, self), start).await
    }

    async fn read_in(self, environment: Environment) -> Result<Reader> {
        self.validate()?;
        let start = self.start();
        Reader::start(Context::new(environment, self), start).await
    }

    fn start(&self) -> Start {
        self.start_at.map_or(Start::Oldest, Start::At)
    }
}

/// Opening a directory of a simulated disk.
///
/// These functions need a tokio runtime and use its clock.
#[cfg(feature = "sim")]
impl WalOptions {
    /// Like [`open`](Self::open), on a simulated disk.
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open).
    pub async fn open_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Wal> {
        self.open_in(Environment::simulated(disk, dir.as_ref()))
            .await
    }

    /// Like [`recover`](Self::recover), on a simulated disk.
    ///
    /// # Errors
    ///
    /// The errors of [`recover`](Self::recover).
    pub async fn recover_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Recovery> {
        self.recover_in(Environment::simulated(disk, dir.as_ref()))
            .await
    }

    /// Like [`lock`](Self::lock), on a simulated disk.
    ///
    /// # Errors
    ///
    /// The errors of [`lock`](Self::lock).
    #[cfg(feature = "snapshot")]
    pub async fn lock_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<LockedDir> {
        self.lock_in(Environment::simulated(disk, dir.as_ref()))
            .await
    }

    /// Like [`read`](Self::read), on a simulated disk.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read).
    pub async fn read_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Reader> {
        self.read_in(Environment::simulated(disk, dir.as_ref()))
            .await
    }
}

impl Recovery {
    /// Opens the recovered log for appending.
    ///
    /// If the stream has not ended, reads on to the end of the log, verifies the records and skips
    /// them. Then makes everything durable that may have been read from the system's cache only,
    /// seals the end of the log, and removes truncated segments and the spare files of an earlier
    /// process. The next append opens a new segment.
    ///
    /// # Errors
    ///
    /// The errors of the stream, including one that the stream has already reported.
    /// [`Error::Io`](crate::Error::Io) if a file could not be written. The log can then be
    /// recovered again. [`Error::LsnsExhausted`](crate::Error::LsnsExhausted) if there are too few
    /// LSNs left.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no log is open, the directory is unlocked
    /// shortly afterwards, and nothing is lost.
    pub async fn into_wal(self) -> Result<Wal> {
        let path = self.path().to_owned();
        observe::opening(&path, self.go_on()).await
    }

    async fn go_on(self) -> Result<Wal> {
        let (context, recovered, (dir, lock)) = self.finish().await?;
        if recovered.end > Lsn::APPENDED_MAX {
            return Err(Error::LsnsExhausted { end: recovered.end });
        }
        let (closing, guard) = (lock.closing(), lock.opener_guard());
        let Context {
            executor, options, ..
        } = context;
        let feed = Feed::new(options.follow_buffer_bytes, options.rotate_interval());
        let feed = Arc::new(feed);
        let publisher = Publisher::new(Arc::clone(&feed), recovered.end);
        let submitter =
            writer::start(dir.clone(), executor, &options, recovered, lock, publisher).await?;
        guard.served();
        observe::opened(submitter.progress.borrow().durable);
        Ok(Wal::new(
            (submitter, feed),
            executor,
            &options,
            closing,
            dir,
        ))
    }
}
