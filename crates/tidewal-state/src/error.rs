//! Errors, grouped by what the caller should do next.

use std::sync::Arc;

use tidewal::Lsn;
use tidewal::snapshot::{SnapshotError, SnapshotFile, SnapshotState};

/// The result of an operation on a state machine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a state machine failed. Each variant says what the caller should do next.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log ends before a damaged snapshot of it, so the log has lost records that were durable.
    ///
    /// Next: restore the directory from a backup. If the file is not a snapshot of this log, move
    /// it away.
    #[error("a damaged snapshot covers record {snapshot}, and the log ends with {end}")]
    #[non_exhaustive]
    BehindSnapshot {
        /// The last record that the snapshot covers, by its name.
        snapshot: Lsn,
        /// The last record of the log.
        end: Lsn,
    },

    /// The log has requests with a session, and the state machine was opened without
    /// [`exactly_once`](crate::Options::exactly_once).
    ///
    /// Next: open it with that option. The output of a request is kept for its retries, so the
    /// state machine must know how to encode it.
    #[error(
        "record {lsn} is a request of a session. Open the state machine with the option exactly_once"
    )]
    #[non_exhaustive]
    ExactlyOnceOff {
        /// The request.
        lsn: Lsn,
    },

    /// The task that applies commands ended with its runtime before it could answer. The outcome is
    /// unknown.
    ///
    /// Next: open the state machine again, and check whether the command was executed.
    #[error(
        "the outcome is unknown, because the runtime of the state machine has ended. Open it again"
    )]
    Interrupted,

    /// The log refused or failed. [`Error::is_outcome_unknown`] says whether the command may be in it.
    ///
    /// Next: see the log's error. After [`StorageFull`](tidewal::Error::StorageFull), the state
    /// machine takes a snapshot on its own, and accepts commands again once that has freed space.
    #[error(transparent)]
    Log(#[from] tidewal::Error),

    /// The log begins after record 1, and no sound snapshot covers the records before its
    /// beginning.
    ///
    /// Next: restore the directory from a backup. `skipped` lists the snapshots that were not used,
    /// and why.
    #[error(
        "the log begins with record {oldest}, and no sound snapshot covers the records before it{}",
        list(skipped)
    )]
    #[non_exhaustive]
    NoSnapshot {
        /// The oldest record of the log.
        oldest: Lsn,
        /// Files that are damaged, belong to another log, or have a later version.
        skipped: Arc<[SnapshotFile]>,
    },

    /// An output, which is kept for retries, could not be encoded or decoded. If it could not be
    /// encoded, the state machine accepts nothing more.
    ///
    /// Next: fix the codec of the output.
    #[error("the output of record {lsn} cannot be kept for a retry")]
    #[non_exhaustive]
    Output {
        /// The request.
        lsn: Lsn,
        /// The codec's error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// [`State::apply`](crate::State::apply) panicked. The command is in the log, and the state can
    /// no longer be used. The log is not harmed.
    ///
    /// Next: fix `apply`, and open the state machine again. The new code then applies the command.
    #[error(
        "applying record {lsn} panicked: {message}. Fix the code and open the state machine again"
    )]
    #[non_exhaustive]
    Panicked {
        /// The command.
        lsn: Lsn,
        /// The message of the panic.
        message: Arc<str>,
    },

    /// The request is older than the outputs that its session keeps. It is unknown whether it was
    /// applied earlier. It was not applied now.
    ///
    /// Next: check the state with a query. Raise `window` to keep more outputs.
    #[error("request {sequence} is too old: its session no longer keeps its output")]
    #[non_exhaustive]
    RequestForgotten {
        /// The request's number in its session.
        sequence: u64,
    },

    /// The session is unknown: it was never opened, or it expired because others were used since.
    /// The request was not applied now. It is unknown whether it was applied earlier.
    ///
    /// Next: check the state with a query, and open a new session.
    #[error("session {session} is unknown or has expired. Open a new one")]
    #[non_exhaustive]
    SessionExpired {
        /// The session.
        session: u64,
    },

    /// A snapshot could not be written, read, listed or removed. The log and the state are not harmed.
    ///
    /// Next: see the snapshot's error.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),

    /// A sound snapshot was written by a later version of the state's type.
    ///
    /// Next: use the version of the service that wrote it.
    #[error(
        "the snapshot up to record {lsn} has version {version} of the state, and this code reads versions up to {known}"
    )]
    #[non_exhaustive]
    StateVersion {
        /// The snapshot.
        lsn: Lsn,
        /// The version of the state's type in the snapshot.
        version: u32,
        /// The latest one that this code can read.
        known: u32,
    },

    /// A record is intact but cannot be decoded. Nothing on disk was changed.
    ///
    /// Next: use a version of the service that can decode this command, or extend its codec.
    #[error("record {lsn} cannot be decoded. Use a version of the service that can decode it")]
    #[non_exhaustive]
    Undecodable {
        /// The record.
        lsn: Lsn,
        /// The codec's error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// A command could not be encoded. It is certainly not appended, and neither is anything else
    /// that was passed to the same call.
    ///
    /// Next: see the source, which is the codec's own error.
    #[error("cannot encode the command, nothing was appended")]
    #[non_exhaustive]
    Unencodable {
        /// The codec's error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the command may have been executed, or may still be after the next start, although the
    /// caller got an error.
    ///
    /// The state machine accepts nothing more: open it again. If the command was sent with
    /// [`execute_once`](crate::StateMachine::execute_once), it can then be sent again, with the same
    /// id.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Interrupted | Self::Output { .. } | Self::Panicked { .. } => true,
            Self::Log(error) => error.is_outcome_unknown(),
            _ => false,
        }
    }
}

/// The snapshots that were not used, for a message.
fn list(skipped: &[SnapshotFile]) -> String {
    use std::fmt::Write;

    skipped.iter().fold(String::new(), |mut text, file| {
        let what = match file.state {
            SnapshotState::Damaged => "is damaged",
            SnapshotState::Foreign => "is of another log",
            SnapshotState::Unreadable => "cannot be read",
            SnapshotState::Unsupported { .. } => "is of a later version",
            _ => "was not used",
        };
        // Writing to a string does not fail.
        let _ = write!(text, ". {} {what}", file.path.display());
        text
    })
}
