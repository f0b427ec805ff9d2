//! A repaired log has given LSNs out again: a snapshot of the earlier records must not be combined
//! with it.

use tidewal::sim::SimDisk;
use tidewal::snapshot::SnapshotError;
use tidewal::tools::LogDir;
use tidewal_state::Error;
use tidewal_testing::support::run;

use crate::ledger::{DIR, Machine, files, ids, open, options, padded};

async fn fill(machine: &Machine, ids: std::ops::Range<u64>) {
    for id in ids {
        machine.execute(padded(id, 800)).await.unwrap();
    }
}

/// Makes snapshots of 20 and 50 records, and a log of 80 records, of which the repair keeps fewer
/// than 50. Returns the newer snapshot's file.
async fn repaired(disk: &SimDisk) -> String {
    let machine = open(disk).await;
    fill(&machine, 0..20).await;
    machine.snapshot().await.unwrap();
    fill(&machine, 20..50).await;
    machine.snapshot().await.unwrap();
    fill(&machine, 50..80).await;
    machine.close().await.unwrap();
    let second = &files(disk, "wal")[1];
    disk.corrupt(format!("{DIR}/{second}"), |bytes| bytes[8000] ^= 1);
    let plan = LogDir::on(disk, DIR).plan_repair().unwrap();
    assert!((20..50).contains(&plan.next.get()), "{plan}");
    plan.execute().unwrap();
    format!("{DIR}/{}", files(disk, "snapshot")[1])
}

async fn assert_refused(disk: &SimDisk) {
    let refused = options().open_on(disk, DIR).await;
    assert!(
        matches!(
            refused,
            Err(Error::Snapshot(SnapshotError::Diverged { .. }))
        ),
        "{refused:?}"
    );
}

#[test]
pub fn a_snapshot_of_what_a_repair_has_cut_is_never_used() {
    run(async {
        let disk = SimDisk::new(1);
        let name = repaired(&disk).await;
        assert_refused(&disk).await;
        // As the error says: the file is moved away, and the snapshot before it is used.
        let snapshot = disk.read(&name).unwrap();
        disk.remove_file(&name);
        let machine = open(&disk).await;
        let kept = ids(&machine).len() as u64;
        assert!((20..50).contains(&kept));
        // The LSNs of the cut records are given out again, to other commands.
        fill(&machine, 1000..1080).await;
        machine.close().await.unwrap();
        disk.write_file(&name, snapshot);
        assert_refused(&disk).await;
        disk.remove_file(&name);
        let expected: Vec<_> = (0..kept).chain(1000..1080).collect();
        assert_eq!(ids(&open(&disk).await), expected);
    });
}

/// Before the log reaches the snapshot's record again or a new segment.
#[test]
fn a_repaired_log_that_ends_in_the_segment_of_its_snapshot_is_refused_too() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        fill(&machine, 0..10).await;
        machine.snapshot().await.unwrap();
        machine.close().await.unwrap();
        let only = &files(&disk, "wal")[0];
        disk.corrupt(format!("{DIR}/{only}"), |bytes| bytes[8000] ^= 1);
        let plan = LogDir::on(&disk, DIR).plan_repair().unwrap();
        plan.execute().unwrap();
        let refused = options().open_on(&disk, DIR).await;
        assert!(
            matches!(refused, Err(Error::Log(tidewal::Error::BeyondEnd { .. }))),
            "{refused:?}"
        );
    });
}
