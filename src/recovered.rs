//! What recovery found, for the writer to continue from.

use crate::format::segment::Header;
use crate::lsn::Lsn;

/// The log on disk as recovery left it: unchanged.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The LSN of the last record.
    pub(crate) end: Lsn,
    /// The segments that belong to the log, oldest first.
    pub(crate) segments: Vec<Header>,
    /// How the newest segment ends, or `None` if the log has no segment yet.
    pub(crate) last: Option<LastSegment>,
    /// Truncated segments that were not removed yet.
    pub(crate) stale: Vec<String>,
    /// Files that an earlier process had preallocated.
    pub(crate) spares: Vec<String>,
}

/// How the newest segment ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastSegment {
    pub(crate) header: Header,
    /// Where the log ends in the file, in bytes from its start.
    pub(crate) end: u64,
    /// From here to the end, nothing in the file proves that it is durable: it may have been read
    /// from a cache that never reached the disk.
    pub(crate) unproven_from: u64,
    /// Whether a seal in the segment names this end.
    pub(crate) sealed: bool,
}
