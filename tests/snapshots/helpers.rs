//! A log whose records and snapshots have known contents.

use std::io::{self, Read, Write};

use tidewal::sim::SimDisk;
use tidewal::snapshot::{Result, Snapshot, Snapshots};
use tidewal::{Lsn, Wal};

use tidewal_testing::support::{DIR, options};

/// The contents of the snapshot of `lsn`: two and a half chunks if `is_large`.
pub fn contents(lsn: Lsn, is_large: bool) -> Vec<u8> {
    let len = if is_large { 5 << 19 } else { 700 };
    let mut bytes = vec![u8::try_from(lsn.get() % 251).unwrap(); len];
    bytes[..8].copy_from_slice(&lsn.get().to_le_bytes());
    bytes
}

pub async fn write(snapshots: &Snapshots, lsn: Lsn) -> Result<Snapshot> {
    let bytes = contents(lsn, false);
    snapshots.write(lsn, put(bytes)).await
}

pub fn put(
    bytes: Vec<u8>,
) -> impl FnOnce(&mut tidewal::snapshot::SnapshotOutput) -> io::Result<()> {
    move |output| output.write_all(&bytes)
}

pub fn read_all(input: &mut tidewal::snapshot::SnapshotInput) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map(|_| bytes)
}

pub async fn open(disk: &SimDisk) -> Wal {
    options().open_on(disk, DIR).await.unwrap()
}

/// A log of three records on a simulated disk.
pub async fn small_log(seed: u64) -> (SimDisk, Wal) {
    let disk = SimDisk::new(seed);
    let wal = open(&disk).await;
    for _ in 0..3 {
        wal.append(vec![b'r'; 500]).await.unwrap();
    }
    (disk, wal)
}

pub fn lsn(number: u64) -> Lsn {
    Lsn::new(number)
}
