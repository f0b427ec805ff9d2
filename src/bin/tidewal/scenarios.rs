//! The one scenario of `benches/floor` that `bench` runs.

#[path = "../../../benches/floor/scenarios/intervals.rs"]
mod intervals;

use crate::figures::Outcome;
use crate::lab::Lab;

pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub run: fn(&Lab) -> Outcome,
}

pub const INTERVALS: Scenario = Scenario {
    name: "intervals",
    title: "throughput and latency against the fsync interval, 100 B",
    run: intervals::run,
};

/// The payload, and a record of it in the file.
const SMALL: usize = 100;
const SMALL_RECORD: usize = 20 + SMALL;
