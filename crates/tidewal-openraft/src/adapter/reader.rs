//! Reading entries, from memory.

use std::fmt;

use super::types::{Raft, RaftTypeConfig};
use crate::Held;
use crate::core::SharedMemory;

/// Reads the entries of a [`RaftLog`](super::RaftLog), from memory. Clones are cheap, and read the
/// same log.
pub struct LogReader<C: RaftTypeConfig>(pub(super) SharedMemory<Raft<C>>);

impl<C: RaftTypeConfig> LogReader<C> {
    pub(crate) fn new(memory: SharedMemory<Raft<C>>) -> Self {
        Self(memory)
    }

    /// How many entries, which are those not purged, are held in memory.
    #[must_use]
    pub fn held(&self) -> Held {
        Held::of(&self.0)
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
