//! Every call to the disk fails once (promise P5): nothing acknowledged is lost, nobody hangs, the
//! cause reaches whoever waits, and reopening works.

mod support;

use std::error::Error as _;
use std::io;
use std::time::Duration;

use futures::future::join_all;
use support::Step::{Append, Batch, Idle, Reopen, Sync, Together, Truncate, Written};
use support::{DIR, Journal, Step, drive, options, recover_and_check, run};
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Fault, Wal};

/// A workload that uses every kind of operation several times.
fn workload() -> Vec<Step> {
    vec![
        Append(100),
        Together(5, 3000),
        Written(50),
        Sync,
        Batch(3, 3000),
        Idle,
        Truncate(1),
        Append(7000),
        Append(7000),
        Reopen,
        Append(7000),
        Together(3, 5000),
        Truncate(0),
        Append(10),
        Reopen,
    ]
}

/// Runs the workload with one fault in it. Returns whether the fault came about.
fn fail_once(operation: Operation, skip: u64, error: io::ErrorKind) -> bool {
    run(async {
        let disk = SimDisk::new(skip);
        disk.fail(operation, skip, error);
        let mut journal = Journal::default();
        let scenario = async {
            match options().open_on(&disk, DIR).await {
                Ok(wal) => drive(&disk, &options(), wal, &workload(), &mut journal).await,
                Err(error) => Err(error),
            }
        };
        let outcome = tokio::time::timeout(Duration::from_secs(3600), scenario).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("{operation:?} {skip} {error}: it hangs"));
        if let Err(seen) = &outcome {
            assert_eq!(
                cause(seen).map(io::Error::kind),
                Some(error),
                "{operation:?} {skip}: {seen:?}"
            );
        }
        drop(outcome);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let happened = disk.clear_faults() == 0;
        reopen(&disk, &journal, &format!("{operation:?} {skip} {error}")).await;
        happened
    })
}

/// Whatever failed: what was acknowledged is there when the log is opened again, and also when the
/// power is cut before that.
async fn reopen(disk: &SimDisk, journal: &Journal, label: &str) {
    for power_cut in [false, true] {
        let disk = disk.fork();
        if power_cut {
            disk.restart(Survival::Nothing);
        }
        let mut journal = journal.clone();
        let wal = recover_and_check(&disk, &options(), &mut journal).await;
        let wal = wal.unwrap_or_else(|error| panic!("{label}: power cut {power_cut}: {error:?}"));
        wal.append("more").await.unwrap();
        wal.close().await.unwrap();
    }
}

/// The error of the operating system at the root of an error.
fn cause(error: &Error) -> Option<&io::Error> {
    let mut source = error.source();
    if let Error::Io(fault) = error {
        return Some(fault.io_error());
    }
    while let Some(error) = source {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(fault.io_error());
        }
        source = error.source();
    }
    None
}

fn fail_everywhere(operation: Operation, error: io::ErrorKind) {
    let faults = (0..1000)
        .take_while(|&skip| fail_once(operation, skip, error))
        .count();
    println!("{operation:?} failed with {error} at {faults} places");
    assert!(faults > 1, "the workload hardly uses {operation:?}");
}

#[test]
fn every_write_fails_once() {
    fail_everywhere(Operation::Write, io::ErrorKind::Other);
}

#[test]
fn every_write_finds_the_disk_full_once() {
    fail_everywhere(Operation::Write, io::ErrorKind::StorageFull);
}

#[test]
fn every_sync_fails_once() {
    fail_everywhere(Operation::Sync, io::ErrorKind::Other);
}

#[test]
fn every_sync_finds_the_disk_full_once() {
    fail_everywhere(Operation::Sync, io::ErrorKind::StorageFull);
}

#[test]
fn every_directory_sync_fails_once() {
    fail_everywhere(Operation::SyncDir, io::ErrorKind::Other);
}

#[test]
fn every_allocation_fails_once() {
    fail_everywhere(Operation::Allocate, io::ErrorKind::Other);
    fail_everywhere(Operation::Allocate, io::ErrorKind::StorageFull);
}

#[test]
fn every_creation_fails_once() {
    fail_everywhere(Operation::Create, io::ErrorKind::Other);
    fail_everywhere(Operation::Create, io::ErrorKind::StorageFull);
}

#[test]
fn every_rename_and_removal_fails_once() {
    fail_everywhere(Operation::Rename, io::ErrorKind::Other);
    fail_everywhere(Operation::Remove, io::ErrorKind::PermissionDenied);
}

#[test]
fn every_open_read_and_listing_fails_once() {
    fail_everywhere(Operation::Open, io::ErrorKind::Other);
    fail_everywhere(Operation::Read, io::ErrorKind::Other);
    fail_everywhere(Operation::List, io::ErrorKind::Other);
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
        let mut wal = drive(&disk, &options, wal, &[Append(7000)], &mut journal)
            .await
            .unwrap();
        let full = loop {
            match drive(&disk, &options, wal.clone(), &[Append(7000)], &mut journal).await {
                Ok(same) => wal = same,
                Err(error) => break error,
            }
        };
        assert!(
            matches!(full, Error::StorageFull(_)) && !full.is_outcome_unknown(),
            "{full:?}"
        );
        assert_eq!(journal.durable.len(), 3);
        // What fits into the segment that is open still does.
        let wal = drive(&disk, &options, wal, &[Append(100), Sync], &mut journal)
            .await
            .unwrap();
        assert!(matches!(
            wal.append(vec![0; 7000]).await,
            Err(Error::StorageFull(_))
        ));
        let more = [Truncate(1), Append(7000), Append(7000)];
        let wal = drive(&disk, &options, wal, &more, &mut journal)
            .await
            .unwrap();
        wal.close().await.unwrap();
        recover_and_check(&disk, &options, &mut journal)
            .await
            .unwrap();
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
        let wal = drive(&disk, &options, wal, &fill, &mut journal)
            .await
            .unwrap();
        disk.fail(Operation::Remove, 0, io::ErrorKind::PermissionDenied);
        let error = drive(&disk, &options, wal.clone(), &[Truncate(0)], &mut journal).await;
        assert!(matches!(error.unwrap_err(), Error::Io(_)));
        let wal = drive(&disk, &options, wal, &[Append(10), Reopen], &mut journal)
            .await
            .unwrap();
        assert_eq!(disk.files(DIR), ["00000000000000000002.wal"]);
        wal.close().await.unwrap();
    });
}
