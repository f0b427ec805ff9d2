//! `Wal::stats`.

use std::io;
use std::time::Duration;

use tidewal::sim::Operation;
use tidewal::{Durability, Error, Histogram, Lsn, Wal};
use tokio::time::sleep;
use tokio_test::{assert_pending, task};

use crate::helpers::{HEADER, INTERVAL, SYNC, append_together, interval, log, ms, settle};
use crate::support::{DIR, options, run};

#[test]
fn a_log_that_was_just_opened_has_done_nothing() {
    run(async {
        let (disk, wal) = log(options()).await;
        wal.close().await.unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let stats = wal.stats();
        assert_eq!(
            (stats.appends, stats.records, stats.written_bytes),
            (0, 0, 0)
        );
        assert_eq!((stats.batches, stats.syncs, stats.segments), (0, 0, 0));
        assert_eq!((stats.sync_running, stats.poisoned), (None, false));
        assert_eq!(stats.sync_nanos.quantile(0.5), None);
        assert_eq!((stats.durable_lsn, stats.segments_kept), (Lsn::FIRST, 1));
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
        assert_eq!((stats.appends, stats.records), (4, 5));
        assert_eq!(stats.payload_bytes, 5 + 5 + 14_000);
        assert_eq!(stats.written_bytes, stats.payload_bytes + 5 * HEADER as u64);
        assert_eq!((stats.batches, stats.syncs, stats.segments), (4, 4, 2));
        assert_eq!((stats.queued_records, stats.queued_bytes), (0, 0));
        assert_eq!((stats.durable_lsn, stats.segments_kept), (Lsn::new(5), 2));
        assert_eq!(
            (stats.batch_records.count(), stats.batch_records.sum()),
            (4, 5)
        );
        assert_eq!(stats.batch_records.max(), 2);
        assert_eq!(stats.batch_bytes.sum(), stats.written_bytes);
        assert_eq!(stats.batch_bytes.max(), 7000 + HEADER as u64);
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

#[test]
fn each_sync_is_timed() {
    run(async {
        let (disk, wal) = log(options()).await;
        let before = wal.stats();
        for time in [ms(1), ms(1), ms(40)] {
            disk.set_sync_time(time);
            wal.append("x").await.unwrap();
        }
        let syncs = wal.stats().sync_nanos.since(&before.sync_nanos);
        assert_eq!((syncs.count(), syncs.sum()), (3, nanos(ms(42))));
        assert_eq!(counts_at(&syncs, ms(1)), 2);
        assert_eq!(counts_at(&syncs, ms(40)), 1);
        assert_eq!(syncs.max(), nanos(ms(40)));
        assert_eq!(syncs.quantile(1.0), Some(nanos(ms(40))));
    });
}

#[test]
fn an_append_is_timed_from_its_call_to_its_answer() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        let first = wal.submit("first").await.unwrap();
        sleep(ms(4)).await;
        let second = wal.submit("second").await.unwrap();
        first.await.unwrap();
        second.await.unwrap();
        let appends = wal.stats().append_nanos.since(&before.append_nanos);
        assert_eq!(appends.count(), 2);
        assert_eq!(appends.sum(), 2 * nanos(INTERVAL + SYNC) - nanos(ms(4)));
        assert_eq!(appends.max(), nanos(INTERVAL + SYNC));
    });
}

#[test]
fn the_wait_for_a_place_in_the_queue_counts() {
    run(async {
        let (_, wal) = log(options().queue_records(1)).await;
        let before = wal.stats();
        let first = wal.submit("first").await.unwrap();
        settle().await;
        let second = wal.submit("second").await.unwrap();
        // The queue is full until the first record's sync has completed.
        assert_eq!(wal.append("third").await.unwrap(), Lsn::new(4));
        first.await.unwrap();
        second.await.unwrap();
        let appends = wal.stats().append_nanos.since(&before.append_nanos);
        assert_eq!(appends.sum(), nanos(SYNC + 2 * SYNC + 3 * SYNC));
    });
}

#[test]
fn a_written_append_is_timed_until_its_write() {
    run(async {
        let (_, wal) = log(options()).await;
        let before = wal.stats();
        wal.append_with("x", Durability::Written).await.unwrap();
        let appends = wal.stats().append_nanos.since(&before.append_nanos);
        assert_eq!((appends.count(), appends.sum()), (1, 0));
    });
}

#[test]
fn what_is_timed_of_large_batches_stands_for_all_appends() {
    run(async {
        let (_, wal) = log(Wal::options()).await;
        let before = wal.stats();
        for _ in 0..100 {
            append_together(&wal, 640).await;
        }
        let appends = wal.stats().append_nanos.since(&before.append_nanos);
        let off = appends.count().abs_diff(64_000);
        assert!(off < 3_000, "{} for 64000", appends.count());
        assert_eq!(counts_at(&appends, SYNC), appends.count());
    });
}

#[test]
fn appends_that_fail_have_no_time() {
    run(async {
        let (disk, wal) = log(options()).await;
        let before = wal.stats();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        assert!(matches!(
            wal.append("x").await,
            Err(Error::OutcomeUnknown(_))
        ));
        let stats = wal.stats();
        assert_eq!(stats.append_nanos, before.append_nanos);
        assert_eq!(stats.sync_nanos, before.sync_nanos);
        assert_eq!((stats.poisoned, stats.sync_running), (true, None));
    });
}

#[test]
fn a_sync_that_hangs_shows_its_age() {
    run(async {
        let (disk, wal) = log(options()).await;
        disk.stall(0, Duration::MAX);
        let pending = wal.submit("x").await.unwrap();
        settle().await;
        assert_eq!(wal.stats().sync_running, Some(ms(0)));
        sleep(ms(70_000)).await;
        assert_eq!(wal.stats().sync_running, Some(ms(70_000)));
        assert_eq!(wal.stats().syncs, 1);
        drop(pending);
    });
}

#[test]
fn a_sync_that_has_ended_shows_no_age() {
    run(async {
        let (_, wal) = log(options()).await;
        let pending = wal.submit("x").await.unwrap();
        settle().await;
        assert!(wal.stats().sync_running.is_some());
        pending.await.unwrap();
        assert_eq!(wal.stats().sync_running, None);
    });
}

#[test]
fn a_rotation_that_hangs_shows_its_age() {
    run(async {
        let (disk, wal) = log(options()).await;
        wal.append(vec![0; 7000]).await.unwrap();
        disk.set_sync_time(Duration::MAX);
        let pending = wal.submit(vec![0; 7000]).await.unwrap();
        sleep(ms(500)).await;
        assert_eq!(wal.stats().sync_running, Some(ms(500)));
        drop(pending);
    });
}

#[test]
fn appends_without_room_are_counted() {
    run(async {
        let (disk, wal) = log(options().spare_segments(0)).await;
        disk.set_quota(Some(20_000));
        wal.append(vec![0; 7000]).await.unwrap();
        for _ in 0..3 {
            let refused = wal.append(vec![0; 7000]).await;
            assert!(matches!(refused, Err(Error::StorageFull(_))));
        }
        let stats = wal.stats();
        assert_eq!((stats.storage_full, stats.segments_kept), (3, 1));
        assert_eq!((stats.sync_running, stats.poisoned), (None, false));
    });
}

#[test]
fn truncations_and_what_they_freed_are_counted() {
    run(async {
        let (_, wal) = log(options()).await;
        for _ in 0..5 {
            wal.append(vec![0; 9000]).await.unwrap();
        }
        assert_eq!(wal.stats().segments_kept, 5);
        wal.truncate_before(Lsn::new(4)).await.unwrap();
        wal.truncate_before(Lsn::new(4)).await.unwrap();
        let stats = wal.stats();
        assert_eq!((stats.truncations, stats.segments_truncated), (2, 2));
        assert_eq!(stats.segments_kept, 3);
    });
}

/// The number of values in the bucket of this time.
fn counts_at(histogram: &Histogram, time: Duration) -> u64 {
    let bounds = histogram.bounds();
    let bucket = bounds.partition_point(|&bound| bound < nanos(time));
    histogram.counts()[bucket]
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap()
}
