//! Appends that depend on each other.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::{Error, Result, TrySubmitError};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::queue::ordered::Order;
use crate::wal::{PendingAppend, PendingBatch, Wal};

impl Wal {
    /// A handle for appends that depend on each other: see [`OrderedAppender`].
    ///
    /// Any number of them, and of other producers, may use a log at the same time.
    #[must_use]
    pub fn ordered(&self) -> OrderedAppender {
        OrderedAppender {
            wal: self.clone(),
            order: Order::default(),
        }
    }
}

/// A handle for appends that depend on each other: once one is refused, all later ones are. Made by
/// [`Wal::ordered`].
///
/// A state machine validates each command against its state, which already includes the effects of
/// commands that are submitted and not yet durable. If one of those is refused because the disk is
/// full, the next one was validated against something that never happened. It may be smaller, and
/// still fit. Through this handle it is refused too, with [`Error::EarlierRefused`], even if it was
/// already in the queue. Of the appends of one handle, a recovery always delivers a prefix.
///
/// After the first refusal the handle accepts nothing more. Its owner waits for the outstanding
/// answers, rolls back the effects of what was refused (always the end of what was submitted), and
/// continues with a new handle.
///
/// **What is a refusal?** Every error that says that a record is certainly not appended, from any
/// of the methods or from the future that they return. Besides [`Error::StorageFull`] this includes
/// [`Error::TooLarge`], so check the size of what clients send first. What was submitted before the
/// refused append is not affected. Two cases are no refusal: [`TrySubmitError::Full`] gives the
/// payload back, and nothing was submitted. And a [`submit`](Self::submit) or
/// [`append`](Self::append) that is dropped before it has a place in the queue was never submitted.
///
/// A handle is cheap to clone. All clones are one sequence, in the order in which their submissions
/// return. If one clone is refused, what waits for room in the queue through another clone is
/// refused too.
///
/// # Examples
///
/// A ledger that never pays out more than it holds, whatever the disk does:
///
/// ```
/// use tidewal::{OrderedAppender, PendingAppend, Wal};
///
/// struct Ledger {
///     /// With everything that was submitted.
///     balance: u64,
///     appender: OrderedAppender,
/// }
///
/// impl Ledger {
///     /// Called under the lock that the ledger is behind. There is no await between `submit` and the
///     /// change, so that a caller who goes away leaves both or none.
///     async fn withdraw(&mut self, amount: u64) -> tidewal::Result<Option<PendingAppend>> {
///         if amount > self.balance {
///             return Ok(None);
///         }
///         let pending = self.appender.submit(format!("-{amount}")).await?;
///         self.balance -= amount;
///         Ok(Some(pending))
///     }
///
///     /// Called once every answer is there, with what was refused.
///     fn roll_back(&mut self, wal: &Wal, refused: u64) {
///         self.balance += refused;
///         self.appender = wal.ordered();
///     }
/// }
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let wal = Wal::open(dir.path()).await?;
/// let mut ledger = Ledger { balance: 100, appender: wal.ordered() };
/// let first = ledger.withdraw(60).await?.expect("there is enough");
/// // It counts already, although it is not on disk.
/// assert!(ledger.withdraw(60).await?.is_none());
/// match first.await {
///     Ok(lsn) => println!("paid, record {lsn}"),
///     Err(error) if error.is_outcome_unknown() => return Err(error), // reopen the log
///     Err(_) => ledger.roll_back(&wal, 60),
/// }
/// # wal.close().await?;
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OrderedAppender {
    wal: Wal,
    order: Order,
}

impl OrderedAppender {
    /// Like [`Wal::append`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::append`], and [`Error::EarlierRefused`].
    ///
    /// # Cancel safety
    ///
    /// Like [`Wal::append`]: if the future is dropped before it completes, the record may or may
    /// not be appended.
    pub async fn append(&self, payload: impl Into<Bytes>) -> Result<Lsn> {
        self.append_with(payload, self.wal.durability()).await
    }

    /// Like [`Wal::append_with`].
    ///
    /// # Errors
    ///
    /// The errors of [`append`](Self::append).
    ///
    /// # Cancel safety
    ///
    /// Like [`Wal::append`]: if the future is dropped before it completes, the record may or may
    /// not be appended.
    pub async fn append_with(
        &self,
        payload: impl Into<Bytes>,
        durability: Durability,
    ) -> Result<Lsn> {
        self.order.check()?;
        let order = Some(&self.order);
        let appended = self.wal.append_in(order, payload.into(), durability).await;
        self.note(appended)?
    }

    /// Like [`Wal::append_batch`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::append_batch`], and [`Error::EarlierRefused`].
    ///
    /// # Cancel safety
    ///
    /// Like [`Wal::append_batch`]: if the future is dropped before it completes, the batch may or
    /// may not be appended, but never a part of it.
    pub async fn append_batch<I>(&self, payloads: I) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.order.check()?;
        let (order, durability) = (Some(&self.order), self.wal.durability());
        let appended = self.wal.append_batch_in(order, payloads, durability).await;
        self.note(appended)?
    }

    /// Like [`Wal::submit`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::submit`], and [`Error::EarlierRefused`].
    ///
    /// # Cancel safety
    ///
    /// Like [`Wal::submit`]: if this future is dropped before it completes, nothing was appended.
    pub async fn submit(&self, payload: impl Into<Bytes>) -> Result<PendingAppend> {
        self.submit_with(payload, self.wal.durability()).await
    }

    /// Like [`Wal::submit_with`].
    ///
    /// # Errors
    ///
    /// The errors of [`submit`](Self::submit).
    ///
    /// # Cancel safety
    ///
    /// Like [`Wal::submit`]: if this future is dropped before it completes, nothing was appended.
    pub async fn submit_with(
        &self,
        payload: impl Into<Bytes>,
        durability: Durability,
    ) -> Result<PendingAppend> {
        self.order.check()?;
        let order = Some(&self.order);
        let submitted = self.wal.submit_in(order, payload.into(), durability).await;
        self.note(submitted)
    }

    /// Like [`Wal::submit_batch`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::submit_batch`], and [`Error::EarlierRefused`].
    ///
    /// # Cancel safety
    ///
    /// Like [`Wal::submit`]: if this future is dropped before it completes, nothing was appended.
    pub async fn submit_batch<I>(&self, payloads: I) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.submit_batch_with(payloads, self.wal.durability())
            .await
    }

    /// Like [`Wal::submit_batch_with`].
    ///
    /// # Errors
    ///
    /// The errors of [`submit_batch`](Self::submit_batch).
    ///
    /// # Cancel safety
    ///
    /// Like [`Wal::submit`]: if this future is dropped before it completes, nothing was appended.
    pub async fn submit_batch_with<I>(
        &self,
        payloads: I,
        durability: Durability,
    ) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.order.check()?;
        let order = Some(&self.order);
        let submitted = self.wal.submit_batch_in(order, payloads, durability).await;
        self.note(submitted)
    }

    /// Like [`Wal::try_submit`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::try_submit`], and [`Error::EarlierRefused`]. After
    /// [`TrySubmitError::Full`] the handle can be used as before.
    pub fn try_submit(&self, payload: impl Into<Bytes>) -> Result<PendingAppend, TrySubmitError> {
        self.order.check()?;
        let submitted = self.wal.try_submit_in(Some(&self.order), payload.into());
        if let Err(TrySubmitError::Refused(error)) = &submitted {
            self.wal.end(&self.order, error);
        }
        submitted
    }

    /// The first refusal, if there was one. The handle then accepts nothing more.
    #[must_use]
    pub fn refusal(&self) -> Option<&Error> {
        self.order.cause()
    }

    /// The log.
    #[must_use]
    pub fn wal(&self) -> &Wal {
        &self.wal
    }

    /// Ends the sequence if this is an error.
    pub(crate) fn note<T>(&self, submitted: Result<T>) -> Result<T> {
        if let Err(error) = &submitted {
            self.wal.end(&self.order, error);
        }
        submitted
    }
}
