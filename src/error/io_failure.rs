//! Failed calls to the operating system, and what follows from their reasons.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

/// A failed call to the operating system: what was tried, on which file, and why it failed.
#[derive(Clone, Debug)]
pub struct IoFailure(Arc<IoFailureParts>);

impl IoFailure {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self(Arc::new(IoFailureParts {
            action,
            path: path.to_owned(),
            source,
        }))
    }

    /// What was tried, such as "sync".
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.0.action
    }

    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The error of the operating system.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.0.source
    }

    /// Whether the reason is a full disk or an exhausted quota.
    pub(crate) fn is_storage_full(&self) -> bool {
        matches!(
            self.0.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the disk cannot read the bytes, or the file system considers them damaged.
    pub(crate) fn is_unreadable(&self) -> bool {
        let code = self.0.source.raw_os_error();
        code.is_some_and(|code| UNREADABLE.contains(&code))
    }

    /// Whether there is no such file.
    pub(crate) fn is_not_found(&self) -> bool {
        self.0.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the new name of a file is already taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether the system refused to begin a change of a directory.
    pub(crate) fn is_refused_at_once(&self) -> bool {
        use io::ErrorKind::{OutOfMemory, PermissionDenied, ReadOnlyFilesystem};
        let kind = self.0.source.kind();
        let others = [OutOfMemory, PermissionDenied, ReadOnlyFilesystem];
        self.is_storage_full() || others.contains(&kind)
    }
}

impl fmt::Display for IoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.0.action, self.0.path.display())
    }
}

impl std::error::Error for IoFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.source)
    }
}

/// The errors of a system for bytes that it cannot read: `EIO`, and on Linux also `EBADMSG` and
/// `EUCLEAN` of file systems with checksums.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const UNREADABLE: &[i32] = &[5, 74, 117];
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
pub(crate) const UNREADABLE: &[i32] = &[5];
/// `ERROR_CRC` and `ERROR_IO_DEVICE`.
#[cfg(not(unix))]
pub(crate) const UNREADABLE: &[i32] = &[23, 1117];

#[derive(Debug)]
struct IoFailureParts {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}
