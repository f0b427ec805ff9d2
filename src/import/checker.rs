//! Checks a segment's bytes as they arrive. No I/O.

use std::fmt;

use crate::format::segment::{self, Header};
use crate::format::walk::{Checker, Flaw, Walker};
use crate::format::{DATA_OFFSET, HEADER_BLOCK_LEN};
use crate::lsn::Lsn;

/// Checks the bytes of a finished segment as they arrive, and keeps none of them: the header, every
/// record, and the order of the records.
///
/// The bytes must be those that [`FinishedSegment::bytes`](crate::FinishedSegment::bytes) returns,
/// starting with the first one, in pieces of any size. The file of a segment differs: its header
/// block holds more.
pub struct SegmentChecker {
    header: Header,
    /// The part of the header block received so far.
    block: Vec<u8>,
    checker: Checker,
    /// Records after this one are not checked.
    upto: Lsn,
}

/// A flaw in the bytes of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SegmentFlaw {
    /// Where the flaw is, in bytes from the start of the segment.
    pub offset: u64,
    /// The kind of flaw.
    pub reason: &'static str,
}

impl SegmentChecker {
    /// Creates a checker for the segment with this header.
    #[must_use]
    pub fn new(header: Header) -> Self {
        Self::up_to(header, Lsn::new(u64::MAX))
    }

    /// Like [`new`](Self::new), but ignores everything after the record `upto`.
    #[must_use]
    pub fn up_to(header: Header, upto: Lsn) -> Self {
        Self {
            header,
            block: Vec::new(),
            checker: Checker::new(Walker::new(&header, header.capacity)),
            upto,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// A [`SegmentFlaw`] if the bytes do not belong to the segment. The checker cannot be used
    /// after that.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), SegmentFlaw> {
        let mut records = self.feed_block(bytes)?;
        while !records.is_empty() && !self.is_done() {
            let taken = self.checker.feed(records);
            records = &records[taken.map_err(|flaw| self.flaw(flaw))?..];
        }
        Ok(())
    }

    /// The last record of the last whole unit so far, and where it ends. An atomic batch is one unit.
    #[must_use]
    pub fn end(&self) -> (Lsn, u64) {
        self.checker.walker().end()
    }

    /// Whether any further bytes are ignored.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.checker.walker().last() >= self.upto
    }

    /// Takes the bytes of the header block, and returns the rest.
    fn feed_block<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], SegmentFlaw> {
        let missing = HEADER_BLOCK_LEN - self.block.len();
        let (block, records) = bytes.split_at(bytes.len().min(missing));
        self.block.extend_from_slice(block);
        if block.len() == missing && missing > 0 {
            self.check_block()?;
        }
        Ok(records)
    }

    /// The header block must hold nothing except the header.
    fn check_block(&self) -> Result<(), SegmentFlaw> {
        let header = self.block.first_chunk().map(Header::decode);
        let is_bare = self.block[segment::HEADER_LEN..].iter().all(|&at| at == 0);
        match header == Some(Ok(self.header)) && is_bare {
            true => Ok(()),
            false => Err(SegmentFlaw {
                offset: 0,
                reason: "its header is another one",
            }),
        }
    }

    fn flaw(&self, flaw: Flaw) -> SegmentFlaw {
        SegmentFlaw {
            offset: self.checker.walker().offset(),
            reason: match flaw {
                Flaw::NoFrame => "the next record is missing or damaged",
                Flaw::OtherRecord => "there is another record",
                Flaw::TooLong => "a record is longer than its segment",
                Flaw::UnknownKind(_) => "there is a frame of a later version",
                Flaw::BadPayload(_) => "a record does not match its checksum",
            },
        }
    }
}

impl fmt::Debug for SegmentChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentChecker")
            .field("header", &self.header)
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SegmentFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for SegmentFlaw {}

const _: () = assert!(HEADER_BLOCK_LEN as u64 == DATA_OFFSET);
