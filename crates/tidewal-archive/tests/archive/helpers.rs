//! Logs and archives for the tests, and checks of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal};
use tidewal_archive::{ArchiveOptions, Archiver, Error, RestoreTarget, Restored};

use crate::store::Store;
use crate::support::{DIR, options};

pub const PREFIX: &str = "some/log";

/// The payload of a record. Lengths differ, so segments end anywhere. About three records fit into a segment.
pub fn payload(number: u64) -> Vec<u8> {
    let len = usize::try_from(3000 + number * 911 % 3000).unwrap();
    vec![u8::try_from(number % 199).unwrap(); len]
}

/// Appends the records with these numbers, which are their LSNs.
pub async fn append(wal: &Wal, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let lsn = wal.append(payload(number)).await.unwrap();
        assert_eq!(lsn, Lsn::new(number));
    }
}

pub async fn open(disk: &SimDisk) -> Wal {
    options().open_on(disk, DIR).await.unwrap()
}

/// Options with which segments are finished only when they are full, so a test knows when.
pub fn quick() -> ArchiveOptions {
    ArchiveOptions::new()
        .seed(1)
        .max_lag(None)
        .attempt_timeout(Duration::from_secs(30))
        .clock(clock())
}

/// A wall clock that follows the clock of the runtime. It begins in the year 2001.
pub fn clock() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let started = tokio::time::Instant::now();
    move || noon() + started.elapsed()
}

pub fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(978_350_400)
}

pub fn start(wal: &Wal, store: &Store, options: ArchiveOptions) -> Archiver {
    Archiver::start(wal, &store.archive(), options).unwrap()
}

/// The disk of a log with this many records, and a store with the archive of all of them.
pub async fn archived(count: u64) -> (SimDisk, Store) {
    let (disk, store) = (SimDisk::new(1), Store::new());
    let wal = open(&disk).await;
    append(&wal, 1..=count).await;
    wal.close().await.unwrap();
    ship(&disk, &store).await.unwrap();
    (disk, store)
}

/// Ships all records of a log.
pub async fn ship(disk: &SimDisk, store: &Store) -> Result<(), Error> {
    let wal = open(disk).await;
    let shipped = start(&wal, store, quick()).wait_caught_up().await;
    wal.close().await.unwrap();
    shipped
}

pub async fn restore(store: &Store, until: RestoreTarget) -> Result<(SimDisk, Restored), Error> {
    let disk = SimDisk::new(2);
    let restored = store.archive().restore_on(&disk, DIR, None, until).await?;
    Ok((disk, restored))
}

/// The LSNs of the records on a disk. Checks each record, and that the log can be opened.
pub async fn recover(disk: &SimDisk) -> Vec<u64> {
    let mut recovery = options().recover_on(disk, DIR).await.unwrap();
    let mut found = Vec::new();
    while let Some(record) = recovery.try_next().await.unwrap() {
        assert_eq!(record.payload, payload(record.lsn.get()), "{}", record.lsn);
        found.push(record.lsn.get());
    }
    assert!(
        recovery.report().torn_tail.is_none(),
        "a restored log is closed"
    );
    let wal = recovery.into_wal().await.unwrap();
    let next = found.last().map_or(1, |last| last + 1);
    assert_eq!(wal.append(payload(next)).await.unwrap(), Lsn::new(next));
    wal.close().await.unwrap();
    found
}

/// The numbers of the records that can be restored from an archive.
pub async fn restored_records(store: &Store, until: RestoreTarget) -> Vec<u64> {
    let (disk, restored) = restore(store, until).await.unwrap();
    let found = recover(&disk).await;
    assert_eq!(found.last().copied().unwrap_or(0), restored.end.get());
    found
}

/// The LSNs of the segments on a disk.
pub fn segments(disk: &SimDisk) -> Vec<u64> {
    let names = disk.files(DIR);
    let bases = names.iter().filter_map(|name| name.strip_suffix(".wal"));
    bases.map(|base| base.parse().unwrap()).collect()
}

/// Lets all tasks run until they wait for the clock.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}
