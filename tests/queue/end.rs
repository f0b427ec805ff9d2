//! Callers in the queue when the log ends.

use tidewal::sim::Operation;
use tidewal::{Error, Lsn};
use tokio_test::{assert_pending, assert_ready_err, task};

use crate::helpers::{appended, next_batch, stalled};
use crate::support::{options, run};

#[test]
fn who_waits_for_a_place_when_the_log_closes_learns_that_nothing_was_appended() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        let queued = wal.submit("queued").await.unwrap();
        let other = wal.clone();
        let mut waiting = task::spawn(other.submit("waiting"));
        assert_pending!(waiting.poll());
        let mut close = task::spawn(wal.clone().close());
        assert_pending!(close.poll());
        assert_eq!(queued.await.unwrap(), Lsn::new(3));
        next_batch().await;
        assert!(waiting.is_woken());
        match waiting.poll() {
            std::task::Poll::Ready(Err(Error::Closed)) => {}
            other => panic!("{other:?}"),
        }
        drop(waiting);
        drop(other);
        assert_eq!(appended(&disk, &wal).await, ["queued"]);
    });
}

#[test]
fn who_waits_for_a_place_when_the_log_is_poisoned_learns_why() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let mut waiting = task::spawn(wal.submit("waiting"));
        assert_pending!(waiting.poll());
        disk.fail(Operation::Sync, 0, std::io::ErrorKind::TimedOut);
        next_batch().await;
        assert!(waiting.is_woken());
        match assert_ready_err!(waiting.poll()) {
            Error::Poisoned(fault) => {
                assert_eq!(fault.io_error().kind(), std::io::ErrorKind::TimedOut);
            }
            other => panic!("{other:?}"),
        }
    });
}
