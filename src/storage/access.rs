//! What a directory is opened for, who has it open, and what identifies it.

use std::fmt;
use std::path::PathBuf;

/// What a directory is opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    Append,
    Read,
}

/// The identity of a directory.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum DirKey {
    /// Its inode number, with that of its file system.
    Inode(FileId),
    /// Its canonical path, on systems without inode numbers.
    #[cfg_attr(unix, expect(dead_code, reason = "there are numbers"))]
    Path(PathBuf),
}

/// The identity of an open file or directory.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// A lock of the operating system. Dropping it releases the lock.
pub(crate) type SystemLock = Box<dyn Send + Sync>;

/// A process that has a log open.
#[cfg_attr(
    not(feature = "tools"),
    expect(unreachable_pub, reason = "`tools` gives it out")
)]
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LockOwner {
    /// The process id.
    pub pid: u32,
    /// The name of its program, or an empty string if it is unknown.
    pub name: String,
    /// Whether it has the log open for appending. Otherwise it reads the log.
    pub appends: bool,
}

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.appends { "appending" } else { "reading" };
        write!(f, "{access} by process {}", self.pid)?;
        match (self.pid == std::process::id(), self.name.is_empty()) {
            (true, _) => f.write_str(", which is this one"),
            (false, false) => write!(f, " ({})", self.name),
            (false, true) => Ok(()),
        }
    }
}
