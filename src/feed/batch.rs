//! A written batch as bytes, and a cursor over its records.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::format::frame;
use crate::lsn::Lsn;
use crate::record::Record;

/// A batch that was written. It has the same frames as the file, in pieces. A piece ends with a
/// frame, or with a frame's header whose payload is the next piece.
pub(super) struct Batch {
    first: Lsn,
    last: Lsn,
    pieces: Vec<Bytes>,
    cost: usize,
}

impl Batch {
    pub(super) fn new(lsns: RangeInclusive<Lsn>, pieces: Vec<Bytes>) -> Self {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        Self {
            first: *lsns.start(),
            last: *lsns.end(),
            cost: bytes + OVERHEAD + pieces.len() * size_of::<Bytes>(),
            pieces,
        }
    }

    pub(super) fn first(&self) -> Lsn {
        self.first
    }

    pub(super) fn last(&self) -> Lsn {
        self.last
    }

    /// The approximate memory that it takes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }
}

/// A position between two records of a batch.
pub(crate) struct Cursor {
    batch: Arc<Batch>,
    next: Lsn,
    piece: usize,
    offset: usize,
}

impl Cursor {
    /// A cursor before the record `lsn`, or at the beginning of a batch that begins after it.
    pub(super) fn at(batch: Arc<Batch>, lsn: Lsn) -> Self {
        let mut cursor = Self {
            next: batch.first,
            batch,
            piece: 0,
            offset: 0,
        };
        while cursor.next < lsn && cursor.next_payload().is_some() {}
        cursor
    }

    /// The next record of the batch.
    pub(crate) fn next(&mut self) -> Option<Record> {
        let lsn = self.next;
        let payload = self.next_payload()?;
        Some(Record { lsn, payload })
    }

    fn next_payload(&mut self) -> Option<Bytes> {
        if self.next > self.batch.last {
            return None;
        }
        self.next = self.next.next();
        let mut piece = &self.batch.pieces[self.piece];
        if self.offset == piece.len() {
            self.piece += 1;
            self.offset = 0;
            piece = &self.batch.pieces[self.piece];
        }
        let start = self.offset + frame::HEADER_LEN;
        let header = &piece[self.offset..start];
        let len = frame::payload_len(header.first_chunk().expect("a header is whole"));
        if len > 0 && start == piece.len() {
            // The payload was too large to be copied, so it is a piece of its own.
            self.piece += 2;
            self.offset = 0;
            return Some(self.batch.pieces[self.piece - 1].clone());
        }
        self.offset = start + len;
        Some(piece.slice(start..self.offset))
    }
}

/// The memory that a batch takes besides its bytes.
const OVERHEAD: usize = size_of::<Batch>() + 64;
