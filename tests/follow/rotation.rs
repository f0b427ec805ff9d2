//! Records of the open segment that memory no longer holds.

use std::time::Duration;

use tidewal::{Lsn, Wal};
use tokio::time::Instant;

use crate::helpers::{append, log, ms, payload, segments, settle, take};
use crate::support::{DIR, options, run};

#[test]
fn a_follower_that_comes_late_gets_the_open_segment_by_a_rotation() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 3).await;
        assert_eq!(segments(&disk), [1]);
        let mut follower = wal.follow(Lsn::FIRST);
        take(&mut follower, 1..=3).await;
        assert_eq!(segments(&disk), [1, 4], "the segment was finished for it");
        append(&wal, 3).await;
        take(&mut follower, 4..=6).await;
        assert_eq!(segments(&disk), [1, 4], "the rest comes from memory");
    });
}

#[test]
fn rotations_are_asked_for_no_more_often_than_the_option_says() {
    run(async {
        let interval = Duration::from_secs(10);
        let options = options()
            .follow_rotate_interval(interval)
            .segment_size(1 << 20);
        let (disk, wal) = log(options).await;
        append(&wal, 1).await;
        take(&mut wal.follow(Lsn::FIRST), 1..=1).await;
        let started = Instant::now();
        append(&wal, 1).await;
        let (mut first, mut second) = (wal.follow(Lsn::FIRST), wal.follow(Lsn::new(2)));
        tokio::join!(take(&mut first, 1..=2), take(&mut second, 2..=2));
        assert!(
            started.elapsed() >= Duration::from_millis(9_999),
            "{:?}",
            started.elapsed()
        );
        assert!(started.elapsed() < interval * 2, "one rotation served both");
        assert_eq!(segments(&disk), [1, 2, 3]);
    });
}

/// The segment fills up before the interval is over.
#[test]
fn a_segment_that_fills_meanwhile_is_not_waited_for() {
    run(async {
        let options = options().follow_rotate_interval(Duration::from_secs(3600));
        let (_, wal) = log(options).await;
        append(&wal, 1).await;
        take(&mut wal.follow(Lsn::FIRST), 1..=1).await;
        append(&wal, 1).await;
        let started = Instant::now();
        let mut follower = wal.follow(Lsn::new(2));
        tokio::join!(take(&mut follower, 2..=30), append(&wal, 40));
        assert!(started.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_slow_follower_gets_everything_from_a_small_buffer() {
    run(async {
        let options = options().follow_buffer_bytes(3_000).segment_size(1 << 20);
        let (_, wal) = log(options).await;
        let mut follower = wal.follow(Lsn::FIRST);
        for round in 0..5 {
            append(&wal, 20).await;
            take(&mut follower, round * 20 + 1..=round * 20 + 20).await;
        }
    });
}

/// `Wal::rotate`: "If the future is dropped before it completes, the rotation may still happen."
#[test]
fn a_rotation_finishes_the_segment_and_its_future_may_be_dropped() {
    run(async {
        let (disk, wal) = log(options()).await;
        wal.rotate().await.unwrap();
        assert!(segments(&disk).is_empty(), "there was nothing to finish");
        append(&wal, 2).await;
        wal.rotate().await.unwrap();
        assert_eq!(segments(&disk), [1, 3]);
        wal.rotate().await.unwrap();
        assert_eq!(segments(&disk), [1, 3], "an empty segment stays");
        append(&wal, 1).await;
        let mut rotation = tokio_test::task::spawn(wal.rotate());
        assert!(rotation.poll().is_pending());
        drop(rotation);
        settle().await;
        assert_eq!(segments(&disk), [1, 3, 4]);
        assert_all_there(&wal, &disk).await;
    });
}

async fn assert_all_there(wal: &Wal, disk: &tidewal::sim::SimDisk) {
    wal.clone().close().await.unwrap();
    let mut recovery = options().recover_on(disk, DIR).await.unwrap();
    let mut next = 1;
    while let Some(record) = recovery.try_next().await.unwrap() {
        assert_eq!(record.payload, payload(next));
        next += 1;
    }
    assert_eq!(next, 4);
}

/// `Wal::rotate_if_older_than`: "If the future is dropped before it completes, the rotation may still happen."
#[test]
fn an_old_segment_is_finished_even_if_the_future_is_dropped() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 1).await;
        let age = Duration::from_secs(1);
        tokio::time::sleep(age).await;
        let mut rotation = tokio_test::task::spawn(wal.rotate_if_older_than(age));
        assert!(rotation.poll().is_pending());
        drop(rotation);
        settle().await;
        assert_eq!(segments(&disk), [1, 2]);
    });
}

#[test]
fn an_old_segment_is_finished_and_a_young_one_is_not() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 1).await;
        tokio::time::sleep(ms(999)).await;
        append(&wal, 1).await;
        let age = Duration::from_secs(1);
        wal.rotate_if_older_than(age).await.unwrap();
        assert_eq!(segments(&disk), [1]);
        tokio::time::sleep(ms(1)).await;
        wal.rotate_if_older_than(age).await.unwrap();
        assert_eq!(segments(&disk), [1, 3]);
        tokio::time::sleep(age).await;
        wal.rotate_if_older_than(age).await.unwrap();
        assert_eq!(segments(&disk), [1, 3], "it holds no record");
    });
}

#[test]
fn a_rotation_on_a_full_disk_is_refused_and_the_log_goes_on() {
    run(async {
        let (disk, wal) = log(options().spare_segments(0)).await;
        append(&wal, 1).await;
        disk.set_quota(Some(16 * 1024));
        let error = wal.rotate().await.unwrap_err();
        assert!(matches!(error, tidewal::Error::StorageFull(_)), "{error:?}");
        append(&wal, 1).await;
        disk.set_quota(None);
        wal.rotate().await.unwrap();
        assert_eq!(segments(&disk), [1, 3]);
    });
}

/// A follower waits for room on the disk instead of failing.
#[test]
fn a_follower_behind_a_full_disk_waits_for_room() {
    run(async {
        let (disk, wal) = log(options().spare_segments(0)).await;
        append(&wal, 2).await;
        disk.set_quota(Some(16 * 1024));
        let mut follower = wal.follow(Lsn::FIRST);
        let freed = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            disk.set_quota(None);
        };
        tokio::join!(take(&mut follower, 1..=2), freed);
        assert_eq!(wal.stats().storage_full, 0, "no append was refused");
    });
}
