//! Measuring a log beside the bare disk.

pub mod bare;
pub mod comparison;
pub mod config;
pub mod context;
pub mod figures;
pub mod intervals;
pub mod load;
pub mod log;
pub mod machine;
pub mod plot;
pub mod processor;
pub mod report;
pub mod scratch;
pub mod slice;

use self::context::BenchContext;
use self::figures::Outcome;

/// Something that is measured.
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub run: fn(&BenchContext) -> Outcome,
}

/// The payload of most scenarios.
pub const SMALL: usize = 100;

/// The size of such a record in the file: `docs/format.md`, "Frame".
pub const SMALL_RECORD: usize = FRAME_HEADER + SMALL;
pub const FRAME_HEADER: usize = 20;
