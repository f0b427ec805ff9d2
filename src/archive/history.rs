//! What an archive holds: its manifest, read from the first entry to the last.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use crate::archive::error::{Error, Result};
use crate::archive::ledger::read_entry;
use crate::archive::manifest::{Body, Entry, Reached, Shipped, TimePoint};
use crate::archive::place::Place;
use crate::archive::times::{millis, system_time};
use crate::format;
use crate::format::segment::Predecessor;
use crate::lsn::Lsn;

/// Up to where to restore.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Until {
    /// All that is in the archive.
    End,

    /// Up to this record, or to the last one before it that does not tear an atomic batch.
    Lsn(Lsn),

    /// What was there at this time: nothing that was not durable then, and everything that was durable
    /// one `time_step` before (`docs/archive.md`, "Time").
    Time(SystemTime),
}

/// What an archive holds.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Contents {
    /// The LSN of its first record; [`Lsn::ZERO`] if it has none.
    pub oldest: Lsn,
    /// The LSN of its last record; [`Lsn::ZERO`] if it has none.
    pub end: Lsn,
    /// How many segments it has.
    pub segments: u64,
    /// The bytes of them.
    pub bytes: u64,
    /// Records between the first and the last that it has not.
    pub gaps: Vec<RangeInclusive<Lsn>>,
    /// The earliest and the latest time that can be restored to.
    pub times: Option<RangeInclusive<SystemTime>>,
}

/// A manifest that was read, and found to hold.
#[derive(Debug)]
pub(super) struct History {
    /// In the order of their LSNs.
    pub(super) segments: Vec<Shipped>,
    gaps: Vec<RangeInclusive<Lsn>>,
    reached: Reached,
    log_id: u64,
    crc: u32,
}

impl History {
    /// Reads all of it.
    pub(super) async fn read(place: &Place) -> Result<Self> {
        let newest = place.newest_entry().await?;
        if newest == 0 {
            return Err(Error::Empty {
                prefix: place.prefix(),
            });
        }
        let (first, bytes) = read_entry(place, 1).await?;
        let mut history = Self {
            segments: Vec::new(),
            gaps: Vec::new(),
            reached: Reached::default(),
            log_id: first.log_id,
            crc: 0,
        };
        history.add(place, first, crc32fast::hash(&bytes))?;
        for number in 2..=newest {
            let (entry, bytes) = read_entry(place, number).await?;
            history.add(place, entry, crc32fast::hash(&bytes))?;
        }
        Ok(history)
    }

    pub(super) fn contents(&self) -> Contents {
        let first = self.segments.first();
        let times = self.points().next().zip(self.points().last());
        Contents {
            oldest: first.map_or(Lsn::ZERO, |segment| segment.sealed.header.base),
            end: self.end(),
            segments: self.segments.len() as u64,
            bytes: self.segments.iter().map(|segment| segment.sealed.end).sum(),
            gaps: self.gaps.clone(),
            times: times
                .and_then(|(first, last)| Some(system_time(first.time)?..=system_time(last.time)?)),
        }
    }

    /// The last LSN to restore.
    pub(super) fn resolve(&self, until: Until) -> Result<Lsn> {
        match until {
            Until::End => Ok(self.end()),
            Until::Lsn(asked) if asked > self.end() => Err(Error::BeyondEnd {
                asked,
                end: self.end(),
            }),
            Until::Lsn(asked) => Ok(asked),
            Until::Time(time) => {
                let time = millis(time);
                let points = self.points().take_while(|point| point.time <= time);
                points
                    .last()
                    .map_or(Err(Error::TooEarly), |point| Ok(point.lsn))
            }
        }
    }

    /// The segments with the records `from` to `upto`, none of which may be missing.
    pub(super) fn select(&self, from: Option<Lsn>, upto: Lsn) -> Result<&[Shipped]> {
        let oldest = self.contents().oldest;
        let from = from.unwrap_or(oldest);
        if oldest == Lsn::ZERO || from < oldest || upto < oldest {
            let asked = from.min(upto);
            return Err(Error::BeforeBeginning { asked, oldest });
        }
        if from > self.end() {
            return Err(Error::BeyondEnd {
                asked: from,
                end: self.end(),
            });
        }
        if from > upto {
            return Err(Error::EmptyRange { from, upto });
        }
        let is_missing = |gap: &&RangeInclusive<Lsn>| *gap.start() <= upto && *gap.end() >= from;
        if let Some(gap) = self.gaps.iter().find(is_missing) {
            let (first, last) = (*gap.start(), *gap.end());
            return Err(Error::Gap { first, last });
        }
        let start = self.segments.partition_point(|s| s.sealed.last < from);
        let end = self
            .segments
            .partition_point(|s| s.sealed.header.base <= upto);
        Ok(&self.segments[start..end])
    }

    /// The time of the state that ends with `lsn`, as far as it is known: the latest point not after it.
    pub(super) fn time_of(&self, lsn: Lsn) -> Option<SystemTime> {
        let points = self.points().take_while(|point| point.lsn <= lsn);
        points.last().and_then(|point| system_time(point.time))
    }

    fn end(&self) -> Lsn {
        self.segments
            .last()
            .map_or(Lsn::ZERO, |segment| segment.sealed.last)
    }

    fn points(&self) -> impl Iterator<Item = &TimePoint> {
        self.segments.iter().flat_map(|segment| &segment.times)
    }

    /// Adds the next entry if it follows those before it.
    fn add(&mut self, place: &Place, entry: Entry, crc: u32) -> Result<()> {
        let object = place.entry(entry.number).to_string();
        let damaged = |reason| Error::Damaged { object, reason };
        if entry.log_id != self.log_id || entry.previous != self.crc {
            return Err(damaged("it does not follow the entry before it"));
        }
        if !self.follows(&entry) {
            return Err(damaged("what it names does not join what was before it"));
        }
        self.crc = crc;
        self.reached = entry.reached;
        match entry.body {
            Body::Claim => {}
            Body::Gap { first, last } => self.add_gap(first, last),
            Body::Segment(shipped) => self.segments.push(shipped),
        }
        Ok(())
    }

    /// A gap that goes on is one gap.
    fn add_gap(&mut self, first: Lsn, last: Lsn) {
        let before = self.gaps.pop_if(|gap| gap.end().next() == first);
        let start = before.map_or(first, |gap| *gap.start());
        self.gaps.push(start..=last);
    }

    fn follows(&self, entry: &Entry) -> bool {
        let next = self.reached.last.next();
        let is_empty = self.reached.is_nothing();
        let reached = Reached {
            clock: self.reached.clock,
            ..entry.reached
        };
        entry.reached.clock >= self.reached.clock
            && match &entry.body {
                Body::Claim => reached == self.reached,
                Body::Gap { first, last } => {
                    let is_next = *first == next && first <= last && !is_empty;
                    is_next && (reached.last, reached.segment) == (*last, None)
                }
                Body::Segment(shipped) => {
                    let header = shipped.sealed.header;
                    // A log that was truncated up to a segment without records names none.
                    let known = self.reached.segment.zip(header.predecessor);
                    let joins = known.is_none_or(|(segment, named)| segment == named);
                    let is_next = is_empty || header.base == next;
                    is_next
                        && joins
                        && is_sound(shipped)
                        && reached_by(shipped) == (reached.last, reached.segment)
                }
            }
    }
}

fn reached_by(shipped: &Shipped) -> (Lsn, Option<Predecessor>) {
    let salt = shipped.sealed.header.salt;
    let end = shipped.sealed.end;
    (shipped.sealed.last, Some(Predecessor { salt, end }))
}

/// Whether an entry does not contradict itself, so that whoever builds a file from it need not wonder.
fn is_sound(shipped: &Shipped) -> bool {
    let header = shipped.sealed.header;
    let len: u64 = shipped
        .parts
        .iter()
        .map(|part| part.len)
        .fold(0, u64::saturating_add);
    let points = &shipped.times;
    let is_ordered = |pair: &[TimePoint]| pair[0].lsn < pair[1].lsn && pair[0].time <= pair[1].time;
    header.base > Lsn::ZERO
        && header.base <= shipped.sealed.last
        && header.capacity <= format::SEGMENT_SIZE_LIMIT
        && (format::DATA_OFFSET..=header.capacity).contains(&shipped.sealed.end)
        && len == shipped.sealed.end
        && shipped
            .parts
            .first()
            .is_some_and(|part| part.len >= format::DATA_OFFSET)
        && points.windows(2).all(is_ordered)
        && points
            .iter()
            .all(|point| (header.base..=shipped.sealed.last).contains(&point.lsn))
}
