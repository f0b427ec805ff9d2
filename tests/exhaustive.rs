//! Every workload of a few steps, with the power cut at every operation, every subset of the
//! volatile changes surviving, and the same in the two lives after it (promises P1 to P4).
//!
//! Four steps with three ends of a life in a row take about a quarter of an hour:
//!
//!     TIDEWAL_DEEP_STEPS=4 cargo test --release --test exhaustive deep -- --nocapture

use tidewal_testing::harness::cuts::{ALPHABET, Cuts, FOLLOWED};
use tidewal_testing::harness::number;

/// All workloads of one to `steps` steps, with `generations` interrupted lives in a row.
fn every_workload(steps: u32, generations: u32) {
    let mut cuts = Cuts::new();
    cuts.generations = generations;
    // Only for single crashes, because repeated ones leave the same disks.
    cuts.loses_pages = generations == 1;
    cuts.all_of(ALPHABET, steps as usize);
    println!(
        "up to {steps} steps, {generations} generations: {:?}",
        cuts.tally
    );
    let words: u64 = (0..=steps).map(|steps| 8u64.pow(steps)).sum();
    assert_eq!(cuts.tally.workloads, words);
}

#[test]
fn every_workload_of_a_few_steps_three_generations_deep() {
    every_workload(small_number("TIDEWAL_DEEP_STEPS", 2), 3);
}

#[test]
fn every_workload_of_up_to_four_steps() {
    every_workload(small_number("TIDEWAL_STEPS", 4), 1);
}

/// What a follower got survives each cut, in order, without a gap and without a repeat.
#[test]
fn every_workload_of_a_few_steps_with_followers_and_holds() {
    let steps = small_number("TIDEWAL_FOLLOWED_STEPS", 3);
    let mut cuts = Cuts::followed();
    cuts.all_of(FOLLOWED, steps as usize);
    println!("up to {steps} steps, followed: {:?}", cuts.tally);
    assert!(cuts.tally.followed > cuts.tally.workloads);
}

fn small_number(name: &str, otherwise: u32) -> u32 {
    u32::try_from(number(name, otherwise.into())).unwrap()
}
