//! How a raft log is opened.

use std::path::Path;

use openraft::RaftTypeConfig;
use tidewal::{Recovery, Wal};

use crate::error::OpenError;
use crate::log::RaftLog;
use crate::options::RaftLogOptions;

impl<C> RaftLog<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    /// Opens the log in `dir` with the defaults: [`RaftLogOptions::open`].
    ///
    /// # Errors
    ///
    /// The errors of [`RaftLogOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// Like [`RaftLogOptions::open`]: if the future is dropped before it completes, no log is open.
    ///
    /// # Panics
    ///
    /// Outside of the runtime of `C`.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        RaftLogOptions::new().open(dir).await
    }
}

impl RaftLogOptions {
    /// Opens the log in `dir`, with the default [`WalOptions`](tidewal::WalOptions), and rebuilds its
    /// state.
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
    /// Like [`Recovery::into_wal`]: if the future is dropped before it completes, no log is open.
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
