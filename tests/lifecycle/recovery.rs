//! Reading a log back, and appending to it.

use futures::{FutureExt, StreamExt, TryStreamExt};
use tidewal::Lsn;

use crate::helpers::{assert_records, assert_report, log_of, payload, recover, segments};
use crate::support::{DIR, options, run};

#[test]
fn recovery_delivers_every_record_of_many_segments_and_reports_them() {
    run(async {
        let disk = log_of(30).await;
        let (records, report) = recover(&options(), &disk).await;
        assert_records(&records, 1..=30);
        assert_report(&disk, &report, 1..=30);
        let mut reader = options().read_on(&disk, DIR).await.unwrap();
        let records: Vec<_> = (&mut reader).try_collect().await.unwrap();
        assert_records(&records, 1..=30);
        assert_eq!(reader.report(), &report);
    });
}

#[test]
fn the_report_keeps_up_with_what_was_delivered() {
    run(async {
        let disk = log_of(30).await;
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        assert_eq!(recovery.report().records, 0);
        assert_eq!(recovery.report().segments, segments(&disk).len() as u64);
        let mut before = recovery.report().clone();
        while let Some(record) = recovery.try_next().await.unwrap() {
            let report = recovery.report().clone();
            assert!(report.records >= before.records.max(record.lsn.get()));
            assert!(report.end >= before.end.max(record.lsn));
            assert!(report.bytes >= before.bytes);
            before = report;
        }
        assert_report(&disk, recovery.report(), 1..=30);
    });
}

#[test]
fn recovery_starts_at_any_record() {
    run(async {
        let disk = log_of(30).await;
        for first in 1..=31 {
            let options = options().start_at(Lsn::new(first));
            let (records, report) = recover(&options, &disk).await;
            assert_records(&records, first..=30);
            assert_report(&disk, &report, first..=30);
        }
    });
}

#[test]
fn a_log_whose_recovery_started_late_goes_on_at_its_end() {
    run(async {
        let disk = log_of(30).await;
        for first in [1, 15, 30, 31] {
            let disk = disk.fork();
            let options = options().start_at(Lsn::new(first));
            let recovery = options.recover_on(&disk, DIR).await.unwrap();
            let wal = recovery.into_wal().await.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::new(30));
            assert_eq!(wal.append(payload(31)).await.unwrap(), Lsn::new(31));
            wal.close().await.unwrap();
            assert_records(&recover(&crate::support::options(), &disk).await.0, 1..=31);
        }
    });
}

#[test]
fn a_recovery_that_is_dropped_half_way_changes_nothing() {
    run(async {
        let disk = log_of(10).await;
        let (operations, before) = (disk.operations(), disk.files(DIR));
        for to_read in 0..=11 {
            let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
            for _ in 0..to_read {
                recovery.try_next().await.unwrap();
            }
            drop(recovery);
        }
        assert_eq!((disk.operations(), disk.files(DIR)), (operations, before));
        assert_records(&recover(&options(), &disk).await.0, 1..=10);
    });
}

#[test]
fn a_log_goes_on_though_its_recovery_was_not_read_to_the_end() {
    run(async {
        let disk = log_of(10).await;
        for to_read in 0..=10 {
            let disk = disk.fork();
            let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
            for number in 1..=to_read {
                let record = recovery.try_next().await.unwrap().unwrap();
                assert_records(&[record], number..=number);
            }
            let wal = recovery.into_wal().await.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::new(10));
            assert_eq!(wal.append(payload(11)).await.unwrap(), Lsn::new(11));
            wal.close().await.unwrap();
            assert_records(&recover(&options(), &disk).await.0, 1..=11);
        }
    });
}

/// `Recovery::try_next`: "Cancel safe: if the future is dropped before it completes, no record is lost."
///
/// `Recovery`: "`try_next` and the stream are cancel safe: if the future is dropped before it completes,
/// no record is lost."
#[test]
fn a_next_that_is_dropped_loses_no_record() {
    run(async {
        let disk = log_of(30).await;
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let mut records = Vec::new();
        let mut dropped = 0;
        loop {
            match recovery.try_next().now_or_never() {
                Some(next) => match next.unwrap() {
                    Some(record) => records.push(record),
                    None => break,
                },
                None => dropped += 1,
            }
            tokio::task::yield_now().await;
        }
        assert!(dropped > 0, "otherwise this shows nothing");
        assert_records(&records, 1..=30);
    });
}

#[test]
fn a_stream_that_has_ended_stays_so() {
    run(async {
        let disk = log_of(3).await;
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        while recovery.try_next().await.unwrap().is_some() {}
        for _ in 0..3 {
            assert_eq!(recovery.try_next().await.unwrap(), None);
            assert!(recovery.next().await.is_none());
        }
        recovery.into_wal().await.unwrap().close().await.unwrap();
    });
}

#[test]
fn recovering_again_and_again_gives_the_same() {
    run(async {
        let disk = log_of(10).await;
        let (_, report) = recover(&options(), &disk).await;
        for _ in 0..5 {
            let recovery = options().recover_on(&disk, DIR).await.unwrap();
            recovery.into_wal().await.unwrap().close().await.unwrap();
            let (records, again) = recover(&options(), &disk).await;
            assert_records(&records, 1..=10);
            assert_eq!(again, report);
        }
    });
}
