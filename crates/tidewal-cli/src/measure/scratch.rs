//! Directories for benchmarks, and names for sizes.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// Held while a directory is created, or a log is opened, which creates its parents. The code that
/// removes the directories takes this lock and keeps it, so none of them is created again.
pub fn making() -> MutexGuard<'static, ()> {
    static MAKING: Mutex<()> = Mutex::new(());
    MAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty directory in `root`, which is created if necessary.
pub fn scratch_in(root: &Path) -> TempDir {
    let _making = making();
    std::fs::create_dir_all(root).expect("the directory for benches can be made");
    tempfile::Builder::new()
        .prefix("tidewal-bench-")
        .tempdir_in(root)
        .expect("the directory for benches can be written")
}

/// The name of a payload size in benchmarks.
pub fn size_name(bytes: usize) -> String {
    match bytes {
        0..KIB => format!("{bytes}B"),
        _ => format!("{}KiB", bytes / KIB),
    }
}

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;
