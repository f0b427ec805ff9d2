//! Records and batches that are larger than the queue.

use futures::future::try_join_all;
use tidewal::{Error, Lsn, TrySubmitError};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};

use crate::helpers::{appended, log, next_batch, queued, settle, stalled, taking};
use crate::support::{options, policies, run};

#[test]
fn a_record_larger_than_the_queue_gets_through() {
    for policy in policies() {
        run(async {
            let options = options().queue_bytes(1000).sync_policy(policy);
            let (disk, wal) = log(options).await;
            let pending = wal.submit(taking(9000)).await.unwrap();
            assert_eq!(queued(&wal), (1000, 1));
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(2));
            assert_eq!(pending.await.unwrap(), Lsn::new(2));
            assert_eq!(appended(&disk, &wal).await, [taking(9000)]);
        });
    }
}

#[test]
fn a_record_larger_than_the_queue_waits_until_it_is_empty_and_others_wait_behind() {
    run(async {
        let (disk, wal) = stalled(options().queue_bytes(1000)).await;
        drop(wal.submit(taking(100)).await.unwrap());
        let mut large = task::spawn(wal.submit(taking(5000)));
        assert_pending!(large.poll());
        let mut small = task::spawn(wal.submit(taking(50)));
        assert_pending!(small.poll());
        next_batch().await;
        drop(assert_ready_ok!(large.poll()));
        // It is the first in the wait list now, and has no room yet.
        assert_pending!(small.poll());
        next_batch().await;
        assert!(small.is_woken());
        drop(assert_ready_ok!(small.poll()));
        let expected = [taking(100), taking(5000), taking(50)];
        assert_eq!(appended(&disk, &wal).await, expected);
    });
}

#[test]
fn a_queue_holds_no_more_after_a_record_that_was_larger() {
    run(async {
        let (_, wal) = log(options().queue_bytes(1000).queue_records(2)).await;
        wal.append(taking(5000)).await.unwrap();
        wal.append_batch(["x"; 5]).await.unwrap();
        drop(wal.submit("stall").await.unwrap());
        settle().await;
        drop(wal.try_submit(taking(950)).unwrap());
        assert!(matches!(
            wal.try_submit(taking(51)),
            Err(TrySubmitError::Full(_))
        ));
        drop(wal.try_submit(taking(50)).unwrap());
        assert!(matches!(wal.try_submit(""), Err(TrySubmitError::Full(_))));
        next_batch().await;
        drop(wal.try_submit("").unwrap());
        drop(wal.try_submit("").unwrap());
        assert!(matches!(wal.try_submit(""), Err(TrySubmitError::Full(_))));
    });
}

#[test]
fn a_batch_of_more_records_than_the_queue_has_places_gets_through() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(2)).await;
        drop(wal.submit("before").await.unwrap());
        let (batch, after) = tokio::join!(wal.append_batch(["batch"; 5]), wal.append("after"));
        assert_eq!(batch.unwrap(), Lsn::new(4)..=Lsn::new(8));
        assert_eq!(after.unwrap(), Lsn::new(9));
        assert_eq!(appended(&disk, &wal).await.len(), 7);
    });
}

#[test]
fn producers_of_records_of_all_sizes_all_get_through() {
    for policy in policies() {
        run(async {
            let options = options().queue_bytes(1000).queue_records(3);
            let (_, wal) = log(options.sync_policy(policy)).await;
            let producers = (0..8).map(|producer| {
                let wal = wal.clone();
                tokio::spawn(async move {
                    for round in 0..10 {
                        let bytes = 20 + (producer * 7 + round * 13) % 30 * 50;
                        drop(wal.submit(taking(bytes)).await.unwrap());
                        drop(task::spawn(wal.append_batch(["x"; 5])).poll());
                    }
                })
            });
            try_join_all(producers).await.unwrap();
            wal.sync().await.unwrap();
            assert_eq!(queued(&wal), (0, 0));
        });
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_at_once_though_the_queue_is_full() {
    run(async {
        let options = options().queue_records(1).max_record_size(100);
        let (_, wal) = stalled(options).await;
        drop(wal.submit("").await.unwrap());
        let mut submit = task::spawn(wal.submit(vec![0; 101]));
        assert!(matches!(
            assert_ready_err!(submit.poll()),
            Error::TooLarge {
                len: 101,
                max: 100,
                ..
            }
        ));
    });
}
