//! openraft's own test suite for stores, unchanged: on a disk, and repeatedly on a log that crashes
//! before each call.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tidewal::sim::Survival;
use tidewal_openraft::v0_10::RaftLog;

use super::machine::{Machine, Types};
use super::reopened::{Death, Reopened};
use crate::support::run;

/// Makes logs in directories of their own.
struct OnDisk;

impl StoreBuilder<Types, RaftLog<Types>, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, RaftLog<Types>, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let log = RaftLog::open(dir.path()).await.unwrap();
        Ok((dir, log, Machine::default()))
    }
}

/// Makes logs that crash.
struct Dying(Death, u64);

impl StoreBuilder<Types, Reopened, Machine> for Dying {
    async fn build(&self) -> Result<((), Reopened, Machine), StorageError<Types>> {
        Ok(((), Reopened::new(self.0, self.1).await, Machine::default()))
    }
}

fn survives(death: Death, seed: u64) {
    run(Suite::test_all(Dying(death, seed))).unwrap();
}

#[tokio::test]
async fn the_suite_passes() {
    Suite::test_all(OnDisk).await.unwrap();
}

#[test]
fn the_suite_passes_when_the_log_is_reopened_before_every_call() {
    survives(Death::Drop, 1);
}

#[test]
fn the_suite_passes_when_the_process_is_killed_before_every_call() {
    survives(Death::Kill, 2);
}

#[test]
fn the_suite_passes_when_power_is_cut_before_every_call() {
    survives(Death::Cut(Survival::Nothing), 3);
}

#[test]
fn the_suite_passes_when_what_survives_a_cut_is_chance() {
    survives(Death::Cut(Survival::Random), 4);
}

#[test]
fn the_suite_passes_when_power_is_cut_within_the_calls_too() {
    for seed in 0..8 {
        survives(Death::CutWithin, seed);
    }
}
