//! First come, first served.

use futures::future::try_join_all;
use tidewal::{Lsn, PendingAppend, TrySubmitError, Wal, WalOptions};
use tokio_test::{assert_pending, assert_ready_ok, task};

use crate::helpers::{appended, log, named, next_batch, stalled, taking};
use crate::support::{options, policies, run};

#[test]
fn places_are_given_in_the_order_in_which_they_were_asked_for() {
    run(async {
        let (_, wal) = stalled(options().queue_records(2).max_batch_records(1)).await;
        drop(wal.submit("").await.unwrap());
        drop(wal.submit("").await.unwrap());
        let mut waiting = [(); 3].map(|()| task::spawn(wal.submit("")));
        for submit in &mut waiting {
            assert_pending!(submit.poll());
        }
        for turn in 0..3 {
            next_batch().await;
            let woken = waiting.each_ref().map(task::Spawn::is_woken);
            assert_eq!(woken, [0, 1, 2].map(|index| index == turn), "turn {turn}");
            drop(assert_ready_ok!(waiting[turn].poll()));
        }
    });
}

#[test]
fn a_small_record_does_not_overtake_a_large_one() {
    run(async {
        let (_, wal) = stalled(options().queue_bytes(1000)).await;
        drop(wal.submit(taking(600)).await.unwrap());
        let mut large = task::spawn(wal.submit(taking(600)));
        assert_pending!(large.poll());
        let mut small = task::spawn(wal.submit(taking(100)));
        assert_pending!(small.poll());
        assert!(matches!(wal.try_submit(""), Err(TrySubmitError::Full(_))));
        next_batch().await;
        let large = assert_ready_ok!(large.poll());
        let small = assert_ready_ok!(small.poll());
        assert!(large.await.unwrap() < small.await.unwrap());
    });
}

/// Submits more records of one task than the queue holds, and drops some of the answers.
async fn submit_in_order(wal: &Wal, task: usize, count: usize) -> Vec<(usize, PendingAppend)> {
    let mut pending = Vec::new();
    for number in 0..count {
        let payload = named(&format!("{task}/{number:03}"), number * 37 % 300);
        let answer = match wal.try_submit(payload) {
            Err(TrySubmitError::Full(payload)) => wal.submit(payload).await.unwrap(),
            submitted => submitted.unwrap(),
        };
        if number % 5 != 0 {
            pending.push((number, answer));
        }
    }
    pending
}

/// A small queue and small batches, which many records in flight exceed.
fn narrow() -> WalOptions {
    options()
        .queue_records(16)
        .queue_bytes(2000)
        .max_batch_records(7)
        .max_batch_bytes(900)
}

#[test]
fn submissions_of_a_task_keep_their_order_with_many_in_flight() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(narrow().sync_policy(policy)).await;
            let pending = submit_in_order(&wal, 0, 300).await;
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(301));
            for (number, answer) in pending {
                assert_eq!(answer.await.unwrap(), Lsn::new(2 + number as u64));
            }
            let payloads = appended(&disk, &wal).await;
            assert!(payloads.is_sorted());
            assert_eq!(payloads.len(), 300);
        });
    }
}

#[test]
fn submissions_of_each_of_many_tasks_keep_their_order() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(narrow().sync_policy(policy)).await;
            let tasks = (0..4).map(|task| {
                let wal = wal.clone();
                tokio::spawn(async move { drop(submit_in_order(&wal, task, 60).await) })
            });
            try_join_all(tasks).await.unwrap();
            let payloads = appended(&disk, &wal).await;
            assert_eq!(payloads.len(), 4 * 60);
            for task in 0..4 {
                let name = format!("{task}/");
                let of_task = payloads.iter().filter(|p| p.starts_with(name.as_bytes()));
                assert!(of_task.is_sorted(), "task {task} under {policy:?}");
            }
        });
    }
}
