//! Which files belong to the log: reads the directory and the headers, and checks how they link.

use crate::error::{Corruption, CorruptionKind, Error, Result, UnsupportedReason};
use crate::format::segment::{self, Header, HeaderError, Remarks, Unknown};
use crate::format::statement::Statement;
use crate::format::{self, HEADER_BLOCK_LEN, names};
use crate::lsn::Lsn;
use crate::recovery::bad_pages;
use crate::storage::{Dir, Mode};

/// The files of a log.
#[derive(Debug)]
pub(super) struct SegmentChain {
    /// The segments of the log, oldest first.
    pub(super) segments: Vec<SegmentMeta>,
    pub(super) stale: Vec<String>,
    pub(super) spares: Vec<String>,
}

/// One segment of the log.
#[derive(Clone, Debug)]
pub(crate) struct SegmentMeta {
    pub(super) name: String,
    pub(crate) header: Header,
    /// Its statement, if there is one that can be read.
    pub(crate) statement: Option<Statement>,
}

/// Where a replay starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// At the oldest record.
    Oldest,
    /// At this one.
    At(Lsn),
    /// As late as possible, for callers that need no records.
    Last,
}

impl Start {
    /// Whether the caller needs records.
    pub(super) fn wants_records(self) -> bool {
        match self {
            Self::Oldest | Self::At(_) => true,
            Self::Last => false,
        }
    }
}

impl SegmentChain {
    /// Reads the chain from the directory.
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
        let mut stale = Vec::new();
        for &base in below {
            stale.extend(read_stale(dir, base, &segments)?);
        }
        Ok(Self {
            segments,
            stale,
            spares,
        })
    }

    /// Reads from the newest segment down to the head, which is the newest one that needs no
    /// predecessor.
    fn read_down_to_head(dir: &Dir, found: &[Lsn]) -> Result<Vec<SegmentMeta>> {
        let mut segments: Vec<SegmentMeta> = Vec::new();
        for &base in found.iter().rev() {
            let (planned, is_head) = read_header(dir, base)?;
            if let Some(successor) = segments.last() {
                check_link(dir, &planned, successor)?;
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

    /// The oldest LSN that is kept, or the LSN that the first record would have if there is none.
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
                let below = |segment: &SegmentMeta| segment.header.base <= asked;
                Ok(self.segments.partition_point(below).saturating_sub(1))
            }
        }
    }
}

/// Refuses a directory with an unfinished restore, which is not a log yet.
pub(crate) fn check_finished(dir: &Dir, files: &[String]) -> Result<()> {
    match files.iter().any(|name| name == names::RESTORING) {
        true => Err(Error::UnfinishedRestore {
            dir: dir.path().to_owned(),
        }),
        false => Ok(()),
    }
}

impl SegmentMeta {
    /// Damage that prevents the delivery of the record `first` and of all records after it.
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

/// Examines a file below the head of the log. If it is a segment of this log, it was truncated and
/// will be removed.
///
/// The log does not need the file. A file that cannot be read or that is not a segment does not
/// prevent a sound log from opening, and stays where it is. A sound segment of another log is an
/// error nevertheless: the head may be the file that does not belong here.
fn read_stale(dir: &Dir, base: Lsn, segments: &[SegmentMeta]) -> Result<Option<String>> {
    let Ok(SegmentFile { meta, .. }) = SegmentFile::read(dir, base) else {
        return Ok(None);
    };
    match segments.first() {
        Some(head) if head.header.log_id != meta.header.log_id => Err(meta
            .damaged(dir, CorruptionKind::ForeignSegment, base)
            .into()),
        _ => Ok(Some(meta.name)),
    }
}

/// Reads a segment's header and says whether the segment needs no predecessor.
///
/// A file gets a segment's name only after its header and its full length are durable. So anything
/// wrong here is damage, and never a torn write.
fn read_header(dir: &Dir, base: Lsn) -> Result<(SegmentMeta, bool)> {
    let file = SegmentFile::read(dir, base)?;
    file.check_len(dir)?;
    Ok((file.meta, file.is_head))
}

/// A file that has a segment's header.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) meta: SegmentMeta,
    /// Whether the segment needs no predecessor.
    pub(crate) is_head: bool,
    len: u64,
}

impl SegmentFile {
    /// Reads the whole header block.
    pub(super) fn read(dir: &Dir, base: Lsn) -> Result<Self> {
        let name = names::segment(base);
        let file = dir.open(&name, Mode::Read)?;
        let mut block = [0; HEADER_BLOCK_LEN];
        if bad_pages::read(&file, &mut block, 0)?.bad_page.is_some() {
            return Err(damaged_header(dir, base, CorruptionKind::Unreadable).into());
        }
        let header = decode_header(dir, base, &block)?;
        let remarks = Remarks::decode(&block, &header);
        let remarks = remarks.map_err(|unknown| unsupported(dir, base, unknown))?;
        Ok(Self {
            meta: SegmentMeta {
                name,
                header,
                statement: remarks.statement,
            },
            is_head: header.predecessor.is_none() || remarks.has_head_mark,
            len: file.len()?,
        })
    }

    /// Whether the file is shorter than its header says.
    pub(crate) fn is_short(&self) -> bool {
        self.len < self.meta.header.capacity
    }

    pub(super) fn check_len(&self, dir: &Dir) -> Result<()> {
        if !self.is_short() {
            return Ok(());
        }
        Err(damaged_header(dir, self.meta.header.base, CorruptionKind::ShortFile).into())
    }
}

fn decode_header(dir: &Dir, base: Lsn, block: &[u8; HEADER_BLOCK_LEN]) -> Result<Header> {
    let damaged = |kind| damaged_header(dir, base, kind).into();
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

/// Damage of a header, after which only the first record that the file should hold is known.
fn damaged_header(dir: &Dir, base: Lsn, kind: CorruptionKind) -> Corruption {
    Corruption {
        kind,
        segment: dir.path_of(&names::segment(base)),
        offset: 0,
        first: base,
        last: Lsn::ZERO,
    }
}

/// Checks that `next` names `segment` as its predecessor, with an end that is inside it.
pub(super) fn check_link(dir: &Dir, segment: &SegmentMeta, next: &SegmentMeta) -> Result<()> {
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
