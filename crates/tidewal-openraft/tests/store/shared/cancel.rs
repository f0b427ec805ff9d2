//! Futures that are dropped after a number of polls. The quoted sentences come from the
//! documentation. `tests/cancel/sentences.rs` checks them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidewal::Wal;
use tidewal::sim::SimDisk;
use tidewal_openraft::RaftLogOptions;
use tokio::time::sleep;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLog, Vote, callback, log_id, open as try_open};
use super::state::{Past, add, entry, state_of};
use crate::support::{DIR, options, run};

/// `RaftLog`: "Every future of this type can be dropped."
///
/// `RaftLog`: "Its records may or may not be written, in the order of the calls, and of an append's
/// entries only the first ones may be written."
///
/// `RaftLog`: "The log keeps working."
#[test]
fn calls_are_dropped_after_every_number_of_steps() {
    for kind in 0..5 {
        let mut outcomes = 0;
        let completes_at = (0..200).find(|steps| {
            let (recorded, completed) = run(drop_one_call(kind, *steps));
            outcomes |= 1 << u8::from(recorded);
            completed
        });
        assert!(completes_at > Some(1), "call {kind} never waits");
        assert_eq!(outcomes, 0b11, "call {kind} was always or never recorded");
    }
}

/// Returns whether any of it was recorded, and whether it completed.
async fn drop_one_call(kind: u8, steps: usize) -> (bool, bool) {
    let disk = SimDisk::new(1);
    disk.set_sync_time(Duration::from_millis(1));
    // Such a small queue that a record must wait for room.
    let narrow = options().queue_records(1);
    let mut log = open(&disk, narrow).await;
    let first = (0..4).map(|index| entry(1, index, vec![1]));
    log.append_durably(first).await.unwrap();
    let before = state_of(&mut log).await;
    let (occupant, _) = callback();
    log.append([entry(1, 4, vec![2])], occupant).await.unwrap();
    let mut past = Past::default();
    past.ask(before);
    past.ask(state_of(&mut log).await);
    past.acknowledge(1);

    let completed = match kind {
        0 => drop_after(steps, log.save_vote(&Vote::new(7, 1))).await,
        1 => drop_after(steps, log.save_committed(Some(log_id(1, 3)))).await,
        2 => drop_after(steps, log.truncate_since(2)).await,
        3 => drop_after(steps, log.purge(log_id(1, 1))).await,
        _ => {
            let (callback, _) = callback();
            let more = (5..8).map(|index| entry(2, index, vec![3]));
            drop_after(steps, log.append(more, callback)).await
        }
    };
    let recorded = note_possible_states(&mut past, kind, &mut log).await;
    log.save_vote(&Vote::new(9, 1)).await.unwrap();
    let after = state_of(&mut log).await;
    drop(log);
    let mut log = open(&disk, options()).await;
    assert_eq!(state_of(&mut log).await, after);
    (recorded, completed)
}

/// Checks that the call can have led to this state.
async fn note_possible_states(past: &mut Past, kind: u8, log: &mut RaftLog) -> bool {
    let mut state = past.now();
    let before = state.clone();
    match kind {
        0 => state.vote = Some(Vote::new(7, 1).into()),
        1 => state.committed = Some(log_id(1, 3).into()),
        2 => state.truncate(2),
        3 => state.purge(log_id(1, 1)),
        _ => {
            for index in 5..7 {
                add(&mut state, &entry(2, index, vec![3]));
                past.ask(state.clone());
            }
            add(&mut state, &entry(2, 7, vec![3]));
        }
    }
    past.ask(state);
    let now = state_of(log).await;
    let recorded = now != before;
    past.recovered(now);
    recorded
}

/// `RaftLog::recover`: "Like `Recovery::into_wal`: if the future is dropped before it completes, no
/// log is open."
#[test]
fn after_a_dropped_recover_no_log_is_open_and_nothing_is_lost() {
    let mut completed = false;
    for steps in 0..400 {
        completed |= run(async {
            let disk = SimDisk::new(2);
            let mut log = open(&disk, options()).await;
            log.save_vote(&Vote::new(7, 1)).await.unwrap();
            drop(log);
            let recovery = options().recover_on(&disk, DIR).await.unwrap();
            let raft = RaftLogOptions::new();
            let opening = RaftLog::recover(recovery, &raft);
            let completed = drop_after(steps, opening).await;
            sleep(Duration::from_millis(10)).await;
            let vote = open(&disk, options()).await.saved_vote().await;
            assert_eq!(vote, Some(Vote::new(7, 1)));
            completed
        });
    }
    assert!(completed, "it was always dropped");
}

/// `RaftLog::open`: "Like `WalOptions::open`: if the future is dropped before it completes, no
/// log is open."
#[tokio::test]
async fn a_directory_whose_open_was_dropped_is_given_free() {
    let dir = tempfile::tempdir().unwrap();
    for steps in (0..60).chain([1000]) {
        drop_after(steps, RaftLog::open(dir.path())).await;
        drop(RaftLog::open(dir.path()).await.unwrap());
    }
    let wal = Wal::open(dir.path()).await.unwrap();
    wal.close().await.unwrap();
}

async fn open(disk: &SimDisk, options: tidewal::WalOptions) -> RaftLog {
    try_open(options, disk).await.unwrap()
}

/// Alternately polls a future and lets the log work. Drops the future after `steps` steps. Returns
/// whether it completed before.
pub async fn drop_after<T, E: std::fmt::Debug>(
    steps: usize,
    future: impl Future<Output = Result<T, E>>,
) -> bool {
    let mut future = pin!(future);
    for step in 0..steps {
        if step % 2 == 1 {
            tokio::task::yield_now().await;
            if step % 8 == 1 {
                sleep(Duration::from_micros(300)).await;
            }
        } else if let Poll::Ready(outcome) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            outcome.unwrap();
            return true;
        }
    }
    false
}
