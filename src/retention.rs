//! Which segments are finished, and which of them holds keep from being truncated.
//!
//! The writer records each finished segment, and asks before it removes one or opens another.
//! Without a hold, nothing is refused.

mod holds;
mod pins;
mod state;

use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::sync::watch;

use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};

pub(crate) use crate::retention::holds::Refusal;
pub(crate) use crate::retention::pins::Pin;
pub(crate) use crate::retention::state::{
    Finished, Hold, HoldId, RetentionState, SegmentState, Terms,
};

/// Shared by the writer and the holds.
#[derive(Default)]
pub(crate) struct Retention {
    kept: watch::Sender<RetentionState>,
    /// The number of the last hold that was added.
    last_id: AtomicU64,
    /// Whether the writer was asked for the truncation that holds have postponed.
    is_asked: AtomicBool,
}

/// The functions for the writer.
impl Retention {
    pub(crate) fn begin(&self, log_id: Option<u64>, finished: Vec<Finished>) {
        self.kept.send_modify(|kept| {
            kept.log_id = log_id;
            kept.finished = finished;
        });
    }

    /// Records that a segment was opened, and that the one before it, if any, is finished.
    pub(crate) fn note_opened(&self, opened: Header, complete: Option<Finished>) {
        self.kept.send_modify(|kept| {
            kept.log_id = Some(opened.log_id);
            kept.open = Some(opened);
            kept.finished.extend(complete);
        });
    }

    /// Records that everything before `before` was truncated. Returns the LSN below which segments
    /// may be removed now.
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

    /// Reverts [`limit`](Self::limit) after its truncation was refused. `truncated` is the previous
    /// value: when a hold moves next, the log must not truncate what the caller of the refused
    /// truncation believes is kept.
    pub(crate) fn take_back(&self, truncated: Lsn) {
        self.kept.send_modify(|kept| {
            kept.truncated = truncated;
            kept.going = kept.free_before(truncated);
        });
    }

    pub(crate) fn truncated(&self) -> Lsn {
        self.kept.borrow().truncated
    }

    /// Records that the segments before the one that begins with `base` were removed.
    pub(crate) fn note_gone(&self, base: Lsn) {
        let is_kept = |finished: &Finished| finished.header.base >= base;
        self.kept.send_modify(|kept| kept.finished.retain(is_kept));
    }
}

impl Retention {
    pub(crate) fn kept(&self) -> RetentionState {
        self.kept.borrow().clone()
    }
}

/// The functions for files beside the log that refer to it.
#[cfg(feature = "snapshot")]
impl Retention {
    /// The log id, or `None` until the log has a segment, and the segments that hold records.
    pub(crate) fn segments(&self) -> (Option<u64>, Vec<Header>) {
        let kept = self.kept.borrow();
        let finished = kept.finished.iter().map(|finished| finished.header);
        (kept.log_id, finished.chain(kept.open).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn finished(base: u64, last: u64) -> Finished {
        Finished {
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

    /// Truncates as the writer does: removes what no hold keeps.
    fn truncate(retention: &Retention, before: Lsn) {
        let allowed = retention.limit(before);
        let rest = retention.subscribe().borrow().finished.clone();
        let is_kept = |finished: &&Finished| finished.last >= allowed;
        if let Some(first) = rest.iter().find(is_kept) {
            retention.note_gone(first.header.base);
        }
    }

    fn lasting() -> Terms {
        Terms {
            name: "archive".into(),
            may_be_released: false,
            is_lasting: true,
        }
    }

    fn from(lsn: u64) -> Hold {
        Hold {
            from: Lsn::new(lsn),
            limit: u64::MAX,
        }
    }

    /// The truncation came between the owner's check for a postponed truncation and its move of the
    /// hold.
    #[test]
    fn regression_a_truncation_beside_a_move_of_the_hold_is_never_forgotten() {
        for round in 0..2000 {
            let retention = Retention::default();
            retention.begin(
                Some(1),
                vec![finished(1, 10), finished(11, 20), finished(21, 30)],
            );
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
            let left = retention.subscribe().borrow().finished.len();
            assert_eq!(left, 1, "round {round}");
        }
    }

    #[test]
    fn what_one_hold_lets_go_another_keeps() {
        let retention = Retention::default();
        retention.begin(
            Some(1),
            vec![finished(1, 10), finished(11, 20), finished(21, 30)],
        );
        let (first, second) = (retention.add_hold(from(1)), retention.add_hold(from(11)));
        let third = retention.add_hold(from(11));
        truncate(&retention, Lsn::new(31));
        let left = || retention.subscribe().borrow().finished.len();
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
        retention.begin(Some(1), vec![finished(1, 10), finished(11, 20)]);
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
        retention.begin(Some(1), vec![finished(1, 10), finished(11, 20)]);
        let hold = retention.add_hold(from(0));
        let truncated = retention.truncated();
        retention.limit(Lsn::new(11));
        retention.take_back(truncated);
        assert_eq!(retention.move_hold(hold, Lsn::new(11)), None);
    }

    /// An owner that was dropped between its move of the hold and the truncation after that.
    #[test]
    fn a_truncation_that_its_owner_did_not_live_to_ask_for_is_found_by_the_next_one() {
        let retention = Retention::default();
        retention.begin(
            Some(1),
            vec![finished(1, 10), finished(11, 20), finished(21, 30)],
        );
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
