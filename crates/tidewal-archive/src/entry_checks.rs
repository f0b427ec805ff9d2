//! Checks of manifest entries: each on its own, and whether it continues the one before it.

use tidewal::{Lsn, SegmentEnd, SegmentHeader};

use crate::manifest::{Body, Entry, PART_LEN, Reached, Shipped, TimePoint};

/// The entry that the next one must continue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// CRC-32 of the entry.
    pub(super) crc: u32,
    pub(super) reached: Reached,
}

impl Link {
    /// Whether an entry that is sound on its own continues this one.
    pub(super) fn leads_to(&self, entry: &Entry) -> bool {
        let next = self.reached.last.next();
        let is_empty = self.reached.is_nothing();
        entry.reached.clock >= self.reached.clock
            && match &entry.body {
                Body::Claim | Body::Checkpoint { .. } => {
                    let clock = self.reached.clock;
                    Reached {
                        clock,
                        ..entry.reached
                    } == self.reached
                }
                Body::Gap { first, .. } => *first == next && !is_empty,
                Body::Segment(shipped) => {
                    let header = shipped.sealed.header;
                    // A log that was truncated up to a segment without records names no predecessor.
                    let known = self.reached.segment.zip(header.predecessor);
                    let joins = known.is_none_or(|(segment, named)| segment == named);
                    is_empty || (header.base == next && joins)
                }
            }
    }
}

/// The last LSN of the archive before this entry, according to the entry.
pub(super) fn begins_behind(entry: &Entry) -> Lsn {
    match &entry.body {
        Body::Claim | Body::Checkpoint { .. } => entry.reached.last,
        Body::Gap { first, .. } => first.prev(),
        Body::Segment(shipped) => shipped.sealed.header.base.prev(),
    }
}

/// Whether an entry is consistent, so that code that uses its fields need not check them again.
pub(super) fn is_sound(entry: &Entry) -> bool {
    // Another entry can follow it.
    entry.number < u64::MAX && is_sound_body(entry)
}

fn is_sound_body(entry: &Entry) -> bool {
    let reached = (entry.reached.last, entry.reached.segment);
    match &entry.body {
        Body::Claim => true,
        Body::Checkpoint { entry: from, first } => {
            *from < entry.number && *first <= entry.reached.last && *first > Lsn::ZERO
        }
        Body::Gap { first, last } => {
            Lsn::ZERO < *first && first <= last && reached == (*last, None)
        }
        Body::Segment(shipped) => is_possible(shipped) && reached == reached_by(shipped),
    }
}

fn reached_by(shipped: &Shipped) -> (Lsn, Option<SegmentEnd>) {
    let salt = shipped.sealed.header.salt;
    let end = shipped.sealed.end;
    (shipped.sealed.last, Some(SegmentEnd { salt, end }))
}

/// Whether a log can have such a segment.
fn is_possible(shipped: &Shipped) -> bool {
    let header = shipped.sealed.header;
    let len: u64 = shipped
        .parts
        .iter()
        .map(|part| part.len)
        .fold(0, u64::saturating_add);
    let points = &shipped.times;
    let is_ordered = |pair: &[TimePoint]| pair[0].lsn < pair[1].lsn && pair[0].time <= pair[1].time;
    header.is_valid()
        && header.base <= shipped.sealed.last
        && (SegmentHeader::BLOCK_LEN..=header.capacity).contains(&shipped.sealed.end)
        && len == shipped.sealed.end
        && shipped
            .parts
            .iter()
            .all(|part| (1..=PART_LEN).contains(&part.len))
        && shipped
            .parts
            .first()
            .is_some_and(|part| part.len >= SegmentHeader::BLOCK_LEN)
        && points.windows(2).all(is_ordered)
        && points
            .iter()
            .all(|point| (header.base..=shipped.sealed.last).contains(&point.lsn))
}
