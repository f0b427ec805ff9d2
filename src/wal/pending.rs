//! The answers to submitted records.

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::lsn::Lsn;
use crate::queue::acks::Ack;

/// A record that was submitted: a future of its LSN.
///
/// # Cancel safety
///
/// Dropping it does not take the record back. Only the answer is lost.
///
/// # Errors
///
/// Certainly not appended: [`Error::StorageFull`], [`Error::SegmentUnavailable`],
/// [`Error::Poisoned`], and [`Error::EarlierRefused`] with an
/// [`OrderedAppender`](crate::OrderedAppender). Outcome unknown: [`Error::OutcomeUnknown`],
/// [`Error::Interrupted`].
#[must_use = "only the answer says whether and when the record is durable"]
pub struct PendingAppend {
    ack: Ack,
}

impl PendingAppend {
    pub(super) fn new(ack: Ack) -> Self {
        Self { ack }
    }
}

impl Future for PendingAppend {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.ack).poll(context)
    }
}

impl fmt::Debug for PendingAppend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAppend").finish_non_exhaustive()
    }
}

/// A batch that was submitted: a future of its LSNs, which are consecutive.
///
/// # Cancel safety
///
/// Dropping it does not take the batch back. Only the answer is lost.
///
/// # Errors
///
/// The errors of [`PendingAppend`].
#[must_use = "only the answer says whether and when the batch is durable"]
pub struct PendingBatch {
    ack: Ack,
    records: u64,
}

impl PendingBatch {
    pub(super) fn new(ack: Ack, records: u64) -> Self {
        Self { ack, records }
    }
}

impl Future for PendingBatch {
    type Output = Result<RangeInclusive<Lsn>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let last = std::task::ready!(Pin::new(&mut self.ack).poll(context))?;
        Poll::Ready(Ok(range_to(last, self.records)))
    }
}

impl fmt::Debug for PendingBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingBatch").finish_non_exhaustive()
    }
}

/// The LSNs of `records` consecutive records that end with `last`.
pub(super) fn range_to(last: Lsn, records: u64) -> RangeInclusive<Lsn> {
    Lsn::new(last.get() - (records - 1))..=last
}
