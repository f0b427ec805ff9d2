//! The scenarios.

mod bandwidth;
pub mod memory;
mod recovery;
mod resources;
mod rotation;
mod small;
mod think;

use crate::measure::scratch::KIB;
use crate::measure::{Scenario, intervals};

/// All scenarios, in the order in which they run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "s1",
        title: "1 producer, 100 B",
        run: small::one_producer,
    },
    Scenario {
        name: "s2",
        title: "64 producers, 100 B",
        run: small::many_producers,
    },
    Scenario {
        name: "s3",
        title: "1,024 producers, 100 B",
        run: small::crowd,
    },
    Scenario {
        name: "s4",
        title: "4 producers with 1,024 appends in flight each, 100 B",
        run: small::pipelines,
    },
    Scenario {
        name: "s5",
        title: "16 producers, 64 KiB",
        run: bandwidth::run,
    },
    Scenario {
        name: "s6",
        title: "`Durability::Written`, 1 and 4 producers, 100 B",
        run: small::written,
    },
    Scenario {
        name: "s7",
        title: "recovery, cache warm",
        run: recovery::run,
    },
    Scenario {
        name: "s8",
        title: "rotation every 4 MiB under the load of S3",
        run: rotation::run,
    },
    Scenario {
        name: PLOTTED,
        title: "throughput and latency against the fsync interval, 100 B",
        run: intervals::run,
    },
    Scenario {
        name: "s10",
        title: "memory and disk",
        run: resources::run,
    },
    Scenario {
        name: "think",
        title: "producers with and without a pause between their appends, 100 B",
        run: think::run,
    },
];

/// The scenario that can be plotted.
pub const PLOTTED: &str = "s9";

/// The bytes before the first record of a segment.
const SEGMENT_HEADER: usize = 4 * KIB;

/// The names of the log among the methods, on the disk and in memory.
const ON_DISK: &str = "tidewal";
const IN_MEMORY: &str = "tidewal in memory";
