//! Which files are the log: reads the directory and the headers, and checks that they join.

use crate::error::{Corruption, CorruptionKind, Error, Result, UnsupportedReason};
use crate::format::segment::{self, Header, HeaderError, Remarks, Unknown};
use crate::format::statement::Statement;
use crate::format::{self, HEADER_BLOCK_LEN, names};
use crate::lsn::Lsn;
use crate::recovery::pages;
use crate::storage::{Dir, Mode};

/// The files of a log.
#[derive(Debug)]
pub(super) struct Plan {
    /// The segments of the log, oldest first.
    pub(super) segments: Vec<Planned>,
    pub(super) doomed: Vec<String>,
    pub(super) spares: Vec<String>,
}

/// One segment of the log.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) header: Header,
    /// What it says of itself, if it says anything that can be read.
    pub(super) statement: Option<Statement>,
}

/// Where a replay starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// At the oldest record.
    Oldest,
    /// At this one.
    At(Lsn),
    /// As late as can be: for callers who do not want any record.
    Last,
}

impl Start {
    /// Whether the caller wants any record.
    pub(super) fn wants_records(self) -> bool {
        match self {
            Self::Oldest | Self::At(_) => true,
            Self::Last => false,
        }
    }
}

impl Plan {
    /// Reads it from the directory.
    pub(super) fn read(dir: &Dir) -> Result<Self> {
        let files = dir.list()?;
        check_finished(dir, &files)?;
        let mut found: Vec<_> = files
            .iter()
            .filter_map(|name| names::parse_segment(name))
            .collect();
        found.sort_unstable();
        let spares = files
            .into_iter()
            .filter(|name| names::is_spare(name))
            .collect();
        let segments = Self::read_down_to_head(dir, &found)?;
        let (below, _) = found.split_at(found.len() - segments.len());
        let mut doomed = Vec::new();
        for &base in below {
            doomed.extend(read_doomed(dir, base, &segments)?);
        }
        Ok(Self {
            segments,
            doomed,
            spares,
        })
    }

    /// From the newest segment down to the head, which is the newest one that needs no predecessor.
    fn read_down_to_head(dir: &Dir, found: &[Lsn]) -> Result<Vec<Planned>> {
        let mut segments: Vec<Planned> = Vec::new();
        for &base in found.iter().rev() {
            let (planned, is_head) = read_header(dir, base)?;
            if let Some(successor) = segments.last() {
                check_joint(dir, &planned, successor)?;
            }
            segments.push(planned);
            if is_head {
                segments.reverse();
                return Ok(segments);
            }
        }
        match segments.last() {
            None => Ok(segments),
            Some(oldest) => Err(oldest
                .damaged(dir, CorruptionKind::PredecessorMissing, Lsn::FIRST)
                .into()),
        }
    }

    /// The oldest LSN that is kept, or would be if there were any.
    pub(super) fn oldest(&self) -> Lsn {
        self.segments
            .first()
            .map_or(Lsn::FIRST, |head| head.header.base)
    }

    /// The index of the first segment that a replay has to read.
    pub(super) fn first_to_read(&self, start: Start) -> Result<usize> {
        let last = self.segments.len().saturating_sub(1);
        match start {
            Start::Oldest => Ok(0),
            Start::Last => Ok(last),
            Start::At(asked) if asked < self.oldest() && asked != Lsn::ZERO => {
                Err(Error::Truncated {
                    asked,
                    oldest: self.oldest(),
                })
            }
            Start::At(asked) => {
                let below = |segment: &Planned| segment.header.base <= asked;
                Ok(self.segments.partition_point(below).saturating_sub(1))
            }
        }
    }
}

/// Refuses a directory that a restore has not finished: what is in it is no log yet.
pub(crate) fn check_finished(dir: &Dir, files: &[String]) -> Result<()> {
    match files.iter().any(|name| name == names::RESTORING) {
        true => Err(Error::UnfinishedRestore {
            dir: dir.path().to_owned(),
        }),
        false => Ok(()),
    }
}

impl Planned {
    /// Damage that cuts this segment off from the records before it, `first` and those after it.
    pub(super) fn damaged(&self, dir: &Dir, kind: CorruptionKind, first: Lsn) -> Corruption {
        let (segment, last) = (dir.path_of(&self.name), self.header.base.prev());
        Corruption {
            kind,
            segment,
            offset: 0,
            first,
            last,
        }
    }
}

/// Looks at a file below the head of the log. It was truncated, and is removed if it is a segment of this
/// log.
///
/// The log does not need it. So a file that cannot be read, or that is no segment, keeps no sound log from
/// opening, and stays where it is. A sound segment of another log is an error all the same: the head may be the
/// one that does not belong here.
fn read_doomed(dir: &Dir, base: Lsn, segments: &[Planned]) -> Result<Option<String>> {
    let Ok(Found { planned, .. }) = Found::read(dir, base) else {
        return Ok(None);
    };
    match segments.first() {
        Some(head) if head.header.log_id != planned.header.log_id => Err(planned
            .damaged(dir, CorruptionKind::ForeignSegment, base)
            .into()),
        _ => Ok(Some(planned.name)),
    }
}

/// Reads a segment's header and says whether the segment needs no predecessor.
///
/// A file gets a segment's name only after its header and its full length are durable, so that whatever
/// is wrong here is damage and never a torn write.
fn read_header(dir: &Dir, base: Lsn) -> Result<(Planned, bool)> {
    let found = Found::read(dir, base)?;
    found.check_len(dir)?;
    Ok((found.planned, found.is_head))
}

/// A file that has a segment's header.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) planned: Planned,
    /// Whether it needs no predecessor.
    pub(super) is_head: bool,
    pub(super) len: u64,
}

impl Found {
    /// Reads everything that the header block says.
    pub(super) fn read(dir: &Dir, base: Lsn) -> Result<Self> {
        let name = names::segment(base);
        let file = dir.open(&name, Mode::Read)?;
        let mut block = [0; HEADER_BLOCK_LEN];
        if pages::read(&file, &mut block, 0)?.bad_page.is_some() {
            return Err(damaged_header(dir, base, CorruptionKind::Unreadable).into());
        }
        let header = decode_header(dir, base, &block)?;
        let remarks = Remarks::decode(&block, &header);
        let remarks = remarks.map_err(|unknown| unsupported(dir, base, unknown))?;
        Ok(Self {
            planned: Planned {
                name,
                header,
                statement: remarks.statement,
            },
            is_head: header.predecessor.is_none() || remarks.has_head_mark,
            len: file.len()?,
        })
    }

    pub(super) fn check_len(&self, dir: &Dir) -> Result<()> {
        if self.len >= self.planned.header.capacity {
            return Ok(());
        }
        Err(damaged_header(dir, self.planned.header.base, CorruptionKind::ShortFile).into())
    }
}

fn decode_header(dir: &Dir, base: Lsn, block: &[u8; HEADER_BLOCK_LEN]) -> Result<Header> {
    let damaged = |damage| damaged_header(dir, base, damage).into();
    let header_bytes = block
        .first_chunk()
        .expect("a header is shorter than its block");
    let header = Header::decode(header_bytes).map_err(|error| match error {
        HeaderError::Damaged => damaged(CorruptionKind::HeaderDamaged),
        HeaderError::Unknown(unknown) => unsupported(dir, base, unknown),
    })?;
    match header.base == base {
        true => Ok(header),
        false => Err(damaged(CorruptionKind::NameMismatch)),
    }
}

fn unsupported(dir: &Dir, base: Lsn, unknown: Unknown) -> Error {
    let reason = match unknown {
        Unknown::Version(version) => UnsupportedReason::Version(version),
        Unknown::Reserved(at) => UnsupportedReason::ReservedByte { offset: at as u64 },
        Unknown::Statement(kind) => UnsupportedReason::FrameKind {
            kind,
            offset: segment::STATEMENT_OFFSET as u64,
        },
    };
    Error::Unsupported {
        segment: dir.path_of(&names::segment(base)),
        reason,
    }
}

/// Damage that leaves nothing to be said about a file's records, but which should be the first.
fn damaged_header(dir: &Dir, base: Lsn, kind: CorruptionKind) -> Corruption {
    Corruption {
        kind,
        segment: dir.path_of(&names::segment(base)),
        offset: 0,
        first: base,
        last: Lsn::ZERO,
    }
}

/// Checks that `next` names `segment` as its predecessor, and a place in it that exists.
pub(super) fn check_joint(dir: &Dir, segment: &Planned, next: &Planned) -> Result<()> {
    if segment.header.log_id != next.header.log_id {
        return Err(next
            .damaged(dir, CorruptionKind::ForeignSegment, next.header.base)
            .into());
    }
    let joined = next.header.predecessor.is_some_and(|predecessor| {
        let records = format::DATA_OFFSET..=segment.header.capacity;
        predecessor.salt == segment.header.salt && records.contains(&predecessor.end)
    });
    match joined {
        true => Ok(()),
        false => Err(next
            .damaged(dir, CorruptionKind::ChainBroken, segment.header.base)
            .into()),
    }
}
