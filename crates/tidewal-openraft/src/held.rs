//! How much a raft log holds in memory.

/// What a raft log holds in memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Held {
    /// Entries.
    pub entries: u64,
    /// Bytes that they take: of each entry its own size and that of its encoding, as an estimate of
    /// what it has on the heap.
    pub bytes: u64,
}

impl Held {
    pub(crate) fn of<T: crate::core::Types>(memory: &crate::core::Shared<T>) -> Self {
        let memory = memory.lock();
        Self {
            entries: memory.len() as u64,
            bytes: memory.bytes(),
        }
    }
}

/// What one message to a follower takes at most, in bytes, unless a single entry is larger.
pub(crate) const READ_BYTES: u64 = 4 * 1024 * 1024;
