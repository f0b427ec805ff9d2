//! The hold that makes a log keep what is not in the archive yet.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidewal::{Hold, HoldInfo, HoldOptions, Lsn, SegmentList, Segments, Wal};

use crate::error::Result;
use crate::options::{ArchiveOptions, Overflow};

/// The hold of a log's only archiver. Clones refer to the same hold.
///
/// It is a lasting hold: when its archiver is dropped, the log keeps the records for the next one.
#[derive(Clone)]
pub(super) struct ArchiveHold(Arc<Mutex<Option<Hold>>>);

impl ArchiveHold {
    /// Takes the hold, unless the log already has an archiver.
    pub(super) fn take(wal: &Wal, options: &ArchiveOptions) -> Result<Self> {
        // With `LeaveGap` the archiver itself gives segments up, because the manifest must record the gap.
        let limit = match options.overflow {
            Overflow::RefuseAppends => options.max_held_bytes,
            Overflow::LeaveGap => u64::MAX,
        };
        let terms = HoldOptions::new().name("archive").lasting(true);
        let hold = wal.hold_with(Lsn::ZERO, terms.max_bytes(limit))?;
        Ok(Self(Arc::new(Mutex::new(Some(hold)))))
    }

    /// Leaves the hold to the next archiver.
    pub(super) fn leave(&self) {
        drop(self.hold().take());
    }

    /// What the hold keeps. `None` after [`leave`](Self::leave).
    pub(super) fn info(&self) -> Option<HoldInfo> {
        self.hold().as_ref()?.info()
    }

    /// The first record that the hold keeps.
    pub(super) fn first_kept(&self) -> Option<Lsn> {
        self.hold().as_ref()?.lsn()
    }

    /// Moves the hold to `from`.
    pub(super) fn advance(&self, from: Lsn) {
        if let Some(hold) = &*self.hold() {
            // It fails only if the hold was released, and this hold never is.
            let _ = hold.advance(from);
        }
    }

    /// Whether the segment that begins with `first` is no longer held.
    pub(super) fn has_let_go(&self, first: Lsn) -> bool {
        self.first_kept().is_none_or(|kept| kept > first)
    }

    /// Waits until the segment that begins with `first` is no longer held.
    pub(super) async fn let_go(&self, first: Lsn, mut segments: Segments) {
        while !self.has_let_go(first) {
            wait_for_change(&mut segments).await;
        }
    }

    fn hold(&self) -> MutexGuard<'_, Option<Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up the oldest truncated segments whenever more than `max` bytes of them are held back.
pub(super) async fn give_up(hold: ArchiveHold, mut segments: Segments, max: u64) {
    loop {
        let list = segments.list();
        if let Some(info) = hold.info().filter(|info| info.bytes > max) {
            hold.advance(first_within(&list, &info, max));
        }
        wait_for_change(&mut segments).await;
    }
}

/// The LSN at which the hold must begin to hold back at most `max` bytes.
fn first_within(list: &SegmentList, info: &HoldInfo, max: u64) -> Lsn {
    let mut excess = info.bytes.saturating_sub(max);
    let mut from = info.from;
    let held = list.finished.iter().filter(|held| held.last() >= info.from);
    for segment in held {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(segment.header().capacity);
        from = segment.last().next();
    }
    from
}

/// Waits for a change of the segments, forever if the log has ended: the shipper detects that.
async fn wait_for_change(segments: &mut Segments) {
    if !segments.changed().await {
        pending::<()>().await;
    }
}
