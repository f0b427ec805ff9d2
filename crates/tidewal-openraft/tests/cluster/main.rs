//! A cluster of openraft nodes on simulated disks and a simulated network, in virtual time. A seed
//! determines everything that happens. The answers to clients must be linearizable, whatever
//! happens to the cluster.

mod client;
mod history;
mod machine;
mod network;
mod node;
mod planted;
mod runtime;
mod story;
mod watch;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use tidewal_testing::harness::{linearizable, number, rng};
use tidewal_testing::support;

use crate::planted::Planted;
use crate::story::{Seen, tell};
use crate::support::run;

#[test]
fn histories_are_linearizable_whatever_happens() {
    let first = number("TIDEWAL_FIRST_SEED", 0);
    let seeds = number("TIDEWAL_SEEDS", 150);
    let all = tell_all(first..first + seeds).unwrap_or_else(|problem| panic!("{problem}"));
    println!("{seeds} seeds: {all:?}");
    assert!(all.answered > 20 * seeds, "{all:?}");
    let struck = [all.kills, all.cuts, all.pauses, all.partitions, all.full];
    let done = [all.installs, all.installs_cut, all.memberships];
    assert!(struck.iter().all(|times| *times > seeds / 4), "{all:?}");
    assert!(done.iter().all(|times| *times > seeds / 8), "{all:?}");
}

/// Runs the cluster of each seed, on all processors.
fn tell_all(seeds: Range<u64>) -> Result<Seen, String> {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut some = Seen::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if !seeds.contains(&seed) {
                return Ok::<_, String>(some);
            }
            let told = run(tell(seed, None));
            some.add(&told.map_err(|problem| format!("seed {seed}: {problem}"))?.0);
        }
    };
    let mut all = Seen::default();
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            all.add(&worker.join().expect("its output says why")?);
        }
        Ok(all)
    })
}

/// So a failure repeats with its seed, and a bug that is noticed today is noticed tomorrow.
#[test]
fn a_seed_gives_one_history() {
    let hash = |seed| run(tell(seed, None)).map(|(_, history)| history.hash());
    for seed in 0..40 {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
}

/// Checks that one of the first seeds notices the bug, and prints how.
fn is_noticed(planted: Planted) {
    let noticed = (0..number("TIDEWAL_MUTANT_SEEDS", 1500)).find_map(|seed| {
        let problem = run(tell(seed, Some(planted))).err()?;
        Some(format!("{planted:?}, seed {seed}: {problem:.300}"))
    });
    println!(
        "{}",
        noticed.unwrap_or_else(|| panic!("{planted:?} was not noticed"))
    );
}

#[test]
fn a_vote_that_is_not_synced_is_noticed() {
    is_noticed(Planted::VoteNotSynced);
}

#[test]
fn a_callback_that_comes_early_is_noticed() {
    is_noticed(Planted::FlushedEarly);
}

#[test]
fn a_truncation_that_is_lost_is_noticed() {
    is_noticed(Planted::TruncationLost);
}

#[test]
fn a_purge_before_its_snapshot_is_durable_is_noticed() {
    is_noticed(Planted::SnapshotNotDurable);
}

#[test]
fn a_leader_that_is_restored_without_an_election_is_noticed() {
    is_noticed(Planted::LeaderRestored);
}

#[test]
fn a_stale_read_is_noticed() {
    is_noticed(Planted::StaleRead);
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.pauses += other.pauses;
        self.partitions += other.partitions;
        self.elections += other.elections;
        self.full += other.full;
        self.slow += other.slow;
        self.snapshots += other.snapshots;
        self.installs += other.installs;
        self.installs_cut += other.installs_cut;
        self.memberships += other.memberships;
    }
}
