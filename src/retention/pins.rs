//! Reading finished segments while the log is open.
//!
//! A segment is pinned while its file is open for reading. Truncation then removes the file instead
//! of recycling it, and the log does not end before the pin is dropped. So no file is ever open for
//! reading and for appending.

use std::sync::Arc;

use tokio::sync::watch;

use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::retention::Retention;
use crate::retention::state::{RetentionState, SegmentState};

impl Retention {
    pub(crate) fn subscribe(&self) -> watch::Receiver<RetentionState> {
        self.kept.subscribe()
    }

    pub(crate) fn oldest(&self) -> Option<Lsn> {
        self.kept.borrow().oldest()
    }

    /// The segment that a durable record was written to.
    pub(crate) fn segment_of(&self, lsn: Lsn) -> SegmentState {
        self.kept.borrow().segment_of(lsn)
    }

    /// Keeps the file of a finished segment from being recycled. `None` if it is about to be
    /// removed or recycled.
    pub(crate) fn pin(self: &Arc<Self>, base: Lsn) -> Option<Pin> {
        let mut is_there = false;
        self.kept.send_if_modified(|kept| {
            is_there = !kept.is_closing && kept.has(base) || is_active(Mutant::OpenSegmentRead);
            kept.pins.extend(is_there.then_some(base));
            false
        });
        is_there.then(|| Pin {
            retention: Arc::clone(self),
            base,
        })
    }

    /// Whether a segment that was truncated is being read.
    pub(crate) fn is_pinned(&self, base: Lsn) -> bool {
        self.kept.borrow().pins.contains(&base)
    }

    /// Allows no more pins. Readers close the files that they have open.
    pub(crate) fn end(&self) {
        self.kept.send_modify(|kept| kept.is_closing = true);
    }

    /// Allows no more pins, and waits until all are dropped.
    pub(crate) async fn close(&self) {
        let mut kept = self.kept.subscribe();
        self.end();
        // The sender lives as long as the retention.
        let _ = kept.wait_for(|kept| kept.pins.is_empty()).await;
    }
}

/// A segment whose file is open for reading.
pub(crate) struct Pin {
    retention: Arc<Retention>,
    base: Lsn,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.retention.kept.send_if_modified(|kept| {
            let found = kept.pins.iter().position(|&base| base == self.base);
            found.map(|index| kept.pins.swap_remove(index));
            kept.is_closing
        });
    }
}
