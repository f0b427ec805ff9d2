//! Logs on the simulated disk, and the contents of their backups.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn, Record, Wal};
use tidewal_testing::support::{DIR, options};
use tokio_test::assert_pending;
use tokio_test::task::Spawn;

/// Where the backup goes.
pub const BACKUP: &str = "backup";

pub async fn open(disk: &SimDisk) -> Wal {
    options().open_on(disk, DIR).await.unwrap()
}

/// Numbered records of 1,000 bytes: every twelfth begins a new segment.
pub fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![b'.'; 1000];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

pub async fn append(wal: &Wal, numbers: RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(wal.append(payload(number)).await.unwrap().get(), number);
    }
}

/// What can be read in a directory, and whether its log was closed.
pub async fn read(disk: &SimDisk, dir: &str) -> Result<(Vec<Record>, bool), Error> {
    let mut reader = options().read_on(disk, dir).await?;
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().await? {
        records.push(record);
    }
    let was_closed = reader.report().torn_tail.is_none();
    Ok((records, was_closed))
}

/// Checks that a backup holds these records, that it was closed, and that it can be appended to.
pub async fn assert_holds(disk: &SimDisk, numbers: RangeInclusive<u64>) {
    let (records, was_closed) = read(disk, BACKUP).await.unwrap();
    assert!(was_closed);
    let end = *numbers.end();
    assert_eq!(numbers_of(&records), numbers.collect::<Vec<_>>());
    let created = options().create(false);
    let wal = created.open_on(disk, BACKUP).await.unwrap();
    append(&wal, end + 1..=end + 20).await;
    wal.close().await.unwrap();
    let (records, _) = read(disk, BACKUP).await.unwrap();
    assert_eq!(records.last().unwrap().lsn, Lsn::new(end + 20));
}

/// The numbers of records, which are their LSNs.
pub fn numbers_of(records: &[Record]) -> Vec<u64> {
    let number = |record: &Record| {
        assert_eq!(record.payload, payload(record.lsn.get()));
        record.lsn.get()
    };
    records.iter().map(number).collect()
}

/// Polls a backup until it has this many files.
pub async fn go_on<F: Future<Output = Result<Lsn, Error>>>(
    backup: &mut Spawn<F>,
    disk: &SimDisk,
    files: usize,
) {
    while disk.files(BACKUP).len() < files {
        assert_pending!(backup.poll());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The names of files, except the lock file.
pub fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    let mut files = disk.files(dir);
    files.retain(|name| name != "LOCK");
    files
}
