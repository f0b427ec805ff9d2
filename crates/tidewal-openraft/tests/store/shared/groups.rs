//! Many raft logs in one `Wal`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;

use tidewal::WalOptions;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal_openraft::{GroupError, OpenError, RaftLogOptions};

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLogs, Vote, log_id, open as open_single};
use super::cancel::drop_after;
use super::state::{Model, entry, state_of};
use crate::support::{DIR, options, run};

pub async fn try_open(options: WalOptions, disk: &SimDisk) -> Result<RaftLogs, OpenError> {
    let recovery = options.recover_on(disk, DIR).await?;
    let raft = RaftLogOptions::new().reclaim_after(RECLAIM_AFTER);
    RaftLogs::recover(recovery, &raft).await
}

pub async fn open(disk: &SimDisk) -> RaftLogs {
    try_open(options().spare_segments(0), disk).await.unwrap()
}

const RECLAIM_AFTER: u64 = 64 * 1024;

/// Lets the keeper do its work.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[test]
fn each_group_has_a_log_of_its_own() {
    run(async {
        let disk = SimDisk::new(1);
        let logs = open(&disk).await;
        let mut expected = BTreeMap::new();
        for group in 0..50 {
            let mut log = logs.open_group(group).unwrap();
            log.save_vote(&Vote::new(group, 1)).await.unwrap();
            let entries = (0..group).map(|index| entry(1, index, vec![1; 10]));
            log.append_durably(entries).await.unwrap();
            if group > 20 {
                log.truncate_since(15).await.unwrap();
                log.purge(log_id(1, group / 5)).await.unwrap();
            }
            log.save_committed(Some(log_id(1, 3))).await.unwrap();
            expected.insert(group, state_of(&mut log).await);
        }
        logs.open_group(0)
            .unwrap()
            .append_durably([])
            .await
            .unwrap();
        drop(logs);
        disk.kill();
        let logs = open(&disk).await;
        assert_eq!(logs.groups(), (0..50).collect::<Vec<_>>());
        for (group, expected) in expected {
            let mut log = logs.open_group(group).unwrap();
            assert_eq!(state_of(&mut log).await, expected, "group {group}");
        }
    });
}

#[test]
fn a_group_is_open_once() {
    run(async {
        let logs = open(&SimDisk::new(1)).await;
        let log = logs.open_group(3).unwrap();
        let again = logs.open_group(3).unwrap_err();
        assert!(
            matches!(again, GroupError::Open { group: 3, .. }),
            "{again}"
        );
        let removal = logs.remove_group(3).await.unwrap_err();
        assert!(
            matches!(removal, GroupError::Open { group: 3, .. }),
            "{removal}"
        );
        drop(log);
        drop(logs.open_group(3).unwrap());
        logs.remove_group(3).await.unwrap();
        assert!(logs.groups().is_empty());
    });
}

#[test]
fn a_group_that_is_removed_is_gone_and_can_be_made_anew() {
    run(async {
        let disk = SimDisk::new(2);
        let logs = open(&disk).await;
        for life in 1..4 {
            let mut log = logs.open_group(7).unwrap();
            assert_eq!(state_of(&mut log).await, Model::default());
            log.save_vote(&Vote::new(life, 1)).await.unwrap();
            log.append_durably([entry(1, 5, vec![1])]).await.unwrap();
            drop(log);
            if life < 3 {
                logs.remove_group(7).await.unwrap();
            }
        }
        logs.remove_group(9).await.unwrap();
        drop(logs);
        disk.restart(Survival::Nothing);
        let logs = open(&disk).await;
        let mut log = logs.open_group(7).unwrap();
        assert_eq!(log.saved_vote().await, Some(Vote::new(3, 1)));
        drop(log);
        logs.remove_group(7).await.unwrap();
        drop(logs);
        disk.restart(Survival::Nothing);
        assert!(open(&disk).await.groups().is_empty());
    });
}

#[test]
fn logs_of_one_and_of_many_are_told_apart() {
    run(async {
        let disk = SimDisk::new(3);
        let mut single = open_single(options(), &disk).await.unwrap();
        single.save_vote(&Vote::new(1, 1)).await.unwrap();
        drop(single);
        let error = try_open(options(), &disk).await.unwrap_err().to_string();
        assert!(error.contains("Open it with RaftLog"), "{error}");

        let disk = SimDisk::new(4);
        let logs = open(&disk).await;
        let mut log = logs.open_group(1).unwrap();
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        drop((log, logs));
        let error = open_single(options(), &disk).await.unwrap_err().to_string();
        assert!(error.contains("Open it with RaftLogs"), "{error}");
    });
}

/// `RaftLogs::remove_group`: "If the future is dropped, the group may or may not be removed, and
/// its removal may not be durable."
///
/// `RaftLogs::remove_group`: "The call can be repeated."
#[test]
fn a_removal_that_is_dropped_leaves_the_group_or_none() {
    let mut outcomes = BTreeSet::new();
    for steps in 0..60 {
        run(async {
            let disk = SimDisk::new(6);
            disk.set_sync_time(Duration::from_millis(1));
            let logs = open(&disk).await;
            let mut log = logs.open_group(1).unwrap();
            log.save_vote(&Vote::new(3, 1)).await.unwrap();
            drop(log);
            if drop_after(steps, logs.remove_group(1)).await {
                return;
            }
            let mut log = logs.open_group(1).unwrap();
            let vote = log.saved_vote().await;
            outcomes.insert(vote.is_some());
            log.save_vote(&Vote::new(4, 1)).await.unwrap();
            drop(log);
            logs.remove_group(1).await.unwrap();
            drop(logs);
            disk.restart(Survival::Nothing);
            assert!(open(&disk).await.groups().is_empty());
        });
    }
    assert_eq!(outcomes.len(), 2, "it was always or never removed");
}

/// A removal whose future was dropped had been submitted and was not durable yet. The repeated call
/// returned at once, and after a power cut the group was there again.
#[test]
fn regression_a_repeated_removal_waits_until_the_first_is_durable() {
    run(async {
        let disk = SimDisk::new(9);
        let logs = open(&disk).await;
        let mut log = logs.open_group(1).unwrap();
        log.save_vote(&Vote::new(3, 1)).await.unwrap();
        drop(log);
        disk.set_sync_time(Duration::from_millis(1));
        assert!(!drop_after(1, logs.remove_group(1)).await);
        logs.remove_group(1).await.unwrap();
        disk.restart(Survival::Nothing);
        drop(logs);
        assert!(open(&disk).await.groups().is_empty());
    });
}

/// A full disk refused the removal of a group. The group counted as one without records, so the log
/// was truncated although it still needed them, and could not be opened.
#[test]
fn regression_a_group_whose_removal_was_refused_keeps_its_records() {
    run(async {
        let disk = SimDisk::new(10);
        let logs = open(&disk).await;
        let mut log = logs.open_group(1).unwrap();
        let entries = (0..4).map(|index| entry(1, index, vec![1; 3000]));
        log.append_durably(entries).await.unwrap();
        let expected = state_of(&mut log).await;
        drop((log, logs));
        // A reopened log continues in a new segment.
        let logs = open(&disk).await;
        disk.fail(Operation::Allocate, 0, ErrorKind::StorageFull);
        for _ in 0..2 {
            let error = logs.remove_group(1).await.unwrap_err().to_string();
            assert!(error.contains("the disk is full"), "{error}");
        }
        let mut busy = logs.open_group(2).unwrap();
        for index in 0..40 {
            let entry = entry(1, index, vec![2; 8000]);
            busy.append_durably([entry]).await.unwrap();
            busy.purge(log_id(1, index)).await.unwrap();
            settle().await;
        }
        drop((busy, logs));
        disk.kill();
        let logs = open(&disk).await;
        let mut log = logs.open_group(1).unwrap();
        assert_eq!(state_of(&mut log).await, expected);
    });
}

/// `RaftLogs::recover`: "Like `Recovery::into_wal`: if the future is dropped before it completes, no
/// log is open."
#[test]
fn after_a_dropped_recover_no_logs_are_open_and_nothing_is_lost() {
    for steps in 0..60 {
        run(async {
            let disk = SimDisk::new(7);
            let logs = open(&disk).await;
            let mut log = logs.open_group(1).unwrap();
            log.save_vote(&Vote::new(3, 1)).await.unwrap();
            drop((log, logs));
            let recovery = options().recover_on(&disk, DIR).await.unwrap();
            let raft = RaftLogOptions::new();
            drop_after(steps, RaftLogs::recover(recovery, &raft)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            let mut log = open(&disk).await.open_group(1).unwrap();
            assert_eq!(log.saved_vote().await, Some(Vote::new(3, 1)));
        });
    }
}

/// `RaftLogs::open`: "Like `WalOptions::open`: if the future is dropped before it completes, no
/// log is open."
#[tokio::test]
async fn a_directory_whose_open_was_dropped_is_free() {
    let dir = tempfile::tempdir().unwrap();
    for steps in (0..60).chain([1000]) {
        drop_after(steps, RaftLogs::open(dir.path())).await;
        drop(RaftLogs::open(dir.path()).await.unwrap());
    }
}

/// A group was recovered whose entries had been truncated since its last checkpoint. Another group
/// moved the log's beginning to that checkpoint, which still needed them, and the log could not be
/// opened.
#[test]
fn regression_what_a_checkpoint_asks_for_stays_until_the_next() {
    run(async {
        let disk = SimDisk::new(8);
        let logs = open(&disk).await;
        let mut idle = logs.open_group(1).unwrap();
        let entries = (0..4).map(|index| entry(1, index, vec![1; 8000]));
        idle.append_durably(entries).await.unwrap();
        idle.purge(log_id(1, 0)).await.unwrap();
        idle.truncate_since(1).await.unwrap();
        let expected = state_of(&mut idle).await;
        drop((idle, logs));
        disk.kill();
        let logs = open(&disk).await;
        let mut busy = logs.open_group(2).unwrap();
        for index in 0..4 {
            let entry = entry(1, index, vec![2; 8000]);
            busy.append_durably([entry]).await.unwrap();
            busy.purge(log_id(1, index)).await.unwrap();
        }
        settle().await;
        drop((busy, logs));
        disk.kill();
        let logs = open(&disk).await;
        let mut idle = logs.open_group(1).unwrap();
        assert_eq!(state_of(&mut idle).await, expected);
    });
}
