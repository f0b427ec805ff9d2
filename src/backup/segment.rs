//! One segment of a backup.

use crate::backup::target::Target;
use crate::error::{Corruption, CorruptionKind, Result};
use crate::format::segment::{self, Header};
use crate::format::statement::{Statement, StatementKind};
use crate::format::walk::{Checker, Flaw, Walker};
use crate::format::{self, names};
use crate::lsn::Lsn;
use crate::storage::{Dir, File, Mode};

/// A segment that is to be copied up to a record.
pub(super) struct Part {
    pub(super) header: Header,
    /// The last record of it that is copied.
    pub(super) last: Lsn,
    /// Whether the copy begins with it.
    pub(super) is_first: bool,
    /// Whether the copy ends with it.
    pub(super) is_newest: bool,
}

impl Part {
    /// Copies it. `check` says between two pieces why to go no further.
    pub(super) async fn copy(
        &self,
        source: &Dir,
        target: &mut Target,
        check: &(impl Fn() -> Result<()> + Sync),
    ) -> Result<()> {
        let name = names::segment(self.header.base);
        let mut file = target.create(&name)?;
        if self.header.base <= self.last {
            let records = Records {
                file: source.open(&name, Mode::Read)?,
                part: self,
                source,
                checker: Checker::new(Walker::new(&self.header, self.header.capacity)),
            };
            file = records.copy(file, check).await?;
        }
        self.finish(file).await
    }

    /// Gives the copy its length and its header block. Behind the records it has a hole.
    async fn finish(&self, file: File) -> Result<()> {
        let (file, _) = file.write_at(&self.header_block(), 0)?;
        let file = match file.len()? < self.header.capacity {
            true => file.write_at(&[0], self.header.capacity - 1)?.0,
            false => file,
        };
        file.sync().await?;
        Ok(())
    }

    /// What it says in the copy. In the log the block changes while it is copied.
    fn header_block(&self) -> [u8; format::HEADER_BLOCK_LEN] {
        let mut block = [0; format::HEADER_BLOCK_LEN];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.header.encode());
        if self.is_first && self.header.predecessor.is_some() {
            put(
                segment::HEAD_MARK_OFFSET,
                &segment::encode_head_mark(&self.header),
            );
        }
        let kind = match self.is_newest {
            true => StatementKind::Seal,
            false => StatementKind::Link,
        };
        let statement = Statement::new(kind, self.last).encode(&self.header.key());
        put(segment::STATEMENT_OFFSET, &statement);
        block
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
    /// Copies them in pieces. Each is synced, so that a sync of the log on the same disk waits for one piece,
    /// not for a whole segment.
    async fn copy(
        mut self,
        mut copy: File,
        check: &(impl Fn() -> Result<()> + Sync),
    ) -> Result<File> {
        let mut buffer = vec![0; PIECE_LEN];
        let mut offset = format::DATA_OFFSET;
        while !self.is_done() {
            check()?;
            let filled = self.file.read_at(&mut buffer, offset)?;
            let passed = self.feed(&buffer[..filled])?;
            let (file, _) = copy.write_at(&buffer[..passed], offset)?;
            (copy, _) = file.sync().await?;
            offset += passed as u64;
        }
        Ok(copy)
    }

    fn is_done(&self) -> bool {
        self.checker.walker().end().0 == self.part.last
    }

    /// Checks bytes up to the last record that is wanted, and says how many these are.
    fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Err(self.damage().into());
        }
        let mut passed = 0;
        while passed < bytes.len() && !self.is_done() {
            let fed = self.checker.feed(&bytes[passed..]);
            passed += fed.map_err(|_: Flaw| self.damage())?;
        }
        Ok(passed)
    }

    /// What should be there and is not: all of it is durable.
    fn damage(&self) -> Corruption {
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
