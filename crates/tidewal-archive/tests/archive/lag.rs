//! No record waits longer than `max_lag` for its segment to be full.

use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal};
use tidewal_archive::{ArchiveOptions, RestoreTarget};
use tokio::time::{Instant, sleep};

use crate::helpers::{append, numbers, open, quick, restored_records, segments, settle, start};
use crate::rng::Rng;
use crate::store::{Fault, Store};
use crate::support::{DIR, options, run};

const LAG: Duration = Duration::from_secs(60);

/// More than a rotation, an upload and the clock's resolution take, in virtual time.
const MOMENT: Duration = Duration::from_millis(10);

#[test]
fn a_record_is_in_the_archive_when_it_may_wait_no_longer() {
    for seed in 0..100 {
        run(random_load(seed));
    }
}

/// Records at random times, some of which fill segments.
async fn random_load(seed: u64) {
    let (disk, store) = (SimDisk::new(seed), Store::new());
    let wal = open(&disk).await;
    let archiver = start(&wal, &store, quick().max_lag(LAG));
    let mut rng = Rng::new(seed);
    let mut durable = Vec::new();
    for number in 1..=40 {
        append(&wal, number..=number).await;
        durable.push((Lsn::new(number), Instant::now()));
        let pause = [0, 1, 7, 59, 61, 150][usize::try_from(rng.roll(6)).unwrap()];
        let end = Instant::now() + Duration::from_secs(pause);
        while Instant::now() < end {
            sleep(Duration::from_secs(1)).await;
            let reached = archiver.status().archived;
            let is_late =
                |(lsn, at): &&(Lsn, Instant)| at.elapsed() > LAG + MOMENT && *lsn > reached;
            let late = durable.iter().find(is_late);
            assert!(late.is_none(), "seed {seed}: {late:?}, archived {reached}");
        }
    }
    sleep(LAG + MOMENT).await;
    let restored = restored_records(&store, RestoreTarget::End).await;
    assert_eq!(restored, numbers(1..=40), "seed {seed}");
}

#[test]
fn it_waits_that_long_and_five_minutes_by_default() {
    run(async {
        for (options, lag) in [
            (quick().max_lag(LAG), LAG),
            (ArchiveOptions::new(), Duration::from_secs(300)),
        ] {
            let (disk, store) = (SimDisk::new(1), Store::new());
            let wal = open(&disk).await;
            let archiver = start(&wal, &store, options);
            append(&wal, 1..=1).await;
            sleep(lag.checked_sub(MOMENT).unwrap()).await;
            append(&wal, 2..=2).await;
            assert_eq!(segments(&disk), [1]);
            sleep(2 * MOMENT).await;
            assert_eq!(archiver.status().archived, Lsn::new(2));
        }
    });
}

#[test]
fn a_log_that_is_idle_is_left_alone() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().max_lag(LAG));
        append(&wal, 1..=2).await;
        sleep(2 * LAG).await;
        assert_eq!(archiver.status().archived, Lsn::new(2));
        let before = (disk.operations(), store.calls(), segments(&disk));
        sleep(Duration::from_secs(7 * 24 * 3600)).await;
        assert_eq!((disk.operations(), store.calls(), segments(&disk)), before);
    });
}

/// While segments wait for the store, more and smaller ones would not help.
#[test]
fn a_store_that_is_down_does_not_multiply_segments() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().max_lag(LAG).retry_cap(LAG / 4));
        append(&wal, 1..=1).await;
        sleep(2 * LAG).await;
        store.set(Some(Fault::Before));
        for number in 2..=20 {
            wal.append("small").await.unwrap();
            sleep(3 * LAG).await;
            assert!(segments(&disk).len() <= 3, "{number}");
        }
        store.set(None);
        sleep(LAG + LAG / 2).await;
        assert_eq!(archiver.status().archived, Lsn::new(20));
        assert_eq!(archiver.status().segments, 3);
    });
}

#[test]
fn a_log_that_can_open_no_segment_is_asked_again_and_now_and_then() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let without_spares = options().spare_segments(0);
        let wal = without_spares.open_on(&disk, DIR).await.unwrap();
        let archiver = start(&wal, &store, quick().max_lag(LAG));
        append(&wal, 1..=2).await;
        settle().await;
        disk.set_quota(Some(0));
        let before = disk.operations();
        sleep(LAG + Duration::from_secs(100)).await;
        assert_eq!(archiver.status().archived, Lsn::ZERO);
        let tried = disk.operations() - before;
        assert!(tried < 1000, "{tried} operations in a hundred seconds");
        disk.set_quota(None);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(archiver.status().archived, Lsn::new(2));
    });
}

#[test]
fn without_a_bound_a_record_waits_for_its_segment_to_be_full() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        append(&wal, 1..=2).await;
        sleep(Duration::from_secs(365)).await;
        assert_eq!(
            (archiver.status().archived, segments(&disk)),
            (Lsn::ZERO, vec![1])
        );
    });
}

/// The service truncates and takes holds continuously, and the archiver checks the log again each time.
#[test]
fn what_else_changes_does_not_make_a_record_wait() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().max_lag(LAG));
        append(&wal, 1..=1).await;
        for _ in 0..60 {
            touch(&wal);
            sleep(Duration::from_secs(1)).await;
        }
        sleep(MOMENT).await;
        assert_eq!(archiver.status().archived, Lsn::FIRST);
    });
}

fn touch(wal: &Wal) {
    drop(wal.hold(Lsn::ZERO).unwrap());
}
