//! Logs whose records contain their LSN, and followers of them.

use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use tidewal::sim::SimDisk;
use tidewal::{Error, Follower, Lsn, Record, Wal, WalOptions};
use tokio_test::task::Spawn;

use crate::support::DIR;

pub async fn log(options: WalOptions) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    (disk, wal)
}

/// The payload of a record: its length, which differs from others', and its LSN.
pub fn payload(lsn: u64) -> Vec<u8> {
    let mut bytes = format!("{lsn}/").into_bytes();
    let len = usize::try_from(lsn * 911 % 3000).unwrap();
    bytes.resize(bytes.len().max(len), u8::try_from(lsn % 199).unwrap());
    bytes
}

/// Appends the next `count` records, one after the other.
pub async fn append(wal: &Wal, count: u64) {
    for _ in 0..count {
        let next = wal.durable_lsn().next();
        assert_eq!(wal.append(payload(next.get())).await.unwrap(), next);
    }
}

#[track_caller]
pub fn assert_record(record: &Record, lsn: u64) {
    assert_eq!(record.lsn, Lsn::new(lsn));
    assert!(record.payload == payload(lsn), "{record:?}");
}

/// Takes exactly these records, which are all durable.
pub async fn take(follower: &mut Follower, lsns: std::ops::RangeInclusive<u64>) {
    for lsn in lsns {
        let record = follower.try_next().await.unwrap();
        assert_record(&record.expect("the log is open"), lsn);
    }
}

/// Polls once, and returns the result.
pub fn poll(follower: &mut Spawn<Follower>) -> Poll<Option<Result<Record, Error>>> {
    follower.poll_next()
}

pub async fn rest(follower: Follower) -> Vec<Result<Record, Error>> {
    follower.collect().await
}

/// Lets the log do everything that needs no time.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The base LSNs of the segments, in their order.
pub fn segments(disk: &SimDisk) -> Vec<u64> {
    let names = disk.files(DIR).into_iter();
    let bases = names.filter_map(|name| Some(name.strip_suffix(".wal")?.parse().unwrap()));
    bases.collect()
}
