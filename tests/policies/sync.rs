//! `Wal::sync`.

use std::time::Duration;

use futures::future::join_all;
use tidewal::sim::SimDisk;
use tidewal::{Error, HoldOptions, Lsn, SyncPolicy};
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};

use crate::helpers::{SYNC, log, settle, timed};
use crate::support::{DIR, options, policies, run};

#[test]
fn sync_with_nothing_to_sync_touches_no_disk() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            let before = (disk.operations(), wal.stats());
            let (lsn, took) = timed(wal.sync()).await;
            assert_eq!((lsn.unwrap(), took), (Lsn::FIRST, Duration::ZERO));
            assert_eq!((disk.operations(), wal.stats()), before);
        });
    }
}

#[test]
fn sync_of_a_new_log_says_that_it_never_held_a_record() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let before = disk.operations();
        assert_eq!(wal.sync().await.unwrap(), Lsn::ZERO);
        assert_eq!(wal.durable_lsn(), Lsn::ZERO);
        assert_eq!(disk.operations(), before);
    });
}

#[test]
fn sync_of_a_reopened_log_says_where_it_ended() {
    run(async {
        let (disk, wal) = log(options()).await;
        wal.close().await.unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let before = disk.operations();
        assert_eq!(wal.sync().await.unwrap(), Lsn::FIRST);
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        assert_eq!(disk.operations(), before);
    });
}

#[test]
fn sync_waits_for_what_was_submitted_before_it_and_not_for_more() {
    run(async {
        let (_, wal) = log(options().max_batch_records(1)).await;
        let earlier = [
            wal.submit("a").await.unwrap(),
            wal.submit("b").await.unwrap(),
        ];
        let mut sync = task::spawn(wal.sync());
        assert_pending!(sync.poll());
        let mut later = task::spawn(wal.submit("c").await.unwrap());
        sleep(2 * SYNC).await;
        settle().await;
        assert_eq!(assert_ready_ok!(sync.poll()), Lsn::new(3));
        assert_pending!(later.poll());
        drop(join_all(earlier).await);
    });
}

/// A backup goes by the durable LSN after a sync, refused records or not: it missed what was written.
#[test]
fn regression_a_sync_that_hears_of_a_refused_record_comes_after_the_others_are_durable() {
    run(async {
        let manual = options().sync_policy(SyncPolicy::Manual);
        let (_, wal) = log(manual).await;
        drop(wal.submit(vec![0; 12_000]).await.unwrap());
        drop(wal.submit(vec![0; 5_000]).await.unwrap());
        wal.sync().await.unwrap();
        // No further segment is opened.
        let hold = wal.hold_with(Lsn::ZERO, HoldOptions::new().max_bytes(1));
        wal.truncate_before(Lsn::new(3)).await.unwrap();
        drop(wal.submit("it is written").await.unwrap());
        settle().await;
        let mut refused = task::spawn(wal.try_submit(vec![0; 12_000]).unwrap());
        let mut sync = task::spawn(wal.sync());
        assert_pending!(sync.poll());
        settle().await;
        let error = assert_ready!(refused.poll()).unwrap_err();
        assert!(matches!(error, Error::StorageFull(_)), "{error:?}");
        assert_pending!(sync.poll(), "nothing was synced yet");
        let error = sync.await.unwrap_err();
        assert!(matches!(error, Error::StorageFull(_)), "{error:?}");
        assert_eq!(wal.durable_lsn(), Lsn::new(4));
        drop(hold);
    });
}
