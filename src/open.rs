//! Where the parts are put together: the only place that knows all of them.

use std::path::Path;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::lsn::Lsn;
use crate::observe;
use crate::options::WalOptions;
use crate::recovery::{Context, Reader, Recovery, Start};
#[cfg(feature = "snapshot")]
use crate::snapshot::LockedDir;
use crate::storage::Location;
use crate::storage::disk::DiskPath;
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
    /// Those of [`WalOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// That of [`WalOptions::open`].
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self> {
        WalOptions::new().open(dir).await
    }

    /// Recovers the log in `dir` with the defaults: [`WalOptions::recover`].
    ///
    /// # Errors
    ///
    /// Those of [`WalOptions::recover`].
    ///
    /// # Cancel safety
    ///
    /// That of [`WalOptions::recover`].
    pub async fn recover(dir: impl AsRef<Path>) -> Result<Recovery> {
        WalOptions::new().recover(dir).await
    }
}

/// Opening a directory.
impl WalOptions {
    /// Opens a log without reading its records, for callers who have nothing to replay.
    ///
    /// Creates the directory and its parents if need be. Checks that the segments join and how the
    /// newest one ends; the records of the others are not read, and `start_at` plays no part.
    ///
    /// # Errors
    ///
    /// Those of [`recover`](Self::recover) and of [`Recovery::into_wal`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no log is open; the directory is given free
    /// shortly afterwards.
    pub async fn open(self, dir: impl AsRef<Path>) -> Result<Wal> {
        self.open_in(Place::on_disk(dir.as_ref())).await
    }

    /// Locks the directory and begins to read the log back.
    ///
    /// Creates the directory and its parents if need be. An empty directory is an empty log. Files
    /// that are not the log's are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`](crate::Error::InvalidOptions);
    /// [`Error::Locked`](crate::Error::Locked), at once, if somebody has the directory open (but a log
    /// that is closing in this process is waited for);
    /// [`Error::Corrupt`](crate::Error::Corrupt) if a segment is missing, foreign or damaged;
    /// [`Error::Unsupported`](crate::Error::Unsupported);
    /// [`Error::Truncated`](crate::Error::Truncated); [`Error::Io`](crate::Error::Io). What is wrong
    /// inside a segment is reported by the [`Recovery`] when it gets there.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no segment was changed; the directory and its lock
    /// file may have been created. It is given free shortly afterwards.
    pub async fn recover(self, dir: impl AsRef<Path>) -> Result<Recovery> {
        self.recover_in(Place::on_disk(dir.as_ref())).await
    }

    /// Reads a log that is not to be appended to.
    ///
    /// Any number of readers may have a log open at once. A directory that does not exist is an error.
    ///
    /// # Errors
    ///
    /// Those of [`recover`](Self::recover).
    ///
    /// # Cancel safety
    ///
    /// That of [`recover`](Self::recover).
    pub async fn read(self, dir: impl AsRef<Path>) -> Result<Reader> {
        self.read_in(Place::on_disk(dir.as_ref())).await
    }

    /// Locks the directory without reading the log, for a service that has to read a snapshot first: see
    /// [`snapshot`](crate::snapshot). [`LockedDir::recover`] goes on from there.
    ///
    /// Creates the directory and its parents if need be. `start_at` plays no part.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`](crate::Error::InvalidOptions);
    /// [`Error::Locked`](crate::Error::Locked), at once, if the directory is open (but a log that is
    /// closing in this process is waited for); [`Error::Io`](crate::Error::Io).
    ///
    /// # Cancel safety
    ///
    /// That of [`recover`](Self::recover).
    #[cfg(feature = "snapshot")]
    pub async fn lock(self, dir: impl AsRef<Path>) -> Result<LockedDir> {
        self.lock_in(Place::on_disk(dir.as_ref())).await
    }

    #[cfg(feature = "snapshot")]
    async fn lock_in(self, place: Place) -> Result<LockedDir> {
        self.validate()?;
        LockedDir::lock(place.with(self)).await
    }

    async fn open_in(self, place: Place) -> Result<Wal> {
        self.validate()?;
        let context = place.with(self);
        Recovery::start(context, Start::Last)
            .await?
            .into_wal()
            .await
    }

    async fn recover_in(self, place: Place) -> Result<Recovery> {
        self.validate()?;
        let start = self.start();
        Recovery::start(place.with(self), start).await
    }

    async fn read_in(self, place: Place) -> Result<Reader> {
        self.validate()?;
        let start = self.start();
        Reader::start(place.with(self), start).await
    }

    fn start(&self) -> Start {
        self.start_at.map_or(Start::Oldest, Start::At)
    }
}

/// Opening a directory of a simulated disk.
///
/// These need a tokio runtime, whose clock they use.
#[cfg(feature = "sim")]
impl WalOptions {
    /// As [`open`](Self::open), on a simulated disk.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub async fn open_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Wal> {
        self.open_in(Place::simulated(disk, dir.as_ref())).await
    }

    /// As [`recover`](Self::recover), on a simulated disk.
    ///
    /// # Errors
    ///
    /// Those of [`recover`](Self::recover).
    pub async fn recover_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Recovery> {
        self.recover_in(Place::simulated(disk, dir.as_ref())).await
    }

    /// As [`lock`](Self::lock), on a simulated disk.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    #[cfg(feature = "snapshot")]
    pub async fn lock_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<LockedDir> {
        self.lock_in(Place::simulated(disk, dir.as_ref())).await
    }

    /// As [`read`](Self::read), on a simulated disk.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub async fn read_on(self, disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Reader> {
        self.read_in(Place::simulated(disk, dir.as_ref())).await
    }
}

impl Recovery {
    /// Makes the recovered log one to append to.
    ///
    /// Reads on to the end if the stream has not ended, verifying the records and passing them over.
    /// Then makes durable whatever may have been read from the system's cache only, seals the place
    /// where the log ends, and removes what was truncated and files that an earlier process had in
    /// reserve. The next append opens a new segment.
    ///
    /// # Errors
    ///
    /// Those of the stream, also if it has reported them before; [`Error::Io`](crate::Error::Io) if a
    /// file could not be written. The log can then be recovered again.
    /// [`Error::LsnsExhausted`](crate::Error::LsnsExhausted) if there are too few LSNs left.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no log is open; the directory is given free
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
        let closing = lock.closing();
        let Context { host, options, .. } = context;
        let submitter = writer::start(dir.clone(), host, &options, recovered, lock).await?;
        observe::opened(submitter.progress.borrow().durable);
        Ok(Wal::new(submitter, host, &options, closing, dir))
    }
}

/// Where a directory is, and where the work on it is done.
struct Place {
    location: Location,
    host: Host,
}

impl Place {
    fn on_disk(path: &Path) -> Self {
        Self {
            location: DiskPath::location(path),
            host: Host::Thread,
        }
    }

    fn with(self, options: WalOptions) -> Context {
        Context {
            location: self.location,
            host: self.host,
            options,
        }
    }

    #[cfg(feature = "sim")]
    fn simulated(disk: &SimDisk, path: &Path) -> Self {
        Self {
            location: disk.location(path),
            host: Host::Runtime,
        }
    }
}
