//! Full disks.

use std::time::Duration;

use tidewal::sim::{SimDisk, Survival};
use tidewal_state::Error;
use tidewal_testing::support::run;

use crate::ledger::{DIR, Machine, ids, open, options, padded};

/// Executes until the disk is full, and returns how many were answered.
async fn fill(machine: &Machine, from: u64) -> u64 {
    for id in from..from + 1000 {
        match machine.execute(padded(id, 700)).await {
            Ok(_) => {}
            Err(Error::Log(tidewal::Error::StorageFull(_))) => return id,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk is not full");
}

/// Space for a snapshot is reserved, the state machine takes one on its own, and commands are
/// accepted again. (An earlier key-value service never recovered from a full disk, because its
/// snapshot had no room.)
#[test]
fn a_full_disk_gets_free_by_itself() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = options().reserve(16_000).open_on(&disk, DIR).await.unwrap();
        assert!(machine.stats().reserved >= 16_000);
        disk.set_quota(Some(120 * 1024));
        let mut next = 0;
        for round in 0..5 {
            let full = fill(&machine, next).await;
            assert!(full > next, "round {round}");
            next = full;
            tokio::time::sleep(Duration::from_secs(11)).await;
            let stats = machine.stats();
            assert_eq!(stats.snapshot_lsn.get(), next, "{:?}", stats.snapshot_error);
        }
        machine.execute(padded(next, 700)).await.unwrap();
        disk.restart(Survival::Nothing);
        let machine = open(&disk).await;
        assert_eq!(ids(&machine), (0..=next).collect::<Vec<_>>());
    });
}

/// Without reserved space the disk stays full until there is room. Then the state machine works
/// again on its own.
#[test]
fn without_space_set_aside_it_waits_for_room() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        disk.set_quota(Some(SEGMENTS_ONLY));
        let next = fill(&machine, 0).await;
        disk.set_quota(Some(1));
        assert_eq!(fill(&machine, next).await, next);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let error = machine.stats().snapshot_error.unwrap();
        assert!(matches!(&*error, Error::Snapshot(_)), "{error:?}");
        let failed = machine.stats().records_since_snapshot;
        assert_eq!(
            failed, next,
            "what a failed snapshot was to cover still counts"
        );
        disk.set_quota(None);
        machine.execute(padded(next, 700)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(machine.stats().snapshots, 1);
    });
}

/// If clients keep sending commands to a full disk, not every refusal leads to a snapshot.
#[test]
fn a_full_disk_is_not_made_busy_with_snapshots() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        disk.set_quota(Some(SEGMENTS_ONLY));
        let next = fill(&machine, 0).await;
        disk.set_quota(Some(1));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = disk.operations();
        for _ in 0..100 {
            machine.execute(padded(next, 700)).await.unwrap_err();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        // Each refusal has tried to create a segment, which is one or two operations.
        assert!(disk.operations() - before < 450);
    });
}

/// Room for seven segments only.
const SEGMENTS_ONLY: u64 = 7 * 16 * 1024 + 100;
