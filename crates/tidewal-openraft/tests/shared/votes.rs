//! A vote that was saved is never taken back unnoticed.

use tidewal::sim::{SimDisk, Survival};

use crate::api::openraft_traits::RaftLogStorage;
use crate::api::{Calls, Vote, open};
use crate::support::{DIR, options, run};

/// The bytes that a disk loses at once.
const UNITS: [usize; 3] = [1, 512, 4096];

/// What is acknowledged last before a crash can be damaged and be taken for a torn end. A vote that is
/// lost so lets a node vote twice in one term.
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

/// A log that has voted, and whose machine has lost its power.
async fn voted() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut log = open(options().spare_segments(0), &disk).await.unwrap();
    log.save_vote(&Vote::new(3, 1)).await.unwrap();
    log.save_vote(&Vote::new(4, 1)).await.unwrap();
    disk.restart(Survival::Nothing);
    drop(log);
    disk
}

/// Whether damage there is noticed, and not harmless.
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
