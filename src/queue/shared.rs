//! What both ends of the queue see.
//!
//! A caller who finds room takes the lock once. One who does not waits in a [`WaitList`]. There is one
//! for appends and one for requests that bring no record, which do not wait behind appends: those may
//! wait for a batch that only such a request would end early.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::error::{Error, IoFailure, Result};
use crate::executor::Executor;
use crate::mutants::{Mutant, is_active};
use crate::queue::answers::{Answer, Answers, Claim};
use crate::queue::order::Order;
use crate::queue::request::{Append, Cost, Request, Taken};
use crate::queue::wait_list::{Turn, WaitList, Wakers};
use crate::retention::Retention;
use crate::stats::counters::Counters;

pub(super) struct Shared {
    state: Mutex<State>,
    /// As many as `state` holds, for the writer to look at again and again without the lock.
    len: AtomicUsize,
    /// The most that appends may take.
    size: Cost,
    /// Whether a [`Request::Hurry`] is on its way.
    hurried: AtomicBool,
    fault: OnceLock<IoFailure>,
    executor: Executor,
    pub(super) counters: Counters,
    pub(super) retention: Arc<Retention>,
}

pub(super) struct State {
    requests: VecDeque<Request>,
    /// For the appends in `requests`.
    answers: Arc<Answers>,
    /// The ticket of the first record in `requests`.
    first: u64,
    /// The ticket of the next record.
    next: u64,
    /// Room for appends.
    appends: WaitList,
    /// Room for requests that bring no record.
    controls: WaitList,
    /// Whether nothing more is taken.
    closed: bool,
    /// The writer, if it waits.
    writer: Option<Waker>,
}

impl State {
    fn new(size: Cost) -> Self {
        Self {
            requests: VecDeque::new(),
            answers: Arc::default(),
            first: 0,
            next: 0,
            appends: WaitList::new(size),
            controls: WaitList::new(controls(CONTROLS_MAX)),
            closed: false,
            writer: None,
        }
    }
}

/// What may have to wait before it is in the queue.
pub(super) trait Enter: Sized {
    /// What its caller gets when it is in the queue.
    type Entered;

    fn list(state: &mut State) -> &mut WaitList;
    /// Why it must not get in any more, whatever place there is.
    fn check(&self) -> Result<()>;
    /// What it takes of a queue of this size.
    fn place(&self, size: Cost) -> Cost;
    /// Takes the next place in the order of requests.
    fn number(&self, state: &mut State) -> Self::Entered;
    fn into_request(self) -> Request;
}

impl Enter for Append {
    type Entered = Answer;

    fn list(state: &mut State) -> &mut WaitList {
        &mut state.appends
    }

    fn check(&self) -> Result<()> {
        self.order.as_ref().map_or(Ok(()), Order::check)
    }

    fn place(&self, size: Cost) -> Cost {
        place_of(self.cost(), size)
    }

    fn number(&self, state: &mut State) -> Answer {
        state.next += self.cost().records as u64;
        Answer::new(&state.answers, state.next - 1, self.durability)
    }

    fn into_request(self) -> Request {
        Request::Append(self)
    }
}

/// One that brings no record.
impl Enter for Request {
    type Entered = ();

    fn list(state: &mut State) -> &mut WaitList {
        &mut state.controls
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn place(&self, _: Cost) -> Cost {
        controls(1)
    }

    fn number(&self, _: &mut State) {}

    fn into_request(self) -> Request {
        self
    }
}

/// Why a request is not in the queue.
pub(super) enum NotTaken<E> {
    /// There is no place for it now.
    Full(E),
    /// It must not get in any more. It may still have a turn, to be given up.
    Refused(E, Error),
    Closed,
}

impl Shared {
    pub(super) fn new(size: Cost, executor: Executor, counters: Counters) -> Self {
        Self {
            state: Mutex::new(State::new(size)),
            len: AtomicUsize::new(0),
            size,
            hurried: AtomicBool::new(false),
            fault: OnceLock::new(),
            executor,
            counters,
            retention: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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
    /// Puts a request into the queue if there is a place, beside those that were promised to callers who
    /// wait.
    pub(super) fn push<E: Enter>(&self, entrant: E) -> Result<E::Entered, NotTaken<E>> {
        let mut turn = Turn::NEW;
        self.push_or_wait(entrant, &mut turn, None)
    }

    /// Puts a request into the queue, or notes in the same moment who is to be woken when there is a
    /// place.
    fn push_or_wait<E: Enter>(
        &self,
        entrant: E,
        turn: &mut Turn,
        waker: Option<Waker>,
    ) -> Result<E::Entered, NotTaken<E>> {
        let place = entrant.place(self.size);
        let mut state = self.lock();
        if state.closed {
            return Err(NotTaken::Closed);
        }
        if let Err(error) = entrant.check() {
            return Err(NotTaken::Refused(entrant, error));
        }
        let list = E::list(&mut state);
        if list.enter(*turn, place) {
            return Ok(self.put_in(state, entrant));
        }
        let wakers = list.pass_over(self.executor.now());
        let enters = list.enter(*turn, place);
        let outcome = if enters {
            Ok(self.put_in(state, entrant))
        } else {
            match waker {
                Some(waker) => self.wait::<E>(state, turn, place, waker),
                None => drop(state),
            }
            Err(NotTaken::Full(entrant))
        };
        wakers.wake();
        outcome
    }

    /// Notes who waits, and tells the writer if the caller has just begun to.
    fn wait<E: Enter>(
        &self,
        mut state: MutexGuard<'_, State>,
        turn: &mut Turn,
        place: Cost,
        waker: Waker,
    ) {
        let replaced = E::list(&mut state).wait(turn, place, waker);
        drop(state);
        if replaced.is_none() {
            self.hurry();
        }
    }

    /// Puts a request into the queue, and waits for a place if there is none.
    ///
    /// Cancel safe: if dropped before it returns, nothing is in the queue.
    pub(super) async fn wait_and_push<E: Enter + Unpin>(&self, entrant: E) -> Result<E::Entered> {
        match self.push(entrant) {
            Ok(entered) => Ok(entered),
            Err(NotTaken::Closed) => Err(self.refusal()),
            Err(NotTaken::Refused(_, error)) => Err(error),
            Err(NotTaken::Full(entrant)) => Waiting::new(self, entrant).await,
        }
    }

    /// Wakes the writer, so that no batch sits in the queue until the end of its interval while a caller
    /// waits for its places, and offers end that are not taken. One word at a time is enough.
    fn hurry(&self) {
        if !self.hurried.swap(true, Ordering::AcqRel) {
            // An error means that the log is closed, which the caller is about to hear.
            let _ = self.send(Request::Hurry);
        }
    }

    /// Puts a request that takes no place into the queue, and refuses it if that is closed.
    pub(super) fn send(&self, request: Request) -> Result<()> {
        let state = self.lock();
        if state.closed {
            return Err(self.refusal());
        }
        self.put(state, request);
        Ok(())
    }

    /// Ends a sequence of appends. What of it is not in the queue yet will not get there.
    pub(super) fn end(&self, order: &Order, error: &Error) {
        // A caller that is about to put an append in has either done so, or will see that it is too late.
        let _state = self.lock();
        order.end(error);
    }

    fn put_in<E: Enter>(&self, mut state: MutexGuard<'_, State>, entrant: E) -> E::Entered {
        let entered = entrant.number(&mut state);
        self.put(state, entrant.into_request());
        entered
    }

    fn put(&self, mut state: MutexGuard<'_, State>, request: Request) {
        state.requests.push_back(request);
        self.len.store(state.requests.len(), Ordering::Relaxed);
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }

    pub(super) fn used(&self) -> Cost {
        self.lock().appends.used()
    }

    /// What an append takes: at most everything, so that the largest one still gets through.
    pub(super) fn place_of(&self, cost: Cost) -> Cost {
        place_of(cost, self.size)
    }
}

fn place_of(cost: Cost, size: Cost) -> Cost {
    Cost {
        bytes: cost.bytes.min(size.bytes),
        records: cost.records.min(size.records),
    }
}

/// A caller who waits for a place.
struct Waiting<'a, E: Enter> {
    shared: &'a Shared,
    /// Gone when it is in the queue, or the queue is closed.
    entrant: Option<E>,
    turn: Turn,
}

impl<'a, E: Enter> Waiting<'a, E> {
    fn new(shared: &'a Shared, entrant: E) -> Self {
        Self {
            shared,
            entrant: Some(entrant),
            turn: Turn::NEW,
        }
    }
}

impl<E: Enter + Unpin> Future for Waiting<'_, E> {
    type Output = Result<E::Entered>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let entrant = this.entrant.take();
        let entrant = entrant.expect("it is not polled once it is ready");
        let waker = Some(context.waker().clone());
        match this.shared.push_or_wait(entrant, &mut this.turn, waker) {
            Ok(entered) => Poll::Ready(Ok(entered)),
            Err(NotTaken::Closed) => Poll::Ready(Err(this.shared.refusal())),
            Err(NotTaken::Full(entrant)) => {
                this.entrant = Some(entrant);
                Poll::Pending
            }
            Err(NotTaken::Refused(entrant, error)) => {
                // Its turn is given up when this is dropped.
                this.entrant = Some(entrant);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<E: Enter> Drop for Waiting<'_, E> {
    /// What it waited for, or was offered, is for those behind.
    fn drop(&mut self) {
        if self.entrant.is_some() && self.turn != Turn::NEW {
            let mut state = self.shared.lock();
            let list = E::list(&mut state);
            let (waker, wakers) = list.leave(self.turn, self.shared.executor.now());
            let must_be_looked_after = list.next_end().is_some();
            drop(state);
            drop(waker);
            if must_be_looked_after {
                self.shared.hurry();
            }
            wakers.wake();
        }
    }
}

/// The writer's side.
impl Shared {
    /// Ready with whether there is something to take, once there is or will not be any more.
    pub(super) fn poll_waiting(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if !state.requests.is_empty() {
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Takes everything.
    pub(super) fn take(&self, taken: &mut Taken) {
        if self.len() == 0 {
            return;
        }
        let mut state = self.lock();
        taken.take_from(&mut state.requests);
        self.len.store(0, Ordering::Relaxed);
        if state.first < state.next {
            let answers = Arc::downgrade(&std::mem::take(&mut state.answers));
            taken
                .claims
                .push(Claim::new(answers, state.first..state.next));
            state.first = state.next;
        }
    }

    /// How many requests wait. The last ones may be missing, but for those that
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

    pub(super) fn note_hurry(&self) {
        self.hurried.store(false, Ordering::Release);
    }
}

/// What so many requests that bring no record take.
fn controls(count: usize) -> Cost {
    Cost {
        bytes: 0,
        records: count,
    }
}

/// How many requests that bring no record may wait.
const CONTROLS_MAX: usize = 1024;
