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

use tidewal_testing::harness::{linearizable, number, rng};
use tidewal_testing::support;

use crate::planted::Planted;
use crate::story::{Seen, tell};
use crate::support::run;

#[test]
fn histories_are_linearizable_whatever_happens() {
    let first = number("TIDEWAL_FIRST_SEED", 0);
    let seeds = number("TIDEWAL_SEEDS", 150);
    let mut all = Seen::default();
    for seed in first..first + seeds {
        match run(tell(seed, None)) {
            Ok((seen, _)) => all.add(&seen),
            Err(problem) => panic!("seed {seed}: {problem}"),
        }
    }
    println!("{seeds} seeds: {all:?}");
    assert!(all.answered > 20 * seeds, "{all:?}");
    let happened = [all.kills, all.cuts, all.pauses, all.partitions, all.full];
    let is_rare = |times: &u64| *times < seeds / 4;
    assert!(!happened.iter().any(is_rare), "{all:?}");
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
        self.memberships += other.memberships;
    }
}
