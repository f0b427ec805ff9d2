//! The memory of a raft log.

/// The entries that a raft log holds in memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Held {
    /// The number of entries.
    pub entries: u64,
    /// The bytes that they take: for each entry its own size, plus the size of its encoding as an
    /// estimate of what it has on the heap.
    pub bytes: u64,
}

impl Held {
    pub(crate) fn of<T: crate::core::Types>(memory: &crate::core::SharedMemory<T>) -> Self {
        let memory = memory.lock();
        Self {
            entries: memory.len() as u64,
            bytes: memory.bytes(),
        }
    }
}

/// The most bytes of entries in one message to a follower, unless a single entry is larger.
pub(crate) const READ_BYTES: u64 = 4 * 1024 * 1024;
