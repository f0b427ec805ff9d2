//! A saved vote is never lost unnoticed.

use tidewal::sim::{SimDisk, Survival};
use tidewal_openraft::RaftLogOptions;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLogs, Vote, open};
use super::state::entry;
use crate::support::{DIR, options, run};

/// The units that a disk loses at once, in bytes.
const UNITS: [usize; 3] = [1, 512, 4096];

/// The groups of a log of many.
const GROUPS: [u64; 3] = [2, 5, 9];

#[derive(Clone, Copy)]
enum Kind {
    One,
    /// Groups vote one after the other, so the last records are of one of them.
    InTurn,
    /// Groups vote at the same time, so their records alternate.
    Together,
}

/// Damage to the last acknowledged record before a crash can be taken for a torn tail. If a vote is
/// lost in this way, a node can vote twice in one term.
#[test]
fn damage_to_one_page_never_takes_a_vote_back_unnoticed() {
    damage_everywhere(Kind::One);
}

#[test]
fn damage_to_one_page_never_takes_the_vote_of_a_group_back_unnoticed() {
    damage_everywhere(Kind::InTurn);
    damage_everywhere(Kind::Together);
}

fn damage_everywhere(kind: Kind) {
    let name = format!("{DIR}/00000000000000000001.wal");
    let disk = run(voted(kind));
    let used = disk.read(&name).unwrap();
    let end = used.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut noticed = 0;
    for unit in UNITS {
        let step = if unit == 1 { 7 } else { unit };
        for at in (0..end).step_by(step) {
            noticed += u64::from(run(damaged(kind, &name, at, unit)));
        }
    }
    assert!(noticed > 100, "{noticed}");
}

/// A log with votes, after a power cut. Every vote was acknowledged.
async fn voted(kind: Kind) -> SimDisk {
    let disk = SimDisk::new(1);
    match kind {
        Kind::One => {
            let mut log = open(options().spare_segments(0), &disk).await.unwrap();
            log.save_vote(&Vote::new(3, 1)).await.unwrap();
            log.save_vote(&Vote::new(4, 1)).await.unwrap();
            disk.restart(Survival::Nothing);
            drop(log);
        }
        Kind::InTurn => {
            let logs = open_groups(&disk).await;
            for group in GROUPS {
                vote(&logs, group).await;
            }
            disk.restart(Survival::Nothing);
            drop(logs);
        }
        Kind::Together => {
            let logs = open_groups(&disk).await;
            futures::future::join_all(GROUPS.map(|group| vote(&logs, group))).await;
            disk.restart(Survival::Nothing);
            drop(logs);
        }
    }
    disk
}

async fn open_groups(disk: &SimDisk) -> RaftLogs {
    let options = options().segment_size(64 * 1024).spare_segments(0);
    let recovery = options.recover_on(disk, DIR).await.unwrap();
    let raft = RaftLogOptions::new();
    RaftLogs::recover(recovery, &raft).await.unwrap()
}

async fn vote(logs: &RaftLogs, group: u64) {
    let mut log = logs.open_group(group).unwrap();
    log.append_durably([entry(1, 0, vec![1])]).await.unwrap();
    log.save_vote(&Vote::new(group, 1)).await.unwrap();
}

/// Returns whether damage there is noticed, instead of harmless.
async fn damaged(kind: Kind, name: &str, at: usize, unit: usize) -> bool {
    let disk = voted(kind).await;
    disk.corrupt(name, |bytes| {
        let end = bytes.len().min(at + unit);
        for byte in &mut bytes[at..end] {
            *byte ^= 0x5a;
        }
    });
    let votes = match kind {
        Kind::One => vote_of_one(&disk).await,
        Kind::InTurn | Kind::Together => votes_of_groups(&disk).await,
    };
    for (vote, expected) in votes.iter().flatten() {
        assert_eq!(vote, expected, "{unit} bytes at {at}");
    }
    votes.is_none()
}

/// The vote and the acknowledged one, if the log can be opened.
async fn vote_of_one(disk: &SimDisk) -> Option<Vec<(Option<Vote>, Option<Vote>)>> {
    let mut log = open(options(), disk).await.ok()?;
    Some(vec![(log.saved_vote().await, Some(Vote::new(4, 1)))])
}

/// The vote of each group and the acknowledged one, if the log can be opened.
async fn votes_of_groups(disk: &SimDisk) -> Option<Vec<(Option<Vote>, Option<Vote>)>> {
    let recovery = options().recover_on(disk, DIR).await.ok()?;
    let raft = RaftLogOptions::new();
    let logs = RaftLogs::recover(recovery, &raft).await.ok()?;
    let mut votes = Vec::new();
    for group in GROUPS {
        let mut log = logs.open_group(group).unwrap();
        votes.push((log.saved_vote().await, Some(Vote::new(group, 1))));
    }
    Some(votes)
}
