//! Random workloads, power cuts and kills at random places, also during the recovery from a crash,
//! with random surviving changes and four lives each (promises P1 to P4).
//!
//!     TIDEWAL_SEEDS=400000 cargo test --release --test random -- --nocapture

use tidewal_testing::harness::lives::{Deaths, live_and_die};
use tidewal_testing::harness::number;

#[test]
fn random_lives_and_deaths() {
    let seeds = number("TIDEWAL_SEEDS", 2500);
    let mut deaths = Deaths::default();
    for seed in 0..seeds {
        live_and_die(seed, &mut deaths);
    }
    println!("{seeds} workloads, {deaths:?}");
    assert!(deaths.cuts > seeds && deaths.kills > seeds / 4);
    let holds = deaths.holds;
    assert!(holds.refused > seeds / 30 && holds.released > seeds / 100);
    assert!(holds.lasted > seeds / 20);
}

/// After a refused rotation, a follower with an interval of zero requested it again at once,
/// forever.
#[test]
fn regression_a_follower_leaves_the_writer_time() {
    live_and_die(16342, &mut Deaths::default());
}
