//! Holds: what they keep from truncation, and what happens at their bound.

use tidewal::{Error, HoldOptions, HoldOverflow, Lsn};
use tokio_test::task;

use crate::helpers::{append, log, ms, segments, settle, take};
use crate::support::{DIR, options, run};

#[test]
fn what_is_held_stays_and_goes_when_the_hold_moves() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 60).await;
        let bases = segments(&disk);
        let hold = wal.hold(Lsn::new(bases[1])).unwrap();
        wal.truncate_before(Lsn::new(61)).await.unwrap();
        assert_eq!(
            segments(&disk),
            bases[1..],
            "only what is before the hold goes"
        );
        let stats = wal.stats();
        assert_eq!(stats.held_segments, bases.len() as u64 - 2);
        assert_eq!(stats.held_bytes, stats.held_segments * 16 * 1024);
        hold.advance(Lsn::new(bases[3] + 1)).unwrap();
        settle().await;
        assert_eq!(segments(&disk), bases[3..], "a record in it is held");
        assert_eq!(hold.lsn(), Some(Lsn::new(bases[3] + 1)));
        hold.advance(Lsn::FIRST).unwrap();
        assert_eq!(
            hold.lsn(),
            Some(Lsn::new(bases[3] + 1)),
            "it never moves back"
        );
        drop(hold);
        settle().await;
        assert_eq!(segments(&disk), bases[bases.len() - 1..]);
        assert_eq!(wal.stats().held_segments, 0);
    });
}

#[test]
fn the_lowest_of_several_holds_counts() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 60).await;
        let bases = segments(&disk);
        let low = wal
            .hold_with(Lsn::ZERO, HoldOptions::new().name("outbox"))
            .unwrap();
        let high = wal.hold(Lsn::new(bases[2])).unwrap();
        wal.truncate_before(Lsn::new(61)).await.unwrap();
        assert_eq!(segments(&disk), bases);
        let holds = wal.holds();
        let mut said: Vec<_> = holds
            .iter()
            .map(|hold| (&*hold.name, hold.from.get()))
            .collect();
        said.sort_unstable();
        assert_eq!(said, [("hold", bases[2]), ("outbox", 1)]);
        let kept: u64 = holds.iter().map(|hold| hold.segments).max().unwrap();
        assert_eq!(kept, bases.len() as u64 - 1);
        drop(low);
        settle().await;
        assert_eq!(segments(&disk), bases[2..]);
        drop(high);
        settle().await;
        assert_eq!(segments(&disk).len(), 1);
    });
}

#[test]
fn a_hold_on_what_was_truncated_is_refused() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 60).await;
        wal.truncate_before(Lsn::new(40)).await.unwrap();
        let oldest = Lsn::new(segments(&disk)[0]);
        let error = wal.hold(oldest.prev()).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { oldest: kept, .. } if kept == oldest),
            "{error:?}"
        );
        assert_eq!(wal.hold(oldest).unwrap().lsn(), Some(oldest));
        assert_eq!(wal.hold(Lsn::ZERO).unwrap().lsn(), Some(oldest));
        assert!(wal.holds().is_empty(), "each was dropped");
    });
}

/// Records that a running truncation may remove can no longer be held.
#[test]
fn a_hold_beside_a_truncation_keeps_what_it_says_or_is_refused() {
    for polls in 0..40 {
        run(async {
            let (disk, wal) = log(options()).await;
            append(&wal, 60).await;
            disk.set_sync_time(ms(1));
            let truncated = tokio::spawn({
                let wal = wal.clone();
                async move { wal.truncate_before(Lsn::new(50)).await }
            });
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            if polls % 3 == 0 {
                tokio::time::sleep(ms(1)).await;
            }
            let hold = wal.hold(Lsn::new(20));
            truncated.await.unwrap().unwrap();
            match hold {
                Ok(hold) => {
                    take(&mut wal.follow(Lsn::new(20)), 20..=60).await;
                    drop(hold);
                }
                Err(error) => assert!(matches!(error, Error::Truncated { .. }), "{error:?}"),
            }
        });
    }
}

#[test]
fn appends_are_refused_when_too_much_is_held_and_go_on_when_the_hold_moves() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 30).await;
        let hold = wal
            .hold_with(Lsn::FIRST, HoldOptions::new().max_bytes(3 * 16 * 1024))
            .unwrap();
        let mut next = 31;
        let error = loop {
            match wal.append(crate::helpers::payload(next)).await {
                Ok(lsn) => wal.truncate_before(lsn.next()).await.unwrap(),
                Err(error) => break error,
            }
            next += 1;
        };
        let Error::StorageFull(fault) = &error else {
            panic!("{error:?}");
        };
        let reason = fault.io_error().to_string();
        assert!(reason.contains("the hold \""), "{reason}");
        // A follower can read all held records, including those of the open segment. That does not
        // make room for appends.
        take(&mut wal.follow(Lsn::FIRST), 1..=next - 1).await;
        let error = wal.append("small").await.unwrap_err();
        assert!(matches!(error, Error::StorageFull(_)), "{error:?}");
        hold.advance(Lsn::new(next)).unwrap();
        append(&wal, 30).await;
    });
}

/// `Hold::released`: "Cancel safe: it only waits."
#[test]
fn a_hold_that_gives_way_is_released_and_its_owner_is_told() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 10).await;
        let options = HoldOptions::new()
            .max_bytes(3 * 16 * 1024)
            .overflow(HoldOverflow::Release);
        let hold = wal.hold_with(Lsn::FIRST, options).unwrap();
        let other = wal.hold(Lsn::new(11)).unwrap();
        let mut released = task::spawn(hold.released());
        assert!(released.poll().is_pending());
        while hold.lsn().is_some() {
            append(&wal, 1).await;
            wal.truncate_before(wal.durable_lsn().next()).await.unwrap();
        }
        assert!(released.is_woken());
        assert!(released.poll().is_ready());
        drop(released);
        assert!(matches!(
            hold.advance(Lsn::new(20)),
            Err(Error::HoldReleased)
        ));
        settle().await;
        assert!(segments(&disk)[0] > 1, "its segments went");
        assert!(other.lsn().is_some());
        take(&mut wal.follow(Lsn::new(11)), 11..=wal.durable_lsn().get()).await;
    });
}

#[test]
fn a_hold_does_not_keep_a_log_open_and_outlives_it() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 30).await;
        let hold = wal.hold(Lsn::FIRST).unwrap();
        wal.close().await.unwrap();
        hold.advance(Lsn::new(20)).unwrap();
        drop(hold);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.truncate_before(Lsn::new(31)).await.unwrap();
    });
}

/// The owner of the hold waited forever.
#[test]
fn regression_a_hold_ends_with_its_log() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 2).await;
        let hold = wal.hold(Lsn::FIRST).unwrap();
        let mut released = task::spawn(hold.released());
        assert!(released.poll().is_pending());
        wal.close().await.unwrap();
        assert!(released.is_woken());
        assert!(released.poll().is_ready());
        assert_eq!(hold.lsn(), Some(Lsn::FIRST), "it was not released");
        hold.advance(Lsn::new(2)).unwrap();
    });
}

/// An owner that goes away, as by a panic, and the next one.
#[test]
fn a_lasting_hold_stays_for_its_next_owner() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 40).await;
        let bases = segments(&disk);
        let lasting = || HoldOptions::new().name("archive").lasting(true);
        let hold = wal.hold_with(Lsn::new(bases[1]), lasting()).unwrap();
        let second = wal.hold_with(Lsn::ZERO, lasting()).unwrap_err();
        assert!(matches!(second, Error::HoldTaken { name, .. } if name == "archive"));
        drop(
            wal.hold_with(Lsn::ZERO, HoldOptions::new().name("archive"))
                .unwrap(),
        );
        drop(hold);
        wal.truncate_before(Lsn::new(41)).await.unwrap();
        assert_eq!(segments(&disk)[0], bases[1], "no one has it, and it holds");
        assert_eq!(wal.holds().len(), 1);

        let next = wal.hold_with(Lsn::ZERO, lasting()).unwrap();
        assert_eq!(
            next.lsn(),
            Some(Lsn::new(bases[1])),
            "it begins where the old one was"
        );
        assert_eq!(wal.holds().len(), 1);
        assert_eq!(next.info().unwrap().segments, bases.len() as u64 - 2);
        drop(next);
        let later = wal.hold_with(Lsn::new(bases[2]), lasting()).unwrap();
        settle().await;
        assert_eq!(segments(&disk)[0], bases[2], "what the old one kept goes");
        later.advance(Lsn::new(41)).unwrap();
        settle().await;
        assert_eq!(segments(&disk).len(), 1);
    });
}

/// The bound is the new owner's.
#[test]
fn a_lasting_hold_without_an_owner_has_its_bound() {
    run(async {
        let (_, wal) = log(options()).await;
        let lasting = |bytes| {
            let options = HoldOptions::new().name("archive").lasting(true);
            options.max_bytes(bytes)
        };
        drop(wal.hold_with(Lsn::FIRST, lasting(16 * 1024)).unwrap());
        let refused = fill(&wal).await;
        assert!(matches!(refused, Error::StorageFull(_)), "{refused:?}");
        let next = wal.hold_with(Lsn::ZERO, lasting(u64::MAX)).unwrap();
        append(&wal, 40).await;
        assert_eq!(next.lsn(), Some(Lsn::FIRST));
    });
}

/// Appends, and truncates what was appended, until an append is refused.
async fn fill(wal: &tidewal::Wal) -> Error {
    loop {
        let next = wal.durable_lsn().next();
        if let Err(refused) = wal.append(crate::helpers::payload(next.get())).await {
            return refused;
        }
        wal.truncate_before(next).await.unwrap();
    }
}
