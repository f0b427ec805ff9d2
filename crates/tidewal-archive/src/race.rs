//! Two futures, of which the first to be ready counts.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Resolves to whichever of the two is ready first; on a tie to the first. The other one is dropped.
pub(crate) async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(value),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await
}
