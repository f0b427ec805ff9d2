//! The queue: what waits in it is bounded by bytes and by count, producers wait their turn, and any of
//! them can go away (`docs/durability.md`: P3, P7, P8).

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::{join_all, try_join_all};
use tidewal::sim::{Operation, SimDisk};
use tidewal::{Error, Lsn, PendingAppend, Wal, WalOptions};
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};

use support::{DIR, options, policies, run};

/// How long a sync takes.
const SYNC: Duration = ms(10);

/// A record's header, which counts where bytes are counted.
const HEADER: usize = 20;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A payload that takes so many bytes of the queue.
fn taking(bytes: usize) -> Bytes {
    vec![b'x'; bytes - HEADER].into()
}

/// A payload with a name, which makes it so long.
fn named(name: &str, len: usize) -> Bytes {
    let mut payload = name.as_bytes().to_vec();
    payload.resize(len.max(name.len()), b'.');
    payload.into()
}

/// An idle log with one record.
async fn log(options: WalOptions) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    let first = wal.submit("first").await.unwrap();
    wal.sync().await.unwrap();
    assert_eq!(first.await.unwrap(), Lsn::FIRST);
    sleep(ms(200)).await;
    disk.set_sync_time(SYNC);
    (disk, wal)
}

/// A log with two records, in the middle of a sync. Its queue is empty.
async fn stalled(options: WalOptions) -> (SimDisk, Wal) {
    let (disk, wal) = log(options).await;
    drop(wal.submit("stall").await.unwrap());
    settle().await;
    assert_eq!(queued(&wal), (0, 0));
    (disk, wal)
}

/// Lets the log do whatever it can without time going by.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Lets the sync under way end. What waits is then written, and its sync is under way.
async fn next_batch() {
    sleep(SYNC).await;
    settle().await;
}

/// Bytes and records that wait.
fn queued(wal: &Wal) -> (u64, u64) {
    (wal.stats().queued_bytes, wal.stats().queued_records)
}

/// Closes the log, and reads back what was appended after the records of [`stalled`] or [`log`].
async fn appended(disk: &SimDisk, wal: &Wal) -> Vec<Bytes> {
    wal.clone().close().await.unwrap();
    let recovery = options().recover_on(disk, DIR).await.unwrap();
    recovery
        .map_ok(|record| record.payload)
        .try_filter(|payload| futures::future::ready(*payload != "first" && *payload != "stall"))
        .try_collect()
        .await
        .unwrap()
}

// Back-pressure.

/// Fills the queue with these payloads, and sees the next producer wait until they are written.
async fn fill_the_queue(options: WalOptions, payloads: [Bytes; 2], next: Bytes) {
    let (_, wal) = stalled(options).await;
    let [first, second] = payloads;
    let mut first = task::spawn(wal.submit(first).await.unwrap());
    let mut second = task::spawn(wal.submit(second).await.unwrap());
    let mut third = task::spawn(wal.submit(next));
    assert_pending!(third.poll());
    sleep(ms(9)).await;
    assert!(!third.is_woken(), "a stalled disk frees nothing");
    sleep(ms(1)).await;
    settle().await;
    assert!(third.is_woken());
    let third = assert_ready_ok!(third.poll());
    assert_pending!(first.poll(), "a place is free when its record is written");
    assert_pending!(second.poll(), "and does not wait for the sync");
    assert_eq!(third.await.unwrap(), Lsn::new(5));
}

#[test]
fn a_queue_without_bytes_left_makes_producers_wait_for_a_write() {
    run(fill_the_queue(
        options().queue_bytes(1000),
        [taking(500), taking(480)],
        taking(21),
    ));
}

#[test]
fn a_queue_without_places_left_makes_producers_wait_for_a_write() {
    run(fill_the_queue(
        options().queue_records(2),
        [Bytes::new(), Bytes::new()],
        Bytes::new(),
    ));
}

#[test]
fn a_queue_takes_exactly_its_bytes_and_its_records() {
    run(async {
        let (_, wal) = stalled(options().queue_bytes(1000).queue_records(4)).await;
        let batch = wal.append_batch([taking(100), taking(100)]);
        let mut batch = task::spawn(batch);
        assert_pending!(batch.poll());
        drop(wal.try_submit(taking(300)).unwrap());
        drop(wal.try_submit(taking(500)).unwrap());
        assert_eq!(queued(&wal), (1000, 4));
        assert!(matches!(wal.try_submit(""), Err(Error::Full)));
        next_batch().await;
        assert_eq!(queued(&wal), (0, 0));
    });
}

#[test]
fn every_record_of_a_batch_takes_a_place() {
    run(async {
        let (_, wal) = stalled(options().queue_records(4)).await;
        let mut first = task::spawn(wal.append_batch(["x"; 3]));
        assert_pending!(first.poll());
        let mut second = task::spawn(wal.append_batch(["x"; 2]));
        assert_pending!(second.poll());
        next_batch().await;
        assert!(
            second.is_woken(),
            "the second one has waited for its places"
        );
        assert_pending!(second.poll());
        next_batch().await;
        assert_eq!(assert_ready_ok!(first.poll()), Lsn::new(3)..=Lsn::new(5));
        next_batch().await;
        assert_eq!(assert_ready_ok!(second.poll()), Lsn::new(6)..=Lsn::new(7));
    });
}

#[test]
fn a_producer_in_the_queue_does_not_wait_for_ever_under_any_policy() {
    for policy in policies() {
        run(async {
            let options = options().sync_policy(policy).queue_records(2);
            let (_, wal) = log(options).await;
            for _ in 0..100 {
                drop(wal.submit("x").await.unwrap());
            }
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(101));
        });
    }
}

// Order.

#[test]
fn places_are_given_in_the_order_in_which_they_were_asked_for() {
    run(async {
        let (_, wal) = stalled(options().queue_records(2).max_batch_records(1)).await;
        drop(wal.submit("").await.unwrap());
        drop(wal.submit("").await.unwrap());
        let mut waiting = [(); 3].map(|()| task::spawn(wal.submit("")));
        for submit in &mut waiting {
            assert_pending!(submit.poll());
        }
        for turn in 0..3 {
            next_batch().await;
            let woken = waiting.each_ref().map(task::Spawn::is_woken);
            assert_eq!(woken, [0, 1, 2].map(|index| index == turn), "turn {turn}");
            drop(assert_ready_ok!(waiting[turn].poll()));
        }
    });
}

#[test]
fn a_small_record_does_not_overtake_a_large_one() {
    run(async {
        let (_, wal) = stalled(options().queue_bytes(1000)).await;
        drop(wal.submit(taking(600)).await.unwrap());
        let mut large = task::spawn(wal.submit(taking(600)));
        assert_pending!(large.poll());
        let mut small = task::spawn(wal.submit(taking(100)));
        assert_pending!(small.poll());
        assert!(matches!(wal.try_submit(""), Err(Error::Full)));
        next_batch().await;
        let large = assert_ready_ok!(large.poll());
        let small = assert_ready_ok!(small.poll());
        assert!(large.await.unwrap() < small.await.unwrap());
    });
}

/// Submits so many records of one task, more than the queue holds, and forgets some of the answers.
async fn submit_in_order(wal: &Wal, task: usize, count: usize) -> Vec<(usize, PendingAppend)> {
    let mut pending = Vec::new();
    for number in 0..count {
        let payload = named(&format!("{task}/{number:03}"), number * 37 % 300);
        let answer = match wal.try_submit(payload.clone()) {
            Err(Error::Full) => wal.submit(payload).await.unwrap(),
            submitted => submitted.unwrap(),
        };
        if number % 5 != 0 {
            pending.push((number, answer));
        }
    }
    pending
}

/// A queue and batches that many records in flight run into.
fn narrow() -> WalOptions {
    options()
        .queue_records(16)
        .queue_bytes(2000)
        .max_batch_records(7)
        .max_batch_bytes(900)
}

#[test]
fn submissions_of_a_task_keep_their_order_with_many_in_flight() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(narrow().sync_policy(policy)).await;
            let pending = submit_in_order(&wal, 0, 300).await;
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(301));
            for (number, answer) in pending {
                assert_eq!(answer.await.unwrap(), Lsn::new(2 + number as u64));
            }
            let payloads = appended(&disk, &wal).await;
            assert!(payloads.is_sorted());
            assert_eq!(payloads.len(), 300);
        });
    }
}

#[test]
fn submissions_of_each_of_many_tasks_keep_their_order() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(narrow().sync_policy(policy)).await;
            let tasks = (0..4).map(|task| {
                let wal = wal.clone();
                tokio::spawn(async move { drop(submit_in_order(&wal, task, 60).await) })
            });
            try_join_all(tasks).await.unwrap();
            let payloads = appended(&disk, &wal).await;
            assert_eq!(payloads.len(), 4 * 60);
            for task in 0..4 {
                let name = format!("{task}/");
                let of_task = payloads.iter().filter(|p| p.starts_with(name.as_bytes()));
                assert!(of_task.is_sorted(), "task {task} under {policy:?}");
            }
        });
    }
}

// Larger than the queue.

#[test]
fn a_record_larger_than_the_queue_gets_through() {
    for policy in policies() {
        run(async {
            let options = options().queue_bytes(1000).sync_policy(policy);
            let (disk, wal) = log(options).await;
            let pending = wal.submit(taking(9000)).await.unwrap();
            assert_eq!(queued(&wal), (1000, 1));
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(2));
            assert_eq!(pending.await.unwrap(), Lsn::new(2));
            assert_eq!(appended(&disk, &wal).await, [taking(9000)]);
        });
    }
}

#[test]
fn a_record_larger_than_the_queue_waits_until_it_is_empty_and_others_wait_behind() {
    run(async {
        let (disk, wal) = stalled(options().queue_bytes(1000)).await;
        drop(wal.submit(taking(100)).await.unwrap());
        let mut large = task::spawn(wal.submit(taking(5000)));
        assert_pending!(large.poll());
        let mut small = task::spawn(wal.submit(taking(50)));
        assert_pending!(small.poll());
        next_batch().await;
        drop(assert_ready_ok!(large.poll()));
        assert!(!small.is_woken());
        assert_pending!(small.poll());
        next_batch().await;
        drop(assert_ready_ok!(small.poll()));
        let expected = [taking(100), taking(5000), taking(50)];
        assert_eq!(appended(&disk, &wal).await, expected);
    });
}

#[test]
fn a_queue_holds_no_more_after_a_record_that_was_larger() {
    run(async {
        let (_, wal) = log(options().queue_bytes(1000).queue_records(2)).await;
        wal.append(taking(5000)).await.unwrap();
        wal.append_batch(["x"; 5]).await.unwrap();
        drop(wal.submit("stall").await.unwrap());
        settle().await;
        drop(wal.try_submit(taking(950)).unwrap());
        assert!(matches!(wal.try_submit(taking(51)), Err(Error::Full)));
        drop(wal.try_submit(taking(50)).unwrap());
        assert!(matches!(wal.try_submit(""), Err(Error::Full)));
        next_batch().await;
        drop(wal.try_submit("").unwrap());
        drop(wal.try_submit("").unwrap());
        assert!(matches!(wal.try_submit(""), Err(Error::Full)));
    });
}

#[test]
fn a_batch_of_more_records_than_the_queue_has_places_gets_through() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(2)).await;
        drop(wal.submit("before").await.unwrap());
        let (batch, after) = tokio::join!(wal.append_batch(["batch"; 5]), wal.append("after"));
        assert_eq!(batch.unwrap(), Lsn::new(4)..=Lsn::new(8));
        assert_eq!(after.unwrap(), Lsn::new(9));
        assert_eq!(appended(&disk, &wal).await.len(), 7);
    });
}

#[test]
fn producers_of_records_of_all_sizes_all_get_through() {
    for policy in policies() {
        run(async {
            let options = options().queue_bytes(1000).queue_records(3);
            let (_, wal) = log(options.sync_policy(policy)).await;
            let producers = (0..8).map(|producer| {
                let wal = wal.clone();
                tokio::spawn(async move {
                    for round in 0..10 {
                        let bytes = 20 + (producer * 7 + round * 13) % 30 * 50;
                        drop(wal.submit(taking(bytes)).await.unwrap());
                        drop(task::spawn(wal.append_batch(["x"; 5])).poll());
                    }
                })
            });
            try_join_all(producers).await.unwrap();
            wal.sync().await.unwrap();
            assert_eq!(queued(&wal), (0, 0));
        });
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_at_once_though_the_queue_is_full() {
    run(async {
        let options = options().queue_records(1).max_record_size(100);
        let (_, wal) = stalled(options).await;
        drop(wal.submit("").await.unwrap());
        let mut submit = task::spawn(wal.submit(vec![0; 101]));
        assert!(matches!(
            assert_ready_err!(submit.poll()),
            Error::TooLarge { len: 101, max: 100 }
        ));
    });
}

// try_submit().

/// Fills the queue, and sees every further record refused until there is room.
async fn refuse_when_full(options: WalOptions, filling: Bytes, refused: Bytes) {
    let (disk, wal) = stalled(options).await;
    drop(wal.try_submit(filling.clone()).unwrap());
    let before = queued(&wal);
    for _ in 0..10 {
        let full = wal.try_submit(refused.clone()).unwrap_err();
        assert!(matches!(full, Error::Full));
        assert!(!full.is_outcome_unknown());
    }
    assert_eq!(queued(&wal), before, "what was refused takes nothing");
    next_batch().await;
    let later = wal.try_submit("later").unwrap();
    assert_eq!(later.await.unwrap(), Lsn::new(4));
    assert_eq!(appended(&disk, &wal).await, [filling, "later".into()]);
}

#[test]
fn try_submit_says_that_the_queue_has_no_bytes_left_and_appends_nothing() {
    run(refuse_when_full(
        options().queue_bytes(1000),
        taking(900),
        taking(101),
    ));
}

#[test]
fn try_submit_says_that_the_queue_has_no_places_left_and_appends_nothing() {
    run(refuse_when_full(
        options().queue_records(1),
        taking(900),
        taking(20),
    ));
}

// Futures that are dropped.

#[test]
fn a_dropped_submit_appends_nothing_and_gives_its_place_back() {
    run(async {
        let (disk, wal) = stalled(options().queue_bytes(1000).queue_records(3)).await;
        drop(wal.submit(taking(900)).await.unwrap());
        let mut waiting = task::spawn(wal.submit(taking(500)));
        assert_pending!(waiting.poll());
        assert!(matches!(wal.try_submit(taking(100)), Err(Error::Full)));
        drop(waiting);
        assert_eq!(queued(&wal), (900, 1));
        drop(wal.try_submit(taking(100)).unwrap());
        next_batch().await;
        assert_eq!(queued(&wal), (0, 0));
        assert_eq!(appended(&disk, &wal).await, [taking(900), taking(100)]);
    });
}

#[test]
fn a_submit_that_is_dropped_when_it_has_its_place_gives_it_to_the_next() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let mut first = task::spawn(wal.submit("dropped"));
        assert_pending!(first.poll());
        let mut second = task::spawn(wal.submit("kept"));
        assert_pending!(second.poll());
        next_batch().await;
        assert!(first.is_woken() && !second.is_woken());
        drop(first);
        assert!(second.is_woken());
        drop(assert_ready_ok!(second.poll()));
        assert_eq!(appended(&disk, &wal).await, ["queued", "kept"]);
    });
}

#[test]
fn a_submit_that_is_dropped_unpolled_does_nothing() {
    run(async {
        let (disk, wal) = stalled(options()).await;
        drop(wal.submit("dropped"));
        assert_eq!(queued(&wal), (0, 0));
        assert!(appended(&disk, &wal).await.is_empty());
    });
}

#[test]
fn a_record_is_appended_though_nobody_waits_for_its_answer() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            drop(wal.submit("submitted").await.unwrap());
            drop(wal.try_submit("tried").unwrap());
            assert_eq!(wal.sync().await.unwrap(), Lsn::new(3));
            assert_eq!(appended(&disk, &wal).await, ["submitted", "tried"]);
        });
    }
}

#[test]
fn an_append_that_is_dropped_half_way_harms_nobody() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            let mut kept = task::spawn(wal.append("kept"));
            assert_pending!(kept.poll());
            let mut dropped = task::spawn(wal.append("dropped"));
            assert_pending!(dropped.poll());
            let mut batch = task::spawn(wal.append_batch(["of", "a batch"]));
            assert_pending!(batch.poll());
            drop((dropped, batch));
            let mut last = task::spawn(wal.append("last"));
            assert_pending!(last.poll());
            wal.sync().await.unwrap();
            assert_eq!(assert_ready_ok!(kept.poll()), Lsn::new(2));
            assert_eq!(assert_ready_ok!(last.poll()), Lsn::new(6));
            drop((kept, last));
            let expected = ["kept", "dropped", "of", "a batch", "last"];
            assert_eq!(appended(&disk, &wal).await, expected);
        });
    }
}

#[test]
fn an_append_that_is_dropped_while_it_waits_for_a_place_harms_nobody() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let mut dropped = task::spawn(wal.append("dropped"));
        assert_pending!(dropped.poll());
        let mut batch = task::spawn(wal.append_batch(["of", "a batch"]));
        assert_pending!(batch.poll());
        let kept = wal.append("kept");
        drop((dropped, batch));
        assert_eq!(kept.await.unwrap(), Lsn::new(4));
        assert_eq!(appended(&disk, &wal).await, ["queued", "kept"]);
    });
}

#[test]
fn a_sync_that_is_dropped_harms_nobody() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            let pending = wal.submit("x").await.unwrap();
            let mut dropped = task::spawn(wal.sync());
            assert_pending!(dropped.poll());
            let mut kept = task::spawn(wal.sync());
            assert_pending!(kept.poll());
            settle().await;
            drop(dropped);
            next_batch().await;
            assert_eq!(assert_ready_ok!(kept.poll()), Lsn::new(2));
            assert_eq!(pending.await.unwrap(), Lsn::new(2));
            drop(kept);
            assert_eq!(appended(&disk, &wal).await, ["x"]);
        });
    }
}

/// Fills three segments.
async fn three_segments(wal: &Wal) {
    let appends = (0..4).map(|_| wal.submit(vec![0; 7000]));
    drop(join_all(appends).await);
    wal.sync().await.unwrap();
    assert!(wal.stats().segments >= 3);
}

#[test]
fn a_truncation_that_is_dropped_harms_nobody() {
    run(async {
        let (disk, wal) = log(options()).await;
        three_segments(&wal).await;
        for before in [3, 4] {
            let mut truncate = task::spawn(wal.truncate_before(Lsn::new(before)));
            assert_pending!(truncate.poll());
            settle().await;
            drop(truncate);
            assert_eq!(wal.append("x").await.unwrap(), Lsn::new(3 + before));
        }
        wal.truncate_before(Lsn::new(4)).await.unwrap();
        wal.close().await.unwrap();
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let first = recovery.try_next().await.unwrap().unwrap();
        assert!(first.lsn > Lsn::FIRST && first.lsn <= Lsn::new(4));
        let rest: Vec<_> = recovery.try_collect().await.unwrap();
        assert_eq!(rest.last().unwrap().lsn, Lsn::new(7));
    });
}

#[test]
fn a_log_closes_though_nobody_waits_for_it() {
    run(async {
        let (disk, wal) = stalled(options()).await;
        let pending = wal.submit("x").await.unwrap();
        let mut close = task::spawn(wal.clone().close());
        assert_pending!(close.poll());
        drop(close);
        assert_eq!(pending.await.unwrap(), Lsn::new(3));
        next_batch().await;
        assert!(matches!(wal.append("late").await, Err(Error::Closed)));
        assert!(options().open_on(&disk, DIR).await.is_ok());
    });
}

// The end.

#[test]
fn who_waits_for_a_place_when_the_log_closes_learns_that_nothing_was_appended() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        let queued = wal.submit("queued").await.unwrap();
        let other = wal.clone();
        let mut waiting = task::spawn(other.submit("waiting"));
        assert_pending!(waiting.poll());
        let mut close = task::spawn(wal.clone().close());
        assert_pending!(close.poll());
        assert_eq!(queued.await.unwrap(), Lsn::new(3));
        next_batch().await;
        assert!(waiting.is_woken());
        match waiting.poll() {
            std::task::Poll::Ready(Err(Error::Closed)) => {}
            other => panic!("{other:?}"),
        }
        drop(waiting);
        drop(other);
        assert_eq!(appended(&disk, &wal).await, ["queued"]);
    });
}

#[test]
fn who_waits_for_a_place_when_the_log_is_poisoned_learns_why() {
    run(async {
        let (disk, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let mut waiting = task::spawn(wal.submit("waiting"));
        assert_pending!(waiting.poll());
        disk.fail(Operation::Sync, 0, std::io::ErrorKind::TimedOut);
        next_batch().await;
        assert!(waiting.is_woken());
        match assert_ready_err!(waiting.poll()) {
            Error::Poisoned(fault) => {
                assert_eq!(fault.io_error().kind(), std::io::ErrorKind::TimedOut);
            }
            other => panic!("{other:?}"),
        }
    });
}

// Memory.

/// A payload that shares these bytes, and so shows whether it is still held.
fn sharing(bytes: &Arc<[u8]>) -> Bytes {
    Bytes::from_owner(Arc::clone(bytes))
}

#[test]
fn a_payload_is_let_go_when_it_is_written_though_its_sync_never_comes() {
    for policy in policies() {
        run(async {
            let (_, wal) = log(options().sync_policy(policy)).await;
            let bytes = Arc::from([7; 100]);
            let pending = [(); 5].map(|()| wal.try_submit(sharing(&bytes)).unwrap());
            assert_eq!(Arc::strong_count(&bytes), 1 + 5);
            sleep(ms(2)).await;
            settle().await;
            assert_eq!(wal.durable_lsn(), Lsn::FIRST, "nothing is synced yet");
            assert_eq!(Arc::strong_count(&bytes), 1);
            drop(pending);
        });
    }
}

#[test]
fn a_refused_payload_is_let_go_at_once() {
    run(async {
        let (_, wal) = stalled(options().queue_records(1)).await;
        drop(wal.submit("queued").await.unwrap());
        let bytes = Arc::from([7; 100]);
        assert!(wal.try_submit(sharing(&bytes)).is_err());
        let mut waiting = task::spawn(wal.submit(sharing(&bytes)));
        assert_pending!(waiting.poll());
        drop(waiting);
        assert_eq!(Arc::strong_count(&bytes), 1);
    });
}
