//! What an archiver reports about its work.

use crate::error::Error;
use tidewal::Lsn;

/// What an archiver has done so far, and its last error.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// Everything up to this LSN is in the archive, or was given up. [`Lsn::ZERO`] until the archiver has read the
    /// archive for the first time.
    pub archived: Lsn,
    /// Number of segments shipped since the start.
    pub segments: u64,
    /// Number of bytes in these segments.
    pub bytes: u64,
    /// Number of records that were given up since the start, and are a gap in the archive.
    pub given_up: u64,
    /// Bytes of truncated segments that are held back because they are not in the archive.
    pub held_bytes: u64,
    /// Number of attempts since the start that failed.
    pub failures: u64,
    /// Why the last attempt failed. `None` after a success.
    pub last_error: Option<Error>,
    /// Why the archiver has ended. `None` while it is running.
    pub end: Option<Error>,
    /// Whether the archive was checked and does not belong to another log.
    pub(super) has_looked: bool,
}
