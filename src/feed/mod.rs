//! The newest durable records in memory, for followers.
//!
//! The writer has a [`Publisher`]. While there is a follower, it stages a copy of each batch that
//! it writes, and publishes what is staged with the receipt of the sync. There is no other way into
//! the buffer, so it never holds a record that is not durable. The batches in the buffer have no
//! gap between them and end with the last durable record. A follower that needs an older record
//! reads files ([`follow`](crate::follow)).

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

/// The buffer between the writer and the followers of a log.
pub(crate) struct Feed {
    state: Mutex<State>,
    /// The number of followers.
    followers: AtomicUsize,
    /// The most bytes that staged and published batches may take.
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

/// Batches dropped from the feed. They must not be dropped under the lock, because dropping a payload
/// runs the code of its owner.
type Gone = VecDeque<Arc<Batch>>;

/// How the log ends.
#[derive(Clone, Default)]
enum End {
    #[default]
    Open,
    /// Files must no longer be read.
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

/// The functions for followers.
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

    /// Whether a durable record is in a file only.
    pub(crate) fn needs_files(&self, lsn: Lsn) -> bool {
        let state = self.lock();
        lsn <= state.durable && state.batch_of(lsn).is_none()
    }

    /// The number of followers, and the bytes in memory for them.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.followers.load(Ordering::Relaxed), self.lock().bytes)
    }

    /// Claims the right to request a rotation, or returns when that is allowed.
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

/// A follower's registration in the feed.
pub(crate) struct Registration {
    feed: Arc<Feed>,
    id: u64,
}

impl Registration {
    /// Resolves to where the record `next` is, once it is durable or the log has ended.
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

    /// Adds a batch. Returns the older batches if it does not follow them, because they are then useless.
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

    /// Drops the oldest batches until the rest takes at most `limit`.
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
