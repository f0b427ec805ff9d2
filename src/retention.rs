//! What the writer tells an archiver, and what an archiver forbids the writer.
//!
//! The writer notes each segment that is complete, and asks before it gives one away or opens another.
//! Without an archiver it is never told no.

#[cfg(feature = "archive")]
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::format::segment::Header;
use crate::lsn::Lsn;

/// A segment that is complete and durable: its records never change again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sealed {
    pub(crate) header: Header,
    /// The LSN of its last record.
    pub(crate) last: Lsn,
    /// Where that ends, in bytes from the start of the file.
    pub(crate) end: u64,
}

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
    /// Everything below it was given free.
    pub(crate) truncated: Lsn,
    pub(crate) hold: Option<Hold>,
}

impl Kept {
    /// The segments that are there only because they are held back.
    pub(crate) fn held_back(&self) -> &[Sealed] {
        let Some(hold) = self.hold else {
            return &[];
        };
        let is_let_go = |sealed: &Sealed| sealed.header.base < hold.from;
        let rest = &self.sealed[self.sealed.partition_point(is_let_go)..];
        let is_truncated = |sealed: &Sealed| sealed.last < self.truncated;
        &rest[..rest.partition_point(is_truncated)]
    }

    /// Whether a segment is still there that was truncated and is not held back.
    #[cfg(feature = "archive")]
    fn is_put_off(&self) -> bool {
        let free = self
            .hold
            .map_or(self.truncated, |hold| hold.from.min(self.truncated));
        self.sealed.first().is_some_and(|oldest| oldest.last < free)
    }

    /// Bytes that those take on disk.
    pub(crate) fn held_bytes(&self) -> u64 {
        let held = self.held_back().iter();
        held.map(|sealed| sealed.header.capacity).sum()
    }
}

/// Between the writer and an archiver.
#[derive(Default)]
pub(crate) struct Retention {
    kept: watch::Sender<Kept>,
    /// Whether there is an archiver.
    #[cfg(feature = "archive")]
    taken: AtomicBool,
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

    /// Notes that everything before `before` was given free, and returns how much of it may go now.
    pub(crate) fn limit(&self, before: Lsn) -> Lsn {
        let mut allowed = before;
        self.kept.send_if_modified(|kept| {
            allowed = kept.hold.map_or(before, |hold| before.min(hold.from));
            let moves = before > kept.truncated;
            kept.truncated = kept.truncated.max(before);
            moves
        });
        allowed
    }

    /// Notes that a truncation that [`limit`](Self::limit) was asked for was refused. `truncated` is what
    /// was noted before it: the next move of the hold must not truncate what its caller was told is kept.
    pub(crate) fn take_back(&self, truncated: Lsn) {
        self.kept.send_modify(|kept| kept.truncated = truncated);
    }

    pub(crate) fn truncated(&self) -> Lsn {
        self.kept.borrow().truncated
    }

    /// Notes that the segments before the one that begins with `base` are gone.
    pub(crate) fn note_gone(&self, base: Lsn) {
        let is_kept = |sealed: &Sealed| sealed.header.base >= base;
        self.kept.send_modify(|kept| kept.sealed.retain(is_kept));
    }

    /// Whether so much is held back that no further segment may be opened.
    pub(crate) fn is_exhausted(&self) -> bool {
        let kept = self.kept.borrow();
        let held = kept.held_bytes();
        held > 0 && kept.hold.is_some_and(|hold| held >= hold.limit)
    }
}

/// What is written beside the log names it.
#[cfg(feature = "snapshot")]
impl Retention {
    /// The log's id; `None` until it has a segment.
    pub(crate) fn log_id(&self) -> Option<u64> {
        self.kept.borrow().log_id
    }
}

/// The archiver's side.
#[cfg(feature = "archive")]
impl Retention {
    /// Takes the place of the log's archiver if nobody has it.
    pub(crate) fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Gives the place back. The hold stays.
    pub(crate) fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Kept> {
        self.kept.subscribe()
    }

    /// Holds back what begins with `from`, or with where an earlier hold already is. Returns what to
    /// truncate before if a truncation was put off that need not be any more.
    ///
    /// The move and the look are one step: a truncation comes before both, and is seen, or after both,
    /// and is not put off.
    pub(crate) fn hold(&self, from: Lsn, limit: u64) -> Option<Lsn> {
        let mut put_off = None;
        self.kept.send_if_modified(|kept| {
            let from = kept.hold.map_or(from, |hold| hold.from.max(from));
            let hold = Some(Hold { from, limit });
            let moves = kept.hold != hold;
            kept.hold = hold;
            put_off = kept.is_put_off().then_some(kept.truncated);
            moves
        });
        put_off
    }
}

#[cfg(all(test, feature = "archive"))]
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

    /// It came between the archiver's look at what waits and its move of the hold.
    #[test]
    fn regression_a_truncation_beside_a_move_of_the_hold_is_never_forgotten() {
        for round in 0..2000 {
            let retention = Retention::default();
            retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20), sealed(21, 30)]);
            assert_eq!(retention.hold(Lsn::ZERO, u64::MAX), None);
            let start = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    truncate(&retention, Lsn::new(21));
                });
                start.wait();
                if let Some(before) = retention.hold(Lsn::new(21), u64::MAX) {
                    truncate(&retention, before);
                }
            });
            let left = retention.subscribe().borrow().sealed.len();
            assert_eq!(left, 1, "round {round}");
        }
    }

    #[test]
    fn regression_a_refused_truncation_is_not_done_by_the_next_move_of_the_hold() {
        let retention = Retention::default();
        retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20)]);
        retention.hold(Lsn::ZERO, u64::MAX);
        let truncated = retention.truncated();
        retention.limit(Lsn::new(11));
        retention.take_back(truncated);
        assert_eq!(retention.hold(Lsn::new(11), u64::MAX), None);
    }

    /// An archiver that was dropped between its move of the hold and the truncation that follows.
    #[test]
    fn a_truncation_that_its_archiver_did_not_live_to_ask_for_is_found_by_the_next_one() {
        let retention = Retention::default();
        retention.begin(Some(1), vec![sealed(1, 10), sealed(11, 20), sealed(21, 30)]);
        retention.hold(Lsn::ZERO, u64::MAX);
        truncate(&retention, Lsn::new(21));
        assert_eq!(retention.hold(Lsn::new(11), u64::MAX), Some(Lsn::new(21)));
        assert_eq!(retention.hold(Lsn::ZERO, u64::MAX), Some(Lsn::new(21)));
        truncate(&retention, Lsn::new(21));
        assert_eq!(
            retention.hold(Lsn::ZERO, u64::MAX),
            None,
            "the rest is held"
        );
    }
}
