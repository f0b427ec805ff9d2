//! Closing a log, and dropping its last handle.

use std::io;
use std::time::Duration;

use futures::future::{join, join_all};
use futures::{FutureExt, StreamExt};
use tidewal::sim::{Operation, SimDisk};
use tidewal::{Durability, Error, Lsn, TrySubmitError};

use crate::helpers::{
    assert_answers, assert_closed, assert_records, every_request, manual, payload, recover, submit,
};
use crate::support::{DIR, options, policies, run};

#[test]
fn closing_writes_and_syncs_what_was_submitted() {
    for policy in policies() {
        run(async {
            let disk = SimDisk::new(1);
            let options = options().sync_policy(policy);
            let wal = options.clone().open_on(&disk, DIR).await.unwrap();
            let pending = submit(&wal, 1..=100).await;
            wal.close().await.unwrap();
            assert_answers(pending, 1..=100).await;
            let (records, report) = recover(&options, &disk).await;
            assert_records(&records, 1..=100);
            assert_eq!(report.torn_tail, None);
        });
    }
}

#[test]
fn other_handles_of_a_closed_log_say_so() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let other = wal.clone();
        let mut durable = other.subscribe_durable();
        wal.append("last").await.unwrap();
        wal.close().await.unwrap();
        for result in every_request(&other).await {
            assert_closed(&result.unwrap_err());
        }
        assert_eq!(other.durable_lsn(), Lsn::FIRST);
        assert_eq!(other.stats().records, 1);
        assert_eq!(durable.next().await, Some(Lsn::FIRST));
        assert_eq!(durable.next().await, None, "the stream ends with the log");
        let (records, _) = recover(&options(), &disk).await;
        assert_eq!(records.len(), 1);
    });
}

#[test]
fn a_log_can_be_closed_through_each_of_its_handles() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let (second, third) = (wal.clone(), wal.clone());
        let pending = submit(&wal, 1..=10).await;
        let (first, second) = join(wal.close(), second.close()).await;
        first.unwrap();
        second.unwrap();
        third.close().await.unwrap();
        assert_answers(pending, 1..=10).await;
    });
}

#[test]
fn a_caller_that_waits_for_room_when_the_log_closes_has_appended_or_not() {
    run(async {
        let disk = SimDisk::new(1);
        disk.set_sync_time(Duration::from_millis(5));
        let options = options().queue_records(2);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        let appends = join_all((1..=20).map(|number| {
            let append = wal.append(payload(number));
            append.map(move |result| (number, result))
        }));
        let (answers, closed) = join(appends, wal.clone().close()).await;
        closed.unwrap();
        let mut appended = Vec::new();
        for (number, result) in answers {
            match result {
                Ok(_) => appended.push(payload(number)),
                Err(error) => assert_closed(&error),
            }
        }
        assert!((2..20).contains(&appended.len()), "{}", appended.len());
        let (records, _) = recover(&options, &disk).await;
        let found: Vec<_> = records.iter().map(|r| r.payload.to_vec()).collect();
        assert_eq!(found, appended);
    });
}

#[test]
fn a_close_that_nobody_awaits_is_a_close() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let pending = submit(&wal, 1..=10).await;
        assert!(wal.close().now_or_never().is_none());
        assert_answers(pending, 1..=10).await;
        let (records, report) = recover(&options(), &disk).await;
        assert_records(&records, 1..=10);
        assert_eq!(report.torn_tail, None);
    });
}

#[test]
fn every_close_of_a_log_reports_how_it_ended() {
    run(async {
        let disk = SimDisk::new(1);
        let options = manual();
        let wal = options.open_on(&disk, DIR).await.unwrap();
        wal.append_with("written", Durability::Written)
            .await
            .unwrap();
        let other = wal.clone();
        let pending = submit(&wal, 1..=3).await;
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        for result in [wal.close().await, other.clone().close().await] {
            assert_failed(&result.unwrap_err());
        }
        for pending in pending {
            assert_failed(&pending.await.unwrap_err());
        }
        let error = other.append("too late").await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
        assert!(!error.is_outcome_unknown());
    });
}

fn assert_failed(error: &Error) {
    let Error::OutcomeUnknown(fault) = error else {
        panic!("{error:?}");
    };
    assert_eq!(fault.action(), "sync");
    assert_eq!(fault.io_error().kind(), io::ErrorKind::Other);
    assert!(error.is_outcome_unknown());
}

#[test]
fn dropping_the_last_handle_writes_a_full_queue() {
    for policy in policies() {
        run(async {
            let disk = SimDisk::new(1);
            disk.set_sync_time(Duration::from_millis(5));
            let options = options().sync_policy(policy).queue_records(10);
            let wal = options.clone().open_on(&disk, DIR).await.unwrap();
            let mut pending = Vec::new();
            let error = loop {
                match wal.try_submit(payload(pending.len() as u64 + 1)) {
                    Ok(answer) => pending.push(answer),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, TrySubmitError::Full(_)), "{error:?}");
            assert_eq!(pending.len(), 10);
            drop(wal);
            assert_answers(pending, 1..=10).await;
            let (records, report) = recover(&options, &disk).await;
            assert_records(&records, 1..=10);
            assert_eq!(report.torn_tail, None);
        });
    }
}

#[test]
fn what_was_submitted_is_written_though_nobody_is_left() {
    for policy in policies() {
        run(async {
            let disk = SimDisk::new(1);
            let options = options().sync_policy(policy);
            let wal = options.clone().open_on(&disk, DIR).await.unwrap();
            drop(submit(&wal, 1..=50).await);
            drop(wal);
            let (records, _) = recover(&options, &disk).await;
            assert_records(&records, 1..=50);
        });
    }
}

#[test]
fn only_the_last_handle_closes_the_log() {
    run(async {
        let disk = SimDisk::new(1);
        let first = options().open_on(&disk, DIR).await.unwrap();
        let second = first.clone();
        drop(first);
        assert_eq!(second.append(payload(1)).await.unwrap(), Lsn::FIRST);
        let pending = second.submit(payload(2)).await.unwrap();
        let mut durable = second.subscribe_durable();
        drop(second);
        assert_eq!(pending.await.unwrap(), Lsn::new(2));
        let followed: Vec<_> = durable.by_ref().collect().await;
        assert_eq!(followed.last(), Some(&Lsn::new(2)));
    });
}
