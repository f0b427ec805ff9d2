//! The bytes of the log, as `docs/format.md` defines them. No I/O.
//!
//! [`frame`] is the record, [`segment`] the header block of a file, [`statement`] what a segment
//! says about itself there, [`bytes`] the numbers in them, and [`names`] the names of the files.
//! [`walk`] reads record after record, and [`search`] finds frames after that has stopped.
//! (`snapshot`, behind its feature, is the format of snapshots.)

mod bytes;
pub(crate) mod frame;
pub(crate) mod names;
pub(crate) mod search;
pub(crate) mod segment;
#[cfg(feature = "snapshot")]
pub(crate) mod snapshot;
pub(crate) mod statement;
pub(crate) mod walk;

/// Where a segment's first record begins, in bytes: after one header block.
pub(crate) const DATA_OFFSET: u64 = HEADER_BLOCK_LEN as u64;

/// Length of a segment's header block: one page, so no record shares a page with the header.
pub(crate) const HEADER_BLOCK_LEN: usize = 4096;

/// The low 32 bits distinguish the LSNs of a segment, and its offsets fit into 32 bits.
pub(crate) const SEGMENT_SIZE_LIMIT: u64 = 1 << 32;

/// The largest payload that a segment of `capacity` bytes can hold.
pub(crate) const fn payload_room(capacity: u64) -> u64 {
    capacity - DATA_OFFSET - frame::HEADER_LEN as u64
}
