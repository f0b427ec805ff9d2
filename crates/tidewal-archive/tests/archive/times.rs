//! Restoring to a point in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal_archive::{ArchiveOptions, Error, RestoreTarget};

use crate::helpers::{
    append, clock, noon, open, quick, recover, restore, restored_records, ship, start,
};
use crate::store::Store;
use crate::support::run;

const SECOND: Duration = Duration::from_secs(1);

/// A log with one record per interval, the first one at `noon`, and its archive.
async fn one_each(every: Duration, count: u64, step: Duration) -> (SimDisk, Store) {
    let (disk, store) = (SimDisk::new(1), Store::new());
    let wall = Arc::new(clock());
    let options = || {
        let wall = Arc::clone(&wall);
        ArchiveOptions::new()
            .seed(1)
            .max_lag(None)
            .time_step(step)
            .clock(move || wall())
    };
    let wal = open(&disk).await;
    let archiver = start(&wal, &store, options());
    for number in 1..=count {
        append(&wal, number..=number).await;
        tokio::time::sleep(every).await;
    }
    archiver.wait_caught_up().await.unwrap();
    wal.close().await.unwrap();
    let wal = open(&disk).await;
    start(&wal, &store, options())
        .wait_caught_up()
        .await
        .unwrap();
    wal.close().await.unwrap();
    (disk, store)
}

#[test]
fn what_was_there_at_a_time_is_restored_and_nothing_that_came_later() {
    run(async {
        // Record n is appended 10 (n - 1) seconds after noon. The points of the last segment are lost with the
        // archiver, so its records get the time at which the log is opened again.
        let (_, store) = one_each(10 * SECOND, 20, SECOND).await;
        let contents = store.archive().contents().await.unwrap();
        let times = contents.times.unwrap();
        assert_eq!(*times.end(), noon() + 200 * SECOND);
        for number in 1..=17 {
            let appended = noon() + 10 * u32::try_from(number - 1).unwrap() * SECOND;
            let at = |time| restored_records(&store, RestoreTarget::Time(time));
            assert_eq!(at(appended + 5 * SECOND).await.len(), number);
            assert_eq!(at(appended + SECOND).await.len(), number);
            if number > 1 {
                let before = at(appended - Duration::from_millis(1)).await;
                assert_eq!(before.len(), number - 1);
            }
        }
        let all = restored_records(&store, RestoreTarget::Time(noon() + 1000 * SECOND)).await;
        assert_eq!(all.len(), 20);
    });
}

#[test]
fn between_two_points_it_is_the_earlier_one() {
    run(async {
        // Ten records between two points, which are ten seconds apart.
        let (_, store) = one_each(SECOND, 100, 10 * SECOND).await;
        for (second, most) in [(5_u32, 6), (25, 26), (44, 45), (67, 68)] {
            let time = noon() + second * SECOND;
            let (disk, restored) = restore(&store, RestoreTarget::Time(time)).await.unwrap();
            let count = recover(&disk).await.len();
            assert!(
                count <= most,
                "no record from after second {second}: {count}"
            );
            assert!(
                count + 10 >= most,
                "everything but the last step before {second}: {count}"
            );
            assert!(restored.time.unwrap() <= time);
        }
    });
}

#[test]
fn a_time_before_the_first_is_an_error() {
    run(async {
        let (_, store) = one_each(SECOND, 10, SECOND).await;
        for time in [UNIX_EPOCH, noon() - SECOND] {
            let restored = restore(&store, RestoreTarget::Time(time)).await;
            assert!(matches!(restored, Err(Error::TooEarly)), "{restored:?}");
        }
    });
}

#[test]
fn points_that_were_lost_with_a_process_make_it_earlier_and_never_later() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wall = Arc::new(clock());
        let options = || {
            let wall = Arc::clone(&wall);
            quick().clock(move || wall())
        };
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, options());
        append(&wal, 1..=1).await;
        tokio::time::sleep(10 * SECOND).await;
        append(&wal, 2..=2).await;
        disk.kill();
        drop((archiver, wal));
        tokio::time::sleep(10 * SECOND).await;
        let wal = open(&disk).await;
        start(&wal, &store, options())
            .wait_caught_up()
            .await
            .unwrap();
        let lost = restore(&store, RestoreTarget::Time(noon() + 15 * SECOND)).await;
        assert!(matches!(lost, Err(Error::TooEarly)));
        let records = restored_records(&store, RestoreTarget::Time(noon() + 20 * SECOND)).await;
        assert_eq!(records, [1, 2]);
    });
}

#[test]
fn a_clock_that_goes_back_does_not_take_times_with_it() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let offset = Arc::new(AtomicI64::new(0));
        let (wall, shift) = (clock(), Arc::clone(&offset));
        let options = quick().clock(move || -> SystemTime {
            let back = Duration::from_secs(shift.load(Ordering::Relaxed).unsigned_abs());
            wall() - back
        });
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, options);
        for number in 1..=30 {
            if number == 15 {
                offset.store(3600, Ordering::Relaxed);
            }
            append(&wal, number..=number).await;
            tokio::time::sleep(2 * SECOND).await;
        }
        archiver.wait_caught_up().await.unwrap();
        let contents = store.archive().contents().await.unwrap();
        let times = contents.times.unwrap();
        assert!(times.start() <= times.end());
        // Noon of the second clock: the first records, and none that has a time an hour "earlier".
        let records = restored_records(&store, RestoreTarget::Time(noon() + 10 * SECOND)).await;
        assert!(records.len() <= 6, "{records:?}");
        drop(wal);
        ship(&disk, &store).await.unwrap();
        assert_eq!(restored_records(&store, RestoreTarget::End).await.len(), 30);
    });
}

#[test]
fn the_durable_lsn_of_a_busy_log_is_noted_at_every_step_and_no_more() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().time_step(10 * SECOND));
        for number in 1..=400 {
            append(&wal, number..=number).await;
            tokio::time::sleep(SECOND / 10).await;
        }
        archiver.wait_caught_up().await.unwrap();
        let contents = store.archive().contents().await.unwrap();
        let points = points(&store).await;
        // One every ten seconds for forty seconds, and one for the end of each segment.
        let most = contents.segments + 5;
        assert!(points <= most, "{points} points, {most} at most");
        assert!(contents.end > Lsn::new(390));
    });
}

async fn points(store: &Store) -> u64 {
    let mut points = 0;
    for name in store.names().await {
        if name.contains("manifest") {
            let entry = String::from_utf8(store.read(&name).await).unwrap();
            points += entry
                .lines()
                .filter(|line| line.starts_with("time "))
                .count() as u64;
        }
    }
    points
}
