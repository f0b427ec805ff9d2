//! Records on their way from the task that reads them to the consumer.
//!
//! What is handed over is the block that was read, and where the payloads are in it. The consumer makes a
//! record of it when it takes one: eight bytes a record change hands, and the reference to the block is
//! counted on the consumer's side, while the next block is being read.

use std::vec;

use bytes::Bytes;

use crate::format::frame;
use crate::lsn::Lsn;
use crate::record::Record;

/// Records that were read, in their order.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) keep: Keep,
    /// Those that were not kept, too.
    pub(super) count: u64,
    /// Of all payloads.
    pub(super) bytes: u64,
    kept: Kept,
    runs: Vec<Run>,
}

/// How much of a chunk was kept.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    records: u64,
    bytes: u64,
}

/// Which records are kept, and not only checked and counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Keep {
    #[default]
    Nothing,
    /// Those with payloads of so many bytes at the most.
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
    payloads: Vec<Place>,
}

/// A block, and where it begins in its file.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Bytes,
    pub(super) at: u64,
}

impl Block {
    /// Where a copy of a part of a block begins.
    const NOWHERE: u64 = u64::MAX;
}

/// Where a payload is in its block. A block is never longer than a segment, whose offsets fit 32 bits.
#[derive(Clone, Copy)]
struct Place {
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

    /// Adds the record behind the last one. Its payload is at `start` in the block, which is not looked at
    /// if the record is not kept.
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
        let place = Place {
            start,
            end: start + len,
        };
        match self.runs.last_mut() {
            Some(run) if run.block.at == block.at => run.payloads.push(place),
            _ if self.keep == Keep::ALL => self.begin_run(lsn, block, place),
            _ => self.push_copy(lsn, block, place),
        }
    }

    /// A few records of many must not keep the blocks in memory that they were read in.
    #[cold]
    fn push_copy(&mut self, first: Lsn, block: &Block, place: Place) {
        let payload = &block.bytes[place.start as usize..place.end as usize];
        let copy = Block {
            bytes: Bytes::copy_from_slice(payload),
            at: Block::NOWHERE,
        };
        let place = Place {
            start: 0,
            end: place.end - place.start,
        };
        self.begin_run(first, &copy, place);
    }

    /// There is room for as many records as the block has, if the others are as long as the first.
    #[cold]
    fn begin_run(&mut self, first: Lsn, block: &Block, place: Place) {
        let record = frame::HEADER_LEN + (place.end - place.start) as usize;
        let rest = block.bytes.len() - place.start as usize;
        let mut payloads = Vec::with_capacity((rest / record + 1).min(RUN_MAX));
        payloads.push(place);
        self.runs.push(Run {
            first,
            block: block.clone(),
            payloads,
        });
    }

    /// Moves all records of another chunk, which follow, to this one.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.count += std::mem::take(&mut other.count);
        self.bytes += std::mem::take(&mut other.bytes);
        let kept = std::mem::take(&mut other.kept);
        self.kept.records += kept.records;
        self.kept.bytes += kept.bytes;
        self.runs.append(&mut other.runs);
    }

    /// Forgets the records before `lsn`.
    pub(super) fn skip_before(&mut self, lsn: Lsn) {
        for run in &mut self.runs {
            let skipped = usize::try_from(lsn.get().saturating_sub(run.first.get()));
            let skipped = skipped.map_or(run.payloads.len(), |count| count.min(run.payloads.len()));
            let payloads = run.payloads.drain(..skipped);
            self.count -= skipped as u64;
            self.bytes -= payloads
                .map(|place| u64::from(place.end - place.start))
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

    /// The memory that it takes, about.
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

/// The records of a chunk, one after the other.
pub(crate) struct Records {
    runs: vec::IntoIter<Run>,
    block: Bytes,
    payloads: vec::IntoIter<Place>,
    next: Lsn,
}

impl Records {
    pub(crate) fn none() -> Self {
        Chunk::default().into_records()
    }

    fn next_run(&mut self) -> Option<()> {
        // The memory is used again once nothing refers to it.
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
        let Place { start, end } = loop {
            match self.payloads.next() {
                Some(place) => break place,
                None => self.next_run()?,
            }
        };
        let (lsn, payload) = (self.next, self.block.slice(start as usize..end as usize));
        self.next = lsn.next();
        Some(Record { lsn, payload })
    }
}

/// What a record takes beside its payload: its header in the block, and its place in lists that may be
/// growing.
pub(super) const HELD_PER_RECORD: u64 = (frame::HEADER_LEN + 2 * size_of::<Record>()) as u64;

/// The most records that room is made for beforehand.
const RUN_MAX: usize = 64 * 1024;
