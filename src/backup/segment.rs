//! One segment of a backup.

use crate::error::{Corruption, CorruptionKind, Result};
use crate::format::segment::Header;
use crate::format::walk::{Checker, Flaw, Walker};
use crate::format::{self, names};
use crate::lsn::Lsn;
use crate::storage::{Dir, File, Mode};
use crate::unfinished_dir::UnfinishedDir;

/// A segment to be copied up to a record.
pub(super) struct Part {
    pub(super) header: Header,
    /// The last record to be copied.
    pub(super) last: Lsn,
}

impl Part {
    /// Copies the segment. `check` is called between two pieces, and its error ends the copy.
    pub(super) async fn copy(
        &self,
        source: &Dir,
        unfinished: &mut UnfinishedDir,
        check: &(impl Fn() -> Result<()> + Sync),
    ) -> Result<()> {
        unfinished.begin_segment(self.header).await?;
        let mut end = format::DATA_OFFSET;
        if self.header.base <= self.last {
            let name = names::segment(self.header.base);
            let records = Records {
                file: source.open(&name, Mode::Read)?,
                part: self,
                source,
                checker: Checker::new(Walker::new(&self.header, self.header.capacity)),
            };
            end = records.copy(unfinished, check).await?;
        }
        Ok(unfinished.end_segment(self.last, end)?)
    }
}

/// The records of a segment of the log.
struct Records<'a> {
    file: File,
    part: &'a Part,
    source: &'a Dir,
    checker: Checker,
}

impl Records<'_> {
    /// Copies the records in pieces. Each piece is synced, so a sync of the log on the same disk
    /// waits for one piece and not for a whole segment. Returns where they end.
    async fn copy(
        mut self,
        unfinished: &mut UnfinishedDir,
        check: &(impl Fn() -> Result<()> + Sync),
    ) -> Result<u64> {
        let mut buffer = vec![0; PIECE_LEN];
        let mut offset = format::DATA_OFFSET;
        while !self.is_done() {
            check()?;
            let filled = self.file.read_at(&mut buffer, offset)?;
            let passed = self.feed(&buffer[..filled])?;
            unfinished.write(&buffer[..passed])?;
            unfinished.sync_segment().await?;
            offset += passed as u64;
        }
        Ok(offset)
    }

    fn is_done(&self) -> bool {
        self.checker.walker().end().0 == self.part.last
    }

    /// Checks bytes up to the last record to be copied. Returns how many these are.
    fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Err(self.corruption().into());
        }
        let mut passed = 0;
        while passed < bytes.len() && !self.is_done() {
            let fed = self.checker.feed(&bytes[passed..]);
            passed += fed.map_err(|_: Flaw| self.corruption())?;
        }
        Ok(passed)
    }

    /// The error for a durable record that cannot be read.
    fn corruption(&self) -> Corruption {
        let walker = self.checker.walker();
        Corruption {
            kind: CorruptionKind::ProvenLost,
            segment: self.source.path_of(&names::segment(self.part.header.base)),
            offset: walker.offset(),
            first: walker.last().next(),
            last: self.part.last,
        }
    }
}

const PIECE_LEN: usize = 1024 * 1024;
