//! Answers to requests without records.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::storage::Synced;

/// The obligation to answer one request.
///
/// Every way of answering consumes it, and dropping it answers [`Error::Interrupted`], so no path
/// through the writer can forget a caller. An answer with `Ok` needs a receipt.
pub(crate) struct Completion<T>(Option<oneshot::Sender<Result<T>>>);

/// The caller's end of a [`Completion`]: a future of the answer.
#[derive(Debug)]
pub(crate) struct Reply<T>(oneshot::Receiver<Result<T>>);

impl<T> Future for Reply<T> {
    type Output = Result<T>;

    /// A completion answers however it ends. Only a process that is shutting down loses an answer.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(Error::Interrupted)))
    }
}

impl<T> Completion<T> {
    pub(crate) fn new() -> (Self, Reply<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), Reply(receiver))
    }

    /// Answers with an error.
    pub(crate) fn fail(self, error: Error) {
        self.answer(Err(error));
    }

    fn answer(mut self, result: Result<T>) {
        if let Some(sender) = self.0.take() {
            // An error means that the caller was dropped.
            let _ = sender.send(result);
        }
    }
}

impl Completion<Lsn> {
    /// Answers that everything up to `lsn` is on disk.
    pub(crate) fn durable(self, lsn: Lsn, _: Synced) {
        self.answer(Ok(lsn));
    }
}

impl Completion<()> {
    /// Answers that the request is done, durably.
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
