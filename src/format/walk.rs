//! Reading a segment's records one after the other (`docs/format.md`, "Reading"): which frame continues
//! the log, and where the last whole unit ends. No I/O.
//!
//! A [`Walker`] judges headers and is told which payloads hold: it serves callers that have the bytes in memory
//! anyway. A [`Checker`] is a walker that takes the bytes in pieces of any size and keeps none of them.
//! Recovery, the survey, backups and imports read segments with these two, and with nothing else.

use crc32fast::Hasher;

use crate::format::DATA_OFFSET;
use crate::format::frame::{self, Frame, Kind, Raw};
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};

/// A position in a segment, and the rules for what continues the log there.
#[derive(Clone, Debug)]
pub(crate) struct Walker {
    key: frame::Key,
    /// The offset at or before which records must end.
    limit: u64,
    /// The offset at which the next frame is expected.
    offset: u64,
    /// The last record before that offset.
    last: Lsn,
    /// The last record of the last complete unit, and where it ends.
    end: (Lsn, u64),
    /// The last record that a frame so far proves to have been durable.
    proven: Lsn,
}

/// Why nothing continues the log where the next frame is expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    /// No frame of this segment.
    NoFrame,
    /// A frame of another record.
    OtherRecord,
    /// The record would end beyond the limit.
    TooLong,
    /// The next frame is of a kind that only a later version knows.
    UnknownKind(u8),
    /// The next record, with a payload that does not match its checksum.
    BadPayload(Frame),
}

impl Walker {
    /// A walker at the first record of a segment whose records end at or before `limit`.
    pub(crate) fn new(header: &Header, limit: u64) -> Self {
        let last = header.base.prev();
        Self {
            key: header.key(),
            limit,
            offset: DATA_OFFSET,
            last,
            end: (last, DATA_OFFSET),
            proven: last,
        }
    }

    pub(crate) fn key(&self) -> &frame::Key {
        &self.key
    }

    /// The offset at or before which records must end.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The offset at which the next frame is expected.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The last record that the walker has passed.
    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    /// The LSN of the next record, or `None` after the last possible LSN.
    pub(crate) fn expected(&self) -> Option<Lsn> {
        self.last.checked_add(1)
    }

    /// The last record of the last complete unit, and where it ends.
    pub(crate) fn end(&self) -> (Lsn, u64) {
        self.end
    }

    /// The last record that a frame so far proves to have been durable.
    pub(crate) fn proven(&self) -> Lsn {
        self.proven
    }

    /// Whether the walker is inside an atomic batch.
    pub(crate) fn is_in_unit(&self) -> bool {
        self.last != self.end.0
    }

    /// The record that continues the log, judged by its header only. `header` has the bytes at the
    /// offset where the next frame is expected.
    #[inline]
    pub(crate) fn look(&self, header: &[u8; frame::HEADER_LEN]) -> Result<Frame, Flaw> {
        let fits = |len: u64| self.offset + len <= self.limit || is_active(Mutant::LengthTrusted);
        if !fits(frame::HEADER_LEN as u64) {
            return Err(Flaw::TooLong);
        }
        let raw = Raw::decode(header, &self.key).ok_or(Flaw::NoFrame)?;
        if Some(raw.lsn) != self.expected() {
            return Err(Flaw::OtherRecord);
        }
        let frame = raw.record().ok_or(Flaw::UnknownKind(raw.kind))?;
        match fits(frame.total_len()) {
            true => Ok(frame),
            false => Err(Flaw::TooLong),
        }
    }

    /// Moves past a frame that [`look`](Self::look) has accepted and whose payload matches its
    /// checksum.
    #[inline]
    pub(crate) fn pass(&mut self, frame: &Frame) {
        self.offset += frame.total_len();
        self.last = frame.lsn;
        self.proven = self.proven.max(frame.proves());
        if frame.kind == Kind::Record {
            self.end = (self.last, self.offset);
        }
    }

    /// Continues after something that cannot be read, at the frame of the record after `last`.
    #[cfg(feature = "tools")]
    pub(crate) fn resume_at(&mut self, offset: u64, last: Lsn) {
        (self.offset, self.last) = (offset, last);
        self.end = (last, offset);
    }
}

/// A walker that takes the bytes in pieces and keeps none of them.
pub(crate) struct Checker {
    walker: Walker,
    state: State,
}

enum State {
    /// A frame's header, of which this many bytes have arrived.
    Header([u8; frame::HEADER_LEN], usize),
    Payload {
        frame: Frame,
        left: u64,
        hasher: Hasher,
    },
}

impl State {
    const START: Self = Self::Header([0; frame::HEADER_LEN], 0);
}

impl Checker {
    pub(crate) fn new(walker: Walker) -> Self {
        Self {
            walker,
            state: State::START,
        }
    }

    pub(crate) fn walker(&self) -> &Walker {
        &self.walker
    }

    /// The frame whose payload has not arrived completely.
    pub(crate) fn frame(&self) -> Option<Frame> {
        match &self.state {
            State::Header(..) => None,
            State::Payload { frame, .. } => Some(*frame),
        }
    }

    pub(crate) fn into_walker(self) -> Walker {
        self.walker
    }

    /// Takes the next bytes, at most up to the end of one frame, and returns how many it took. It
    /// must not be called again after a flaw.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        let taken = match &mut self.state {
            State::Header(header, seen) => {
                let taken = bytes.len().min(frame::HEADER_LEN - *seen);
                header[*seen..*seen + taken].copy_from_slice(&bytes[..taken]);
                *seen += taken;
                taken
            }
            State::Payload { left, hasher, .. } => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                hasher.update(&bytes[..taken]);
                *left -= taken as u64;
                taken
            }
        };
        self.advance()?;
        Ok(taken)
    }

    /// Moves on if the header or the payload is complete.
    fn advance(&mut self) -> Result<(), Flaw> {
        if let State::Header(header, frame::HEADER_LEN) = &self.state {
            let frame = self.walker.look(header)?;
            self.state = State::Payload {
                frame,
                left: frame.len.into(),
                hasher: Hasher::new(),
            };
        }
        if let State::Payload {
            left: 0,
            hasher,
            frame,
        } = &self.state
        {
            if hasher.clone().finalize() != frame.crc {
                return Err(Flaw::BadPayload(*frame));
            }
            self.walker.pass(frame);
            self.state = State::START;
        }
        Ok(())
    }
}
