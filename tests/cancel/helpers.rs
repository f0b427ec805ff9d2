//! Futures that are dropped after a number of polls, and the state of a log afterwards.

use std::task::Poll;
use std::time::Duration;

use futures::TryStreamExt;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Lsn, Record, Wal, WalOptions};
use tokio::time::sleep;
use tokio_test::task;

use crate::support::{DIR, options, run};

/// How long a sync takes.
pub const SYNC: Duration = ms(2);

pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Lets the log do everything that needs no time.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Drops a future after `steps` steps. Odd steps poll it, and even steps let the log run. So the
/// future is dropped directly after a poll, or when it may have been woken. Returns its output if
/// it completed before.
pub async fn drop_after<F: Future>(steps: usize, future: F) -> Option<F::Output> {
    let mut future = task::spawn(future);
    for step in 1..=steps {
        if step.is_multiple_of(2) {
            moment(step / 2).await;
        } else if let Poll::Ready(output) = future.poll() {
            return Some(output);
        }
    }
    None
}

/// One turn of the scheduler, or sometimes a millisecond.
pub async fn moment(number: usize) {
    if number.is_multiple_of(4) {
        sleep(ms(1)).await;
    } else {
        tokio::task::yield_now().await;
    }
}

/// Runs a test with futures that are dropped after 0, 1, 2 steps and so on, until it returns that
/// the future has completed.
pub fn at_every_step(test: impl AsyncFn(usize) -> bool) {
    for steps in 0..2000 {
        println!("dropped after {steps} steps");
        if run(test(steps)) {
            assert!(steps > 1, "it never had to wait: this shows nothing");
            return;
        }
    }
    panic!("it never completes");
}

/// A log with two records, in the middle of a sync. Its queue is empty.
pub async fn busy(options: WalOptions) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    let first = wal.submit("first").await.unwrap();
    wal.sync().await.unwrap();
    assert_eq!(first.await.unwrap(), Lsn::FIRST);
    sleep(ms(200)).await;
    disk.set_sync_time(SYNC);
    drop(wal.submit("second").await.unwrap());
    drop_after(1, wal.sync()).await;
    settle().await;
    assert_nothing_is_queued(&wal);
    assert_eq!(wal.durable_lsn(), Lsn::FIRST);
    (disk, wal)
}

/// Checks that no dropped caller holds room in the queue.
#[track_caller]
pub fn assert_nothing_is_queued(wal: &Wal) {
    let stats = wal.stats();
    assert_eq!((stats.queued_bytes, stats.queued_records), (0, 0));
}

/// The payload of a record of [`log_of`]. Two of them fill a segment.
pub fn payload(number: u64) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); 6000]
}

/// A closed log of `records` records.
pub async fn log_of(records: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    let wal = options().open_on(&disk, DIR).await.unwrap();
    for number in 1..=records {
        wal.append(payload(number)).await.unwrap();
    }
    wal.close().await.unwrap();
    disk
}

/// This disk after a power cut now. The seed decides the random choices.
pub fn after_a_cut(disk: &SimDisk, survival: Survival, seed: usize) -> SimDisk {
    let fork = disk.fork();
    fork.reseed(seed as u64);
    fork.restart(survival);
    fork
}

/// Reads the log back. Opening it waits for what was dropped and still has it locked.
pub async fn read_back(disk: &SimDisk) -> Vec<Record> {
    let recovery = options().recover_on(disk, DIR).await.unwrap();
    recovery.try_collect().await.unwrap()
}

/// Checks that these are the records of [`log_of`] with these numbers.
#[track_caller]
pub fn assert_records(records: &[Record], numbers: std::ops::RangeInclusive<u64>) {
    let found: Vec<_> = records.iter().map(|record| record.lsn.get()).collect();
    assert_eq!(found, numbers.collect::<Vec<_>>());
    for record in records {
        assert!(record.payload == payload(record.lsn.get()), "{record:?}");
    }
}
