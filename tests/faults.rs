//! Every call to the disk fails once (promise P5): nothing acknowledged is lost, no caller hangs,
//! each waiting caller gets the cause, and reopening works.
//!
//!     cargo test --release --test faults -- --nocapture

use std::io;
use std::time::Duration;

use futures::future::join_all;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Lsn, Wal};
use tidewal_testing::harness::faults::{EVERYTHING, FAULTS, Scenario, cause};
use tidewal_testing::harness::oracle::Oracle;
use tidewal_testing::harness::steps::Driver;
use tidewal_testing::harness::steps::Step::{
    self, Append, Cancelled, Drop, Idle, Sync, Together, Truncate, Written,
};
use tidewal_testing::support::{DIR, options, policies, run, spares};

/// Many producers, some of which do not wait, and recycled segments.
const PRODUCERS: &[Step] = &[
    Together(12, 100),
    Cancelled(4, 800),
    Together(8, 4000),
    Truncate(2),
    Together(6, 5000),
    Cancelled(2, 9000),
    Truncate(0),
    Together(8, 4000),
    Drop,
    Written(20),
    Together(3, 20),
    Idle,
];

fn everything_goes_wrong_once(steps: &[Step], has_spares: bool) {
    for policy in policies() {
        let scenario = Scenario {
            policy,
            steps,
            has_spares,
        };
        for &(operation, faults) in FAULTS {
            for &fault in faults {
                let count = scenario.fail_everywhere(operation, fault);
                println!("{policy:?}: {operation:?}, {fault:?}: {count} places");
                assert!(count > 1, "the workload hardly uses {operation:?}");
            }
        }
    }
}

#[test]
fn every_call_fails_once_in_a_workload_of_everything() {
    everything_goes_wrong_once(EVERYTHING, true);
}

/// Without a preallocator, the call and what the log does meanwhile determine the row of the table,
/// so each failure has exactly one outcome.
#[test]
fn every_failed_call_does_what_its_row_says() {
    everything_goes_wrong_once(EVERYTHING, false);
}

#[test]
fn every_call_fails_once_under_many_producers() {
    everything_goes_wrong_once(PRODUCERS, true);
}

async fn open(disk: &SimDisk) -> Wal {
    options().open_on(disk, DIR).await.unwrap()
}

#[test]
fn a_failed_sync_poisons_the_log_for_good_and_everybody_learns_why() {
    run(async {
        let disk = SimDisk::new(1);
        disk.set_sync_time(Duration::from_millis(1));
        let wal = open(&disk).await;
        wal.append("first").await.unwrap();
        let syncs = disk.operations();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        let answers = join_all((0..10).map(|_| wal.append("waiting"))).await;
        for answer in answers {
            let error = answer.unwrap_err();
            assert!(matches!(error, Error::OutcomeUnknown(_)) && error.is_outcome_unknown());
            assert_eq!(cause(&error).unwrap().kind(), io::ErrorKind::Other);
        }
        let after = disk.operations();
        assert_eq!(
            after - syncs,
            2,
            "one write, one sync, and nothing is tried again"
        );
        for error in [
            wal.append("later").await.unwrap_err(),
            wal.try_submit("later").unwrap_err().into(),
            wal.sync().await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Poisoned(_)) && !error.is_outcome_unknown());
            assert_eq!(cause(&error).unwrap().kind(), io::ErrorKind::Other);
        }
        let error = wal.close().await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
        assert_eq!(disk.operations(), after);
    });
}

#[test]
fn what_waited_behind_a_failed_batch_is_certainly_not_appended() {
    run(async {
        let disk = SimDisk::new(1);
        disk.set_sync_time(Duration::from_millis(1));
        let wal = open(&disk).await;
        wal.append("first").await.unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        let in_flight = wal.submit("in flight").await.unwrap();
        tokio::time::sleep(Duration::from_micros(500)).await;
        let waiting = wal.submit("waiting").await.unwrap();
        assert!(matches!(in_flight.await, Err(Error::OutcomeUnknown(_))));
        assert!(matches!(waiting.await, Err(Error::Poisoned(_))));
        drop(wal);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let mut payloads = Vec::new();
        while let Some(record) = recovery.try_next().await.unwrap() {
            payloads.push(record.payload);
        }
        assert!(!payloads.contains(&"waiting".into()));
    });
}

/// Several peers have this bug: they trust the page cache after a failed sync.
#[test]
fn regression_what_a_failed_sync_left_in_the_cache_is_written_again_before_it_is_called_durable() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        wal.append("first").await.unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        wal.append("only in the cache").await.unwrap_err();
        drop(wal);
        tokio::time::sleep(Duration::from_millis(1)).await;
        // The process restarts and reads the record from the cache.
        let wal = open(&disk).await;
        assert_eq!(wal.durable_lsn().get(), 2);
        disk.restart(Survival::Nothing);
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        recovery.try_next().await.unwrap();
        let second = recovery
            .try_next()
            .await
            .unwrap()
            .expect("it was called durable");
        assert_eq!(second.payload, "only in the cache");
    });
}

#[test]
fn a_full_disk_refuses_appends_and_nothing_else_and_recovers_with_room() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(0);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        disk.set_quota(Some(3 * 16 * 1024));
        let mut oracle = Oracle::default();
        let mut driver = Driver::new(&disk, &options, &mut oracle);
        let mut wal = driver.go_on(wal, &[Append(7000)]).await.unwrap();
        let full = loop {
            match driver.go_on(wal.clone(), &[Append(7000)]).await {
                Ok(same) => wal = same,
                Err(error) => break error,
            }
        };
        assert!(
            matches!(full, Error::StorageFull(_)) && !full.is_outcome_unknown(),
            "{full:?}"
        );
        assert_eq!(driver.oracle.durable.len(), 3);
        // Records that fit into the open segment are still appended.
        let wal = driver.go_on(wal, &[Append(100), Sync]).await.unwrap();
        assert!(matches!(
            wal.append(vec![0; 7000]).await,
            Err(Error::StorageFull(_))
        ));
        let more = [Truncate(1), Append(7000), Append(7000)];
        let wal = driver.go_on(wal, &more).await.unwrap();
        wal.close().await.unwrap();
        driver.recover().await.unwrap();
    });
}

const BIG: &[u8] = &[7; 7000];

/// A log whose segments each hold one large record and some small ones, without a ready spare.
async fn open_with_one_segment(disk: &SimDisk) -> Wal {
    let wal = options()
        .spare_segments(0)
        .open_on(disk, DIR)
        .await
        .unwrap();
    wal.append(BIG).await.unwrap();
    wal
}

async fn recovered(disk: &SimDisk) -> u64 {
    let mut reader = options().read_on(disk, DIR).await.unwrap();
    while reader.try_next().await.unwrap().is_some() {}
    reader.report().end.get()
}

#[test]
fn what_fails_while_a_segment_is_prepared_refuses_appends_and_nothing_else() {
    let prepares = [
        Operation::Create,
        Operation::Allocate,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
    ];
    for operation in prepares {
        run(async {
            let disk = SimDisk::new(1);
            let wal = open_with_one_segment(&disk).await;
            disk.fail_on(operation, ".spare", 0, io::ErrorKind::Other);
            let refused = wal.append(BIG).await.unwrap_err();
            let is_refused = matches!(refused, Error::SegmentUnavailable(_));
            assert!(is_refused && !refused.is_outcome_unknown(), "{refused:?}");
            assert_eq!(cause(&refused).unwrap().kind(), io::ErrorKind::Other);
            assert_eq!(wal.stats().segment_unavailable, 1);
            assert!(
                disk.files(DIR).iter().all(|name| !name.contains(".spare")),
                "what failed does not stay: {operation:?}"
            );
            assert_eq!(wal.append("fits").await.unwrap().get(), 2);
            assert_eq!(wal.append(BIG).await.unwrap().get(), 3);
            disk.restart(Survival::Nothing);
            assert_eq!(recovered(&disk).await, 3, "{operation:?}");
        });
    }
}

/// The name may now belong to a segment that the log does not know about.
#[test]
fn a_rename_of_unknown_outcome_poisons() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        disk.fail_on(Operation::Rename, ".spare", 0, io::ErrorKind::Other);
        disk.write_file(format!("{DIR}/00000000000000000002.wal"), vec![0; 5000]);
        let error = wal.append(BIG).await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
    });
}

/// A remote file system that loses an answer repeats the request, and reports the second result.
/// Further records in the old segment would be after the end that the new one names, and the next
/// recovery would drop them.
#[test]
fn regression_a_rename_that_was_done_and_says_that_a_name_is_missing_or_taken_poisons() {
    for kind in [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = open_with_one_segment(&disk).await;
            disk.fail_after_rename(".spare", 0, kind);
            let error = wal.append(BIG).await.unwrap_err();
            assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
            let error = wal.append("fits").await.unwrap_err();
            assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
            assert_eq!(recovered(&disk).await, 1);
        });
    }
}

#[test]
fn a_name_that_another_file_has_is_refused() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        disk.write_file(format!("{DIR}/00000000000000000002.wal"), vec![0; 5000]);
        let error = wal.append(BIG).await.unwrap_err();
        assert!(matches!(error, Error::SegmentUnavailable(_)), "{error:?}");
        assert!(disk.remove_file(format!("{DIR}/00000000000000000002.wal")));
        assert_eq!(wal.append(BIG).await.unwrap().get(), 2);
    });
}

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
fn the_segment_before_is_opened_before_the_new_one_exists() {
    run(async {
        let disk = SimDisk::new(1);
        open_with_one_segment(&disk).await.close().await.unwrap();
        let wal = open(&disk).await;
        disk.fail_on(Operation::Open, ".wal", 0, io::ErrorKind::Other);
        let refused = wal.append("refused").await.unwrap_err();
        assert!(
            matches!(refused, Error::SegmentUnavailable(_)),
            "{refused:?}"
        );
        assert_eq!(wal.append("appended").await.unwrap().get(), 2);
        wal.close().await.unwrap();
        assert_eq!(recovered(&disk).await, 2);
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

/// The first segment of a log with spares gets zeros after its records, because no spare was ready
/// for it.
#[test]
fn zeros_for_which_there_is_no_space_are_left_out() {
    for is_short in [false, true] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = options().open_on(&disk, DIR).await.unwrap();
            if is_short {
                disk.short_io(Operation::Write, 2);
            }
            let zeros = 1 + u64::from(is_short);
            disk.fail_on(Operation::Write, ".wal", zeros, io::ErrorKind::StorageFull);
            assert_eq!(wal.append("record").await.unwrap().get(), 1);
            let failed = (Operation::Write, "00000000000000000001.wal".to_owned());
            assert_eq!(disk.failed_operations(), [failed], "{is_short}");
            assert_eq!(wal.append("next").await.unwrap().get(), 2);
            disk.restart(Survival::Nothing);
            assert_eq!(recovered(&disk).await, 2);
        });
    }
}

#[test]
fn zeros_that_fail_for_another_reason_poison() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        disk.fail_on(Operation::Write, ".wal", 1, io::ErrorKind::Other);
        let error = wal.append("record").await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
        let error = wal.append("later").await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
    });
}

/// The writer removes a file that did not become a segment. If it cannot, it still says why the
/// file did not.
#[test]
fn a_spare_that_cannot_be_removed_either_stays_until_the_next_start() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        disk.fail_on(Operation::Sync, ".spare", 0, io::ErrorKind::Other);
        disk.fail_on(
            Operation::Remove,
            ".spare",
            0,
            io::ErrorKind::PermissionDenied,
        );
        let refused = wal.append(BIG).await.unwrap_err();
        assert!(
            matches!(refused, Error::SegmentUnavailable(_)),
            "{refused:?}"
        );
        assert_eq!(cause(&refused).unwrap().kind(), io::ErrorKind::Other);
        assert_eq!(spares(&disk).len(), 1);
        assert_eq!(wal.append(BIG).await.unwrap().get(), 2);
        assert_eq!(spares(&disk).len(), 1, "it is not used");
        wal.close().await.unwrap();
        let options = options().spare_segments(0);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        assert!(spares(&disk).is_empty());
        wal.close().await.unwrap();
        assert_eq!(recovered(&disk).await, 2);
    });
}

/// The mark only covers records that are durable anyway.
#[test]
fn a_failed_idle_mark_changes_nothing() {
    for operation in [Operation::Open, Operation::Write] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = open_with_one_segment(&disk).await;
            disk.fail_on(operation, ".wal", 0, io::ErrorKind::Other);
            let before = disk.operations();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(disk.failed_operations().len(), 1, "{operation:?}");
            let tried = u64::from(operation == Operation::Write);
            assert_eq!(disk.operations() - before, tried, "it is not tried again");
            wal.append("goes on").await.unwrap();
            wal.close().await.unwrap();
            assert_eq!(recovered(&disk).await, 2);
        });
    }
}

/// A log with ready spares.
async fn open_with_spares(disk: &SimDisk) -> Wal {
    let wal = options()
        .spare_segments(2)
        .open_on(disk, DIR)
        .await
        .unwrap();
    wal.append(BIG).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(spares(disk).len(), 2);
    wal
}

/// Each removed spare was tried, and its failure refused a batch.
#[test]
fn regression_spares_that_were_removed_refuse_no_append() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_spares(&disk).await;
        for name in spares(&disk) {
            assert!(disk.remove_file(format!("{DIR}/{name}")));
        }
        assert_eq!(wal.append(BIG).await.unwrap().get(), 2);
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

#[test]
fn regression_a_sync_with_nothing_to_do_fails_where_the_directory_was_removed() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        wal.sync().await.unwrap();
        disk.remove_dir(DIR).unwrap();
        let error = wal.sync().await.unwrap_err();
        assert_eq!(cause(&error).unwrap().kind(), io::ErrorKind::NotFound);
        let error = wal.append("later").await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
    });
}
