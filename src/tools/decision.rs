//! What a repair keeps of a damaged log, and what it removes.
//!
//! A repair keeps one range of records without a gap: the first one that can be read, from the
//! beginning of a segment to the next damage. Files that cannot be shown to belong to the log
//! (strays) are removed first. The rest is then judged without them.

use std::ops::RangeInclusive;

use crate::error::CorruptionKind;
use crate::format::names;
use crate::lsn::Lsn;
use crate::recovery::salvage::{Salvage, Salvaged};
use crate::tools::lsns::Lsns;
use crate::tools::work::{Begin, Seal, Work};

/// The changes of a repair, and what it loses.
pub(super) struct Decision {
    pub(super) work: Work,
    /// The records that stay.
    pub(super) kept: Option<RangeInclusive<Lsn>>,
    /// The number of readable records that are removed.
    pub(super) cut_records: u64,
    pub(super) next: Lsn,
    /// The last LSN that was given out, as far as any file shows.
    pub(super) highest: Lsn,
    pub(super) may_reuse_more: bool,
}

impl Decision {
    /// The decision for a log without damage.
    pub(super) fn nothing(next: Lsn) -> Self {
        Self {
            work: Work::default(),
            kept: None,
            cut_records: 0,
            next,
            highest: Lsn::ZERO,
            may_reuse_more: false,
        }
    }
}

/// A damaged log.
pub(super) struct Damaged<'a> {
    pub(super) found: &'a Salvage,
    /// The log without its strays.
    pub(super) rest: &'a Salvage,
    /// Files that no header identifies.
    pub(super) strays: Vec<Lsn>,
    pub(super) log_id: Option<u64>,
}

impl Damaged<'_> {
    pub(super) fn decide(&self) -> Decision {
        let log = self.rest.log();
        let Some(first) = log.iter().position(has_records) else {
            return self.begin_anew();
        };
        let mut last = first;
        while last + 1 < log.len() && log[last].is_whole() && log[last].is_linked {
            last += 1;
        }
        self.keep(&log[first..=last])
    }

    /// Nothing can be kept. The log continues after every LSN that it may have given out.
    fn begin_anew(&self) -> Decision {
        let base = self.lsns().free_base(self.lsns().possible().next());
        let all = self.rest.log().iter().map(|segment| segment.base);
        let begin = Begin {
            base,
            log_id: self.log_id,
        };
        Decision {
            work: Work {
                begin: Some(begin),
                remove: self.removed(all),
                ..Work::default()
            },
            kept: None,
            cut_records: self.readable(),
            next: base,
            highest: base.prev(),
            may_reuse_more: lost_segments(self.found) || lost_segments(self.rest),
        }
    }

    /// Keeps these segments.
    fn keep(&self, stay: &[Salvaged]) -> Decision {
        let (first, last) = (&stay[0], &stay[stay.len() - 1]);
        let goes = |base: &Lsn| *base < first.base || *base > last.base;
        let log = self.rest.log().iter().map(|segment| segment.base);
        let remove = self.removed(log.filter(goes));
        let head = first.file.as_ref().filter(|file| !file.is_head);
        let work = Work {
            extend: stay.iter().filter_map(full_len).collect(),
            begin: None,
            mark_head: head.map(|file| file.meta.header),
            remove,
            seal: self.needs_seal(last).then(|| Seal::behind(last)).flatten(),
        };
        let end = last.records.map_or(last.base.prev(), |records| records.end);
        let count = end.since(first.base.prev());
        Decision {
            kept: (end >= first.base).then_some(first.base..=end),
            cut_records: self.readable().saturating_sub(count),
            next: end.next(),
            highest: self.lsns().highest(),
            may_reuse_more: work.seal.is_some() && self.lsns().may_exceed(end),
            work,
        }
    }

    /// Whether the end of the log must be written into its last segment.
    fn needs_seal(&self, last: &Salvaged) -> bool {
        let log = self.rest.log().iter().map(|segment| segment.base);
        let mut others = log.chain(self.strays.iter().copied());
        let is_cut = others.any(|base| base > last.base);
        is_cut || last.is_short() || !last.is_whole() || !self.was_whole(last.base)
    }

    /// The names of the files to be removed, newest first: the strays and these segments.
    fn removed(&self, bases: impl Iterator<Item = Lsn>) -> Vec<String> {
        let mut all: Vec<_> = self.strays.iter().copied().chain(bases).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().rev().map(names::segment).collect()
    }

    /// Whether a segment was complete before the strays were removed, whose names are evidence too.
    fn was_whole(&self, base: Lsn) -> bool {
        let mut segments = self.found.segments.iter();
        let segment = segments.find(|segment| segment.base == base);
        let records = segment.and_then(|segment| segment.records);
        records.is_none_or(|records| records.is_whole)
    }

    /// How many records can be read.
    fn readable(&self) -> u64 {
        let of = |salvage: &Salvage| -> u64 {
            let records = salvage.segments.iter();
            let records = records.filter_map(|segment| segment.records);
            records.map(|records| records.count).sum()
        };
        of(self.found).max(of(self.rest))
    }

    fn lsns(&self) -> Lsns<'_> {
        Lsns {
            found: self.found,
            rest: self.rest,
        }
    }
}

fn has_records(segment: &Salvaged) -> bool {
    let records = segment.records;
    segment.is_whole() || records.is_some_and(|records| records.end >= segment.base)
}

/// Whether there were segments after the last existing one.
fn lost_segments(salvage: &Salvage) -> bool {
    let mut kinds = salvage.corruptions.iter().map(|corruption| corruption.kind);
    kinds.any(|kind| kind == CorruptionKind::SuccessorMissing)
}

/// The full length of a file, if it is too short.
fn full_len(segment: &Salvaged) -> Option<(String, u64)> {
    let meta = segment.meta().filter(|_| segment.is_short())?;
    Some((names::segment(segment.base), meta.header.capacity))
}
