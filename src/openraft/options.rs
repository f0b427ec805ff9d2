//! How a raft log is opened.

use std::path::Path;

use openraft::RaftTypeConfig;

use crate::openraft::error::OpenError;
use crate::openraft::log::RaftLog;
use crate::{Recovery, Wal};

/// How a raft log is opened: what is its own beside the [`WalOptions`](crate::WalOptions) of the log
/// under it.
///
/// # Examples
///
/// ```
/// use tidewal::Wal;
/// use tidewal::openraft::{RaftLog, RaftLogOptions};
///
/// # use std::io::Cursor;
/// # openraft::declare_raft_types!(pub Types: D = String, R = ());
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let recovery = Wal::options().segment_size(16 * 1024 * 1024).recover(dir).await?;
/// let log: RaftLog<Types> = RaftLogOptions::new()
///     .memory_limit(256 * 1024 * 1024)
///     .recover(recovery)
///     .await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a log is opened with them"]
pub struct RaftLogOptions {
    pub(super) memory_limit: u64,
}

impl RaftLogOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes the entries may take in memory, as [`Held::bytes`](crate::openraft::Held::bytes)
    /// counts them. Default: 1 GiB.
    ///
    /// An append that would exceed it fails, and openraft then stops the node. A log that holds more
    /// when it is opened, because it was written under a higher limit, is opened all the same. The
    /// snapshot policy is what should keep the entries well below it.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Opens the log in `dir`, with the default [`WalOptions`](crate::WalOptions), and rebuilds its
    /// state.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Cancel safety
    ///
    /// That of [`WalOptions::open`](crate::WalOptions::open).
    ///
    /// # Panics
    ///
    /// Outside of the runtime of `C`, on which the log runs two tasks.
    pub async fn open<C>(self, dir: impl AsRef<Path>) -> Result<RaftLog<C>, OpenError>
    where
        C: RaftTypeConfig,
        C::Entry: Clone,
    {
        self.recover(Wal::recover(dir).await?).await
    }

    /// Rebuilds the state from a log that is being recovered, and goes on from there.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Cancel safety
    ///
    /// That of [`Recovery::into_wal`].
    ///
    /// # Panics
    ///
    /// Outside of the runtime of `C`, on which the log runs two tasks.
    pub async fn recover<C>(self, recovery: Recovery) -> Result<RaftLog<C>, OpenError>
    where
        C: RaftTypeConfig,
        C::Entry: Clone,
    {
        RaftLog::rebuild(recovery, &self).await
    }
}

impl Default for RaftLogOptions {
    fn default() -> Self {
        Self {
            memory_limit: MEMORY_LIMIT_DEFAULT,
        }
    }
}

const MEMORY_LIMIT_DEFAULT: u64 = 1024 * 1024 * 1024;
