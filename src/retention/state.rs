//! The finished segments and the holds at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::format::segment::Header;
use crate::lsn::Lsn;

/// A finished segment: complete and durable, so its records never change again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sealed {
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
    pub(crate) is_released: bool,
    /// Whether it remains after its owner drops it, for the next owner of this name.
    pub(crate) is_lasting: bool,
}

/// The finished segments of a log, the low-water mark, and the holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetentionState {
    /// `None` until the log has a segment. Before that, it has no id that would survive a crash.
    pub(crate) log_id: Option<u64>,
    /// Oldest first. Segments without records are not among them.
    pub(crate) sealed: Vec<Sealed>,
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
    pub(crate) fn held_back(&self, hold: Hold) -> &[Sealed] {
        let is_let_go = |sealed: &Sealed| sealed.last < hold.from;
        let rest = &self.sealed[self.sealed.partition_point(is_let_go)..];
        let is_truncated = |sealed: &Sealed| sealed.last < self.truncated;
        &rest[..rest.partition_point(is_truncated)]
    }

    /// The bytes of these segments on disk.
    pub(crate) fn held_bytes(&self, hold: Hold) -> u64 {
        let segments = self.held_back(hold).iter();
        segments.map(|sealed| sealed.header.capacity).sum()
    }

    /// The highest LSN, at most `before`, below which no hold keeps anything.
    pub(super) fn free_before(&self, before: Lsn) -> Lsn {
        let held = self.holds.values().map(|hold| hold.from).min();
        held.map_or(before, |from| before.min(from))
    }

    /// The LSN for a postponed truncation, if a truncated segment that no hold keeps still exists.
    pub(super) fn put_off(&self) -> Option<Lsn> {
        let free = self.free_before(self.truncated);
        let oldest = self.sealed.first()?;
        (oldest.last < free).then_some(self.truncated)
    }

    pub(super) fn is_exhausted(&self, hold: Hold) -> bool {
        let bytes = self.held_bytes(hold);
        bytes > 0 && bytes >= hold.limit
    }
}
