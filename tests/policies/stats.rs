//! `Wal::stats`.

use tidewal::Stats;
use tokio_test::{assert_pending, task};

use crate::helpers::{HEADER, log, settle};
use crate::support::{DIR, options, run};

#[test]
fn a_log_that_was_just_opened_has_done_nothing() {
    run(async {
        let (disk, wal) = log(options()).await;
        wal.close().await.unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        assert_eq!(wal.stats(), Stats::default());
    });
}

#[test]
fn the_counters_say_what_was_done() {
    run(async {
        let (_, wal) = log(options()).await;
        let before = wal.stats();
        assert_eq!((before.records, before.payload_bytes), (1, 5));
        wal.append_batch(["12", "345"]).await.unwrap();
        wal.append(vec![0; 7000]).await.unwrap();
        wal.append(vec![0; 7000]).await.unwrap();
        let stats = wal.stats();
        assert_eq!(stats.records, 5);
        assert_eq!(stats.payload_bytes, 5 + 5 + 14_000);
        assert_eq!(stats.written_bytes, stats.payload_bytes + 5 * HEADER as u64);
        assert_eq!((stats.batches, stats.syncs, stats.segments), (4, 4, 2));
        assert_eq!((stats.queued_records, stats.queued_bytes), (0, 0));
    });
}

#[test]
fn the_counters_say_what_waits_to_be_written() {
    run(async {
        let (_, wal) = log(options()).await;
        let first = wal.submit("x").await.unwrap();
        settle().await;
        assert_eq!(
            wal.stats().queued_records,
            0,
            "it is written, and waits for its sync"
        );
        let mut appends = task::spawn(wal.append_batch(["12", "345"]));
        assert_pending!(appends.poll());
        let queued = (wal.stats().queued_records, wal.stats().queued_bytes);
        assert_eq!(queued, (2, 5 + 2 * HEADER as u64));
        first.await.unwrap();
        settle().await;
        assert_eq!(
            (wal.stats().queued_records, wal.stats().queued_bytes),
            (0, 0)
        );
        drop(appends);
    });
}
