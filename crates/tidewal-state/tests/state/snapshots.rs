//! Snapshots by policy and on request, kept and skipped.

use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::snapshot::SnapshotState;
use tidewal_state::{Error, SnapshotPolicy};
use tidewal_testing::support::run;

use crate::ledger::{DIR, Ledger, Machine, files, ids, open, options, padded, transfer};

async fn fill(machine: &Machine, ids: std::ops::Range<u64>) {
    for id in ids {
        machine.execute(padded(id, 800)).await.unwrap();
    }
}

#[test]
fn a_snapshot_makes_the_log_shorter_and_the_start_too() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = options()
            .snapshots(SnapshotPolicy::default().only_when_asked().keep(1))
            .open_on(&disk, DIR)
            .await
            .unwrap();
        fill(&machine, 0..100).await;
        let before = files(&disk, "wal").len();
        assert_eq!(machine.snapshot().await.unwrap().get(), 100);
        assert!(before > 4);
        assert_eq!(files(&disk, "wal").len(), 1);
        fill(&machine, 100..103).await;
        let expected = machine.query(Ledger::clone).unwrap();
        drop(machine);
        disk.restart(Survival::Nothing);
        let machine = open(&disk).await;
        assert_eq!(machine.query(Ledger::clone).unwrap(), expected);
        assert_eq!(machine.stats().records_since_snapshot, 3);
        assert_eq!(machine.stats().snapshot_lsn.get(), 100);
    });
}

#[test]
fn a_snapshot_without_anything_new_is_the_one_there_is() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        assert_eq!(machine.snapshot().await.unwrap().get(), 0);
        fill(&machine, 0..3).await;
        for _ in 0..3 {
            assert_eq!(machine.snapshot().await.unwrap().get(), 3);
        }
        assert_eq!(machine.stats().snapshots, 1);
        assert_eq!(files(&disk, "snapshot").len(), 1);
    });
}

/// The end of the pause could not be represented, and no more snapshots were taken.
#[test]
fn regression_a_pause_may_be_as_long_as_can_be() {
    run(async {
        let policy = SnapshotPolicy::default();
        let policy = policy.every_records(3).min_pause(Duration::MAX);
        let disk = SimDisk::new(1);
        let machine = options().snapshots(policy);
        let machine = machine.open_on(&disk, DIR).await.unwrap();
        fill(&machine, 0..3).await;
        assert_eq!(machine.snapshot().await.unwrap().get(), 3);
        fill(&machine, 3..9).await;
        assert_eq!(machine.stats().snapshots, 1, "not by itself");
        assert_eq!(machine.snapshot().await.unwrap().get(), 9);
    });
}

/// By records or bytes, but not more often than the pause allows.
#[test]
fn the_policy_takes_snapshots_by_itself() {
    run(async {
        let disk = SimDisk::new(1);
        let pause = Duration::from_secs(5);
        let policy = SnapshotPolicy::default().every_records(10).min_pause(pause);
        let machine = options()
            .snapshots(policy)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        fill(&machine, 0..10).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(machine.stats().snapshot_lsn.get(), 10);
        fill(&machine, 10..25).await;
        tokio::time::sleep(Duration::from_millis(4990)).await;
        assert_eq!(machine.stats().snapshots, 1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(machine.stats().snapshot_lsn.get(), 25);
        // By bytes, and after a start that has replayed enough.
        drop(machine);
        let policy = SnapshotPolicy::default().every_bytes(3000);
        let machine = open(&disk).await;
        fill(&machine, 25..30).await;
        drop(machine);
        let machine = options()
            .snapshots(policy)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(machine.stats().snapshot_lsn.get(), 30);
    });
}

/// Two are kept, and the log reaches back to the older one.
#[test]
pub fn a_damaged_snapshot_is_passed_over() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        for round in 0..4 {
            fill(&machine, round * 30..round * 30 + 30).await;
            machine.snapshot().await.unwrap();
        }
        let expected = machine.query(Ledger::clone).unwrap();
        machine.close().await.unwrap();
        let names = files(&disk, "snapshot");
        assert_eq!(names.len(), 2);
        for at in [0, 20, 4096, 4500] {
            let fork = disk.fork();
            fork.corrupt(format!("{DIR}/{}", names[1]), |bytes| bytes[at] ^= 1);
            let machine = open(&fork).await;
            assert_eq!(machine.query(Ledger::clone).unwrap(), expected, "byte {at}");
            assert_eq!(machine.stats().records_since_snapshot, 30);
            // The next one replaces it, and the damaged one is removed later.
            fill(&machine, 200..201).await;
            machine.snapshot().await.unwrap();
            fill(&machine, 201..202).await;
            machine.snapshot().await.unwrap();
            machine.close().await.unwrap();
            assert_eq!(ids(&open(&fork).await).len(), 122);
            assert_eq!(files(&fork, "snapshot").len(), 2);
        }
    });
}

/// The disk fails to read its header or the rest.
#[test]
fn a_snapshot_that_cannot_be_read_is_passed_over() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        for round in 0..4 {
            fill(&machine, round * 30..round * 30 + 30).await;
            machine.snapshot().await.unwrap();
        }
        let expected = machine.query(Ledger::clone).unwrap();
        machine.close().await.unwrap();
        let names = files(&disk, "snapshot");
        for at in [0, 4096, 4500] {
            let fork = disk.fork();
            fork.make_unreadable(format!("{DIR}/{}", names[1]), at, false);
            let machine = open(&fork).await;
            assert_eq!(machine.query(Ledger::clone).unwrap(), expected, "byte {at}");
            assert_eq!(machine.stats().records_since_snapshot, 30);
        }
    });
}

#[test]
fn without_a_usable_snapshot_the_start_says_so() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        for round in 0..3 {
            fill(&machine, round * 60..round * 60 + 60).await;
            machine.snapshot().await.unwrap();
        }
        machine.close().await.unwrap();
        for name in files(&disk, "snapshot") {
            disk.corrupt(format!("{DIR}/{name}"), |bytes| bytes[30] ^= 1);
        }
        let refused = options().open_on(&disk, DIR).await;
        let Err(Error::NoSnapshot {
            oldest, skipped, ..
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert!(oldest.get() > 1);
        assert_eq!(skipped.len(), 2);
        assert!(
            skipped
                .iter()
                .all(|file| file.state == SnapshotState::Damaged)
        );
        // The same if they are missing.
        for name in files(&disk, "snapshot") {
            disk.remove_file(format!("{DIR}/{name}"));
        }
        let refused = options().open_on(&disk, DIR).await;
        assert!(
            matches!(refused, Err(Error::NoSnapshot { .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn a_log_that_ends_before_its_snapshot_has_lost_records() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        fill(&machine, 0..3).await;
        let fork = disk.fork();
        fork.restart(Survival::Everything);
        fill(&machine, 3..6).await;
        machine.snapshot().await.unwrap();
        let name = format!("{DIR}/{}", files(&disk, "snapshot")[0]);
        fork.write_file(&name, disk.read(&name).unwrap());
        let refused = options().open_on(&fork, DIR).await;
        assert!(
            matches!(refused, Err(Error::Log(tidewal::Error::BeyondEnd { .. }))),
            "{refused:?}"
        );
        fork.corrupt(&name, |bytes| bytes[4200] ^= 1);
        let refused = options().open_on(&fork, DIR).await;
        assert!(
            matches!(refused, Err(Error::BehindSnapshot { .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn a_foreign_snapshot_is_passed_over() {
    run(async {
        let (disk, other) = (SimDisk::new(1), SimDisk::new(2));
        for disk in [&disk, &other] {
            let machine = open(disk).await;
            fill(&machine, 0..3).await;
            machine.snapshot().await.unwrap();
            fill(&machine, 3..6).await;
            machine.close().await.unwrap();
        }
        let machine = open(&other).await;
        machine.snapshot().await.unwrap();
        let newest = format!("{DIR}/{}", files(&other, "snapshot")[1]);
        disk.write_file(&newest, other.read(&newest).unwrap());
        let machine = open(&disk).await;
        assert_eq!(machine.stats().records_since_snapshot, 3);
        assert_eq!(ids(&machine).len(), 6);
        fill(&machine, 6..7).await;
        machine.snapshot().await.unwrap();
        assert!(disk.read(&newest).is_some());
    });
}

/// A crash at every operation of a snapshot: the state matches the answers, whatever survives.
#[test]
pub fn a_crash_at_every_operation_of_a_snapshot() {
    let mut cuts = 0;
    for at in 0.. {
        let disk = SimDisk::new(at);
        let through = run(async {
            let machine = options().reserve(6000).open_on(&disk, DIR).await.unwrap();
            fill(&machine, 0..40).await;
            machine.snapshot().await.unwrap();
            fill(&machine, 40..80).await;
            disk.cut_power_at(disk.operations() + at);
            machine.snapshot().await.is_ok() && !disk.is_off()
        });
        for survival in [Survival::Nothing, Survival::Everything, Survival::Random] {
            let fork = disk.fork();
            fork.reseed(at);
            fork.restart(survival);
            println!("cut at {at}, {survival:?}");
            run(async {
                let machine = open(&fork).await;
                assert_eq!(ids(&machine), (0..80).collect::<Vec<_>>());
                machine.execute(transfer(80)).await.unwrap();
                machine.snapshot().await.unwrap();
            });
            cuts += 1;
        }
        assert!(at < 300, "a snapshot fails without a cut");
        if through {
            break;
        }
    }
    assert!(cuts > 20, "{cuts} cuts");
}

/// A snapshot that cannot be written is reported and has no other effect, and the next one works.
#[test]
fn a_failed_snapshot_is_reported_and_tried_again() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        fill(&machine, 0..3).await;
        disk.fail(Operation::Create, 0, std::io::ErrorKind::PermissionDenied);
        let failed = machine.snapshot().await;
        assert!(matches!(failed, Err(Error::Snapshot(_))), "{failed:?}");
        assert!(machine.stats().snapshot_error.is_some());
        fill(&machine, 3..4).await;
        machine.snapshot().await.unwrap();
        assert!(machine.stats().snapshot_error.is_none());
    });
}

/// Commands continue while a snapshot is written: its sync takes an hour here.
#[test]
fn commands_go_on_while_a_snapshot_is_written() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        fill(&machine, 0..3).await;
        let hour = Duration::from_secs(3600);
        disk.stall(0, hour);
        let mut snapshot = Box::pin(machine.snapshot());
        assert!(futures::poll!(snapshot.as_mut()).is_pending());
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let started = tokio::time::Instant::now();
        fill(&machine, 3..40).await;
        assert!(started.elapsed() < hour);
        assert!(futures::poll!(snapshot.as_mut()).is_pending());
        assert_eq!(snapshot.await.unwrap().get(), 3);
        assert!(started.elapsed() >= hour);
    });
}
