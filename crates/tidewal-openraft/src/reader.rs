//! Reading entries, from memory.

use std::fmt::{self, Debug};
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::{OptionalSend, RaftLogReader, RaftTypeConfig, StorageError};

use crate::memory::Memory;

/// Reads the entries of a [`RaftLog`](crate::RaftLog), from memory. Clones are cheap, and read
/// the same log.
pub struct LogReader<C: RaftTypeConfig>(Arc<Mutex<Memory<C>>>);

impl<C: RaftTypeConfig> LogReader<C> {
    pub(crate) fn new(memory: Memory<C>) -> Self {
        Self(Arc::new(Mutex::new(memory)))
    }

    /// The entries that are held in memory: those that are not purged.
    #[must_use]
    pub fn held(&self) -> Held {
        let memory = self.memory();
        Held {
            entries: memory.len() as u64,
            bytes: memory.bytes(),
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        Ok(self.memory().clone_range(range, u64::MAX))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>> {
        Ok(self.memory().clone_range(start..end, READ_BYTES))
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

/// What a raft log holds in memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Held {
    /// Entries.
    pub entries: u64,
    /// Bytes that they take: of each entry its own size and that of its encoding, which stands for
    /// what it has on the heap.
    pub bytes: u64,
}

/// What one message to a follower takes at most, unless a single entry is larger.
const READ_BYTES: u64 = 4 * 1024 * 1024;
