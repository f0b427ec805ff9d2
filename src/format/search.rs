//! Finding frames after the place where reading has stopped (`docs/format.md`, "Evidence"). No I/O.

use crate::format::frame::{self, Frame, Kind, Lag};
use crate::format::segment::Header;
use crate::format::walk::Walker;
use crate::lsn::Lsn;

/// Looks for frames that the log can have written after the place where a walk has stopped.
///
/// Payloads are not checked: the log wrote every valid header, whatever happened to the bytes after
/// it. A payload cannot be mistaken for a header, because the salt of a segment is not known before
/// records are written to it, and a copy of older frames proves only older records. Random matches
/// remain: see [`is_possible`](Self::is_possible).
pub(crate) struct Search {
    key: frame::Key,
    /// The offset at which the walk stopped.
    from: u64,
    /// The record that was expected there, or `None` if there is no later LSN.
    expected: Option<Lsn>,
    /// The LSN that was durable before the segment's first record was written.
    first_durable: Lsn,
    capacity: u64,
}

impl Search {
    /// A search after the place where `walker` has stopped.
    pub(crate) fn behind(walker: &Walker, header: &Header) -> Self {
        Self {
            key: walker.key().clone(),
            from: walker.offset(),
            expected: walker.expected(),
            first_durable: header.base.prev(),
            capacity: header.capacity,
        }
    }

    /// The frames in `bytes`, which are at `offset` in the file, and the offset of each.
    ///
    /// Looks for the byte with a frame's kind, and skips zeros, which fill most of a file.
    pub(crate) fn frames_in<'a>(
        &'a self,
        bytes: &'a [u8],
        offset: u64,
    ) -> impl Iterator<Item = (u64, Frame)> + 'a {
        let blocks = (0..bytes.len())
            .step_by(SKIP_LEN)
            .map(|at| at..(at + SKIP_LEN).min(bytes.len()));
        let filled = blocks.filter(|block| bytes[block.clone()].iter().any(|&byte| byte != 0));
        let kinds = filled
            .flatten()
            .filter(|&at| matches!(bytes[at], RECORD | PART));
        let starts = kinds.filter_map(|at| at.checked_sub(frame::KIND_AT));
        starts.filter_map(move |start| {
            let frame = Frame::decode(bytes[start..].first_chunk()?, &self.key)?;
            let at = offset + start as u64;
            self.is_possible(&frame, at).then_some((at, frame))
        })
    }

    /// Whether the log can have written this frame at this offset.
    ///
    /// Among a hundred thousand offsets in the old contents of a recycled file, a 32-bit check
    /// matches by chance too often to stop a service. A frame of the log also fits into the file,
    /// has no more records before it than there is room for, and was written after the segment's
    /// predecessor was durable.
    fn is_possible(&self, frame: &Frame, offset: u64) -> bool {
        let Some(expected) = self.expected.filter(|&lsn| lsn <= frame.lsn) else {
            return false;
        };
        let between = frame.lsn.since(expected);
        between * frame::HEADER_LEN as u64 <= offset - self.from
            && offset + frame.total_len() <= self.capacity
            && (frame.lag == Lag::UNKNOWN
                || (self.first_durable <= frame.proves() && frame.proves() < frame.lsn))
    }
}

/// The kinds of frames outside the header block.
const RECORD: u8 = Kind::Record as u8;
const PART: u8 = Kind::Part as u8;

/// Zeros are skipped in pieces of this size.
const SKIP_LEN: usize = 512;
