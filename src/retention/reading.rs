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
use crate::retention::state::{RetentionState, Sealed};

/// The state of the segment that a durable record was written to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SegmentState {
    Finished(Sealed),
    /// Still being written.
    Open,
    Truncated {
        /// The oldest record that is kept, or the LSN that the first record would have.
        oldest: Lsn,
    },
    /// The log is closing: files are no longer read.
    Closing,
}

impl RetentionState {
    /// The oldest record that is kept, or `None` if there is none.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        let oldest = self.sealed.first().map(|sealed| sealed.header.base);
        oldest.or(self.open.map(|open| open.base))
    }

    /// Whether the finished segment with this base still exists.
    pub(crate) fn has(&self, base: Lsn) -> bool {
        let found = self
            .sealed
            .partition_point(|sealed| sealed.header.base < base);
        self.sealed
            .get(found)
            .is_some_and(|sealed| sealed.header.base == base)
    }

    /// Whether a record is in a finished segment or was truncated.
    pub(crate) fn is_finished(&self, lsn: Lsn) -> bool {
        self.open.is_none_or(|open| lsn < open.base)
    }

    /// Whether there is a finished segment with `lsn` or a later record.
    pub(crate) fn has_finished(&self, lsn: Lsn) -> bool {
        self.sealed.last().is_some_and(|sealed| lsn <= sealed.last)
    }

    pub(crate) fn segment_of(&self, lsn: Lsn) -> SegmentState {
        let found = self.sealed.partition_point(|sealed| sealed.last < lsn);
        let sealed = self.sealed.get(found);
        match (sealed, self.open) {
            _ if self.is_closing => SegmentState::Closing,
            (None, Some(header)) if is_active(Mutant::OpenSegmentRead) => {
                SegmentState::Finished(Sealed {
                    header,
                    last: lsn,
                    end: header.capacity,
                })
            }
            (Some(sealed), _) if sealed.header.base <= lsn => SegmentState::Finished(*sealed),
            (None, Some(open)) if open.base <= lsn => SegmentState::Open,
            _ => SegmentState::Truncated {
                oldest: self.oldest().unwrap_or(lsn.next()),
            },
        }
    }
}

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
