//! What the benches share: where they write, how long they run, and names for sizes.

mod cargo;
#[path = "../floor/measure/scratch.rs"]
mod scratch_dir;

use std::time::Duration;

use criterion::Criterion;
use tempfile::TempDir;

pub use self::cargo::*;
pub use self::scratch_dir::*;

/// Few and short samples: one case is a system at work for seconds, not a function of nanoseconds.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

/// An empty directory on a disk: in `TIDEWAL_BENCH_DIR` if that is set, or else under `target/`.
pub fn scratch() -> TempDir {
    scratch_in(&scratch_root())
}
