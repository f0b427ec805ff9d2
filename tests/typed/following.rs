//! Values of a log that is followed.

use std::task::Poll;

use futures::StreamExt;
use tidewal::sim::SimDisk;
use tidewal::typed::{TypedFollower, TypedWal};
use tidewal::{Error, Lsn};
use tidewal_testing::harness::typed::open;
use tokio_test::{assert_pending, task};

use crate::bank::{Event, event};
use crate::helpers::numbered;
use crate::support::run;

async fn log() -> TypedWal<Event> {
    open(&SimDisk::new(1)).await
}

/// Takes the next values, which are durable.
async fn assert_next(follower: &mut TypedFollower<Event>, first: u64, values: &[Event]) {
    for expected in numbered(first, values.iter().cloned()) {
        assert_eq!(follower.try_next().await.unwrap(), Some(expected));
    }
}

#[test]
fn a_follower_delivers_values_once_they_are_durable() {
    run(async {
        let wal = log().await;
        wal.append_batch([event(0), event(1)]).await.unwrap();
        let mut follower = wal.follow(Lsn::FIRST);
        assert_next(&mut follower, 1, &[event(0), event(1)]).await;

        let mut follower = task::spawn(follower);
        assert_pending!(follower.poll_next());
        let submitted = wal.submit(&event(2)).await.unwrap();
        assert_pending!(follower.poll_next(), "it is not durable");
        submitted.await.unwrap();
        assert!(follower.is_woken());
        let Poll::Ready(Some(Ok(next))) = follower.poll_next() else {
            panic!("it is durable");
        };
        assert_eq!(next, (Lsn::new(3), event(2)));
        assert_pending!(follower.poll_next(), "each once");
    });
}

/// Finished segments are read from their files, where memory no longer has the records.
#[test]
fn a_follower_delivers_the_values_of_files() {
    run(async {
        let wal = log().await;
        let events: Vec<_> = (0..20).map(event).collect();
        wal.append_batch(&events[..10]).await.unwrap();
        wal.untyped().rotate().await.unwrap();
        wal.append_batch(&events[10..]).await.unwrap();
        assert_next(&mut wal.follow(Lsn::ZERO), 1, &events).await;
        assert_next(&mut wal.follow(Lsn::new(8)), 8, &events[7..]).await;
    });
}

#[test]
fn the_error_names_the_record_and_the_follower_ends() {
    run(async {
        let wal = log().await;
        wal.append(&event(0)).await.unwrap();
        wal.untyped().append("of another version").await.unwrap();
        wal.append(&event(2)).await.unwrap();
        let mut follower = wal.follow(Lsn::FIRST);
        assert_next(&mut follower, 1, &[event(0)]).await;
        let error = follower.try_next().await.unwrap_err();
        let Error::Undecodable { lsn, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*lsn, Lsn::new(2));
        assert!(
            error.to_string().starts_with("record 2 is intact"),
            "{error}"
        );
        assert_eq!(follower.try_next().await.unwrap(), None);
        assert!(follower.next().await.is_none());

        let mut rest = follower.into_untyped().typed::<Event>();
        assert_next(&mut rest, 3, &[event(2)]).await;
    });
}

#[test]
fn a_follower_ends_with_the_log() {
    run(async {
        let wal = log().await;
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        assert_pending!(follower.poll_next());
        drop(wal.submit(&event(0)).await.unwrap());
        wal.close().await.unwrap();
        assert!(follower.is_woken());
        let mut follower = follower.into_inner();
        assert_next(&mut follower, 1, &[event(0)]).await;
        assert_eq!(follower.try_next().await.unwrap(), None);
        assert_eq!(follower.try_next().await.unwrap(), None);
    });
}

/// What was truncated is the error of the log, not of the codec.
#[test]
fn a_truncated_value_is_the_error_of_the_log() {
    run(async {
        let wal = log().await;
        wal.append(&event(0)).await.unwrap();
        wal.untyped().rotate().await.unwrap();
        wal.append(&event(1)).await.unwrap();
        wal.truncate_before(Lsn::new(2)).await.unwrap();
        let error = wal.follow(Lsn::FIRST).try_next().await.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
    });
}

/// `TypedFollower`: "`try_next` and the stream are cancel safe: if the future is dropped before it completes,
/// no value is lost."
#[test]
fn a_dropped_wait_for_the_next_value_loses_none() {
    run(async {
        let wal = log().await;
        let mut follower = wal.follow(Lsn::FIRST);
        let events: Vec<_> = (0..30).map(event).collect();
        for (number, expected) in (0..).zip(numbered(1, events)) {
            assert_pending!(task::spawn(follower.try_next()).poll());
            assert_pending!(task::spawn(follower.next()).poll());
            wal.append(&expected.1).await.unwrap();
            if number % 10 == 5 {
                wal.untyped().rotate().await.unwrap();
            }
            assert_eq!(follower.try_next().await.unwrap(), Some(expected));
        }

        let mut behind = wal.follow(Lsn::FIRST);
        let mut found = Vec::new();
        while found.len() < 30 {
            if let Poll::Ready(next) = task::spawn(behind.try_next()).poll() {
                found.push(next.unwrap().unwrap());
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(found, numbered(1, (0..30).map(event)));
    });
}
