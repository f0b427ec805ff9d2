//! Opening a log's directory, and locking it.

use std::io;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::storage::lock::{Access, Lock};
use crate::storage::{Dir, Location, Opening};

/// A directory that is to be opened and locked.
pub(crate) struct ToLock {
    pub(super) location: Location,
    pub(super) opening: Opening,
    pub(super) host: Host,
    pub(super) timeout: Duration,
}

impl ToLock {
    /// Opens the directory and locks it, or waits for that until nobody wants it any more.
    ///
    /// The path is resolved again for each attempt: a caller that waits for a log means the one that is
    /// there in the end.
    pub(crate) async fn lock(&self, is_given_up: impl Fn() -> bool) -> Result<(Dir, Lock)> {
        let deadline = self.host.now().checked_add(self.timeout);
        loop {
            let now = self.host.now();
            let dir = self.open()?;
            match dir.lock(self.opening.access).await {
                Err(Error::Locked { .. })
                    if deadline.is_none_or(|deadline| now < deadline) && !is_given_up() =>
                {
                    let next = now + LOCK_PAUSE;
                    let next = deadline.map_or(next, |deadline| deadline.min(next));
                    self.host.sleep_until(Some(next)).await;
                }
                locked => return Ok((dir, locked?)),
            }
        }
    }

    fn open(&self) -> Result<Dir> {
        let opened = self.location.open(self.opening);
        let must_exist = self.opening.access == Access::Append && !self.opening.create;
        let no_log = || Error::NoLog {
            dir: self.location.path().to_owned(),
        };
        match opened {
            Err(fault) if must_exist && fault.io_error().kind() == io::ErrorKind::NotFound => {
                Err(no_log())
            }
            Ok(dir) if must_exist && !dir.holds_log()? => Err(no_log()),
            opened => Ok(opened?),
        }
    }
}

/// How often it is tried whether a log that another process has open is free: the system says nothing
/// when it becomes so.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
