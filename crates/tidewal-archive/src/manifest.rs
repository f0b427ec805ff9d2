//! An entry of the manifest (`docs/archive.md`, "An entry"). No I/O.

use std::fmt::Write;
use std::str::SplitAsciiWhitespace;

use tidewal::{FinishedSegment, Lsn, SegmentEnd, SegmentHeader};

/// One entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) log_id: u64,
    /// The archiver that wrote it.
    pub(super) writer: u64,
    /// CRC-32 of the entry before it, or 0 in the first entry.
    pub(super) previous: u32,
    pub(super) reached: Reached,
    pub(super) body: Body,
}

/// How far an archive goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Reached {
    /// The last LSN, or 0 if there is none.
    pub(super) last: Lsn,
    /// Salt and end of the segment that holds the last LSN. `None` if there is no such segment or it is unknown.
    pub(super) segment: Option<SegmentEnd>,
    /// The latest time recorded, in milliseconds since 1970.
    pub(super) clock: u64,
}

impl Reached {
    /// Whether there is no segment and no gap yet.
    pub(super) fn is_nothing(self) -> bool {
        self.last == Lsn::ZERO
    }
}

/// What an entry says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Body {
    /// An archiver has started.
    Claim,
    /// These records were given up.
    Gap { first: Lsn, last: Lsn },
    /// A segment is in the archive.
    Segment(Shipped),
    /// Readers begin with this entry, which names the segment with this first LSN. Everything before it may be
    /// missing.
    Checkpoint { entry: u64, first: Lsn },
}

/// A finished segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sealed {
    pub(super) header: SegmentHeader,
    /// The LSN of its last record.
    pub(super) last: Lsn,
    /// The offset at which that record ends, in bytes from the start of the file.
    pub(super) end: u64,
}

impl Sealed {
    pub(super) fn of(segment: &FinishedSegment) -> Self {
        Self {
            header: segment.header(),
            last: segment.last(),
            end: segment.size(),
        }
    }
}

/// A segment in the archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Shipped {
    pub(super) sealed: Sealed,
    /// CRC-32 of all its bytes.
    pub(super) crc: u32,
    pub(super) parts: Vec<Part>,
    pub(super) times: Vec<TimePoint>,
}

/// One object with some of a segment's bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part {
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// Everything up to an LSN was durable at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TimePoint {
    pub(super) lsn: Lsn,
    /// Milliseconds since 1970.
    pub(super) time: u64,
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DecodeError {
    Damaged,
    Version,
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let text = self.to_text();
        debug_assert_eq!(Self::decode(text.as_bytes()).as_ref(), Ok(self));
        text.into_bytes()
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let (salt, end) = numbers_of(self.reached.segment);
        line(&mut text, format_args!("{MAGIC} {VERSION}"));
        line(&mut text, format_args!("entry {}", self.number));
        line(&mut text, format_args!("log {:016x}", self.log_id));
        line(&mut text, format_args!("writer {:016x}", self.writer));
        line(&mut text, format_args!("previous {:08x}", self.previous));
        let last = self.reached.last;
        line(&mut text, format_args!("reached {last} {salt:016x} {end}"));
        line(&mut text, format_args!("clock {}", self.reached.clock));
        self.body.encode(&mut text);
        let check = crc32fast::hash(text.as_bytes());
        line(&mut text, format_args!("check {check:08x}"));
        text
    }

    /// The entry in `bytes`. The check is verified first, so every line of an entry that passes is as it was
    /// written.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = str::from_utf8(bytes).map_err(|_| DecodeError::Damaged)?;
        let checked_len = text.rfind("\ncheck ").ok_or(DecodeError::Damaged)? + 1;
        let (checked, check) = text.split_at(checked_len);
        if check != format!("check {:08x}\n", crc32fast::hash(checked.as_bytes())) {
            return Err(DecodeError::Damaged);
        }
        let mut lines = Lines(checked.lines().peekable());
        let version = lines.fields(MAGIC).and_then(|mut fields| fields.number());
        match version {
            // Whatever is written in another way was not written by an archiver.
            Some(VERSION) => Self::decode_lines(&mut lines)
                .filter(|entry| entry.to_text() == text)
                .ok_or(DecodeError::Damaged),
            Some(_) => Err(DecodeError::Version),
            None => Err(DecodeError::Damaged),
        }
    }

    fn decode_lines(lines: &mut Lines<'_>) -> Option<Self> {
        let number = lines.fields("entry")?.number()?;
        let log_id = lines.fields("log")?.hex()?;
        let writer = lines.fields("writer")?.hex()?;
        let previous = lines.fields("previous")?.hex()?;
        let mut fields = lines.fields("reached")?;
        let (last, segment) = (fields.lsn()?, fields.segment()?);
        let clock = lines.fields("clock")?.number()?;
        let body = Body::decode(lines, log_id)?;
        let reached = Reached {
            last,
            segment: known(segment),
            clock,
        };
        lines.0.next().is_none().then_some(Self {
            number,
            log_id,
            writer,
            previous: u32::try_from(previous).ok()?,
            reached,
            body,
        })
    }
}

impl Body {
    fn encode(&self, text: &mut String) {
        match self {
            Self::Claim => line(text, format_args!("claim")),
            Self::Gap { first, last } => line(text, format_args!("gap {first} {last}")),
            Self::Segment(shipped) => shipped.encode(text),
            Self::Checkpoint { entry, first } => {
                line(text, format_args!("checkpoint {entry} {first}"));
            }
        }
    }

    fn decode(lines: &mut Lines<'_>, log_id: u64) -> Option<Self> {
        if lines.fields("claim").is_some() {
            return Some(Self::Claim);
        }
        if let Some(mut fields) = lines.fields("gap") {
            let (first, last) = (fields.lsn()?, fields.lsn()?);
            return Some(Self::Gap { first, last });
        }
        if let Some(mut fields) = lines.fields("checkpoint") {
            let (entry, first) = (fields.number()?, fields.lsn()?);
            return Some(Self::Checkpoint { entry, first });
        }
        Shipped::decode(lines, log_id).map(Self::Segment)
    }
}

impl Shipped {
    fn encode(&self, text: &mut String) {
        let Sealed { header, last, end } = self.sealed;
        let (salt, prev_end) = numbers_of(header.predecessor);
        line(text, format_args!("segment {} {last}", header.base));
        line(text, format_args!("salt {:016x}", header.salt));
        line(text, format_args!("after {salt:016x} {prev_end}"));
        line(text, format_args!("capacity {}", header.capacity));
        line(text, format_args!("end {end}"));
        line(text, format_args!("crc {:08x}", self.crc));
        for Part { len, crc } in &self.parts {
            line(text, format_args!("part {len} {crc:08x}"));
        }
        for TimePoint { lsn, time } in &self.times {
            line(text, format_args!("time {lsn} {time}"));
        }
    }

    fn decode(lines: &mut Lines<'_>, log_id: u64) -> Option<Self> {
        let mut fields = lines.fields("segment")?;
        let (base, last) = (fields.lsn()?, fields.lsn()?);
        let header = SegmentHeader {
            log_id,
            base,
            salt: lines.fields("salt")?.hex()?,
            predecessor: known(lines.fields("after")?.segment()?),
            capacity: lines.fields("capacity")?.number()?,
        };
        let end = lines.fields("end")?.number()?;
        let crc = u32::try_from(lines.fields("crc")?.hex()?).ok()?;
        let parts = lines.all("part", |fields| {
            let (len, crc) = (fields.number()?, u32::try_from(fields.hex()?).ok()?);
            Some(Part { len, crc })
        })?;
        let times = lines.all("time", |fields| {
            let (lsn, time) = (fields.lsn()?, fields.number()?);
            Some(TimePoint { lsn, time })
        })?;
        Some(Self {
            sealed: Sealed { header, last, end },
            crc,
            parts,
            times,
        })
    }
}

/// The remaining lines of an entry.
struct Lines<'a>(std::iter::Peekable<std::str::Lines<'a>>);

impl<'a> Lines<'a> {
    /// The fields of the next line if it begins with this word.
    fn fields(&mut self, word: &str) -> Option<Fields<'a>> {
        let mut fields = self.0.peek()?.split_ascii_whitespace();
        if fields.next() != Some(word) {
            return None;
        }
        self.0.next();
        Some(Fields(fields))
    }

    /// All consecutive lines that begin with this word. `None` if one of them is malformed.
    fn all<T>(
        &mut self,
        word: &str,
        read: impl Fn(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let lines = std::iter::from_fn(|| self.fields(word));
        lines.map(|mut fields| read(&mut fields)).collect()
    }
}

struct Fields<'a>(SplitAsciiWhitespace<'a>);

impl Fields<'_> {
    fn number(&mut self) -> Option<u64> {
        self.0.next()?.parse().ok()
    }

    fn hex(&mut self) -> Option<u64> {
        u64::from_str_radix(self.0.next()?, 16).ok()
    }

    fn lsn(&mut self) -> Option<Lsn> {
        self.number().map(Lsn::new)
    }

    /// Zeros mean that there is no segment.
    fn segment(&mut self) -> Option<SegmentEnd> {
        let (salt, end) = (self.hex()?, self.number()?);
        Some(SegmentEnd { salt, end })
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a string takes all that is written");
}

fn numbers_of(segment: Option<SegmentEnd>) -> (u64, u64) {
    segment.map_or((0, 0), |segment| (segment.salt, segment.end))
}

fn known(segment: SegmentEnd) -> Option<SegmentEnd> {
    (segment.salt != 0).then_some(segment)
}

/// The length of each part but the last, which may be shorter. One call puts or gets a part, so it bounds the memory
/// of both.
pub(super) const PART_LEN: u64 = 8 * 1024 * 1024;

const MAGIC: &str = "tidewal-archive";
const VERSION: u64 = 1;

#[cfg(test)]
mod tests;
