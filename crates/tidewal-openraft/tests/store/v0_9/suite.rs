//! openraft's own test suite for stores, unchanged: on a disk, and repeatedly on a log that crashes
//! before each call.

use openraft09::StorageError;
use openraft09::testing::{StoreBuilder, Suite};
use tempfile::TempDir;
use tidewal::sim::Survival;
use tidewal_openraft::v0_9::RaftLog;

use super::machine::{Machine, Types};
use super::reopened::{Death, Reopened};

/// Makes logs in directories of their own.
struct OnDisk;

impl StoreBuilder<Types, RaftLog<Types>, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, RaftLog<Types>, Machine), StorageError<u64>> {
        let dir = tempfile::tempdir().unwrap();
        let log = RaftLog::open(dir.path()).await.unwrap();
        Ok((dir, log, Machine::default()))
    }
}

/// Makes logs that crash.
struct Dying(Death, u64);

impl StoreBuilder<Types, Reopened, Machine> for Dying {
    async fn build(&self) -> Result<((), Reopened, Machine), StorageError<u64>> {
        Ok(((), Reopened::new(self.0, self.1).await, Machine::default()))
    }
}

#[test]
fn the_suite_passes() {
    Suite::test_all(OnDisk).unwrap();
}

#[test]
fn the_suite_passes_when_the_log_is_reopened_before_every_call() {
    Suite::test_all(Dying(Death::Drop, 1)).unwrap();
}

#[test]
fn the_suite_passes_when_the_process_is_killed_before_every_call() {
    Suite::test_all(Dying(Death::Kill, 2)).unwrap();
}

#[test]
fn the_suite_passes_when_power_is_cut_before_every_call() {
    Suite::test_all(Dying(Death::Cut(Survival::Nothing), 3)).unwrap();
}

#[test]
fn the_suite_passes_when_what_survives_a_cut_is_chance() {
    Suite::test_all(Dying(Death::Cut(Survival::Random), 4)).unwrap();
}

#[test]
fn the_suite_passes_when_power_is_cut_within_the_calls_too() {
    // Concurrently, because the suite sleeps most of the time.
    std::thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || Suite::test_all(Dying(Death::CutWithin, seed)).unwrap());
        }
    });
}
