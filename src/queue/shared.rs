//! What both ends of the queue see.
//!
//! A caller who finds a place takes the lock once. One who does not stands in a line, first come first
//! served, whose head waits for room; nobody who comes later gets past them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::{Notify, Semaphore};

use crate::error::{Error, Fault, Result};
use crate::queue::answers::{Answer, Answers, Claim};
use crate::queue::request::{Append, Cost, Request, Taken};
use crate::retention::Retention;
use crate::stats::counters::Counters;

pub(super) struct Shared {
    state: Mutex<State>,
    /// As many as `state` holds, for the writer to look at again and again without the lock.
    len: AtomicUsize,
    /// The most that appends may take.
    size: Cost,
    /// Held by the head of those who wait for a place; a semaphore of one, because it is fair.
    line: Semaphore,
    /// Tells the head that places were given back.
    room: Notify,
    /// For requests that bring no record. They do not stand in line behind appends, which may wait for
    /// a batch that only such a request would end early.
    asks: Semaphore,
    /// Whether a [`Request::Hurry`] is on its way.
    hurried: AtomicBool,
    fault: OnceLock<Fault>,
    pub(super) counters: Counters,
    pub(super) retention: Arc<Retention>,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    /// For the appends in `requests`.
    answers: Arc<Answers>,
    /// The ticket of the first record in `requests`.
    first: u64,
    /// The ticket of the next record.
    next: u64,
    /// What appends have taken and not given back.
    used: Cost,
    /// How many callers stand in line.
    waiting: usize,
    /// Whether nothing more is taken.
    closed: bool,
    /// The writer, if it waits.
    writer: Option<Waker>,
}

/// Why an append is not in the queue.
pub(super) enum NotTaken {
    /// There is no place for it now.
    Full(Append),
    Closed,
}

impl Shared {
    pub(super) fn new(size: Cost, counters: Counters) -> Self {
        Self {
            state: Mutex::default(),
            len: AtomicUsize::new(0),
            size,
            line: Semaphore::new(1),
            room: Notify::new(),
            asks: Semaphore::new(ASKS),
            hurried: AtomicBool::new(false),
            fault: OnceLock::new(),
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

    /// Takes no more requests. Whoever waits for a place hears of it.
    pub(super) fn close(&self) {
        let writer = {
            let mut state = self.lock();
            state.closed = true;
            state.writer.take()
        };
        self.asks.close();
        self.room.notify_one();
        writer.into_iter().for_each(Waker::wake);
    }

    pub(super) fn poison(&self, fault: &Fault) {
        // An error means that an earlier cause stands, which is the one to keep.
        let _ = self.fault.set(fault.clone());
        self.close();
    }
}

/// The callers' side.
impl Shared {
    /// Puts an append into the queue if there is a place and nobody stands in line for it.
    pub(super) fn push(&self, append: Append) -> Result<Answer, NotTaken> {
        self.push_if(append, |state| state.waiting == 0)
    }

    fn push_if(
        &self,
        append: Append,
        may: impl FnOnce(&State) -> bool,
    ) -> Result<Answer, NotTaken> {
        let cost = append.cost();
        let place = self.place_of(cost);
        let mut state = self.lock();
        if state.closed {
            return Err(NotTaken::Closed);
        }
        if !may(&state) || !(state.used + place).fits(self.size) {
            return Err(NotTaken::Full(append));
        }
        state.used += place;
        state.next += cost.records as u64;
        let answer = Answer::new(&state.answers, state.next - 1, append.durability);
        self.put(state, Request::Append(append));
        Ok(answer)
    }

    /// Stands in line until there is a place.
    ///
    /// Cancel safe: the line moves up when this is dropped.
    pub(super) async fn wait_and_push(&self, mut append: Append) -> Result<Answer> {
        let _in_line = InLine::note(self);
        self.hurry();
        let _head = self.line.acquire().await.expect("the line is never closed");
        loop {
            append = match self.push_if(append, |_| true) {
                Ok(answer) => return Ok(answer),
                Err(NotTaken::Full(append)) => append,
                Err(NotTaken::Closed) => return Err(self.refusal()),
            };
            self.room.notified().await;
        }
    }

    /// Wakes the writer, so that no batch sits in the queue until the end of its interval while somebody
    /// waits for its places. One word at a time is enough.
    fn hurry(&self) {
        if !self.hurried.swap(true, Ordering::AcqRel) {
            // An error means that the log is closed, which the caller is about to hear.
            let _ = self.send(Request::Hurry);
        }
    }

    /// Waits for a place for a request that brings no record, and takes it.
    pub(super) async fn ask(&self, request: Request) -> Result<()> {
        match self.asks.acquire().await {
            Ok(place) => place.forget(),
            Err(_) => return Err(self.refusal()),
        }
        self.send(request)
    }

    /// Puts a request that brings no record into the queue, and refuses it if that is closed.
    pub(super) fn send(&self, request: Request) -> Result<()> {
        let state = self.lock();
        if state.closed {
            return Err(self.refusal());
        }
        self.put(state, request);
        Ok(())
    }

    fn put(&self, mut state: MutexGuard<'_, State>, request: Request) {
        state.requests.push_back(request);
        self.len.store(state.requests.len(), Ordering::Relaxed);
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }

    pub(super) fn used(&self) -> Cost {
        self.lock().used
    }

    /// What an append takes: at most everything, so that the largest one still gets through.
    pub(super) fn place_of(&self, cost: Cost) -> Cost {
        Cost {
            bytes: cost.bytes.min(self.size.bytes),
            records: cost.records.min(self.size.records),
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
        state.used -= places;
        let is_waited_for = state.waiting > 0;
        // Whoever is woken may come here at once.
        drop(state);
        if is_waited_for {
            self.room.notify_one();
        }
    }

    pub(super) fn release_asks(&self, count: usize) {
        self.asks.add_permits(count);
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.lock().waiting > 0
    }

    pub(super) fn note_hurry(&self) {
        self.hurried.store(false, Ordering::Release);
    }
}

/// One caller who stands in line, until it has a place or goes away.
struct InLine<'a>(&'a Shared);

impl<'a> InLine<'a> {
    fn note(shared: &'a Shared) -> Self {
        shared.lock().waiting += 1;
        Self(shared)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// How many requests that bring no record may wait.
const ASKS: usize = 1024;
