//! Records on their way from the reading task to the consumer.
//!
//! The task sends the block that it read, with the position of each payload in it. The consumer
//! makes a record from these when it takes one. So only eight bytes per record are sent, and the
//! references to the block are counted on the consumer's side, while the next block is being read.

use std::vec;

use bytes::Bytes;

use crate::format::frame;
use crate::lsn::Lsn;
use crate::record::Record;

/// Records that were read, in order.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) keep: Keep,
    /// The number of records, including those that were not kept.
    pub(super) count: u64,
    /// The bytes of all payloads.
    pub(super) bytes: u64,
    kept: Totals,
    runs: Vec<Run>,
}

/// How many records and bytes of a chunk are kept.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    records: u64,
    bytes: u64,
}

/// Which records are kept, instead of only checked and counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Keep {
    #[default]
    Nothing,
    /// Records with payloads of at most this many bytes.
    UpTo(u64),
}

impl Keep {
    pub(crate) const ALL: Self = Self::UpTo(u64::MAX);

    pub(super) fn includes(self, len: u32) -> bool {
        matches!(self, Self::UpTo(max) if u64::from(len) <= max)
    }
}

/// Records of consecutive LSNs whose payloads are in one block.
struct Run {
    first: Lsn,
    block: Block,
    payloads: Vec<Span>,
}

/// A block, and its offset in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Bytes,
    pub(super) at: u64,
}

impl Block {
    /// The offset of a copy of a part of a block.
    const NOWHERE: u64 = u64::MAX;
}

/// The position of a payload in its block. A block is never longer than a segment, whose offsets
/// fit into 32 bits.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Chunk {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Adds the next record. Its payload is at `start` in the block, which is not used if the
    /// record is not kept.
    #[inline]
    pub(super) fn push(&mut self, lsn: Lsn, block: &Block, start: usize, len: u32) {
        self.count += 1;
        self.bytes += u64::from(len);
        if !self.keep.includes(len) {
            return;
        }
        self.kept.records += 1;
        self.kept.bytes += u64::from(len);
        let start = u32::try_from(start).expect("a block is not longer than a segment");
        let span = Span {
            start,
            end: start + len,
        };
        match self.runs.last_mut() {
            Some(run) if run.block.at == block.at => run.payloads.push(span),
            _ if self.keep == Keep::ALL => self.begin_run(lsn, block, span),
            _ => self.push_copy(lsn, block, span),
        }
    }

    /// Copies the payload: a few kept records of many must not keep their blocks in memory.
    #[cold]
    fn push_copy(&mut self, first: Lsn, block: &Block, span: Span) {
        let payload = &block.bytes[span.start as usize..span.end as usize];
        let copy = Block {
            bytes: Bytes::copy_from_slice(payload),
            at: Block::NOWHERE,
        };
        let span = Span {
            start: 0,
            end: span.end - span.start,
        };
        self.begin_run(first, &copy, span);
    }

    /// Allocates for as many records as the block has if all are as long as the first.
    #[cold]
    fn begin_run(&mut self, first: Lsn, block: &Block, span: Span) {
        let record = frame::HEADER_LEN + (span.end - span.start) as usize;
        let rest = block.bytes.len() - span.start as usize;
        let mut payloads = Vec::with_capacity((rest / record + 1).min(RUN_MAX));
        payloads.push(span);
        self.runs.push(Run {
            first,
            block: block.clone(),
            payloads,
        });
    }

    /// Moves all records of the following chunk to this one.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.count += std::mem::take(&mut other.count);
        self.bytes += std::mem::take(&mut other.bytes);
        let kept = std::mem::take(&mut other.kept);
        self.kept.records += kept.records;
        self.kept.bytes += kept.bytes;
        self.runs.append(&mut other.runs);
    }

    /// Drops the records before `lsn`.
    pub(super) fn skip_before(&mut self, lsn: Lsn) {
        for run in &mut self.runs {
            let skipped = usize::try_from(lsn.get().saturating_sub(run.first.get()));
            let skipped = skipped.map_or(run.payloads.len(), |count| count.min(run.payloads.len()));
            let payloads = run.payloads.drain(..skipped);
            self.count -= skipped as u64;
            self.bytes -= payloads
                .map(|span| u64::from(span.end - span.start))
                .sum::<u64>();
            run.first = Lsn::new(run.first.get().saturating_add(skipped as u64));
        }
        self.runs.retain(|run| !run.payloads.is_empty());
    }

    /// The last record that is kept.
    pub(super) fn last(&self) -> Option<Lsn> {
        let run = self.runs.last()?;
        Some(Lsn::new(run.first.get() + (run.payloads.len() as u64 - 1)))
    }

    /// The approximate memory that it takes.
    pub(super) fn held(&self) -> u64 {
        self.kept.bytes + self.kept.records * HELD_PER_RECORD
    }

    pub(super) fn into_records(self) -> Records {
        Records {
            runs: self.runs.into_iter(),
            block: Bytes::new(),
            payloads: Vec::new().into_iter(),
            next: Lsn::ZERO,
        }
    }
}

/// An iterator over the records of a chunk.
pub(crate) struct Records {
    runs: vec::IntoIter<Run>,
    block: Bytes,
    payloads: vec::IntoIter<Span>,
    next: Lsn,
}

impl Records {
    pub(crate) fn none() -> Self {
        Chunk::default().into_records()
    }

    fn next_run(&mut self) -> Option<()> {
        // The memory can be reused once nothing refers to it.
        self.block = Bytes::new();
        let run = self.runs.next()?;
        self.block = run.block.bytes;
        self.payloads = run.payloads.into_iter();
        self.next = run.first;
        Some(())
    }
}

impl Iterator for Records {
    type Item = Record;

    #[inline]
    fn next(&mut self) -> Option<Record> {
        let Span { start, end } = loop {
            match self.payloads.next() {
                Some(span) => break span,
                None => self.next_run()?,
            }
        };
        let (lsn, payload) = (self.next, self.block.slice(start as usize..end as usize));
        self.next = lsn.next();
        Some(Record { lsn, payload })
    }
}

/// The memory of a record besides its payload: its header in the block, and entries in lists that
/// may be growing.
pub(super) const HELD_PER_RECORD: u64 = (frame::HEADER_LEN + 2 * size_of::<Record>()) as u64;

/// The most records that memory is allocated for in advance.
const RUN_MAX: usize = 64 * 1024;
