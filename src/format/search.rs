//! Finding frames where reading one after the other has stopped (`docs/format.md`, "Evidence"). No I/O.

use crate::format::frame::{self, Frame, Kind, Lag};
use crate::format::segment::Header;
use crate::format::walk::Walker;
use crate::lsn::Lsn;

/// Looks for what the log can have written behind the place where a walk has stopped.
///
/// Payloads are not checked: a header that is sound was written by the log, whatever became of what
/// follows it. A payload cannot pose as one, because the salt of a segment is not known to anyone before
/// records are written to it, and a copy of older frames proves only older records. What is left is
/// chance: see [`is_possible`](Self::is_possible).
pub(crate) struct Search {
    key: frame::Key,
    /// Where the walk has stopped.
    from: u64,
    /// The record that was expected there; none if there is no later one.
    expected: Option<Lsn>,
    /// What was durable before the segment's first record was written.
    first_durable: Lsn,
    capacity: u64,
}

impl Search {
    /// Behind the place where `walker` has stopped.
    pub(crate) fn behind(walker: &Walker, header: &Header) -> Self {
        Self {
            key: walker.key().clone(),
            from: walker.offset(),
            expected: walker.expected(),
            first_durable: header.base.prev(),
            capacity: header.capacity,
        }
    }

    /// The frames in `bytes`, which are in the file at `offset`, and where they begin.
    ///
    /// Looks for the byte that tells a frame's kind, and skips zeros, of which most of a file consists.
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
    /// A 32-bit check over a hundred thousand places in the leftovers of a recycled file is right by
    /// chance too often to stop a service on its word. What the log writes also fits the file, has no
    /// more records before it than there is room for, and was written after the segment's predecessor was
    /// durable.
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

/// The kinds that are outside the header block.
const RECORD: u8 = Kind::Record as u8;
const PART: u8 = Kind::Part as u8;

/// Zeros are skipped in pieces of this size.
const SKIP_LEN: usize = 512;
