//! Logs of values, and what is in them.

use futures::TryStreamExt;
use tidewal::sim::SimDisk;
use tidewal::typed::{Logged, TypedRecovery, TypedWal};
use tidewal::{Lsn, Result};

use crate::support::{DIR, options};

pub async fn open<T: Logged>(disk: &SimDisk) -> TypedWal<T> {
    recover(disk).await.into_wal().await.unwrap()
}

pub async fn recover<T: Logged>(disk: &SimDisk) -> TypedRecovery<T> {
    options().recover_on(disk, DIR).await.unwrap().typed()
}

/// Appends these values to the log and closes it.
pub async fn write<T: Logged>(disk: &SimDisk, values: &[T]) {
    let wal = open(disk).await;
    for value in values {
        wal.append(value).await.unwrap();
    }
    wal.close().await.unwrap();
}

/// Everything that the log holds, or the first error.
pub async fn read<T: Logged>(disk: &SimDisk) -> Result<Vec<T>> {
    let values = recover::<T>(disk).await.map_ok(|(_, value)| value);
    values.try_collect().await
}

/// What becomes of one value that one version of a type wrote, when another reads it.
pub async fn carried_over<Old: Logged, New: Logged>(old: Old) -> Result<New> {
    let disk = SimDisk::new(1);
    write(&disk, &[old]).await;
    Ok(read(&disk).await?.remove(0))
}

/// Pairs of LSNs and values.
pub fn numbered<T>(first: u64, values: impl IntoIterator<Item = T>) -> Vec<(Lsn, T)> {
    (first..).map(Lsn::new).zip(values).collect()
}
