//! A log whose syncs take a millisecond, and payloads to send to it.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tidewal::sim::SimDisk;
use tidewal::{Result, Wal, WalOptions};

use crate::support::{DIR, options};

/// How long a sync takes.
pub const SYNC: Duration = ms(1);

pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An empty log.
pub async fn log(options: WalOptions) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    disk.set_sync_time(SYNC);
    (disk, wal)
}

/// Everything fits into one segment, so no sync comes from a rotation.
pub fn roomy() -> WalOptions {
    options().segment_size(1 << 20)
}

pub fn payload(number: u64) -> Bytes {
    format!("payload {number}").into()
}

/// A stream of payloads that are all ready at once.
pub fn payloads(count: u64) -> impl Stream<Item = Result<Bytes>> + Unpin {
    stream::iter(0..count).map(|number| Ok(payload(number)))
}

/// Lets the log do everything that needs no time.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// The contents of the log.
pub async fn recovered(disk: &SimDisk) -> Vec<Bytes> {
    let recovery = options().recover_on(disk, DIR).await.unwrap();
    let payloads = recovery.map_ok(|record| record.payload);
    payloads.try_collect().await.unwrap()
}

/// Asserts that the log holds the first `count` payloads, in order.
pub async fn assert_holds(disk: &SimDisk, count: u64) {
    let expected: Vec<_> = (0..count).map(payload).collect();
    assert_eq!(recovered(disk).await, expected);
}
