//! The record: what recovery and followers deliver.

use bytes::Bytes;

use crate::lsn::Lsn;

/// One record of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The record's position in the log.
    pub lsn: Lsn,
    /// The record's bytes, as they were appended.
    ///
    /// The payload is a slice of the buffer that the file was read into, and keeps that buffer
    /// alive. A buffer is usually 1 MiB: copy small payloads that you keep for long.
    pub payload: Bytes,
}
