//! Writing zeros ahead of the records of a segment.
//!
//! The first sync that reaches a block of a file must also write metadata: the file system records
//! that the block now holds data. Spare files are written before they are used. A segment that was
//! made on the spot was not: the first segment of a log that was just created or opened again, or
//! one for which no spare was ready. For such a segment, the writer writes zeros after the records
//! before a sync that would reach blocks that were never written. So only one sync in many has
//! metadata to write.
//!
//! The writer does this itself, through the file that it syncs anyway. The system reports a failed
//! write-back once per open file, and then marks the pages clean. A second task that synced the
//! segment could get the error in place of the writer. It could also overwrite records that the
//! writer has written in the meantime.

use std::io::IoSlice;

use crate::error::IoFailure;
use crate::mutants::{Mutant, is_active};
use crate::storage::{File, Wrote};

/// How far a file has been written, with records or zeros.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ZeroFill {
    upto: u64,
}

impl ZeroFill {
    /// For a file that was written before, or that must not be written ahead.
    pub(super) const DONE: Self = Self { upto: u64::MAX };

    /// For a file that is allocated and was never written.
    pub(super) const NOTHING: Self = Self { upto: 0 };

    /// Writes zeros after the records of a file of `capacity` bytes, if the next sync would reach
    /// blocks that were never written. The records end at `end`, and those from `synced` on wait
    /// for that sync.
    ///
    /// A sync of many bytes does not get as many zeros, because they would make it longer. A disk
    /// without space for zeros does not fail the sync: on a copy-on-write file system, even an
    /// allocated block takes new space when it is written. The zeros begin where the records end,
    /// so no record is touched.
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
        file.write_if_room(&mut zeros(self.upto - from), from)
    }
}

/// Writes `len` zeros at `offset`, at most [`ZEROS_MAX`].
pub(super) fn write_zeros(file: File, offset: u64, len: u64) -> Result<(File, Wrote), IoFailure> {
    file.write_all_at(&mut zeros(len), offset)
}

fn zeros(len: u64) -> Vec<IoSlice<'static>> {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS_MAX);
    let mut pieces = vec![IoSlice::new(&ZEROS); len / ZEROS.len()];
    pieces.push(IoSlice::new(&ZEROS[..len % ZEROS.len()]));
    pieces
}

/// As many zeros as there are bytes of records before them, within these bounds: a log of few
/// records does not pay for many zeros, and no sync is prolonged by more than the upper bound.
const AHEAD_MIN: u64 = 64 * 1024;
const AHEAD_MAX: u64 = 1024 * 1024;

/// The most bytes of records in a sync for which writing ahead is worthwhile.
const BATCH_MAX: u64 = AHEAD_MAX / 8;

/// The most zeros in one write.
pub(super) const ZEROS_MAX: usize = 1024 * 1024;

static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
