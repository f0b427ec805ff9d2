//! Reading entries, from memory.

use std::fmt;

use crate::core::{SharedMemory, Types};
use crate::held::Held;

/// Reads the entries of a [`RaftLog`](crate::RaftLog), from memory. Clones are cheap, and read the
/// same log.
pub struct LogReader<T: Types>(pub(crate) SharedMemory<T>);

impl<T: Types> LogReader<T> {
    /// How many entries, which are those not purged, are held in memory.
    #[must_use]
    pub fn held(&self) -> Held {
        Held::of(&self.0)
    }
}

impl<T: Types> Clone for LogReader<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Types> fmt::Debug for LogReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}
