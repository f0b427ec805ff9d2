//! Continuing after damage.

use bytes::Bytes;

use crate::error::IoFailure;
use crate::format::frame;
use crate::format::search::Search;
use crate::lsn::Lsn;
use crate::recovery::bad_pages::next_page;
use crate::recovery::chunk::Chunk;
use crate::recovery::scan::{BLOCK_LEN, Scan, Stop};

impl Scan {
    /// Moves to the first frame of a later record, up to `upto`. The search begins after the record
    /// at which reading stopped, if its header is valid. Returns whether there is such a frame.
    ///
    /// Every byte is examined once, however many frames are found.
    pub(in crate::recovery) fn resume(&mut self, stop: Stop, upto: Lsn) -> Result<bool, IoFailure> {
        let search = Search::behind(&self.walker, &self.segment.header);
        let (expected, limit) = (self.walker.last().next(), self.walker.limit());
        let mut offset = match stop {
            Stop::BadRecord(frame) | Stop::Unreadable(Some(frame)) => {
                self.walker.offset() + frame.total_len()
            }
            _ => self.walker.offset(),
        };
        while offset + frame::HEADER_LEN as u64 <= limit {
            let mut bytes = self.bytes_at(offset)?;
            bytes.truncate(usize::try_from(limit - offset).unwrap_or(usize::MAX));
            if bytes.len() < frame::HEADER_LEN {
                let Some(page) = self.bad_page else { break };
                offset = next_page(page);
                continue;
            }
            let found = search
                .frames_in(&bytes, offset)
                .find(|(_, frame)| frame.lsn > expected);
            if let Some((at, frame)) = found {
                return Ok(self.resume_at(at, frame.lsn, upto));
            }
            offset += (bytes.len() - (frame::HEADER_LEN - 1)) as u64;
        }
        Ok(false)
    }

    fn resume_at(&mut self, offset: u64, lsn: Lsn, upto: Lsn) -> bool {
        if lsn <= upto {
            self.stopped_at_page = None;
            self.unit = Chunk::new(self.unit.keep);
            self.walker.resume_at(offset, lsn.prev());
        }
        lsn <= upto
    }

    /// The bytes in memory from `offset` on. Reads another block if they are shorter than a header.
    fn bytes_at(&mut self, offset: u64) -> Result<Bytes, IoFailure> {
        let index = |scan: &Self| usize::try_from(offset.checked_sub(scan.block.at)?).ok();
        let is_read = |scan: &Self| {
            index(scan).is_some_and(|at| at + frame::HEADER_LEN <= scan.block.bytes.len())
        };
        if !is_read(self) {
            self.fill(offset, BLOCK_LEN)?;
        }
        let at = index(self).expect("the block begins there, or before");
        let bytes = &self.block.bytes;
        Ok(bytes.slice(at.min(bytes.len())..))
    }
}
