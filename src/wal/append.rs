//! The calls that append.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::{Result, TrySubmitError};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::wal::{PendingAppend, PendingBatch, Wal};

/// Appending, and submitting for callers that await the answers later.
impl Wal {
    /// Appends a record and waits until it is durable, or written, according to the options.
    ///
    /// The same as [`submit`](Self::submit) followed by awaiting the [`PendingAppend`].
    ///
    /// # Errors
    ///
    /// The record is certainly not appended after [`Error::Closed`](crate::Error::Closed),
    /// [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::StorageFull`](crate::Error::StorageFull),
    /// [`Error::SegmentUnavailable`](crate::Error::SegmentUnavailable) and
    /// [`Error::TooLarge`](crate::Error::TooLarge). The outcome is unknown after
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) and
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the record may or may not be appended. Other
    /// callers are not affected. Use [`submit`](Self::submit) to tell the two cases apart.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let wal = tidewal::Wal::open(dir.path()).await?;
    /// let lsn = wal.append(b"bytes".as_slice()).await?;
    /// assert!(wal.durable_lsn() >= lsn);
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn append(&self, payload: impl Into<Bytes>) -> Result<Lsn> {
        self.append_with(payload, self.shared.durability).await
    }

    /// Like [`append`](Self::append), with a durability for this record only.
    ///
    /// # Errors
    ///
    /// The errors of [`append`](Self::append).
    ///
    /// # Cancel safety
    ///
    /// Like [`append`](Self::append): if the future is dropped before it completes, the record may
    /// or may not be appended.
    pub async fn append_with(
        &self,
        payload: impl Into<Bytes>,
        durability: Durability,
    ) -> Result<Lsn> {
        self.append_in(None, payload.into(), durability).await?
    }

    /// Appends several records as one: after a crash, all of them are in the log or none. Returns
    /// their LSNs, which are consecutive.
    ///
    /// # Errors
    ///
    /// The errors of [`append`](Self::append). [`Error::EmptyBatch`](crate::Error::EmptyBatch) if
    /// there is no payload. [`Error::TooLarge`](crate::Error::TooLarge) also if the batch does not
    /// fit into one segment.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the batch may or may not be appended, but
    /// never a part of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let wal = tidewal::Wal::open(dir.path()).await?;
    /// let lsns = wal.append_batch(["debit alice", "credit bob"]).await?;
    /// assert_eq!(lsns.start().next(), *lsns.end());
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn append_batch<I>(&self, payloads: I) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.append_batch_in(None, payloads, self.shared.durability)
            .await?
    }

    /// Like [`append_batch`](Self::append_batch), with a durability for this batch only.
    ///
    /// # Errors
    ///
    /// The errors of [`append_batch`](Self::append_batch).
    ///
    /// # Cancel safety
    ///
    /// Like [`append_batch`](Self::append_batch): if the future is dropped before it completes, the
    /// batch may or may not be appended, but never a part of it.
    pub async fn append_batch_with<I>(
        &self,
        payloads: I,
        durability: Durability,
    ) -> Result<RangeInclusive<Lsn>>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.append_batch_in(None, payloads, durability).await?
    }

    /// Waits for room in the queue, puts the record into it, and returns a future of the record's
    /// LSN.
    ///
    /// If one submission returns before another begins, the first gets the lower LSN, whichever
    /// tasks they belong to. One task can therefore have many records in flight. A state machine
    /// that must apply its commands in the order of the log submits them under a short lock and
    /// applies them in that order, or uses the crate `tidewal-state`.
    ///
    /// If a record is refused later, because the disk is full, a record that was submitted after it
    /// may still be appended. If that must not happen, because a command was validated against the
    /// effect of the previous one, submit through [`ordered`](Self::ordered).
    ///
    /// Waiting callers are offered room in the order in which they began to wait, so small records
    /// do not starve a large one. A future that is kept and not polled does not stop the others:
    /// they pass it if there is also room for them, and otherwise 10 ms after it was offered room.
    /// When it is polled again, it comes before all callers that came after it. Once the log is
    /// closed, no caller waits.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Poisoned`](crate::Error::Poisoned) and
    /// [`Error::TooLarge`](crate::Error::TooLarge). After each of these the record is certainly not
    /// appended.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped before it completes, it is guaranteed that nothing was appended.
    /// If the [`PendingAppend`] is dropped, the record is not taken back, and only the answer is
    /// lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let wal = tidewal::Wal::open(dir.path()).await?;
    /// let first = wal.submit("first").await?;
    /// let second = wal.submit("second").await?;
    /// assert!(first.await? < second.await?);
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn submit(&self, payload: impl Into<Bytes>) -> Result<PendingAppend> {
        self.submit_with(payload, self.shared.durability).await
    }

    /// Like [`submit`](Self::submit), with a durability for this record only.
    ///
    /// # Errors
    ///
    /// The errors of [`submit`](Self::submit).
    ///
    /// # Cancel safety
    ///
    /// Like [`submit`](Self::submit): if this future is dropped before it completes, nothing was
    /// appended.
    pub async fn submit_with(
        &self,
        payload: impl Into<Bytes>,
        durability: Durability,
    ) -> Result<PendingAppend> {
        self.submit_in(None, payload.into(), durability).await
    }

    /// Like [`submit`](Self::submit), for several records that are appended as one: after a crash,
    /// all of them are in the log or none.
    ///
    /// # Errors
    ///
    /// The errors of [`submit`](Self::submit). [`Error::EmptyBatch`](crate::Error::EmptyBatch) if
    /// there is no payload. [`Error::TooLarge`](crate::Error::TooLarge) also if the batch does not
    /// fit into one segment.
    ///
    /// # Cancel safety
    ///
    /// Like [`submit`](Self::submit): if this future is dropped before it completes, nothing was
    /// appended.
    pub async fn submit_batch<I>(&self, payloads: I) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.submit_batch_with(payloads, self.shared.durability)
            .await
    }

    /// Like [`submit_batch`](Self::submit_batch), with a durability for this batch only.
    ///
    /// # Errors
    ///
    /// The errors of [`submit_batch`](Self::submit_batch).
    ///
    /// # Cancel safety
    ///
    /// Like [`submit`](Self::submit): if this future is dropped before it completes, nothing was
    /// appended.
    pub async fn submit_batch_with<I>(
        &self,
        payloads: I,
        durability: Durability,
    ) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        self.submit_batch_in(None, payloads, durability).await
    }

    /// Like [`submit`](Self::submit), but fails if the queue has no room now.
    ///
    /// The queue is full if this record does not fit beside the records in the queue and those of
    /// waiting callers: it does not overtake them. A waiting record whose future was not polled for
    /// 10 ms after it was offered room does not count.
    ///
    /// # Errors
    ///
    /// [`TrySubmitError::Full`], which gives the payload back, and the errors of
    /// [`submit`](Self::submit). After each of these the record is certainly not appended.
    pub fn try_submit(&self, payload: impl Into<Bytes>) -> Result<PendingAppend, TrySubmitError> {
        self.try_submit_in(None, payload.into())
    }
}
