//! Appends that rely on each other: a refusal cuts the order (promise P9).

use futures::StreamExt;
use futures::stream;
use tidewal::sim::SimDisk;
use tidewal::{Durability, Error, Lsn, OrderedAppender, TrySubmitError, Wal};
use tidewal_testing::harness::number;
use tidewal_testing::harness::ordered::{Tally, nothing_behind_a_refusal_is_appended};
use tokio_test::{assert_pending, task};

use crate::helpers::{appended, next_batch, settle, stalled};
use crate::support::{options, run};

/// Takes most of a segment: the first one fits, and the next one does not.
const LARGE: usize = 9000;

/// A log with one large record, in the middle of a sync, on a disk that holds no other segment.
async fn nearly_full() -> (SimDisk, Wal) {
    let options = options().spare_segments(0).max_batch_records(1);
    let (disk, wal) = stalled(options).await;
    drop(wal.submit(vec![b'x'; LARGE]).await.unwrap());
    next_batch().await;
    disk.set_quota(Some(1));
    drop(wal.submit("stall").await.unwrap());
    settle().await;
    (disk, wal)
}

fn assert_behind(error: &Error) {
    assert!(
        matches!(error, Error::EarlierRefused(cause) if matches!(**cause, Error::StorageFull(_))),
        "{error:?}"
    );
    assert!(!error.is_outcome_unknown());
}

#[test]
fn what_is_behind_a_refused_append_is_refused_though_it_fits() {
    run(async {
        let (disk, wal) = nearly_full().await;
        let appender = wal.ordered();
        let before = appender.submit("before").await.unwrap();
        let refused = appender.submit(vec![0; LARGE]).await.unwrap();
        // These are in the queue already, in separate batches.
        let behind = appender.submit("behind").await.unwrap();
        let written = appender.submit_with("written", Durability::Written);
        let written = written.await.unwrap();
        let batch = appender.submit_batch(["of", "a batch"]).await.unwrap();
        let other = wal.submit("relies on nothing").await.unwrap();
        let later = wal.ordered().submit("of another").await.unwrap();
        assert_eq!(before.await.unwrap(), Lsn::new(5));
        assert!(matches!(refused.await, Err(Error::StorageFull(_))));
        assert_behind(&behind.await.unwrap_err());
        assert_behind(&written.await.unwrap_err());
        assert_behind(&batch.await.unwrap_err());
        assert_eq!(other.await.unwrap(), Lsn::new(6));
        assert_eq!(later.await.unwrap(), Lsn::new(7));
        assert!(wal.stats().queued_records == 0 && wal.stats().queued_bytes == 0);
        disk.set_quota(None);
        let records = appended(&disk, &wal).await;
        let last = &records[records.len() - 3..];
        assert_eq!(last, ["before", "relies on nothing", "of another"]);
    });
}

#[test]
fn what_comes_after_a_refusal_is_refused_until_a_new_appender_is_taken() {
    run(async {
        let (disk, wal) = nearly_full().await;
        let appender = wal.ordered();
        let clone = appender.clone();
        assert!(appender.refusal().is_none());
        let refused = appender.append(vec![0; LARGE]).await;
        assert!(matches!(refused, Err(Error::StorageFull(_))));
        assert!(matches!(clone.refusal(), Some(Error::StorageFull(_))));
        disk.set_quota(None);
        for error in every_call(&clone).await {
            assert_behind(&error);
        }
        let appender = wal.ordered();
        let lsn = appender.append(vec![0; LARGE]).await.unwrap();
        assert_eq!(appender.append("next").await.unwrap(), lsn.next());
    });
}

/// One call of each kind, all of which are refused.
async fn every_call(appender: &OrderedAppender) -> Vec<Error> {
    let written = Durability::Written;
    vec![
        appender.append("x").await.unwrap_err(),
        appender.append_with("x", written).await.unwrap_err(),
        appender.append_batch(["x", "y"]).await.unwrap_err(),
        appender.submit("x").await.unwrap_err(),
        appender.submit_with("x", written).await.unwrap_err(),
        appender.submit_batch(["x"]).await.unwrap_err(),
        appender
            .submit_batch_with(["x"], written)
            .await
            .unwrap_err(),
        appender.try_submit("x").unwrap_err().into(),
    ]
}

/// `OrderedAppender` says "What was submitted before the refused append is not affected."
#[test]
fn a_record_that_is_too_large_ends_a_sequence_and_not_what_was_before_it() {
    run(async {
        let (_, wal) = stalled(options()).await;
        let appender = wal.ordered();
        let stream = stream::iter(["fits".into(), vec![0; 20_000], "fits, too".into()]);
        let answers = stream.map(|payload: Vec<u8>| appender.append(payload));
        let answers: Vec<_> = answers.buffered(3).collect().await;
        assert_eq!(*answers[0].as_ref().unwrap(), Lsn::new(3));
        assert!(matches!(answers[1], Err(Error::TooLarge { .. })));
        let Err(Error::EarlierRefused(cause)) = &answers[2] else {
            panic!("{answers:?}");
        };
        assert!(matches!(**cause, Error::TooLarge { .. }));
    });
}

/// Clones wait for room in the queue while another clone is refused.
#[test]
fn what_waits_for_a_place_when_a_clone_is_refused_is_refused_too() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let appender = wal.ordered();
        let clone = appender.clone();
        let mut waiting = task::spawn(appender.append("waits"));
        let mut batch = task::spawn(appender.append_batch(["of", "a batch"]));
        let mut other = task::spawn(wal.append("relies on nothing"));
        assert_pending!(waiting.poll());
        assert_pending!(batch.poll());
        assert_pending!(other.poll());
        let refused = clone.append(vec![0; 20_000]).await;
        assert!(matches!(refused, Err(Error::TooLarge { .. })));
        for error in [waiting.await.unwrap_err(), batch.await.unwrap_err()] {
            let Error::EarlierRefused(cause) = &error else {
                panic!("{error:?}");
            };
            assert!(matches!(**cause, Error::TooLarge { .. }), "{error:?}");
        }
        // Their turns in the wait list are given up.
        assert_eq!(other.await.unwrap(), Lsn::new(4));
        let records = appended(&disk, &wal).await;
        assert_eq!(records, ["queued", "relies on nothing"]);
    });
}

#[test]
fn a_queue_that_is_full_is_no_refusal_and_neither_is_a_submit_that_is_dropped() {
    run(async {
        let (_, wal) = stalled(options().queue_records(1)).await;
        let appender = wal.ordered();
        drop(appender.submit("queued").await.unwrap());
        let full = appender.try_submit("full").unwrap_err();
        assert!(matches!(full, TrySubmitError::Full(payload) if payload == "full"));
        let mut dropped = task::spawn(appender.append("dropped"));
        assert_pending!(dropped.poll());
        drop(dropped);
        assert_eq!(appender.append("next").await.unwrap(), Lsn::new(4));
        assert!(appender.refusal().is_none());
    });
}

/// A pending append that is dropped stays in its sequence.
#[test]
fn a_refusal_cuts_though_no_one_waits_for_its_answer() {
    run(async {
        let (_, wal) = nearly_full().await;
        let appender = wal.ordered();
        drop(appender.submit(vec![0; LARGE]).await.unwrap());
        let behind = appender.submit("behind").await.unwrap();
        assert_behind(&behind.await.unwrap_err());
    });
}

#[test]
fn the_error_of_a_closed_log_is_a_refusal_like_any_other() {
    run(async {
        let (_, wal) = stalled(options()).await;
        let appender = wal.ordered();
        wal.close().await.unwrap();
        assert!(matches!(appender.append("x").await, Err(Error::Closed)));
        assert!(matches!(
            appender.append("x").await,
            Err(Error::EarlierRefused(cause)) if matches!(*cause, Error::Closed)
        ));
    });
}

#[test]
fn nothing_behind_a_refusal_is_acknowledged_or_recovered() {
    let mut tally = Tally::default();
    let seeds = number("TIDEWAL_SEEDS", 500);
    for seed in 0..seeds {
        nothing_behind_a_refusal_is_appended(seed, &mut tally);
    }
    println!("{seeds} logs: {tally:?}");
    assert!(tally.acknowledged > 1000 && tally.behind > 500, "{tally:?}");
}
