//! What fails while segments are removed or recycled.

use std::io;
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Lsn};
use tidewal_testing::harness::faults::cause;
use tidewal_testing::support::{DIR, options, run, spares};

use crate::helpers::{BIG, open, open_with_one_segment, open_with_spares};

/// The system reports a failure once per open directory, to the next caller that syncs it.
#[test]
fn regression_a_directory_sync_that_failed_for_a_truncation_is_not_believed_by_a_rotation() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        let second = wal.append(BIG).await.unwrap();
        disk.fail(Operation::SyncDir, 0, io::ErrorKind::Other);
        let error = wal.truncate_before(second).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        wal.append("fits").await.unwrap();
        let error = wal.append(BIG).await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
        assert_eq!(cause(&error).unwrap().kind(), io::ErrorKind::Other);
    });
}

#[test]
fn a_truncation_that_cannot_begin_changes_nothing() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        let second = wal.append(BIG).await.unwrap();
        // The open segment is marked through its own file, which need not be opened.
        wal.append(BIG).await.unwrap();
        disk.fail_on(Operation::Open, ".wal", 0, io::ErrorKind::Other);
        let refused = wal.truncate_before(second).await.unwrap_err();
        assert!(matches!(refused, Error::Io(_)), "{refused:?}");
        assert_eq!(disk.files(DIR).len(), 3);
        wal.append(BIG).await.unwrap();
        wal.truncate_before(second).await.unwrap();
        assert_eq!(disk.files(DIR).len(), 3);
        wal.close().await.unwrap();
    });
}

#[test]
fn one_file_that_cannot_be_removed_keeps_no_other_and_is_tried_again() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        for _ in 0..4 {
            wal.append(BIG).await.unwrap();
        }
        disk.fail_on(
            Operation::Remove,
            "02.wal",
            0,
            io::ErrorKind::PermissionDenied,
        );
        let mark = Lsn::new(5);
        let error = wal.truncate_before(mark).await.unwrap_err();
        let Error::Io(failure) = error else {
            panic!("{error:?}");
        };
        assert!(failure.path().ends_with("00000000000000000002.wal"));
        let left = ["00000000000000000002.wal", "00000000000000000005.wal"];
        assert_eq!(disk.files(DIR), left);
        assert_eq!(wal.stats().segments_kept, 1);
        // The mark is durable: whatever happens to the file, its records do not belong to the log.
        let other = disk.fork();
        other.restart(Survival::Nothing);
        let mut reader = options().read_on(&other, DIR).await.unwrap();
        assert_eq!(reader.try_next().await.unwrap().unwrap().lsn, mark);
        // The same truncation again removes the rest.
        wal.truncate_before(mark).await.unwrap();
        assert_eq!(disk.files(DIR), left[1..]);
        wal.close().await.unwrap();
    });
}

#[test]
fn a_file_that_cannot_be_removed_at_all_is_removed_at_the_next_start() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        let second = wal.append(BIG).await.unwrap();
        disk.fail(Operation::Remove, 0, io::ErrorKind::PermissionDenied);
        let error = wal.truncate_before(second).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        wal.close().await.unwrap();
        assert_eq!(disk.files(DIR).len(), 2);
        open(&disk).await.close().await.unwrap();
        assert_eq!(disk.files(DIR), ["00000000000000000002.wal"]);
    });
}

#[test]
fn a_segment_that_cannot_be_recycled_is_removed() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options()
            .spare_segments(3)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        wal.append(BIG).await.unwrap();
        let second = wal.append(BIG).await.unwrap();
        disk.fail_on(Operation::Rename, ".wal", 0, io::ErrorKind::Other);
        wal.truncate_before(second).await.unwrap();
        let segments = disk.files(DIR).into_iter();
        assert_eq!(segments.filter(|name| name.contains(".wal")).count(), 1);
        wal.close().await.unwrap();
    });
}

#[test]
fn regression_a_truncation_whose_sync_fails_leaves_no_recycled_files() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_spares(&disk).await;
        wal.append(BIG).await.unwrap();
        let last = wal.append(BIG).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = spares(&disk);
        disk.fail(Operation::SyncDir, 0, io::ErrorKind::Other);
        let error = wal.truncate_before(last).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        assert_eq!(spares(&disk), before);
    });
}
