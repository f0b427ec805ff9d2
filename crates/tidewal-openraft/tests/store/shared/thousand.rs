//! A thousand groups and more, of which one is busy.

use std::collections::BTreeMap;
use std::ops::Range;

use futures::future::join_all;
use tidewal::Lsn;
use tidewal::sim::{SimDisk, Survival};

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLogs, Vote, log_id};
use super::groups::{settle, try_open};
use super::state::{Model, entry, state_of};
use crate::story::used;
use crate::support::{DIR, options, run};

/// Groups are created, idle, are removed and replaced at run time, and are recovered after power
/// cuts. The log stays small although all of them but one are idle.
#[test]
fn the_log_is_truncated_although_999_of_1000_groups_are_idle() {
    run(live(1_000, 16 * 1024));
}

#[test]
fn the_log_is_truncated_although_9999_of_10000_groups_are_idle() {
    run(live(10_000, 256 * 1024));
}

async fn live(count: u64, segment_size: u64) {
    let disk = SimDisk::new(5);
    let logs = open(&disk, segment_size).await;
    let mut expected = begin(&logs, 1..count).await;
    drop(logs);
    disk.restart(Survival::Nothing);
    let (_, end) = ends(&disk).await;

    let logs = open(&disk, segment_size).await;
    compare(&logs, &expected).await;
    let tenth = count / 10;
    for removed in join_all((1..tenth).map(|group| logs.remove_group(group))).await {
        removed.unwrap();
    }
    expected.retain(|group, _| *group >= tenth);
    expected.extend(begin(&logs, count..count + tenth).await);
    let distance = 2 * held(&logs);
    work(&logs, 3 * distance).await;
    let bytes = used(&disk);
    assert!(bytes < 3 * distance, "{bytes} bytes, {distance}");
    drop(logs);
    disk.restart(Survival::Nothing);
    let (oldest, _) = ends(&disk).await;
    assert!(oldest > end, "{oldest}: some are still where they began");

    let logs = open(&disk, segment_size).await;
    assert_eq!(logs.groups().len(), expected.len() + 1);
    compare(&logs, &expected).await;
}

async fn open(disk: &SimDisk, segment_size: u64) -> RaftLogs {
    let options = options().segment_size(segment_size).spare_segments(0);
    try_open(options, disk).await.unwrap()
}

/// Creates groups, all at once. Each votes and appends up to three entries.
async fn begin(logs: &RaftLogs, ids: Range<u64>) -> BTreeMap<u64, Model> {
    let begun = join_all(ids.map(|group| async move {
        let mut log = logs.open_group(group).unwrap();
        log.save_vote(&Vote::new(group, 1)).await.unwrap();
        let entries = (0..group % 4).map(|index| entry(1, index, vec![2; 50]));
        log.append_durably(entries).await.unwrap();
        (group, state_of(&mut log).await)
    }));
    begun.await.into_iter().collect()
}

async fn compare(logs: &RaftLogs, expected: &BTreeMap<u64, Model>) {
    for (group, expected) in expected {
        let mut log = logs.open_group(*group).unwrap();
        assert_eq!(state_of(&mut log).await, *expected, "group {group}");
    }
}

/// The memory of the entries of all groups.
fn held(logs: &RaftLogs) -> u64 {
    let of = |group| logs.open_group(group).unwrap().reader().held().bytes;
    logs.groups().into_iter().map(of).sum()
}

/// Appends at least this many bytes to group 0, and purges it.
async fn work(logs: &RaftLogs, bytes: u64) {
    let mut busy = logs.open_group(0).unwrap();
    for round in 0..=bytes / 9000 {
        let entries = (0..10).map(|nth| entry(1, round * 10 + nth, vec![3; 900]));
        busy.append_durably(entries).await.unwrap();
        busy.purge(log_id(1, round * 10 + 5)).await.unwrap();
        settle().await;
    }
}

/// The first and the last LSN of a log that is not open.
async fn ends(disk: &SimDisk) -> (Lsn, Lsn) {
    let mut reader = options().read_on(disk, DIR).await.unwrap();
    while reader.try_next().await.unwrap().is_some() {}
    (reader.report().oldest, reader.report().end)
}
