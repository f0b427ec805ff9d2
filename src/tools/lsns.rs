//! The LSNs that a damaged log may have given out.

use crate::error::Corruption;
use crate::format;
use crate::format::frame;
use crate::lsn::Lsn;
use crate::recovery::salvage::{Salvage, Salvaged};

/// A damaged log, read with its strays and without them.
#[derive(Clone, Copy)]
pub(super) struct Lsns<'a> {
    pub(super) found: &'a Salvage,
    pub(super) rest: &'a Salvage,
}

impl<'a> Lsns<'a> {
    /// The last LSN that the log's own files name.
    pub(super) fn highest(self) -> Lsn {
        let of_segment = |segment: &Salvaged| {
            let begun = segment.base.prev();
            let named = segment.records.map(|records| records.highest);
            named.map_or(begun, |named| named.max(begun))
        };
        let segments = self.segments().filter(|segment| is_sensible(segment.base));
        let lost = self.corruptions().map(|corruption| corruption.last);
        let lost = lost.filter(|last| is_sensible(*last));
        segments
            .map(of_segment)
            .chain(lost)
            .max()
            .unwrap_or_default()
    }

    /// The last LSN that may have been given out. A file whose end is unknown may have been full.
    pub(super) fn possible(self) -> Lsn {
        let full = self.open_ends().map(|segment| {
            let room = room(segment).saturating_sub(format::DATA_OFFSET);
            segment.base.prev().plus(room / frame::HEADER_LEN as u64)
        });
        full.max().unwrap_or_default().max(self.highest())
    }

    /// Whether the log continued after `end` by an unknown number of records.
    pub(super) fn may_exceed(self, end: Lsn) -> bool {
        let mut behind = self
            .corruptions()
            .filter(|corruption| corruption.first > end);
        behind.any(|corruption| corruption.last < corruption.first)
            || self.open_ends().next().is_some()
    }

    /// The first LSN at or above `base` that is in no file's name.
    pub(super) fn free_base(self, base: Lsn) -> Lsn {
        let is_taken = |base: Lsn| {
            let mut segments = self.found.segments.iter();
            segments.any(|segment| segment.base == base)
        };
        let mut free = base;
        while is_taken(free) {
            free = free.next();
        }
        free
    }

    /// The segments that may have held more records than anything on disk shows. A mark is not an end: it says
    /// what was durable when the log was idle. Later records may have been acknowledged too.
    fn open_ends(self) -> impl Iterator<Item = &'a Salvaged> {
        let newest = self.found.segments.iter();
        let newest = newest
            .filter_map(Salvaged::meta)
            .map(|meta| meta.header.base);
        let newest = newest.max().unwrap_or_default();
        let log = self.found.log().iter();
        log.filter(move |segment| match segment.meta() {
            _ if !is_sensible(segment.base) => false,
            None => segment.base > newest,
            Some(meta) => {
                !self.is_linked(segment.base) && !meta.statement.is_some_and(|end| end.is_end())
            }
        })
    }

    /// Whether the header of another segment says where this one ends.
    fn is_linked(self, base: Lsn) -> bool {
        self.segments()
            .any(|segment| segment.base == base && segment.is_linked)
    }

    fn segments(self) -> impl Iterator<Item = &'a Salvaged> {
        self.found.segments.iter().chain(&self.rest.segments)
    }

    fn corruptions(self) -> impl Iterator<Item = &'a Corruption> {
        self.found.corruptions.iter().chain(&self.rest.corruptions)
    }
}

/// The length in bytes that a file may have had. A file that is shorter than any segment was cut.
fn room(segment: &Salvaged) -> u64 {
    let said = segment.meta().map(|meta| meta.header.capacity);
    let room = said.unwrap_or(segment.len).max(segment.len);
    match room < SEGMENT_LEN_MIN {
        true => format::SEGMENT_SIZE_LIMIT,
        false => room.min(format::SEGMENT_SIZE_LIMIT),
    }
}

/// No log has given out more LSNs than this. A file with a higher LSN in its name does not belong
/// to the log.
fn is_sensible(lsn: Lsn) -> bool {
    lsn.get() < 1 << 62
}

/// No log has shorter segments, except for an empty first segment that a repair made.
const SEGMENT_LEN_MIN: u64 = 16 * 1024;
