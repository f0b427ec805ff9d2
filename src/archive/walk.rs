//! A walk over a segment's frames as its bytes come by: do they hold, and where do they end. No I/O.

use crc32fast::Hasher;

use crate::format;
use crate::format::frame::{self, Frame, Key, Kind};
use crate::format::segment::Header;
use crate::lsn::Lsn;

/// A walk that takes bytes piece by piece and remembers where the last whole unit ended.
pub(super) struct Walk {
    key: Key,
    capacity: u64,
    /// Units that go beyond this LSN do not count.
    upto: Lsn,
    /// What comes next.
    state: State,
    next: Lsn,
    offset: u64,
    /// The last LSN of the last unit that counts, and where it ends.
    end: (Lsn, u64),
}

enum State {
    /// A frame's header, of which these bytes were seen.
    Header(Vec<u8>),
    Payload {
        frame: Frame,
        left: u64,
        hasher: Hasher,
    },
}

/// What is wrong with a frame, and where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Flaw {
    pub(super) offset: u64,
    pub(super) reason: &'static str,
}

impl Walk {
    /// A walk over the records of a segment, from its first to the last one up to `upto`.
    pub(super) fn new(header: &Header, upto: Lsn) -> Self {
        Self {
            key: header.key(),
            capacity: header.capacity,
            upto,
            state: State::Header(Vec::with_capacity(frame::HEADER_LEN)),
            next: header.base,
            offset: format::DATA_OFFSET,
            end: (header.base.prev(), format::DATA_OFFSET),
        }
    }

    /// The LSN of the last record that counts, and where it ends.
    pub(super) fn end(&self) -> (Lsn, u64) {
        self.end
    }

    /// Whether whatever may follow does not count.
    pub(super) fn is_done(&self) -> bool {
        self.next > self.upto
    }

    /// Takes what follows the bytes before it; the first bytes are those behind the header block.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        while !bytes.is_empty() && !self.is_done() {
            let taken = match &mut self.state {
                State::Header(seen) => {
                    let taken = bytes.len().min(frame::HEADER_LEN - seen.len());
                    seen.extend_from_slice(&bytes[..taken]);
                    taken
                }
                State::Payload { left, hasher, .. } => {
                    let taken = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    hasher.update(&bytes[..taken]);
                    *left -= taken as u64;
                    taken
                }
            };
            bytes = &bytes[taken..];
            self.advance()?;
        }
        Ok(())
    }

    /// Goes on if the header or the payload is complete.
    fn advance(&mut self) -> Result<(), Flaw> {
        if let State::Header(seen) = &self.state
            && let Some(header) = seen.first_chunk()
        {
            let frame = Frame::decode(header, &self.key);
            let frame = frame.ok_or_else(|| self.flaw("there is no record"))?;
            self.begin(frame)?;
        }
        if let State::Payload {
            left: 0,
            hasher,
            frame,
        } = &self.state
        {
            let (frame, crc) = (*frame, hasher.clone().finalize());
            self.finish(&frame, crc)?;
        }
        Ok(())
    }

    fn begin(&mut self, frame: Frame) -> Result<(), Flaw> {
        if !frame.is_record() || frame.lsn != self.next {
            return Err(self.flaw("there is another record"));
        }
        if self.offset + frame.total_len() > self.capacity {
            return Err(self.flaw("a record is longer than its segment"));
        }
        self.state = State::Payload {
            frame,
            left: frame.len.into(),
            hasher: Hasher::new(),
        };
        Ok(())
    }

    fn finish(&mut self, frame: &Frame, crc: u32) -> Result<(), Flaw> {
        if crc != frame.crc {
            return Err(self.flaw("a record does not match its checksum"));
        }
        self.offset += frame.total_len();
        self.next = frame.lsn.next();
        self.state = State::Header(Vec::with_capacity(frame::HEADER_LEN));
        if frame.kind == Kind::Record {
            self.end = (frame.lsn, self.offset);
        }
        Ok(())
    }

    fn flaw(&self, reason: &'static str) -> Flaw {
        Flaw {
            offset: self.offset,
            reason,
        }
    }
}
