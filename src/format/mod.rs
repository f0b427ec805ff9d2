//! The bytes of the log: what `docs/format.md` says, and nothing else. No I/O.
//!
//! [`frame`] is the record and its three companions (mark, seal, link), [`segment`] the header block
//! of a file, [`names`] the names of the files.

pub(crate) mod frame;
pub(crate) mod names;
pub(crate) mod segment;

/// Where a segment's first frame stands, in bytes: after one header block.
pub(crate) const DATA_OFFSET: u64 = HEADER_BLOCK_LEN as u64;

/// Length of a segment's header block: a page, so that nothing else shares one with the header.
pub(crate) const HEADER_BLOCK_LEN: usize = 4096;

/// Bytes at a segment's end that records leave free, so that a seal and a link always fit.
pub(crate) const TRAILER_LEN: u64 = 2 * frame::HEADER_LEN as u64;

/// A segment's LSNs are told apart by their low 32 bits, and its offsets fit the same.
pub(crate) const SEGMENT_SIZE_LIMIT: u64 = 1 << 32;

/// Where records must end in a segment of `capacity` bytes.
pub(crate) const fn records_end(capacity: u64) -> u64 {
    capacity - TRAILER_LEN
}

/// The largest payload that a segment of `capacity` bytes can hold.
pub(crate) const fn payload_room(capacity: u64) -> u64 {
    records_end(capacity) - DATA_OFFSET - frame::HEADER_LEN as u64
}
