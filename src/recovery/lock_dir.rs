//! Opening a log's directory, and locking it.

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::executor::{Executor, race};
use crate::storage::{Access, Dir, Location, Lock, Opener, Opening, still_closing};

/// A directory to be opened and locked.
pub(crate) struct ToLock {
    pub(super) location: Location,
    pub(super) opening: Opening,
    pub(super) executor: Executor,
    pub(super) timeout: Duration,
    pub(super) opener: Opener,
}

impl ToLock {
    /// Opens the directory and locks it. Waits as long as the timeout allows and a caller waits.
    ///
    /// The path is resolved again for each attempt, because a caller that waits wants the log that the path
    /// names when the wait ends.
    pub(crate) async fn lock(&self) -> Result<(Dir, Lock)> {
        let deadline = self.executor.now().checked_add(self.timeout);
        loop {
            self.check_opener()?;
            let now = self.executor.now();
            let dir = self.open()?;
            match self.lock_now(&dir, deadline).await {
                Err(Error::Locked { .. }) if deadline.is_none_or(|deadline| now < deadline) => {
                    let next = now + LOCK_PAUSE;
                    let next = deadline.map_or(next, |deadline| deadline.min(next));
                    self.executor.sleep_until(Some(next)).await;
                }
                locked => return Ok((dir, locked?)),
            }
        }
    }

    /// Locks the directory. Waits for a lock of this process that is about to be released.
    ///
    /// Something in this process may keep that lock, such as a snapshot that is being written. So it
    /// waits no longer than the timeout, if there is one, and only while a caller waits.
    async fn lock_now(&self, dir: &Dir, deadline: Option<Instant>) -> Result<Lock> {
        let mut lock = pin!(dir.lock(self.opening.access, &self.opener));
        loop {
            let next = self.executor.now() + LOCK_PAUSE;
            let locked = async { Some(lock.as_mut().await) };
            let pause = async {
                self.executor.sleep_until(Some(next)).await;
                None
            };
            if let Some(locked) = race(locked, pause).await {
                return locked;
            }
            self.check_opener()?;
            let is_late = deadline.is_some_and(|deadline| deadline <= self.executor.now());
            if is_late && !self.timeout.is_zero() {
                return Err(still_closing(dir.path()));
            }
        }
    }

    /// Gives up if there is no caller any more.
    fn check_opener(&self) -> Result<()> {
        match self.opener.has_left() {
            true => Err(Error::Interrupted),
            false => Ok(()),
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

/// How often a lock that another process holds is tried again. The system does not report when it becomes free.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
