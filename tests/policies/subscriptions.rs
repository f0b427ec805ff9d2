//! `Wal::subscribe_durable`.

use futures::StreamExt;
use tidewal::Lsn;
use tokio_test::{assert_pending, assert_ready, task};

use crate::helpers::{log, manual, settle};
use crate::support::{options, run};

#[test]
fn a_subscription_begins_with_what_is_durable_and_then_waits() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        assert_pending!(durable.poll_next());
        let pending = wal.submit("x").await.unwrap();
        settle().await;
        assert!(!durable.is_woken(), "it is not durable before its sync");
        pending.await.unwrap();
        assert!(durable.is_woken());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(2)));
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn the_first_item_of_a_subscription_is_that_of_its_first_poll() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        wal.append("x").await.unwrap();
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(2)));
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn a_slow_subscriber_skips_and_never_falls_behind() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        for _ in 0..5 {
            wal.append("x").await.unwrap();
        }
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(6)));
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn a_sync_that_moves_nothing_is_no_item() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        assert_pending!(durable.poll_next());
        wal.sync().await.unwrap();
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn a_subscription_ends_after_the_last_movement_of_a_closed_log() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        assert_pending!(durable.poll_next());
        drop(wal.submit("x").await.unwrap());
        wal.close().await.unwrap();
        assert!(durable.is_woken());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(2)));
        assert_eq!(assert_ready!(durable.poll_next()), None);
        assert_eq!(assert_ready!(durable.poll_next()), None);
    });
}

#[test]
fn a_subscription_does_not_keep_a_log_open() {
    run(async {
        let (_, wal) = log(options()).await;
        let durable = wal.subscribe_durable();
        drop(wal);
        assert_eq!(durable.collect::<Vec<_>>().await, [Lsn::FIRST]);
    });
}

/// `DurableLsns`: "`next` and the stream are cancel safe: the latest value is never missed."
#[test]
fn dropping_the_future_of_the_next_item_misses_none() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = wal.subscribe_durable();
        assert_eq!(durable.next().await, Some(Lsn::FIRST));
        let mut next = task::spawn(durable.next());
        assert_pending!(next.poll());
        wal.append("x").await.unwrap();
        assert!(next.is_woken());
        drop(next);
        assert_eq!(durable.next().await, Some(Lsn::new(2)));
    });
}
