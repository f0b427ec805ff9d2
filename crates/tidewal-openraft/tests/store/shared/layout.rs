//! The records in a directory, byte by byte: the same under both versions of openraft, and those
//! that earlier versions of this crate wrote. `data` has one line for each record: its payload in
//! hexadecimal, and how many zeros come after that.

use bytes::Bytes;
use tidewal::WalOptions;
use tidewal::sim::SimDisk;
use tidewal_openraft::RaftLogOptions;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLog, RaftLogs, Vote, log_id, open};
use super::groups::settle;
use super::state::{entry, state_of};
use crate::support::{DIR, options, run};

#[test]
fn the_records_of_a_log_never_change() {
    run(async {
        let disk = SimDisk::new(1);
        let mut log = open(large(), &disk).await.unwrap();
        call_everything(&mut log).await;
        let expected = state_of(&mut log).await;
        drop(log);
        assert_records(&disk, include_str!("../data/one.txt")).await;
        let mut log = open(large(), &disk).await.unwrap();
        assert_eq!(state_of(&mut log).await, expected);
    });
}

#[test]
fn the_records_of_groups_never_change() {
    run(async {
        let disk = SimDisk::new(1);
        let logs = open_groups(&disk).await;
        let mut log = logs.open_group(0x0102).unwrap();
        call_everything(&mut log).await;
        let expected = state_of(&mut log).await;
        logs.open_group(7)
            .unwrap()
            .append_durably([entry(1, 0, vec![])])
            .await
            .unwrap();
        logs.remove_group(7).await.unwrap();
        // The first group is carried forward, because another one is busy.
        let mut busy = logs.open_group(8).unwrap();
        for index in 0..4 {
            busy.append_durably([entry(1, index, vec![0; 900])])
                .await
                .unwrap();
            busy.purge(log_id(1, index)).await.unwrap();
        }
        settle().await;
        drop((busy, log, logs));
        assert_records(&disk, include_str!("../data/many.txt")).await;
        let logs = open_groups(&disk).await;
        assert_eq!(logs.groups(), [8, 0x0102]);
        let mut log = logs.open_group(0x0102).unwrap();
        assert_eq!(state_of(&mut log).await, expected);
    });
}

/// One segment holds all records, so none is removed.
fn large() -> WalOptions {
    options().segment_size(64 * 1024)
}

async fn open_groups(disk: &SimDisk) -> RaftLogs {
    let recovery = large().recover_on(disk, DIR).await.unwrap();
    let raft = RaftLogOptions::new().reclaim_after(2048);
    RaftLogs::recover(recovery, &raft).await.unwrap()
}

async fn call_everything(log: &mut RaftLog) {
    log.save_vote(&Vote::new(3, 1)).await.unwrap();
    log.append_durably((0..4).map(|index| entry(3, index, vec![7; 2])))
        .await
        .unwrap();
    log.save_committed(Some(log_id(3, 1))).await.unwrap();
    log.truncate_since(3).await.unwrap();
    log.purge(log_id(3, 0)).await.unwrap();
    log.save_vote(&Vote::new_committed(4, 1)).await.unwrap();
}

/// Compares the records of a log that is not open with those of a file.
async fn assert_records(disk: &SimDisk, expected: &str) {
    let mut reader = options().read_on(disk, DIR).await.unwrap();
    let mut lines = Vec::new();
    while let Some(record) = reader.try_next().await.unwrap() {
        lines.push(line(&record.payload));
    }
    let expected: Vec<_> = expected.lines().collect();
    assert_eq!(lines, expected, "now:\n{}\n", lines.join("\n"));
}

fn line(payload: &Bytes) -> String {
    let last = payload.iter().rposition(|byte| *byte != 0);
    let len = last.map_or(0, |last| last + 1);
    format!("{:x} {}", payload.slice(..len), payload.len() - len)
}
