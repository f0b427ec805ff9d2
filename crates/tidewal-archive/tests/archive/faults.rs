//! Every call of the store fails once, in every way, and several calls fail at random.

use std::time::Duration;

use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal_archive::{Error, Overflow, RestoreTarget};

use crate::helpers::{
    append, archived, numbers, open, quick, recover, restored_records, segments, start,
};
use crate::rng::Rng;
use crate::store::{Fault, Store};
use crate::support::{DIR, options, run};

/// A service with three lives that truncates continuously, on a store with planned faults.
async fn three_lives(store: &Store) {
    let disk = SimDisk::new(1);
    let mut next = 1;
    for _ in 0..3 {
        let wal = open(&disk).await;
        let archiver = start(&wal, store, quick());
        for _ in 0..4 {
            append(&wal, next..=next + 3).await;
            next += 4;
            wal.truncate_before(Lsn::new(next - 1)).await.unwrap();
        }
        archiver.wait_caught_up().await.unwrap();
        let reached = archiver.status().archived;
        assert!(segments(&disk)[0] <= reached.get() + 1);
        wal.close().await.unwrap();
    }
    let wal = open(&disk).await;
    start(&wal, store, quick()).wait_caught_up().await.unwrap();
    let doubtful = store.doubtful();
    assert!(doubtful.is_empty(), "regression: {doubtful:?}");
    // Read from a copy, which has no planned faults.
    let store = &store.fork().await;
    assert_eq!(
        restored_records(store, RestoreTarget::End).await,
        numbers(1..=next - 1)
    );
    let contents = store.archive().contents().await.unwrap();
    assert!(contents.gaps.is_empty());
}

#[test]
fn every_call_goes_wrong_once_in_every_way() {
    let mut trials = 0;
    for fault in Fault::ALL {
        for call in 0.. {
            let store = Store::new();
            store.plan(call, fault);
            run(three_lives(&store));
            if !store.is_through() {
                break;
            }
            trials += 1;
        }
    }
    println!("{trials} faults");
    assert!(trials > 100);
}

#[test]
fn many_calls_go_wrong() {
    for seed in 0..200 {
        println!("seed {seed}");
        let store = Store::new();
        let mut chance = Rng::new(seed);
        for call in 0..60 {
            if chance.once_in(3) {
                store.plan(call, Fault::ALL[index(chance.roll(4))]);
            }
        }
        run(three_lives(&store));
    }
}

/// The same, with gaps allowed and a small bound of the hold: everything that the manifest names can be restored.
#[test]
fn gaps_are_where_the_manifest_says() {
    for seed in 0..100 {
        println!("seed {seed}");
        run(async {
            let (disk, store) = (SimDisk::new(seed), Store::new());
            let mut chance = Rng::new(seed);
            let wal = open(&disk).await;
            let options = quick().max_held_bytes(0).overflow(Overflow::LeaveGap);
            let archiver = start(&wal, &store, options);
            for number in 1..=100 {
                if chance.once_in(4) {
                    store.set(Fault::ALL.get(index(chance.roll(8))).copied());
                }
                append(&wal, number..=number).await;
                wal.truncate_before(Lsn::new(number)).await.unwrap();
                let pause = Duration::from_millis(chance.roll(50) * 1000);
                tokio::time::sleep(pause).await;
            }
            store.set(None);
            tokio::time::sleep(Duration::from_secs(120)).await;
            append(&wal, 101..=110).await;
            archiver.wait_caught_up().await.unwrap();
            check_gaps(&store, &archiver).await;
        });
    }
}

async fn check_gaps(store: &Store, archiver: &tidewal_archive::Archiver) {
    let contents = store.archive().contents().await.unwrap();
    let lost: u64 = contents
        .gaps
        .iter()
        .map(|gap| gap.end().get() - gap.start().get() + 1)
        .sum();
    assert_eq!(archiver.status().given_up, lost);
    let mut from = contents.oldest;
    let ends = contents.gaps.iter().map(|gap| (*gap.start(), *gap.end()));
    let whole = (contents.end.next(), Lsn::ZERO);
    for (gap_start, gap_end) in ends.chain([whole]) {
        let end = gap_start.get() - 1;
        if end >= from.get() {
            let disk = SimDisk::new(1);
            let until = RestoreTarget::Lsn(Lsn::new(end));
            let archive = store.archive();
            let restored = archive.restore_on(&disk, DIR, Some(from), until);
            restored.await.unwrap();
            assert_eq!(recover(&disk).await, numbers(from.get()..=end));
        }
        from = gap_end.next();
    }
}

#[test]
fn a_restore_with_a_failing_call_says_so_and_leaves_no_log() {
    run(async {
        let (_, store) = archived(12).await;
        for call in 0.. {
            let (disk, store) = (SimDisk::new(1), store.fork().await);
            store.plan(call, Fault::Before);
            let restored = store
                .archive()
                .restore_on(&disk, DIR, None, RestoreTarget::End)
                .await;
            if !store.is_through() {
                restored.unwrap();
                break;
            }
            let error = restored.unwrap_err();
            assert!(matches!(error, Error::Store { .. }), "{error:?}");
            crate::helpers::settle().await;
            if !disk.files(DIR).is_empty() {
                let opened = options().open_on(&disk, DIR).await;
                assert!(
                    matches!(opened, Err(tidewal::Error::UnfinishedRestore { .. })),
                    "call {call}"
                );
            }
        }
    });
}

fn index(roll: u64) -> usize {
    usize::try_from(roll).unwrap()
}
