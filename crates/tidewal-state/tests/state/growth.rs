//! The space that is reserved for the next snapshot follows the growth of the state.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidewal::Lsn;
use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::{Json, Logged};
use tidewal_state::{Error, Options, SnapshotPolicy, State, StateMachine, Stats};
use tidewal_testing::support::{self, run};

use crate::ledger::DIR;

/// A state that keeps everything that it is given, several times over.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Kept<const TIMES: usize> {
    texts: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct Keep(String);

impl Logged for Keep {
    type Codec = Json;
}

impl<const TIMES: usize> State for Kept<TIMES> {
    type Command = Keep;
    type Output = usize;
    type Snapshot = Json;

    fn apply(&mut self, _: Lsn, Keep(text): Keep) -> usize {
        if TIMES > 0 {
            self.texts.push(text.repeat(TIMES));
        }
        self.texts.len()
    }

    /// Without it, the state is assumed to grow by the bytes of its commands.
    fn snapshot_len_hint(&self) -> Option<u64> {
        let lens = self.texts.iter().map(|text| text.len() as u64 + 3);
        (TIMES != 1).then(|| 20 + lens.sum::<u64>())
    }
}

fn options<const TIMES: usize>() -> Options<Kept<TIMES>> {
    let policy = SnapshotPolicy::default().only_when_asked();
    let log = support::options();
    StateMachine::options()
        .log(log)
        .snapshots(policy)
        .reserve(LEAST)
}

async fn open<const TIMES: usize>(disk: &SimDisk) -> StateMachine<Kept<TIMES>> {
    options().open_on(disk, DIR).await.unwrap()
}

/// Executes until the disk refuses a command, lets the state machine take a snapshot, and returns the figures.
async fn fill<const TIMES: usize>(machine: &StateMachine<Kept<TIMES>>) -> Stats {
    loop {
        match machine.execute(Keep("k".repeat(700))).await {
            Ok(_) => {}
            Err(Error::Log(tidewal::Error::StorageFull(_))) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    machine.stats()
}

/// Fills the disk until a third of it is state. If it is full before, the next snapshot fits into the space that
/// was reserved for it.
async fn always_leaves_full_again<const TIMES: usize>(machine: &StateMachine<Kept<TIMES>>) {
    let mut last = 0;
    for round in 0..1000 {
        let stats = fill(machine).await;
        if stats.snapshot_len > QUOTA / 3 {
            return;
        }
        let error = &stats.snapshot_error;
        assert!(error.is_none(), "round {round}: {stats:?}");
        assert!(stats.applied.get() > last, "round {round}: {stats:?}");
        assert_eq!(stats.snapshot_lsn, stats.applied, "round {round}");
        last = stats.applied.get();
    }
    panic!("the state does not grow");
}

async fn grows_on_a_small_disk<const TIMES: usize>() {
    let disk = SimDisk::new(1);
    let machine = open::<TIMES>(&disk).await;
    disk.set_quota(Some(QUOTA));
    always_leaves_full_again(&machine).await;
    let state = machine.query(Kept::clone).unwrap();
    disk.restart(Survival::Nothing);
    // A start after a crash needs room for a copy of the newest segment.
    disk.set_quota(Some(QUOTA + 16 * 1024));
    let machine = open::<TIMES>(&disk).await;
    assert_eq!(machine.query(Kept::clone).unwrap(), state);
}

/// Before the first snapshot the state grew to more than what was reserved, later by more than a quarter since
/// the last one. The snapshot then had no room, and the disk stayed full.
#[test]
pub fn regression_a_state_that_grows_leaves_a_full_disk_again() {
    run(grows_on_a_small_disk::<1>());
}

/// Ten times the bytes of its commands.
#[test]
fn a_state_with_a_hint_may_grow_by_more_than_its_commands() {
    run(grows_on_a_small_disk::<10>());
}

/// Waits until the state machine has done what was requested.
async fn reserved<const TIMES: usize>(machine: &StateMachine<Kept<TIMES>>) -> u64 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    machine.stats().reserved
}

async fn execute<const TIMES: usize>(machine: &StateMachine<Kept<TIMES>>, count: u64) -> u64 {
    for _ in 0..count {
        machine.execute(Keep("k".repeat(700))).await.unwrap();
    }
    reserved(machine).await
}

#[test]
fn the_reserved_space_follows_the_records() {
    run(async {
        let machine = open::<1>(&SimDisk::new(1)).await;
        let before = reserved(&machine).await;
        assert!((LEAST..2 * LEAST).contains(&before), "{before}");
        let after = execute(&machine, 500).await;
        let state = 500 * 700;
        assert!((state..2 * state).contains(&after), "{after}");
        machine.snapshot().await.unwrap();
        let exact = reserved(&machine).await;
        assert!((state..after).contains(&exact), "{exact}");
    });
}

#[test]
fn a_small_state_with_a_hint_takes_little_space() {
    run(async {
        let machine = open::<0>(&SimDisk::new(1)).await;
        let after = execute(&machine, 500).await;
        assert!((LEAST..2 * LEAST).contains(&after), "{after}");
    });
}

/// A disk that has no room for the larger reserve gets a snapshot while that still fits.
#[test]
fn a_snapshot_is_taken_before_the_reserve_is_too_small() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open::<1>(&disk).await;
        execute(&machine, 1).await;
        // It has room in the open segment, but not for more reserve.
        disk.set_quota(Some(1));
        let full = execute(&machine, 10).await;
        assert_eq!(machine.stats().snapshots, 1, "{full}");
        assert!(machine.stats().snapshot_error.is_none());
    });
}

/// The least reserve.
const LEAST: u64 = 8 * 1024;

/// The size of the disk.
const QUOTA: u64 = 600 * 1024;
