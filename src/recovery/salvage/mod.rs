//! Reading a log that may be damaged, for the tools: everything that can be read of it, and everything
//! that is wrong.
//!
//! A recovery stops at the first damage. A salvage continues. It reads the header of each file,
//! finds the head of the log, and checks how the files link ([`headers`]). Then it scans segment by
//! segment. If a scan stops before the last record that is known to have been durable, it records
//! the damage and resumes at the next valid record ([`records`]). At the end, the neighbors of an
//! unreadable file show more exactly which records it held ([`narrow`]).
//!
//! The same functions as in a recovery judge headers, links, records and the end of the newest
//! segment. So a salvage finds no damage in a log that a recovery reads.

mod headers;
mod narrow;
mod records;

use crate::error::{Corruption, Error, Result};
use crate::format::names;
use crate::lsn::Lsn;
use crate::record::Record;
use crate::recovery::chain::{SegmentFile, SegmentMeta};
use crate::recovery::report::TornTail;
use crate::storage::{Dir, Mode};

pub(crate) use crate::recovery::chunk::Keep;

/// Observes what a salvage reads.
pub(crate) trait Visitor {
    /// Called when `count` more bytes were read.
    fn bytes(&mut self, count: u64);
    /// The records that the visitor wants. No other payload is kept in memory.
    fn keep(&self) -> Keep;
    /// Called with records that can be read. After damage there may be a gap before them.
    fn records(&mut self, records: Vec<Record>);
}

/// A visitor that wants nothing.
pub(crate) struct NoVisitor;

impl Visitor for NoVisitor {
    fn bytes(&mut self, _: u64) {}

    fn keep(&self) -> Keep {
        Keep::Nothing
    }

    fn records(&mut self, _: Vec<Record>) {}
}

/// How much is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// The headers.
    Headers,
    /// The headers, and the records of the newest segment.
    Newest,
    /// Every record.
    Everything,
}

/// The contents of a directory.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    /// Every file with a segment's name, oldest first.
    pub(crate) segments: Vec<Salvaged>,
    /// The index of the head. The files below it were truncated.
    pub(crate) head: usize,
    pub(crate) corruptions: Vec<Corruption>,
    /// The number of damaged places beyond those that are listed.
    pub(crate) corruptions_left_out: u64,
    /// Files that the system could not read, and segments of unknown formats.
    pub(crate) read_errors: Vec<Error>,
    /// Where and why the log ends, if it was not closed.
    pub(crate) torn_tail: Option<TornTail>,
    /// Whether the newest segment says that the log was closed.
    pub(crate) is_closed: bool,
    pub(crate) spares: Vec<String>,
    pub(crate) unknown_files: Vec<String>,
}

/// One file with a segment's name.
#[derive(Debug)]
pub(crate) struct Salvaged {
    /// The LSN in its name.
    pub(crate) base: Lsn,
    /// Its length in bytes, or 0 if that is unknown.
    pub(crate) len: u64,
    /// Its header block, if the header is valid.
    pub(crate) file: Option<SegmentFile>,
    /// Whether the next file names it as its predecessor.
    pub(crate) is_linked: bool,
    /// The result of reading its records.
    pub(crate) records: Option<RecordsRead>,
}

/// The records of one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordsRead {
    /// The number of readable records.
    pub(crate) count: u64,
    /// The bytes of their payloads.
    pub(crate) payload_bytes: u64,
    /// The last record of the run without a gap that begins with the first record.
    pub(crate) end: Lsn,
    /// The offset in the file at which that record ends.
    pub(crate) end_offset: u64,
    /// From here to `end_offset`, nothing proves that the bytes are durable.
    pub(crate) unproven_from: u64,
    /// The last LSN that is known to have been durable.
    pub(crate) proven: Lsn,
    /// The last LSN that any frame names.
    pub(crate) highest: Lsn,
    /// Whether no record is missing.
    pub(crate) is_whole: bool,
}

impl Salvage {
    /// Reads a directory. Fails only if that cannot be listed.
    pub(crate) fn read(dir: &Dir, extent: Extent, visitor: &mut dyn Visitor) -> Result<Self> {
        Self::read_without(dir, &[], extent, visitor)
    }

    /// Reads a directory as if the segments with these bases did not exist.
    pub(crate) fn read_without(
        dir: &Dir,
        without: &[Lsn],
        extent: Extent,
        visitor: &mut dyn Visitor,
    ) -> Result<Self> {
        let mut salvage = Self::list(dir)?;
        salvage
            .segments
            .retain(|segment| !without.contains(&segment.base));
        let problems = salvage.read_headers(dir);
        salvage.find_head();
        salvage.note_problems(dir, problems);
        salvage.check_links(dir);
        if extent != Extent::Headers {
            salvage.read_records(dir, extent, visitor);
            salvage.narrow_down(dir);
        }
        Ok(salvage)
    }

    /// The bytes that a salvage of this extent reads.
    pub(crate) fn total_len(dir: &Dir, extent: Extent) -> u64 {
        let names = dir.list().unwrap_or_default();
        let bases = names.iter().filter_map(|name| names::parse_segment(name));
        match extent {
            Extent::Headers => 0,
            Extent::Newest => bases.max().map_or(0, |base| len_of(dir, base)),
            Extent::Everything => bases.map(|base| len_of(dir, base)).sum(),
        }
    }

    /// The segments of the log, without those that were truncated.
    pub(crate) fn log(&self) -> &[Salvaged] {
        &self.segments[self.head..]
    }

    /// The truncated segments.
    pub(crate) fn stale(&self) -> &[Salvaged] {
        &self.segments[..self.head]
    }

    fn is_newest(&self, index: usize) -> bool {
        index + 1 == self.segments.len()
    }

    /// Adds an error to the corruptions or to the read errors.
    fn note(&mut self, error: Error) {
        match error {
            Error::Corrupt(corruption) => self.note_corruption(*corruption),
            other => self.read_errors.push(other),
        }
    }

    fn note_corruption(&mut self, corruption: Corruption) {
        if self.corruptions.len() < CORRUPTIONS_MAX {
            self.corruptions.push(corruption);
        } else {
            self.corruptions_left_out += 1;
        }
    }
}

impl Salvaged {
    fn new(base: Lsn) -> Self {
        Self {
            base,
            len: 0,
            file: None,
            is_linked: false,
            records: None,
        }
    }

    /// The segment's metadata, if its header is valid.
    pub(crate) fn meta(&self) -> Option<&SegmentMeta> {
        self.file.as_ref().map(|file| &file.meta)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.records.is_some_and(|records| records.is_whole)
    }

    /// Whether the segment needs no predecessor.
    fn is_head(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_head)
    }

    pub(crate) fn is_short(&self) -> bool {
        self.file.as_ref().is_some_and(SegmentFile::is_short)
    }
}

/// The length of a segment's file, or 0 if that is unknown.
fn len_of(dir: &Dir, base: Lsn) -> u64 {
    let file = dir.open(&names::segment(base), Mode::Read);
    file.and_then(|file| file.len()).unwrap_or(0)
}

/// The most damaged places that are listed. A longer list would be of no use.
const CORRUPTIONS_MAX: usize = 10_000;
