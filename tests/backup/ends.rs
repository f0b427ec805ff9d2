//! Backups that do not complete.

use std::io;
use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn};
use tidewal_testing::support::{DIR, run};
use tokio_test::assert_pending;
use tokio_test::task::spawn;

use crate::helpers::{BACKUP, append, assert_holds, go_on, names, open};

const FIRST: &str = "log/00000000000000000001.wal";

/// `Wal::backup`: "If the future is dropped before it completes, the backup ends shortly afterwards, and what
/// it wrote is removed as far as possible."
#[test]
fn a_dropped_backup_ends_and_is_removed() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=50).await;
        disk.set_sync_time(Duration::from_millis(10));
        for files in 0..4 {
            let mut backup = spawn(wal.backup(BACKUP));
            assert_pending!(backup.poll());
            go_on(&mut backup, &disk, files).await;
            drop(backup);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(names(&disk, BACKUP), Vec::<String>::new(), "{files}");
        }
        assert_eq!(wal.backup(BACKUP).await.unwrap(), Lsn::new(50));
        assert_holds(&disk, 1..=50).await;
    });
}

/// The backup works in the directory until it notices that the log is closing.
#[test]
fn closing_the_log_ends_a_backup_and_waits_for_it() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=50).await;
        disk.set_sync_time(Duration::from_millis(10));
        let mut backup = spawn(wal.backup(BACKUP));
        go_on(&mut backup, &disk, 2).await;
        wal.clone().close().await.unwrap();
        assert_eq!(names(&disk, BACKUP), Vec::<String>::new());
        let ended = backup.await;
        assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
        let late = wal.backup(BACKUP).await;
        assert!(matches!(late, Err(Error::Closed)), "{late:?}");
        let other = disk.another_process();
        tidewal_testing::support::options()
            .open_on(&other, DIR)
            .await
            .unwrap();
    });
}

#[test]
fn a_poisoned_log_is_not_copied() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=3).await;
        disk.fail(tidewal::sim::Operation::Sync, 0, io::ErrorKind::Other);
        wal.append("x").await.unwrap_err();
        let refused = wal.backup(BACKUP).await;
        assert!(matches!(refused, Err(Error::Poisoned(_))), "{refused:?}");
    });
}

/// A backup is checked as it is made: records are never missing from it silently.
#[test]
fn a_damaged_record_is_found() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=50).await;
        disk.corrupt(FIRST, |bytes| bytes[8192] ^= 1);
        let error = wal.backup(BACKUP).await.unwrap_err();
        let Error::Corrupt(corruption) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(corruption.first, Lsn::new(5));
        assert!(error.to_string().contains(FIRST), "{error}");
        assert_eq!(names(&disk, BACKUP), Vec::<String>::new());
        append(&wal, 51..=60).await;
    });
}

#[test]
fn a_page_that_cannot_be_read_is_named() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=50).await;
        assert!(disk.make_unreadable(FIRST, 8192, false));
        let error = wal.backup(BACKUP).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        assert!(error.to_string().contains(FIRST), "{error}");
        append(&wal, 51..=60).await;
    });
}

/// Nothing is overwritten, and an interrupted backup is not a backup.
#[test]
fn a_directory_that_is_not_empty_is_refused() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=3).await;
        for dir in ["other", DIR] {
            disk.write_file("other/notes.txt", b"mine".to_vec());
            let before = disk.files(dir);
            let error = wal.backup(dir).await.unwrap_err();
            assert!(matches!(error, Error::NotEmpty { .. }), "{error:?}");
            assert_eq!(disk.files(dir), before);
        }
        append(&wal, 4..=5).await;
    });
}

/// What holds the segments ends with the copy, not with a future that may never be polled again.
#[test]
fn regression_a_backup_whose_future_is_kept_holds_nothing_back() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=50).await;
        let mut backup = spawn(wal.backup(BACKUP));
        assert_pending!(backup.poll());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = names(&disk, DIR);
        wal.truncate_before(Lsn::new(51)).await.unwrap();
        assert_ne!(names(&disk, DIR)[0], before[0]);
        assert_eq!(backup.await.unwrap(), Lsn::new(50));
        assert_holds(&disk, 1..=50).await;
    });
}
