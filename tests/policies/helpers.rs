//! A log whose syncs take a known time, and helpers to measure it.

use std::time::Duration;

use futures::future::try_join_all;
use tidewal::sim::SimDisk;
use tidewal::{Lsn, Stats, SyncPolicy, Wal, WalOptions};
use tokio::time::{Instant, sleep};

use crate::support::{DIR, options};

/// How long a sync takes, unless a test says otherwise.
pub const SYNC: Duration = ms(1);

/// The interval of [`interval`].
pub const INTERVAL: Duration = ms(9);

/// Longer than any wait of a policy.
pub const AGES: Duration = Duration::from_secs(3600);

/// The length of a record's header, which is included in byte counts.
pub const HEADER: usize = 20;

pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub fn interval() -> WalOptions {
    options().sync_policy(SyncPolicy::Interval(INTERVAL))
}

pub fn manual() -> WalOptions {
    options().sync_policy(SyncPolicy::Manual)
}

/// An idle log with one record, whose syncs take [`SYNC`] from now on.
pub async fn log(options: WalOptions) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    let first = wal.submit("first").await.unwrap();
    assert_eq!(wal.sync().await.unwrap(), Lsn::FIRST);
    assert_eq!(first.await.unwrap(), Lsn::FIRST);
    sleep(ms(200)).await;
    disk.set_sync_time(SYNC);
    (disk, wal)
}

/// Lets the log do everything that needs no time.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// The output of a future and the virtual time that it takes.
pub async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}

/// Appends `count` empty records concurrently.
pub async fn append_together(wal: &Wal, count: usize) -> Vec<Lsn> {
    let pending = (0..count).map(|_| wal.try_submit("").unwrap());
    try_join_all(pending.collect::<Vec<_>>()).await.unwrap()
}

/// Waits until a record is durable.
pub async fn is_durable(wal: &Wal, lsn: Lsn) {
    let mut durable = wal.subscribe_durable();
    while durable.next().await.unwrap() < lsn {}
}

/// Batches and syncs since then.
pub fn work_since(before: &Stats, wal: &Wal) -> (u64, u64) {
    let now = wal.stats();
    (now.batches - before.batches, now.syncs - before.syncs)
}
