//! The handle, for values.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use crate::error::{Result, TrySubmitError};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::stats::Stats;
use crate::typed::Logged;
use crate::typed::encoding::{encode, encode_all};
use crate::wal::{DurableLsns, PendingAppend, PendingBatch, Wal};

impl Wal {
    /// This log as one of values: see [`typed`](crate::typed).
    ///
    /// For logs with nothing to replay. Otherwise begin with
    /// [`Recovery::typed`](crate::Recovery::typed).
    #[must_use]
    pub fn typed<T: Logged>(self) -> TypedWal<T> {
        TypedWal {
            wal: self,
            value: PhantomData,
        }
    }
}

/// A log of values of one type, open for appending. Made by
/// [`TypedRecovery::into_wal`](crate::typed::TypedRecovery::into_wal) or [`Wal::typed`].
///
/// It is a [`Wal`] whose payloads are encoded, and as cheap to clone. Every method does what the
/// method of the same name of [`Wal`] does, with the same cancel safety. A value is encoded in the
/// caller's task. If that fails, the error is [`Error::Encode`](crate::Error::Encode), and nothing
/// is appended.
///
/// # Examples
///
/// See [`typed`](crate::typed).
pub struct TypedWal<T> {
    wal: Wal,
    value: PhantomData<fn(&T)>,
}

impl<T: Logged> TypedWal<T> {
    /// Like [`Wal::append`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::append`], and [`Error::Encode`](crate::Error::Encode).
    pub async fn append(&self, value: &T) -> Result<Lsn> {
        self.wal.append(encode(value)?).await
    }

    /// Like [`Wal::append_with`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`append`](Self::append).
    pub async fn append_with(&self, value: &T, durability: Durability) -> Result<Lsn> {
        self.wal.append_with(encode(value)?, durability).await
    }

    /// Like [`Wal::append_batch`], for values or references to values. If one of them cannot be encoded,
    /// none is appended.
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::append_batch`], and [`Error::Encode`](crate::Error::Encode).
    pub async fn append_batch<I>(&self, values: I) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Borrow<T>,
    {
        self.submit_batch(values).await?.await
    }

    /// Like [`Wal::append_batch_with`], for values or references to values.
    ///
    /// # Errors
    ///
    /// The errors of [`append_batch`](Self::append_batch).
    pub async fn append_batch_with<I>(
        &self,
        values: I,
        durability: Durability,
    ) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Borrow<T>,
    {
        self.submit_batch_with(values, durability).await?.await
    }

    /// Like [`Wal::submit`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::submit`], and [`Error::Encode`](crate::Error::Encode).
    pub async fn submit(&self, value: &T) -> Result<PendingAppend> {
        self.wal.submit(encode(value)?).await
    }

    /// Like [`Wal::submit_with`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`submit`](Self::submit).
    pub async fn submit_with(&self, value: &T, durability: Durability) -> Result<PendingAppend> {
        self.wal.submit_with(encode(value)?, durability).await
    }

    /// Like [`Wal::submit_batch`], for values or references to values. If one of them cannot be encoded,
    /// none is submitted.
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::submit_batch`], and [`Error::Encode`](crate::Error::Encode).
    pub async fn submit_batch<I>(&self, values: I) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Borrow<T>,
    {
        self.wal.submit_batch(encode_all(values)?).await
    }

    /// Like [`Wal::submit_batch_with`], for values or references to values.
    ///
    /// # Errors
    ///
    /// The errors of [`submit_batch`](Self::submit_batch).
    pub async fn submit_batch_with<I>(
        &self,
        values: I,
        durability: Durability,
    ) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Borrow<T>,
    {
        let payloads = encode_all(values)?;
        self.wal.submit_batch_with(payloads, durability).await
    }

    /// Like [`Wal::try_submit`], for a value.
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::try_submit`], and [`Error::Encode`](crate::Error::Encode).
    /// [`TrySubmitError::Full`] gives back the encoded value, which [`untyped`](Self::untyped) can
    /// submit.
    pub fn try_submit(&self, value: &T) -> Result<PendingAppend, TrySubmitError> {
        self.wal.try_submit(encode(value)?)
    }
}

impl<T> TypedWal<T> {
    /// Like [`Wal::sync`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::sync`].
    pub async fn sync(&self) -> Result<Lsn> {
        self.wal.sync().await
    }

    /// The last LSN that is durable: [`Wal::durable_lsn`].
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.wal.durable_lsn()
    }

    /// Returns a stream of the durable LSN: [`Wal::subscribe_durable`].
    pub fn subscribe_durable(&self) -> DurableLsns {
        self.wal.subscribe_durable()
    }

    /// Like [`Wal::truncate_before`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::truncate_before`].
    pub async fn truncate_before(&self, before: Lsn) -> Result<()> {
        self.wal.truncate_before(before).await
    }

    /// Figures about the log since it was opened: [`Wal::stats`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.wal.stats()
    }

    /// Like [`Wal::close`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::close`].
    pub async fn close(self) -> Result<()> {
        self.wal.close().await
    }

    /// The same log, without its type.
    ///
    /// Append to it only what the codec of `T` makes of a value.
    #[must_use]
    pub fn untyped(&self) -> &Wal {
        &self.wal
    }
}

impl<T> Clone for TypedWal<T> {
    fn clone(&self) -> Self {
        Self {
            wal: self.wal.clone(),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for TypedWal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedWal").field(&self.wal).finish()
    }
}
