//! What a look into a directory finds.

use std::path::PathBuf;

use crate::error::{Corruption, CorruptionKind, Error, Result};
use crate::format::{names, statement};
use crate::lsn::Lsn;
use crate::record::Record;
use crate::recovery::TornTail;
use crate::recovery::check_finished;
use crate::recovery::walk::{Extent, Follow, Keep, Walk, Walked};
use crate::storage::Dir;

/// How much of a log is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Depth {
    /// The header of each segment.
    Headers,
    /// The headers, and the records of the newest segment: where and why the log ends. What
    /// [`WalOptions::open`](crate::WalOptions::open) reads.
    Newest,
    /// Every record.
    Everything,
}

/// Follows a survey while it reads.
pub trait Observer {
    /// So much of all that is to be read has been looked at.
    fn progress(&mut self, progress: Progress) {
        let _ = progress;
    }

    /// A record that can be read, in the order of LSNs. Behind damage, some may be missing before it,
    /// also of the atomic batch that it belongs to.
    fn record(&mut self, record: Record) {
        let _ = record;
    }

    /// Whether [`record`](Self::record) is of any use. Default: yes. If not, records are checked and
    /// counted, and no payload is kept in memory, however large it is.
    fn wants_records(&self) -> bool {
        true
    }

    /// The size of the largest payload, in bytes, that [`record`](Self::record) is called with. Default: any.
    /// A larger one is checked and counted, and not kept in memory.
    fn max_payload_size(&self) -> u64 {
        u64::MAX
    }
}

/// How far a survey is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of segments that were looked at.
    pub read: u64,
    /// Bytes of segments to be looked at.
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
    /// Whether a process has the log open for appending. Then only headers were read, and the end of
    /// the log is on the move.
    pub in_use: bool,
    /// The log's segments, oldest first.
    pub segments: Vec<SegmentSurvey>,
    /// Segments below the one that was marked as the first one kept: truncated, not yet removed.
    pub stale_segments: Vec<SegmentSurvey>,
    /// Files that wait to become segments.
    pub spares: Vec<String>,
    /// Names that are not the log's.
    pub unknown_files: Vec<String>,
    /// Everything that is damaged or missing, by place; of one that a log cannot be opened for, that
    /// error is among them. Up to 10,000.
    pub damages: Vec<Corruption>,
    /// Damages beyond those.
    pub damages_left_out: u64,
    /// What the system would not read, and segments of a later format.
    pub read_errors: Vec<Error>,
    /// The oldest LSN that is kept, or would be if there were any.
    pub oldest: Lsn,
    /// The last record that recovery would deliver from here; meaningful if nothing is damaged and the
    /// newest segment was read.
    pub end: Lsn,
    /// The last LSN that something on disk proves to have been durable, as far as was read.
    pub proven: Lsn,
    /// How the log ends; `None` if the newest segment was not read or is damaged.
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
    /// As a crash has left it, which is no damage.
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
    /// Its length in bytes; 0 if it could not be opened.
    pub len: u64,
    /// What its header says, if that is sound.
    pub header: Option<SegmentHeader>,
    /// What it says of how far it is durable, if that can be read.
    pub statement: Option<Statement>,
    /// The last LSN of those that follow each other from the first one on. Of a segment that was not
    /// read, what the next one says. `None` if neither is known.
    pub last: Option<Lsn>,
    /// Where the last one of those ends, in bytes from the start of the file, if it was read.
    pub end_offset: Option<u64>,
    /// Records that can be read, behind damage too, if it was read.
    pub records: Option<u64>,
    /// The bytes of their payloads.
    pub payload_bytes: Option<u64>,
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SegmentHeader {
    /// The same in all segments of a log.
    pub log_id: u64,
    /// The file's length as it should be, in bytes.
    pub capacity: u64,
    /// Where the segment before this one ends, in bytes from the start of its file; `None` if this is
    /// the log's first.
    pub predecessor_end: Option<u64>,
    /// Whether the log begins here: it is the first one, or everything before it was truncated.
    pub is_head: bool,
}

/// What a segment says of itself in its header block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statement {
    /// What it says of this LSN.
    pub kind: StatementKind,
    /// It is durable, as is everything before it.
    pub lsn: Lsn,
}

/// The kinds of statement (`docs/format.md`, "Statement").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StatementKind {
    /// The segment ends with it, and there is a next one.
    Link,
    /// More may follow.
    Mark,
    /// The segment ends with it.
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
    /// Whether nothing is damaged, and everything that was to be read could be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty() && self.read_errors.is_empty()
    }

    /// Records that can be read, if all was read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.segments
            .iter()
            .filter_map(|segment| segment.records)
            .sum()
    }

    /// The bytes of their payloads.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        let bytes = self
            .segments
            .iter()
            .filter_map(|segment| segment.payload_bytes);
        bytes.sum()
    }

    pub(super) fn of(dir: &Dir, depth: Depth, in_use: bool, mut walk: Walk) -> Self {
        if in_use {
            walk.forgive_what_moves();
        }
        walk.damages.sort_by(|one, other| {
            (&one.segment, one.first, one.offset).cmp(&(&other.segment, other.first, other.offset))
        });
        let surveyed: Vec<_> = (0..walk.files.len())
            .map(|index| segment(dir, &walk, index))
            .collect();
        let (stale, segments) = surveyed.split_at(walk.head);
        let newest = walk.files.last().and_then(|file| file.run);
        let last = segments.last().and_then(|segment| segment.last);
        Self {
            dir: dir.path().to_owned(),
            depth,
            in_use,
            segments: segments.to_vec(),
            stale_segments: stale.to_vec(),
            oldest: segments.first().map_or(Lsn::FIRST, |head| head.base),
            end: last.unwrap_or_default(),
            proven: proven(&walk),
            ending: ending(&walk, newest.is_some_and(|run| run.is_whole)),
            spares: walk.spares,
            unknown_files: walk.unknown_files,
            damages: walk.damages,
            damages_left_out: walk.damages_left_out,
            read_errors: walk.read_errors,
        }
    }
}

pub(super) fn take(
    dir: &Dir,
    depth: Depth,
    in_use: bool,
    observer: Option<&mut dyn Observer>,
) -> Result<Survey> {
    let walk = walk(dir, depth, observer)?;
    Ok(Survey::of(dir, depth, in_use, walk))
}

pub(super) fn walk(dir: &Dir, depth: Depth, observer: Option<&mut dyn Observer>) -> Result<Walk> {
    check_finished(dir, &dir.list()?)?;
    let extent = match depth {
        Depth::Headers => Extent::Headers,
        Depth::Newest => Extent::Newest,
        Depth::Everything => Extent::Everything,
    };
    let total = Walk::total_len(dir, extent);
    let mut follower = Follower {
        observer,
        progress: Progress { read: 0, total },
    };
    Walk::read(dir, extent, &mut follower)
}

/// Tells an observer what a walk finds.
struct Follower<'a> {
    observer: Option<&'a mut dyn Observer>,
    progress: Progress,
}

impl Follow for Follower<'_> {
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

fn segment(dir: &Dir, walk: &Walk, index: usize) -> SegmentSurvey {
    let file = &walk.files[index];
    let header = file.found.as_ref().map(|found| SegmentHeader {
        log_id: found.header.log_id,
        capacity: found.header.capacity,
        predecessor_end: found.header.predecessor.map(|before| before.end),
        is_head: found.is_head,
    });
    SegmentSurvey {
        file: dir.path_of(&names::segment(file.base)),
        base: file.base,
        len: file.len,
        header,
        statement: file
            .found
            .as_ref()
            .and_then(|found| found.statement)
            .map(statement),
        last: last(walk, index),
        end_offset: file.run.map(|run| run.end_offset),
        records: file.run.map(|run| run.records),
        payload_bytes: file.run.map(|run| run.bytes),
    }
}

fn last(walk: &Walk, index: usize) -> Option<Lsn> {
    let file = &walk.files[index];
    let next = walk.files.get(index + 1).filter(|_| file.is_joined);
    let stated = file.found.as_ref().and_then(|found| found.statement);
    file.run
        .map(|run| run.end)
        .or(next.map(|next| next.base.prev()))
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

/// What headers, statements and records say was durable.
fn proven(walk: &Walk) -> Lsn {
    let of_file = |file: &Walked| {
        let stated = file.found.as_ref().and_then(|found| found.statement);
        let stated = stated.map_or(Lsn::ZERO, |stated| stated.lsn);
        let begun = file.found.as_ref().map_or(Lsn::ZERO, |_| file.base.prev());
        let read = file.run.map_or(Lsn::ZERO, |run| run.proven);
        stated.max(begun).max(read)
    };
    let log = &walk.files[walk.head..];
    log.iter().map(of_file).max().unwrap_or_default()
}

fn ending(walk: &Walk, newest_is_whole: bool) -> Option<Ending> {
    if walk.files.is_empty() {
        return Some(Ending::Empty);
    }
    if !newest_is_whole {
        return None;
    }
    match &walk.cut {
        Some(cut) => Some(Ending::TornTail(cut.clone())),
        None => walk.is_closed.then_some(Ending::Closed),
    }
}

impl Walk {
    /// While a service appends, files come and go between the look at the directory and the look at
    /// them.
    fn forgive_what_moves(&mut self) {
        let is_gone = |error: &Error| matches!(error, Error::Io(fault) if fault.io_error().kind() == std::io::ErrorKind::NotFound);
        self.read_errors.retain(|error| !is_gone(error));
        let moves = [
            CorruptionKind::ChainBroken,
            CorruptionKind::PredecessorMissing,
        ];
        self.damages.retain(|damage| !moves.contains(&damage.kind));
    }
}
