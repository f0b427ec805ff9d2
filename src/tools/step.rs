//! The steps of a repair, as they are shown to an operator.

use std::path::PathBuf;

use crate::lsn::Lsn;

/// One step of a repair.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RepairStep {
    /// A file gets a second name in a new folder of the log's directory, or is copied there.
    #[non_exhaustive]
    Keep {
        /// The file.
        file: PathBuf,
        /// The path of the link or the copy.
        copy: PathBuf,
    },
    /// A new segment without records replaces the log, which then continues after every LSN that
    /// may have been given out.
    #[non_exhaustive]
    Begin {
        /// The LSN of its first record.
        lsn: Lsn,
    },
    /// A segment is marked as the first one of the log.
    #[non_exhaustive]
    MarkHead {
        /// Its file.
        file: PathBuf,
    },
    /// A file that is too short is extended to the length in its header.
    #[non_exhaustive]
    Extend {
        /// The file.
        file: PathBuf,
        /// Its new length in bytes.
        len: u64,
    },
    /// A file is removed from the log's directory. It was kept in the folder before.
    #[non_exhaustive]
    Remove {
        /// The file.
        file: PathBuf,
    },
    /// The part of a segment that stays is made durable, and its end is written into its header
    /// block.
    #[non_exhaustive]
    Seal {
        /// Its file. A copy of it was kept in the folder before.
        file: PathBuf,
        /// The last record of the log.
        lsn: Lsn,
        /// Where this record ends, in bytes from the start of the file.
        offset: u64,
    },
}
