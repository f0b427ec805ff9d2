//! What a flush waits for, under each policy.

use futures::SinkExt;
use tidewal::{Durability, Lsn, SyncPolicy};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready_ok, task};

use crate::helpers::{SYNC, assert_holds, log, ms, payload, roomy, settle};
use crate::support::run;

#[test]
fn a_flush_is_done_when_everything_sent_is_durable() {
    run(async {
        let (_, wal) = log(roomy()).await;
        let mut sink = wal.sink();
        for number in 0..10 {
            sink.feed(payload(number)).await.unwrap();
        }
        assert_eq!((sink.acknowledged(), sink.last_lsn()), (0, None));
        sink.flush().await.unwrap();
        assert_eq!(wal.durable_lsn(), Lsn::new(10));
        assert_eq!((sink.acknowledged(), sink.in_flight()), (10, 0));
        assert_eq!(sink.last_lsn(), Some(Lsn::new(10)));
        let syncs = wal.stats().syncs;
        assert_ready_ok!(
            task::spawn(sink.flush()).poll(),
            "there is nothing to wait for"
        );
        assert_eq!(wal.stats().syncs, syncs);
    });
}

#[test]
fn a_flush_waits_for_the_interval() {
    run(async {
        let interval = SyncPolicy::Interval(ms(9));
        let (_, wal) = log(roomy().sync_policy(interval)).await;
        let mut sink = wal.sink();
        let start = Instant::now();
        sink.send(payload(0)).await.unwrap();
        assert!(start.elapsed() >= ms(9), "{:?}", start.elapsed());
        assert_eq!(wal.stats().syncs, 1);
    });
}

#[test]
fn a_flush_asks_for_the_sync_that_a_manual_log_waits_for() {
    run(async {
        let (disk, wal) = log(roomy().sync_policy(SyncPolicy::Manual)).await;
        let mut sink = wal.sink();
        for round in 1..=3 {
            sink.feed(payload(2 * round - 2)).await.unwrap();
            sink.send(payload(2 * round - 1)).await.unwrap();
            assert_eq!(wal.stats().syncs, round);
            assert_eq!(wal.durable_lsn(), Lsn::new(2 * round));
        }
        wal.close().await.unwrap();
        assert_holds(&disk, 6).await;
    });
}

#[test]
fn a_sink_that_is_full_asks_for_the_sync_that_a_manual_log_waits_for() {
    run(async {
        let (_, wal) = log(roomy().sync_policy(SyncPolicy::Manual)).await;
        let mut sink = wal.sink().max_in_flight(8);
        for number in 0..80 {
            sink.feed(payload(number)).await.unwrap();
        }
        assert!(
            (8..=10).contains(&wal.stats().syncs),
            "{}",
            wal.stats().syncs
        );
    });
}

#[test]
fn a_flush_of_a_manual_log_does_not_wait_for_ever_when_that_log_is_closed() {
    run(async {
        let (disk, wal) = log(roomy().sync_policy(SyncPolicy::Manual)).await;
        let mut sink = wal.sink();
        sink.feed(payload(0)).await.unwrap();
        let mut flush = task::spawn(sink.flush());
        wal.close().await.unwrap();
        assert_ready_ok!(flush.poll(), "to close is to sync");
        assert_holds(&disk, 1).await;
    });
}

/// The log then refuses sync requests but still answers appends, so the sink must wait without
/// polling in a loop.
#[test]
fn a_flush_of_a_manual_log_that_is_closing_is_not_busy_meanwhile() {
    run(async {
        let (disk, wal) = log(roomy().sync_policy(SyncPolicy::Manual)).await;
        let mut sink = wal.sink();
        sink.send(payload(0)).await.unwrap();
        sink.feed(payload(1)).await.unwrap();
        disk.stall(0, ms(500));
        let closing = tokio::spawn(wal.close());
        settle().await;
        let mut flush = task::spawn(sink.flush());
        assert_pending!(flush.poll());
        assert!(!flush.is_woken());
        closing.await.unwrap().unwrap();
        assert_ready_ok!(flush.poll());
        assert_holds(&disk, 2).await;
    });
}

#[test]
fn a_flush_waits_for_no_sync_where_writing_is_enough() {
    run(async {
        let manual = roomy().sync_policy(SyncPolicy::Manual);
        let (_, wal) = log(manual.durability(Durability::Written)).await;
        let mut sink = wal.sink();
        sink.send(payload(0)).await.unwrap();
        assert_eq!(sink.last_lsn(), Some(Lsn::FIRST));
        assert_eq!(wal.durable_lsn(), Lsn::ZERO);
        assert_eq!(wal.stats().syncs, 0);
    });
}

#[test]
fn to_close_a_sink_is_to_flush_it() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        let mut sink = wal.sink();
        sink.feed(payload(0)).await.unwrap();
        let mut close = task::spawn(sink.close());
        assert_pending!(close.poll());
        close.await.unwrap();
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        sink.send(payload(1)).await.unwrap();
        wal.append(payload(2)).await.unwrap();
        wal.close().await.unwrap();
        assert_holds(&disk, 3).await;
    });
}

#[test]
fn a_slow_disk_makes_a_flush_wait_and_nothing_else() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        disk.stall(0, ms(500));
        let mut sink = wal.sink();
        let start = Instant::now();
        sink.feed(payload(0)).await.unwrap();
        tokio::task::yield_now().await;
        sink.feed(payload(1)).await.unwrap();
        assert_eq!(start.elapsed(), ms(0));
        sink.flush().await.unwrap();
        assert!(start.elapsed() >= ms(500) + SYNC);
    });
}
