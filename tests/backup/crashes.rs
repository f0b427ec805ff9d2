//! Power cuts and failing calls at every operation of a backup.

use std::io::ErrorKind;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Lsn, Wal};
use tidewal_testing::harness::copies;
use tidewal_testing::support::{DIR, options, run};

use crate::helpers::{BACKUP, append, assert_holds, names, numbers_of, open, read};

/// A log of three segments, of which the oldest was truncated.
async fn log() -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = open(&disk).await;
    append(&wal, 1..=40).await;
    wal.truncate_before(Lsn::new(20)).await.unwrap();
    (disk, wal)
}

/// The records of the log when it is copied.
const NUMBERS: std::ops::RangeInclusive<u64> = 13..=40;

/// What may survive a power cut.
fn survivals(disk: &SimDisk) -> Vec<Survival> {
    let changes = disk.volatile_changes();
    let prefixes = (0..=changes).map(Survival::Prefix);
    prefixes.chain([Survival::Random; 8]).collect()
}

/// How far a backup has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    /// No segment was created.
    Nothing,
    Begun,
    Done,
}

/// Before anything of it is lost.
fn progress(disk: &SimDisk, is_done: bool) -> Progress {
    let mut names = names(disk, BACKUP).into_iter();
    match names.any(|name| name.contains(".wal")) {
        _ if is_done => Progress::Done,
        true => Progress::Begun,
        false => Progress::Nothing,
    }
}

/// The directory of a backup holds all of it, is marked as unfinished, or holds nothing. From the
/// first segment to the last step it says that it does not: no other error does, and no empty log.
async fn assert_whole_or_refused(disk: &SimDisk, progress: Progress) {
    match read(disk, BACKUP).await {
        Ok((records, _)) if progress == Progress::Nothing => assert_eq!(records, []),
        Ok((records, was_closed)) => {
            assert!(was_closed);
            assert_eq!(numbers_of(&records), NUMBERS.collect::<Vec<_>>());
        }
        Err(Error::UnfinishedRestore { .. }) => assert_ne!(progress, Progress::Done),
        Err(error) => assert_eq!(progress, Progress::Nothing, "{error}"),
    }
}

/// A log whose backup was under way when the power was cut at this operation, and whether the backup
/// was done before.
fn backup_until(cut: u64) -> (SimDisk, bool) {
    run(async {
        let (disk, wal) = log().await;
        disk.cut_power_at(disk.operations() + cut);
        let outcome = wal.backup(BACKUP).await;
        (disk, outcome.is_ok())
    })
}

#[test]
fn a_power_cut_leaves_a_whole_backup_or_none() {
    let (mut cut, mut tried, mut is_done) = (0, 0, false);
    while !is_done {
        let disk;
        (disk, is_done) = backup_until(cut);
        let progress = progress(&disk, is_done);
        for (index, survival) in survivals(&disk).into_iter().enumerate() {
            tried += 1;
            let disk = disk.fork();
            disk.reseed(index as u64);
            disk.restart(survival);
            run(async {
                assert_whole_or_refused(&disk, progress).await;
                let (records, _) = read(&disk, DIR).await.unwrap();
                assert_eq!(numbers_of(&records), NUMBERS.collect::<Vec<_>>());
            });
        }
        cut += 1;
    }
    println!("{cut} operations, {tried} cuts");
    assert!(cut > 15, "{cut}");
}

#[test]
fn a_power_cut_leaves_a_directory_that_says_what_it_is() {
    copies::a_copy_is_whole_or_says_that_it_is_not();
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_backup_or_none() {
    let (mut cut, mut is_done) = (0, false);
    while !is_done {
        let disk;
        (disk, is_done) = backup_until(cut);
        let progress = progress(&disk, is_done);
        disk.kill();
        run(assert_whole_or_refused(&disk, progress));
        cut += 1;
    }
}

/// The log is not harmed, and the backup can be made again.
#[test]
fn a_call_that_fails_ends_the_backup_and_nothing_else() {
    let operations = [
        Operation::List,
        Operation::Create,
        Operation::Open,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Remove,
    ];
    let mut failed = 0;
    for operation in operations {
        for error in [ErrorKind::Other, ErrorKind::StorageFull] {
            for skip in 0.. {
                if !run(fails(operation, skip, error)) {
                    assert!(skip > 0, "{operation:?} is never asked for");
                    break;
                }
                failed += 1;
            }
        }
    }
    println!("{failed} failures");
}

/// Returns whether something failed.
async fn fails(operation: Operation, skip: u64, error: ErrorKind) -> bool {
    let (disk, wal) = log().await;
    disk.fail(operation, skip, error);
    let outcome = wal.backup(BACKUP).await;
    if disk.clear_faults() == 1 {
        outcome.unwrap();
        return false;
    }
    let failure = outcome.unwrap_err();
    assert!(matches!(failure, Error::Io(_)), "{failure:?}");
    if !names(&disk, BACKUP).is_empty() {
        assert_whole_or_refused(&disk, progress(&disk, false)).await;
        disk.remove_dir(BACKUP).unwrap();
    }
    assert_eq!(wal.backup(BACKUP).await.unwrap(), Lsn::new(40));
    assert_holds(&disk, NUMBERS).await;
    append(&wal, 41..=60).await;
    wal.close().await.unwrap();
    options().open_on(&disk, DIR).await.unwrap();
    true
}
