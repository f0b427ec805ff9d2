//! Logs on a simulated disk.

use std::time::Duration;

use tidewal::Wal;
use tidewal::sim::SimDisk;
use tidewal_testing::support::{DIR, options, spares};

pub async fn open(disk: &SimDisk) -> Wal {
    options().open_on(disk, DIR).await.unwrap()
}

pub const BIG: &[u8] = &[7; 7000];

/// A log whose segments each hold one large record and some small ones, without a ready spare.
pub async fn open_with_one_segment(disk: &SimDisk) -> Wal {
    let wal = options()
        .spare_segments(0)
        .open_on(disk, DIR)
        .await
        .unwrap();
    wal.append(BIG).await.unwrap();
    wal
}

pub async fn recovered(disk: &SimDisk) -> u64 {
    let mut reader = options().read_on(disk, DIR).await.unwrap();
    while reader.try_next().await.unwrap().is_some() {}
    reader.report().end.get()
}

/// A log with ready spares.
pub async fn open_with_spares(disk: &SimDisk) -> Wal {
    let wal = options()
        .spare_segments(2)
        .open_on(disk, DIR)
        .await
        .unwrap();
    wal.append(BIG).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(spares(disk).len(), 2);
    wal
}
