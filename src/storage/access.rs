//! What a directory is opened for, who has it open, and what tells it from others.

use std::fmt;
use std::path::PathBuf;

/// What a directory is taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    Append,
    Read,
}

/// What tells a directory from others.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum DirKey {
    /// Its number, and that of its file system.
    Inode(FileId),
    /// Where there are no such numbers: the one path that stands for it.
    #[cfg_attr(unix, expect(dead_code, reason = "there are numbers"))]
    Path(PathBuf),
}

/// What tells an open file, or a directory, from others.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// A lock of the operating system, which goes when this is dropped.
pub(crate) type Held = Box<dyn Send + Sync>;

/// A process that has a log open.
#[cfg_attr(
    not(feature = "tools"),
    expect(unreachable_pub, reason = "`tools` gives it out")
)]
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LockOwner {
    /// Its number.
    pub pid: u32,
    /// The name of its program; empty if that is not known.
    pub name: String,
    /// Whether it appends; else it reads.
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
