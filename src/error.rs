//! Errors, by what the caller should do next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use bytes::Bytes;

use crate::Lsn;

/// The result of an operation on the log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, told apart by what the caller should do next.
///
/// "Certainly not appended" and "outcome unknown" never share a variant: see
/// [`Error::is_outcome_unknown`]. Errors are cheap to clone, because one failed sync has to be
/// reported to every caller that waited for it; each clone carries the original cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `start_at` or `truncate_before` named an LSN that the log has not reached.
    ///
    /// Next: check where that LSN came from. A snapshot that is ahead of its log means that the log
    /// lost records, or that the two do not belong together.
    #[error("LSN {asked} lies beyond the end of the log, which is {end}")]
    #[non_exhaustive]
    BeyondEnd {
        /// The LSN that was asked for.
        asked: Lsn,
        /// The LSN of the log's last record.
        end: Lsn,
    },

    /// The log was closed. The record is certainly not appended.
    ///
    /// Next: open the log again.
    #[error("the log is closed; open it again to append")]
    Closed,

    /// Records that were durable are damaged or missing. Nothing on disk was changed.
    ///
    /// Next: restore the directory from a replica or a backup. A restart will not help. Where there is
    /// neither, the command `tidewal` (or the feature `tools`) shows everything that is damaged, and makes
    /// a log of what is left that opens.
    #[error(transparent)]
    Corrupt(Box<Corruption>),

    /// An earlier append of the same [`OrderedAppender`](crate::OrderedAppender) was refused, and so is
    /// everything behind it. The record is certainly not appended.
    ///
    /// Next: take back the effects of what was refused, and go on with a new appender.
    #[error("an earlier append of this ordered appender was refused, and so is this one")]
    EarlierRefused(#[source] Arc<Error>),

    /// A value could not be encoded, see [`typed`](crate::typed). It is certainly not appended, and
    /// nothing else that was given to the same call is.
    ///
    /// Next: see the source, which is the codec's own error. The log goes on working.
    #[error("the value cannot be encoded, nothing was appended")]
    Encode(#[source] CodecError),

    /// `append_batch` was given no payload. Nothing was appended.
    ///
    /// Next: leave the call out; an empty batch has no LSN.
    #[error("a batch must hold at least one payload")]
    EmptyBatch,

    /// The write or the sync that this caller waited for failed: the outcome is unknown, the record
    /// may or may not be found by the next recovery. The log is poisoned.
    ///
    /// Next: reopen the log, and see there whether the record exists.
    #[error("the outcome is unknown because an operation of the log failed; reopen the log")]
    OutcomeUnknown(#[source] IoFailure),

    /// [`try_submit`](crate::Wal::try_submit) found the queue full. The record is certainly not
    /// appended. It returns a [`TrySubmitError`], which becomes this error with `?`.
    ///
    /// Next: shed load, or wait with [`submit`](crate::Wal::submit).
    #[error("the queue is full; wait with submit, or shed load")]
    Full,

    /// The writer ended before it could answer: the outcome is unknown.
    ///
    /// Next: reopen the log, and see there whether the record exists.
    #[error("the writer ended without an answer, the outcome is unknown; reopen the log")]
    Interrupted,

    /// An option has a value outside its bounds. Nothing was opened.
    ///
    /// Next: change the option.
    #[error("option {field} must be {bound}")]
    #[non_exhaustive]
    InvalidOptions {
        /// The option, by the name of its setter.
        field: &'static str,
        /// What it must be.
        bound: String,
    },

    /// The operating system refused while the log was opened or read, or while files below the
    /// low-water mark were removed. Nothing is lost.
    ///
    /// Next: see the source for the reason, mend it, try again.
    #[error(transparent)]
    Io(IoFailure),

    /// The directory is open already.
    ///
    /// Next: close the other one, or wait for it with
    /// [`lock_timeout`](crate::WalOptions::lock_timeout). A log is open for appending once, or for
    /// reading any number of times, never both.
    #[error("{} is in use: {holder}", dir.display())]
    #[non_exhaustive]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Who holds it, with the number of the process where the system tells it (Linux does).
        holder: String,
    },

    /// The log ends within 2^56 records of the last LSN that there is, 2^64 - 1, and is not opened for
    /// appending. Nothing on disk was changed, and nothing is lost: it can be read.
    ///
    /// Next: check where that log came from, because no log gets there by being appended to. If it is
    /// yours, read it and append its records to a new log.
    #[error("the log ends at LSN {end}, too near the last one there is to append to it; read it")]
    #[non_exhaustive]
    LsnsExhausted {
        /// The LSN of the log's last record.
        end: Lsn,
    },

    /// There is no log in the directory, and [`create(false)`](crate::WalOptions::create) forbids making
    /// one. Nothing was changed.
    ///
    /// Next: see whether the volume is mounted and the path is right. If there never was a log, open it
    /// once without that option.
    #[error("there is no log in {}, and none may be created", dir.display())]
    #[non_exhaustive]
    NoLog {
        /// The directory.
        dir: PathBuf,
    },

    /// An earlier write or sync failed and the log takes nothing any more. The record is certainly
    /// not appended.
    ///
    /// Next: reopen the log. A failed sync is never tried again, because the system may have marked
    /// the lost pages clean: a retry that succeeds would prove nothing.
    #[error("an earlier operation failed and the log takes no more records; reopen the log")]
    Poisoned(#[source] IoFailure),

    /// Another segment cannot be had, and the reason is not a full disk: no descriptor is free
    /// (`EMFILE`), no memory, a file-size limit, a missing permission, a new file that cannot be written.
    /// The record is certainly not appended, nothing is lost.
    ///
    /// Next: see the source for the reason, remove it, and append again: the log keeps working.
    #[error("no further segment can be opened; remove the cause and append again")]
    SegmentUnavailable(#[source] IoFailure),

    /// There is no room for another segment. The record is certainly not appended, nothing is lost.
    ///
    /// A smaller record that was submitted behind it may fit and be appended. Where that must not be,
    /// because one was validated against the effect of the other, append through an
    /// [`OrderedAppender`](crate::OrderedAppender).
    ///
    /// Next: make room, for instance with [`truncate_before`](crate::Wal::truncate_before), and
    /// append again: the log goes on working.
    #[error("no room on the disk for another segment; make room and append again")]
    StorageFull(#[source] IoFailure),

    /// A record or an atomic batch is larger than the options allow. It is certainly not appended.
    ///
    /// Next: split it, or raise `max_record_size` (a record) or `segment_size` (a batch, which must
    /// fit one segment).
    #[error("a record or batch of {len} bytes is too large, the limit is {max}")]
    #[non_exhaustive]
    TooLarge {
        /// Bytes that were to be appended.
        len: u64,
        /// Bytes that could have been.
        max: u64,
    },

    /// `start_at` named an LSN below the oldest record that is kept.
    ///
    /// Next: start from a newer snapshot, or leave `start_at` out and take what there is.
    #[error("LSN {asked} was truncated, the oldest record kept is {oldest}")]
    #[non_exhaustive]
    Truncated {
        /// The LSN that was asked for.
        asked: Lsn,
        /// The oldest LSN that is kept.
        oldest: Lsn,
    },

    /// A record is whole and cannot be decoded, see [`typed`](crate::typed). Nothing on disk was
    /// changed.
    ///
    /// The bytes are those that were appended: it is the code that does not know them, mostly an older
    /// version of it than the one that wrote them, or another type.
    ///
    /// Next: use a version of the service that knows this record, or teach the type or its codec to
    /// decode it. To look at its bytes, [`read`](crate::WalOptions::read) the log, with
    /// [`start_at`](crate::WalOptions::start_at) at this LSN.
    #[error(
        "record {lsn} is whole, but cannot be decoded; use a version of the service that knows it"
    )]
    #[non_exhaustive]
    Undecodable {
        /// The record.
        lsn: Lsn,
        /// What the codec says.
        source: CodecError,
    },

    /// A restore into the directory was cut short, or is under way. Nothing was read or changed.
    ///
    /// Next: restore into it again. It is nothing to repair: what is missing is in the archive.
    #[error("a restore into {} is not finished; restore again", dir.display())]
    #[non_exhaustive]
    UnfinishedRestore {
        /// The directory.
        dir: PathBuf,
    },

    /// The segment holds something that only a later version of the format has. Nothing on disk was
    /// changed.
    ///
    /// Next: use a version of this crate that knows the format. If no later version has ever written to
    /// this log, the bytes that are named are damaged: restore the directory from a replica or a backup.
    #[error("{} {reason}, which this version of tidewal does not know", segment.display())]
    #[non_exhaustive]
    Unsupported {
        /// The segment's file.
        segment: PathBuf,
        /// What was found in it.
        reason: UnsupportedReason,
    },
}

impl Error {
    /// Whether the record may be in the log although the caller got an error.
    ///
    /// `true` only for [`Error::OutcomeUnknown`] and [`Error::Interrupted`]. After every other error of an
    /// append the record is certainly not in the log, now or after any recovery.
    ///
    /// It is about the call that returned the error. A `sync` that fails says nothing about records that
    /// were acknowledged before as [`Written`](crate::Durability::Written): these are in the log unless
    /// the machine dies.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(tidewal::Error::Interrupted.is_outcome_unknown());
    /// assert!(!tidewal::Error::Full.is_outcome_unknown());
    /// ```
    #[must_use]
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_) | Self::Interrupted)
    }

    /// The error of an append that needs another segment, and there is none to be had.
    pub(crate) fn without_segment(fault: IoFailure) -> Self {
        if fault.is_storage_full() {
            Self::StorageFull(fault)
        } else {
            Self::SegmentUnavailable(fault)
        }
    }
}

impl From<IoFailure> for Error {
    fn from(fault: IoFailure) -> Self {
        Self::Io(fault)
    }
}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(Box::new(corruption))
    }
}

/// Why [`try_submit`](crate::Wal::try_submit) submitted nothing. The record is certainly not appended.
///
/// With `?` it becomes an [`Error`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrySubmitError {
    /// The queue is full. This is the payload.
    ///
    /// Next: shed load, or wait with [`submit`](crate::Wal::submit).
    #[error("the queue is full; wait with submit, or shed load")]
    Full(Bytes),

    /// The record was refused for another reason.
    ///
    /// Next: see [`Error`].
    #[error(transparent)]
    Refused(#[from] Error),
}

impl From<TrySubmitError> for Error {
    fn from(error: TrySubmitError) -> Self {
        match error {
            TrySubmitError::Full(_) => Self::Full,
            TrySubmitError::Refused(error) => error,
        }
    }
}

/// What a [`Codec`](crate::typed::Codec) has to say of a value or a record.
///
/// It displays as the codec's own error, which [`get_ref`](Self::get_ref) gives out to be looked at.
#[derive(Clone, Debug)]
pub struct CodecError(Arc<dyn std::error::Error + Send + Sync>);

impl CodecError {
    pub(crate) fn new(source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(source.into())
    }

    /// The codec's own error.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// What a segment holds that only a later version of the format has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UnsupportedReason {
    /// A frame with a check that holds and of a kind that is not known.
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

/// One call to the operating system that failed: what, where and why.
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

    /// On which file or directory.
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

    /// Whether the medium does not give its bytes back, or the file system takes them for damaged.
    pub(crate) fn is_unreadable(&self) -> bool {
        let code = self.0.source.raw_os_error();
        code.is_some_and(|code| UNREADABLE.contains(&code))
    }

    /// Whether there is no such file.
    pub(crate) fn is_not_found(&self) -> bool {
        self.0.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the name that a file was to get is that of a file already.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether the reason is one for which a system refuses to change a directory before it begins to.
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

/// What a system says of bytes that it cannot read: `EIO`, and where there are such, `EBADMSG` and
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

/// Where durable records are damaged or missing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Corruption {
    /// What kind of damage it is.
    pub kind: CorruptionKind,
    /// The file that is damaged, or whose neighbour is missing.
    pub segment: PathBuf,
    /// Where in that file, in bytes from its start.
    pub offset: u64,
    /// The first record that cannot be delivered.
    pub first: Lsn,
    /// The last record that is known to have been durable and cannot be delivered. Below `first`
    /// if it is not known that any record was lost.
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
            true if first == last => write!(f, "; record {first} was durable"),
            true => write!(f, "; records {first} to {last} were durable"),
            false => write!(f, "; the log cannot be read from record {first} on"),
        }
    }
}

impl std::error::Error for Corruption {}

/// Kinds of damage. The labels are those of the table in `docs/durability.md`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum CorruptionKind {
    /// A segment is not the one that its neighbour was followed by.
    ChainBroken,
    /// A segment belongs to another log.
    ForeignSegment,
    /// A segment's header does not match its checksum, or is no segment header at all.
    HeaderDamaged,
    /// A segment's header belongs to a file of another name.
    NameMismatch,
    /// The segments before the oldest one found are missing, and were not truncated.
    PredecessorMissing,
    /// The tail of the last segment is unreadable, and a later frame or the segment's own statement
    /// proves that it was durable.
    ProvenLost,
    /// A record is unreadable in a segment that was complete when its successor was opened.
    SealedDamaged,
    /// A segment's file is shorter than its header says.
    ShortFile,
    /// The last segment says that a later one was opened, and that one is missing.
    SuccessorMissing,
    /// The system cannot read a page of a segment that may hold records, or its header: a bad sector,
    /// mostly. The offset is that of the page.
    ///
    /// Look at the disk before anything else: where the reason is a cable or a controller, the same bytes
    /// can be read later.
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
            Self::ChainBroken => "the segment does not join the one before it",
            Self::ForeignSegment => "the segment belongs to another log",
            Self::HeaderDamaged => "the segment's header is damaged",
            Self::NameMismatch => "the segment's header does not match the file's name",
            Self::PredecessorMissing => "the segments before this one are missing",
            Self::ProvenLost => "unreadable, but proven to have been durable",
            Self::SealedDamaged => "a record is damaged in a completed segment",
            Self::ShortFile => "the file is shorter than its header says",
            Self::SuccessorMissing => "the segment after this one is missing",
            Self::Unreadable => "the system cannot read this page",
        })
    }
}
