//! Tests the tests: each mutant is activated in turn, and each test reports whether it notices.
//!
//!     RUSTC_WORKSPACE_WRAPPER=$PWD/.ci/mutants cargo test -p tidewal-state --test state mutants -- --nocapture

use std::panic::{AssertUnwindSafe, catch_unwind};

use tidewal::mutants as log;
use tidewal_state::mutants::{Mutant, activate};

use crate::{growth, lives, once, repaired, snapshots};

type Instrument = (&'static str, fn());

const INSTRUMENTS: [Instrument; 6] = [
    ("lives", || {
        (0..150).for_each(|seed| drop(lives::live(seed)))
    }),
    ("retries", || once::retries_through_power_cuts(600)),
    ("cuts", snapshots::a_crash_at_every_operation_of_a_snapshot),
    ("damage", snapshots::a_damaged_snapshot_is_passed_over),
    (
        "growth",
        growth::regression_a_state_that_grows_leaves_a_full_disk_again,
    ),
    (
        "repair",
        repaired::a_snapshot_of_what_a_repair_has_cut_is_never_used,
    ),
];

/// The tests that notice the active mutant.
fn noticed_by() -> Vec<&'static str> {
    let notices =
        |(_, instrument): &Instrument| catch_unwind(AssertUnwindSafe(instrument)).is_err();
    let noticed = INSTRUMENTS.into_iter().filter(notices);
    noticed.map(|(name, _)| name).collect()
}

#[test]
fn without_a_bug_there_is_nothing_to_notice() {
    assert_eq!(noticed_by(), [""; 0]);
}

#[test]
fn every_bug_of_the_state_machine_is_noticed() {
    for mutant in Mutant::ALL {
        activate(Some(mutant));
        let noticed = noticed_by();
        activate(None);
        println!("| {mutant:?} | {} |", noticed.join(", "));
        assert!(!noticed.is_empty(), "{mutant:?} is not noticed");
    }
}

#[test]
fn every_bug_of_snapshots_is_noticed() {
    for bug in log::Mutant::SNAPSHOTS {
        log::activate(Some(bug));
        let noticed = noticed_by();
        log::activate(None);
        println!("| {bug:?} | {} |", noticed.join(", "));
        assert!(!noticed.is_empty(), "{bug:?} is not noticed");
    }
}
