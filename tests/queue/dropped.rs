//! Futures that are dropped while others are in the queue.

use futures::FutureExt;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use futures::future::join_all;
use tidewal::{Durability, Error, Lsn, OrderedAppender, TrySubmitError, Wal};
use tokio_test::{assert_pending, assert_ready_ok, task};

use crate::helpers::{appended, log, next_batch, queued, settle, stalled, taking};
use crate::support::{DIR, options, policies, run};

/// `Wal::submit`: "If this future is dropped before it completes, it is guaranteed that nothing was
/// appended."
#[test]
fn a_dropped_submit_appends_nothing_and_gives_its_place_back() {
    run(async {
        let (disk, wal) = stalled(options().queue_bytes(1000).queue_records(3)).await;
        drop(wal.submit(taking(900)).await.unwrap());
        let mut waiting = task::spawn(wal.submit(taking(500)));
        assert_pending!(waiting.poll());
        assert!(matches!(
            wal.try_submit(taking(100)),
            Err(TrySubmitError::Full(_))
        ));
        drop(waiting);
        assert_eq!(queued(&wal), (900, 1));
        drop(wal.try_submit(taking(100)).unwrap());
        next_batch().await;
        assert_eq!(queued(&wal), (0, 0));
        assert_eq!(appended(&disk, &wal).await, [taking(900), taking(100)]);
    });
}

#[test]
fn a_submit_that_is_dropped_when_it_has_its_place_gives_it_to_the_next() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let mut first = task::spawn(wal.submit("dropped"));
        assert_pending!(first.poll());
        let mut second = task::spawn(wal.submit("kept"));
        assert_pending!(second.poll());
        next_batch().await;
        assert!(first.is_woken() && !second.is_woken());
        drop(first);
        assert!(second.is_woken());
        drop(assert_ready_ok!(second.poll()));
        assert_eq!(appended(&disk, &wal).await, ["queued", "kept"]);
    });
}

#[test]
fn a_submit_that_is_dropped_unpolled_does_nothing() {
    run(async {
        let (disk, wal) = stalled(options()).await;
        drop(wal.submit("dropped"));
        assert_eq!(queued(&wal), (0, 0));
        assert!(appended(&disk, &wal).await.is_empty());
    });
}

/// `Wal::submit`: "If the `PendingAppend` is dropped, the record is not taken back, and only the
/// answer is lost."
///
/// `PendingAppend`: "Dropping it does not take the record back."
///
/// `PendingAppend`: "Only the answer is lost."
#[test]
fn a_record_whose_answer_is_dropped_is_appended() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            drop(wal.submit("submitted").await.unwrap());
            drop(wal.try_submit("tried").unwrap());
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(3));
            assert_eq!(appended(&disk, &wal).await, ["submitted", "tried"]);
        });
    }
}

#[test]
fn an_append_that_is_dropped_half_way_harms_nobody() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            let mut kept = task::spawn(wal.append("kept"));
            assert_pending!(kept.poll());
            let mut dropped = task::spawn(wal.append("dropped"));
            assert_pending!(dropped.poll());
            let mut batch = task::spawn(wal.append_batch(["of", "a batch"]));
            assert_pending!(batch.poll());
            drop((dropped, batch));
            let mut last = task::spawn(wal.append("last"));
            assert_pending!(last.poll());
            wal.sync().await.unwrap();
            assert_eq!(assert_ready_ok!(kept.poll()), Lsn::new(2));
            assert_eq!(assert_ready_ok!(last.poll()), Lsn::new(6));
            drop((kept, last));
            let expected = ["kept", "dropped", "of", "a batch", "last"];
            assert_eq!(appended(&disk, &wal).await, expected);
        });
    }
}

#[test]
fn an_append_that_is_dropped_while_it_waits_for_a_place_harms_nobody() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let mut dropped = task::spawn(wal.append("dropped"));
        assert_pending!(dropped.poll());
        let mut batch = task::spawn(wal.append_batch(["of", "a batch"]));
        assert_pending!(batch.poll());
        let kept = wal.append("kept");
        drop((dropped, batch));
        assert_eq!(kept.await.unwrap(), Lsn::new(4));
        assert_eq!(appended(&disk, &wal).await, ["queued", "kept"]);
    });
}

#[test]
fn a_sync_that_is_dropped_harms_nobody() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            let pending = wal.submit("x").await.unwrap();
            let mut dropped = task::spawn(wal.sync());
            assert_pending!(dropped.poll());
            let mut kept = task::spawn(wal.sync());
            assert_pending!(kept.poll());
            settle().await;
            drop(dropped);
            next_batch().await;
            assert_eq!(assert_ready_ok!(kept.poll()), Lsn::new(2));
            assert_eq!(pending.await.unwrap(), Lsn::new(2));
            drop(kept);
            assert_eq!(appended(&disk, &wal).await, ["x"]);
        });
    }
}

/// Fills three segments.
async fn three_segments(wal: &Wal) {
    let appends = (0..4).map(|_| wal.submit(vec![0; 7000]));
    drop(join_all(appends).await);
    wal.sync().await.unwrap();
    assert!(wal.stats().segments >= 3);
}

#[test]
fn a_truncation_that_is_dropped_harms_nobody() {
    run(async {
        let (disk, wal) = log(options()).await;
        three_segments(&wal).await;
        for before in [3, 4] {
            let mut truncate = task::spawn(wal.truncate_before(Lsn::new(before)));
            assert_pending!(truncate.poll());
            settle().await;
            drop(truncate);
            assert_eq!(wal.append("x").await.unwrap(), Lsn::new(3 + before));
        }
        wal.truncate_before(Lsn::new(4)).await.unwrap();
        wal.close().await.unwrap();
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let first = recovery.try_next().await.unwrap().unwrap();
        assert!(first.lsn > Lsn::FIRST && first.lsn <= Lsn::new(4));
        let rest: Vec<_> = recovery.try_collect().await.unwrap();
        assert_eq!(rest.last().unwrap().lsn, Lsn::new(7));
    });
}

#[test]
fn a_log_closes_although_no_caller_waits_for_it() {
    run(async {
        let (disk, wal) = stalled(options()).await;
        let pending = wal.submit("x").await.unwrap();
        let mut close = task::spawn(wal.clone().close());
        assert_pending!(close.poll());
        drop(close);
        assert_eq!(pending.await.unwrap(), Lsn::new(3));
        next_batch().await;
        assert!(matches!(wal.append("late").await, Err(Error::Closed)));
        assert!(options().open_on(&disk, DIR).await.is_ok());
    });
}

/// `Wal::append_batch_with`: "Like `append_batch`: if the future is dropped before it completes,
/// the batch may or may not be appended, but never a part of it."
///
/// `Wal::submit_batch`: "Like `submit`: if this future is dropped before it completes, nothing was
/// appended."
///
/// `Wal::submit_batch_with`: "Like `submit`: if this future is dropped before it completes, nothing
/// was appended."
///
/// `PendingBatch`: "Dropping it does not take the batch back."
///
/// `PendingBatch`: "Only the answer is lost."
///
/// `OrderedAppender::append`: "Like `Wal::append`: if the future is dropped before it completes,
/// the record may or may not be appended."
///
/// `OrderedAppender::append_with`: "Like `Wal::append`: if the future is dropped before it
/// completes, the record may or may not be appended."
///
/// `OrderedAppender::append_batch`: "Like `Wal::append_batch`: if the future is dropped before it
/// completes, the batch may or may not be appended, but never a part of it."
///
/// `OrderedAppender::submit`: "Like `Wal::submit`: if this future is dropped before it completes,
/// nothing was appended."
///
/// `OrderedAppender::submit_with`: "Like `Wal::submit`: if this future is dropped before it
/// completes, nothing was appended."
///
/// `OrderedAppender::submit_batch`: "Like `Wal::submit`: if this future is dropped before it
/// completes, nothing was appended."
///
/// `OrderedAppender::submit_batch_with`: "Like `Wal::submit`: if this future is dropped before it
/// completes, nothing was appended."
#[test]
fn a_dropped_submit_of_any_kind_appends_nothing_and_a_dropped_answer_takes_nothing_back() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit_batch(["queued"]).await.unwrap());
        for call in every_call(&wal, &wal.ordered()) {
            let mut call = task::spawn(call);
            assert_pending!(call.poll());
        }
        drop(wal.submit("kept").await.unwrap());
        next_batch().await;
        for call in every_call(&wal, &wal.ordered()) {
            let mut call = task::spawn(call);
            let _ = call.poll();
            next_batch().await;
        }
        let records = appended(&disk, &wal).await;
        assert_eq!(records[..2], ["queued", "kept"]);
        assert_eq!(records.len(), 2 + 11);
    });
}

/// One call of each kind.
fn every_call<'a>(wal: &'a Wal, ordered: &'a OrderedAppender) -> Vec<BoxFuture<'a, ()>> {
    let written = Durability::Written;
    vec![
        wal.append_batch_with(["x"], written).map(drop).boxed(),
        wal.submit_batch(["x"]).map(drop).boxed(),
        wal.submit_batch_with(["x"], written).map(drop).boxed(),
        wal.submit_with("x", written).map(drop).boxed(),
        ordered.append("x").map(drop).boxed(),
        ordered.append_with("x", written).map(drop).boxed(),
        ordered.append_batch(["x"]).map(drop).boxed(),
        ordered.submit("x").map(drop).boxed(),
        ordered.submit_with("x", written).map(drop).boxed(),
        ordered.submit_batch(["x"]).map(drop).boxed(),
        ordered.submit_batch_with(["x"], written).map(drop).boxed(),
    ]
}
