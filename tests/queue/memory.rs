//! Payloads are dropped as soon as possible.

use std::sync::Arc;

use bytes::Bytes;
use tidewal::Lsn;
use tokio::time::sleep;
use tokio_test::{assert_pending, task};

use crate::helpers::{log, ms, settle, stalled};
use crate::support::{options, policies, run};

/// A payload that shares these bytes, so their reference count shows whether it is still held.
fn sharing(bytes: &Arc<[u8]>) -> Bytes {
    Bytes::from_owner(Arc::clone(bytes))
}

/// Appends five payloads of this length. `held` of them are held until they are written.
fn five_are_let_go_when_they_are_written(len: usize, held: usize) {
    for policy in policies() {
        run(async {
            let options = options().segment_size(1 << 20).sync_policy(policy);
            let (_, wal) = log(options).await;
            let bytes = Arc::from(vec![7; len]);
            let pending = [(); 5].map(|()| wal.try_submit(sharing(&bytes)).unwrap());
            assert_eq!(Arc::strong_count(&bytes), 1 + held);
            sleep(ms(2)).await;
            settle().await;
            assert_eq!(wal.durable_lsn(), Lsn::FIRST, "nothing is synced yet");
            assert_eq!(Arc::strong_count(&bytes), 1);
            drop(pending);
        });
    }
}

#[test]
fn a_small_payload_is_let_go_as_soon_as_it_is_submitted() {
    five_are_let_go_when_they_are_written(100, 0);
    five_are_let_go_when_they_are_written(NOT_COPIED - 1, 0);
}

#[test]
fn a_large_payload_is_let_go_when_it_is_written_though_its_sync_never_comes() {
    five_are_let_go_when_they_are_written(NOT_COPIED, 5);
}

/// From this length on a payload is not copied (`ARCHITECTURE.md`).
const NOT_COPIED: usize = 16 * 1024;

#[test]
fn a_refused_payload_is_let_go_at_once() {
    run(async {
        let (_, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let bytes = Arc::from([7; 100]);
        assert!(wal.try_submit(sharing(&bytes)).is_err());
        let mut waiting = task::spawn(wal.submit(sharing(&bytes)));
        assert_pending!(waiting.poll());
        drop(waiting);
        assert_eq!(Arc::strong_count(&bytes), 1);
    });
}
