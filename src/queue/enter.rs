//! The way into the queue: requests that enter, and the futures of their callers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::queue::acks::Ack;
use crate::queue::append::Append;
use crate::queue::cost::Cost;
use crate::queue::order::Order;
use crate::queue::request::Request;
use crate::queue::shared::{Shared, State, controls};
use crate::queue::wait_list::{Turn, WaitList};

/// A request that may have to wait before it is in the queue.
pub(super) trait Enter {
    /// What its caller gets once it is in the queue.
    type Entered;

    fn list(state: &mut State) -> &mut WaitList;
    /// Refuses a request that must not enter, even if there is room.
    fn check(&self) -> Result<()>;
    /// The room that it takes in a queue of this size.
    fn place(&self, size: Cost) -> Cost;
    /// Adds the request to the end of the queue. It may take the caller's waker.
    fn put_in(&mut self, state: &mut State, waker: &mut Option<Waker>) -> Self::Entered;
}

/// An append whose caller gets a future of the answer.
impl Enter for Append {
    type Entered = Ack;

    fn list(state: &mut State) -> &mut WaitList {
        &mut state.appends
    }

    fn check(&self) -> Result<()> {
        self.order.as_ref().map_or(Ok(()), Order::check)
    }

    fn place(&self, size: Cost) -> Cost {
        self.cost().at_most(size)
    }

    fn put_in(&mut self, state: &mut State, _: &mut Option<Waker>) -> Ack {
        let ack = state.number(self.cost().records, self.durability);
        self.leave_frames(&mut state.queued.frames);
        state.queued.push_append(self.note());
        ack
    }
}

/// An append whose caller keeps waiting for the answer.
pub(super) struct Awaited(Append);

impl Enter for Awaited {
    type Entered = Ack;

    fn list(state: &mut State) -> &mut WaitList {
        Append::list(state)
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn place(&self, size: Cost) -> Cost {
        self.0.place(size)
    }

    fn put_in(&mut self, state: &mut State, waker: &mut Option<Waker>) -> Ack {
        let mut ack = self.0.put_in(state, &mut None);
        waker
            .take()
            .into_iter()
            .for_each(|waker| ack.wake_with(waker));
        ack
    }
}

/// A request without records.
impl Enter for Option<Request> {
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

    fn put_in(&mut self, state: &mut State, _: &mut Option<Waker>) {
        state.queued.push(self.take().expect("it enters once"));
    }
}

/// Why a request is not in the queue.
pub(super) enum NotEntered {
    /// There is no room for it now.
    Full,
    /// It must not enter. If it has a turn in the wait list, that must be given up.
    Refused(Error),
}

/// The future of a caller that enters the queue.
pub(super) struct Entering<'a, E: Enter> {
    shared: &'a Shared,
    entrant: E,
    turn: Turn,
}

impl<'a, E: Enter> Entering<'a, E> {
    pub(super) fn new(shared: &'a Shared, entrant: E) -> Self {
        Self {
            shared,
            entrant,
            turn: Turn::NEW,
        }
    }

    /// Adds the request to the queue, or leaves the waker in the wait list.
    fn poll_enter(&mut self, waker: Option<Waker>) -> Poll<Result<E::Entered>> {
        match self.shared.enter(&mut self.entrant, &mut self.turn, waker) {
            Ok(entered) => {
                self.turn = Turn::NEW;
                Poll::Ready(Ok(entered))
            }
            Err(NotEntered::Refused(error)) => Poll::Ready(Err(error)),
            Err(NotEntered::Full) => Poll::Pending,
        }
    }
}

impl<E: Enter> Drop for Entering<'_, E> {
    fn drop(&mut self) {
        if self.turn != Turn::NEW {
            self.shared.leave::<E>(self.turn);
        }
    }
}

impl<E: Enter + Unpin> Future for Entering<'_, E> {
    type Output = Result<E::Entered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Usually there is room, and no waker is needed.
        if self.turn == Turn::NEW
            && let ready @ Poll::Ready(_) = self.poll_enter(None)
        {
            return ready;
        }
        self.poll_enter(Some(context.waker().clone()))
    }
}

/// The future of a caller that enters the queue and waits for the answer. It leaves its waker
/// together with its frames.
pub(super) struct Appending<'a> {
    entering: Entering<'a, Awaited>,
    ack: Option<Ack>,
}

/// The answer, or why the append was not submitted.
pub(super) type Appended = Result<Result<Lsn>>;

impl<'a> Appending<'a> {
    pub(super) fn new(shared: &'a Shared, append: Append) -> Self {
        Self {
            entering: Entering::new(shared, Awaited(append)),
            ack: None,
        }
    }
}

impl Future for Appending<'_> {
    type Output = Appended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Appended> {
        if let Some(ack) = &mut self.ack {
            return Pin::new(ack).poll(context).map(Ok);
        }
        let waker = Some(context.waker().clone());
        let is_idle = self.entering.shared.is_idle();
        let entered = std::task::ready!(self.entering.poll_enter(waker));
        let mut ack = match entered {
            Ok(ack) => ack,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let busy_poll = self.entering.entrant.0.busy_poll;
        if is_idle && let Some(answer) = ack.look_for(busy_poll) {
            return Poll::Ready(Ok(answer));
        }
        self.ack = Some(ack);
        Poll::Pending
    }
}

#[cfg(all(test, not(tidewal_shuttle)))]
mod tests;
