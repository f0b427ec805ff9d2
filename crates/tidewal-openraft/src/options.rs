//! What a raft log can be told.

/// How a raft log is opened: what is its own beside the [`WalOptions`](tidewal::WalOptions) of the log
/// under it.
///
/// # Examples
///
/// ```
/// use tidewal::Wal;
/// use tidewal_openraft::{RaftLog, RaftLogOptions};
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
    pub(crate) memory_limit: u64,
}

impl RaftLogOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes the entries may take in memory, as [`Held::bytes`](crate::Held::bytes)
    /// counts them. Default: 1 GiB.
    ///
    /// An append that would exceed it fails, and openraft then stops the node. A log that holds more
    /// when it is opened, because it was written under a higher limit, is opened all the same. The
    /// snapshot policy is what should keep the entries well below it.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
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
