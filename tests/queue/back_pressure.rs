//! Back-pressure: producers wait while the queue is full, or are refused.

use bytes::Bytes;
use tidewal::{Error, Lsn, TrySubmitError, WalOptions};
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready_ok, task};

use crate::helpers::{appended, log, ms, next_batch, queued, settle, stalled, taking};
use crate::support::{options, policies, run};

/// Fills the queue with these payloads, and checks that the next producer waits until they are
/// written.
async fn fill_the_queue(options: WalOptions, payloads: [Bytes; 2], next: Bytes) {
    let (_, wal) = stalled(options).await;
    let [first, second] = payloads;
    let mut first = task::spawn(wal.submit(first).await.unwrap());
    let mut second = task::spawn(wal.submit(second).await.unwrap());
    let mut third = task::spawn(wal.submit(next));
    assert_pending!(third.poll());
    sleep(ms(9)).await;
    assert!(!third.is_woken(), "a stalled disk frees nothing");
    sleep(ms(1)).await;
    settle().await;
    assert!(third.is_woken());
    let third = assert_ready_ok!(third.poll());
    assert_pending!(first.poll(), "a place is free when its record is written");
    assert_pending!(second.poll(), "and does not wait for the sync");
    assert_eq!(third.await.unwrap(), Lsn::new(5));
}

#[test]
fn a_queue_without_bytes_left_makes_producers_wait_for_a_write() {
    run(fill_the_queue(
        options().queue_bytes(1000),
        [taking(500), taking(480)],
        taking(21),
    ));
}

#[test]
fn a_queue_without_places_left_makes_producers_wait_for_a_write() {
    run(fill_the_queue(
        options().queue_records(2),
        [Bytes::new(), Bytes::new()],
        Bytes::new(),
    ));
}

#[test]
fn a_queue_takes_exactly_its_bytes_and_its_records() {
    run(async {
        let (_, wal) = stalled(options().queue_bytes(1000).queue_records(4)).await;
        let batch = wal.append_batch([taking(100), taking(100)]);
        let mut batch = task::spawn(batch);
        assert_pending!(batch.poll());
        drop(wal.try_submit(taking(300)).unwrap());
        drop(wal.try_submit(taking(500)).unwrap());
        assert_eq!(queued(&wal), (1000, 4));
        assert!(matches!(wal.try_submit(""), Err(TrySubmitError::Full(_))));
        next_batch().await;
        assert_eq!(queued(&wal), (0, 0));
    });
}

#[test]
fn every_record_of_a_batch_takes_a_place() {
    run(async {
        let (_, wal) = stalled(options().queue_records(4)).await;
        let mut first = task::spawn(wal.append_batch(["x"; 3]));
        assert_pending!(first.poll());
        let mut second = task::spawn(wal.append_batch(["x"; 2]));
        assert_pending!(second.poll());
        next_batch().await;
        assert!(
            second.is_woken(),
            "the second one has waited for its places"
        );
        assert_pending!(second.poll());
        next_batch().await;
        assert_eq!(assert_ready_ok!(first.poll()), Lsn::new(3)..=Lsn::new(5));
        next_batch().await;
        assert_eq!(assert_ready_ok!(second.poll()), Lsn::new(6)..=Lsn::new(7));
    });
}

#[test]
fn a_producer_in_the_queue_does_not_wait_for_ever_under_any_policy() {
    for policy in policies() {
        run(async {
            let options = options().sync_policy(policy).queue_records(2);
            let (_, wal) = log(options).await;
            for _ in 0..100 {
                drop(wal.submit("x").await.unwrap());
            }
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(101));
        });
    }
}

/// Fills the queue, and checks that every further record is refused until there is room.
async fn refuse_when_full(options: WalOptions, filling: Bytes, refused: Bytes) {
    let (disk, wal) = stalled(options).await;
    drop(wal.try_submit(filling.clone()).unwrap());
    let before = queued(&wal);
    for _ in 0..10 {
        let full = wal.try_submit(refused.clone()).unwrap_err();
        assert!(matches!(&full, TrySubmitError::Full(payload) if *payload == refused));
        let full = Error::from(full);
        assert!(matches!(full, Error::Full) && !full.is_outcome_unknown());
    }
    assert_eq!(queued(&wal), before, "what was refused takes nothing");
    next_batch().await;
    let later = wal.try_submit("later").unwrap();
    assert_eq!(later.await.unwrap(), Lsn::new(4));
    assert_eq!(appended(&disk, &wal).await, [filling, "later".into()]);
}

#[test]
fn try_submit_says_that_the_queue_has_no_bytes_left_and_appends_nothing() {
    run(refuse_when_full(
        options().queue_bytes(1000),
        taking(900),
        taking(101),
    ));
}

#[test]
fn try_submit_says_that_the_queue_has_no_places_left_and_appends_nothing() {
    run(refuse_when_full(
        options().queue_records(1),
        taking(900),
        taking(20),
    ));
}
