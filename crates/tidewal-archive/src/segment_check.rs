//! Checks a segment as its parts come from the store.

use tidewal::Lsn;
use tidewal::import::SegmentChecker;

use crate::error::{Error, Result};
use crate::manifest::{Part, Shipped};
use crate::objects::Objects;

/// Checks a segment part by part, up to a record.
pub(super) struct SegmentCheck<'a> {
    objects: &'a Objects,
    segment: &'a Shipped,
    upto: Lsn,
    checker: SegmentChecker,
}

impl<'a> SegmentCheck<'a> {
    pub(super) fn new(objects: &'a Objects, segment: &'a Shipped, upto: Lsn) -> Self {
        Self {
            objects,
            segment,
            upto,
            checker: SegmentChecker::up_to(segment.sealed.header, upto),
        }
    }

    /// Whether no further part is needed.
    pub(super) fn is_done(&self) -> bool {
        self.checker.is_done()
    }

    /// Checks the next part: its checksum, and every record in it.
    pub(super) fn take(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        self.check_sum(index, bytes)?;
        let checked = self.checker.feed(bytes);
        checked.map_err(|flaw| self.damaged(index, flaw.reason))
    }

    /// Checks the length and checksum of a part on its own.
    pub(super) fn check_sum(&self, index: usize, bytes: &[u8]) -> Result<()> {
        let found = Part {
            len: bytes.len() as u64,
            crc: crc32fast::hash(bytes),
        };
        match found == self.segment.parts[index] {
            true => Ok(()),
            false => Err(self.damaged(index, "it does not match its length and checksum")),
        }
    }

    /// The last requested record, and the offset at which it ends.
    pub(super) fn finish(&self) -> Result<(Lsn, u64)> {
        let (end, sealed) = (self.checker.end(), self.segment.sealed);
        if self.upto < sealed.last || end == (sealed.last, sealed.end) {
            return Ok(end);
        }
        let newest = self.segment.parts.len() - 1;
        Err(self.damaged(newest, "it does not end where the manifest says"))
    }

    fn damaged(&self, index: usize, reason: &'static str) -> Error {
        Error::Damaged {
            object: self.objects.part(self.segment, index).to_string(),
            reason,
        }
    }
}
