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
    pub(crate) fn note_opened(&self, log_id: u64, complete: Option<Sealed>) {
        self.kept.send_modify(|kept| {
            kept.log_id = Some(log_id);
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

    /// Notes that the segments before the one that begins with `base` are gone.
    pub(crate) fn note_gone(&self, base: Lsn) {
        let is_kept = |sealed: &Sealed| sealed.header.base >= base;
        self.kept.send_modify(|kept| kept.sealed.retain(is_kept));
    }

    /// Whether so much is held back that no further segment may be opened.
    pub(crate) fn is_exhausted(&self) -> bool {
        let kept = self.kept.borrow();
        kept.hold
            .is_some_and(|hold| kept.held_bytes() >= hold.limit)
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

    /// Holds back what begins with `from`, or with where an earlier hold already stands.
    pub(crate) fn hold(&self, from: Lsn, limit: u64) {
        self.kept.send_if_modified(|kept| {
            let from = kept.hold.map_or(from, |hold| hold.from.max(from));
            let hold = Some(Hold { from, limit });
            let moves = kept.hold != hold;
            kept.hold = hold;
            moves
        });
    }
}
