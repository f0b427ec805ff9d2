//! Futures that are polled once, kept, and never polled again. No caller waits for them.

use tidewal::{Error, Lsn, TrySubmitError, Wal};
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};

use crate::helpers::{log, ms, next_batch, queued, settle, stalled, taking};
use crate::support::{options, run};

/// `Wal::submit` says "Once the log is closed, no caller waits."
#[test]
fn no_one_waits_for_a_kept_submit_once_the_log_is_closed() {
    run(async {
        let (_, wal) = stalled(options().queue_records(1)).await;
        let queued = wal.submit("queued").await.unwrap();
        let other = wal.clone();
        let mut kept = task::spawn(other.submit("kept"));
        assert_pending!(kept.poll());
        let mut behind = task::spawn(other.submit("behind"));
        assert_pending!(behind.poll());
        let mut append = task::spawn(other.append("appended"));
        assert_pending!(append.poll());
        wal.clone().close().await.unwrap();
        assert_eq!(queued.await.unwrap(), Lsn::new(3));
        assert!(behind.is_woken() && append.is_woken());
        assert!(matches!(assert_ready_err!(behind.poll()), Error::Closed));
        assert!(matches!(assert_ready_err!(append.poll()), Error::Closed));
        assert!(matches!(wal.append("later").await, Err(Error::Closed)));
        assert!(matches!(assert_ready_err!(kept.poll()), Error::Closed));
    });
}

/// `Wal::submit` says "they pass it if there is also room for them"
#[test]
fn others_pass_a_kept_submit_where_there_is_room_for_both() {
    run(async {
        let (_, wal) = stalled(options().queue_bytes(1000)).await;
        drop(wal.submit(taking(900)).await.unwrap());
        let mut kept = task::spawn(wal.submit(taking(400)));
        assert_pending!(kept.poll());
        let mut behind = task::spawn(wal.submit(taking(600)));
        assert_pending!(behind.poll());
        next_batch().await;
        assert!(kept.is_woken() && behind.is_woken());
        drop(assert_ready_ok!(behind.poll()));
        assert_eq!(queued(&wal), (600, 1));
        drop(assert_ready_ok!(kept.poll()));
    });
}

/// `Wal::submit` says "and otherwise 10 ms after it was offered room."
#[test]
fn a_kept_submit_that_needs_the_whole_queue_is_passed_after_ten_milliseconds() {
    run(async {
        let (disk, wal) = stalled(options().queue_bytes(1000)).await;
        drop(wal.submit(taking(900)).await.unwrap());
        let mut kept = task::spawn(wal.submit(taking(5000)));
        assert_pending!(kept.poll());
        let mut behind = task::spawn(wal.submit(taking(100)));
        assert_pending!(behind.poll());
        next_batch().await;
        disk.set_sync_time(ms(0));
        assert!(kept.is_woken() && !behind.is_woken());
        assert!(matches!(
            wal.try_submit(taking(100)),
            Err(TrySubmitError::Full(_))
        ));
        sleep(ms(9)).await;
        assert!(!behind.is_woken(), "it may still come");
        sleep(ms(1)).await;
        settle().await;
        assert!(behind.is_woken());
        drop(assert_ready_ok!(behind.poll()));
        // From now on it is skipped.
        for _ in 0..20 {
            wal.try_submit(taking(900)).unwrap().await.unwrap();
            wal.append(taking(1000)).await.unwrap();
        }
        drop(kept);
    });
}

/// `Wal::submit` says "When it is polled again, it comes before all callers that came after it."
#[test]
fn a_kept_submit_that_is_polled_again_has_kept_its_turn() {
    run(async {
        let (_, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let mut waiting = [(); 3].map(|()| task::spawn(wal.submit("")));
        for submit in &mut waiting {
            assert_pending!(submit.poll());
        }
        next_batch().await;
        sleep(ms(10)).await;
        settle().await;
        let [kept, second, third] = &mut waiting;
        assert!(kept.is_woken() && second.is_woken() && !third.is_woken());
        drop(assert_ready_ok!(second.poll()));
        assert_pending!(kept.poll(), "the second one has the place");
        settle().await;
        assert!(kept.is_woken() && !third.is_woken());
        drop(assert_ready_ok!(kept.poll()));
        next_batch().await;
        assert!(third.is_woken());
        drop(assert_ready_ok!(third.poll()));
    });
}

#[test]
fn a_caller_who_comes_after_many_kept_submits_waits_for_none_of_them() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(2)).await;
        drop(wal.submit("").await.unwrap());
        drop(wal.submit("").await.unwrap());
        let mut kept: Vec<_> = (0..100).map(|_| task::spawn(wal.submit("kept"))).collect();
        for submit in &mut kept {
            assert_pending!(submit.poll());
        }
        disk.set_sync_time(ms(0));
        let started = tokio::time::Instant::now();
        for _ in 0..100 {
            wal.append("x").await.unwrap();
        }
        // Two are offered room at a time, each time for ten milliseconds.
        assert!(started.elapsed() <= ms(600), "{:?}", started.elapsed());
        drop(kept);
    });
}

/// Small producers that never stop, and a large record, all of them polled when they are woken.
#[test]
fn small_records_do_not_starve_a_large_one() {
    run(async {
        let (_, wal) = log(options().queue_bytes(1000)).await;
        for _ in 0..8 {
            let wal = wal.clone();
            tokio::spawn(async move { while wal.append(taking(300)).await.is_ok() {} });
        }
        sleep(ms(100)).await;
        for _ in 0..10 {
            let started = tokio::time::Instant::now();
            drop(wal.submit(taking(1000)).await.unwrap());
            // Each of the others appends one record before it, three with each sync.
            assert!(started.elapsed() <= ms(60), "{:?}", started.elapsed());
        }
        wal.close().await.unwrap();
    });
}

/// `Wal::try_submit` says "it does not overtake them"
#[test]
fn try_submit_takes_room_that_no_one_who_waits_needs() {
    run(async {
        let (_, wal) = stalled(options().queue_bytes(1000)).await;
        drop(wal.submit(taking(900)).await.unwrap());
        let mut waiting = task::spawn(wal.submit(taking(400)));
        assert_pending!(waiting.poll());
        let full = wal.try_submit(taking(100)).unwrap_err();
        assert!(matches!(full, TrySubmitError::Full(payload) if payload == taking(100)));
        next_batch().await;
        assert!(waiting.is_woken());
        drop(wal.try_submit(taking(600)).unwrap());
        let full = wal.try_submit(taking(20)).unwrap_err();
        assert!(matches!(full, TrySubmitError::Full(payload) if payload == taking(20)));
        drop(assert_ready_ok!(waiting.poll()));
    });
}

/// The most requests without records that may be in the queue.
const CONTROLS: usize = 1024;

#[test]
fn no_one_waits_for_kept_syncs_and_truncations() {
    run(async {
        let (_, wal) = stalled(options()).await;
        let syncs = (0..CONTROLS).map(|_| task::spawn(wal.sync()));
        let mut syncs: Vec<_> = syncs.collect();
        for sync in &mut syncs {
            assert_pending!(sync.poll());
        }
        let truncate = |_| task::spawn(wal.truncate_before(Lsn::FIRST));
        let mut kept: Vec<_> = (0..3 * CONTROLS).map(truncate).collect();
        for truncate in &mut kept {
            assert_pending!(truncate.poll());
        }
        let (truncate, sync) = (wal.truncate_before(Lsn::FIRST), wal.sync());
        let mut last = task::spawn(async { tokio::try_join!(truncate, sync) });
        assert_pending!(last.poll());
        sleep(ms(60)).await;
        assert!(last.is_woken());
        last.await.unwrap();
        wal.sync().await.unwrap();
        drop((syncs, kept));
    });
}

#[test]
fn no_one_waits_for_kept_syncs_once_the_log_is_closed() {
    run(async {
        let (_, wal) = stalled(options()).await;
        let other = wal.clone();
        let syncs = (0..CONTROLS).map(|_| task::spawn(other.sync()));
        let mut syncs: Vec<_> = syncs.collect();
        for sync in &mut syncs {
            assert_pending!(sync.poll());
        }
        let mut kept = task::spawn(other.sync());
        assert_pending!(kept.poll());
        let mut behind = task::spawn(other.truncate_before(Lsn::FIRST));
        assert_pending!(behind.poll());
        wal.close().await.unwrap();
        assert!(behind.is_woken());
        let behind: Result<(), Error> = behind.await;
        assert!(matches!(behind, Ok(()) | Err(Error::Closed)), "{behind:?}");
    });
}

#[test]
fn an_interval_is_not_cut_short_by_a_kept_submit() {
    run(async {
        let policy = tidewal::SyncPolicy::Interval(ms(50));
        let (_, wal) = log(options().queue_records(2).sync_policy(policy)).await;
        drop(wal.submit("").await.unwrap());
        drop(wal.submit("").await.unwrap());
        let mut kept = task::spawn(wal.submit("kept"));
        assert_pending!(kept.poll());
        sleep(ms(40)).await;
        assert!(kept.is_woken());
        wait_for_the_interval(&wal).await;
        drop(kept);
    });
}

/// A batch waits for the end of its interval.
async fn wait_for_the_interval(wal: &Wal) {
    let mut append = task::spawn(wal.append("x"));
    assert_pending!(append.poll());
    sleep(ms(45)).await;
    assert_pending!(append.poll());
    sleep(ms(20)).await;
    assert_ready_ok!(append.poll());
}
