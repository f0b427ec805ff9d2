//! Reading one segment, record by record, in blocks of about 1 MiB.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::{Corruption, Damage, Fault, Result};
use crate::format;
use crate::format::frame::{self, Frame, Key, Kind};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::record::Record;
use crate::recovery::blocks::Blocks;
use crate::recovery::plan::Planned;
use crate::storage::{Dir, File, Mode};

/// One segment that is being read.
pub(super) struct Scan {
    pub(super) segment: Planned,
    pub(super) file: File,
    pub(super) key: Key,
    /// Where records have to end.
    limit: u64,
    /// Where the next frame is expected, and which record.
    pub(super) offset: u64,
    pub(super) next: Lsn,
    /// Bytes to read at once.
    block_len: u64,
    blocks: Blocks,
    /// The records of an atomic batch whose end was not read yet.
    pub(super) unit: Unit,
    /// The last record that some frame read so far says was durable.
    proven: Lsn,
    /// Places between records, one for each block read, from the first one that is not proven on.
    places: VecDeque<(Lsn, u64)>,
}

/// An atomic batch, read in part.
#[derive(Default)]
pub(super) struct Unit {
    records: Vec<Record>,
    bytes: u64,
}

impl Unit {
    pub(super) fn len(&self) -> u64 {
        self.records.len() as u64
    }
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    /// At the place where records have to end.
    Limit,
    /// Where the segment says that it ends.
    Seal,
    /// There is no frame that continues the log.
    NoRecord,
    /// There is a record, and its payload is not what it was.
    BadRecord,
    /// The same, of an atomic batch that begins or goes on with it.
    BadPart,
}

impl Scan {
    /// Opens a segment whose records end at `limit`, or at its end if there is none.
    pub(super) fn open(dir: &Dir, segment: &Planned, limit: Option<u64>) -> Result<Self, Fault> {
        let header = segment.header;
        Ok(Self {
            segment: segment.clone(),
            file: dir.open(&segment.name, Mode::Read)?,
            key: header.key(),
            limit: limit.unwrap_or(header.capacity),
            offset: format::DATA_OFFSET,
            next: header.base,
            block_len: BLOCK_LEN,
            blocks: Blocks::default(),
            unit: Unit::default(),
            proven: header.base.prev(),
            places: VecDeque::new(),
        })
    }

    /// Reads one block and appends its records to `records`. `Some` once reading has stopped.
    pub(super) fn read_block(&mut self, records: &mut Vec<Record>) -> Result<Option<Stop>, Fault> {
        self.note_place();
        let rest = self.segment.header.capacity.saturating_sub(self.offset);
        let len = if is_planted(Bug::LengthTrusted) {
            self.block_len
        } else {
            rest.min(self.block_len)
        };
        let block = self.blocks.read(
            &self.file,
            self.offset,
            usize::try_from(len).unwrap_or(usize::MAX),
        )?;
        let is_last = len == rest || (block.len() as u64) < len;
        let mut at = 0;
        loop {
            match self.step(&block, &mut at, is_last, records) {
                Step::Go => {}
                Step::NeedBytes(needed) => {
                    self.block_len = BLOCK_LEN.max(needed);
                    return Ok(None);
                }
                Step::Stop(stop) => return Ok(Some(stop)),
            }
        }
    }

    /// Reads one frame at `at` in the block, which stands for the scan's offset in the file.
    fn step(
        &mut self,
        block: &Bytes,
        at: &mut usize,
        is_last: bool,
        out: &mut Vec<Record>,
    ) -> Step {
        if self.is_sealed_here() {
            return Step::Stop(Stop::Seal);
        }
        if self.offset >= self.limit {
            return Step::Stop(Stop::Limit);
        }
        let Some(header) = block[*at..].first_chunk() else {
            return if is_last {
                Step::Stop(Stop::NoRecord)
            } else {
                Step::NeedBytes(0)
            };
        };
        let Some(frame) = Frame::decode(header, &self.key) else {
            return Step::Stop(Stop::NoRecord);
        };
        let in_bounds =
            self.offset + frame.total_len() <= self.limit || is_planted(Bug::LengthTrusted);
        if !frame.is_record() || frame.lsn != self.next || !in_bounds {
            return Step::Stop(Stop::NoRecord);
        }
        let start = *at + frame::HEADER_LEN;
        let end = start + frame.len as usize;
        if end > block.len() && !is_last {
            return Step::NeedBytes(frame.total_len());
        }
        if block.get(start..end).map(crc32fast::hash) != Some(frame.crc) {
            return Step::Stop(if frame.kind == Kind::Part {
                Stop::BadPart
            } else {
                Stop::BadRecord
            });
        }
        *at = end;
        self.accept(&frame, block.slice(start..end), out);
        Step::Go
    }

    fn accept(&mut self, frame: &Frame, payload: Bytes, out: &mut Vec<Record>) {
        self.offset += frame.total_len();
        self.next = frame.lsn.next();
        self.proven = self.proven.max(frame.proves());
        let record = Record {
            lsn: frame.lsn,
            payload,
        };
        match (frame.kind, self.unit.len()) {
            (Kind::Part, _) if is_planted(Bug::BatchFlagIgnored) => out.push(record),
            (Kind::Record, 0) => out.push(record),
            (Kind::Record, _) => {
                out.append(&mut self.unit.records);
                out.push(record);
                self.unit.bytes = 0;
            }
            _ => {
                self.unit.records.push(record);
                self.unit.bytes += frame.total_len();
            }
        }
    }

    /// Whether the segment says that it ends here. What stands behind, a crash has left.
    fn is_sealed_here(&self) -> bool {
        let ends =
            |statement: Frame| statement.kind != Kind::Mark && statement.lsn == self.next.prev();
        self.unit.len() == 0 && self.segment.statement.is_some_and(ends)
    }

    /// Where the log ends if it ends here: before an atomic batch that is not complete.
    pub(super) fn end(&self) -> (Lsn, u64) {
        (
            Lsn::new(self.next.get() - 1 - self.unit.len()),
            self.offset - self.unit.bytes,
        )
    }

    /// The last record that some frame read so far says was durable.
    #[cfg(feature = "tools")]
    pub(super) fn proven(&self) -> Lsn {
        self.proven
    }

    /// Where records have to end.
    #[cfg(feature = "tools")]
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Goes on behind something that cannot be read, at the frame of the record `next`.
    #[cfg(feature = "tools")]
    pub(super) fn resume_at(&mut self, offset: u64, next: Lsn) {
        (self.offset, self.next) = (offset, next);
        self.unit = Unit::default();
        self.block_len = BLOCK_LEN;
    }

    /// The last place between two records before which everything is proven durable.
    pub(super) fn unproven_from(&self) -> u64 {
        let proven = self
            .places
            .iter()
            .rev()
            .find(|(lsn, _)| *lsn <= self.proven.next());
        proven.map_or(format::DATA_OFFSET, |&(_, offset)| offset)
    }

    /// Damage to what comes next.
    pub(super) fn damaged(&self, dir: &Dir, damage: Damage, last: Lsn) -> Corruption {
        let (end, offset) = self.end();
        let segment = dir.path_of(&self.segment.name);
        Corruption {
            damage,
            segment,
            offset,
            first: end.next(),
            last,
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.segment.header.capacity
    }

    fn note_place(&mut self) {
        if self.unit.len() > 0 {
            return;
        }
        self.places.push_back((self.next, self.offset));
        while self
            .places
            .get(1)
            .is_some_and(|(lsn, _)| *lsn <= self.proven.next())
        {
            self.places.pop_front();
        }
    }
}

/// What one frame leads to.
enum Step {
    Go,
    /// The frame goes on beyond the block and needs so many bytes.
    NeedBytes(u64),
    Stop(Stop),
}

/// The read-ahead: how much is read at once, unless a single record is larger.
const BLOCK_LEN: u64 = 1024 * 1024;
