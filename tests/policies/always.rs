//! `SyncPolicy::Always`: a sync as soon as the previous one completes.

use futures::StreamExt;
use futures::future::try_join_all;
use tidewal::{Lsn, Wal};
use tokio::time::sleep;

use crate::helpers::{SYNC, append_together, log, ms, settle, timed, work_since};
use crate::support::{options, run};

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
        assert_eq!(work_since(&before, &wal), (1, 1));
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
        assert_eq!(work_since(&before, &wal), (2, 2));
    });
}

/// Appends records one after the other.
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
        let (batches, syncs) = work_since(&before, &wal);
        assert_eq!(wal.stats().records - before.records, 64 * 20);
        assert_eq!(batches, syncs);
        assert!(syncs <= 20 + 2, "{syncs} syncs for 20 rounds");
        assert_eq!(took, SYNC * u32::try_from(syncs).unwrap());
    });
}

/// The number of syncs for 20 rounds of two groups of producers, the second of which comes during
/// the first one's sync.
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
