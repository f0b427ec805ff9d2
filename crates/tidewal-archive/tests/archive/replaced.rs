//! Two archivers, two logs, or two diverged copies of one log: at most one of them writes.

use std::time::Duration;

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Lsn, Wal};
use tidewal_archive::{Archive, Archiver, Error, RestoreTarget};

use crate::helpers::{
    PREFIX, append, archived, numbers, open, quick, recover, restore, restored_records, segments,
    ship, start,
};
use crate::store::Store;
use crate::support::{DIR, options, run};

/// The same log twice, as if a machine that was believed dead came back.
async fn twins(store: &Store) -> [(SimDisk, Wal, Archiver); 2] {
    let first = SimDisk::new(1);
    let wal = open(&first).await;
    append(&wal, 1..=10).await;
    wal.close().await.unwrap();
    let second = first.fork();
    let mut made = Vec::new();
    for disk in [first, second] {
        let wal = open(&disk).await;
        let archiver = start(&wal, store, quick());
        archiver.wait_caught_up().await.unwrap();
        made.push((disk, wal, archiver));
    }
    made.try_into()
        .unwrap_or_else(|_| unreachable!("two were made"))
}

#[test]
fn the_one_that_started_last_goes_on() {
    run(async {
        let store = Store::new();
        let [(old_disk, old_wal, old), (_, new_wal, new)] = twins(&store).await;
        append(&old_wal, 11..=20).await;
        let fenced = old.wait_caught_up().await.unwrap_err();
        assert!(
            matches!(&fenced, Error::Fenced { object , .. } if object.contains("manifest")),
            "{fenced:?}"
        );
        old_wal.truncate_before(Lsn::new(20)).await.unwrap();
        let kept = segments(&old_disk);
        assert!(
            kept[0] <= 11,
            "the log must hold back what was not shipped: {kept:?}"
        );
        append(&new_wal, 11..=30).await;
        new.wait_caught_up().await.unwrap();
        let end = new.status().archived.get();
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=end)
        );
    });
}

#[test]
fn a_foreign_log_is_refused() {
    run(async {
        let (_, store) = archived(10).await;
        let disk = SimDisk::new(99);
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        append(&wal, 1..=10).await;
        let foreign = archiver.wait_caught_up().await.unwrap_err();
        assert!(matches!(foreign, Error::Foreign { prefix , .. } if prefix == PREFIX));
    });
}

/// A log whose directory was lost is a new log. This is detected at the start, before the first segment.
#[test]
fn an_empty_directory_with_an_old_archive_is_noticed_at_once() {
    run(async {
        let (_, store) = archived(10).await;
        let wal = open(&SimDisk::new(99)).await;
        let archiver = start(&wal, &store, quick());
        let foreign = archiver.wait_archived(Lsn::FIRST).await.unwrap_err();
        assert!(matches!(foreign, Error::Foreign { .. }));
    });
}

#[test]
fn a_log_that_was_cut_and_went_on_needs_another_prefix() {
    run(async {
        let (_, store) = archived(20).await;
        for last in [5, 12, 19] {
            let (disk, _) = restore(&store, RestoreTarget::Lsn(Lsn::new(last)))
                .await
                .unwrap();
            // One more record, so the two logs have different records and different ends.
            recover(&disk).await;
            let before = store.names().await;
            let shipped = ship(&disk, &store).await;
            assert!(
                matches!(shipped, Err(Error::Diverged { .. })),
                "{last}: {shipped:?}"
            );
            let after = store.names().await;
            assert_eq!(after.len(), before.len() + 1, "a claim, and nothing else");
            let contents = store.archive().contents().await.unwrap();
            assert_eq!(contents.end, Lsn::new(20));

            let wal = open(&disk).await;
            let other = Archive::new(store.shared(), format!("course {last}"));
            let archiver = Archiver::start(&wal, &other, quick()).unwrap();
            archiver.wait_caught_up().await.unwrap();
        }
    });
}

/// A restored log that ends before its archive and has no finished segment to compare. Its records were removed as if
/// they were archived, although they were not.
#[test]
fn regression_a_log_that_ends_before_its_archive_is_refused_without_a_finished_segment() {
    run(async {
        let (_, store) = archived(30).await;
        for records in [1, 3, 0] {
            let (disk, _) = restore(&store, RestoreTarget::Lsn(Lsn::new(20)))
                .await
                .unwrap();
            let wal = open(&disk).await;
            append(&wal, 21..=21).await;
            wal.truncate_before(Lsn::new(21)).await.unwrap();
            if records > 0 {
                append(&wal, 22..=20 + records).await;
                diverges(&wal, &store, 20 + records).await;
                continue;
            }
            wal.close().await.unwrap();
            diverges(&open(&disk).await, &store, 21).await;
        }
    });
}

/// An archiver of this log, which ends with `end`, stops, and no record is removed that is not in the archive.
async fn diverges(wal: &Wal, store: &Store, end: u64) {
    let archiver = start(wal, store, quick());
    let refused = archiver.wait_caught_up().await;
    assert!(
        matches!(&refused, Err(Error::Diverged { after, .. }) if after.get() == end),
        "{end}: {refused:?}"
    );
    append(wal, end + 1..=end + 12).await;
    let kept = wal.stats().segments;
    wal.truncate_before(Lsn::new(end + 12)).await.unwrap();
    assert_eq!(wal.stats().segments, kept, "{end}");
    drop(archiver);
}

/// The log has passed the end of its archive, in a segment that began before that end and is not finished.
#[test]
fn regression_an_open_segment_that_began_inside_the_archive_is_refused() {
    run(async {
        let (_, store) = archived(22).await;
        let (disk, _) = restore(&store, RestoreTarget::Lsn(Lsn::new(20)))
            .await
            .unwrap();
        let wal = options()
            .segment_size(64 * 1024)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        append(&wal, 21..=23).await;
        wal.truncate_before(Lsn::new(21)).await.unwrap();
        assert_eq!(wal.stats().segments, 1);
        let refused = start(&wal, &store, quick()).wait_caught_up().await;
        assert!(
            matches!(refused, Err(Error::Diverged { .. })),
            "{refused:?}"
        );
    });
}

/// A log whose only segment has no record is opened again. The new segment replaces that one and names no
/// predecessor. It is still the same log, and is restored as one.
#[test]
fn regression_a_log_that_begins_anew_behind_its_archive_goes_on_in_it() {
    run(async {
        let mut empty = 0;
        for cut in 0..60 {
            let (disk, store) = (SimDisk::new(cut), Store::new());
            let wal = open(&disk).await;
            append(&wal, 1..=3).await;
            wal.close().await.unwrap();
            ship(&disk, &store).await.unwrap();
            let wal = open(&disk).await;
            disk.cut_power_at(disk.operations() + cut);
            drop(wal.append(crate::helpers::payload(4)).await);
            disk.restart(Survival::Everything);
            let wal = open(&disk).await;
            let end = wal.durable_lsn();
            wal.truncate_before(end.next()).await.unwrap();
            wal.close().await.unwrap();
            empty += u32::from(segments(&disk) == [4]);
            let wal = open(&disk).await;
            let archiver = start(&wal, &store, quick());
            append(&wal, end.get() + 1..=end.get() + 10).await;
            archiver.wait_caught_up().await.unwrap();
            let reached = archiver.status().archived.get();
            let restored = restored_records(&store, RestoreTarget::End).await;
            assert_eq!(restored, numbers(1..=reached), "cut {cut}");
        }
        assert!(empty > 0, "no segment was left without records");
    });
}

/// A log that continued from an older copy of itself, past the end of its archive.
#[test]
fn a_log_that_took_another_way_is_refused_even_if_it_is_longer() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=10).await;
        wal.close().await.unwrap();
        let copy = disk.fork();
        copy.reseed(77);
        let store = Store::new();
        for (disk, last) in [(&disk, 20), (&copy, 40)] {
            let wal = open(disk).await;
            append(&wal, 11..=last).await;
            wal.close().await.unwrap();
        }
        ship(&disk, &store).await.unwrap();
        let shipped = ship(&copy, &store).await;
        assert!(
            matches!(shipped, Err(Error::Diverged { .. })),
            "{shipped:?}"
        );
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=20)
        );
    });
}

#[test]
fn a_store_without_conditions_is_refused() {
    run(async {
        let store = Store::new();
        store.set_unconditional();
        let wal = open(&SimDisk::new(1)).await;
        append(&wal, 1..=1).await;
        let archiver = start(&wal, &store, quick());
        let refused = archiver.wait_archived(Lsn::FIRST).await.unwrap_err();
        assert!(matches!(refused, Error::Unconditional { .. }));
        assert!(store.names().await.is_empty());
    });
}

/// With such a store, two archivers would overwrite each other's entries.
#[test]
fn a_store_that_ignores_conditions_is_refused() {
    run(async {
        let store = Store::new();
        store.set_ignoring_conditions();
        let wal = open(&SimDisk::new(1)).await;
        append(&wal, 1..=1).await;
        let archiver = start(&wal, &store, quick());
        let refused = archiver.wait_caught_up().await.unwrap_err();
        assert!(matches!(refused, Error::Unconditional { .. }));
    });
}

/// A retention lock, or credentials that may create and not change.
#[test]
fn a_store_that_lets_nobody_overwrite_can_be_gone_on_with() {
    run(async {
        let (disk, store) = archived(6).await;
        store.set_create_only();
        let wal = open(&disk).await;
        append(&wal, 7..=12).await;
        wal.close().await.unwrap();
        let shipped = tokio::time::timeout(Duration::from_secs(600), ship(&disk, &store));
        shipped
            .await
            .expect("the archiver does not retry forever")
            .unwrap();
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(1..=12)
        );
    });
}

#[test]
fn names_below_the_manifest_that_are_not_entries_are_left_alone() {
    run(async {
        let (disk, store) = archived(6).await;
        let stray = format!("{PREFIX}/manifest/old/{:020}", 77);
        store.write(&stray, b"not ours".to_vec()).await;
        let found = store.archive().contents().await.unwrap();
        assert_eq!(found.end, Lsn::new(6));
        let wal = open(&disk).await;
        start(&wal, &store, quick()).wait_caught_up().await.unwrap();
    });
}

/// The directory of a log was lost, and a new log was created in its place.
#[test]
fn a_log_without_a_record_is_not_caught_up_with_another_archive() {
    run(async {
        let (_, store) = archived(6).await;
        let wal = open(&SimDisk::new(2)).await;
        let refused = start(&wal, &store, quick())
            .wait_caught_up()
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Foreign { .. }));
    });
}

/// Leftovers after a torn tail, and a segment that is replaced because it never held a record.
#[test]
fn a_segment_without_records_is_not_shipped() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        append(&wal, 1..=1).await;
        wal.close().await.unwrap();
        let wal = open(&disk).await;
        let before = disk.operations();
        append(&wal, 2..=2).await;
        let after = disk.operations();
        drop(wal);
        for cut in before..=after {
            let disk = SimDisk::new(1);
            let store = store.fork().await;
            let wal = open(&disk).await;
            append(&wal, 1..=1).await;
            wal.close().await.unwrap();
            let wal = open(&disk).await;
            disk.cut_power_at(cut);
            drop(wal.append(crate::helpers::payload(2)).await);
            disk.restart(Survival::Everything);
            let wal = options().open_on(&disk, DIR).await.unwrap();
            let end = wal.durable_lsn().get();
            let archiver = start(&wal, &store, quick());
            archiver.wait_caught_up().await.unwrap();
            append(&wal, end + 1..=end + 10).await;
            archiver.wait_caught_up().await.unwrap();
            let reached = archiver.status().archived.get();
            assert_eq!(
                restored_records(&store, RestoreTarget::End).await,
                numbers(1..=reached)
            );
        }
    });
}

/// Pruning frees numbers: the old archiver can create its next entry, where the new one has removed its own.
#[test]
fn regression_an_archiver_that_was_replaced_is_stopped_although_its_next_number_was_pruned() {
    // Up to 20 there is one segment to enter, up to 60 there are more of them than numbers that are free.
    for last in [20, 60] {
        run(async move {
            let (disk, store) = archived(12).await;
            let copy = disk.fork();
            let old_wal = open(&disk).await;
            let old = start(&old_wal, &store, quick());
            old.wait_caught_up().await.unwrap();
            let new_wal = open(&copy).await;
            let new = start(&new_wal, &store, quick());
            append(&new_wal, 13..=30).await;
            new_wal.rotate().await.unwrap();
            new.wait_caught_up().await.unwrap();
            store
                .archive()
                .prune(RestoreTarget::Lsn(Lsn::new(30)))
                .await
                .unwrap();

            append(&old_wal, 13..=last).await;
            old_wal.rotate().await.unwrap();
            old_wal.truncate_before(Lsn::new(last)).await.unwrap();
            let fenced = old.wait_caught_up().await.unwrap_err();
            assert!(matches!(&fenced, Error::Fenced { .. }), "{fenced:?}");
            assert_eq!(old.status().archived, Lsn::new(12));
            let kept = segments(&disk);
            assert!(
                kept[0] <= 13,
                "only the old log has these records: {kept:?}"
            );

            append(&new_wal, 31..=40).await;
            new_wal.rotate().await.unwrap();
            new.wait_caught_up().await.unwrap();
            assert!(store.archive().verify().await.unwrap().is_sound());
            let restored = restored_records(&store, RestoreTarget::End).await;
            assert_eq!(restored.last(), numbers(40..=40).last());
        });
    }
}
