//! What recovery found, for the writer to go on from.

use crate::format::segment::Header;
use crate::lsn::Lsn;

/// The log on disk, as recovery left it: untouched.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The LSN of the last record.
    pub(crate) end: Lsn,
    /// The segments that belong to the log, oldest first.
    pub(crate) segments: Vec<Header>,
    /// How the newest of them ends; `None` if the log has no segment yet.
    pub(crate) last: Option<LastSegment>,
    /// Files of truncated segments that were not removed in time.
    pub(crate) doomed: Vec<String>,
    /// Files that an earlier process had ready to become segments.
    pub(crate) spares: Vec<String>,
}

/// How the newest segment ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastSegment {
    pub(crate) header: Header,
    /// Where the log ends in it, in bytes from the start of its file.
    pub(crate) end: u64,
    /// From here to the end nothing in the file proves that it is durable: it may have been read from
    /// a cache that never reached the disk.
    pub(crate) unproven_from: u64,
    /// Whether it says itself that it ends there.
    pub(crate) sealed: bool,
}
