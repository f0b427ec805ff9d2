//! The errors of a sink.

use std::io;

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use tidewal::sim::{Operation, SimDisk};
use tidewal::{Error, Lsn, SyncPolicy, Wal, WalSink};

use crate::helpers::{assert_holds, log, payload, payloads, recovered, roomy};
use crate::support::{options, run};

/// Asserts that every call of a sink returns this error.
async fn assert_gives(sink: &mut WalSink, is_expected: impl Fn(&Error) -> bool) {
    for _ in 0..2 {
        for result in [
            sink.feed(payload(0)).await,
            sink.flush().await,
            sink.close().await,
        ] {
            let error = result.unwrap_err();
            assert!(is_expected(&error), "{error:?}");
        }
    }
}

#[test]
fn a_failed_sync_ends_the_sink_with_the_first_error() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        let mut sink = wal.sink();
        sink.send(payload(0)).await.unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        for number in 1..10 {
            sink.feed(payload(number)).await.unwrap();
        }
        let failed = sink.flush().await.unwrap_err();
        assert!(matches!(failed, Error::OutcomeUnknown(_)), "{failed:?}");
        assert!(failed.is_outcome_unknown());
        assert_gives(&mut sink, |error| matches!(error, Error::OutcomeUnknown(_))).await;
        assert_eq!(
            (sink.acknowledged(), sink.last_lsn()),
            (1, Some(Lsn::FIRST))
        );
        let pending = sink.into_pending();
        assert_eq!(pending.len(), 8, "one was looked at");
        for answer in pending {
            assert!(matches!(answer.await, Err(Error::OutcomeUnknown(_))));
        }
    });
}

#[test]
fn an_error_is_heard_of_when_the_next_payload_is_sent() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        wal.append("opens a segment").await.unwrap();
        let mut sink = wal.sink();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        sink.feed(payload(0)).await.unwrap();
        wal.append("shares the sync").await.unwrap_err();
        let error = sink.feed(payload(1)).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    });
}

#[test]
fn a_sync_that_the_sink_asked_for_and_that_fails_leaves_nobody_waiting() {
    run(async {
        let (disk, wal) = log(roomy().sync_policy(SyncPolicy::Manual)).await;
        let mut sink = wal.sink();
        sink.send(payload(0)).await.unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        sink.feed(payload(1)).await.unwrap();
        let error = sink.flush().await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
        assert_eq!(sink.acknowledged(), 1);
    });
}

/// A log with a quota that leaves no room for a second segment, and payloads that need one.
async fn full_log() -> (SimDisk, Wal) {
    let (disk, wal) = log(options().spare_segments(0).max_batch_records(1)).await;
    wal.append("takes the first segment").await.unwrap();
    disk.set_quota(Some(20 * 1024));
    (disk, wal)
}

fn large(number: usize) -> Bytes {
    vec![u8::try_from(number).unwrap(); 6 * 1024].into()
}

#[test]
fn a_full_disk_ends_the_sink_and_not_the_log() {
    run(async {
        let (disk, wal) = full_log().await;
        let mut sink = wal.sink().max_in_flight(1);
        let mut sent = 0;
        let error = loop {
            match sink.send(large(sent)).await {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::StorageFull(_)), "{error:?}");
        assert_eq!(sink.acknowledged(), sent as u64, "those are in the log");
        disk.set_quota(None);
        assert_gives(&mut sink, |error| matches!(error, Error::StorageFull(_))).await;

        let rest = (sent..6).map(large).map(Ok);
        futures::stream::iter(rest)
            .forward(wal.sink())
            .await
            .unwrap();
        wal.close().await.unwrap();
        let expected = (0..6).map(large).collect::<Vec<_>>();
        assert_eq!(recovered(&disk).await[1..], expected);
    });
}

/// Nothing sent after a refused payload is appended, not even a small payload that would fit.
#[test]
fn what_was_sent_after_the_refused_one_is_refused_too() {
    run(async {
        let (disk, wal) = full_log().await;
        let mut sink = wal.sink();
        sink.feed(large(0)).await.unwrap();
        sink.feed(large(1)).await.unwrap();
        sink.feed("small".into()).await.unwrap();
        let error = sink.flush().await.unwrap_err();
        assert!(matches!(error, Error::StorageFull(_)), "{error:?}");
        assert_eq!(sink.acknowledged(), 1);
        let [answer] = sink.into_pending().try_into().unwrap();
        assert!(matches!(answer.await, Err(Error::EarlierRefused(_))));
        wal.close().await.unwrap();
        assert_eq!(recovered(&disk).await[1..], [large(0)]);
    });
}

#[test]
fn a_payload_that_is_too_large_is_refused_and_the_sink_goes_on() {
    run(async {
        let (disk, wal) = log(roomy().max_record_size(100)).await;
        let mut sink = wal.sink();
        sink.feed(payload(0)).await.unwrap();
        let error = sink.feed(vec![0; 101].into()).await.unwrap_err();
        assert!(matches!(
            error,
            Error::TooLarge {
                len: 101,
                max: 100,
                ..
            }
        ));
        sink.send(payload(1)).await.unwrap();
        assert_eq!(sink.acknowledged(), 2);
        wal.close().await.unwrap();
        assert_holds(&disk, 2).await;
    });
}

#[test]
fn a_closed_log_answers_what_was_sent_before_and_refuses_the_rest() {
    run(async {
        let (disk, wal) = log(roomy().sync_policy(SyncPolicy::Manual)).await;
        let mut sink = wal.sink();
        for number in 0..3 {
            sink.feed(payload(number)).await.unwrap();
        }
        wal.close().await.unwrap();
        sink.feed(payload(3)).await.unwrap();
        let error = sink.flush().await.unwrap_err();
        assert!(matches!(error, Error::Closed), "{error:?}");
        assert_eq!((sink.acknowledged(), sink.in_flight()), (3, 0));
        assert_gives(&mut sink, |error| matches!(error, Error::Closed)).await;
        assert!(sink.into_pending().is_empty());
        assert_holds(&disk, 3).await;
    });
}

/// The first error belongs to the payload that was sent first, although the later one is refused at
/// once.
#[test]
fn errors_come_in_the_order_of_sending() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        wal.append("opens a segment").await.unwrap();
        let mut sink = wal.sink();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        sink.feed(payload(0)).await.unwrap();
        while wal.append("x").await.is_ok() {}
        assert!(matches!(wal.append("x").await, Err(Error::Poisoned(_))));
        let error = loop {
            if let Err(error) = sink.feed(payload(1)).await {
                break error;
            }
        };
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    });
}

#[test]
fn a_stream_that_is_forwarded_stops_at_the_first_error() {
    run(async {
        let (disk, wal) = log(roomy()).await;
        disk.fail(Operation::Sync, 1, io::ErrorKind::Other);
        let endless = payloads(u64::MAX);
        let error = endless.forward(wal.sink()).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    });
}

#[test]
#[should_panic(expected = "start_send without poll_ready")]
fn to_send_before_the_sink_is_ready_is_a_bug_of_the_caller() {
    run(async {
        let (_, wal) = log(roomy().queue_records(1)).await;
        let mut sink = std::pin::pin!(wal.sink());
        for number in 0..3 {
            futures::Sink::start_send(sink.as_mut(), payload(number)).unwrap();
        }
        sink.flush().now_or_never();
    });
}

/// The sink took the error of its sync for the end of the log, requested no other sync, and waited
/// forever.
#[test]
fn regression_a_sink_asks_for_a_sync_again_after_another_producers_record_was_refused() {
    run(async {
        let manual = options().spare_segments(0).sync_policy(SyncPolicy::Manual);
        let (disk, wal) = log(manual).await;
        let mut sink = wal.sink();
        sink.send(large(0)).await.unwrap();
        disk.fail(Operation::Create, 0, io::ErrorKind::StorageFull);
        sink.feed(payload(1)).await.unwrap();
        let other = wal.try_submit(vec![0; 12_000]).unwrap();
        sink.flush().await.unwrap();
        assert!(matches!(other.await, Err(Error::StorageFull(_))));
        sink.send(payload(2)).await.unwrap();
        assert_eq!(sink.acknowledged(), 3);
        wal.close().await.unwrap();
        assert_eq!(recovered(&disk).await, [large(0), payload(1), payload(2)]);
    });
}
