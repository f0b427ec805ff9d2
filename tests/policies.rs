//! When the log syncs and what an append waits for: the policies and durabilities that
//! `src/options.rs` describes, in virtual time on a simulated disk (`docs/durability.md`: P1, which no
//! policy weakens, P3 and P8).

mod support;

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{join_all, try_join_all};
use tidewal::sim::SimDisk;
use tidewal::{Durability, Error, Lsn, Stats, SyncPolicy, Wal, WalOptions};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};

use support::{DIR, options, policies, run};

/// How long a sync takes, unless a test says otherwise.
const SYNC: Duration = ms(1);

/// The interval of [`interval`].
const INTERVAL: Duration = ms(9);

/// Longer than anything that a policy waits for.
const AGES: Duration = Duration::from_secs(3600);

/// A record's header, which counts where bytes are counted.
const HEADER: usize = 20;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn interval() -> WalOptions {
    options().sync_policy(SyncPolicy::Interval(INTERVAL))
}

fn manual() -> WalOptions {
    options().sync_policy(SyncPolicy::Manual)
}

/// A log with one record, idle, whose syncs take [`SYNC`] from now on.
async fn log(options: WalOptions) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    let first = wal.submit("first").await.unwrap();
    assert_eq!(wal.sync().await.unwrap(), Lsn::FIRST);
    assert_eq!(first.await.unwrap(), Lsn::FIRST);
    sleep(ms(200)).await;
    disk.set_sync_time(SYNC);
    (disk, wal)
}

/// Lets the log do whatever it can without time going by.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// What a future takes of the virtual time.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}

/// Appends so many empty records at once.
async fn append_together(wal: &Wal, count: usize) -> Vec<Lsn> {
    let pending = (0..count).map(|_| wal.try_submit("").unwrap());
    try_join_all(pending.collect::<Vec<_>>()).await.unwrap()
}

/// Waits until a record is durable.
async fn is_durable(wal: &Wal, lsn: Lsn) {
    let mut durable = wal.subscribe_durable();
    while durable.next().await.unwrap() < lsn {}
}

/// Batches and syncs since then.
fn work_since(before: Stats, wal: &Wal) -> (u64, u64) {
    let now = wal.stats();
    (now.batches - before.batches, now.syncs - before.syncs)
}

// Always.

#[test]
fn a_lone_producer_pays_one_sync_for_each_append_and_nothing_else() {
    run(async {
        let (disk, wal) = log(options()).await;
        let before = disk.operations();
        for _ in 0..20 {
            assert_eq!(timed(wal.append("x")).await.1, SYNC);
        }
        assert_eq!(
            disk.operations() - before,
            2 * 20,
            "a write and a sync for each"
        );
    });
}

#[test]
fn an_append_pays_no_more_while_others_only_look_on() {
    run(async {
        let (_, wal) = log(options()).await;
        let durable = wal.subscribe_durable();
        let spectator = tokio::spawn(durable.count());
        assert_eq!(timed(wal.append("x")).await.1, SYNC);
        spectator.abort();
    });
}

#[test]
fn records_of_many_producers_are_one_write_and_one_sync() {
    run(async {
        let (disk, wal) = log(options()).await;
        let (before, operations) = (wal.stats(), disk.operations());
        let (lsns, took) = timed(append_together(&wal, 64)).await;
        assert_eq!(lsns, (2..66).map(Lsn::new).collect::<Vec<_>>());
        assert_eq!(took, SYNC);
        assert_eq!(disk.operations() - operations, 2);
        assert_eq!(work_since(before, &wal), (1, 1));
    });
}

#[test]
fn what_arrives_during_a_sync_shares_the_next_one() {
    run(async {
        let (_, wal) = log(options()).await;
        let before = wal.stats();
        let first = wal.submit("x").await.unwrap();
        settle().await;
        let (_, took) = timed(append_together(&wal, 10)).await;
        assert_eq!(took, 2 * SYNC, "the one under way does not count");
        assert_eq!(first.await.unwrap(), Lsn::new(2));
        assert_eq!(work_since(before, &wal), (2, 2));
    });
}

/// Appends so many records, one after the other.
async fn produce(wal: Wal, rounds: u64) {
    for _ in 0..rounds {
        wal.append("x").await.unwrap();
    }
}

#[test]
fn producers_in_a_closed_loop_share_their_syncs() {
    run(async {
        let (_, wal) = log(options().segment_size(1 << 20)).await;
        let before = wal.stats();
        let producers = (0..64).map(|_| tokio::spawn(produce(wal.clone(), 20)));
        let (done, took) = timed(try_join_all(producers)).await;
        done.unwrap();
        let (batches, syncs) = work_since(before, &wal);
        assert_eq!(wal.stats().records - before.records, 64 * 20);
        assert_eq!(batches, syncs);
        assert!(syncs <= 20 + 2, "{syncs} syncs for 20 rounds");
        assert_eq!(took, SYNC * u32::try_from(syncs).unwrap());
    });
}

/// Syncs for 20 rounds of two groups of producers, the second of which comes while the first one's
/// sync is under way.
async fn syncs_of_two_groups(early: usize, late: usize) -> u64 {
    let (disk, wal) = log(options().segment_size(1 << 20)).await;
    disk.set_sync_time(ms(4));
    let before = wal.stats();
    let group = |size| (0..size).map(|_| tokio::spawn(produce(wal.clone(), 20)));
    let early = group(early).collect::<Vec<_>>();
    sleep(ms(1)).await;
    let late = group(late).collect::<Vec<_>>();
    try_join_all(early.into_iter().chain(late)).await.unwrap();
    wal.stats().syncs - before.syncs
}

#[test]
fn producers_who_come_in_two_groups_become_one() {
    let syncs = run(syncs_of_two_groups(10, 6));
    assert!(syncs <= 20 + 2, "{syncs} syncs for 20 rounds");
}

#[test]
fn two_groups_of_one_size_need_no_more_than_two_syncs_for_a_round() {
    let syncs = run(syncs_of_two_groups(8, 8));
    assert!(syncs <= 2 * 20, "{syncs} syncs for 20 rounds");
}

// Interval.

#[test]
fn an_interval_ends_exactly_so_long_after_its_first_record() {
    run(async {
        let (disk, wal) = log(interval()).await;
        let operations = disk.operations();
        let first = timed(wal.append("first"));
        let later = async {
            sleep(ms(4)).await;
            assert_eq!(disk.operations(), operations, "nothing has happened yet");
            timed(wal.append("later")).await
        };
        let (first, later) = tokio::join!(first, later);
        assert_eq!(first.1, INTERVAL + SYNC);
        assert_eq!(ms(4) + later.1, INTERVAL + SYNC);
        assert_eq!(
            disk.operations() - operations,
            2,
            "one write and one sync for both"
        );
    });
}

/// Keeps submitting every third of an interval, for so many intervals. Returns how long each record
/// took to be durable.
async fn steady_arrivals(wal: Wal, intervals: u32) -> Vec<Duration> {
    let mut answers = Vec::new();
    for _ in 0..3 * intervals {
        sleep(INTERVAL / 3).await;
        let wal = wal.clone();
        answers.push(tokio::spawn(async move { timed(wal.append("x")).await.1 }));
    }
    try_join_all(answers).await.unwrap()
}

/// Regression of a bug that another log has: there each arrival starts the window anew, and with
/// steady arrivals nothing is ever synced.
#[test]
fn later_arrivals_never_restart_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let arrivals = tokio::spawn(steady_arrivals(wal.clone(), 10));
        assert_eq!(timed(wal.append("first")).await.1, INTERVAL + SYNC);
        let longest = arrivals.await.unwrap().into_iter().max().unwrap();
        assert!(longest <= INTERVAL + SYNC, "{longest:?}");
    });
}

#[test]
fn steady_arrivals_cost_one_sync_for_each_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let before = wal.stats();
        steady_arrivals(wal.clone(), 10).await;
        let (batches, syncs) = work_since(before, &wal);
        assert_eq!(batches, syncs);
        assert!((8..=10).contains(&syncs), "{syncs} syncs in 10 intervals");
    });
}

#[test]
fn an_interval_counts_from_the_submission_of_a_record_that_arrives_during_a_sync() {
    run(async {
        let (disk, wal) = log(interval()).await;
        disk.set_sync_time(ms(4));
        let first = wal.submit("first").await.unwrap();
        sleep(INTERVAL + ms(2)).await;
        assert_eq!(timed(wal.append("second")).await.1, INTERVAL + ms(4));
        first.await.unwrap();
    });
}

#[test]
fn an_interval_that_ends_during_a_sync_is_followed_by_the_next_sync_at_once() {
    run(async {
        let (disk, wal) = log(interval()).await;
        disk.set_sync_time(ms(30));
        let first = wal.submit("first").await.unwrap();
        sleep(INTERVAL + ms(2)).await;
        assert_eq!(timed(wal.append("second")).await.1, ms(28) + ms(30));
        first.await.unwrap();
    });
}

/// Submits records of so many bytes until the batch is full, and sees it synced at once.
async fn fill_a_batch(options: WalOptions, bytes: usize, count: usize) {
    let (_, wal) = log(options).await;
    let payload = vec![0; bytes];
    let mut pending = Vec::new();
    for _ in 1..count {
        pending.push(wal.submit(payload.clone()).await.unwrap());
    }
    sleep(ms(3)).await;
    let before = wal.stats();
    assert_eq!(
        before.batches, 1,
        "a batch that is not full waits for its interval"
    );
    let start = Instant::now();
    pending.push(wal.submit(payload).await.unwrap());
    pending.swap_remove(0).await.unwrap();
    assert_eq!(start.elapsed(), SYNC);
    assert_eq!(work_since(before, &wal), (1, 1));
}

#[test]
fn a_batch_with_all_the_records_it_may_have_does_not_wait_for_its_interval() {
    run(fill_a_batch(interval().max_batch_records(4), 10, 4));
}

#[test]
fn a_batch_with_all_the_bytes_it_may_have_does_not_wait_for_its_interval() {
    run(fill_a_batch(
        interval().max_batch_bytes(4 * (10 + HEADER)),
        10,
        4,
    ));
}

#[test]
fn a_batch_that_the_next_record_does_not_fit_into_does_not_wait_for_its_interval() {
    run(fill_a_batch(
        interval().max_batch_bytes(4 * (10 + HEADER) - 1),
        10,
        4,
    ));
}

#[test]
fn a_batch_that_fills_the_queue_does_not_wait_for_its_interval() {
    run(fill_a_batch(interval().queue_records(4), 10, 4));
}

#[test]
fn sync_does_not_wait_for_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let pending = wal.submit("x").await.unwrap();
        let (lsn, took) = timed(wal.sync()).await;
        assert_eq!((lsn.unwrap(), took), (Lsn::new(2), SYNC));
        assert_eq!(pending.await.unwrap(), Lsn::new(2));
    });
}

#[test]
fn closing_does_not_wait_for_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let pending = wal.submit("x").await.unwrap();
        let (closed, took) = timed(wal.close()).await;
        closed.unwrap();
        assert_eq!(took, 2 * SYNC, "the batch's sync and the seal's");
        assert_eq!(pending.await.unwrap(), Lsn::new(2));
    });
}

#[test]
fn neither_a_written_record_nor_a_truncation_moves_the_end_of_the_interval() {
    run(async {
        let (_, wal) = log(interval()).await;
        let first = timed(wal.append("first"));
        let others = async {
            sleep(ms(2)).await;
            wal.append_with("x", Durability::Written).await.unwrap();
            sleep(ms(2)).await;
            wal.truncate_before(Lsn::FIRST).await.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        };
        assert_eq!(tokio::join!(first, others).0.1, INTERVAL + SYNC);
        assert_eq!(wal.durable_lsn(), Lsn::new(3));
        assert_eq!(wal.stats().syncs, 2, "one for both records");
    });
}

// Manual.

#[test]
fn under_manual_an_append_waits_for_sync() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut append = task::spawn(wal.append("x"));
        assert_pending!(append.poll());
        sleep(AGES).await;
        assert!(!append.is_woken());
        assert_pending!(append.poll());
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        assert_eq!(wal.sync().await.unwrap(), Lsn::new(2));
        assert!(append.is_woken());
        assert_eq!(assert_ready_ok!(append.poll()), Lsn::new(2));
    });
}

#[test]
fn under_manual_an_append_waits_for_rotation() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut first = task::spawn(wal.submit(vec![1; 7000]).await.unwrap());
        sleep(AGES).await;
        assert_pending!(first.poll());
        let mut second = task::spawn(wal.submit(vec![2; 7000]).await.unwrap());
        sleep(AGES).await;
        assert_eq!(wal.stats().segments, 2);
        assert_eq!(assert_ready_ok!(first.poll()), Lsn::new(2));
        assert_pending!(
            second.poll(),
            "it is in the new segment, which was not synced"
        );
        assert_eq!(wal.durable_lsn(), Lsn::new(2));
    });
}

#[test]
fn under_manual_an_append_waits_for_close() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut pending = task::spawn(wal.submit("x").await.unwrap());
        sleep(AGES).await;
        assert_pending!(pending.poll());
        wal.close().await.unwrap();
        assert_eq!(assert_ready_ok!(pending.poll()), Lsn::new(2));
    });
}

#[test]
fn under_manual_an_append_waits_for_the_last_handle_to_be_dropped() {
    run(async {
        let (_, wal) = log(manual()).await;
        let other = wal.clone();
        let mut pending = task::spawn(wal.submit("x").await.unwrap());
        drop(wal);
        sleep(AGES).await;
        assert_pending!(pending.poll());
        drop(other);
        sleep(AGES).await;
        assert_eq!(assert_ready_ok!(pending.poll()), Lsn::new(2));
    });
}

#[test]
fn under_manual_one_sync_answers_all() {
    run(async {
        let (_, wal) = log(manual()).await;
        let appends = append_together(&wal, 10);
        let sync = async {
            sleep(AGES).await;
            wal.sync().await.unwrap()
        };
        let (lsns, synced) = tokio::join!(appends, sync);
        assert_eq!(lsns.last(), Some(&synced));
        assert_eq!(wal.stats().syncs, 2);
    });
}

// Durability::Written.

/// Sees an append return without a sync, and its record not yet durable.
async fn append_written(wal: &Wal, append: impl Future<Output = Result<Lsn, Error>>) -> Lsn {
    let (before, durable) = (wal.stats(), wal.durable_lsn());
    let (lsn, took) = timed(append).await;
    assert_eq!(took, Duration::ZERO);
    assert_eq!(
        work_since(before, wal),
        (1, 0),
        "written at once, and not synced"
    );
    assert_eq!(wal.durable_lsn(), durable);
    lsn.unwrap()
}

#[test]
fn a_written_append_returns_without_a_sync_under_every_policy() {
    for policy in policies() {
        run(async {
            let (_, wal) = log(options().sync_policy(policy)).await;
            let append = wal.append_with("x", Durability::Written);
            assert_eq!(append_written(&wal, append).await, Lsn::new(2));
        });
    }
}

#[test]
fn a_log_that_says_written_does_so_for_every_way_to_append() {
    for policy in policies() {
        run(async {
            let options = options()
                .sync_policy(policy)
                .durability(Durability::Written);
            let (_, wal) = log(options).await;
            append_written(&wal, wal.append("x")).await;
            append_written(&wal, async { wal.submit("x").await?.await }).await;
            append_written(&wal, async { wal.try_submit("x")?.await }).await;
            let batch = async { Ok(*wal.append_batch(["x", "y"]).await?.end()) };
            assert_eq!(append_written(&wal, batch).await, Lsn::new(6));
        });
    }
}

#[test]
fn an_append_can_ask_for_more_than_its_log_does() {
    run(async {
        let (_, wal) = log(options().durability(Durability::Written)).await;
        let (lsn, took) = timed(wal.append_with("x", Durability::Durable)).await;
        assert_eq!(took, SYNC);
        assert_eq!(wal.durable_lsn(), lsn.unwrap());
    });
}

#[test]
fn under_always_a_written_record_is_synced_ten_milliseconds_later() {
    run(async {
        let (_, wal) = log(options()).await;
        let lsn = wal.append_with("x", Durability::Written).await.unwrap();
        assert_eq!(timed(is_durable(&wal, lsn)).await.1, ms(10) + SYNC);
    });
}

#[test]
fn under_always_later_written_records_do_not_put_the_sync_off() {
    run(async {
        let (_, wal) = log(options().durability(Durability::Written)).await;
        let lsn = wal.append("x").await.unwrap();
        let more = async {
            for _ in 0..8 {
                sleep(ms(3)).await;
                wal.append("more").await.unwrap();
            }
        };
        let (durable, ()) = tokio::join!(timed(is_durable(&wal, lsn)), more);
        assert_eq!(durable.1, ms(10) + SYNC);
    });
}

#[test]
fn under_an_interval_a_written_record_is_synced_when_it_ends() {
    run(async {
        let (_, wal) = log(interval()).await;
        let lsn = wal.append_with("x", Durability::Written).await.unwrap();
        assert_eq!(timed(is_durable(&wal, lsn)).await.1, INTERVAL + SYNC);
    });
}

#[test]
fn under_manual_a_written_record_is_synced_by_sync_only() {
    run(async {
        let (_, wal) = log(manual()).await;
        let lsn = wal.append_with("x", Durability::Written).await.unwrap();
        sleep(AGES).await;
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        assert_eq!(wal.sync().await.unwrap(), lsn);
        assert_eq!(wal.durable_lsn(), lsn);
    });
}

#[test]
fn a_durable_append_among_written_ones_makes_all_of_them_durable() {
    run(async {
        let (_, wal) = log(options()).await;
        let before = wal.stats();
        wal.append_with("1", Durability::Written).await.unwrap();
        let written = wal.append_with("2", Durability::Written);
        let durable = wal.append("3");
        let later = wal.append_with("4", Durability::Written);
        let ((durable, took), ..) = tokio::join!(timed(durable), written, later);
        assert_eq!(took, SYNC);
        assert!(durable.unwrap() < wal.durable_lsn());
        assert_eq!(wal.durable_lsn(), Lsn::new(5));
        sleep(AGES).await;
        assert_eq!(work_since(before, &wal), (2, 1), "nothing was left to sync");
    });
}

// sync().

#[test]
fn sync_with_nothing_to_sync_touches_no_disk() {
    for policy in policies() {
        run(async {
            let (disk, wal) = log(options().sync_policy(policy)).await;
            let before = (disk.operations(), wal.stats());
            let (lsn, took) = timed(wal.sync()).await;
            assert_eq!((lsn.unwrap(), took), (Lsn::FIRST, Duration::ZERO));
            assert_eq!((disk.operations(), wal.stats()), before);
        });
    }
}

#[test]
fn sync_of_a_new_log_says_that_it_never_held_a_record() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let before = disk.operations();
        assert_eq!(wal.sync().await.unwrap(), Lsn::ZERO);
        assert_eq!(wal.durable_lsn(), Lsn::ZERO);
        assert_eq!(disk.operations(), before);
    });
}

#[test]
fn sync_of_a_reopened_log_says_where_it_ended() {
    run(async {
        let (disk, wal) = log(options()).await;
        wal.close().await.unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let before = disk.operations();
        assert_eq!(wal.sync().await.unwrap(), Lsn::FIRST);
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        assert_eq!(disk.operations(), before);
    });
}

#[test]
fn sync_waits_for_what_was_submitted_before_it_and_not_for_more() {
    run(async {
        let (_, wal) = log(options().max_batch_records(1)).await;
        let earlier = [
            wal.submit("a").await.unwrap(),
            wal.submit("b").await.unwrap(),
        ];
        let mut sync = task::spawn(wal.sync());
        assert_pending!(sync.poll());
        let mut later = task::spawn(wal.submit("c").await.unwrap());
        sleep(2 * SYNC).await;
        settle().await;
        assert_eq!(assert_ready_ok!(sync.poll()), Lsn::new(3));
        assert_pending!(later.poll());
        drop(join_all(earlier).await);
    });
}

// Limits of a batch.

/// Appends records of these sizes while a sync is under way. Returns how many batches they were
/// written in.
async fn batches_of(options: WalOptions, sizes: &[usize]) -> u64 {
    let (_, wal) = log(options).await;
    let first = wal.submit("x").await.unwrap();
    settle().await;
    let before = wal.stats();
    let appends = sizes.iter().map(|bytes| wal.append(vec![0; *bytes]));
    let lsns = try_join_all(appends).await.unwrap();
    assert!(lsns.windows(2).all(|pair| pair[0].next() == pair[1]));
    first.await.unwrap();
    let (batches, syncs) = work_since(before, &wal);
    assert_eq!(syncs, 1 + batches, "the first one was under way");
    batches
}

#[test]
fn a_batch_has_no_more_records_than_it_may() {
    let limited = options().max_batch_records(4);
    assert_eq!(run(batches_of(limited, &[1; 10])), 3);
}

#[test]
fn a_batch_has_no_more_bytes_than_it_may() {
    let limited = options().max_batch_bytes(3 * (100 + HEADER) + 50);
    assert_eq!(run(batches_of(limited, &[100; 10])), 4);
}

#[test]
fn a_record_larger_than_a_batch_is_written_alone() {
    let limited = options().max_batch_bytes(200);
    assert_eq!(run(batches_of(limited, &[10, 500, 10, 10])), 3);
}

#[test]
fn an_atomic_batch_of_more_records_than_a_batch_may_have_is_written_alone() {
    run(async {
        let (_, wal) = log(options().max_batch_records(2)).await;
        let before = wal.stats();
        let (one, five, two) = tokio::join!(
            wal.append("x"),
            wal.append_batch(["x"; 5]),
            append_together(&wal, 2)
        );
        assert_eq!(one.unwrap(), Lsn::new(2));
        assert_eq!(five.unwrap(), Lsn::new(3)..=Lsn::new(7));
        assert_eq!(two, [Lsn::new(8), Lsn::new(9)]);
        assert_eq!(work_since(before, &wal), (3, 3));
    });
}

// append_batch().

#[test]
fn a_batch_gets_lsns_that_follow_each_other() {
    run(async {
        let (_, wal) = log(options()).await;
        let batches = (1..=4).map(|count| wal.append_batch(vec!["x"; count]));
        let ranges = try_join_all(batches).await.unwrap();
        let expected = [(2, 2), (3, 4), (5, 7), (8, 11)];
        assert_eq!(
            ranges,
            expected.map(|(first, last)| Lsn::new(first)..=Lsn::new(last))
        );
        assert_eq!(wal.stats().syncs, 2);
    });
}

#[test]
fn a_batch_of_nothing_and_one_that_fits_no_segment_are_refused() {
    run(async {
        let (disk, wal) = log(options()).await;
        let before = (disk.operations(), wal.stats());
        let empty = wal.append_batch(Vec::<&str>::new()).await;
        assert!(matches!(empty, Err(Error::EmptyBatch)));
        let large = wal.append_batch(vec![vec![0; 7000]; 2]).await;
        assert!(matches!(large, Err(Error::TooLarge { .. })));
        assert_eq!((disk.operations(), wal.stats()), before);
        assert_eq!(wal.append("x").await.unwrap(), Lsn::new(2));
    });
}

#[test]
fn a_batch_that_just_fits_a_segment_is_appended() {
    run(async {
        let (_, wal) = log(options()).await;
        let half = (16 * 1024 - 4096) / 2 - HEADER;
        let lsns = wal.append_batch([half, half].map(|len| vec![0; len])).await;
        assert_eq!(lsns.unwrap(), Lsn::new(2)..=Lsn::new(3));
        assert_eq!(wal.stats().segments, 2);
        let more = wal.append_batch([half, half + 1].map(|len| vec![0; len]));
        assert!(matches!(more.await, Err(Error::TooLarge { .. })));
    });
}

// subscribe_durable().

#[test]
fn a_subscription_begins_with_what_is_durable_and_then_waits() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        assert_pending!(durable.poll_next());
        let pending = wal.submit("x").await.unwrap();
        settle().await;
        assert!(!durable.is_woken(), "it is not durable before its sync");
        pending.await.unwrap();
        assert!(durable.is_woken());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(2)));
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn the_first_item_of_a_subscription_is_that_of_its_first_poll() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        wal.append("x").await.unwrap();
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(2)));
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn a_slow_subscriber_skips_and_never_falls_behind() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        for _ in 0..5 {
            wal.append("x").await.unwrap();
        }
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(6)));
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn a_sync_that_moves_nothing_is_no_item() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        assert_pending!(durable.poll_next());
        wal.sync().await.unwrap();
        assert_pending!(durable.poll_next());
    });
}

#[test]
fn a_subscription_ends_after_the_last_movement_of_a_closed_log() {
    run(async {
        let (_, wal) = log(manual()).await;
        let mut durable = task::spawn(wal.subscribe_durable());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::FIRST));
        assert_pending!(durable.poll_next());
        drop(wal.submit("x").await.unwrap());
        wal.close().await.unwrap();
        assert!(durable.is_woken());
        assert_eq!(assert_ready!(durable.poll_next()), Some(Lsn::new(2)));
        assert_eq!(assert_ready!(durable.poll_next()), None);
        assert_eq!(assert_ready!(durable.poll_next()), None);
    });
}

#[test]
fn a_subscription_does_not_keep_a_log_open() {
    run(async {
        let (_, wal) = log(options()).await;
        let durable = wal.subscribe_durable();
        drop(wal);
        assert_eq!(durable.collect::<Vec<_>>().await, [Lsn::FIRST]);
    });
}

#[test]
fn dropping_the_future_of_the_next_item_misses_none() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut durable = wal.subscribe_durable();
        assert_eq!(durable.next().await, Some(Lsn::FIRST));
        let mut next = task::spawn(durable.next());
        assert_pending!(next.poll());
        wal.append("x").await.unwrap();
        assert!(next.is_woken());
        drop(next);
        assert_eq!(durable.next().await, Some(Lsn::new(2)));
    });
}

// stats().

#[test]
fn a_log_that_was_just_opened_has_done_nothing() {
    run(async {
        let (disk, wal) = log(options()).await;
        wal.close().await.unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        assert_eq!(wal.stats(), Stats::default());
    });
}

#[test]
fn the_counters_say_what_was_done() {
    run(async {
        let (_, wal) = log(options()).await;
        let before = wal.stats();
        assert_eq!((before.records, before.payload_bytes), (1, 5));
        wal.append_batch(["12", "345"]).await.unwrap();
        wal.append(vec![0; 7000]).await.unwrap();
        wal.append(vec![0; 7000]).await.unwrap();
        let stats = wal.stats();
        assert_eq!(stats.records, 5);
        assert_eq!(stats.payload_bytes, 5 + 5 + 14_000);
        assert_eq!(stats.written_bytes, stats.payload_bytes + 5 * HEADER as u64);
        assert_eq!((stats.batches, stats.syncs, stats.segments), (4, 4, 2));
        assert_eq!((stats.queued_records, stats.queued_bytes), (0, 0));
    });
}

#[test]
fn the_counters_say_what_waits_to_be_written() {
    run(async {
        let (_, wal) = log(options()).await;
        let first = wal.submit("x").await.unwrap();
        settle().await;
        assert_eq!(
            wal.stats().queued_records,
            0,
            "it is written, and waits for its sync"
        );
        let mut appends = task::spawn(wal.append_batch(["12", "345"]));
        assert_pending!(appends.poll());
        let queued = (wal.stats().queued_records, wal.stats().queued_bytes);
        assert_eq!(queued, (2, 5 + 2 * HEADER as u64));
        first.await.unwrap();
        settle().await;
        assert_eq!(
            (wal.stats().queued_records, wal.stats().queued_bytes),
            (0, 0)
        );
        drop(appends);
    });
}
