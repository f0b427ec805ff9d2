//! A path of the machine, fixed when it is given.

use std::path::{Path, PathBuf};

/// A path on the machine's file system.
pub(crate) struct DiskPath {
    /// The path as it was given.
    pub(super) shown: PathBuf,
    /// The absolute path, because the process may change its working directory at any time.
    pub(super) absolute: PathBuf,
}

impl DiskPath {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            shown: path.to_owned(),
            // An empty path stays empty, and is refused when it is opened.
            absolute: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        }
    }
}
