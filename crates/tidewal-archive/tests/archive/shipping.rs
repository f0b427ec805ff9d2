//! Which segments are shipped, and when.

use std::time::Duration;

use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal_archive::{ArchiveOptions, Archiver, Error, RestoreTarget};

use crate::helpers::{
    PREFIX, append, numbers, open, quick, recover, restore, restored_records, segments, settle,
    ship, start,
};
use crate::store::{Fault, Store};
use crate::support::run;

#[test]
fn a_segment_is_shipped_when_the_next_one_is_opened() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        append(&wal, 1..=2).await;
        settle().await;
        assert_eq!(archiver.status().archived, Lsn::ZERO);
        append(&wal, 3..=20).await;
        archiver.wait_caught_up().await.unwrap();
        let newest = *segments(&disk).last().unwrap();
        assert_eq!(archiver.status().archived, Lsn::new(newest - 1));
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=newest - 1)
        );
        let verified = store.archive().verify().await.unwrap().contents;
        assert_eq!(verified.end, Lsn::new(newest - 1));
        assert_eq!(verified.segments, segments(&disk).len() as u64 - 1);
        assert_eq!(archiver.status().segments, verified.segments);
        assert_eq!(archiver.status().bytes, verified.bytes);
    });
}

#[test]
fn what_was_there_before_an_opening_is_shipped_at_once() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        append(&wal, 1..=7).await;
        wal.close().await.unwrap();
        ship(&disk, &store).await.unwrap();
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=7)
        );
    });
}

#[test]
fn an_archive_goes_on_over_many_openings() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        for life in 0..5 {
            let wal = open(&disk).await;
            let archiver = start(&wal, &store, quick());
            append(&wal, life * 7 + 1..=life * 7 + 7).await;
            archiver.wait_caught_up().await.unwrap();
            wal.close().await.unwrap();
        }
        ship(&disk, &store).await.unwrap();
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=35)
        );
        let before = store.names().await;
        ship(&disk, &store).await.unwrap();
        assert_eq!(
            store.names().await.len(),
            before.len() + 1,
            "a claim, and nothing else"
        );
    });
}

#[test]
fn a_restored_log_goes_on_in_its_archive() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        append(&wal, 1..=9).await;
        wal.close().await.unwrap();
        ship(&disk, &store).await.unwrap();
        let (disk, _) = restore(&store, RestoreTarget::End).await.unwrap();
        assert_eq!(recover(&disk).await, numbers(1..=9));
        ship(&disk, &store).await.unwrap();
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=10)
        );
    });
}

#[test]
fn a_log_without_a_complete_segment_has_an_archive_without_any() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let empty = store.archive().contents().await;
        assert!(matches!(empty, Err(Error::Empty { prefix , .. }) if prefix == PREFIX));
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        settle().await;
        assert!(store.names().await.is_empty(), "before the first segment");
        append(&wal, 1..=1).await;
        settle().await;
        drop(archiver);
        let contents = store.archive().contents().await.unwrap();
        assert_eq!(
            (contents.end, contents.segments, contents.times),
            (Lsn::ZERO, 0, None)
        );
        let restored = restore(&store, RestoreTarget::End).await;
        assert!(matches!(restored, Err(Error::BeforeBeginning { .. })));
    });
}

#[test]
fn segments_are_told_apart_by_name_and_come_whole() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        append(&wal, 1..=20).await;
        wal.close().await.unwrap();
        ship(&disk, &store).await.unwrap();
        let names = store.names().await;
        let is_entry = |name: &&String| name.starts_with("some/log/manifest/");
        let (entries, parts): (Vec<_>, Vec<_>) = names.iter().partition(is_entry);
        let count = segments(&disk).len();
        assert_eq!(parts.len(), count);
        assert_eq!(entries.len(), count + 1);
        assert_eq!(entries[0], "some/log/manifest/00000000000000000001");
        for (part, base) in parts.iter().zip(segments(&disk)) {
            let begins = format!("some/log/segments/{base:020}-");
            assert!(
                part.starts_with(&begins) && part.ends_with("/0000"),
                "{part}"
            );
            let bytes = store.read(part).await;
            let crc = crc32fast::hash(&bytes);
            assert!(part.contains(&format!("-{crc:08x}/")), "{part}");
        }
    });
}

#[test]
fn one_log_has_one_archiver() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        let second = Archiver::start(&wal, &store.archive(), ArchiveOptions::new());
        assert!(matches!(second, Err(Error::Busy)));
        drop(archiver);
        append(&wal, 1..=10).await;
        start(&wal, &store, quick()).wait_caught_up().await.unwrap();
    });
}

#[test]
fn an_archiver_ends_with_its_log_and_does_not_keep_it_open() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        append(&wal, 1..=10).await;
        archiver.wait_caught_up().await.unwrap();
        drop(wal);
        let end = archiver.wait_archived(Lsn::new(100)).await.unwrap_err();
        assert!(matches!(end, Error::Log(tidewal::Error::Closed)), "{end:?}");
        assert!(archiver.status().end.is_some());
        open(&disk).await.close().await.unwrap();
    });
}

#[test]
fn without_a_runtime_there_is_no_archiver() {
    let dir = tempfile::tempdir().unwrap();
    let wal = tokio_test::block_on(tidewal::Wal::open(dir.path())).unwrap();
    let started = Archiver::start(&wal, &Store::new().archive(), ArchiveOptions::new());
    assert!(matches!(started, Err(Error::NoRuntime)));
}

#[test]
fn a_store_that_hangs_does_not_hold_up_appends_or_closing() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        store.set(Some(crate::store::Fault::Hang));
        let wal = open(&disk).await;
        let _archiver = start(&wal, &store, quick());
        let began = tokio::time::Instant::now();
        append(&wal, 1..=100).await;
        wal.truncate_before(Lsn::new(90)).await.unwrap();
        wal.close().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO, "in virtual time");
    });
}

/// Segments are finished faster than they are shipped. `wait_caught_up` returns when those that were finished at its
/// call are archived, although there is always more to ship.
#[test]
fn regression_an_archiver_that_is_always_behind_has_caught_up_with_what_there_was() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        append_and_close(&disk, 1..=3).await;
        let calls = calls_to_ship(&disk, &store.fork().await).await;
        // The first call is retried, and the log continues in the meantime. Later calls hang.
        store.plan(0, Fault::Hang);
        (calls + 1..calls + 1000).for_each(|call| store.plan(call, Fault::Hang));
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        let mut caught_up = std::pin::pin!(archiver.wait_caught_up());
        assert!(futures::poll!(&mut caught_up).is_pending());
        append(&wal, 4..=20).await;
        let caught_up = tokio::time::timeout(Duration::from_secs(600), caught_up);
        caught_up.await.expect("the wait ends").unwrap();
        assert_eq!(archiver.status().archived, Lsn::new(3));
    });
}

async fn append_and_close(disk: &SimDisk, numbers: std::ops::RangeInclusive<u64>) {
    let wal = open(disk).await;
    append(&wal, numbers).await;
    wal.close().await.unwrap();
}

/// How many calls it takes until every finished segment is in the store.
async fn calls_to_ship(disk: &SimDisk, store: &Store) -> u64 {
    let wal = open(&disk.fork()).await;
    start(&wal, store, quick()).wait_caught_up().await.unwrap();
    store.calls()
}
