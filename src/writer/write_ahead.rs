//! Zeros in front of the records of a segment.
//!
//! The first sync that touches a block of a file has metadata to write: the file system notes that the block
//! holds data now. Spare files are written before they are used. A segment that was made on the spot was not:
//! the first of a log that was just created or opened again, and one whose spare was not ready in time. Its
//! writer writes zeros behind its records, before a sync that gets to what was never written, so that one sync
//! in many has metadata to write instead of each.
//!
//! The writer does this itself, through the file that it syncs anyway. A failed write-back is reported once
//! for each open file, and what was to be written is clean from then on: a second task that synced the
//! segment could be told of the writer's loss in the place of the writer. And it could write over what the
//! writer has reached in the meantime.

use std::io::IoSlice;

use crate::error::IoFailure;
use crate::mutants::{Mutant, is_active};
use crate::storage::{File, Wrote};

/// How far a file was written, with records or with zeros.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct WriteAhead {
    upto: u64,
}

impl WriteAhead {
    /// Of a file that was written before, or that is not to be written ahead.
    pub(super) const DONE: Self = Self { upto: u64::MAX };

    /// Of a file that has its space and was never written.
    pub(super) const NOTHING: Self = Self { upto: 0 };

    /// Writes zeros behind the records of a file of `capacity` bytes, if a sync is about to get to what was
    /// never written. The records end at `end`, and those from `synced` on wait for that sync.
    ///
    /// A sync of many bytes is not delayed by the zeros of as many: it would be longer with them.
    pub(super) fn before_sync(
        &mut self,
        file: File,
        (synced, end): (u64, u64),
        capacity: u64,
    ) -> Result<File, IoFailure> {
        if end <= self.upto {
            return Ok(file);
        }
        let from = match is_active(Mutant::WrittenAheadOver) {
            true => synced,
            false => end,
        };
        self.upto = end;
        if end - synced > BATCH_MAX {
            return Ok(file);
        }
        self.upto = (end + end.clamp(AHEAD_MIN, AHEAD_MAX)).min(capacity);
        write_zeros(file, from, self.upto - from).map(|(file, _)| file)
    }
}

/// Writes `len` zeros from `offset` on, at most [`ZEROS_MAX`].
pub(super) fn write_zeros(file: File, offset: u64, len: u64) -> Result<(File, Wrote), IoFailure> {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS_MAX);
    let mut pieces = vec![IoSlice::new(&ZEROS); len / ZEROS.len()];
    pieces.push(IoSlice::new(&ZEROS[..len % ZEROS.len()]));
    file.write_all_at(&mut pieces, offset)
}

/// As many as the records before them, within these bounds: a log of a few records does not pay for many
/// zeros, and no sync is longer by the time of more than these.
const AHEAD_MIN: u64 = 64 * 1024;
const AHEAD_MAX: u64 = 1024 * 1024;

/// The most bytes of records in a sync that is worth writing ahead of.
const BATCH_MAX: u64 = AHEAD_MAX / 8;

/// The most zeros that are written at once.
pub(super) const ZEROS_MAX: usize = 1024 * 1024;

static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
