//! A failed sync is final.

use std::io;
use std::time::Duration;

use futures::future::join_all;
use tidewal::Error;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal_testing::harness::faults::cause;
use tidewal_testing::support::{DIR, options, run};

use crate::helpers::{open, open_with_one_segment};

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
