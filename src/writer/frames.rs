//! Records laid out as the bytes of a segment.

use std::io::IoSlice;

use bytes::Bytes;

use crate::format::frame::{Frame, Key, Kind, Lag};
use crate::lsn::Lsn;
use crate::queue::request::Entry;

/// Frames, one behind the other. Small payloads are copied; large ones stay where they are until they
/// are written, as copying costs them more than the system's having to gather them.
#[derive(Default)]
pub(super) struct Frames {
    copied: Vec<u8>,
    /// Payloads, and how many of the copied bytes stand before each.
    large: Vec<(usize, Bytes)>,
    /// Bytes of the large ones.
    large_bytes: usize,
}

impl Frames {
    /// Bytes in all.
    pub(super) fn len(&self) -> u64 {
        (self.copied.len() + self.large_bytes) as u64
    }

    /// Hands its bytes to `write`, piece by piece.
    pub(super) fn write_with<T>(&self, write: impl FnOnce(&mut [IoSlice<'_>]) -> T) -> T {
        match self.large.is_empty() {
            true => write(&mut [IoSlice::new(&self.copied)]),
            false => write(&mut self.pieces()),
        }
    }

    /// A copy of its bytes, in pieces: a large payload is a piece of its own, and is shared.
    pub(super) fn share(&self) -> Vec<Bytes> {
        let copied = Bytes::copy_from_slice(&self.copied);
        let mut pieces = Vec::with_capacity(2 * self.large.len() + 1);
        let mut from = 0;
        for (to, payload) in &self.large {
            pieces.push(copied.slice(from..*to));
            pieces.push(payload.clone());
            from = *to;
        }
        pieces.push(copied.slice(from..));
        pieces
    }

    fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(2 * self.large.len() + 1);
        let mut from = 0;
        for (to, payload) in &self.large {
            pieces.push(IoSlice::new(&self.copied[from..*to]));
            pieces.push(IoSlice::new(payload));
            from = *to;
        }
        pieces.push(IoSlice::new(&self.copied[from..]));
        pieces
    }

    /// Empties it, and keeps its memory unless something much larger than usual has blown it up.
    pub(super) fn clear(&mut self, limit: usize) {
        self.copied.clear();
        self.copied.shrink_to(limit);
        self.large.clear();
        self.large_bytes = 0;
    }

    fn push(&mut self, header: &[u8], payload: &Bytes) {
        self.copied.extend_from_slice(header);
        if payload.len() < LARGE {
            self.copied.extend_from_slice(payload);
        } else {
            self.large.push((self.copied.len(), payload.clone()));
            self.large_bytes += payload.len();
        }
    }
}

/// Lays records out as frames of one segment.
pub(super) struct Encoder<'a> {
    pub(super) key: &'a Key,
    pub(super) durable: Lsn,
    /// The LSN of the next record.
    pub(super) next: Lsn,
    pub(super) frames: Frames,
}

impl Encoder<'_> {
    /// Encodes the records of one append, all of which are to be kept or none. Returns the bytes of
    /// their payloads.
    pub(super) fn encode(&mut self, entries: &[Entry]) -> u64 {
        let last = entries.len() - 1;
        let mut payload_bytes = 0;
        for (index, entry) in entries.iter().enumerate() {
            let kind = if index == last {
                Kind::Record
            } else {
                Kind::Part
            };
            self.encode_one(entry, kind);
            payload_bytes += entry.payload.len() as u64;
        }
        payload_bytes
    }

    fn encode_one(&mut self, entry: &Entry, kind: Kind) {
        let frame = Frame {
            kind,
            lsn: self.next,
            len: u32::try_from(entry.payload.len()).expect("a record fits a segment"),
            crc: entry.crc,
            lag: Lag::between(self.next, self.durable),
        };
        self.frames.push(&frame.encode(self.key), &entry.payload);
        self.next = self.next.next();
    }
}

/// From this length on a payload is not copied.
const LARGE: usize = 16 * 1024;
