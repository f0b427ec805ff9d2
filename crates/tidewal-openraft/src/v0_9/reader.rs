//! Reading entries, from memory.

use std::fmt::{self, Debug};
use std::ops::RangeBounds;

use openraft09::{OptionalSend, RaftLogReader, RaftTypeConfig, StorageError};

use crate::Held;
use crate::core::Shared;
use crate::held::READ_BYTES;
use crate::v0_9::types::Raft;

/// Reads the entries of a [`RaftLog`](crate::v0_9::RaftLog), from memory. Clones are cheap, and read the
/// same log.
pub struct LogReader<C: RaftTypeConfig>(Shared<Raft<C>>);

impl<C: RaftTypeConfig> LogReader<C> {
    pub(crate) fn new(memory: Shared<Raft<C>>) -> Self {
        Self(memory)
    }

    /// How many entries, which are those not purged, are held in memory.
    #[must_use]
    pub fn held(&self) -> Held {
        Held::of(&self.0)
    }
}

impl<C: RaftTypeConfig> RaftLogReader<C> for LogReader<C>
where
    C::Entry: Clone,
{
    async fn try_get_log_entries<R>(
        &mut self,
        range: R,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.0.lock().clone_range(range, u64::MAX))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>> {
        Ok(self.0.lock().clone_range(start..end, READ_BYTES))
    }
}

impl<C: RaftTypeConfig> Clone for LogReader<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: RaftTypeConfig> fmt::Debug for LogReader<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}
