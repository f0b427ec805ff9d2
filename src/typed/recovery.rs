//! Reading values back.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::error::{CodecError, Error, Result};
use crate::lsn::Lsn;
use crate::record::Record;
use crate::recovery::{Reader, Recovery, RecoveryReport};
use crate::typed::encoding::decode;
use crate::typed::{Logged, TypedWal};

impl Recovery {
    /// This recovery as one of values: see [`typed`](crate::typed).
    pub fn typed<T: Logged>(self) -> TypedRecovery<T> {
        TypedRecovery(Decoded::new(self))
    }
}

impl Reader {
    /// This reader as one of values: see [`typed`](crate::typed).
    pub fn typed<T: Logged>(self) -> TypedReader<T> {
        TypedReader(Decoded::new(self))
    }
}

/// A log that is being read back: a stream of its values and their LSNs, oldest first. Made by
/// [`Recovery::typed`](crate::Recovery::typed).
///
/// It is a [`Recovery`] whose records are decoded. The stream ends after its first error.
///
/// # Examples
///
/// See [`typed`](crate::typed).
#[must_use = "a recovery reads nothing unless it is polled"]
pub struct TypedRecovery<T>(Decoded<Recovery, T>);

impl<T: Logged> TypedRecovery<T> {
    /// Like [`Recovery::try_next`], with the value in place of its bytes.
    ///
    /// # Errors
    ///
    /// The errors of [`Recovery::try_next`], and [`Error::Undecodable`] if a record is intact but
    /// cannot be decoded as a `T`. After an error the stream has ended.
    pub async fn try_next(&mut self) -> Result<Option<(Lsn, T)>> {
        self.0.next().await
    }

    /// Like [`Recovery::into_wal`].
    ///
    /// Records that the stream has not read yet are skipped without being decoded.
    ///
    /// # Errors
    ///
    /// The errors of [`Recovery::into_wal`], and the [`Error::Undecodable`] that the stream has
    /// reported, because a service must not continue with a state that lacks a record. If the codec
    /// panicked, the record counts as undecodable.
    pub async fn into_wal(self) -> Result<TypedWal<T>> {
        match self.0.failure() {
            None => Ok(self.0.source.into_wal().await?.typed()),
            Some(failure) => Err(failure),
        }
    }
}

impl<T> TypedRecovery<T> {
    /// What was read so far: [`Recovery::report`].
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        self.0.source.report()
    }

    /// The rest of the log, without its type.
    ///
    /// After [`Error::Undecodable`] it continues with the record after that one. An operator who
    /// knows what the record means can leave it out in this way.
    pub fn into_untyped(self) -> Recovery {
        self.0.source
    }
}

impl<T: Logged> Stream for TypedRecovery<T> {
    type Item = Result<(Lsn, T)>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context)
    }
}

impl<T> fmt::Debug for TypedRecovery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedRecovery")
            .field(&self.0.source)
            .finish()
    }
}

/// A log that is open for reading only: a stream of its values and their LSNs, oldest first. Made
/// by [`Reader::typed`](crate::Reader::typed).
///
/// It is a [`Reader`] whose records are decoded. The stream ends after its first error.
#[must_use = "a reader reads nothing unless it is polled"]
pub struct TypedReader<T>(Decoded<Reader, T>);

impl<T: Logged> TypedReader<T> {
    /// Like [`Reader::try_next`], with the value in place of its bytes.
    ///
    /// # Errors
    ///
    /// The errors of [`TypedRecovery::try_next`].
    pub async fn try_next(&mut self) -> Result<Option<(Lsn, T)>> {
        self.0.next().await
    }
}

impl<T> TypedReader<T> {
    /// What was read so far: [`Reader::report`].
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        self.0.source.report()
    }

    /// The rest of the log, without its type: see [`TypedRecovery::into_untyped`].
    pub fn into_untyped(self) -> Reader {
        self.0.source
    }
}

impl<T: Logged> Stream for TypedReader<T> {
    type Item = Result<(Lsn, T)>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context)
    }
}

impl<T> fmt::Debug for TypedReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedReader").field(&self.0.source).finish()
    }
}

/// A stream of records, decoded.
pub(super) struct Decoded<S, T> {
    pub(super) source: S,
    /// The record that was not a `T`. Nothing is delivered after it.
    failure: Option<Error>,
    /// The record that is being decoded. It stays here if the codec panics.
    decoding: Option<Lsn>,
    value: PhantomData<fn() -> T>,
}

impl<S, T> Decoded<S, T> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            failure: None,
            decoding: None,
            value: PhantomData,
        }
    }

    /// The error that ended the stream, if a record could not be decoded.
    fn failure(&self) -> Option<Error> {
        let panicked = self.decoding.map(|lsn| Error::Undecodable {
            lsn,
            source: CodecError::new(Panicked.into()),
        });
        self.failure.clone().or(panicked)
    }
}

/// The error of a codec that panicked.
#[derive(Debug, thiserror::Error)]
#[error("the codec panicked")]
struct Panicked;

impl<S, T> Decoded<S, T>
where
    S: Stream<Item = Result<Record>> + Unpin,
    T: Logged,
{
    pub(super) async fn next(&mut self) -> Result<Option<(Lsn, T)>> {
        poll_fn(|context| self.poll_next(context)).await.transpose()
    }

    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<(Lsn, T)>>> {
        if self.failure.is_some() || self.decoding.is_some() {
            return Poll::Ready(None);
        }
        let record = ready!(Pin::new(&mut self.source).poll_next(context));
        let Some(record) = record.transpose()? else {
            return Poll::Ready(None);
        };
        self.decoding = Some(record.lsn);
        let value = decode(record);
        self.decoding = None;
        self.failure = value.as_ref().err().cloned();
        Poll::Ready(Some(value))
    }
}
