//! Bounds on the queue, in bytes and in records (promise P7).

use tokio::sync::{Semaphore, TryAcquireError};

use crate::queue::request::Cost;

/// How much may wait in the queue.
pub(super) struct Budget {
    bytes: Semaphore,
    records: Semaphore,
    /// For requests that bring no record. They do not stand in line behind appends, which may wait for
    /// a batch that only such a request would end early.
    asks: Semaphore,
    size: Cost,
}

impl Budget {
    pub(super) fn new(bytes: usize, records: usize) -> Self {
        let size = Cost { bytes, records };
        Self {
            bytes: Semaphore::new(bytes),
            records: Semaphore::new(records),
            asks: Semaphore::new(ASKS),
            size,
        }
    }

    /// Waits for room, first come first served. Cancel safe: what was taken is given back.
    pub(super) async fn acquire(&self, share: Cost) -> Result<(), Closed> {
        let records = self
            .records
            .acquire_many(permits(share.records))
            .await
            .map_err(|_| Closed)?;
        let bytes = self
            .bytes
            .acquire_many(permits(share.bytes))
            .await
            .map_err(|_| Closed)?;
        records.forget();
        bytes.forget();
        Ok(())
    }

    /// Takes room if there is some now, and says whether there was.
    pub(super) fn try_acquire(&self, share: Cost) -> Result<bool, Closed> {
        let records = self.records.try_acquire_many(permits(share.records));
        let bytes = self.bytes.try_acquire_many(permits(share.bytes));
        match (records, bytes) {
            (Ok(records), Ok(bytes)) => {
                records.forget();
                bytes.forget();
                Ok(true)
            }
            (Err(TryAcquireError::Closed), _) | (_, Err(TryAcquireError::Closed)) => Err(Closed),
            _ => Ok(false),
        }
    }

    /// Waits for room for a request that brings no record. Cancel safe.
    pub(super) async fn acquire_ask(&self) -> Result<(), Closed> {
        self.asks.acquire().await.map_err(|_| Closed)?.forget();
        Ok(())
    }

    pub(super) fn release_asks(&self, count: usize) {
        self.asks.add_permits(count);
    }

    /// Gives back the sum of some shares.
    pub(super) fn release(&self, shares: Cost) {
        self.records.add_permits(shares.records);
        self.bytes.add_permits(shares.bytes);
    }

    /// Whoever waits or comes gets an error.
    pub(super) fn close(&self) {
        self.records.close();
        self.bytes.close();
        self.asks.close();
    }

    /// What is taken.
    pub(super) fn used(&self) -> Cost {
        Cost {
            bytes: self
                .size
                .bytes
                .saturating_sub(self.bytes.available_permits()),
            records: self
                .size
                .records
                .saturating_sub(self.records.available_permits()),
        }
    }

    /// What a request takes: at most everything, so that the largest one still gets through.
    pub(super) fn share(&self, cost: Cost) -> Cost {
        Cost {
            bytes: cost.bytes.min(self.size.bytes),
            records: cost.records.min(self.size.records),
        }
    }
}

/// The budget hands out nothing any more.
#[derive(Debug)]
pub(super) struct Closed;

/// How many requests that bring no record may wait.
const ASKS: usize = 1024;

/// The options' bounds see to it that nothing is cut off here.
fn permits(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
