//! A snapshot of records whose LSNs the log has given out again: its log id and its LSN fit the
//! log.

use tidewal::Lsn;
use tidewal::sim::{SimDisk, Survival};
use tidewal::snapshot::{SnapshotError, SnapshotState};

use crate::helpers::{contents, lsn, open, read_all, small_log, write};
use tidewal_testing::support::{DIR, options, run};

/// A copy of a log of three records diverges from the original, and gets the original's snapshot of
/// LSN 5.
async fn diverged() -> SimDisk {
    let (disk, wal) = small_log(1).await;
    write(&wal.snapshots(), lsn(2)).await.unwrap();
    wal.close().await.unwrap();
    let copy = disk.fork();
    copy.restart(Survival::Everything);
    copy.reseed(2);
    for disk in [&disk, &copy] {
        let wal = open(disk).await;
        for _ in 0..3 {
            wal.append(vec![b'r'; 500]).await.unwrap();
        }
        wal.close().await.unwrap();
    }
    let wal = open(&disk).await;
    write(&wal.snapshots(), lsn(5)).await.unwrap();
    let name = format!("{DIR}/00000000000000000005.snapshot");
    copy.write_file(&name, disk.read(&name).unwrap());
    copy
}

const WHOLE: SnapshotState = SnapshotState::Whole { len: 700 };

#[test]
fn it_is_told_apart_before_and_after_recovery() {
    run(async {
        let disk = diverged().await;
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        let listed = locked.snapshots().await.unwrap();
        let states: Vec<_> = listed.iter().map(|file| file.state).collect();
        assert_eq!(states, [WHOLE, SnapshotState::Diverged]);
        let read = locked.read_snapshot(lsn(5), read_all).await;
        assert!(
            matches!(read, Err(SnapshotError::Diverged { .. })),
            "{read:?}"
        );
        locked.read_snapshot(lsn(2), read_all).await.unwrap();
        drop(locked);

        let wal = open(&disk).await;
        let snapshots = wal.snapshots();
        let listed = snapshots.list().await.unwrap();
        assert_eq!(listed[1].state, SnapshotState::Diverged);
        for refused in [
            snapshots.read(lsn(5), read_all).await.map(drop),
            // It is not taken for the snapshot to be written.
            write(&snapshots, lsn(5)).await.map(drop),
        ] {
            assert!(
                matches!(refused, Err(SnapshotError::Diverged { .. })),
                "{refused:?}"
            );
        }
        // It covers records that the log has lost, so it is not removed.
        let newest = write(&snapshots, lsn(6)).await.unwrap();
        assert_eq!(snapshots.remove_before(&newest).await.unwrap(), 1);
        assert_eq!(snapshots.list().await.unwrap().len(), 2);
    });
}

/// The log is an older copy, and ends before the snapshot.
#[test]
fn it_is_told_apart_while_the_log_is_behind_it() {
    run(async {
        let (disk, wal) = small_log(1).await;
        wal.close().await.unwrap();
        let copy = disk.fork();
        copy.restart(Survival::Everything);
        let wal = open(&disk).await;
        for _ in 0..3 {
            wal.append("more").await.unwrap();
        }
        write(&wal.snapshots(), lsn(5)).await.unwrap();
        let name = format!("{DIR}/00000000000000000005.snapshot");
        copy.write_file(&name, disk.read(&name).unwrap());
        let locked = options().lock_on(&copy, DIR).await.unwrap();
        let listed = locked.snapshots().await.unwrap();
        assert_eq!(listed[0].state, SnapshotState::Diverged);
    });
}

/// However the log is truncated, closed and reopened, its own snapshot is recognized.
#[test]
fn a_truncated_log_knows_its_snapshot() {
    run(async {
        let disk = SimDisk::new(1);
        let mut last = Lsn::ZERO;
        for round in 0..6 {
            let wal = open(&disk).await;
            for _ in 0..round {
                last = wal.append(vec![b'r'; 9000]).await.unwrap();
            }
            if last > Lsn::ZERO {
                let snapshot = write(&wal.snapshots(), last).await.unwrap();
                wal.truncate_before(last.next()).await.unwrap();
                wal.snapshots().remove_before(&snapshot).await.unwrap();
            }
            match round % 3 {
                0 => wal.close().await.unwrap(),
                1 => disk.restart(Survival::Nothing),
                _ => disk.restart(Survival::Everything),
            }
            let locked = options().lock_on(&disk, DIR).await.unwrap();
            for file in locked.snapshots().await.unwrap() {
                let (_, found) = locked.read_snapshot(file.lsn, read_all).await.unwrap();
                assert_eq!(found, contents(file.lsn, false));
            }
            let recovery = locked.recover(last.next()).await.unwrap();
            let wal = recovery.into_wal().await.unwrap();
            for file in wal.snapshots().list().await.unwrap() {
                assert_eq!(file.state, WHOLE, "round {round}");
            }
            wal.close().await.unwrap();
        }
    });
}

/// Its name came back after a power cut, while the name of the segment after it did not.
#[test]
fn regression_a_truncated_segment_that_came_back_makes_no_snapshot_diverge() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        for _ in 0..3 {
            wal.append(vec![b'r'; 9000]).await.unwrap();
        }
        let oldest = format!("{DIR}/00000000000000000001.wal");
        let bytes = disk.read(&oldest).unwrap();
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        wal.truncate_before(lsn(3)).await.unwrap();
        wal.close().await.unwrap();
        disk.write_file(&oldest, bytes);
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        let (snapshot, _) = locked.read_snapshot(lsn(2), read_all).await.unwrap();
        let recovery = locked.recover(snapshot.lsn().next()).await.unwrap();
        recovery.into_wal().await.unwrap();
    });
}

/// An unreadable header proves nothing.
#[test]
fn regression_a_header_that_cannot_be_read_makes_no_snapshot_diverge() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        for _ in 0..3 {
            wal.append(vec![b'r'; 9000]).await.unwrap();
        }
        write(&wal.snapshots(), lsn(3)).await.unwrap();
        wal.close().await.unwrap();
        for base in 1..=3 {
            let fork = disk.fork();
            fork.make_unreadable(format!("{DIR}/{base:020}.wal"), 0, false);
            let locked = options().lock_on(&fork, DIR).await.unwrap();
            locked.read_snapshot(lsn(3), read_all).await.unwrap();
        }
    });
}
