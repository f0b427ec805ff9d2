//! Workloads in which every call fails once.

use tidewal_testing::harness::faults::{EVERYTHING, FAULTS, Scenario};
use tidewal_testing::harness::steps::Step::{
    self, Cancelled, Drop, Idle, Together, Truncate, Written,
};
use tidewal_testing::support::policies;

/// Many producers, some of which do not wait, and recycled segments.
const PRODUCERS: &[Step] = &[
    Together(12, 100),
    Cancelled(4, 800),
    Together(8, 4000),
    Truncate(2),
    Together(6, 5000),
    Cancelled(2, 9000),
    Truncate(0),
    Together(8, 4000),
    Drop,
    Written(20),
    Together(3, 20),
    Idle,
];

fn everything_goes_wrong_once(steps: &[Step], has_spares: bool) {
    for policy in policies() {
        let scenario = Scenario {
            policy,
            steps,
            has_spares,
        };
        for &(operation, faults) in FAULTS {
            for &fault in faults {
                let count = scenario.fail_everywhere(operation, fault);
                println!("{policy:?}: {operation:?}, {fault:?}: {count} places");
                assert!(count > 1, "the workload hardly uses {operation:?}");
            }
        }
    }
}

#[test]
fn every_call_fails_once_in_a_workload_of_everything() {
    everything_goes_wrong_once(EVERYTHING, true);
}

/// Without a preallocator, the call and what the log does meanwhile determine the row of the table,
/// so each failure has exactly one outcome.
#[test]
fn every_failed_call_does_what_its_row_says() {
    everything_goes_wrong_once(EVERYTHING, false);
}

#[test]
fn every_call_fails_once_under_many_producers() {
    everything_goes_wrong_once(PRODUCERS, true);
}
