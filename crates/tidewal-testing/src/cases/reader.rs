//! A reader of the log, written from `docs/format.md`, "Reading", and from nothing else. It has the
//! whole directory in memory and is in no hurry.

use super::files::{Entry, Files, segment_name};
use super::format::{
    DATA_AT, FRAME_LEN, Frame, HEAD_MARK_AT, HEAD_MARK_LEN, HEADER_LEN, Header, LINK, MARK, PART,
    Refusal, SEAL, STATEMENT_AT, crc32,
};

/// What the document says about a directory.
#[derive(Debug)]
pub struct Reading {
    /// The records that are delivered, before an error too.
    pub records: Vec<Entry>,
    /// Where their frames stand.
    pub places: Vec<Place>,
    /// The statements of the log's segments.
    pub statements: Vec<Place>,
    /// The oldest LSN that is kept.
    pub oldest: u64,
    pub outcome: Result<End, Refusal>,
}

/// A frame of the log.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: String,
    pub at: usize,
    pub frame: Frame,
}

/// Where and how a log ends.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct End {
    /// The last record.
    pub lsn: u64,
    /// If no seal says that it ends there: file, offset and the label of what is there.
    pub cut: Option<(String, usize, &'static str)>,
}

/// Reads the log in a directory.
pub fn read(files: &Files) -> Reading {
    let mut reading = Reading {
        records: Vec::new(),
        places: Vec::new(),
        statements: Vec::new(),
        oldest: 1,
        outcome: Ok(End::default()),
    };
    reading.outcome = match chain(files) {
        Ok(segments) => reading.follow(&segments),
        Err(error) => Err(error),
    };
    reading
}

impl Reading {
    fn follow(&mut self, segments: &[Segment]) -> Result<End, Refusal> {
        self.oldest = segments.first().map_or(1, |head| head.header.base);
        let mut end = End::default();
        for (index, segment) in segments.iter().enumerate() {
            self.statements.extend(segment.statement.map(|frame| Place {
                file: segment.name(),
                at: STATEMENT_AT,
                frame,
            }));
            end = match segments.get(index + 1) {
                Some(next) => self.read_complete(segment, &next.header)?,
                None => self.read_newest(segment)?,
            };
        }
        Ok(end)
    }

    /// "2. A segment that has a successor".
    fn read_complete(&mut self, segment: &Segment, next: &Header) -> Result<End, Refusal> {
        let limit = usize::try_from(next.prev_end).unwrap();
        let walk = self.walk(segment, limit, None)?;
        if walk.at != limit || walk.end_at != limit || walk.end != next.base - 1 {
            return Err(Refusal::Damaged("a complete segment is not complete"));
        }
        Ok(End::default())
    }

    /// "3. The newest segment".
    fn read_newest(&mut self, segment: &Segment) -> Result<End, Refusal> {
        let capacity = segment.capacity();
        let ends = segment.statement.filter(|frame| frame.kind != MARK);
        let walk = self.walk(segment, capacity, ends.map(|frame| frame.lsn))?;
        let end = walk.end;
        match segment.statement {
            Some(frame) if frame.lsn > end => {
                return Err(Refusal::Damaged("the statement names more"));
            }
            Some(frame) if frame.kind == LINK => {
                return Err(Refusal::Damaged("the successor is missing"));
            }
            Some(frame) if frame.kind == SEAL && frame.lsn == end => {
                return Ok(End {
                    lsn: end,
                    cut: None,
                });
            }
            Some(frame) if frame.kind == SEAL => {
                return Err(Refusal::Damaged("the seal names less"));
            }
            _ => {}
        }
        match walk.proven_behind(segment) > end {
            true => Err(Refusal::Damaged("a later frame proves more")),
            false => Ok(End {
                lsn: end,
                cut: Some((segment.name(), walk.end_at, walk.label)),
            }),
        }
    }

    /// Reads frames as long as they continue the log, up to `limit` and to the record `last`.
    fn walk(
        &mut self,
        segment: &Segment,
        limit: usize,
        last: Option<u64>,
    ) -> Result<Walk, Refusal> {
        let mut walk = Walk::new(segment);
        let mut unit = Vec::new();
        while !(unit.is_empty() && last == Some(walk.end)) && walk.at < limit {
            let file = &segment.file[..limit.min(segment.file.len())];
            let next = Frame::decode(file, walk.at, &segment.header);
            let Some(frame) = next.filter(|frame| walk.is_next(frame)) else {
                break;
            };
            if !frame.is_record() {
                self.places.truncate(self.records.len());
                return Err(Refusal::Later("a frame of an unknown kind"));
            }
            if walk.at + frame.total_len() > limit {
                break;
            }
            let payload = &segment.file[walk.at..walk.at + frame.total_len()][20..];
            if crc32(0, payload) != frame.payload_sum {
                walk.label = if frame.kind == PART {
                    "torn-batch"
                } else {
                    "torn-record"
                };
                break;
            }
            self.places.push(Place {
                file: segment.name(),
                at: walk.at,
                frame,
            });
            unit.push((frame.lsn, payload.to_vec()));
            (walk.at, walk.last) = (walk.at + frame.total_len(), frame.lsn);
            if frame.kind != PART {
                self.records.append(&mut unit);
                (walk.end, walk.end_at) = (walk.last, walk.at);
            }
        }
        if !unit.is_empty() {
            walk.label = "torn-batch";
        }
        self.places.truncate(self.records.len());
        Ok(walk)
    }
}

/// How far a segment was read.
struct Walk {
    /// Where reading stopped, and the last record or part before that.
    at: usize,
    last: u64,
    /// The same of the last whole unit.
    end_at: usize,
    end: u64,
    /// What is where reading stopped.
    label: &'static str,
}

impl Walk {
    fn new(segment: &Segment) -> Self {
        let end = segment.header.base - 1;
        Self {
            at: DATA_AT,
            last: end,
            end_at: DATA_AT,
            end,
            label: "no-record",
        }
    }

    /// Whether the frame has the LSN that comes next.
    fn is_next(&self, frame: &Frame) -> bool {
        Some(frame.lsn) == self.last.checked_add(1)
    }

    /// The last LSN that some frame behind the stop proves durable; 0 if there is none.
    fn proven_behind(&self, segment: &Segment) -> u64 {
        let offsets = self.at..segment.capacity();
        let kinds = offsets.filter(|at| matches!(segment.file.get(at + 12), Some(1 | 2)));
        let frames = kinds.filter_map(|at| {
            let frame = Frame::decode(&segment.file[..segment.capacity()], at, &segment.header)?;
            self.is_possible(&frame, at, segment).then_some(frame)
        });
        frames.filter_map(|frame| frame.proves()).max().unwrap_or(0)
    }

    fn is_possible(&self, frame: &Frame, at: usize, segment: &Segment) -> bool {
        // After the last LSN there is none that is expected.
        let expected = self.last.checked_add(1);
        let Some(more) = expected.and_then(|expected| frame.lsn.checked_sub(expected)) else {
            return false;
        };
        let durable_before = segment.header.base - 1;
        let may_prove = 1..=frame.lsn - durable_before;
        u128::from(more) * 20 <= (at - self.at) as u128
            && at + frame.total_len() <= segment.capacity()
            && (frame.proves().is_none() || may_prove.contains(&u64::from(frame.lag)))
    }
}

/// A segment's file.
struct Segment<'a> {
    file: &'a [u8],
    header: Header,
    statement: Option<Frame>,
}

impl<'a> Segment<'a> {
    fn open(base: u64, file: &'a [u8]) -> Result<Self, Refusal> {
        // Missing bytes count as zeros.
        let mut block = [0; DATA_AT];
        let len = file.len().min(DATA_AT);
        block[..len].copy_from_slice(&file[..len]);
        let header = Header::read(&block)?;
        if header.base != base {
            return Err(Refusal::Damaged("a header is not that of its name"));
        }
        let statement = Self::read_block(&block, &header)?;
        Ok(Self {
            file,
            header,
            statement,
        })
    }

    fn check_len(&self) -> Result<(), Refusal> {
        match (self.file.len() as u64) < self.header.capacity {
            true => Err(Refusal::Damaged("a file is too short")),
            false => Ok(()),
        }
    }

    /// The rest of the header block. Bytes that have no meaning are zero.
    fn read_block(block: &[u8; DATA_AT], header: &Header) -> Result<Option<Frame>, Refusal> {
        let reserved = [
            HEADER_LEN..HEAD_MARK_AT,
            HEAD_MARK_AT + HEAD_MARK_LEN..STATEMENT_AT,
            STATEMENT_AT + FRAME_LEN..DATA_AT,
        ];
        let mut bytes = reserved.into_iter().flatten();
        if bytes.any(|at| block[at] != 0) {
            return Err(Refusal::Later("reserved bytes of a header block"));
        }
        match Frame::decode(block, STATEMENT_AT, header) {
            Some(frame) if !(MARK..=LINK).contains(&frame.kind) => {
                Err(Refusal::Later("a statement of an unknown kind"))
            }
            statement => Ok(statement.map(|frame| Frame { lag: 0, ..frame })),
        }
    }

    fn name(&self) -> String {
        segment_name(self.header.base)
    }

    fn capacity(&self) -> usize {
        usize::try_from(self.header.capacity).unwrap()
    }

    fn is_head(&self) -> bool {
        let mark = &self.file[HEAD_MARK_AT..HEAD_MARK_AT + HEAD_MARK_LEN];
        self.header.prev_salt == 0 || mark == self.header.head_mark()
    }

    fn joins(&self, next: &Self) -> Result<(), Refusal> {
        let (header, next) = (&self.header, &next.header);
        let is_end = (DATA_AT as u64..=header.capacity).contains(&next.prev_end);
        let is_joined = next.prev_salt == header.salt && next.log_id == header.log_id;
        match is_joined && is_end {
            true => Ok(()),
            false => Err(Refusal::Damaged(
                "a segment does not join the one before it",
            )),
        }
    }
}

/// "1. The directory": the segments of the log, oldest first.
fn chain(files: &Files) -> Result<Vec<Segment<'_>>, Refusal> {
    let mut bases: Vec<_> = files.keys().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    let mut segments: Vec<Segment> = Vec::new();
    while let Some(base) = bases.pop() {
        let segment = Segment::open(base, &files[&segment_name(base)])?;
        segment.check_len()?;
        if let Some(next) = segments.last() {
            segment.joins(next)?;
        }
        let is_head = segment.is_head();
        segments.push(segment);
        if is_head {
            segments.reverse();
            return check_truncated(files, &bases, segments[0].header.log_id).map(|()| segments);
        }
    }
    match segments.is_empty() {
        true => Ok(segments),
        false => Err(Refusal::Damaged("no segment is the head")),
    }
}

/// What the log does not need is wrong only if it is a sound segment of another log.
fn check_truncated(files: &Files, bases: &[u64], log_id: u64) -> Result<(), Refusal> {
    for &base in bases {
        let Ok(segment) = Segment::open(base, &files[&segment_name(base)]) else {
            continue;
        };
        if segment.header.log_id != log_id {
            return Err(Refusal::Damaged("a truncated segment is foreign"));
        }
    }
    Ok(())
}

fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let is_name = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let base = is_name.then(|| digits.parse().ok()).flatten();
    base.filter(|&base| base > 0)
}
