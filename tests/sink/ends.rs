//! Sinks that are dropped or left unused.

use futures::SinkExt;
use tidewal::{Error, SyncPolicy};
use tokio_test::{assert_pending, task};

use crate::helpers::{assert_holds, log, payload, recovered, roomy, settle};
use crate::support::run;

/// `WalSink`: "If the sink is dropped, what was submitted stays submitted, and only the answers are
/// lost."
#[test]
fn what_was_submitted_stays_submitted_when_the_sink_is_dropped() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        let mut sink = wal.sink();
        for number in 0..20 {
            sink.feed(payload(number)).await.unwrap();
        }
        drop(sink);
        wal.sync().await.unwrap();
        disk.cut_power();
        disk.restart(tidewal::sim::Survival::Nothing);
        assert_holds(&disk, 20).await;
    });
}

/// `WalSink`: "The one payload that may still wait for room in the queue is then certainly not
/// appended."
#[test]
fn what_waits_for_a_place_is_not_appended_when_the_sink_is_dropped() {
    run(async {
        let (disk, wal) = log(roomy().queue_records(1)).await;
        drop(wal.submit(payload(0)).await.unwrap());
        settle().await;
        let mut sink = wal.sink();
        sink.feed(payload(1)).await.unwrap();
        sink.feed("waits".into()).await.unwrap();
        let mut flush = task::spawn(sink.flush());
        assert_pending!(flush.poll());
        drop(flush);
        assert_eq!(sink.in_flight(), 2);
        drop(sink);
        wal.append(payload(2)).await.unwrap();
        wal.close().await.unwrap();
        assert_holds(&disk, 3).await;
    });
}

#[test]
fn a_sink_that_is_left_alone_while_it_waits_does_not_keep_the_log_from_closing() {
    run(async {
        let (disk, wal) = log(roomy().queue_records(1)).await;
        drop(wal.submit(payload(0)).await.unwrap());
        settle().await;
        let mut sink = wal.sink();
        sink.feed(payload(1)).await.unwrap();
        sink.feed("waits".into()).await.unwrap();
        assert_pending!(task::spawn(sink.flush()).poll());
        wal.close().await.unwrap();
        assert!(matches!(sink.flush().await, Err(Error::Closed)));
        assert_eq!(sink.acknowledged(), 1);
        assert_holds(&disk, 2).await;
    });
}

#[test]
fn a_sink_is_a_handle_that_keeps_its_log_open() {
    run(async {
        let (disk, wal) = log(roomy().sync_policy(SyncPolicy::Manual)).await;
        let mut sink = wal.sink();
        drop(wal);
        settle().await;
        sink.send(payload(0)).await.unwrap();
        sink.feed(payload(1)).await.unwrap();
        drop(sink);
        assert_eq!(recovered(&disk).await.len(), 2, "the last handle closes it");
    });
}
