//! Why batches are written at a moment (`FlushCause`).

use tidewal::FlushCause::{
    BatchBytes, BatchRecords, Close, Interval, QueueFull, Rotation, Sync, Truncation, WriterIdle,
    Written,
};
use tidewal::{Durability, FlushCause, Lsn, Stats, Wal};

use crate::helpers::{HEADER, append_together, interval, log, manual};
use crate::support::{options, run};

/// The causes of the batches since then.
fn causes_since(before: &Stats, wal: &Wal) -> Vec<(FlushCause, u64)> {
    let after = wal.stats();
    assert_eq!(after.flushes.total(), after.batches);
    let since = |cause| after.flushes.of(cause) - before.flushes.of(cause);
    after
        .flushes
        .iter()
        .map(|(cause, _)| (cause, since(cause)))
        .filter(|&(_, count)| count > 0)
        .collect()
}

#[test]
fn a_free_disk_takes_what_there_is() {
    for options in [options(), manual()] {
        run(async {
            let (_, wal) = log(options).await;
            let before = wal.stats();
            drop(wal.submit("x").await.unwrap());
            wal.sync().await.unwrap();
            assert_eq!(causes_since(&before, &wal), [(WriterIdle, 1)]);
        });
    }
}

#[test]
fn the_end_of_an_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        append_together(&wal, 3).await;
        assert_eq!(causes_since(&before, &wal), [(Interval, 1)]);
    });
}

#[test]
fn all_the_records_a_batch_may_have() {
    run(async {
        let (_, wal) = log(interval().max_batch_records(4)).await;
        let before = wal.stats();
        append_together(&wal, 6).await;
        assert_eq!(
            causes_since(&before, &wal),
            [(BatchRecords, 1), (Interval, 1)]
        );
    });
}

#[test]
fn an_atomic_batch_that_exceeds_the_records_of_the_one_before() {
    run(async {
        let (_, wal) = log(interval().max_batch_records(4)).await;
        let before = wal.stats();
        drop(wal.submit("x").await.unwrap());
        wal.append_batch(["x"; 4]).await.unwrap();
        assert_eq!(causes_since(&before, &wal), [(BatchRecords, 2)]);
    });
}

#[test]
fn all_the_bytes_a_batch_may_have() {
    run(async {
        let (_, wal) = log(interval().max_batch_bytes(4 * HEADER)).await;
        let before = wal.stats();
        append_together(&wal, 4).await;
        assert_eq!(causes_since(&before, &wal), [(BatchBytes, 1)]);
    });
}

#[test]
fn a_record_that_exceeds_the_bytes_of_the_batch_before() {
    run(async {
        let (_, wal) = log(interval().max_batch_bytes(100)).await;
        let before = wal.stats();
        drop(wal.submit(vec![0; 60]).await.unwrap());
        wal.append(vec![0; 60]).await.unwrap();
        assert_eq!(
            causes_since(&before, &wal),
            [(BatchBytes, 1), (Interval, 1)]
        );
    });
}

#[test]
fn somebody_who_asks_for_a_sync() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        drop(wal.submit("x").await.unwrap());
        wal.sync().await.unwrap();
        assert_eq!(causes_since(&before, &wal), [(Sync, 1)]);
    });
}

#[test]
fn a_sync_with_nothing_to_write_is_no_batch() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        wal.sync().await.unwrap();
        assert_eq!(causes_since(&before, &wal), []);
    });
}

#[test]
fn somebody_who_waits_for_the_write_only() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        wal.append_with("x", Durability::Written).await.unwrap();
        assert_eq!(causes_since(&before, &wal), [(Written, 1)]);
    });
}

#[test]
fn somebody_who_waits_for_a_place() {
    run(async {
        // There is no room for the second record while the first one waits for the end of its
        // interval.
        let (_, wal) = log(interval().queue_bytes(100)).await;
        let before = wal.stats();
        drop(wal.submit(vec![0; 60]).await.unwrap());
        let waiting = wal.submit(vec![0; 60]).await.unwrap();
        assert_eq!(causes_since(&before, &wal), [(QueueFull, 1)]);
        waiting.await.unwrap();
    });
}

#[test]
fn a_truncation_that_comes_next() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        drop(wal.submit("x").await.unwrap());
        wal.truncate_before(Lsn::FIRST).await.unwrap();
        assert_eq!(causes_since(&before, &wal), [(Truncation, 1)]);
    });
}

#[test]
fn a_close_that_comes_next() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        let other = wal.clone();
        drop(wal.submit("x").await.unwrap());
        wal.close().await.unwrap();
        assert_eq!(causes_since(&before, &other), [(Close, 1)]);
    });
}

#[test]
fn the_rest_of_a_batch_that_a_segment_had_no_room_for() {
    run(async {
        let (_, wal) = log(options()).await;
        let before = wal.stats();
        let payload = vec![0; 5000];
        let mut pending = Vec::new();
        for _ in 0..5 {
            pending.push(wal.try_submit(payload.clone()).unwrap());
        }
        for append in pending {
            append.await.unwrap();
        }
        assert_eq!(
            causes_since(&before, &wal),
            [(WriterIdle, 1), (Rotation, 2)]
        );
    });
}

#[test]
fn a_batch_that_begins_with_a_new_segment_is_no_rest() {
    run(async {
        let (_, wal) = log(options()).await;
        wal.append(vec![0; 9000]).await.unwrap();
        let before = wal.stats();
        wal.append(vec![0; 9000]).await.unwrap();
        assert_eq!(wal.stats().segments, before.segments + 1);
        assert_eq!(causes_since(&before, &wal), [(WriterIdle, 1)]);
    });
}

#[test]
fn the_labels_differ() {
    let mut labels: Vec<_> = FlushCause::ALL.iter().map(|cause| cause.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), FlushCause::ALL.len());
}
