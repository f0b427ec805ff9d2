//! The state that both ends of the queue share.
//!
//! A caller that finds room takes the lock once: it leaves its frames in the batch that is being
//! filled, a note, and its waker if it keeps waiting. A caller that finds no room waits in a
//! `WaitList`. There is one list for appends and one for requests without records. The latter do
//! not wait behind appends, because these may wait for a batch that only such a request ends early.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::error::{Error, IoFailure, Result};
use crate::executor::Executor;
use crate::mutants::{Mutant, is_active};
use crate::queue::cost::Cost;
use crate::queue::enter::{Enter, NotEntered};
use crate::queue::ordered::Order;
use crate::queue::primitives::atomic::{AtomicBool, Ordering};
use crate::queue::primitives::{Mutex, MutexGuard};
use crate::queue::request::{Request, Taken};
use crate::queue::state::{State, controls};
use crate::queue::wait_list::Turn;
use crate::retention::Retention;
use crate::stats::counters::Counters;
use crate::wakers::Wakers;

pub(super) struct Shared {
    state: Mutex<State>,
    /// The number of requests in `state`, which the writer polls without the lock.
    len: AtomicUsize,
    /// Whether the writer has nothing to do except wait for requests.
    is_idle: AtomicBool,
    /// The most room that appends may take.
    size: Cost,
    /// Whether a [`Request::FlushNow`] was sent and not taken yet.
    flush_requested: AtomicBool,
    fault: OnceLock<IoFailure>,
    executor: Executor,
    pub(super) counters: Counters,
    pub(super) retention: Arc<Retention>,
}

impl Shared {
    pub(super) fn new(size: Cost, executor: Executor, counters: Counters) -> Self {
        Self {
            state: Mutex::new(State::new(size)),
            len: AtomicUsize::new(0),
            is_idle: AtomicBool::new(false),
            size,
            flush_requested: AtomicBool::new(false),
            fault: OnceLock::new(),
            executor,
            counters,
            retention: Arc::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the log accepts nothing more.
    pub(super) fn refusal(&self) -> Error {
        let fault = self.fault.get();
        fault.map_or(Error::Closed, |fault| Error::Poisoned(fault.clone()))
    }

    /// Accepts no more requests, and wakes all callers that wait for room.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let writer = state.writer.take();
        let waiting = if is_active(Mutant::WaitListNotClosed) {
            [Wakers::default(), Wakers::default()]
        } else {
            [state.appends.close(), state.controls.close()]
        };
        drop(state);
        waiting.into_iter().for_each(Wakers::wake);
        writer.into_iter().for_each(Waker::wake);
    }

    pub(super) fn poison(&self, fault: &IoFailure) {
        // An error means that there is an earlier cause, which is the one to keep.
        let _ = self.fault.set(fault.clone());
        self.close();
    }
}

/// The functions for callers.
impl Shared {
    /// Adds a request to the queue if there is room besides what was offered to waiting callers.
    /// Otherwise, under the same lock, leaves the waker in the wait list, if there is one.
    pub(super) fn enter<E: Enter>(
        &self,
        entrant: &mut E,
        turn: &mut Turn,
        mut waker: Option<Waker>,
    ) -> Result<E::Entered, NotEntered> {
        let place = entrant.place(self.size);
        let mut state = self.lock();
        if state.closed {
            return Err(NotEntered::Refused(self.refusal()));
        }
        entrant.check().map_err(NotEntered::Refused)?;
        let list = E::list(&mut state);
        if list.enter(*turn, place) {
            return Ok(self.put_in(state, entrant, &mut waker));
        }
        let wakers = list.pass_over(self.executor.now());
        let outcome = if list.enter(*turn, place) {
            Ok(self.put_in(state, entrant, &mut waker))
        } else {
            self.wait_in_line::<E>(state, turn, place, waker);
            Err(NotEntered::Full)
        };
        wakers.wake();
        outcome
    }

    /// Adds a caller to the wait list, and wakes the writer if the caller has just begun to wait.
    fn wait_in_line<E: Enter>(
        &self,
        mut state: MutexGuard<'_, State>,
        turn: &mut Turn,
        place: Cost,
        waker: Option<Waker>,
    ) {
        if let Some(waker) = waker {
            let replaced = E::list(&mut state).wait(turn, place, waker);
            drop(state);
            if replaced.is_none() {
                self.request_flush();
            }
        }
    }

    /// Removes a caller that was dropped. Room that it was offered goes to the callers after it.
    pub(super) fn leave<E: Enter>(&self, turn: Turn) {
        if is_active(Mutant::OfferKept) {
            return;
        }
        let mut state = self.lock();
        let list = E::list(&mut state);
        let (waker, wakers) = list.leave(turn, self.executor.now());
        let must_be_looked_after = list.next_end().is_some();
        drop(state);
        drop(waker);
        if must_be_looked_after {
            self.request_flush();
        }
        wakers.wake();
    }

    /// Wakes the writer, so no batch waits for the end of its interval while a caller waits for its
    /// room, and so offers that are not taken expire. One such request at a time is enough.
    fn request_flush(&self) {
        if !self.flush_requested.swap(true, Ordering::AcqRel) {
            // An error means that the log is closed, which the caller is about to learn.
            let _ = self.send(Request::FlushNow);
        }
    }

    /// Adds a request that takes no room to the queue, or refuses it if the queue is closed.
    pub(super) fn send(&self, request: Request) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(self.refusal());
        }
        state.queued.push(request);
        self.announce(state);
        Ok(())
    }

    /// Ends an ordered sequence. None of its appends enters the queue from now on.
    pub(super) fn end(&self, order: &Order, error: &Error) {
        // A caller that is about to add an append has either done so, or will see that the sequence
        // has ended.
        let _state = self.lock();
        order.end(error);
    }

    fn put_in<E: Enter>(
        &self,
        mut state: MutexGuard<'_, State>,
        entrant: &mut E,
        waker: &mut Option<Waker>,
    ) -> E::Entered {
        let entered = entrant.put_in(&mut state, waker);
        self.announce(state);
        entered
    }

    /// Unlocks the queue after something was added, and wakes the writer if it waits.
    fn announce(&self, mut state: MutexGuard<'_, State>) {
        self.len.store(state.queued.len(), Ordering::Relaxed);
        let writer = state.writer.take();
        drop(state);
        let writer = writer.filter(|_| !is_active(Mutant::WriterNotWoken));
        writer.into_iter().for_each(Waker::wake);
    }

    pub(super) fn used(&self) -> Cost {
        self.lock().appends.used()
    }

    /// Whether the writer would probably take an append at once. It is a guess that needs no lock.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    /// The room that appends of this cost take in the queue.
    pub(super) fn place_of(&self, cost: Cost) -> Cost {
        cost.at_most(self.size)
    }
}

/// The functions for the writer.
impl Shared {
    /// Ready with `true` once there is something to take, or with `false` once no more will come.
    pub(super) fn poll_waiting(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if state.queued.len() > 0 {
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Takes everything. `taken` must be empty.
    pub(super) fn take(&self, taken: &mut Taken) {
        if self.len() == 0 {
            return;
        }
        let mut state = self.lock();
        taken.take_from(&mut state.queued);
        self.len.store(0, Ordering::Relaxed);
        self.set_idle(false);
        let acks = state.take_acks();
        drop(state);
        acks.into_iter().for_each(|acks| taken.acks.push(acks));
    }

    /// The number of waiting requests. Each append counts. The newest ones may be missing, except
    /// those that [`poll_waiting`](Self::poll_waiting) has seen.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Frees the room of appends that have left the queue.
    pub(super) fn release(&self, places: Cost) {
        let mut state = self.lock();
        let wakers = state.appends.give_back(places, || self.executor.now());
        // A woken caller may take the lock at once.
        drop(state);
        wakers.wake();
    }

    pub(super) fn release_controls(&self, count: usize) {
        if count > 0 {
            let mut state = self.lock();
            let wakers = state
                .controls
                .give_back(controls(count), || self.executor.now());
            drop(state);
            wakers.wake();
        }
    }

    /// Ends offers that were not taken in time. Returns when to do so again.
    pub(super) fn pass_over(&self) -> Option<Instant> {
        let mut state = self.lock();
        let ends = [state.appends.next_end(), state.controls.next_end()];
        let next = ends.into_iter().flatten().min()?;
        let now = self.executor.now();
        if now < next {
            return Some(next);
        }
        let wakers = [state.appends.pass_over(now), state.controls.pass_over(now)];
        let ends = [state.appends.next_end(), state.controls.next_end()];
        drop(state);
        wakers.into_iter().for_each(Wakers::wake);
        ends.into_iter().flatten().min()
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.lock().appends.is_waited_for()
    }

    pub(super) fn set_idle(&self, is_idle: bool) {
        self.is_idle.store(is_idle, Ordering::Relaxed);
    }

    pub(super) fn note_flush_request(&self) {
        self.flush_requested.store(false, Ordering::Release);
    }
}
