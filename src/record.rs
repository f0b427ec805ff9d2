//! What recovery delivers.

use bytes::Bytes;

use crate::Lsn;

/// One record of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Its place in the log.
    pub lsn: Lsn,
    /// Its bytes, as they were appended.
    ///
    /// A slice of the buffer that the file was read into. Whoever keeps it keeps that buffer, which is
    /// usually 1 MiB: copy small payloads that are to live long.
    pub payload: Bytes,
}
