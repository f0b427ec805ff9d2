//! The contents of a backup.

use std::ops::RangeInclusive;

use tidewal::sim::SimDisk;
use tidewal::{Durability, Lsn, SyncPolicy};
use tidewal_testing::support::{DIR, options, run};

use crate::helpers::{BACKUP, append, assert_holds, names, open, payload};

/// Copies the log, and checks that the copy is a log of these records.
async fn assert_backup(disk: &SimDisk, wal: &tidewal::Wal, numbers: RangeInclusive<u64>) {
    let last = wal.backup(BACKUP).await.unwrap();
    assert_eq!(last.get(), *numbers.end());
    // Appending to the copy does not affect the open log.
    assert_holds(disk, numbers).await;
    disk.remove_dir(BACKUP).unwrap();
}

#[test]
fn a_backup_is_a_log_that_was_closed() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        assert_backup(&disk, &wal, RangeInclusive::new(1, 0)).await;
        append(&wal, 1..=3).await;
        assert_backup(&disk, &wal, 1..=3).await;
        append(&wal, 4..=50).await;
        assert_backup(&disk, &wal, 1..=50).await;
        wal.truncate_before(Lsn::new(40)).await.unwrap();
        assert_backup(&disk, &wal, 37..=50).await;
        wal.close().await.unwrap();
        // Nothing was appended since the log was opened.
        let wal = open(&disk).await;
        assert_backup(&disk, &wal, 37..=50).await;
        append(&wal, 51..=51).await;
        assert_backup(&disk, &wal, 37..=51).await;
        wal.close().await.unwrap();
        let (records, _) = crate::helpers::read(&disk, DIR).await.unwrap();
        assert_eq!(records.last().unwrap().lsn, Lsn::new(51));
    });
}

/// A log without records still knows the LSN of the next one.
#[test]
fn a_log_of_which_all_was_truncated_keeps_its_place() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=15).await;
        let full = wal.append(vec![1; 12_000]);
        full.await.unwrap();
        wal.close().await.unwrap();
        let wal = open(&disk).await;
        // The next record does not fit into the segment, but everything before it was truncated.
        wal.append(vec![2; 12_000]).await.unwrap();
        wal.truncate_before(Lsn::new(18)).await.unwrap();
        wal.close().await.unwrap();
        let wal = open(&disk).await;
        wal.truncate_before(Lsn::new(18)).await.unwrap();
        assert_eq!(wal.backup(BACKUP).await.unwrap(), Lsn::new(17));
        let copy = options().open_on(&disk, BACKUP).await.unwrap();
        assert_eq!(copy.durable_lsn(), Lsn::new(17));
        assert_eq!(copy.append("next").await.unwrap(), Lsn::new(18));
    });
}

/// "Holds every record that was submitted before this call and not refused."
#[test]
fn what_was_submitted_before_is_in_it() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().sync_policy(SyncPolicy::Manual);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        let submitted = wal.submit(payload(1)).await.unwrap();
        let written = wal.append_with(payload(2), Durability::Written);
        assert_eq!(written.await.unwrap(), Lsn::new(2));
        assert_eq!(wal.backup(BACKUP).await.unwrap(), Lsn::new(2));
        assert_holds(&disk, 1..=2).await;
        assert_eq!(submitted.await.unwrap(), Lsn::new(1));
    });
}

/// A full disk refuses records, which is a likely time for a backup to another disk.
#[test]
fn a_log_that_refuses_records_can_be_copied() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=40).await;
        let before = disk.clone();
        let used: usize = names(&before, DIR)
            .iter()
            .map(|name| before.read(format!("{DIR}/{name}")).unwrap().len())
            .sum();
        disk.set_quota(Some(used as u64));
        let mut refused = false;
        let mut last = 40;
        while !refused {
            let appended = wal.append(payload(last + 1)).await;
            refused = appended.is_err();
            last += u64::from(!refused);
        }
        let large = wal.submit(vec![0; 12_000]).await.unwrap();
        wal.backup(BACKUP).await.unwrap_err();
        large.await.unwrap_err();
        assert_eq!(names(&disk, BACKUP), Vec::<String>::new());
        disk.set_quota(None);
        assert_eq!(wal.backup(BACKUP).await.unwrap(), Lsn::new(last));
        assert_holds(&disk, 1..=last).await;
    });
}

/// Only the log is copied.
#[test]
fn other_files_stay_where_they_are() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=40).await;
        disk.write_file(format!("{DIR}/notes.txt"), b"not the log's".to_vec());
        wal.backup(BACKUP).await.unwrap();
        let copied = names(&disk, BACKUP);
        assert!(
            copied.iter().all(|name| name.contains(".wal")),
            "{copied:?}"
        );
    });
}
