//! Every call to the disk goes wrong once (promise P5): nothing acknowledged is lost, nobody hangs, the
//! cause reaches whoever waits, and reopening works.
//!
//!     cargo test --release --test faults -- --nocapture

use std::io;
use std::time::Duration;

use futures::future::join_all;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Wal};
use tidewal_testing::harness::faults::{EVERYTHING, MISHAPS, Scenario, cause};
use tidewal_testing::harness::journal::Journal;
use tidewal_testing::harness::steps::Driver;
use tidewal_testing::harness::steps::Step::{
    self, Append, Cancelled, Drop, Idle, Reopen, Sync, Together, Truncate, Written,
};
use tidewal_testing::support::{DIR, options, policies, run};

/// Many producers, some of whom do not wait, and segments that come round again.
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

fn everything_goes_wrong_once(steps: &[Step]) {
    for policy in policies() {
        let scenario = Scenario { policy, steps };
        for &(operation, mishaps) in MISHAPS {
            for &mishap in mishaps {
                let count = scenario.fail_everywhere(operation, mishap);
                println!("{policy:?}: {operation:?}, {mishap:?}: {count} places");
                assert!(count > 1, "the workload hardly uses {operation:?}");
            }
        }
    }
}

#[test]
fn every_call_fails_once_in_a_workload_of_everything() {
    everything_goes_wrong_once(EVERYTHING);
}

#[test]
fn every_call_fails_once_under_many_producers() {
    everything_goes_wrong_once(PRODUCERS);
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
            assert!(matches!(error, Error::Failed(_)) && error.is_outcome_unknown());
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
            wal.try_submit("later").unwrap_err(),
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
        assert!(matches!(in_flight.await, Err(Error::Failed(_))));
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

/// Named for the bug of several peers: they believe their own page cache after a failed sync.
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
        // The process starts again and reads the record from the cache.
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
        let mut journal = Journal::default();
        let mut driver = Driver::new(&disk, &options, &mut journal);
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
        assert_eq!(driver.journal.durable.len(), 3);
        // What fits into the segment that is open still does.
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

#[test]
fn a_file_that_cannot_be_removed_is_reported_and_removed_later() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(0);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        let mut journal = Journal::default();
        let fill = [Append(12_000), Append(12_000)];
        let mut driver = Driver::new(&disk, &options, &mut journal);
        let wal = driver.go_on(wal, &fill).await.unwrap();
        disk.fail(Operation::Remove, 0, io::ErrorKind::PermissionDenied);
        let error = driver.go_on(wal.clone(), &[Truncate(0)]).await;
        assert!(matches!(error.unwrap_err(), Error::Io(_)));
        let wal = driver.go_on(wal, &[Append(10), Reopen]).await.unwrap();
        assert_eq!(disk.files(DIR), ["00000000000000000002.wal"]);
        wal.close().await.unwrap();
    });
}
