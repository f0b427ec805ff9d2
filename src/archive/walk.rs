//! A check of a segment's frames as its bytes come by: do they hold, and where do they end. No I/O.

use crate::format::segment::Header;
use crate::format::walk::{Checker, Flaw as FrameFlaw, Walker};
use crate::lsn::Lsn;

/// The shared check of frames, up to a record.
pub(super) struct Walk {
    checker: Checker,
    /// Units that go beyond this LSN do not count.
    upto: Lsn,
}

/// What is wrong with a frame, and where it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Flaw {
    pub(super) offset: u64,
    pub(super) reason: &'static str,
}

impl Walk {
    /// A walk over the records of a segment, from its first to the last one up to `upto`.
    pub(super) fn new(header: &Header, upto: Lsn) -> Self {
        Self {
            checker: Checker::new(Walker::new(header, header.capacity)),
            upto,
        }
    }

    /// The LSN of the last record that counts, and where it ends.
    pub(super) fn end(&self) -> (Lsn, u64) {
        self.checker.walker().end()
    }

    /// Whether whatever may follow does not count.
    pub(super) fn is_done(&self) -> bool {
        self.checker.walker().last() >= self.upto
    }

    /// Takes what follows the bytes before it; the first bytes are those behind the header block.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        while !bytes.is_empty() && !self.is_done() {
            let taken = self.checker.feed(bytes);
            bytes = &bytes[taken.map_err(|flaw| self.flaw(flaw))?..];
        }
        Ok(())
    }

    fn flaw(&self, flaw: FrameFlaw) -> Flaw {
        Flaw {
            offset: self.checker.walker().offset(),
            reason: match flaw {
                FrameFlaw::NoFrame => "there is no record",
                FrameFlaw::OtherRecord => "there is another record",
                FrameFlaw::TooLong => "a record is longer than its segment",
                FrameFlaw::UnknownKind(_) => "there is a frame of a later version",
                FrameFlaw::BadPayload(_) => "a record does not match its checksum",
            },
        }
    }
}
