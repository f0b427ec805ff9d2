//! Changes that are not durable yet: to the bytes of files, and to the entries of directories.

use std::collections::BTreeMap;
use std::ops::Range;

/// An index into the inodes of the disk. Inodes are never reused.
pub(super) type InodeId = usize;

/// An index into the directories of the disk. They are never reused either.
pub(super) type DirId = usize;

/// One volatile change.
#[derive(Clone, Hash)]
pub(super) enum Change {
    Data { inode: InodeId, edit: Edit },
    Entry { dir: DirId, edit: EntryEdit },
}

/// A change to a file's bytes.
#[derive(Clone, Hash)]
pub(super) enum Edit {
    Clear {
        from: usize,
    },
    Grow {
        len: usize,
    },
    #[cfg(feature = "tools")]
    Shorten {
        len: usize,
    },
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
}

/// A change to a directory's entries. Each is atomic.
#[derive(Clone, Hash)]
pub(super) enum EntryEdit {
    Create {
        name: String,
        inode: InodeId,
    },
    Remove {
        name: String,
    },
    Rename {
        from: String,
        to: String,
        inode: InodeId,
    },
}

impl Edit {
    /// The bytes that the edit changes, in a file of this length.
    pub(super) fn range(&self, len: usize) -> Range<usize> {
        match self {
            Self::Clear { from } => *from..len.max(*from),
            Self::Grow { .. } => 0..0,
            #[cfg(feature = "tools")]
            Self::Shorten { len: end } => *end..len.max(*end),
            Self::Write { offset, bytes } => *offset..offset + bytes.len(),
        }
    }

    pub(super) fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Clear { from } => file.iter_mut().skip(*from).for_each(|byte| *byte = 0),
            Self::Grow { len } => file.resize(file.len().max(*len), 0),
            #[cfg(feature = "tools")]
            Self::Shorten { len } => file.truncate(*len),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                file.resize(file.len().max(end), 0);
                file[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl EntryEdit {
    /// Whether the edit gives this file a name.
    pub(super) fn names(&self, file: InodeId) -> bool {
        match self {
            Self::Create { inode, .. } | Self::Rename { inode, .. } => *inode == file,
            Self::Remove { .. } => false,
        }
    }

    pub(super) fn apply(&self, entries: &mut BTreeMap<String, InodeId>) {
        match self {
            Self::Create { name, inode } => {
                entries.insert(name.clone(), *inode);
            }
            Self::Remove { name } => {
                entries.remove(name);
            }
            Self::Rename { from, to, inode } => {
                if entries.get(from) == Some(inode) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *inode);
            }
        }
    }
}
