//! `SyncPolicy::Interval`: bounds the time from the first record of a batch to its sync.

use std::time::Duration;

use futures::future::try_join_all;
use tidewal::{Durability, Lsn, Wal, WalOptions};
use tokio::time::{Instant, sleep};

use crate::helpers::{HEADER, INTERVAL, SYNC, interval, log, ms, timed, work_since};
use crate::support::run;

#[test]
fn an_interval_ends_exactly_so_long_after_its_first_record() {
    run(async {
        let (disk, wal) = log(interval()).await;
        let operations = disk.operations();
        let first = timed(wal.append("first"));
        let later = async {
            sleep(ms(4)).await;
            assert_eq!(disk.operations(), operations, "nothing has happened yet");
            timed(wal.append("later")).await
        };
        let (first, later) = tokio::join!(first, later);
        assert_eq!(first.1, INTERVAL + SYNC);
        assert_eq!(ms(4) + later.1, INTERVAL + SYNC);
        assert_eq!(
            disk.operations() - operations,
            2,
            "one write and one sync for both"
        );
    });
}

/// Submits a record every third of an interval, for a number of intervals. Returns how long each
/// record took to become durable.
async fn steady_arrivals(wal: Wal, intervals: u32) -> Vec<Duration> {
    let mut answers = Vec::new();
    for _ in 0..3 * intervals {
        sleep(INTERVAL / 3).await;
        let wal = wal.clone();
        answers.push(tokio::spawn(async move { timed(wal.append("x")).await.1 }));
    }
    try_join_all(answers).await.unwrap()
}

/// Another log has this bug: each arrival restarts the window, so with steady arrivals nothing is
/// ever synced.
#[test]
fn later_arrivals_never_restart_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let arrivals = tokio::spawn(steady_arrivals(wal.clone(), 10));
        assert_eq!(timed(wal.append("first")).await.1, INTERVAL + SYNC);
        let longest = arrivals.await.unwrap().into_iter().max().unwrap();
        assert!(longest <= INTERVAL + SYNC, "{longest:?}");
    });
}

#[test]
fn steady_arrivals_cost_one_sync_for_each_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        steady_arrivals(wal.clone(), 10).await;
        let (batches, syncs) = work_since(&before, &wal);
        assert_eq!(batches, syncs);
        assert!((8..=10).contains(&syncs), "{syncs} syncs in 10 intervals");
    });
}

#[test]
fn an_interval_counts_from_the_submission_of_a_record_that_arrives_during_a_sync() {
    run(async {
        let (disk, wal) = log(interval()).await;
        disk.set_sync_time(ms(4));
        let first = wal.submit("first").await.unwrap();
        sleep(INTERVAL + ms(2)).await;
        assert_eq!(timed(wal.append("second")).await.1, INTERVAL + ms(4));
        first.await.unwrap();
    });
}

#[test]
fn an_interval_that_ends_during_a_sync_is_followed_by_the_next_sync_at_once() {
    run(async {
        let (disk, wal) = log(interval()).await;
        disk.set_sync_time(ms(30));
        let first = wal.submit("first").await.unwrap();
        sleep(INTERVAL + ms(2)).await;
        assert_eq!(timed(wal.append("second")).await.1, ms(28) + ms(30));
        first.await.unwrap();
    });
}

/// Submits records of this size until the batch is full, and checks that it is synced at once.
async fn fill_a_batch(options: WalOptions, bytes: usize, count: usize) {
    let (_, wal) = log(options).await;
    let payload = vec![0; bytes];
    let mut pending = Vec::new();
    for _ in 1..count {
        pending.push(wal.submit(payload.clone()).await.unwrap());
    }
    sleep(ms(3)).await;
    let before = wal.stats();
    assert_eq!(
        before.batches, 1,
        "a batch that is not full waits for its interval"
    );
    let start = Instant::now();
    pending.push(wal.submit(payload).await.unwrap());
    pending.swap_remove(0).await.unwrap();
    assert_eq!(start.elapsed(), SYNC);
    assert_eq!(work_since(&before, &wal), (1, 1));
}

#[test]
fn a_batch_with_all_the_records_it_may_have_does_not_wait_for_its_interval() {
    run(fill_a_batch(interval().max_batch_records(4), 10, 4));
}

#[test]
fn a_batch_with_all_the_bytes_it_may_have_does_not_wait_for_its_interval() {
    run(fill_a_batch(
        interval().max_batch_bytes(4 * (10 + HEADER)),
        10,
        4,
    ));
}

#[test]
fn a_batch_that_the_next_record_does_not_fit_into_does_not_wait_for_its_interval() {
    run(fill_a_batch(
        interval().max_batch_bytes(4 * (10 + HEADER) - 1),
        10,
        4,
    ));
}

#[test]
fn a_batch_that_fills_the_queue_does_not_wait_for_its_interval() {
    run(fill_a_batch(interval().queue_records(4), 10, 4));
}

#[test]
fn sync_does_not_wait_for_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let pending = wal.submit("x").await.unwrap();
        let (lsn, took) = timed(wal.sync()).await;
        assert_eq!((lsn.unwrap(), took), (Lsn::new(2), SYNC));
        assert_eq!(pending.await.unwrap(), Lsn::new(2));
    });
}

#[test]
fn closing_does_not_wait_for_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let pending = wal.submit("x").await.unwrap();
        let (closed, took) = timed(wal.close()).await;
        closed.unwrap();
        assert_eq!(took, 2 * SYNC, "the batch's sync and the seal's");
        assert_eq!(pending.await.unwrap(), Lsn::new(2));
    });
}

#[test]
fn neither_a_written_record_nor_a_truncation_moves_the_end_of_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let first = timed(wal.append("first"));
        let others = async {
            sleep(ms(2)).await;
            wal.append_with("x", Durability::Written).await.unwrap();
            sleep(ms(2)).await;
            wal.truncate_before(Lsn::FIRST).await.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        };
        assert_eq!(tokio::join!(first, others).0.1, INTERVAL + SYNC);
        assert_eq!(wal.durable_lsn(), Lsn::new(3));
        assert_eq!(wal.stats().syncs, 2, "one for both records");
    });
}
