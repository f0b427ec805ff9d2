//! The kinds of call that reach the disk.

/// The kinds of operation that [`SimDisk::fail`](crate::sim::SimDisk::fail) knows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Allocating or releasing space of a file.
    Allocate,
    /// Creating a file.
    Create,
    /// Giving a file a second name, which only `tools` does.
    Link,
    /// Listing a directory.
    List,
    /// Opening a file that exists.
    Open,
    /// Reading from a file.
    Read,
    /// Removing a file.
    Remove,
    /// Renaming a file.
    Rename,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Writing to a file.
    Write,
}

impl Operation {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Allocate,
        Self::Create,
        Self::Link,
        Self::List,
        Self::Open,
        Self::Read,
        Self::Remove,
        Self::Rename,
        Self::Sync,
        Self::SyncDir,
        Self::Write,
    ];

    pub(super) fn changes_the_disk(self) -> bool {
        !matches!(self, Self::List | Self::Open | Self::Read)
    }
}
