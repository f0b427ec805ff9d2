//! The finished segments and the holds at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};

/// A finished segment: complete and durable, so its records never change again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Finished {
    pub(crate) header: Header,
    /// The LSN of its last record.
    pub(crate) last: Lsn,
    /// Where that record ends, in bytes from the start of the file.
    pub(crate) end: u64,
}

/// Identifies a hold of a log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct HoldId(pub(super) u64);

/// What a hold keeps from being truncated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hold {
    /// The first LSN that is kept.
    pub(crate) from: Lsn,
    /// The most bytes of truncated segments that the hold may keep.
    pub(crate) limit: u64,
}

/// The name and the overflow behavior of a caller's hold.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// The purpose of the hold.
    pub(crate) name: Arc<str>,
    /// Whether the hold is released when it exceeds its bound. Otherwise no further segment is
    /// opened.
    pub(crate) may_be_released: bool,
    /// Whether it remains after its owner drops it, for the next owner of this name.
    pub(crate) is_lasting: bool,
}

/// The finished segments of a log, the low-water mark, and the holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetentionState {
    /// `None` until the log has a segment. Before that, it has no id that would survive a crash.
    pub(crate) log_id: Option<u64>,
    /// Oldest first. Segments without records are not among them.
    pub(crate) finished: Vec<Finished>,
    /// The open segment, or `None` until one was opened.
    pub(crate) open: Option<Header>,
    /// Everything below it was truncated.
    pub(crate) truncated: Lsn,
    /// Segments below it may be about to be removed.
    pub(super) going: Lsn,
    pub(super) holds: BTreeMap<HoldId, Hold>,
    /// The terms of the holds that callers took.
    pub(super) terms: BTreeMap<HoldId, Terms>,
    /// The lasting holds that have no owner.
    pub(super) ownerless: BTreeSet<HoldId>,
    /// The segments whose files are open for reading.
    pub(super) pins: Vec<Lsn>,
    /// Whether the log is closing.
    pub(crate) is_closing: bool,
}

impl RetentionState {
    /// The truncated segments that this hold keeps. Other holds may keep them too.
    pub(crate) fn held_back(&self, hold: Hold) -> &[Finished] {
        let is_let_go = |finished: &Finished| finished.last < hold.from;
        let rest = &self.finished[self.finished.partition_point(is_let_go)..];
        let is_truncated = |finished: &Finished| finished.last < self.truncated;
        &rest[..rest.partition_point(is_truncated)]
    }

    /// The bytes of these segments on disk.
    pub(crate) fn held_bytes(&self, hold: Hold) -> u64 {
        let segments = self.held_back(hold).iter();
        segments.map(|finished| finished.header.capacity).sum()
    }

    /// The highest LSN, at most `before`, below which no hold keeps anything.
    pub(super) fn free_before(&self, before: Lsn) -> Lsn {
        let held = self.holds.values().map(|hold| hold.from).min();
        held.map_or(before, |from| before.min(from))
    }

    /// The LSN for a postponed truncation, if a truncated segment that no hold keeps still exists.
    pub(super) fn put_off(&self) -> Option<Lsn> {
        let free = self.free_before(self.truncated);
        let oldest = self.finished.first()?;
        (oldest.last < free).then_some(self.truncated)
    }

    pub(super) fn is_exhausted(&self, hold: Hold) -> bool {
        let bytes = self.held_bytes(hold);
        bytes > 0 && bytes >= hold.limit && !is_active(Mutant::HoldUnbounded)
    }
}

/// Where a record is.
impl RetentionState {
    /// The oldest record that is kept, or `None` if there is none.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        let oldest = self.finished.first().map(|finished| finished.header.base);
        oldest.or(self.open.map(|open| open.base))
    }

    /// Whether the finished segment with this base still exists.
    pub(crate) fn has(&self, base: Lsn) -> bool {
        let found = self
            .finished
            .partition_point(|finished| finished.header.base < base);
        self.finished
            .get(found)
            .is_some_and(|finished| finished.header.base == base)
    }

    /// Whether a record is in a finished segment or was truncated.
    pub(crate) fn is_finished(&self, lsn: Lsn) -> bool {
        self.open.is_none_or(|open| lsn < open.base)
    }

    /// Whether there is a finished segment with `lsn` or a later record.
    pub(crate) fn has_finished(&self, lsn: Lsn) -> bool {
        self.finished
            .last()
            .is_some_and(|finished| lsn <= finished.last)
    }

    pub(crate) fn segment_of(&self, lsn: Lsn) -> SegmentState {
        let found = self
            .finished
            .partition_point(|finished| finished.last < lsn);
        let finished = self.finished.get(found);
        match (finished, self.open) {
            _ if self.is_closing => SegmentState::Closing,
            (None, Some(header)) if is_active(Mutant::OpenSegmentRead) => {
                SegmentState::Finished(Finished {
                    header,
                    last: lsn,
                    end: header.capacity,
                })
            }
            (Some(finished), _) if finished.header.base <= lsn => SegmentState::Finished(*finished),
            (None, Some(open)) if open.base <= lsn => SegmentState::Open,
            _ => SegmentState::Truncated {
                oldest: self.oldest().unwrap_or(lsn.next()),
            },
        }
    }
}

/// The state of the segment that a durable record was written to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SegmentState {
    Finished(Finished),
    /// Still being written.
    Open,
    Truncated {
        /// The oldest record that is kept, or the LSN that the first record would have.
        oldest: Lsn,
    },
    /// The log is closing: files are no longer read.
    Closing,
}
