//! Calls that fail, and disks that are full.

use std::io;

use tidewal::Error;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::snapshot::SnapshotError;

use crate::helpers::{contents, lsn, open, put, read_all, small_log, write};
use tidewal_testing::support::{DIR, options, run};

/// Whichever call fails, an acknowledged snapshot survives a power cut, and the log keeps working.
#[test]
fn every_call_fails_once() {
    let mut faults = 0;
    for operation in Operation::ALL {
        for kind in [
            io::ErrorKind::Other,
            io::ErrorKind::StorageFull,
            io::ErrorKind::PermissionDenied,
        ] {
            faults += fail_each(operation, kind);
        }
    }
    assert!(faults > 50, "{faults} faults");
}

fn fail_each(operation: Operation, kind: io::ErrorKind) -> usize {
    for skip in 0.. {
        println!("{operation:?} {skip} fails with {kind:?}");
        let left = run(async {
            let (disk, wal) = small_log(skip).await;
            write(&wal.snapshots(), lsn(1)).await.unwrap();
            disk.fail(operation, skip, kind);
            let mut promised = vec![lsn(1)];
            for number in [2, 3] {
                let snapshots = wal.snapshots();
                let _ = snapshots.reserve(6000).await;
                if let Ok(snapshot) = write(&snapshots, lsn(number)).await {
                    promised.push(snapshot.lsn());
                    if snapshots.remove_before(&snapshot).await.is_ok() {
                        promised = vec![snapshot.lsn()];
                    }
                }
            }
            let left = disk.clear_faults();
            wal.append("the log works on").await.unwrap();
            disk.restart(Survival::Nothing);
            let locked = options().lock_on(&disk, DIR).await.unwrap();
            let newest = *promised.last().unwrap();
            let (_, found) = locked.read_snapshot(newest, read_all).await.unwrap();
            assert_eq!(found, contents(newest, false));
            left
        });
        if left > 0 {
            return usize::try_from(skip).unwrap();
        }
    }
    unreachable!("some call is the last one")
}

/// The name may not be durable, so there are no more snapshots until the log is reopened.
#[test]
fn a_failed_sync_of_the_directory_is_final() {
    run(async {
        let (disk, wal) = small_log(1).await;
        disk.fail(Operation::SyncDir, 0, io::ErrorKind::Other);
        for number in [2, 3] {
            let failed = write(&wal.snapshots(), lsn(number)).await;
            assert!(
                matches!(failed, Err(SnapshotError::Failed(_))),
                "{failed:?}"
            );
        }
        wal.append("the log works on").await.unwrap();
        wal.close().await.unwrap();
        write(&open(&disk).await.snapshots(), lsn(3)).await.unwrap();
    });
}

/// The name may be in the cache only. The next start would find it, and truncate the log because of
/// it.
#[test]
fn a_name_that_could_not_be_made_durable_is_taken_back() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(1)).await.unwrap();
        disk.fail(Operation::SyncDir, 0, io::ErrorKind::Other);
        let failed = write(&wal.snapshots(), lsn(2)).await;
        assert!(
            matches!(failed, Err(SnapshotError::Failed(_))),
            "{failed:?}"
        );
        let listed = wal.snapshots().list().await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].lsn, lsn(1));
    });
}

/// The system reports the failure once. The success of the next sync proves nothing about the name.
#[test]
fn no_snapshot_is_called_durable_after_a_failed_sync_of_the_directory() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        write(&snapshots, lsn(1)).await.unwrap();
        let second = write(&snapshots, lsn(2)).await.unwrap();
        disk.fail(Operation::SyncDir, 0, io::ErrorKind::Other);
        for failed in [
            snapshots.read(lsn(1), read_all).await.map(drop),
            snapshots.read(lsn(2), read_all).await.map(drop),
            write(&snapshots, lsn(2)).await.map(drop),
            write(&snapshots, lsn(3)).await.map(drop),
            snapshots.remove_before(&second).await.map(drop),
        ] {
            assert!(
                matches!(failed, Err(SnapshotError::Failed(_))),
                "{failed:?}"
            );
        }
    });
}

/// The old name of the reserved file may come back after a power cut, with the contents at that
/// time.
#[test]
fn what_was_set_aside_is_not_written_to_before_its_old_name_is_gone_for_good() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        write(&snapshots, lsn(1)).await.unwrap();
        let second = write(&snapshots, lsn(2)).await.unwrap();
        disk.fail(Operation::SyncDir, 0, io::ErrorKind::Other);
        snapshots.remove_before(&second).await.unwrap_err();
        write(&snapshots, lsn(3)).await.unwrap_err();
        disk.restart(Survival::Nothing);
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        for number in [1, 2] {
            let (_, found) = locked.read_snapshot(lsn(number), read_all).await.unwrap();
            assert_eq!(found, contents(lsn(number), false));
        }
    });
}

/// A file whose sync has failed is not written to again, because its pages may be lost and marked
/// clean.
#[test]
fn a_failed_sync_takes_a_new_file() {
    run(async {
        let (disk, wal) = small_log(1).await;
        wal.snapshots().reserve(6000).await.unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        let failed = write(&wal.snapshots(), lsn(1)).await;
        assert!(matches!(failed, Err(SnapshotError::Io(_))), "{failed:?}");
        assert!(!disk.files(DIR).contains(&"snapshot.spare".to_owned()));
        write(&wal.snapshots(), lsn(1)).await.unwrap();
        disk.restart(Survival::Nothing);
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        locked.read_snapshot(lsn(1), read_all).await.unwrap();
    });
}

/// The log has filled the disk, and a snapshot still fits.
#[test]
fn space_that_was_set_aside_is_there_on_a_full_disk() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        wal.append("x").await.unwrap();
        wal.snapshots().reserve(5000).await.unwrap();
        disk.set_quota(Some(80 * 1024));
        let mut last = lsn(1);
        let full = loop {
            match wal.append(vec![1; 1000]).await {
                Ok(lsn) => last = lsn,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, Error::StorageFull(_)), "{full:?}");
        let snapshot = write(&wal.snapshots(), last).await.unwrap();
        wal.truncate_before(snapshot.lsn().next()).await.unwrap();
        wal.append("there is room again").await.unwrap();
    });
}

#[test]
fn without_it_there_is_no_room_and_nothing_is_lost() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let first = write(&wal.snapshots(), lsn(1)).await.unwrap();
        disk.set_quota(Some(1));
        let snapshots = wal.snapshots();
        let full = snapshots.write(lsn(2), put(contents(lsn(2), true)));
        let full = full.await;
        assert!(
            matches!(full, Err(SnapshotError::StorageFull(_))),
            "{full:?}"
        );
        let full = wal.snapshots().reserve(1 << 20).await;
        assert!(
            matches!(full, Err(SnapshotError::StorageFull(_))),
            "{full:?}"
        );
        disk.set_quota(None);
        wal.snapshots().remove_before(&first).await.unwrap();
        let large = snapshots.write(lsn(2), put(contents(lsn(2), true)));
        assert_eq!(large.await.unwrap().len(), 5 << 19);
        let (_, found) = wal.snapshots().read(lsn(1), read_all).await.unwrap();
        assert_eq!(found, contents(lsn(1), false));
    });
}
