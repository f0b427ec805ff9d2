//! What the log holds back for the archive.

use std::future;
use std::sync::Arc;

use tokio::sync::watch;

use crate::archive::options::{ArchiveOptions, Overflow};
use crate::lsn::Lsn;
use crate::retention::{HoldId, Kept, Retention, Sealed};
use crate::wal::{Wal, WeakWal};

/// The log, as long as it is open, and what it holds back.
pub(super) struct HeldLog {
    log: WeakWal,
    retention: Arc<Retention>,
    limit: u64,
}

impl HeldLog {
    pub(super) fn new(wal: &Wal) -> Self {
        let limit = wal.retention().subscribe().borrow().hold(HoldId::ARCHIVER);
        Self {
            log: wal.downgrade(),
            retention: Arc::clone(wal.retention()),
            limit: limit.map_or(u64::MAX, |hold| hold.limit),
        }
    }

    /// Holds back no more than what begins with `from`, and asks for the truncation that was put off.
    pub(super) async fn move_to(&self, from: Lsn) {
        if let Some(before) = self.retention.hold(from, self.limit)
            && let Some(log) = self.log.upgrade()
        {
            // If the log cannot remove a file it says so to the next caller that truncates; if it has
            // ended, that is noticed elsewhere.
            let _ = log.truncate_before(before).await;
        }
    }
}

/// Gives up the oldest truncated segments whenever more than is allowed are held back, if gaps are
/// allowed.
pub(super) fn give_up(wal: &Wal, options: &ArchiveOptions) -> impl Future<Output = ()> + use<> {
    let (hold, mut news) = (HeldLog::new(wal), wal.retention().subscribe());
    let (max, overflow) = (options.max_held_bytes, options.overflow);
    async move {
        if overflow != Overflow::LeaveGap {
            return future::pending().await;
        }
        loop {
            let from = match news.wait_for(|kept| held_bytes(kept) > max).await {
                Ok(kept) => first_kept(&kept, max),
                Err(_) => return,
            };
            hold.move_to(from).await;
        }
    }
}

/// Where the hold has to stand so that no more than `max` bytes are held back.
fn first_kept(kept: &Kept, max: u64) -> Lsn {
    let mut excess = held_bytes(kept).saturating_sub(max);
    let mut from = Lsn::ZERO;
    for sealed in held_back(kept) {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(sealed.header.capacity);
        from = sealed.last.next();
    }
    from
}

fn held_back(kept: &Kept) -> &[Sealed] {
    let hold = kept.hold(HoldId::ARCHIVER);
    hold.map_or(&[], |hold| kept.held_back(hold))
}

/// Bytes that the archiver holds back.
pub(super) fn held_bytes(kept: &Kept) -> u64 {
    let hold = kept.hold(HoldId::ARCHIVER);
    hold.map_or(0, |hold| kept.held_bytes(hold))
}

/// Waits until a segment is not held back any more.
pub(super) async fn let_go(mut news: watch::Receiver<Kept>, sealed: Sealed) {
    let _ = news.wait_for(|kept| is_let_go(kept, &sealed)).await;
}

pub(super) fn is_let_go(kept: &Kept, sealed: &Sealed) -> bool {
    let hold = kept.hold(HoldId::ARCHIVER);
    hold.is_some_and(|hold| hold.from > sealed.header.base)
}
