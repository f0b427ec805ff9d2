//! Logs of values: their contents, and power cuts at every operation, with any codec.

use futures::TryStreamExt;
use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::{Logged, TypedRecovery, TypedWal};
use tidewal::{Error, Lsn, Result};

use crate::support::{DIR, options, run};

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

/// A value that one version of a type wrote, as another version reads it.
pub async fn carried_over<Old: Logged, New: Logged>(old: Old) -> Result<New> {
    let disk = SimDisk::new(1);
    write(&disk, &[old]).await;
    Ok(read(&disk).await?.remove(0))
}

/// A value as another version decodes it, or `None` if that fails.
pub fn read_as<Old: Logged, New: Logged>(old: Old) -> Option<New> {
    let read: Result<New> = run(carried_over(old));
    match read {
        Ok(new) => Some(new),
        Err(Error::Undecodable { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Appends single values, batches and many values in flight, until the power is cut. Returns the
/// last acknowledged LSN.
async fn use_until_the_power_goes<T: Logged>(disk: &SimDisk, values: &[T]) -> Lsn {
    let mut acknowledged = Lsn::ZERO;
    // The error that ends the work is the power cut.
    let _ = append_all(disk, values, &mut acknowledged).await;
    acknowledged
}

async fn append_all<T: Logged>(disk: &SimDisk, values: &[T], end: &mut Lsn) -> Result<()> {
    let recovery = options().recover_on(disk, DIR).await?.typed::<T>();
    let wal = recovery.into_wal().await?;
    for group in values.chunks(7) {
        *end = wal.append(&group[0]).await?;
        *end = *wal.append_batch(&group[1..3]).await?.end();
        let mut pending = Vec::new();
        for value in &group[3..] {
            pending.push(wal.submit(value).await?);
        }
        for answer in pending {
            *end = answer.await?;
        }
    }
    wal.close().await
}

/// Cuts the power at every operation, with several survivals for each. Returns how many cuts there were.
pub fn cut_everywhere<T: Logged + Clone + PartialEq + std::fmt::Debug>(values: &[T]) -> usize {
    let mut cuts = 0;
    for operation in 0.. {
        for (seed, survival) in [
            (1, Survival::Nothing),
            (2, Survival::Everything),
            (3, Survival::Random),
            (4, Survival::Random),
        ] {
            let disk = SimDisk::new(seed);
            disk.cut_power_at(operation);
            let acknowledged = run(use_until_the_power_goes(&disk, values));
            if !disk.is_off() {
                return cuts;
            }
            disk.restart(survival);
            let place = format!("cut at {operation}, seed {seed}, {survival:?}");
            run(check(&disk, values, acknowledged, &place));
            cuts += 1;
        }
    }
    unreachable!("a workload has an end")
}

async fn check<T>(disk: &SimDisk, values: &[T], acknowledged: Lsn, place: &str)
where
    T: Logged + Clone + PartialEq + std::fmt::Debug,
{
    let found = read::<T>(disk).await.expect(place);
    let count = usize::try_from(acknowledged.get()).unwrap();
    assert!(
        found.len() >= count,
        "{place}: {acknowledged} was acknowledged"
    );
    assert_eq!(found, values[..found.len()], "{place}");
    // The log can still be appended to.
    let wal = open::<T>(disk).await;
    let next = wal.append(&values[0]).await.expect(place);
    assert_eq!(next.get(), found.len() as u64 + 1, "{place}");
    wal.close().await.expect(place);
    assert_eq!(read::<T>(disk).await.expect(place).len(), found.len() + 1);
}
