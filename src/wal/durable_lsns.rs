//! The durable LSN as a stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::watch;

use crate::lsn::Lsn;
use crate::queue::Progress;

/// A stream of the durable LSN that ends with the log.
///
/// It yields the latest value only, so a slow reader skips values and never falls behind. The first
/// item is the value at the time of the first poll.
///
/// # Cancel safety
///
/// [`next`](Self::next) and the stream are cancel safe: the latest value is never missed.
#[must_use = "streams do nothing unless polled"]
pub struct DurableLsns {
    progress: watch::Receiver<Progress>,
    last: Option<Lsn>,
    changed: Changed,
}

/// A wait for the next change. It owns the receiver that it waits on.
type Changed = Pin<Box<dyn Future<Output = Result<(), watch::error::RecvError>> + Send + Sync>>;

impl DurableLsns {
    pub(super) fn new(progress: watch::Receiver<Progress>) -> Self {
        let changed = changed(progress.clone());
        Self {
            progress,
            last: None,
            changed,
        }
    }

    /// The durable LSN once it differs from the last one returned, or `None` once the log has
    /// ended.
    pub async fn next(&mut self) -> Option<Lsn> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The new value, if it moved since the last item, and whether the log has ended.
    fn movement(&mut self) -> (Option<Lsn>, bool) {
        let progress = self.progress.borrow_and_update();
        let (durable, ended) = (progress.durable, progress.end.is_some());
        let moved = self.last != Some(durable);
        self.last = Some(durable);
        (moved.then_some(durable), ended)
    }
}

impl Stream for DurableLsns {
    type Item = Lsn;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Lsn>> {
        loop {
            match self.movement() {
                (Some(lsn), _) => return Poll::Ready(Some(lsn)),
                (None, true) => return Poll::Ready(None),
                (None, false) => {}
            }
            match std::task::ready!(self.changed.as_mut().poll(context)) {
                Ok(()) => self.changed = changed(self.progress.clone()),
                Err(_) => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for DurableLsns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableLsns")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

fn changed(mut progress: watch::Receiver<Progress>) -> Changed {
    Box::pin(async move { progress.changed().await })
}
