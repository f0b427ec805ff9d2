//! Disks that fail or are full, and directories with other contents.

use std::io;
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Lsn};
use tidewal_openraft::{OpenError, RaftLogOptions};

use super::api::openraft_traits::RaftLogStorage;
use super::api::{
    Calls, RaftLog, Vote, callback, is_out_of_order, log_id, open as try_open, open_with, text,
};
use super::state::{Model, entry, state_of};
use crate::support::{DIR, options, run};

/// The number of records of a vote: the vote, the padding and its proof.
const VOTE: u64 = 3;

/// Every record is a separate batch, and there are no spare files.
async fn open(disk: &SimDisk) -> RaftLog {
    let options = options().max_batch_records(1).spare_segments(0);
    try_open(options, disk).await.unwrap()
}

#[test]
fn a_failed_sync_reaches_every_call_with_its_cause() {
    run(async {
        let disk = SimDisk::new(1);
        let mut log = open(&disk).await;
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        let error = log.append_durably([entry(1, 0, vec![0])]).await;
        assert!(text(&error.unwrap_err()).contains("cannot sync"));
        let failures = [
            log.save_vote(&Vote::new(2, 1)).await,
            log.save_committed(None).await,
            log.truncate_since(0).await,
            log.purge(log_id(1, 0)).await,
            log.append_durably([]).await,
            log.append_durably([entry(1, 1, vec![0])]).await,
        ];
        for failure in failures {
            let text = text(&failure.unwrap_err());
            assert!(text.contains("cannot sync"), "{text}");
        }
        drop(log);
        let vote = open(&disk).await.saved_vote().await;
        assert_eq!(vote, Some(Vote::new(1, 1)));
    });
}

#[test]
fn a_failure_while_nothing_waits_reaches_the_next_call() {
    run(async {
        let disk = SimDisk::new(2);
        let mut log = open(&disk).await;
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        disk.fail(Operation::Write, 0, io::ErrorKind::Other);
        log.save_committed(None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(log.save_vote(&Vote::new(2, 1)).await.is_err());
    });
}

/// Fills the disk, so a large entry is refused, and with it a small one after it for which there is
/// room.
async fn refuse_some(disk: &SimDisk, log: &mut RaftLog) {
    let next = state_of(log).await.next_index();
    log.append_durably([entry(1, next, vec![0; 9000])])
        .await
        .unwrap();
    disk.set_quota(Some(0));
    let (large, large_flushed) = callback();
    let (small, small_flushed) = callback();
    log.append([entry(2, next + 1, vec![1; 9000])], large)
        .await
        .unwrap();
    log.append([entry(2, next + 2, vec![2])], small)
        .await
        .unwrap();
    let errors = [large_flushed.await, small_flushed.await];
    for error in errors {
        let error = text(&error.unwrap_err());
        assert!(error.contains("the disk is full"), "{error}");
    }
    assert!(log.save_vote(&Vote::new(9, 1)).await.is_err());
    disk.set_quota(None);
}

/// A log that lacks one of its records, so the records after it are void, as an appender that
/// continues after a refusal leaves it. This crate does not write such logs, but reads them.
async fn without(missing: Lsn, log: RaftLog, disk: &SimDisk) -> SimDisk {
    drop(log);
    let mut records = options().recover_on(disk, DIR).await.unwrap();
    let copy = SimDisk::new(5);
    let wal = options().open_on(&copy, DIR).await.unwrap();
    while let Some(record) = records.try_next().await.unwrap() {
        if record.lsn != missing {
            wal.append(record.payload).await.unwrap();
        }
    }
    wal.close().await.unwrap();
    copy
}

/// A node with a vote and one entry, which continues as if nothing came after them.
async fn live_on_behind_one_entry(disk: &SimDisk) {
    for life in 0..3 {
        disk.restart(Survival::Nothing);
        let mut log = open(disk).await;
        let state = state_of(&mut log).await;
        assert_eq!(state.vote, Some(Vote::new(1, 1).into()));
        assert_eq!(state.next_index(), life + 1);
        assert_eq!(state.entries.get(&0).unwrap().1, 9000);
        log.append_durably([entry(3, life + 1, vec![3])])
            .await
            .unwrap();
    }
}

#[test]
fn nothing_is_recorded_behind_a_refused_record() {
    run(async {
        let disk = SimDisk::new(3);
        let mut log = open(&disk).await;
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        refuse_some(&disk, &mut log).await;
        drop(log);
        assert_eq!(count_records(&disk).await, VOTE + 1, "vote and first entry");
        live_on_behind_one_entry(&disk).await;
    });
}

#[test]
fn what_follows_a_missing_record_counts_for_nothing() {
    run(async {
        let disk = SimDisk::new(3);
        let mut log = open(&disk).await;
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        for (term, index, len) in [(1, 0, 9000), (2, 1, 9000), (2, 2, 1)] {
            let entry = entry(term, index, vec![0; len]);
            log.append_durably([entry]).await.unwrap();
        }
        let disk = without(Lsn::new(VOTE + 2), log, &disk).await;
        assert_eq!(
            count_records(&disk).await,
            VOTE + 2,
            "vote, first entry and last"
        );
        live_on_behind_one_entry(&disk).await;
    });
}

/// Void records can be the first ones of a segment. Since a reopened log continues in another
/// segment, the log never begins with such a segment.
#[test]
fn void_records_in_a_segment_of_their_own_go_with_it() {
    run(async {
        let disk = SimDisk::new(4);
        let mut log = open(&disk).await;
        for index in 0..3 {
            log.append_durably([entry(1, index, vec![0; 9000])])
                .await
                .unwrap();
        }
        let disk = without(Lsn::new(2), log, &disk).await;
        assert_eq!(count_records(&disk).await, 2);

        let mut log = open(&disk).await;
        assert_eq!(state_of(&mut log).await.next_index(), 1);
        log.append_durably([entry(2, 1, vec![3; 100])])
            .await
            .unwrap();
        log.purge(log_id(1, 0)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let expected = state_of(&mut log).await;
        drop(log);
        for _ in 0..2 {
            assert_eq!(state_of(&mut open(&disk).await).await, expected);
        }
        let mut reader = options().read_on(&disk, DIR).await.unwrap();
        let first = reader.try_next().await.unwrap().unwrap();
        assert_eq!(first.lsn, Lsn::new(3), "the void record is still there");
    });
}

/// The next such operation fails because the disk is full, and later ones succeed.
#[test]
fn what_is_refused_at_a_rotation_takes_what_follows_with_it() {
    let tried = [Operation::Allocate, Operation::Create, Operation::Write]
        .into_iter()
        .filter(|operation| run(refuse_once(*operation)))
        .count();
    assert!(tried > 0, "there was never room for the second one only");
}

/// Returns whether the operation was one that a record needed.
async fn refuse_once(operation: Operation) -> bool {
    let disk = SimDisk::new(4);
    let mut log = open(&disk).await;
    log.append_durably([entry(1, 0, vec![0; 9000])])
        .await
        .unwrap();
    disk.fail(operation, 0, io::ErrorKind::StorageFull);
    let (first, first_flushed) = callback();
    let (second, second_flushed) = callback();
    log.append([entry(1, 1, vec![1; 9000])], first)
        .await
        .unwrap();
    log.append([entry(1, 2, vec![2; 9000])], second)
        .await
        .unwrap();
    let was_refused = first_flushed.await.is_err();
    assert_eq!(second_flushed.await.is_err(), was_refused);
    drop(log);
    let recorded = if was_refused { 1 } else { 3 };
    assert_eq!(count_records(&disk).await, recorded);
    let next = state_of(&mut open(&disk).await).await.next_index();
    assert_eq!(next, recorded);
    was_refused
}

#[test]
fn the_very_first_record_can_be_the_refused_one() {
    run(async {
        let disk = SimDisk::new(11);
        let mut log = open(&disk).await;
        disk.fail(Operation::Allocate, 0, io::ErrorKind::StorageFull);
        let (first, first_flushed) = callback();
        let (second, second_flushed) = callback();
        log.append([entry(1, 0, vec![1])], first).await.unwrap();
        log.append([entry(1, 1, vec![2])], second).await.unwrap();
        assert!(first_flushed.await.is_err());
        assert!(second_flushed.await.is_err());
        drop(log);
        assert_eq!(count_records(&disk).await, 0);
        begin_with_a_vote(&disk).await;
    });
}

#[test]
fn the_very_first_record_can_be_the_missing_one() {
    run(async {
        let disk = SimDisk::new(11);
        let mut log = open(&disk).await;
        for index in 0..2 {
            log.append_durably([entry(1, index, vec![1])])
                .await
                .unwrap();
        }
        let disk = without(Lsn::FIRST, log, &disk).await;
        assert_eq!(count_records(&disk).await, 1);
        begin_with_a_vote(&disk).await;
    });
}

async fn begin_with_a_vote(disk: &SimDisk) {
    let mut log = open(disk).await;
    assert_eq!(state_of(&mut log).await, Model::default());
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    drop(log);
    let vote = open(disk).await.saved_vote().await;
    assert_eq!(vote, Some(Vote::new(1, 1)));
}

async fn count_records(disk: &SimDisk) -> u64 {
    let mut reader = options().read_on(disk, DIR).await.unwrap();
    while reader.try_next().await.unwrap().is_some() {}
    reader.report().records
}

#[test]
fn the_memory_limit_refuses_and_a_purge_helps() {
    run(async {
        let disk = SimDisk::new(5);
        let limited = RaftLogOptions::new().memory_limit(10_000);
        let mut log = open_with(options(), &limited, &disk).await.unwrap();
        let fits = log.append_durably([entry(1, 0, vec![0; 6000])]).await;
        fits.unwrap();
        let too_many = log.append_durably([entry(1, 1, vec![0; 6000])]).await;
        let text = text(&too_many.unwrap_err());
        assert!(text.contains("more than 10000 bytes"), "{text}");
        log.purge(log_id(1, 0)).await.unwrap();
        let fits = log.append_durably([entry(1, 1, vec![0; 6000])]).await;
        fits.unwrap();
    });
}

#[test]
fn an_entry_that_does_not_follow_is_refused() {
    run(async {
        let disk = SimDisk::new(6);
        let mut log = open(&disk).await;
        log.append_durably([entry(1, 5, vec![])]).await.unwrap();
        let error = log.append_durably([entry(1, 5, vec![])]).await;
        assert!(is_out_of_order(&error.unwrap_err()));
        log.append_durably([entry(1, 6, vec![])]).await.unwrap();
    });
}

#[test]
fn a_log_of_something_else_is_not_opened() {
    for payload in [
        "hello, world",
        "",
        "\u{1}\u{9}12345678",
        "\u{1}\u{2}12345678",
    ] {
        run(async {
            let disk = SimDisk::new(7);
            let wal = options().open_on(&disk, DIR).await.unwrap();
            wal.append(payload).await.unwrap();
            wal.close().await.unwrap();
            let error = try_open(options(), &disk).await.unwrap_err();
            let is_told = matches!(
                &error,
                OpenError::Unreadable {
                    lsn: Lsn::FIRST,
                    ..
                }
            );
            assert!(is_told, "{error}");
        });
    }
}

#[test]
fn a_record_out_of_turn_is_told() {
    run(async {
        let disk = SimDisk::new(8);
        let mut log = open(&disk).await;
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        drop(log);
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let record = recovery.try_next().await.unwrap().unwrap();
        let wal = recovery.into_wal().await.unwrap();
        wal.append(record.payload).await.unwrap();
        wal.close().await.unwrap();
        let error = try_open(options(), &disk).await.unwrap_err();
        assert!(matches!(error, OpenError::Unreadable { lsn, .. } if lsn == Lsn::new(VOTE + 1)));
    });
}

#[test]
fn a_log_without_its_beginning_is_told() {
    run(async {
        let disk = SimDisk::new(9);
        let mut log = open(&disk).await;
        for index in 0..5 {
            log.append_durably([entry(1, index, vec![])]).await.unwrap();
        }
        drop(log);
        for skip in [Lsn::new(3), Lsn::new(6)] {
            let error = try_open(options().start_at(skip), &disk).await.unwrap_err();
            let is_told = matches!(error, OpenError::Incomplete { first, .. } if first == skip);
            assert!(is_told, "{error}");
        }
        let mut log = open(&disk).await;
        log.purge(log_id(1, 2)).await.unwrap();
        drop(log);
        // The checkpoint needs entry 3, which is record 4.
        try_open(options().start_at(Lsn::new(4)), &disk)
            .await
            .unwrap();
        let error = try_open(options().start_at(Lsn::new(5)), &disk).await;
        assert!(matches!(error, Err(OpenError::Incomplete { .. })));
    });
}

#[test]
fn damage_is_told() {
    run(async {
        let disk = SimDisk::new(10);
        let mut log = open(&disk).await;
        for index in 0..5 {
            log.append_durably([entry(1, index, vec![0; 5000])])
                .await
                .unwrap();
        }
        drop(log);
        disk.corrupt(format!("{DIR}/00000000000000000001.wal"), |bytes| {
            bytes[5000] ^= 1;
        });
        let error = try_open(options(), &disk).await.unwrap_err();
        assert!(
            matches!(error, OpenError::Damaged(Error::Corrupt(_))),
            "{error}"
        );
    });
}
