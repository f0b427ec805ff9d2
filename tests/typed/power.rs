//! Power cuts at every operation: acknowledged values are read back unchanged.

use tidewal::sim::{SimDisk, Survival};
use tidewal_testing::harness::typed::{cut_everywhere, open, read};

use crate::bank::{Compact, Event, event, events};
use crate::support::run;

#[test]
fn acknowledged_values_survive_every_power_cut_under_each_codec() {
    let cuts = cut_everywhere(&events(7 * 30))
        + cut_everywhere(&events(7 * 30).into_iter().map(Compact).collect::<Vec<_>>());
    println!("{cuts} power cuts");
    assert!(cuts > 1000, "{cuts} power cuts only");
}

/// A crash between a record that was written and its acknowledgment may leave either.
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
