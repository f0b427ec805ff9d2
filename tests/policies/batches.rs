//! Batches: their limits, and `Wal::append_batch`.

use futures::future::try_join_all;
use tidewal::{Error, Lsn, WalOptions};

use crate::helpers::{HEADER, append_together, log, settle, work_since};
use crate::support::{options, run};

/// Appends records of these sizes during a sync. Returns the number of batches in which they were
/// written.
async fn batches_of(options: WalOptions, sizes: &[usize]) -> u64 {
    let (_, wal) = log(options).await;
    let first = wal.submit("x").await.unwrap();
    settle().await;
    let before = wal.stats();
    let appends = sizes.iter().map(|bytes| wal.append(vec![0; *bytes]));
    let lsns = try_join_all(appends).await.unwrap();
    assert!(lsns.windows(2).all(|pair| pair[0].next() == pair[1]));
    first.await.unwrap();
    let (batches, syncs) = work_since(&before, &wal);
    assert_eq!(syncs, 1 + batches, "the first one was under way");
    batches
}

#[test]
fn a_batch_has_no_more_records_than_it_may() {
    let limited = options().max_batch_records(4);
    assert_eq!(run(batches_of(limited, &[1; 10])), 3);
}

#[test]
fn a_batch_has_no_more_bytes_than_it_may() {
    let limited = options().max_batch_bytes(3 * (100 + HEADER) + 50);
    assert_eq!(run(batches_of(limited, &[100; 10])), 4);
}

#[test]
fn a_record_larger_than_a_batch_is_written_alone() {
    let limited = options().max_batch_bytes(200);
    assert_eq!(run(batches_of(limited, &[10, 500, 10, 10])), 3);
}

#[test]
fn an_atomic_batch_of_more_records_than_a_batch_may_have_is_written_alone() {
    run(async {
        let (_, wal) = log(options().max_batch_records(2)).await;
        let before = wal.stats();
        let (one, five, two) = tokio::join!(
            wal.append("x"),
            wal.append_batch(["x"; 5]),
            append_together(&wal, 2)
        );
        assert_eq!(one.unwrap(), Lsn::new(2));
        assert_eq!(five.unwrap(), Lsn::new(3)..=Lsn::new(7));
        assert_eq!(two, [Lsn::new(8), Lsn::new(9)]);
        assert_eq!(work_since(&before, &wal), (3, 3));
    });
}

#[test]
fn a_batch_gets_lsns_that_follow_each_other() {
    run(async {
        let (_, wal) = log(options()).await;
        let batches = (1..=4).map(|count| wal.append_batch(vec!["x"; count]));
        let ranges = try_join_all(batches).await.unwrap();
        let expected = [(2, 2), (3, 4), (5, 7), (8, 11)];
        assert_eq!(
            ranges,
            expected.map(|(first, last)| Lsn::new(first)..=Lsn::new(last))
        );
        assert_eq!(wal.stats().syncs, 2);
    });
}

#[test]
fn a_batch_of_nothing_and_one_that_fits_no_segment_are_refused() {
    run(async {
        let (disk, wal) = log(options()).await;
        let before = (disk.operations(), wal.stats());
        let empty = wal.append_batch(Vec::<&str>::new()).await;
        assert!(matches!(empty, Err(Error::EmptyBatch)));
        let large = wal.append_batch(vec![vec![0; 7000]; 2]).await;
        assert!(matches!(large, Err(Error::TooLarge { .. })));
        assert_eq!((disk.operations(), wal.stats()), before);
        assert_eq!(wal.append("x").await.unwrap(), Lsn::new(2));
    });
}

#[test]
fn a_batch_that_just_fits_a_segment_is_appended() {
    run(async {
        let (_, wal) = log(options()).await;
        let half = (16 * 1024 - 4096) / 2 - HEADER;
        let lsns = wal.append_batch([half, half].map(|len| vec![0; len])).await;
        assert_eq!(lsns.unwrap(), Lsn::new(2)..=Lsn::new(3));
        assert_eq!(wal.stats().segments, 2);
        let more = wal.append_batch([half, half + 1].map(|len| vec![0; len]));
        assert!(matches!(more.await, Err(Error::TooLarge { .. })));
    });
}
