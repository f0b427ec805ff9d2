//! Logs that outlive the runtime of their users, or have none.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::TryStreamExt;
use futures::executor::block_on;
use futures::future::{join, join_all};
use tidewal::sim::SimDisk;
use tidewal::{Durability, Error, Lsn, SyncPolicy, Wal};
use tokio::runtime::Runtime;

use crate::helpers::{
    assert_answers, assert_closed, assert_dense, assert_records, every_request, fill_dir, payload,
    recover, recover_dir, submit,
};
use crate::support::{DIR, options, policies, run, within_a_minute};

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
                assert_eq!(report.torn_tail, None);
            });
        }
    });
}

/// Ends a runtime while its tasks append. Returns the LSNs that they got.
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
        assert_eq!(report.torn_tail, None);
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
