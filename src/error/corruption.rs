//! Where durable records are damaged or missing, and how.

use std::fmt;
use std::path::PathBuf;

use crate::lsn::Lsn;

/// Where durable records are damaged or missing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Corruption {
    /// What kind of damage it is.
    pub kind: CorruptionKind,
    /// The file that is damaged, or whose neighbor is missing.
    pub segment: PathBuf,
    /// The offset in that file, in bytes from its start.
    pub offset: u64,
    /// The first record that cannot be delivered.
    pub first: Lsn,
    /// The last record that is known to have been durable and cannot be delivered. Below `first` if
    /// no record is known to be lost.
    pub last: Lsn,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            segment,
            offset,
            first,
            last,
        } = self;
        write!(
            f,
            "{} at byte {offset}: {kind} ({})",
            segment.display(),
            kind.label()
        )?;
        match last >= first {
            true if first == last => {
                write!(f, ". Record {first}, which was durable, cannot be read")
            }
            true => write!(
                f,
                ". Records {first} to {last}, which were durable, cannot be read"
            ),
            false => write!(f, ". The log cannot be read from record {first} on"),
        }
    }
}

impl std::error::Error for Corruption {}

/// A kind of damage. The labels are those of the tables in `docs/durability.md`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum CorruptionKind {
    /// A segment does not name the segment before it as its predecessor.
    ChainBroken,
    /// A segment belongs to another log.
    ForeignSegment,
    /// A segment's header does not match its checksum, or is not a segment header at all.
    HeaderDamaged,
    /// The LSN in a segment's header is not the one in the file's name.
    NameMismatch,
    /// The segments before the oldest one found are missing, and were not truncated.
    PredecessorMissing,
    /// The end of the last segment is unreadable, and a later frame or the segment's own statement
    /// proves that it was durable.
    ProvenLost,
    /// A record is unreadable in a segment that was complete when its successor was opened.
    SealedDamaged,
    /// A segment's file is shorter than its header says.
    ShortFile,
    /// The last segment says that a later one was opened, and that segment is missing.
    SuccessorMissing,
    /// The system cannot read a page of a segment that may hold records, or its header, usually
    /// because of a bad sector. The offset is that of the page.
    ///
    /// Check the disk before anything else: if the cause is a cable or a controller, the same bytes may be
    /// readable later.
    Unreadable,
}

impl CorruptionKind {
    /// Every kind of damage.
    pub const ALL: &'static [Self] = &[
        Self::ChainBroken,
        Self::ForeignSegment,
        Self::HeaderDamaged,
        Self::NameMismatch,
        Self::PredecessorMissing,
        Self::ProvenLost,
        Self::SealedDamaged,
        Self::ShortFile,
        Self::SuccessorMissing,
        Self::Unreadable,
    ];

    /// The label of this case in the table of `docs/durability.md`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ChainBroken => "chain-broken",
            Self::ForeignSegment => "foreign-segment",
            Self::HeaderDamaged => "header-damaged",
            Self::NameMismatch => "name-mismatch",
            Self::PredecessorMissing => "predecessor-missing",
            Self::ProvenLost => "proven-lost",
            Self::SealedDamaged => "sealed-damaged",
            Self::ShortFile => "short-file",
            Self::SuccessorMissing => "successor-missing",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for CorruptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChainBroken => "the segment does not follow the one before it",
            Self::ForeignSegment => "the segment belongs to another log",
            Self::HeaderDamaged => "the segment's header is damaged",
            Self::NameMismatch => "the segment's header does not match the file's name",
            Self::PredecessorMissing => "the segments before this one are missing",
            Self::ProvenLost => "a record that was durable cannot be read",
            Self::SealedDamaged => "a record is damaged in a complete segment",
            Self::ShortFile => "the file is shorter than its header says",
            Self::SuccessorMissing => "the segment after this one is missing",
            Self::Unreadable => "the system cannot read this page",
        })
    }
}
