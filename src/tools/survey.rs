//! What a survey of a directory finds.

use std::io;
use std::path::PathBuf;

use crate::error::{Corruption, CorruptionKind, Error, Result};
use crate::format::{names, statement};
use crate::lsn::Lsn;
use crate::record::Record;
use crate::recovery::SegmentFile;
use crate::recovery::TornTail;
use crate::recovery::check_finished;
use crate::recovery::salvage::{Extent, Keep, Salvage, Salvaged, Visitor};
use crate::storage::Dir;

/// How much of a log is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Depth {
    /// The header of each segment.
    Headers,
    /// The headers, and the records of the newest segment: where and why the log ends. This is what
    /// [`WalOptions::open`](crate::WalOptions::open) reads.
    Newest,
    /// Every record.
    Everything,
}

/// Follows a survey while it reads.
pub trait Observer {
    /// Called with the progress of the survey.
    fn progress(&mut self, progress: Progress) {
        let _ = progress;
    }

    /// Called with each record that can be read, in the order of LSNs. After damage, records before
    /// it may be missing, including records of its own atomic batch.
    fn record(&mut self, record: Record) {
        let _ = record;
    }

    /// Whether [`record`](Self::record) is called. Default: `true`. With `false`, records are
    /// checked and counted, and no payload is kept in memory.
    fn wants_records(&self) -> bool {
        true
    }

    /// The size in bytes of the largest payload that [`record`](Self::record) is called with.
    /// Default: no limit. A record with a larger payload is checked and counted, and its payload is
    /// not kept in memory.
    fn max_payload_size(&self) -> u64 {
        u64::MAX
    }
}

/// The progress of a survey.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of segments that were read.
    pub read: u64,
    /// Bytes of segments to read.
    pub total: u64,
}

/// What is in a log's directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The directory.
    pub dir: PathBuf,
    /// How much was read.
    pub depth: Depth,
    /// Whether the log is open for appending. If so, only headers were read, and the end of the log
    /// may have moved since.
    pub in_use: bool,
    /// The log's segments, oldest first.
    pub segments: Vec<SegmentSurvey>,
    /// Truncated segments that were not removed yet.
    pub stale_segments: Vec<SegmentSurvey>,
    /// Preallocated files that will become segments.
    pub spares: Vec<String>,
    /// Files that do not belong to the log.
    pub unknown_files: Vec<String>,
    /// Everything that is damaged or missing, in the order of files and offsets, at most 10,000
    /// entries. If damage prevents the log from being opened, that error is among them.
    pub corruptions: Vec<Corruption>,
    /// The number of damaged places beyond these.
    pub corruptions_left_out: u64,
    /// Files that the system could not read, and segments of a later format.
    pub read_errors: Vec<Error>,
    /// The oldest LSN that is kept, or the LSN that the first record would have if there is none.
    pub oldest: Lsn,
    /// The LSN of the last record that recovery would deliver, if nothing is damaged and the newest
    /// segment was read.
    pub end: Lsn,
    /// The last LSN that was durable, as far as anything that was read proves it.
    pub proven: Lsn,
    /// How the log ends. `None` if the newest segment was not read or is damaged.
    pub ending: Option<Ending>,
}

/// How a sound log ends.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// There is no segment yet.
    Empty,
    /// It was closed.
    Closed,
    /// It ends with a torn tail, as a crash leaves it. This is not damage.
    TornTail(TornTail),
}

/// One file of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SegmentSurvey {
    /// The file.
    pub file: PathBuf,
    /// The LSN in its name.
    pub base: Lsn,
    /// Its length in bytes, or 0 if it could not be opened.
    pub len: u64,
    /// What its header says, if that is sound.
    pub header: Option<HeaderSurvey>,
    /// Its statement about how far it is durable, if that can be read.
    pub statement: Option<Statement>,
    /// The last record of the run without a gap that begins with the first record. If the segment
    /// was not read, it comes from the next segment. `None` if it is unknown.
    pub last: Option<Lsn>,
    /// Where that record ends, in bytes from the start of the file, if the segment was read.
    pub end_offset: Option<u64>,
    /// Records that can be read, also after damage, if the segment was read.
    pub records: Option<u64>,
    /// The bytes of their payloads.
    pub payload_bytes: Option<u64>,
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HeaderSurvey {
    /// The same in all segments of a log.
    pub log_id: u64,
    /// The length in bytes that the file should have.
    pub capacity: u64,
    /// Where the records of the segment before this one end, in bytes from the start of its file.
    /// `None` if this is the log's first segment.
    pub predecessor_end: Option<u64>,
    /// Whether the log begins here: this is the first segment, or everything before it was truncated.
    pub is_head: bool,
}

/// What a segment says about itself in its header block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statement {
    /// The kind of statement.
    pub kind: StatementKind,
    /// The LSN that the statement names. This record and every record before it are durable.
    pub lsn: Lsn,
}

/// The kinds of statement (`docs/format.md`, "Statement").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StatementKind {
    /// The segment ends with the named record, and there is a next segment.
    Link,
    /// More may follow.
    Mark,
    /// The segment ends with the named record.
    Seal,
}

impl StatementKind {
    /// Its name in `docs/format.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Mark => "mark",
            Self::Seal => "seal",
        }
    }
}

impl Survey {
    /// Whether nothing is damaged, and everything could be read.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.corruptions.is_empty() && self.read_errors.is_empty()
    }

    /// Records that can be read, if everything was read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.segments
            .iter()
            .filter_map(|segment| segment.records)
            .sum()
    }

    /// The bytes of the payloads of these records.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        let bytes = self
            .segments
            .iter()
            .filter_map(|segment| segment.payload_bytes);
        bytes.sum()
    }

    pub(super) fn of(dir: &Dir, depth: Depth, in_use: bool, mut salvage: Salvage) -> Self {
        if in_use {
            salvage.ignore_changes();
        }
        salvage.corruptions.sort_by(|one, other| {
            (&one.segment, one.first, one.offset).cmp(&(&other.segment, other.first, other.offset))
        });
        let surveyed: Vec<_> = (0..salvage.segments.len())
            .map(|index| segment(dir, &salvage, index))
            .collect();
        let (stale, segments) = surveyed.split_at(salvage.head);
        let last = segments.last().and_then(|segment| segment.last);
        Self {
            dir: dir.path().to_owned(),
            depth,
            in_use,
            segments: segments.to_vec(),
            stale_segments: stale.to_vec(),
            oldest: segments.first().map_or(Lsn::FIRST, |head| head.base),
            end: last.unwrap_or_default(),
            proven: proven(&salvage),
            ending: ending(&salvage),
            spares: salvage.spares,
            unknown_files: salvage.unknown_files,
            corruptions: salvage.corruptions,
            corruptions_left_out: salvage.corruptions_left_out,
            read_errors: salvage.read_errors,
        }
    }
}

pub(super) fn take(
    dir: &Dir,
    depth: Depth,
    in_use: bool,
    observer: Option<&mut dyn Observer>,
) -> Result<Survey> {
    let salvage = salvage(dir, depth, observer)?;
    Ok(Survey::of(dir, depth, in_use, salvage))
}

pub(super) fn salvage(
    dir: &Dir,
    depth: Depth,
    observer: Option<&mut dyn Observer>,
) -> Result<Salvage> {
    check_finished(dir, &dir.list()?)?;
    let extent = match depth {
        Depth::Headers => Extent::Headers,
        Depth::Newest => Extent::Newest,
        Depth::Everything => Extent::Everything,
    };
    let total = Salvage::total_len(dir, extent);
    let mut visitor = SurveyVisitor {
        observer,
        progress: Progress { read: 0, total },
    };
    Salvage::read(dir, extent, &mut visitor)
}

/// Passes what a salvage finds to an observer.
struct SurveyVisitor<'a> {
    observer: Option<&'a mut dyn Observer>,
    progress: Progress,
}

impl Visitor for SurveyVisitor<'_> {
    fn bytes(&mut self, count: u64) {
        self.progress.read = (self.progress.read + count).min(self.progress.total);
        if let Some(observer) = &mut self.observer {
            observer.progress(self.progress);
        }
    }

    fn keep(&self) -> Keep {
        match &self.observer {
            Some(observer) if observer.wants_records() => Keep::UpTo(observer.max_payload_size()),
            _ => Keep::Nothing,
        }
    }

    fn records(&mut self, records: Vec<Record>) {
        if let Some(observer) = &mut self.observer {
            records
                .into_iter()
                .for_each(|record| observer.record(record));
        }
    }
}

fn segment(dir: &Dir, salvage: &Salvage, index: usize) -> SegmentSurvey {
    let salvaged = &salvage.segments[index];
    let stated = salvaged.meta().and_then(|meta| meta.statement);
    let records = salvaged.records;
    SegmentSurvey {
        file: dir.path_of(&names::segment(salvaged.base)),
        base: salvaged.base,
        len: salvaged.len,
        header: salvaged.file.as_ref().map(header),
        statement: stated.map(statement),
        last: last(salvage, index),
        end_offset: records.map(|records| records.end_offset),
        records: records.map(|records| records.count),
        payload_bytes: records.map(|records| records.payload_bytes),
    }
}

fn header(file: &SegmentFile) -> HeaderSurvey {
    let header = &file.meta.header;
    HeaderSurvey {
        log_id: header.log_id,
        capacity: header.capacity,
        predecessor_end: header.predecessor.map(|before| before.end),
        is_head: file.is_head,
    }
}

/// The last record of a segment, from its records, the next segment or its statement.
fn last(salvage: &Salvage, index: usize) -> Option<Lsn> {
    let segment = &salvage.segments[index];
    let next = salvage.segments.get(index + 1);
    let next = next.filter(|_| segment.is_linked);
    let stated = segment.meta().and_then(|meta| meta.statement);
    let read = segment.records.map(|records| records.end);
    read.or(next.map(|next| next.base.prev()))
        .or(stated.map(|stated| stated.lsn))
}

fn statement(stated: statement::Statement) -> Statement {
    let kind = match stated.kind {
        statement::StatementKind::Mark => StatementKind::Mark,
        statement::StatementKind::Seal => StatementKind::Seal,
        statement::StatementKind::Link => StatementKind::Link,
    };
    let lsn = stated.lsn;
    Statement { kind, lsn }
}

/// The last LSN that headers, statements and records prove durable.
fn proven(salvage: &Salvage) -> Lsn {
    let of_segment = |segment: &Salvaged| {
        let meta = segment.meta();
        let stated = meta.and_then(|meta| meta.statement);
        let stated = stated.map_or(Lsn::ZERO, |stated| stated.lsn);
        let begun = meta.map_or(Lsn::ZERO, |_| segment.base.prev());
        let read = segment.records.map_or(Lsn::ZERO, |records| records.proven);
        stated.max(begun).max(read)
    };
    let log = salvage.log().iter();
    log.map(of_segment).max().unwrap_or_default()
}

fn ending(salvage: &Salvage) -> Option<Ending> {
    let Some(newest) = salvage.segments.last() else {
        return Some(Ending::Empty);
    };
    match &salvage.torn_tail {
        _ if !newest.is_whole() => None,
        Some(tail) => Some(Ending::TornTail(tail.clone())),
        None => salvage.is_closed.then_some(Ending::Closed),
    }
}

impl Salvage {
    /// Ignores files that appear or disappear after the directory was listed, as in a log that is
    /// open for appending.
    fn ignore_changes(&mut self) {
        let is_gone = |error: &Error| match error {
            Error::Io(failure) => failure.io_error().kind() == io::ErrorKind::NotFound,
            _ => false,
        };
        self.read_errors.retain(|error| !is_gone(error));
        let changes = [
            CorruptionKind::ChainBroken,
            CorruptionKind::PredecessorMissing,
        ];
        self.corruptions
            .retain(|corruption| !changes.contains(&corruption.kind));
    }
}
