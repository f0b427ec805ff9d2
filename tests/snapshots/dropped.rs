//! Futures that are dropped, sentence by sentence.

use std::sync::mpsc;
use std::time::Duration;

use tidewal::snapshot::SnapshotState;
use tidewal::{Error, Lsn};
use tokio_test::assert_pending;
use tokio_test::task::spawn;

use crate::helpers::{contents, lsn, put, read_all, small_log, write};
use tidewal_testing::support::{DIR, options, run, within_a_minute};

/// Long enough, in virtual time, for all work to complete.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// `Snapshots`: "`write`, `list`, `read`, `remove_before` and `reserve` work in the background: if
/// the future is dropped after it was first polled, the work is still completed, and only the
/// answer is lost."
#[test]
fn dropped_calls_go_on_to_their_end() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        for number in [1, 2] {
            assert_pending!(spawn(write(&snapshots, lsn(number))).poll());
            a_while().await;
        }
        assert_eq!(snapshots.list().await.unwrap().len(), 2);
        assert_pending!(spawn(snapshots.reserve(1 << 20)).poll());
        a_while().await;
        assert!(disk.files(DIR).contains(&"snapshot.spare".to_owned()));
        let (sender, receiver) = mpsc::channel();
        let read = snapshots.read(lsn(1), move |input| {
            sender.send(read_all(input)?).expect("the test listens");
            Ok(())
        });
        assert_pending!(spawn(read).poll());
        a_while().await;
        assert_eq!(receiver.recv().unwrap(), contents(lsn(1), false));
        assert_pending!(spawn(snapshots.list()).poll());
        let (newest, _) = snapshots.read(lsn(2), read_all).await.unwrap();
        assert_pending!(spawn(snapshots.remove_before(&newest)).poll());
        a_while().await;
        let left = snapshots.list().await.unwrap();
        let left: Vec<_> = left.iter().map(|file| (file.lsn, file.state)).collect();
        assert_eq!(left, [(lsn(2), SnapshotState::Whole { len: 700 })]);
    });
}

/// `LockedDir`: "`snapshots` and `read_snapshot` work in the background."
///
/// `LockedDir`: "If the future is dropped, the directory stays locked until the function that was given to it
/// returns."
#[test]
fn a_dropped_read_keeps_the_directory_locked_until_its_function_returns() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            let lsn = wal.append("record").await.unwrap();
            wal.snapshots().write(lsn, put(vec![7; 10])).await.unwrap();
            wal.close().await.unwrap();
            let locked = options().lock(dir.path()).await.unwrap();
            // On a busy machine it may be done at the first poll. In either case it is dropped.
            let _ = spawn(locked.snapshots()).poll();
            let (begun, begins) = tokio::sync::oneshot::channel();
            let (go, may_go) = mpsc::channel::<()>();
            let read = locked.read_snapshot(lsn, move |_| {
                begun.send(()).expect("the test waits for it");
                may_go.recv().expect("the test lets it go");
                Ok(())
            });
            assert_pending!(spawn(read).poll());
            begins.await.unwrap();
            drop(locked);
            let second = options().lock_timeout(Duration::from_millis(20));
            let second = second.lock(dir.path()).await;
            assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
            go.send(()).unwrap();
            let waits = options().lock_timeout(Duration::from_secs(30));
            drop(waits.lock(dir.path()).await.unwrap());
        });
    });
}

/// `WalOptions::lock`: "Like `recover`: if the future is dropped before it completes, no segment
/// was changed."
///
/// `LockedDir::recover`: "Like `WalOptions::recover`: if the future is dropped before it completes,
/// no segment was changed."
#[test]
fn a_dropped_lock_or_recover_gives_the_directory_back_and_changes_no_segment() {
    run(async {
        let (disk, wal) = small_log(1).await;
        wal.close().await.unwrap();
        let before = disk.operations();
        assert_pending!(spawn(options().lock_on(&disk, DIR)).poll());
        a_while().await;
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        assert_pending!(spawn(locked.recover(Lsn::FIRST)).poll());
        a_while().await;
        assert_eq!(disk.operations(), before, "something was changed");
        let wal = options().open_on(&disk, DIR).await.unwrap();
        assert_eq!(wal.durable_lsn(), lsn(3));
    });
}
