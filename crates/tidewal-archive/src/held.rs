//! What the log keeps for the archive.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidewal::{Hold, HoldInfo, HoldOptions, Lsn, SegmentList, Segments, Wal};

use crate::error::Result;
use crate::options::{ArchiveOptions, Overflow};

/// The hold of a log's one archiver. Clones are the same.
///
/// It lasts: when its archiver goes, the log keeps the records for the next one.
#[derive(Clone)]
pub(super) struct ArchiveHold(Arc<Mutex<Option<Hold>>>);

impl ArchiveHold {
    /// Takes it, unless the log has an archiver.
    pub(super) fn take(wal: &Wal, options: &ArchiveOptions) -> Result<Self> {
        // What an archiver gives up it gives up itself, for the manifest has to say so.
        let limit = match options.overflow {
            Overflow::RefuseAppends => options.max_held_bytes,
            Overflow::LeaveGap => u64::MAX,
        };
        let terms = HoldOptions::new().name("archive").lasting(true);
        let hold = wal.hold_with(Lsn::ZERO, terms.max_bytes(limit))?;
        Ok(Self(Arc::new(Mutex::new(Some(hold)))))
    }

    /// Leaves it to the next archiver.
    pub(super) fn leave(&self) {
        drop(self.hold().take());
    }

    /// What it keeps; `None` once it was left.
    pub(super) fn info(&self) -> Option<HoldInfo> {
        self.hold().as_ref()?.info()
    }

    /// The first record that is kept.
    pub(super) fn first_kept(&self) -> Option<Lsn> {
        self.hold().as_ref()?.lsn()
    }

    /// Keeps no more than what begins with `from`.
    pub(super) fn advance(&self, from: Lsn) {
        if let Some(hold) = &*self.hold() {
            // It gives nothing up by itself, and so was not released.
            let _ = hold.advance(from);
        }
    }

    /// Whether the segment that begins with `first` is not kept any more.
    pub(super) fn has_let_go(&self, first: Lsn) -> bool {
        self.first_kept().is_none_or(|kept| kept > first)
    }

    /// Waits until the segment that begins with `first` is not kept any more.
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

/// Where the hold has to begin so that no more than `max` bytes are held back.
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

/// The end of the log is noticed elsewhere.
async fn wait_for_change(segments: &mut Segments) {
    if !segments.changed().await {
        pending::<()>().await;
    }
}
