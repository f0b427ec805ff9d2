//! Options of a raft log.

/// Options of a raft log, in addition to the [`WalOptions`](tidewal::WalOptions) of the log under
/// it.
///
/// # Examples
///
/// ```
/// use tidewal::Wal;
/// use tidewal_openraft::RaftLogOptions;
/// use tidewal_openraft::v0_10::RaftLog;
///
/// # openraft::declare_raft_types!(pub Types: D = String, R = ());
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let recovery = Wal::options().segment_size(16 * 1024 * 1024).recover(dir).await?;
/// let options = RaftLogOptions::new().memory_limit(256 * 1024 * 1024);
/// let log: RaftLog<Types> = RaftLog::recover(recovery, &options).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a log is opened with them"]
pub struct RaftLogOptions {
    pub(crate) memory_limit: u64,
    pub(crate) reclaim_after: u64,
}

impl RaftLogOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes the entries may take in memory, as [`Held::bytes`](crate::Held::bytes) counts
    /// them. In a `RaftLogs`, the limit is for all groups together. Default: 1 GiB.
    ///
    /// An append reserves the memory of all its entries before it submits the first, so concurrent
    /// appends cannot exceed the limit together, and the first to reserve is accepted if it fits. An
    /// append that would exceed the limit fails, and openraft then stops the node. A log that holds
    /// more when it is opened, because it was written with a higher limit, can still be opened. The
    /// snapshot policy should keep the entries well below this limit.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// For `RaftLogs`: how many bytes the log may grow before it appends again what idle groups
    /// need, so older segments can be truncated. Default: 256 MiB, or twice what all groups hold if
    /// that is more.
    pub fn reclaim_after(mut self, bytes: u64) -> Self {
        self.reclaim_after = bytes;
        self
    }
}

impl Default for RaftLogOptions {
    fn default() -> Self {
        Self {
            memory_limit: MEMORY_LIMIT_DEFAULT,
            reclaim_after: RECLAIM_AFTER_DEFAULT,
        }
    }
}

const MEMORY_LIMIT_DEFAULT: u64 = 1024 * 1024 * 1024;

const RECLAIM_AFTER_DEFAULT: u64 = 256 * 1024 * 1024;
