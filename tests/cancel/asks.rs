//! Requests without records: `sync`, `truncate_before` and `close`. They are dropped too, in large
//! numbers.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;

use futures::future::join;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Lsn, SyncPolicy, WalOptions};
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::sleep;
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready_ok};

use crate::helpers::{
    SYNC, after_a_cut, assert_records, at_every_step, busy, drop_after, log_of, ms, payload,
    read_back, settle,
};
use crate::support::{DIR, options, run};

/// Nothing is synced without a request.
fn manual() -> WalOptions {
    options().sync_policy(SyncPolicy::Manual)
}

/// `Wal::sync`: "If the future is dropped before it completes, the sync may still happen."
#[test]
fn a_dropped_sync_may_still_happen() {
    let happened = RefCell::new(BTreeSet::new());
    at_every_step(async |steps| {
        let (disk, wal) = busy(manual()).await;
        sleep(SYNC).await;
        let pending = wal.submit("third").await.unwrap();
        let completed = drop_after(steps, wal.sync()).await.is_some();
        sleep(ms(100)).await;
        let has_happened = wal.durable_lsn() == Lsn::new(3);
        happened.borrow_mut().insert((completed, has_happened));
        let (again, third) = join(wal.sync(), pending).await;
        assert_eq!((again.unwrap(), third.unwrap()), (Lsn::new(3), Lsn::new(3)));
        wal.close().await.unwrap();
        assert_eq!(read_back(&disk).await.len(), 3);
        completed
    });
    let expected = [(false, false), (false, true), (true, true)];
    assert_eq!(happened.into_inner(), BTreeSet::from(expected));
}

/// `Wal::truncate_before`: "If the future is dropped before it completes, the truncation may still
/// happen."
#[test]
fn a_dropped_truncation_may_still_happen() {
    for spares in [0, 2] {
        let oldest = RefCell::new(BTreeSet::new());
        at_every_step(async |steps| {
            let disk = log_of(10).await;
            disk.set_sync_time(SYNC);
            let wal = options().spare_segments(spares).open_on(&disk, DIR).await;
            let wal = wal.unwrap();
            let truncate = wal.truncate_before(Lsn::new(6));
            let completed = drop_after(steps, truncate).await.is_some();
            let cut = after_a_cut(&disk, Survival::Random, steps);
            assert_eq!(wal.append(payload(11)).await.unwrap(), Lsn::new(11));
            wal.close().await.unwrap();
            let first = first_kept(&disk, 11).await;
            oldest.borrow_mut().insert((completed, first));
            assert!([1, 5].contains(&first_kept(&cut, 10).await));
            completed
        });
        let expected = [(false, 1), (false, 5), (true, 5)];
        assert_eq!(oldest.into_inner(), BTreeSet::from(expected));
    }
}

/// The first record of a log that holds every record up to `last`.
async fn first_kept(disk: &SimDisk, last: u64) -> u64 {
    let records = read_back(disk).await;
    let first = records[0].lsn.get();
    assert_records(&records, first..=last);
    first
}

/// `Wal::close`: "If the future is dropped after it was first polled, the log still closes."
///
/// `Wal::close`: "Before that, the handle is dropped like any other."
#[test]
fn a_dropped_close_closes_the_log_if_it_was_polled_and_drops_a_handle_if_not() {
    at_every_step(async |steps| {
        let (disk, wal) = busy(options()).await;
        let third = wal.submit("third").await.unwrap();
        let completed = drop_after(steps, wal.clone().close()).await.is_some();
        assert_eq!(third.await.unwrap(), Lsn::new(3));
        sleep(ms(100)).await;
        let fourth = wal.append("fourth").await;
        if steps == 0 {
            assert_eq!(fourth.unwrap(), Lsn::new(4));
            // It was not the last handle. This one is.
            drop(wal.close());
        } else {
            assert!(matches!(fourth, Err(Error::Closed)), "{fourth:?}");
        }
        // There is no need to wait for it: either it is closed, or opening waits for it to close.
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        while recovery.try_next().await.unwrap().is_some() {}
        assert_eq!(
            recovery.report().torn_tail,
            None,
            "it was closed, not cut off"
        );
        assert_eq!(recovery.report().records, if steps == 0 { 4 } else { 3 });
        completed
    });
}

/// Far more than any bound of the queue.
const VERY_MANY: usize = 10_000;

/// A request in the queue is not woken before it is answered, and a sync is not answered before the
/// disk has completed it. So a request that is woken earlier has waited outside of the queue,
/// however many came before it: the memory that they take is bounded.
#[test]
fn dropped_syncs_do_not_pile_up_in_the_queue() {
    run(async {
        let (_, wal) = busy(options()).await;
        for _ in 0..VERY_MANY {
            drop_unanswered(wal.sync());
        }
        let record = wal.submit("third").await.unwrap();
        let mut next = asked(wal.sync());
        settle().await;
        assert!(
            !next.is_woken(),
            "the disk is busy, and no caller is served"
        );
        sleep(SYNC).await;
        settle().await;
        assert!(next.is_woken(), "it has waited for a place");
        assert_pending!(next.poll());
        assert_eq!(wal.durable_lsn(), Lsn::new(2), "none was answered yet");
        assert_eq!(record.await.unwrap(), Lsn::new(3));
        settle().await;
        assert_eq!(assert_ready_ok!(next.poll()), Lsn::new(3));
    });
}

/// As above. When the disk is idle, truncations are answered one by one, so a request in the queue
/// is answered when it is woken.
#[test]
fn dropped_truncations_do_not_pile_up_in_the_queue() {
    run(async {
        let (_, wal) = busy(options()).await;
        for _ in 0..VERY_MANY {
            drop_unanswered(wal.truncate_before(Lsn::FIRST));
        }
        let mut next = asked(wal.truncate_before(Lsn::FIRST));
        settle().await;
        assert!(
            !next.is_woken(),
            "the disk is busy, and no caller is served"
        );
        sleep(SYNC).await;
        settle().await;
        assert!(next.is_woken());
        assert_pending!(next.poll(), "it has waited for a place");
        settle().await;
        assert_ready_ok!(next.poll());
    });
}

/// The same, measured by memory.
#[test]
fn dropped_requests_take_no_memory_once_their_places_are_taken() {
    run(async {
        let (_, wal) = busy(options()).await;
        let ask = || {
            for _ in 0..VERY_MANY {
                drop_unanswered(wal.sync());
                drop_unanswered(wal.truncate_before(Lsn::FIRST));
            }
        };
        let first = allocation_counter::measure(ask).bytes_current;
        assert!(first > 0, "some are in the queue");
        let more = allocation_counter::measure(ask).bytes_current;
        assert_eq!(more, 0);
    });
}

#[test]
fn dropped_syncs_give_their_places_back() {
    run(async {
        let (_, wal) = busy(options()).await;
        for round in 0..VERY_MANY {
            drop_unanswered(wal.sync());
            now_and_then_serve(round).await;
        }
        assert_eq!(wal.sync().await.unwrap(), Lsn::new(2));
    });
}

#[test]
fn dropped_truncations_give_their_places_back() {
    run(async {
        let (_, wal) = busy(options()).await;
        for round in 0..VERY_MANY {
            drop_unanswered(wal.truncate_before(Lsn::FIRST));
            now_and_then_serve(round).await;
        }
        wal.truncate_before(Lsn::FIRST).await.unwrap();
    });
}

/// Lets the log serve waiting requests: once when few wait, and once when more wait than there is
/// room for.
async fn now_and_then_serve(round: usize) {
    if [200, 0].contains(&(round % 5000)) {
        sleep(ms(10)).await;
    }
}

/// Requests without records do not block appends.
#[test]
fn dropped_requests_take_no_room_from_appends() {
    run(async {
        let (_, wal) = busy(options().queue_records(2)).await;
        for _ in 0..VERY_MANY {
            drop_unanswered(wal.sync());
        }
        assert_eq!(wal.stats().queued_records, 0);
        let pending = [(); 2].map(|()| wal.try_submit("record").unwrap());
        for (lsn, pending) in (3..).zip(pending) {
            assert_eq!(pending.await.unwrap(), Lsn::new(lsn));
        }
    });
}

/// Polls a future once, which leaves its request in the queue or in the wait list, and drops it.
fn drop_unanswered<T: Debug>(request: impl Future<Output = T>) {
    drop(asked(request));
}

/// A future that was polled once. Unconstrained, because tokio would make a task that does this
/// very often yield.
fn asked<T: Debug, F: Future<Output = T>>(request: F) -> Spawn<Unconstrained<F>> {
    let mut request = task::spawn(unconstrained(request));
    assert_pending!(request.poll());
    request
}
