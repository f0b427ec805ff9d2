//! Appends of values that depend on each other.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::{Error, Result, TrySubmitError};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::ordered::OrderedAppender;
use crate::typed::encoding::{encode, encode_all};
use crate::typed::{Logged, TypedWal};
use crate::wal::{PendingAppend, PendingBatch};

impl<T: Logged> TypedWal<T> {
    /// A handle for appends that depend on each other: see [`OrderedAppender`].
    #[must_use]
    pub fn ordered(&self) -> TypedOrderedAppender<T> {
        TypedOrderedAppender {
            appender: self.untyped().ordered(),
            value: PhantomData,
        }
    }
}

/// An [`OrderedAppender`] whose payloads are encoded. Made by [`TypedWal::ordered`].
///
/// Every method does what the method of the same name of [`OrderedAppender`] does, with the same
/// cancel safety. [`Error::Encode`] is a refusal like any other: nothing after it is appended.
pub struct TypedOrderedAppender<T> {
    appender: OrderedAppender,
    value: PhantomData<fn(&T)>,
}

impl<T: Logged> TypedOrderedAppender<T> {
    /// Like [`OrderedAppender::append`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`OrderedAppender::append`], and [`Error::Encode`].
    pub async fn append(&self, value: &T) -> Result<Lsn> {
        self.submit(value).await?.await
    }

    /// Like [`OrderedAppender::append_batch`], for values or references to values.
    ///
    /// # Errors
    ///
    /// The errors of [`OrderedAppender::append_batch`], and [`Error::Encode`].
    pub async fn append_batch<I>(&self, values: I) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Borrow<T>,
    {
        self.submit_batch(values).await?.await
    }

    /// Like [`OrderedAppender::submit`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`OrderedAppender::submit`], and [`Error::Encode`].
    pub async fn submit(&self, value: &T) -> Result<PendingAppend> {
        self.appender.submit(self.encode(value)?).await
    }

    /// Like [`OrderedAppender::submit_with`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`submit`](Self::submit).
    pub async fn submit_with(&self, value: &T, durability: Durability) -> Result<PendingAppend> {
        let payload = self.encode(value)?;
        self.appender.submit_with(payload, durability).await
    }

    /// Like [`OrderedAppender::submit_batch`], for values or references to values.
    ///
    /// # Errors
    ///
    /// The errors of [`OrderedAppender::submit_batch`], and [`Error::Encode`].
    pub async fn submit_batch<I>(&self, values: I) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Borrow<T>,
    {
        let payloads = self.appender.note(encode_all(values))?;
        self.appender.submit_batch(payloads).await
    }

    /// Like [`OrderedAppender::try_submit`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`TypedWal::try_submit`], and [`Error::EarlierRefused`].
    pub fn try_submit(&self, value: &T) -> Result<PendingAppend, TrySubmitError> {
        self.appender.try_submit(self.encode(value)?)
    }

    fn encode(&self, value: &T) -> Result<Bytes> {
        self.appender.note(encode(value))
    }
}

impl<T> TypedOrderedAppender<T> {
    /// Like [`OrderedAppender::refusal`].
    #[must_use]
    pub fn refusal(&self) -> Option<&Error> {
        self.appender.refusal()
    }

    /// The same appender, without its type.
    #[must_use]
    pub fn untyped(&self) -> &OrderedAppender {
        &self.appender
    }
}

impl<T> Clone for TypedOrderedAppender<T> {
    fn clone(&self) -> Self {
        Self {
            appender: self.appender.clone(),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for TypedOrderedAppender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedOrderedAppender")
            .field(&self.appender)
            .finish()
    }
}
