//! A log whose queue fills up easily, and helpers to inspect it.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal, WalOptions};
use tokio::time::sleep;

use crate::support::{DIR, options};

/// How long a sync takes.
pub const SYNC: Duration = ms(10);

/// The length of a record's header, which is included in byte counts.
pub const HEADER: usize = 20;

pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A payload that takes this many bytes in the queue.
pub fn taking(bytes: usize) -> Bytes {
    vec![b'x'; bytes - HEADER].into()
}

/// A payload that begins with a name, of this length.
pub fn named(name: &str, len: usize) -> Bytes {
    let mut payload = name.as_bytes().to_vec();
    payload.resize(len.max(name.len()), b'.');
    payload.into()
}

/// An idle log with one record.
pub async fn log(options: WalOptions) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    let first = wal.submit("first").await.unwrap();
    wal.sync().await.unwrap();
    assert_eq!(first.await.unwrap(), Lsn::FIRST);
    sleep(ms(200)).await;
    disk.set_sync_time(SYNC);
    (disk, wal)
}

/// A log with two records, in the middle of a sync. Its queue is empty.
pub async fn stalled(options: WalOptions) -> (SimDisk, Wal) {
    let (disk, wal) = log(options).await;
    drop(wal.submit("stall").await.unwrap());
    settle().await;
    assert_eq!(queued(&wal), (0, 0));
    (disk, wal)
}

/// Lets the log do everything that needs no time.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Lets the running sync complete. The waiting records are then written, and their sync is running.
pub async fn next_batch() {
    sleep(SYNC).await;
    settle().await;
}

/// The bytes and records in the queue.
pub fn queued(wal: &Wal) -> (u64, u64) {
    (wal.stats().queued_bytes, wal.stats().queued_records)
}

/// Closes the log, and reads back what was appended after the records of [`stalled`] or [`log`].
pub async fn appended(disk: &SimDisk, wal: &Wal) -> Vec<Bytes> {
    wal.clone().close().await.unwrap();
    let recovery = options().recover_on(disk, DIR).await.unwrap();
    recovery
        .map_ok(|record| record.payload)
        .try_filter(|payload| futures::future::ready(*payload != "first" && *payload != "stall"))
        .try_collect()
        .await
        .unwrap()
}
