//! How an archiver is doing.

use crate::error::Error;
use tidewal::Lsn;

/// How an archiver is doing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// Everything up to this LSN is in the archive, or was given up. [`Lsn::ZERO`] before the archive
    /// was first reached.
    pub archived: Lsn,
    /// Segments shipped since the start.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were given up since the start, and are a gap in the archive.
    pub given_up: u64,
    /// Bytes of truncated segments that are held back because they are not in the archive.
    pub held_bytes: u64,
    /// Attempts since the start that failed.
    pub failures: u64,
    /// Why the last attempt failed; `None` after a success.
    pub last_error: Option<Error>,
    /// Why the archiver has ended, if it has.
    pub end: Option<Error>,
    /// Whether the archive was looked at, and is not another log's.
    pub(super) has_looked: bool,
}
