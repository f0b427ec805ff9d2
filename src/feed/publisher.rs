//! The writer's end of the feed.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::feed::batch::Batch;
use crate::feed::{End, Feed, Gone, State};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::storage::Synced;
use crate::wakers::Wakers;

/// The only way into the feed. However the writer ends, followers learn of it.
pub(crate) struct Publisher {
    feed: Arc<Feed>,
    /// Batches that were written and are not durable yet, oldest first.
    staged: VecDeque<Arc<Batch>>,
    /// The part of the feed's limit that these take.
    bytes: usize,
}

impl Publisher {
    /// A publisher for a log that is durable up to `durable`.
    pub(crate) fn new(feed: Arc<Feed>, durable: Lsn) -> Self {
        feed.lock().durable = durable;
        Self {
            feed,
            staged: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Keeps a copy of the batch that was just written, if there is a follower.
    pub(crate) fn stage(&mut self, lsns: RangeInclusive<Lsn>, pieces: impl FnOnce() -> Vec<Bytes>) {
        if self.feed.followers.load(Ordering::Relaxed) == 0 {
            return self.forget();
        }
        let batch = Batch::new(lsns, pieces());
        self.bytes += batch.cost();
        self.staged.push_back(Arc::new(batch));
        self.make_room();
        if is_active(Mutant::FollowedUnsynced)
            && let Some(newest) = self.staged.back()
        {
            let last = newest.last();
            self.hand_out(last);
        }
    }

    /// Publishes everything up to `durable`, with the receipt of its sync.
    pub(crate) fn publish(&mut self, durable: Lsn, _: Synced) {
        self.hand_out(durable);
    }

    /// Stops followers from reading files.
    pub(crate) fn close(&self) {
        self.feed.lock().end = End::Closing;
    }

    /// Reports to followers how the log has ended.
    pub(crate) fn end(self, end: Result<()>) {
        self.feed.end(end);
    }

    /// Drops the oldest batches until the rest keeps the limit. Published batches are older than
    /// staged ones.
    fn make_room(&mut self) {
        while self.bytes > self.feed.limit
            && let Some(oldest) = self.staged.pop_front()
        {
            self.bytes -= oldest.cost();
        }
        let left = self.feed.limit - self.bytes;
        let gone = self.feed.lock().make_room(left);
        drop(gone);
    }

    fn hand_out(&mut self, durable: Lsn) {
        let (mut state, mut gone) = (self.feed.lock(), Gone::new());
        state.durable = durable;
        // Nothing is kept if all followers were dropped since.
        if self.feed.followers.load(Ordering::Relaxed) > 0 {
            let staged = self.staged.drain(..);
            staged.for_each(|batch| gone.extend(state.push(batch)));
        }
        // A batch that was not staged leaves a gap. The batches before it are of no use.
        let is_complete = |newest: &Arc<Batch>| newest.last() == durable;
        if !state.batches.back().is_none_or(is_complete) {
            gone.extend(state.clear());
        }
        wake(state);
        drop(gone);
        self.forget();
    }

    fn forget(&mut self) {
        self.staged.clear();
        self.bytes = 0;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.feed.end(Err(Error::Interrupted));
    }
}

impl Feed {
    /// The first report of how the log has ended counts.
    fn end(&self, end: Result<()>) {
        let mut state = self.lock();
        if !matches!(state.end, End::Ended(_)) {
            state.end = End::Ended(end);
        }
        wake(state);
    }
}

/// Wakes waiting followers outside of the lock, because a waker is foreign code.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiters = std::mem::take(&mut state.waiters).into_iter();
    let wakers: Wakers = waiters.map(|(_, waker)| waker).collect();
    drop(state);
    wakers.wake();
}
