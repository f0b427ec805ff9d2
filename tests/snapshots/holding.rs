//! Effects of a running snapshot on other callers, on the real disk.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use tidewal::{Error, Wal};
use tokio::sync::oneshot;

/// A running snapshot keeps the directory locked while the log closes. Opening the log waited for
/// it, and waited forever if the snapshot waited for the opening.
#[tokio::test]
async fn regression_a_log_that_a_snapshot_keeps_locked_is_waited_for_no_longer_than_was_asked_for()
{
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::options().open(dir.path()).await.unwrap();
    let lsn = wal.append("record").await.unwrap();
    let (begun, begins) = oneshot::channel();
    let (go, may_go) = mpsc::channel();
    let snapshots = wal.snapshots();
    let writing = tokio::spawn(async move {
        let contents = move |output: &mut tidewal::snapshot::SnapshotOutput| {
            begun.send(()).expect("the test waits for it");
            may_go.recv().expect("the test lets it go");
            output.write_all(b"contents")
        };
        snapshots.write(lsn, contents).await
    });
    begins.await.unwrap();
    // The log closes even if no caller waits for it.
    tokio_test::assert_pending!(tokio_test::task::spawn(wal.close()).poll());
    let options = Wal::options().lock_timeout(Duration::from_millis(50));
    let opened = tokio::time::timeout(Duration::from_secs(60), options.open(dir.path())).await;
    let error = opened.expect("it waits for no longer").unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error:?}");
    go.send(()).unwrap();
    drop(writing.await.unwrap());
    let wal = Wal::options().open(dir.path()).await.unwrap();
    assert_eq!(wal.durable_lsn(), lsn);
}
