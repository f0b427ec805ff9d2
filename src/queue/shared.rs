//! What both ends of the queue see.
//!
//! A caller that finds room takes the lock once: it leaves its frames in the batch that is being filled,
//! a note, and its waker if it goes on waiting. One that does not waits in a [`WaitList`]. There is one
//! for appends and one for requests that bring no record, which do not wait behind appends: those may
//! wait for a batch that only such a request would end early.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::error::{Error, IoFailure, Result};
use crate::executor::Executor;
use crate::mutants::{Mutant, is_active};
use crate::options::Durability;
use crate::queue::ack_guard::PendingAcks;
use crate::queue::acks::{Ack, Acks};
use crate::queue::cost::Cost;
use crate::queue::enter::{Enter, NotEntered};
use crate::queue::order::Order;
use crate::queue::request::{Queued, Request, Taken};
use crate::queue::wait_list::{Turn, WaitList};
use crate::retention::Retention;
use crate::stats::counters::Counters;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::wakers::Wakers;

pub(super) struct Shared {
    state: Mutex<State>,
    /// As many as `state` holds, for the writer to look at again and again without the lock.
    len: AtomicUsize,
    /// Whether the writer has nothing to do but to look for requests.
    is_idle: AtomicBool,
    /// The most that appends may take.
    size: Cost,
    /// Whether a [`Request::FlushNow`] is on its way.
    flush_requested: AtomicBool,
    fault: OnceLock<IoFailure>,
    executor: Executor,
    pub(super) counters: Counters,
    pub(super) retention: Arc<Retention>,
}

pub(super) struct State {
    pub(super) queued: Queued,
    /// Of the appends in `queued`.
    acks: Arc<Acks>,
    /// The ticket of the first record in `queued`.
    first: u64,
    /// The ticket of the next record.
    next: u64,
    /// Room for appends.
    pub(super) appends: WaitList,
    /// Room for requests that bring no record.
    pub(super) controls: WaitList,
    /// Whether nothing more is taken.
    closed: bool,
    /// The writer, if it waits.
    writer: Option<Waker>,
}

impl State {
    fn new(size: Cost) -> Self {
        Self {
            queued: Queued::default(),
            acks: Arc::default(),
            first: 0,
            next: 0,
            appends: WaitList::new(size),
            controls: WaitList::new(controls(CONTROLS_MAX)),
            closed: false,
            writer: None,
        }
    }

    /// Gives out the tickets of so many records. Returns the ack of the last one.
    pub(super) fn number(&mut self, records: usize, durability: Durability) -> Ack {
        self.next += records as u64;
        Ack::new(&self.acks, self.next - 1, durability)
    }

    /// Hands out the duty to answer what is taken.
    fn take_acks(&mut self) -> Option<PendingAcks> {
        let tickets = self.first..self.next;
        self.first = self.next;
        (!tickets.is_empty()).then(|| {
            let acks = std::mem::take(&mut self.acks);
            PendingAcks::new(Arc::downgrade(&acks), tickets)
        })
    }
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

    /// Why the log takes nothing more.
    pub(super) fn refusal(&self) -> Error {
        let fault = self.fault.get();
        fault.map_or(Error::Closed, |fault| Error::Poisoned(fault.clone()))
    }

    /// Takes no more requests. All who wait for a place hear of it.
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
        // An error means that an earlier cause stands, which is the one to keep.
        let _ = self.fault.set(fault.clone());
        self.close();
    }
}

/// The callers' side.
impl Shared {
    /// Puts a request into the queue if there is a place beside those that were promised to callers that
    /// wait. Otherwise notes in the same moment whom to wake when there is one, if that is asked for.
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

    /// Notes who waits, and tells the writer if the caller has just begun to.
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

    /// Forgets a caller that has gone: what it waited for, or was offered, is for those behind.
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

    /// Wakes the writer, so that no batch sits in the queue until the end of its interval while a caller
    /// waits for its places, and offers end that are not taken. One word at a time is enough.
    fn request_flush(&self) {
        if !self.flush_requested.swap(true, Ordering::AcqRel) {
            // An error means that the log is closed, which the caller is about to hear.
            let _ = self.send(Request::FlushNow);
        }
    }

    /// Puts a request that takes no place into the queue, and refuses it if that is closed.
    pub(super) fn send(&self, request: Request) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(self.refusal());
        }
        state.queued.push(request);
        self.announce(state);
        Ok(())
    }

    /// Ends a sequence of appends. What of it is not in the queue yet will not get there.
    pub(super) fn end(&self, order: &Order, error: &Error) {
        // A caller that is about to put an append in has either done so, or will see that it is too late.
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

    /// Lets go of the queue, to which something was added, and wakes the writer if it waits.
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

    /// Whether the writer would take an append at once. It is a guess, which costs no lock.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    /// What appends of this cost take of the queue.
    pub(super) fn place_of(&self, cost: Cost) -> Cost {
        cost.at_most(self.size)
    }
}

/// The writer's side.
impl Shared {
    /// Ready with whether there is something to take, once there is or will not be any more.
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

    /// Takes everything. What was taken before must have been used up.
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

    /// How many requests wait, each append counted. The last ones may be missing, but for those that
    /// [`poll_waiting`](Self::poll_waiting) has seen.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Gives back places of appends that left the queue.
    pub(super) fn release(&self, places: Cost) {
        let mut state = self.lock();
        let wakers = state.appends.give_back(places, || self.executor.now());
        // A woken caller may come here at once.
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

    /// Offers the places of callers who do not come for them to others. Returns when to do so again.
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

/// What so many requests that bring no record take.
pub(super) fn controls(count: usize) -> Cost {
    Cost {
        bytes: 0,
        records: count,
    }
}

/// How many requests that bring no record may wait.
const CONTROLS_MAX: usize = 1024;
