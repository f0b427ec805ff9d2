//! The way into the queue: what each kind of request does there.

use std::task::Waker;

use crate::error::{Error, Result};
use crate::queue::acks::Ack;
use crate::queue::append::Append;
use crate::queue::cost::Cost;
use crate::queue::ordered::Order;
use crate::queue::request::Request;
use crate::queue::state::{State, controls};
use crate::queue::wait_list::WaitList;

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
pub(super) struct Awaited(pub(super) Append);

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
