//! `SyncPolicy::Manual`: a sync on request, at a rotation and at the end.

use tidewal::Lsn;
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready_ok, task};

use crate::helpers::{AGES, append_together, log, manual};
use crate::support::run;

#[test]
fn under_manual_an_append_waits_for_sync() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut append = task::spawn(wal.append("x"));
        assert_pending!(append.poll());
        sleep(AGES).await;
        assert!(!append.is_woken());
        assert_pending!(append.poll());
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        assert_eq!(wal.sync().await.unwrap(), Lsn::new(2));
        assert!(append.is_woken());
        assert_eq!(assert_ready_ok!(append.poll()), Lsn::new(2));
    });
}

#[test]
fn under_manual_an_append_waits_for_rotation() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut first = task::spawn(wal.submit(vec![1; 7000]).await.unwrap());
        sleep(AGES).await;
        assert_pending!(first.poll());
        let mut second = task::spawn(wal.submit(vec![2; 7000]).await.unwrap());
        sleep(AGES).await;
        assert_eq!(wal.stats().segments, 2);
        assert_eq!(assert_ready_ok!(first.poll()), Lsn::new(2));
        assert_pending!(
            second.poll(),
            "it is in the new segment, which was not synced"
        );
        assert_eq!(wal.durable_lsn(), Lsn::new(2));
    });
}

#[test]
fn under_manual_an_append_waits_for_close() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut pending = task::spawn(wal.submit("x").await.unwrap());
        sleep(AGES).await;
        assert_pending!(pending.poll());
        wal.close().await.unwrap();
        assert_eq!(assert_ready_ok!(pending.poll()), Lsn::new(2));
    });
}

#[test]
fn under_manual_an_append_waits_for_the_last_handle_to_be_dropped() {
    run(async {
        let (_, wal) = log(manual()).await;
        let other = wal.clone();
        let mut pending = task::spawn(wal.submit("x").await.unwrap());
        drop(wal);
        sleep(AGES).await;
        assert_pending!(pending.poll());
        drop(other);
        sleep(AGES).await;
        assert_eq!(assert_ready_ok!(pending.poll()), Lsn::new(2));
    });
}

#[test]
fn under_manual_one_sync_answers_all() {
    run(async {
        let (_, wal) = log(manual()).await;
        let appends = append_together(&wal, 10);
        let sync = async {
            sleep(AGES).await;
            wal.sync().await.unwrap()
        };
        let (lsns, synced) = tokio::join!(appends, sync);
        assert_eq!(lsns.last(), Some(&synced));
        assert_eq!(wal.stats().syncs, 2);
    });
}
