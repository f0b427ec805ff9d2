//! Errors, grouped by what the caller should do next.

mod codec_error;
mod corruption;
mod io_failure;
mod unsupported;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::lsn::Lsn;

pub use crate::error::codec_error::CodecError;
pub use crate::error::corruption::{Corruption, CorruptionKind};
pub use crate::error::io_failure::IoFailure;
pub use crate::error::unsupported::UnsupportedReason;

#[cfg(feature = "sim")]
pub(crate) use crate::error::io_failure::UNREADABLE;

/// The result of an operation on the log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on the log failed. Each variant says what the caller should do next.
///
/// "Certainly not appended" and "outcome unknown" never share a variant: see
/// [`Error::is_outcome_unknown`]. Errors are cheap to clone, because one failed sync must be
/// reported to every caller that waited for it. Each clone carries the original cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `start_at` or `truncate_before` named an LSN that the log has not reached.
    ///
    /// Next: check where the LSN came from. If a snapshot is ahead of its log, the log has lost
    /// records, or the two do not belong together.
    #[error("LSN {asked} is beyond the end of the log, which is LSN {end}")]
    #[non_exhaustive]
    BeyondEnd {
        /// The requested LSN.
        asked: Lsn,
        /// The LSN of the log's last record.
        end: Lsn,
    },

    /// The log was closed. The record is certainly not appended.
    ///
    /// Next: open the log again.
    #[error("the log is closed")]
    Closed,

    /// Records that were durable are damaged or missing. Nothing on disk was changed.
    ///
    /// Next: restore the directory from a replica or a backup. A restart does not help. If there is
    /// neither, the command `tidewal` (or the feature `tools`) shows everything that is damaged,
    /// and repairs the log so that it opens with the records that remain.
    #[error(transparent)]
    Corrupt(Box<Corruption>),

    /// An earlier append of the same [`OrderedAppender`](crate::OrderedAppender) was refused, so
    /// this one is refused too. The record is certainly not appended.
    ///
    /// Next: roll back the effects of what was refused, and continue with a new appender.
    #[error("an earlier append of the same ordered appender was refused")]
    EarlierRefused(#[source] Arc<Error>),

    /// A value could not be encoded, see [`typed`](crate::typed). It is certainly not appended, and
    /// neither is anything else that was passed to the same call.
    ///
    /// Next: see the source, which is the codec's own error. The log keeps working.
    #[error("cannot encode the value: nothing was appended")]
    Encode(#[source] CodecError),

    /// A batch without a payload. Nothing was appended.
    ///
    /// Next: skip the call if there is nothing to append. An empty batch has no LSN.
    #[error("cannot append a batch without payloads")]
    EmptyBatch,

    /// The write or the sync that this caller waited for failed. The next recovery may or may not
    /// find the record. The log is poisoned.
    ///
    /// Next: reopen the log, and check whether the record exists.
    #[error("the outcome is unknown, because a write or sync of the log failed")]
    OutcomeUnknown(#[source] IoFailure),

    /// [`try_submit`](crate::Wal::try_submit) found the queue full. The record is certainly not
    /// appended. `try_submit` returns a [`TrySubmitError`], which `?` turns into this error.
    ///
    /// Next: shed load, or wait with [`submit`](crate::Wal::submit).
    #[error("the queue is full")]
    Full,

    /// The hold exceeded its bound and was released
    /// ([`HoldOverflow::Release`](crate::HoldOverflow::Release)). The records that it kept may be
    /// gone. The log keeps working.
    ///
    /// Next: start again from a snapshot or from the oldest record that is kept, and take a new
    /// hold. Raise its [`max_bytes`](crate::HoldOptions::max_bytes), or make its owner faster.
    #[error("the hold exceeded its bound and was released: its records may be gone")]
    HoldReleased,

    /// A lasting hold of this name exists and still has an owner.
    ///
    /// Next: use the existing hold, drop it first, or choose another name.
    #[error("the log already has a hold \"{name}\"")]
    #[non_exhaustive]
    HoldTaken {
        /// The name of the hold.
        name: String,
    },

    /// The writer ended before it could answer, so the outcome is unknown.
    ///
    /// Next: reopen the log, and check whether the record exists.
    #[error("the outcome is unknown, because the writer ended without an answer")]
    Interrupted,

    /// An option has a value outside its bounds. Nothing was opened.
    ///
    /// Next: change the option.
    #[error("option {field} must be {bound}")]
    #[non_exhaustive]
    InvalidOptions {
        /// The option, by the name of its setter.
        field: &'static str,
        /// The allowed values.
        bound: String,
    },

    /// A call to the operating system failed while the log was opened or read, or while files below
    /// the low-water mark were removed. Nothing is lost.
    ///
    /// Next: see the source for the cause, remove it, and try again.
    #[error(transparent)]
    Io(IoFailure),

    /// The directory is already open, in this process or another one.
    ///
    /// Next: close the other log, or wait for it with
    /// [`lock_timeout`](crate::WalOptions::lock_timeout). A log is open either once for appending,
    /// or any number of times for reading.
    #[error("{} is in use: {holder}", dir.display())]
    #[non_exhaustive]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Which log or process has it open. The process id is named where the system reports it (on Linux).
        holder: String,
    },

    /// The log ends within 2^56 records of the last LSN, 2^64 - 1, and is not opened for appending.
    /// Nothing on disk was changed, and nothing is lost: the log can be read.
    ///
    /// Next: check where the log came from, because no log gets there by appending. If it is yours,
    /// read it and append its records to a new log.
    #[error("the log ends at LSN {end}, too close to the last LSN to be opened for appending")]
    #[non_exhaustive]
    LsnsExhausted {
        /// The LSN of the log's last record.
        end: Lsn,
    },

    /// There is no log in the directory, and [`create(false)`](crate::WalOptions::create) forbids
    /// creating one. Nothing was changed.
    ///
    /// Next: check that the volume is mounted and the path is right. If there never was a log, open
    /// it once without that option.
    #[error("there is no log in {}, and the option create is false", dir.display())]
    #[non_exhaustive]
    NoLog {
        /// The directory.
        dir: PathBuf,
    },

    /// The directory for a copy or a restore is not empty. Nothing was changed.
    ///
    /// Next: choose another directory.
    #[error("{} is not empty: it holds {file}", dir.display())]
    #[non_exhaustive]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One of its files.
        file: String,
    },

    /// An earlier write or sync failed, and the log accepts nothing more. The record is certainly
    /// not appended.
    ///
    /// Next: reopen the log. A failed sync is never retried, because the operating system may have
    /// marked the lost pages clean. A retry that succeeds would prove nothing.
    #[error("the log is poisoned, because an earlier operation failed")]
    Poisoned(#[source] IoFailure),

    /// No further segment can be opened, for a reason other than a full disk: no free descriptor
    /// (`EMFILE`), no memory, a file-size limit, a missing permission, or a new file that cannot be
    /// written. The record is certainly not appended, and nothing is lost.
    ///
    /// Next: see the source for the cause, remove it, and append again. The log keeps working.
    #[error("cannot open another segment")]
    SegmentUnavailable(#[source] IoFailure),

    /// The disk has no space for another segment. The record is certainly not appended, and nothing
    /// is lost.
    ///
    /// A smaller record that was submitted after it may still fit and be appended. If that must not
    /// happen, because one was validated against the effect of the other, append through an
    /// [`OrderedAppender`](crate::OrderedAppender).
    ///
    /// Next: free space, for example with [`truncate_before`](crate::Wal::truncate_before), and
    /// append again. The log keeps working.
    #[error("the disk is full: no space for another segment")]
    StorageFull(#[source] IoFailure),

    /// A record or an atomic batch is larger than the options allow. It is certainly not appended.
    ///
    /// Next: split it, or raise `max_record_size` (for a record) or `segment_size` (for a batch,
    /// which must fit into one segment).
    #[error("a record or batch of {len} bytes is too large: the limit is {max} bytes")]
    #[non_exhaustive]
    TooLarge {
        /// The size in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },

    /// `start_at` named an LSN below the oldest record that is kept.
    ///
    /// Next: find the snapshot that covers the records up to `oldest - 1` or later, or restore a backup.
    /// Without `start_at` the log opens, but a state that is built from it lacks everything before `oldest`.
    #[error("LSN {asked} was truncated: the oldest record kept is LSN {oldest}")]
    #[non_exhaustive]
    Truncated {
        /// The requested LSN.
        asked: Lsn,
        /// The oldest LSN that is kept.
        oldest: Lsn,
    },

    /// A record is intact but cannot be decoded, see [`typed`](crate::typed). Nothing on disk was
    /// changed.
    ///
    /// The bytes are the ones that were appended, but the code cannot decode them. Usually the code
    /// is older than the code that wrote them, or the type is a different one.
    ///
    /// Next: use a version of the service that can decode this record, or extend the type or its
    /// codec. To look at the bytes, [`read`](crate::WalOptions::read) the log with
    /// [`start_at`](crate::WalOptions::start_at) at this LSN.
    #[error("record {lsn} is intact but cannot be decoded")]
    #[non_exhaustive]
    Undecodable {
        /// The record.
        lsn: Lsn,
        /// The codec's error.
        source: CodecError,
    },

    /// A restore or a backup into the directory was interrupted, or is running. Nothing was read or changed.
    ///
    /// Next: run the restore again, or remove the directory and make the backup again. There is nothing to
    /// repair: the missing data is in the archive, or in the log.
    #[error("the restore or backup into {} is not finished", dir.display())]
    #[non_exhaustive]
    UnfinishedRestore {
        /// The directory.
        dir: PathBuf,
    },

    /// The segment holds something that only a later version of the format has. Nothing on disk was
    /// changed.
    ///
    /// Next: use a version of this crate that supports the format. If no later version has ever written to this
    /// log, the named bytes are damaged: restore the directory from a replica or a backup.
    #[error("{} {reason}, which this version of tidewal does not support", segment.display())]
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
    /// This is about the call that returned the error. A failed `sync` says nothing about records
    /// that were acknowledged earlier as [`Written`](crate::Durability::Written): these are in the
    /// log unless the machine dies.
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

    /// The error of an append that needs another segment when none can be opened.
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
/// `?` turns it into an [`Error`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrySubmitError {
    /// The queue is full. It holds the payload.
    ///
    /// Next: shed load, or wait with [`submit`](crate::Wal::submit).
    #[error("the queue is full")]
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
