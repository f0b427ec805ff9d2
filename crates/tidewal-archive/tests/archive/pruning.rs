//! Pruning: no object that is kept depends on one that is removed.

use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal};
use tidewal_archive::{Contents, Error, Pruned, RestoreTarget};

use crate::helpers::{
    PREFIX, append, archived, noon, numbers, open, quick, recover, restored_records, segments,
    ship, start,
};
use crate::store::{Fault, Store};
use crate::support::{DIR, run};

async fn prune_to(store: &Store, lsn: u64) -> Result<Pruned, Error> {
    store
        .archive()
        .prune(RestoreTarget::Lsn(Lsn::new(lsn)))
        .await
}

async fn contents_of(store: &Store) -> Contents {
    store.archive().contents().await.unwrap()
}

/// Checks that everything from the segment with this record on can be restored, and that the archive is sound.
async fn check(store: &Store, needed: u64, end: u64) {
    let found = contents_of(store).await;
    assert!(found.oldest.get() <= needed, "{found:?}");
    let oldest = found.oldest.get();
    assert_eq!(
        restored_records(store, RestoreTarget::End).await,
        numbers(oldest..=end)
    );
    let disk = SimDisk::new(1);
    let from = Some(Lsn::new(needed));
    let restored = store
        .archive()
        .restore_on(&disk, DIR, from, RestoreTarget::End)
        .await;
    let oldest = restored.unwrap().oldest.get();
    assert_eq!(recover(&disk).await, numbers(oldest..=end));
    let verified = store.archive().verify().await.unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    store.archive().check_manifest().await.unwrap();
}

#[test]
fn what_is_not_needed_goes_and_the_rest_is_restored() {
    run(async {
        let (disk, store) = archived(23).await;
        let bases = segments(&disk);
        for needed in 1..=23 {
            let store = store.fork().await;
            let pruned = prune_to(&store, needed).await.unwrap();
            let kept = bases.iter().rposition(|base| *base <= needed).unwrap();
            assert_eq!(pruned.oldest.get(), bases[kept], "{needed}");
            assert_eq!(pruned.segments, kept as u64);
            let found = contents_of(&store).await;
            assert_eq!(found.oldest.get(), bases[kept]);
            assert_eq!(found.expired.get(), bases[kept] - 1);
            let left = store.names().await;
            let parts = left.iter().filter(|name| name.contains("segments")).count();
            assert_eq!(parts, bases.len() - kept, "{left:?}");
            let entries = left.len() - parts;
            // One entry for each segment that is kept, and the claim or the checkpoint.
            assert_eq!(entries, bases.len() - kept + 1, "{left:?}");
            check(&store, needed, 23).await;
        }
    });
}

#[test]
fn an_end_or_a_time_can_be_given() {
    run(async {
        let (disk, store) = archived(23).await;
        let newest = *segments(&disk).last().unwrap();
        let early = RestoreTarget::Time(noon() - std::time::Duration::from_secs(1));
        let pruned = store.archive().prune(early).await.unwrap();
        assert_eq!((pruned.oldest.get(), pruned.objects), (1, 0));
        let beyond = prune_to(&store, 24).await;
        assert!(matches!(beyond, Err(Error::BeyondEnd { .. })));
        let late = RestoreTarget::Time(noon() + std::time::Duration::from_secs(1000));
        let by_time = store.fork().await;
        let pruned = by_time.archive().prune(late).await.unwrap();
        assert_eq!(pruned.oldest.get(), newest);
        let pruned = store.archive().prune(RestoreTarget::End).await.unwrap();
        assert_eq!(pruned.oldest.get(), newest);
        check(&store, 23, 23).await;
        let empty = Store::new().archive().prune(RestoreTarget::End).await;
        assert!(matches!(empty, Err(Error::Empty { .. })));
    });
}

#[test]
fn other_objects_are_left_alone() {
    run(async {
        let (_, store) = archived(23).await;
        let others = [
            format!("{PREFIX}/notes"),
            format!("{PREFIX}/manifest/old/{:020}", 1),
            format!(
                "{PREFIX}/segments/{:020}-0123456789abcdef-01234567/0000/x",
                1
            ),
            format!("{PREFIX}/segments/{:020}-0123456789abcdef/0000", 1),
            format!(
                "{PREFIX}/segments/{:020}-0123456789abcdef-01234567/0000",
                20
            ),
            format!("other/segments/{:020}-0123456789abcdef-01234567/0000", 1),
        ];
        for name in &others {
            store.write(name, b"not ours".to_vec()).await;
        }
        // From an interrupted upload: the log continued with another segment.
        let part = format!("{PREFIX}/segments/{:020}-0123456789abcdef-01234567/0000", 1);
        store.write(&part, b"ours".to_vec()).await;
        prune_to(&store, 15).await.unwrap();
        let left = store.names().await;
        for name in &others {
            assert!(left.contains(name), "{name}");
        }
        assert!(!left.contains(&part));
        check(&store, 15, 23).await;
    });
}

/// Each call fails once. The records that are needed can be restored, and the next attempt succeeds.
#[test]
fn it_can_be_cut_short_at_every_call() {
    let mut trials = 0;
    for fault in Fault::ALL {
        for call in 0.. {
            let is_through = run(async {
                let (disk, store) = archived(23).await;
                store.plan(store.calls() + call, fault);
                let limit = std::time::Duration::from_secs(60);
                let pruned = tokio::time::timeout(limit, prune_to(&store, 15)).await;
                let is_through = !store.is_through();
                if is_through {
                    pruned.unwrap().unwrap();
                    return true;
                }
                assert!(!matches!(pruned, Ok(Ok(_))), "{fault:?} at {call}");
                check(&store.fork().await, 15, 23).await;
                ship(&disk, &store.fork().await).await.unwrap();
                prune_to(&store, 15).await.unwrap();
                assert!(store.doubtful().is_empty(), "{fault:?} at {call}");
                let left = store.names().await;
                let parts = left.iter().filter(|name| name.contains("segments"));
                let oldest = contents_of(&store).await.oldest.get();
                let kept = segments(&disk)
                    .iter()
                    .filter(|base| **base >= oldest)
                    .count();
                assert_eq!(parts.count(), kept, "{fault:?} at {call}: {left:?}");
                check(&store, 15, 23).await;
                false
            });
            if is_through {
                break;
            }
            trials += 1;
        }
    }
    println!("{trials} faults");
    assert!(trials > 40);
}

/// Nothing is removed unless the whole manifest can be read.
#[test]
fn a_damaged_manifest_is_not_pruned() {
    run(async {
        let (_, store) = archived(23).await;
        let names = store.names().await;
        for name in names
            .iter()
            .filter(|name| name.contains("manifest"))
            .skip(1)
        {
            let store = store.fork().await;
            store.write(name, b"not an entry".to_vec()).await;
            let before = store.names().await;
            assert!(
                matches!(prune_to(&store, 15).await, Err(Error::Damaged { .. })),
                "{name}"
            );
            assert_eq!(store.names().await, before);
        }
    });
}

#[test]
fn a_checkpoint_stops_no_archiver() {
    for fault in [None, Some(Fault::After), Some(Fault::HangAfter)] {
        run(async {
            let (disk, store) = archived(12).await;
            let wal = open(&disk).await;
            let archiver = start(&wal, &store, quick());
            archiver.wait_caught_up().await.unwrap();
            let mut next = 13;
            for needed in [3, 9, 15, 22] {
                prune_to(&store, needed).await.unwrap();
                if let Some(fault) = fault {
                    (1..4).for_each(|call| store.plan(store.calls() + call, fault));
                }
                append(&wal, next..=next + 9).await;
                next += 10;
                archiver.wait_caught_up().await.unwrap();
                let end = archiver.status().archived.get();
                check(&store.fork().await, needed, end).await;
            }
        });
    }
}

/// An archiver that creates an entry before the checkpoint, each time.
#[test]
fn a_pruner_beside_a_busy_archiver_gets_its_turn() {
    run(async {
        let (disk, store) = archived(12).await;
        let wal = open(&disk).await;
        let archiver = start(&wal, &store, quick());
        let work = async {
            for number in 13..=200 {
                append(&wal, number..=number).await;
                tokio::task::yield_now().await;
            }
        };
        let pruning = async {
            for needed in [5, 9, 12] {
                prune_to(&store, needed).await.unwrap();
            }
        };
        tokio::join!(work, pruning);
        archiver.wait_caught_up().await.unwrap();
        let end = archiver.status().archived.get();
        check(&store, 12, end).await;
    });
}

/// Several prunings of an archive that is extended in between.
#[test]
fn it_is_pruned_again_and_again() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let mut end = 0;
        for life in 0..8 {
            let wal: Wal = open(&disk).await;
            append(&wal, end + 1..=end + 9).await;
            end += 9;
            wal.close().await.unwrap();
            ship(&disk, &store).await.unwrap();
            prune_to(&store, end - 5).await.unwrap();
            check(&store, end - 5, end).await;
            let names = store.names().await;
            assert!(names.len() <= 12, "{life}: {names:?}");
            let again = prune_to(&store, end - 5).await.unwrap();
            assert_eq!(again.objects, 0, "{life}");
            assert_eq!(store.names().await, names);
        }
    });
}

/// `Archive::prune`: "If the future is dropped before it completes, only some of the objects may have been removed."
///
/// `Archive::prune`: "Call it again."
///
/// `Archive::check_manifest`: "Cancel safe: it only reads."
#[test]
fn it_can_be_dropped_at_every_step_and_called_again() {
    run(async {
        let (disk, store) = archived(23).await;
        let needed = *segments(&disk).last().unwrap();
        let mut steps = 0;
        loop {
            let store = store.fork().await;
            let before = store.names().await;
            let is_done = {
                let mut pruning = tokio_test::task::spawn(prune_to(&store, needed));
                let mut left = steps;
                loop {
                    if pruning.poll().is_ready() {
                        break true;
                    }
                    if left == 0 {
                        break false;
                    }
                    left -= 1;
                    tokio::task::yield_now().await;
                }
            };
            let parts = store.names().await;
            assert!(is_done || parts.len() <= before.len() + 1, "{parts:?}");
            check(&store, needed, 23).await;
            prune_to(&store, needed).await.unwrap();
            check(&store, needed, 23).await;
            if is_done {
                break;
            }
            steps += 1;
        }
        assert!(steps > 0, "the future was never dropped");
        let store = store.fork().await;
        let before = store.names().await;
        drop(tokio_test::task::spawn(store.archive().check_manifest()).poll());
        assert_eq!(store.names().await, before);
    });
}
