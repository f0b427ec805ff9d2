//! Following a log, for values.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::Result;
use crate::follow::Follower;
use crate::lsn::Lsn;
use crate::typed::recovery::Decoded;
use crate::typed::{Logged, TypedWal};

impl Follower {
    /// This follower as one of values: see [`typed`](crate::typed).
    pub fn typed<T: Logged>(self) -> TypedFollower<T> {
        TypedFollower(Decoded::new(self))
    }
}

impl<T: Logged> TypedWal<T> {
    /// Like [`Wal::follow`](crate::Wal::follow), for values.
    pub fn follow(&self, from: Lsn) -> TypedFollower<T> {
        self.untyped().follow(from).typed()
    }
}

/// A stream of the durable values of an open log and their LSNs, in order and each exactly once. Made by
/// [`TypedWal::follow`].
///
/// It is a [`Follower`] whose records are decoded. The stream ends after its first error.
///
/// # Cancel safety
///
/// [`try_next`](Self::try_next) and the stream are cancel safe: if the future is dropped before it
/// completes, no value is lost.
#[must_use = "a follower reads nothing unless it is polled"]
pub struct TypedFollower<T>(Decoded<Follower, T>);

impl<T: Logged> TypedFollower<T> {
    /// Like [`Follower::try_next`], with the value in place of its bytes.
    ///
    /// # Errors
    ///
    /// The errors of [`Follower::try_next`], and [`Error::Undecodable`](crate::Error::Undecodable)
    /// if a record is intact but cannot be decoded as a `T`.
    pub async fn try_next(&mut self) -> Result<Option<(Lsn, T)>> {
        self.0.next().await
    }
}

impl<T> TypedFollower<T> {
    /// This follower without its type. After an undecodable record it continues with the next one.
    pub fn into_untyped(self) -> Follower {
        self.0.source
    }
}

impl<T: Logged> Stream for TypedFollower<T> {
    type Item = Result<(Lsn, T)>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context)
    }
}

impl<T> fmt::Debug for TypedFollower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedFollower")
            .field(&self.0.source)
            .finish()
    }
}
