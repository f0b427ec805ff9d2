//! Where benches write, and names for sizes.

use std::path::Path;

use tempfile::TempDir;

/// An empty directory in `root`, which is made if need be.
pub fn scratch_in(root: &Path) -> TempDir {
    std::fs::create_dir_all(root).expect("the directory for benches can be made");
    tempfile::Builder::new()
        .prefix("tidewal-bench-")
        .tempdir_in(root)
        .expect("the directory for benches can be written")
}

/// A payload size as the benches name it.
pub fn size_name(bytes: usize) -> String {
    match bytes {
        0..KIB => format!("{bytes}B"),
        _ => format!("{}KiB", bytes / KIB),
    }
}

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;
