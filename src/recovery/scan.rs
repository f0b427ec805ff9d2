//! Reading one segment, record by record, in blocks of about 1 MiB.
//!
//! Memory depends on the records that are delivered, and never on the length in a header. A record
//! or an atomic batch that is larger than [`HOLD_MAX`] is first read in small pieces, which are
//! checked and dropped. Only if it is valid to its end, it is read again and delivered. The records
//! of an atomic batch are then delivered block by block.

#[cfg(feature = "tools")]
mod resume;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use crc32fast::Hasher;

use crate::error::{Corruption, CorruptionKind, Error, IoFailure, Result, UnsupportedReason};
use crate::format;
use crate::format::frame::{self, Frame, Kind};
use crate::format::statement::Statement;
use crate::format::walk::{Checker, Flaw, Walker};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::recovery::bad_pages;
use crate::recovery::blocks::Blocks;
use crate::recovery::chain::SegmentMeta;
use crate::recovery::chunk::{Block, Chunk, HELD_PER_RECORD, Keep};
use crate::storage::{Dir, File, Mode};

/// One segment that is being read.
pub(super) struct Scan {
    pub(super) segment: SegmentMeta,
    pub(super) file: File,
    path: PathBuf,
    pub(super) walker: Walker,
    /// The last record according to a seal or link. Not used if the segment has a successor.
    sealed: Option<Lsn>,
    blocks: Blocks,
    /// The block that is being read.
    block: Block,
    /// Whether the file or the segment ends with this block.
    is_last: bool,
    /// The length of the next block.
    wanted: u64,
    /// An unused hasher to clone, because each new one would detect the processor's features again.
    hasher: Hasher,
    /// The length of the last record, with its header.
    last_len: u64,
    /// The page after the block, if the block ends there because that page cannot be read.
    bad_page: Option<u64>,
    /// The page at which reading has stopped, if it stopped because that page cannot be read.
    stopped_at_page: Option<u64>,
    /// The records of an atomic batch whose end has not been read yet.
    unit: Chunk,
    /// Up to this offset, an atomic batch is known to be complete.
    checked: u64,
    /// Positions between records, one for each block read, beginning with the first that is not
    /// proven durable.
    places: VecDeque<(Lsn, u64)>,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    /// At the limit, where records must end.
    Limit,
    /// At the end that the segment's statement names.
    Seal,
    /// There is no frame that continues the log.
    NoRecord,
    /// A record with a payload that does not match its checksum.
    BadRecord(Frame),
    /// A frame of a kind that only a later version knows.
    UnknownKind(u8),
    /// What comes next is in a page that cannot be read: the payload of this frame, or the next
    /// frame's header.
    Unreadable(Option<Frame>),
}

impl Scan {
    /// Opens a segment whose records end at `limit`, or, without a limit, where its statement says.
    pub(super) fn open(
        dir: &Dir,
        segment: &SegmentMeta,
        limit: Option<u64>,
    ) -> Result<Self, IoFailure> {
        let header = segment.header;
        let statement = segment.statement.filter(|_| limit.is_none());
        Ok(Self {
            segment: segment.clone(),
            file: dir.open(&segment.name, Mode::Read)?,
            path: dir.path_of(&segment.name),
            walker: Walker::new(&header, limit.unwrap_or(header.capacity)),
            sealed: statement.filter(Statement::is_end).map(|end| end.lsn),
            blocks: Blocks::default(),
            block: Block {
                bytes: Bytes::new(),
                at: format::DATA_OFFSET,
            },
            is_last: false,
            wanted: BLOCK_LEN,
            hasher: Hasher::new(),
            last_len: 0,
            bad_page: None,
            stopped_at_page: None,
            unit: Chunk::new(Keep::ALL),
            checked: 0,
            places: VecDeque::new(),
        })
    }

    /// Reads at most one block and appends its records to `out`. Returns why reading has stopped,
    /// if it has.
    ///
    /// If a large record comes next, it is left for the next call.
    pub(super) fn read_block(&mut self, out: &mut Chunk) -> Result<Option<Stop>, IoFailure> {
        self.unit.keep = out.keep;
        let mut has_read = false;
        loop {
            self.pass_records(out);
            match self.step(out)? {
                FrameOutcome::Go => {}
                FrameOutcome::NeedBytes(needed) if has_read || needed > self.wanted => {
                    self.wanted = self.block_len().max(needed);
                    return Ok(None);
                }
                FrameOutcome::NeedBytes(_) => {
                    self.note_place();
                    self.fill(self.walker.offset(), self.wanted)?;
                    self.wanted = self.block_len();
                    has_read = true;
                }
                FrameOutcome::Stop(stop) => return Ok(Some(stop)),
            }
        }
    }

    /// Whether the next block is one large record, which should be read when no other record is in
    /// memory.
    pub(super) fn is_large_next(&self) -> bool {
        self.wanted > HOLD_MAX
    }

    /// The length of the next block: about [`BLOCK_LEN`], and a multiple of the last record's
    /// length. If all records have the same length, none is split between two blocks.
    fn block_len(&self) -> u64 {
        match self.last_len {
            1..=SHORT_MAX => BLOCK_LEN - BLOCK_LEN % self.last_len,
            _ => BLOCK_LEN,
        }
    }

    /// Fast path: passes the records that are complete in the block and are not part of a batch,
    /// which is most of a log. [`step`](Self::step) judges what comes next.
    fn pass_records(&mut self, out: &mut Chunk) {
        if self.walker.is_in_unit() {
            return;
        }
        let mut at = self.index();
        while self.sealed != Some(self.walker.last())
            && let Some(frame) = self.whole_record(at)
        {
            self.walker.pass(&frame);
            let payload = at + frame::HEADER_LEN;
            out.push(frame.lsn, &self.block, payload, frame.len);
            at = payload + frame.len as usize;
            self.last_len = frame.total_len();
        }
    }

    /// The record at this position in the block, if it is complete and not part of a batch.
    #[inline]
    fn whole_record(&self, at: usize) -> Option<Frame> {
        let (header, rest) = self.block.bytes.get(at..)?.split_first_chunk()?;
        let frame = self.walker.look(header).ok()?;
        let payload = rest.get(..frame.len as usize)?;
        let is_sound = frame.kind == Kind::Record && self.crc_of(payload) == frame.crc;
        is_sound.then_some(frame)
    }

    #[inline]
    fn crc_of(&self, payload: &[u8]) -> u32 {
        let mut hasher = self.hasher.clone();
        hasher.update(payload);
        hasher.finalize()
    }

    /// Reads the frame at the expected position.
    fn step(&mut self, out: &mut Chunk) -> Result<FrameOutcome, IoFailure> {
        if self.is_sealed_here() {
            return Ok(FrameOutcome::Stop(Stop::Seal));
        }
        if self.walker.offset() >= self.walker.limit() {
            return Ok(FrameOutcome::Stop(Stop::Limit));
        }
        let frame = match self.rest().first_chunk() {
            Some(header) => self.walker.look(header),
            None if self.meets_bad_page() => return Ok(self.stop_at_page(self.bad_page, None)),
            None if self.is_last => Err(Flaw::NoFrame),
            None => return Ok(FrameOutcome::NeedBytes(0)),
        };
        match frame {
            Ok(frame) if self.is_too_much(&frame, out) => self.look_ahead(out),
            Ok(frame) => self.read_frame(&frame, out),
            Err(flaw) => Ok(FrameOutcome::Stop(Stop::at(flaw))),
        }
    }

    fn read_frame(&mut self, frame: &Frame, out: &mut Chunk) -> Result<FrameOutcome, IoFailure> {
        if !out.keep.includes(frame.len) && self.walker.offset() < self.checked {
            self.accept(frame, 0, out);
            return Ok(FrameOutcome::Go);
        }
        let start = self.index() + frame::HEADER_LEN;
        let end = start.saturating_add(frame.len as usize);
        if end > self.block.bytes.len() && self.meets_bad_page() {
            return Ok(self.stop_at_page(self.bad_page, Some(*frame)));
        }
        if end > self.block.bytes.len() && !self.is_last {
            return Ok(FrameOutcome::NeedBytes(frame.total_len()));
        }
        let crc = self
            .block
            .bytes
            .get(start..end)
            .map(|payload| self.crc_of(payload));
        if crc == Some(frame.crc) {
            self.accept(frame, start, out);
            return Ok(FrameOutcome::Go);
        }
        match self.walker.offset() < self.checked {
            true => Err(self.changed()),
            false => Ok(FrameOutcome::Stop(Stop::BadRecord(*frame))),
        }
    }

    /// Moves past a record whose payload begins at this position in the block.
    fn accept(&mut self, frame: &Frame, payload: usize, out: &mut Chunk) {
        self.walker.pass(frame);
        let is_free = self.walker.offset() <= self.checked || is_active(Mutant::BatchFlagIgnored);
        if is_free || frame.kind == Kind::Record {
            if self.unit.count > 0 {
                out.append(&mut self.unit);
            }
            out.push(frame.lsn, &self.block, payload, frame.len);
        } else {
            let unit = &mut self.unit;
            unit.push(frame.lsn, &self.block, payload, frame.len);
        }
    }

    /// Whether this frame, with the records before it in the same unit, is too large to be kept
    /// before it is checked.
    fn is_too_much(&self, frame: &Frame, out: &Chunk) -> bool {
        let len = match out.keep.includes(frame.len) {
            true => HELD_PER_RECORD + frame.total_len(),
            // It is read in one piece nevertheless.
            false => frame.total_len(),
        };
        self.walker.offset() >= self.checked && self.unit.held() + len > HOLD_MAX
    }

    /// Reads to the end of the unit and keeps nothing of it. If the unit is complete, it can be
    /// delivered while it is read again.
    fn look_ahead(&mut self, out: &mut Chunk) -> Result<FrameOutcome, IoFailure> {
        let mut checker = Checker::new(self.walker.clone());
        let mut buffer = vec![0; LOOK_LEN];
        let mut offset = self.walker.offset();
        loop {
            let left =
                usize::try_from(self.walker.limit().saturating_sub(offset)).unwrap_or(usize::MAX);
            let read = bad_pages::read(&self.file, &mut buffer[..left.min(LOOK_LEN)], offset)?;
            let mut bytes = &buffer[..read.filled];
            offset += read.filled as u64;
            while !bytes.is_empty() {
                match checker.feed(bytes) {
                    Ok(taken) => bytes = &bytes[taken..],
                    Err(flaw) => return Ok(self.stop_ahead(checker.into_walker(), flaw)),
                }
                if checker.walker().end().1 > self.walker.offset() {
                    self.checked = checker.walker().end().1;
                    out.append(&mut self.unit);
                    return Ok(FrameOutcome::Go);
                }
            }
            if read.bad_page.is_some() {
                let frame = checker.frame();
                self.stop_ahead(checker.into_walker(), Flaw::NoFrame);
                return Ok(self.stop_at_page(read.bad_page, frame));
            }
            if read.filled == 0 {
                return Ok(self.stop_ahead(checker.into_walker(), Flaw::NoFrame));
            }
        }
    }

    /// Stops where looking ahead has found that a unit is not complete.
    fn stop_ahead(&mut self, walker: Walker, flaw: Flaw) -> FrameOutcome {
        self.walker = walker;
        self.unit = Chunk::new(self.unit.keep);
        FrameOutcome::Stop(Stop::at(flaw))
    }

    /// Whether the segment's statement says that it ends here. Anything after it was left by a
    /// crash.
    fn is_sealed_here(&self) -> bool {
        !self.walker.is_in_unit() && self.sealed == Some(self.walker.last())
    }

    /// Reads a block.
    fn fill(&mut self, offset: u64, wanted: u64) -> Result<(), IoFailure> {
        let rest = self.segment.header.capacity.saturating_sub(offset);
        let len = match is_active(Mutant::LengthTrusted) {
            true => wanted,
            false => rest.min(wanted),
        };
        let asked = usize::try_from(len).unwrap_or(usize::MAX);
        self.block.bytes = Bytes::new();
        let (bytes, bad_page) = self.blocks.read(&self.file, offset, asked)?;
        let is_short = (bytes.len() as u64) < len;
        self.block = Block { bytes, at: offset };
        self.bad_page = bad_page;
        self.is_last = self.bad_page.is_none() && (len == rest || is_short);
        Ok(())
    }

    /// Whether the next frame begins or continues in a page that cannot be read, if it does not end
    /// in the block.
    fn meets_bad_page(&self) -> bool {
        self.bad_page.is_some() && self.index() <= self.block.bytes.len()
    }

    fn stop_at_page(&mut self, page: Option<u64>, frame: Option<Frame>) -> FrameOutcome {
        self.stopped_at_page = page;
        FrameOutcome::Stop(Stop::Unreadable(frame))
    }

    /// The bytes of the block from the position of the next frame on.
    fn rest(&self) -> &[u8] {
        self.block.bytes.get(self.index()..).unwrap_or_default()
    }

    /// The position in the block at which the next frame is expected.
    fn index(&self) -> usize {
        let ahead = self.walker.offset().checked_sub(self.block.at);
        ahead.map_or(usize::MAX, |ahead| {
            usize::try_from(ahead).unwrap_or(usize::MAX)
        })
    }

    /// Where the log ends if it ends here: before an atomic batch that is not complete.
    pub(super) fn end(&self) -> (Lsn, u64) {
        self.walker.end()
    }

    /// A position between two records before which everything is proven durable: the end of the
    /// log, or the last such position that was recorded.
    pub(super) fn unproven_from(&self) -> u64 {
        let stated = self.segment.statement.map_or(Lsn::ZERO, |said| said.lsn);
        let proven = self.walker.proven().max(stated);
        let (end, end_offset) = self.end();
        if end <= proven {
            return end_offset;
        }
        let mut noted = self.places.iter().rev();
        let noted = noted.find(|(last, _)| *last <= proven);
        noted.map_or(format::DATA_OFFSET, |&(_, offset)| offset)
    }

    /// Damage to the next record.
    pub(super) fn damaged(&self, dir: &Dir, kind: CorruptionKind, last: Lsn) -> Corruption {
        let (end, offset) = self.end();
        let segment = dir.path_of(&self.segment.name);
        let is_of_records = matches!(
            kind,
            CorruptionKind::ProvenLost | CorruptionKind::SealedDamaged
        );
        let (kind, offset) = match self.stopped_at_page {
            Some(page) if is_of_records => (CorruptionKind::Unreadable, page),
            _ => (kind, offset),
        };
        Corruption {
            kind,
            segment,
            offset,
            first: end.next(),
            last,
        }
    }

    /// The error for a frame of a kind that only a later version knows.
    pub(super) fn unsupported(&self, kind: u8) -> Error {
        let offset = self.walker.offset();
        Error::Unsupported {
            segment: self.path.clone(),
            reason: UnsupportedReason::FrameKind { kind, offset },
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.segment.header.capacity
    }

    fn note_place(&mut self) {
        if self.walker.is_in_unit() {
            return;
        }
        self.places.push_back(self.end());
        while self
            .places
            .get(1)
            .is_some_and(|(last, _)| *last <= self.walker.proven())
        {
            self.places.pop_front();
        }
    }

    /// The error for a unit that was valid when it was first read and no longer is.
    fn changed(&self) -> IoFailure {
        let error = io::Error::other("the bytes have changed since they were first read");
        IoFailure::new("read", &self.path, error)
    }
}

impl Stop {
    fn at(flaw: Flaw) -> Self {
        match flaw {
            Flaw::NoFrame | Flaw::OtherRecord | Flaw::TooLong => Self::NoRecord,
            Flaw::UnknownKind(kind) => Self::UnknownKind(kind),
            Flaw::BadPayload(frame) => Self::BadRecord(frame),
        }
    }
}

/// The result of reading one frame.
enum FrameOutcome {
    Go,
    /// The frame continues beyond the block and needs this many bytes.
    NeedBytes(u64),
    Stop(Stop),
}

/// The size of a read, unless a single record is larger.
const BLOCK_LEN: u64 = 1024 * 1024;

/// The longest record for which blocks hold a whole number of records.
const SHORT_MAX: u64 = BLOCK_LEN / 4;

/// The most that is kept of one record or atomic batch before it is known to be complete.
const HOLD_MAX: u64 = 8 * 1024 * 1024;

/// The size of the pieces in which a large unit is checked.
const LOOK_LEN: usize = 256 * 1024;
