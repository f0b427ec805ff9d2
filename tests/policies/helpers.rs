//! A log whose syncs take a known time, and clocks to hold against it.

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

/// Longer than anything that a policy waits for.
pub const AGES: Duration = Duration::from_secs(3600);

/// A record's header, which counts where bytes are counted.
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

/// A log with one record, idle, whose syncs take [`SYNC`] from now on.
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

/// Lets the log do whatever it can without time going by.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// What a future takes of the virtual time.
pub async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}

/// Appends so many empty records at once.
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
