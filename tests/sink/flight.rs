//! How many payloads are in flight.

use futures::{SinkExt, StreamExt};
use tidewal::{Lsn, SyncPolicy};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};

use crate::helpers::{SYNC, assert_holds, log, ms, payload, payloads, roomy, settle};
use crate::support::{policies, run};

#[test]
fn a_stream_that_is_forwarded_has_many_appends_in_flight() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        let start = Instant::now();
        payloads(1000).forward(wal.sink()).await.unwrap();
        let stats = wal.stats();
        assert_eq!(stats.records, 1000);
        assert!(stats.syncs <= 2, "{} syncs", stats.syncs);
        assert!(start.elapsed() <= 4 * SYNC, "{:?}", start.elapsed());
        assert_eq!(wal.durable_lsn(), Lsn::new(1000));
        wal.close().await.unwrap();
        assert_holds(&disk, 1000).await;
    });
}

#[test]
fn a_stream_that_makes_pauses_shares_its_syncs_too() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        // Ten payloads per millisecond, and syncs of a millisecond.
        let slow = payloads(1000)
            .enumerate()
            .then(|(index, payload)| async move {
                if index % 10 == 9 {
                    sleep(SYNC).await;
                }
                payload
            });
        Box::pin(slow).forward(wal.sink()).await.unwrap();
        let syncs = wal.stats().syncs;
        assert!(syncs <= 110, "{syncs} syncs for 100 pauses");
        wal.close().await.unwrap();
        assert_holds(&disk, 1000).await;
    });
}

#[test]
fn a_sink_of_one_in_flight_pays_a_sync_for_each() {
    run(async {
        let (_, wal) = log(roomy()).await;
        let sink = wal.sink().max_in_flight(1);
        payloads(50).forward(sink).await.unwrap();
        assert_eq!(
            wal.stats().syncs,
            50,
            "so that the tests above show something"
        );
    });
}

#[test]
fn none_in_flight_means_one() {
    run(async {
        let (_, wal) = log(roomy()).await;
        payloads(5)
            .forward(wal.sink().max_in_flight(0))
            .await
            .unwrap();
        assert_eq!(wal.stats().records, 5);
    });
}

#[test]
fn a_sink_makes_its_sender_wait_when_it_has_so_many_in_flight() {
    run(async {
        let (_, wal) = log(roomy()).await;
        wal.append("opens a segment").await.unwrap();
        let mut sink = wal.sink().max_in_flight(3);
        for number in 0..3 {
            sink.feed(payload(number)).await.unwrap();
        }
        assert_eq!(sink.in_flight(), 3);
        let start = Instant::now();
        sink.feed(payload(3)).await.unwrap();
        assert_eq!(start.elapsed(), SYNC, "for the first answer");
        assert_eq!(sink.acknowledged(), 3, "one sync answers them all");
        assert_eq!(sink.last_lsn(), Some(Lsn::new(4)));
        assert_eq!(sink.in_flight(), 1);
    });
}

#[test]
fn a_queue_without_places_makes_a_sink_wait_under_any_policy() {
    for policy in policies() {
        run(async {
            let narrow = roomy().queue_records(2).sync_policy(policy);
            let (disk, wal) = log(narrow).await;
            payloads(300)
                .forward(wal.sink().max_in_flight(64))
                .await
                .unwrap();
            wal.close().await.unwrap();
            assert_holds(&disk, 300).await;
        });
    }
}

#[test]
fn sinks_and_other_producers_share_one_log() {
    run(async {
        let (_, wal) = log(roomy()).await;
        let first = payloads(100).forward(wal.sink());
        let second = payloads(100).forward(wal.sink());
        let alone = wal.append("alone");
        let (first, second, alone) = futures::join!(first, second, alone);
        assert_eq!((first.unwrap(), second.unwrap()), ((), ()));
        assert_eq!(alone.unwrap(), Lsn::new(201));
        assert!(wal.stats().syncs <= 2);
    });
}

/// The batch of an interval is neither shortened nor prolonged.
#[test]
fn a_forwarded_stream_costs_one_sync_for_an_interval() {
    run(async {
        let interval = SyncPolicy::Interval(ms(10));
        let (_, wal) = log(roomy().sync_policy(interval)).await;
        let slow = payloads(100).then(|payload| async move {
            sleep(ms(1)).await;
            payload
        });
        Box::pin(slow).forward(wal.sink()).await.unwrap();
        let syncs = wal.stats().syncs;
        assert!((8..=12).contains(&syncs), "{syncs} syncs for 100 ms");
    });
}

/// A sink that waits for room waits in turn with other producers.
#[test]
fn a_sink_does_not_overtake_other_producers() {
    run(async {
        let (_, wal) = log(roomy().queue_records(1).max_batch_records(1)).await;
        drop(wal.submit("under way").await.unwrap());
        settle().await;
        drop(wal.submit("fills the queue").await.unwrap());
        let mut other = task::spawn(wal.submit("first in line"));
        assert_pending!(other.poll());
        let mut sink = wal.sink();
        sink.feed(payload(0)).await.unwrap();
        let mut flush = task::spawn(sink.flush());
        assert_pending!(flush.poll());
        sleep(2 * SYNC).await;
        settle().await;
        let other = assert_ready_ok!(other.poll());
        flush.await.unwrap();
        assert_eq!(other.await.unwrap(), Lsn::new(3));
        assert_eq!(sink.last_lsn(), Some(Lsn::new(4)));
    });
}
