//! The log of one node.

use std::fmt;
use std::path::Path;

use tidewal::{Recovery, Wal};

use crate::core::{Log, Types};
use crate::error::OpenError;
use crate::options::RaftLogOptions;
use crate::reader::LogReader;

/// The log of an openraft node: a `RaftLogStorage` over one [`Wal`].
///
/// `T` is a configuration of openraft together with its version. The modules of the versions have
/// an alias with the configuration alone: `v0_10::RaftLog<C>`.
///
/// The [crate documentation](crate) says what is durable when, how much memory the log takes, and
/// what failures do. When it is dropped, the log under it closes in the background. Opening the
/// same directory in the same process waits for that.
///
/// # Cancel safety
///
/// Every future of this type can be dropped. Its records may or may not be written, in the order of
/// the calls, and of an append's entries only the first ones may be written. The log keeps working.
/// No call of another group waits for a future that is kept and not polled. But such an append keeps
/// the memory that it has reserved, so near the limit it can make appends of other groups fail.
pub struct RaftLog<T: Types>(pub(crate) Log<T>);

impl<T> RaftLog<T>
where
    T: Types,
    T::Entry: Clone,
{
    /// Opens the log in `dir` with the default options, and rebuilds its state.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Cancel safety
    ///
    /// Like [`WalOptions::open`](tidewal::WalOptions::open): if the future is dropped before it completes,
    /// no log is open.
    ///
    /// # Panics
    ///
    /// Outside of the runtime of the raft, on which the log runs two tasks.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::recover(Wal::recover(dir).await?, &RaftLogOptions::new()).await
    }

    /// Rebuilds the state from a log that is being recovered, and opens the log for appending.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Cancel safety
    ///
    /// Like [`Recovery::into_wal`]: if the future is dropped before it completes, no log is open.
    ///
    /// # Panics
    ///
    /// Outside of the runtime of the raft, on which the log runs two tasks.
    pub async fn recover(recovery: Recovery, options: &RaftLogOptions) -> Result<Self, OpenError> {
        Ok(Self(Log::recover(recovery, options).await?))
    }

    /// A reader of the entries, for example to see [how much the log holds](LogReader::held) while
    /// openraft owns it.
    #[must_use]
    pub fn reader(&self) -> LogReader<T> {
        LogReader(self.0.memory().clone())
    }
}

impl<T> fmt::Debug for RaftLog<T>
where
    T: Types,
    T::Entry: Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftLog")
            .field("held", &self.reader().held())
            .finish_non_exhaustive()
    }
}
