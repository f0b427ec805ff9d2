//! Followers end with the log.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tidewal::sim::Operation;
use tidewal::{Error, Lsn, Wal};
use tokio_test::{assert_pending, assert_ready, task};

use crate::helpers::{append, log, payload, poll, rest, settle, take};
use crate::support::{DIR, options, run};

#[test]
fn a_follower_ends_with_the_log_after_its_last_record() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        assert_pending!(follower.poll_next());
        drop(wal.submit(payload(1)).await.unwrap());
        wal.close().await.unwrap();
        assert!(follower.is_woken());
        let record = assert_ready!(follower.poll_next()).unwrap().unwrap();
        assert_eq!(record.lsn, Lsn::FIRST);
        assert!(assert_ready!(follower.poll_next()).is_none());
        assert!(assert_ready!(follower.poll_next()).is_none());
    });
}

#[test]
fn a_follower_does_not_keep_a_log_open() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 30).await;
        let mut behind = wal.follow(Lsn::FIRST);
        take(&mut behind, 1..=1).await;
        let at_end = wal.follow(Lsn::new(31));
        drop(wal);
        assert!(rest(at_end).await.is_empty());
        drop(options().open_on(&disk, DIR).await.unwrap());
    });
}

/// Its files may belong to the next log.
#[test]
fn a_follower_that_is_behind_when_the_log_closes_is_told() {
    run(async {
        let (disk, wal) = log(options().segment_size(4 << 20)).await;
        for _ in 0..8 {
            wal.append(vec![1; 3 << 20]).await.unwrap();
        }
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        while poll(&mut follower).is_pending() {
            settle().await;
        }
        wal.close().await.unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let mut items = Vec::new();
        while let Poll::Ready(Some(item)) = poll(&mut follower) {
            items.push(item);
        }
        let (last, records) = items.split_last().unwrap();
        assert!(records.iter().all(Result::is_ok) && records.len() < 7);
        assert!(matches!(last, Err(Error::Closed)), "{last:?}");
        assert!(assert_ready!(follower.poll_next()).is_none());
        wal.close().await.unwrap();
    });
}

#[test]
fn what_is_in_memory_is_delivered_after_the_end() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        assert_pending!(follower.poll_next());
        append(&wal, 5).await;
        wal.close().await.unwrap();
        for _ in 0..5 {
            assert!(assert_ready!(follower.poll_next()).unwrap().is_ok());
        }
        assert!(assert_ready!(follower.poll_next()).is_none());
    });
}

#[test]
fn the_followers_of_a_poisoned_log_get_what_is_durable_and_then_the_cause() {
    run(async {
        let (disk, wal) = log(options()).await;
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        assert_pending!(follower.poll_next());
        append(&wal, 2).await;
        disk.fail(Operation::Sync, 0, std::io::ErrorKind::Other);
        assert!(wal.append(payload(3)).await.is_err());
        let mut lsns = Vec::new();
        let error = loop {
            match assert_ready!(follower.poll_next()) {
                Some(Ok(record)) => lsns.push(record.lsn.get()),
                Some(Err(error)) => break error,
                None => panic!("the cause is not told"),
            }
        };
        assert_eq!(lsns, [1, 2]);
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
        assert!(assert_ready!(follower.poll_next()).is_none());
    });
}

#[test]
fn a_follower_outlives_a_power_cut_with_what_was_durable() {
    run(async {
        let (disk, wal) = log(options()).await;
        let mut follower = wal.follow(Lsn::FIRST);
        append(&wal, 3).await;
        disk.cut_power_at(disk.operations());
        assert!(wal.append(payload(4)).await.is_err());
        take(&mut follower, 1..=3).await;
        assert!(follower.try_next().await.is_err());
    });
}

/// The requested rotation kept the log open, so the next log found the directory locked.
#[test]
fn regression_a_follower_that_waits_for_a_rotation_does_not_keep_a_log_open() {
    run(async {
        let (disk, wal) = log(options().spare_segments(0)).await;
        append(&wal, 2).await;
        disk.set_sync_time(crate::helpers::ms(5));
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        assert!(poll(&mut follower).is_pending());
        settle().await;
        drop(wal);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        append(&wal, 1).await;
    });
}

/// A waker is code of its owner. Its panic ended the writer, and readers waited forever.
fn panics() -> Waker {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker panics");
        }
    }

    Waker::from(Arc::new(Panics))
}

/// Ends the writer of a log by a panic.
async fn end_by_a_panic(wal: &Wal) {
    let mut append = Box::pin(wal.submit("the last one").await.unwrap());
    let poll = append.as_mut().poll(&mut Context::from_waker(&panics()));
    assert!(poll.is_pending());
    settle().await;
}

#[test]
fn regression_those_who_read_and_hold_end_with_a_writer_that_has_panicked() {
    run(async {
        let (disk, wal) = log(options().segment_size(4 << 20)).await;
        for _ in 0..8 {
            wal.append(vec![1; 3 << 20]).await.unwrap();
        }
        let mut segments = task::spawn(wal.finished_segments(Lsn::new(8)));
        assert_pending!(segments.poll_next());
        let hold = wal.hold(Lsn::FIRST).unwrap();
        let mut released = task::spawn(hold.released());
        assert_pending!(released.poll());
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        while poll(&mut follower).is_pending() {
            settle().await;
        }
        end_by_a_panic(&wal).await;
        assert!(segments.is_woken());
        let end = assert_ready!(segments.poll_next());
        assert!(matches!(end, Some(Err(Error::Interrupted))), "{end:?}");
        assert_ready!(released.poll());
        let records = rest(follower.into_inner()).await;
        let last = records.last().unwrap();
        assert!(matches!(last, Err(Error::Interrupted)), "{last:?}");
        drop(options().open_on(&disk, DIR).await.unwrap());
    });
}
