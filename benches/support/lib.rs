//! Shared by the benchmarks: where they write, how long they run, and names for sizes.

#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "not published: a benchmark that panics has failed"
)]

pub mod cold;
pub mod figures;

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::Criterion;
use tempfile::TempDir;

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// Few and short samples: one case is a system at work for seconds, not a function of nanoseconds.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

/// An empty directory on a disk: in `TIDEWAL_BENCH_DIR` if that is set, otherwise under `target/`.
pub fn scratch() -> TempDir {
    scratch_in(&scratch_root())
}

/// An empty directory in `root`, which is created if necessary.
pub fn scratch_in(root: &Path) -> TempDir {
    std::fs::create_dir_all(root).expect("the directory for benches can be made");
    tempfile::Builder::new()
        .prefix("tidewal-bench-")
        .tempdir_in(root)
        .expect("the directory for benches can be written")
}

/// Where benchmarks write by default.
pub fn scratch_root() -> PathBuf {
    std::env::var_os("TIDEWAL_BENCH_DIR").map_or_else(beside_the_build, PathBuf::from)
}

/// `target/tmp`: a benchmark is `target/<profile>/deps/<name>`.
fn beside_the_build() -> PathBuf {
    let executable = std::env::current_exe().expect("the system knows what it runs");
    let target = executable.ancestors().nth(3);
    target.expect("it is in three directories").join("tmp")
}

/// Whether the benchmarks only check that they run: under `cargo test --benches`, or with `--test`.
///
/// This is criterion's rule. Cargo passes `--bench` to measure, and nothing to test.
pub fn is_test() -> bool {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    has("--test") || !has("--bench")
}

/// The name of a payload size in the benchmarks.
pub fn size_name(bytes: usize) -> String {
    match bytes {
        0..KIB => format!("{bytes}B"),
        _ => format!("{}KiB", bytes / KIB),
    }
}
