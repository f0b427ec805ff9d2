//! The newest durable records in memory, for followers.
//!
//! The writer has a [`Publisher`]: it stages a copy of each batch that it writes, while there is a follower,
//! and publishes what is staged with the receipt of the sync. There is no other way into the buffer, so a
//! record that is not durable cannot be found in it. The batches in the buffer follow each other without a
//! gap and end with the last durable record. A follower that needs an older record reads files
//! ([`follow`](crate::follow)).

mod batch;
mod publisher;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::feed::batch::Batch;
pub(crate) use crate::feed::batch::Cursor;
pub(crate) use crate::feed::publisher::Publisher;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};

/// Between the writer and the followers of a log.
pub(crate) struct Feed {
    state: Mutex<State>,
    /// How many followers there are.
    followers: AtomicUsize,
    /// Bytes that staged and published batches may take.
    limit: usize,
    rotate_interval: Duration,
}

#[derive(Default)]
struct State {
    /// Oldest first, without a gap, up to `durable`.
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    durable: Lsn,
    waiters: Vec<(u64, Waker)>,
    next_id: u64,
    rotated: Option<Instant>,
    end: End,
}

/// Batches that are forgotten. Not to be dropped under the lock: a payload is code of its owner.
type Gone = VecDeque<Arc<Batch>>;

/// How far the log is on its way to its end.
#[derive(Clone, Default)]
enum End {
    #[default]
    Open,
    /// Files must not be read any more.
    Closing,
    Ended(Result<()>),
}

/// Where a follower finds its next record.
pub(crate) enum Found {
    Memory(Cursor),
    /// The record is durable and no longer in memory.
    Files,
    /// There will be no more records.
    End(Result<()>),
    /// The log has ended, and the record could only be read from a file.
    CutOff(Error),
}

impl Feed {
    pub(crate) fn new(limit: usize, rotate_interval: Duration) -> Self {
        Self {
            state: Mutex::default(),
            followers: AtomicUsize::new(0),
            limit,
            rotate_interval,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The followers' side.
impl Feed {
    pub(crate) fn register(self: &Arc<Self>) -> Registration {
        let mut state = self.lock();
        self.followers.fetch_add(1, Ordering::Relaxed);
        state.next_id += 1;
        Registration {
            id: state.next_id,
            feed: Arc::clone(self),
        }
    }

    /// The last durable record.
    pub(crate) fn durable_end(&self) -> Lsn {
        self.lock().durable
    }

    /// Whether a file is what holds a record that is durable.
    pub(crate) fn needs_files(&self, lsn: Lsn) -> bool {
        let state = self.lock();
        lsn <= state.durable && state.batch_of(lsn).is_none()
    }

    /// Followers, and bytes in memory for them.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.followers.load(Ordering::Relaxed), self.lock().bytes)
    }

    /// Takes the right to ask for a rotation, or says when there is one.
    pub(crate) fn claim_rotation(&self, now: Instant) -> Result<(), Instant> {
        let mut state = self.lock();
        match state.rotated.map(|last| last + self.rotate_interval) {
            Some(next) if next > now => Err(next),
            _ => {
                state.rotated = Some(now);
                Ok(())
            }
        }
    }
}

/// A follower's place in the feed.
pub(crate) struct Registration {
    feed: Arc<Feed>,
    id: u64,
}

impl Registration {
    /// Where the record `next` is, once it is durable or the log has ended.
    pub(crate) fn poll_find(&self, next: Lsn, context: &Context<'_>) -> Poll<Found> {
        let waker = context.waker().clone();
        let mut state = self.feed.lock();
        let replaced = match state.find(next) {
            Some(found) => return Poll::Ready(found),
            None => state.wait(self.id, waker),
        };
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        let waker = state.forget(self.id);
        let is_last = self.feed.followers.fetch_sub(1, Ordering::Relaxed) == 1;
        let batches = is_last.then(|| state.clear());
        drop(state);
        drop((waker, batches));
    }
}

impl State {
    fn find(&self, next: Lsn) -> Option<Found> {
        if next > self.durable {
            return match &self.end {
                End::Ended(end) => Some(Found::End(end.clone())),
                End::Open | End::Closing => None,
            };
        }
        if let Some(batch) = self.batch_of(next) {
            return Some(Found::Memory(Cursor::at(Arc::clone(batch), next)));
        }
        match &self.end {
            End::Open => Some(Found::Files),
            End::Closing => None,
            End::Ended(Ok(())) => Some(Found::CutOff(Error::Closed)),
            End::Ended(Err(error)) => Some(Found::CutOff(error.clone())),
        }
    }

    fn batch_of(&self, lsn: Lsn) -> Option<&Arc<Batch>> {
        let index = self.batches.partition_point(|batch| batch.last() < lsn);
        let batch = self.batches.get(index)?;
        (batch.first() <= lsn || is_active(Mutant::OverrunUnnoticed)).then_some(batch)
    }

    /// Adds a batch, and returns what is not followed by it and so of no use any more.
    fn push(&mut self, batch: Arc<Batch>) -> Gone {
        let newest = self.batches.back();
        let gone = match newest.is_none_or(|newest| newest.last().next() == batch.first()) {
            true => Gone::new(),
            false => self.clear(),
        };
        self.bytes += batch.cost();
        self.batches.push_back(batch);
        gone
    }

    /// Forgets the oldest batches until the rest takes no more than this.
    fn make_room(&mut self, limit: usize) -> Gone {
        let mut gone = Gone::new();
        while self.bytes > limit
            && let Some(oldest) = self.batches.pop_front()
        {
            self.bytes -= oldest.cost();
            gone.push_back(oldest);
        }
        gone
    }

    fn clear(&mut self) -> Gone {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }

    fn wait(&mut self, id: u64, waker: Waker) -> Option<Waker> {
        let replaced = self.forget(id);
        self.waiters.push((id, waker));
        replaced
    }

    fn forget(&mut self, id: u64) -> Option<Waker> {
        let index = self.waiters.iter().position(|(other, _)| *other == id)?;
        Some(self.waiters.swap_remove(index).1)
    }
}
