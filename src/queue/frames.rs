//! Records as the bytes of a segment: drafts by the callers, completed by the writer.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::format::frame::{Draft, HEADER_LEN, Key, Kind, Lag};
use crate::lsn::Lsn;
use crate::queue::cost::Cost;

/// Frames in the order of the log. Small payloads are copied. Large ones stay where they are until
/// they are written, because a copy costs more than a gathering write.
#[derive(Default)]
pub(crate) struct Frames {
    copied: Vec<u8>,
    /// The bytes at the start of `copied` that were removed.
    start: usize,
    /// Payloads that are not copied, with the position of each in `copied`.
    large: VecDeque<(usize, Bytes)>,
    /// The bytes of the large payloads.
    large_bytes: usize,
}

/// The end of a frame: a number of copied bytes and of large payloads.
#[derive(Clone, Copy)]
struct Position {
    copied: usize,
    large: usize,
}

impl Frames {
    /// The total number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.copied.len() - self.start + self.large_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.copied.len()
    }

    /// Adds a frame. Takes the payload if it is not copied.
    pub(super) fn push(&mut self, draft: Draft, payload: &mut Bytes) {
        self.copied.extend_from_slice(&draft.encode());
        if is_large(payload.len()) {
            self.large_bytes += payload.len();
            let payload = std::mem::take(payload);
            self.large.push_back((self.copied.len(), payload));
        } else {
            self.copied.extend_from_slice(payload);
        }
    }

    /// Moves the frames in the first `bytes` bytes to the end of `other`. They are copied, unless
    /// they are all frames and `other` is empty.
    pub(crate) fn move_to(&mut self, other: &mut Self, bytes: usize) {
        if other.is_empty() && bytes == self.len() {
            std::mem::swap(self, other);
            return;
        }
        let end = self.position(bytes);
        let (from, to) = (self.start, other.copied.len());
        other
            .copied
            .extend_from_slice(&self.copied[from..end.copied]);
        for (at, payload) in self.large.drain(..end.large) {
            self.large_bytes -= payload.len();
            other.large_bytes += payload.len();
            other.large.push_back((at - from + to, payload));
        }
        self.go_on_from(end.copied);
    }

    /// Drops the frames in the first `bytes` bytes.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let end = self.position(bytes);
        for (_, payload) in self.large.drain(..end.large) {
            self.large_bytes -= payload.len();
        }
        self.go_on_from(end.copied);
    }

    /// Removes the bytes before `start`. Their memory is reclaimed once they are as many as the
    /// rest. So the memory is in proportion to what waits, and each byte moves at most once on
    /// average.
    fn go_on_from(&mut self, start: usize) {
        self.start = start;
        if self.is_empty() {
            self.copied.clear();
            self.start = 0;
        } else if start >= COMPACTED_FROM.max(self.copied.len() - start) {
            self.copied.drain(..start);
            self.copied.shrink_to_fit();
            self.large.iter_mut().for_each(|(at, _)| *at -= start);
            self.start = 0;
        }
    }

    /// Empties it. Keeps the memory, unless that is larger than `limit`.
    pub(crate) fn clear(&mut self, limit: usize) {
        self.copied.clear();
        self.start = 0;
        self.large.clear();
        self.large_bytes = 0;
        self.shrink(limit);
    }

    pub(super) fn shrink(&mut self, limit: usize) {
        self.copied.shrink_to(limit);
    }

    /// The cost of each append from this byte on, at which a frame begins.
    pub(crate) fn costs_from(&self, byte: usize) -> impl Iterator<Item = Cost> + '_ {
        let mut at = self.position(byte).copied;
        std::iter::from_fn(move || {
            let mut cost = Cost::default();
            while at < self.copied.len() {
                let draft = Draft::decode(self.copied[at..].first_chunk().expect("a header"));
                at += copied_len(draft);
                cost.records += 1;
                cost.bytes += HEADER_LEN + draft.len as usize;
                if draft.kind == Kind::Record {
                    return Some(cost);
                }
            }
            None
        })
    }

    /// Completes all headers for the segment with this key, with LSNs from `next` on. `durable` is
    /// the last LSN on disk. Returns the LSN after the last one.
    pub(crate) fn complete(&mut self, key: &Key, mut next: Lsn, durable: Lsn) -> Lsn {
        let mut rest = &mut self.copied[self.start..];
        while let Some((header, behind)) = rest.split_first_chunk_mut() {
            let draft = Draft::decode(header);
            *header = draft.complete(next, Lag::between(next, durable), key);
            next = next.next();
            rest = &mut behind[copied_len(draft) - HEADER_LEN..];
        }
        next
    }

    /// Calls `write` with its bytes, in pieces.
    pub(crate) fn write_with<T>(&self, write: impl FnOnce(&mut [IoSlice<'_>]) -> T) -> T {
        match self.large.is_empty() {
            true => write(&mut [IoSlice::new(&self.copied[self.start..])]),
            false => write(&mut self.pieces()),
        }
    }

    /// A copy of its bytes, in pieces. A large payload is a piece of its own, and is shared instead
    /// of copied.
    pub(crate) fn share(&self) -> Vec<Bytes> {
        let copied = Bytes::copy_from_slice(&self.copied[self.start..]);
        let mut pieces = Vec::with_capacity(2 * self.large.len() + 1);
        let mut from = 0;
        for (at, payload) in &self.large {
            let to = at - self.start;
            pieces.push(copied.slice(from..to));
            pieces.push(payload.clone());
            from = to;
        }
        pieces.push(copied.slice(from..));
        pieces
    }

    fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(2 * self.large.len() + 1);
        let mut from = self.start;
        for (to, payload) in &self.large {
            pieces.push(IoSlice::new(&self.copied[from..*to]));
            pieces.push(IoSlice::new(payload));
            from = *to;
        }
        pieces.push(IoSlice::new(&self.copied[from..]));
        pieces
    }

    /// The position after the first `bytes` bytes.
    fn position(&self, bytes: usize) -> Position {
        let (mut copied, mut rest) = (self.start, bytes);
        let mut large = 0;
        for (at, payload) in &self.large {
            let until = at - copied + payload.len();
            if rest < until {
                break;
            }
            rest -= until;
            copied = *at;
            large += 1;
        }
        Position {
            copied: copied + rest,
            large,
        }
    }
}

/// The number of bytes of a frame that are copied.
fn copied_len(draft: Draft) -> usize {
    match draft.len as usize {
        len if is_large(len) => HEADER_LEN,
        len => HEADER_LEN + len,
    }
}

fn is_large(len: usize) -> bool {
    len >= LARGE
}

/// Up to this many removed bytes are kept in memory.
const COMPACTED_FROM: usize = 1024 * 1024;

/// Payloads of at least this length are not copied.
pub(crate) const LARGE: usize = 16 * 1024;

#[cfg(test)]
mod tests;
