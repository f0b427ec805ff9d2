//! What the commands share, and what the modules of the bench ask for under this name.

use std::future::Future;
use std::path::Path;

use tempfile::TempDir;

/// Runs a future on this thread.
pub fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O can be made");
    runtime.block_on(work)
}

/// An empty directory in `root`, which is there.
pub fn scratch_in(root: &Path) -> TempDir {
    tempfile::Builder::new()
        .prefix("tidewal-bench-")
        .tempdir_in(root)
        .expect("it was seen that the directory can be written")
}

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;
