//! The writer's answers: each request gets exactly one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::storage::{Synced, Wrote};

/// The duty to answer one request.
///
/// Every way of answering consumes it, and dropping it answers [`Error::Interrupted`], so that no path
/// through the writer can forget a caller. Good news needs a receipt: see [`Completion::durable`] and
/// [`Completion::written`].
pub(crate) struct Completion<T>(Option<oneshot::Sender<Result<T>>>);

/// The caller's side of a [`Completion`]: a future of what it is answered with.
#[derive(Debug)]
pub(crate) struct Answer<T>(oneshot::Receiver<Result<T>>);

impl<T> Future for Answer<T> {
    type Output = Result<T>;

    /// A completion answers however it ends; only a process that is coming down loses an answer.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(Error::Interrupted)))
    }
}

impl<T> Completion<T> {
    pub(crate) fn new() -> (Self, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), Answer(receiver))
    }

    /// Answers with an error.
    pub(crate) fn fail(self, error: Error) {
        self.answer(Err(error));
    }

    /// Whether the caller has gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn answer(mut self, result: Result<T>) {
        if let Some(sender) = self.0.take() {
            // A caller that has gone does not want to know.
            let _ = sender.send(result);
        }
    }
}

impl Completion<Lsn> {
    /// Answers that everything up to `lsn` is on disk. This is the only place that can.
    pub(crate) fn durable(self, lsn: Lsn, _: Synced) {
        self.answer(Ok(lsn));
    }

    /// Answers that everything up to `lsn` is with the operating system, to a caller who asked for
    /// [`Durability::Written`](crate::Durability::Written) only.
    pub(crate) fn written(self, lsn: Lsn, _: Wrote) {
        self.answer(Ok(lsn));
    }
}

impl Completion<()> {
    /// Answers that what was asked for is done, for good.
    pub(crate) fn done(self, _: Synced) {
        self.answer(Ok(()));
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(Err(Error::Interrupted));
        }
    }
}
