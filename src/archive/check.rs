//! A segment as its parts come from the store: does it hold.

use crate::archive::error::{Error, Result};
use crate::archive::manifest::Shipped;
use crate::archive::objects::Objects;
use crate::archive::read::part_of;
use crate::archive::walk::Walk;
use crate::format;
use crate::format::segment::{self, Header};
use crate::lsn::Lsn;

/// The check of a segment, up to a record, part by part.
pub(super) struct SegmentCheck<'a> {
    objects: &'a Objects,
    segment: &'a Shipped,
    upto: Lsn,
    walk: Walk,
}

impl<'a> SegmentCheck<'a> {
    pub(super) fn new(objects: &'a Objects, segment: &'a Shipped, upto: Lsn) -> Self {
        Self {
            objects,
            segment,
            upto,
            walk: Walk::new(&segment.sealed.header, upto),
        }
    }

    /// Whether the parts that may follow are not wanted.
    pub(super) fn is_done(&self) -> bool {
        self.walk.is_done()
    }

    /// Checks the next part: its checksum, and every record in it.
    pub(super) fn take(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        self.check_sum(index, bytes)?;
        let damaged = |reason| self.damaged(index, reason);
        let data = match index {
            0 => check_header(bytes, &self.segment.sealed.header).map_err(damaged)?,
            _ => bytes,
        };
        let walked = self.walk.feed(data);
        walked.map_err(|flaw| self.damaged(index, flaw.reason))
    }

    /// Checks a part without those before it.
    pub(super) fn check_sum(&self, index: usize, bytes: &[u8]) -> Result<()> {
        match part_of(bytes) == self.segment.parts[index] {
            true => Ok(()),
            false => Err(self.damaged(index, "it does not match its length and checksum")),
        }
    }

    /// The last record that is wanted, and where it ends.
    pub(super) fn finish(&self) -> Result<(Lsn, u64)> {
        let (end, sealed) = (self.walk.end(), self.segment.sealed);
        if self.upto < sealed.last || end == (sealed.last, sealed.end) {
            return Ok(end);
        }
        let newest = self.segment.parts.len() - 1;
        Err(self.damaged(newest, "it ends at another place than the manifest says"))
    }

    fn damaged(&self, index: usize, reason: &'static str) -> Error {
        Error::Damaged {
            object: self.objects.part(self.segment, index).to_string(),
            reason,
        }
    }
}

/// The records behind a header block, if that is the one of this segment.
fn check_header<'a>(bytes: &'a [u8], header: &Header) -> Result<&'a [u8], &'static str> {
    let (block, data) = bytes
        .split_at_checked(format::HEADER_BLOCK_LEN)
        .ok_or("it is shorter than a header block")?;
    let is_header = block.first_chunk().map(Header::decode) == Some(Ok(*header));
    let is_bare = block[segment::HEADER_LEN..].iter().all(|&byte| byte == 0);
    if is_header && is_bare {
        Ok(data)
    } else {
        Err("its header is another one than the manifest says")
    }
}
