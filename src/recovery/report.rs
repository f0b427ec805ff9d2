//! The report of a recovery.

use std::fmt;
use std::path::PathBuf;

use crate::lsn::Lsn;

/// What a recovery found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Segments of the log, read or not.
    pub segments: u64,
    /// Records delivered.
    pub records: u64,
    /// Bytes of payload delivered.
    pub bytes: u64,
    /// The oldest record kept, or the one after `end` if there is none.
    pub oldest: Lsn,
    /// The last record. While the stream continues: the last record of the last chunk read.
    pub end: Lsn,
    /// Where and why the log ends without a seal. `None` after a clean close, and while the stream
    /// continues.
    pub torn_tail: Option<TornTail>,
}

impl fmt::Display for RecoveryReport {
    /// One line for a service's own log, such as "recovered 3 records (5 bytes), LSN 1 to 3, from 1
    /// segment".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, segments) = (
            counted(self.records, "record"),
            counted(self.segments, "segment"),
        );
        write!(f, "recovered {records} ({} bytes)", self.bytes)?;
        if self.oldest <= self.end {
            write!(f, ", LSN {} to {}", self.oldest, self.end)?;
        } else {
            write!(f, ", the log holds no record")?;
        }
        write!(f, ", from {segments}")?;
        match &self.torn_tail {
            Some(cut) => write!(f, ". {cut}"),
            None => Ok(()),
        }
    }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Where a log that was not closed ends.
///
/// This is harmless: nothing after it was acknowledged as durable.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TornTail {
    /// The segment's file.
    pub segment: PathBuf,
    /// Where the log ends in this file, in bytes from its start.
    pub offset: u64,
    /// The first LSN that is not in the log. The next append gets it.
    pub lsn: Lsn,
    /// The reason why the log ends there.
    pub reason: TornTailReason,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            segment,
            offset,
            lsn,
            reason,
        } = self;
        write!(
            f,
            "{} ends at byte {offset}, before record {lsn}: {reason}",
            segment.display()
        )
    }
}

/// Why a log ends where it does. `docs/durability.md` has a table of the labels.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TornTailReason {
    /// No record: the log was not closed, as after a crash. Nothing was being written, or the start of the
    /// write did not reach the disk.
    NoRecord,
    /// An incomplete record: a part of its payload is missing.
    TornRecord,
    /// An incomplete atomic batch.
    TornBatch,
}

impl TornTailReason {
    /// The label of this case in the table of `docs/durability.md`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoRecord => "no-record",
            Self::TornRecord => "torn-record",
            Self::TornBatch => "torn-batch",
        }
    }
}

impl fmt::Display for TornTailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRecord => "no further record",
            Self::TornRecord => "a record that was not completely written",
            Self::TornBatch => "an atomic batch that was not completely written",
        })
    }
}
