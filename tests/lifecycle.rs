//! The life of a log: closed, dropped, left behind by its runtime, recovered, rotated, truncated.

mod support;

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{join, join_all};
use futures::{FutureExt, StreamExt, TryStreamExt};
use support::{DIR, options, policies, run};
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{
    Cut, CutReason, Durability, Error, Lsn, PendingAppend, Record, Recovery, RecoveryReport,
    SyncPolicy, Wal, WalOptions,
};
use tokio::runtime::Runtime;

// ---- Closing ---------------------------------------------------------------------------------

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
            assert_eq!(report.cut, None);
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
fn whoever_waits_for_a_place_when_the_log_closes_has_appended_or_not() {
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
        assert_eq!(report.cut, None);
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

/// One of each, all of which the log has to refuse.
async fn every_request(wal: &Wal) -> Vec<Result<(), Error>> {
    vec![
        wal.append("late").await.map(drop),
        wal.append_with("late", Durability::Written).await.map(drop),
        wal.append_batch(["late", "too"]).await.map(drop),
        wal.submit("late").await.map(drop),
        wal.try_submit("late").map(drop),
        wal.sync().await.map(drop),
        wal.truncate_before(Lsn::FIRST).await,
    ]
}

fn assert_closed(error: &Error) {
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert!(!error.is_outcome_unknown());
    assert!(error.to_string().contains("closed"), "{error}");
}

fn assert_failed(error: &Error) {
    let Error::Failed(fault) = error else {
        panic!("{error:?}");
    };
    assert_eq!(fault.action(), "sync");
    assert_eq!(fault.io_error().kind(), io::ErrorKind::Other);
    assert!(error.is_outcome_unknown());
}

// ---- Dropping --------------------------------------------------------------------------------

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
            assert!(matches!(error, Error::Full), "{error:?}");
            assert_eq!(pending.len(), 10);
            drop(wal);
            assert_answers(pending, 1..=10).await;
            let (records, report) = recover(&options, &disk).await;
            assert_records(&records, 1..=10);
            assert_eq!(report.cut, None);
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

// ---- Runtimes --------------------------------------------------------------------------------

#[test]
fn appends_in_flight_are_answered_though_their_runtime_has_ended() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let (wal, pending) = {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                let wal = options().open(dir.path()).await.unwrap();
                let pending = submit(&wal, 1..=200).await;
                (wal, pending)
            })
        };
        block_on(assert_answers(pending, 1..=200));
        Runtime::new().unwrap().block_on(async {
            assert_eq!(wal.append(payload(201)).await.unwrap(), Lsn::new(201));
            wal.close().await.unwrap();
            assert_records(&recover_dir(dir.path()).await.0, 1..=201);
        });
    });
}

#[test]
fn a_runtime_that_ends_in_the_middle_of_appends_hangs_nobody() {
    within_a_minute(|| {
        for _ in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let (acknowledged, wal) = cut_off_producers(dir.path());
            assert!(acknowledged.len() >= 50);
            Runtime::new().unwrap().block_on(async {
                let next = wal.append("from the second runtime").await.unwrap();
                assert!(acknowledged.iter().all(|lsn| *lsn < next));
                wal.sync().await.unwrap();
                wal.close().await.unwrap();
                let (records, report) = recover_dir(dir.path()).await;
                assert_dense(&records, 1..=next.get());
                assert_eq!(report.cut, None);
            });
        }
    });
}

/// Ends a runtime while its tasks append. Returns what they were told.
fn cut_off_producers(dir: &Path) -> (Vec<Lsn>, Wal) {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::new().unwrap();
    let wal = runtime.block_on(options().queue_records(4).open(dir));
    let wal = wal.unwrap();
    for _ in 0..16 {
        let (wal, tell) = (wal.clone(), tell.clone());
        runtime.spawn(async move {
            while let Ok(lsn) = wal.append("record").await {
                tell.send(lsn).unwrap();
            }
        });
    }
    drop(tell);
    let mut acknowledged: Vec<_> = told.iter().take(50).collect();
    drop(runtime);
    acknowledged.extend(told.iter());
    (acknowledged, wal)
}

#[test]
fn a_close_is_finished_though_its_runtime_has_ended() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        {
            let runtime = Runtime::new().unwrap();
            let wal = runtime.block_on(async {
                let wal = options().open(dir.path()).await.unwrap();
                drop(submit(&wal, 1..=200).await);
                wal
            });
            runtime.spawn(wal.close());
        }
        let (records, report) = block_on(recover_dir(dir.path()));
        assert_records(&records, 1..=200);
        assert_eq!(report.cut, None);
    });
}

#[test]
fn a_recovery_is_finished_on_another_runtime() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        block_on(fill_dir(dir.path(), 1..=100));
        let mut recovery = {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                let mut recovery = options().recover(dir.path()).await.unwrap();
                recovery.try_next().await.unwrap().unwrap();
                recovery
            })
        };
        Runtime::new().unwrap().block_on(async {
            let records: Vec<_> = (&mut recovery).try_collect().await.unwrap();
            assert_records(&records, 2..=100);
            let wal = recovery.into_wal().await.unwrap();
            assert_eq!(wal.append("next").await.unwrap(), Lsn::new(101));
            wal.close().await.unwrap();
        });
    });
}

#[test]
fn a_log_is_used_from_two_runtimes_at_once() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let wal = block_on(options().open(dir.path())).unwrap();
        let users = [wal.clone(), wal.clone()].map(|wal| {
            thread::spawn(move || {
                let runtime = Runtime::new().unwrap();
                let appends = async { join_all((0..200).map(|_| wal.append("record"))).await };
                runtime.block_on(appends)
            })
        });
        let answers = users.map(|user| user.join().unwrap()).into_iter().flatten();
        let lsns: BTreeSet<_> = answers.map(|answer| answer.unwrap().get()).collect();
        assert_eq!(lsns, (1..=400).collect());
        block_on(wal.close()).unwrap();
        assert_dense(&block_on(recover_dir(dir.path())).0, 1..=400);
    });
}

#[test]
fn a_log_needs_no_runtime() {
    within_a_minute(|| {
        for policy in policies() {
            let dir = tempfile::tempdir().unwrap();
            let options = options().sync_policy(policy);
            block_on(async {
                let wal = options.clone().open(dir.path()).await.unwrap();
                let written = wal.append_with(payload(1), Durability::Written).await;
                assert_eq!(written.unwrap(), Lsn::FIRST);
                let pending = wal.submit(payload(2)).await.unwrap();
                assert_eq!(wal.sync().await.unwrap(), Lsn::new(2));
                assert_eq!(pending.await.unwrap(), Lsn::new(2));
                wal.truncate_before(Lsn::new(2)).await.unwrap();
                let batch = wal.append_batch([payload(3), payload(4)]);
                let (batch, synced) = join(batch, wal.sync()).await;
                assert_eq!(batch.unwrap(), Lsn::new(3)..=Lsn::new(4));
                synced.unwrap();
                wal.close().await.unwrap();
                let mut recovery = options.recover(dir.path()).await.unwrap();
                let records: Vec<_> = (&mut recovery).try_collect().await.unwrap();
                assert_records(&records, 1..=4);
                recovery.into_wal().await.unwrap().close().await.unwrap();
            });
        }
    });
}

#[test]
fn an_interval_ends_without_a_runtime() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let policy = SyncPolicy::Interval(Duration::from_micros(500));
        let options = options().sync_policy(policy);
        block_on(async {
            let wal = options.open(dir.path()).await.unwrap();
            for number in 1..=20 {
                assert_eq!(wal.append("alone").await.unwrap(), Lsn::new(number));
            }
            wal.close().await.unwrap();
        });
    });
}

#[test]
fn on_a_simulated_disk_a_log_ends_with_its_runtime_and_says_so() {
    let disk = SimDisk::new(1);
    let (wal, pending) = run(async {
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(payload(1)).await.unwrap();
        let pending = submit(&wal, 2..=5).await;
        (wal, pending)
    });
    run(async {
        for answer in pending {
            let error = answer.await.unwrap_err();
            assert!(matches!(error, Error::Interrupted), "{error:?}");
            assert!(error.is_outcome_unknown());
        }
        for result in every_request(&wal).await {
            assert_closed(&result.unwrap_err());
        }
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        let error = wal.close().await.unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error:?}");
        let (records, _) = recover(&options(), &disk).await;
        assert_records(&records, 1..=1);
    });
}

// ---- Recovery --------------------------------------------------------------------------------

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
            assert_records(&recover(&support::options(), &disk).await.0, 1..=31);
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

// ---- Where a log was cut off -----------------------------------------------------------------

#[test]
fn a_log_that_lost_power_ends_where_nothing_was_written() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for number in 1..=3 {
            wal.append(payload(number)).await.unwrap();
        }
        cut_power(&disk, wal, Survival::Nothing).await;
        let (records, report) = recover(&options(), &disk).await;
        assert_records(&records, 1..=3);
        let offset = FIRST_FRAME + (1..=3).map(frame_len).sum::<u64>();
        assert_cut(&report, offset, CutReason::NoRecord);
        assert_eq!(report.records, 3);
    });
}

#[test]
fn a_log_that_was_adopted_is_cut_off_no_more() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(payload(1)).await.unwrap();
        cut_power(&disk, wal, Survival::Nothing).await;
        let recovery = options().recover_on(&disk, DIR).await.unwrap();
        recovery.into_wal().await.unwrap().close().await.unwrap();
        let (records, report) = recover(&options(), &disk).await;
        assert_records(&records, 1..=1);
        assert_eq!(report.cut, None);
    });
}

#[test]
fn a_record_that_was_half_written_is_cut_off() {
    let torn = async |wal: &Wal| {
        let append = wal.append_with(vec![7; 6000], Durability::Written);
        append.await.unwrap();
    };
    let reasons = tear(&torn);
    let possible = [CutReason::NoRecord, CutReason::TornRecord];
    assert_eq!(reasons, HashSet::from(possible));
}

#[test]
fn an_atomic_batch_that_was_half_written_is_cut_off_as_a_whole() {
    let torn = async |wal: &Wal| {
        let batch = [vec![7; 2000], vec![8; 2000], vec![9; 2000]];
        wal.append_batch(batch).await.unwrap();
    };
    let reasons = tear(&torn);
    assert!(reasons.contains(&CutReason::TornBatch), "{reasons:?}");
    assert!(reasons.contains(&CutReason::NoRecord), "{reasons:?}");
}

/// Cuts the power after an append that was not synced, in many ways. Returns why the log ended where
/// all of that append was lost.
fn tear(append: &impl AsyncFn(&Wal)) -> HashSet<CutReason> {
    let mut reasons = HashSet::new();
    for seed in 0..64 {
        run(async {
            let disk = SimDisk::new(seed);
            let options = manual().durability(Durability::Written);
            let wal = options.clone().open_on(&disk, DIR).await.unwrap();
            wal.append(payload(1)).await.unwrap();
            wal.sync().await.unwrap();
            append(&wal).await;
            cut_power(&disk, wal, Survival::Random).await;
            let (records, report) = recover(&options, &disk).await;
            let offset = FIRST_FRAME + frame_len(1);
            if records.len() == 1 {
                let reason = report.cut.as_ref().unwrap().reason;
                assert_cut(&report, offset, reason);
                reasons.insert(reason);
            } else {
                assert!(report.cut.unwrap().offset > offset);
            }
        });
    }
    reasons
}

/// Checks that the log was cut off there, in its first segment.
#[track_caller]
fn assert_cut(report: &RecoveryReport, expected_offset: u64, expected_reason: CutReason) {
    let cut = report.cut.as_ref().expect("the log was not closed");
    let Cut {
        segment,
        offset,
        lsn,
        reason,
        ..
    } = cut;
    assert_eq!(segment, &Path::new(DIR).join("00000000000000000001.wal"));
    assert_eq!((*offset, *lsn), (expected_offset, report.end.next()));
    assert_eq!(*reason, expected_reason);
    let message = format!(
        "{} ends at byte {offset}, before record {lsn}: {reason}",
        segment.display()
    );
    assert_eq!(cut.to_string(), message);
}

/// Cuts the power while the log is open, and starts the machine again.
async fn cut_power(disk: &SimDisk, wal: Wal, survival: Survival) {
    disk.cut_power();
    wal.close().await.unwrap_err();
    disk.restart(survival);
}

// ---- Rotation and truncation -----------------------------------------------------------------

#[test]
fn a_log_rotates_through_many_small_segments() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            for number in 1..=100 {
                assert_eq!(wal.append(big(number)).await.unwrap(), Lsn::new(number));
            }
            assert_eq!(wal.stats().segments, 100);
            wal.close().await.unwrap();
            assert_eq!(names(dir.path(), ".wal").len(), 100);
            let (records, report) = recover_dir(dir.path()).await;
            let payloads = records.iter().map(|record| record.payload.to_vec());
            assert!(payloads.eq((1..=100).map(big)));
            assert_eq!((report.segments, report.cut), (100, None));
        });
    });
}

#[test]
fn many_producers_share_many_small_segments() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let answers = join_all((0..300).map(|_| wal.append([7; 500].as_slice()))).await;
        let lsns: BTreeSet<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
        assert_eq!(lsns.len(), 300);
        assert!(wal.stats().segments > 10, "{:?}", wal.stats());
        wal.close().await.unwrap();
        assert_dense(&recover(&options(), &disk).await.0, 1..=300);
    });
}

#[test]
fn truncating_keeps_the_use_of_the_disk_flat() {
    for spares in [0, 1, 3] {
        within_a_minute(move || {
            let dir = tempfile::tempdir().unwrap();
            let options = options().spare_segments(spares);
            block_on(async {
                let wal = options.open(dir.path()).await.unwrap();
                for number in 1..=50 {
                    // Each takes a segment of its own.
                    let lsn = wal.append(big(number)).await.unwrap();
                    wal.truncate_before(lsn).await.unwrap();
                    let segments = names(dir.path(), ".wal");
                    assert_eq!(segments, [format!("{number:020}.wal")]);
                    // One may be in the making beside those that wait.
                    assert!(names(dir.path(), ".spare").len() <= spares + 1);
                }
                wal.close().await.unwrap();
                let (records, report) = recover_dir(dir.path()).await;
                assert_eq!(records.len(), 1);
                assert_eq!((report.segments, report.oldest), (1, Lsn::new(50)));
            });
        });
    }
}

#[test]
fn truncating_never_touches_a_record_at_or_above_the_mark() {
    run(async {
        let disk = log_of(30).await;
        for mark in 1..=31 {
            let disk = disk.fork();
            let wal = options().open_on(&disk, DIR).await.unwrap();
            wal.truncate_before(Lsn::new(mark)).await.unwrap();
            wal.close().await.unwrap();
            let (records, report) = recover(&options(), &disk).await;
            let oldest = report.oldest.get();
            assert!(oldest <= mark.min(30));
            assert_records(&records, oldest..=30);
            let next = segments(&disk).get(1).copied();
            assert!(next.is_none_or(|base| base > mark), "whole segments go");
        }
    });
}

#[test]
fn a_truncated_log_rotates_and_recovers() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for number in 1..=60 {
            wal.append(payload(number)).await.unwrap();
            if number % 7 == 0 {
                wal.truncate_before(Lsn::new(number - 5)).await.unwrap();
            }
        }
        wal.close().await.unwrap();
        let (records, report) = recover(&options(), &disk).await;
        let oldest = report.oldest.get();
        assert!((2..=51).contains(&oldest), "{oldest}");
        assert_records(&records, oldest..=60);
        assert_report(&disk, &report, oldest..=60);
    });
}

#[test]
fn spares_are_made_once_the_log_has_a_segment_and_used_for_the_next() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(2);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        let_it_work().await;
        assert!(spares(&disk).is_empty(), "an idle log makes no files");
        wal.append(big(1)).await.unwrap();
        let_it_work().await;
        let ready = spares(&disk);
        assert_eq!(ready.len(), 2);
        for number in 2..=3 {
            wal.append(big(number)).await.unwrap();
        }
        let left: HashSet<_> = spares(&disk).into_iter().collect();
        assert!(ready.iter().all(|name| !left.contains(name)), "{left:?}");
        let_it_work().await;
        assert_eq!(spares(&disk).len(), 2, "they are replaced");
        wal.close().await.unwrap();
    });
}

#[test]
fn spares_are_made_on_the_real_disk() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            let mut number = 0;
            while names(dir.path(), ".spare").is_empty() {
                number += 1;
                assert_eq!(wal.append(big(number)).await.unwrap(), Lsn::new(number));
            }
            wal.close().await.unwrap();
            assert_eq!(recover_dir(dir.path()).await.0.len() as u64, number);
        });
    });
}

#[test]
fn a_log_without_spares_makes_none() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(0);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        for number in 1..=10 {
            wal.append(big(number)).await.unwrap();
            assert!(spares(&disk).is_empty());
        }
        wal.truncate_before(Lsn::new(10)).await.unwrap();
        wal.close().await.unwrap();
        assert!(spares(&disk).is_empty());
    });
}

#[test]
fn truncated_segments_become_spares_and_then_segments_again() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().spare_segments(0).open_on(&disk, DIR).await;
        let wal = wal.unwrap();
        for _ in 1..=10 {
            wal.append(vec![OLD; 12_000]).await.unwrap();
        }
        wal.close().await.unwrap();

        let options = options().spare_segments(3);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.truncate_before(Lsn::new(11)).await.unwrap();
        let recycled = spares(&disk);
        assert_eq!(recycled.len(), 3, "{:?}", disk.files(DIR));
        assert!(recycled.iter().all(|name| holds_old_records(&disk, name)));

        for number in 11..=13 {
            assert_eq!(wal.append(big(number)).await.unwrap(), Lsn::new(number));
            let segment = format!("{number:020}.wal");
            assert!(holds_old_records(&disk, &segment), "behind the new ones");
        }
        wal.close().await.unwrap();
        let (records, _) = recover(&options.start_at(Lsn::new(11)), &disk).await;
        let payloads = records.iter().map(|record| record.payload.to_vec());
        assert!(payloads.eq((11..=13).map(big)));
    });
}

#[test]
fn truncated_segments_of_another_size_are_not_recycled() {
    run(async {
        for size in [20 * 1024, 32 * 1024] {
            let disk = log_of(30).await;
            let options = options().segment_size(size).spare_segments(3);
            let wal = options.open_on(&disk, DIR).await.unwrap();
            wal.truncate_before(Lsn::new(31)).await.unwrap();
            assert_eq!(segments(&disk).len(), 1);
            assert!(spares(&disk).is_empty(), "{:?}", disk.files(DIR));
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn spares_of_another_size_are_not_used() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(2);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.append("first").await.unwrap();
        let_it_work().await;
        assert_eq!(spares(&disk).len(), 2);
        wal.close().await.unwrap();

        let size = 20 * 1024;
        let wal = options.segment_size(size).open_on(&disk, DIR).await;
        let wal = wal.unwrap();
        wal.append("second").await.unwrap();
        let_it_work().await;
        wal.close().await.unwrap();
        let left = spares(&disk).into_iter();
        assert_eq!(left.len(), 2);
        let files = left.chain(["00000000000000000002.wal".into()]);
        for name in files {
            let bytes = disk.read(Path::new(DIR).join(&name)).unwrap();
            assert_eq!(bytes.len() as u64, size, "{name}");
        }
        assert_eq!(recover(&support::options(), &disk).await.0.len(), 2);
    });
}

/// Whether the bytes of records that were truncated stand in a file.
fn holds_old_records(disk: &SimDisk, name: &str) -> bool {
    let bytes = disk.read(Path::new(DIR).join(name)).unwrap();
    bytes.windows(100).any(|window| window == [OLD; 100])
}

const OLD: u8 = 0xdd;

// ---- Logs, and what is in them ---------------------------------------------------------------

/// A log of so many records in many segments, closed.
async fn log_of(count: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    let wal = options().open_on(&disk, DIR).await.unwrap();
    for number in 1..=count {
        wal.append(payload(number)).await.unwrap();
    }
    wal.close().await.unwrap();
    disk
}

async fn fill_dir(dir: &Path, numbers: std::ops::RangeInclusive<u64>) {
    let wal = options().open(dir).await.unwrap();
    for pending in submit(&wal, numbers).await {
        pending.await.unwrap();
    }
    wal.close().await.unwrap();
}

async fn submit(wal: &Wal, numbers: std::ops::RangeInclusive<u64>) -> Vec<PendingAppend> {
    let mut pending = Vec::new();
    for number in numbers {
        pending.push(wal.submit(payload(number)).await.unwrap());
    }
    pending
}

/// The payload of a record: of a length of its own, so that segments end anywhere.
fn payload(number: u64) -> Vec<u8> {
    let len = usize::try_from(number * 911 % 4000).unwrap();
    let byte = u8::try_from(number % 199).unwrap();
    vec![byte; len]
}

/// A payload that takes more than half of a segment.
fn big(number: u64) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); 7000]
}

/// Bytes that the record with this payload takes in a segment.
fn frame_len(number: u64) -> u64 {
    20 + payload(number).len() as u64
}

/// Where the first record of a segment stands.
const FIRST_FRAME: u64 = 4096;

/// Nothing is synced unless it is asked for, and no spares are made meanwhile.
fn manual() -> WalOptions {
    options().sync_policy(SyncPolicy::Manual).spare_segments(0)
}

async fn recover(options: &WalOptions, disk: &SimDisk) -> (Vec<Record>, RecoveryReport) {
    let recovery = options.clone().recover_on(disk, DIR).await.unwrap();
    read_to_end(recovery).await
}

async fn recover_dir(dir: &Path) -> (Vec<Record>, RecoveryReport) {
    read_to_end(options().recover(dir).await.unwrap()).await
}

async fn read_to_end(mut recovery: Recovery) -> (Vec<Record>, RecoveryReport) {
    let records = (&mut recovery).try_collect().await.unwrap();
    (records, recovery.report().clone())
}

#[track_caller]
fn assert_dense(records: &[Record], lsns: std::ops::RangeInclusive<u64>) {
    let found: Vec<_> = records.iter().map(|record| record.lsn.get()).collect();
    assert_eq!(found, lsns.collect::<Vec<_>>());
}

/// Checks that these are the records with these numbers, each at the LSN of its number.
#[track_caller]
fn assert_records(records: &[Record], numbers: std::ops::RangeInclusive<u64>) {
    assert_dense(records, numbers);
    for record in records {
        assert!(record.payload == payload(record.lsn.get()), "{record:?}");
    }
}

/// Checks a report on a log that was closed, of which these were delivered.
#[track_caller]
fn assert_report(
    disk: &SimDisk,
    report: &RecoveryReport,
    delivered: std::ops::RangeInclusive<u64>,
) {
    let segments = segments(disk);
    assert!(segments.len() > 1, "many segments are what this is about");
    assert_eq!(report.segments, segments.len() as u64);
    assert_eq!(report.oldest.get(), segments[0]);
    assert_eq!(report.end.get(), *delivered.end());
    assert_eq!(report.records, delivered.clone().count() as u64);
    let bytes = delivered.map(|number| payload(number).len() as u64);
    assert_eq!(report.bytes, bytes.sum());
    assert_eq!(report.cut, None);
}

async fn assert_answers(pending: Vec<PendingAppend>, lsns: std::ops::RangeInclusive<u64>) {
    let answers = join_all(pending).await.into_iter();
    let found: Vec<_> = answers.map(|answer| answer.unwrap().get()).collect();
    assert_eq!(found, lsns.collect::<Vec<_>>());
}

/// The base LSNs of the segments, in their order.
fn segments(disk: &SimDisk) -> Vec<u64> {
    let names = ending(disk.files(DIR), ".wal").into_iter();
    let bases = names.map(|name| name.trim_end_matches(".wal").parse());
    bases.map(Result::unwrap).collect()
}

fn spares(disk: &SimDisk) -> Vec<String> {
    ending(disk.files(DIR), ".spare")
}

/// The names in a directory of the real disk that end so, sorted.
fn names(dir: &Path, suffix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found = ending(names.collect(), suffix);
    found.sort();
    found
}

fn ending(mut names: Vec<String>, suffix: &str) -> Vec<String> {
    names.retain(|name| name.ends_with(suffix));
    names
}

/// Lets the log finish what it does in the background: virtual time goes on only once all tasks wait.
async fn let_it_work() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Runs a test that must not hang.
fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (end, ended) = mpsc::channel();
    let test = thread::spawn(move || {
        test();
        end.send(()).unwrap();
    });
    match ended.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("somebody waits for ever"),
        // It has ended, in one way or another.
        _ => test
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause)),
    }
}
