//! The steps of a repair, as a person reads them.

use std::path::PathBuf;

use crate::lsn::Lsn;

/// One thing that a repair does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RepairStep {
    /// A file gets a second name in a new folder of the log's directory, or is copied there.
    Keep {
        /// The file.
        file: PathBuf,
        /// What it is called there.
        copy: PathBuf,
    },
    /// A new segment without records becomes the log, which then continues after every LSN that may have
    /// been given out.
    Begin {
        /// The LSN of its first record.
        lsn: Lsn,
    },
    /// A segment is marked as the one that the log begins with.
    MarkHead {
        /// Its file.
        file: PathBuf,
    },
    /// A file that is too short is made as long as its header says.
    Extend {
        /// The file.
        file: PathBuf,
        /// Its new length in bytes.
        len: u64,
    },
    /// A file is removed from the log's directory. It has been kept.
    Remove {
        /// The file.
        file: PathBuf,
    },
    /// What stays of a segment is made durable, and its end is written into its header block.
    Seal {
        /// Its file, which has been kept as it was.
        file: PathBuf,
        /// The last record of the log.
        lsn: Lsn,
        /// Where it ends, in bytes from the start of the file.
        offset: u64,
    },
}
