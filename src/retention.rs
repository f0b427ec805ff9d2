//! Which segments are complete, and which of them have to be kept whatever is truncated.
//!
//! The writer notes each segment that is complete, and asks before it gives one away or opens another.
//! Without a hold it is never told no.

mod reading;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};

pub(crate) use crate::retention::reading::{Pin, Place};
pub(crate) use crate::retention::terms::{Refusal, Terms};

/// A segment that is complete and durable: its records never change again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sealed {
    pub(crate) header: Header,
    /// The LSN of its last record.
    pub(crate) last: Lsn,
    /// Where that ends, in bytes from the start of the file.
    pub(crate) end: u64,
}

/// Names a hold among those of a log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct HoldId(u64);

/// What has to be kept, whatever is truncated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hold {
    /// The first LSN that has to be kept.
    pub(crate) from: Lsn,
    /// Bytes of truncated segments that may be held back before no further segment is opened.
    pub(crate) limit: u64,
}

/// The complete segments of a log, what was truncated, and what is held back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// `None` until the log has a segment: before, it has no id that would survive a crash.
    pub(crate) log_id: Option<u64>,
    /// Oldest first. A segment without a record is not among them.
    pub(crate) sealed: Vec<Sealed>,
    /// The segment that is being written; `None` until one was opened.
    pub(crate) open: Option<Header>,
    /// Everything below it was freed.
    pub(crate) truncated: Lsn,
    /// Everything below it may be about to go.
    going: Lsn,
    holds: BTreeMap<HoldId, Hold>,
    /// Those of the holds that callers took.
    terms: BTreeMap<HoldId, Terms>,
    /// The lasting holds whose owners have gone.
    ownerless: BTreeSet<HoldId>,
    /// The segments whose files are open for reading.
    pins: Vec<Lsn>,
    /// Whether the log is about to end.
    pub(crate) is_closing: bool,
}

impl Kept {
    /// The segments that were truncated and that this hold keeps, whatever others keep.
    pub(crate) fn held_back(&self, hold: Hold) -> &[Sealed] {
        let is_let_go = |sealed: &Sealed| sealed.last < hold.from;
        let rest = &self.sealed[self.sealed.partition_point(is_let_go)..];
        let is_truncated = |sealed: &Sealed| sealed.last < self.truncated;
        &rest[..rest.partition_point(is_truncated)]
    }

    /// Bytes that those take on disk.
    pub(crate) fn held_bytes(&self, hold: Hold) -> u64 {
        let segments = self.held_back(hold).iter();
        segments.map(|sealed| sealed.header.capacity).sum()
    }

    /// How much of what lies before `before` no hold keeps.
    fn free_before(&self, before: Lsn) -> Lsn {
        let held = self.holds.values().map(|hold| hold.from).min();
        held.map_or(before, |from| before.min(from))
    }

    /// What to truncate before, if a segment is still there that was truncated and is not held back.
    fn put_off(&self) -> Option<Lsn> {
        let free = self.free_before(self.truncated);
        let oldest = self.sealed.first()?;
        (oldest.last < free).then_some(self.truncated)
    }

    fn is_exhausted(&self, hold: Hold) -> bool {
        let bytes = self.held_bytes(hold);
        bytes > 0 && bytes >= hold.limit
    }
}

/// Between the writer and those who hold back what it would give away.
#[derive(Default)]
pub(crate) struct Retention {
    kept: watch::Sender<Kept>,
    /// The number of the last hold that was added.
    last_id: AtomicU64,
    /// Whether the writer was asked for the truncation that holds have put off.
    is_asked: AtomicBool,
}

/// The writer's side.
impl Retention {
    pub(crate) fn begin(&self, log_id: Option<u64>, sealed: Vec<Sealed>) {
        self.kept.send_modify(|kept| {
            kept.log_id = log_id;
            kept.sealed = sealed;
        });
    }

    /// Notes that a segment was opened, and that the one before it is complete if there is one.
    pub(crate) fn note_opened(&self, opened: Header, complete: Option<Sealed>) {
        self.kept.send_modify(|kept| {
            kept.log_id = Some(opened.log_id);
            kept.open = Some(opened);
            kept.sealed.extend(complete);
        });
    }

    /// Notes that everything before `before` was freed, and returns how much of it may go now.
    pub(crate) fn limit(&self, before: Lsn) -> Lsn {
        let mut allowed = before;
        self.kept.send_if_modified(|kept| {
            if !is_active(Mutant::HoldIgnored) {
                allowed = kept.free_before(before);
            }
            kept.going = kept.going.max(allowed);
            let moves = before > kept.truncated;
            kept.truncated = kept.truncated.max(before);
            moves
        });
        allowed
    }

    /// Notes that a truncation that [`limit`](Self::limit) was asked for was refused. `truncated` is what
    /// was noted before it: the next move of the hold must not truncate what its caller was told is kept.
    pub(crate) fn take_back(&self, truncated: Lsn) {
        self.kept.send_modify(|kept| {
            kept.truncated = truncated;
            kept.going = kept.free_before(truncated);
        });
    }

    pub(crate) fn truncated(&self) -> Lsn {
        self.kept.borrow().truncated
    }

    /// Notes that the segments before the one that begins with `base` are gone.
    pub(crate) fn note_gone(&self, base: Lsn) {
        let is_kept = |sealed: &Sealed| sealed.header.base >= base;
        self.kept.send_modify(|kept| kept.sealed.retain(is_kept));
    }

    /// The name of a hold that keeps so much that no further segment may be opened.
    pub(crate) fn exhausted_hold(&self) -> Option<Arc<str>> {
        let kept = self.kept.borrow();
        let mut exhausted = kept.holds().filter(|(_, hold, _)| kept.is_exhausted(*hold));
        exhausted
            .next()
            .map(|(_, _, terms)| Arc::clone(&terms.name))
    }
}

/// The side of those who hold.
///
/// What is moved or let go may have put off a truncation. Then the LSN is returned that the log is to be
/// truncated before once more. The move and the look are one step: a truncation comes before both, and is
/// seen, or after both, and is not put off.
impl Retention {
    pub(crate) fn kept(&self) -> Kept {
        self.kept.borrow().clone()
    }

    /// Holds back what begins with `from`. Segments of which a truncation has begun may still go: who must
    /// know asks the writer for something afterwards, which it does not serve before the truncation ends.
    pub(crate) fn add_hold(&self, hold: Hold) -> HoldId {
        let id = self.next_id();
        self.kept.send_modify(|kept| {
            kept.holds.insert(id, hold);
        });
        id
    }

    fn next_id(&self) -> HoldId {
        HoldId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Holds back no more than what begins with `from`. A hold never moves back.
    pub(crate) fn move_hold(&self, id: HoldId, from: Lsn) -> Option<Lsn> {
        self.change_holds(|holds| {
            if let Some(hold) = holds.get_mut(&id) {
                hold.from = hold.from.max(from);
            }
        })
    }

    pub(crate) fn remove_hold(&self, id: HoldId) -> Option<Lsn> {
        self.change_holds(|holds| {
            holds.remove(&id);
        })
    }

    fn change_holds(&self, change: impl FnOnce(&mut BTreeMap<HoldId, Hold>)) -> Option<Lsn> {
        let mut put_off = None;
        self.kept.send_if_modified(|kept| {
            let before = kept.holds.clone();
            change(&mut kept.holds);
            put_off = kept.put_off();
            kept.holds != before
        });
        put_off
    }
}

/// What is written beside the log names it.
#[cfg(feature = "snapshot")]
impl Retention {
    /// The log's id, `None` until it has a segment; and its segments, without those that hold no record.
    pub(crate) fn segments(&self) -> (Option<u64>, Vec<Header>) {
        let kept = self.kept.borrow();
        let sealed = kept.sealed.iter().map(|sealed| sealed.header);
        (kept.log_id, sealed.chain(kept.open).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn sealed(base: u64, last: u64) -> Sealed {
        Sealed {
            header: Header {
                log_id: 1,
                base: Lsn::new(base),
                salt: base,
                capacity: 4096,
                predecessor: None,
            },
            last: Lsn::new(last),
            end: 4096,
        }
    }

    /// As the writer does it: what may go goes.
    fn truncate(retention: &Retention, before: Lsn) {
        let allowed = retention.limit(before);
        let rest = retention.subscribe().borrow().sealed.clone();
        let is_kept = |sealed: &&Sealed| sealed.last >= allowed;
        if let Some(first) = rest.iter().find(is_kept) {
            retention.note_gone(first.header.base);
        }
    }

    fn lasting() -> Terms {
        Terms {
            name: "archive".into(),
            is_released: false,
            is_lasting: true,
        }
    }

    fn from(lsn: u64) -> Hold {
        Hold {
            from: Lsn::new(lsn),
            limit: u64::MAX,
        }
    }

    /// It came between the owner's look at what waits and its move of the hold.
    #[test]
    fn regression_a_truncation_beside_a_move_of_the_hold_is_never_forgotten() {
        for round in 0..2000 {
            let retention = Retention::default();
            retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20), sealed(21, 30)]);
            let hold = retention.add_hold(from(0));
            let start = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    truncate(&retention, Lsn::new(21));
                });
                start.wait();
                if let Some(before) = retention.move_hold(hold, Lsn::new(21)) {
                    truncate(&retention, before);
                }
            });
            let left = retention.subscribe().borrow().sealed.len();
            assert_eq!(left, 1, "round {round}");
        }
    }

    #[test]
    fn what_one_hold_lets_go_another_keeps() {
        let retention = Retention::default();
        retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20), sealed(21, 30)]);
        let (first, second) = (retention.add_hold(from(1)), retention.add_hold(from(11)));
        let third = retention.add_hold(from(11));
        truncate(&retention, Lsn::new(31));
        let left = || retention.subscribe().borrow().sealed.len();
        assert_eq!(left(), 3);
        assert_eq!(retention.remove_hold(first), Some(Lsn::new(31)));
        truncate(&retention, Lsn::new(31));
        assert_eq!(left(), 2, "the others still keep it");
        assert_eq!(retention.move_hold(second, Lsn::new(21)), None);
        assert_eq!(
            retention.move_hold(third, Lsn::new(31)),
            Some(Lsn::new(31)),
            "what lies before the lowest of them goes"
        );
        truncate(&retention, Lsn::new(31));
        assert_eq!(left(), 1);
        assert_eq!(retention.move_hold(second, Lsn::new(1)), None, "back");
        assert_eq!(retention.remove_hold(second), Some(Lsn::new(31)));
    }

    #[test]
    fn a_hold_has_a_limit_of_its_own() {
        let retention = Retention::default();
        retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20)]);
        let hold = |from, limit| Hold {
            from: Lsn::new(from),
            limit,
        };
        let patient = retention.add_hold(hold(1, u64::MAX));
        let caller = retention.add_caller(hold(11, 4096), &lasting(), Lsn::new(20));
        assert!(caller.is_ok());
        truncate(&retention, Lsn::new(11));
        assert!(
            retention.exhausted_hold().is_none(),
            "the first segment counts for one"
        );
        truncate(&retention, Lsn::new(21));
        assert!(retention.exhausted_hold().is_some());
        retention.remove_hold(patient);
        assert!(retention.exhausted_hold().is_some());
    }

    #[test]
    fn regression_a_refused_truncation_is_not_done_by_the_next_move_of_the_hold() {
        let retention = Retention::default();
        retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20)]);
        let hold = retention.add_hold(from(0));
        let truncated = retention.truncated();
        retention.limit(Lsn::new(11));
        retention.take_back(truncated);
        assert_eq!(retention.move_hold(hold, Lsn::new(11)), None);
    }

    /// An owner that went away between its move of the hold and the truncation that follows.
    #[test]
    fn a_truncation_that_its_owner_did_not_live_to_ask_for_is_found_by_the_next_one() {
        let retention = Retention::default();
        retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20), sealed(21, 30)]);
        let take = || retention.add_caller(from(0), &lasting(), Lsn::new(40));
        let take = || take().expect("it is not refused");
        let (hold, is_due) = take();
        assert!(!is_due);
        truncate(&retention, Lsn::new(21));
        assert_eq!(retention.move_hold(hold, Lsn::new(11)), Some(Lsn::new(21)));
        assert!(retention.remove_caller(hold));
        let (hold, is_due) = take();
        assert!(is_due);
        assert_eq!(retention.move_hold(hold, Lsn::ZERO), Some(Lsn::new(21)));
        truncate(&retention, Lsn::new(21));
        assert_eq!(
            retention.move_hold(hold, Lsn::ZERO),
            None,
            "the rest is held"
        );
    }
}
