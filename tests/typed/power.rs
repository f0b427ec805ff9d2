//! Power cuts at every operation: what was acknowledged comes back as the value that it was.

use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::Logged;
use tidewal::{Lsn, Result};

use crate::bank::{Compact, Event, event, events};
use crate::helpers::{open, read};
use crate::support::{DIR, options, run};

/// Single values, batches and many in flight, until the power goes. Returns the last LSN that was
/// acknowledged.
async fn use_until_the_power_goes<T: Logged>(disk: &SimDisk, values: &[T]) -> Lsn {
    let mut acknowledged = Lsn::ZERO;
    // The error that ends it is the power's.
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

/// Cuts the power at every operation, with several survivals for each.
fn cut_everywhere<T: Logged + Clone + PartialEq + std::fmt::Debug>(values: &[T]) -> usize {
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
    // And it goes on.
    let wal = open::<T>(disk).await;
    let next = wal.append(&values[0]).await.expect(place);
    assert_eq!(next.get(), found.len() as u64 + 1, "{place}");
    wal.close().await.expect(place);
    assert_eq!(read::<T>(disk).await.expect(place).len(), found.len() + 1);
}

#[test]
fn acknowledged_values_survive_every_power_cut_under_each_codec() {
    let cuts = cut_everywhere(&events(7 * 30))
        + cut_everywhere(&events(7 * 30).into_iter().map(Compact).collect::<Vec<_>>());
    println!("{cuts} power cuts");
    assert!(cuts > 1000, "{cuts} power cuts only");
}

/// A crash between a record that was written and its acknowledgement may leave either.
#[test]
fn a_value_that_was_not_acknowledged_is_there_as_a_whole_or_not_at_all() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let disk = SimDisk::new(seed);
        run(async {
            let wal = open(&disk).await;
            wal.append(&event(0)).await.unwrap();
            disk.cut_power_at(disk.operations() + 1);
            wal.append_batch([event(300), event(303)])
                .await
                .unwrap_err();
        });
        disk.restart(Survival::Random);
        let found = run(read::<Event>(&disk)).unwrap();
        let expected = [event(0), event(300), event(303)];
        assert_eq!(found, expected[..found.len()], "seed {seed}");
        lengths.insert(found.len());
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [1, 3]);
}
