//! Turns payloads into requests.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, Result, TrySubmitError};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::queue::append::{Append, Payload, Payloads};
use crate::queue::ordered::Order;
use crate::wal::{PendingAppend, PendingBatch, Shared, Wal, pending};

/// Submitting, as part of an ordered sequence or not.
impl Wal {
    pub(crate) async fn submit_in(
        &self,
        order: Option<&Order>,
        payload: Bytes,
        durability: Durability,
    ) -> Result<PendingAppend> {
        let append = self.prepare(order, payload, durability)?;
        let ack = self.shared.submitter.submit(append).await?;
        Ok(PendingAppend::new(ack))
    }

    /// Submits and waits for the answer. The outer error means that nothing was submitted.
    pub(crate) async fn append_in(
        &self,
        order: Option<&Order>,
        payload: Bytes,
        durability: Durability,
    ) -> Result<Result<Lsn>> {
        let append = self.prepare(order, payload, durability)?;
        self.shared.submitter.append(append).await
    }

    pub(crate) async fn append_batch_in<I>(
        &self,
        order: Option<&Order>,
        payloads: I,
        durability: Durability,
    ) -> Result<Result<RangeInclusive<Lsn>>>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        let append = self.prepare_batch(order, payloads, durability)?;
        let records = append.cost().records as u64;
        let last = self.shared.submitter.append(append).await?;
        Ok(last.map(|last| pending::range_to(last, records)))
    }

    pub(crate) async fn submit_batch_in<I>(
        &self,
        order: Option<&Order>,
        payloads: I,
        durability: Durability,
    ) -> Result<PendingBatch>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        let append = self.prepare_batch(order, payloads, durability)?;
        let records = append.cost().records as u64;
        let ack = self.shared.submitter.submit(append).await?;
        Ok(PendingBatch::new(ack, records))
    }

    pub(crate) fn try_submit_in(
        &self,
        order: Option<&Order>,
        payload: Bytes,
    ) -> Result<PendingAppend, TrySubmitError> {
        let append = self.prepare(order, payload, self.shared.durability)?;
        let ack = self.shared.submitter.try_submit(append)?;
        Ok(PendingAppend::new(ack))
    }

    /// Ends an ordered sequence: nothing more is submitted through it.
    pub(crate) fn end(&self, order: &Order, error: &Error) {
        self.shared.submitter.end(order, error);
    }

    /// Checks that a record is not too large.
    #[cfg(feature = "sink")]
    pub(crate) fn check(&self, payload: &Bytes) -> Result<()> {
        self.shared.check(payload)
    }

    /// The durability of appends that do not choose one.
    pub(crate) fn durability(&self) -> Durability {
        self.shared.durability
    }

    fn prepare(
        &self,
        order: Option<&Order>,
        payload: Bytes,
        durability: Durability,
    ) -> Result<Append> {
        self.shared.check(&payload)?;
        let payloads = Payloads::One(Payload::new(payload));
        Ok(self.shared.request(order, payloads, durability))
    }

    fn prepare_batch<I>(
        &self,
        order: Option<&Order>,
        payloads: I,
        durability: Durability,
    ) -> Result<Append>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        let payloads: Vec<Bytes> = payloads.into_iter().map(Into::into).collect();
        payloads
            .iter()
            .try_for_each(|payload| self.shared.check(payload))?;
        let payloads = Payloads::Many(payloads.into_iter().map(Payload::new).collect());
        self.shared.check_batch(&payloads)?;
        Ok(self.shared.request(order, payloads, durability))
    }
}

impl Shared {
    fn request(&self, order: Option<&Order>, payloads: Payloads, durability: Durability) -> Append {
        let has_interval = self.policy.interval().is_some();
        let weight = self.submitter.counters().weight_of_next();
        let submitted = (has_interval || weight > 0).then(|| self.executor.now());
        Append {
            payloads,
            durability,
            order: order.cloned(),
            submitted,
            weight,
            busy_poll: match self.policy.answers_at_once(durability) {
                true => self.busy_poll,
                false => Duration::ZERO,
            },
        }
    }

    fn check(&self, payload: &Bytes) -> Result<()> {
        check_len(payload.len() as u64, self.limits.payload as u64)
    }

    fn check_batch(&self, payloads: &Payloads) -> Result<()> {
        let cost = payloads.cost();
        if cost.records == 0 {
            return Err(Error::EmptyBatch);
        }
        check_len(
            cost.bytes as u64 - crate::format::frame::HEADER_LEN as u64,
            self.limits.batch,
        )
    }
}

fn check_len(len: u64, max: u64) -> Result<()> {
    if len <= max {
        Ok(())
    } else {
        Err(Error::TooLarge { len, max })
    }
}
