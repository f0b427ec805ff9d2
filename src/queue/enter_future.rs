//! The futures of callers that enter the queue.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::error::Result;
use crate::lsn::Lsn;
use crate::queue::acks::Ack;
use crate::queue::append::Append;
use crate::queue::enter::{Awaited, Enter, NotEntered};
use crate::queue::shared::Shared;
use crate::queue::wait_list::Turn;

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
