//! What happens to the log while it is copied.

use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Error, HoldOptions, Lsn, SyncPolicy, Wal};
use tidewal_testing::support::{DIR, options, run};
use tokio_test::assert_pending;
use tokio_test::task::spawn;

use crate::helpers::{BACKUP, append, assert_holds, go_on, names, numbers_of, open, payload, read};

/// A disk on which a backup takes its time, and a log of 50 records on it.
async fn slow_log() -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = open(&disk).await;
    append(&wal, 1..=50).await;
    disk.set_sync_time(Duration::from_millis(10));
    (disk, wal)
}

#[test]
fn appends_continue() {
    run(async {
        let (disk, wal) = slow_log().await;
        let copying = tokio::spawn({
            let wal = wal.clone();
            async move { wal.backup(BACKUP).await.unwrap() }
        });
        let mut appended = 50;
        while !copying.is_finished() {
            appended += 1;
            append(&wal, appended..=appended).await;
        }
        assert!(appended > 53, "{appended}");
        let last = copying.await.unwrap().get();
        assert!((50..appended).contains(&last), "{last} of {appended}");
        assert_holds(&disk, 1..=last).await;
        wal.close().await.unwrap();
        let (records, _) = read(&disk, DIR).await.unwrap();
        assert_eq!(numbers_of(&records), (1..=appended).collect::<Vec<_>>());
    });
}

/// Segments to be copied are neither removed nor recycled before the copy is complete, and are
/// removed afterwards.
#[test]
fn what_is_truncated_is_copied_and_goes_afterwards() {
    run(async {
        let (disk, wal) = slow_log().await;
        let segments = |dir| {
            let mut files = names(&disk, dir);
            files.retain(|name| name.contains(".wal"));
            files
        };
        let mut backup = spawn(wal.backup(BACKUP));
        go_on(&mut backup, &disk, 2).await;
        let before = segments(DIR);
        wal.truncate_before(Lsn::new(51)).await.unwrap();
        append(&wal, 51..=60).await;
        assert_eq!(segments(DIR)[..before.len()], before);
        assert_eq!(backup.await.unwrap(), Lsn::new(50));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let oldest = segments(DIR);
        assert!(oldest[0] > before[before.len() - 2], "{oldest:?}");
        assert_holds(&disk, 1..=50).await;
        append(&wal, 61..=100).await;
        wal.close().await.unwrap();
        read(&disk, DIR).await.unwrap();
    });
}

/// Dropping a backup neither undoes nor forgets a truncation.
#[test]
fn what_was_truncated_during_a_dropped_backup_goes_too() {
    run(async {
        let (disk, wal) = slow_log().await;
        let mut backup = spawn(wal.backup(BACKUP));
        go_on(&mut backup, &disk, 2).await;
        let before = names(&disk, DIR);
        wal.truncate_before(Lsn::new(51)).await.unwrap();
        assert_eq!(names(&disk, DIR)[0], before[0], "still there");
        drop(backup);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_ne!(names(&disk, DIR)[0], before[0]);
    });
}

/// A file that truncation recycles while it is copied would become another segment.
#[test]
fn many_backups_beside_truncations_and_recycling() {
    run(async {
        let disk = SimDisk::new(1);
        let small = options().spare_segments(2);
        let wal = small.open_on(&disk, DIR).await.unwrap();
        disk.set_sync_time(Duration::from_micros(100));
        let service = tokio::spawn({
            let wal = wal.clone();
            async move {
                for number in 1..=600 {
                    append(&wal, number..=number).await;
                    if number % 23 == 0 {
                        wal.truncate_before(Lsn::new(number - 20)).await.unwrap();
                    }
                }
            }
        });
        let mut count = 0;
        while !service.is_finished() {
            count += 1;
            let dir = format!("backup-{count}");
            let durable = wal.durable_lsn();
            let last = wal.backup(&dir).await.unwrap();
            assert!(last >= durable);
            let (records, was_closed) = read(&disk, &dir).await.unwrap();
            let numbers = numbers_of(&records);
            assert!(was_closed);
            assert_eq!(numbers.last().copied().unwrap_or_default(), last.get());
        }
        service.await.unwrap();
        assert!(count > 10, "{count}");
    });
}

/// The backup heard of the refusal before the sync, and copied what was durable by then.
#[test]
fn regression_what_was_written_before_a_refused_record_is_in_the_copy() {
    run(async {
        let disk = SimDisk::new(1);
        let manual = options().sync_policy(SyncPolicy::Manual);
        let wal = manual.open_on(&disk, DIR).await.unwrap();
        for number in 1..=13 {
            drop(wal.submit(payload(number)).await.unwrap());
        }
        wal.sync().await.unwrap();
        // No further segment is opened.
        let hold = wal.hold_with(Lsn::ZERO, HoldOptions::new().max_bytes(1));
        wal.truncate_before(Lsn::new(13)).await.unwrap();
        disk.set_sync_time(Duration::from_millis(10));
        drop(wal.submit(payload(14)).await.unwrap());
        let mut syncing = spawn(wal.sync());
        assert_pending!(syncing.poll());
        tokio::time::sleep(Duration::from_millis(1)).await;
        // While the writer syncs. It takes these together.
        drop(wal.try_submit(payload(15)).unwrap());
        let refused = wal.try_submit(vec![0; 12_000]).unwrap();
        let mut backup = spawn(wal.backup(BACKUP));
        assert_pending!(backup.poll());
        assert!(matches!(refused.await, Err(Error::StorageFull(_))));
        assert_eq!(backup.await.unwrap(), Lsn::new(15));
        drop(hold);
        assert_holds(&disk, 1..=15).await;
    });
}
