//! No segment is removed before it is archived, and what happens when too many segments are held back.

use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal};
use tidewal_archive::{Error, Overflow, RestoreTarget};

use crate::helpers::{
    append, numbers, open, payload, quick, recover, restore, restored_records, segments, settle,
    start,
};
use crate::store::{Fault, Store};
use crate::support::{DIR, run};

const SEGMENT: u64 = 16 * 1024;

/// Appends until an append is refused, and truncates everything but the last record each time. Returns the
/// number of the last record.
async fn fill(wal: &Wal, from: u64) -> u64 {
    for number in from..from + 200 {
        match wal.append(payload(number)).await {
            Ok(_) => wal.truncate_before(Lsn::new(number)).await.unwrap(),
            Err(tidewal::Error::StorageFull(failure)) => {
                let reason = failure.io_error().to_string();
                assert!(reason.contains("archive"), "{reason}");
                return number - 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("so much is held back, and no append was refused")
}

#[test]
fn what_is_not_shipped_stays_and_goes_when_it_is() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        store.set(Some(Fault::Before));
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        append(&wal, 1..=20).await;
        let all = segments(&disk);
        wal.truncate_before(Lsn::new(20)).await.unwrap();
        assert_eq!(segments(&disk), all);
        let held = archiver.status().held_bytes;
        assert_eq!(held, (all.len() as u64 - 1) * SEGMENT);
        assert!(archiver.status().last_error.is_some());

        store.set(None);
        archiver.wait_caught_up().await.unwrap();
        settle().await;
        assert_eq!(
            segments(&disk),
            [*all.last().unwrap()],
            "the postponed truncation is carried out"
        );
        assert_eq!(archiver.status().held_bytes, 0);
        assert!(archiver.status().last_error.is_none());
        assert!(archiver.status().failures > 0);
    });
}

#[test]
fn a_truncation_takes_what_is_shipped_and_no_more() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        append(&wal, 1..=10).await;
        archiver.wait_caught_up().await.unwrap();
        store.set(Some(Fault::Hang));
        let shipped = archiver.status().archived;
        append(&wal, 11..=20).await;
        wal.truncate_before(Lsn::new(20)).await.unwrap();
        assert_eq!(segments(&disk)[0], shipped.next().get());
    });
}

#[test]
fn a_mark_beyond_the_end_is_an_error_all_the_same() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let _archiver = start(&wal, &store, quick());
        append(&wal, 1..=2).await;
        let beyond = wal.truncate_before(Lsn::new(4)).await;
        assert!(matches!(beyond, Err(tidewal::Error::BeyondEnd { .. })));
    });
}

#[test]
fn a_dropped_archiver_still_holds_everything_back() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        store.set(Some(Fault::Before));
        let wal = open(&disk).await;
        drop(start(&wal, &store, quick()));
        append(&wal, 1..=20).await;
        wal.truncate_before(Lsn::new(20)).await.unwrap();
        assert_eq!(segments(&disk)[0], 1);
        store.set(None);
        start(&wal, &store, quick()).wait_caught_up().await.unwrap();
        let end = segments(&disk)[0] - 1;
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=end)
        );
    });
}

#[test]
fn appends_are_refused_when_too_much_is_held_back_and_then_work_again() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().max_held_bytes(3 * SEGMENT));
        store.set(Some(Fault::Before));
        let last = fill(&wal, 1).await;
        assert_eq!(archiver.status().held_bytes, 3 * SEGMENT);
        assert_eq!(segments(&disk).len(), 4);
        // Nothing is lost, and the log still serves calls that need no new segment.
        wal.sync().await.unwrap();

        store.set(None);
        archiver.wait_caught_up().await.unwrap();
        append(&wal, last + 1..=last + 20).await;
        archiver.wait_caught_up().await.unwrap();
        let end = archiver.status().archived.get();
        assert!(end > last);
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=end)
        );
        let contents = store.archive().contents().await.unwrap();
        assert!(contents.gaps.is_empty());
    });
}

#[test]
fn what_nobody_truncated_does_not_count() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        store.set(Some(Fault::Before));
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().max_held_bytes(1));
        append(&wal, 1..=50).await;
        assert_eq!(archiver.status().held_bytes, 0);
    });
}

/// Nothing is held back, so the bound is not exceeded, and the log gets its first segment.
#[test]
fn regression_a_limit_of_zero_refuses_nothing_while_nothing_is_held_back() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().max_held_bytes(0));
        append(&wal, 1..=20).await;
        archiver.wait_caught_up().await.unwrap();
        store.set(Some(Fault::Before));
        fill(&wal, 21).await;
        assert_eq!(
            archiver.status().held_bytes,
            SEGMENT,
            "the hold of the first archiver refuses appends"
        );
    });
}

#[test]
fn a_gap_is_left_if_that_is_wanted_and_the_manifest_says_so() {
    for fault in Fault::ALL {
        run(gap(fault));
    }
}

async fn gap(fault: Fault) {
    let (disk, store) = (SimDisk::new(1), Store::new());
    let wal = open(&disk).await;
    let options = quick()
        .max_held_bytes(3 * SEGMENT)
        .overflow(Overflow::LeaveGap);
    let archiver = start(&wal, &store, options);
    append(&wal, 1..=10).await;
    archiver.wait_caught_up().await.unwrap();
    let before = archiver.status().archived;
    store.set(Some(fault));
    for number in 11..=60 {
        append(&wal, number..=number).await;
        wal.truncate_before(Lsn::new(number)).await.unwrap();
        settle().await;
        assert!(archiver.status().held_bytes <= 3 * SEGMENT, "{fault:?}");
        assert!(segments(&disk).len() <= 5, "{fault:?}: the disk is bounded");
    }
    store.set(None);
    archiver.wait_caught_up().await.unwrap();

    let contents = store.archive().contents().await.unwrap();
    let [gap] = &contents.gaps[..] else {
        panic!("{fault:?}: {contents:?}");
    };
    assert!(*gap.start() > before && *gap.end() < contents.end);
    let lost = gap.end().get() - gap.start().get() + 1;
    assert_eq!(archiver.status().given_up, lost);

    let all = restore(&store, RestoreTarget::End).await;
    let named = |error: &Error| matches!(error, Error::Gap { first, last , .. } if first == gap.start() && last == gap.end());
    assert!(named(&all.unwrap_err()));
    let in_gap = restore(&store, RestoreTarget::Lsn(*gap.start())).await;
    assert!(named(&in_gap.unwrap_err()));
    let end = gap.start().get() - 1;
    let before_gap = restored_records(&store, RestoreTarget::Lsn(Lsn::new(end))).await;
    assert_eq!(before_gap, numbers(1..=end));
    let behind = gap.end().next();
    let disk = SimDisk::new(3);
    let archive = store.archive();
    let restored = archive.restore_on(&disk, DIR, Some(behind), RestoreTarget::End);
    assert_eq!(restored.await.unwrap().oldest, behind);
    let records = recover(&disk).await;
    assert_eq!(records, numbers(behind.get()..=contents.end.get()));
}

#[test]
fn a_log_that_was_truncated_without_an_archiver_is_a_gap() {
    run(async {
        let (disk, store) = crate::helpers::archived(10).await;
        let wal = open(&disk).await;
        append(&wal, 11..=30).await;
        wal.truncate_before(Lsn::new(30)).await.unwrap();
        let oldest = Lsn::new(segments(&disk)[0]);
        let archiver = start(&wal, &store, quick());
        append(&wal, 31..=40).await;
        let error = archiver.wait_caught_up().await.unwrap_err();
        let expected = (Lsn::new(11), Lsn::new(oldest.get() - 1));
        assert!(
            matches!(error, Error::Gap { first, last , .. } if (first, last) == expected),
            "{error:?}"
        );
        drop(archiver);
        start(&wal, &store, quick().overflow(Overflow::LeaveGap))
            .wait_caught_up()
            .await
            .unwrap();
        let contents = store.archive().contents().await.unwrap();
        assert_eq!(contents.gaps, [expected.0..=expected.1]);
    });
}

#[test]
fn waits_grow_up_to_the_cap_and_no_attempt_takes_longer_than_allowed() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        store.set(Some(Fault::Hang));
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick().retry_cap(Duration::from_secs(5)));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        // On average, an attempt and a wait take between 32.5 and 35 seconds.
        let failures = archiver.status().failures;
        assert!((100..=120).contains(&failures), "{failures}");
        let error = archiver.status().last_error.unwrap();
        assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    });
}
