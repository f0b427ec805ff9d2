//! What cargo and the environment say to a bench.

use std::path::PathBuf;

/// Whether the benches have to show only that they run: under `cargo test --benches`, or with
/// `--test`.
///
/// This is criterion's own rule. Cargo passes `--bench` if it wants figures, and nothing if it tests.
pub fn is_test() -> bool {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    has("--test") || !has("--bench")
}

/// Where the benches write unless told otherwise.
pub fn scratch_root() -> PathBuf {
    std::env::var_os("TIDEWAL_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}
