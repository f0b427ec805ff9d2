//! Power cuts and kills at every operation.

use tidewal::Lsn;
use tidewal::sim::{SimDisk, Survival};
use tidewal::snapshot::SnapshotState;

use crate::helpers::{contents, lsn, open, read_all, small_log, write};
use tidewal_testing::support::{DIR, options, run};

/// The promises before the power was cut.
#[derive(Default)]
struct Promised {
    /// The newest snapshot that was acknowledged.
    snapshot: Option<Lsn>,
    records: u64,
}

/// Appends records, takes snapshots, truncates, removes snapshots and reserves space, like a
/// service.
async fn live(disk: &SimDisk, promised: &mut Promised) -> Option<()> {
    let wal = options().open_on(disk, DIR).await.ok()?;
    let snapshots = wal.snapshots();
    // Few records do not fill a segment, so no rotation happens to sync the directory.
    for (round, records) in [12, 12, 2, 2, 12].into_iter().enumerate() {
        for _ in 0..records {
            promised.records = wal.append(vec![b'r'; 1500]).await.ok()?.get();
        }
        let _ = snapshots.reserve(8192 + round as u64 * 3000).await;
        let snapshot = write(&snapshots, lsn(promised.records)).await.ok()?;
        promised.snapshot = Some(snapshot.lsn());
        wal.truncate_before(snapshot.lsn().next()).await.ok()?;
        snapshots.remove_before(&snapshot).await.ok()?;
    }
    Some(())
}

/// Starts like a service, and checks that no promise is broken.
async fn check(disk: &SimDisk, promised: &Promised) {
    let locked = options().lock_on(disk, DIR).await.unwrap();
    let listed = locked.snapshots().await.unwrap();
    for file in &listed {
        assert_eq!(file.state, SnapshotState::Whole { len: 700 }, "{listed:?}");
        let (_, found) = locked.read_snapshot(file.lsn, read_all).await.unwrap();
        assert_eq!(found, contents(file.lsn, false));
    }
    let newest = listed.last().map_or(Lsn::ZERO, |file| file.lsn);
    assert!(
        newest >= promised.snapshot.unwrap_or_default(),
        "{listed:?}"
    );
    let mut recovery = locked.recover(newest.next()).await.unwrap();
    while recovery.try_next().await.unwrap().is_some() {}
    assert!(recovery.report().end.get() >= promised.records);
    recovery.into_wal().await.unwrap().close().await.unwrap();
}

#[test]
fn a_cut_at_every_operation() {
    let mut cuts = 0;
    for at in 0.. {
        let (disk, mut promised) = (SimDisk::new(at), Promised::default());
        let through = run(async {
            disk.cut_power_at(at);
            live(&disk, &mut promised).await
        });
        let survivals = [
            Survival::Nothing,
            Survival::Everything,
            Survival::Random,
            Survival::Random,
        ];
        let prefixes = (1..disk.volatile_changes()).map(Survival::Prefix);
        for (index, survival) in survivals.into_iter().chain(prefixes).enumerate() {
            let disk = disk.fork();
            disk.reseed(at * 100 + index as u64);
            disk.restart(survival);
            println!("cut at {at}, {survival:?}");
            run(check(&disk, &promised));
            cuts += 1;
        }
        if through.is_some() {
            break;
        }
    }
    assert!(cuts > 500, "{cuts} cuts");
}

/// A process is killed, the next one takes what it finds for durable, and then the power is cut.
#[test]
fn what_is_found_after_a_kill_is_made_durable() {
    let mut kills = 0;
    for at in 0.. {
        let (disk, mut promised) = (SimDisk::new(at), Promised::default());
        let through = run(async {
            disk.cut_power_at(at);
            live(&disk, &mut promised).await
        });
        disk.kill();
        println!("killed at {at}");
        run(truncate_by_what_is_found(&disk));
        disk.restart(Survival::Nothing);
        run(check(&disk, &promised));
        kills += 1;
        if through.is_some() {
            break;
        }
    }
    assert!(kills > 100, "{kills} kills");
}

/// A snapshot that was read and checked is durable, whether or not the log is opened afterwards.
#[test]
fn what_was_read_is_durable() {
    run(async {
        let (disk, wal) = small_log(1).await;
        // The last operation of the snapshot is the sync of the directory.
        let fork = disk.fork();
        let before = fork.operations();
        let copy = options().open_on(&fork, DIR).await.unwrap();
        let opened = fork.operations();
        write(&copy.snapshots(), lsn(2)).await.unwrap();
        let last = disk.operations() + (fork.operations() - opened) - 1;
        assert!(before < opened);
        disk.cut_power_at(last);
        write(&wal.snapshots(), lsn(2)).await.unwrap_err();
        disk.kill();
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        locked.read_snapshot(lsn(2), read_all).await.unwrap();
        disk.restart(Survival::Nothing);
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        locked.read_snapshot(lsn(2), read_all).await.unwrap();
    });
}

async fn truncate_by_what_is_found(disk: &SimDisk) {
    let locked = options().lock_on(disk, DIR).await.unwrap();
    let Some(newest) = locked.snapshots().await.unwrap().pop() else {
        return;
    };
    let (snapshot, _) = locked.read_snapshot(newest.lsn, read_all).await.unwrap();
    let recovery = locked.recover(snapshot.lsn().next()).await.unwrap();
    let wal = recovery.into_wal().await.unwrap();
    wal.truncate_before(snapshot.lsn().next()).await.unwrap();
    wal.snapshots().remove_before(&snapshot).await.unwrap();
}

/// If the newest snapshot is damaged, the one before it exists, and the log reaches back to it.
#[test]
fn the_one_before_is_kept_until_the_new_one_is_durable() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        wal.append("a").await.unwrap();
        write(&wal.snapshots(), lsn(1)).await.unwrap();
        wal.append("b").await.unwrap();
        let operations = disk.operations();
        for skip in 0.. {
            let fork = disk.fork();
            fork.cut_power_at(operations + skip);
            let wal = options().open_on(&fork, DIR).await;
            let written = match &wal {
                Ok(wal) => write(&wal.snapshots(), lsn(2)).await.is_ok(),
                Err(_) => false,
            };
            fork.restart(Survival::Random);
            let locked = options().lock_on(&fork, DIR).await.unwrap();
            locked.read_snapshot(lsn(1), read_all).await.unwrap();
            if written {
                locked.read_snapshot(lsn(2), read_all).await.unwrap();
                assert!(skip > 4);
                break;
            }
        }
    });
}
