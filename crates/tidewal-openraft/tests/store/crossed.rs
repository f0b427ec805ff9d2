//! One directory, opened under one version of openraft and then under the other, again and again.

use tidewal_testing::harness::Label;

use crate::number;
use crate::story::{Groups, GroupsSeen, Seen, Story};
use crate::support::run;
use crate::{v0_9, v0_10};

#[test]
fn a_log_changes_between_the_versions_and_loses_nothing() {
    let seeds = number("TIDEWAL_SEEDS", 150);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        let _label = Label(format!("seed {seed}"));
        let mut story = Story::new(seed);
        for life in seed..seed + 6 {
            match life % 2 {
                0 => v0_9::random::live(&mut story, &mut seen),
                _ => v0_10::random::live(&mut story, &mut seen),
            }
        }
    }
    println!("{seeds} seeds: {seen:?}");
    let calls = &seen.calls;
    assert!(calls.votes > seeds && calls.truncations > seeds && calls.purges > seeds);
    assert!(seen.cuts > seeds / 2 && seen.kills > seeds / 4 && seen.full > seeds / 10);
}

#[test]
fn groups_change_between_the_versions_and_lose_nothing() {
    let seeds = number("TIDEWAL_SEEDS", 60);
    let mut seen = GroupsSeen::default();
    for seed in 0..seeds {
        let _label = Label(format!("seed {seed}"));
        run(six_lives(seed, &mut seen));
    }
    println!("{seeds} seeds: {seen:?}");
    let calls = &seen.calls;
    assert!(calls.votes > seeds && calls.truncations > seeds && calls.purges > seeds);
    assert!(seen.removals > seeds && seen.cuts > seeds / 4 && seen.full > 0);
}

async fn six_lives(seed: u64, counts: &mut GroupsSeen) {
    let mut story = Groups::new(seed);
    for life in seed..seed + 6 {
        match life % 2 {
            0 => v0_9::random_groups::live(&mut story, counts).await,
            _ => v0_10::random_groups::live(&mut story, counts).await,
        }
    }
}
