//! Followers beside truncation.

use std::task::Poll;

use tidewal::{Error, Lsn};
use tokio_test::task;

use crate::helpers::{append, log, poll, segments, settle, take};
use crate::support::{options, run};

#[test]
fn a_record_that_was_truncated_is_an_error_that_says_so() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 60).await;
        let mut behind = wal.follow(Lsn::FIRST);
        wal.truncate_before(Lsn::new(50)).await.unwrap();
        let oldest = segments(&disk)[0];
        let error = behind.try_next().await.unwrap_err();
        assert!(
            matches!(error, Error::Truncated { asked, oldest: kept, .. }
                if asked == Lsn::FIRST && kept.get() == oldest),
            "{error:?}"
        );
        assert!(behind.try_next().await.unwrap().is_none());
        take(&mut wal.follow(Lsn::ZERO), oldest..=60).await;
        take(&mut wal.follow(Lsn::new(oldest)), oldest..=60).await;
        let error = wal.follow(Lsn::new(oldest - 1)).try_next().await;
        assert!(matches!(error, Err(Error::Truncated { .. })), "{error:?}");
    });
}

/// A file that is being read is not recycled, so its contents do not change.
#[test]
fn a_segment_that_is_truncated_while_it_is_read_is_not_recycled() {
    run(async {
        let (disk, wal) = log(options().spare_segments(2)).await;
        append(&wal, 60).await;
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        while poll(&mut follower).is_pending() {
            settle().await;
        }
        wal.truncate_before(Lsn::new(61)).await.unwrap();
        append(&wal, 60).await;
        // Records that were read ahead are delivered, then the truncation is reported.
        let mut next = 2;
        loop {
            settle().await;
            match poll(&mut follower) {
                Poll::Ready(Some(Ok(record))) => {
                    crate::helpers::assert_record(&record, next);
                    next += 1;
                }
                Poll::Ready(Some(Err(Error::Truncated { asked, .. }))) => {
                    assert_eq!(asked.get(), next);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(next < 61);
        drop(disk);
    });
}

#[test]
fn an_empty_log_and_one_that_was_truncated_as_a_whole_are_followed() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut follower = wal.follow(Lsn::ZERO);
        append(&wal, 30).await;
        take(&mut follower, 1..=30).await;
        wal.truncate_before(Lsn::new(31)).await.unwrap();
        append(&wal, 1).await;
        take(&mut follower, 31..=31).await;
    });
}
