//! What only a later version of the format can have written.

use std::fmt;

/// Content of a segment that only a later version of the format defines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UnsupportedReason {
    /// A frame of an unknown kind whose check holds.
    FrameKind {
        /// The kind.
        kind: u8,
        /// Where the frame begins, in bytes from the start of the file.
        offset: u64,
    },
    /// A byte of the header block that is zero in this version of the format.
    ReservedByte {
        /// Where it is, in bytes from the start of the file.
        offset: u64,
    },
    /// The version in the segment's header.
    Version(u32),
}

impl fmt::Display for UnsupportedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameKind { kind, offset } => {
                write!(f, "has a frame of kind {kind} at byte {offset}")
            }
            Self::ReservedByte { offset } => {
                write!(f, "uses byte {offset} of its header block")
            }
            Self::Version(version) => write!(f, "has format version {version}"),
        }
    }
}
