//! What cargo and the environment tell a benchmark.

use std::path::PathBuf;

/// Whether the benchmarks only check that they run: under `cargo test --benches`, or with `--test`.
///
/// This is criterion's rule. Cargo passes `--bench` to measure, and nothing to test.
pub fn is_test() -> bool {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    has("--test") || !has("--bench")
}

/// Where benchmarks write by default.
pub fn scratch_root() -> PathBuf {
    std::env::var_os("TIDEWAL_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}
