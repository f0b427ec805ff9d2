//! Reading a finished segment while the log is open.
//!
//! It is the replay's scan with the replay's verdict: a segment that has a successor ends where the log
//! says, or it is damaged.

use crate::error::{CorruptionKind, Result};
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::record::Record;
use crate::recovery::chunk::{Chunk, Keep};
use crate::recovery::plan::Found;
use crate::recovery::scan::{Scan, Stop};
use crate::storage::Dir;

/// A finished segment that is being read.
pub(crate) struct FinishedScan {
    dir: Dir,
    scan: Scan,
    /// Its last record, and where that ends.
    end: (Lsn, u64),
    stop: Option<Stop>,
}

impl FinishedScan {
    /// Opens the segment with this header, whose last record ends at `end`.
    pub(crate) fn open(dir: &Dir, header: &Header, last: Lsn, end: u64) -> Result<Self> {
        let found = Found::read(dir, header.base)?;
        found.check_len(dir)?;
        let planned = found.planned;
        if planned.header != *header {
            return Err(planned
                .damaged(dir, CorruptionKind::ChainBroken, header.base)
                .into());
        }
        Ok(Self {
            dir: dir.clone(),
            scan: Scan::open(dir, &planned, Some(end))?,
            end: (last, end),
            stop: None,
        })
    }

    /// Whether the next block is one large record, which should be alone in memory.
    pub(crate) fn is_large_next(&self) -> bool {
        self.scan.is_large_next()
    }

    /// Reads a block, and returns its records from `from` on. `None` at the end of the segment.
    ///
    /// What can be read before damage is returned before the error.
    pub(crate) fn read(&mut self, from: Lsn) -> Result<Option<Vec<Record>>> {
        if let Some(stop) = self.stop {
            return self.check_end(stop).map(|()| None);
        }
        let mut chunk = Chunk::new(Keep::ALL);
        self.stop = self.scan.read_block(&mut chunk)?;
        chunk.skip_before(from);
        Ok(Some(chunk.into_records().collect()))
    }

    fn check_end(&self, stop: Stop) -> Result<()> {
        if let Stop::UnknownKind(kind) = stop {
            return Err(self.scan.unsupported(kind));
        }
        let is_whole = (self.scan.end() == self.end && !self.scan.walker.is_in_unit())
            || is_active(Mutant::OpenSegmentRead);
        let damaged = || {
            self.scan
                .damaged(&self.dir, CorruptionKind::SealedDamaged, self.end.0)
        };
        is_whole.then_some(()).ok_or_else(|| damaged().into())
    }
}
