//! A saved vote is never lost unnoticed.

use tidewal::sim::{SimDisk, Survival};

use crate::api::openraft_traits::RaftLogStorage;
use crate::api::{Calls, Vote, open};
use crate::support::{DIR, options, run};

/// The units that a disk loses at once, in bytes.
const UNITS: [usize; 3] = [1, 512, 4096];

/// Damage to the last acknowledged record before a crash can be taken for a torn tail. If a vote is
/// lost in this way, a node can vote twice in one term.
#[test]
fn damage_to_one_page_never_takes_a_vote_back_unnoticed() {
    let mut noticed = 0;
    for unit in UNITS {
        let (name, len) = run(async {
            let disk = voted().await;
            let name = format!("{DIR}/00000000000000000001.wal");
            let used = disk.read(&name).unwrap();
            let end = used.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            (name, end)
        });
        let step = if unit == 1 { 7 } else { unit };
        for at in (0..len).step_by(step) {
            noticed += u64::from(run(damaged(&name, at, unit)));
        }
    }
    assert!(noticed > 100, "{noticed}");
}

/// A log with a vote, after a power cut.
async fn voted() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut log = open(options().spare_segments(0), &disk).await.unwrap();
    log.save_vote(&Vote::new(3, 1)).await.unwrap();
    log.save_vote(&Vote::new(4, 1)).await.unwrap();
    disk.restart(Survival::Nothing);
    drop(log);
    disk
}

/// Returns whether damage there is noticed, instead of harmless.
async fn damaged(name: &str, at: usize, unit: usize) -> bool {
    let disk = voted().await;
    disk.corrupt(name, |bytes| {
        let end = bytes.len().min(at + unit);
        for byte in &mut bytes[at..end] {
            *byte ^= 0x5a;
        }
    });
    match open(options(), &disk).await {
        Ok(mut log) => {
            let vote = log.saved_vote().await;
            assert_eq!(vote, Some(Vote::new(4, 1)), "{unit} bytes at {at}");
            false
        }
        Err(_) => true,
    }
}
